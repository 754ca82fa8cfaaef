//! Fail each step of the plans: the message names the field of config.json, the system call and the
//! errno; the exit status is 1; and nothing is left.
//!
//! A first run lists the calls of init; interpreting the plan beside the list tells which call is
//! which step. Then each call fails in a run of its own, with an errno that its step does not
//! tolerate.

#[path = "trace/bundles.rs"]
mod bundles;
#[path = "inject/points.rs"]
mod points;

use bundles::{least, mounted, placed, process, standard};
use points::{Point, points};
use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use tiny_ce::plan::Finished;
use tiny_ce_test::{Bundle, Case, Container, Done, Fault, Whose};

/// The number of runs at a time.
const WORKERS: usize = 2;

/// The plan of a container.
fn plan_of(case: &Case, id: &str) -> Finished {
    let path = case.state().join(id).join("plan");
    let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Finished::from_file(&file).expect("a plan")
}

fn create(case: &Case, bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command(["create", "--bundle"]);
    command.arg(bundle.path()).arg(id);
    command
}

/// The one line that `point` must cause: `tiny-ce: cannot VERB "ID": FIELD: CALL(2): ERRNO (…)`.
#[track_caller]
fn names_the_step(done: &Done, verb: &str, id: &str, plan: &Finished, point: &Point) {
    let Point { step, errno, .. } = *point;
    let wanted = format!(
        "tiny-ce: cannot {verb} {id:?}: {}: {}(2): {} (",
        plan.origin(step),
        point.call,
        syscalls::Errno::new(errno).name().expect("a name"),
    );
    let lines = done.fails().lines().filter(|line| !line.starts_with("tiny-ce: warning: "));
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("  ")).collect();
    assert!(lines[0].starts_with(&wanted), "step {}: expected {wanted}…\n{done}", step + 1);
    assert_eq!(done.code(), 1, "{done}");
    assert_eq!(lines.len(), 1, "step {}: one line, and its details\n{done}", step + 1);
}

/// Nothing is left of a container whose creation failed.
#[track_caller]
fn is_gone(case: &Case, id: &str) {
    let state = case.state().join(id);
    assert!(state.symlink_metadata().is_err(), "{}", state.display());
    let cgroups = case.cgroups();
    let own = cgroups.iter().find(|path| path.ends_with(id));
    assert_eq!(own, None);
}

/// Call `one` for each of `all`, a few at a time; each worker has a bundle of its own.
fn each<T: Sync>(
    case: &Case,
    make: fn(&Case) -> Bundle,
    all: &[T],
    one: impl Fn(&Bundle, &T) + Sync,
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let bundle = make(case);
                // The first container creates what the image lacks; later ones find it.
                case.run(&bundle).ok();
                while let Some(item) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(&bundle, item);
                }
            });
        }
    });
}

/// The kind of a step, wherever it is in a plan: its field, its row in the table of operations, and
/// whether it may fail.
type Kind = (String, &'static str, bool);

/// The plan of a container, and its steps that are executed before the commit and after it.
struct Listed {
    plan: Finished,
    before: Vec<Point>,
    after: Vec<Point>,
}

impl Listed {
    fn of(case: &Case, make: fn(&Case) -> Bundle) -> Listed {
        let bundle = make(case);
        case.create(&bundle);
        let id = case.id();
        let (done, calls) = case.calls(Whose::Plan, &create(case, &bundle, &id));
        done.ok();
        let (plan, pid) = (plan_of(case, &id), pid_of(case, &id));
        let accept = points::accept(&plan);
        let mut before = points(&plan, 0, &calls);
        before.retain(|point| point.step < accept);
        let (done, calls) = case.calls(Whose::Process(pid), &case.command(["start", &id]));
        done.ok();
        case.tiny_ce(["delete", "--force", &id]).ok();
        let after = points(&plan, accept, &calls);
        Listed { plan, before, after }
    }

    fn kinds(&self) -> HashSet<Kind> {
        self.before.iter().chain(&self.after).map(|point| self.kind(point)).collect()
    }

    fn kind(&self, point: &Point) -> Kind {
        (self.plan.origin(point.step).to_owned(), point.name, point.tolerant)
    }

    /// Without the steps of these kinds, which another test fails.
    fn without(mut self, known: &HashSet<Kind>) -> Listed {
        let (before, after) = (std::mem::take(&mut self.before), std::mem::take(&mut self.after));
        self.before = before.into_iter().filter(|p| !known.contains(&self.kind(p))).collect();
        self.after = after.into_iter().filter(|p| !known.contains(&self.kind(p))).collect();
        self
    }

    /// Fail each step in a container of its own.
    fn fail(&self, case: &Case, make: fn(&Case) -> Bundle) {
        each(case, make, &self.before, |bundle, point| {
            fail_create(case, bundle, &self.plan, point)
        });
        each(case, make, &self.after, |bundle, point| fail_start(case, bundle, &self.plan, point));
    }
}

fn pid_of(case: &Case, id: &str) -> u32 {
    let state: serde_json::Value =
        serde_json::from_str(case.tiny_ce(["state", id]).ok()).expect("JSON");
    state["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

fn fail_create(case: &Case, bundle: &Bundle, plan: &Finished, point: &Point) {
    let id = case.id();
    let command = create(case, bundle, &id);
    let faulted = case.fault(Whose::Plan, Fault::Errno(point.errno), point.ordinal, &command);
    if point.step == points::commit(plan) {
        // After the commit the launcher may have ended already, so nothing reports the failure.
        case.tiny_ce(["delete", "--force", &id]).ok();
        return is_gone(case, &id);
    }
    assert_eq!(faulted.hit, Some(point.number), "step {}", point.step + 1);
    names_the_step(&faulted.done, "create", &id, plan, point);
    is_gone(case, &id);
}

fn fail_start(case: &Case, bundle: &Bundle, plan: &Finished, point: &Point) {
    let container: Container<'_> = case.create(bundle);
    let (id, pid) = (container.id().to_owned(), container.pid());
    let command = case.command(["start", &id]);
    let fault = Fault::Errno(point.errno);
    let faulted = case.fault(Whose::Process(pid), fault, point.ordinal, &command);
    assert_eq!(faulted.hit, Some(point.number), "step {}", point.step + 1);
    if point.name == "Accept" {
        // `start` is not connected yet, so it learns only that init has ended.
        faulted.done.fails();
    } else {
        names_the_step(&faulted.done, "start", &id, plan, point);
    }
    assert_eq!(container.status(), "stopped");
    container.delete();
    is_gone(case, &id);
}

#[test]
fn the_default_config() {
    let Some(case) = Case::root(&[]) else { return };
    let all = Listed::of(&case, standard);
    assert!(all.before.len() > 200 && all.after.len() >= 3, "{:?}", all.after);
    all.fail(&case, standard);
}

#[test]
fn every_kind_of_mount() {
    let Some(case) = Case::root(&[]) else { return };
    let all = Listed::of(&case, mounted);
    assert!(all.before.len() > 250 && all.after.len() >= 3, "{:?}", all.after);
    all.fail(&case, mounted);
}

/// Links, `..`, a mount on the root, and targets that an earlier mount makes.
#[test]
fn destinations_through_links() {
    let Some(case) = Case::root(&[]) else { return };
    let known = Listed::of(&case, standard).kinds();
    let new = Listed::of(&case, placed).without(&known);
    assert!(new.before.len() > 50, "{}", new.before.len());
    new.fail(&case, placed);
}

/// Steps that the default config lacks: fields of the process, hooks, sysctl, clocks.
#[test]
fn every_field_of_the_process() {
    let Some(case) = Case::root(&[]) else { return };
    let known = Listed::of(&case, standard).kinds();
    let new = Listed::of(&case, process).without(&known);
    assert!(new.before.len() > 20 && !new.after.is_empty(), "{:?}", new.after);
    new.fail(&case, process);
}

/// Devices that the image has already.
#[test]
fn the_least_config() {
    let Some(case) = Case::root(&[]) else { return };
    let known = Listed::of(&case, standard).kinds();
    let new = Listed::of(&case, least).without(&known);
    assert!(!new.before.is_empty());
    new.fail(&case, least);
}

fn run(case: &Case, bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command(["run", "--keep", "--bundle"]);
    command.arg(bundle.path()).arg(id);
    command
}

/// `run` also reports a failure after the commit.
#[test]
fn a_terminal() {
    let Some(case) = Case::root(&[]) else { return };
    let (bundle, id) = (terminal(&case), case.id());
    let (done, calls) = case.calls(Whose::Plan, &run(&case, &bundle, &id));
    done.ok();
    let plan = plan_of(&case, &id);
    case.tiny_ce(["delete", &id]).ok();
    let mut all = points(&plan, 0, &calls);
    let fields = ["process.terminal", "process.consoleSize", "the commit", "process.args[0]"];
    all.retain(|point| fields.contains(&plan.origin(point.step)));
    assert!(all.len() > 15, "{all:?}");
    each(&case, terminal, &all, |bundle, point| {
        let id = case.id();
        let fault = Fault::Errno(point.errno);
        let faulted = case.fault(Whose::Plan, fault, point.ordinal, &run(&case, bundle, &id));
        assert_eq!(faulted.hit, Some(point.number), "step {}", point.step + 1);
        names_the_step(&faulted.done, "run", &id, &plan, point);
        is_gone(&case, &id);
    });
}

fn terminal(case: &Case) -> Bundle {
    let mut bundle = standard(case);
    bundle.set("/process/terminal", true);
    bundle.set("/process/consoleSize", serde_json::json!({"height": 24, "width": 80}));
    bundle
}
