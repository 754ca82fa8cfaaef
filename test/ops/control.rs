//! `pause`, `resume`, `ps`, `wait`.

use crate::until;
use serde_json::Value;
use tiny_ce_test::{Case, Container, Need, Running};

/// A started container whose program prints each signal that it gets, until SIGTERM.
fn awaiting(case: &Case) -> Container<'_> {
    let mut bundle = case.bundle();
    bundle.probe("await 15 then exit 7");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    container
}

#[test]
fn a_paused_container_stands_still() {
    let Some(case) = Case::root(&[]) else { return };
    let mut container = awaiting(&case);
    container.tiny_ce("pause", []).ok();
    assert_eq!(container.status(), "paused");
    container.kill("USR1");
    // The signal is pending, and the program does not take it.
    let pending = format!("/proc/{}/status", container.pid());
    let text = std::fs::read_to_string(&pending).expect("status");
    let shared = text.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("ShdPnd");
    assert_eq!(u64::from_str_radix(shared.trim(), 16), Ok(1 << 9), "SIGUSR1 pending");
    container.tiny_ce("resume", []).ok();
    assert_eq!(container.line("signal:"), "signal: 10");
    assert_eq!(container.status(), "running");
    container.kill("TERM");
    container.ended();
}

#[track_caller]
fn refused(container: &Container<'_>, verb: &str, words: [&str; 2]) {
    let done = container.tiny_ce(verb, []);
    let text = done.fails();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

/// The command succeeds with one warning, as under crun.
#[track_caller]
fn warns(container: &Container<'_>, verb: &str, text: &str) {
    let done = container.tiny_ce(verb, []);
    done.ok();
    let line = format!("tiny-ce: warning: {verb}: container {:?} is {text}\n", container.id());
    assert_eq!(done.stderr, line);
}

#[test]
fn pause_and_resume_hint_at_the_next_step() {
    let Some(case) = Case::root(&[]) else { return };
    let mut container = awaiting(&case);
    warns(&container, "resume", "not paused");
    assert_eq!(container.status(), "running");
    container.tiny_ce("pause", []).ok();
    warns(&container, "pause", "paused already");
    assert_eq!(container.status(), "paused");
    container.tiny_ce("resume", []).ok();
    assert_eq!(container.status(), "running");
    container.tiny_ce("pause", []).ok();
    refused(&container, "start", ["is paused", ""]);
    container.tiny_ce("kill", ["KILL"]).ok();
    container.ended();
    until("stopped", || container.status() == "stopped");
    refused(&container, "pause", ["container not running", "\"tiny-ce delete\""]);
    refused(&container, "resume", ["container not paused", "\"tiny-ce delete\""]);
    let done = case.tiny_ce(["pause", "nobody"]);
    assert!(done.fails().contains("container does not exist"), "{done}");
}

#[test]
fn a_created_container_can_be_paused_and_deleted() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("say started");
    let mut container = case.create(&bundle);
    container.tiny_ce("pause", []).ok();
    assert_eq!(container.status(), "paused");
    container.tiny_ce("resume", []).ok();
    assert_eq!(container.status(), "created");
    container.start();
    container.line("started");
    let other = case.create(&bundle);
    other.tiny_ce("pause", []).ok();
    let done = other.tiny_ce("delete", []);
    assert!(done.fails().contains("paused"), "{done}");
    other.tiny_ce("delete", ["--force"]).ok();
}

#[test]
fn ps_lists_the_container_s_processes_and_no_other() {
    let Some(case) = Case::root(&[Need::Program("ps")]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("fork 2 then pause");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    let json = case.tiny_ce(["ps", "--format", "json", container.id()]);
    let listed: Vec<u32> = serde_json::from_str(json.ok()).expect("[pid,…]");
    assert_eq!(listed.len(), 3, "{json}");
    assert!(listed.contains(&container.pid()), "{json}");

    let table = container.tiny_ce("ps", []);
    let lines: Vec<&str> = table.ok().lines().collect();
    assert!(lines[0].contains("PID"), "{table}");
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[1..].iter().all(|line| line.contains("/probe")), "{table}");

    let table = container.tiny_ce("ps", ["-o", "pid"]);
    let mut own: Vec<u32> = table.ok().lines().skip(1).flat_map(|l| l.trim().parse()).collect();
    own.sort_unstable();
    assert!(own.iter().all(|pid| listed.contains(pid)), "{table}");

    let done = container.tiny_ce("ps", ["-o", "args"]);
    assert!(done.fails().contains("no column PID"), "{done}");
    container.kill("KILL");
    container.ended();
    until("stopped", || container.status() == "stopped");
    assert_eq!(case.tiny_ce(["ps", "-f", "json", container.id()]).ok(), "[]\n");
}

#[test]
fn ps_reports_a_missing_ps() {
    let Some(case) = Case::root(&[]) else { return };
    let container = awaiting(&case);
    let mut command = case.command(["ps", container.id()]);
    let done = tiny_ce_test::run(command.env("PATH", case.dir()), case.dir());
    let text = done.fails();
    assert!(text.contains("ps: execve(2): ENOENT") && text.contains("procps"), "{done}");
}

/// Wait until `wait` has opened the pidfd, so that it cannot miss the end.
pub fn begun(waiting: &Running) {
    let fds = format!("/proc/{}/fd", waiting.pid());
    until("a pidfd", || {
        let links = std::fs::read_dir(&fds).into_iter().flatten().flatten();
        let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        targets.map(|to| to.to_string_lossy().into_owned()).any(|to| to.contains("pidfd"))
    });
}

pub fn knows_ends() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("osrelease");
    let mut numbers = release.split(['.', '-']).map(|word| word.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 15)
}

#[test]
fn wait_prints_how_a_container_ended() {
    let Some(case) = Case::root(&[]) else { return };
    let container = awaiting(&case);
    let waiting = case.spawn(["wait", "--status", container.id()]);
    begun(&waiting);
    container.kill("TERM");
    let done = waiting.done();
    if knows_ends() {
        assert_eq!(done.ends(7).stdout, "7\n");
    } else if done.code() == 7 {
        assert_eq!(done.stdout, "7\n");
    } else {
        assert!(done.fails().contains("exit status is not known"), "{done}");
    }
}

#[test]
fn wait_prints_the_status_of_each_container() {
    let Some(case) = Case::root(&[]) else { return };
    let (first, second) = (awaiting(&case), awaiting(&case));
    let waiting = case.spawn(["wait", first.id(), second.id()]);
    begun(&waiting);
    second.kill("KILL");
    first.kill("TERM");
    let done = waiting.done();
    if knows_ends() || done.status.success() {
        assert_eq!(done.ends(0).stdout, "7\n137\n");
    } else {
        assert!(done.fails().contains("not known"), "{done}");
    }
}

#[test]
fn wait_reports_a_container_that_has_ended() {
    let Some(case) = Case::root(&[]) else { return };
    let mut container = awaiting(&case);
    container.kill("TERM");
    container.ended();
    let pid = |state: Value| state["pid"].as_u64();
    until("stopped", || pid(container.state()) == Some(0));
    let done = container.tiny_ce("wait", []);
    // The status can be read until the process's new parent reaps it.
    if !done.status.success() {
        assert!(done.fails().contains("exit status is not known"), "{done}");
    } else {
        assert_eq!(done.stdout, "7\n");
    }
    let done = case.tiny_ce(["wait", "nobody"]);
    assert!(done.fails().contains("container does not exist"), "{done}");
}

#[test]
fn a_pattern_stands_for_all_that_match() {
    let Some(case) = Case::root(&[]) else { return };
    let (mut first, second, third) = (awaiting(&case), awaiting(&case), awaiting(&case));
    let ids = |all: &[&Container<'_>]| {
        let ids: Vec<&str> = all.iter().map(|it| it.id()).collect();
        format!("^({})$", ids.join("|"))
    };
    let done = case.tiny_ce(["delete", "--regex", &ids(&[&first, &second])]);
    assert!(done.fails().contains("2 containers failed"), "{done}");
    case.tiny_ce(["kill", "--regex", &ids(&[&first, &second]), "KILL"]).ok();
    first.ended();
    until("stopped", || first.status() == "stopped" && second.status() == "stopped");
    assert_eq!(third.status(), "running");
    case.tiny_ce(["delete", "-r", &ids(&[&first, &second])]).ok();
    assert!(!case.state().join(first.id()).exists() && !case.state().join(second.id()).exists());
    let done = case.tiny_ce(["kill", "--regex", "^nobody$"]);
    assert!(done.fails().contains("no container's id matches"), "{done}");
    case.tiny_ce(["delete", "--force", "--regex", "^nobody$"]).ok();
    let done = case.tiny_ce(["kill", "--regex", "web-("]);
    assert!(done.fails().contains("not a regular expression"), "{done}");
    case.tiny_ce(["delete", "--force", "--regex", case.tag()]).ok();
    assert!(!case.state().join(third.id()).exists());
}
