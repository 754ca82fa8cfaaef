//! How init is started: its program, and a process of it with a channel to this one.

use std::ffi::CStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use crate::compile::activation::Preserved;
use crate::error::{Error, Result};
use crate::state::Directory;
use crate::sys::file;
use crate::sys::process::{self, Child, Clone, Exit, MOST_DESCRIPTORS};

/// Init, as build.rs built it.
static INIT: &[u8] = include_bytes!(env!("TINY_CE_INIT"));

/// The name of init's program.
pub const NAME: &CStr = c"tiny-ce-init";

/// Init's program: a sealed memfd; where executable memfds are forbidden, an unlinked file.
pub fn program(directory: &Directory) -> Result<OwnedFd> {
    match file::sealed_executable(NAME, INIT) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => {
            let path = directory.path().join(".init");
            let failed = |call| {
                let place = path.display().to_string();
                move |e: io::Error| Error::io(place, call, &e)
            };
            directory.put("init", INIT)?;
            let made = directory.path().join("init");
            std::fs::set_permissions(&made, Permissions::from_mode(0o500))
                .map_err(failed("chmod"))?;
            let file = File::open(&made).map_err(failed("open"))?;
            directory.unlink("init")?;
            Ok(file.into())
        }
        result => result.map_err(|e| Error::io("init's program", "memfd_create", &e)),
    }
}

/// Stands for init's own end of the channel among the descriptors that it is given.
const CHANNEL: RawFd = -1;

/// The descriptors that init finds behind its channel: what its plan preloads, and the caller's
/// that the program inherits. At a hole init finds its channel once more, so that nothing else of
/// it comes to lie there; the plan closes it again.
pub fn descriptors(opened: &[OwnedFd], preserved: &Preserved) -> Result<Vec<RawFd>> {
    let count = preserved.count;
    if 1 + opened.len() + count as usize > MOST_DESCRIPTORS {
        return Err(Error::new(format!("--preserve-fds {count}: more than can be handed on")));
    }
    let inherited = (3..3 + count).map(|fd| match preserved.holes.contains(&fd) {
        true => CHANNEL,
        false => fd as RawFd,
    });
    Ok(opened.iter().map(AsRawFd::as_raw_fd).chain(inherited).collect())
}

/// Start init with a channel to it, which is the first of its descriptors; it waits for its plan
/// ([`super::channel::send`]).
///
/// The error names the call that failed.
pub fn start(
    clone: &Clone<'_>,
) -> std::result::Result<(Child, UnixStream), (&'static str, io::Error)> {
    let (ours, theirs) = UnixStream::pair().map_err(|e| ("socketpair", e))?;
    let channel = theirs.as_raw_fd();
    let others = clone.descriptors.iter().map(|fd| if *fd == CHANNEL { channel } else { *fd });
    let descriptors: Vec<RawFd> = std::iter::once(channel).chain(others).collect();
    let child = process::clone_exec(&Clone { descriptors: &descriptors, ..*clone })?;
    Ok((child, ours))
}

/// Kill a process that is not needed any more, and reap it; how it ended.
pub fn kill(child: &Child) -> Option<Exit> {
    let _ = process::kill(&child.pidfd, libc::SIGKILL);
    process::wait(&child.pidfd, false).ok().flatten()
}
