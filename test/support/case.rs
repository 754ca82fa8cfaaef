//! The ground of one test: a directory, a state root, and names that no other test has; at its end
//! it checks that the test left nothing on the machine.

use crate::process::{Done, Running, Signal, run};
use crate::{Bundle, Need, leak, needs, tiny_ce};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The ground of a test. Dropping it deletes the containers that [`Case::create`] made, fails the
/// test if anything is left on the machine, and removes the directory.
pub struct Case {
    tag: String,
    dir: PathBuf,
    count: AtomicU32,
}

impl Case {
    /// Make the ground for a test that needs nothing of the machine.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Case {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // All tags have the same length, so no tag is a prefix of another.
        let tag = format!("tce{:07x}{number:03x}", std::process::id());
        let dir = std::env::temp_dir().join(&tag);
        // A killed run that had this process id may have left the directory.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        Case { tag, dir, count: AtomicU32::new(0) }
    }

    /// Make the ground for a test that needs root and `more`; print a skip and return `None` if the
    /// machine lacks one of them.
    pub fn root(more: &[Need]) -> Option<Case> {
        let all: Vec<Need> = [Need::Root].iter().chain(more).copied().collect();
        needs::met(&all).then(Case::new)
    }

    /// The word that every name of this case contains: 13 letters and digits.
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

    /// An id that no container has.
    pub fn id(&self) -> String {
        format!("{}-{}", self.tag, self.number())
    }

    /// A number that this case has not used yet.
    pub(crate) fn number(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A new bundle with the default config.json and the probe.
    pub fn bundle(&self) -> Bundle {
        let number = self.number();
        Bundle::new(self.dir.join(format!("bundle{number}")), &self.tag)
    }

    /// A bundle with the rootfs of [`Need::Distribution`]. All tests share that rootfs, so it is
    /// read-only.
    pub fn distribution(&self) -> Bundle {
        let mut bundle = self.bundle();
        let rootfs = needs::distribution().expect("Need::Distribution");
        bundle.set("/root/path", rootfs.to_str().expect("UTF-8"));
        bundle.set("/root/readonly", true);
        bundle
    }

    /// Build the command `tiny-ce --root STATE WORDS…` without running it.
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

    /// `create` a container, which must succeed; dropping the container deletes it.
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

    /// The command `verb` with a bundle and the id of a new container.
    pub fn make(&self, verb: &[&str], bundle: &Bundle, id: &str) -> Command {
        let mut command = self.command(verb);
        command.arg("--bundle").arg(bundle.path()).arg(id);
        command
    }

    /// The container can be deleted, nothing is left then, and a new one can have the same id.
    #[track_caller]
    pub fn recovers(&self, bundle: &Bundle, id: &str) {
        self.tiny_ce(["delete", "--force", id]).ok();
        assert_eq!(self.leftovers(), Vec::<String>::new());
        run(&mut self.make(&["create"], bundle, id), self.dir()).ok();
        self.tiny_ce(["delete", "--force", id]).ok();
    }

    /// The cgroup directories of this case that exist, in every hierarchy.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        leak::cgroups(&self.tag)
    }

    /// What this case has left on the machine: mounts, cgroups, processes, state. For tests that
    /// check before their end; the end of the case checks by itself.
    pub fn leftovers(&self) -> Vec<String> {
        leak::found(&self.tag, &self.dir)
    }

    /// Remove what a runtime that is not under test has left, so that it does not fail this test.
    pub fn sweep(&self) {
        leak::sweep(&self.tag);
    }

    /// Return what was left, and remove as much of it as possible.
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
        // Removing the directory would remove the files of a mount that was left in it.
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

    /// Run a command on this container: `container.tiny_ce("kill", ["TERM"])` is `tiny-ce kill ID
    /// TERM`.
    #[track_caller]
    pub fn tiny_ce<const N: usize>(&self, verb: &str, words: [&str; N]) -> Done {
        let line = [verb, &self.id].into_iter().chain(words);
        self.case.tiny_ce(line)
    }

    /// `start` the container, which must succeed.
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

    /// The `status` that `state` prints.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// The process id of its program on the host.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        let pid = self.state()["pid"].as_u64().expect("a pid");
        pid.try_into().expect("a pid")
    }

    /// Send a signal by `kill`, which must succeed.
    #[track_caller]
    pub fn kill(&self, signal: Signal) {
        self.tiny_ce("kill", [signal]).ok();
    }

    /// Wait for a line of its standard output that starts with `prefix`.
    #[track_caller]
    pub fn line(&mut self, prefix: &str) -> String {
        self.running.as_mut().expect("not ended").line(prefix)
    }

    /// Wait until its program has ended, and return what it wrote; the exit status is `create`'s.
    #[track_caller]
    pub fn ended(&mut self) -> Done {
        let done = self.running.take().expect("not ended").done();
        // The output ends a moment before the program does.
        let running = || self.tiny_ce("state", []).stdout.contains("\"running\"");
        let end = std::time::Instant::now() + crate::PATIENCE;
        while running() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        done
    }

    /// The container has been deleted already: do not delete it again.
    pub fn gone(mut self) {
        self.deleted = true;
    }

    /// `delete` the container, which must succeed.
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
