//! The state directory of one container: one process makes it, one process at a time locks it.
//!
//! Knows files and the lock, not what is in the files. mkdir(2) decides which process creates the
//! container; flock(2) on the directory decides which process may change it; rename(2) makes each
//! file appear complete or not at all.

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{CONFIG, HOSTS, INTENT, PLAN, SOCKET, STATE};
use crate::error::{Error, Result};
use crate::sys;

/// The greatest size of a file of ours, in bytes: a larger one is damaged.
const LARGEST: u64 = 64 << 20;

/// An open state directory.
pub struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    /// Make the directory and lock it; the container must not exist.
    ///
    /// # Errors
    /// The container exists already, or its directory cannot be made, opened or locked.
    pub fn create(root: &Path, id: &str) -> Result<Directory> {
        let path = root.join(id);
        let make = || DirBuilder::new().mode(0o700).create(&path);
        let made = match make() {
            // The root usually exists, so make it only after ENOENT.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                // Programs that clean XDG_RUNTIME_DIR skip a directory with the sticky bit (XDG
                // Base Directory Specification).
                let parents = DirBuilder::new().mode(0o1700).recursive(true).create(root);
                parents.map_err(|e| Error::io(root.display(), "mkdir", &e).hint(WHERE))?;
                make()
            }
            made => made,
        };
        match made {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::new("container with given ID already exists")
                    .hint(format!("choose another id, or run \"tiny-ce delete {id}\"")));
            }
            made => made.map_err(|e| Error::io(path.display(), "mkdir", &e).hint(WHERE))?,
        }
        let opened = Self::at(path.clone()).and_then(|it| it.lock().map(|()| it));
        match &opened {
            // Another process deleted our directory; one of that name is now another container's.
            Err(e) if e.line() == missing().line() => {}
            Err(_) => drop(std::fs::remove_dir(path)),
            Ok(_) => {}
        }
        opened
    }

    /// Open the directory of an existing container without the lock.
    ///
    /// # Errors
    /// There is no such container, or its directory cannot be opened.
    pub fn open(root: &Path, id: &str) -> Result<Directory> {
        Self::at(root.join(id))
    }

    /// Open the directory of an existing container, and wait for its lock.
    ///
    /// # Errors
    /// As [`Directory::open`]; flock(2) fails; or another process deleted the container before we
    /// got the lock.
    pub fn open_locked(root: &Path, id: &str) -> Result<Directory> {
        let directory = Self::open(root, id)?;
        directory.lock()?;
        Ok(directory)
    }

    fn at(path: PathBuf) -> Result<Directory> {
        match sys::file::open_directory(&path) {
            Ok(fd) => Ok(Directory { path, fd }),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(missing()),
            Err(e) => Err(Error::io(path.display(), "open", &e)),
        }
    }

    /// Wait for the lock, and check that the path still names the locked directory: the process
    /// that held the lock before may have deleted the container.
    ///
    /// # Errors
    /// flock(2) fails, or another process deleted the container.
    pub fn lock(&self) -> Result<()> {
        let failed = |e| Error::io(self.path.display(), "flock", &e);
        sys::file::lock(&self.fd, true).map_err(failed)?;
        let ours = sys::file::stat(&self.fd).map_err(failed)?;
        match self.path.symlink_metadata() {
            Ok(there) if there.ino() == ours.st_ino && there.dev() == ours.st_dev => Ok(()),
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io(self.path.display(), "statx", &e))
            }
            _ => Err(missing()),
        }
    }

    /// Give up the lock and keep the directory open, so that no other one can be taken for it.
    ///
    /// # Errors
    /// flock(2) fails.
    pub fn unlock(&self) -> Result<()> {
        sys::file::unlock(&self.fd).map_err(|e| Error::io(self.path.display(), "flock", &e))
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor of the directory.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Write a file as a whole, replacing one of that name.
    ///
    /// # Errors
    /// The file cannot be opened, written or renamed.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = format!(".{name}");
        self.write(&temporary, bytes)?;
        sys::file::rename_at(&self.fd, &temporary, name)
            .map_err(|e| Error::io(self.path.join(name).display(), "rename", &e))
    }

    /// Write a file in place: for a file that nobody reads before another one is there.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let failed = |call| move |e| Error::io(self.path.join(name).display(), call, &e);
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
        let mut file = sys::file::open_at(&self.fd, name, flags, 0o600).map_err(failed("open"))?;
        file.write_all(bytes).map_err(failed("write"))
    }

    /// Write a file as [`Directory::put`] does, with mode 0644 whatever the umask: every user of
    /// the container can read it.
    ///
    /// # Errors
    /// As [`Directory::put`], or the mode cannot be changed.
    pub fn put_for_all(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(name, bytes)?;
        let path = self.path.join(name);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644))
            .map_err(|e| Error::io(path.display(), "chmod", &e))
    }

    /// Read a file; `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be opened or read, or is larger than `LARGEST`.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let failed = |call, e| Error::io(self.path.join(name).display(), call, &e);
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match sys::file::open_at(&self.fd, name, flags, 0) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("open", e)),
        };
        let mut bytes = Vec::with_capacity(8 << 10);
        let got = file.take(LARGEST + 1).read_to_end(&mut bytes);
        got.map_err(|e| failed("read", e))?;
        if bytes.len() as u64 > LARGEST {
            let path = self.path.join(name);
            return Err(Error::new(format!("{}: larger than {LARGEST} bytes", path.display())));
        }
        Ok(Some(bytes))
    }

    /// Whether a file of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).symlink_metadata().is_ok()
    }

    /// Remove a file; it may be gone already.
    ///
    /// # Errors
    /// unlink(2) fails, other than with ENOENT.
    pub fn unlink(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io(path.display(), "unlink", &e))
            }
            _ => Ok(()),
        }
    }

    /// Remove the directory and everything in it.
    ///
    /// Most directories hold our files alone, so remove these by their names first.
    ///
    /// # Errors
    /// A file in the directory, or the directory itself, cannot be removed.
    pub fn remove(&self) -> Result<()> {
        // The intent last: what is left of a killed `delete` is found by it.
        for name in [PLAN, CONFIG, STATE, INTENT] {
            let _ = sys::file::unlink_at(&self.fd, name);
        }
        let removed = match std::fs::remove_dir(&self.path) {
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => {
                std::fs::remove_dir_all(&self.path)
            }
            removed => removed,
        };
        match removed {
            Err(e) if e.kind() != ErrorKind::NotFound && self.remove_by_name().is_err() => {
                Err(Error::io(self.path.display(), "rmdir", &e))
            }
            _ => Ok(()),
        }
    }

    /// Remove the rest of our files by their names: `remove_dir_all` opens the directory, which
    /// fails where no descriptor is left (EMFILE, ENFILE).
    fn remove_by_name(&self) -> std::io::Result<()> {
        for name in [INTENT, STATE, CONFIG, PLAN, SOCKET, HOSTS] {
            let _ = sys::file::unlink_at(&self.fd, name);
            let _ = sys::file::unlink_at(&self.fd, &format!(".{name}"));
        }
        std::fs::remove_dir(&self.path)
    }
}

const WHERE: &str = "choose where the state is kept with --root, or run as root; where nothing can \
                     be written: mount -t tmpfs tmpfs /run";

/// The error for a container that does not exist; go-runc and containerd match on its text.
pub fn missing() -> Error {
    Error::new("container does not exist").hint("\"tiny-ce list\" shows those that do")
}
