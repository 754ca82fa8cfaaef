//! A network's bridge on the host, and the host's addresses, routes and interfaces that conflict
//! with it.
//!
//! Knows the host's interfaces, addresses and routes. Changes no interface without our mark.

use super::interface;
use super::messages::{self, Address, Link, Route};
use super::names::{self, Mark};
use super::netlink::{Conversation, Failure};
use super::store::{Record, Stage, Store};
use super::subnet::Subnet;
use super::sysctls::{self, Interface};
use crate::error::{Error, Result};
use crate::log;

/// Refuse a subnet that overlaps another network's, an address of the host or a route of the host.
///
/// # Errors
/// The subnet overlaps one of them, or the networks or the kernel's tables cannot be read.
pub fn check_overlap(
    store: &Store,
    host: &mut Conversation,
    name: &str,
    subnet: &Subnet,
) -> Result<()> {
    let place = format!("network \"{name}\"");
    let taken = |by: String| {
        Error::new(format!("{place}: subnet {subnet} overlaps {by}"))
            .hint("choose another --subnet, for example from 10.0.0.0/8 or 172.16.0.0/12")
    };
    for other in store.networks()? {
        if let Some(record) = store.record(&other).filter(|r| r.subnet.overlaps(subnet)) {
            return Err(taken(format!("{} of network \"{other}\"", record.subnet)));
        }
    }
    let at = |failure: Failure| failure.at(&place);
    let links = interface::list(host).map_err(at)?;
    let name_of = |index: u32| {
        links.iter().find(|link| link.index == index).map_or("?", |link| link.name.as_str())
    };
    let addresses = host.dump(messages::get_addresses()).map_err(at)?;
    for address in addresses.iter().filter_map(|a| Address::read(a)) {
        if Subnet::around(address.local, address.prefix).overlaps(subnet) {
            let (local, prefix) = (address.local, address.prefix);
            let interface = name_of(address.index);
            return Err(taken(format!("{local}/{prefix}, the host's address on {interface}")));
        }
    }
    let routes = host.dump(messages::get_routes()).map_err(at)?;
    for route in routes.iter().filter_map(|r| Route::read(r)) {
        // Routes of other types (local, broadcast, multicast, ...) come with an address, or hold
        // for every host.
        let leads = [
            libc::RTN_UNICAST,
            libc::RTN_BLACKHOLE,
            libc::RTN_UNREACHABLE,
            libc::RTN_PROHIBIT,
            libc::RTN_THROW,
        ];
        let Some(destination) = route.destination.filter(|_| leads.contains(&route.kind)) else {
            continue;
        };
        if !destination.overlaps(subnet) || destination.is_for_everything() {
            continue;
        }
        let through = route.oif.map(|oif| format!(" through {}", name_of(oif)));
        let route = format!("the host's route to {destination}{}", through.unwrap_or_default());
        if destination.prefix() >= subnet.prefix() {
            return Err(taken(route));
        }
        // The kernel prefers the longer prefix, so the subnet works, but the host loses this part
        // of its route.
        log::warning(&format!(
            "{place}: subnet {subnet} is part of {route}: the host no longer reaches that part"
        ));
    }
    Ok(())
}

/// Refuse a bridge name that an interface already has. Only `create` calls this: for other commands
/// the interface may be the network's own bridge.
///
/// # Errors
/// An interface that is not this network's has the name, or the kernel refuses the question.
pub fn check_name_free(store: &Store, host: &mut Conversation, network: &str) -> Result<()> {
    let mark = store.bridge(network);
    let found = interface::find(host, &mark.ifname);
    match found.map_err(|failure| failure.at(format!("network \"{network}\"")))? {
        None => Ok(()),
        // The bridge has our mark but no record, since the state root was cleared by hand. `ensure`
        // makes the bridge anew.
        Some(link) if link.is(&mark) => Ok(()),
        Some(link) => Err(foreign(network, &link)),
    }
}

fn foreign(network: &str, link: &Link) -> Error {
    let Link { name, alias, .. } = link;
    let alias = if alias.is_empty() { String::new() } else { format!(" (\"{alias}\")") };
    let text = format!(
        "network \"{network}\": the host has an interface {name}{alias} that is not this network's"
    );
    Error::new(text)
        .hint(format!("choose another network name, or remove the interface: ip link del {name}"))
}

/// Return the network's bridge. It is made if it does not exist: for a new network, after a reboot,
/// or after it was deleted by hand. It is repaired if it was changed.
///
/// # Errors
/// An interface that is not this network's has the bridge's name, or the kernel refuses a change.
pub fn ensure(store: &Store, host: &mut Conversation, record: &Record) -> Result<Link> {
    let mark = store.bridge(&record.name);
    let place = format!("network \"{}\": bridge {}", record.name, mark.ifname);
    let at = |failure: Failure| failure.at(&place);
    if record.stage != Stage::Ready {
        remove(store, host, &record.name)?;
        return make(&mark, host, record, &place);
    }
    let (link, anew) = match interface::find(host, &mark.ifname).map_err(at)? {
        Some(link) if link.is(&mark) => {
            let down = link.flags & libc::IFF_UP as u32 == 0;
            (mend(&mark, host, record, link, &place)?, down)
        }
        Some(link) => return Err(foreign(&record.name, &link)),
        None => (make(&mark, host, record, &place)?, true),
    };
    mend_ports(store, host, record, &link, anew)?;
    Ok(link)
}

fn make(mark: &Mark, host: &mut Conversation, record: &Record, place: &str) -> Result<Link> {
    let at = |failure: Failure| failure.at(place);
    let gateway = record.subnet.gateway();
    let ask = [
        messages::new_bridge(mark, record.mtu),
        messages::set_alias(mark),
        messages::get_link(&mark.ifname),
    ];
    let replies = host.send(&ask).map_err(at)?;
    let link = replies.first().and_then(|reply| Link::read(reply));
    let link = link.ok_or_else(|| Error::new(format!("{place}: RTM_GETLINK: no reply")))?;
    // This is done before the bridge has a port, and so before it receives a frame.
    sysctls::settle(place, Interface::NewBridge(&mark.ifname, gateway.is_ipv6()))?;
    let address = messages::new_address(link.index, gateway, &record.subnet);
    host.send(&[address]).map_err(|failure| failure.at(format!("{place}: address {gateway}")))?;
    Ok(link)
}

/// Restore a bridge's parameters, MAC address, MTU and address, and bring it up.
fn mend(
    mark: &Mark,
    host: &mut Conversation,
    record: &Record,
    link: Link,
    place: &str,
) -> Result<Link> {
    let at = |failure: Failure| failure.at(place);
    let gateway = record.subnet.gateway();
    sysctls::settle(place, Interface::OldBridge(&link.name, gateway.is_ipv6()))?;
    let mut requests = Vec::new();
    if link.mac != mark.mac {
        requests.push(messages::set_mac(link.index, mark.mac));
    }
    if let Some(mtu) = record.mtu.filter(|mtu| *mtu != link.mtu) {
        requests.push(messages::set_mtu(link.index, mtu));
    }
    if link.flags & libc::IFF_UP as u32 == 0 {
        requests.push(messages::set_up(link.index));
    }
    let addresses = host.dump(messages::get_addresses()).map_err(at)?;
    let is_there = addresses.iter().filter_map(|payload| Address::read(payload)).any(|found| {
        (found.index, found.local, found.prefix) == (link.index, gateway, record.subnet.prefix())
    });
    if !is_there {
        requests.push(messages::new_address(link.index, gateway, &record.subnet));
    }
    if !requests.is_empty() {
        host.send(&requests).map_err(at)?;
    }
    Ok(Link { mac: mark.mac.to_vec(), ..link })
}

/// Make the network's containers ports of the bridge and neighbours of the host again: a new bridge
/// has no ports, and a bridge that was down has lost its neighbour entries.
fn mend_ports(
    store: &Store,
    host: &mut Conversation,
    record: &Record,
    bridge: &Link,
    anew: bool,
) -> Result<()> {
    let place = format!("network \"{}\": ports of {}", record.name, bridge.name);
    let leases = store.leases(&record.name)?;
    if leases.is_empty() {
        return Ok(());
    }
    let links = interface::list(host).map_err(|failure| failure.at(&place))?;
    let mut requests = Vec::new();
    for lease in leases {
        let port = store.port(&record.name, &lease.container);
        let of_ours = |link: &&Link| link.name == port.ifname && link.is(&port);
        let Some(link) = links.iter().find(of_ours) else { continue };
        if link.master != bridge.index {
            requests.push(messages::set_master(link.index, bridge.index));
        }
        if anew {
            let mac = names::address_mac(lease.address);
            requests.push(messages::new_neighbour(bridge.index, lease.address, &mac));
        }
    }
    if !requests.is_empty() {
        host.send(&requests).map_err(|failure| failure.at(&place))?;
    }
    Ok(())
}

/// Delete the network's bridge, if it exists and has our mark.
///
/// # Errors
/// The kernel refuses to find or to delete the bridge.
pub fn remove(store: &Store, host: &mut Conversation, network: &str) -> Result<()> {
    let mark = store.bridge(network);
    let place = format!("network \"{network}\": bridge {}", mark.ifname);
    match interface::find(host, &mark.ifname).map_err(|failure| failure.at(&place))? {
        Some(link) if link.is(&mark) => interface::delete(host, link.index, &place),
        _ => Ok(()),
    }
}
