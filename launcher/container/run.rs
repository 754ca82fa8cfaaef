//! `run`: create and start a container, and in the foreground wait for its end.

use std::path::Path;

use super::launch::{self, Ready};
use super::prepare::{LaunchOptions, Source, prepare};
use super::start::StartingContainer;
use super::{delete, exit, start};
use crate::cgroup::OomCount;
use crate::compile::Then;
use crate::conversation;
use crate::error::Result;
use crate::foreground::Signals;
use crate::foreground::console::{self, Console};
use crate::log;
use crate::spec::id;
use crate::state::Record;
use crate::sys::process::Exit;

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
    id::check(id)?;
    let prepared = prepare(id, &root.join(id), source, options, Then::Run)?;
    if prepared.spec.process.is_none() {
        return Err(start::nothing());
    }
    console::check(prepared.terminal(), run.detach, options.console_socket.as_deref())?;
    let signals = match run.detach {
        true => None,
        false => Some(Signals::catch(!run.no_subreaper)?),
    };
    let ready = launch::launch(root, id, prepared, options)?;
    // Count from before the program runs, so that no OOM kill is missed.
    let mut oom = if run.detach { None } else { counting(&ready.record) };
    if let Err(e) = started(&ready) {
        conversation::kill(&ready.child);
        return Err(match delete::locked(root, &ready.directory, &ready.record, true) {
            Ok(()) => e,
            Err(left) => e.detail(format!("and left behind: {}", left.line())),
        });
    }
    let Ready { directory, record, child, terminal, notify, spec, .. } = ready;
    // Release the lock, so that other commands can use the container while it runs.
    directory.unlock()?;
    let Some(signals) = signals else {
        if let Some(notify) = notify {
            notify.until_ready(child.pid, &child.pidfd)?;
        }
        return Ok(0);
    };
    let console = terminal.map(Console::new).transpose()?;
    let exit = signals.wait(&child, console, notify.as_ref(), oom.as_mut())?;
    report(&record, exit, oom.as_ref());
    if !run.keep {
        delete::ended(root, &directory, &record, &spec)?;
    }
    Ok(exit.code())
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

fn started(ready: &Ready) -> Result<()> {
    let mut starting = StartingContainer {
        directory: &ready.directory,
        spec: &ready.spec,
        record: &ready.record,
        plan: &ready.plan,
        pid: ready.child.pid,
        status: crate::state::Status::Created,
    };
    starting.until_running(&ready.channel)?;
    starting.poststart()
}
