//! Terminals: raw mode, window size, non-blocking copies.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// What a terminal was before it was made raw.
pub struct Settings(libc::termios);

fn get(tty: BorrowedFd<'_>) -> io::Result<libc::termios> {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the call fills the structure whole when it answers 0.
    check(unsafe { libc::tcgetattr(tty.as_raw_fd(), settings.as_mut_ptr()) }.into())?;
    // SAFETY: it has answered 0.
    Ok(unsafe { settings.assume_init() })
}

fn set(tty: BorrowedFd<'_>, when: i32, settings: &libc::termios) -> io::Result<()> {
    // SAFETY: the structure is only read.
    check(unsafe { libc::tcsetattr(tty.as_raw_fd(), when, settings) }.into()).map(drop)
}

/// Hand every byte on as it is, termios(3), except that a line feed written to the terminal still
/// gets its carriage return (ONLCR) if it did before. Gives what has to be restored.
pub fn make_raw(tty: BorrowedFd<'_>) -> io::Result<Settings> {
    let before = get(tty)?;
    let mut raw = before;
    // SAFETY: the structure is filled, and only its flags change.
    unsafe { libc::cfmakeraw(&mut raw) };
    raw.c_oflag |= libc::OPOST;
    set(tty, libc::TCSADRAIN, &raw)?;
    Ok(Settings(before))
}

/// As it was.
pub fn restore(tty: BorrowedFd<'_>, settings: &Settings) -> io::Result<()> {
    set(tty, libc::TCSADRAIN, &settings.0)
}

/// Hand line feeds written to the terminal on without a carriage return (clear ONLCR): what reads
/// the master is a pipe or a file, or a terminal that adds the carriage return itself.
pub fn keep_line_feeds(master: BorrowedFd<'_>) -> io::Result<()> {
    let mut settings = get(master)?;
    settings.c_oflag &= !libc::ONLCR;
    set(master, libc::TCSANOW, &settings)
}

/// The byte that ends the input of a terminal that collects lines (VEOF); `None` if the terminal
/// hands on each byte as it comes. A master answers for its slave.
pub fn end_of_input(master: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let settings = get(master)?;
    let lines = settings.c_lflag & libc::ICANON != 0;
    Ok(lines.then(|| settings.c_cc[libc::VEOF]))
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
    let mut size = std::mem::MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: the first call fills the structure, or the second is not made.
    unsafe {
        check(libc::ioctl(from.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()).into())?;
        check(libc::ioctl(to.as_raw_fd(), libc::TIOCSWINSZ, size.as_ptr()).into())?;
    }
    Ok(())
}

/// read(2).
pub fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most as many bytes as `into` has.
    let got = unsafe { libc::read(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) };
    check(got as i64).map(|got| got as usize)
}

/// write(2).
pub fn write(fd: BorrowedFd<'_>, from: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most as many bytes as `from` has.
    let put = unsafe { libc::write(fd.as_raw_fd(), from.as_ptr().cast(), from.len()) };
    check(put as i64).map(|put| put as usize)
}

/// O_NONBLOCK on or off; it is the open file's, and so everybody's who shares it.
pub fn set_blocking(fd: BorrowedFd<'_>, blocking: bool) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }.into())? as i32;
    let wanted = if blocking { flags & !libc::O_NONBLOCK } else { flags | libc::O_NONBLOCK };
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, wanted) }.into()).map(drop)
}
