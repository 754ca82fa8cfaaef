//! Long-running commands do not grow: `events`, `wait`, and `run` and `exec` in the foreground.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use tiny_ce_test::{Case, Running};

use crate::limits::pausing;
use crate::until;

/// The growth in KiB that is allowed after many events: memory that the C library keeps. Before
/// this test a sample of `events` leaked 33 KiB, and a signal to `run` a quarter of a KiB.
const SLACK_KIB: u64 = 512;

/// A field of /proc/PID/status.
fn status(pid: u32, field: &str) -> String {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{path}: no {field}")).trim().to_owned()
}

fn resident_kib(pid: u32) -> u64 {
    let text = status(pid, "VmRSS");
    text.trim_end_matches(" kB").parse().expect("kB")
}

fn full() -> bool {
    std::env::var_os("TINY_CE_FULL").is_some_and(|value| value == "1")
}

#[track_caller]
fn stays(what: &str, events: u32, before: u64, after: u64) {
    assert!(after <= before + SLACK_KIB, "{what}: {before} KiB, and after {events} {after} KiB");
}

#[test]
fn events_does_not_grow() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    let mut command = case.command(["events", "--interval", "1us", container.id()]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("tiny-ce");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut samples = |count: u32| {
        for _ in 0..count {
            let mut line = Vec::new();
            lines.read_until(b'\n', &mut line).expect("a line");
            assert!(line.starts_with(b"{\"type\":\"stats\""), "{}", String::from_utf8_lossy(&line));
        }
    };
    // More samples than the C library needs to reach its full size.
    samples(200);
    let before = resident_kib(child.id());
    let many = if full() { 100_000 } else { 1_000 };
    samples(many);
    stays("events", many, before, resident_kib(child.id()));
    container.kill("KILL");
    lines.read_to_end(&mut Vec::new()).expect("the rest");
    assert!(child.wait().expect("its end").success());
}

/// Repeat a command of the shell.
fn repeated(case: &Case, count: u32, command: &str) {
    let line = format!("i=0; while [ $i -lt {count} ]; do {command}; i=$((i+1)); done");
    case.program(["sh", "-c", &line]).ok();
}

/// Send many signals, each an event of its own, and wait until all have been read.
fn signals(case: &Case, pid: u32, count: u32) {
    repeated(case, count, &format!("kill -40 {pid}"));
    until("all signals read", || status(pid, "ShdPnd").trim_matches('0').is_empty());
}

#[track_caller]
fn forwards_and_stays(case: &Case, what: &str, running: &Running) {
    // More signals than the C library needs to reach its full size.
    signals(case, running.pid(), 10_000);
    let before = resident_kib(running.pid());
    signals(case, running.pid(), 100_000);
    stays(what, 100_000, before, resident_kib(running.pid()));
}

/// Neither signals to the container nor SIGSTOP and SIGCONT to `wait` itself make it grow.
#[test]
fn wait_does_not_grow() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    let waiting = case.spawn(["wait", container.id()]);
    crate::control::begun(&waiting);
    let pid = waiting.pid();
    let woken = format!("kill -STOP {pid}; kill -CONT {pid}; kill -40 {}", container.pid());
    repeated(&case, 1_000, &woken);
    let before = resident_kib(pid);
    repeated(&case, 100_000, &woken);
    stays("wait", 100_000, before, resident_kib(pid));
    container.kill("KILL");
    assert!(waiting.done().stdout.starts_with("137") || !crate::control::knows_ends());
}

#[test]
fn run_and_exec_do_not_grow() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    // The kernel drops signals for a PID 1 that does not handle them, so the program runs on.
    bundle.probe("pause");
    let mut run = case.run_beside(&bundle);
    run.line("ready:");
    forwards_and_stays(&case, "run", &run);
    let id = std::fs::read_dir(case.state()).expect("state").flatten().next().expect("it");
    let id = id.file_name().into_string().expect("UTF-8");
    let mut exec = case.spawn(["exec", &id, "/probe", "ignore", "40", "then", "pause"]);
    exec.line("ready:");
    forwards_and_stays(&case, "exec", &exec);
    case.tiny_ce(["kill", &id, "KILL"]).ok();
    run.done().ends(137);
    exec.done().ends(137);
}
