//! Unix sockets: pairs, listening by descriptor of a directory, messages with descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

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
    let message = super::message::receive(from, into, true)?;
    Ok((message.length, message.descriptors.into_iter().next()))
}

/// Send bytes with one descriptor.
pub fn send(to: &UnixStream, bytes: &[u8], fd: &OwnedFd) -> io::Result<()> {
    super::message::send(to, bytes, Some(fd.as_fd()))
}
