//! The conversation with init: it reports in 8 bytes, the launcher answers with one.
//!
//! Knows how reports look, not what follows from them.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tiny_ce_init::flags::Report;
use tiny_ce_init::machine::FORKED;

use crate::error::{Error, Result};
use crate::sys;
use crate::sys::signal::{self, Interest};

/// What init says.
pub enum Said {
    /// It is at this point of its plan , perhaps with a descriptor.
    At(Report, Option<OwnedFd>),
    /// A child with this pid goes on with the plan.
    Forked(i32),
    /// This step ended with this errno; the kernel may have said more.
    Failed {
        /// Of the step in the plan.
        index: u32,
        /// 0: the kernel's answer is not what was asked for.
        errno: i32,
        /// The kernel's own words.
        words: String,
    },
    /// Nothing: it is gone, or has become the program.
    Closed,
}

/// Wait for the next report.
pub fn listen(channel: &UnixStream) -> Result<Said> {
    let failed = |e: std::io::Error| Error::io("init's channel", "recvmsg", &e);
    let mut message = [0; 8];
    let (mut got, fd) = match sys::socket::receive(channel, &mut message) {
        // Init was killed with something unread: the same as gone.
        Err(e) if e.raw_os_error() == Some(libc::ECONNRESET) => return Ok(Said::Closed),
        result => result.map_err(failed)?,
    };
    while got > 0 && got < message.len() {
        let more = (&mut &*channel).read(&mut message[got..]).map_err(failed)?;
        got = if more == 0 { 0 } else { got + more };
    }
    if got == 0 {
        return Ok(Said::Closed);
    }
    let word = |at: usize| {
        u32::from_le_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]])
    };
    let (index, value) = (word(0), word(4) as i32);
    if index == FORKED {
        return Ok(Said::Forked(value));
    }
    if let Some(point) = Report::numbered(index) {
        return Ok(Said::At(point, fd));
    }
    let mut words = Vec::new();
    // Init ends after this, and the channel with it.
    let _ = (&mut &*channel).take(512).read_to_end(&mut words);
    let words = String::from_utf8_lossy(&words).into_owned();
    Ok(Said::Failed { index, errno: value, words })
}

/// As [`listen`], for a plan that forks: a process that is killed between its fork and its word
/// about it leaves a child that keeps the channel open, and waits for an answer for ever.
pub fn listen_to(channel: &UnixStream, process: &OwnedFd) -> Result<Said> {
    let failed = |e: std::io::Error| Error::io("init's channel", "poll", &e);
    let both = [Interest::read(channel.as_fd(), true), Interest::read(process.as_fd(), true)];
    let ready = signal::wait(&both, -1).map_err(failed)?;
    // What it has said before its end is there by now.
    if !ready[0] && !signal::wait(&both[..1], 0).map_err(failed)?[0] {
        return Ok(Said::Closed);
    }
    listen(channel)
}

/// What init has said meanwhile, without waiting for it; nothing if it is there and silent.
pub fn last_word(channel: &UnixStream) -> Option<Said> {
    channel.set_nonblocking(true).ok()?;
    listen(channel).ok()
}

/// Let init go on.
pub fn go_on(channel: &UnixStream) -> Result<()> {
    send(channel, &[1])
}

/// Send bytes, such as the plan. A channel that init has closed is told by the next `listen`.
pub fn send(channel: &UnixStream, bytes: &[u8]) -> Result<()> {
    match (&mut &*channel).write_all(bytes) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|e| Error::io("init's channel", "write", &e)),
    }
}

#[cfg(test)]
#[path = "channel_test.rs"]
mod tests;
