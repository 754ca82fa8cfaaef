//! Destinations and sources of mounts: links of the image, `..`, relative paths, the root itself,
//! and sources that an earlier mount of the same config makes.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tiny_ce_test::{Bundle, Case, Done};

fn tmpfs(destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options})
}

/// A directory of the host with the file `f`, and a writable bundle.
fn ground(case: &Case) -> (Bundle, String, String) {
    let mut bundle = case.bundle();
    bundle.set("/root/readonly", false);
    let dir = case.dir().join("host");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("f"), "of the host").expect("a file");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    (bundle, text(&dir), text(&dir.join("f")))
}

fn link(bundle: &Bundle, name: &str, target: &str) {
    let path = bundle.rootfs().join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    symlink(target, path).expect("a link");
}

/// Check that something is mounted at `place`.
#[track_caller]
fn mounted(done: &Done, place: &str) {
    let lines = done.values("mount");
    let there = lines.iter().any(|line| line.split(' ').nth(4) == Some(place));
    assert!(there, "{place}: not mounted: {done}");
}

/// The target of a dangling link is created, as if config.json had named it; modes are those of
/// runc.
#[test]
fn targets_of_dangling_links_are_made() {
    let Some(case) = Case::root(&[]) else { return };
    for (name, target, destination, place) in [
        ("etc/resolv.conf", "../run/systemd/resolve/stub.conf", "/etc/resolv.conf", ""),
        ("etc/resolv.conf", "/run/systemd/resolve/stub.conf", "/etc/resolv.conf", ""),
        ("etc/resolv.conf", "../../../run/systemd/resolve/stub.conf", "/etc/resolv.conf", ""),
        ("conf", "run/systemd", "/conf/resolve/stub.conf", ""),
        ("var/run", "/run", "/var/run/systemd/resolve/stub.conf", ""),
        ("x", "missing/../run/systemd", "/x/resolve/./stub.conf", ""),
        ("data", "/run/systemd/resolve", "/data", "dir"),
        ("data", "run", "/data/systemd/resolve", "dir"),
        ("data", "run/systemd/resolve/", "/data/", "dir"),
    ] {
        let (mut bundle, dir, file) = ground(&case);
        link(&bundle, name, target);
        let directory = place == "dir";
        let (source, place) = match directory {
            true => (&dir, "/run/systemd/resolve"),
            false => (&file, "/run/systemd/resolve/stub.conf"),
        };
        bundle.bind(source, destination, &["rbind", "ro"]);
        let read = if directory { format!("{place}/f") } else { place.to_owned() };
        bundle.probe(&format!("cat {read} then say - then mounts then stat /run/systemd"));
        // In the second run, all targets exist.
        for _ in 0..2 {
            let done = case.run(&bundle);
            assert!(done.ok().starts_with("of the host-\n"), "{name} -> {target}: {done}");
            mounted(&done, place);
            assert!(done.value("stat /run/systemd").contains("directory mode=0755"), "{done}");
        }
        let made = fs::symlink_metadata(bundle.rootfs().join(&place[1..])).expect("a mount point");
        let mode = if directory { 0o755 } else { 0o644 };
        assert_eq!((made.is_dir(), made.permissions().mode() & 0o7777), (directory, mode));
        assert!(!bundle.rootfs().join("missing").exists(), "{target}");
    }
}

#[test]
fn links_lead_through_links() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, dir, file) = ground(&case);
    link(&bundle, "var/run", "../run");
    link(&bundle, "var/lock", "/var/run/lock");
    link(&bundle, "many", "var/lock/many");
    bundle.bind(&dir, "/many/deep", &["bind"]).bind(&file, "/var/lock/file", &["bind"]);
    bundle.probe("cat /run/lock/many/deep/f then cat /run/lock/file then say - then mounts");
    let done = case.run(&bundle);
    assert!(done.ok().starts_with("of the hostof the host-\n"), "{done}");
    mounted(&done, "/run/lock/many/deep");
    mounted(&done, "/run/lock/file");
    // A loop of links is an error.
    for name in ["a", "b"] {
        link(&bundle, name, if name == "a" { "b/x" } else { "a/x" });
    }
    bundle.bind(&dir, "/a/there", &["bind"]);
    assert!(case.run(&bundle).fails().contains("ELOOP"));
}

/// `/dev/shm` of an image whose /dev is not a mount.
#[test]
fn shared_memory_behind_a_link_is_made() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, ..) = ground(&case);
    link(&bundle, "dev/shm", "/run/shm");
    let below_dev = |mount: &Value| mount["destination"].as_str().is_some_and(|d| d != "/dev");
    let mounts = bundle.config["mounts"].as_array().expect("mounts").clone();
    let mounts: Vec<Value> = mounts.into_iter().filter(below_dev).collect();
    bundle.set("/mounts", mounts).probe("mounts then write /dev/shm/x y then stat /run/shm/x");
    let done = case.run(&bundle);
    mounted(&done, "/run/shm");
    assert!(done.value("stat /run/shm/x").starts_with("file"), "{done}");
}

/// A file cannot be mounted on a directory, nor a directory on a file, nor anything below a file.
#[test]
fn a_file_and_a_directory_on_each_other_are_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, dir, file) = ground(&case);
    bundle.file("a/file", "");
    let mounts = bundle.config["mounts"].clone();
    for (source, destination, hint) in [
        (&file, "/a", "a file on a file"),
        (&dir, "/a/file", "is a file where a directory has to be"),
        (&dir, "/a/file/below", "is a file where a directory has to be"),
    ] {
        bundle.set("/mounts", mounts.clone()).bind(source, destination, &["bind"]);
        let text = case.run(&bundle).fails().to_owned();
        assert!(text.contains(destination) && text.contains(hint), "{text}");
    }
}

/// The working directory, and the directory of a device, are created in the same way.
#[test]
fn other_paths_are_made_along_links() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, ..) = ground(&case);
    link(&bundle, "job", "/srv/job");
    link(&bundle, "nodes", "srv/nodes");
    bundle.set("/process/cwd", "/job/here");
    bundle.push("/linux/devices", json!({"path": "/nodes/x", "type": "c", "major": 1, "minor": 3}));
    bundle.probe("cwd then stat /srv/nodes/x");
    let done = case.run(&bundle);
    assert_eq!(done.value("cwd"), "/srv/job/here");
    assert!(done.value("stat /srv/nodes/x").contains("rdev=1:3"), "{done}");
    // The component before a `..` must exist when init enters the program's directory.
    bundle.set("/process/cwd", "/not/../srv");
    assert_eq!(case.run(&bundle).value("cwd"), "/srv");
}

/// An earlier mount may bring a link that is on the path of a later one.
#[test]
fn links_in_earlier_mounts_are_followed() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, dir, file) = ground(&case);
    let volume = case.dir().join("volume");
    fs::create_dir(&volume).expect("a directory");
    symlink("/abs/there", volume.join("absolute")).expect("a link");
    symlink("inside/there", volume.join("relative")).expect("a link");
    // A link that an earlier mount covers is not followed.
    link(&bundle, "volume/plain", "/covered");
    link(&bundle, "again", "/volume/absolute/twice");
    bundle.bind(volume.to_str().expect("UTF-8"), "/volume", &["rbind"]);
    bundle.bind(&dir, "/volume/absolute/deep", &["bind"]);
    bundle.bind(&file, "/volume/relative/file", &["bind"]);
    bundle.bind(&dir, "/volume/plain/dir", &["bind"]);
    bundle.bind(&dir, "/again", &["bind"]);
    bundle.push("/mounts", tmpfs("/fresh", &[]));
    link(&bundle, "fresh/shm", "/covered");
    bundle.bind(&dir, "/fresh/shm/dir", &["bind"]);
    bundle.probe("mounts then stat /covered");
    let done = case.run(&bundle);
    for place in [
        "/abs/there/deep",
        "/volume/inside/there/file",
        "/volume/plain/dir",
        "/abs/there/twice",
        "/fresh/shm/dir",
    ] {
        mounted(&done, place);
    }
    assert_eq!(done.value("stat /covered"), "ENOENT");
}

#[test]
fn relative_destinations_and_parents_are_taken_from_the_root() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, dir, file) = ground(&case);
    link(&bundle, "link", "there/deep");
    fs::create_dir_all(bundle.rootfs().join("there/deep")).expect("a directory");
    bundle.file("etc/passwd", "");
    for (destination, place) in [
        ("relative/dir", "/relative/dir"),
        ("../../up", "/up"),
        ("/a/../b/./c", "/b/c"),
        ("/link/../beside", "/there/beside"),
        ("/etc/passwd/../by", "/etc/by"),
    ] {
        bundle.bind(&dir, destination, &["bind"]).probe(&format!("mounts then cat {place}/f"));
        let done = case.run(&bundle);
        mounted(&done, place);
        let warned = format!("{destination:?} is relative, which is deprecated");
        assert_eq!(done.stderr.contains(&warned), !destination.starts_with('/'), "{done}");
    }
    assert!(!bundle.rootfs().join("a").exists());
    bundle.bind(&file, "etc/../etc/new", &["bind"]).probe("cat /etc/new");
    assert_eq!(case.run(&bundle).ok(), "of the host");
    // The default config, with each destination without its leading slash.
    let mut bundle = case.bundle();
    for mount in bundle.config["mounts"].as_array_mut().expect("mounts") {
        mount["destination"] = mount["destination"].as_str().expect("a path")[1..].into();
    }
    bundle.probe("stat /dev/shm then stat /proc/self then stat /sys/fs/cgroup then stat /dev/null");
    let done = case.run(&bundle);
    assert!(done.value("stat /dev/null").contains("rdev=1:3"), "{done}");
    assert!(done.value("stat /dev/shm").contains("mode=01777"), "{done}");
}

/// A mount on the root becomes the root, for all later mounts and for the program.
#[test]
fn the_root_can_be_mounted_on() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, dir, _) = ground(&case);
    let other = case.bundle();
    other.file("mark", "the other");
    link(&bundle, "to-root", "/");
    let root = other.rootfs();
    let root = root.to_str().expect("UTF-8");
    for destination in ["/", "//.", "..", "/to-root"] {
        let mounts = bundle.config["mounts"].clone();
        bundle.bind(root, destination, &["rbind"]).bind(&dir, "/late/dir", &["bind"]);
        let list = bundle.config["mounts"].as_array_mut().expect("mounts");
        let own = list.len() - 2;
        list.rotate_left(own);
        bundle
            .probe("cat /mark then say - then mounts then write /dev/shm/x y then cat /late/dir/f");
        for read_only in [false, true] {
            bundle.set("/root/readonly", read_only);
            let done = case.run(&bundle);
            assert!(done.ok().starts_with("the other-\n"), "{destination}: {done}");
            for place in ["/", "/proc", "/dev", "/late/dir"] {
                mounted(&done, place);
            }
            let lines = done.values("mount");
            let line = lines.iter().rfind(|line| line.split(' ').nth(4) == Some("/"));
            let options = line.and_then(|line| line.split(' ').nth(5)).expect("options");
            assert_eq!(options.starts_with("ro"), read_only, "{done}");
            let warned = done.stderr.contains("covers root.path");
            assert_eq!(warned, destination != "/to-root", "{done}");
        }
        bundle.set("/mounts", mounts);
    }
    // A remount of the root changes the mount that is there.
    bundle.set("/root/readonly", false);
    bundle.push("/mounts", json!({"destination": "/", "options": ["remount", "bind", "ro"]}));
    bundle.probe("write /x y");
    let done = case.run(&bundle);
    assert_eq!(done.value("write /x"), "EROFS");
    assert_eq!(done.stderr, "");
}

/// The rootfs has a path on the host: a mount below it can be the source of a later one.
#[test]
fn earlier_mounts_make_sources() {
    let Some(case) = Case::root(&[]) else { return };
    for user in [false, true] {
        let (mut bundle, dir, _) = ground(&case);
        if user {
            let map = json!([{"containerID": 0, "hostID": 0, "size": 65_536}]);
            bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
            bundle.namespace("user", None);
        }
        let alias = case.dir().join("alias");
        let _ = fs::remove_file(&alias);
        symlink(bundle.path(), &alias).expect("a link");
        let root = bundle.rootfs();
        let inside = |name: &str| root.join(name).to_str().expect("UTF-8").to_owned();
        bundle.push("/mounts", tmpfs("/tmpfs", &["mode=711"])).bind(&dir, "/bound/dir", &["bind"]);
        bundle.bind(&inside("tmpfs"), "/of-tmpfs", &["rbind"]);
        bundle.bind(&inside("bound/dir/f"), "/of-file", &["bind"]);
        bundle.bind(&inside("bound"), "/of-parent", &["rbind"]);
        bundle.bind("rootfs/bound/../tmpfs", "/of-relative", &["bind"]);
        bundle.bind(&format!("{}/rootfs/bound/dir", alias.display()), "/of-alias", &["bind"]);
        // A file that an earlier mount covers is not the source.
        bundle.file("tmp/covered", "not seen");
        bundle.push("/mounts", tmpfs("/tmp", &["mode=712"]));
        bundle.bind(&inside("tmp"), "/of-covered", &["bind"]);
        bundle.probe(
            "cat /of-file then cat /of-parent/dir/f then cat /of-alias/f then say - then \
             write /tmpfs/x y then stat /of-tmpfs/x then stat /of-relative/x then \
             stat /of-covered then stat /of-covered/covered",
        );
        let done = case.run(&bundle);
        assert!(done.ok().starts_with("of the hostof the hostof the host-\n"), "{done}");
        assert!(done.value("stat /of-tmpfs/x").starts_with("file"), "{done}");
        assert!(done.value("stat /of-relative/x").starts_with("file"), "{done}");
        assert!(done.value("stat /of-covered").contains("mode=0712"), "{done}");
        assert_eq!(done.value("stat /of-covered/covered"), "ENOENT");
        // A source that no earlier mount makes is missing.
        bundle.bind(&inside("tmpfs/nothing"), "/x", &["bind"]);
        let text = case.run(&bundle).fails().to_owned();
        assert!(text.contains("rootfs/tmpfs/nothing") && text.contains("ENOENT"), "{text}");
    }
}

/// A tmpfs without a mode takes the mode of the directory under it, as earlier mounts leave it.
#[test]
fn a_tmpfs_has_the_mode_of_the_directory_under_it() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, dir, _) = ground(&case);
    for (path, mode) in [(Path::new(&dir).join("below"), 0o710), (bundle.rootfs().join("t"), 0o701)]
    {
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    fs::create_dir_all(bundle.rootfs().join("bound/below")).expect("a directory");
    link(&bundle, "link", "/t");
    bundle.bind(&dir, "/bound", &["bind"]);
    for destination in ["/bound/below", "/link", "/fresh/of/parents", "/fresh/of", "/fresh/of/new"]
    {
        bundle.push("/mounts", tmpfs(destination, &[]));
    }
    bundle.push("/mounts", tmpfs("/given", &["mode=700"])).push("/mounts", tmpfs("/given", &[]));
    bundle.probe(
        "stat /bound/below then stat /t then stat /fresh/of then stat /fresh/of/new then \
         stat /given",
    );
    let done = case.run(&bundle);
    for (path, mode) in [
        ("/bound/below", "mode=0710"),
        ("/t", "mode=0701"),
        ("/fresh/of", "mode=0755"),
        ("/fresh/of/new", "mode=01777"),
        ("/given", "mode=0700"),
    ] {
        assert!(done.value(&format!("stat {path}")).contains(mode), "{path}: {done}");
    }
}

/// Some files of /proc may be covered, also by another path that leads to them; no other files may.
#[test]
fn files_of_proc_are_covered_through_links() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut bundle, _, file) = ground(&case);
    link(&bundle, "kernel", "/proc");
    link(&bundle, "memory", "kernel/meminfo");
    for destination in ["/kernel/uptime", "/memory", "/x/../proc/stat"] {
        bundle.bind(&file, destination, &["bind", "ro"]);
    }
    bundle.probe("cat /proc/uptime then cat /proc/meminfo then cat /proc/stat");
    assert_eq!(case.run(&bundle).ok(), "of the host".repeat(3));
    for destination in ["/kernel/version", "/kernel/sys/kernel/hostname", "/proc/x/../version"] {
        let mut bundle = bundle_with(&case, &file, destination);
        link(&bundle, "kernel", "/proc");
        bundle.probe("pid");
        let done = case.run(&bundle);
        assert!(done.fails().contains(destination), "{done}");
    }
}

fn bundle_with(case: &Case, file: &str, destination: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/root/readonly", false).bind(file, destination, &["bind"]);
    bundle
}
