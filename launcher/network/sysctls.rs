//! Kernel parameters that limit which messages from the link an interface of ours accepts.
//!
//! Knows `/proc/sys/net` of the calling thread's network namespace, and a list of values for each
//! of the three interfaces of a network; docs/network.md has the reason for each value. Never looks
//! at addresses, and knows no container.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// A parameter of one interface, and its value.
struct Setting {
    family: &'static str,
    name: &'static str,
    value: &'static str,
}

const fn v4(name: &'static str, value: &'static str) -> Setting {
    Setting { family: "ipv4", name, value }
}

const fn v6(name: &'static str, value: &'static str) -> Setting {
    Setting { family: "ipv6", name, value }
}

/// Parameters of every interface of ours, set each time a container is attached.
const BELIEFS: [Setting; 19] = [
    // The class of CVE-2020-10749 and CVE-2020-13401: a default route through a neighbour.
    v6("accept_ra", "0"),
    v6("autoconf", "0"),
    v6("accept_redirects", "0"),
    v6("accept_source_route", "-1"),
    v6("seg6_enabled", "0"),
    v6("rpl_seg_enabled", "0"),
    // During duplicate address detection a neighbour could claim the address, and the kernel would
    // then not use it.
    v6("accept_dad", "0"),
    v6("accept_untracked_na", "0"),
    v6("drop_unsolicited_na", "1"),
    v6("drop_unicast_in_l2_multicast", "1"),
    v6("proxy_ndp", "0"),
    v4("accept_redirects", "0"),
    v4("accept_source_route", "0"),
    v4("arp_accept", "0"),
    v4("drop_gratuitous_arp", "1"),
    v4("drop_unicast_in_l2_multicast", "1"),
    v4("proxy_arp", "0"),
    v4("proxy_arp_pvlan", "0"),
    v4("bootp_relay", "0"),
];

/// More for a new bridge. The host's administrator may change these, so attaching leaves them.
const BRIDGE: [Setting; 5] = [
    // Behind the bridge is its subnet alone: packets with other senders are forged.
    v4("rp_filter", "1"),
    // 127.0.0.0/8 of the host is not for containers (CVE-2020-8558).
    v4("route_localnet", "0"),
    v4("send_redirects", "0"),
    // The host's other addresses are neither answered for nor told on the bridge.
    v4("arp_ignore", "1"),
    v4("arp_announce", "2"),
];

/// More for a port, which forwards frames and has no address: the host does not speak through it.
const PORT: [Setting; 3] = [v6("disable_ipv6", "1"), v4("arp_ignore", "8"), v4("rp_filter", "1")];

/// An interface that we make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface<'a> {
    /// A bridge that has just been made, of a subnet of IPv6 or of IPv4.
    NewBridge(&'a str, bool),
    /// A bridge that was there, of a subnet of IPv6 or of IPv4.
    OldBridge(&'a str, bool),
    /// The host's end of a pair, a port of the bridge.
    Port(&'a str),
    /// The container's end, of a subnet of IPv6 or of IPv4.
    Inside(&'a str, bool),
}

/// Give an interface of the calling thread's network namespace its parameters.
///
/// # Errors
/// The parameters cannot be seen, or one has another value and cannot be written.
pub fn settle(place: &str, interface: Interface<'_>) -> Result<()> {
    let (name, more): (&str, &[Setting]) = match interface {
        Interface::NewBridge(name, _) => (name, &BRIDGE),
        Interface::OldBridge(name, _) | Interface::Inside(name, _) => (name, &[]),
        Interface::Port(name) => (name, &PORT),
    };
    let v6_too = has_ipv6(place, name)?;
    for setting in BELIEFS.iter().chain(more).filter(|it| v6_too || it.family == "ipv4") {
        set(place, name, setting)?;
    }
    match interface {
        // The network has no IPv6, and containers must not reach the host by its link-local
        // address.
        Interface::NewBridge(name, false) if v6_too => set(place, name, &v6("disable_ipv6", "1"))?,
        // The host's default may be to have none.
        Interface::NewBridge(name, true)
        | Interface::OldBridge(name, true)
        | Interface::Inside(name, true)
            if v6_too =>
        {
            set(place, name, &v6("disable_ipv6", "0"))?;
        }
        _ => {}
    }
    match interface {
        // Without forwarding, redirects are believed if `all` says so or the interface does.
        Interface::Inside(..) => set(place, "all", &v4("accept_redirects", "0")),
        _ => Ok(()),
    }
}

/// Whether the kernel has IPv6 for the interface. Fails if /proc may hide the answer: a hidden
/// directory does not count as absent.
fn has_ipv6(place: &str, interface: &str) -> Result<bool> {
    let seen = |family| Path::new(&directory(family, interface)).exists();
    // Whichever network namespace that shows: IPv6 is in the kernel, or is not.
    let stack = Path::new("/proc/self/net/if_inet6").exists();
    match (seen("ipv4"), seen("ipv6"), stack) {
        (true, true, _) => Ok(true),
        (true, false, false) => Ok(false),
        (v4, ..) => {
            let missing = directory(if v4 { "ipv6" } else { "ipv4" }, interface);
            let text = format!("{place}: {missing} is missing: nothing says what {interface} does");
            Err(Error::new(text).hint(
                "mount a whole procfs on /proc, and give the interface an MTU of 1280 or more",
            ))
        }
    }
}

fn directory(family: &str, interface: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{interface}")
}

fn set(place: &str, interface: &str, setting: &Setting) -> Result<()> {
    let path = format!("{}/{}", directory(setting.family, interface), setting.name);
    let at = |call, e: &io::Error| {
        Error::io(format!("{place}: {path} = {}", setting.value), call, e).hint(
            "containers on the network could change the routes of others without it; make \
             /proc/sys writable for this command, for example: mount -o remount,rw /proc/sys",
        )
    };
    match fs::read_to_string(&path) {
        Ok(now) if now.trim_ascii() == setting.value => return Ok(()),
        Ok(_) => {}
        // This kernel is older than the parameter.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(at("read", &e)),
    }
    let mut file = OpenOptions::new().write(true).open(&path).map_err(|e| at("open", &e))?;
    file.write_all(setting.value.as_bytes()).map_err(|e| at("write", &e))
}
