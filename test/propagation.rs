//! What is mounted in a container, and what the host sees of it: `rootfsPropagation` and the
//! `shared` of a bind.
//!
//! The host of these tests is a mount namespace of their own, all shared as systemd has it.

use serde_json::json;
use tiny_ce_test::{Bundle, Case, Done, Need, tiny_ce};

/// The command line that runs a bundle on a host which this script prepares.
fn line(case: &Case, bundle: &Bundle, host: &str) -> Vec<String> {
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", host, "sh"];
    let mut line: Vec<String> = words.map(str::to_owned).to_vec();
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    line.push(text(&tiny_ce()));
    line.extend(["--root".to_owned(), text(&case.state()), "run".to_owned()]);
    line.extend(["--bundle".to_owned(), text(bundle.path()), case.id()]);
    line
}

/// The mounts that exist after the container and did not before, by mount point.
fn new_mounts(case: &Case, bundle: &Bundle) -> Vec<String> {
    const HOST: &str = r#"set -e
        mkdir volume
        mount -t tmpfs tmpfs volume
        mkdir volume/inner
        mount --make-rshared /
        cat /proc/self/mountinfo > before
        "$@"
        cat /proc/self/mountinfo > after"#;
    let done = case.program(line(case, bundle, HOST));
    done.ends(0);
    assert_eq!(done.value("mount /mnt/inner"), "ok");
    let read = |name| std::fs::read_to_string(case.dir().join(name)).expect(name);
    let before = read("before");
    let new = read("after");
    let new = new.lines().filter(|line| !before.lines().any(|other| other == *line));
    new.filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

fn sharing(case: &Case, root: &str, volume: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.probe("mount tmpfs /mnt/inner tmpfs 0").set("/linux/rootfsPropagation", root);
    for set in ["bounding", "effective", "permitted"] {
        bundle.push(&format!("/process/capabilities/{set}"), "CAP_SYS_ADMIN");
    }
    let source = case.dir().join("volume");
    let bind = json!({
        "destination": "/mnt",
        "source": source,
        "options": ["rbind", volume],
    });
    bundle.push("/mounts", bind);
    bundle
}

#[test]
fn a_shared_bind_gives_its_mounts_to_the_host_and_nothing_else_does() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let bundle = sharing(&case, "rshared", "rshared");
    let inner = case.dir().join("volume/inner");
    assert_eq!(new_mounts(&case, &bundle), [inner.to_str().expect("UTF-8")]);
}

#[test]
fn a_bind_that_is_not_shared_gives_nothing() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    for (root, volume) in [("rshared", "rslave"), ("shared", "rprivate"), ("rslave", "rshared")] {
        let bundle = sharing(&case, root, volume);
        assert_eq!(new_mounts(&case, &bundle), [""; 0], "{root} {volume}");
        std::fs::remove_dir(case.dir().join("volume")).expect("volume");
    }
}

/// The relation of each mount of the container to the host: `host` if its mounts propagate to the
/// host, `slave` if they propagate from the host, `own` if the container has a peer group of its
/// own.
fn seen(done: &Done, host: &str, place: &str) -> String {
    let lines = done.values("mount");
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut lines = lines.iter().map(|line| words(line));
    let line = lines.rfind(|line| line[4] == place).unwrap_or_else(|| panic!("{place}: {done}"));
    let of_the_hosts = |group: &str| {
        let shared = format!("shared:{group}");
        host.lines().any(|line| line.split(' ').any(|word| word == shared))
    };
    let optional = line[6..].iter().take_while(|word| *word != "-");
    let said = optional.map(|word| match word.split_once(':') {
        Some(("shared", group)) if of_the_hosts(group) => "host",
        Some(("shared", _)) => "own",
        Some(("master", group)) if of_the_hosts(group) => "slave",
        _ => word.as_str(),
    });
    said.collect::<Vec<_>>().join(" ")
}

/// Mounts of a container: of a bind, below it, of a tmpfs, as `seen` has them.
fn relations(case: &Case, root: &str, option: &str, user: bool) -> [String; 3] {
    let mut bundle = case.bundle();
    bundle.file("m/x", "");
    bundle.file("t/x", "");
    bundle.probe("mounts").set("/root/readonly", false);
    if !root.is_empty() {
        bundle.set("/linux/rootfsPropagation", root);
    }
    bundle.bind(case.dir().join("volume").to_str().expect("UTF-8"), "/m", &["rbind", option]);
    bundle.push("/mounts", json!({"destination": "/t", "type": "tmpfs", "options": [option]}));
    if user {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
        bundle.namespace("user", None);
    }
    const HOST: &str = r#"set -e
        mkdir -p volume
        mount -t tmpfs -o mode=755 tmpfs volume
        mkdir volume/sub
        mount -t tmpfs tmpfs volume/sub
        mount --make-rshared /
        cat /proc/self/mountinfo > host
        "$@""#;
    let done = case.program(line(case, &bundle, HOST));
    done.ok();
    let host = std::fs::read_to_string(case.dir().join("host")).expect("host");
    ["/m", "/m/sub", "/t"].map(|place| seen(&done, &host, place))
}

/// `rootfsPropagation`, what a mount says of itself, and what the mounts are then. All as under
/// runc 1.3, but where a mount says nothing of itself and the root is not `rslave` or `rprivate`:
/// runc lets it be the host's then, and what is mounted below it reaches the host.
const MATRIX: &[(&str, &str, [&str; 3])] = &[
    ("", "", ["slave", "slave", ""]),
    ("", "private", ["", "slave", ""]),
    ("", "rprivate", ["", "", ""]),
    ("", "rslave", ["slave", "slave", ""]),
    ("", "shared", ["own slave", "slave", "own"]),
    ("", "rshared", ["own slave", "own slave", "own"]),
    ("", "unbindable", ["unbindable", "slave", "unbindable"]),
    ("private", "", ["slave", "slave", ""]),
    ("private", "rslave", ["slave", "slave", ""]),
    ("private", "shared", ["host", "host", "own"]),
    ("private", "rshared", ["host", "host", "own"]),
    ("rprivate", "", ["", "", ""]),
    ("rprivate", "rslave", ["", "", ""]),
    ("rprivate", "shared", ["own", "", "own"]),
    ("rprivate", "rshared", ["own", "own", "own"]),
    ("rprivate", "unbindable", ["unbindable", "", "unbindable"]),
    ("rprivate", "runbindable", ["unbindable", "unbindable", "unbindable"]),
    ("slave", "", ["slave", "slave", ""]),
    ("slave", "rprivate", ["", "", ""]),
    ("slave", "shared", ["host", "host", "own"]),
    ("slave", "rshared", ["host", "host", "own"]),
    ("rslave", "", ["slave", "slave", ""]),
    ("rslave", "rprivate", ["", "", ""]),
    ("rslave", "rshared", ["slave", "slave", ""]),
    ("shared", "", ["slave", "slave", ""]),
    ("shared", "rprivate", ["", "", ""]),
    ("shared", "rslave", ["slave", "slave", ""]),
    ("shared", "rshared", ["host", "host", "own"]),
    ("rshared", "", ["own slave", "own slave", "own"]),
    ("rshared", "rprivate", ["own", "own", "own"]),
    ("rshared", "rslave", ["own slave", "own slave", "own"]),
    ("rshared", "rshared", ["host", "host", "own"]),
    ("unbindable", "shared", ["host", "host", "own"]),
];

#[test]
fn every_pair_of_the_root_and_a_mount_is_as_under_runc() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    for (root, option, expected) in MATRIX {
        assert_eq!(relations(&case, root, option, false), *expected, "{root:?} {option:?}");
    }
}

/// The kernel makes slaves of what it copies into a user namespace, and so does tiny-ce where the
/// launcher clones a source: else root in a container could mount on the host.
#[test]
fn a_user_namespace_has_slaves_only() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    for (root, option, expected) in MATRIX {
        let mut expected = expected.map(|it| if it == "host" { "own slave" } else { it });
        if *option == "shared" && *root != "rprivate" {
            expected[1] = "slave";
        }
        let found = relations(&case, root, option, true);
        assert_eq!(found, expected, "{root:?} {option:?}");
    }
}

/// Root of a container with a user namespace mounts on a bind: the host sees nothing of it.
#[test]
fn a_bind_that_the_launcher_clones_propagates_nothing() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let mut bundle = sharing(&case, "rslave", "rw");
    bundle.remove("/linux/rootfsPropagation");
    bundle.set("/linux/uidMappings", every_id()).set("/linux/gidMappings", every_id());
    bundle.namespace("user", None);
    assert_eq!(new_mounts(&case, &bundle), [""; 0]);
}

/// An id-mapped bind, which the launcher clones too. A tmpfs can be one since Linux 6.3.
#[test]
fn an_id_mapped_bind_propagates_nothing() {
    let Some(case) = Case::root(&[Need::Program("unshare"), Need::Linux(6, 3)]) else { return };
    let mut bundle = sharing(&case, "rslave", "rw");
    bundle.remove("/linux/rootfsPropagation");
    bundle.file("mnt/x", "");
    bundle.mount("/mnt")["uidMappings"] = every_id();
    bundle.mount("/mnt")["gidMappings"] = every_id();
    assert_eq!(new_mounts(&case, &bundle), [""; 0]);
}

fn every_id() -> serde_json::Value {
    json!([{"containerID": 0, "hostID": 0, "size": 65_536}])
}
