//! `run`: create and start in one, and in the foreground wait for the end.

use std::os::fd::AsFd;
use std::path::Path;

use super::launch::{self, Ready};
use super::prepare::{Options, Source, prepare};
use super::start::Going;
use super::{delete, end};
use crate::compile::Then;
use crate::error::{Error, Result};
use crate::log;
use crate::spec::id;
use crate::sys::process::{self, Exit};
use crate::sys::signal;

/// What `run` can be asked for beside what `create` can.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Return when the program runs.
    pub detach: bool,
    /// Leave the container there when its program has ended.
    pub keep: bool,
    /// Leave orphans of the container to somebody else.
    pub no_subreaper: bool,
}

/// Create a container, start it, and unless detached wait for its end.
///
/// Gives the program's exit status, 128 and the number of the signal that ended it, or 0 if
/// detached.
///
/// # Errors
/// As [`super::create`] and [`super::start`].
pub fn run(
    root: &Path,
    id: &str,
    source: Source,
    options: &Options,
    run: RunOptions,
) -> Result<i32> {
    go(root, id, source, options, run).map_err(|e| e.within(format!("cannot run {id:?}")))
}

fn go(root: &Path, id: &str, source: Source, options: &Options, run: RunOptions) -> Result<i32> {
    id::check(id)?;
    let prepared = prepare(id, &root.join(id), source, options, Then::Run)?;
    let signals = if run.detach {
        None
    } else {
        if !run.no_subreaper {
            process::become_subreaper().map_err(|e| Error::io("run", "prctl", &e))?;
        }
        // From here on none is lost: what comes early is forwarded later.
        Some(signal::all().map_err(|e| Error::io("run", "signalfd", &e))?)
    };
    let ready = launch::launch(root, id, prepared, options)?;
    let started = started(&ready);
    if let Err(e) = started {
        let _ = process::kill(&ready.child.pidfd, libc::SIGKILL);
        let _ = process::wait(&ready.child.pidfd, false);
        return Err(match delete::locked(root, &ready.directory, &ready.record, true) {
            Ok(()) => e,
            Err(left) => e.detail(format!("and left behind: {}", left.line())),
        });
    }
    let Some(signals) = signals else { return Ok(0) };
    let Ready { directory, record, child, .. } = ready;
    // Others may look at and change the container while it runs.
    drop(directory);
    let exit = wait(&child, &signals)?;
    if let Some(text) = end::oom(&record, Some(exit)) {
        log::warning(&format!("container {id:?}: a process was killed by {text}"));
    }
    if !run.keep {
        delete::delete(root, id, true)?;
    }
    Ok(exit.code())
}

fn started(ready: &Ready) -> Result<()> {
    let going =
        Going { spec: &ready.spec, record: &ready.record, plan: &ready.plan, pid: ready.child.pid };
    going.until_running(&ready.channel)?;
    going.poststart()
}

/// Forward signals and reap orphans until init has ended.
fn wait(init: &process::Child, signals: &std::os::fd::OwnedFd) -> Result<Exit> {
    let failed = |call| move |e: std::io::Error| Error::io("run", call, &e);
    loop {
        let ready = signal::poll(&[init.pidfd.as_fd(), signals.as_fd()], -1);
        let ready = ready.map_err(failed("poll"))?;
        if ready[0] {
            let exit = process::wait(&init.pidfd, false).map_err(failed("waitid"))?;
            return Ok(exit.unwrap_or(Exit::Status(0)));
        }
        match signal::next(signals).map_err(failed("read"))? {
            libc::SIGCHLD => reap(init.pid),
            // Sent by Go runtimes and terminals to the launcher itself.
            libc::SIGURG => {}
            number => {
                // Gone in this very moment: the next turn sees it.
                let _ = process::kill(&init.pidfd, number);
            }
        }
    }
}

/// Orphans that became ours; init itself is waited for by its pidfd.
fn reap(init: i32) {
    while let Some(pid) = process::ended_child() {
        if pid == init {
            return;
        }
        process::reap(pid);
    }
}
