//! Unix stream sockets: bound and connected by the descriptor of a directory, since a socket's
//! address has room for 107 bytes of path (unix(7)); messages with one descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// bind(2) and listen(2) at `name` below a directory, whose path may be long.
pub fn listen(directory: &OwnedFd, name: &str) -> io::Result<UnixListener> {
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// connect(2) to `name` below a directory, whose path may be long.
pub fn connect(directory: &OwnedFd, name: &str) -> io::Result<UnixStream> {
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// connect(2) to a path by a descriptor of its directory, whose path may be long.
pub fn connect_path(path: &Path) -> io::Result<UnixStream> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return UnixStream::connect(path);
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let directory = super::file::open_path(directory)?;
    let fd = directory.as_raw_fd();
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{fd}")).join(name))
}

/// recvmsg(2): receive at most `into.len()` bytes, and the first descriptor that they carry.
pub fn receive(from: &UnixStream, into: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let message = super::message::receive(from, into, true)?;
    Ok((message.length, message.descriptors.into_iter().next()))
}

/// sendmsg(2): send bytes with one descriptor.
pub fn send(to: &UnixStream, bytes: &[u8], fd: &OwnedFd) -> io::Result<()> {
    super::message::send(to, bytes, Some(fd.as_fd()))
}
