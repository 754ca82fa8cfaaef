//! Concurrent interference: deletes during creates, a killed init, and a thousand containers one
//! after the other.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tiny_ce::container::{self, LaunchOptions, Source};
use tiny_ce_test::{Bundle, Case, cgroup_v2, full, run, sweep};

use crate::verdict::{fails_cleanly_or_succeeds, one_line};

fn pausing(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    bundle.probe("pause");
    bundle
}

fn quiet(mut command: Command) -> std::process::Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("tiny-ce")
}

/// `delete --force` at any moment of a `create`: it waits, or comes too early; it never leaves half
/// a container.
#[test]
fn deletes_at_any_moment_of_a_create() {
    if Case::root(&[]).is_none() {
        return;
    }
    let turns = if full() { 1000 } else { 200 };
    sweep("delete during create", 1, pausing, |case, bundle, turn| {
        let id = case.id();
        let create = quiet(case.make(&["create"], bundle, &id));
        // A create takes some 10 ms; the delays spread over twice that, and no two turns have the
        // same one.
        std::thread::sleep(Duration::from_micros((turn as u64 * 7919) % 20_000));
        let delete = quiet(case.command(["delete", "--force", &id]));
        for mut child in [create, delete] {
            let status = child.wait().expect("an end");
            assert!(status.code().is_some_and(|code| code < 2), "turn {turn}: {status}");
        }
        let exists = case.state().join(&id).exists();
        if exists {
            let state = case.tiny_ce(["state", &id]);
            assert!(state.ok().contains("\"created\""), "turn {turn}: {state}");
        } else {
            assert_eq!(case.leftovers(), Vec::<String>::new(), "turn {turn}");
        }
        case.recovers(bundle, &id);
        turn < turns
    });
}

#[test]
fn an_init_that_is_killed_leaves_a_stopped_container() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = pausing(&case);
    for _ in 0..4 {
        let container = case.create(&bundle);
        let pid = container.pid().to_string();
        case.program(["kill", "-KILL", &pid]).ok();
        let until = Instant::now() + Duration::from_secs(1);
        while container.status() != "stopped" {
            assert!(Instant::now() < until, "{}", container.status());
        }
        let begin = Instant::now();
        one_line(&container.tiny_ce("start", []));
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        container.delete();
    }
}

/// init is killed in execve(2): the arguments alone take more memory than the limit allows.
#[test]
fn an_init_that_runs_out_of_memory_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    for kind in ["limit", "swap"] {
        bundle.set(&format!("/linux/resources/memory/{kind}"), 512 << 10);
    }
    bundle.probe("exit 0");
    for _ in 0..12 {
        bundle.push("/process/args", "x".repeat(100_000));
    }
    let done = case.run(&bundle);
    // With cgroup v2 the limit is in force when execve(2) copies the arguments, which fails with
    // E2BIG.
    let words: &[&str] = match cgroup_v2() {
        true => &["E2BIG", "linux.resources.memory.limit"],
        false => &["OOM", "linux.resources.memory.limit", "524288", "512 KiB"],
    };
    assert_eq!(done.code(), if cgroup_v2() { 1 } else { 137 }, "{}", done.stderr);
    assert!(words.iter().all(|word| done.stderr.contains(word)), "{words:?}: {}", done.stderr);
}

/// Whether the kernel accepts so low a limit depends on the memory already charged to the cgroup:
/// the container runs, or the error names the field.
#[test]
fn too_low_limits_are_reported_by_their_field() {
    let Some(case) = Case::root(&[]) else { return };
    for kib in [4, 16, 32, 64, 96] {
        let mut bundle = case.bundle();
        bundle.set("/linux/resources/memory/limit", kib << 10).probe("exit 0");
        let done = case.run(&bundle);
        let reported = done.stderr.contains("linux.resources.memory.limit");
        assert!(done.status.success() || reported, "{kib} KiB: {done}");
        assert_eq!(case.leftovers(), Vec::<String>::new(), "{kib} KiB: {done}");
    }
}

/// The kernel's keys that name the case, and the descriptors of this process that refer to its
/// containers; `leftovers` looks for everything else.
fn held(case: &Case) -> Vec<String> {
    let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
    let keys = keys.lines().filter(|line| line.contains(case.tag())).map(str::to_owned);
    let fds = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    let links = fds.filter_map(|entry| fs::read_link(entry.path()).ok());
    let links = links.map(|link| link.to_string_lossy().into_owned());
    let ours = |link: &String| link.contains("tiny-ce-init") || link.contains(case.tag());
    keys.chain(links.filter(ours)).collect()
}

/// Resident anonymous memory of this process in KiB, from /proc/self/status.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.expect("RssAnon").parse().expect("a number")
}

/// The library makes the containers in this process, so whatever it leaks stays here.
#[test]
fn a_thousand_containers_leave_nothing() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = pausing(&case);
    let root = case.state();
    let life = || {
        let id = case.id();
        let path = bundle.path().to_owned();
        let source = Source::Bundle { path, config: "config.json".into() };
        container::create(&root, &id, source, &LaunchOptions::default()).expect("a container");
        container::start(&root, &id, None).expect("a start");
        container::delete(&root, &id, true).expect("a delete");
    };
    for _ in 0..10 {
        life();
    }
    let before = resident();
    for _ in 0..if full() { 1000 } else { 100 } {
        life();
    }
    // Other tests run in this process too, with stacks and buffers of their own.
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
    assert_eq!(case.leftovers(), Vec::<String>::new());
    assert_eq!(held(&case), Vec::<String>::new());
}

/// The launcher of a foreground container gets a signal, twice, and then the container is killed.
#[test]
fn run_ends_after_two_signals_and_a_kill() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("say ready then pause");
    let id = case.id();
    for signal in ["TERM", "HUP", "INT"] {
        let mut running =
            tiny_ce_test::Running::start(&mut case.make(&["run"], &bundle, &id), case.dir());
        running.line("ready");
        running.signal(signal);
        // The kernel drops these signals for a PID 1 without a handler, so a second one and KILL
        // follow.
        running.signal(signal);
        let killed = run(&mut case.command(["kill", &id, "KILL"]), case.dir());
        fails_cleanly_or_succeeds(&killed);
        let done = running.done();
        assert!(done.code() >= 128, "{done}");
        case.tiny_ce(["delete", "--force", &id]).ok();
        assert_eq!(case.leftovers(), Vec::<String>::new());
    }
}
