//! `linux.namespaces`: new namespaces differ from the caller's, joined ones are those that
//! config.json names, a user namespace has its maps.

use serde_json::json;
use std::fs;
use tiny_ce_test::{Bundle, Case, Container, Done};

const KINDS: [(&str, &str); 8] = [
    ("cgroup", "cgroup"),
    ("ipc", "ipc"),
    ("mount", "mnt"),
    ("network", "net"),
    ("pid", "pid"),
    ("time", "time"),
    ("user", "user"),
    ("uts", "uts"),
];

fn of(pid: &str, file: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{file}")).expect("a namespace");
    link.to_str().expect("UTF-8").to_owned()
}

fn mapped(bundle: &mut Bundle) {
    for field in ["uidMappings", "gidMappings"] {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        bundle.set(&format!("/linux/{field}"), map);
    }
}

#[test]
fn new_namespaces_are_not_the_hosts() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    mapped(&mut bundle);
    bundle.namespace("user", None).namespace("time", None).probe("namespaces");
    let done = case.run(&bundle);
    for (_, file) in KINDS {
        assert_ne!(done.value(&format!("ns.{file}")), of("self", file), "{file}");
    }
}

#[test]
fn unlisted_namespaces_are_the_hosts() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    for kind in ["cgroup", "ipc", "network", "pid", "uts"] {
        bundle.without_namespace(kind);
    }
    // The hostname and /sys belong to namespaces of the host now.
    bundle.remove("/hostname").probe("namespaces");
    bundle.bind("/sys", "/sys", &["rbind", "ro"]);
    bundle.set("/mounts/6", json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    let done = case.run(&bundle);
    for (kind, file) in KINDS {
        let (inside, outside) = (done.value(&format!("ns.{file}")).to_owned(), of("self", file));
        assert_eq!(inside == outside, kind != "mount", "{kind}: {inside}, {outside}");
    }
}

/// A container with all kinds of namespaces of its own, for other containers to join.
fn host<'c>(case: &'c Case, user: bool) -> Container<'c> {
    let mut bundle = case.bundle();
    bundle.namespace("time", None).probe("pause");
    if user {
        mapped(&mut bundle);
        bundle.namespace("user", None);
    }
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    container
}

/// Run the probe's `namespaces`, with the namespaces of `kinds` joined.
fn joining(case: &Case, pid: u32, kinds: &[&str]) -> Done {
    let mut bundle = case.bundle();
    for (kind, file) in KINDS.iter().filter(|(kind, _)| kinds.contains(kind)) {
        bundle.namespace(kind, Some(format!("/proc/{pid}/ns/{file}").as_ref()));
    }
    if kinds.contains(&"uts") {
        bundle.remove("/hostname");
    }
    bundle.probe("namespaces then processes then hostname");
    case.run(&bundle)
}

#[test]
fn each_kind_can_be_joined() {
    let Some(case) = Case::root(&[]) else { return };
    let host = host(&case, false);
    let pid = host.pid();
    for (kind, file) in KINDS.iter().filter(|(kind, _)| !matches!(*kind, "mount" | "user")) {
        let done = joining(&case, pid, &[kind]);
        assert_eq!(done.value(&format!("ns.{file}")), of(&pid.to_string(), file), "{kind}");
    }
}

#[test]
fn all_kinds_can_be_joined_at_once() {
    let Some(case) = Case::root(&[]) else { return };
    let host = host(&case, false);
    let kinds = ["cgroup", "ipc", "network", "pid", "time", "uts"];
    let done = joining(&case, host.pid(), &kinds);
    for (kind, file) in KINDS.iter().filter(|(kind, _)| kinds.contains(kind)) {
        assert_eq!(done.value(&format!("ns.{file}")), of(&host.pid().to_string(), file), "{kind}");
    }
    // As in a Kubernetes pod: it sees the process of the other container, which is pid 1.
    assert!(done.values("process").contains(&"1 probe"), "{done}");
    assert_eq!(done.values("process").len(), 2, "{done}");
    assert_eq!(done.value("hostname"), "runc");
}

#[test]
fn a_user_namespace_can_be_joined_with_what_belongs_to_it() {
    let Some(case) = Case::root(&[]) else { return };
    let host = host(&case, true);
    let pid = host.pid();
    for kinds in [&["user"][..], &["user", "network", "ipc", "uts"], &["user", "pid", "uts"]] {
        let done = joining(&case, pid, kinds);
        for (kind, file) in KINDS.iter().filter(|(kind, _)| kinds.contains(kind)) {
            let seen = done.value(&format!("ns.{file}"));
            assert_eq!(seen, of(&pid.to_string(), file), "{kind} of {kinds:?}");
        }
    }
}

#[test]
fn a_path_of_another_kind_is_refused() {
    let Some(case) = Case::root(&[]) else { return };
    for (path, why) in [
        ("/proc/self/ns/uts", "is a uts namespace, expected network"),
        ("/etc/hostname", "/etc/hostname"),
        ("/nope", "ENOENT"),
    ] {
        let mut bundle = case.bundle();
        bundle.namespace("network", Some(path.as_ref()));
        let done = case.run(&bundle);
        assert!(done.fails().contains(why), "{done}");
        assert!(done.stderr.contains("linux.namespaces"), "{done}");
    }
}

#[test]
fn a_mapped_root_owns_only_its_own_files() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    mapped(&mut bundle);
    let mine = bundle.file("mine", "");
    bundle.file("etc/root-only", "secret");
    std::os::unix::fs::chown(mine, Some(100_000), Some(100_000)).expect("chown");
    bundle.namespace("user", None).set("/root/readonly", false);
    bundle.probe(
        "stat /mine then append /mine x then stat /etc/passwd then append /etc/passwd x then \
         namespaces then open /dev/null rw then stat /dev/null then ids then setuid 1000 then ids",
    );
    let done = case.run(&bundle);
    assert!(done.value("stat /mine").contains("uid=0 gid=0"), "{done}");
    assert_eq!(done.value("append /mine"), "ok");
    assert!(done.value("stat /etc/passwd").contains("uid=65534"), "{done}");
    assert_eq!(done.value("append /etc/passwd"), "EACCES");
    assert_eq!(done.value("open /dev/null"), "ok");
    assert_eq!(done.value("setgroups"), "allow");
    // Without CAP_SETUID it cannot change its user.
    assert_eq!(done.values("uid"), ["0 0 0", "0 0 0"]);
}

#[test]
fn time_goes_on_from_its_offsets() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.namespace("time", None).probe("clocks");
    bundle.set(
        "/linux/timeOffsets",
        json!({"monotonic": {"secs": 864_000}, "boottime": {"secs": 8_640_000}}),
    );
    let done = case.run(&bundle);
    let clock =
        |name: &str| -> u64 { done.value(&format!("clock.{name}")).parse().expect("seconds") };
    let uptime = fs::read_to_string("/proc/uptime").expect("uptime");
    let uptime: f64 = uptime.split(' ').next().expect("seconds").parse().expect("a number");
    assert!(clock("monotonic") >= 864_000, "{done}");
    assert!((clock("boottime") as f64 - 8_640_000.0 - uptime).abs() < 60.0, "{done}");
}

/// Root of the user namespace does not own init's files in the host's /proc.
#[test]
fn time_goes_on_in_a_user_namespace_too() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    mapped(&mut bundle);
    bundle.namespace("user", None).namespace("time", None);
    bundle.set("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000}})).probe("clocks");
    let seen: u64 = case.run(&bundle).value("clock.boottime").parse().expect("seconds");
    assert!(seen > 1_000_000, "{seen}");
}

/// As under crun, the caller is mapped to root inside.
#[test]
fn a_user_namespace_without_maps_maps_the_caller() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.namespace("user", None);
    // The group 5 of /dev/pts is not mapped.
    bundle.mount("/dev/pts")["options"] = json!(["nosuid", "noexec", "newinstance"]);
    bundle.probe("ids then cat /proc/self/uid_map then cat /proc/self/gid_map");
    let done = case.run(&bundle);
    let maps: Vec<&str> =
        done.ends(0).stdout.lines().filter(|line| line.starts_with(' ')).collect();
    assert_eq!(maps.len(), 2, "{done}");
    for map in maps {
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "0", "1"]);
    }
    assert!(done.stderr.contains("linux.uidMappings: missing"), "{done}");
    // Only one of the two maps is given.
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.set("/linux/uidMappings", map);
    assert_eq!(case.run(&bundle).value("gid"), "0 0 0");
    // No other user is mapped.
    bundle.remove("/linux/uidMappings").set("/process/user/uid", 1);
    let done = case.run(&bundle);
    assert!(done.fails().contains("process.user.uid: 1 is not mapped"), "{done}");
}

/// The flags and the file system of the mount at `place`.
fn mounted<'d>(done: &'d Done, place: &str) -> (&'d str, &'d str) {
    let lines = done.values("mount");
    let line = lines.iter().rfind(|line| line.split(' ').nth(4) == Some(place));
    let line = line.unwrap_or_else(|| panic!("nothing at {place}\n{done}"));
    let kind = line.split_once(" - ").and_then(|(_, of_type)| of_type.split(' ').next());
    (line.split(' ').nth(5).expect("flags"), kind.expect("a type"))
}

/// A user namespace cannot make nodes, so the host's are bound; for one that the host lacks, the
/// launcher makes a node. A device that the cgroup denies is there too, but cannot be opened.
#[test]
fn devices_that_the_host_lacks_are_made() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    mapped(&mut bundle);
    bundle.namespace("user", None);
    let nodes = bundle.rootfs().join("nodes");
    fs::create_dir(&nodes).expect("a directory of the image");
    std::os::unix::fs::chown(&nodes, Some(100_000), Some(100_000)).expect("chown");
    for (path, kind, major, minor) in [
        ("/dev/made-up", "c", 1, 5),
        ("/dev/deep/wire", "c", 10, 229),
        ("/nodes/disk", "b", 7, 300),
        ("/dev/random", "c", 1, 7),
        ("/dev/urandom", "c", 1, 9),
        ("/dev/made-up", "c", 1, 3),
    ] {
        let node = json!({"path": path, "type": kind, "major": major, "minor": minor});
        bundle.push("/linux/devices", node);
    }
    let pipe = json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o600, "uid": 7});
    bundle.push("/linux/devices", pipe);
    let first = &mut bundle.config["linux"]["devices"][0];
    first["fileMode"] = json!(0o4640);
    (first["uid"], first["gid"]) = (json!(3), json!(4));
    bundle.set("/root/readonly", false).probe(
        "mounts then stat /dev/made-up then stat /dev/deep/wire then stat /nodes/disk \
         then stat /dev/random then stat /dev/urandom then stat /dev/pipe \
         then open /dev/deep/wire r then write /dev/random x",
    );
    let done = case.run(&bundle);
    assert_eq!(done.value("stat /dev/made-up"), "char mode=04640 uid=3 gid=4 size=0 rdev=1:5");
    assert_eq!(done.value("stat /dev/deep/wire"), "char mode=0666 uid=0 gid=0 size=0 rdev=10:229");
    assert_eq!(done.value("stat /nodes/disk"), "block mode=0666 uid=0 gid=0 size=0 rdev=7:300");
    // The host has another device at this path.
    assert_eq!(done.value("stat /dev/random"), "char mode=0666 uid=0 gid=0 size=0 rdev=1:7");
    assert_eq!(done.value("write /dev/random"), "ENOSPC");
    assert!(done.value("stat /dev/urandom").contains("uid=65534"), "{done}");
    assert!(done.value("stat /dev/pipe").starts_with("fifo mode=0600 uid=7"), "{done}");
    assert_eq!(done.value("open /dev/deep/wire"), "EPERM", "{done}");
    for made in ["/dev/made-up", "/dev/deep/wire", "/nodes/disk", "/dev/random"] {
        assert_eq!(mounted(&done, made), ("rw,nosuid,noexec,relatime", "tmpfs"), "{made}");
    }
    for bound in ["/dev/urandom", "/dev/null", "/dev/tty"] {
        let flags = mounted(&done, bound).0;
        assert!(flags.contains(",nosuid,noexec"), "{bound}: {flags}");
    }
    assert!(!fs::read_to_string("/proc/self/mountinfo").expect("mounts").contains(case.tag()));
    bundle.config["linux"]["devices"][0]["uid"] = json!(65_536);
    let done = case.run(&bundle);
    let text = "linux.devices[0] \"/dev/made-up\": 65536 as the owner: not in linux.uidMappings";
    assert!(done.fails().contains(text), "{done}");
}

/// The domain name is given twice: as a sysctl, and as a property.
#[test]
fn a_name_may_be_a_parameter_too() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let files = "cat /proc/sys/kernel/domainname then cat /proc/sys/kernel/hostname";
    bundle.set("/hostname", "web").set("/domainname", "a.org").probe(files);
    bundle.set("/linux/sysctl", json!({"kernel.domainname": "a.org", "kernel.hostname": "web"}));
    assert_eq!(case.run(&bundle).ok(), "a.org\nweb\n");
    // As under runc, the sysctl counts.
    bundle.set("/linux/sysctl", json!({"kernel.domainname": "b.org"}));
    let done = case.run(&bundle);
    assert_eq!(done.ends(0).stdout, "b.org\nweb\n");
    assert!(done.stderr.contains("linux.sysctl[\"kernel.domainname\"]"), "{done}");
    bundle.set("/linux/sysctl", json!({"kernel.hostname": "other"}));
    assert!(case.run(&bundle).fails().contains("conflicts with the property hostname"));
}

/// The specification: a namespace that is not listed is inherited. Then nothing is mounted.
#[test]
fn without_a_mount_namespace_the_root_is_changed_by_chroot() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.without_namespace("mount");
    let done = case.run(&bundle);
    let refused = done.fails();
    for field in ["mounts", "root.readonly", "linux.maskedPaths", "linux.readonlyPaths"] {
        assert!(refused.contains(&format!("{field}: needs a mount namespace")), "{refused}");
    }
    bundle.set("/mounts", json!([])).set("/root/readonly", false);
    bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    let done = case.tiny_ce([
        "--cgroup-manager",
        "disabled",
        "run",
        "--bundle",
        bundle.path().to_str().expect("UTF-8"),
        &case.id(),
    ]);
    assert!(done.fails().contains("no device cgroup"), "{done}");
    bundle.probe("cwd then await 15");
    let mut container = case.create(&bundle);
    container.start();
    assert_eq!(container.line("cwd:"), "cwd: /");
    container.line("ready:");
    let root = fs::read_link(format!("/proc/{}/root", container.pid())).expect("a root");
    assert_eq!(root, bundle.rootfs());
    assert_eq!(of(&container.pid().to_string(), "mnt"), of("self", "mnt"));
    let done = case.tiny_ce(["exec", "--cwd", "/tmp", container.id(), "/probe", "cwd"]);
    assert_eq!(done.ends(0).value("cwd"), "/tmp");
    let shown = case.tiny_ce(["exec", container.id(), "/probe", "stat", "/usr/lib"]);
    assert!(shown.stdout.contains("ENOENT"), "exec sees the host: {shown}");
    // A mount that is added later would be made on the host, too.
    let list = case.dir().join("mounts.json");
    fs::write(&list, json!([{"destination": "/mnt", "type": "tmpfs"}]).to_string())
        .expect("a file");
    let list = list.to_str().expect("UTF-8");
    let done = case.tiny_ce(["mounts", "add", container.id(), list]);
    assert!(done.fails().contains("no mount namespace"), "{done}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!mounts.contains(case.tag()), "{mounts}");
    container.kill("TERM");
    container.ended();
}
