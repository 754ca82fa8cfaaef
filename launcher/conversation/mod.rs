//! The conversation with init: start init, receive its reports, and answer them.
//!
//! Knows every report, and after which reports init waits for an answer. Must not know what a
//! container is: the caller decides what to do about a report ([`Answers`]).

pub mod channel;
pub mod join;
mod start;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use tiny_ce_init::flags::Report;

use crate::error::{Error, Result};
use crate::plan::Finished;
use crate::sys::process::{self, Child};
use channel::InitMessage;
pub use start::{analyzing_program, descriptors, kill, program, start};

/// The process that runs a plan.
pub enum Init<'a> {
    /// A child of this process whose plan may fork: the new child takes its place.
    Child(&'a mut Child),
    /// The pid of a process whose plan does not fork any more.
    Pid(i32),
}

impl Init<'_> {
    fn pid(&self) -> i32 {
        match self {
            Init::Child(child) => child.pid,
            Init::Pid(pid) => *pid,
        }
    }
}

/// How a conversation ends, unless a step fails.
pub enum End {
    /// Init has done everything that can fail before `start`, and waits.
    Ready,
    /// Init reported that it would execute the program, and the channel is closed.
    Executed,
    /// The channel is closed, and init reported neither readiness nor a failure.
    Silent,
}

/// The caller's answer to each report; a report without an answer is an error.
///
/// `pid` is the process that reports.
///
/// # Errors
/// Each method fails if the caller expects no such report, or cannot do what init waits for.
pub trait Answers {
    /// Run the hooks for which the rootfs must be complete, and not entered yet.
    fn hooks(&mut self, _pid: i32) -> Result<()> {
        Err(out_of_turn())
    }

    /// Run the `startContainer` hooks.
    fn start_hooks(&mut self) -> Result<()> {
        Err(out_of_turn())
    }

    /// Write the id maps of init's user namespace.
    fn maps(&mut self, _pid: i32) -> Result<()> {
        Err(out_of_turn())
    }

    /// Copy the files of a directory into the tmpfs that will cover it.
    fn copy_up(&mut self, _pid: i32, _directory: &OwnedFd, _tmpfs: &OwnedFd) -> Result<()> {
        Err(out_of_turn())
    }

    /// Map the ids of a detached mount.
    fn map_ids(&mut self, _mount: &OwnedFd) -> Result<()> {
        Err(out_of_turn())
    }

    /// Take the master of the terminal.
    fn terminal(&mut self, _master: OwnedFd) -> Result<()> {
        Err(out_of_turn())
    }

    /// Take the listener of the system call filter.
    fn listener(&mut self, _pid: i32, _listener: OwnedFd) -> Result<()> {
        Err(out_of_turn())
    }

    /// Take note that a part of the host's files is read-only.
    fn read_only(&mut self) -> Result<()> {
        Err(out_of_turn())
    }

    /// Take the descriptor of a directory that init resolved in its mount namespace.
    fn directory(&mut self, _directory: OwnedFd) -> Result<()> {
        Err(out_of_turn())
    }

    /// Add to the error of the step with this index, which failed.
    fn failed(&self, _index: u32, error: Error) -> Error {
        error
    }
}

/// Return the error for a report that the launcher does not expect at this point.
pub fn out_of_turn() -> Error {
    Error::new("init reports out of turn")
}

/// Answer init until it is ready, has executed the program, or has ended.
///
/// # Errors
/// A step of the plan failed, an answer failed, or init sent a report that was not expected.
pub fn listen(
    channel: &UnixStream,
    plan: &Finished,
    mut init: Init<'_>,
    answers: &mut dyn Answers,
) -> Result<End> {
    let (mut executes, mut covered) = (false, None);
    loop {
        let message = match &init {
            Init::Child(child) => channel::listen_to(channel, &child.pidfd)?,
            Init::Pid(_) => channel::listen(channel)?,
        };
        let (report, fd) = match message {
            InitMessage::At(report, fd) => (report, fd),
            InitMessage::Forked(pid) => {
                let Init::Child(child) = &mut init else { return Err(out_of_turn()) };
                let parent = std::mem::replace(*child, adopt(pid)?);
                let _ = process::wait(&parent.pidfd, false);
                channel::go_on(channel)?;
                continue;
            }
            InitMessage::Failed { index, errno, words } => {
                return Err(answers.failed(index, plan.failure(index, errno, &words)));
            }
            InitMessage::Closed => return Ok(if executes { End::Executed } else { End::Silent }),
        };
        let pid = init.pid();
        let waits = match (report, fd) {
            (Report::READY, None) => return Ok(End::Ready),
            (Report::EXECUTE, None) => {
                executes = true;
                false
            }
            (Report::COPY_FROM, Some(directory)) => {
                covered = Some(directory);
                false
            }
            (Report::TERMINAL, Some(fd)) => answers.terminal(fd).map(|()| false)?,
            (Report::LISTENER, Some(fd)) => answers.listener(pid, fd).map(|()| false)?,
            (Report::DIRECTORY, Some(fd)) => answers.directory(fd).map(|()| false)?,
            (Report::READ_ONLY, None) => answers.read_only().map(|()| false)?,
            (Report::HOOKS, None) => answers.hooks(pid).map(|()| true)?,
            (Report::START_HOOKS, None) => answers.start_hooks().map(|()| true)?,
            (Report::MAPS, None) => answers.maps(pid).map(|()| true)?,
            (Report::COPY_UP, Some(tmpfs)) => {
                let directory = covered.take().ok_or_else(out_of_turn)?;
                answers.copy_up(pid, &directory, &tmpfs).map(|()| true)?
            }
            (Report::MAP_IDS, Some(mount)) => answers.map_ids(&mount).map(|()| true)?,
            _ => return Err(out_of_turn()),
        };
        if waits {
            channel::go_on(channel)?;
        }
    }
}

/// Return the cause of `error`: a failure that init has reported meanwhile, or init's end, explains
/// the error better than the error itself.
pub fn reason(
    channel: &UnixStream,
    plan: &Finished,
    error: Error,
    ended: impl FnOnce() -> Error,
) -> Error {
    match channel::pending_message(channel) {
        Some(InitMessage::Failed { index, errno, words }) => plan.failure(index, errno, &words),
        Some(InitMessage::Closed) => ended(),
        _ => error,
    }
}

/// Adopt a process that our child made with CLONE_PARENT, which makes it a child of ours.
///
/// # Errors
/// The process has ended, or no descriptor is free for its pidfd.
pub fn adopt(pid: i32) -> Result<Child> {
    let pidfd = process::pidfd_open(pid).map_err(|e| Error::io("init", "pidfd_open", &e))?;
    Ok(Child { pid, pidfd })
}
