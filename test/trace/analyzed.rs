//! `--analyze`: the calls are those that strace sees, the times fill init's life, and what was slow
//! is on top.
//!
//! Reads the output as a user does.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiny_ce_test::{Bundle, Case, Done, Need, PATIENCE, Running, command, run};

use crate::bundles::{mounted, process, standard};
use crate::{Line, STRACE, explained, init};

/// An init whose steps take so much of its life, in per cent.
const SHARE: u64 = 95;

fn analyze(case: &Case, bundle: &Bundle, options: &[&str]) -> Done {
    let mut words = case.command([&["explain", "--analyze"], options].concat());
    run(words.arg(bundle.path()), case.dir())
}

fn json_of(done: &Done) -> Value {
    serde_json::from_str(done.ok()).unwrap_or_else(|e| panic!("{e}\n{done}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key}: {value}"))
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key}: {value}"))
}

fn took(value: &Value) -> u64 {
    let (start, end) = (number(value, "startNs"), number(value, "endNs"));
    end.checked_sub(start).unwrap_or_else(|| panic!("it ends before it begins: {value}"))
}

/// The steps that made a call.
fn made(analysis: &Value) -> Vec<&Value> {
    list(analysis, "steps").iter().filter(|step| step["outcome"] != "skipped").collect()
}

/// A step is in the analysis with the errno that strace saw, or as skipped; init makes no other
/// call than for its plan and the memory of its stamps.
fn beside_strace(case: &Case, bundle: &Bundle) {
    let dir = case.dir().join("strace");
    std::fs::create_dir(&dir).expect("a directory");
    let mut strace = command(["strace", "-D", "-ff", "-qq", "-s", "65536", "-o"]);
    strace.arg(dir.join("of"));
    let words = case.command(["explain", "--analyze", "--format", "json"]);
    strace.arg(words.get_program()).args(words.get_args()).arg(bundle.path());
    strace.env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
    let analysis = json_of(&Running::start(&mut strace, case.dir()).done());
    let files = std::fs::read_dir(&dir).expect("strace's files");
    let mut lives = files.map(|file| init(&file.expect("a file").path()));
    // Another process may run a plan too, without stamps: the network's, or a hook.
    let stamps = |life: &Vec<Line>| life.first().is_some_and(|line| line.call == "recvmsg");
    let seen = lives.find(stamps).expect("init's calls");
    let own =
        seen.iter().take_while(|it| ["read", "mmap", "recvmsg", "close"].contains(&&*it.call));
    let own: Vec<&str> = own.map(|line| line.call.as_str()).collect();
    assert_eq!(own[..5], ["recvmsg", "mmap", "close", "read", "mmap"]);
    assert!(own[5..].iter().all(|call| *call == "read"), "{own:?}");
    let mut seen = seen[own.len()..].iter().filter(|line| {
        let raced = line.call == "openat2" && line.error.as_deref() == Some("EAGAIN");
        !raced && !line.text.contains(" = ? ERESTART")
    });
    for step in made(&analysis) {
        let line = seen.next().unwrap_or_else(|| panic!("strace did not see {step}"));
        assert_eq!(step["call"], *line.call, "{step}\n{}", line.text);
        let errno = step["errno"].as_str();
        assert_eq!(errno, line.error.as_deref(), "{step}\n{}", line.text);
    }
    let calls = number(&analysis["init"], "calls");
    assert_eq!(calls, made(&analysis).len() as u64);
    assert_eq!(made(&analysis).last().expect("steps")["outcome"], "executed");
    // The next call that strace saw is the program's, after its execve(2).
    let steps = list(&analysis, "steps").len() as u64;
    assert_eq!(calls + number(&analysis["init"], "skipped"), steps);
}

#[test]
fn the_calls_are_those_that_strace_sees() {
    let Some(case) = Case::root(STRACE) else { return };
    beside_strace(&case, &standard(&case));
    let Some(case) = Case::root(STRACE) else { return };
    beside_strace(&case, &mounted(&case));
}

/// The stamps need no call that a filter could refuse.
#[test]
fn a_filter_that_allows_hardly_anything_does_not_matter() {
    let Some(case) = Case::root(STRACE) else { return };
    let mut bundle = process(&case);
    let allowed = json!([
        "execve",
        "write",
        "exit_group",
        "exit",
        "arch_prctl",
        "prctl",
        "futex",
        "rt_sigaction",
        "rt_sigprocmask",
        "set_tid_address",
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlink",
        "readlinkat",
        "getrandom",
        "read",
        "newfstatat",
        "fstat",
        "close",
        "uname",
        "ioctl"
    ]);
    let syscalls = json!([{"names": allowed, "action": "SCMP_ACT_ALLOW"}]);
    let filter = json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": syscalls});
    bundle.set("/linux/seccomp", filter);
    beside_strace(&case, &bundle);
}

#[test]
fn the_steps_fill_the_life_of_init() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = standard(&case);
    let mut shares = Vec::new();
    for _ in 0..5 {
        let analysis = json_of(&analyze(&case, &bundle, &["--format", "json"]));
        let life = took(&analysis["init"]);
        let mut last = number(&analysis["init"], "planNs");
        let mut sum = last - number(&analysis["init"], "startNs");
        for step in made(&analysis) {
            // A count is rounded to a nanosecond.
            assert!(number(step, "startNs") + 1 >= last, "it begins before {last}: {step}");
            sum += took(step);
            last = number(step, "endNs");
        }
        assert_eq!(sum, number(&analysis["init"], "stepsNs"));
        assert_eq!(last, number(&analysis["init"], "endNs"));
        within_the_launcher(&analysis);
        shares.push(sum * 100 / life);
    }
    shares.sort_unstable();
    assert!((SHARE..=100).contains(&shares[2]), "{shares:?} % of init's life");
}

/// The launcher's phases follow each other without a gap; init lives between its clone and the
/// program, and waits for the commit as long as it takes.
fn within_the_launcher(analysis: &Value) {
    let phases = list(analysis, "launcher");
    let named = |name: &str| phases.iter().find(|phase| phase["phase"] == name).expect(name);
    assert_eq!(phases[0]["startNs"], 0);
    for pair in phases.windows(2) {
        assert_eq!(pair[0]["endNs"], pair[1]["startNs"]);
    }
    let (clone, commit) = (named("the clone of init"), named("the commit"));
    let (begin, end) = (&analysis["init"]["startNs"], &analysis["init"]["endNs"]);
    assert!(begin.as_u64() > clone["startNs"].as_u64(), "{begin}: {clone}");
    let program = named("waiting for the program");
    assert!(end.as_u64() <= program["startNs"].as_u64(), "{end}: {program}");
    let of_commit = |step: &&&Value| step["field"] == "the commit" && step["waits"] == true;
    let steps = made(analysis);
    let waiting = steps.iter().find(of_commit).expect("a step that waits for the commit");
    assert!(waiting["endNs"].as_u64() > commit["startNs"].as_u64(), "{waiting}: {commit}");
}

#[test]
fn a_slow_hook_is_on_top() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = standard(&case);
    let path = case.dir().join("slow");
    std::fs::write(&path, "#!/bin/sh\nexec sleep 0.4\n").expect("a script");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a script");
    let hook = json!({"path": path, "env": [format!("TINY_CE_CASE={}", case.tag())]});
    bundle.push("/hooks/createContainer", hook);
    let options = ["--sort", "time", "--format", "json"];
    let analysis = json_of(&analyze(&case, &bundle, &options));
    let (phase, step) = (&list(&analysis, "launcher")[0], &list(&analysis, "steps")[0]);
    assert_eq!(phase["phase"], "hooks.createContainer");
    assert_eq!((&step["field"], &step["call"]), (&json!("hooks"), &json!("read")));
    for it in [phase, step] {
        assert!(took(it) >= 400_000_000, "{it}");
    }
    for rows in ["launcher", "steps"] {
        let times: Vec<u64> = list(&analysis, rows).iter().map(took).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{rows}: {times:?}");
    }
    let done = analyze(&case, &bundle, &["--sort", "time"]);
    let behind = |title: &str| {
        let mut lines = done.ok().lines().skip_while(|line| *line != title).skip(1);
        lines.next().unwrap_or_else(|| panic!("{title}\n{done}")).to_owned()
    };
    assert!(behind("the launcher").ends_with("  hooks.createContainer"), "{done}");
    let mut lines = done.stdout.lines().skip_while(|line| *line != "init").skip(2);
    assert!(lines.next().is_some_and(|line| line.contains("  hooks: read(")), "{done}");
}

/// In the plan's order the text has the lines of `explain`, each with its times or `skipped`. Of an
/// init that stays, one step ends with the program, and another becomes the program.
#[test]
fn the_text_is_the_plan_with_times() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = standard(&case);
    let rootfs = bundle.path().join("rootfs");
    let rootfs = rootfs.to_str().expect("UTF-8");
    let words = ["--rootfs", rootfs, "--read-only", "--", "/probe", "exit", "0"];
    let plan = explained::read(case.tiny_ce([&["explain"], &words[..]].concat()).ok());
    let done = case.tiny_ce([&["explain", "--analyze"], &words[..]].concat());
    let of_step = |line: &&str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let lines = done.ok().lines().skip_while(|line| *line != "init").skip(2);
    let lines: Vec<&str> = lines.take_while(|line| *line != "in all").filter(of_step).collect();
    assert_eq!(lines.len(), plan.len(), "{done}");
    let (mut skipped, mut tolerated) = (0, 0);
    for (line, step) in lines.iter().zip(&plan) {
        let (number, text) = step.text.split_once("  ").expect("a number and a step");
        assert_eq!(line.split_whitespace().next(), Some(number), "{line}");
        // `explain` does not know the container's id.
        let named = text.contains("CONTAINER");
        let (times, rest) = line.split_at(line.find(&text[..4]).unwrap_or(0));
        assert!(named || rest.starts_with(text), "expected {text}\nfound {line}");
        let columns: Vec<&str> = times.split_whitespace().skip(1).collect();
        match columns[..] {
            ["skipped"] => skipped += 1,
            [start, took] => {
                assert!(start.parse::<f64>().is_ok() && took.parse::<f64>().is_ok(), "{line}");
                tolerated += usize::from(rest.ends_with(", tolerated"));
            }
            _ => panic!("{line}"),
        }
    }
    let total = format!("{skipped} steps skipped, {tolerated} errors tolerated");
    assert!(skipped > 0 && tolerated > 0 && done.stdout.contains(&total), "{total}\n{done}");
    let ends = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!(ends(" = until the program has ended"), 1, "{done}");
    assert_eq!(ends(" = the program"), 1, "{done}");
}

/// The file's form is that of its name; the program's output and exit status are as without it.
#[test]
fn run_writes_the_analysis_to_a_file() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = standard(&case);
    bundle.probe("say here then exit 3");
    for name in ["times", "times.json"] {
        let mut run_it = case.make(&["run", "--analyze", name], &bundle, &case.id());
        assert_eq!(run(&mut run_it, case.dir()).ends(3).stdout, "here\n");
        let text = std::fs::read_to_string(case.dir().join(name)).expect("the analysis");
        match name {
            "times" => assert!(text.contains("\nin all\n"), "{text}"),
            _ => assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}"),
        }
    }
    // The output of an explained program does not mix with the analysis.
    let done = analyze(&case, &bundle, &["--format", "json"]);
    assert_eq!(done.ends(3).stderr, "here\n");
    let analysis: Value = serde_json::from_str(&done.stdout).expect("JSON");
    for key in ["launcherUsage", "containerUsage"] {
        assert!(number(&analysis[key], "minorFaults") > 0, "{done}");
    }
    let missing = ["run", "--analyze", "no/such/file"];
    let done = run(&mut case.make(&missing, &bundle, &case.id()), case.dir());
    assert!(done.fails().contains("--analyze no/such/file: open(2): ENOENT"), "{done}");
}

/// A file system whose server answers late: strace holds back each of its answers by 0.1 s.
struct SlowFuse {
    place: PathBuf,
    server: Child,
}

impl SlowFuse {
    fn mount(case: &Case) -> SlowFuse {
        let [lower, place] = ["lower", "fuse"].map(|name| case.dir().join(name));
        std::fs::create_dir_all(lower.join("data")).expect("a directory");
        std::fs::create_dir(&place).expect("a directory");
        let device = |path: &Path| std::fs::metadata(path).expect("a directory").dev();
        let before = device(&place);
        let mut strace = command(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=writev"]);
        strace.args(["-e", "inject=writev:delay_enter=100000", "fuse-overlayfs", "-f", "-o"]);
        // Nothing is remembered, so that each look asks the server.
        strace.arg(format!("timeout=0,lowerdir={}", lower.display())).arg(&place);
        let mut server = strace.stderr(Stdio::null()).spawn().expect("strace");
        let begun = Instant::now();
        while device(&place) == before {
            assert!(begun.elapsed() < PATIENCE, "no mount");
            assert!(server.try_wait().expect("strace").is_none(), "the server has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        SlowFuse { place, server }
    }
}

impl Drop for SlowFuse {
    fn drop(&mut self) {
        // The server ends with its last mount, and strace with it.
        let done = command(["umount", "-l"]).arg(&self.place).status();
        if done.is_ok_and(|status| status.success()) {
            let _ = self.server.wait();
        }
    }
}

/// A bind whose source answers late: the step that looks it up is the one on top.
#[test]
fn a_bind_of_a_slow_file_system_is_on_top() {
    let programs = ["strace", "fuse-overlayfs"].map(Need::Program);
    let Some(case) = Case::root(&[programs[0], programs[1], Need::File("/dev/fuse")]) else {
        return;
    };
    let fuse = SlowFuse::mount(&case);
    let mut bundle = standard(&case);
    let source = fuse.place.join("data");
    let options = ["bind", "ro"];
    let slow =
        json!({"destination": "/slow", "type": "bind", "source": source, "options": options});
    bundle.set("/root/readonly", false).push("/mounts", slow);
    let analysis = json_of(&analyze(&case, &bundle, &["--sort", "time", "--format", "json"]));
    let [first, second] = [0, 1].map(|index| &list(&analysis, "steps")[index]);
    let field = first["field"].as_str().expect("a field");
    assert!(field.starts_with("mounts[") && field.ends_with("\"/slow\""), "{first}");
    assert_eq!(first["call"], "open_tree", "{first}");
    assert!(took(first) >= 100_000_000 && took(second) < took(first), "{first} {second}");
    // The launcher looks at the source first, to see whether it is a directory.
    let phase = &list(&analysis, "launcher")[0];
    assert_eq!(phase["phase"], "the host");
    assert!(took(phase) >= 100_000_000, "{phase}");
}

/// A run that fails early leaves no file, and what a file had before stays. A failed write does not
/// change the program's exit status.
#[test]
fn a_failed_run_leaves_no_file_and_a_failed_write_is_a_warning() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = standard(&case);
    bundle.probe("exit 3");
    let analyzed = |bundle: &Bundle, file: &str| {
        run(&mut case.make(&["run", "--analyze", file], bundle, &case.id()), case.dir())
    };
    let mut broken = standard(&case);
    broken.set("/root/path", "/no/such/root");
    assert!(analyzed(&broken, "new").fails().contains("/no/such/root"), "the run fails");
    assert!(!case.dir().join("new").exists(), "an empty file");
    let old = case.dir().join("old");
    std::fs::write(&old, "before".repeat(10_000)).expect("a file");
    analyzed(&broken, "old").fails();
    assert_eq!(std::fs::metadata(&old).expect("the file").len(), 60_000);
    // The analysis is shorter than what was there.
    analyzed(&bundle, "old").ends(3);
    let text = std::fs::read_to_string(&old).expect("the analysis");
    assert!(text.contains("\nin all\n") && !text.contains("before"), "{text}");
    let full = analyzed(&bundle, "/dev/full");
    assert!(full.ends(3).stderr.contains("--analyze /dev/full: write(2): ENOSPC"), "{full}");
}

/// Without `--analyze` neither memory is shared nor the other init is made.
#[test]
fn nobody_else_pays() {
    let Some(case) = Case::root(STRACE) else { return };
    let bundle = standard(&case);
    let count = |words: &[&str]| {
        let of = case.dir().join("calls");
        let mut strace = command(["strace", "-f", "-qq", "-e", "memfd_create,recvmsg", "-o"]);
        let made = case.make(words, &bundle, &case.id());
        strace.arg(&of).arg(made.get_program()).args(made.get_args());
        strace.env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
        run(&mut strace, case.dir()).ok();
        let text = std::fs::read_to_string(of).expect("what strace wrote");
        // Before Linux 6.3 there is no MFD_EXEC: a first call fails.
        let made = |line: &&str| line.contains("memfd_create") && line.contains(" = ");
        text.lines().filter(made).filter(|line| !line.contains(" = -1 ")).count()
    };
    assert_eq!(count(&["run"]), 1, "init's program");
    assert_eq!(count(&["run", "--analyze", "times"]), 3, "and the other init's, and the memory");
}
