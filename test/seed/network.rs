//! Two containers on one host reach each other: over a network that tiny-ce makes, and by joining
//! named namespaces that were prepared by a script.

use tiny_ce_test::{Apart, Bundle, Case, Need};

/// To enter the namespaces again.
const GROUND: &[Need] = &[Need::Program("unshare"), Need::Program("nsenter")];
const PREPARED: &[Need] =
    &[Need::Program("unshare"), Need::Program("nsenter"), Need::Program("ip")];

/// A container that may send ICMP, and waits.
fn waiting(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    for set in ["bounding", "permitted", "effective"] {
        bundle.push(&format!("/process/capabilities/{set}"), "CAP_NET_RAW");
    }
    bundle.probe("pause");
    bundle
}

/// As in the forerunner's report: 11 pings, none lost.
#[track_caller]
fn ping(ground: &Apart<'_>, from: &str, to: &str) {
    let done = ground.tiny_ce(&["exec", from, "/probe", "ping", to, "11"]);
    assert_eq!(done.value("ping.sent"), "11", "{done}");
    assert_eq!(done.value("ping.received"), "11", "{done}");
}

#[test]
fn two_containers_ping_each_other() {
    let Some(case) = Case::root(GROUND) else { return };
    let ground = Apart::new(&case);
    ground.tiny_ce(&["network", "create", "seed", "--subnet", "10.0.0.0/24"]).ok();
    let bundle = waiting(&case);
    let path = bundle.path().to_str().expect("UTF-8");
    let ids = [case.id(), case.id()];
    for (id, network) in ids.iter().zip(["seed:10.0.0.11", "seed:10.0.0.12"]) {
        ground.tiny_ce(&["create", "--network", network, "--bundle", path, id]).ok();
        ground.tiny_ce(&["start", id]).ok();
    }
    let seen = ground.tiny_ce(&["exec", &ids[0], "/probe", "interfaces"]);
    assert!(seen.values("interface").contains(&"eth0 up 1500 10.0.0.11/24"), "{seen}");
    ping(&ground, &ids[0], "10.0.0.12");
    ping(&ground, &ids[1], "10.0.0.11");
    // And the bridge, which is their gateway.
    ping(&ground, &ids[1], "10.0.0.1");
    for id in &ids {
        ground.tiny_ce(&["delete", "--force", id]).ok();
    }
    ground.tiny_ce(&["network", "rm", "seed"]).ok();
    assert_eq!(ground.program(&["ls", "/run/netns"]).ok(), "");
}

/// The forerunner's network_prepare.sh: named namespaces, a bridge, two veth pairs.
const PREPARE: &str = "set -e
ip link add tce-br type bridge
ip link set tce-br up
for n in 0 1; do
    ip netns add tiny-ce-$n
    ip link add tce-veth$n type veth peer name eth0 netns tiny-ce-$n
    ip link set tce-veth$n master tce-br up
    ip -n tiny-ce-$n addr add 10.0.0.$((n + 1))/24 dev eth0
    ip -n tiny-ce-$n link set eth0 up
done";

#[test]
fn two_containers_join_prepared_namespaces() {
    let Some(case) = Case::root(PREPARED) else { return };
    let ground = Apart::new(&case);
    ground.program(&["sh", "-c", PREPARE]).ok();
    let ids = [case.id(), case.id()];
    for (n, id) in ids.iter().enumerate() {
        let mut bundle = waiting(&case);
        let path = format!("/var/run/netns/tiny-ce-{n}");
        bundle.namespace("network", Some(path.as_ref()));
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        ground.tiny_ce(&["create", "--bundle", &path, id]).ok();
        ground.tiny_ce(&["start", id]).ok();
    }
    ping(&ground, &ids[0], "10.0.0.2");
    ping(&ground, &ids[1], "10.0.0.1");
    for id in &ids {
        ground.tiny_ce(&["delete", "--force", id]).ok();
    }
    // tiny-ce did not make these namespaces, so it does not remove them.
    let left = ground.program(&["ip", "netns", "list"]);
    assert_eq!(left.ok().matches("tiny-ce-").count(), 2, "{left}");
}
