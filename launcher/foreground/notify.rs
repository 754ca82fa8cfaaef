//! sd_notify(3) from a container: listen on a socket in a directory that the container sees, and
//! pass the messages on to the service manager's socket.
//!
//! Knows which fields may be passed on. Pids mean nothing outside the container, the manager could
//! keep a stored descriptor for ever, and NOTIFYACCESS could widen access, so fields with these are
//! dropped. The descriptor of a barrier is passed on.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::compile::activation::NOTIFY_SOCKET;
use crate::error::{Error, Result};
use crate::state::{Directory, NOTIFY};
use crate::sys::signal::{self, Interest};
use crate::sys::{file, memory, message};
use crate::{log, sys};

/// The longest message that a manager reads: systemd's NOTIFY_BUFFER_MAX, in bytes.
const LARGEST: usize = 4096;

/// How long a send may block on the manager's full queue before the message is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the manager may take to answer the barrier, in milliseconds (as in runc).
const BARRIER_MS: i32 = 30_000;

/// The fields that mean the same inside and outside the container.
const FIELDS: [&str; 11] = [
    "READY",
    "STATUS",
    "RELOADING",
    "MONOTONIC_USEC",
    "STOPPING",
    "ERRNO",
    "BUSERROR",
    "EXIT_STATUS",
    "WATCHDOG",
    "WATCHDOG_USEC",
    "EXTEND_TIMEOUT_USEC",
];

/// The socket that the container sends to, and the one connected to the service manager.
pub struct Notify {
    inside: UnixDatagram,
    outside: UnixDatagram,
}

/// Make the directory that the container will see.
///
/// # Errors
/// mkdir(2) fails, other than with EEXIST.
pub fn make_directory(directory: &Directory) -> Result<()> {
    let path = directory.path().join(NOTIFY);
    // Mode 0755 lets every user of the container in; on the host, the state directory above it has
    // mode 0700.
    match DirBuilder::new().mode(0o755).create(&path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(|e| Error::io(path.display(), "mkdir", &e)),
    }
}

/// Connect to the service manager's socket `to`.
fn connect(to: &Path) -> Result<UnixDatagram> {
    let failed =
        |call| move |e: std::io::Error| Error::io(format!("NOTIFY_SOCKET {to:?}"), call, &e);
    let socket = UnixDatagram::unbound().map_err(failed("socket"))?;
    let bytes = to.as_os_str().as_bytes();
    let result = match bytes.first() {
        Some(b'@') => SocketAddr::from_abstract_name(&bytes[1..])
            .and_then(|address| socket.connect_addr(&address)),
        Some(b'/') => by_directory(to).and_then(|(_held, path)| socket.connect(path)),
        _ => {
            let text = format!("NOTIFY_SOCKET {to:?}: expected an absolute path, or @ and a name");
            return Err(Error::new(text).hint("unset it, if no service manager is to be told"));
        }
    };
    result.map_err(|e| {
        failed("connect")(e).hint("the service manager must listen there; or unset NOTIFY_SOCKET")
    })?;
    socket.set_write_timeout(Some(PATIENCE)).map_err(failed("setsockopt"))?;
    Ok(socket)
}

/// Return a path that is short enough for a socket's address, by a descriptor of its directory. The
/// path is valid while that descriptor is open.
fn by_directory(path: &Path) -> std::io::Result<(OwnedFd, PathBuf)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let held = file::open_path(parent)?;
    let short = Path::new(&format!("/proc/self/fd/{}", held.as_raw_fd())).join(name);
    Ok((held, short))
}

impl Notify {
    /// Bind the container's notification socket, in place of one that an earlier launcher bound.
    ///
    /// # Errors
    /// The manager cannot be connected, or the socket cannot be made.
    pub fn bind(directory: &Directory, to: &Path) -> Result<Notify> {
        let outside = connect(to)?;
        let path = directory.path().join(NOTIFY).join(NOTIFY_SOCKET);
        let failed = |call| {
            let path = path.display().to_string();
            move |e: std::io::Error| Error::io(path, call, &e)
        };
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed("unlink")(e)),
            _ => {}
        }
        let (_held, short) = by_directory(&path).map_err(failed("open"))?;
        let inside = UnixDatagram::bind(&short).map_err(failed("bind"))?;
        // The program may run as any user.
        std::fs::set_permissions(&short, Permissions::from_mode(0o777)).map_err(failed("chmod"))?;
        Ok(Notify { inside, outside })
    }

    /// Return the socket that the container sends to, to poll it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }

    /// Pass on all messages that the container has sent by now. With `main`, stop at READY=1, pass
    /// on `main` as MAINPID with it, and return true.
    ///
    /// # Errors
    /// recvmsg(2) or sendmsg(2) fails.
    pub fn pass_on(&self, main: Option<i32>) -> Result<bool> {
        let mut bytes = [0; LARGEST];
        loop {
            let message = match message::receive(&self.inside, &mut bytes, false) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                result => result.map_err(|e| Error::io("NOTIFY_SOCKET", "recvmsg", &e))?,
            };
            if message.truncated {
                log::warning("a notification of the container is longer than 4096 bytes: dropped");
                continue;
            }
            let text = &bytes[..message.length];
            if text.trim_ascii_end() == b"BARRIER=1" {
                // The sender waits until every copy of the descriptor is closed, the manager's too.
                self.tell(b"BARRIER=1", message.descriptors.first().map(AsFd::as_fd))?;
                continue;
            }
            let (mut told, ready) = allowed(text);
            if let Some(pid) = main.filter(|_| ready) {
                told.extend_from_slice(format!("MAINPID={pid}\n").as_bytes());
            }
            if !told.is_empty() {
                self.tell(&told, None)?;
            }
            if ready && main.is_some() {
                return Ok(true);
            }
        }
    }

    /// Pass on all messages, and only log a failure: a lost message is no reason to end the wait.
    pub fn keep_passing_on(&self) {
        if let Err(e) = self.pass_on(None) {
            log::debug(|| e.line().to_owned());
        }
    }

    /// Pass on messages until the program is ready or has ended.
    ///
    /// # Errors
    /// As [`Notify::pass_on`], or poll(2) fails.
    pub fn until_ready(&self, pid: i32, process: &OwnedFd) -> Result<()> {
        loop {
            let both = [Interest::read(self.fd(), true), Interest::read(process.as_fd(), true)];
            let ended =
                signal::wait(&both, -1).map_err(|e| Error::io("NOTIFY_SOCKET", "poll", &e))?[1];
            if self.pass_on(Some(pid))? {
                return self.barrier();
            }
            if ended {
                return Ok(());
            }
            memory::stay();
        }
    }

    /// Wait until the manager has processed our messages: it attributes a message to a unit by the
    /// sender's pid, so this process must live until then.
    fn barrier(&self) -> Result<()> {
        let failed = |call| move |e: std::io::Error| Error::io("NOTIFY_SOCKET", call, &e);
        let (reader, writer) = std::io::pipe().map_err(failed("pipe"))?;
        self.tell(b"BARRIER=1", Some(writer.as_fd()))?;
        drop(writer);
        let end = [Interest::read(reader.as_fd(), true)];
        if !signal::wait(&end, BARRIER_MS).map_err(failed("poll"))?[0] {
            log::warning("NOTIFY_SOCKET: the service manager has not answered for 30 s");
        }
        Ok(())
    }

    fn tell(&self, bytes: &[u8], along: Option<BorrowedFd<'_>>) -> Result<()> {
        message::send(&self.outside, bytes, along)
            .map_err(|e| Error::io("NOTIFY_SOCKET", "sendmsg", &e))
    }
}

/// Return the lines of a message that may be passed on, and whether they contain READY=1.
fn allowed(text: &[u8]) -> (Vec<u8>, bool) {
    let (mut told, mut ready) = (Vec::new(), false);
    for line in text.split(|byte| *byte == b'\n') {
        let field = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        if line.contains(&b'=') && FIELDS.iter().any(|known| known.as_bytes() == field) {
            ready |= line == b"READY=1";
            told.extend_from_slice(line);
            told.push(b'\n');
        }
    }
    (told, ready)
}

/// Open the process whose end ends [`Notify::until_ready`].
///
/// # Errors
/// There is no such process.
pub fn process(pid: i32) -> Result<OwnedFd> {
    sys::process::pidfd_open(pid).map_err(|e| Error::io(format!("pid {pid}"), "pidfd_open", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_state_that_concerns_the_caller_is_passed_on() {
        let (passed, ready) =
            allowed(b"STATUS=a=b\nMAINPID=7\nREADY=1\nFDSTORE=1\nNOTIFYACCESS=all");
        assert_eq!(String::from_utf8_lossy(&passed), "STATUS=a=b\nREADY=1\n");
        assert!(ready);
        assert_eq!(allowed(b"READY=0\nREADY\nX_READY=1"), (b"READY=0\n".to_vec(), false));
    }

    #[test]
    fn no_notification_causes_a_panic() {
        tiny_ce_test::fuzz("notify", &["test/fuzz/notify"], |bytes| {
            let (passed, _) = allowed(bytes);
            assert!(passed.len() <= bytes.len() + 1);
        });
    }
}
