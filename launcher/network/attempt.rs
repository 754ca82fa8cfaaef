//! Find out whether this kernel has bridges and veth pairs, by making them.
//!
//! They are made in a new network namespace, which the kernel deletes with everything in it.

use std::os::fd::{AsFd, AsRawFd};

use super::names::{self, Mark};
use super::sysctls::{self, Interface};
use super::{interface, messages, namespace};
use crate::error::Result;

/// Make a bridge and a veth pair in a network namespace that nothing else uses.
///
/// # Errors
/// The kernel has no bridges or no veth, or the caller may not make them or give them parameters.
pub fn attempt() -> Result<()> {
    const PLACE: &str = "a network that is tried";
    let namespace::Namespace { file, mut inside, .. } = namespace::create()?;
    let bridge = Mark::bridge(b"", "try");
    inside.send(&[messages::new_bridge(&bridge, None)]).map_err(|failure| failure.at(PLACE))?;
    let new = Interface::NewBridge(&bridge.ifname, false);
    namespace::within(PLACE, file.as_fd(), || sysctls::settle(PLACE, new))?;
    let found =
        interface::find(&mut inside, &bridge.ifname).map_err(|failure| failure.at(PLACE))?;
    let master = found.map_or(0, |link| link.index);
    let port = Mark::port(b"", "try", "try");
    let mac = names::address_mac([10, 0, 0, 2].into());
    let pair = messages::new_veth(&port, master, file.as_raw_fd(), "eth0", mac, None);
    inside.send(&[pair]).map(drop).map_err(|failure| failure.at(PLACE))
}
