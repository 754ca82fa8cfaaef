//! Networks that are created, used, contended for, refused.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Barrier;

use crate::ground::{
    attach, create, detach, everybody, interfaces, ip, isolated, names_in, nobody, nothing_left,
    only, ping, remove, request, run,
};
use tiny_ce::network::{self, Attachment, Stage};
use tiny_ce_test::{Need, PATIENCE};

/// To compare with iproute2, or to do what an administrator would do.
const IP: &[Need] = &[Need::Program("ip")];

#[test]
fn two_containers_reach_each_other_and_the_bridge() {
    isolated(&[], |ground| {
        if ground.phase() == Some("in a") {
            assert_eq!(interfaces(), ["eth0", "lo"]);
            let stats = network::interface_stats(std::process::id() as i32).expect("counters");
            assert_eq!(stats.len(), 1);
            assert_eq!(stats[0].name, "eth0");
            assert!(stats[0].tx_packets >= 22 && stats[0].rx_bytes > 22 * 8, "{stats:?}");
            return;
        }
        let made = create("web", "10.0.0.0/24");
        assert_eq!((made.bridge.as_str(), made.stage), ("tce-web", Stage::Ready));
        let a = attach("web", "a");
        let b = attach("web:10.0.0.77", "b");
        assert_eq!((a.address, b.address), (ip("10.0.0.2"), ip("10.0.0.77")));
        assert_eq!(a.netns, Path::new("/var/run/netns/a"));
        ping(&a, b.address);
        ping(&b, a.address);
        ping(&a, a.gateway);
        // The attachment reads back from the container's state unchanged.
        let text = serde_json::to_string(&a).expect("JSON");
        assert_eq!(serde_json::from_str::<Attachment>(&text).expect("an attachment"), a);
        ground.inside(&a, "in a");
        let table = network::table(&network::list(ground.root()).expect("a list"));
        assert!(table.contains("web   10.0.0.0/24  tce-web  10.0.0.1  a,b\n"), "{table}");
        detach(&a);
        detach(&a);
        detach(&b);
        remove("web", everybody);
        nothing_left();
    });
}

#[test]
fn ipv6_subnets_work_alike() {
    isolated(&[Need::File("/proc/sys/net/ipv6")], |ground| {
        let (a, b) = (ip("fd00:ce::2"), ip("fd00:ce::b"));
        match ground.phase() {
            Some("answer in b") => {
                let socket = patient(b, 7);
                println!("ready");
                let (length, from) = socket.recv_from(&mut [0; 16]).expect("a datagram");
                assert_eq!(length, 5);
                socket.send_to(b"world", from).expect("a way back");
            }
            Some("ask in a") => {
                let socket = patient(a, 0);
                socket.send_to(b"hello", (b, 7)).expect("a way to b");
                assert_eq!(socket.recv(&mut [0; 16]).expect("an answer"), 5);
                // There is no answer, but the default route makes the send succeed.
                socket.send_to(b"hello", "[2001:db8::1]:9").expect("a default route");
            }
            _ => {
                create("six", "fd00:ce::/64");
                let (first, second) = (attach("six", "a"), attach("six:fd00:ce::b", "b"));
                assert_eq!((first.address, second.address), (a, b));
                let mut answering = ground.beside(&second, "answer in b");
                let stdout = answering.stdout.take().expect("a pipe");
                let mut lines = BufReader::new(stdout).lines();
                assert!(lines.any(|line| line.expect("a line").contains("ready")));
                ground.inside(&first, "ask in a");
                assert!(lines.last().is_some() && answering.wait().expect("its end").success());
                network::detach_container(ground.root(), "a").expect("a is gone");
                network::detach_container(ground.root(), "b").expect("b is gone");
                remove("six", everybody);
                nothing_left();
            }
        }
    });
}

fn patient(address: IpAddr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((address, port)).expect("the address is here, and usable");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

#[test]
fn a_hundred_at_once_get_a_hundred_addresses() {
    isolated(&[], |_| {
        create("web", "10.0.0.0/24");
        let ready = Barrier::new(100);
        let one = |id: String| {
            ready.wait();
            attach("web", &id)
        };
        let attachments: Vec<Attachment> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..100).map(|n| scope.spawn(move || one(format!("c{n}")))).collect();
            threads.into_iter().map(|thread| thread.join().expect("attached")).collect()
        });
        let addresses: BTreeSet<IpAddr> = attachments.iter().map(|a| a.address).collect();
        assert_eq!(addresses.len(), 100);
        let expected = ip("10.0.0.2")..=ip("10.0.0.101");
        assert!(addresses.iter().all(|address| expected.contains(address)), "{addresses:?}");
        assert_eq!(only().containers.len(), 100);
        ping(&attachments[0], attachments[99].address);
        std::thread::scope(|scope| {
            for attachment in &attachments {
                scope.spawn(|| detach(attachment));
            }
        });
        remove("web", everybody);
        nothing_left();
    });
}

#[test]
fn a_hundred_creates_of_one_network_have_one_winner() {
    isolated(&[], |ground| {
        let request = request("web", "10.0.0.0/24");
        let winners = |one: &(dyn Fn() -> bool + Sync)| -> usize {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..100).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|t| usize::from(t.join().expect("no panic"))).sum()
            })
        };
        assert_eq!(winners(&|| network::create(ground.root(), &request).is_ok()), 1);
        assert_eq!(winners(&|| network::remove(ground.root(), "web", &everybody).is_ok()), 1);
        nothing_left();
    });
}

#[test]
fn unavailable_addresses_are_refused() {
    isolated(&[], |ground| {
        create("web", "10.0.0.0/30");
        let refused = |request: &str, why: &str| {
            let error = network::attach(ground.root(), request, "late", &everybody).unwrap_err();
            assert!(error.to_string().contains(why), "{request}: {error}");
        };
        refused("web:10.0.0.0", "10.0.0.0 is the network address of 10.0.0.0/30");
        refused("web:10.0.0.1", "10.0.0.1 is the gateway address of 10.0.0.0/30");
        refused("web:10.0.0.3", "10.0.0.3 is the broadcast address of 10.0.0.0/30");
        refused("web:10.0.0.4", "10.0.0.4 is not in the subnet 10.0.0.0/30");
        refused("web:10.0.0", "\"10.0.0\" is not an IP address");
        refused("wob", "network \"wob\": does not exist");
        let early = attach("web", "early");
        refused("web:10.0.0.2", "10.0.0.2 is in use by container \"early\"");
        refused("web", "no address of 10.0.0.0/30 is free");
        assert_eq!(names_in("/run/netns"), ["early"]);
        // A refused attach changes nothing, and a free address can be used again.
        detach(&early);
        assert_eq!(attach("web:10.0.0.2", "late").address, ip("10.0.0.2"));
        // When its state directory is gone, a container's lease is free.
        let alive = |id: &str| id != "late";
        let third = network::attach(ground.root(), "web", "third", &alive).expect("an address");
        assert_eq!(third.address, ip("10.0.0.2"));
        assert_eq!(names_in("/run/netns"), ["third"]);
        // The same on any network to which the container returns.
        create("other", "10.0.1.0/24");
        assert_eq!(attach("other", "third").address, ip("10.0.1.2"));
        assert_eq!(attach("web", "fourth").address, ip("10.0.0.2"));
        remove("other", nobody);
        remove("web", nobody);
        nothing_left();
    });
}

#[test]
fn a_network_in_use_is_not_removed() {
    isolated(&[], |ground| {
        create("web", "10.0.0.0/24");
        let (a, b) = (attach("web", "a"), attach("web", "b"));
        let refused = |why: &str| {
            let error = network::remove(ground.root(), "web", &everybody).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        };
        refused("network \"web\": is in use by containers a, b");
        ping(&a, b.address);
        detach(&a);
        refused("network \"web\": is in use by container b");
        detach(&b);
        remove("web", everybody);
        refused("network \"web\": does not exist");
        nothing_left();
    });
}

#[test]
fn taken_subnets_and_names_are_refused() {
    isolated(&[], |ground| {
        create("web", "10.0.0.0/24");
        let refused = |root: &Path, name: &str, subnet: &str, why: &str| {
            let error = network::create(root, &request(name, subnet)).unwrap_err();
            assert!(error.to_string().contains(why), "{name}: {error}");
        };
        let (root, other) = (ground.root(), Path::new("/run/other"));
        refused(root, "web", "10.9.0.0/24", "exists already, with subnet 10.0.0.0/24");
        refused(root, "b", "10.0.0.128/25", "overlaps 10.0.0.0/24 of network \"web\"");
        refused(root, "a/b", "10.9.0.0/24", "byte 2 is '/'");
        // Another state root does not know the network, but the host has its address.
        let why = "overlaps 10.0.0.1/24, the host's address on tce-web";
        refused(other, "b", "10.0.0.0/16", why);
        refused(other, "web", "10.9.0.0/24", "an interface tce-web (\"tiny-ce network web");
        let error = network::remove(other, "web", &everybody).unwrap_err();
        assert!(error.to_string().contains("does not exist"), "{error}");
        assert_eq!(names_in(other), [""; 0]);
        assert_eq!(interfaces(), ["lo", "tce-web"]);
        remove("web", everybody);
        nothing_left();
    });
}

#[test]
fn subnets_with_a_route_on_the_host_are_refused() {
    isolated(IP, |ground| {
        create("web", "10.0.0.0/24");
        let refused = |subnet: &str, why: &str| {
            let error = network::create(ground.root(), &request("b", subnet)).unwrap_err();
            assert!(error.to_string().contains(why), "{subnet}: {error}");
        };
        let had = |subnet: &str| {
            create("b", subnet);
            remove("b", everybody);
        };
        run(&["ip", "route", "add", "unreachable", "172.20.0.0/16"]);
        refused("172.20.0.0/16", "overlaps the host's route to 172.20.0.0/16");
        run(&["ip", "route", "add", "192.168.7.0/24", "via", "10.0.0.9"]);
        let why = "overlaps the host's route to 192.168.7.0/24 through tce-web";
        refused("192.168.0.0/16", why);
        // The subnet is part of a wider route: the longer prefix wins, so it is accepted.
        run(&["ip", "route", "add", "10.0.0.0/8", "via", "10.0.0.9"]);
        for subnet in ["172.20.7.0/24", "192.168.7.128/25", "10.7.0.0/16"] {
            had(subnet);
        }
        // Default routes, and the halves of the address space that a VPN routes, reserve no subnet.
        let via = ["via", "10.0.0.9"];
        for route in ["default", "0.0.0.0/1", "128.0.0.0/1", "160.0.0.0/5"] {
            run(&[&["ip", "route", "add", route][..], &via].concat());
        }
        had("192.0.2.0/24");
        had("172.16.0.0/24");
        remove("web", everybody);
        nothing_left();
    });
}

#[test]
fn ipv6_subnets_with_a_route_on_the_host_are_refused() {
    isolated(&[Need::Program("ip"), Need::File("/proc/sys/net/ipv6")], |ground| {
        create("web", "fd00:ce::/64");
        for route in ["::/1", "8000::/1", "2000::/3", "fd00:1::/32"] {
            run(&["ip", "-6", "route", "add", route, "via", "fd00:ce::9"]);
        }
        for subnet in ["2001:db8::/64", "fd00:2::/64", "fd00:1:2::/64"] {
            create("b", subnet);
            remove("b", everybody);
        }
        let error = network::create(ground.root(), &request("b", "fd00::/16")).unwrap_err();
        assert!(error.to_string().contains("overlaps fd00:ce::/64 of network"), "{error}");
        remove("web", everybody);
        nothing_left();
    });
}

#[test]
fn the_mtu_is_that_of_all_interfaces() {
    isolated(IP, |ground| {
        let asked = network::NewNetwork { mtu: Some(1400), ..request("web", "10.0.0.0/24") };
        network::create(ground.root(), &asked).expect("a network");
        assert_eq!(only().mtu, Some(1400));
        let (a, b) = (attach("web", "a"), attach("web", "b"));
        run(&["ip", "link", "set", "tce-web", "mtu", "9000"]);
        let c = attach("web", "c");
        let has = |words: &[&str]| {
            let shown = run(&[&["ip"], words].concat());
            assert!(shown.contains(" mtu 1400 "), "{words:?}: {shown}");
        };
        for interface in ["tce-web", &a.host_interface, &c.host_interface] {
            has(&["link", "show", "dev", interface]);
        }
        has(&["-n", "b", "link", "show", "dev", "eth0"]);
        ping(&a, b.address);
        remove("web", nobody);
        nothing_left();
    });
}

#[test]
fn a_namespace_of_that_name_is_left_alone() {
    isolated(IP, |ground| {
        create("web", "10.0.0.0/24");
        run(&["ip", "netns", "add", "a"]);
        let error = network::attach(ground.root(), "web", "a", &everybody).unwrap_err();
        let why = "/var/run/netns/a: a network namespace of this name exists already";
        assert!(error.to_string().contains(why), "{error}");
        network::detach_container(ground.root(), "a").expect("nothing to do");
        // The test deletes our namespace, and makes another one of the same name: detach leaves
        // that one.
        let (b, c) = (attach("web", "b"), attach("web", "c"));
        run(&["ip", "netns", "del", "b"]);
        fs::write("/run/netns/b", "").expect("a file");
        run(&["mount", "--bind", "/run/netns/c", "/run/netns/b"]);
        detach(&b);
        let which = |path: &str| fs::metadata(path).map(|m| (m.dev(), m.ino())).expect(path);
        assert_eq!(which("/run/netns/b"), which("/run/netns/c"));
        assert_eq!(only().containers.len(), 1);
        detach(&c);
        assert_eq!(names_in("/run/netns"), ["a", "b"]);
        assert_eq!(interfaces(), ["lo", "tce-web"]);
    });
}

#[test]
fn half_made_and_damaged_networks_can_be_removed() {
    isolated(&[], |ground| {
        let directory = ground.root().join(".network/web");
        for (record, stage) in [
            (None, Stage::Damaged),
            (Some(""), Stage::Damaged),
            (Some("{\"name\":\"web\""), Stage::Damaged),
            (Some(r#"{"name":"web","subnet":"10.0.0.1/24","stage":"ready"}"#), Stage::Damaged),
            (Some(r#"{"name":"web","subnet":"10.0.0.0/24","stage":"creating"}"#), Stage::Creating),
            (Some(r#"{"name":"web","subnet":"10.0.0.0/24","stage":"removing"}"#), Stage::Removing),
        ] {
            fs::create_dir_all(&directory).expect("a directory");
            if let Some(text) = record {
                fs::write(directory.join("network.json"), text).expect("a file");
            }
            assert_eq!(only().stage, stage);
            let create = network::create(ground.root(), &request("web", "10.0.0.0/24"));
            let attach = network::attach(ground.root(), "web", "a", &everybody);
            for error in [create.unwrap_err(), attach.unwrap_err()] {
                let text = error.to_string();
                assert!(text.contains("is half made"), "{record:?}: {text}");
                assert!(text.contains("hint: clear it away with \"tiny-ce network rm web\""));
            }
            remove("web", everybody);
            nothing_left();
        }
    });
}

#[test]
fn a_damaged_lease_is_undone_by_its_name() {
    isolated(&[], |ground| {
        create("web", "10.0.0.0/24");
        attach("web", "a");
        let lease = ground.root().join(".network/web/leases/10.0.0.2@a");
        fs::write(lease, "").expect("the lease");
        network::detach_container(ground.root(), "a").expect("a is gone");
        remove("web", everybody);
        nothing_left();
    });
}

#[test]
fn a_reboot_takes_the_bridge_and_not_the_network() {
    isolated(&[], |ground| {
        if ground.phase() == Some("rebooted") {
            assert_eq!(interfaces(), ["lo"]);
            let (a, b) = (attach("web", "a"), attach("web", "b"));
            ping(&a, b.address);
            return remove("web", nobody);
        }
        create("web", "10.0.0.0/24");
        // What an earlier boot left is not touched, since names and numbers may belong to others
        // now.
        let a = attach("web", "a");
        detach(&Attachment { boot_id: "another boot".into(), ..a.clone() });
        assert_eq!(names_in("/run/netns"), ["a"]);
        assert_eq!(only().containers, []);
        detach(&a);
        // A host without interfaces, but with the state root.
        ground.again(&["unshare", "--net"], "rebooted");
        assert_eq!(names_in(ground.root()), [""; 0]);
    });
}

#[test]
fn devices_move_with_their_addresses() {
    isolated(IP, |ground| {
        let place = "linux.netDevices[\"eth0\"]";
        let target = File::open("/run/netns/b");
        let moved = |device: &str, name: Option<&str>| {
            let target = target.as_ref().expect("b's namespace").as_fd();
            network::move_device(place, device, name, target)
        };
        if ground.phase() == Some("from a") {
            // In a's namespace, its eth0 is a device like any, with a permanent address.
            let taken = moved("eth0", None).unwrap_err().to_string();
            assert!(taken.contains("has a \"eth0\" already"), "{taken}");
            assert_eq!(moved("eth0", Some("eth%d")).expect("moved"), "eth1");
            return assert_eq!(interfaces(), ["lo"]);
        }
        create("web", "10.0.0.0/24");
        let (a, b) = (attach("web", "a"), attach("web", "b"));
        run(&["ip", "-n", "a", "address", "add", "fd00::7/64", "dev", "eth0"]);
        run(&["ip", "-n", "a", "address", "add", "192.0.2.9/24", "dev", "eth0", "scope", "link"]);
        let away = |phase: &str, target: &Path| -> String {
            let target = File::open(target).expect("a namespace");
            network::move_device(place, phase, None, target.as_fd()).unwrap_err().to_string()
        };
        let text = away("tce-web", &b.netns);
        assert!(text.starts_with(&format!("{place}: RTM_SETLINK: EINVAL")), "{text}");
        let text = away("eth9", &b.netns);
        assert!(text.contains("the host has no network interface \"eth9\""), "{text}");
        let text = away(&a.host_interface, Path::new("/"));
        assert!(text.contains(&format!("{place}: is not a network namespace")), "{text}");
        ground.inside(&a, "from a");
        let shown = run(&["ip", "-n", "b", "-brief", "address", "show", "dev", "eth1"]);
        assert!(shown.contains(" 10.0.0.2/24 fd00::7/64 "), "{shown}");
        assert!(!shown.contains("192.0.2.9"), "{shown}");
        // The flag: the state of the link follows it when the kernel has looked at the other end.
        let link = run(&["ip", "-n", "b", "-brief", "link", "show", "dev", "eth1"]);
        assert!(link.contains(",UP"), "{link}");
        remove("web", nobody);
        nothing_left();
    });
}

#[test]
fn loopback_comes_up() {
    isolated(&[], |ground| {
        let reach = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.send_to(b"x", socket.local_addr().expect("its address"))
        };
        if let Some(netns) = ground.phase() {
            // Only inside that namespace, although the caller is in another.
            let netns = File::open(netns).expect("a namespace");
            network::loopback_up("linux.namespaces", netns.as_fd()).expect("up");
            return assert!(reach().is_err());
        }
        assert!(reach().is_err());
        let netns = format!("/proc/{}/ns/net", std::process::id());
        ground.again(&["unshare", "--net"], &netns);
        assert_eq!(reach().expect("loopback"), 1);
        let root = File::open("/").expect("a directory");
        let error = network::loopback_up("linux.namespaces", root.as_fd()).unwrap_err();
        let why = "linux.namespaces: is not a network namespace";
        assert!(error.to_string().contains(why), "{error}");
    });
}

#[test]
fn ip_sees_what_we_made() {
    isolated(IP, |_| {
        create("web", "10.0.0.0/24");
        let a = attach("web", "a");
        assert!(run(&["ip", "netns", "list"]).split_whitespace().any(|word| word == "a"));
        let shows = |words: &[&str], parts: &[&str]| {
            let shown = run(words);
            for part in parts {
                assert!(shown.contains(part), "{words:?}: {part}: {shown}");
            }
        };
        let address = r#""local":"10.0.0.2","prefixlen":24,"broadcast":"10.0.0.255","#;
        let mac = r#""address":"02:ce:0a:00:00:02""#;
        // Of the flags: the kernel tells the state of a link later.
        let up = r#""MULTICAST","UP""#;
        shows(&["ip", "-n", "a", "-j", "address", "show", "dev", "eth0"], &[address, mac, up]);
        let local = r#""local":"127.0.0.1""#;
        shows(&["ip", "-n", "a", "-j", "address", "show", "dev", "lo"], &[local]);
        let default = r#"{"dst":"default","gateway":"10.0.0.1","dev":"eth0""#;
        shows(&["ip", "-n", "a", "-j", "route"], &[default]);
        let alias = r#""ifalias":"tiny-ce network web ("#;
        shows(&["ip", "-j", "link", "show", "dev", "tce-web"], &[alias]);
        let (master, alias) =
            (r#""master":"tce-web""#, r#""ifalias":"tiny-ce container a on web ("#);
        shows(&["ip", "-j", "link", "show", "dev", &a.host_interface], &[master, alias]);
        // Namespaces that iproute2 made and ours coexist.
        run(&["ip", "netns", "add", "theirs"]);
        assert_eq!(names_in("/run/netns"), ["a", "theirs"]);
        detach(&a);
        assert_eq!(names_in("/run/netns"), ["theirs"]);
        run(&["ip", "netns", "del", "theirs"]);
        // If an administrator deletes our interfaces and namespaces, detach and remove still work.
        let b = attach("web", "b");
        run(&["ip", "netns", "del", "b"]);
        run(&["ip", "link", "del", "tce-web"]);
        detach(&b);
        remove("web", everybody);
        nothing_left();
    });
}
