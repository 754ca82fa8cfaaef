//! Attach a container to a network, and detach it.
//!
//! The lease is written before anything is made for it, and removed after everything made for it is
//! gone. So the lease leads to whatever a killed launcher leaves behind.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::messages::{self, Link};
use super::names::{self, AttachRequest};
use super::namespace::{self, Namespace, NamespaceId};
use super::netlink::{Answer, Conversation, Failure};
use super::store::{self, Lease, Lock, Record, Store};
use super::subnet::Subnet;
use super::sysctls::{self, Interface};
use super::{bridge, interface, siblings};
use crate::error::{Error, Result};

/// The interface's name inside every container.
const INSIDE: &str = "eth0";

/// How often the state of a port is read, a millisecond apart.
const CARRIER_TRIES: usize = 100;

/// Whether the container of this id still has its state directory.
pub type Alive<'a> = &'a dyn Fn(&str) -> bool;

/// A container's attachment to a network; kept in the container's state, and in the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// The container's address.
    pub address: IpAddr,
    /// The network's subnet.
    pub subnet: Subnet,
    /// The gateway of the default route: the bridge's address.
    pub gateway: IpAddr,
    /// The bridge on the host.
    pub bridge: String,
    /// The host's end of the veth pair, a port of the bridge.
    pub host_interface: String,
    /// The container's end.
    pub interface: String,
    /// Path of the network namespace, for `linux.namespaces`.
    pub netns: PathBuf,
    /// The identity of the namespace at that path, so that another namespace is never unmounted.
    pub identity: NamespaceId,
    /// The boot id under which the namespace was made: after a reboot, another namespace can have
    /// its inode number.
    pub boot_id: String,
}

/// Give `container` a network namespace that is attached to a network.
///
/// `request` is `NAME` or `NAME:ADDRESS`. The state directory of `container` must exist before: the
/// leases of containers for which `alive` returns false are released. A failure leaves nothing
/// behind.
///
/// # Errors
/// No such network, a half-made one; the address is not in the subnet, special, or in use (names
/// the holder); no address is left; `/var/run/netns/CONTAINER` is taken; a call was refused.
pub fn attach(root: &Path, request: &str, container: &str, alive: Alive) -> Result<Attachment> {
    let request = AttachRequest::parse(request)?;
    names::check_container(container)?;
    let store = Store::of(root);
    // A mistyped name fails here, before anything is made; the check under the lock below is the
    // one that counts.
    store.usable(&request.network)?;
    let namespace = namespace::create()?;
    let place = format!("network \"{}\"", request.network);
    let mut host = Conversation::open().map_err(|failure| failure.at(&place))?;

    let lock = store.lock()?.ok_or_else(|| store::missing(&request.network))?;
    let record = store.usable(&request.network)?;
    // Leases of all networks: a container of the same id may have been attached to another network.
    for network in store.networks()? {
        reclaim(&store, &mut host, &network, |id| id != container && alive(id))?;
    }
    let bridge = bridge::ensure(&store, &mut host, &record)?;
    let attachment = take(&store, &lock, &record, &request, container, &namespace)?;
    drop(lock);

    let made = namespace::publish(&namespace, &attachment.netns)
        .and_then(|()| connect(&store, &mut host, &bridge, namespace, &attachment, record.mtu));
    match made {
        Ok(()) => Ok(attachment),
        Err(error) => Err(match undo(&store, &mut host, &attachment) {
            Ok(()) => error,
            Err(also) => error.detail(format!("and taking it back: {}", also.line())),
        }),
    }
}

/// Undo everything that [`attach`] made. Parts that are already gone are not an error.
///
/// # Errors
/// A call was refused; the lease then stays, so that the caller can try again.
pub fn detach(root: &Path, attachment: &Attachment) -> Result<()> {
    let store = Store::of(root);
    let place = format!("network \"{}\"", attachment.network);
    let mut host = Conversation::open().map_err(|failure| failure.at(&place))?;
    undo(&store, &mut host, attachment)
}

/// Do the same as [`detach`] for a container whose state does not name its attachment, because
/// `create` was killed or the state is damaged. Reads the leases of every network; costs one
/// openat(2) if there is no network.
///
/// # Errors
/// A lease cannot be read, or a call was refused; the lease then stays.
pub fn detach_container(root: &Path, container: &str) -> Result<()> {
    let store = Store::of(root);
    let mut host = None;
    for network in store.networks()? {
        for lease in store.leases(&network)?.iter().filter(|l| l.container == container) {
            if host.is_none() {
                let place = format!("network \"{network}\"");
                host = Some(Conversation::open().map_err(|failure| failure.at(&place))?);
            }
            if let Some(host) = &mut host {
                withdraw(&store, host, &network, lease)?;
            }
        }
    }
    Ok(())
}

/// Release the leases of `network` for whose containers `keep` returns false.
///
/// # Errors
/// The leases cannot be read, or one of them cannot be withdrawn.
pub(super) fn reclaim(
    store: &Store,
    host: &mut Conversation,
    network: &str,
    keep: impl Fn(&str) -> bool,
) -> Result<()> {
    for lease in store.leases(network)? {
        if !keep(&lease.container) {
            withdraw(store, host, network, &lease)?;
        }
    }
    Ok(())
}

/// Choose an address and record the lease, through which everything made later can be found.
fn take(
    store: &Store,
    lock: &Lock,
    record: &Record,
    request: &AttachRequest,
    container: &str,
    namespace: &Namespace,
) -> Result<Attachment> {
    let leases = store.leases(&record.name)?;
    let subnet = record.subnet;
    let address = match request.address {
        Some(address) => asked_for(address, record, &leases)?,
        None => {
            let used: BTreeSet<IpAddr> = leases.iter().map(|lease| lease.address).collect();
            let none = || {
                Error::new(format!("network \"{}\": no address of {subnet} is free", record.name))
                    .hint("delete containers that are not used, or make a larger network")
            };
            subnet.allocate(&used).ok_or_else(none)?
        }
    };
    let netns = namespace::path_of(container);
    namespace::check_free(&netns)?;
    let attachment = Attachment {
        network: record.name.clone(),
        container: container.to_owned(),
        address,
        subnet,
        gateway: subnet.gateway(),
        bridge: store.bridge(&record.name).ifname,
        host_interface: store.port(&record.name, container).ifname,
        interface: INSIDE.to_owned(),
        netns,
        identity: namespace.identity,
        boot_id: boot_id()?,
    };
    let lease = Lease { address, container: container.to_owned() };
    store.lease(lock, &record.name, &lease, &attachment)?;
    Ok(attachment)
}

/// The address that the user asked for, if it is free and a container may have it.
fn asked_for(address: IpAddr, record: &Record, leases: &[Lease]) -> Result<IpAddr> {
    let wrong = |why: &str| Error::new(format!("network \"{}\": {address} {why}", record.name));
    if let Some(why) = record.subnet.refusal(address) {
        return Err(wrong(&why));
    }
    match leases.iter().find(|lease| lease.address == address) {
        None => Ok(address),
        Some(lease) => Err(wrong(&format!("is in use by container \"{}\"", lease.container))
            .hint("leave out the address to get one that is free")),
    }
}

/// The veth pair, the loopback interface, the address and the route.
fn connect(
    store: &Store,
    host: &mut Conversation,
    bridge: &Link,
    mut namespace: Namespace,
    attachment: &Attachment,
    mtu: Option<u32>,
) -> Result<()> {
    let place = format!("network \"{}\"", attachment.network);
    let port = store.port(&attachment.network, &attachment.container);
    let mac = names::address_mac(attachment.address);
    let file = namespace.file.as_raw_fd();
    let veth = messages::new_veth(&port, bridge.index, file, INSIDE, mac, mtu);
    let neighbour = messages::new_neighbour(bridge.index, attachment.address, &mac);
    let outside = format!("{place}: interface {}", port.ifname);
    host.send(&[veth, messages::set_alias(&port), neighbour])
        .map_err(|failure| failure.at(&outside))?;
    // This is done before the container's end is up, and so before the first frame passes.
    sysctls::settle(&outside, Interface::Port(&port.ifname))?;

    let place = format!("{place}: container \"{}\"", attachment.container);
    namespace::within(&place, namespace.file.as_fd(), || {
        sysctls::settle(&place, Interface::Inside(INSIDE, attachment.address.is_ipv6()))
    })?;
    let inside = &mut namespace.inside;
    let of = |name: &str| format!("{place}: interface {name}");
    let ask = [messages::get_link("lo"), messages::get_link(INSIDE)];
    let replies = inside.send(&ask).map_err(|failure| failure.at(of(INSIDE)))?;
    let index = |at: usize| replies.get(at).and_then(|reply| Link::read(reply)).map(|l| l.index);
    let (Some(lo), Some(eth0)) = (index(0), index(1)) else {
        return Err(Error::new(format!("{}: RTM_GETLINK: no reply", of(INSIDE))));
    };
    let configure = [
        messages::set_up(lo),
        messages::set_up(eth0),
        messages::new_neighbour(eth0, attachment.gateway, &bridge.mac),
        messages::new_address(eth0, attachment.address, &attachment.subnet),
        messages::new_default_route(eth0, attachment.gateway),
    ];
    inside.send(&configure).map_err(|failure| failure.at(of(INSIDE)))?;
    siblings::introduce(store, inside, eth0, attachment)?;
    await_carrier(host, &port.ifname).map_err(|failure| failure.at(&outside))
}

/// Wait until the kernel has noticed, in a workqueue, that both ends of the pair are up. Until then
/// the bridge forwards nothing, and the container's first packet would be lost.
fn await_carrier(host: &mut Conversation, port: &str) -> Answer<()> {
    for _ in 0..CARRIER_TRIES {
        match interface::find(host, port)? {
            Some(link) if link.flags & libc::IFF_RUNNING as u32 == 0 => {
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => break,
        }
    }
    // The port still comes up after this wait; only the packets sent before that are lost.
    Ok(())
}

/// Undo what was made for a lease; if its file is damaged, its name still has the address and the
/// container's id.
fn withdraw(store: &Store, host: &mut Conversation, network: &str, lease: &Lease) -> Result<()> {
    match store.details::<Attachment>(network, lease) {
        Some(attachment) => undo(store, host, &attachment),
        None => {
            remove_port(store, host, network, lease)?;
            namespace::withdraw(&namespace::path_of(&lease.container), None)?;
            store.release(network, lease)
        }
    }
}

fn undo(store: &Store, host: &mut Conversation, attachment: &Attachment) -> Result<()> {
    let Attachment { network, container, address, .. } = attachment;
    let lease = Lease { address: *address, container: container.clone() };
    // After a reboot nothing that was made exists; a namespace with the same inode number would be
    // another container's.
    if boot_id()? == attachment.boot_id {
        // The port is deleted by its own message: the kernel deletes it with the namespace too, but
        // only after the last process in the namespace has ended.
        remove_port(store, host, network, &lease)?;
        namespace::withdraw(&attachment.netns, Some(attachment.identity))?;
    }
    store.release(network, &lease)
}

/// Delete the port, and the bridge's neighbour entry for the container's address.
fn remove_port(store: &Store, host: &mut Conversation, network: &str, lease: &Lease) -> Result<()> {
    let port = store.port(network, &lease.container);
    let place = format!("interface {}", port.ifname);
    let at = |failure: Failure| failure.at(&place);
    match interface::find(host, &port.ifname).map_err(at)? {
        Some(link) if link.is(&port) => interface::delete(host, link.index, &place)?,
        _ => {}
    }
    let bridge = store.bridge(network);
    let Some(link) = interface::find(host, &bridge.ifname).map_err(at)? else { return Ok(()) };
    if !link.is(&bridge) {
        return Ok(());
    }
    match host.send(&[messages::delete_neighbour(link.index, lease.address)]) {
        // ENOENT: the entry was never made, or a bridge that was set down has dropped it. ENODEV:
        // the bridge was deleted meanwhile.
        Err(failure) if ![libc::ENOENT, libc::ENODEV].contains(&failure.errno) => {
            Err(failure.at(&place))
        }
        _ => Ok(()),
    }
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    match std::fs::read_to_string(path) {
        Ok(id) => Ok(id.trim_ascii().to_owned()),
        Err(e) => Err(Error::io(path, "read", &e)),
    }
}
