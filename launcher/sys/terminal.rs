//! Terminals: raw mode, window size, end of input, reads and writes that do not block.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, Winsize, tcgetattr,
    tcgetwinsize, tcsetattr, tcsetwinsize,
};

use super::check;

/// The settings of a terminal before it was made raw.
pub struct Settings(Termios);

/// Make a terminal raw, termios(3): it passes every byte on unchanged, but still adds a carriage
/// return to a line feed that is written to it (ONLCR) if it did before. Return the settings to
/// restore.
pub fn make_raw(tty: BorrowedFd<'_>) -> io::Result<Settings> {
    let before = tcgetattr(tty)?;
    let mut raw = before.clone();
    raw.make_raw();
    raw.output_modes |= OutputModes::OPOST;
    tcsetattr(tty, OptionalActions::Drain, &raw)?;
    Ok(Settings(before))
}

/// Restore the settings from before [`make_raw`], tcsetattr(3).
pub fn restore(tty: BorrowedFd<'_>, settings: &Settings) -> io::Result<()> {
    Ok(tcsetattr(tty, OptionalActions::Drain, &settings.0)?)
}

/// Clear ONLCR with tcsetattr(3), so that line feeds get no carriage return: the output of the
/// master goes to a pipe or a file, or to a terminal that adds the carriage return itself.
pub fn keep_line_feeds(master: BorrowedFd<'_>) -> io::Result<()> {
    let mut settings = tcgetattr(master)?;
    settings.output_modes -= OutputModes::ONLCR;
    Ok(tcsetattr(master, OptionalActions::Now, &settings)?)
}

/// The byte that ends the input of a terminal in canonical mode (VEOF); `None` in another mode.
/// tcgetattr(3) of a master returns the settings of its slave.
pub fn end_of_input(master: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let settings = tcgetattr(master)?;
    let lines = settings.local_modes.contains(LocalModes::ICANON);
    Ok(lines.then(|| settings.special_codes[SpecialCodeIndex::VEOF]))
}

/// Whether the slave of `master` has input, or an end of input, that no process has read yet:
/// TIOCGPTPEER of ioctl_tty(2), poll(2).
pub fn has_unread(master: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the argument is a number, no pointer.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let slave = super::file::owned(slave.into())?;
    let mut entry = libc::pollfd { fd: slave.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `entry` is one writable pollfd.
    check(unsafe { libc::poll(&mut entry, 1, 0) }.into())?;
    Ok(entry.revents & libc::POLLIN != 0)
}

/// Give `to` the window size of `from`: TIOCGWINSZ and TIOCSWINSZ of ioctl_tty(2).
pub fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    Ok(tcsetwinsize(to, tcgetwinsize(from)?)?)
}

/// Give a terminal a window size: TIOCSWINSZ of ioctl_tty(2).
pub fn set_size(tty: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(tty, size)?)
}

/// The window size of a terminal, in rows and columns: TIOCGWINSZ of ioctl_tty(2).
pub fn size(tty: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let size = tcgetwinsize(tty)?;
    Ok((size.ws_row, size.ws_col))
}

/// read(2).
pub fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, into)?)
}

/// write(2).
pub fn write(fd: BorrowedFd<'_>, from: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, from)?)
}

/// Clear or set O_NONBLOCK, fcntl(2). Every process that shares the open file description shares
/// the flag.
pub fn set_blocking(fd: BorrowedFd<'_>, blocking: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, !blocking);
    Ok(fcntl_setfl(fd, flags)?)
}
