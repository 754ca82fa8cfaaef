//! TERM, INT and HUP at any moment of any verb: `delete --force` removes whatever the command
//! leaves, and no other command has to wait for it.

use tiny_ce_test::{Bundle, Case, Fault, Whose, full, run, sweep};

use crate::verdict::strike;

/// HUP, INT, TERM.
const SIGNALS: [u8; 3] = [1, 2, 15];

/// The words that make a running container.
const RUNS: &[&str] = &["run", "--detach"];

fn ground(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    bundle.probe("pause");
    bundle
}

/// Test a verb that makes a container, or a verb on a container that `before` has made.
fn each(verb: &str, stride: usize, before: &[&str], words: fn(&str) -> Vec<&str>) {
    if Case::root(&[]).is_none() {
        return;
    }
    for turn in 0..if full() { SIGNALS.len() } else { 1 } {
        let name = format!("signals, {verb}, turn {turn}");
        let points = sweep(&name, stride, ground, |case, bundle, point| {
            let id = case.id();
            let command = if before.is_empty() {
                case.make(&words(&id), bundle, &id)
            } else {
                run(&mut case.make(before, bundle, &id), case.dir()).ok();
                case.command(words(&id))
            };
            let fault = Fault::Signal(SIGNALS[(point + turn) % SIGNALS.len()]);
            let faulted = strike(case, Whose::Launcher, fault, point, &command);
            case.recovers(bundle, &id);
            faulted.hit.is_some()
        });
        assert!(points >= 5, "{name}: {points} points");
    }
}

#[test]
fn create() {
    each("create", 29, &[], |_| vec!["create"]);
}

#[test]
fn run_detached() {
    each("run --detach", 29, &[], |_| vec!["run", "--detach"]);
}

#[test]
fn exec() {
    each("exec", 23, RUNS, |id| vec!["exec", "--detach", id, "/probe", "exit", "0"]);
}

#[test]
fn start() {
    each("start", 17, &["create"], |id| vec!["start", id]);
}

#[test]
fn kill() {
    each("kill", 17, RUNS, |id| vec!["kill", id, "TERM"]);
}

#[test]
fn delete() {
    each("delete", 17, RUNS, |id| vec!["delete", "--force", id]);
}

#[test]
fn update() {
    each("update", 17, RUNS, |id| vec!["update", id, "--pids-limit", "7"]);
}
