//! What people see on a terminal: colours, and help as wide as it is.

use std::process::{Command, Stdio};

use tiny_ce_test::{Need, met};

use super::stdout;

/// What tiny-ce prints on a terminal of so many columns.
fn on_a_terminal(columns: u32, words: &str, variables: &[(&str, &str)]) -> String {
    let line = format!("stty cols {columns}; exec \"$0\" {words}");
    let mut command = Command::new(tiny_ce_test::probe());
    command.args(["in-terminal", "/bin/sh", "-c", &line, env!("CARGO_BIN_EXE_tiny-ce")]);
    command.stdin(Stdio::null()).env_remove("NO_COLOR").env("LC_ALL", "C").env("TERM", "xterm");
    let output = command.envs(variables.iter().copied()).output().expect("the probe runs");
    String::from_utf8(output.stdout).expect("UTF-8").replace('\r', "")
}

#[test]
fn help_is_as_wide_as_the_terminal() {
    if !met(&[Need::Program("stty")]) {
        return;
    }
    let longest = |columns: u32| {
        let text = on_a_terminal(columns, "delete --help", &[]);
        assert!(text.contains("ended: 0"), "{text}");
        text.lines().map(|line| line.chars().count()).max().expect("a line")
    };
    assert!((50..=60).contains(&longest(60)), "{}", longest(60));
    assert!((81..=100).contains(&longest(100)), "{}", longest(100));
    // Longer lines are hard to read, and words do not fit shorter ones.
    assert_eq!(longest(300), longest(100));
    assert_eq!(longest(20), longest(50));
}

#[test]
fn colours_are_for_terminals() {
    if !met(&[Need::Program("stty")]) {
        return;
    }
    let nowhere = "--root /nowhere/at/all list";
    let text = on_a_terminal(80, nowhere, &[]);
    assert!(text.starts_with("\x1b[31mtiny-ce:\x1b[0m --root"), "{text}");
    assert!(text.contains("\n  \x1b[36mhint:\x1b[0m "), "{text}");
    let findings = on_a_terminal(80, "doctor", &[]);
    assert!(findings.contains("\x1b[32mok      \x1b[0m kernel"), "{findings}");
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = on_a_terminal(80, nowhere, &[variable]);
        assert!(text.starts_with("tiny-ce: --root"), "{text}");
        assert!(!on_a_terminal(80, "doctor", &[variable]).contains('\x1b'));
    }
    assert!(!stdout(&["doctor"]).contains('\x1b'));
}
