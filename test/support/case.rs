//! One test's own ground: a directory, a state root, names that no other test has, and at the end a
//! look around that nothing is left.

use crate::process::{Done, Running, Signal, run};
use crate::{Bundle, Need, leak, needs, tiny_ce};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A test's ground. Its end deletes the containers that [`Case::create`] made, fails the test if
/// anything is left on the machine, and removes the directory.
pub struct Case {
    tag: String,
    dir: PathBuf,
    count: AtomicU32,
}

impl Case {
    /// Ground for a test that needs nothing.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Case {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Of one length, so that no tag is the beginning of another.
        let tag = format!("tce{:07x}{number:03x}", std::process::id());
        let dir = std::env::temp_dir().join(&tag);
        // A killed run with our process id may have left it.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        Case { tag, dir, count: AtomicU32::new(0) }
    }

    /// Ground for a test that needs root and `more`; none, visibly skipped, if that is not there.
    pub fn root(more: &[Need]) -> Option<Case> {
        let all: Vec<Need> = [Need::Root].iter().chain(more).copied().collect();
        needs::met(&all).then(Case::new)
    }

    /// The word that is in every name of this case: 13 bytes of letters and digits.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The case's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The `--root` of the case's containers.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// A container id that nobody has.
    pub fn id(&self) -> String {
        format!("{}-{}", self.tag, self.number())
    }

    /// A number that nothing else of the case has.
    pub(crate) fn number(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A new bundle with the default config.json and the probe.
    pub fn bundle(&self) -> Bundle {
        let number = self.number();
        Bundle::new(self.dir.join(format!("bundle{number}")), &self.tag)
    }

    /// A bundle whose rootfs is the distribution's, of [`Need::Distribution`]: shared by all tests,
    /// so it stays read-only.
    pub fn distribution(&self) -> Bundle {
        let mut bundle = self.bundle();
        let rootfs = needs::distribution().expect("Need::Distribution");
        bundle.set("/root/path", rootfs.to_str().expect("UTF-8"));
        bundle.set("/root/readonly", true);
        bundle
    }

    /// `tiny-ce --root STATE WORDS…`, to be run or changed.
    pub fn command<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = Command::new(tiny_ce());
        command.arg("--root").arg(self.state()).args(words);
        command.env("TINY_CE_CASE", &self.tag).current_dir(&self.dir);
        command
    }

    /// Run `tiny-ce --root STATE WORDS…` to its end.
    #[track_caller]
    pub fn tiny_ce<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Done {
        run(&mut self.command(words), &self.dir)
    }

    /// Run any program to its end.
    #[track_caller]
    pub fn program<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Done {
        let mut command = crate::command(words);
        run(command.env("TINY_CE_CASE", &self.tag).current_dir(&self.dir), &self.dir)
    }

    /// Start `tiny-ce --root STATE WORDS…` beside the test.
    #[track_caller]
    pub fn spawn<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Running {
        Running::start(&mut self.command(words), &self.dir)
    }

    /// `run` the bundle to its end.
    #[track_caller]
    pub fn run(&self, bundle: &Bundle) -> Done {
        run(&mut self.run_command(bundle), &self.dir)
    }

    /// `run` the bundle in the foreground, beside the test.
    #[track_caller]
    pub fn run_beside(&self, bundle: &Bundle) -> Running {
        Running::start(&mut self.run_command(bundle), &self.dir)
    }

    fn run_command(&self, bundle: &Bundle) -> Command {
        let mut command = self.command(["run", "--bundle"]);
        command.arg(bundle.path()).arg(self.id());
        command
    }

    /// `create` a container, which must work; it is deleted when dropped.
    #[track_caller]
    pub fn create(&self, bundle: &Bundle) -> Container<'_> {
        let id = self.id();
        let mut command = self.command(["create", "--bundle"]);
        command.arg(bundle.path()).arg(&id);
        let mut running = Running::start(&mut command, &self.dir);
        let mut container = Container { case: self, id, running: None, deleted: false };
        let done = running.exited();
        container.deleted = !done.status.success();
        done.ok();
        container.running = Some(running);
        container
    }

    /// The cgroup directories of this case that exist, in every hierarchy.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        leak::cgroups(&self.tag)
    }

    /// What is on the machine because of this case: mounts, cgroups, processes, state. For tests
    /// that look in between; the case's end looks by itself.
    pub fn leftovers(&self) -> Vec<String> {
        leak::found(&self.tag, &self.dir)
    }

    /// Take away what a runtime that is not under test has left: it shall not count.
    pub fn sweep(&self) {
        leak::sweep(&self.tag);
    }

    /// What was left, taken away as well as it goes.
    fn end(&self) -> Vec<String> {
        let left = leak::found(&self.tag, &self.dir);
        if !left.is_empty() {
            for entry in std::fs::read_dir(self.state()).into_iter().flatten().flatten() {
                let mut delete = self.command(["delete", "--force"]);
                let _ = delete.arg(entry.file_name()).output();
            }
            leak::sweep(&self.tag);
        }
        left
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let left = self.end();
        // A mount that was left must not have its files removed through it.
        if !left.iter().any(|line| line.starts_with("mount ")) {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
        }
    }
}

/// A container that `create` made.
pub struct Container<'c> {
    case: &'c Case,
    id: String,
    running: Option<Running>,
    deleted: bool,
}

impl Container<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A command about it: `container.tiny_ce("kill", ["TERM"])` is `tiny-ce kill ID TERM`.
    #[track_caller]
    pub fn tiny_ce<const N: usize>(&self, verb: &str, words: [&str; N]) -> Done {
        let line = [verb, &self.id].into_iter().chain(words);
        self.case.tiny_ce(line)
    }

    /// `start` it, which must work.
    #[track_caller]
    pub fn start(&self) -> &Self {
        self.tiny_ce("start", []).ok();
        self
    }

    /// What `state` prints.
    #[track_caller]
    pub fn state(&self) -> Value {
        serde_json::from_str(self.tiny_ce("state", []).ok()).expect("state prints JSON")
    }

    /// Its `status` of state.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// The host's process id of its program.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        let pid = self.state()["pid"].as_u64().expect("a pid");
        pid.try_into().expect("a pid")
    }

    /// Send a signal by `kill`, which must work.
    #[track_caller]
    pub fn kill(&self, signal: Signal) {
        self.tiny_ce("kill", [signal]).ok();
    }

    /// Wait for a line of its standard output that starts with `prefix`.
    #[track_caller]
    pub fn line(&mut self, prefix: &str) -> String {
        self.running.as_mut().expect("not ended").line(prefix)
    }

    /// Wait until its program is gone, and return what it wrote; the status is `create`'s.
    #[track_caller]
    pub fn ended(&mut self) -> Done {
        let done = self.running.take().expect("not ended").done();
        // Its output ends a moment before it does.
        let running = || self.tiny_ce("state", []).stdout.contains("\"running\"");
        let end = std::time::Instant::now() + crate::PATIENCE;
        while running() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        done
    }

    /// It is no more, and need not be deleted.
    pub fn gone(mut self) {
        self.deleted = true;
    }

    /// `delete` it, which must work.
    #[track_caller]
    pub fn delete(mut self) {
        self.deleted = true;
        self.tiny_ce("delete", []).ok();
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.deleted {
            return;
        }
        let done = self.case.tiny_ce(["delete", "--force", &self.id]);
        if !std::thread::panicking() {
            done.ok();
        }
    }
}
