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

fn set(tty: BorrowedFd<'_>, settings: &libc::termios) -> io::Result<()> {
    // SAFETY: the structure is only read.
    check(unsafe { libc::tcsetattr(tty.as_raw_fd(), libc::TCSADRAIN, settings) }.into()).map(drop)
}

/// Hand every byte on as it is, termios(3); gives what has to be restored.
pub fn make_raw(tty: BorrowedFd<'_>) -> io::Result<Settings> {
    let before = get(tty)?;
    let mut raw = before;
    // SAFETY: the structure is filled, and only its flags change.
    unsafe { libc::cfmakeraw(&mut raw) };
    // A line feed of the container's already comes with its carriage return.
    raw.c_oflag |= libc::OPOST;
    raw.c_oflag &= !libc::ONLCR;
    set(tty, &raw)?;
    Ok(Settings(before))
}

/// As it was.
pub fn restore(tty: BorrowedFd<'_>, settings: &Settings) -> io::Result<()> {
    set(tty, &settings.0)
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
