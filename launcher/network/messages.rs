//! The rtnetlink messages that are used here: how each is built, and what is read of a reply.
//!
//! Pure: bytes in, values out. Only the attributes that a caller needs are decoded, so attributes
//! of newer kernels are ignored.

use std::net::IpAddr;
use std::os::fd::RawFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NlasIterator};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::names::Mark;
use super::netlink::{Body, NetlinkRequest};
use super::subnet::Subnet;

/// An interface, as RTM_NEWLINK describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Index in its namespace.
    pub index: u32,
    /// `IFF_*`.
    pub flags: u32,
    /// Name.
    pub name: String,
    /// Link-layer address.
    pub mac: Vec<u8>,
    /// Alias, empty if it has none.
    pub alias: String,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Index of the bridge that the interface is a port of; 0 if it is not a port.
    pub master: u32,
}

impl Link {
    /// Whether we made this interface with this mark.
    pub fn is(&self, mark: &Mark) -> bool {
        self.alias == mark.alias || self.alias.is_empty() && self.mac == mark.mac
    }

    /// Read one RTM_NEWLINK.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let header = payload.get(..16)?; // struct ifinfomsg
        let mut link = Link { index: word(header, 4)?, flags: word(header, 8)?, ..Self::default() };
        for (kind, value) in attributes(&payload[16..]) {
            match kind {
                libc::IFLA_IFNAME => link.name = text(value),
                libc::IFLA_ADDRESS => link.mac = value.to_vec(),
                libc::IFLA_IFALIAS => link.alias = text(value),
                libc::IFLA_MTU => link.mtu = word(value, 0)?,
                libc::IFLA_MASTER => link.master = word(value, 0)?,
                _ => {}
            }
        }
        Some(link)
    }
}

/// An address of an interface, as RTM_NEWADDR describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Index of the interface.
    pub index: u32,
    /// Prefix length, in bits.
    pub prefix: u8,
    /// `IFA_F_*`.
    pub flags: u32,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// The address itself.
    pub local: IpAddr,
    /// The peer's address, where it differs.
    pub peer: Option<IpAddr>,
    /// Broadcast address.
    pub broadcast: Option<IpAddr>,
    /// Metric of the route that comes with it (IFA_RT_PRIORITY).
    pub priority: Option<u32>,
}

impl Address {
    /// Read one RTM_NEWADDR; `None` for families other than IPv4 and IPv6.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let header = payload.get(..8)?; // struct ifaddrmsg
        let (mut local, mut address, mut broadcast, mut priority) = (None, None, None, None);
        let mut flags = u32::from(header[2]);
        for (kind, value) in attributes(&payload[8..]) {
            match kind {
                libc::IFA_LOCAL => local = ip(value),
                libc::IFA_ADDRESS => address = ip(value),
                libc::IFA_BROADCAST => broadcast = ip(value),
                libc::IFA_FLAGS => flags = word(value, 0)?,
                IFA_RT_PRIORITY => priority = word(value, 0),
                _ => {}
            }
        }
        // IPv6 has IFA_ADDRESS alone, unless there is a peer (if_addr.h).
        let (local, peer) = match (local, address) {
            (Some(local), peer) => (local, peer.filter(|peer| *peer != local)),
            (None, Some(address)) => (address, None),
            (None, None) => return None,
        };
        let (index, prefix, scope) = (word(header, 4)?, header[1], header[3]);
        Some(Address { index, prefix, flags, scope, local, peer, broadcast, priority })
    }
}

/// IFA_RT_PRIORITY of linux/if_addr.h, Linux 4.18; not in libc.
const IFA_RT_PRIORITY: u16 = 9;

/// A route of the host, as RTM_NEWROUTE describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination; `None` for a default route.
    pub destination: Option<Subnet>,
    /// `RTN_*`.
    pub kind: u8,
    /// Index of the interface, if it has one.
    pub oif: Option<u32>,
}

impl Route {
    /// Read one RTM_NEWROUTE.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let header = payload.get(..12)?; // struct rtmsg
        let (prefix, kind) = (header[1], header[7]);
        let mut route = Route { destination: None, kind, oif: None };
        for (attribute, value) in attributes(&payload[12..]) {
            match attribute {
                libc::RTA_DST => {
                    route.destination = ip(value).map(|to| Subnet::around(to, prefix));
                }
                libc::RTA_OIF => route.oif = word(value, 0),
                _ => {}
            }
        }
        Some(route)
    }
}

/// A bridge that is up, with the name and the address of `mark`; EEXIST if the name is taken.
///
/// A bridge with an explicit MAC address keeps it when ports come and go.
pub fn new_bridge(mark: &Mark, mtu: Option<u32>) -> NetlinkRequest {
    let mut link = link(&mark.ifname);
    up(&mut link);
    link.attributes.extend(mtu.map(LinkAttribute::Mtu));
    link.attributes.push(LinkAttribute::Address(mark.mac.to_vec()));
    link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
    new_link(link)
}

/// A veth pair: one end here, up, a port of the bridge `master`, with the mark `mark`; the other
/// end in the namespace `netns`, with the name `inside` and the MAC address `mac`. The message
/// cannot bring up the other end: veth refuses to open (ENOTCONN) before both ends are connected.
pub fn new_veth(
    mark: &Mark,
    master: u32,
    netns: RawFd,
    inside: &str,
    mac: [u8; 6],
    mtu: Option<u32>,
) -> NetlinkRequest {
    let mut peer = link(inside);
    peer.attributes.extend(mtu.map(LinkAttribute::Mtu));
    peer.attributes.push(LinkAttribute::Address(mac.to_vec()));
    peer.attributes.push(LinkAttribute::NetNsFd(netns));
    let mut link = link(&mark.ifname);
    up(&mut link);
    link.attributes.extend(mtu.map(LinkAttribute::Mtu));
    link.attributes.push(LinkAttribute::Address(mark.mac.to_vec()));
    link.attributes.push(LinkAttribute::Controller(master));
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    new_link(link)
}

/// Give the interface of `mark` its alias: rtnetlink takes none on creation.
pub fn set_alias(mark: &Mark) -> NetlinkRequest {
    let mut link = link(&mark.ifname);
    link.attributes.push(LinkAttribute::IfAlias(mark.alias.clone()));
    NetlinkRequest {
        name: "RTM_SETLINK",
        kind: libc::RTM_SETLINK,
        flags: 0,
        body: Body::Link(link),
    }
}

/// Bring up an interface.
pub fn set_up(index: u32) -> NetlinkRequest {
    let mut link = LinkMessage::default();
    link.header.index = index;
    up(&mut link);
    NetlinkRequest {
        name: "RTM_SETLINK",
        kind: libc::RTM_SETLINK,
        flags: 0,
        body: Body::Link(link),
    }
}

/// Give an interface its largest packet, in bytes.
pub fn set_mtu(index: u32, mtu: u32) -> NetlinkRequest {
    change(index, LinkAttribute::Mtu(mtu))
}

/// Give an interface its MAC address.
pub fn set_mac(index: u32, mac: [u8; 6]) -> NetlinkRequest {
    change(index, LinkAttribute::Address(mac.to_vec()))
}

/// Make an interface a port of the bridge `master`.
pub fn set_master(index: u32, master: u32) -> NetlinkRequest {
    change(index, LinkAttribute::Controller(master))
}

fn change(index: u32, attribute: LinkAttribute) -> NetlinkRequest {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(attribute);
    NetlinkRequest {
        name: "RTM_SETLINK",
        kind: libc::RTM_SETLINK,
        flags: 0,
        body: Body::Link(link),
    }
}

/// Add a permanent neighbour entry: `address` has the MAC address `mac` on this link, and no packet
/// changes the entry.
pub fn new_neighbour(index: u32, address: IpAddr, mac: &[u8]) -> NetlinkRequest {
    let mut message = neighbour(index, address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    let (flags, body) = (NLM_F_CREATE | NLM_F_REPLACE, Body::Neighbour(message));
    NetlinkRequest { name: "RTM_NEWNEIGH", kind: libc::RTM_NEWNEIGH, flags, body }
}

/// Delete the neighbour entry of `address`; ENOENT if there is none.
pub fn delete_neighbour(index: u32, address: IpAddr) -> NetlinkRequest {
    let body = Body::Neighbour(neighbour(index, address));
    NetlinkRequest { name: "RTM_DELNEIGH", kind: libc::RTM_DELNEIGH, flags: 0, body }
}

fn neighbour(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    let destination = match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message
}

/// Move an interface to the namespace `netns`, under the name `name` (which may be `eth%d`).
pub fn move_link(index: u32, netns: RawFd, name: &str) -> NetlinkRequest {
    let mut link = link(name);
    link.header.index = index;
    link.attributes.push(LinkAttribute::NetNsFd(netns));
    NetlinkRequest {
        name: "RTM_SETLINK",
        kind: libc::RTM_SETLINK,
        flags: 0,
        body: Body::Link(link),
    }
}

/// Ask for one interface by name; ENODEV if there is none.
pub fn get_link(name: &str) -> NetlinkRequest {
    let body = Body::Link(link(name));
    NetlinkRequest { name: "RTM_GETLINK", kind: libc::RTM_GETLINK, flags: 0, body }
}

/// Ask for all interfaces; for a dump.
pub fn get_links() -> NetlinkRequest {
    let body = Body::Link(LinkMessage::default());
    NetlinkRequest { name: "RTM_GETLINK", kind: libc::RTM_GETLINK, flags: 0, body }
}

/// Delete an interface; the kernel deletes the other end of a veth pair with it.
pub fn delete_link(index: u32) -> NetlinkRequest {
    let mut link = LinkMessage::default();
    link.header.index = index;
    NetlinkRequest {
        name: "RTM_DELLINK",
        kind: libc::RTM_DELLINK,
        flags: 0,
        body: Body::Link(link),
    }
}

/// Add an address of `subnet` to an interface. IPv6 without duplicate address detection: we assign
/// each address once, and detection would delay its use by a second.
pub fn new_address(index: u32, address: IpAddr, subnet: &Subnet) -> NetlinkRequest {
    let mut flags = 0;
    let mut broadcast = None;
    match address {
        IpAddr::V4(_) => broadcast = subnet.broadcast().map(IpAddr::V4),
        IpAddr::V6(_) => flags = libc::IFA_F_NODAD,
    }
    let prefix = subnet.prefix();
    let (scope, peer, priority) = (libc::RT_SCOPE_UNIVERSE, None, None);
    let local = address;
    add_address(&Address { index, prefix, flags, scope, local, peer, broadcast, priority })
}

/// Add an address with all properties that it had in its former namespace.
pub fn add_address(address: &Address) -> NetlinkRequest {
    let mut message = AddressMessage::default();
    message.header.family = family(address.local);
    message.header.prefix_len = address.prefix;
    message.header.flags = AddressHeaderFlags::from_bits_retain(address.flags as u8);
    message.header.scope = AddressScope::from(address.scope);
    message.header.index = address.index;
    let attributes = &mut message.attributes;
    attributes.push(AddressAttribute::Local(address.local));
    attributes.push(AddressAttribute::Address(address.peer.unwrap_or(address.local)));
    if let Some(IpAddr::V4(broadcast)) = address.broadcast {
        attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if address.flags > u32::from(u8::MAX) {
        let flags = netlink_packet_route::address::AddressFlags::from_bits_retain(address.flags);
        attributes.push(AddressAttribute::Flags(flags));
    }
    if let Some(priority) = address.priority {
        attributes.push(AddressAttribute::RoutePriority(priority));
    }
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    NetlinkRequest {
        name: "RTM_NEWADDR",
        kind: libc::RTM_NEWADDR,
        flags,
        body: Body::Address(message),
    }
}

/// Ask for all addresses of both families; for a dump.
pub fn get_addresses() -> NetlinkRequest {
    let body = Body::Address(AddressMessage::default());
    NetlinkRequest { name: "RTM_GETADDR", kind: libc::RTM_GETADDR, flags: 0, body }
}

/// A default route to `gateway` through the interface.
pub fn new_default_route(index: u32, gateway: IpAddr) -> NetlinkRequest {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(gateway),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    message.attributes.push(RouteAttribute::Gateway(gateway.into()));
    message.attributes.push(RouteAttribute::Oif(index));
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    NetlinkRequest {
        name: "RTM_NEWROUTE",
        kind: libc::RTM_NEWROUTE,
        flags,
        body: Body::Route(message),
    }
}

/// Ask for all routes of both families, in all tables; for a dump.
pub fn get_routes() -> NetlinkRequest {
    let body = Body::Route(RouteMessage::default());
    NetlinkRequest { name: "RTM_GETROUTE", kind: libc::RTM_GETROUTE, flags: 0, body }
}

fn new_link(link: LinkMessage) -> NetlinkRequest {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    NetlinkRequest { name: "RTM_NEWLINK", kind: libc::RTM_NEWLINK, flags, body: Body::Link(link) }
}

fn link(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

fn up(link: &mut LinkMessage) {
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Type and value of each attribute, up to the first that is malformed.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let nla = NlasIterator::new(rest).next()?.ok()?;
        let (kind, length) = (nla.kind(), nla.length() as usize);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}
