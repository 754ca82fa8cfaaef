//! `run`: create and start a container, and in the foreground wait for its end.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::launch::{self, Ready};
use super::prepare::{LaunchOptions, Prepared, Source, prepare};
use super::start::StartingContainer;
use super::{delete, exit, start};
use crate::analysis::{self, Recorder, WAITING};
use crate::cgroup::OomCount;
use crate::compile::Then;
use crate::conversation;
use crate::error::Result;
use crate::foreground::Signals;
use crate::foreground::console::{self, Console};
use crate::foreground::notify::Notify;
use crate::log;
use crate::spec::{Spec, id};
use crate::state::{Directory, Record};
use crate::sys::process::{Child, Exit};

/// The options of `run`, besides those of `create`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Return once the program runs.
    pub detach: bool,
    /// Do not delete the container when its program has ended.
    pub keep: bool,
    /// Do not become the subreaper of the container's orphans.
    pub no_subreaper: bool,
}

/// Create a container, start it, and unless detached wait for its end.
///
/// Returns the program's exit status, 128 and the number of the signal that ended it, or 0 if
/// detached.
///
/// # Errors
/// As [`super::create`] and [`super::start`].
pub fn run(
    root: &Path,
    id: &str,
    source: Source,
    options: &LaunchOptions,
    run: RunOptions,
) -> Result<i32> {
    let origins = source.origins();
    let told = |e| origins.apply(e).within(format!("cannot run {id:?}"));
    go(root, id, source, options, run).map_err(told)
}

fn go(
    root: &Path,
    id: &str,
    source: Source,
    options: &LaunchOptions,
    run: RunOptions,
) -> Result<i32> {
    let prepared = ready_to_launch(root, id, source, options)?;
    console::check(prepared.terminal(), run.detach, options.console_socket.as_deref())?;
    let signals = match run.detach {
        true => None,
        false => Some(Signals::catch(!run.no_subreaper)?),
    };
    let mut begun = begin(root, id, prepared, options, !run.detach)?;
    let Some(signals) = signals else {
        if let Some(notify) = begun.notify {
            notify.until_ready(begun.child.pid, &begun.child.pidfd)?;
        }
        return Ok(0);
    };
    let console = begun.terminal.take().map(Console::new).transpose()?;
    options.recorder.phase(analysis::PROGRAM);
    let exit = signals.wait(&begun.child, console, begun.notify.as_ref(), begun.oom.as_mut())?;
    report(&begun.record, exit, begun.oom.as_ref());
    options.recorder.phase("the deletion");
    if !run.keep {
        begun.delete(root)?;
    }
    Ok(exit.code())
}

/// Read and check what `run` needs, before anything is made.
fn ready_to_launch(
    root: &Path,
    id: &str,
    source: Source,
    options: &LaunchOptions,
) -> Result<Prepared> {
    id::check(id)?;
    let prepared = prepare(id, &root.join(id), source, options, Then::Run)?;
    match prepared.spec.process {
        Some(_) => Ok(prepared),
        None => Err(start::nothing()),
    }
}

/// A container whose program runs as a child of this process.
pub struct Begun {
    /// The program, or the init that stays beside it.
    pub child: Child,
    /// The master of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    directory: Directory,
    record: Record,
    spec: Box<Spec>,
    notify: Option<Notify>,
    oom: Option<OomCount>,
}

impl Begun {
    /// What the kernel's OOM killer had to do with this end, if anything.
    pub fn oom_killed(&self, exit: Exit) -> Option<String> {
        exit::oom(&self.record, Some(exit), self.oom.as_ref())
    }

    /// Delete the container, whose program has ended.
    ///
    /// # Errors
    /// A part of it cannot be removed.
    pub fn delete(&self, root: &Path) -> Result<()> {
        delete::ended(root, &self.directory, &self.record, &self.spec)
    }
}

/// Create a container and start it, for a caller that waits for many: PID 1 of a machine.
///
/// # Errors
/// As [`super::create`] and [`super::start`].
pub fn start_here(root: &Path, id: &str, source: Source, options: &LaunchOptions) -> Result<Begun> {
    let prepared = ready_to_launch(root, id, source, options);
    let begun = prepared.and_then(|prepared| begin(root, id, prepared, options, true));
    begun.map_err(|e| e.within(format!("cannot run {id:?}")))
}

/// Launch and start it; with `count`, count OOM kills.
fn begin(
    root: &Path,
    id: &str,
    prepared: Prepared,
    options: &LaunchOptions,
    count: bool,
) -> Result<Begun> {
    let ready = launch::launch(root, id, prepared, options)?;
    // Count from before the program runs, so that no OOM kill is missed.
    let oom = if count { counting(&ready.record) } else { None };
    options.recorder.phase(WAITING);
    if let Err(e) = started(&ready, &options.recorder) {
        conversation::kill(&ready.child);
        return Err(match delete::locked(root, &ready.directory, &ready.record, true) {
            Ok(()) => e,
            Err(left) => e.detail(format!("and left behind: {}", left.line())),
        });
    }
    let Ready { directory, record, child, terminal, notify, spec, .. } = ready;
    // Release the lock, so that other commands can use the container while it runs.
    directory.unlock()?;
    Ok(Begun { child, terminal, directory, record, spec, notify, oom })
}

/// Count OOM kills while the container runs if it is in a systemd scope, since systemd removes the
/// cgroup, and its counter, with the last process.
pub fn counting(record: &Record) -> Option<OomCount> {
    record.scope.as_ref().and_then(|_| record.cgroup.oom_count())
}

/// Report an OOM kill of a container in the foreground whose program has ended.
pub fn report(record: &Record, exit: Exit, oom: Option<&OomCount>) {
    if let Some(text) = exit::oom(record, Some(exit), oom) {
        log::warning(&format!("container {:?}: a process was killed by {text}", record.id));
    }
}

fn started(ready: &Ready, recorder: &Recorder) -> Result<()> {
    let mut starting = StartingContainer {
        directory: &ready.directory,
        spec: &ready.spec,
        record: &ready.record,
        plan: &ready.plan,
        pid: ready.child.pid,
        status: crate::state::Status::Created,
        recorder: recorder.clone(),
    };
    starting.until_running(&ready.channel)?;
    starting.poststart()
}
