//! Start init: make its program, and clone a process that runs it, with a channel to this process.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use tiny_ce_init::NAME;

use crate::compile::activation::Preserved;
use crate::error::{Error, Result};
use crate::state::Directory;
use crate::sys::file;
use crate::sys::process::{self, Child, Clone, Exit, MOST_DESCRIPTORS};

/// The executable of init, which build.rs built.
static INIT: &[u8] = include_bytes!(env!("TINY_CE_INIT"));
/// The one of `--analyze`, which stamps each step.
static ANALYZE: &[u8] = include_bytes!(env!("TINY_CE_INIT_ANALYZE"));

/// Make init's program: a sealed memfd; where executable memfds are forbidden, an unlinked file in
/// the state directory.
///
/// # Errors
/// The memfd, or the file in its place, cannot be made.
pub fn program(directory: &Directory) -> Result<OwnedFd> {
    executable(directory, INIT)
}

/// As [`program`], the init that stamps each step. Before its plan it waits for the memory for its
/// stamps ([`crate::analysis::Recorder::share`]).
///
/// # Errors
/// As [`program`].
pub fn analyzing_program(directory: &Directory) -> Result<OwnedFd> {
    executable(directory, ANALYZE)
}

fn executable(directory: &Directory, bytes: &[u8]) -> Result<OwnedFd> {
    match file::sealed_executable(NAME, bytes) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => {
            let path = directory.path().join(".init");
            let failed = |call| {
                let place = path.display().to_string();
                move |e: io::Error| Error::io(place, call, &e)
            };
            directory.put("init", bytes)?;
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

/// The number that stands for init's end of the channel in the list of init's descriptors.
const CHANNEL: RawFd = -1;

/// List the descriptors that init gets after its channel: those that its plan preloads, and the
/// caller's that the program inherits. In place of a hole init gets its channel again, so that none
/// of its other descriptors takes that number; the plan closes the copy.
///
/// # Errors
/// There are more descriptors than `MOST_DESCRIPTORS`.
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

/// Start init with a channel to it, which is the first of its descriptors. Init then waits for its
/// plan ([`super::channel::send`]).
///
/// # Errors
/// A system call fails, which the error names.
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

/// Kill and reap a child; return how it ended, which may have been before.
pub fn kill(child: &Child) -> Option<Exit> {
    let _ = process::kill(&child.pidfd, libc::SIGKILL);
    process::wait(&child.pidfd, false).ok().flatten()
}
