//! Hooks: programs of the user that run at points of a container's life (runtime-spec config.md).
//!
//! `compile::hook` makes a short plan of each. This module starts init with it, writes the state to
//! the hook, reads its output, and kills its process group at the timeout. Must not know when hooks
//! run or what a failure causes: the caller does.

use std::borrow::Cow;
use std::ffi::CString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::compile::hook::{self, HookRequest};
use crate::compile::identity::Identity;
use crate::conversation::join::Joined;
use crate::conversation::{self, Answers, Init, channel};
use crate::error::{Error, Result};
use crate::plan::{Finished, c_string};
use crate::signals::ending;
use crate::spec::Hook;
use crate::sys::process::{self, Child, Clone, Exit};
use crate::{log, sys};

/// What the hooks of one list have in common.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The program of init, which executes each hook.
    pub program: BorrowedFd<'a>,
    /// The state in JSON, which each hook reads on standard input.
    pub state: &'a [u8],
    /// The directory of relative paths, and the working directory unless the place has another.
    pub bundle: &'a Path,
}

/// Where hooks run.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// In the launcher's namespaces.
    Runtime,
    /// In the container's namespaces; the program is looked up in the launcher's.
    Container {
        /// Init.
        pid: i32,
        /// The working directory: the future root, with its mounts.
        rootfs: &'a Path,
    },
    /// Like the container's process: in its namespaces, its root and its cgroups, as its user, with
    /// its capabilities and its filter. The program comes from the image and is trusted no more
    /// than that process.
    Process(&'a Confined<'a>),
}

/// What confines the container's process.
pub struct Confined<'a> {
    /// Init.
    pub pid: i32,
    /// Its user, groups, capabilities, limits and filter.
    pub identity: &'a Identity<'a>,
    /// The container's directory in cgroup v2.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The `tasks` files of its groups in cgroup v1.
    pub tasks: &'a [OwnedFd],
    /// The environment of the process, for a hook without `env`.
    pub environment: &'a [CString],
    /// Receives the pid of each hook and the listener of its filter, if the filter notifies.
    pub listener: &'a dyn Fn(i32, OwnedFd) -> Result<()>,
}

/// Run hooks in their order, up to the first that fails.
///
/// `kind` is the list's name in config.json. The error names the hook, how it ended, and the last
/// lines of its output.
///
/// # Errors
/// A hook cannot be executed, ends with another status than 0 or by a signal, or exceeds its
/// timeout.
pub fn run(kind: &str, hooks: &[Hook], scene: &Scene<'_>, place: Place<'_>) -> Result<()> {
    let one = |(index, hook)| run_one(kind, index, hook, scene, place);
    hooks.iter().enumerate().try_for_each(one)
}

/// Run all hooks in the launcher's namespaces; each that fails is a warning.
pub fn run_all(kind: &str, hooks: &[Hook], scene: &Scene<'_>) {
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(e) = run_one(kind, index, hook, scene, Place::Runtime) {
            log::warning(&e.to_string());
        }
    }
}

fn run_one(
    kind: &str,
    index: usize,
    hook: &Hook,
    scene: &Scene<'_>,
    place: Place<'_>,
) -> Result<()> {
    let field = format!("hooks.{kind}[{index}]");
    // These are runc's words, by which engines recognise the failure of a hook.
    let failed = |e: Error| e.within(format_args!("error running {kind} hook #{index}"));
    run_to_end(&field, hook, scene, place).map_err(failed)
}

fn run_to_end(field: &str, hook: &Hook, scene: &Scene<'_>, place: Place<'_>) -> Result<()> {
    let name = format!("{field} {:?}", hook.path);
    let seconds = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok());
    let deadline = seconds.and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
    let mut running = launch(&name, hook, scene, place)?;
    running.feed = scene.state;
    let end = running.end(deadline).map_err(|e| Error::io(&name, "poll", &e))?;
    let cause = match end {
        Some(Exit::Status(0)) => return Ok(()),
        Some(exit) => ending(exit),
        None => format!("timed out after {} s", seconds.unwrap_or_default()),
    };
    let error = Error::with_output(format!("{name}: {cause}"), &running.tail);
    Err(match end {
        None => error.hint(format!("raise {field}.timeout, which is in seconds")),
        Some(_) => error,
    })
}

/// How a hook enters the container: the namespaces that it joins, and its program if the launcher
/// must open it.
#[derive(Default)]
struct Entry {
    joined: Option<Joined>,
    program: Option<OwnedFd>,
}

impl Entry {
    fn find(name: &str, hook: &Hook, scene: &Scene<'_>, place: Place<'_>) -> Result<Entry> {
        let pid = match place {
            Place::Runtime => return Ok(Entry::default()),
            Place::Container { pid, .. } => pid,
            Place::Process(confined) => confined.pid,
        };
        let joined = Joined::open(pid).map_err(|e| e.within(name))?;
        if joined.namespaces.is_empty() {
            return Ok(Entry::default());
        }
        let program = match place {
            Place::Container { .. } => hidden_program(name, &path(hook, scene, place), pid)?,
            _ => None,
        };
        Ok(Entry { joined: Some(joined), program })
    }
}

/// Open the program, if its path leads to another file, or to none, in the container's mount
/// namespace.
fn hidden_program(name: &str, path: &str, pid: i32) -> Result<Option<OwnedFd>> {
    let program = sys::file::open_path(Path::new(path)).map_err(|e| Error::io(name, "open", &e))?;
    let root = format!("/proc/{pid}/root");
    let theirs = sys::file::open_path(Path::new(&root))
        .and_then(|root| sys::file::open_in_root(&root, Path::new(path)))
        .and_then(|file| sys::file::stat(&file));
    let ours = sys::file::stat(&program).map_err(|e| Error::io(name, "fstat", &e))?;
    let same = theirs.is_ok_and(|s| (s.st_dev, s.st_ino) == (ours.st_dev, ours.st_ino));
    Ok((!same).then_some(program))
}

/// Clone init, which executes the hook, and wait until it has done so.
fn launch<'a>(name: &str, hook: &Hook, scene: &Scene<'_>, place: Place<'_>) -> Result<Running<'a>> {
    let failed = |call| move |e: io::Error| Error::io(name, call, &e);
    let entry = Entry::find(name, hook, scene, place)?;
    let confined = match place {
        Place::Process(confined) => Some(confined),
        _ => None,
    };
    let tasks = confined.map_or(&[][..], |confined| confined.tasks);
    let cwd = match place {
        Place::Container { rootfs, .. } => rootfs,
        _ => scene.bundle,
    };
    let plan = hook::compile(&HookRequest {
        name,
        path: &path(hook, scene, place),
        cwd: &cwd.to_string_lossy(),
        namespaces: entry.joined.as_ref().map_or(&[], |joined| &joined.namespaces),
        preloaded: entry.program.is_some(),
        confined: confined
            .map(|c| hook::Confined { identity: c.identity, hierarchies: tasks.len() }),
    })?;
    let (stdin, input) = io::pipe().map_err(failed("pipe2"))?;
    let (output, stdout) = io::pipe().map_err(failed("pipe2"))?;
    let opened = [stdin.as_fd(), stdout.as_fd()].into_iter();
    let opened = opened.chain(tasks.iter().map(AsFd::as_fd));
    let opened = opened.chain(entry.joined.as_ref().map(|joined| joined.process.as_fd()));
    let opened = opened.chain(entry.program.as_ref().map(AsFd::as_fd));
    let args = if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args };
    let (child, channel) = conversation::start(&Clone {
        flags: 0,
        cgroup: confined.and_then(|confined| confined.cgroup),
        program: scene.program,
        argv: &args.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>>>()?,
        envp: &environment(hook, place)?,
        descriptors: &opened.map(|fd| fd.as_raw_fd()).collect::<Vec<RawFd>>(),
        die_with_parent: true,
    })
    .map_err(|(call, e)| Error::io(name, call, &e))?;
    let (input, output) = (Some(input), Some(output));
    let mut running = Running { child, input, output, feed: &[], tail: Vec::new(), reaped: false };
    drop((stdin, stdout));
    channel::send(&channel, &plan.bytes)?;
    let mut answers = Starting { name, hook, plan: &plan, confined };
    // If init ends without a report, its exit status says why; the caller waits for that.
    conversation::listen(&channel, &plan, Init::Child(&mut running.child), &mut answers)?;
    Ok(running)
}

/// Answers to init until it has executed the hook.
struct Starting<'a> {
    name: &'a str,
    hook: &'a Hook,
    plan: &'a Finished,
    confined: Option<&'a Confined<'a>>,
}

impl Answers for Starting<'_> {
    fn listener(&mut self, pid: i32, listener: OwnedFd) -> Result<()> {
        match self.confined {
            Some(confined) => (confined.listener)(pid, listener),
            None => Err(conversation::out_of_turn()),
        }
    }

    fn failed(&self, index: u32, error: Error) -> Error {
        let confined = self.confined.is_some();
        let error = if confined { error } else { hint_interpreter(error, self.hook) };
        // The origin of a step may be another field of the config than the hook.
        let own = self.plan.origin(index) == self.name;
        if own { error } else { error.within(self.name) }
    }
}

/// The path of the program. A relative path is below the bundle, but that of a program of the image
/// is below the working directory of the container's process.
fn path<'a>(hook: &'a Hook, scene: &Scene<'_>, place: Place<'_>) -> Cow<'a, str> {
    match place {
        Place::Process(_) => Cow::Borrowed(&hook.path),
        _ if hook.path.starts_with('/') => Cow::Borrowed(&hook.path),
        _ => Cow::Owned(scene.bundle.join(&hook.path).to_string_lossy().into_owned()),
    }
}

/// The environment of the hook: its `env`, or else that of the launcher or of the container's
/// process.
fn environment(hook: &Hook, place: Place<'_>) -> Result<Vec<CString>> {
    match (&hook.env, place) {
        (Some(env), _) => env.iter().map(|entry| c_string(entry)).collect(),
        (None, Place::Process(confined)) => Ok(confined.environment.to_vec()),
        (None, _) => {
            let entries = std::env::vars_os().map(|(mut entry, value)| {
                entry.push("=");
                entry.push(value);
                CString::new(entry.into_vec())
            });
            // `flatten` drops none: a variable from execve(2) has no NUL.
            Ok(entries.flatten().collect())
        }
    }
}

/// A hook, or init before it executes one. If it is dropped, its process group is killed and
/// reaped.
struct Running<'a> {
    child: Child,
    input: Option<PipeWriter>,
    output: Option<PipeReader>,
    feed: &'a [u8],
    tail: Vec<u8>,
    reaped: bool,
}

/// The most bytes of a hook's output that an error shows.
const TAIL: usize = 4096;
/// The most bytes that are read after a hook has ended: the capacity of a pipe, since its children
/// may go on writing.
const PIPE: usize = 64 << 10;
/// The bytes that can be written without blocking once poll(2) reports POLLOUT (pipe(7)).
const PIPE_BUF: usize = 4096;

impl Running<'_> {
    /// Write the state to the hook and read its output until it ends; `None` if it does not end in
    /// time.
    ///
    /// Children of the hook may outlive it, and keep its output open.
    fn end(&mut self, deadline: Option<Instant>) -> io::Result<Option<Exit>> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            // Rounded up, so that the last fraction of a millisecond is not spent in a busy loop.
            let left = left.map_or(-1, |left| left.as_millis().min(1 << 30) as i32 + 1);
            let pidfd = &self.child.pidfd;
            let ready = sys::hook::ready(pidfd, self.output.as_ref(), self.input.as_ref(), left)?;
            if ready.input {
                self.write();
            }
            if ready.output {
                self.read();
            }
            if ready.ended {
                break;
            }
        }
        for _ in 0..PIPE / TAIL {
            let pidfd = &self.child.pidfd;
            if !sys::hook::ready(pidfd, self.output.as_ref(), None, 0)?.output {
                break;
            }
            self.read();
        }
        let exit = process::wait(&self.child.pidfd, false)?;
        self.reaped = true;
        if matches!(exit, Some(Exit::Signal(_))) {
            // If init was killed after its fork and before its report, nothing has adopted the
            // child yet. It ends by itself.
            sys::hook::reap_group(self.child.pid);
        }
        Ok(exit)
    }

    /// Write the next part of the state. A hook need not read it: an error ends the writing.
    fn write(&mut self) {
        let Some(input) = &mut self.input else { return };
        let part = self.feed.get(..PIPE_BUF).unwrap_or(self.feed);
        let written = input.write(part).unwrap_or(0);
        self.feed = self.feed.get(written..).unwrap_or_default();
        if written == 0 || self.feed.is_empty() {
            self.input = None;
        }
    }

    fn read(&mut self) {
        let Some(output) = &mut self.output else { return };
        let mut bytes = [0; TAIL];
        match output.read(&mut bytes) {
            Ok(0) | Err(_) => self.output = None,
            Ok(got) => self.tail.extend_from_slice(&bytes[..got]),
        }
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.reaped {
            sys::hook::kill_group(self.child.pid);
            // It may not have made its group yet.
            let _ = process::kill(&self.child.pidfd, libc::SIGKILL);
            let _ = process::wait(&self.child.pidfd, false);
            sys::hook::reap_group(self.child.pid);
        }
    }
}

/// Add a hint to ENOENT if the program exists: execve(2) lacks its interpreter then.
fn hint_interpreter(error: Error, hook: &Hook) -> Error {
    if error.errno() == Some(libc::ENOENT) && Path::new(&hook.path).exists() {
        return error.hint("the file is there, the interpreter that it names is not");
    }
    error
}

#[cfg(test)]
#[path = "hooks_test.rs"]
mod tests;
