//! `tmpcopyup`: copy the files that the image has below a mount point into the new tmpfs.
//!
//! Init sends both as descriptors: the tmpfs, which is not attached yet, and the directory, which
//! init resolved inside the rootfs with the mounts made so far. Every path is resolved below these
//! descriptors, and no symbolic link is followed.
//!
//! A tmpfs of a user namespace can hold only owners that are mapped there. A file of another owner
//! belongs to nobody in the copy, and is copied only if the container's root may read it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::answers::maps;
use crate::errno::ErrnoName;
use crate::error::{Error, Result};
use crate::spec::IdMapping;
use crate::sys::user::{self, FilesAs};
use crate::sys::{copy, file};

/// Directories deeper than this are not copied: there is a loop, or an attack.
const DEEPEST: usize = 128;

/// The id of nobody in a user namespace, the default of /proc/sys/kernel/overflowuid.
const NOBODY: u32 = 65_534;

/// Copy the content of `image` into `tmpfs`, which was made in the user namespace of process `pid`.
///
/// # Errors
/// A file cannot be read or copied, or directories are too deep. The error has the errno, but not
/// the call.
pub fn copy_up(image: &OwnedFd, tmpfs: &OwnedFd, pid: i32) -> Result<()> {
    let failed = |call| move |e: io::Error| Error::io("tmpcopyup", call, &e);
    let from = copy::readable(image).map_err(failed("openat2"))?;
    // The descriptor of fsmount(2) is an O_PATH one, so open the directory.
    let to = copy::readable(tmpfs).map_err(failed("openat2"))?;
    let owners = Owners { uids: maps::read(pid, "uid_map")?, gids: maps::read(pid, "gid_map")? };
    let copied = || {
        directory(&owners, &from, &to, DEEPEST)?;
        // The mount option `mode` sets the mode of the root directory.
        copy::set_owner(to.as_fd(), c"", owners.of(&file::stat(&from)?, owners.root()))
    };
    copied().map_err(|e: io::Error| match e.raw_os_error() {
        Some(errno) => Error::new(format!("tmpcopyup: {}", ErrnoName(errno))),
        None => Error::new(format!("tmpcopyup: {e}")),
    })
}

/// The ids that the tmpfs can have.
struct Owners {
    uids: Vec<IdMapping>,
    gids: Vec<IdMapping>,
}

fn is_mapped(map: &[IdMapping], host_id: u32) -> bool {
    map.iter().any(|m| host_id.checked_sub(m.host_id).is_some_and(|offset| offset < m.size))
}

/// Return the host's id of an id in the user namespace.
fn on_host(map: &[IdMapping], id: u32) -> Option<u32> {
    let inside = |m: &&IdMapping| id.checked_sub(m.container_id).is_some_and(|it| it < m.size);
    map.iter().find(inside).map(|m| m.host_id + (id - m.container_id))
}

impl Owners {
    /// The container's root, who makes the files.
    fn root(&self) -> (u32, u32) {
        let id = |map: &[IdMapping], own| on_host(map, 0).unwrap_or(own);
        (id(&self.uids, user::effective_uid()), id(&self.gids, user::effective_gid()))
    }

    /// Make files as the container's root, if its ids are not ours.
    fn make(&self) -> io::Result<Option<FilesAs>> {
        let (uid, gid) = self.root();
        let own = (uid, gid) == (user::effective_uid(), user::effective_gid());
        (!own).then(|| user::files_as(uid, gid)).transpose()
    }

    /// Return the owner of the copy: that of the original, or the given one if it is not mapped.
    fn of(&self, status: &libc::stat, (uid, gid): (u32, u32)) -> (u32, u32) {
        let id = |map: &[IdMapping], id, other| if is_mapped(map, id) { id } else { other };
        (id(&self.uids, status.st_uid, uid), id(&self.gids, status.st_gid, gid))
    }

    /// Return nobody's ids on the host, or the container's root where nobody is not mapped either.
    fn nobody(&self) -> (u32, u32) {
        let (uid, gid) = self.root();
        let id = |map: &[IdMapping], root| on_host(map, NOBODY).unwrap_or(root);
        (id(&self.uids, uid), id(&self.gids, gid))
    }

    /// Fail with EACCES if the owner is not mapped and the mode does not let the container's root
    /// read the file: its capabilities cover only files of mapped ids.
    fn read(&self, status: &libc::stat) -> io::Result<()> {
        if is_mapped(&self.uids, status.st_uid) && is_mapped(&self.gids, status.st_gid) {
            return Ok(());
        }
        let class = match self.root() {
            (uid, _) if uid == status.st_uid => 6,
            (_, gid) if gid == status.st_gid => 3,
            _ => 0,
        };
        let wanted = if status.st_mode & libc::S_IFMT == libc::S_IFDIR { 0o5 } else { 0o4 };
        match status.st_mode >> class & wanted == wanted {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EACCES)),
        }
    }
}

fn directory(owners: &Owners, from: &OwnedFd, to: &OwnedFd, left: usize) -> io::Result<()> {
    if left == 0 {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    owners.read(&file::stat(from)?)?;
    for name in copy::names(from)? {
        entry(owners, from, to, &name, left)?;
    }
    Ok(())
}

fn entry(
    owners: &Owners,
    from: &OwnedFd,
    to: &OwnedFd,
    name: &CString,
    left: usize,
) -> io::Result<()> {
    let status = copy::status(from.as_fd(), name)?;
    let (from, to) = (from.as_fd(), to.as_fd());
    match status.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {
            let made = owners.make()?;
            copy::make_directory(to, name)?;
            drop(made);
            let inner = copy::open_directory(from, name)?;
            directory(owners, &inner, &copy::open_directory(to, name)?, left - 1)?;
        }
        libc::S_IFREG => {
            let source = copy::open_regular(from, name)?;
            owners.read(&file::stat(&source)?)?;
            let _made = owners.make()?;
            copy::regular(source, to, name)?;
        }
        libc::S_IFLNK => {
            let _made = owners.make()?;
            copy::link(from, to, name)?;
        }
        _ => {
            let _made = owners.make()?;
            copy::node(to, name, &status)?;
        }
    }
    copy::set_owner_and_mode(to, name, owners.of(&status, owners.nobody()), &status)
}
