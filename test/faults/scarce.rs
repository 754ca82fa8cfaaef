//! A caller with scarce resources: few descriptors, little memory, no file growth, few tasks,
//! unusual standard streams.

use std::fs;
use std::path::PathBuf;

use tiny_ce_test::{Bundle, Case, Done, Need, cgroup_v2, probe, tiny_ce};

use crate::verdict::fails_cleanly_or_succeeds;

/// Numbers of limits, as in <asm/resource.h>.
const NOFILE: u32 = 7;
const AS: u32 = 9;

/// A bundle whose program prints that it ran.
fn bundle(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    // The program's limits come from config.json, not from the caller.
    bundle.set("/linux/cgroupsPath", format!("/{}", case.id())).probe("say ran then limits");
    bundle
}

/// `run` after the probe's `commands`.
#[track_caller]
fn after(case: &Case, bundle: &Bundle, commands: &str) -> Done {
    let mut words = vec![probe().to_str().expect("UTF-8").to_owned()];
    words.extend(commands.split_whitespace().map(str::to_owned));
    words.extend(["then", "exec"].map(str::to_owned));
    let state = case.state();
    let launcher: [PathBuf; 3] = [tiny_ce(), "--root".into(), state];
    words.extend(launcher.map(|path| path.to_str().expect("UTF-8").to_owned()));
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    words.extend(["run".to_owned(), "--bundle".to_owned(), path, case.id()]);
    case.program(words)
}

#[track_caller]
fn ran_or_reported(case: &Case, done: &Done) {
    fails_cleanly_or_succeeds(done);
    if done.status.success() {
        assert!(done.stdout.contains("ran\n"), "{done}");
    }
    assert_eq!(case.leftovers(), Vec::<String>::new(), "{done}");
}

#[test]
fn few_descriptors() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = bundle(&case);
    // A launcher that may not raise its limits cannot raise the program's either, so none are asked
    // for.
    bundle.set("/process/rlimits", Vec::<String>::new());
    let mut refusals = 0;
    for limit in (4..=32).chain([64]) {
        let done = after(&case, &bundle, &format!("limit {NOFILE} {limit}"));
        ran_or_reported(&case, &done);
        if !done.status.success() {
            refusals += 1;
            assert!(done.stderr.contains("EMFILE"), "{limit}: {done}");
        }
    }
    assert!((1..30).contains(&refusals), "{refusals} refused");
}

#[test]
fn little_memory() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = bundle(&case);
    // Where the kernel cannot even map the program, it kills it before its first instruction.
    let starts = |mib: &u32| {
        let words = format!("limit {AS} {} then exec {} --version", mib << 20, tiny_ce().display());
        let probe = probe().to_str().expect("UTF-8").to_owned();
        case.program([probe].into_iter().chain(words.split(' ').map(str::to_owned))).code() == 0
    };
    let least = (1..64).find(starts).expect("--version needs less than 64 MiB");
    for mib in [least + 4, least + 2, least + 1, least] {
        ran_or_reported(&case, &after(&case, &bundle, &format!("limit {AS} {}", mib << 20)));
    }
}

/// A launcher that SIGXFSZ kills would not report why.
#[test]
fn no_file_may_grow() {
    let Some(case) = Case::root(&[Need::Program("sh")]) else { return };
    let bundle = bundle(&case);
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    for verb in ["create", "run"] {
        let id = case.id();
        // The test's output files may not grow either, so the output goes through a pipe.
        let line = format!(
            "{{ (ulimit -f 0; {} --root {} {verb} --bundle {path} {id}); echo code: $?; }} \
             2>&1 | cat",
            tiny_ce().display(),
            case.state().display()
        );
        let done = case.program(["sh", "-c", &line]);
        assert_eq!(done.value("code"), "1", "{done}");
        assert!(done.stdout.starts_with("tiny-ce: "), "{done}");
        assert!(done.stdout.contains("EFBIG"), "{done}");
        assert_eq!(case.leftovers(), Vec::<String>::new(), "{done}");
    }
}

/// The launcher is in a cgroup that has room for itself and a few more tasks.
#[test]
fn few_tasks() {
    let Some(case) = Case::root(&[Need::Program("sh")]) else { return };
    let top = if cgroup_v2() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/pids" };
    let group = format!("{top}/{}-few", case.tag());
    fs::create_dir(&group).expect("a cgroup");
    let limit = format!("{group}/pids.max");
    if !fs::exists(&limit).unwrap_or(false) {
        fs::remove_dir(&group).expect("a cgroup");
        return tiny_ce_test::skip("needs the cgroup controller pids");
    }
    let bundle = bundle(&case);
    let (mut refusals, mut ran) = (0, 0);
    for tasks in 1..=12 {
        fs::write(&limit, tasks.to_string()).expect("pids.max");
        let line = format!(
            "echo $$ > {group}/cgroup.procs; exec {} --root {} run --bundle {} {}",
            tiny_ce().display(),
            case.state().display(),
            bundle.path().display(),
            case.id()
        );
        let done = case.program(["sh", "-c", &line]);
        fails_cleanly_or_succeeds(&done);
        match done.status.success() {
            true => ran += 1,
            false => refusals += 1,
        }
        if !done.status.success() {
            assert!(done.stderr.contains("EAGAIN"), "{done}");
        }
    }
    fs::remove_dir(&group).expect("an empty cgroup");
    // With cgroup v2 the container is created in its own cgroup, so it is not counted in this one.
    assert!((refusals > 0 || cgroup_v2()) && ran > 0, "{refusals} refused, {ran} ran");
}

/// Standard streams that are closed, or are not streams: the program inherits them as they are.
#[test]
fn strange_standard_streams() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = bundle(&case);
    bundle.probe("exit 5");
    for commands in [
        "close 0",
        "close 1",
        "close 2",
        "close 0 1 2",
        "hold 0 / r",
        "hold 0 / path",
        "hold 1 / path",
        "hold 1 / r",
        "hold 2 /dev/null path",
    ] {
        let done = after(&case, &bundle, commands);
        if done.code() != 5 {
            // Without a standard error the launcher cannot report an error.
            assert_eq!(done.code(), 1, "{commands}: {done}");
            assert!(commands.contains('2') || !done.stderr.is_empty(), "{commands}: {done}");
        }
        assert_eq!(case.leftovers(), Vec::<String>::new(), "{commands}: {done}");
    }
}

/// The reader of the output has gone: the command ends nevertheless.
#[test]
fn output_without_a_reader_is_no_hang() {
    let Some(case) = Case::root(&[Need::Program("bash")]) else { return };
    let bundle = case.bundle();
    let command = format!(
        "{} --root {} run --bundle {} --nonsense",
        tiny_ce().display(),
        case.state().display(),
        bundle.path().display()
    );
    // The reader of the pipe has already ended.
    for (to, limit) in [("> >(exit 0)", "10"), ("2> >(exit 0)", "10")] {
        let line = format!("exec 3>&1; sleep 0.05; timeout {limit} {command} {to}; echo code $?");
        let done = case.program(["bash", "-c", &line]);
        assert!(!done.stdout.contains("code 124"), "hangs: {done}");
        assert!(!done.stderr.contains("panicked"), "{done}");
    }
    let list = format!("{} --root {} list", tiny_ce().display(), case.state().display());
    let line = format!("{{ sleep 0.1; {list}; echo code $? >&2; }} | true");
    let done = case.program(["bash", "-c", &line]);
    assert!(!done.stderr.contains("panicked"), "{done}");
}
