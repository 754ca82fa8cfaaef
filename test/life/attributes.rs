//! Attributes of binds whose source has attributes already, and write access to a `cgroup` mount:
//! the program sees what it sees under runc 1.3.
//!
//! The tests run in a mount namespace of their own, where `source` has attributes and a mount below
//! it.

use serde_json::{Value, json};
use tiny_ce_test::{Bundle, Case, Done, Need, tiny_ce};

const HOST: &str = r#"set -e
    mkdir -p source
    mount -t tmpfs -o nosuid,nodev,noexec,noatime,mode=755 tmpfs source
    mkdir source/below
    mount -t tmpfs -o ro,nosuid,noexec,noatime tmpfs source/below
    exec "$@""#;

/// Run the bundle in a mount namespace that has the source.
fn run(case: &Case, bundle: &Bundle) -> Done {
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOST, "sh"];
    let mut line: Vec<String> = words.map(str::to_owned).to_vec();
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    line.extend([text(&tiny_ce()), "--root".to_owned(), text(&case.state()), "run".to_owned()]);
    line.extend(["--bundle".to_owned(), text(bundle.path()), case.id()]);
    case.program(line)
}

/// A bundle with binds of the source at /0, /1 and so on, each with one of these options.
fn bound(case: &Case, options: &[&str]) -> Bundle {
    let mut bundle = case.bundle();
    let source = case.dir().join("source");
    bundle.set("/root/readonly", false).probe("mounts");
    for (index, options) in options.iter().enumerate() {
        bundle.file(&format!("{index}/x"), "");
        let options: Vec<&str> = options.split(' ').collect();
        bundle.bind(source.to_str().expect("UTF-8"), &format!("/{index}"), &options);
    }
    bundle
}

/// The attributes of the mount at `place`.
fn attributes<'d>(done: &'d Done, place: &str) -> Option<&'d str> {
    let lines = done.values("mount");
    let line = lines.iter().rfind(|line| line.split(' ').nth(4) == Some(place))?;
    line.split(' ').nth(5)
}

const ALL: &str = "rw,nosuid,nodev,noexec,noatime";
const BELOW: &str = "ro,nosuid,noexec,noatime";

/// The options of the bind, its attributes, and the attributes of the mount below it.
const ROWS: &[(&str, &str, &str)] = &[
    ("bind", ALL, ""),
    ("rbind", ALL, BELOW),
    ("rbind bind", ALL, BELOW),
    ("bind rbind bind nosuid", "rw,nosuid,noatime", BELOW),
    ("bind rprivate", ALL, ""),
    ("bind tmpcopyup", ALL, ""),
    // Kubernetes writes this for /dev/shm.
    ("rbind rprivate rw", "rw,noatime", BELOW),
    // Podman 5.8 writes this.
    ("rw rbind rprivate nosuid nodev tmpcopyup ", "rw,nosuid,nodev,noatime", BELOW),
    ("rbind ro", "ro,noatime", BELOW),
    ("bind exec", "rw,noatime", ""),
    ("bind noexec exec", "rw,noatime", ""),
    ("bind nosymfollow", "rw,noatime,nosymfollow", ""),
    ("bind sync", "rw,noatime", ""),
    ("bind silent", "rw,noatime", ""),
    ("bind defaults", "rw,noatime", ""),
    // The access time mode of the source stays, unless the options name one.
    ("bind relatime", "rw,relatime", ""),
    ("bind strictatime noatime", "rw", ""),
    ("bind nodiratime", "rw,nodiratime,relatime", ""),
    ("bind atime", "rw,noatime", ""),
    ("bind norelatime", "rw,noatime", ""),
    ("bind nostrictatime", "rw,noatime", ""),
    // Recursive options are applied last.
    ("rbind rro", "ro,nosuid,nodev,noexec,noatime", BELOW),
    ("rbind rnorelatime", "rw,nosuid,nodev,noexec,relatime", "ro,nosuid,noexec,relatime"),
    ("rbind rro rw", "ro,noatime", BELOW),
    ("rbind ro rnosuid", "ro,nosuid,noatime", BELOW),
];

#[test]
fn a_bind_has_the_named_attributes_and_else_those_of_its_source() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let options: Vec<&str> = ROWS.iter().map(|row| row.0).collect();
    let done = run(&case, &bound(&case, &options));
    done.ok();
    for (index, (options, own, below)) in ROWS.iter().enumerate() {
        assert_eq!(attributes(&done, &format!("/{index}")), Some(*own), "{options}");
        let found = attributes(&done, &format!("/{index}/below")).unwrap_or_default();
        assert_eq!(found, *below, "{options}: below");
    }
}

/// A file system that is remounted loses the attributes that are not named, as a bind does.
#[test]
fn a_remount_has_only_the_named_attributes() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    for (place, options) in [("/a", &["remount"][..]), ("/b", &["remount", "ro", "noexec"])] {
        let first = json!(["nosuid", "nodev", "noatime"]);
        bundle.push("/mounts", json!({"destination": place, "type": "tmpfs", "options": first}));
        bundle.push("/mounts", json!({"destination": place, "type": "tmpfs", "options": options}));
    }
    let done = case.run(bundle.probe("mounts"));
    assert_eq!(attributes(&done, "/a"), Some("rw,noatime"), "{done}");
    assert_eq!(attributes(&done, "/b"), Some("ro,noexec,noatime"), "{done}");
}

fn in_a_user_namespace(bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
}

/// For such a container the launcher clones the source, in a namespace whose mounts are not locked.
#[test]
fn a_user_namespace_has_the_same_attributes() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let mut bundle = bound(&case, &["rbind", "rbind rw", "bind ro nosuid"]);
    in_a_user_namespace(&mut bundle);
    let done = run(&case, &bundle);
    assert_eq!(attributes(&done, "/0"), Some(ALL), "{done}");
    assert_eq!(attributes(&done, "/1"), Some("rw,noatime"), "{done}");
    assert_eq!(attributes(&done, "/2"), Some("ro,nosuid,noatime"), "{done}");
}

/// A locked attribute stays, unless an option clears it by name: then the mount is refused.
#[test]
fn attributes_that_a_user_namespace_locks_stay() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let inside = |options: &str| {
        let mut bundle = bound(&case, &[options]);
        let bind = bundle.mount("/0").clone();
        bundle.set("/mounts", json!([{"destination": "/proc", "type": "proc"}, bind]));
        let host = format!("{HOST}\n").replace(r#"exec "$@""#, r#"exec unshare -Urm "$@""#);
        let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &host, "sh"];
        let mut line: Vec<String> = words.map(str::to_owned).to_vec();
        let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
        line.extend([text(&tiny_ce()), "--root".to_owned(), text(&case.state())]);
        line.extend(["--cgroup-manager", "disabled", "run", "--bundle"].map(str::to_owned));
        line.extend([text(bundle.path()), case.id()]);
        case.program(line)
    };
    let done = inside("rbind rw");
    assert_eq!(attributes(&done, "/0"), Some(ALL), "{done}");
    let done = inside("rbind ro");
    assert_eq!(attributes(&done, "/0"), Some("ro,nosuid,nodev,noexec,noatime"), "{done}");
    let done = inside("rbind exec");
    assert!(done.fails().contains("mount_setattr(2): EPERM"), "{done}");
    assert!(done.stderr.contains("cannot be cleared; ask for it too"), "{done}");
}

/// A word that is not an option of a bind has no effect and gives a warning; several options in one
/// string would have an effect, so they are refused.
#[test]
fn an_unknown_option_of_a_bind_is_a_warning() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.bind("/etc", "/mnt", &["bind", "size=1m", "nosiud", "sync", ""]).probe("mounts");
    let done = case.run(&bundle);
    done.ok();
    for (index, word) in ["size=1m", "nosiud", "sync"].iter().enumerate() {
        let text = format!("options[{}]: \"{word}\" has no effect on a bind mount", index + 1);
        assert!(done.stderr.contains(&text), "{done}");
    }
    assert_eq!(done.stderr.lines().count(), 3, "{done}");
    bundle.mount("/mnt")["options"] = json!(["bind", "ro,nosuid"]);
    let text = "options[1]: \"ro,nosuid\" holds several options";
    assert!(case.run(&bundle).fails().contains(text));
}

/// Without `ro` a `cgroup` mount is writable, as `--privileged` needs it.
#[test]
fn a_cgroup_mount_is_read_only_if_it_says_so() {
    let Some(case) = Case::root(&[]) else { return };
    let made = |options: &[&str], private: bool, user: bool| -> (String, String) {
        let mut bundle = case.bundle();
        let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": options});
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount: &Value| mount["type"] != "cgroup");
        bundle.push("/mounts", mount).without_namespace("cgroup");
        if private {
            bundle.namespace("cgroup", None);
        }
        if user {
            in_a_user_namespace(&mut bundle);
        }
        let file = match tiny_ce_test::cgroup_v2() {
            true => "/sys/fs/cgroup/made",
            false => "/sys/fs/cgroup/pids/made",
        };
        bundle.probe(&format!("mkdir {file} then mounts"));
        let done = case.run(&bundle);
        let place = file.strip_suffix("/made").expect("a directory");
        let attributes = attributes(&done, place).unwrap_or_default().to_owned();
        (done.value(&format!("mkdir {file}")).to_owned(), attributes)
    };
    for private in [true, false] {
        let (done, attributes) = made(&["nosuid", "noexec", "nodev"], private, false);
        assert_eq!((done.as_str(), &attributes[..3]), ("ok", "rw,"), "private: {private}");
        let (done, attributes) = made(&["nosuid", "noexec", "nodev", "ro"], private, false);
        assert_eq!((done.as_str(), &attributes[..3]), ("EROFS", "ro,"), "private: {private}");
        // The cgroup belongs to the host's root.
        let (done, _) = made(&["nosuid", "noexec", "nodev"], private, true);
        assert_eq!(done, "EACCES", "private: {private}");
    }
}
