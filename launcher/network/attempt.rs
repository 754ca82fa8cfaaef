//! Whether this kernel has what networks are made of, found out by making one.
//!
//! In a network namespace of its own, which vanishes with all that is in it.

use std::os::fd::{AsFd, AsRawFd};

use super::names::{self, Mark};
use super::sysctls::{self, Interface};
use super::{interface, messages, namespace};
use crate::error::Result;

/// Make a bridge and a pair of interfaces where nobody sees them.
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
