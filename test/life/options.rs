//! Options of `create` and `run`: what they give to the program, to the caller, and to nobody.

use std::fs;
use std::path::PathBuf;
use tiny_ce_test::{Bundle, Case, Container, Done, probe, run, tiny_ce};

/// `tiny-ce run OPTIONS… --bundle … ID` to its end.
fn run_with(case: &Case, bundle: &Bundle, options: &[&str]) -> Done {
    let mut command = case.command(["run"]);
    command.args(options).arg("--bundle").arg(bundle.path()).arg(case.id());
    run(&mut command, case.dir())
}

/// The same by a caller whom the probe's commands make first.
pub fn run_as(case: &Case, bundle: &Bundle, commands: &str, options: &[&str]) -> Done {
    let mut words: Vec<String> = vec![probe().to_str().expect("UTF-8").to_owned()];
    words.extend(commands.split_whitespace().map(str::to_owned));
    words.extend(["then".into(), "exec".into()]);
    for path in [tiny_ce(), "--root".into(), case.state(), "run".into()] {
        words.push(path.to_str().expect("UTF-8").to_owned());
    }
    words.extend(options.iter().map(|word| word.to_string()));
    words.extend(["--bundle".into(), bundle.path().to_str().expect("UTF-8").into(), case.id()]);
    case.program(words)
}

#[test]
fn a_pid_file_holds_the_hosts_pid() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let file = case.dir().join("pid");
    let path = file.to_str().expect("UTF-8");
    let id = case.id();
    let mut command = case.command(["create", "--pid-file", path, "--bundle"]);
    command.arg(bundle.path()).arg(&id);
    run(&mut command, case.dir()).ok();
    let pid: u32 = fs::read_to_string(&file).expect("the file").parse().expect("a bare number");
    let state: serde_json::Value =
        serde_json::from_str(case.tiny_ce(["state", &id]).ok()).expect("JSON");
    assert_eq!(state["pid"], pid);
    assert!(fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok());
    case.tiny_ce(["delete", "--force", &id]).ok();
    // Nothing but that one file has been made there.
    let names: Vec<PathBuf> = fs::read_dir(case.dir())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"pid"))
        })
        .collect();
    assert_eq!(names, [file]);
}

#[test]
fn a_pid_file_that_cannot_be_written_undoes_the_container() {
    let Some(case) = Case::root(&[]) else { return };
    let done = run_with(&case, &case.bundle(), &["--pid-file", "/nope/pid"]);
    assert!(done.fails().contains("--pid-file /nope/pid"), "{done}");
    assert!(done.stderr.contains("ENOENT"), "{done}");
    assert_eq!(case.leftovers(), Vec::<String>::new());
}

#[test]
fn detached_it_runs_on() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let id = case.id();
    let mut command = case.command(["run", "--detach", "--bundle"]);
    command.arg(bundle.path()).arg(&id);
    // The name is known, so nothing is printed but by the program.
    let out = run(&mut command, case.dir()).ok().to_owned();
    assert!(out.is_empty() || out == "ready: await\n", "{out}");
    let done = case.tiny_ce(["state", &id]);
    assert!(done.ok().contains("\"running\""), "{done}");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn kept_it_is_there_when_it_has_ended() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("exit 5");
    let id = case.id();
    let mut command = case.command(["run", "--keep", "--bundle"]);
    command.arg(bundle.path()).arg(&id);
    run(&mut command, case.dir()).ends(5);
    let done = case.tiny_ce(["state", &id]);
    assert!(done.ok().contains("\"stopped\""), "{done}");
    case.tiny_ce(["delete", &id]).ok();
}

/// Numbers of the descriptors that the program found open, with their targets.
fn fds(done: &Done) -> Vec<(&str, &str)> {
    done.values("fd").iter().map(|fd| fd.split_once(' ').expect("a target")).collect()
}

#[test]
fn descriptors_are_preserved_if_asked_for() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("fds");
    let files: Vec<PathBuf> = ["three", "four", "five"]
        .iter()
        .map(|name| {
            let path = case.dir().join(name);
            fs::write(&path, name).expect("a file");
            path
        })
        .collect();
    let open: Vec<String> =
        (3..).zip(&files).map(|(fd, path)| format!("hold {fd} {} r", path.display())).collect();
    let open = open.join(" then ");
    let done = run_as(&case, &bundle, &open, &["--preserve-fds", "2"]);
    let seen = fds(&done);
    assert_eq!(seen.iter().map(|(fd, _)| *fd).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    assert_eq!(seen[3].1, files[0].to_str().expect("UTF-8"), "{done}");
    assert_eq!(seen[4].1, files[1].to_str().expect("UTF-8"), "{done}");
    // Those that are not asked for are not there, wherever they are.
    let done = run_as(&case, &bundle, &format!("{open} then hold 57 /etc r"), &[]);
    assert_eq!(fds(&done).iter().map(|(fd, _)| *fd).collect::<Vec<_>>(), ["0", "1", "2"]);
    let done = run_as(&case, &bundle, "close 3 4 5", &["--preserve-fds", "1"]);
    assert!(done.fails().contains("--preserve-fds 1"), "{done}");
}

#[test]
fn without_a_pivot_its_root_is_the_rootfs_too() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.file("etc/here", "inside");
    bundle.probe("cat /etc/here then say - then stat /probe then cwd then list /.. then mounts");
    let done = run_with(&case, &bundle, &["--no-pivot"]);
    assert!(done.ok().starts_with("inside"), "{done}");
    assert!(done.value("stat /probe").starts_with("file"), "{done}");
    assert!(done.values("entry").contains(&"probe"), "{done}");
    assert!(!done.values("entry").contains(&"root"), "{done}");
}

#[test]
fn a_session_keyring_is_its_own_unless_refused() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("keyring");
    // keyctl(KEYCTL_JOIN_SESSION_KEYRING, "…"), by number.
    let join = if cfg!(target_arch = "x86_64") { 250 } else { 219 };
    let caller = format!("syscall {join} 1 @{}", case.tag());
    let done = run_as(&case, &bundle, &caller, &[]);
    let of = |done: &Done| done.value("keyring.description").to_owned();
    assert!(!of(&done).contains(case.tag()), "{done}");
    let done = run_as(&case, &bundle, &caller, &["--no-new-keyring"]);
    assert!(of(&done).contains(case.tag()), "{done}");
}

#[test]
fn a_json_log_has_the_one_error() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.args(["/nope"]);
    let log = case.dir().join("log");
    let path = log.to_str().expect("UTF-8");
    let options = ["--log", path, "--log-format", "json"];
    let done = run_with(&case, &bundle, &options);
    let first = done.fails().lines().next().expect("a line").to_owned();
    let text = fs::read_to_string(&log).expect("the log");
    let object: serde_json::Value = serde_json::from_str(&text).expect("one object");
    assert_eq!(object["level"], "error");
    // With its hint on the same line.
    let message = format!("tiny-ce: {}", object["msg"].as_str().expect("a text"));
    assert!(message.starts_with(&first), "{message}: {done}");
}

#[test]
fn a_container_without_a_process_cannot_be_started() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.remove("/process");
    // Nobody would know it by its environment.
    let container: Container<'_> = case.create(&bundle);
    let done = container.tiny_ce("start", []);
    assert!(done.fails().contains("process"), "{done}");
    assert_eq!(container.status(), "created");
}
