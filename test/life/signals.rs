//! Signals to containers in every state, and to all processes of containers that share a pid
//! namespace.

use serde_json::json;
use tiny_ce_test::{Bundle, Case, Container};

#[track_caller]
fn until(container: &Container<'_>, there: impl Fn() -> bool) {
    let end = std::time::Instant::now() + tiny_ce_test::PATIENCE;
    while !there() {
        assert!(std::time::Instant::now() < end, "{}", container.state());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Wait until the container's init has ended. Its output ends later if other processes hold it.
#[track_caller]
fn stopped(container: &Container<'_>) {
    until(container, || container.status() == "stopped");
}

/// Wait until none of its processes is left: a process is listed a moment longer than it holds its
/// output.
#[track_caller]
fn empty(case: &Case, container: &Container<'_>) {
    until(container, || processes(case, container) == 0);
}

#[track_caller]
fn processes(case: &Case, container: &Container<'_>) -> usize {
    let pids = case.tiny_ce(["ps", "--format", "json", container.id()]);
    serde_json::from_str::<Vec<i32>>(pids.ok()).expect("JSON").len()
}

#[track_caller]
fn fails(container: &Container<'_>, words: [&str; 2]) {
    let done = container.tiny_ce(words[0], [words[1]]);
    assert!(done.fails().contains("container not running"), "{done}");
}

/// Give the bundle a new pid namespace, the host's, or that of another container, which is
/// returned.
fn whose_pids<'c>(case: &'c Case, bundle: &mut Bundle, whose: &str) -> Option<Container<'c>> {
    match whose {
        "new" => None,
        "the host's" => {
            bundle.without_namespace("pid");
            None
        }
        _ => {
            let mut other = case.bundle();
            other.probe("pause");
            let other = case.create(&other);
            bundle.namespace("pid", Some(format!("/proc/{}/ns/pid", other.pid()).as_ref()));
            Some(other)
        }
    }
}

const WHOSE: [&str; 3] = ["new", "the host's", "another's"];

#[test]
fn a_created_container_ends_by_the_usual_signals() {
    let Some(case) = Case::root(&[]) else { return };
    for whose in WHOSE {
        let mut bundle = case.bundle();
        let _other = whose_pids(&case, &mut bundle, whose);
        for signal in ["TERM", "INT", "HUP", "QUIT", "KILL"] {
            let container = case.create(&bundle);
            container.kill(signal);
            stopped(&container);
            container.delete();
            // A supervisor that sends the signal to the pid has the same effect.
            let container = case.create(&bundle);
            case.program(["kill", &format!("-{signal}"), &container.pid().to_string()]).ok();
            stopped(&container);
            container.delete();
        }
    }
    // init ignores other signals while it waits for `start`.
    let container = case.create(&case.bundle());
    for signal in ["USR1", "CHLD", "WINCH", "RTMIN+3", "0"] {
        container.kill(signal);
    }
    assert_eq!(container.status(), "created");
    container.start();
}

#[test]
fn a_filter_that_refuses_exit_does_not_keep_init_alive() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let calls = ["rt_sigaction", "rt_sigreturn", "exit_group", "exit"];
    let refused = json!({"names": calls, "action": "SCMP_ACT_ERRNO"});
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]});
    bundle.set("/linux/seccomp", filter).set("/process/noNewPrivileges", false);
    let container = case.create(&bundle);
    container.kill("TERM");
    stopped(&container);
    container.delete();
}

/// As under other runtimes, PID 1 gets only signals that it handles, so init's handlers must be
/// gone.
#[test]
fn a_program_inherits_no_signal_handlers() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("signals then say ready then sleep 100000000");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready");
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        container.kill(signal);
    }
    assert_eq!(container.status(), "running");
}

#[test]
fn sigkill_ends_all_of_a_container() {
    let Some(case) = Case::root(&[]) else { return };
    for whose in WHOSE {
        let mut bundle = case.bundle();
        let other = whose_pids(&case, &mut bundle, whose);
        bundle.probe("fork 3 then pause");
        let mut container = case.create(&bundle);
        container.start();
        container.line("ready:");
        container.kill("KILL");
        // Each process holds the container's standard output.
        container.ended();
        stopped(&container);
        empty(&case, &container);
        fails(&container, ["kill", "KILL"]);
        container.delete();
        assert!(other.is_none_or(|other| other.status() == "created"));
    }
}

/// The program has ended, and its children live on in a pid namespace that it shared.
#[test]
fn sigkill_ends_what_outlives_the_program() {
    let Some(case) = Case::root(&[]) else { return };
    for whose in &WHOSE[1..] {
        let mut bundle = case.bundle();
        let _other = whose_pids(&case, &mut bundle, whose);
        bundle.probe("fork 3 then exit 0");
        let mut container = case.create(&bundle);
        container.start();
        stopped(&container);
        assert_eq!(processes(&case, &container), 3, "{whose}");
        // Signals other than KILL go to the program only, which has ended.
        for signal in ["TERM", "0"] {
            fails(&container, ["kill", signal]);
        }
        container.kill("KILL");
        container.ended();
        empty(&case, &container);
        fails(&container, ["kill", "KILL"]);
        container.delete();
    }
}

#[test]
fn kill_all_reaches_what_outlives_the_program() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.without_namespace("pid").probe("fork 3 then exit 0");
    let mut container = case.create(&bundle);
    container.start();
    stopped(&container);
    container.tiny_ce("kill", ["--all", "TERM"]).ok();
    container.ended();
    empty(&case, &container);
    container.tiny_ce("kill", ["--all", "TERM"]).ok();
}

#[test]
fn signal_0_checks_that_a_container_runs() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let mut container = case.create(&bundle);
    container.kill("0");
    container.start();
    container.line("ready:");
    container.kill("0");
    container.kill("TERM");
    assert_eq!(container.ended().values("signal"), ["15"]);
    stopped(&container);
    fails(&container, ["kill", "0"]);
    let done = case.tiny_ce(["kill", "nobody", "0"]);
    assert!(done.fails().contains("container does not exist"), "{done}");
}
