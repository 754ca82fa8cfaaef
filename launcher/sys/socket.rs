//! Unix sockets: pairs, listening by descriptor of a directory, messages with descriptors.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::check;

/// Bind and listen at `name` below a directory, however long the directory's path is.
pub fn listen(directory: &OwnedFd, name: &str) -> io::Result<UnixListener> {
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Connect to `name` below a directory, however long the directory's path is.
pub fn connect(directory: &OwnedFd, name: &str) -> io::Result<UnixStream> {
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Connect to a path, however long it is: by a descriptor of its directory.
pub fn connect_path(path: &Path) -> io::Result<UnixStream> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return UnixStream::connect(path);
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let directory = super::file::open_path(directory)?;
    let fd = directory.as_raw_fd();
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{fd}")).join(name))
}

/// Read at most `into.len()` bytes, and a descriptor if one comes along.
pub fn receive(from: &UnixStream, into: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = [0u64; 8];
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let got = loop {
        let flags = libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the message refers to `into` and `control`, which live over the call.
        let result = unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut message, flags) };
        match check(result as i64) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => break result? as usize,
        }
    };
    // SAFETY: the kernel has filled `control` for as long as `msg_controllen` says.
    let fd = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let rights = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS;
        rights.then(|| OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<i32>().read_unaligned()))
    };
    Ok((got, fd))
}

/// Send bytes with one descriptor.
pub fn send(to: &UnixStream, bytes: &[u8], fd: &OwnedFd) -> io::Result<()> {
    let mut control = [0u64; 8];
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: `control` has room for one header and one descriptor.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd.as_raw_fd());
    }
    // SAFETY: the message refers to `bytes` and `control`, which live over the call.
    let result = unsafe { libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    check(result as i64).map(drop)
}
