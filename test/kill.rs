//! SIGKILL at each system call of `create`, `run`, `start`, `kill`, `delete` and `exec`: to the
//! launcher, to init, to hooks, and to the launcher while init makes each of its calls.
//!
//! Then `delete --force` succeeds, nothing is left, and the same id can be created again. One in
//! STRIDE calls is taken; all of them with `TINY_CE_FULL=1`.

use serde_json::json;
use std::time::Instant;
use tiny_ce_test::run as run_command;
use tiny_ce_test::{Bundle, Case, Fault, PATIENCE, Whose, sweep};

/// One call in so many is taken, unless all of them are asked for.
const STRIDE: usize = 13;

/// Whose calls a point counts, and which process is killed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Launcher,
    Init,
    /// The launcher is killed when init makes the call.
    Orphan,
}

/// The deaths to try for a command that starts an init.
const DEATHS: &[Death] = &[Death::Launcher, Death::Init, Death::Orphan];

impl Death {
    fn fault(self, init: Whose) -> (Whose, Fault) {
        match self {
            Death::Launcher => (Whose::Launcher, Fault::Kill),
            Death::Init => (init, Fault::Kill),
            Death::Orphan => (init, Fault::Orphan),
        }
    }
}

/// A bundle whose cgroup has parents of its own, which must be removed with it.
fn bundle(case: &Case, program: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/linux/cgroupsPath", format!("/{}/parent/of", case.id())).probe(program);
    bundle
}

/// Kill at one point after the other, until the command makes no more calls.
///
/// `one` returns whether the point was reached.
fn kill(
    name: &str,
    deaths: &[Death],
    program: &str,
    one: impl Fn(&Case, &Bundle, Death, usize) -> bool + Sync,
) {
    if Case::root(&[]).is_none() {
        return;
    }
    for death in deaths {
        // An init that waits for `start` makes few more calls: the report before execve, and
        // execve.
        let few = name == "start" && *death != Death::Launcher;
        let points = sweep(
            &format!("kill, {name}, {death:?}"),
            if few { 1 } else { STRIDE },
            |case| bundle(case, program),
            |case, bundle, point| one(case, bundle, *death, point),
        );
        assert!(points > if few { 2 } else { 5 }, "{name}, {death:?}: {points} points");
    }
}

/// Kill during a command that makes a container.
fn making(verb: &[&str]) {
    kill(verb[0], DEATHS, "exit 0", |case, bundle, death, point| {
        let id = case.id();
        let (whose, fault) = death.fault(Whose::Init);
        let faulted = case.fault(whose, fault, point, &case.make(verb, bundle, &id));
        case.recovers(bundle, &id);
        faulted.hit.is_some()
    });
}

#[test]
fn create() {
    making(&["create"]);
}

#[test]
fn run() {
    making(&["run"]);
}

#[test]
fn run_with_an_init_that_stays() {
    making(&["run", "--init"]);
}

#[test]
fn start() {
    starting(&["create"]);
}

#[test]
fn start_with_an_init_that_stays() {
    starting(&["create", "--init"]);
}

/// Kill while a container starts.
fn starting(create: &[&str]) {
    kill("start", DEATHS, "exit 0", |case, bundle, death, point| {
        let id = case.id();
        run_command(&mut case.make(create, bundle, &id), case.dir()).ok();
        let state: serde_json::Value =
            serde_json::from_str(case.tiny_ce(["state", &id]).ok()).expect("JSON");
        let pid = state["pid"].as_u64().expect("a pid") as u32;
        let (whose, fault) = death.fault(Whose::Process(pid));
        let faulted = case.fault(whose, fault, point, &case.command(["start", &id]));
        case.recovers(bundle, &id);
        faulted.hit.is_some()
    });
}

/// Each hook is a process that joins namespaces of the container, and forks: it is killed too.
#[test]
fn hooks() {
    let whole = |bundle: &mut Bundle| {
        for kind in ["createRuntime", "createContainer"] {
            bundle.push(&format!("/hooks/{kind}"), json!({"path": "/bin/true"}));
        }
    };
    if Case::root(&[]).is_none() {
        return;
    }
    for child in 1..=2 {
        for fault in [Fault::Kill, Fault::Orphan] {
            let fault = &fault;
            let ground = |case: &Case| {
                let mut bundle = bundle(case, "exit 0");
                whole(&mut bundle);
                bundle
            };
            let name = format!("kill, hook {child}, {fault:?}");
            let points = sweep(&name, 5, ground, |case, bundle, point| {
                let id = case.id();
                let create = case.make(&["create"], bundle, &id);
                let faulted = case.fault(Whose::Child(child), fault.clone(), point, &create);
                case.recovers(bundle, &id);
                faulted.hit.is_some()
            });
            assert!(points > 5, "{name}: {points} points");
        }
    }
}

#[test]
fn delete() {
    kill("delete", &[Death::Launcher], "pause", |case, bundle, _, point| {
        let id = case.id();
        // Every other one runs.
        let verb: &[&str] = if point % 2 == 0 { &["create"] } else { &["run", "--detach"] };
        run_command(&mut case.make(verb, bundle, &id), case.dir()).ok();
        let delete = case.command(["delete", "--force", &id]);
        let faulted = case.fault(Whose::Launcher, Fault::Kill, point, &delete);
        case.recovers(bundle, &id);
        faulted.hit.is_some()
    });
}

/// The signal was sent or not, so the container runs or ends.
#[test]
fn kill_itself() {
    kill("kill", &[Death::Launcher], "pause", |case, bundle, _, point| {
        let id = case.id();
        run_command(&mut case.make(&["run", "--detach"], bundle, &id), case.dir()).ok();
        let words: &[&str] = if point % 2 == 0 { &["KILL"] } else { &["--all", "KILL"] };
        let command = case.command([&["kill", &id][..], words].concat());
        let faulted = case.fault(Whose::Launcher, Fault::Kill, point, &command);
        case.recovers(bundle, &id);
        faulted.hit.is_some()
    });
}

/// The new process runs, or ends with the launcher; the other processes of the container live on.
#[test]
fn exec() {
    kill("exec", DEATHS, "pause", |case, bundle, death, point| {
        let id = case.id();
        run_command(&mut case.make(&["run", "--detach"], bundle, &id), case.dir()).ok();
        let (whose, fault) = death.fault(Whose::Init);
        let exec = case.command(["exec", &id, "/probe", "exit", "0"]);
        let faulted = case.fault(whose, fault, point, &exec);
        let what = format!("exec, {death:?} {point}");
        only_init_is_left(case, &id, &what);
        case.recovers(bundle, &id);
        faulted.hit.is_some()
    });
}

/// The container runs, and after a while only its first process is left in it.
#[track_caller]
fn only_init_is_left(case: &Case, id: &str, what: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let pids = case.tiny_ce(["ps", "--format", "json", id]);
        if pids.ok().split(',').count() == 1 {
            break;
        }
        assert!(Instant::now() < until, "{what}: {pids}");
    }
    assert!(case.tiny_ce(["state", id]).ok().contains("\"running\""), "{what}");
}
