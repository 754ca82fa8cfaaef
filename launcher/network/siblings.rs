//! Permanent neighbour entries for the containers of one network, so that no container can answer
//! for the address of another.
//!
//! A MAC address is derived from the IP address, so an entry stays right when the address goes to
//! another container. Knows leases and namespaces; must not know how either is made.

use std::os::fd::AsFd;

use super::attach::Attachment;
use super::messages;
use super::names;
use super::netlink::{Answer, Conversation};
use super::store::Store;
use super::{interface, namespace};
use crate::error::Result;

/// The kernel queues an answer for each request of a datagram; about 250 fit into the socket's
/// receive buffer.
const REQUESTS: usize = 64;

/// Add the neighbour entries of all other containers of the network to the container of
/// `attachment`, and its entry to theirs.
///
/// `inside` speaks to its namespace, where its interface has the index `index`. A container that is
/// being made or deleted at the same time is skipped: ARP or neighbour discovery resolves its
/// address.
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
            // The other container's interface may not exist yet, or may already be deleted.
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
