//! Forged frames of a container: neither the host nor another container believes them.
//!
//! Each attack is one frame, which a container sends through a packet socket (CAP_NET_RAW). Before
//! and after it, the host and another container show the same routes, addresses and neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ground::{
    Ground, attach, create, everybody, ip, isolated, net, nobody, nothing_left, ping, reach,
    remove, run,
};
use tiny_ce::network::{self, Attachment};
use tiny_ce_test::{Need, probe};

const NEEDS: &[Need] = &[Need::Program("ip"), Need::File("/proc/sys/net/ipv6")];

const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const EVERYBODY: [u8; 6] = [0xff; 6];
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// A MAC address that no interface has.
const ROGUE: [u8; 6] = [2, 0xbd, 0xbd, 0xbd, 0xbd, 0xbd];

fn frame(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn icmp6(from: Ipv6Addr, to: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], body].concat();
    let length = message.len() as u16;
    let ends = [from.octets(), to.octets()].concat();
    let pseudo = [&ends[..], &u32::from(length).to_be_bytes(), &[0, 0, 0, 58], &message].concat();
    message[2..4].copy_from_slice(&checksum(&pseudo));
    [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[58, 255], &ends, &message].concat()
}

fn icmp4(from: Ipv4Addr, to: Ipv4Addr, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], body].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    ipv4(from, to, 1, &message)
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, message: &[u8]) -> Vec<u8> {
    let length = (20 + message.len() as u16).to_be_bytes();
    let start = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    let mut header = [&start[..], &from.octets(), &to.octets()].concat();
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [header, message.to_vec()].concat()
}

/// A router advertisement with a prefix for addresses, a route and an MTU (RFC 4861, 4191).
fn router_advertisement(from: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let bad: Ipv6Addr = "2001:db8:bad::".parse().expect("an address");
    let lifetimes = [0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0];
    let body = [
        &[64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[1, 1],
        &mac,
        &[5, 1, 0, 0, 0, 0, 0x05, 0x14],
        &[3, 4, 64, 0xc0],
        &lifetimes,
        &bad.octets(),
        &[24, 3, 64, 0x08, 0, 0, 0x0e, 0x10],
        &bad.octets(),
    ]
    .concat();
    icmp6(from, "ff02::1".parse().expect("an address"), 134, &body)
}

/// An ARP packet that claims an address: to one host or all, as a question or an answer.
fn arp(operation: u8, address: Ipv4Addr, mac: [u8; 6], asked: Ipv4Addr) -> Vec<u8> {
    let start = [0, 1, 8, 0, 6, 4, 0, operation];
    [&start[..], &mac, &address.octets(), &EVERYBODY, &asked.octets()].concat()
}

/// A neighbour advertisement that overrides the known address (RFC 4861, 4.4).
fn advertisement(from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    icmp6(from, to, 136, &[&[0x20, 0, 0, 0][..], &target.octets(), &[2, 1], &mac].concat())
}

fn v4(address: IpAddr) -> Ipv4Addr {
    address.to_string().parse().expect("IPv4")
}

fn v6(address: IpAddr) -> Ipv6Addr {
    address.to_string().parse().expect("IPv6")
}

/// The link-local address of a MAC address (RFC 4291).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let low = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&[0xfe, 0x80]);
    bytes[8..].copy_from_slice(&low);
    bytes.into()
}

/// The MAC address of an interface on the host, or in a container.
fn mac_of(namespace: Option<&str>, interface: &str) -> [u8; 6] {
    let shown = ip_of(namespace, &["-brief", "link", "show", "dev", interface]);
    let text = shown.split_whitespace().nth(2).expect("a MAC address");
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("two digits"));
    bytes.collect::<Vec<u8>>().try_into().expect("six bytes")
}

/// ip(8), on the host or in a container's namespace.
#[track_caller]
fn ip_of(namespace: Option<&str>, words: &[&str]) -> String {
    let mut line = vec!["ip"];
    line.extend(namespace.iter().flat_map(|name| ["-n", name]));
    line.extend(words);
    run(&line)
}

/// Send a frame from inside a container.
#[track_caller]
fn send(from: &Attachment, frame: &[u8]) {
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    let probe = probe().to_str().expect("UTF-8");
    let seen = run(&["nsenter", &net(from), probe, "send-frame", "eth0", &hex]);
    assert!(seen.contains("send-frame eth0: ok\n"), "{seen}");
}

/// Routes, addresses and neighbours, without what changes by itself: the freshness of a neighbour.
fn seen(namespace: Option<&str>, far: &str, attacker: &str) -> String {
    let ip = |words: &[&str]| ip_of(namespace, words);
    let routes = ["-4", "-6"].map(|family| ip(&[family, "route", "show", "table", "all"]));
    // The kernel keeps a redirect as an exception of a route.
    let cached = namespace.map(|_| ip(&["route", "get", far])).unwrap_or_default();
    let addresses = ip(&["address"]);
    let neighbours = ip(&["neighbour", "show", "nud", "all"]);
    // A link-local address that nobody has may get a neighbour entry, as from any first packet.
    let new = format!("{} dev", link_local(ROGUE));
    let mut neighbours: Vec<String> = neighbours
        .lines()
        .filter(|line| line.contains("lladdr") && !line.contains("dev lo"))
        .filter(|line| !line.starts_with("ff02:") && !line.starts_with("224."))
        .filter(|line| !line.starts_with(&new) && !line.contains(attacker))
        .map(|line| match line.rsplit_once(' ') {
            Some((start, "PERMANENT")) => format!("{start} for good"),
            Some((start, _)) => start.to_owned(),
            None => line.to_owned(),
        })
        .collect();
    neighbours.sort();
    format!("{}{cached}{addresses}{}", routes.concat(), neighbours.join("\n"))
}

/// Check that no frame changes anything, on the host or in the other container.
#[track_caller]
fn nobody_believes(attacker: &Attachment, sibling: &str, attacks: &[(&str, Vec<u8>)]) {
    // An address beyond the gateway.
    let far = if attacker.gateway.is_ipv4() { "192.0.2.99" } else { "2001:db8::99" };
    // The attacker's claims about its own addresses are true.
    let mac = mac_of(Some(&attacker.container), "eth0").map(|byte| format!("{byte:02x}"));
    let seen = |place| seen(place, far, &mac.join(":"));
    let places = [None, Some(sibling)];
    let before = places.map(seen);
    for (what, frame) in attacks {
        send(attacker, frame);
        // The ping arrives after the frame, so the frame has been handled by then.
        if attacker.gateway.is_ipv4() {
            ping(attacker, attacker.gateway);
        }
        for (place, before) in places.iter().zip(&before) {
            let after = seen(*place);
            assert_eq!(&after, before, "{what}, at {place:?}");
        }
    }
}

#[test]
fn nobody_on_an_ipv4_network_believes_a_container() {
    isolated(NEEDS, |_: &Ground| {
        create("web", "10.0.0.0/24");
        let (c, b, a) = (attach("web", "c"), attach("web", "b"), attach("web", "a"));
        let third = v4(c.address);
        ping(&a, b.address);
        ping(&b, b.gateway);
        ping(&b, a.address);
        let inside = |name| mac_of(Some(name), "eth0");
        let (mac_a, mac_b, mac_host) = (inside("a"), inside("b"), mac_of(None, "tce-web"));
        let (mine, victim, gateway) = (v4(a.address), v4(b.address), v4(a.gateway));
        let (ours, theirs) = (link_local(mac_a), link_local(mac_b));
        let far: Ipv4Addr = "192.0.2.99".parse().expect("an address");
        let nodes: Ipv6Addr = "ff02::1".parse().expect("an address");
        // The victim has sent this echo request to a far address; a redirect quotes it.
        let sent = ipv4(victim, far, 1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        let redirect = icmp4(gateway, victim, 5, 1, &[&mine.octets()[..], &sent].concat());
        let sent = ipv4(gateway, victim, 1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        let astray = icmp4(victim, gateway, 5, 1, &[&mine.octets()[..], &sent].concat());
        let to_all = |kind, payload: &[u8]| {
            frame(if kind == ARP { EVERYBODY } else { ALL_NODES }, mac_a, kind, payload)
        };
        let nobody_has: Ipv4Addr = "10.0.0.200".parse().expect("an address");
        nobody_believes(
            &a,
            "b",
            &[
                ("a router", to_all(IPV6, &router_advertisement(ours, mac_a))),
                ("a false router", to_all(IPV6, &router_advertisement(link_local(ROGUE), ROGUE))),
                ("a redirect to a sibling", frame(mac_b, mac_a, IPV4, &redirect)),
                ("a redirect to the host", frame(mac_host, mac_a, IPV4, &astray)),
                ("a gratuitous request", to_all(ARP, &arp(1, victim, ROGUE, victim))),
                ("a gratuitous answer", to_all(ARP, &arp(2, victim, ROGUE, victim))),
                ("the gateway's", to_all(ARP, &arp(2, gateway, ROGUE, gateway))),
                ("nobody's", to_all(ARP, &arp(2, nobody_has, ROGUE, nobody_has))),
                ("to a sibling", frame(mac_b, mac_a, ARP, &arp(2, gateway, ROGUE, victim))),
                ("asking a sibling", frame(mac_b, mac_a, ARP, &arp(1, gateway, ROGUE, victim))),
                ("to the host", frame(mac_host, mac_a, ARP, &arp(2, victim, ROGUE, gateway))),
                ("a third one's", frame(mac_b, mac_a, ARP, &arp(2, third, ROGUE, victim))),
                ("asking as a third", frame(mac_b, mac_a, ARP, &arp(1, third, ROGUE, victim))),
                ("asking the host", frame(mac_host, mac_a, ARP, &arp(1, victim, ROGUE, gateway))),
                ("a neighbour", to_all(IPV6, &advertisement(ours, nodes, theirs, ROGUE))),
            ],
        );
        remove("web", nobody);
        nothing_left();
    });
}

#[test]
fn nobody_on_an_ipv6_network_believes_a_container() {
    isolated(NEEDS, |_: &Ground| {
        create("six", "fd00:ce::/64");
        let (b, c, a) = (attach("six", "b"), attach("six", "c"), attach("six", "a"));
        let inside = |name| mac_of(Some(name), "eth0");
        let (mac_a, mac_b, mac_host) = (inside("a"), inside("b"), mac_of(None, "tce-six"));
        let (victim, gateway) = (v6(b.address), v6(a.gateway));
        let (ours, host) = (link_local(mac_a), link_local(mac_host));
        let nodes: Ipv6Addr = "ff02::1".parse().expect("an address");
        let far: Ipv6Addr = "2001:db8::99".parse().expect("an address");
        let sent = icmp6(victim, far, 128, &[0, 0, 0, 0]);
        let option = [&[4, 7, 0, 0, 0, 0, 0, 0][..], &sent, &[0; 4]].concat();
        let body = [&[0; 4][..], &ours.octets(), &far.octets(), &option].concat();
        let redirect = |from, to| icmp6(from, to, 137, &body);
        let to_all = |payload: &[u8]| frame(ALL_NODES, mac_a, IPV6, payload);
        let says = |to, target| advertisement(ours, to, target, ROGUE);
        nobody_believes(
            &a,
            "b",
            &[
                ("a router", to_all(&router_advertisement(ours, mac_a))),
                ("a false router", to_all(&router_advertisement(link_local(ROGUE), ROGUE))),
                ("a router as the host", to_all(&router_advertisement(host, mac_a))),
                ("a redirect to a sibling", frame(mac_b, mac_a, IPV6, &redirect(host, victim))),
                ("a redirect to the host", frame(mac_host, mac_a, IPV6, &redirect(host, gateway))),
                ("the gateway's, to all", to_all(&says(nodes, gateway))),
                ("a sibling's, to all", to_all(&says(nodes, victim))),
                ("the gateway's", frame(mac_b, mac_a, IPV6, &says(victim, gateway))),
                ("a third one's", frame(mac_b, mac_a, IPV6, &says(victim, v6(c.address)))),
                ("a sibling's", frame(mac_host, mac_a, IPV6, &says(gateway, victim))),
            ],
        );
        remove("six", nobody);
        nothing_left();
    });
}

/// Another program may have changed the bridge or its ports: attaching restores them.
#[test]
fn attaching_repairs_the_bridge_and_its_ports() {
    isolated(NEEDS, |_: &Ground| {
        create("web", "10.0.0.0/24");
        let a = attach("web", "a");
        let damages: [&[&str]; 6] = [
            &["ip", "link", "set", "tce-web", "down"],
            &["ip", "address", "flush", "dev", "tce-web"],
            &["ip", "link", "set", "tce-web", "address", "02:00:00:00:00:01"],
            &["ip", "link", "set", &a.host_interface, "nomaster"],
            &["ip", "link", "delete", "tce-web"],
            &["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/tce-web/accept_ra"],
        ];
        for damage in damages {
            run(damage);
            let b = attach("web", "b");
            reach(&a, b.address);
            reach(&b, a.gateway);
            reach(&a, a.gateway);
            let believes = run(&["cat", "/proc/sys/net/ipv6/conf/tce-web/accept_ra"]);
            assert_eq!(believes, "0\n", "{damage:?}");
            network::detach(crate::ground::ROOT.as_ref(), &b).expect("detached");
        }
        remove("web", nobody);
        nothing_left();
    });
}

/// Parameters that cannot be set cause one error that names the file, and leave nothing behind;
/// parameters with the right value need no write.
#[test]
fn unwritable_parameters_are_one_error() {
    isolated(NEEDS, |ground| {
        let refused = |error: tiny_ce::Error, parts: &[&str]| {
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        let web = crate::ground::request("web", "10.0.0.0/24");
        create("old", "10.1.0.0/24");
        run(&["mount", "--bind", "/proc/sys", "/proc/sys"]);
        run(&["mount", "-o", "remount,bind,ro", "/proc/sys"]);
        let parts = ["/proc/sys/net/ipv6/conf/tce-web/accept_ra = 0: open(2): EROFS", "remount,rw"];
        refused(network::create(ground.root(), &web).unwrap_err(), &parts);
        let error = network::attach(ground.root(), "old", "a", &everybody).unwrap_err();
        refused(error, &["network \"old\": interface tce", "EROFS"]);
        run(&["umount", "/proc/sys"]);
        // A hidden parameter is not taken for an absent one.
        run(&["mount", "-t", "tmpfs", "tmpfs", "/proc/sys/net/ipv6"]);
        let parts = ["/proc/sys/net/ipv6/conf/tce-web is missing"];
        refused(network::create(ground.root(), &web).unwrap_err(), &parts);
        run(&["umount", "/proc/sys/net/ipv6"]);
        remove("old", everybody);
        nothing_left();
    });
}

/// A link-local IPv6 address must not make the host reachable on an IPv4 network.
#[test]
fn the_host_has_no_ipv6_on_an_ipv4_network() {
    isolated(NEEDS, |_: &Ground| {
        create("web", "10.0.0.0/24");
        let a = attach("web", "a");
        for interface in ["tce-web", &a.host_interface] {
            assert_eq!(run(&["ip", "-6", "address", "show", "dev", interface]), "");
        }
        assert_eq!(a.address, ip("10.0.0.2"));
        remove("web", nobody);
        nothing_left();
    });
}

/// Defaults of the host for new interfaces with which an interface would believe its link, or would
/// answer for others.
const PERMISSIVE: [(&str, &str, &str); 15] = [
    ("ipv6", "accept_ra", "2"),
    ("ipv6", "autoconf", "1"),
    ("ipv6", "accept_redirects", "1"),
    ("ipv6", "accept_source_route", "0"),
    ("ipv6", "accept_dad", "2"),
    ("ipv6", "drop_unsolicited_na", "0"),
    ("ipv6", "proxy_ndp", "1"),
    ("ipv4", "accept_redirects", "1"),
    ("ipv4", "accept_source_route", "1"),
    ("ipv4", "arp_accept", "1"),
    ("ipv4", "drop_gratuitous_arp", "0"),
    ("ipv4", "proxy_arp", "1"),
    ("ipv4", "proxy_arp_pvlan", "1"),
    ("ipv4", "bootp_relay", "1"),
    ("ipv4", "rp_filter", "2"),
];

/// The bridge, the port and the interface inside have values of their own.
#[test]
fn permissive_defaults_of_the_host_are_not_inherited() {
    isolated(NEEDS, |_: &Ground| {
        let file = |family: &str, interface: &str, name: &str| {
            format!("/proc/sys/net/{family}/conf/{interface}/{name}")
        };
        for (family, name, value) in PERMISSIVE {
            std::fs::write(file(family, "default", name), value).expect("a parameter");
        }
        create("web", "10.0.0.0/24");
        let (a, b) = (attach("web", "a"), attach("web", "b"));
        ping(&b, a.address);
        for (family, name, value) in PERMISSIVE {
            for interface in ["tce-web", &a.host_interface] {
                let found = run(&["cat", &file(family, interface, name)]);
                assert_ne!(found.trim(), value, "{family} {name} of {interface}");
            }
            // Inside, rp_filter is left as it is: all packets come through the only interface.
            if name != "rp_filter" {
                let found = run(&["nsenter", &net(&a), "cat", &file(family, "eth0", name)]);
                assert_ne!(found.trim(), value, "{family} {name} inside");
            }
        }
        let mac = mac_of(Some("a"), "eth0");
        let router = router_advertisement(link_local(mac), mac);
        let victim = v4(b.address);
        nobody_believes(
            &a,
            "b",
            &[
                ("a router", frame(ALL_NODES, mac, IPV6, &router)),
                ("a gratuitous answer", frame(EVERYBODY, mac, ARP, &arp(2, victim, ROGUE, victim))),
            ],
        );
        remove("web", nobody);
        nothing_left();
    });
}
