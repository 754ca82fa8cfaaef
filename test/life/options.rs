//! Options of `create` and `run`: their effect on the program and on the caller.

use std::fs;
use std::path::PathBuf;
use tiny_ce_test::{Bundle, Case, Done, Need, Running, probe, run, tiny_ce};

/// Run `tiny-ce run OPTIONS… --bundle … ID` to its end.
fn run_with(case: &Case, bundle: &Bundle, options: &[&str]) -> Done {
    let mut command = case.command(["run"]);
    command.args(options).arg("--bundle").arg(bundle.path()).arg(case.id());
    run(&mut command, case.dir())
}

/// As `run_with`, by a caller that the probe's commands prepare first.
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
    // The launcher has left no temporary file beside it.
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
fn a_detached_run_leaves_the_container_running() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let id = case.id();
    let mut command = case.command(["run", "--detach", "--bundle"]);
    command.arg(bundle.path()).arg(&id);
    // The user gave the name, so `run` does not print one.
    let out = run(&mut command, case.dir()).ok().to_owned();
    assert!(out.is_empty() || out == "ready: await\n", "{out}");
    let done = case.tiny_ce(["state", &id]);
    assert!(done.ok().contains("\"running\""), "{done}");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn run_with_keep_keeps_the_stopped_container() {
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

/// The numbers of the descriptors that the program found open, with their targets.
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
    // Without the option the descriptors are closed, whatever their numbers.
    let done = run_as(&case, &bundle, &format!("{open} then hold 57 /etc r"), &[]);
    assert_eq!(fds(&done).iter().map(|(fd, _)| *fd).collect::<Vec<_>>(), ["0", "1", "2"]);
}

/// crun leaves a gap for a descriptor that is not open; under runc a descriptor of its own, of
/// /sys/fs/cgroup, has that number by then.
#[test]
fn a_descriptor_that_is_not_open_is_not_preserved() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("fds");
    for (holes, kept) in [
        ("close 3 4 5", &["0", "1", "2"][..]),
        ("close 3 4 then hold 5 /etc r", &["0", "1", "2", "5"]),
        ("close 4 then hold 3 /etc r then hold 5 /etc r", &["0", "1", "2", "3", "5"]),
    ] {
        let done = run_as(&case, &bundle, holes, &["--preserve-fds", "3"]);
        let seen = fds(&done);
        assert_eq!(seen.iter().map(|(fd, _)| *fd).collect::<Vec<_>>(), kept, "{holes}: {done}");
        assert!(seen[3..].iter().all(|(_, target)| *target == "/etc"), "{holes}: {done}");
    }
    let done = run_as(&case, &bundle, "close 3", &["--preserve-fds", "100000"]);
    assert!(done.fails().contains("--preserve-fds 100000: more than can be handed on"), "{done}");
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
    // keyctl(KEYCTL_JOIN_SESSION_KEYRING, "…"), by its number.
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
    // The log has the hint on the same line.
    let message = format!("tiny-ce: {}", object["msg"].as_str().expect("a text"));
    assert!(message.starts_with(&first), "{message}: {done}");
}

/// Start a listener that receives a descriptor.
pub fn console(case: &Case, socket: &std::path::Path) -> Running {
    let mut command = std::process::Command::new(probe());
    let mut console = Running::start(command.arg("console").arg(socket), case.dir());
    assert_eq!(console.line("ready:"), "ready: console");
    console
}

#[test]
fn a_pidfd_of_the_program_is_sent() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let socket = case.dir().join("pidfd");
    let mut listener = console(&case, &socket);
    let done = run_with(&case, &bundle, &["--pidfd-socket", socket.to_str().expect("UTF-8")]);
    done.ok();
    assert_eq!(listener.line("received:"), "received: pidfd");
    assert!(listener.line("target:").contains("pidfd"));
    listener.done();
    let done = run_with(&case, &bundle, &["--pidfd-socket", "/nope/socket"]);
    assert!(done.fails().contains("--pidfd-socket /nope/socket"), "{done}");
}

/// If the caller lacks some of the first three descriptors, no other file takes their numbers.
#[test]
fn a_caller_may_lack_standard_descriptors() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/root/readonly", false);
    let file = bundle.rootfs().join("tmp/ended");
    bundle.probe("write /tmp/ended yes then fds");
    for closed in ["0", "0 2", "2", "0 1 2", "1 2"] {
        let _ = fs::remove_file(&file);
        let done = run_as(&case, &bundle, &format!("close {closed}"), &[]);
        assert_eq!(done.code(), 0, "{closed}: {done}");
        assert_eq!(fs::read(&file).expect(closed), b"yes");
        let seen = fds(&done);
        assert!(seen.iter().all(|(fd, _)| ["0", "1", "2"].contains(fd)), "{closed}: {done}");
        let foreign = |target: &str| target.contains("memfd") || target.contains("socket");
        assert!(!seen.iter().any(|(_, target)| foreign(target)), "{closed}: {done}");
    }
}

/// Long options with one dash as in Go, options after arguments, and values after `=`.
#[test]
fn options_are_spelt_as_callers_spell_them() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let file = case.dir().join("pid");
    let pid_file = format!("--pid-file={}", file.display());
    case.tiny_ce(["create", &pid_file, "-bundle", &path, "-no-new-keyring", &id]).ok();
    assert!(file.exists());
    case.tiny_ce(["start", &id]).ok();
    // As go-runc spells them.
    case.tiny_ce(["ps", "--format", "json", &id]).ok();
    case.tiny_ce(["ps", "--format", "table", &id, "-o", "pid"]).ok();
    case.tiny_ce(["list", "--format=json"]).ok();
    case.tiny_ce(["events", "--stats", &id]).ok();
    case.tiny_ce(["kill", "--all", &id, "9"]).ok();
    let stopped = || case.tiny_ce(["state", &id]).ok().contains("\"stopped\"");
    while !stopped() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    case.tiny_ce(["kill", &id, "-a", "KILL"]).ok();
    case.tiny_ce(["delete", &id, "--force"]).ok();
}

/// Options that older callers use are accepted, with a warning that they have no effect.
#[test]
fn obsolete_options_are_warnings() {
    let Some(case) = Case::root(&[]) else { return };
    fs::create_dir_all(case.state()).expect("a root");
    let done = case.tiny_ce(["--criu", "/usr/sbin/criu", "list", "--quiet"]);
    assert!(done.ok().is_empty() && done.stderr.contains("warning: --criu"), "{done}");
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    for option in ["--kernel-memory", "--kernel-memory-tcp"] {
        let done = container.tiny_ce("update", [option, "64m"]);
        done.ok();
        assert!(done.stderr.contains(&format!("warning: {option}: ")), "{done}");
    }
}

/// crun's other logs: systemd's journal and syslogd, each with a name.
#[test]
fn a_log_may_be_the_journal_or_syslog() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let [journal, syslog] = ["journal", "syslog"].map(|name| {
        let socket = std::os::unix::net::UnixDatagram::bind(case.dir().join(name));
        let socket = socket.expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        socket
    });
    let script = format!(
        "set -e; mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal; \
         ln -s {dir}/journal /run/systemd/journal/socket; mount -t tmpfs tmpfs /dev; \
         ln -s {dir}/syslog /dev/log; exec \"$@\"",
        dir = case.dir().display()
    );
    let state = |options: &[&str]| {
        let tiny_ce = tiny_ce();
        let first = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
        let first = first.into_iter().chain(tiny_ce.to_str());
        case.program(first.chain(options.iter().copied()).chain(["--root", "/nope", "state", "x"]))
    };
    let text = |socket: &std::os::unix::net::UnixDatagram| {
        let mut bytes = [0; 4096];
        let got = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..got]).into_owned()
    };
    assert!(state(&["--log", "journald:web"]).fails().contains("does not exist"));
    let message = text(&journal);
    assert!(message.starts_with("PRIORITY=3\nSYSLOG_IDENTIFIER=web\nMESSAGE="), "{message}");
    assert!(message.contains("container does not exist"), "{message}");
    state(&["--log", "syslog:web", "--log-level", "debug"]).fails();
    let message = text(&syslog);
    assert!(message.starts_with("<31>web: command \"state\""), "{message}");
    let message = text(&syslog);
    assert!(message.starts_with("<27>web: ") && message.contains("not exist"), "{message}");
    let file = case.dir().join("log");
    state(&[&format!("--log=file:{}", file.display())]).fails();
    assert!(fs::read_to_string(file).expect("a log").contains("not exist"));
    fs::create_dir_all(case.state()).expect("a root");
    let done = case.tiny_ce(["--log", "journald:web", "list"]);
    assert!(done.code() == 0 || done.fails().contains("/run/systemd/journal/socket"), "{done}");
}

#[test]
fn the_log_level_limits_what_is_logged() {
    let Some(case) = Case::root(&[]) else { return };
    let log = case.dir().join("log");
    fs::create_dir_all(case.state()).expect("a root");
    let level = |options: &[&str]| {
        let path = log.to_str().expect("UTF-8");
        let last = ["--log", path, "--criu", "x", "list", "--quiet"];
        case.tiny_ce(options.iter().copied().chain(last)).ok();
        let text = fs::read_to_string(&log).expect("a log");
        fs::remove_file(&log).expect("a log");
        (text.matches("level=warning").count(), text.matches("level=debug").count())
    };
    assert_eq!(level(&[]), (1, 0));
    assert_eq!(level(&["--log-level", "error"]), (0, 0));
    assert_eq!(level(&["--log-level=warning"]), (1, 0));
    assert_eq!(level(&["--log-level", "debug"]).0, 1);
    assert!(level(&["--log-level", "debug"]).1 > 0);
    assert!(level(&["--debug"]).1 > 0);
}

#[test]
fn later_changes_of_config_json_have_no_effect() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("say before");
    let mut container = case.create(&bundle);
    fs::write(bundle.path().join("config.json"), "{}").expect("a file");
    container.start();
    container.line("before");
    container.ended();
    container.delete();
}

/// `run` adopts a process whose parent has ended (PR_SET_CHILD_SUBREAPER), unless --no-subreaper is
/// given.
#[test]
fn run_adopts_orphans_unless_told_not_to() {
    let Some(case) = Case::root(&[Need::Program("busybox")]) else { return };
    let mut bundle = case.bundle();
    bundle.program("/bin/busybox".as_ref(), "bin/busybox");
    bundle.without_namespace("pid");
    bundle.file("script", "(busybox sleep 4711 & echo left: $!)\nexec /probe await 15\n");
    bundle.args(["/bin/busybox", "sh", "/script"]);
    for (option, adopted) in [(None, true), (Some("--no-subreaper"), false)] {
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let id = case.id();
        let words = ["run"].into_iter().chain(option);
        let mut running = case.spawn(words.chain(["--bundle", &path, &id]));
        let left = running.line("left: ");
        running.line("ready:");
        let pid = left.rsplit(' ').next().expect("a pid");
        let parent = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
            let line = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
            line.expect("a parent").parse::<u32>().expect("a pid")
        };
        assert_eq!(parent() == running.pid(), adopted, "{option:?}");
        case.tiny_ce(["kill", &id, "TERM"]).ok();
        running.done().ends(0);
        assert!(!fs::exists(format!("/proc/{pid}/exe")).unwrap_or(false), "it has ended too");
    }
}
