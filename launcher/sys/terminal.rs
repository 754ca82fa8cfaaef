//! Terminals: raw mode, window size, non-blocking copies.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize,
    tcsetattr, tcsetwinsize,
};

use super::check;

/// What a terminal was before it was made raw.
pub struct Settings(Termios);

/// Hand every byte on as it is, termios(3), except that a line feed written to the terminal still
/// gets its carriage return (ONLCR) if it did before. Gives what has to be restored.
pub fn make_raw(tty: BorrowedFd<'_>) -> io::Result<Settings> {
    let before = tcgetattr(tty)?;
    let mut raw = before.clone();
    raw.make_raw();
    raw.output_modes |= OutputModes::OPOST;
    tcsetattr(tty, OptionalActions::Drain, &raw)?;
    Ok(Settings(before))
}

/// As it was.
pub fn restore(tty: BorrowedFd<'_>, settings: &Settings) -> io::Result<()> {
    Ok(tcsetattr(tty, OptionalActions::Drain, &settings.0)?)
}

/// Hand line feeds written to the terminal on without a carriage return (clear ONLCR): what reads
/// the master is a pipe or a file, or a terminal that adds the carriage return itself.
pub fn keep_line_feeds(master: BorrowedFd<'_>) -> io::Result<()> {
    let mut settings = tcgetattr(master)?;
    settings.output_modes -= OutputModes::ONLCR;
    Ok(tcsetattr(master, OptionalActions::Now, &settings)?)
}

/// The byte that ends the input of a terminal that collects lines (VEOF); `None` if the terminal
/// hands on each byte as it comes. A master answers for its slave.
pub fn end_of_input(master: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let settings = tcgetattr(master)?;
    let lines = settings.local_modes.contains(LocalModes::ICANON);
    Ok(lines.then(|| settings.special_codes[SpecialCodeIndex::VEOF]))
}

/// Whether the slave of `master` has input that no process has read yet, be it an end of input.
pub fn has_unread(master: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call takes the flags as a number, no pointer.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let slave = super::file::owned(slave.into())?;
    let mut entry = libc::pollfd { fd: slave.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, as the count says.
    check(unsafe { libc::poll(&mut entry, 1, 0) }.into())?;
    Ok(entry.revents & libc::POLLIN != 0)
}

/// Give `to` the window size of `from`.
pub fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    Ok(tcsetwinsize(to, tcgetwinsize(from)?)?)
}

/// read(2).
pub fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, into)?)
}

/// write(2).
pub fn write(fd: BorrowedFd<'_>, from: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, from)?)
}

/// O_NONBLOCK on or off; it is the open file's, and so everybody's who shares it.
pub fn set_blocking(fd: BorrowedFd<'_>, blocking: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, !blocking);
    Ok(fcntl_setfl(fd, flags)?)
}
