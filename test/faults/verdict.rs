//! What is allowed of a command that has met a fault, and of what it leaves.

use std::process::Command;
use std::time::Duration;

use tiny_ce_test::{Bundle, Case, Done, Fault, Faulted, Whose, run, slowness};

/// What takes longer hangs.
pub fn hangs() -> Duration {
    Duration::from_secs(5) * slowness()
}

/// `verb` with the bundle and a new container's id.
pub fn make(case: &Case, verb: &[&str], bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command(verb);
    command.arg("--bundle").arg(bundle.path()).arg(id);
    command
}

/// It failed by itself, with one line of its own; warnings may stand before it, details below.
#[track_caller]
pub fn one_line(done: &Done) {
    let told = done.fails();
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with("  ") && !line.starts_with("tiny-ce: warning: "))
        .collect();
    assert!(lines.len() == 1 && lines[0].starts_with("tiny-ce: "), "one line\n{done}");
    assert!(!told.contains("panicked"), "{done}");
}

/// A command with a fault, which must not hang.
#[track_caller]
pub fn strike(case: &Case, whose: Whose, fault: Fault, point: usize, line: &Command) -> Faulted {
    let faulted = case.fault(whose, fault, point, line);
    assert!(faulted.took < hangs(), "took {:?}\n{}", faulted.took, faulted.done);
    faulted
}

/// It can be deleted, nothing is left then, and the same id can be made again.
#[track_caller]
pub fn recovers(case: &Case, bundle: &Bundle, id: &str) {
    case.tiny_ce(["delete", "--force", id]).ok();
    assert_eq!(case.leftovers(), Vec::<String>::new());
    run(&mut make(case, &["create"], bundle, id), case.dir()).ok();
    case.tiny_ce(["delete", "--force", id]).ok();
}

/// The status in its state.
#[track_caller]
pub fn status(case: &Case, id: &str) -> String {
    let state = case.tiny_ce(["state", id]);
    let state: serde_json::Value = serde_json::from_str(state.ok()).expect("JSON");
    state["status"].as_str().expect("a status").to_owned()
}

/// One of the two.
#[track_caller]
pub fn closed_or_right(done: &Done) {
    if !done.status.success() {
        one_line(done);
    }
}
