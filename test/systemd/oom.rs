//! Out-of-memory kills in a scope, whose cgroup systemd removes at once.

use serde_json::json;
use tiny_ce_test::{Case, Done, Need};

use super::{SYSTEMD, is_gone};

/// `run` by the systemd driver with 16 MiB, to its end, ten times, since systemd may remove it
/// early.
fn run_small(commands: &str) -> Option<Vec<Done>> {
    let case = Case::root(&[SYSTEMD, Need::CgroupV2("memory")])?;
    let small = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    let once = |_| {
        let id = case.id();
        let mut bundle = case.bundle();
        bundle.probe(commands).set("/linux/resources", small.clone());
        let mut command = case.command(["--systemd-cgroup", "run", "--bundle"]);
        command.arg(bundle.path()).arg(&id);
        let done = tiny_ce_test::run(&mut command, case.dir());
        is_gone(&case, &format!("tiny-ce-{id}.scope"));
        done
    };
    Some((0..10).map(once).collect())
}

#[test]
fn run_reports_a_program_out_of_memory() {
    let Some(all) = run_small("hog 100000000") else { return };
    for done in all {
        let said = &done.ends(137).stderr;
        for words in ["OOM", "linux.resources.memory.limit", "16777216", "16 MiB"] {
            assert!(said.contains(words), "{words}\n{done}");
        }
    }
}

#[test]
fn run_reports_no_lack_of_memory_without_one() {
    let Some(all) = run_small("hog 1000000 then exit 137") else { return };
    for done in all {
        assert!(!done.ends(137).stderr.contains("OOM"), "{done}");
    }
}
