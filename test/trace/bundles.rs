//! The bundles whose plans are traced, and failed step by step.
//!
//! Together they have every kind of mount and every field of the process that becomes a step.

use serde_json::{Value, json};
use tiny_ce_test::{Bundle, Case};

/// The default config.json.
pub fn standard(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    bundle.probe("exit 0");
    bundle
}

/// The smallest config.json; `/dev` is the image's, with a node that exists already.
pub fn least(case: &Case) -> Bundle {
    let mut bundle = standard(case);
    bundle.set("/mounts", json!([])).set("/root/readonly", false);
    bundle.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    bundle.set("/linux/namespaces", json!([{"type": "mount"}])).remove("/hostname");
    node(case, &bundle, "dev/null", "1", "3");
    bundle
}

/// Every kind of mount; targets and nodes that exist, and others that do not.
pub fn mounted(case: &Case) -> Bundle {
    let mut bundle = standard(case);
    bundle.set("/root/readonly", false);
    let host = |name: &str| {
        let path = bundle.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory of the host");
        path.into_os_string().into_string().expect("UTF-8")
    };
    let (tree, lower, upper, work) = (host("tree"), host("lower"), host("upper"), host("work"));
    let file = format!("{tree}/file");
    std::fs::write(&file, "").expect("a file of the host");
    std::os::unix::fs::symlink("file", format!("{tree}/link")).expect("a link of the host");
    bundle.file("copied/file", "from the image");
    let overlay = ["lowerdir", "upperdir", "workdir"].iter().zip([&lower, &upper, &work]);
    let overlay: Vec<String> = overlay.map(|(key, path)| format!("{key}={path}")).collect();
    for mount in [
        mount("/tmp", "tmpfs", "tmpfs", &["ro", "nosuid", "nodev", "noexec", "noatime"]),
        mount("/run", "tmpfs", "tmpfs", &["mode=700", "size=1m", "nosymfollow", "private"]),
        mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup"]),
        mount("/tmp/deep/er", "bind", &tree, &["bind", "ro"]),
        mount("/etc/hosts", "bind", &file, &["bind", "rprivate"]),
        mount("/etc/missing/hosts", "bind", &file, &["bind"]),
        mount("/etc/link", "bind", &format!("{tree}/link"), &["bind", "src-nofollow"]),
        mount("/srv", "none", &tree, &["rbind", "rro", "rnosuid", "nodev", "rslave"]),
        mount("/merged", "overlay", "overlay", &overlay.iter().map(|s| &**s).collect::<Vec<_>>()),
        mount("/proc/uptime", "bind", &file, &["bind", "rw"]),
    ] {
        bundle.push("/mounts", mount);
    }
    bundle.push("/linux/maskedPaths", "/merged").push("/linux/readonlyPaths", "/srv");
    node(case, &bundle, "opt/there", "1", "5");
    for (path, kind, number) in [("/opt/there", "c", 5), ("/opt/new", "c", 7), ("/dev/p", "p", 0)] {
        let device = json!({"path": path, "type": kind, "major": 1, "minor": number, "uid": 1000});
        bundle.push("/linux/devices", device);
    }
    bundle
}

/// Destinations and sources that must be resolved: links, `..`, the root, earlier mounts.
pub fn placed(case: &Case) -> Bundle {
    let mut bundle = standard(case);
    let other = case.bundle();
    let tree = bundle.path().join("tree");
    std::fs::create_dir(&tree).expect("a directory of the host");
    let link = |name: &str, target: &str| {
        std::os::unix::fs::symlink(target, other.rootfs().join(name)).expect("a link");
    };
    link("data", "/var/lib/data");
    link("job", "srv/job");
    let text = |path: std::path::PathBuf| path.into_os_string().into_string().expect("UTF-8");
    let (tree, root, made) = (text(tree), text(other.rootfs()), bundle.rootfs().join("made"));
    let mut mounts = vec![mount("/", "bind", &root, &["rbind"])];
    mounts.extend(bundle.config["mounts"].as_array().expect("mounts").iter().cloned());
    mounts.extend([
        mount("/data/below", "bind", &tree, &["bind", "ro"]),
        mount("missing/../made", "tmpfs", "tmpfs", &["mode=700"]),
        mount("/of/made", "bind", &text(made), &["bind"]),
    ]);
    bundle.set("/mounts", mounts).set("/process/cwd", "/job/here").set("/root/readonly", false);
    bundle
}

/// Every field of the process, and of the container as a whole, that becomes a step.
pub fn process(case: &Case) -> Bundle {
    let mut bundle = standard(case);
    let rlimit = |kind: &str, value: u64| json!({"type": kind, "soft": value, "hard": value});
    let true_hook = json!([{"path": "/bin/true"}]);
    bundle
        .namespace("time", None)
        .set("/domainname", "example.org")
        .set("/process/args", ["probe", "exit", "0"].to_vec())
        .set("/process/env/0", "PATH=/nowhere:/dev/null:/")
        .set("/process/cwd", "/home/user/made")
        .set("/process/user", json!({"uid": 0, "gid": 7, "umask": 63, "additionalGids": [5, 4]}))
        .set("/process/oomScoreAdj", 500)
        .set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5}))
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 4}))
        .set("/process/noNewPrivileges", false)
        .set("/process/rlimits", json!([rlimit("RLIMIT_NOFILE", 8), rlimit("RLIMIT_CORE", 0)]))
        .set("/linux/personality", json!({"domain": "LINUX"}))
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "99"}))
        .set("/linux/timeOffsets", json!({"monotonic": {"secs": 100}}))
        .set("/linux/rootfsPropagation", "rprivate")
        .set("/hooks", json!({"createRuntime": true_hook}));
    let allow = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
    ]});
    let inherited = bundle.config["process"]["capabilities"]["bounding"].clone();
    bundle.set("/linux/seccomp", allow).set("/process/capabilities/inheritable", inherited);
    bundle
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

/// A character device in the image.
fn node(case: &Case, bundle: &Bundle, path: &str, major: &str, minor: &str) {
    let path = bundle.rootfs().join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory of the image");
    let path = path.to_str().expect("UTF-8");
    case.program(["mknod", "-m", "666", path, "c", major, minor]).ok();
}
