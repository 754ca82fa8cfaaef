//! The experiments of the project's forerunner, repeated: a distribution's shell on the host of
//! another distribution, isolation of names and users, two containers that reach each other, shares
//! and limits of CPU and memory; and its command line.

#[path = "seed/network.rs"]
mod network;
#[path = "seed/quantities.rs"]
mod quantities;

use serde_json::{Value, json};
use std::fs;
use tiny_ce_test::{Case, Need};

#[test]
fn a_shell_of_another_distribution_is_pid_1() {
    let Some(case) = Case::root(&[Need::Distribution]) else { return };
    let mut bundle = case.distribution();
    bundle.args([
        "/bin/sh",
        "-c",
        "echo pid: $$; echo first: $(cat /proc/1/comm); hostname; cat /etc/os-release; \
         dpkg --version | head -1",
    ]);
    let done = case.run(&bundle);
    let seen = done.ok();
    assert_eq!(done.value("pid"), "1");
    assert_eq!(done.value("first"), "sh");
    assert!(seen.contains("\nrunc\n"), "{done}");
    // The distribution's own programs run, with their own C library.
    assert!(seen.contains("package management program"), "{done}");
    let name = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("PRETTY_NAME="));
        line.map(str::to_owned)
    };
    let outside = fs::read_to_string("/etc/os-release").unwrap_or_default();
    assert!(name(seen).is_some(), "{done}");
    assert_ne!(name(seen), name(&outside));
}

#[test]
fn only_its_own_processes_are_seen() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pid then processes");
    let done = case.run(&bundle);
    assert_eq!(done.ok().matches("process: ").count(), 1, "{done}");
    assert_eq!(done.value("process"), "1 probe");
    assert_eq!((done.value("pid"), done.value("ppid")), ("1", "0"));
}

#[test]
fn its_hostname_is_not_the_hosts() {
    let Some(case) = Case::root(&[]) else { return };
    let outside = || fs::read_to_string("/proc/sys/kernel/hostname").expect("a hostname");
    let before = outside();
    let mut bundle = case.bundle();
    bundle.set("/hostname", case.tag()).set("/domainname", "example.org").probe("hostname");
    let done = case.run(&bundle);
    assert_eq!(done.value("hostname"), case.tag());
    assert_eq!(done.value("domainname"), "example.org");
    assert_eq!(outside(), before);
    assert_ne!(before.trim(), case.tag());
}

#[test]
fn a_message_queue_is_seen_inside_only() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("queue 1511215379 then pause");
    let mut container = case.create(&bundle);
    container.start();
    let has = |text: &str| text.contains("1511215379");
    container.line("queue 1511215379: ok");
    // The first line is the table's head.
    container.line("message_queue:");
    let inside = container.line("message_queue:");
    assert!(has(&inside), "{inside}");
    let outside = fs::read_to_string("/proc/sysvipc/msg").expect("System V message queues");
    assert!(!has(&outside), "{outside}");
}

#[test]
fn its_user_namespace_is_another() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.namespace("user", None).probe("ids then namespaces");
    for field in ["uidMappings", "gidMappings"] {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        bundle.set(&format!("/linux/{field}"), map);
    }
    let done = case.run(&bundle);
    assert_eq!(done.value("uid"), "0 0 0");
    let outside = fs::read_link("/proc/self/ns/user").expect("a user namespace");
    assert_ne!(done.value("ns.user"), outside.to_str().expect("UTF-8"));
    let words: Vec<&str> = done.value("uid_map").split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "65536"]);
}

/// The forerunner's own config.json: no version, no /dev, no /sys, limits of CPU and memory.
fn seed_config(case: &Case, args: &[&str]) -> Value {
    json!({
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/bin:/bin", format!("TINY_CE_CASE={}", case.tag())],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "hostname": "fu-asus",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "cgroupsPath": format!("/{}-seed", case.tag()),
            "resources": {
                "memory": {"limit": 536_870_912, "reservation": 536_870_912},
                "cpu": {"shares": 1024, "quota": 1_000_000, "period": 500_000},
            },
            "namespaces": [
                {"type": "pid"},
                {"type": "network"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
            ],
        },
    })
}

#[test]
fn cs_runs_a_bundle_without_a_version() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let words =
        "/probe pid then hostname then stat /dev/null then readlink /dev/stdout then exit 3";
    bundle.config = seed_config(&case, &words.split(' ').collect::<Vec<_>>());
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let done = case.tiny_ce(["cs", &path]);
    assert_eq!(done.ends(3).value("pid"), "1");
    assert_eq!(done.value("hostname"), "fu-asus");
    // The device is made although config.json does not list it, as by the forerunner.
    assert!(done.value("stat /dev/null").starts_with("char mode=0666"), "{done}");
    assert_eq!(done.value("readlink /dev/stdout"), "/proc/self/fd/1");
    let warnings: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(warnings.len(), 1, "{done}");
    assert!(warnings[0].contains("ociVersion"), "{done}");
    // Other commands require the version.
    let done = case.tiny_ce(["run", "--bundle", &path, &case.id()]);
    assert!(done.fails().contains("ociVersion"), "{done}");
}

#[test]
fn del_and_d_delete_all() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let create = |id: &str| case.tiny_ce(["create", "--bundle", &path, id]).ok().to_owned();
    let (a, b) = (case.id(), case.id());
    create(&a);
    create(&b);
    case.tiny_ce(["start", &b]).ok();
    assert_eq!(case.tiny_ce(["del"]).ok(), format!("{a}\n{b}\n2 deleted\n"));
    assert_eq!(case.leftovers(), Vec::<String>::new());
    assert_eq!(case.tiny_ce(["list", "--quiet"]).ok(), "");
    create(&a);
    assert_eq!(case.tiny_ce(["d"]).ok(), format!("{a}\n1 deleted\n"));
    assert_eq!(case.tiny_ce(["d"]).ok(), "0 deleted\n");
}
