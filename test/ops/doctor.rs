//! `features` and `doctor`: what this runtime supports, and what this machine supports.

use serde_json::{Value, json};
use tiny_ce_test::{Case, Need};

#[test]
fn features_are_what_engines_ask_for() {
    let case = Case::new();
    let done = case.tiny_ce(["features"]);
    let all: Value = serde_json::from_str(done.ok()).expect("JSON");
    let linux = &all["linux"];
    assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true);
    assert_eq!(linux["namespaces"].as_array().map(Vec::len), Some(8));
    assert!(all["mountOptions"].as_array().is_some_and(|list| list.contains(&json!("rro"))));
    assert_eq!(linux["capabilities"].as_array().map(Vec::len), Some(41));
    assert_eq!(linux["seccomp"]["enabled"], true);
    assert!(linux["seccomp"]["supportedFlags"].as_array().is_some_and(|list| !list.is_empty()));
    assert!(all["annotations"]["io.tiny-ce.version"].is_string());
}

#[test]
fn doctor_reports_what_this_machine_has() {
    let Some(case) = Case::root(&[]) else { return };
    let done = case.tiny_ce(["doctor", "--format", "json"]);
    let all: Vec<Value> = serde_json::from_str(done.ok()).expect("JSON");
    let of = |what: &str| all.iter().find(|it| it["what"] == what).unwrap_or(&Value::Null);
    for what in ["kernel", "/proc", "system calls", "rights", "namespaces", "seccomp", "cgroups"] {
        assert_eq!(of(what)["verdict"], "ok", "{what}: {done}");
    }
    let text = case.tiny_ce(["doctor"]);
    let lines: Vec<&str> = text.ok().lines().collect();
    for it in &all {
        let word = |key: &str| it[key].as_str().unwrap_or_default();
        let line = format!("{:<8} {}: {}", word("verdict"), word("what"), word("detail"));
        assert!(lines.contains(&line.as_str()), "{line:?} is not in {text}");
        let hinted = lines.contains(&format!("           hint: {}", word("hint")).as_str());
        assert!(word("hint").is_empty() || hinted, "{text}");
    }
}

/// doctor finds out without privileges whatever it reports to every user.
#[test]
fn doctor_needs_no_privileges() {
    let Some(case) = Case::root(&[Need::Program("setpriv")]) else { return };
    // A directory that the other user may enter.
    let binary = case.dir().join("tiny-ce");
    // Another process makes the copy: while this one has it open for writing, so do processes that
    // other threads fork, and execve(2) fails with ETXTBSY.
    let copied =
        std::process::Command::new("cp").arg(tiny_ce_test::tiny_ce()).arg(&binary).status();
    assert!(copied.expect("cp").success());
    let state = case.dir().join("state");
    let mut command = tiny_ce_test::command(["setpriv", "--reuid=65534", "--regid=65534"]);
    command.args(["--clear-groups", "--"]).arg(&binary).arg("--root").arg(&state).arg("doctor");
    let done = tiny_ce_test::run(&mut command, case.dir());
    // This user cannot make a state directory there.
    let text = &done.ends(1).stdout;
    assert!(text.contains("\nmissing  state directory: "), "{done}");
    assert!(text.contains("containers are rootless"), "{done}");
    assert!(text.ends_with("no container can run here\n"), "{done}");
}
