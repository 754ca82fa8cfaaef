//! Network namespaces: a new one, a conversation inside one, and the names below
//! `/var/run/netns` that `ip netns` shows (ip-netns(8)).
//!
//! The calling thread never changes its namespace: work in another namespace runs in a thread of
//! its own, which then ends. Knows nothing of networks or containers.

use std::ffi::CString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::netlink::Conversation;
use crate::error::{Error, Result};
use crate::sys::{file, namespace, netns};

/// Where iproute2 keeps its named namespaces (NETNS_RUN_DIR).
const DIRECTORY: &str = "/var/run/netns";

/// Identifies a namespace for as long as it lives: device and inode of its file in nsfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceId {
    device: u64,
    inode: u64,
}

/// A network namespace that has no name yet.
pub struct Namespace {
    /// Keeps the namespace alive.
    pub file: OwnedFd,
    /// The namespace's identity.
    pub identity: NamespaceId,
    /// A conversation with rtnetlink inside the namespace.
    pub inside: Conversation,
}

/// Make a namespace. The kernel deletes it when the value is dropped, unless it was published or a
/// process joined it.
///
/// # Errors
/// unshare(2) fails, or rtnetlink cannot be opened inside.
pub fn create() -> Result<Namespace> {
    let place = "new network namespace";
    elsewhere(place, || {
        netns::unshare_network().map_err(|e| Error::io(place, "unshare", &e))?;
        let path = "/proc/thread-self/ns/net";
        let file = File::open(path).map_err(|e| Error::io(path, "open", &e))?;
        let identity = identity_of(&file, path)?;
        let inside = Conversation::open().map_err(|failure| failure.at(place))?;
        Ok(Namespace { file: file.into(), identity, inside })
    })
}

/// Open the namespace at `path`, if it is `identity`.
pub fn open(path: &Path, identity: NamespaceId) -> Option<File> {
    let file = File::open(path).ok()?;
    let found = file.metadata().ok()?;
    (NamespaceId { device: found.dev(), inode: found.ino() } == identity).then_some(file)
}

/// Open a conversation with the kernel inside `netns`; `place` names the namespace in an error.
///
/// # Errors
/// As [`within`], or rtnetlink cannot be opened inside.
pub fn enter(place: &str, netns: BorrowedFd<'_>) -> Result<Conversation> {
    within(place, netns, || Conversation::open().map_err(|failure| failure.at(place)))
}

/// Run `work` inside `netns`; `place` names the namespace in an error.
///
/// # Errors
/// `netns` is no network namespace, setns(2) fails, or `work` fails.
pub fn within<T: Send>(
    place: &str,
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    elsewhere(place, || {
        namespace::enter(netns, libc::CLONE_NEWNET as u32).map_err(|e| match e.raw_os_error() {
            Some(libc::EINVAL) => Error::new(format!("{place}: is not a network namespace")),
            _ => Error::io(place, "setns", &e),
        })?;
        work()
    })
}

/// Run `work` in a new thread, which may change its own namespaces.
///
/// # Errors
/// clone(2) fails, or `work` fails.
pub fn elsewhere<T: Send>(place: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(64 << 10) // a few calls deep
            .spawn_scoped(scope, work)
            .map_err(|e| Error::io(place, "clone", &e))?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The path under which a namespace is published as `name`.
pub fn path_of(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Refuse a name that is taken, before anything is recorded or made.
///
/// # Errors
/// The name is taken, or lstat(2) fails.
pub fn check_free(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(path.display(), "lstat", &e)),
        Ok(_) => Err(taken(path)),
    }
}

/// Give the namespace its name: a file, and the namespace mounted on it.
///
/// # Errors
/// The name is taken, or the directory, the file or its mount cannot be made.
pub fn publish(namespace: &Namespace, path: &Path) -> Result<()> {
    let _turn = share_directory()?;
    // O_EXCL and mode 0, as in `ip netns add`: no process can open the file instead of the mount.
    let placeholder = OpenOptions::new().write(true).create_new(true).mode(0o0).open(path);
    match placeholder {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(taken(path)),
        Err(e) => return Err(Error::io(path.display(), "open", &e)),
    }
    let source = format!("/proc/self/fd/{}", namespace.file.as_raw_fd());
    netns::bind(&c_path(Path::new(&source))?, &c_path(path)?)
        .map_err(|e| Error::io(path.display(), "mount", &e))
}

/// Remove the name, if its file is the namespace `identity` or has no namespace mounted on it yet.
/// Without an `identity` any namespace is removed.
///
/// # Errors
/// lstat(2), umount2(2) or unlink(2) fails.
pub fn withdraw(path: &Path, identity: Option<NamespaceId>) -> Result<()> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(path.display(), "lstat", &e)),
    };
    let found = NamespaceId { device: metadata.dev(), inode: metadata.ino() };
    let parent = path.parent().and_then(|dir| dir.symlink_metadata().ok());
    // A kill between the two calls of `publish` leaves the empty file, on the directory's device.
    let placeholder = metadata.is_file()
        && metadata.len() == 0
        && parent.is_some_and(|parent| parent.dev() == found.device);
    if !placeholder {
        if identity.is_some_and(|identity| identity != found) {
            return Ok(());
        }
        match netns::unmount(&c_path(path)?) {
            Ok(()) => {}
            // Nothing is mounted there, so the file is not ours; or another process is removing the
            // name now.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
                return Ok(());
            }
            Err(e) => return Err(Error::io(path.display(), "umount2", &e)),
        }
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path.display(), "unlink", &e)),
        _ => Ok(()),
    }
}

/// The directory exists and is a shared mount of its own, as iproute2 makes it: otherwise an
/// unmount would not reach the copies in other mount namespaces, which would keep the network
/// namespaces alive. The lock that is returned keeps `ip netns add` from doing the same meanwhile.
fn share_directory() -> Result<File> {
    let at = |call| move |e: io::Error| Error::io(DIRECTORY, call, &e);
    DirBuilder::new().recursive(true).mode(0o755).create(DIRECTORY).map_err(at("mkdir"))?;
    let directory = File::open(DIRECTORY).map_err(at("open"))?;
    file::lock(&directory, true).map_err(at("flock"))?;
    let path = c_path(Path::new(DIRECTORY))?;
    match netns::make_shared(&path) {
        Ok(()) => return Ok(directory),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {} // not a mount point yet
        Err(e) => return Err(at("mount")(e)),
    }
    netns::bind(&path, &path).map_err(at("mount"))?;
    netns::make_shared(&path).map_err(at("mount"))?;
    Ok(directory)
}

fn identity_of(file: &File, path: &str) -> Result<NamespaceId> {
    let metadata = file.metadata().map_err(|e| Error::io(path, "fstat", &e))?;
    Ok(NamespaceId { device: metadata.dev(), inode: metadata.ino() })
}

fn taken(path: &Path) -> Error {
    let name = path.file_name().unwrap_or_default().display();
    let text = format!("{}: a network namespace of this name exists already", path.display());
    Error::new(text)
        .hint(format!("choose another container id, or remove the namespace: ip netns del {name}"))
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::new(format!("{}: contains NUL", path.display())))
}
