//! The same config.json under runc: the program sees the same, except for intended differences.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use tiny_ce_test::{Bundle, Case, Done, Need, Peer};

/// What a program reports of itself and its environment. Not signals: under runc, those that its
/// caller ignored stay ignored.
pub(crate) const SEEN: &str = "ids then pid then caps then no_new_privs then seccomp then umask \
    then cwd then env then args then limits then hostname then personality then scheduler then \
    ioprio then affinity then oom then dumpable then thp then mempolicy then interfaces then \
    list / then list /dev then list /proc/self/fd then stat /dev/pts/ptmx then stat /dev/null then \
    stat /dev/shm then stat /tmp then readlink /dev/ptmx then readlink /dev/core then \
    write /proc/sys/kernel/hostname x then cat /proc/sys/kernel/msgmax then mkdir /made then \
    list /sys/firmware then list /proc/scsi then list /proc/acpi then processes";

/// An intended difference, beside the masked paths: with cgroup v1 the cgroups are below a
/// read-only tmpfs, as config.json asks. Masked files are covered with the host's null device,
/// which is verified, and not with the container's /dev/null.
const OURS: &str = "/sys/fs/cgroup";

/// Lines of mountinfo without numbers: mount point, flags, type, propagation. Bound nodes are
/// `nosuid,noexec` as under crun; under runc they are not.
fn mounts(lines: &[&str], masked: &Value) -> BTreeSet<String> {
    let shown = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let of_type = words.iter().position(|word| *word == "-").expect("a type");
        let shared = words[6..of_type].iter().any(|word| word.starts_with("shared"));
        let kind = words[of_type + 1];
        let node = kind == "devtmpfs";
        let flags = if node { words[5].replace(",nosuid,noexec", "") } else { words[5].to_owned() };
        format!("{} {flags} {kind} {shared}", words[4])
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

/// What the program reported under a runtime: the probe's lines, and those of mountinfo.
fn shown(done: &Done, masked: &Value) -> BTreeSet<String> {
    let lines = done.stdout.lines().filter(|line| !line.starts_with("mount: "));
    // Here the tmpfs over a masked directory has no write permission.
    let lines = lines.map(|line| line.replace(" mode=0555 uid=0 ", " mode=01777 uid=0 "));
    let mounts = mounts(&done.values("mount"), masked).into_iter();
    lines.chain(mounts.map(|line| format!("mount: {line}"))).collect()
}

/// Run three copies of a bundle: here, under runc and under crun. Return the differences as text:
/// empty if there are none, `None` if the program failed under a peer.
///
/// What both peers run must run here. What the program sees under both it must see here, and it
/// must see nothing here that it sees under neither: where the peers differ, either is right.
pub(crate) fn differences(case: &Case, [own, of_runc, of_crun]: [&Bundle; 3]) -> Option<String> {
    let run = |peer, bundle: &Bundle| {
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        case.peer(peer, ["run", "--bundle", &path, &case.id()])
    };
    let (runc, crun) = (run(Peer::Runc, of_runc), run(Peer::Crun, of_crun));
    let ours = case.run(own);
    case.sweep();
    match (ours.code(), runc.code(), crun.code()) {
        (0, 0, 0) => {}
        // If the program failed under a peer, there is nothing to compare.
        (_, 1.., _) | (_, _, 1..) => return None,
        _ => return Some(format!("runc: {runc}\nours: {ours}")),
    }
    let masked = &own.config["linux"]["maskedPaths"];
    // Without a pid namespace, each program has other pids of the host.
    let kinds = own.config["linux"]["namespaces"].as_array().into_iter().flatten();
    let alone = kinds.into_iter().any(|namespace| namespace["type"] == "pid");
    let by_chance = |line: &str| {
        let words = ["process: ", "pid: ", "ppid: ", "pgid: ", "sid: "];
        !alone && words.iter().any(|word| line.starts_with(word))
    };
    let [ours, runc, crun] = [&ours, &runc, &crun].map(|done| shown(done, masked));
    let missing = runc
        .iter()
        .filter(|line| crun.contains(*line) && !ours.contains(*line) && !by_chance(line));
    let missing = missing.map(|line| format!("both: {line}\n"));
    let added = ours
        .iter()
        .filter(|line| !runc.contains(*line) && !crun.contains(*line) && !by_chance(line));
    Some(missing.chain(added.map(|line| format!("ours: {line}\n"))).collect())
}

/// Run the bundle under both peers, and check that nothing differs.
#[track_caller]
fn compare(case: &Case, bundle: &mut Bundle) {
    bundle.probe(&format!("{SEEN} then mounts"));
    let found = differences(case, [bundle, bundle, bundle]);
    assert_eq!(found, Some(String::new()));
}

#[test]
fn the_default_is_the_same() {
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
    compare(&case, &mut case.bundle());
}

#[test]
fn a_user_with_every_field_is_the_same() {
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
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
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
    let mut bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
    compare(&case, &mut bundle);
}

#[test]
fn the_hosts_namespaces_are_the_same() {
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
    let mut bundle = case.bundle();
    bundle.without_namespace("network").without_namespace("ipc").without_namespace("cgroup");
    bundle.remove("/process/capabilities").set("/process/terminal", false);
    compare(&case, &mut bundle);
}

/// `state` and `list` have runc's properties, with equal values where both can have the same.
#[test]
fn the_json_of_state_and_list_is_the_same() {
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause").set("/annotations/a.b", "c");
    let container = case.create(&bundle);
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let runc = |words: &[&str]| case.peer(Peer::Runc, words);
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

/// The probe's lines without what differs by chance: files of descriptors, pids, the order of the
/// environment, and the soft limit of open files, which a Go program raises for itself.
pub(crate) fn joined(done: &Done) -> Vec<String> {
    let shown = |line: &str| match line.split_once(": ") {
        Some(("fd", fd)) => format!("fd: {}", fd.split(' ').next().unwrap_or_default()),
        Some(("process", process)) => {
            format!("process: {}", process.split(' ').next_back().unwrap_or_default())
        }
        Some(("limit.RLIMIT_NOFILE", both)) => {
            format!("files: {}", both.split(' ').next_back().unwrap_or_default())
        }
        // runc adds a group of `exec --additional-gids` twice.
        Some(("groups", groups)) => {
            format!("groups: {:?}", groups.split(' ').collect::<BTreeSet<_>>())
        }
        Some(("cwd", cwd)) if cwd.starts_with("/proc/") => "cwd: /proc/self".to_owned(),
        _ => line.to_owned(),
    };
    // Under runc the first process may not have executed the program yet.
    let lines = done.stdout.lines().filter(|line| !line.contains("runc:["));
    let mut lines: Vec<String> = lines.map(shown).collect();
    lines.sort();
    lines
}

/// A process of `exec` has what it has under runc, with and without options; except that its umask
/// is the container's, which runc does not set.
#[test]
fn exec_is_the_same() {
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
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
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let runc = |words: &[&str]| case.peer(Peer::Runc, words);
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
