//! sd_notify(3) across the container's border: a socket of ours in a directory that the container
//! sees, and what is said there told to the service manager's.
//!
//! Knows what may be passed on. Pids are the container's own, descriptors could be stored for ever
//! and access could be widened, so nothing of that kind is; a barrier's descriptor is.

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

/// What a manager reads at most: systemd's NOTIFY_BUFFER_MAX, in bytes.
const LARGEST: usize = 4096;

/// How long a manager may take to read what is in its queue before a message is given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it may take to have dealt with the last message (runc's), in milliseconds.
const BARRIER_MS: i32 = 30_000;

/// Fields that mean the same on both sides of the border.
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

/// Between the container and the service manager.
pub struct Notify {
    inside: UnixDatagram,
    outside: UnixDatagram,
}

/// Make the directory that the container will see.
pub fn make_directory(directory: &Directory) -> Result<()> {
    let path = directory.path().join(NOTIFY);
    // The state directory above it is for its owner alone.
    match DirBuilder::new().mode(0o755).create(&path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(|e| Error::io(path.display(), "mkdir", &e)),
    }
}

/// Connect to the service manager; what is at the end of `NOTIFY_SOCKET` must listen.
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

/// A path that is short enough for a socket, as long as the descriptor of its directory is held.
fn by_directory(path: &Path) -> std::io::Result<(OwnedFd, PathBuf)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let held = file::open_path(parent)?;
    let short = Path::new(&format!("/proc/self/fd/{}", held.as_raw_fd())).join(name);
    Ok((held, short))
}

impl Notify {
    /// Listen where the container speaks, in place of whoever did before.
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
        // Whoever the program runs as.
        std::fs::set_permissions(&short, Permissions::from_mode(0o777)).map_err(failed("chmod"))?;
        Ok(Notify { inside, outside })
    }

    /// Ready to be read when the container has said something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }

    /// Tell the manager all that the container has said by now; whether it is ready.
    ///
    /// With `main`, that is the pid of the service from then on.
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
                // Whoever waits for it waits until the manager has closed it, too.
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

    /// As long as this process lives, which is what the manager knows: a lost word is no reason to
    /// stop.
    pub fn keep_passing_on(&self) {
        if let Err(e) = self.pass_on(None) {
            log::debug(|| e.line().to_owned());
        }
    }

    /// Pass everything on until the program says that it is ready, or has ended.
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

    /// Wait until the manager has dealt with what it was told: once this process is gone, it would
    /// not know any more whose words they were.
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

/// What of a message may be passed on, and whether it says that the program is ready.
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

/// The process whose end ends the wait.
pub fn process(pid: i32) -> Result<OwnedFd> {
    sys::process::pidfd_open(pid).map_err(|e| Error::io(format!("pid {pid}"), "pidfd_open", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_one_side_stays_there() {
        let (told, ready) = allowed(b"STATUS=a=b\nMAINPID=7\nREADY=1\nFDSTORE=1\nNOTIFYACCESS=all");
        assert_eq!(String::from_utf8_lossy(&told), "STATUS=a=b\nREADY=1\n");
        assert!(ready);
        assert_eq!(allowed(b"READY=0\nREADY\nX_READY=1"), (b"READY=0\n".to_vec(), false));
    }

    #[test]
    fn no_notification_breaks_it() {
        tiny_ce_test::fuzz("notify", &["test/fuzz/notify"], |bytes| {
            let (told, _) = allowed(bytes);
            assert!(told.len() <= bytes.len() + 1);
        });
    }
}
