//! Where no cgroup limits devices, a container can neither make nodes nor use those that it finds,
//! except the nodes that are bound into it. The device is that of /dev/zero, which every machine
//! has.

use serde_json::json;
use std::process::Command;
use tiny_ce_test::{Bundle, Case, Done, Need, run};

const CAPS: [&str; 3] = ["CAP_MKNOD", "CAP_KILL", "CAP_DAC_OVERRIDE"];

/// Make, find and open nodes in every kind of mount; then open the devices that every program
/// needs.
const TRY: &str = "mknod /tmp/own c 1 5 then mknod /dev/own c 1 5 then open /tmp/own r \
                   then open /dev/own r then open /in-image r then open /bound/node r \
                   then open /dev/null rw then open /dev/zero r then open /dev/urandom r \
                   then open /dev/full rw then open /dev/ptmx rw then caps";

/// A bundle with a node in its image and one in a bind, whose program has the capabilities to make
/// more.
fn bundle(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        bundle.set(&format!("/process/capabilities/{set}"), json!(CAPS));
    }
    bundle.set("/root/readonly", false).probe(TRY);
    let outside = case.dir().join("outside");
    let _ = std::fs::create_dir(&outside);
    for node in [bundle.rootfs().join("in-image"), outside.join("node")] {
        if !node.exists() {
            let node = node.to_str().expect("UTF-8");
            case.program(["mknod", node, "c", "1", "5"]).ok();
        }
    }
    bundle.bind(outside.to_str().expect("UTF-8"), "/bound", &["rbind"]);
    bundle
}

fn without(case: &Case, bundle: &Bundle) -> Done {
    let mut command = case.command(["--cgroup-manager", "disabled", "run", "--bundle"]);
    run(command.arg(bundle.path()).arg(case.id()), case.dir())
}

#[track_caller]
fn nothing_works(done: &Done) {
    done.ok();
    for (key, value) in [
        ("mknod /tmp/own", "EPERM"),
        ("mknod /dev/own", "EPERM"),
        ("open /in-image", "EACCES"),
        ("open /bound/node", "EACCES"),
    ] {
        assert_eq!(done.value(key), value, "{key}\n{done}");
    }
    for name in ["null", "zero", "urandom", "full", "ptmx"] {
        assert_eq!(done.value(&format!("open /dev/{name}")), "ok", "{name}\n{done}");
    }
    // CAP_MKNOD is number 27.
    let mknod = 1u64 << 27;
    for set in ["inheritable", "permitted", "effective", "bounding", "ambient"] {
        let caps = u64::from_str_radix(done.value(&format!("cap.{set}")), 16).expect("hexadecimal");
        assert_eq!(caps & mknod, 0, "{set}\n{done}");
    }
}

#[test]
fn no_node_works_without_a_cgroup() {
    let Some(case) = Case::root(&[Need::Program("mknod")]) else { return };
    let mut bundle = bundle(&case);
    let done = without(&case, &bundle);
    nothing_works(&done);
    assert_eq!(done.stderr.matches("warning").count(), 1, "{done}");
    assert!(done.stderr.contains("linux.resources.devices: not in force"), "{done}");
    // Nor with the image's own /dev.
    bundle.config["mounts"]
        .as_array_mut()
        .expect("mounts")
        .retain(|it| it["destination"] != "/dev");
    std::fs::create_dir(bundle.rootfs().join("dev/pts")).expect("a directory");
    nothing_works(&without(&case, &bundle));
    // Root of a user namespace cannot make a node, but the image has one.
    let mut bundle = self::bundle(&case);
    bundle.namespace("user", None);
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let done = without(&case, &bundle);
    assert_eq!(
        (done.value("open /in-image"), done.value("open /bound/node")),
        ("EACCES", "EACCES")
    );
    assert_eq!(done.value("open /dev/null"), "ok", "{done}");
}

/// Run the bundle where no cgroup file system is mounted.
fn without_cgroups(case: &Case, bundle: &Bundle, options: &[&str]) -> Done {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg("umount -l /sys/fs/cgroup && exec \"$@\"").arg("sh");
    let inner = case.command(options.iter().chain(&["run", "--bundle"]));
    command.arg(inner.get_program()).args(inner.get_args());
    command.arg(bundle.path()).arg(case.id());
    command.env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
    run(&mut command, case.dir())
}

/// The config.json that runc and crun write by default, with device rules and a cgroup mount.
#[test]
fn the_usual_container_runs_where_no_cgroup_is_mounted() {
    let Some(case) = Case::root(&[Need::Program("mknod"), Need::Program("unshare")]) else {
        return;
    };
    let mut bundle = bundle(&case);
    for options in [&[][..], &["--cgroup-manager", "disabled"]] {
        let done = without_cgroups(&case, &bundle, options);
        nothing_works(&done);
        assert!(done.stderr.contains("linux.resources.devices: not in force"), "{done}");
        assert!(done.stderr.contains("\"/sys/fs/cgroup\": no cgroup file system"), "{done}");
    }
    bundle.probe("list /sys/fs/cgroup then mkdir /sys/fs/cgroup/x");
    let done = without_cgroups(&case, &bundle, &[]);
    assert_eq!(done.values("entry"), Vec::<&str>::new(), "{done}");
    assert_eq!(done.value("mkdir /sys/fs/cgroup/x"), "EROFS", "{done}");
    // A limit that cannot be applied is an error.
    bundle.set("/linux/resources/pids", json!({ "limit": 5 }));
    assert!(without_cgroups(&case, &bundle, &[]).fails().contains("linux.resources.pids"));
}

/// A machine, or a mount namespace, without cgroups; and a config.json without device rules.
#[test]
fn no_node_works_where_no_cgroup_is_mounted() {
    let Some(case) = Case::root(&[Need::Program("mknod"), Need::Program("unshare")]) else {
        return;
    };
    let mut bundle = bundle(&case);
    bundle.remove("/linux/resources").without_namespace("cgroup");
    bundle.config["mounts"]
        .as_array_mut()
        .expect("mounts")
        .retain(|it| it["destination"] != "/sys/fs/cgroup");
    let none = json!(["CAP_KILL", "CAP_DAC_OVERRIDE"]);
    for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        bundle.set(&format!("/process/capabilities/{set}"), none.clone());
    }
    nothing_works(&without_cgroups(&case, &bundle, &[]));
}

/// The same holds for processes of exec and mounts that are added later.
#[test]
fn no_node_works_in_exec_and_in_later_mounts() {
    let Some(case) = Case::root(&[Need::Program("mknod")]) else { return };
    let mut bundle = bundle(&case);
    let outside = case.dir().join("outside");
    let id = case.id();
    bundle.probe("pause");
    let mut command = case.command(["--cgroup-manager", "disabled", "run", "--bundle"]);
    let mut running = tiny_ce_test::Running::start(command.arg(bundle.path()).arg(&id), case.dir());
    running.line("ready:");
    let list = json!([{
        "destination": "/tmp", "type": "bind", "source": outside.to_str(), "options": ["bind"]
    }]);
    let file = case.dir().join("mounts.json");
    std::fs::write(&file, list.to_string()).expect("a file");
    case.tiny_ce(["mounts", "add", &id, file.to_str().expect("UTF-8")]).ok();
    let words = TRY.split_whitespace().chain(["then", "open", "/tmp/node", "r"]);
    let all: Vec<&str> =
        ["exec", "--cap", "CAP_MKNOD", &id, "/probe"].into_iter().chain(words).collect();
    let done = case.tiny_ce(&all);
    nothing_works(&done);
    assert_eq!(done.value("open /tmp/node"), "EACCES", "{done}");
    case.tiny_ce(["kill", &id, "KILL"]).ok();
    running.done().ends(137);
}

/// With an explicit option nodes work, and one warning names the field.
#[test]
fn nodes_work_if_they_are_asked_for() {
    let Some(case) = Case::root(&[Need::Program("mknod")]) else { return };
    let mut bundle = bundle(&case);
    bundle.set("/linux/resources/devices", json!([{"allow": true, "access": "rwm"}]));
    let done = without(&case, &bundle);
    assert_eq!(done.value("mknod /tmp/own"), "ok", "{done}");
    assert_eq!((done.value("open /tmp/own"), done.value("open /in-image")), ("ok", "ok"), "{done}");
    assert_eq!(done.stderr.matches("warning").count(), 1, "{done}");
    assert!(done.stderr.contains("linux.resources.devices: no cgroup limits devices"), "{done}");

    bundle.remove("/linux/resources");
    let _ = std::fs::remove_file(bundle.rootfs().join("tmp/own"));
    let done = without(&case, &bundle);
    assert_eq!(done.value("mknod /tmp/own"), "ok", "{done}");
    assert!(done.stderr.contains("process.capabilities: no cgroup limits devices"), "{done}");

    // The option on a single mount.
    let mut bundle = self::bundle(&case);
    let outside = case.dir().join("outside");
    bundle.bind(outside.to_str().expect("UTF-8"), "/bound", &["rbind", "dev"]);
    let done = without(&case, &bundle);
    assert_eq!((done.value("open /bound/node"), done.value("open /in-image")), ("ok", "EACCES"));
    assert!(done.stderr.contains("\"/bound\": dev, and no cgroup limits devices"), "{done}");
}

/// It also holds for `run` without a bundle.
#[test]
fn no_node_is_made_without_a_bundle() {
    let Some(case) = Case::root(&[]) else { return };
    let probe = tiny_ce_test::probe().to_str().expect("UTF-8").to_owned();
    let words =
        ["--cgroup-manager", "disabled", "run", "--", &probe, "mknod", "/tmp/own", "c", "1", "5"];
    let done = case.tiny_ce(words);
    assert_eq!(done.value("mknod /tmp/own"), "EPERM", "{done}");
}
