//! `root`, `mounts`, and which files are masked, read-only, created or shared.

use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use tiny_ce_test::{Bundle, Case, Need};

#[test]
fn a_read_only_root_is_read_only() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("write /etc/x y then write /dev/shm/x y then mkdir /x");
    let done = case.run(&bundle);
    assert_eq!(done.value("write /etc/x"), "EROFS");
    assert_eq!(done.value("mkdir /x"), "EROFS");
    assert_eq!(done.value("write /dev/shm/x"), "ok");
    bundle.set("/root/readonly", false);
    assert_eq!(case.run(&bundle).value("write /etc/x"), "ok");
    assert_eq!(fs::read(bundle.rootfs().join("etc/x")).expect("written"), b"y");
}

#[test]
fn masked_paths_are_empty_and_read_only_paths_are_not_written() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/root/readonly", false);
    bundle.file("etc/secret", "secret");
    bundle.file("srv/secret/file", "secret");
    bundle.file("srv/kept/file", "kept");
    for path in ["/etc/secret", "/srv/secret", "/not/there"] {
        bundle.push("/linux/maskedPaths", path);
    }
    for path in ["/srv/kept", "/etc/passwd", "/not/there"] {
        bundle.push("/linux/readonlyPaths", path);
    }
    bundle.probe(
        "cat /etc/secret then stat /etc/secret then list /srv/secret then write /srv/secret/x y \
         then write /srv/kept/file y then cat /srv/kept/file then say - then append /etc/passwd y \
         then list /proc/scsi then cat /proc/kcore then write /proc/sys/kernel/hostname y",
    );
    let done = case.run(&bundle);
    assert!(!done.ok().lines().any(|line| line.starts_with("secret")), "{done}");
    assert!(done.value("stat /etc/secret").contains("rdev=1:3"), "{done}");
    assert_eq!(done.value("list /srv/secret"), "ok");
    assert_eq!(done.values("entry"), Vec::<&str>::new(), "{done}");
    assert_eq!(done.value("write /srv/secret/x"), "EROFS");
    assert_eq!(done.value("write /srv/kept/file"), "EROFS");
    assert_eq!(done.value("append /etc/passwd"), "EROFS");
    assert_eq!(done.value("write /proc/sys/kernel/hostname"), "EROFS");
}

/// As under both peers, paths are resolved inside the root; a path without effect is a warning.
#[test]
fn a_mount_below_a_read_only_path_keeps_its_own_attributes() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    for place in ["/srv", "/srv/data"] {
        let mount = json!({ "destination": place, "type": "tmpfs", "source": "tmpfs" });
        bundle.push("/mounts", mount);
    }
    bundle.push("/linux/readonlyPaths", "/srv");
    bundle.probe("write /srv/x - then write /srv/data/x -");
    let done = case.run(&bundle);
    assert_eq!(done.value("write /srv/x"), "EROFS", "{done}");
    assert_eq!(done.value("write /srv/data/x"), "ok", "{done}");
}

#[test]
fn masked_and_read_only_paths_may_be_relative_or_repeated() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/root/readonly", false).remove("/linux/readonlyPaths");
    for name in ["a/file", "b/file", "c/file", "d/file", "e"] {
        bundle.file(&format!("srv/{name}"), "secret");
    }
    std::os::unix::fs::symlink("b", bundle.rootfs().join("srv/link")).expect("a link");
    let source = bundle.file("source/file", "secret");
    let source = source.parent().expect("a directory").to_str().expect("UTF-8");
    bundle.bind(source, "/srv/bound", &["rbind"]);
    let masked = [
        "srv/a",
        "/srv/a/",
        "/srv/link",
        "/srv/c/../c/file",
        "../srv/e",
        "/srv/e",
        "/srv/bound",
        "/not/there",
        "nowhere",
        "/",
        "",
    ];
    bundle.set("/linux/maskedPaths", serde_json::json!(masked));
    let readonly = ["srv/d", "/srv/d", "/srv/./d/../d/", "/srv/a", "/not/there", ""];
    bundle.set("/linux/readonlyPaths", serde_json::json!(readonly));
    bundle.probe(
        "cat /srv/a/file then cat /srv/b/file then cat /srv/c/file then cat /srv/e then \
         cat /srv/bound/file then write /srv/a/x y then write /srv/d/x y then write /srv/x y",
    );
    let done = case.run(&bundle);
    assert!(!done.ok().contains("secret"), "{done}");
    assert_eq!(done.value("write /srv/a/x"), "EROFS");
    assert_eq!(done.value("write /srv/d/x"), "EROFS");
    assert_eq!(done.value("write /srv/x"), "ok");
    for warning in [
        "maskedPaths[0]: \"srv/a\" is not an absolute path: taken from /",
        "maskedPaths[4]: \"../srv/e\" is not an absolute path: taken from /",
        "maskedPaths[8]: \"nowhere\" is not an absolute path: taken from /",
        "maskedPaths[9]: \"/\" is the root itself, which cannot be masked",
        "maskedPaths[10]: empty: it has no effect",
        "readonlyPaths[0]: \"srv/d\" is not an absolute path: taken from /",
        "readonlyPaths[5]: empty: it has no effect",
    ] {
        assert!(done.stderr.contains(warning), "{warning}: {done}");
    }
    assert_eq!(done.stderr.lines().count(), 7, "{done}");
    // Only the root itself becomes read-only, not the mounts in it.
    bundle.set("/linux/readonlyPaths", serde_json::json!(["/"]));
    bundle.probe("write /srv/x y then write /dev/shm/x y");
    let done = case.run(&bundle);
    assert_eq!(done.value("write /srv/x"), "EROFS");
    assert_eq!(done.value("write /dev/shm/x"), "ok");
}

#[test]
fn default_devices_and_links_exist() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe(
        "stat /dev/null then stat /dev/zero then stat /dev/full then stat /dev/random then \
         stat /dev/urandom then stat /dev/tty then readlink /dev/fd then readlink /dev/stderr then \
         readlink /dev/ptmx then open /dev/null rw then open /dev/urandom r then \
         write /dev/full x then stat /dev/shm then list /dev/mqueue",
    );
    let done = case.run(&bundle);
    for (name, number) in
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("urandom", "1:9"), ("tty", "5:0")]
    {
        let stat = done.value(&format!("stat /dev/{name}"));
        assert!(stat.starts_with("char mode=0666 uid=0 gid=0"), "{name}: {stat}");
        assert!(stat.ends_with(&format!("rdev={number}")), "{name}: {stat}");
    }
    assert_eq!(done.value("readlink /dev/fd"), "/proc/self/fd");
    assert_eq!(done.value("readlink /dev/stderr"), "/proc/self/fd/2");
    assert_eq!(done.value("readlink /dev/ptmx"), "pts/ptmx");
    assert_eq!(done.value("open /dev/null"), "ok");
    assert_eq!(done.value("write /dev/full"), "ENOSPC");
    assert!(done.value("stat /dev/shm").starts_with("directory mode=01777"), "{done}");
}

#[test]
fn configured_devices_are_made() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set(
        "/linux/devices",
        json!([
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
             "uid": 3, "gid": 4},
            {"path": "/dev/deep/loop", "type": "b", "major": 7, "minor": 300},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o600},
        ]),
    );
    bundle.probe("stat /dev/fuse then stat /dev/deep/loop then stat /dev/pipe");
    let done = case.run(&bundle);
    assert_eq!(done.value("stat /dev/fuse"), "char mode=0640 uid=3 gid=4 size=0 rdev=10:229");
    assert!(done.value("stat /dev/deep/loop").starts_with("block mode=0666"), "{done}");
    assert!(done.value("stat /dev/deep/loop").ends_with("rdev=7:300"), "{done}");
    assert!(done.value("stat /dev/pipe").starts_with("fifo mode=0600"), "{done}");
}

#[test]
fn binds_of_files_and_directories_have_their_options() {
    let Some(case) = Case::root(&[]) else { return };
    let outside = case.dir().join("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("file"), "of the host").expect("a file");
    let source = outside.to_str().expect("UTF-8").to_owned();
    let mut bundle = case.bundle();
    bundle.bind(&source, "/mnt/rw", &["rbind"]);
    bundle.bind(&source, "/mnt/ro", &["bind", "ro", "noexec", "nosuid"]);
    bundle.bind(&format!("{source}/file"), "/etc/passwd", &["bind", "ro"]);
    bundle.bind(&format!("{source}/file"), "/new/file", &["rbind", "rro"]);
    bundle.probe(
        "cat /mnt/rw/file then say - then write /mnt/rw/new x then write /mnt/ro/new y then \
         append /etc/passwd z then append /new/file z then cat /etc/passwd then say - then mounts",
    );
    let done = case.run(&bundle);
    assert_eq!(done.ok().matches("of the host").count(), 2, "{done}");
    assert_eq!(done.value("write /mnt/rw/new"), "ok");
    for name in ["write /mnt/ro/new", "append /etc/passwd", "append /new/file"] {
        assert_eq!(done.value(name), "EROFS", "{name}");
    }
    let mounts = done.values("mount");
    let line = mounts.iter().find(|line| line.contains(" /mnt/ro ")).expect("a mount");
    assert!(line.contains(" ro,nosuid,noexec"), "{line}");
    assert_eq!(fs::read(outside.join("new")).expect("written"), b"x");
}

#[test]
fn a_tmpfs_is_as_large_as_asked_and_may_start_with_the_images_files() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.file("var/cache/deep/file", "of the image");
    bundle.push(
        "/mounts",
        json!({"destination": "/var/cache", "type": "tmpfs", "source": "tmpfs",
               "options": ["tmpcopyup", "size=64k", "mode=0700", "nodev"]}),
    );
    bundle.probe(
        "cat /var/cache/deep/file then say - then write /var/cache/deep/file x then \
         stat /var/cache then mounts",
    );
    let done = case.run(&bundle);
    assert!(done.ok().starts_with("of the image-\n"), "{done}");
    assert_eq!(done.value("write /var/cache/deep/file"), "ok");
    assert!(done.value("stat /var/cache").starts_with("directory mode=0700 "), "{done}");
    let mounts = done.values("mount");
    let line = mounts.iter().find(|line| line.contains(" /var/cache ")).expect("a mount");
    assert!(line.contains("size=64k") && line.contains("nodev"), "{line}");
    let kept = fs::read(bundle.rootfs().join("var/cache/deep/file")).expect("the image's");
    assert_eq!(kept, b"of the image");
}

/// A bundle with a volume at /data, and then a tmpfs on it.
fn copied(bundle: &mut Bundle, volume: &std::path::Path) {
    bundle.bind(volume.to_str().expect("UTF-8"), "/data", &["bind"]).push(
        "/mounts",
        json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs",
               "options": ["tmpcopyup"]}),
    );
}

#[test]
fn a_tmpfs_starts_with_what_was_mounted_before() {
    let Some(case) = Case::root(&[]) else { return };
    let volume = case.dir().join("volume");
    fs::create_dir_all(&volume).expect("a volume");
    fs::write(volume.join("file"), "of the volume").expect("a file");
    let mut bundle = case.bundle();
    copied(&mut bundle, &volume);
    bundle.probe("cat /data/file then say . then write /data/file x");
    assert_eq!(case.run(&bundle).ok(), "of the volume.\nwrite /data/file: ok\n");
    assert_eq!(fs::read(volume.join("file")).expect("the volume's"), b"of the volume");
}

/// A user without a mapping is nobody, and a file that nobody may not read is not read for the
/// container.
#[test]
fn a_tmpfs_of_a_user_namespace_starts_with_what_its_root_may_read() {
    let Some(case) = Case::root(&[]) else { return };
    let volume = case.dir().join("volume");
    fs::create_dir_all(volume.join("dir")).expect("a volume");
    for (name, uid, mode) in [("own", 100_005, 0o600), ("host", 0, 0o644), ("dir/in", 0, 0o755)] {
        let path = volume.join(name);
        fs::write(&path, name).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        chown(&path, Some(uid), Some(uid)).expect("an owner");
    }
    let mut bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    fs::create_dir(bundle.rootfs().join("data")).expect("a directory");
    bundle.namespace("user", None);
    copied(&mut bundle, &volume);
    bundle.probe("stat /data/own then stat /data/host then stat /data/dir/in then stat /data");
    let done = case.run(&bundle);
    done.ok();
    for (path, wanted) in [
        ("own", "file mode=0600 uid=5 gid=5 size=3 "),
        ("host", "file mode=0644 uid=65534 gid=65534 size=4 "),
        ("dir/in", "file mode=0755 uid=65534 gid=65534 size=6 "),
    ] {
        let found = done.value(&format!("stat /data/{path}"));
        assert!(found.starts_with(wanted), "{done}");
    }
    assert!(done.value("stat /data").starts_with("directory mode=0755 uid=0 gid=0 "), "{done}");

    let secret = volume.join("host");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o640)).expect("a mode");
    let done = case.run(&bundle);
    let said = "mounts[8] \"/data\": tmpcopyup: EACCES (Permission denied)";
    assert!(done.fails().contains(said), "{done}");
}

/// HOME comes from the /etc/passwd that the program will see, even if a mount brings it.
#[test]
fn home_comes_from_the_passwd_that_the_program_sees() {
    let Some(case) = Case::root(&[]) else { return };
    let dir = case.dir().join("etc");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("passwd"), "root:x:0:0::/of/the/volume:/bin/sh\n").expect("a file");
    let (dir, file) = (dir.to_str().expect("UTF-8"), dir.join("passwd"));
    let file = file.to_str().expect("UTF-8");
    let home = |change: &dyn Fn(&mut Bundle) -> &mut Bundle| {
        let mut bundle = case.bundle();
        change(bundle.probe("env"));
        let done = case.run(&bundle);
        let home = done.ok().lines().find_map(|line| line.strip_prefix("env: HOME="));
        home.map(str::to_owned).expect("HOME")
    };
    assert_eq!(home(&|bundle| bundle), "/root");
    assert_eq!(home(&|bundle| bundle.bind(file, "/etc/passwd", &["bind"])), "/of/the/volume");
    assert_eq!(home(&|bundle| bundle.bind(dir, "/etc", &["rbind"])), "/of/the/volume");
    assert_eq!(home(&|bundle| bundle.bind(dir, "/etc/x", &["rbind"])), "/root");
    let tmpfs = |options: &[&str]| {
        json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs",
               "options": options})
    };
    assert_eq!(home(&|bundle| bundle.push("/mounts", tmpfs(&["tmpcopyup"]))), "/root");
    assert_eq!(home(&|bundle| bundle.push("/mounts", tmpfs(&["nodev"]))), "/");
    let again = json!({"destination": "/etc", "options": ["remount", "ro"]});
    let twice = home(&|bundle| bundle.bind(dir, "/etc", &["bind"]).push("/mounts", again.clone()));
    assert_eq!(twice, "/of/the/volume");
    assert_eq!(home(&|bundle| bundle.push("/linux/maskedPaths", "/etc/passwd")), "/");
}

#[test]
fn kernel_parameters_are_the_containers() {
    let Some(case) = Case::root(&[]) else { return };
    let before = fs::read_to_string("/proc/sys/kernel/msgmax").expect("a parameter");
    let mut bundle = case.bundle();
    bundle.set("/linux/sysctl", json!({"kernel.msgmax": "4242", "net.ipv4.ip_forward": "1"}));
    bundle.probe("cat /proc/sys/kernel/msgmax then cat /proc/sys/net/ipv4/ip_forward");
    assert_eq!(case.run(&bundle).ok(), "4242\n1\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/msgmax").expect("a parameter"), before);
}

/// The optional fields of mountinfo for the container's root, which show its propagation.
fn propagation(case: &Case, asked: &str) -> String {
    let mut bundle = case.bundle();
    bundle.set("/linux/rootfsPropagation", asked).probe("mounts");
    let done = case.run(&bundle);
    let mounts = done.values("mount");
    let line = mounts.iter().find(|line| line.split(' ').nth(4) == Some("/")).expect("a root");
    let fields = line.split(' ').skip(6).take_while(|field| *field != "-");
    fields.map(|field| field.split(':').next().expect("a word")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_roots_propagation_is_as_asked() {
    // In a mount namespace of its own, so that the shared mounts have no other peers.
    let ground = [Need::Program("unshare")];
    let Some(case) = Case::root(&ground) else { return };
    for asked in ["private", "rprivate"] {
        assert_eq!(propagation(&case, asked), "", "{asked}");
    }
    for asked in ["shared", "rshared"] {
        assert!(propagation(&case, asked).contains("shared"), "{asked}");
    }
    for asked in ["unbindable", "runbindable"] {
        assert_eq!(propagation(&case, asked), "unbindable", "{asked}");
    }
    for asked in ["slave", "rslave"] {
        assert!(!propagation(&case, asked).contains("shared"), "{asked}");
    }
}

#[test]
fn mounts_of_the_program_stay_in_the_container() {
    let Some(case) = Case::root(&[]) else { return };
    let before = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let mut bundle = case.bundle();
    for set in ["bounding", "permitted", "effective"] {
        bundle.push(&format!("/process/capabilities/{set}"), "CAP_SYS_ADMIN");
    }
    bundle.probe("mount tmpfs /tmp tmpfs 0 then write /tmp/x y then say ready then pause");
    let mut container = case.create(&bundle);
    container.start();
    container.line("write /tmp/x: ok");
    let after = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let ours = |text: &str| text.lines().filter(|line| line.contains(case.tag())).count();
    assert_eq!((ours(&before), ours(&after)), (0, 0));
    assert!(!bundle.rootfs().join("tmp/x").exists());
}

/// Two spellings of a path are one device; the first of several devices is made.
#[test]
fn devices_at_one_path_are_one() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let device = |path: &str, minor: u32| {
        let kind = "c";
        serde_json::json!({"path": path, "type": kind, "major": 1, "minor": minor})
    };
    let all = [("/dev/xx", 5), ("/dev//xx", 5), ("/dev/./xx", 3), ("/dev//null", 3)];
    let all: Vec<_> = all.into_iter().map(|(path, minor)| device(path, minor)).collect();
    bundle.set("/linux/devices", serde_json::json!(all));
    bundle.probe("stat /dev/xx then stat /dev/null");
    let done = case.run(&bundle);
    assert!(done.value("stat /dev/xx").ends_with("rdev=1:5"), "{done}");
    assert!(done.value("stat /dev/null").ends_with("rdev=1:3"), "{done}");
    for (index, path) in [(1, "/dev//xx"), (2, "/dev/./xx")] {
        let text = format!("linux.devices[{index}]: \"{path}\" again: the one of [0] is made");
        assert!(done.stderr.contains(&text), "{done}");
    }
}
