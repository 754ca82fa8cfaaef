//! The channel to init: init reports in 8 bytes, the launcher answers with one byte.
//!
//! Knows the format of reports, not what the launcher does about them.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tiny_ce_init::flags::Report;
use tiny_ce_init::machine::FORKED;

use crate::error::{Error, Result};
use crate::sys;
use crate::sys::signal::{self, Interest};

/// A message from init, or its absence.
pub enum InitMessage {
    /// Init has reached this point of its plan, and may send a descriptor.
    At(Report, Option<OwnedFd>),
    /// Init forked a child with this pid, which goes on with the plan.
    Forked(i32),
    /// A step failed.
    Failed {
        /// The index of the step in the plan.
        index: u32,
        /// The errno; 0 if the call succeeded, but its result is not the one that was asked for.
        errno: i32,
        /// The kernel's message in the fs context; empty if there is none.
        words: String,
    },
    /// Init closed the channel: it has ended, or has executed the program.
    Closed,
}

/// Wait for the next report.
///
/// # Errors
/// recvmsg(2) fails.
pub fn listen(channel: &UnixStream) -> Result<InitMessage> {
    let failed = |e: std::io::Error| Error::io("init's channel", "recvmsg", &e);
    let mut message = [0; 8];
    let (mut got, fd) = match sys::socket::receive(channel, &mut message) {
        // Init was killed with unread data in its socket.
        Err(e) if e.raw_os_error() == Some(libc::ECONNRESET) => return Ok(InitMessage::Closed),
        result => result.map_err(failed)?,
    };
    while got > 0 && got < message.len() {
        let more = (&mut &*channel).read(&mut message[got..]).map_err(failed)?;
        got = if more == 0 { 0 } else { got + more };
    }
    if got == 0 {
        return Ok(InitMessage::Closed);
    }
    let word = |at: usize| {
        u32::from_le_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]])
    };
    let (index, value) = (word(0), word(4) as i32);
    if index == FORKED {
        return Ok(InitMessage::Forked(value));
    }
    if let Some(point) = Report::numbered(index) {
        return Ok(InitMessage::At(point, fd));
    }
    // Init of --init and the program's process both hold the channel, so that a report of the other
    // may follow.
    let mut words = Vec::new();
    let _ = (&mut &*channel).take(value as u64 >> 16 & 0xffff).read_to_end(&mut words);
    let words = String::from_utf8_lossy(&words).into_owned();
    Ok(InitMessage::Failed { index, errno: value & 0xffff, words })
}

/// Wait for the next report, or for the end of `process`, which runs a plan that may fork. If it is
/// killed between its fork and its report of the child, the child keeps the channel open and waits
/// for an answer for ever, so waiting for the channel alone would not return.
///
/// # Errors
/// poll(2) or recvmsg(2) fails.
pub fn listen_to(channel: &UnixStream, process: &OwnedFd) -> Result<InitMessage> {
    let failed = |e: std::io::Error| Error::io("init's channel", "poll", &e);
    let both = [Interest::read(channel.as_fd(), true), Interest::read(process.as_fd(), true)];
    let ready = signal::wait(&both, -1).map_err(failed)?;
    // The process has ended; a report that it sent before is readable now.
    if !ready[0] && !signal::wait(&both[..1], 0).map_err(failed)?[0] {
        return Ok(InitMessage::Closed);
    }
    listen(channel)
}

/// Return the report that init has sent meanwhile, without waiting; `None` if init lives and has
/// sent none.
pub fn pending_message(channel: &UnixStream) -> Option<InitMessage> {
    channel.set_nonblocking(true).ok()?;
    listen(channel).ok()
}

/// Let init go on.
///
/// # Errors
/// As [`send`].
pub fn go_on(channel: &UnixStream) -> Result<()> {
    send(channel, &[1])
}

/// Send bytes, such as the plan. If init has closed the channel, this succeeds, and the next
/// [`listen`] returns [`InitMessage::Closed`].
///
/// # Errors
/// write(2) fails, other than with EPIPE.
pub fn send(channel: &UnixStream, bytes: &[u8]) -> Result<()> {
    match (&mut &*channel).write_all(bytes) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|e| Error::io("init's channel", "write", &e)),
    }
}

#[cfg(test)]
#[path = "channel_test.rs"]
mod tests;
