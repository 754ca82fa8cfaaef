//! `checkpoint` and `restore`, with CRIU on a kernel where CRIU works; and the messages without it.

#[path = "checkpoint/failures.rs"]
mod failures;
#[path = "checkpoint/options.rs"]
mod options;
#[path = "checkpoint/without.rs"]
mod without;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tiny_ce_test::{Bundle, Case, Container, Done, Need, Running};

/// The ground, if CRIU works here.
fn case() -> Option<Case> {
    Case::root(&[Need::Program("busybox"), Need::Criu])
}

/// Whether the kernel tells which memory has changed, which `--pre-dump` and `--parent-path` need.
fn tracks_memory() -> bool {
    let mut check = std::process::Command::new("criu");
    let done = check.args(["check", "--feature", "mem_dirty_track"]).output();
    done.is_ok_and(|done| done.status.success())
}

/// A script that counts on standard output, ten times a second, and into a file. It appends, since
/// a reader may come between truncation and write. Only its start makes processes: CRIU cannot stop
/// the parent between a vfork(2) of the shell and its child's execve(2), and gives up after 10 s.
const COUNT: &str = "/bin/busybox mkfifo /srv/turn; exec 9<> /srv/turn; /bin/busybox sleep 1000 &
    i=0; while :; do i=$((i+1)); echo n=$i; echo $i >> /srv/count; read -t 0.1 it <&9; done";

/// A bundle in which a shell runs `script`.
fn shell(case: &Case, script: &str) -> Bundle {
    let mut bundle = case.bundle();
    let busybox = std::fs::canonicalize("/bin/busybox").expect("busybox");
    bundle.program(&busybox, "bin/busybox").file("srv/here", "");
    bundle.set("/root/readonly", false).args(["/bin/busybox", "sh", "-c", script]);
    bundle
}

/// A counting container without a network namespace, whose lock takes CRIU most of its time.
fn counting(case: &Case) -> Bundle {
    let mut bundle = shell(case, COUNT);
    bundle.without_namespace("network");
    bundle
}

fn number(line: &str) -> u32 {
    line.strip_prefix("n=").and_then(|number| number.parse().ok()).expect("a number")
}

/// The words of a command line, with `--image-path images`.
fn words<'w>(verb: &'w str, images: &'w Path, more: &[&'w str]) -> Vec<&'w str> {
    let mut words = vec![verb, "--image-path", images.to_str().expect("UTF-8")];
    words.extend(more);
    words
}

fn checkpoint(case: &Case, images: &Path, more: &[&str]) -> Done {
    case.tiny_ce(words("checkpoint", images, more))
}

/// Wait for the turn to restore a container, of all tests.
///
/// CRIU 3.17 binds a socket whose name is the same for each first process of a pid namespace, so it
/// cannot restore two in one network namespace at once.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A `restore` beside the test, which keeps its turn.
struct Restore(Running, #[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Deref for Restore {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl DerefMut for Restore {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.0
    }
}

/// `restore` in the foreground, beside the test.
fn restore(case: &Case, bundle: &Bundle, images: &Path, more: &[&str]) -> Restore {
    let turn = turn();
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let mut line = words("restore", images, &["--bundle", &path]);
    line.extend(more);
    Restore(case.spawn(line), turn)
}

/// A started container that has counted to 5.
fn started<'c>(case: &'c Case, bundle: &Bundle) -> Container<'c> {
    let mut container = case.create(bundle);
    container.start();
    container.line("n=5");
    container
}

fn images(case: &Case) -> PathBuf {
    case.dir().join("images")
}

/// The last number in the file.
fn counted(bundle: &Bundle) -> u32 {
    let text = std::fs::read_to_string(bundle.rootfs().join("srv/count")).expect("a count");
    text.lines().last().expect("a line").parse().expect("a number")
}

#[test]
fn a_restored_container_continues_where_it_was() {
    let Some(case) = case() else { return };
    let (bundle, images) = (shell(&case, COUNT), images(&case));
    let mut container = started(&case, &bundle);
    let id = container.id().to_owned();
    checkpoint(&case, &images, &["--network-lock", "nftables", &id]).ok();
    // The checkpointed container has been deleted, and has written all its output.
    assert!(case.tiny_ce(["state", &id]).fails().contains("does not exist"));
    assert_eq!(case.cgroups(), [""; 0].map(PathBuf::from));
    container.ended();
    container.gone();
    let last = counted(&bundle);
    let more = ["--network-lock", "nftables", &id];
    let mut running = restore(&case, &bundle, &images, &more);
    // The program's output goes to the standard output of `restore`.
    let first = number(&running.line("n="));
    assert!((last..=last + 1).contains(&first), "{first} after {last}");
    assert_eq!(number(&running.line("n=")), first + 1);
    let state = case.tiny_ce(["state", &id]);
    assert!(state.ok().contains("\"running\""), "{state}");
    // The restored container behaves like any other.
    let ps = case.tiny_ce(["exec", &id, "/bin/busybox", "cat", "/proc/1/cmdline"]);
    assert!(ps.ok().contains("read -t 0.1"), "{ps}");
    // Not every kernel has this one.
    if Path::new("/proc/kcore").exists() {
        let hidden = case.tiny_ce(["exec", &id, "/probe", "cat", "/proc/kcore"]);
        assert!(hidden.ok().is_empty(), "{hidden}");
    }
    case.tiny_ce(["kill", &id, "KILL"]).ok();
    running.0.done().ends(137);
    assert!(case.tiny_ce(["state", &id]).fails().contains("does not exist"));
}

#[test]
fn a_container_left_running_can_be_restored_under_another_id() {
    let Some(case) = case() else { return };
    let (bundle, images) = (counting(&case), images(&case));
    let mut container = started(&case, &bundle);
    checkpoint(&case, &images, &["--leave-running", container.id()]).ok();
    assert_eq!(container.status(), "running");
    // The container still counts.
    let now = counted(&bundle);
    container.line(&format!("n={}", now + 3));
    container.kill("KILL");
    container.ended();
    // Detached, and with a pid file, as engines restore.
    let (id, pid_file) = (case.id(), case.dir().join("pid"));
    let path = pid_file.to_str().expect("UTF-8");
    let more = ["--detach", "--pid-file", path, "-no-subreaper", &id];
    let mut running = restore(&case, &bundle, &images, &more);
    running.exited().ok();
    running.line("n=");
    let state = case.tiny_ce(["state", &id]);
    let state: serde_json::Value = serde_json::from_str(state.ok()).expect("JSON");
    assert_eq!(state["status"], "running");
    let pid = std::fs::read_to_string(&pid_file).expect("a pid file");
    assert_eq!(state["pid"].to_string(), pid);
    // Its cgroup has the new id, not that of the checkpoint.
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroups");
    assert!(cgroup.contains(&id) && !cgroup.contains(container.id()), "{cgroup}");
    case.tiny_ce(["pause", &id]).ok();
    case.tiny_ce(["resume", &id]).ok();
    case.tiny_ce(["delete", "--force", &id]).ok();
}
