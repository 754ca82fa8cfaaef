//! Without CRIU, or without options that CRIU has: one clear line; and what engines ask first.

use std::process::Command;
use tiny_ce_test::{Case, Done, run, tiny_ce};

fn without_criu(case: &Case, words: &[&str]) -> Done {
    let mut command = Command::new(tiny_ce());
    command.arg("--root").arg(case.state()).args(words);
    command.env("PATH", "/nonexistent").env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
    run(&mut command, case.dir())
}

/// The command lines by which Podman looks for support.
#[test]
fn engines_learn_which_options_there_are() {
    let case = Case::new();
    without_criu(&case, &["checkpoint", "--help"]).ok();
    let done = without_criu(&case, &["restore", "--lsm-mount-context"]);
    assert!(done.fails().contains("requires an argument"), "{done}");
}

#[test]
fn without_criu_the_error_says_what_to_install() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let container = case.create(&bundle);
    container.start();
    let path = bundle.path().to_str().expect("UTF-8");
    for words in [
        ["checkpoint", container.id()].to_vec(),
        ["restore", "--bundle", path, "--detach", "other"].to_vec(),
    ] {
        let done = without_criu(&case, &words);
        let line = done.fails().lines().next().unwrap_or_default();
        assert!(line.contains("criu: not found in PATH"), "{done}");
        assert!(done.stderr.contains("hint: install criu"), "{done}");
    }
    assert_eq!(container.status(), "running");
    assert!(!case.dir().join("checkpoint").exists(), "nothing is made for nothing");
    assert!(!case.state().join("other").exists());
}

#[test]
fn options_without_effect_are_refused() {
    let Some(case) = Case::root(&[]) else { return };
    for (words, wanted) in [
        (&["checkpoint", "web"][..], "container does not exist"),
        (&["checkpoint", "--status-fd", "9", "--lazy-pages", "web"], "--status-fd 9: not open"),
        (&["checkpoint", "--status-fd", "9", "web"], "nothing is told without --lazy-pages"),
        (&["checkpoint", "--page-server", "here", "web"], "expected an address and a port"),
        (&["checkpoint", "--manage-cgroups-mode", "hard", "web"], "soft, full, strict or ignore"),
        (&["restore", "--empty-ns", "pid", "web"], "expected network"),
    ] {
        let done = case.tiny_ce(words);
        assert!(done.fails().contains(wanted), "{done}");
    }
}

#[test]
fn restore_refuses_options_that_it_cannot_apply() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let path = bundle.path().to_str().expect("UTF-8");
    let words = ["restore", "--no-pivot", "--keep", "--network", "none", "--bundle", path, "web"];
    let done = without_criu(&case, &words);
    assert!(done.fails().contains("--no-pivot means nothing to restore"), "{done}");
}
