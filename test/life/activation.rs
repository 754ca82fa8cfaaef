//! What a service manager passes to its services: `LISTEN_FDS`, and `NOTIFY_SOCKET` with a
//! receiver.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use tiny_ce_test::{Bundle, Case, Done, PATIENCE, Running, run, tiny_ce};

/// The service manager's end of `NOTIFY_SOCKET`.
struct Receiver {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Receiver {
    fn new(case: &Case) -> Receiver {
        let path = case.dir().join("receiver");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Receiver { path, socket }
    }

    fn received(&self) -> String {
        let mut bytes = [0; 8192];
        let got = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..got]).into_owned()
    }

    fn received_nothing(&self) {
        self.socket.set_nonblocking(true).expect("fcntl");
        let got = self.socket.recv(&mut [0; 64]).map_err(|e| e.kind());
        assert_eq!(got, Err(ErrorKind::WouldBlock));
        self.socket.set_nonblocking(false).expect("fcntl");
    }

    fn command(&self, case: &Case, words: &[&str]) -> Command {
        let mut command = case.command(words);
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }
}

/// Run `tiny-ce WORDS…` from a shell that opens `fds` first: they stand for listening sockets.
fn activated(case: &Case, count: &str, fds: &str, words: &[&str]) -> Done {
    let script = format!(
        "export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=http:admin; \
         exec {} --root {} \"$@\" {fds}",
        tiny_ce().display(),
        case.state().display()
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, "sh"]).args(words).env("TINY_CE_CASE", case.tag());
    run(command.current_dir(case.dir()), case.dir())
}

fn files(case: &Case) {
    for name in ["three", "four", "five"] {
        fs::write(case.dir().join(name), name).expect("a file");
    }
}

fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().expect("UTF-8")
}

const THREE: &str = "3< three 4< four 5< five";

#[test]
fn listening_sockets_come_before_preserved_descriptors() {
    let Some(case) = Case::root(&[]) else { return };
    files(&case);
    let mut bundle = case.bundle();
    bundle.probe("env then fds");
    bundle.push("/process/env", "LISTEN_FDNAMES=theirs");
    let id = case.id();
    let words = ["run", "--preserve-fds", "1", "--bundle", path(&bundle), &id];
    let done = activated(&case, "2", THREE, &words);
    let env = done.values("env");
    for wanted in ["LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=http:admin"] {
        assert!(env.contains(&wanted), "{wanted}\n{done}");
    }
    let fds: Vec<&str> = done.values("fd").into_iter().skip(3).collect();
    let ends = ["/three", "/four", "/five"];
    assert_eq!(fds.len(), 3, "{done}");
    for (number, (fd, end)) in (3..).zip(fds.iter().zip(ends)) {
        assert!(fd.starts_with(&number.to_string()) && fd.ends_with(end), "{fd} {end}\n{done}");
    }
}

#[test]
fn sockets_of_another_process_are_not_ours() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("env then fds");
    let mut command = case.command(["run", "--bundle", path(&bundle), &case.id()]);
    command.env("LISTEN_FDS", "2").env("LISTEN_PID", "1");
    let done = run(&mut command, case.dir());
    assert!(!done.ok().contains("LISTEN"), "{done}");
    assert_eq!(done.values("fd").len(), 3, "{done}");
}

#[test]
fn missing_sockets_are_an_error() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let id = case.id();
    let words = ["create", "--bundle", path(&bundle), &id];
    let done = activated(&case, "2", "3< /dev/null 4<&-", &words);
    assert!(done.fails().contains("LISTEN_FDS 2: 4 is not open"), "{done}");
    let done = activated(&case, "many", "", &words);
    assert!(done.fails().contains("LISTEN_FDS \"many\": expected a number"), "{done}");
}

#[test]
fn exec_passes_sockets_on_and_create_keeps_them_for_start() {
    let Some(case) = Case::root(&[]) else { return };
    files(&case);
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let container = case.create(&bundle);
    container.start();
    let words = ["exec", container.id(), "/probe", "env", "then", "fds"];
    let done = activated(&case, "1", "3< three", &words);
    assert!(done.values("env").contains(&"LISTEN_FDS=1"), "{done}");
    let fds = done.values("fd");
    assert!(fds.len() == 4 && fds[3].ends_with("/three"), "{done}");
    // The sockets of a created container are open before its start, in its init only.
    bundle.probe("fds");
    let id = case.id();
    let done = activated(&case, "1", "3< four", &["create", "--bundle", path(&bundle), &id]);
    done.ok();
    let state = case.tiny_ce(["state", &id]);
    let state: serde_json::Value = serde_json::from_str(state.ok()).expect("JSON");
    let open = fs::read_dir(format!("/proc/{}/fd", state["pid"])).expect("descriptors");
    let mut open = open.flatten().flat_map(|entry| fs::read_link(entry.path()));
    assert!(open.any(|file| file.ends_with("four")));
    case.tiny_ce(["delete", &id]).ok();
}

#[test]
fn start_waits_for_readiness_and_passes_it_on() {
    let Some(case) = Case::root(&[]) else { return };
    let receiver = Receiver::new(&case);
    let mut bundle = case.bundle();
    bundle.probe(
        "say hello then env then await 10 then notify STATUS=soon then notify MAINPID=7 then \
         notify READY=1 then pause",
    );
    let id = case.id();
    let mut create = Running::start(
        &mut receiver.command(&case, &["create", "--bundle", path(&bundle), &id]),
        case.dir(),
    );
    create.exited().ok();
    receiver.received_nothing();
    let mut start = Running::start(&mut receiver.command(&case, &["start", &id]), case.dir());
    create.line("hello");
    assert!(create.line("env: NOTIFY_SOCKET=").ends_with("/run/notify/notify.sock"));
    create.line("ready:");
    // The program runs and `start` waits; other commands can use the container meanwhile.
    let state = case.tiny_ce(["state", &id]);
    assert!(state.ok().contains("\"running\""), "{state}");
    case.tiny_ce(["kill", &id, "USR1"]).ok();
    assert_eq!(receiver.received(), "STATUS=soon\n");
    let state: serde_json::Value = serde_json::from_str(state.ok()).expect("JSON");
    assert_eq!(receiver.received(), format!("READY=1\nMAINPID={}\n", state["pid"]));
    // This read has no room for the descriptor of the barrier, so the kernel closes it, which
    // answers the barrier.
    assert_eq!(receiver.received(), "BARRIER=1");
    start.exited().ok();
    receiver.received_nothing();
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn a_detached_run_waits_too_and_an_early_end_ends_the_wait() {
    let Some(case) = Case::root(&[]) else { return };
    let receiver = Receiver::new(&case);
    let mut bundle = case.bundle();
    bundle.probe("notify READY=1 then pause");
    let id = case.id();
    let words = ["run", "--detach", "--bundle", path(&bundle), &id];
    let mut detached = Running::start(&mut receiver.command(&case, &words), case.dir());
    assert!(receiver.received().starts_with("READY=1\nMAINPID="));
    assert_eq!(receiver.received(), "BARRIER=1");
    detached.exited().ok();
    case.tiny_ce(["delete", "--force", &id]).ok();
    bundle.probe("notify STATUS=broken then exit 3");
    let id = case.id();
    let words = ["run", "--detach", "--bundle", path(&bundle), &id];
    run(&mut receiver.command(&case, &words), case.dir()).ok();
    assert_eq!(receiver.received(), "STATUS=broken\n");
    receiver.received_nothing();
    case.tiny_ce(["delete", &id]).ok();
}

#[test]
fn run_passes_on_every_notification_to_the_end() {
    let Some(case) = Case::root(&[]) else { return };
    let receiver = Receiver::new(&case);
    let mut bundle = case.bundle();
    // The socket works for a program that is not root, too.
    bundle.set("/process/user/uid", 1000);
    bundle.probe(
        "notify READY=1 then notify WATCHDOG=1 then notify FDSTORE=1 then notify NOTIFYACCESS=all \
         then notify RELOADING=1 then notify BARRIER=1 then notify STOPPING=1 then exit 4",
    );
    let words = ["run", "--bundle", path(&bundle), &case.id()];
    let done = run(&mut receiver.command(&case, &words), case.dir());
    assert_eq!(done.ends(4).values("notify"), ["ok"; 7], "{done}");
    for wanted in ["READY=1\n", "WATCHDOG=1\n", "RELOADING=1\n", "BARRIER=1", "STOPPING=1\n"] {
        assert_eq!(receiver.received(), wanted);
    }
    receiver.received_nothing();
}

#[test]
fn a_missing_manager_is_an_error_before_anything_is_made() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let mut command = case.command(["run", "--bundle", path(&bundle), &case.id()]);
    command.env("NOTIFY_SOCKET", case.dir().join("nobody"));
    let done = run(&mut command, case.dir());
    assert!(done.fails().contains("/nobody\": connect(2): ENOENT"), "{done}");
    let mut command = case.command(["run", "--bundle", path(&bundle), &case.id()]);
    command.env("NOTIFY_SOCKET", "vsock:2:9999");
    let done = run(&mut command, case.dir());
    assert!(done.fails().contains("expected an absolute path, or @ and a name"), "{done}");
}
