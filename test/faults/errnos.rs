//! ENOMEM, ENOSPC, EMFILE, EINTR and EIO at each system call of each verb, in the launcher and in
//! init: the command fails with one line, or what it made is right.
//!
//! Each run takes a different sample of the calls; `TINY_CE_FULL=1` takes all of them.

use std::process::Command;

use tiny_ce_test::{Bundle, Case, Done, Fault, Faulted, Whose, full, run, sweep};

use crate::verdict::{one_line, status, strike};

/// ENOMEM, ENOSPC, EMFILE, EINTR, EIO.
const ERRNOS: [i32; 5] = [12, 28, 24, 4, 5];

/// Commands that show whether a container is confined as its config.json asks.
const LOOK: &str = "ids then caps then no_new_privs then mounts then limits then umask then \
                    signals then fds then hostname then cwd then env";

fn bundle(case: &Case, program: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/linux/cgroupsPath", format!("/{}/parent/of", case.tag())).probe(program);
    bundle
}

/// The ground, and the output of the verb without a fault.
struct Ground {
    bundle: Bundle,
    usual: Vec<String>,
}

/// What a program saw, without what differs between containers: ids of mounts and devices, and
/// names of the files that take its output.
fn seen(done: &Done) -> Vec<String> {
    let own = |line: &str| match line.split_once(": ") {
        Some(("mount", mount)) => mount.split(' ').skip(3).collect::<Vec<_>>().join(" "),
        Some(("fd", fd)) => fd.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(),
        _ => line.to_owned(),
    };
    done.stdout.lines().map(own).collect()
}

/// How many calls the C library and Rust's standard library make before tiny-ce's first. They
/// report an error of such a call themselves, not in one line.
fn foreign(case: &Case) -> usize {
    let (done, calls) = case.calls(Whose::Launcher, &case.command(["--version"]));
    done.ok();
    calls.len().saturating_sub(3)
}

/// Inject an errno at each call that `whose` makes in `verb`.
fn each(
    verb: &str,
    whose: Whose,
    stride: usize,
    ground: impl Fn(&Case) -> Ground + Sync,
    one: impl Fn(&Case, &Ground, Fault, usize) -> Faulted + Sync,
) {
    let Some(case) = Case::root(&[]) else { return };
    let early = if whose == Whose::Launcher { foreign(&case) } else { 0 };
    // With `TINY_CE_FULL=1` each point gets each errno in turn.
    for turn in 0..if full() { ERRNOS.len() } else { 1 } {
        let name = format!("errnos, {verb}, {whose:?}, turn {turn}");
        let points = sweep(&name, stride, &ground, |case, ground, point| {
            let errno = ERRNOS[(point + turn) % ERRNOS.len()];
            let faulted = one(case, ground, Fault::Errno(errno), point);
            if !faulted.done.status.success() && point > early {
                one_line(&faulted.done);
            }
            faulted.hit.is_some()
        });
        assert!(points >= 3, "{name}: {points} points");
    }
}

fn plain(case: &Case, program: &str) -> Ground {
    Ground { bundle: bundle(case, program), usual: Vec::new() }
}

/// Make a running container.
#[track_caller]
fn running(case: &Case, bundle: &Bundle) -> String {
    let id = case.id();
    run(&mut case.make(&["run", "--detach"], bundle, &id), case.dir()).ok();
    id
}

fn create(whose: Whose) {
    each(
        "create",
        whose,
        61,
        |case| plain(case, "pause"),
        |case, ground, fault, point| {
            let id = case.id();
            let command = case.make(&["create"], &ground.bundle, &id);
            let faulted = strike(case, whose, fault, point, &command);
            if faulted.done.status.success() {
                // After the commit the launcher reports nothing more, so it may have succeeded
                // although init failed.
                let status = status(case, &id);
                if status == "created" {
                    case.tiny_ce(["start", &id]).ok();
                    let done = case.tiny_ce(["exec", &id, "/probe", "hostname", "then", "caps"]);
                    assert_eq!(done.value("hostname"), "runc", "{}", faulted.done);
                } else {
                    assert!(
                        whose == Whose::Init && status == "stopped",
                        "{status}: {}",
                        faulted.done
                    );
                }
            }
            case.recovers(&ground.bundle, &id);
            faulted
        },
    );
}

#[test]
fn create_by_the_launcher() {
    create(Whose::Launcher);
}

#[test]
fn create_by_init() {
    create(Whose::Init);
}

fn runs(whose: Whose) {
    let ground = |case: &Case| {
        let bundle = bundle(case, LOOK);
        let usual = seen(&case.run(&bundle));
        Ground { bundle, usual }
    };
    each("run", whose, 23, ground, |case, ground, fault, point| {
        let id = case.id();
        let command = case.make(&["run"], &ground.bundle, &id);
        let faulted = strike(case, whose, fault, point, &command);
        if faulted.done.status.success() {
            assert_eq!(seen(&faulted.done), ground.usual, "{}", faulted.done);
        }
        case.recovers(&ground.bundle, &id);
        faulted
    });
}

#[test]
fn run_by_the_launcher() {
    runs(Whose::Launcher);
}

#[test]
fn run_by_init() {
    runs(Whose::Init);
}

#[test]
fn start_by_the_launcher() {
    starts(|_| Whose::Launcher, 11);
}

#[test]
fn start_by_init() {
    starts(Whose::Process, 1);
}

fn starts(whose: fn(u32) -> Whose, stride: usize) {
    each(
        "start",
        whose(0),
        stride,
        |case| plain(case, "pause"),
        |case, ground, fault, point| {
            let container = case.create(&ground.bundle);
            let id = container.id().to_owned();
            let whose = whose(container.pid());
            let faulted = strike(case, whose, fault, point, &case.command(["start", &id]));
            match status(case, &id).as_str() {
                "running" => {}
                "created" | "stopped" if !faulted.done.status.success() => {}
                other => panic!("{other}: {}", faulted.done),
            }
            drop(container);
            case.recovers(&ground.bundle, &id);
            faulted
        },
    );
}

fn execs(whose: Whose) {
    let ground = |case: &Case| {
        let mut bundle = bundle(case, LOOK);
        let process = bundle.config["process"].to_string();
        std::fs::write(case.dir().join("process.json"), process).expect("a file");
        bundle.probe("pause");
        let id = running(case, &bundle);
        let usual = seen(&case.tiny_ce(["exec", "--process", "process.json", &id]));
        assert!(usual.len() > 30, "{usual:?}");
        case.tiny_ce(["delete", "--force", &id]).ok();
        Ground { bundle, usual }
    };
    each("exec", whose, 23, ground, |case, ground, fault, point| {
        let id = running(case, &ground.bundle);
        let exec = case.command(["exec", "--process", "process.json", &id]);
        let faulted = strike(case, whose, fault, point, &exec);
        if faulted.done.status.success() {
            assert_eq!(seen(&faulted.done), ground.usual, "{}", faulted.done);
        }
        assert_eq!(status(case, &id), "running", "{}", faulted.done);
        case.recovers(&ground.bundle, &id);
        faulted
    });
}

#[test]
fn exec_by_the_launcher() {
    execs(Whose::Launcher);
}

#[test]
fn exec_by_init() {
    execs(Whose::Init);
}

/// Test a verb on a running container that the launcher executes alone.
fn alone(verb: &str, words: fn(&str) -> Vec<&str>, right: fn(&Case, &str) -> bool) {
    each(
        verb,
        Whose::Launcher,
        31,
        |case| plain(case, "pause"),
        |case, ground, fault, point| {
            let id = running(case, &ground.bundle);
            let command: Command = case.command(words(&id));
            let faulted = strike(case, Whose::Launcher, fault, point, &command);
            if faulted.done.status.success() {
                assert!(right(case, &id), "{}", faulted.done);
            }
            case.recovers(&ground.bundle, &id);
            faulted
        },
    );
}

fn ends(case: &Case, id: &str) -> bool {
    // The signal takes a moment to end the process.
    (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        status(case, id) == "stopped"
    })
}

#[test]
fn kill() {
    alone("kill", |id| vec!["kill", id, "KILL"], ends);
}

#[test]
fn kill_all() {
    alone("kill --all", |id| vec!["kill", "--all", id, "KILL"], ends);
}

#[test]
fn delete() {
    alone("delete", |id| vec!["delete", "--force", id], |case, _| case.leftovers().is_empty());
}

#[test]
fn update() {
    let limit = |case: &Case, id: &str| {
        let pids = case.tiny_ce(["events", "--stats", id]);
        let stats: serde_json::Value = serde_json::from_str(pids.ok()).expect("JSON");
        stats["data"]["pids"]["limit"] == 7
    };
    alone("update", |id| vec!["update", id, "--pids-limit", "7"], limit);
}
