//! Containers of one network know each other's MAC addresses without asking: nobody can answer for
//! another one.
//!
//! A MAC address follows from the address, so what is known stays right when the address goes to
//! the next container. Knows leases and namespaces; must not know how either is made.

use std::os::fd::AsFd;

use super::attach::Attachment;
use super::messages;
use super::names;
use super::netlink::{Answer, Conversation};
use super::store::Store;
use super::{interface, namespace};
use crate::error::Result;

/// The kernel keeps an answer for each request of a datagram, and has room for some 250.
const REQUESTS: usize = 64;

/// Tell the container of `attachment` of all others on its network, and them of it.
///
/// `inside` speaks to its namespace, where its interface has the index `index`. A container that is
/// just being made or taken away is passed over: it asks and answers as on any link.
///
/// # Errors
/// The leases cannot be read, or a call was refused in the container's own namespace.
pub fn introduce(
    store: &Store,
    inside: &mut Conversation,
    index: u32,
    attachment: &Attachment,
) -> Result<()> {
    let network = &attachment.network;
    let place = format!("network \"{network}\": container \"{}\"", attachment.container);
    let leases = store.leases(network)?;
    let others: Vec<Attachment> = leases
        .iter()
        .filter(|lease| lease.container != attachment.container)
        .filter_map(|lease| store.details(network, lease))
        .collect();
    for some in others.chunks(REQUESTS) {
        let known = some.iter().map(|other| {
            messages::new_neighbour(index, other.address, &names::address_mac(other.address))
        });
        inside.send(&known.collect::<Vec<_>>()).map_err(|failure| failure.at(&place))?;
    }
    for other in &others {
        if let Some(namespace) = namespace::open(&other.netns, other.identity)
            && let Ok(mut inside) = namespace::enter(&place, namespace.as_fd())
        {
            // Its end may not be there yet, or not any more.
            let _ = tell(&mut inside, &other.interface, attachment);
        }
    }
    Ok(())
}

fn tell(inside: &mut Conversation, interface: &str, attachment: &Attachment) -> Answer<()> {
    let Some(link) = interface::find(inside, interface)? else { return Ok(()) };
    let mac = names::address_mac(attachment.address);
    inside.send(&[messages::new_neighbour(link.index, attachment.address, &mac)]).map(drop)
}
