//! Documents that a caller names: files, pipes, and standard input by `-` and by /dev/stdin.

use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use tiny_ce_test::{Case, Done, Need, Running};

/// Run the command for a document by each way to name it: standard input, a FIFO, a file.
#[track_caller]
fn each(case: &Case, document: &str, words: impl Fn(&str) -> Vec<String>, look: impl Fn(&Done)) {
    for name in ["-", "/dev/stdin"] {
        let mut running = case.spawn(words(name));
        let mut stdin = running.stdin().expect("a pipe");
        stdin.write_all(document.as_bytes()).expect("a reader");
        drop(stdin);
        look(&running.done());
    }
    let fifo = case.dir().join("fifo");
    let path = fifo.to_str().expect("UTF-8");
    fifo_at(&fifo);
    let running = case.spawn(words(path));
    fs::write(&fifo, document).expect("a reader");
    look(&running.done());
    fs::write(case.dir().join("plain"), document).expect("a file");
    fs::remove_file(&fifo).expect("the FIFO");
    look(&case.tiny_ce(words(case.dir().join("plain").to_str().expect("UTF-8"))));
}

#[track_caller]
fn fifo_at(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo");
    assert!(made.success());
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_configuration_comes_through_a_pipe() {
    let Some(case) = Case::root(&[Need::Program("mkfifo")]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pid");
    let (path, config) = (bundle.path().to_str().expect("UTF-8"), bundle.config.to_string());
    let run = |file: &str| owned(&["run", "--bundle", path, "--config", file, &case.id()]);
    each(&case, &config, run, |done| assert_eq!(done.value("pid"), "1"));
    let validate = |file: &str| owned(&["validate", path, "--config", file]);
    each(&case, &config, validate, |done| assert!(done.ok().ends_with(": valid\n"), "{done}"));
    let explain = |file: &str| owned(&["explain", path, "--config", file]);
    each(&case, &config, explain, |done| assert!(done.ok().contains("execve("), "{done}"));
    // An error names the file as the caller wrote it.
    each(&case, "[]", run, |done| {
        let end = ":1:1: expected an object, found an array\n";
        assert!(done.fails().ends_with(end), "{done}");
    });
}

#[test]
fn documents_of_other_commands_come_through_a_pipe() {
    let Some(case) = Case::root(&[Need::Program("mkfifo")]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    let id = container.id();
    let process = json!({
        "cwd": "/", "args": ["/probe", "cwd"], "env": [format!("TINY_CE_CASE={}", case.tag())],
    });
    let exec = |file: &str| owned(&["exec", "--process", file, id]);
    each(&case, &process.to_string(), exec, |done| assert_eq!(done.value("cwd"), "/"));
    let resources = json!({"pids": {"limit": 77}}).to_string();
    let update = |file: &str| owned(&["update", "--resources", file, id]);
    each(&case, &resources, update, |done| assert_eq!(done.ok(), ""));
    let mounts = json!([{"destination": "/tmp", "type": "tmpfs", "source": case.tag()}]);
    let add = |file: &str| owned(&["mounts", "add", id, file]);
    each(&case, &mounts.to_string(), add, |done| assert_eq!(done.ok(), ""));
}

#[test]
fn a_filter_comes_through_a_pipe() {
    let Some(case) = Case::root(&[Need::Program("mkfifo")]) else { return };
    let filter = json!({"defaultAction": "SCMP_ACT_LOG"}).to_string();
    let spec = |file: &str| owned(&["spec", "--seccomp", file, "--file", "-"]);
    each(&case, &filter, spec, |done| assert!(done.ok().contains("SCMP_ACT_LOG"), "{done}"));
}

/// A socket as standard input cannot be opened by the path /dev/stdin (ENXIO).
#[test]
fn standard_input_may_be_a_socket() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    for name in ["-", "/dev/stdin"] {
        let (theirs, mut ours) = UnixStream::pair().expect("a pair");
        ours.write_all(bundle.config.to_string().as_bytes()).expect("room");
        drop(ours);
        let mut command = case.command(["validate", "--config", name]);
        command.arg(bundle.path()).stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        let output = command.output().expect("tiny-ce");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_pid_goes_through_a_pipe() {
    let Some(case) = Case::root(&[Need::Program("mkfifo")]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("say hello");
    let id = case.id();
    let mut command = case.command(["run", "--pid-file", "/proc/self/fd/1", "--bundle"]);
    let output = command.arg(bundle.path()).arg(&id).output().expect("tiny-ce");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let pid = said.strip_suffix("hello\n").expect("what the program says").parse::<u32>();
    assert!(pid.is_ok_and(|pid| pid > 0), "{said}");
    let fifo = case.dir().join("fifo");
    fifo_at(&fifo);
    let mut command = case.command(["run", "--pid-file"]);
    command.arg(&fifo).arg("--bundle").arg(bundle.path()).arg(&id);
    let mut running = Running::start(&mut command, case.dir());
    let pid = fs::read_to_string(&fifo).expect("a writer").parse::<u32>();
    assert!(pid.is_ok_and(|pid| pid > 0));
    running.exited().ok();
    // `--pid-file` has written into the FIFO and not replaced it.
    assert!(fs::metadata(&fifo).expect("still there").file_type().is_fifo());
}
