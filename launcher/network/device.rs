//! Interfaces of a container besides those of its network: its loopback, and the host's devices
//! that are moved into it (`linux.netDevices`, runtime-spec config-linux.md).
//!
//! Knows one device and one namespace; not where in config.json they are named.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::interface;
use super::messages::{self, Address};
use super::names;
use super::namespace;
use super::netlink::{Answer, Conversation, Failure};
use crate::error::{Error, Result};

/// How often a free name is chosen again, if another process takes the chosen name first.
const TRIES: usize = 16;

/// Bring up the loopback interface of the namespace `netns`; `place` names it in errors.
///
/// # Errors
/// The namespace cannot be entered, it has no loopback interface, or a netlink request was refused.
pub fn loopback_up(place: &str, netns: BorrowedFd<'_>) -> Result<()> {
    let at = |failure: Failure| failure.at(format!("{place}: interface lo"));
    let mut inside = namespace::enter(place, netns)?;
    let lo = interface::find(&mut inside, "lo").map_err(at)?;
    let lo = lo.ok_or_else(|| Error::new(format!("{place}: has no loopback interface")))?;
    inside.send(&[messages::set_up(lo.index)]).map_err(at)?;
    Ok(())
}

/// Move the host's interface `device` into the namespace `netns`, and bring it up there.
///
/// It keeps its permanent addresses of global scope. `name` is its name inside, or a template such
/// as `eth%d`; `None` keeps the host's. Returns the name that it has inside. We do not move it
/// back: when the namespace ends, the kernel returns a hardware device to the host and deletes a
/// virtual one.
///
/// # Errors
/// `place` (a field of config.json) with: no such interface; the name is taken inside; the
/// interface cannot leave its namespace (loopback, bridge port of some kinds).
pub fn move_device(
    place: &str,
    device: &str,
    name: Option<&str>,
    netns: BorrowedFd<'_>,
) -> Result<String> {
    let at = |failure: Failure| failure.at(place);
    let mut host = Conversation::open().map_err(at)?;
    let link = interface::find(&mut host, device).map_err(at)?.ok_or_else(|| {
        Error::new(format!("{place}: the host has no network interface \"{device}\""))
            .hint("\"ip link\" lists them")
    })?;
    let addresses = permanent_addresses(&mut host, link.index).map_err(at)?;
    let mut inside = namespace::enter(place, netns)?;
    let name = arrive(place, &mut host, &mut inside, link.index, name.unwrap_or(device), netns)?;
    let gone = || Error::new(format!("{place}: \"{name}\" is not there after it was moved"));
    let index = interface::find(&mut inside, &name).map_err(at)?.ok_or_else(gone)?.index;
    let mut requests = vec![messages::set_up(index)];
    requests.extend(
        addresses.into_iter().map(|address| messages::add_address(&Address { index, ..address })),
    );
    inside.send(&requests).map_err(at)?;
    Ok(name)
}

/// Move the interface; returns the name that it got.
///
/// We fill in a template ourselves: the kernel would do it twice, when it moves the interface and
/// when it sets its name, and so choose the second free name.
fn arrive(
    place: &str,
    host: &mut Conversation,
    inside: &mut Conversation,
    index: u32,
    name: &str,
    netns: BorrowedFd<'_>,
) -> Result<String> {
    for _ in 0..TRIES {
        let chosen = match name.contains('%') {
            true => {
                let taken = interface::list(inside).map_err(|failure| failure.at(place))?;
                names::fill_in(name, &|name| taken.iter().any(|link| link.name == name))
                    .map_err(|error| error.within(place))?
            }
            false => name.to_owned(),
        };
        match host.send(&[messages::move_link(index, netns.as_raw_fd(), &chosen)]) {
            Ok(_) => return Ok(chosen),
            Err(failure) if failure.errno != libc::EEXIST => return Err(failure.at(place)),
            Err(_) if name.contains('%') => {} // somebody else took it meanwhile
            Err(_) => break,
        }
    }
    Err(Error::new(format!("{place}: the container has a \"{name}\" already"))
        .hint("give another name, or a template such as eth%d"))
}

/// The addresses of an interface that are permanent and of global scope, which an administrator
/// gave it.
fn permanent_addresses(host: &mut Conversation, index: u32) -> Answer<Vec<Address>> {
    /// The result of duplicate address detection on the host does not hold in another namespace.
    const OF_THE_MOMENT: u32 =
        libc::IFA_F_PERMANENT | libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED;
    let all = host.dump(messages::get_addresses())?;
    let addresses = all.iter().filter_map(|payload| Address::read(payload)).filter(|address| {
        address.index == index
            && address.flags & libc::IFA_F_PERMANENT != 0
            && address.scope == libc::RT_SCOPE_UNIVERSE
    });
    Ok(addresses.map(|a| Address { flags: a.flags & !OF_THE_MOMENT, ..a }).collect())
}
