//! What a container must never have: inheritable capabilities, writable cgroups of the host, ids
//! that mean something else to the kernel, lengths that overflow.

use serde_json::{Value, json};
use tiny_ce_test::{Case, cgroup_v2};

use crate::victim::refused;

/// CVE-2022-29162, CVE-2022-24769, CVE-2022-27650, CVE-2025-27612.
#[test]
fn nothing_is_inheritable() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let container = case.create(&bundle);
    container.start();
    let id = container.id();
    for words in [
        &["exec", id, "/probe", "caps"][..],
        &["exec", "--cap", "CAP_NET_RAW", "--cap", "CAP_SYS_ADMIN", id, "/probe", "caps"],
        &["exec", "--user", "1000", "--cap", "CAP_NET_RAW", id, "/probe", "caps"],
    ] {
        let done = case.tiny_ce(words);
        assert_eq!(done.value("cap.inheritable"), "0000000000000000", "{done}");
        assert_eq!(done.value("cap.ambient"), "0000000000000000", "{done}");
    }
    for words in [&["spec", "-f", "-"][..], &["spec", "-f", "-", "--rootless"]] {
        let spec: Value = serde_json::from_str(case.tiny_ce(words).ok()).expect("JSON");
        let sets = &spec["process"]["capabilities"];
        assert!(sets["inheritable"].as_array().is_none_or(Vec::is_empty), "{sets}");
    }
}

/// CVE-2023-25809: a user namespace without a cgroup namespace sees the host's cgroups.
#[test]
fn the_hosts_cgroups_are_not_written_to() {
    let Some(case) = Case::root(&[]) else { return };
    let group = if cgroup_v2() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/pids" };
    let name = case.tag();
    let commands = format!(
        "mkdir {group}/{name} then write {group}/cgroup.procs 0 then list {group} then \
         mkdir {group}/../{name}"
    );
    for (user, cgroup) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut bundle = case.bundle();
        if !cgroup {
            bundle.without_namespace("cgroup");
        }
        if user {
            bundle.namespace("user", None);
            for field in ["uidMappings", "gidMappings"] {
                let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
                bundle.set(&format!("/linux/{field}"), map);
            }
        }
        bundle.probe(&commands);
        let done = case.run(&bundle);
        for place in [format!("mkdir {group}/{name}"), format!("mkdir {group}/../{name}")] {
            let seen = done.value(&place);
            assert!(matches!(seen, "EROFS" | "EACCES" | "EPERM"), "{place}: {done}");
        }
        let seen = done.value(&format!("write {group}/cgroup.procs"));
        assert!(matches!(seen, "EROFS" | "EACCES" | "EPERM"), "{done}");
    }
}

/// CVE-2021-43784: lengths that overflowed in a netlink message.
#[test]
fn lengths_that_wrap_are_refused() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let long = format!("/{}", "a/".repeat(40_000));
    bundle.namespace("network", Some(long.as_ref()));
    let done = case.run(&bundle);
    refused(&done, "linux.namespaces");
    let mut bundle = case.bundle();
    bundle.namespace("user", None);
    let map = |n: u32| json!({"containerID": n, "hostID": 100_000 + n, "size": 1});
    for field in ["uidMappings", "gidMappings"] {
        let maps: Vec<Value> = (0..6000).map(map).collect();
        bundle.set(&format!("/linux/{field}"), maps);
    }
    let done = case.run(&bundle);
    refused(&done, "linux.uidMappings");
    assert!(done.stderr.contains("340"), "{done}");
}

/// For the kernel, the id 4294967295 means "no change", so the program would stay root.
#[test]
fn ids_that_mean_no_change_are_refused() {
    let Some(case) = Case::root(&[]) else { return };
    for (field, value) in [
        ("uid", json!(4_294_967_295_u64)),
        ("gid", json!(4_294_967_295_u64)),
        ("uid", json!(4_294_967_296_u64)),
        ("uid", json!(-1)),
        ("additionalGids", json!([4_294_967_295_u64])),
    ] {
        let mut bundle = case.bundle();
        bundle.set(&format!("/process/user/{field}"), value);
        refused(&case.run(&bundle), &format!("process.user.{field}"));
    }
}

/// The program has the setuid bit and belongs to root.
#[test]
fn a_setuid_program_gains_nothing() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.program(tiny_ce_test::probe(), "copied");
    // A copy, because all tests share the probe.
    let from = bundle.rootfs().join("copied");
    let to = bundle.rootfs().join("setuid");
    std::fs::copy(from, &to).expect("a copy");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    std::fs::set_permissions(to, mode).expect("setuid");
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    bundle.probe("exec /setuid ids");
    let done = case.run(&bundle);
    assert_eq!(done.value("uid"), "1000 1000 1000", "{done}");
}
