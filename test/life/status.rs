//! From created to deleted: the effect of each command in each state, and what it reports.

use serde_json::Value;
use tiny_ce_test::{Bundle, Case, Need, tiny_ce};

#[track_caller]
fn listed(case: &Case) -> Vec<(String, String)> {
    let done = case.tiny_ce(["list", "--format", "json"]);
    let all: Vec<Value> = serde_json::from_str(done.ok()).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    all.iter().map(|it| (text(&it["id"]), text(&it["status"]))).collect()
}

#[test]
fn states_follow_each_other() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/annotations/a.b", "c").probe("await 15");
    let mut container = case.create(&bundle);
    let id = container.id().to_owned();
    let state = container.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["ociVersion"], "1.3.0");
    assert_eq!(state["id"], id.as_str());
    assert_eq!(state["annotations"]["a.b"], "c");
    let path = bundle.path().canonicalize().expect("a bundle");
    assert_eq!(state["bundle"], path.to_str().expect("UTF-8"));
    let pid = container.pid();
    // ps(1) shows the container's init by this, before the program runs.
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("a process");
    assert_eq!(line, b"/probe\0await\x0015\0");
    assert_eq!(listed(&case), [(id.clone(), "created".to_owned())]);
    container.start();
    assert_eq!(container.status(), "running");
    assert_eq!(container.pid(), pid);
    container.line("ready: await");
    container.kill("TERM");
    assert_eq!(container.ended().values("signal"), ["15"]);
    let state = container.state();
    assert_eq!((&state["status"], &state["pid"]), (&"stopped".into(), &0.into()));
    assert_eq!(listed(&case), [(id.clone(), "stopped".to_owned())]);
    container.delete();
    let done = case.tiny_ce(["state", &id]);
    assert!(done.fails().contains("container does not exist"), "{done}");
    assert_eq!(listed(&case), []);
}

/// A misspelt root is not taken for one without containers.
#[test]
fn list_reports_a_missing_root() {
    let needs = [Need::Program("unshare"), Need::Program("mount")];
    let Some(case) = Case::root(&needs) else { return };
    for words in [&["list"][..], &["list", "--quiet"], &["list", "--format", "json"]] {
        let done = case.tiny_ce(words);
        let line = format!("--root {:?}: open(2): ENOENT", case.state());
        assert!(done.fails().contains(&line) && done.stdout.is_empty(), "{done}");
    }
    // The default root is made with the first container, so a missing one is empty.
    let script = format!("mount -t tmpfs none /run && {} list --quiet", tiny_ce().display());
    assert_eq!(case.program(["unshare", "--mount", "sh", "-c", &script]).ok(), "");
    std::fs::create_dir(case.state()).expect("a directory");
    assert_eq!(listed(&case), []);
}

#[test]
fn a_list_is_a_table_or_ids() {
    let Some(case) = Case::root(&[]) else { return };
    let containers: Vec<_> = (0..2).map(|_| case.create(&case.bundle())).collect();
    let mut ids: Vec<&str> = containers.iter().map(|container| container.id()).collect();
    ids.sort_unstable();
    let done = case.tiny_ce(["list", "--quiet"]);
    assert_eq!(done.ok().lines().collect::<Vec<_>>(), ids);
    let done = case.tiny_ce(["list"]);
    let lines: Vec<Vec<&str>> =
        done.ok().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(lines[1][0], ids[0]);
    assert_eq!(lines[2][2], "created");
    assert_eq!(lines[1][5], "root");
}

/// The command is refused with a text that callers recognize.
#[track_caller]
fn refused<const N: usize>(case: &Case, words: [&str; N], why: &str) {
    let done = case.tiny_ce(words);
    // As under runc, a failed exec ends with 255, to tell it from a status of the program.
    assert_eq!(done.code(), if words[0] == "exec" { 255 } else { 1 }, "{done}");
    assert!(done.fails().contains(why), "{why}: {done}");
    assert_eq!(done.stdout, "", "{done}");
}

#[test]
fn a_missing_container_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let id = case.id();
    for verb in ["start", "state", "kill", "delete"] {
        refused(&case, [verb, &id], "container does not exist");
    }
    refused(&case, ["explain", &id], "neither a container nor a directory");
    refused(&case, ["exec", &id, "/probe"], "container does not exist");
    assert_eq!(case.tiny_ce(["delete", "--force", &id]).ok(), "");
}

#[test]
fn commands_in_the_wrong_order_are_refused() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let mut container = case.create(&bundle);
    let id = container.id().to_owned();
    refused(&case, ["create", "--bundle", &path, &id], "already exists");
    refused(&case, ["run", "--bundle", &path, &id], "already exists");
    container.start();
    refused(&case, ["start", &id], "the container is running, expected created");
    refused(&case, ["delete", &id], "the container is not stopped: running");
    container.line("ready:");
    container.kill("TERM");
    container.ended();
    refused(&case, ["start", &id], "the container is stopped, expected created");
    refused(&case, ["kill", &id, "TERM"], "container not running");
    refused(&case, ["exec", &id, "/probe"], "container not running");
    // containerd kills all processes whatever the state.
    container.tiny_ce("kill", ["--all", "KILL"]).ok();
    refused(&case, ["create", "--bundle", &path, &id], "already exists");
    container.delete();
}

#[test]
fn a_created_container_can_be_killed_and_deleted() {
    let Some(case) = Case::root(&[]) else { return };
    let mut container = case.create(&case.bundle());
    container.kill("KILL");
    container.ended();
    assert_eq!(container.status(), "stopped");
    container.delete();
    case.create(&case.bundle()).delete();
}

#[test]
fn force_deletes_a_running_container() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("fork 5 then pause");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    container.tiny_ce("delete", ["--force"]).ok();
    container.ended();
    assert_eq!(case.leftovers(), Vec::<String>::new());
}

#[track_caller]
fn exit(case: &Case, bundle: &mut Bundle, commands: &str, code: i32) {
    bundle.probe(commands);
    case.run(bundle).ends(code);
}

#[test]
fn exit_statuses_are_the_programs() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    exit(&case, &mut bundle, "exit 0", 0);
    exit(&case, &mut bundle, "exit 7", 7);
    exit(&case, &mut bundle, "exit 255", 255);
    // 132 = 128 + SIGILL.
    exit(&case, &mut bundle, "crash", 132);
    // PID 1 of a pid namespace is not killed by its own signal, so the container shares the host's.
    bundle.without_namespace("pid");
    exit(&case, &mut bundle, "kill 0 9", 137);
    exit(&case, &mut bundle, "kill 0 15", 143);
}

#[test]
fn a_missing_program_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.file("bin/text", "no program");
    for (args, why) in [
        (vec!["/nope"], "no such file or directory"),
        (vec!["nope"], "executable file not found in $PATH"),
        (vec!["/etc"], "is a directory"),
        (vec!["/etc/passwd"], "permission denied"),
    ] {
        bundle.set("/process/args", args);
        for verb in ["create", "run"] {
            let path = bundle.path().to_str().expect("UTF-8").to_owned();
            let done = case.tiny_ce([verb, "--bundle", &path, &case.id()]);
            assert!(done.fails().contains(why), "{done}");
            assert!(done.stderr.contains("process.args[0]"), "{done}");
        }
    }
}

/// The missing file is the script's interpreter, and the error names it.
#[test]
fn a_missing_interpreter_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let script = |name: &str, text: &str| {
        let path = bundle.file(name, text);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("chmod");
    };
    script(
        "bin/script",
        "#!/bin/nope -e
",
    );
    script("bin/windows", "#!/probe\r\nfoo\r\n");
    script(
        "bin/second",
        "#!/bin/script
",
    );
    script(
        "bin/good",
        "#!/probe say
",
    );
    // The probe is static; the shell needs an interpreter, the dynamic loader.
    bundle.program("/bin/sh".as_ref(), "bin/sh");
    for (program, parts) in [
        ("/bin/script", ["exec: \"/bin/script\": its interpreter \"/bin/nope\"", "first line"]),
        ("script", ["exec: \"script\": its interpreter \"/bin/nope\"", "first line"]),
        ("/bin/second", ["its interpreter \"/bin/nope\"", "first line"]),
        ("/bin/windows", ["its interpreter \"/probe\\r\"", "carriage return"]),
        ("/bin/sh", ["exec: \"/bin/sh\": its loader \"/lib", "another C library"]),
    ] {
        bundle.set("/process/args", vec![program]);
        let done = case.run(&bundle);
        let text = done.fails();
        assert!(text.contains("no such file or directory"), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
    }
    bundle.set("/process/args", vec!["/bin/good"]);
    assert_eq!(case.run(&bundle).ok(), "/bin/good\n");
}

#[test]
fn signals_are_passed_on() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15 then exit 4");
    let mut running = case.run_beside(&bundle);
    running.line("ready:");
    for (signal, number) in [("USR1", 10), ("HUP", 1), ("INT", 2), ("WINCH", 28), ("CONT", 18)] {
        running.signal(signal);
        assert_eq!(running.line("signal:"), format!("signal: {number}"));
    }
    running.signal("TERM");
    running.done().ends(4);
}

#[test]
fn signals_have_names_and_numbers() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    for (signal, number) in
        [("USR1", 10), ("SIGUSR2", 12), ("sigint", 2), ("1", 1), ("RTMIN+1", 35)]
    {
        container.kill(signal);
        assert_eq!(container.line("signal:"), format!("signal: {number}"));
    }
    // Without a signal, `kill` sends TERM.
    container.tiny_ce("kill", []).ok();
    assert_eq!(container.ended().values("signal").last(), Some(&"15"));
    let id = container.id().to_owned();
    refused(&case, ["kill", &id, "NOPE"], "unknown signal");
}

#[test]
fn kill_all_reaches_every_process() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    // The children share the host's pid namespace, so the kernel does not kill them with the
    // program.
    bundle.without_namespace("pid").probe("fork 3 then pause");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    container.tiny_ce("kill", ["--all", "KILL"]).ok();
    // They all hold the container's standard output.
    container.ended();
    assert_eq!(container.status(), "stopped");
}

#[test]
fn children_end_with_a_container_of_shared_pids() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.without_namespace("pid").probe("fork 3 then exit 0");
    case.run(&bundle).ends(0);
    assert_eq!(case.leftovers(), Vec::<String>::new());
}
