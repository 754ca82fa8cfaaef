//! `start`: the connection to init's socket is the channel on which init reports failures from then
//! on. The kernel closes it when init executes the program.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{delete, exit, prepare};
use crate::analysis::Recorder;
use crate::compile::identity::{self, Identity};
use crate::conversation::{self, Answers, End, Init};
use crate::error::{Error, Result};
use crate::foreground::notify::{self, Notify};
use crate::hooks::{self, Confined, Place, Scene};
use crate::plan::Finished;
use crate::program::vectors;
use crate::spec::{Spec, id};
use crate::state::{self, Directory, Record, Status};
use crate::sys;

/// Init may take this long to notice the end of its channel.
const PATIENCE: Duration = Duration::from_secs(10);

/// Run the program of a created container.
///
/// With the `notify` socket of a service manager, and if the container was created with one, wait
/// until the program says that it is ready (sd_notify(3)) or ends, and tell the manager.
///
/// # Errors
/// There is no such container, it is not `created`, or its program cannot be executed.
pub fn start(root: &Path, id: &str, notify: Option<&Path>) -> Result<()> {
    begin(root, id, notify).map_err(|e| e.within(format!("cannot start {id:?}")))
}

fn begin(root: &Path, id: &str, notify: Option<&Path>) -> Result<()> {
    id::check(id)?;
    let directory = Directory::open_locked(root, id)?;
    let (record, living) = Record::load_with_init(&directory)?;
    match record.status_of(living)? {
        Status::Created => {}
        status => {
            let text = format!("the container is {}, expected created", status.word());
            return Err(Error::new(text).hint(match status {
                Status::Stopped => "delete it, and create it again",
                _ => "a container is started once",
            }));
        }
    }
    let spec = state::config(&directory)?;
    if spec.process.is_none() {
        return Err(nothing());
    }
    let plan = state::plan(&directory)?;
    let notify = notify.filter(|_| directory.has(state::NOTIFY));
    let notify = notify.map(|to| Notify::bind(&directory, to)).transpose()?;
    let pid = record.init.map_or(0, |(init, ..)| init.pid);
    // Open the pidfd while init still waits for `start`, so that the pid is not yet another's.
    let process = notify.as_ref().map(|_| notify::process(pid)).transpose()?;
    let connection = sys::socket::connect(directory.fd(), state::SOCKET).map_err(|e| {
        Error::io(directory.path().join(state::SOCKET).display(), "connect", &e)
            .hint("the container was started already, or its init is gone")
    })?;
    let status = Status::Created;
    let (spec, plan, recorder) = (&spec, &plan, Recorder::default());
    let mut starting = StartingContainer {
        directory: &directory,
        spec,
        record: &record,
        plan,
        pid,
        status,
        recorder,
    };
    if let Err(e) = starting.until_running(&connection) {
        drop(connection);
        await_change(&record);
        return Err(e);
    }
    directory.unlink(state::SOCKET)?;
    starting.poststart()?;
    // Release the lock, so that other commands can use the container while it gets ready.
    drop(directory);
    match (notify, process) {
        (Some(notify), Some(process)) => notify.until_ready(pid, &process),
        _ => Ok(()),
    }
}

/// Wait until init, whose channel has ended, has ended too or become the program, so that the next
/// command does not find the container `created`.
fn await_change(record: &Record) {
    let until = Instant::now() + PATIENCE;
    while matches!(record.status(), Ok(Status::Created)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Return the error for a container without a program, which can be created but not started.
pub fn nothing() -> Error {
    Error::new("process: the config has none, so there is nothing to start")
}

/// A container between the commit and the start of its program.
pub struct StartingContainer<'a> {
    /// Its state directory.
    pub directory: &'a Directory,
    /// The configuration.
    pub spec: &'a Spec,
    /// The record of the container.
    pub record: &'a Record,
    /// The plan that init runs.
    pub plan: &'a Finished,
    /// Init, or the process of an `exec`.
    pub pid: i32,
    /// The container's status, which a seccomp agent is told.
    pub status: Status,
    /// What takes the times of `--analyze`.
    pub recorder: Recorder,
}

impl StartingContainer<'_> {
    /// Answer init until it has executed the program.
    pub fn until_running(&mut self, channel: &UnixStream) -> Result<()> {
        let (plan, pid) = (self.plan, self.pid);
        match conversation::listen(channel, plan, Init::Pid(pid), self)? {
            End::Executed => {
                self.recorder.executed();
                self.recorder.phase("what follows execve");
                self.executed()?;
                self.tighten()
            }
            End::Ready | End::Silent => {
                let what = "init ended before it became the program";
                Err(exit::unexpected(self.record, None, what))
            }
        }
    }

    /// Check that init executed the program. A filter may refuse init's report that execve(2)
    /// failed, or kill init for it; then the process has ended, and still has init's name.
    fn executed(&self) -> Result<()> {
        if self.spec.linux.as_ref().is_none_or(|linux| linux.seccomp.is_none()) {
            return Ok(());
        }
        match sys::process::ended_as(self.pid, tiny_ce_init::NAME) {
            None => Ok(()),
            exit => {
                let what = "the program could not be executed, and linux.seccomp let init not say \
                            why";
                Err(exit::unexpected(self.record, exit, what)
                    .hint("allow execve, write and exit_group in linux.seccomp.syscalls"))
            }
        }
    }

    /// Set the memory limit that may have been deferred; if that fails, kill the container.
    fn tighten(&self) -> Result<()> {
        let result = self.record.cgroup.tighten();
        if result.is_err() {
            let _ = self.record.cgroup.kill();
            let _ = delete::end(self.record);
        }
        result
    }

    fn state(&self, status: Status) -> Result<Vec<u8>> {
        let state = self.record.state_as(status, self.pid, String::new());
        serde_json::to_vec(&state).map_err(|e| Error::new(e.to_string()))
    }

    /// Run the poststart hooks; the failure of a hook stops the container.
    pub fn poststart(&self) -> Result<()> {
        let Some(all) = self.spec.hooks.as_ref().filter(|all| !all.poststart.is_empty()) else {
            return Ok(());
        };
        let state = self.state(Status::Running)?;
        let bundle = Path::new(&self.record.bundle);
        let program = conversation::program(self.directory)?;
        let scene = Scene { program: program.as_fd(), state: &state, bundle };
        let result = self.recorder.during("hooks.poststart", || {
            hooks::run("poststart", &all.poststart, &scene, Place::Runtime)
        });
        if result.is_err() {
            // runtime-spec 1.3 demands that the container is stopped; the user deletes it.
            let _ = self.record.cgroup.kill();
            let _ = delete::end(self.record);
        }
        result
    }

    /// Send the seccomp listener of process `pid` to the agent.
    pub fn listener_of(&self, pid: i32, fd: OwnedFd) -> Result<()> {
        // The state has the pid of init, even if this is a process of `exec`.
        let init = self.record.init.map_or(pid, |(init, ..)| init.pid);
        let state = self.record.state_as(self.status, init, String::new());
        crate::answers::listener::hand_over(self.spec, &state, pid, fd)
    }
}

impl Answers for StartingContainer<'_> {
    fn listener(&mut self, pid: i32, listener: OwnedFd) -> Result<()> {
        self.listener_of(pid, listener)
    }

    fn start_hooks(&mut self) -> Result<()> {
        let (Some(all), Some(process)) = (&self.spec.hooks, &self.spec.process) else {
            return Ok(());
        };
        let (state, program) =
            (self.state(Status::Created)?, conversation::program(self.directory)?);
        let filter = prepare::filter(self.spec)?;
        let process = &identity::of_hook(process, filter.is_some());
        let identity = Identity {
            process,
            groups_denied: crate::host::denies_groups(&format!("/proc/{}", self.pid)),
            filter: filter.as_ref(),
            last_capability: sys::process::last_capability(),
            // The standard streams are pipes that the launcher made.
            stdio: [process.user().uid != 0; 3],
        };
        let cgroup = &self.record.cgroup;
        let (_, environment) = vectors::vectors(Some(process), &vectors::passwd_of(self.pid))?;
        let confined = Confined {
            pid: self.pid,
            identity: &identity,
            cgroup: cgroup.clone_fd()?,
            tasks: &cgroup.join_files()?,
            environment: &environment,
            listener: &|pid, fd| self.listener_of(pid, fd),
        };
        let bundle = Path::new(&self.record.bundle);
        let scene = Scene { program: program.as_fd(), state: &state, bundle };
        self.recorder.during("hooks.startContainer", || {
            hooks::run("startContainer", &all.start_container, &scene, Place::Process(&confined))
        })
    }
}
