//! init under a system call filter: a filter that allows execve is enough, because init makes no
//! other call after it has loaded the filter.
//!
//! The probe's `crash` and `spin` make no system call, so a filter cannot stop them.

use serde_json::{Value, json};
use tiny_ce::seccomp::{Arch, system_calls};
use tiny_ce_test::{Bundle, Case, full, sweep};

/// 128 + SIGILL: the program ran, and made no system call.
const CRASHED: i32 = 132;

/// How a process is confined in addition to its filter.
#[derive(Debug, Clone, Copy)]
struct Kind {
    no_new_privileges: bool,
    user: u32,
}

const KINDS: [Kind; 4] = [
    Kind { no_new_privileges: true, user: 0 },
    Kind { no_new_privileges: true, user: 1000 },
    Kind { no_new_privileges: false, user: 0 },
    Kind { no_new_privileges: false, user: 1000 },
];

fn filtered(case: &Case, kind: Kind, filter: Value) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/linux/seccomp", filter).set("/process/noNewPrivileges", kind.no_new_privileges);
    bundle.set("/process/user", json!({"uid": kind.user, "gid": kind.user}));
    bundle
}

/// `run`, `create` with `start`, and `exec` each execute the program under this filter.
fn starts(case: &Case, kind: Kind, filter: &Value) {
    let mut bundle = filtered(case, kind, filter.clone());
    let what = format!("{kind:?} {filter}");
    bundle.probe("crash");
    let done = case.run(&bundle);
    assert_eq!(done.status.code(), Some(CRASHED), "run: {what}: {done}");
    bundle.probe("spin");
    let container = case.create(&bundle);
    let done = container.tiny_ce("start", []);
    assert!(done.status.success(), "start: {what}: {done}");
    assert_eq!(container.status(), "running", "start: {what}");
    let done = case.tiny_ce(["exec", container.id(), "/probe", "crash"]);
    assert_eq!(done.status.code(), Some(CRASHED), "exec: {what}: {done}");
}

#[test]
fn a_filter_that_allows_execve_alone_starts() {
    let Some(case) = Case::root(&[]) else { return };
    for kind in KINDS {
        for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_ERRNO"] {
            let execve = json!({"names": ["execve"], "action": "SCMP_ACT_ALLOW"});
            starts(&case, kind, &json!({"defaultAction": action, "syscalls": [execve]}));
        }
    }
}

/// A filter may refuse any other call, whether init makes it or not.
#[test]
fn a_filter_that_refuses_any_other_call_starts() {
    if Case::root(&[]).is_none() {
        return;
    }
    let native = |name: &&str| name != &"execve";
    let calls = system_calls().filter(|(_, numbers)| numbers.on(Arch::HOST).is_some());
    let calls: Vec<&str> = calls.map(|(name, _)| name).filter(native).collect();
    const ACTIONS: [&str; 2] = ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"];
    let points = calls.len() * ACTIONS.len() * KINDS.len();
    assert!(calls.len() > 300, "{} system calls", calls.len());
    let one = |case: &Case, point: usize| {
        let (call, rest) = (calls[point % calls.len()], point / calls.len());
        let (action, kind) = (ACTIONS[rest % ACTIONS.len()], KINDS[rest / ACTIONS.len()]);
        let rule = json!({"names": [call], "action": action});
        starts(case, kind, &json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
    };
    let reached = sweep(
        "filters",
        151,
        |_| (),
        |case, (), point| {
            let inside = point <= points;
            if inside {
                one(case, point - 1);
            }
            inside
        },
    );
    assert!(reached >= points - 151 || full() && reached == points, "{reached} of {points}");
}

/// Docker's profile as older tools have it: an allow-list without newer calls and without others
/// that a runtime makes.
#[test]
fn a_profile_without_what_a_runtime_needs_starts() {
    let Some(case) = Case::root(&[]) else { return };
    let lacks = ["close_range", "getcwd", "fcntl", "prctl", "capset", "setuid", "setresuid"];
    let mut filter: Value =
        serde_json::from_str(include_str!("../seccomp/docker-default.json")).expect("JSON");
    for rule in filter["syscalls"].as_array_mut().expect("rules") {
        let names = rule["names"].as_array_mut().expect("names");
        names.retain(|name| name.as_str().is_some_and(|name| !lacks.contains(&name)));
    }
    for kind in KINDS {
        starts(&case, kind, &filter);
        let mut bundle = filtered(&case, kind, filter.clone());
        let done = case.run(bundle.probe("ids then caps then fds then cwd"));
        let uid = kind.user;
        assert_eq!(done.ends(0).value("uid"), format!("{uid} {uid} {uid}"));
        assert_eq!(done.value("cwd"), "EPERM", "the filter is not in force: {done}");
    }
}

/// Only init has CAP_SYS_ADMIN, which it needs to load the filter; the program does not get it.
#[test]
fn capabilities_are_those_without_a_filter() {
    let Some(case) = Case::root(&[]) else { return };
    for kind in KINDS {
        for sets in [
            json!({}),
            json!({"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}),
            json!({"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": [],
                   "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}),
            json!({"bounding": ["CAP_KILL", "CAP_SYS_ADMIN"], "permitted": ["CAP_KILL"]}),
        ] {
            let rule = json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO"});
            let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
            let mut bundle = filtered(&case, kind, filter);
            bundle.set("/process/capabilities", sets.clone()).probe("caps then no_new_privs");
            let with = case.run(&bundle);
            bundle.remove("/linux/seccomp");
            let without = case.run(&bundle);
            assert_eq!(with.ok(), without.ok(), "{kind:?} {sets}");
            let held = 1 << 21;
            let effective = u64::from_str_radix(with.value("cap.effective"), 16).expect("hex");
            let asked = kind.user == 0 && sets["bounding"].to_string().contains("SYS_ADMIN");
            assert!(effective & held == 0 || asked, "{kind:?} {sets}: {effective:x}");
        }
    }
}

/// The filter may refuse the call that reports a failed execve: the failure is reported
/// nevertheless.
#[test]
fn a_failure_under_a_filter_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    for (calls, action, words) in [
        (&["write"][..], "SCMP_ACT_ERRNO", "exit status 1"),
        (&["write"], "SCMP_ACT_KILL_PROCESS", "SIGSYS"),
        (&["write", "exit_group"], "SCMP_ACT_ERRNO", "SIGILL"),
        (&["exit_group"], "SCMP_ACT_ERRNO", "ENOEXEC"),
        (&["exit_group"], "SCMP_ACT_KILL_PROCESS", "ENOEXEC"),
    ] {
        let rule = json!({"names": calls, "action": action});
        let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
        let mut bundle = filtered(&case, KINDS[0], filter);
        let file = bundle.file("no-program", "neither a script nor a binary");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(file, mode).expect("executable");
        bundle.args(["/no-program"]);
        let done = case.run(&bundle);
        assert!(done.fails().contains(words), "{calls:?} {action}: {done}");
        bundle.probe("spin");
        let container = case.create(&bundle);
        container.start();
        let done = case.tiny_ce(["exec", container.id(), "/no-program"]);
        assert!(done.ends(255).stderr.contains(words), "{calls:?} {action}: {done}");
    }
}

/// While a startContainer hook runs, init waits with the capability to load the filter.
#[test]
fn a_hook_of_the_image_cannot_trace_init() {
    let Some(case) = Case::root(&[]) else { return };
    let rule = json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO"});
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let sets = ["bounding", "permitted", "effective"].map(|set| (set, ["CAP_SYS_PTRACE"]));
    for (kind, seen) in KINDS.into_iter().zip(["0000000000080000", "", "0000000000000000", ""]) {
        let mut bundle = filtered(&case, kind, filter.clone());
        let sets: serde_json::Map<_, _> =
            sets.iter().map(|(set, names)| ((*set).to_owned(), json!(names))).collect();
        bundle.set("/process/capabilities", sets).probe("exit 0");
        let hook = json!({"path": "/probe", "args": ["/probe", "caps", "then", "exit", "1"]});
        bundle.set("/hooks", json!({"startContainer": [hook]}));
        let done = case.run(&bundle);
        let line = format!("cap.bounding: {seen}");
        assert!(done.fails().contains(&line), "{kind:?}: {done}");
    }
}
