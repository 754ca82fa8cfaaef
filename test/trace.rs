//! `strace` equals `explain`: every system call that init makes between reading its plan and the
//! program is a step of the plan, in its order, by name and with its strings; init makes no other
//! call.
//!
//! Both are read as text, as a user sees them. The test interprets the steps; strace's results
//! decide the guards.

#[path = "trace/analyzed.rs"]
mod analyzed;
#[path = "trace/bundles.rs"]
mod bundles;
#[path = "trace/explained.rs"]
mod explained;
#[path = "trace/pictured.rs"]
mod pictured;

use bundles::{least, mounted, placed, process, standard};
use explained::{Guard, Step};
use serde_json::{Value, json};
use std::path::Path;
use tiny_ce_test::{Bundle, Case, Need, Running, command};

/// One line of strace.
struct Line {
    call: String,
    text: String,
    error: Option<String>,
}

/// The calls of a process after it became init, by executing the file of a descriptor.
fn init(file: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(file).expect("what strace wrote about init");
    let other = |line: &&str| !line.starts_with("execveat(");
    text.lines().skip_while(other).skip(1).filter_map(line).collect()
}

/// `openat2(3, "x", {…}, 24) = -1 ENOENT (No such file or directory)`; `None` for a signal or an
/// exit.
fn line(text: &str) -> Option<Line> {
    let (call, _) = text.split_once('(').filter(|_| !text.starts_with(['-', '+']))?;
    let (_, result) = text.rsplit_once(" = ").unwrap_or(("", "?"));
    let error = result.strip_prefix("-1 ").and_then(|error| error.split(' ').next());
    Some(Line { call: call.to_owned(), text: text.to_owned(), error: error.map(str::to_owned) })
}

/// Interpret the steps beside the traced calls.
fn compare(steps: &[Step], seen: &[Line]) {
    let mut seen = seen.iter().peekable();
    let mut open = [false; 64];
    for step in steps {
        let taken = match step.guard {
            Guard::Always => true,
            Guard::Present(slot) => open[slot],
            Guard::Absent(slot) => !open[slot],
        };
        if !taken {
            continue;
        }
        let line = loop {
            let line = seen.next().unwrap_or_else(|| panic!("not made: {}", step.text));
            // The call was repeated: by init after EAGAIN (openat2(2), "a path component may have
            // been renamed meanwhile"), or by the kernel, which found a lock taken, for example.
            let raced = line.call == "openat2" && line.error.as_deref() == Some("EAGAIN");
            if !raced && !line.text.contains(" = ? ERESTART") {
                break line;
            }
        };
        assert_eq!(line.call, step.call, "expected {}\nfound {}", step.text, line.text);
        for string in &step.strings {
            let quoted = format!("\"{string}\"");
            assert!(line.text.contains(&quoted), "expected {}\nfound {}", step.text, line.text);
        }
        // strace prints ??? for a constant that it does not know, and the number of a new flag.
        for name in step.constants.iter().filter(|_| !line.text.contains("???")) {
            let new = name == "OPEN_TREE_NAMESPACE" && line.text.contains("|0x2)");
            let there = line.text.contains(name) || new;
            assert!(there, "expected {}\nfound {}", step.text, line.text);
        }
        let failed = line.error.as_ref();
        let known = failed.is_none_or(|error| step.unless.contains(error));
        assert!(known, "expected {}\nfound {}", step.text, line.text);
        if let Some(slot) = step.into {
            open[slot] = failed.is_none();
        }
        if let Some(slot) = step.closes {
            open[slot] = false;
        }
        if step.call == "rt_sigtimedwait" || step.call == "execve" && failed.is_none() {
            return;
        }
    }
    panic!("the plan ended, and no program was executed");
}

/// Create the bundle's container under strace, start it, and compare.
fn trace(case: &Case, bundle: &Bundle) {
    trace_with(case, bundle, &[]);
}

fn trace_with(case: &Case, bundle: &Bundle, options: &[&str]) {
    let dir = case.dir().join("strace");
    std::fs::create_dir(&dir).expect("a directory");
    let id = case.id();
    // With -D the started process is tiny-ce, and strace is its child, which ends last.
    let mut strace = command(["strace", "-D", "-ff", "-qq", "-v", "-s", "65536", "-o"]);
    strace.arg(dir.join("of"));
    let create = case.command([&["create"], options, &["--bundle"]].concat());
    strace.arg(create.get_program()).args(create.get_args()).arg(bundle.path()).arg(&id);
    strace.env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
    let mut create = Running::start(&mut strace, case.dir());
    create.exited().ok();
    let explained = case.tiny_ce(["explain", &id]).ok().to_owned();
    let state: Value = serde_json::from_str(case.tiny_ce(["state", &id]).ok()).expect("JSON");
    case.tiny_ce(["start", &id]).ok();
    create.done().ok();
    // The tracer may still hold the ended program.
    case.tiny_ce(["delete", "--force", &id]).ok();
    let steps = explained::read(&explained);
    assert!(steps.len() > 20, "{explained}");
    let seen = init(&dir.join(format!("of.{}", state["pid"])));
    // These calls of init are not steps: they read the plan's head, allocate memory, and read the
    // plan.
    let own = seen.iter().take_while(|line| line.call == "read" || line.call == "mmap").count();
    let calls: Vec<&str> = seen[..own].iter().map(|line| line.call.as_str()).collect();
    assert_eq!(calls[..2], ["read", "mmap"]);
    assert!(calls[2..].iter().all(|call| *call == "read") && own > 2, "{calls:?}");
    compare(&steps, &seen[own..]);
    if let Some(fork) = steps.iter().position(|step| step.text.contains("CLONE_PIDFD")) {
        let program = Guard::Present(steps[fork].into.expect("a slot for the pidfd"));
        let after = steps.into_iter().skip(fork + 1).filter(|step| step.guard != program);
        compare(&after.collect::<Vec<_>>(), &program_of(&dir));
    }
}

/// The calls of the process that an init forks for the program, of which setsid(2) is the first.
fn program_of(dir: &Path) -> Vec<Line> {
    let files = std::fs::read_dir(dir).expect("strace's files");
    let texts = files.map(|file| std::fs::read_to_string(file.expect("a file").path()));
    let mut texts = texts.map(|text| text.expect("what strace wrote"));
    let text = texts.find(|text| text.starts_with("setsid(")).expect("the program's process");
    text.lines().filter_map(line).collect()
}

const STRACE: &[Need] = &[Need::Program("strace")];

#[test]
fn the_default_config() {
    let Some(case) = Case::root(STRACE) else { return };
    trace(&case, &standard(&case));
}

#[test]
fn every_kind_of_mount() {
    let Some(case) = Case::root(STRACE) else { return };
    trace(&case, &mounted(&case));
}

#[test]
fn destinations_through_links() {
    let Some(case) = Case::root(STRACE) else { return };
    trace(&case, &placed(&case));
}

#[test]
fn the_least_config() {
    let Some(case) = Case::root(STRACE) else { return };
    trace(&case, &least(&case));
}

/// Devices of the host, one that the host lacks, and a FIFO.
#[test]
fn nodes_of_a_user_namespace() {
    let Some(case) = Case::root(STRACE) else { return };
    let mut bundle = standard(&case);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    // With a new pid namespace init forks, and strace would have it under another pid.
    bundle.namespace("user", None).without_namespace("pid");
    let dev = bundle.mount("/dev").clone();
    bundle.set("/mounts", json!([dev])).set("/linux/maskedPaths", json!([]));
    bundle.set("/linux/readonlyPaths", json!([]));
    for (path, kind) in [("/dev/deep/made", "c"), ("/dev/zero", "c"), ("/dev/p", "p")] {
        let device = json!({"path": path, "type": kind, "major": 1, "minor": 5, "uid": 1000});
        bundle.push("/linux/devices", device);
    }
    trace(&case, &bundle);
}

#[test]
fn every_field_of_the_process() {
    let Some(case) = Case::root(STRACE) else { return };
    trace(&case, &process(&case));
}

/// Both processes of a container whose init stays: each makes its own steps.
#[test]
fn an_init_that_stays() {
    let Some(case) = Case::root(STRACE) else { return };
    trace_with(&case, &standard(&case), &["--init"]);
    let Some(case) = Case::root(STRACE) else { return };
    let mut bundle = process(&case);
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    trace_with(&case, &bundle, &["--init"]);
}

/// The comparison finds a difference.
#[test]
fn a_difference_is_found() {
    let explained = "root.path\n    1  chdir(path=\"/\")\n    2  openat2(into=fd3, at=fd1, \
                     path=\"a\", how={}) unless ENOENT\n    3  if no fd3: mkdirat(at=fd1, \
                     path=\"a\", mode=0755) unless EEXIST\n    4  execve(path=\"/probe\")\n";
    let good = [
        "chdir(\"/\") = 0",
        "openat2(4, \"a\", {}, 24) = -1 ENOENT (No such file or directory)",
        "mkdirat(4, \"a\", 0755) = -1 EEXIST (File exists)",
        "execve(\"/probe\", [\"/probe\"], []) = 0",
    ];
    let differs = |lines: &[&str]| {
        let seen: Vec<Line> = lines.iter().filter_map(|text| line(text)).collect();
        let steps = explained::read(explained);
        std::panic::catch_unwind(|| compare(&steps, &seen)).is_err()
    };
    assert!(!differs(&good));
    assert!(differs(&good[1..]), "one left out");
    assert!(differs(&[good[0], good[0], good[1], good[2], good[3]]), "one too many");
    assert!(differs(&[good[0], good[1], good[3]]), "a guard that is not kept");
    let other = good[0].replace('/', "/other");
    assert!(differs(&[&other, good[1], good[2], good[3]]), "another path");
    let denied = good[1].replace("ENOENT", "EACCES");
    assert!(differs(&[good[0], &denied, good[2], good[3]]), "an error that is not tolerated");
}
