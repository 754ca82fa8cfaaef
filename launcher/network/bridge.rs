//! A network's bridge on the host, and what on the host stands in its way.
//!
//! Knows the host's interfaces, addresses and routes. Leaves alone whatever does not bear our mark.

use super::interface;
use super::messages::{self, Address, Link, Route};
use super::netlink::{Conversation, Failure};
use super::store::{Record, Stage, Store};
use super::subnet::Subnet;
use crate::error::{Error, Result};

/// Refuse a subnet of which any address belongs to somebody already.
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
        // The others (local, broadcast, multicast, ...) come with addresses, or are for everybody.
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
        if destination.overlaps(subnet) {
            let through = route.oif.map(|oif| format!(" through {}", name_of(oif)));
            let through = through.unwrap_or_default();
            return Err(taken(format!("the host's route to {destination}{through}")));
        }
    }
    Ok(())
}

/// Refuse a bridge name that somebody has. `create` alone asks: to anybody else it may be ours.
pub fn check_name_free(store: &Store, host: &mut Conversation, network: &str) -> Result<()> {
    let mark = store.bridge(network);
    let found = interface::find(host, &mark.ifname);
    match found.map_err(|failure| failure.at(format!("network \"{network}\"")))? {
        None => Ok(()),
        // Ours, but without a record: the state root was cleared by hand. `ensure` makes it anew.
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

/// The network's bridge, made if it is not there: new, or gone since a reboot, or by hand.
pub fn ensure(store: &Store, host: &mut Conversation, record: &Record) -> Result<Link> {
    let mark = store.bridge(&record.name);
    let place = format!("network \"{}\": bridge {}", record.name, mark.ifname);
    let at = |failure: Failure| failure.at(&place);
    let gateway = record.subnet.gateway();
    if record.stage == Stage::Ready {
        match interface::find(host, &mark.ifname).map_err(at)? {
            Some(link) if link.is(&mark) => return Ok(link),
            Some(link) => return Err(foreign(&record.name, &link)),
            None => {}
        }
    } else {
        remove(store, host, &record.name)?;
    }
    let ask =
        [messages::new_bridge(&mark), messages::set_alias(&mark), messages::get_link(&mark.ifname)];
    let replies = host.send(&ask).map_err(at)?;
    let link = replies.first().and_then(|reply| Link::read(reply));
    let link = link.ok_or_else(|| Error::new(format!("{place}: RTM_GETLINK: no reply")))?;
    let address = messages::new_address(link.index, gateway, &record.subnet);
    host.send(&[address]).map_err(|failure| failure.at(format!("{place}: address {gateway}")))?;
    Ok(link)
}

/// Delete the network's bridge, if it is there and ours.
pub fn remove(store: &Store, host: &mut Conversation, network: &str) -> Result<()> {
    let mark = store.bridge(network);
    let place = format!("network \"{network}\": bridge {}", mark.ifname);
    match interface::find(host, &mark.ifname).map_err(|failure| failure.at(&place))? {
        Some(link) if link.is(&mark) => interface::delete(host, link.index, &place),
        _ => Ok(()),
    }
}
