//! `mounts add` and `mounts remove`.

use crate::until;
use serde_json::{Value, json};
use tiny_ce_test::{Bundle, Case, Container, Done};

/// A started container that waits, with a writable root.
pub fn running<'c>(case: &'c Case, change: impl FnOnce(&mut Bundle)) -> (Bundle, Container<'c>) {
    let mut bundle = case.bundle();
    bundle.probe("pause").set("/root/readonly", false);
    change(&mut bundle);
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    (bundle, container)
}

/// Write the list of mounts to a file, and run `mounts VERB` with it.
fn mounts(case: &Case, verb: &str, container: &Container<'_>, list: &Value) -> Done {
    let file = case.dir().join("mounts.json");
    std::fs::write(&file, list.to_string()).expect("a file");
    let file = file.to_str().expect("UTF-8").to_owned();
    case.tiny_ce(["mounts", verb, container.id(), &file])
}

fn inside<const N: usize>(container: &Container<'_>, words: [&str; N]) -> Done {
    container.tiny_ce("exec", words)
}

/// The mount table, as the container's program sees it.
pub fn table(container: &Container<'_>) -> String {
    std::fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).expect("mountinfo")
}

/// A directory and a file of the host, with content.
pub fn sources(case: &Case) -> (String, String) {
    let (dir, file) = (case.dir().join("shared"), case.dir().join("hosts"));
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join("note"), "from the host\n").expect("a file");
    std::fs::write(&file, "127.0.0.1 here\n").expect("a file");
    let text = |path: std::path::PathBuf| path.to_str().expect("UTF-8").to_owned();
    (text(dir), text(file))
}

fn binds_and_tmpfs(case: &Case, container: &Container<'_>) {
    let (dir, file) = sources(case);
    let before = table(container);
    let list = json!([
        {"destination": "/mnt/shared", "type": "bind", "source": dir, "options": ["bind", "ro"]},
        {"destination": "/etc/hosts", "source": file, "options": ["bind"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "ro"]},
    ]);
    mounts(case, "add", container, &list).ok();
    let done =
        inside(container, ["/probe", "cat", "/mnt/shared/note", "then", "cat", "/etc/hosts"]);
    assert_eq!(done.ok(), "from the host\n127.0.0.1 here\n");
    let done =
        inside(container, ["/probe", "write", "/mnt/shared/x", "y", "then", "mkdir", "/tmp/x"]);
    assert_eq!(done.value("write /mnt/shared/x"), "EROFS");
    assert_eq!(done.value("mkdir /tmp/x"), "EROFS");
    mounts(case, "remove", container, &list).ok();
    assert_eq!(table(container), before);
    let done = mounts(case, "remove", container, &list);
    let text = done.fails();
    assert!(text.contains("mounts[0] \"/mnt/shared\": umount2(2): EINVAL"), "{text}");
    assert!(text.contains("nothing is mounted there"), "{text}");
}

#[test]
fn binds_and_file_systems_come_and_go() {
    let Some(case) = Case::root(&[]) else { return };
    let (_bundle, container) = running(&case, |_| {});
    binds_and_tmpfs(&case, &container);
    // Mounts can be added to a paused container.
    container.tiny_ce("pause", []).ok();
    let (dir, _) = sources(&case);
    let list = json!([{"destination": "/mnt", "source": dir, "options": ["bind"]}]);
    mounts(&case, "add", &container, &list).ok();
    container.tiny_ce("resume", []).ok();
    assert_eq!(inside(&container, ["/probe", "cat", "/mnt/note"]).ok(), "from the host\n");
    // A mount is taken away whether or not its source is still there.
    std::fs::remove_dir_all(&dir).expect("the source");
    mounts(&case, "remove", &container, &list).ok();
}

#[test]
fn mounts_can_be_added_in_a_user_namespace() {
    let Some(case) = Case::root(&[]) else { return };
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    let (_bundle, container) = running(&case, |bundle| {
        bundle.namespace("user", None);
        bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    });
    binds_and_tmpfs(&case, &container);
}

/// A file system shows the container's namespaces, not the caller's.
#[test]
fn a_procfs_shows_the_container_s_processes() {
    let Some(case) = Case::root(&[]) else { return };
    let (_bundle, container) = running(&case, |_| {});
    let list = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
    ]);
    mounts(&case, "add", &container, &list).ok();
    let done =
        inside(&container, ["/probe", "list", "/sys/class/net", "then", "cat", "/proc/1/cmdline"]);
    assert!(done.ok().ends_with("/probe\0pause\0"), "{done}");
    assert_eq!(done.values("entry"), ["lo"]);
    mounts(&case, "remove", &container, &list).ok();
}

#[test]
fn a_list_of_mounts_is_added_whole_or_not_at_all() {
    let Some(case) = Case::root(&[]) else { return };
    let (_bundle, container) = running(&case, |bundle| {
        bundle.set("/root/readonly", true);
    });
    let (dir, _) = sources(&case);
    let before = table(&container);
    let good = json!({"destination": "/tmp", "source": dir, "options": ["bind"]});
    for (bad, parts) in [
        (
            json!({"destination": "/not/there", "type": "tmpfs", "source": "tmpfs"}),
            ["mounts[2] \"/not/there\": mkdirat(2): EROFS", "read-only"],
        ),
        (
            json!({"destination": "/tmp", "type": "nopefs", "source": "x"}),
            ["mounts[2] \"/tmp\": fsopen(2): ENODEV", ""],
        ),
        (
            json!({"destination": "/tmp", "source": "/nowhere/at/all", "options": ["bind"]}),
            ["/nowhere/at/all", "must exist"],
        ),
        (json!({"destination": "/proc/sys", "type": "tmpfs"}), ["[2].destination", "below /proc"]),
    ] {
        let done = mounts(&case, "add", &container, &json!([good, good, bad]));
        let text = done.fails();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(table(&container), before, "{text}");
    }
}

/// Paths are resolved in the container: a link in it leads nowhere else (CVE-2021-30465).
#[test]
fn a_link_of_the_container_s_stays_inside() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = case.dir().join("victim");
    std::fs::create_dir(&victim).expect("a directory");
    let (bundle, container) = running(&case, |_| {});
    std::os::unix::fs::symlink(&victim, bundle.rootfs().join("out")).expect("a link");
    let tmpfs = |destination: &str| json!({"destination": destination, "type": "tmpfs"});
    let inner = bundle.rootfs().join(victim.strip_prefix("/").expect("absolute"));
    // The link's target is created inside, and the second time it exists.
    for _ in 0..2 {
        mounts(&case, "add", &container, &json!([tmpfs("/out/new")])).ok();
        assert!(inner.join("new").is_dir());
        mounts(&case, "remove", &container, &json!([tmpfs("/x/../out/new")])).ok();
    }
    // `add` follows a link that is the last component, also to undo its own mount, but `remove`
    // does not: the link could lead to a mask.
    let before = table(&container);
    let list = json!([tmpfs("/out"), {"destination": "/tmp", "type": "nopefs"}]);
    mounts(&case, "add", &container, &list).fails();
    assert_eq!(table(&container), before);
    mounts(&case, "add", &container, &json!([tmpfs("out")])).ok();
    let text = mounts(&case, "remove", &container, &json!([tmpfs("/out")])).fails().to_owned();
    assert!(text.contains("EINVAL") && text.contains("symbolic link"), "{text}");
    let place = format!("/{}", inner.strip_prefix(bundle.rootfs()).expect("inside").display());
    mounts(&case, "remove", &container, &json!([tmpfs(&place)])).ok();
    assert_eq!(table(&container), before);
    assert_eq!(std::fs::read_dir(&victim).expect("the directory").count(), 0);
    // The processes of the container have a root already.
    let text = mounts(&case, "add", &container, &json!([tmpfs("/")])).fails().to_owned();
    assert!(text.contains("keep the root"), "{text}");
    assert_eq!(table(&container), before);
}

#[test]
fn missing_containers_and_wrong_documents_are_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let (_bundle, mut container) = running(&case, |_| {});
    let done = mounts(&case, "add", &container, &json!({"destination": "/tmp"}));
    assert!(done.fails().contains("mounts.json:1:1: expected an array"), "{done}");
    container.kill("KILL");
    container.ended();
    until("stopped", || container.status() == "stopped");
    let done = mounts(&case, "add", &container, &json!([{"destination": "/x", "type": "tmpfs"}]));
    assert!(done.fails().contains("container not running"), "{done}");
    let done = case.tiny_ce(["mounts", "remove", "nobody", "mounts.json"]);
    assert!(done.fails().contains("container does not exist"), "{done}");
}
