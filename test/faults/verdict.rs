//! What a command may do after a fault, and what it may leave.

use std::process::Command;
use std::time::Duration;

use tiny_ce_test::{Case, Done, Fault, Faulted, Whose, slowness};

/// A command that takes longer counts as hung.
pub fn hangs() -> Duration {
    Duration::from_secs(5) * slowness()
}

/// The command failed by exit status, with one error line; warnings may precede it, details follow.
#[track_caller]
pub fn one_line(done: &Done) {
    let text = done.fails();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("  ") && !line.starts_with("tiny-ce: warning: "))
        .collect();
    assert!(lines.len() == 1 && lines[0].starts_with("tiny-ce: "), "one line\n{done}");
    assert!(!text.contains("panicked"), "{done}");
}

/// Run a command with a fault; it must not hang.
#[track_caller]
pub fn strike(case: &Case, whose: Whose, fault: Fault, point: usize, line: &Command) -> Faulted {
    let faulted = case.fault(whose, fault, point, line);
    assert!(faulted.took < hangs(), "took {:?}\n{}", faulted.took, faulted.done);
    faulted
}

/// The status that `state` prints.
#[track_caller]
pub fn status(case: &Case, id: &str) -> String {
    let state = case.tiny_ce(["state", id]);
    let state: serde_json::Value = serde_json::from_str(state.ok()).expect("JSON");
    state["status"].as_str().expect("a status").to_owned()
}

/// The command failed with one line, or succeeded.
#[track_caller]
pub fn fails_cleanly_or_succeeds(done: &Done) {
    if !done.status.success() {
        one_line(done);
    }
}
