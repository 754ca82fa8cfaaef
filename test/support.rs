//! Tests of the test support itself: a leak check that finds no leak would prove nothing.

use serde_json::json;
use std::process::Command;
use tiny_ce_test::{Bundle, Case, Need, Peer, Running, cgroup_v2, floor, probe, run};

#[test]
fn the_probe_prints_its_ids() {
    let case = Case::new();
    let mut command = Command::new(probe());
    let words = ["ids", "then", "write", "/proc/version", "x", "then", "args", "then", "exit", "7"];
    let done = run(command.args(words), case.dir());
    assert_eq!(done.ends(7).values("uid").len(), 1);
    // Root gets EIO or EACCES, depending on the kernel; no user may write this file.
    assert_ne!(done.value("write /proc/version"), "ok");
    assert_eq!(done.values("arg")[1..3], ["ids", "then"]);
}

#[test]
fn the_probe_refuses_an_unknown_command() {
    let case = Case::new();
    let done = run(Command::new(probe()).arg("nonsense"), case.dir());
    assert_eq!(done.ends(98).value("error"), "unknown command: nonsense");
}

#[test]
fn the_floor_runs_a_program_in_namespaces_of_its_own() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let mut command = Command::new(floor());
    let done = run(command.arg(bundle.rootfs()).args(["/probe", "pid"]), case.dir());
    assert_eq!(done.value("pid"), "1");
}

#[test]
fn a_test_reads_lines_of_a_running_program_and_sends_it_signals() {
    let case = Case::new();
    let mut running = Running::start(Command::new(probe()).args(["await", "15"]), case.dir());
    running.line("ready:");
    running.signal("USR1");
    assert_eq!(running.line("signal:"), "signal: 10");
    running.signal("TERM");
    assert_eq!(running.done().ends(0).values("signal"), ["10", "15"]);
}

#[test]
fn a_bundle_is_changed_by_json_pointers() {
    let case = Case::new();
    let mut bundle = case.bundle();
    bundle.set("/linux/resources/pids/limit", 1).push("/process/env", "A=b");
    bundle.set("/linux/sysctl/net.ipv4.ip_forward", "1").remove("/hostname");
    bundle.set("/annotations/a~1b", "c").without_namespace("network");
    *bundle.mount("/proc") = json!({"destination": "/proc", "type": "proc", "source": "other"});
    let text = std::fs::read_to_string(bundle.path().join("config.json")).expect("config.json");
    let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["linux"]["resources"]["pids"]["limit"], 1);
    assert_eq!(config["linux"]["sysctl"]["net.ipv4.ip_forward"], "1");
    assert_eq!(config["annotations"]["a/b"], "c");
    assert_eq!(config["mounts"][0]["source"], "other");
    assert!(config.get("hostname").is_none());
    assert_eq!(config["process"]["env"].as_array().map(Vec::len), Some(4));
    assert_eq!(config["linux"]["namespaces"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_leak_is_found() {
    let case = Case::new();
    assert_eq!(case.leftovers(), Vec::<String>::new());
    let shared = format!("/dev/shm/{}", case.tag());
    std::fs::write(&shared, "").expect("/dev/shm");
    std::fs::create_dir_all(case.state().join("web")).expect("state");
    let left = case.leftovers();
    std::fs::remove_file(&shared).expect("/dev/shm");
    std::fs::remove_dir_all(case.state()).expect("state");
    assert_eq!(left, [shared, format!("state {}", case.state().join("web").display())]);
}

#[test]
fn a_leaked_process_is_found() {
    let case = Case::new();
    let mut command = Command::new(probe());
    let mut running = Running::start(command.args(["pause", case.tag()]), case.dir());
    running.line("ready:");
    let left = case.leftovers();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with(&format!("process {}", running.pid())), "{left:?}");
}

#[test]
fn a_leaked_mount_and_cgroup_are_found() {
    let Some(case) = Case::root(&[]) else { return };
    let place = case.dir().join("mount");
    let below = if cgroup_v2() { "" } else { "pids/" };
    let cgroup = format!("/sys/fs/cgroup/{below}{}", case.tag());
    std::fs::create_dir(&place).expect("directory");
    std::fs::create_dir(&cgroup).expect("cgroup");
    let place = place.to_str().expect("UTF-8");
    case.program(["mount", "-t", "tmpfs", "tmpfs", place]).ok();
    let left = case.leftovers();
    case.program(["umount", place]).ok();
    std::fs::remove_dir(&cgroup).expect("cgroup");
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("mount ") && left[0].contains(place), "{left:?}");
    assert_eq!(left[1], format!("cgroup {cgroup}"));
}

/// Today's runtimes accept the default config.json, so its meaning is not our invention.
#[test]
fn the_default_bundle_runs_under_its_peers() {
    let Some(case) = Case::root(&Peer::ALL.map(Need::Peer)) else { return };
    let mut bundle: Bundle = case.bundle();
    bundle.probe("pid then hostname then exit 3");
    for peer in Peer::ALL {
        let dir = bundle.path().to_str().expect("UTF-8").to_owned();
        let done = case.peer(peer, ["run", "--bundle", &dir, &case.id()]);
        assert_eq!(done.ends(3).value("pid"), "1");
        assert_eq!(done.value("hostname"), "runc");
    }
}
