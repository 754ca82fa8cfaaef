//! Hooks: programs of the user's, run at points of a container's life (runtime-spec config.md).
//!
//! Each becomes a short plan (`compile::hook`) for the machine that makes containers; here it is
//! launched, given the state, listened to, and killed with all of its group when its time is up.
//! Knows neither when hooks are run nor what follows from a failure.

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt::Write as _;
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

/// What the hooks of one moment have in common.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Init's program, which becomes each hook.
    pub program: BorrowedFd<'a>,
    /// The state in JSON: all that they find on standard input.
    pub state: &'a [u8],
    /// Where relative paths begin, and the working directory where the place has no other.
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
        /// The working directory: the root that is to be, with all that is mounted on it.
        rootfs: &'a Path,
    },
    /// As the container's process: in its namespaces, its root and its cgroups, as its user, with
    /// its capabilities and its filter. The program is one of the image's and trusted no more.
    Process(&'a Confined<'a>),
}

/// What confines the container's process.
pub struct Confined<'a> {
    /// Init.
    pub pid: i32,
    /// User, groups, capabilities, limits, filter.
    pub identity: &'a Identity<'a>,
    /// The container's directory in cgroup v2.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The `tasks` files of its groups in cgroup v1.
    pub tasks: &'a [OwnedFd],
    /// The environment of the process, for a hook that has none of its own.
    pub environment: &'a [CString],
    /// Takes the pid of each hook and the listener of its filter, if the filter notifies.
    pub listener: &'a dyn Fn(i32, OwnedFd) -> Result<()>,
}

/// Run hooks in their order, up to the first that fails.
///
/// `kind` is the list's name in config.json. The error names the hook, how it ended, and what it
/// said last.
///
/// # Errors
/// A hook cannot be executed, ends with another status than 0 or by a signal, or exceeds its
/// timeout.
pub fn run(kind: &str, hooks: &[Hook], scene: &Scene<'_>, place: Place<'_>) -> Result<()> {
    let one = |(index, hook)| one(kind, index, hook, scene, place);
    hooks.iter().enumerate().try_for_each(one)
}

/// Run all hooks in the launcher's namespaces; those that fail are warned of.
pub fn run_all(kind: &str, hooks: &[Hook], scene: &Scene<'_>) {
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(e) = one(kind, index, hook, scene, Place::Runtime) {
            log::warning(&e.to_string());
        }
    }
}

fn one(kind: &str, index: usize, hook: &Hook, scene: &Scene<'_>, place: Place<'_>) -> Result<()> {
    let field = format!("hooks.{kind}[{index}]");
    // runc's words, by which engines know that a hook is what failed.
    let failed = |e: Error| e.within(format_args!("error running {kind} hook #{index}"));
    to_its_end(&field, hook, scene, place).map_err(failed)
}

fn to_its_end(field: &str, hook: &Hook, scene: &Scene<'_>, place: Place<'_>) -> Result<()> {
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
    let error = said(format!("{name}: {cause}"), &running.tail);
    Err(match end {
        None => error.hint(format!("raise {field}.timeout, which is in seconds")),
        Some(_) => error,
    })
}

/// What of the container a hook enters.
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
            Place::Container { .. } => unseen_program(name, &path(hook, scene, place), pid)?,
            _ => None,
        };
        Ok(Entry { joined: Some(joined), program })
    }
}

/// The program, if its path leads a process of the container elsewhere: a joined mount namespace.
fn unseen_program(name: &str, path: &str, pid: i32) -> Result<Option<OwnedFd>> {
    let program = sys::file::open_path(Path::new(path)).map_err(|e| Error::io(name, "open", &e))?;
    let root = format!("/proc/{pid}/root");
    let theirs = sys::file::open_path(Path::new(&root))
        .and_then(|root| sys::file::open_in_root(&root, Path::new(path)))
        .and_then(|file| sys::file::stat(&file));
    let ours = sys::file::stat(&program).map_err(|e| Error::io(name, "fstat", &e))?;
    let same = theirs.is_ok_and(|s| (s.st_dev, s.st_ino) == (ours.st_dev, ours.st_ino));
    Ok((!same).then_some(program))
}

/// Clone init, which becomes the hook.
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
    // It has become the hook, or ended without a word: its exit status tells.
    conversation::listen(&channel, &plan, Init::Child(&mut running.child), &mut answers)?;
    Ok(running)
}

/// Init, until it has become the hook or has said why not.
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
        let error = if confined { error } else { interpreter(error, self.hook) };
        // The field behind a step may be another of the container's.
        let own = self.plan.origin(index) == self.name;
        if own { error } else { error.within(self.name) }
    }
}

/// The program. A relative path begins at the bundle; that of a program of the image, wherever the
/// container's process is.
fn path<'a>(hook: &'a Hook, scene: &Scene<'_>, place: Place<'_>) -> Cow<'a, str> {
    match place {
        Place::Process(_) => Cow::Borrowed(&hook.path),
        _ if hook.path.starts_with('/') => Cow::Borrowed(&hook.path),
        _ => Cow::Owned(scene.bundle.join(&hook.path).to_string_lossy().into_owned()),
    }
}

/// What the hook says; if it says nothing, what the launcher or the container's process has.
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
            // There is no NUL in what the kernel handed over.
            Ok(entries.flatten().collect())
        }
    }
}

/// A hook, or init on the way to becoming one. Dropped, it is killed with its group, and reaped.
struct Running<'a> {
    child: Child,
    input: Option<PipeWriter>,
    output: Option<PipeReader>,
    feed: &'a [u8],
    tail: Vec<u8>,
    reaped: bool,
}

/// This much of what a hook says is told, in bytes and in lines.
const TAIL: usize = 4096;
const LINES: usize = 20;
/// What a pipe holds at most is read after a hook has ended, in bytes: others may still write.
const PIPE: usize = 64 << 10;
/// poll(2) promises that this much can be written, in bytes (pipe(7)).
const PIPE_BUF: usize = 4096;

impl Running<'_> {
    /// Feed it and listen to it until it ends; `None` if it does not in time.
    ///
    /// Its children may live on, and keep its output open.
    fn end(&mut self, deadline: Option<Instant>) -> io::Result<Option<Exit>> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            // Rounded up, or the last millisecond would be spent polling.
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
            // Killed between its fork and its word, it has left a child that ends by itself.
            sys::hook::reap_group(self.child.pid);
        }
        Ok(exit)
    }

    /// A hook need not read what it is given.
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
            // It may not lead a group yet.
            let _ = process::kill(&self.child.pidfd, libc::SIGKILL);
            let _ = process::wait(&self.child.pidfd, false);
            sys::hook::reap_group(self.child.pid);
        }
    }
}

/// ENOENT where there is a file is about another one: execve(2).
fn interpreter(error: Error, hook: &Hook) -> Error {
    if error.errno() == Some(libc::ENOENT) && Path::new(&hook.path).exists() {
        return error.hint("the file is there, the interpreter that it names is not");
    }
    error
}

/// The error, with the last line that a hook wrote in it, and the last few below it.
fn said(mut text: String, tail: &[u8]) -> Error {
    let tail = String::from_utf8_lossy(tail);
    let lines: Vec<String> = tail.lines().map(printable).filter(|l| !l.is_empty()).collect();
    if let Some(last) = lines.last() {
        let _ = write!(text, ": {last}");
    }
    let shown = if lines.len() > 1 { lines.len().saturating_sub(LINES) } else { lines.len() };
    lines.iter().skip(shown).fold(Error::new(text), |error, line| error.detail(format!("| {line}")))
}

/// Nothing that a terminal or a log would obey.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.trim_end().chars() {
        match c {
            '\t' => text.push(' '),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
#[path = "hooks_test.rs"]
mod tests;
