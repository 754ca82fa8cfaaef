//! Networks: a bridge on the host, a subnet, and the containers attached to it.
//!
//! Speaks rtnetlink(7) and keeps its records below the state root; runs no program. Knows nothing
//! of config.json or of how containers are made: a container is an id here. Containers on a network
//! reach each other and the bridge's address; nothing is forwarded or translated beyond it.

mod attach;
mod attempt;
mod bridge;
mod device;
mod interface;
mod messages;
mod names;
mod namespace;
mod netlink;
mod siblings;
mod stats;
mod store;
mod subnet;
mod sysctls;

use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

pub use attach::{Alive, Attachment, attach, detach, detach_container};
pub use attempt::attempt;
pub use device::{loopback_up, move_device};
pub use names::{AttachRequest, check_name};
pub use namespace::NamespaceId;
pub(crate) use namespace::elsewhere;
pub use stats::{InterfaceStats, interface_stats};
pub use store::Stage;
pub use subnet::Subnet;

use crate::error::{Error, Result};
use netlink::Conversation;
use store::{Record, Store};

/// What `network create` is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNetwork {
    /// Name; see [`check_name`].
    pub name: String,
    /// Subnet; its first host address becomes the bridge's.
    pub subnet: Subnet,
    /// Largest packet, in bytes, if not the kernel's 1500; at least 1280.
    pub mtu: Option<u32>,
}

/// A network, as `network list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Name.
    pub name: String,
    /// Subnet; `None` if the record is damaged.
    pub subnet: Option<Subnet>,
    /// The bridge's interface name.
    pub bridge: String,
    /// The bridge's address, the containers' default route.
    pub gateway: Option<IpAddr>,
    /// Largest packet, in bytes, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether it can be used.
    pub stage: Stage,
    /// Who is attached, by address.
    pub containers: Vec<Member>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its address.
    pub address: IpAddr,
    /// The interface in its network namespace; `None` if the record of its lease is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The other end of that interface, on the host: a port of the bridge.
    #[serde(rename = "hostInterface")]
    pub host_interface: String,
}

/// Make a network: its record, then its bridge. On failure nothing is left.
///
/// # Errors
/// The name is malformed or taken; the subnet overlaps another network's, or an address or a route
/// of the host (named in the text); an interface has the bridge's name; a call was refused.
pub fn create(root: &Path, request: &NewNetwork) -> Result<Network> {
    let NewNetwork { name, subnet, mtu } = request;
    check_name(name)?;
    if ["host", "none", "pasta", "slirp4netns"].contains(&name.as_str()) {
        return Err(Error::new(format!("network name \"{name}\": --network {name} has a meaning")));
    }
    let place = format!("network \"{name}\"");
    let mut host = Conversation::open().map_err(|failure| failure.at(&place))?;
    let mut store = Store::of(root);
    let lock = store.lock_or_make()?;
    match store.record(name) {
        Some(record) if record.stage == Stage::Ready => {
            let subnet = record.subnet;
            return Err(Error::new(format!("{place}: exists already, with subnet {subnet}")));
        }
        _ if store.exists(name) => return Err(store::half_made(name)),
        _ => {}
    }
    let creating =
        Record { name: name.clone(), subnet: *subnet, mtu: *mtu, stage: Stage::Creating };
    let ready = Record { stage: Stage::Ready, ..creating.clone() };
    let made = bridge::check_overlap(&store, &mut host, name, subnet)
        .and_then(|()| bridge::check_name_free(&store, &mut host, name))
        .and_then(|()| store.put(&lock, &creating))
        .and_then(|()| bridge::ensure(&store, &mut host, &creating))
        .and_then(|_| store.put(&lock, &ready));
    match made {
        Ok(()) => describe(&store, name),
        Err(error) => {
            let undone = match store.exists(name) {
                true => bridge::remove(&store, &mut host, name),
                false => Ok(()),
            };
            Err(match undone.and_then(|()| store.forget(&lock, name)) {
                Ok(()) => error,
                Err(also) => error.detail(format!("and taking it back: {}", also.line())),
            })
        }
    }
}

/// List every network, sorted by name, half-made and damaged ones included.
///
/// # Errors
/// The store cannot be locked or read.
pub fn list(root: &Path) -> Result<Vec<Network>> {
    let store = Store::of(root);
    // Otherwise a network that is just being made would look half made.
    let Some(_lock) = store.lock()? else { return Ok(Vec::new()) };
    store.networks()?.iter().map(|name| describe(&store, name)).collect()
}

/// Return a network, with its containers.
///
/// # Errors
/// There is no such network, or the store cannot be locked or read.
pub fn show(root: &Path, name: &str) -> Result<Network> {
    check_name(name)?;
    let store = Store::of(root);
    let lock = store.lock()?;
    match lock {
        Some(_) if store.exists(name) => describe(&store, name),
        _ => Err(store::missing(name)),
    }
}

/// Remove a network that no container is attached to; also a half-made or damaged one.
///
/// Leases of containers for which `alive` says no are taken back first.
///
/// # Errors
/// There is no such network; containers are attached (named in the text); a call was refused.
pub fn remove(root: &Path, name: &str, alive: Alive) -> Result<()> {
    check_name(name)?;
    let place = format!("network \"{name}\"");
    let store = Store::of(root);
    let Some(lock) = store.lock()? else { return Err(store::missing(name)) };
    if !store.exists(name) {
        // What is left if this was killed between its last two calls: an empty directory.
        store.forget(&lock, name)?;
        return Err(store::missing(name));
    }
    let mut host = Conversation::open().map_err(|failure| failure.at(&place))?;
    attach::reclaim(&store, &mut host, name, alive)?;
    let leases = store.leases(name)?;
    if !leases.is_empty() {
        let ids: Vec<&str> = leases.iter().map(|lease| lease.container.as_str()).collect();
        let (ids, s) = (ids.join(", "), if ids.len() == 1 { "" } else { "s" });
        return Err(Error::new(format!("{place}: is in use by container{s} {ids}"))
            .hint("delete them first"));
    }
    if let Some(record) = store.record(name) {
        store.put(&lock, &Record { stage: Stage::Removing, ..record })?;
    }
    bridge::remove(&store, &mut host, name)?;
    store.forget(&lock, name)
}

/// Where the network namespace of an attached container is: `ip netns` sees it there.
pub fn namespace_path(container: &str) -> String {
    namespace::path_of(container).to_string_lossy().into_owned()
}

/// The table of `network list`, with its heading.
pub fn table(networks: &[Network]) -> String {
    let none = || "-".to_owned();
    let mut rows = vec![["NAME", "SUBNET", "BRIDGE", "GATEWAY", "CONTAINERS"].map(str::to_owned)];
    rows.extend(networks.iter().map(|network| {
        let ids: Vec<&str> = network.containers.iter().map(|c| c.id.as_str()).collect();
        let containers = match network.stage {
            Stage::Ready if ids.is_empty() => none(),
            Stage::Ready => ids.join(","),
            _ => format!("(half made: tiny-ce network rm {})", network.name),
        };
        let subnet = network.subnet.map_or_else(none, |subnet| subnet.to_string());
        let gateway = network.gateway.map_or_else(none, |gateway| gateway.to_string());
        [network.name.clone(), subnet, network.bridge.clone(), gateway, containers]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    let line = |[name, subnet, bridge, gateway, containers]: &[String; 5]| {
        format!("{name:a$}  {subnet:b$}  {bridge:c$}  {gateway:d$}  {containers}\n")
    };
    rows.iter().map(line).collect()
}

/// One network as text: a line for each fact, and for each container.
pub fn page(network: &Network) -> String {
    let none = || "-".to_owned();
    // Without its record nothing is known of it.
    let default = if network.subnet.is_some() { "1500" } else { "-" };
    let facts = [
        ("network", network.name.clone()),
        ("subnet", network.subnet.map_or_else(none, |subnet| subnet.to_string())),
        ("bridge", network.bridge.clone()),
        ("gateway", network.gateway.map_or_else(none, |gateway| gateway.to_string())),
        ("mtu", network.mtu.map_or_else(|| default.to_owned(), |mtu| mtu.to_string())),
        ("stage", network.stage.word().to_owned()),
    ];
    let mut text: String =
        facts.iter().map(|(name, value)| format!("{name:11}{value}\n")).collect();
    for Member { id, address, interface, host_interface } in &network.containers {
        let inside = interface.as_deref().unwrap_or("-");
        text += &format!("{:11}{id}  {address}  {inside}  {host_interface}\n", "container");
    }
    text
}

fn describe(store: &Store, name: &str) -> Result<Network> {
    let record = store.record(name);
    let subnet = record.as_ref().map(|record| record.subnet);
    let member = |lease: store::Lease| {
        let details: Option<Attachment> = store.details(name, &lease);
        Member {
            host_interface: store.port(name, &lease.container).ifname,
            interface: details.map(|it| it.interface),
            id: lease.container,
            address: lease.address,
        }
    };
    let members = store.leases(name)?.into_iter();
    Ok(Network {
        name: name.to_owned(),
        subnet,
        bridge: store.bridge(name).ifname,
        gateway: subnet.map(|subnet| subnet.gateway()),
        mtu: record.as_ref().and_then(|record| record.mtu),
        stage: record.map_or(Stage::Damaged, |record| record.stage),
        containers: members.map(member).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let subnet = Subnet::parse("10.0.0.0/24").unwrap();
        let member = |id: &str, last| Member {
            id: id.into(),
            address: [10, 0, 0, last].into(),
            interface: Some("eth0".into()),
            host_interface: format!("tce{id}"),
        };
        let network = |name: &str, stage, containers| Network {
            name: name.into(),
            subnet: Some(subnet),
            bridge: format!("tce-{name}"),
            gateway: Some(subnet.gateway()),
            mtu: None,
            stage,
            containers,
        };
        let damaged =
            Network { subnet: None, gateway: None, ..network("x", Stage::Damaged, vec![]) };
        let networks = [
            network("web", Stage::Ready, vec![member("a", 2), member("b", 3)]),
            network("empty", Stage::Ready, vec![]),
            damaged,
        ];
        let expected = "\
            NAME   SUBNET       BRIDGE     GATEWAY   CONTAINERS\n\
            web    10.0.0.0/24  tce-web    10.0.0.1  a,b\n\
            empty  10.0.0.0/24  tce-empty  10.0.0.1  -\n\
            x      -            tce-x      -         (half made: tiny-ce network rm x)\n";
        assert_eq!(table(&networks), expected);
    }
}
