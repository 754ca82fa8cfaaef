//! Options of `mounts`: flags, parameters, id mappings, links, and remounts.

use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use tiny_ce_test::{Bundle, Case, Done, Need};

fn tmpfs(destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options})
}

/// The words of mountinfo for the topmost mount on `destination`: those of the mount, and those of
/// the file system.
fn flags(done: &Done, destination: &str) -> (Vec<String>, Vec<String>) {
    let lines = done.values("mount");
    let line = lines.iter().rfind(|line| line.split(' ').nth(4) == Some(destination));
    let line = line.unwrap_or_else(|| panic!("{destination}: no mount: {done}"));
    let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let own = words(line.split(' ').nth(5).expect("options"));
    (own, words(line.rsplit(' ').next().expect("options")))
}

/// The mount points, in order.
fn places(done: &Done) -> Vec<&str> {
    done.values("mount").iter().filter_map(|line| line.split(' ').nth(4)).collect()
}

#[track_caller]
fn has(words: &[String], wanted: &[&str], not: &[&str]) {
    for word in wanted {
        assert!(words.iter().any(|w| w == word), "{word}: {words:?}");
    }
    for word in not {
        assert!(!words.iter().any(|w| w == word), "{word}: {words:?}");
    }
}

#[test]
fn flags_are_the_kernels() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let all = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"];
    let super_block = ["sync", "dirsync", "lazytime", "mand", "iversion", "nr_inodes=77"];
    for mount in [
        tmpfs("/set", &all),
        tmpfs("/later", &[&all[..], &["rw", "suid", "dev", "exec", "symfollow"]].concat()),
        tmpfs("/diratime", &["nodiratime", "diratime", "strictatime"]),
        // As mount(2) reads its flags: strictatime before noatime before relatime.
        tmpfs("/relatime", &["noatime", "atime"]),
        tmpfs("/noatime", &["noatime", "relatime"]),
        tmpfs("/strict", &["strictatime", "noatime", "atime"]),
        tmpfs("/usual", &["strictatime", "nostrictatime", "norelatime"]),
        tmpfs("/super", &super_block),
        tmpfs("/together", &["nr_inodes=77,,mode=700", "", "sync,mpol=bind:0,0,size=64k"]),
        tmpfs("/not", &["sync", "async", "mand", "nomand", "lazytime", "nolazytime", "loud"]),
        tmpfs("/plain", &["defaults", "silent", "noiversion", "rnomand", "rasync"]),
    ] {
        bundle.push("/mounts", mount);
    }
    bundle.probe("mounts");
    let done = case.run(&bundle);
    has(&flags(&done, "/set").0, &all, &["relatime"]);
    has(&flags(&done, "/later").0, &["rw", "noatime", "nodiratime"], &all[..4]);
    has(&flags(&done, "/later").0, &[], &["nosymfollow"]);
    has(&flags(&done, "/diratime").0, &["rw"], &["nodiratime", "relatime", "noatime"]);
    has(&flags(&done, "/relatime").0, &["relatime"], &["noatime"]);
    has(&flags(&done, "/noatime").0, &["noatime"], &[]);
    has(&flags(&done, "/usual").0, &["relatime"], &[]);
    has(&flags(&done, "/strict").0, &[], &["relatime", "noatime"]);
    has(&flags(&done, "/super").1, &["sync", "dirsync", "mand", "nr_inodes=77"], &[]);
    has(&flags(&done, "/together").1, &["sync", "nr_inodes=77", "mode=700", "size=64k"], &[]);
    has(&flags(&done, "/not").1, &[], &["sync", "mand", "lazytime"]);
    has(&flags(&done, "/plain").0, &["rw", "relatime"], &[]);
}

/// A recursive option also applies to the mounts below the source.
#[test]
fn recursive_flags_reach_what_is_below() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.push("/mounts", tmpfs("/src", &[]));
    bundle.push("/mounts", tmpfs("/src/below", &["nosuid", "noatime"]));
    // The source of a bind must be mounted on the host, since the container's own mounts cannot be
    // one.
    let set =
        ["rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime", "rnosymfollow", "rbind"];
    let clear = [
        "rbind",
        "rrw",
        "rsuid",
        "rdev",
        "rexec",
        "rdiratime",
        "rsymfollow",
        "rrelatime",
        "rnostrictatime",
    ];
    bundle.bind("/sys", "/mnt/set", &set);
    bundle.bind("/sys", "/mnt/clear", &[&set[..7], &clear[..]].concat());
    bundle.bind("/sys", "/mnt/strict", &["rbind", "rstrictatime"]);
    bundle.bind("/sys", "/mnt/own", &["rbind", "ro", "nosymfollow"]);
    bundle.probe("mounts");
    let done = case.run(&bundle);
    let all = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"];
    for place in ["/mnt/set", "/mnt/set/fs/cgroup"] {
        has(&flags(&done, place).0, &all, &[]);
    }
    for place in ["/mnt/clear", "/mnt/clear/fs/cgroup"] {
        has(&flags(&done, place).0, &["rw", "relatime"], &all);
    }
    has(&flags(&done, "/mnt/strict/fs/cgroup").0, &[], &["relatime", "noatime"]);
    // Other options apply to the one mount only.
    has(&flags(&done, "/mnt/own").0, &["ro", "nosymfollow"], &[]);
    has(&flags(&done, "/mnt/own/fs/cgroup").0, &["rw"], &["nosymfollow"]);
}

#[test]
fn sources_are_the_hosts_and_destinations_are_made() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    // A relative source is below the bundle.
    let dir = bundle.path().join("data");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("file"), "here").expect("a file");
    bundle.bind("data", "/made/deep/dir", &["bind"]);
    bundle.bind("data/file", "/made/deep/file", &["bind", "ro"]);
    bundle.push(
        "/mounts",
        json!({"destination": "/made/./x/", "source": "data",
        "options": ["rbind"]}),
    );
    bundle.probe(
        "cat /made/deep/dir/file then cat /made/deep/file then cat /made/x/file \
                  then say - then stat /made/deep/file then mounts",
    );
    let done = case.run(&bundle);
    assert!(done.ok().starts_with("hereherehere-\n"), "{done}");
    assert!(done.value("stat /made/deep/file").starts_with("file"), "{done}");
    // Only the listed mounts exist.
    bundle.set("/mounts", json!([{"destination": "/proc", "type": "proc"}])).probe("mounts");
    bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    let done = case.run(&bundle);
    assert_eq!(places(&done), ["/", "/proc"], "{done}");
}

#[test]
fn a_mount_that_fails_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let refused = |mount: Value, parts: &[&str]| {
        let mut bundle = case.bundle();
        bundle.push("/mounts", mount);
        let done = case.run(&bundle);
        let text = done.fails();
        assert!(text.contains("mounts[7]"), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    refused(json!({"destination": "/x", "type": "nopefs"}), &["nopefs", "ENODEV"]);
    // The kernel's own message.
    refused(tmpfs("/x", &["colour=red"]), &["Unknown parameter 'colour'"]);
    refused(json!({"destination": "/x", "type": "bind", "source": "/nope"}), &["/nope", "ENOENT"]);
    refused(json!({"destination": "/nope", "options": ["remount", "ro"]}), &["ENOENT"]);
    refused(json!({"destination": "/etc", "options": ["remount", "ro"]}), &["EINVAL"]);
}

#[test]
fn a_remount_changes_an_existing_mount() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.push("/mounts", tmpfs("/some", &["nodev"]));
    let more = json!(["remount", "ro", "nosuid", "size=64k"]);
    bundle.push("/mounts", json!({"destination": "/some", "options": more}));
    bundle.push(
        "/mounts",
        json!({"destination": "/dev/shm", "type": "bind", "source": "x",
        "options": ["bind", "remount", "dev", "ro"]}),
    );
    bundle.probe("mounts");
    let done = case.run(&bundle);
    assert_eq!(places(&done).iter().filter(|place| **place == "/some").count(), 1, "{done}");
    let (own, of_all) = flags(&done, "/some");
    has(&own, &["ro", "nosuid"], &["nodev"]);
    has(&of_all, &["rw", "size=64k"], &[]);
    has(&flags(&done, "/dev/shm").0, &["ro"], &["nosuid", "noexec", "nodev"]);
}

/// crun's options for symbolic links at the source or the destination.
#[test]
fn links_are_followed_copied_or_covered() {
    let Some(case) = Case::root(&[]) else { return };
    let source = case.dir().join("source");
    fs::create_dir(&source).expect("a directory");
    fs::write(source.join("file"), "of the host").expect("a file");
    symlink("file", source.join("link")).expect("a link");
    let path = |name: &str| source.join(name).to_str().expect("UTF-8").to_owned();
    let mut bundle = case.bundle();
    symlink("/elsewhere", bundle.rootfs().join("points")).expect("a link");
    bundle.bind(&path("link"), "/followed", &["bind"]);
    bundle.bind(&path("link"), "/kept/copy", &["bind", "copy-symlink"]);
    bundle.bind(&path("file"), "/no-link", &["bind", "copy-symlink"]);
    bundle.bind(&path("link"), "/itself", &["bind", "src-nofollow", "dest-nofollow"]);
    bundle.bind(&path("file"), "/points", &["bind", "dest-nofollow"]);
    bundle.probe(
        "cat /followed then cat /no-link then say - then readlink /kept/copy then mounts then \
         stat /elsewhere",
    );
    // In the second run, the copy exists.
    for _ in 0..2 {
        let done = case.run(&bundle);
        assert!(done.ok().starts_with("of the hostof the host-\n"), "{done}");
        assert_eq!(done.value("readlink /kept/copy"), "file");
        for place in ["/itself", "/points"] {
            flags(&done, place);
        }
        assert_eq!(done.value("stat /elsewhere"), "ENOENT");
    }
    bundle.bind(&path("link"), "/etc/passwd", &["bind", "copy-symlink"]);
    let done = case.run(&bundle);
    assert!(
        done.fails().contains("EEXIST") && done.stderr.contains("another file exists"),
        "{done}"
    );
}

fn ids(first: u32) -> Value {
    json!([{"containerID": 0, "hostID": first, "size": 1000}])
}

/// Whether tmpfs supports id-mapped mounts, as it does since Linux 6.3.
fn tmpfs_maps_ids() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(3))
}

/// Whether the file system that holds a directory supports them: the first root of a machine does
/// not, although it is a tmpfs otherwise.
fn maps_ids(path: &std::path::Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let holds = mounts.lines().filter_map(|line| {
        let point = line.split(' ').nth(4).filter(|point| path.starts_with(point))?;
        Some((point.len(), line.split(" - ").nth(1)?.split(' ').next()?))
    });
    // Of two mounts at one place, the last one is on top.
    match holds.max_by_key(|(length, _)| *length).expect("a mount").1 {
        "rootfs" | "ramfs" => false,
        "tmpfs" => tmpfs_maps_ids(),
        _ => true,
    }
}

/// A file owned by 5 and 6 in a directory of its own.
fn owned(case: &Case) -> String {
    let source = case.dir().join("owned");
    fs::create_dir(&source).expect("a directory");
    fs::write(source.join("file"), "").expect("a file");
    chown(source.join("file"), Some(5), Some(6)).expect("chown");
    source.to_str().expect("UTF-8").to_owned()
}

#[test]
fn ids_of_mounts_are_mapped() {
    let Some(case) = Case::root(&[]) else { return };
    let source = owned(&case);
    let mut bundle = case.bundle();
    bundle.bind(&source, "/mapped", &["bind"]);
    bundle.mount("/mapped")["uidMappings"] = ids(2000);
    bundle.mount("/mapped")["gidMappings"] = ids(3000);
    bundle.bind(&source, "/words", &["rbind", "ridmap=uids=5-77-1;gids=0-0-1#6-88-1"]);
    bundle.push("/mounts", tmpfs("/tmpfs", &["idmap=uids=0-40-1;gids=0-41-1", "mode=700"]));
    bundle.probe("stat /mapped/file then stat /words/file then stat /tmpfs");
    let done = case.run(&bundle);
    if !tmpfs_maps_ids() || !maps_ids(case.dir()) {
        assert!(done.fails().contains("must support id-mapped mounts"), "{done}");
        return;
    }
    assert!(done.value("stat /mapped/file").contains("uid=2005 gid=3006"), "{done}");
    assert!(done.value("stat /words/file").contains("uid=77 gid=88"), "{done}");
    assert!(done.value("stat /tmpfs").contains("uid=40 gid=41"), "{done}");
}

/// Without a mapping of its own, a mount takes the container's: the owner 0 on disk is root inside.
#[test]
fn ids_of_mounts_follow_the_user_namespace() {
    let Some(case) = Case::root(&[]) else { return };
    let source = owned(&case);
    let mut bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None).set("/root/readonly", false);
    // Root inside cannot create files in a rootfs that it does not own.
    for name in ["own/x", "relative/x", "plain/x"] {
        bundle.file(name, "");
    }
    bundle.bind(&source, "/own", &["bind", "idmap"]);
    bundle.bind(&source, "/relative", &["bind", "idmap=uids=@5-7-1;gids=@6-8-1"]);
    bundle.bind(&source, "/plain", &["bind"]);
    bundle.probe("stat /own/file then stat /relative/file then stat /plain/file then pause");
    if !maps_ids(case.dir()) {
        assert!(case.run(&bundle).fails().contains("must support id-mapped mounts"));
        return;
    }
    let mut container = case.create(&bundle);
    container.start();
    let stat = container.line("stat /own/file:");
    assert!(stat.contains("uid=5 gid=6"), "{stat}");
    let stat = container.line("stat /relative/file:");
    assert!(stat.contains("uid=7 gid=8"), "{stat}");
    let stat = container.line("stat /plain/file:");
    assert!(stat.contains("uid=65534 gid=65534"), "{stat}");
    container.line("ready:");
    // A user namespace that is joined gives its path only, not its mappings.
    let mut other = case.bundle();
    let path = format!("/proc/{}/ns/user", container.pid());
    other.file("own/x", "");
    other.namespace("user", Some(path.as_ref())).bind(&source, "/own", &["bind", "idmap"]);
    other.probe("stat /own/file");
    let done = case.run(&other);
    assert!(done.value("stat /own/file").contains("uid=5 gid=6"), "{done}");
    container.tiny_ce("delete", ["--force"]).ok();
    container.ended();
}

/// The launcher opens the source, which the mapped user could not reach.
#[test]
fn a_source_that_the_mapped_user_cannot_reach_is_mounted() {
    let Some(case) = Case::root(&[]) else { return };
    let locked = case.dir().join("locked");
    fs::create_dir_all(locked.join("data")).expect("a directory");
    fs::write(locked.join("data/file"), "reached").expect("a file");
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("chmod");
    let mut bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
    bundle.file("data/x", "");
    bundle.bind(locked.join("data").to_str().expect("UTF-8"), "/data", &["rbind", "ro"]);
    bundle.probe("cat /data/file then say - then write /data/new x");
    let done = case.run(&bundle);
    assert!(done.ok().starts_with("reached-\n"), "{done}");
    assert_ne!(done.value("write /data/new"), "ok");
}

/// Where something covers a part of the host's /sys, as in a container, no sysfs can be mounted in
/// a user namespace: the host's is bound, with what covers it.
#[test]
fn sysfs_is_the_hosts_where_a_part_of_it_is_covered() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let mut bundle: Bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
    let look = "stat /sys/kernel then write /sys/kernel/x y then list /sys/module then mounts";
    bundle.probe(look);
    let (state, path) = (case.state(), bundle.path().to_owned());
    let covered = "mount -t tmpfs t /sys/module && exec \"$@\"";
    let tiny_ce = tiny_ce_test::tiny_ce();
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", covered, "sh"];
    let mut words: Vec<OsString> = unshare.map(OsString::from).to_vec();
    words.extend([tiny_ce.into(), "--root".into(), state.into(), "run".into()]);
    words.extend(["--bundle".into(), path.into(), case.id().into()]);
    let done = case.program(words);
    has(&flags(&done, "/sys").0, &["ro", "nosuid", "nodev", "noexec"], &[]);
    assert!(done.value("stat /sys/kernel").starts_with("directory"), "{done}");
    assert_ne!(done.value("write /sys/kernel/x"), "ok", "{done}");
    assert_eq!(done.values("entry"), [""; 0], "{done}");
}

/// A sysfs for the host's network namespace cannot be mounted in a user namespace: the host's is
/// bound.
#[test]
fn sysfs_of_the_hosts_network_is_the_hosts() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle: Bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None).without_namespace("network");
    bundle
        .probe("mounts then stat /sys/kernel then write /sys/kernel/x y then list /sys/class/net");
    let done = case.run(&bundle);
    has(&flags(&done, "/sys").0, &["ro", "nosuid", "nodev", "noexec"], &[]);
    assert!(done.value("stat /sys/kernel").starts_with("directory"), "{done}");
    assert!(done.values("entry").contains(&"lo"), "{done}");
    // With a network namespace of its own, the container mounts its own sysfs.
    bundle.namespace("network", None);
    let done = case.run(&bundle);
    assert_eq!(done.values("entry"), ["lo"], "{done}");
}
