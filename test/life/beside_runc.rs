//! The same config.json under runc: the program finds the same, but for what is on purpose.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use tiny_ce_test::{Bundle, Case, Done, Need};

/// What a program sees of itself and of its surroundings. Not of signals: runc leaves those ignored
/// that its caller ignored.
pub(crate) const SEEN: &str = "ids then pid then caps then no_new_privs then seccomp then umask \
    then cwd then env then args then limits then hostname then personality then scheduler then \
    ioprio then affinity then oom then dumpable then thp then mempolicy then interfaces then \
    list / then list /dev then list /proc/self/fd then stat /dev/pts/ptmx then stat /dev/null then \
    stat /dev/shm then stat /tmp then readlink /dev/ptmx then readlink /dev/core then \
    write /proc/sys/kernel/hostname x then cat /proc/sys/kernel/msgmax then mkdir /made then \
    list /sys/firmware then list /proc/scsi then list /proc/acpi then processes";

/// Where ours is another on purpose, beside what is masked: cgroups of v1 are below a tmpfs that is
/// read-only, as asked. Masks are the host's null device, which is verified, and not what the
/// container calls /dev/null.
const OURS: &str = "/sys/fs/cgroup";

/// What runc cannot do: a bind with other flags than those that are locked in a user namespace, a
/// /dev that has no devices, and a device that tmpcopyup finds.
const THEIRS: [&str; 3] = [", flags: 0x", "reopening /dev/null inside container", ": lchown "];

/// Lines of mountinfo without numbers: where, flags, type, whether it is shared.
fn mounts(lines: &[&str], masked: &Value) -> BTreeSet<String> {
    let shown = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let of_type = words.iter().position(|word| *word == "-").expect("a type");
        let shared = words[6..of_type].iter().any(|word| word.starts_with("shared"));
        format!("{} {} {} {shared}", words[4], words[5], words[of_type + 1])
    };
    let masked: Vec<&str> =
        masked.as_array().into_iter().flatten().flat_map(Value::as_str).collect();
    let compared = |line: &&&str| {
        let place = line.split(' ').nth(4).expect("a place");
        place != OURS && !masked.contains(&place)
    };
    let all: BTreeSet<String> = lines.iter().filter(compared).map(shown).collect();
    assert!(all.len() >= 7, "{all:?}");
    all
}

/// Run the one here and the other, which is alike, under runc: what differs, in words; nothing, if
/// nothing does.
pub(crate) fn differences(case: &Case, [own, other]: [&Bundle; 2]) -> String {
    let ours = case.run(own);
    let root = case.dir().join("runc");
    let (root, path) = (root.to_str().expect("UTF-8"), other.path().to_owned());
    let path = path.to_str().expect("UTF-8");
    let theirs = case.program(["runc", "--root", root, "run", "--bundle", path, &case.id()]);
    match (ours.code(), theirs.code()) {
        (0, 0) => {}
        (1, 1) => return String::new(),
        (0, 1) if THEIRS.iter().any(|text| theirs.stderr.contains(text)) => return String::new(),
        _ => return format!("runc: {theirs}\nours: {ours}"),
    }
    let lines = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with("mount: "));
        // What covers a masked directory cannot be written to here, and says so.
        lines.map(|line| line.replace(" mode=0555 uid=0 ", " mode=01777 uid=0 ")).collect()
    };
    let told = |own: BTreeSet<String>, other: BTreeSet<String>| {
        let of_runc = other.difference(&own).map(|line| format!("runc: {line}\n"));
        of_runc.chain(own.difference(&other).map(|line| format!("ours: {line}\n"))).collect()
    };
    let seen: String = told(lines(&ours.stdout), lines(&theirs.stdout));
    let masked = &own.config["linux"]["maskedPaths"];
    seen + &told(mounts(&ours.values("mount"), masked), mounts(&theirs.values("mount"), masked))
}

/// Run it under both; nothing differs.
#[track_caller]
fn compare(case: &Case, bundle: &mut Bundle) {
    bundle.probe(&format!("{SEEN} then mounts"));
    let found = differences(case, [bundle, bundle]);
    assert!(found.is_empty(), "{found}");
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

/// Lines without what is by chance: descriptors' files, processes' numbers, the environment's
/// order, and the soft limit of files, which a Go program raises for itself.
pub(crate) fn joined(done: &Done) -> Vec<String> {
    let shown = |line: &str| match line.split_once(": ") {
        Some(("fd", fd)) => format!("fd: {}", fd.split(' ').next().unwrap_or_default()),
        Some(("process", process)) => {
            format!("process: {}", process.split(' ').next_back().unwrap_or_default())
        }
        Some(("limit.RLIMIT_NOFILE", both)) => {
            format!("files: {}", both.split(' ').next_back().unwrap_or_default())
        }
        Some(("cwd", cwd)) if cwd.starts_with("/proc/") => "cwd: /proc/self".to_owned(),
        _ => line.to_owned(),
    };
    // runc's first process need not be the program yet.
    let lines = done.stdout.lines().filter(|line| !line.contains("runc:["));
    let mut lines: Vec<String> = lines.map(shown).collect();
    lines.sort();
    lines
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
        ours.ok();
        assert_eq!(joined(&ours), joined(&theirs), "{options:?}");
    }
    runc(&["delete", "--force", &id]).ok();
}
