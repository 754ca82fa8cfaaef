//! What is left when creating a container fails, and when another process has its pid.

use serde_json::json;
use std::fs;
use std::process::Command;
use tiny_ce_test::{Bundle, Case, Running, probe};

use crate::victim::refused;

/// Make the bundle fail at the stage `kind`, and return the words that explain the failure.
fn failing(kind: usize, bundle: &mut Bundle) -> &'static str {
    match kind {
        0 => {
            bundle.args(["/nope"]);
            "process.args[0]"
        }
        1 => {
            let mount = json!({"destination": "/x", "type": "nopefs", "source": "x"});
            bundle.push("/mounts", mount);
            "nopefs"
        }
        2 => {
            bundle.namespace("network", Some("/nope".as_ref()));
            "/nope"
        }
        3 => {
            bundle.set("/linux/sysctl", json!({"kernel.shmmax": "banana"}));
            "linux.sysctl"
        }
        4 => {
            bundle.set("/hooks/createContainer", json!([{"path": "/bin/false"}]));
            "hooks.createContainer[0]"
        }
        5 => {
            bundle.set("/linux/resources/cpu", json!({"cpus": "4000"}));
            "linux.resources.cpu.cpus"
        }
        6 => {
            let mount = json!({"destination": "/x", "type": "tmpfs", "source": "x",
                               "options": ["colour=blue"]});
            bundle.push("/mounts", mount);
            "colour"
        }
        _ => {
            bundle.set("/process/cwd", "/etc/passwd");
            "process.cwd"
        }
    }
}

#[test]
fn a_failed_create_leaves_nothing() {
    let Some(case) = Case::root(&[]) else { return };
    let id = case.id();
    for kind in 0..8 {
        for verb in ["create", "run"] {
            let mut bundle = case.bundle();
            let why = failing(kind, &mut bundle);
            let path = bundle.path().to_str().expect("UTF-8").to_owned();
            refused(&case.tiny_ce([verb, "--bundle", &path, &id]), why);
            assert_eq!(case.leftovers(), Vec::<String>::new(), "{kind}");
        }
    }
    // The name can be used again.
    let bundle = case.bundle();
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    case.tiny_ce(["run", "--bundle", &path, &id]).ok();
}

/// The pid of an ended container belongs to another process now, which no command touches.
#[test]
fn a_pid_used_again_is_left_alone() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    let pid = container.pid();
    container.kill("KILL");
    container.ended();
    // Its new parent may take a moment to reap it.
    while fs::exists(format!("/proc/{pid}")).unwrap_or(false) {
        std::thread::yield_now();
    }
    let mut command = Command::new(probe());
    let mut victim = Running::start(command.args(["be-pid", &pid.to_string()]), case.dir());
    assert_eq!(victim.line("ready:"), "ready: as that pid");
    assert_eq!(container.status(), "stopped");
    let done = container.tiny_ce("kill", ["KILL"]);
    assert!(done.fails().contains("not running"), "{done}");
    container.tiny_ce("kill", ["--all", "KILL"]).ok();
    let done = container.tiny_ce("exec", ["/probe"]);
    assert!(done.fails().contains("not running"), "{done}");
    container.tiny_ce("delete", ["--force"]).ok();
    assert!(fs::exists(format!("/proc/{pid}/exe")).unwrap_or(false), "the victim is gone");
    Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill(1)");
    // The test's signal ended the process, and none before it.
    assert_eq!(victim.line("ended:"), "ended: 9");
    victim.done();
}
