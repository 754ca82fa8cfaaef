//! SIGKILL at each system call of `create`, `run`, `start`, `delete` and `exec`: of the launcher,
//! of init, and of the launcher while init is at each of its own.
//!
//! After each of them `delete --force` answers 0, nothing is left, and the same id can be created
//! again. Every k-th call here; every one with `TINY_CE_FULL=1`.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tiny_ce_test::run as run_command;
use tiny_ce_test::{Bundle, Case, Fault, PATIENCE, Whose};

/// How many runs there are at a time.
const WORKERS: usize = 2;

/// Of how many calls one is taken, unless all of them are asked for: prime, so that no pattern in
/// the calls keeps any kind of them out.
const STRIDE: usize = 13;

/// What a point is about: whose call, and who dies of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Launcher,
    Init,
    /// The launcher, at init's call.
    Orphan,
}

/// Who can die of a command that has an init.
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

/// A bundle whose cgroup has parents that no other one has, to be taken away with it.
fn bundle(case: &Case, program: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/linux/cgroupsPath", format!("/{}/parent/of", case.id())).probe(program);
    bundle
}

/// Kill at point after point until there are no more, a few at a time, each on its own bundle.
///
/// `one` answers whether the point was reached.
fn sweep(
    case: &Case,
    deaths: &[Death],
    program: &str,
    one: impl Fn(&Bundle, Death, usize) -> bool + Sync,
) {
    let stride = if std::env::var_os("TINY_CE_FULL").is_some() { 1 } else { STRIDE };
    for death in deaths {
        let (next, reached) = (AtomicUsize::new(1), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    let bundle = bundle(case, program);
                    while one(&bundle, *death, next.fetch_add(stride, Ordering::Relaxed)) {
                        reached.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let points = reached.into_inner() * stride;
        assert!(points > 5, "{death:?}: {points} points");
    }
}

fn make(case: &Case, verb: &[&str], bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command(verb);
    command.arg("--bundle").arg(bundle.path()).arg(id);
    command
}

/// It can be deleted, then nothing is left, and it can be made again.
#[track_caller]
fn recovers(case: &Case, bundle: &Bundle, id: &str, what: &str) {
    case.tiny_ce(["delete", "--force", id]).ok();
    let left = case.leftovers();
    let own: Vec<&String> = left.iter().filter(|line| line.contains(id)).collect();
    assert!(own.is_empty(), "{what}: {own:?}");
    let again = run_command(&mut make(case, &["create"], bundle, id), case.dir());
    assert!(again.status.success(), "{what}: the same id again\n{again}");
    case.tiny_ce(["delete", "--force", id]).ok();
}

/// A command that makes the container.
fn making(verb: &[&str]) {
    let Some(case) = Case::root(&[]) else { return };
    sweep(&case, DEATHS, "exit 0", |bundle, death, point| {
        let id = case.id();
        let (whose, fault) = death.fault(Whose::Init);
        let faulted = case.fault(whose, fault, point, &make(&case, verb, bundle, &id));
        recovers(&case, bundle, &id, &format!("{verb:?}, {death:?} {point}"));
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
fn start() {
    let Some(case) = Case::root(&[]) else { return };
    sweep(&case, DEATHS, "exit 0", |bundle, death, point| {
        let container = case.create(bundle);
        let (id, pid) = (container.id().to_owned(), container.pid());
        let (whose, fault) = death.fault(Whose::Process(pid));
        let faulted = case.fault(whose, fault, point, &case.command(["start", &id]));
        recovers(&case, bundle, &id, &format!("start, {death:?} {point}"));
        faulted.hit.is_some()
    });
}

#[test]
fn delete() {
    let Some(case) = Case::root(&[]) else { return };
    sweep(&case, &[Death::Launcher], "pause", |bundle, _, point| {
        let id = case.id();
        // Every other one runs.
        let verb: &[&str] = if point % 2 == 0 { &["create"] } else { &["run", "--detach"] };
        run_command(&mut make(&case, verb, bundle, &id), case.dir()).ok();
        let delete = case.command(["delete", "--force", &id]);
        let faulted = case.fault(Whose::Launcher, Fault::Kill, point, &delete);
        recovers(&case, bundle, &id, &format!("delete, {point}"));
        faulted.hit.is_some()
    });
}

/// A process that comes to a container runs, or is gone with who sent it; the others do not notice.
#[test]
fn exec() {
    let Some(case) = Case::root(&[]) else { return };
    sweep(&case, DEATHS, "pause", |bundle, death, point| {
        let id = case.id();
        run_command(&mut make(&case, &["run", "--detach"], bundle, &id), case.dir()).ok();
        let (whose, fault) = death.fault(Whose::Init);
        let exec = case.command(["exec", &id, "/probe", "exit", "0"]);
        let faulted = case.fault(whose, fault, point, &exec);
        let what = format!("exec, {death:?} {point}");
        alone(&case, &id, &what);
        recovers(&case, bundle, &id, &what);
        faulted.hit.is_some()
    });
}

/// The container runs, and at last there is only its first process in it.
#[track_caller]
fn alone(case: &Case, id: &str, what: &str) {
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
