//! `process`: each of its fields, as the program sees it.

use serde_json::{Value, json};
use std::fs;
use tiny_ce_test::{Bundle, Case, Done, Need};

/// The bits of these capabilities, as the probe prints them.
fn bits(numbers: &[u32]) -> String {
    format!("{:016X}", numbers.iter().fold(0u64, |set, number| set | 1 << number))
}

const CHOWN: u32 = 0;
const KILL: u32 = 5;
const SETPCAP: u32 = 8;
const NET_RAW: u32 = 13;
const SYS_ADMIN: u32 = 21;

#[test]
fn it_has_its_arguments_and_its_environment_alone() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.args(["/probe", "args", "then", "env", "then", "say", "", "é\n"]);
    let tag = format!("TINY_CE_CASE={}", case.tag());
    bundle.set("/process/env", json!(["A=1", "B=", "A=2", "C=x=y z", tag]));
    let done = case.run(&bundle);
    assert_eq!(done.values("arg").len(), 8, "{done}");
    // The last of several values counts; and HOME is the user's.
    assert_eq!(done.values("env"), ["B=", "A=2", "C=x=y z", &tag, "HOME=/root"]);
    bundle.set("/process/user/uid", 1000).push("/process/env", "HOME=/given").probe("env");
    assert_eq!(case.run(&bundle).values("env").last(), Some(&"HOME=/given"));
    bundle.set("/process/env", json!([tag]));
    assert_eq!(case.run(&bundle).values("env"), [&tag, "HOME=/home/user"]);
    bundle.set("/process/user/uid", 4242);
    assert_eq!(case.run(&bundle).values("env"), [&tag, "HOME=/"]);
}

#[test]
fn path_is_searched() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.program(tiny_ce_test::probe(), "opt/bin/it");
    bundle.file("bin/it", "not executable");
    bundle.args(["it", "args"]);
    bundle.push("/process/env", "PATH=/nope:/bin:/opt/bin");
    assert_eq!(case.run(&bundle).ok(), "arg: it\narg: args\n");
}

#[test]
fn its_user_and_groups_are_exactly_those() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/user", json!({"uid": 7, "gid": 8, "additionalGids": [12, 10, 12]}));
    bundle.probe("ids");
    let done = case.run(&bundle);
    assert_eq!(done.value("uid"), "7 7 7");
    assert_eq!(done.value("gid"), "8 8 8");
    assert_eq!(done.value("groups"), "10 12 12");
    // The groups of the caller are not inherited.
    bundle.set("/process/user", json!({"uid": 0, "gid": 0}));
    let done = crate::options::run_as(&case, &bundle, "groups 0 4242", &[]);
    assert!(done.ok().contains("\ngroups:\n"), "{done}");
}

#[test]
fn its_umask_is_given_or_usual() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("umask");
    assert_eq!(case.run(&bundle).value("umask"), "022");
    bundle.set("/process/user/umask", 0o077);
    assert_eq!(case.run(&bundle).value("umask"), "077");
}

fn capabilities(bundle: &mut Bundle, set: &str, names: &[&str]) {
    bundle.set(&format!("/process/capabilities/{set}"), json!(names));
}

#[test]
fn its_capabilities_are_five_sets() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).probe("caps");
    capabilities(&mut bundle, "bounding", &["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]);
    capabilities(&mut bundle, "permitted", &["CAP_CHOWN", "CAP_KILL"]);
    capabilities(&mut bundle, "effective", &["CAP_CHOWN"]);
    capabilities(&mut bundle, "inheritable", &["CAP_KILL"]);
    capabilities(&mut bundle, "ambient", &["CAP_KILL"]);
    let done = case.run(&bundle);
    // execve(2) leaves a user other than root the ambient capabilities only.
    assert_eq!(done.value("cap.bounding"), bits(&[CHOWN, KILL, NET_RAW]));
    assert_eq!(done.value("cap.inheritable"), bits(&[KILL]));
    assert_eq!(done.value("cap.ambient"), bits(&[KILL]));
    assert_eq!(done.value("cap.permitted"), bits(&[KILL]));
    assert_eq!(done.value("cap.effective"), bits(&[KILL]));
}

#[test]
fn root_has_what_is_bounding_and_nothing_inheritable() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("caps");
    for set in ["bounding", "permitted", "effective"] {
        capabilities(&mut bundle, set, &["CAP_SETPCAP", "CAP_SYS_ADMIN"]);
    }
    let done = case.run(&bundle);
    for set in ["bounding", "permitted", "effective"] {
        assert_eq!(done.value(&format!("cap.{set}")), bits(&[SETPCAP, SYS_ADMIN]), "{set}");
    }
    for set in ["inheritable", "ambient"] {
        assert_eq!(done.value(&format!("cap.{set}")), bits(&[]), "{set}");
    }
    assert_eq!(done.value("securebits"), "0");
    bundle.set("/process/capabilities", json!({}));
    let done = case.run(&bundle);
    for set in ["bounding", "permitted", "effective", "inheritable", "ambient"] {
        assert_eq!(done.value(&format!("cap.{set}")), bits(&[]), "{set}");
    }
}

#[test]
fn no_new_privileges_is_as_asked() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("no_new_privs");
    for (asked, seen) in [(true, "1"), (false, "0")] {
        bundle.set("/process/noNewPrivileges", asked);
        assert_eq!(case.run(&bundle).value("no_new_privs"), seen);
    }
}

#[test]
fn its_limits_are_the_kernels() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let limit =
        |kind: &str, soft: u64, hard: u64| json!({"type": kind, "soft": soft, "hard": hard});
    bundle.set(
        "/process/rlimits",
        json!([
            limit("RLIMIT_NOFILE", 20, 4096),
            limit("RLIMIT_CORE", 0, 4096),
            limit("RLIMIT_NPROC", 100, 200),
            limit("RLIMIT_STACK", 1 << 20, 2 << 20),
            limit("RLIMIT_CPU", 1000, 2000),
        ]),
    );
    bundle.probe("limits");
    let done = case.run(&bundle);
    for (name, seen) in [
        ("NOFILE", "20 4096"),
        ("CORE", "0 4096"),
        ("NPROC", "100 200"),
        ("STACK", "1048576 2097152"),
        ("CPU", "1000 2000"),
    ] {
        assert_eq!(done.value(&format!("limit.RLIMIT_{name}")), seen);
    }
}

/// Run with one field set, and one command of the probe.
fn with(case: &Case, pointer: &str, value: Value, command: &str) -> Done {
    let mut bundle = case.bundle();
    bundle.set(pointer, value).probe(command);
    case.run(&bundle)
}

#[test]
fn the_scheduling_is_as_configured() {
    let Some(case) = Case::root(&[]) else { return };
    let scheduler = |value: Value| with(&case, "/process/scheduler", value, "scheduler");
    let done = scheduler(json!({"policy": "SCHED_BATCH", "nice": 7}));
    assert_eq!((done.value("scheduler.policy"), done.value("scheduler.nice")), ("3", "7"));
    let done = scheduler(json!({"policy": "SCHED_IDLE"}));
    assert_eq!(done.value("scheduler.policy"), "5");
    let done = scheduler(json!({
        "policy": "SCHED_OTHER",
        "nice": -3,
        "flags": ["SCHED_FLAG_RESET_ON_FORK"],
    }));
    assert_eq!((done.value("scheduler.nice"), done.value("scheduler.flags")), ("-3", "1"));
    let done = with(
        &case,
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_BE", "priority": 6}),
        "ioprio",
    );
    assert_eq!((done.value("ioprio.class"), done.value("ioprio.level")), ("2", "6"));
    let done = with(&case, "/process/execCPUAffinity", json!({"initial": "0"}), "affinity");
    assert!(done.ok().starts_with("affinity: 0"), "{done}");
}

#[test]
fn its_oom_score_and_personality_are_as_asked() {
    let Some(case) = Case::root(&[]) else { return };
    let done = with(&case, "/process/oomScoreAdj", json!(321), "oom");
    assert_eq!(done.value("oom_score_adj"), "321");
    let done = with(&case, "/linux/personality", json!({"domain": "LINUX32"}), "personality");
    assert_eq!(done.value("personality"), "8");
}

#[test]
fn a_missing_working_directory_is_made() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/cwd", "/srv/a/b").probe("cwd then stat /srv/a/b");
    let done = case.run(&bundle);
    assert_eq!(done.value("cwd"), "/srv/a/b");
    assert!(done.value("stat /srv/a/b").starts_with("directory mode=0755 uid=0"), "{done}");
    bundle.file("file", "");
    bundle.set("/process/cwd", "/file");
    let done = case.run(&bundle);
    assert!(done.fails().contains("process.cwd"), "{done}");
    assert!(done.stderr.contains("ENOTDIR"), "{done}");
}

#[test]
fn it_starts_with_a_clean_slate() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("signals then umask then pid then dumpable then fds then keyring");
    let unclean = "ignore 13 then ignore 1 then block 10 then block 15";
    let done = crate::options::run_as(&case, &bundle, unclean, &[]);
    for kind in ["blocked", "ignored", "caught"] {
        assert_eq!(done.value(&format!("signal.{kind}")), "0000000000000000", "{done}");
    }
    assert_eq!(done.value("signal.parent_death"), "0");
    assert_eq!((done.value("sid"), done.value("pgid")), ("1", "1"));
    assert_eq!(done.value("dumpable"), "1");
    assert_eq!(done.values("fd").len(), 3, "{done}");
}

/// The program does not inherit the caller's affinity: it may use all CPUs of its cpuset.
#[test]
fn it_runs_on_every_processor_of_its_cpuset() {
    let Some(case) = Case::root(&[Need::Program("taskset")]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("affinity then await 15");
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let tiny_ce = tiny_ce_test::tiny_ce();
    let on_first = |words: &[&str]| {
        let first = ["taskset", "-c", "0", tiny_ce.to_str().expect("UTF-8"), "--root"];
        let state = case.state();
        let first = first.into_iter().chain(state.to_str());
        case.program(first.chain(words.iter().copied()))
    };
    let all = case.program(["/bin/sh", "-c", "grep Cpus_allowed_list /proc/self/status"]);
    let all = all.ok().rsplit('\t').next().expect("a list").trim().to_owned();
    on_first(&["create", "--bundle", &path, &id]).ok();
    let pid = case.tiny_ce(["state", &id]);
    let state: Value = serde_json::from_str(pid.ok()).expect("JSON");
    let processors = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.expect("a list").trim().to_owned()
    };
    let status = fs::read_to_string(format!("/proc/{}/status", state["pid"])).expect("a status");
    assert_eq!(processors(&status), all);
    case.tiny_ce(["start", &id]).ok();
    let done = on_first(&["exec", &id, "/probe", "cat", "/proc/self/status"]);
    assert_eq!(processors(done.ok()), all, "{done}");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

/// Its standard streams belong to the program's user, so that it can open /dev/stderr again.
#[test]
fn its_standard_streams_are_its_users() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    bundle.probe("append /proc/self/fd/1 here then append /proc/self/fd/2 there");
    let done = case.run(&bundle);
    assert_eq!(done.value("append /proc/self/fd/2"), "ok", "{done}");
    assert_eq!(done.stderr, "there");
}

#[test]
fn its_memory_policy_is_as_asked() {
    let Some(case) = Case::root(&[]) else { return };
    let policy = |value: Value| with(&case, "/linux/memoryPolicy", value, "mempolicy");
    let done = policy(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}));
    assert_eq!((done.value("mempolicy.mode"), done.value("mempolicy.nodes")), ("8002", "1"));
    let done = policy(json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}));
    assert_eq!(done.value("mempolicy.mode"), "3");
    let done = policy(json!({"mode": "MPOL_BIND", "nodes": "1023"}));
    assert!(done.fails().contains("linux.memoryPolicy"), "{done}");
}

#[test]
fn real_time_and_its_names_are_as_asked() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 7}));
    bundle.remove("/linux/resources").probe("scheduler");
    let done = case.run(&bundle);
    // A kernel with real-time group scheduling gives a new cgroup no real-time budget.
    if done.code() == 0 {
        assert_eq!(done.value("scheduler.policy"), "1", "{done}");
        assert_eq!(done.value("scheduler.priority"), "7", "{done}");
    } else {
        assert!(done.fails().contains("process.scheduler"), "{done}");
    }
    let mut bundle = case.bundle();
    bundle.set("/domainname", "example.org").set("/hostname", "web");
    bundle.probe("cat /proc/sys/kernel/domainname then hostname");
    let done = case.run(&bundle);
    assert!(done.ok().starts_with("example.org\n"), "{done}");
    assert_eq!(done.value("hostname"), "web");
}

/// MPOL_DEFAULT and MPOL_LOCAL take no nodes; a process of `exec` has the policy too.
#[test]
fn its_memory_policy_is_that_of_exec() {
    let Some(case) = Case::root(&[]) else { return };
    for (mode, number) in [("MPOL_DEFAULT", "0"), ("MPOL_LOCAL", "4"), ("MPOL_INTERLEAVE", "3")] {
        let mut policy = json!({"mode": mode});
        if number == "3" {
            policy["nodes"] = json!("0");
        }
        let mut bundle = case.bundle();
        bundle.set("/linux/memoryPolicy", policy).probe("mempolicy");
        assert_eq!(case.run(&bundle).value("mempolicy.mode"), number, "{mode}");
        bundle.probe("await 15");
        let container = case.create(&bundle);
        container.start();
        let done = case.tiny_ce(["exec", container.id(), "/probe", "mempolicy"]);
        assert_eq!(done.value("mempolicy.mode"), number, "exec, {mode}");
    }
}

/// An absent id counts as zero, as in the Go programs that read config.json.
#[test]
fn ids_that_are_absent_are_zero() {
    let Some(case) = Case::root(&[]) else { return };
    for (user, seen) in [
        (json!({"uid": 1000}), ("1000 1000 1000", "0 0 0")),
        (json!({"gid": 7}), ("0 0 0", "7 7 7")),
        (json!({}), ("0 0 0", "0 0 0")),
    ] {
        let mut bundle = case.bundle();
        bundle.set("/process/user", user.clone()).probe("ids");
        let done = case.run(&bundle);
        assert_eq!((done.value("uid"), done.value("gid")), seen, "{user}");
    }
}

/// Engines write an empty HOME if they do not know the home directory.
#[test]
fn an_empty_home_is_that_of_the_user() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/env", json!(["HOME="])).probe("env");
    assert_eq!(case.run(&bundle).values("env"), ["HOME=/root"]);
    bundle.set("/process/user/uid", 1000);
    assert_eq!(case.run(&bundle).values("env"), ["HOME=/home/user"]);
}

/// A capability that execve(2) drops gives a warning; one that the kernel refuses is an error.
#[test]
fn capabilities_without_effect_are_left_out() {
    let Some(case) = Case::root(&[]) else { return };
    let sets = |more: Value| {
        let mut sets = json!({"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"],
            "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"]});
        let more = more.as_object().expect("sets").clone();
        sets.as_object_mut().expect("sets").extend(more);
        sets
    };
    // "run" keeps quiet about what runc's own default has.
    let warned = |bundle: &Bundle, warning: &str| {
        let done = case.tiny_ce(["validate".as_ref(), bundle.path().as_os_str()]);
        done.ok();
        assert!(done.stderr.contains(warning), "{warning}: {done}");
    };
    let kill = bits(&[KILL]);
    for (more, ambient, warning) in [
        (json!({"permitted": ["CAP_KILL", "CAP_CHOWN"]}), "", "permitted: not in bounding"),
        (json!({"ambient": ["CAP_CHOWN"]}), "", "ambient: not in permitted"),
        (json!({"ambient": ["CAP_CHOWN"]}), "", "ambient: not in inheritable"),
        (json!({"bounding": ["CAP_KILL", "CAP_BANANA"]}), "", "bounding[1]: unknown capability"),
        (json!({"ambient": ["CAP_KILL", "CAP_BANANA"]}), &*kill, "ambient[1]: unknown capability"),
    ] {
        let mut bundle = case.bundle();
        bundle.set("/process/capabilities", sets(more.clone())).probe("caps");
        let done = case.run(&bundle);
        for set in ["bounding", "permitted", "effective", "inheritable"] {
            let seen = done.ends(0).value(&format!("cap.{set}"));
            assert_eq!(seen.to_uppercase(), kill, "{more}: {set}");
        }
        let none = bits(&[]);
        let expected = if ambient.is_empty() { &*none } else { ambient };
        assert_eq!(done.value("cap.ambient").to_uppercase(), expected, "{more}");
        warned(&bundle, warning);
    }
    // Beyond one of the two alone.
    for (more, warning) in [
        (json!({"permitted": [], "effective": []}), "ambient: not in permitted"),
        (json!({"inheritable": []}), "ambient: not in inheritable"),
    ] {
        let mut bundle = case.bundle();
        bundle
            .set("/process/capabilities", sets(more))
            .set("/process/capabilities/ambient", json!(["CAP_KILL"]));
        let done = case.run(bundle.probe("caps"));
        assert_eq!(done.ends(0).value("cap.ambient").to_uppercase(), bits(&[]), "{warning}");
        warned(&bundle, warning);
    }
    for more in [json!({"effective": ["CAP_CHOWN"]}), json!({"inheritable": ["CAP_CHOWN"]})] {
        let mut bundle = case.bundle();
        bundle.set("/process/capabilities", sets(more));
        assert!(case.run(&bundle).fails().contains("CAP_CHOWN"));
    }
}

/// The error names the string that is too long, and not a namespace.
#[test]
fn a_string_that_is_too_long_is_named() {
    let Some(case) = Case::root(&[]) else { return };
    const MOST: usize = 32 * 4096 - 1;
    let mut bundle = case.bundle();
    bundle.set("/process/args", json!(["/probe", "say", "x".repeat(MOST)]));
    case.run(&bundle).ok();
    bundle.set("/process/args", json!(["/probe", "say", "x".repeat(MOST + 1)]));
    let done = case.run(&bundle);
    assert!(done.fails().contains("process.args[2]: execveat(2): E2BIG"), "{done}");
    assert!(done.stderr.contains("131072 bytes; at most 131071"), "{done}");
    bundle.probe("await 15").push("/process/env", format!("A={}", "x".repeat(MOST)));
    let done = case.run(&bundle);
    assert!(done.fails().contains("process.env[") && done.stderr.contains("E2BIG"), "{done}");
    bundle.set("/process/env", json!([]));
    let container = case.create(&bundle);
    container.start();
    let long = "x".repeat(MOST / 2);
    let env = format!("A={long}");
    case.tiny_ce(["exec", "--env", &env, container.id(), "/probe", "say", &long]).ok();
}

/// Without `process`, `run` has nothing to run.
#[test]
fn without_a_process_run_fails_as_start_does() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.remove("/process");
    let words = "process: the config has none, so there is nothing to start";
    assert!(case.run(&bundle).fails().contains(words));
    let container = case.create(&bundle);
    assert!(container.tiny_ce("start", []).fails().contains(words));
    assert_eq!(container.status(), "created");
}
