//! The same config.json under runc: the program finds the same, but for what is on purpose.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use tiny_ce_test::{Bundle, Case, Need};

/// What a program sees of itself and of its surroundings. Not of signals: runc leaves those ignored
/// that its caller ignored.
const SEEN: &str = "ids then pid then caps then no_new_privs then seccomp then umask then cwd then \
    env then args then limits then hostname then personality then scheduler then ioprio then \
    affinity then oom then dumpable then thp then mempolicy then interfaces then list / then \
    list /dev then list /proc/self/fd then stat /dev/pts/ptmx then stat /dev/null then \
    stat /dev/shm then stat /tmp then readlink /dev/ptmx then readlink /dev/core then \
    write /proc/sys/kernel/hostname x then cat /proc/sys/kernel/msgmax then mkdir /made then \
    list /sys/firmware then list /proc/scsi then list /proc/acpi then processes";

/// Where ours is another on purpose: masks are the host's null device, which is verified, and not
/// what the container calls /dev/null; cgroups of v1 are below a tmpfs that is read-only, as asked.
const OURS: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/fs/cgroup",
];

/// Lines of mountinfo without numbers: where, flags, type, whether it is shared.
fn mounts(lines: &[&str]) -> BTreeSet<String> {
    let shown = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let of_type = words.iter().position(|word| *word == "-").expect("a type");
        let shared = words[6..of_type].iter().any(|word| word.starts_with("shared"));
        format!("{} {} {} {shared}", words[4], words[5], words[of_type + 1])
    };
    let compared = |line: &&&str| !OURS.iter().any(|place| line.split(' ').nth(4) == Some(place));
    let all: BTreeSet<String> = lines.iter().filter(compared).map(shown).collect();
    assert!(all.len() > 8, "{all:?}");
    all
}

/// Run it under both, and tell what differs.
fn compare(case: &Case, bundle: &mut Bundle) {
    let commands = format!("{SEEN} then mounts");
    bundle.probe(&commands);
    let ours = case.run(bundle);
    let root = case.dir().join("runc");
    let (root, path) = (root.to_str().expect("UTF-8"), bundle.path().to_owned());
    let path = path.to_str().expect("UTF-8");
    let theirs = case.program(["runc", "--root", root, "run", "--bundle", path, &case.id()]);
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("mount: ")).map(str::to_owned).collect()
    };
    let (own, other) = (lines(ours.ok()), lines(theirs.ok()));
    let missing: Vec<&String> = other.iter().filter(|line| !own.contains(line)).collect();
    let more: Vec<&String> = own.iter().filter(|line| !other.contains(line)).collect();
    assert!(missing.is_empty() && more.is_empty(), "runc: {missing:#?}\nours: {more:#?}");
    let (own, other) = (mounts(&ours.values("mount")), mounts(&theirs.values("mount")));
    let missing: Vec<&String> = other.difference(&own).collect();
    let more: Vec<&String> = own.difference(&other).collect();
    assert!(missing.is_empty() && more.is_empty(), "runc: {missing:#?}\nours: {more:#?}");
}

#[test]
fn the_default_is_the_same() {
    let Some(case) = Case::root(&[Need::Program("runc")]) else { return };
    compare(&case, &mut case.bundle());
}

#[test]
fn somebody_with_everything_is_the_same() {
    let Some(case) = Case::root(&[Need::Program("runc")]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [7, 9]}));
    bundle.set("/process/user/umask", 0o027).set("/process/cwd", "/tmp");
    bundle.set("/process/oomScoreAdj", 17).set("/process/noNewPrivileges", false);
    for set in ["bounding", "permitted", "effective", "inheritable", "ambient"] {
        let pointer = format!("/process/capabilities/{set}");
        bundle.set(&pointer, json!(["CAP_CHOWN", "CAP_NET_RAW"]));
    }
    bundle.set("/linux/sysctl", json!({"kernel.msgmax": "4242"}));
    bundle.set("/root/readonly", false).remove("/linux/readonlyPaths").set("/hostname", "web");
    bundle.bind("/etc", "/mnt/etc", &["rbind", "ro", "nosuid"]);
    compare(&case, &mut bundle);
}

#[test]
fn a_user_namespace_is_the_same() {
    let Some(case) = Case::root(&[Need::Program("runc")]) else { return };
    let mut bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
    compare(&case, &mut bundle);
}

#[test]
fn the_hosts_namespaces_are_the_same() {
    let Some(case) = Case::root(&[Need::Program("runc")]) else { return };
    let mut bundle = case.bundle();
    bundle.without_namespace("network").without_namespace("ipc").without_namespace("cgroup");
    bundle.remove("/process/capabilities").set("/process/terminal", false);
    compare(&case, &mut bundle);
}

/// `state` and `list` have runc's properties, and those that hold for both say the same.
#[test]
fn its_json_is_the_same() {
    let Some(case) = Case::root(&[Need::Program("runc")]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause").set("/annotations/a.b", "c");
    let container = case.create(&bundle);
    let root = case.dir().join("runc");
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let runc = |words: &[&str]| {
        let first = ["runc", "--root", root.to_str().expect("UTF-8")];
        case.program(first.iter().chain(words))
    };
    runc(&["create", "--bundle", &path, &id]).ok();
    let (state, list) = (runc(&["state", &id]), runc(&["list", "--format", "json"]));
    runc(&["delete", "--force", &id]).ok();
    let read = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let own = container.state();
    let listed = read(case.tiny_ce(["list", "--format", "json"]).ok());
    for (ours, theirs) in [(&own, &read(state.ok())), (&listed[0], &read(list.ok())[0])] {
        let keys = |value: &Value| -> BTreeSet<String> {
            value.as_object().expect("an object").keys().cloned().collect()
        };
        assert_eq!(keys(ours), keys(theirs));
        for key in ["status", "bundle", "rootfs", "annotations"] {
            assert_eq!(ours[key], theirs[key], "{key}");
        }
    }
    assert_eq!(
        state.ok().lines().count(),
        case.tiny_ce(["state", container.id()]).ok().lines().count()
    );
}

/// Another process of a container has what it has under runc, with and without options; but its
/// umask is the container's, which runc forgets.
#[test]
fn exec_is_the_same() {
    let Some(case) = Case::root(&[Need::Program("runc")]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [7]}));
    bundle.set("/process/user/umask", 0o027).set("/process/cwd", "/tmp");
    bundle.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]}),
    );
    bundle.probe("await 15");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    let root = case.dir().join("runc");
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let runc = |words: &[&str]| {
        let first = ["runc", "--root", root.to_str().expect("UTF-8")];
        case.program(first.iter().chain(words))
    };
    runc(&["run", "--detach", "--bundle", &path, &id]);
    let commands = "ids then caps then no_new_privs then seccomp then cwd then env \
        then limits then hostname then oom then fds then dumpable then mkdir /tmp/x then processes";
    for options in [
        &[][..],
        &["--user", "5:6", "--cwd", "/etc", "--env", "A=b", "--additional-gids", "9"],
        &["--user", "0", "--cap", "CAP_CHOWN", "--cap", "CAP_NET_RAW"],
    ] {
        let words = |id: &str| -> Vec<String> {
            let all = ["exec"].iter().chain(options).copied().chain([id, "/probe"]);
            all.chain(commands.split_whitespace()).map(str::to_owned).collect()
        };
        let theirs = words(&id);
        let theirs = runc(&theirs.iter().map(String::as_str).collect::<Vec<_>>());
        let ours = case.tiny_ce(words(container.id()));
        // Descriptors have names of their own; and numbers of processes differ.
        let lines = |done: &tiny_ce_test::Done| -> Vec<String> {
            let shown = |line: &str| match line.split_once(": ") {
                Some(("fd", fd)) => format!("fd: {}", fd.split(' ').next().unwrap_or_default()),
                Some(("process", process)) => {
                    format!("process: {}", process.split(' ').next_back().unwrap_or_default())
                }
                _ => line.to_owned(),
            };
            done.ok().lines().map(shown).collect()
        };
        assert_eq!(lines(&ours), lines(&theirs), "{options:?}");
    }
    runc(&["delete", "--force", &id]).ok();
}
