//! `--init`: init stays as the first process, passes on signals, reaps, and ends with the program.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tiny_ce_test::{Bundle, Case, Done, Running, probe, run, tiny_ce};

/// Create a container whose init stays.
fn create(case: &Case, bundle: &Bundle) -> String {
    let id = case.id();
    let mut command = case.command(["create", "--init", "--bundle"]);
    run(command.arg(bundle.path()).arg(&id), case.dir()).ok();
    id
}

/// Run a bundle whose init stays to its end.
fn run_bundle(case: &Case, bundle: &Bundle) -> Done {
    let mut command = case.command(["run", "--init", "--bundle"]);
    run(command.arg(bundle.path()).arg(case.id()), case.dir())
}

/// Start a bundle whose init stays.
fn start(case: &Case, bundle: &Bundle) -> (String, Running) {
    let id = case.id();
    let mut command = case.command(["run", "--init", "--bundle"]);
    let running = Running::start(command.arg(bundle.path()).arg(&id), case.dir());
    (id, running)
}

/// Run a command of the host's in its file system, on a terminal.
fn in_terminal(case: &Case, options: &[&str], command: &[&str]) -> Running {
    let mut words = Command::new(probe());
    words.arg("in-terminal").arg(tiny_ce()).arg("--root").arg(case.state()).arg("run");
    words.args(options).arg(case.id()).arg("--").args(command);
    words.env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
    Running::start(&mut words, case.dir())
}

#[test]
fn a_program_ends_at_control_c() {
    let Some(case) = Case::root(&[]) else { return };
    // A terminal of the container's own; and the caller's, by which the launcher gets the signal.
    for options in [&[][..], &["--tty=false"]] {
        let sleep = ["sh", "-c", "echo ready; exec sleep 30"];
        let mut running = in_terminal(&case, options, &sleep);
        running.line("ready");
        running.stdin().expect("a pipe").write_all(b"\x03").expect("typed");
        let done = running.done();
        assert!(done.stdout.contains(&format!("ended: {}", 130 << 8)), "{done}");
    }
}

#[test]
fn a_shell_has_job_control() {
    let Some(case) = Case::root(&[]) else { return };
    let mut running = in_terminal(&case, &[], &["sh"]);
    let mut stdin = running.stdin().expect("a pipe");
    // Control-C ends the job in the foreground, and not the shell.
    stdin.write_all(b"sh -c 'printf \"\\nin%s\\n\" side; exec sleep 30'\n").expect("typed");
    running.line("inside");
    stdin.write_all(b"\x03").expect("typed");
    stdin.write_all(b"exit 7\n").expect("typed");
    drop(stdin);
    let done = running.done();
    assert!(done.stdout.contains(&format!("ended: {}", 7 << 8)), "{done}");
    assert!(!done.stdout.contains("job control"), "{done}");
}

#[test]
fn a_thousand_orphans_leave_no_zombie() {
    let Some(case) = Case::root(&[]) else { return };
    let script = "i=0; while [ $i -lt 1000 ]; do (: &); i=$((i+1)); done
        tries=0; while cat /proc/[0-9]*/stat 2>/dev/null | grep -q ') Z '; do
        tries=$((tries+1)); [ $tries -lt 100 ] || exit 1; sleep 0.1; done";
    case.tiny_ce(["run", &case.id(), "--", "sh", "-c", script]).ok();
}

#[test]
fn the_program_is_a_child_with_a_session_of_its_own() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pid then signals then fds then caps then cat /proc/1/comm then exit 9");
    let done = run_bundle(&case, &bundle);
    assert_eq!(done.ends(9).value("pid"), "2");
    assert!(done.stdout.contains("tiny-ce-init"), "{done}");
    let without = case.run(&bundle);
    let same = |done: &Done| {
        let lines = done.stdout.lines().filter(|line| {
            ["signal.", "cap.", "securebits"].iter().any(|start| line.starts_with(start))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(same(&done), same(&without), "{done}\n{without}");
    assert_eq!((done.value("sid"), done.value("pgid"), done.value("ppid")), ("2", "2", "1"));
}

#[test]
fn signals_are_passed_on_and_the_status_too() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    for (signal, number) in [("INT", 2), ("USR1", 10), ("RTMIN+3", 37), ("CONT", 18)] {
        bundle.probe(&format!("await {number} then exit 6"));
        let (id, mut running) = start(&case, &bundle);
        running.line("ready: await");
        case.tiny_ce(["kill", &id, signal]).ok();
        let done = running.done();
        assert_eq!(done.ends(6).values("signal"), [number.to_string()], "{signal}");
    }
    // Without a handler, the signal ends the program.
    bundle.probe("pause");
    for (all, signal, code) in [("--all=false", "TERM", 143), ("--all", "HUP", 129)] {
        let (id, mut running) = start(&case, &bundle);
        running.line("ready: pause");
        let all = (all == "--all").then_some(all);
        let words = ["kill", &id, signal];
        case.tiny_ce(words.into_iter().chain(all)).ok();
        running.done().ends(code);
    }
}

#[test]
fn it_is_created_until_start_and_running_then() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let id = create(&case, &bundle);
    let status = |id: &str| {
        let state: serde_json::Value =
            serde_json::from_str(case.tiny_ce(["state", id]).ok()).expect("JSON");
        state["status"].as_str().expect("a status").to_owned()
    };
    assert_eq!(status(&id), "created");
    case.tiny_ce(["start", &id]).ok();
    assert_eq!(status(&id), "running");
    case.tiny_ce(["exec", &id, "/probe", "pid"]).ok();
    case.tiny_ce(["pause", &id]).ok();
    assert_eq!(status(&id), "paused");
    case.tiny_ce(["resume", &id]).ok();
    assert_eq!(status(&id), "running");
    let done = case.tiny_ce(["checkpoint", &id]);
    assert!(done.fails().contains("init cannot be restored"), "{done}");
    let pids = case.tiny_ce(["ps", "--format", "json", &id]);
    assert_eq!(pids.ok().split(',').count(), 2, "{pids}");
    case.tiny_ce(["delete", "--force", &id]).ok();
    // The usual signals end it before it is started, too.
    let id = create(&case, &bundle);
    case.tiny_ce(["kill", &id, "TERM"]).ok();
    let done = case.tiny_ce(["wait", &id]);
    // The status can be read until the process's new parent reaps it.
    if done.status.success() {
        assert_eq!(done.stdout, "143\n");
    } else {
        assert!(done.fails().contains("exit status is not known"), "{done}");
    }
    assert_eq!(status(&id), "stopped");
    case.tiny_ce(["delete", &id]).ok();
}

#[test]
fn a_program_that_cannot_be_executed_fails_as_ever() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let file = bundle.rootfs().join("text");
    fs::write(&file, "no program").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("chmod");
    bundle.set("/process/args", serde_json::json!(["/text"]));
    let done = run_bundle(&case, &bundle);
    assert!(done.fails().contains("process.args[0]: execve(2): ENOEXEC"), "{done}");
}

#[test]
fn a_limit_of_one_process_is_too_low() {
    let Some(case) = Case::root(&[]) else { return };
    let done = case.tiny_ce(["run", "--pids", "1", &case.id(), "--", "true"]);
    assert!(done.fails().contains("--init: clone(2): EAGAIN"), "{done}");
    assert!(done.stderr.contains("init is a process too"), "{done}");
    case.tiny_ce(["run", "--pids", "1", "--init=false", &case.id(), "--", "true"]).ok();
}

#[test]
fn without_a_pid_namespace_it_is_refused() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.without_namespace("pid");
    let done = run_bundle(&case, &bundle);
    assert!(done.fails().contains("--init: the container has no pid namespace"), "{done}");
}

/// The ends of a pipe that the program has closed are closed: init holds none of them.
#[test]
fn it_holds_no_descriptor() {
    let Some(case) = Case::root(&[]) else { return };
    let script = "ls /proc/1/fd; grep -E 'CapEff|NoNewPrivs' /proc/1/status; echo x > /proc/1/comm";
    let done = case.tiny_ce(["run", &case.id(), "--", "sh", "-c", script]);
    assert_eq!(done.ends(1).stdout, "CapEff:\t0000000000000020\nNoNewPrivs:\t1\n", "{done}");
}
