//! The state directory of one container: made by one, locked by one at a time.
//!
//! Knows files and the lock, not what is in the files. `mkdir` decides who creates; `flock` on the
//! directory itself decides who changes; a file is complete or not there, by rename.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{CONFIG, HOSTS, INTENT, PLAN, SOCKET, STATE};
use crate::error::{Error, Result};
use crate::sys;

/// A file of ours that is larger is damaged, in bytes.
const LARGEST: u64 = 64 << 20;

/// An open state directory.
pub struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    /// Make it; the container must not exist.
    pub fn create(root: &Path, id: &str) -> Result<Directory> {
        let path = root.join(id);
        let make = || DirBuilder::new().mode(0o700).create(&path);
        let made = match make() {
            // The usual case is that the root exists.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                // With the sticky bit it is left alone by those who clean XDG_RUNTIME_DIR.
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
            // Somebody has deleted it; what is there now is another's.
            Err(e) if e.line() == missing().line() => {}
            Err(_) => drop(std::fs::remove_dir(path)),
            Ok(_) => {}
        }
        opened
    }

    /// Open that of an existing container, unlocked.
    pub fn open(root: &Path, id: &str) -> Result<Directory> {
        Self::at(root.join(id))
    }

    /// Open that of an existing container, and wait until nobody else changes it.
    pub fn open_locked(root: &Path, id: &str) -> Result<Directory> {
        let directory = Self::open(root, id)?;
        directory.lock()?;
        Ok(directory)
    }

    fn at(path: PathBuf) -> Result<Directory> {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        match File::options().read(true).custom_flags(flags).open(&path) {
            Ok(file) => Ok(Directory { path, fd: file.into() }),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(missing()),
            Err(e) => Err(Error::io(path.display(), "open", &e)),
        }
    }

    /// Wait for the lock; whoever had it may have deleted the container.
    fn lock(&self) -> Result<()> {
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Put a file there as a whole, replacing one of that name.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (temporary, path) = (self.path.join(format!(".{name}")), self.path.join(name));
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&temporary)
            .map_err(|e| Error::io(temporary.display(), "open", &e))?;
        file.write_all(bytes).map_err(|e| Error::io(temporary.display(), "write", &e))?;
        std::fs::rename(&temporary, &path).map_err(|e| Error::io(path.display(), "rename", &e))
    }

    /// As [`Directory::put`], for every user of the container to read, whatever the umask.
    pub fn put_for_all(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(name, bytes)?;
        let path = self.path.join(name);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644))
            .map_err(|e| Error::io(path.display(), "chmod", &e))
    }

    /// Read a file of ours; `None` if there is none.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match File::options().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path.display(), "open", &e)),
        };
        let mut bytes = Vec::with_capacity(8 << 10);
        let got = file.take(LARGEST + 1).read_to_end(&mut bytes);
        got.map_err(|e| Error::io(path.display(), "read", &e))?;
        if bytes.len() as u64 > LARGEST {
            return Err(Error::new(format!("{}: larger than {LARGEST} bytes", path.display())));
        }
        Ok(Some(bytes))
    }

    /// Whether a file of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).symlink_metadata().is_ok()
    }

    /// Remove a file; it may be gone already.
    pub fn unlink(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io(path.display(), "unlink", &e))
            }
            _ => Ok(()),
        }
    }

    /// Remove all of it: the container is no more.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound && self.remove_by_name().is_err() => {
                Err(Error::io(self.path.display(), "rmdir", &e))
            }
            _ => Ok(()),
        }
    }

    /// The same where no descriptor is left to look into it with.
    fn remove_by_name(&self) -> std::io::Result<()> {
        for name in [INTENT, STATE, CONFIG, PLAN, SOCKET, HOSTS] {
            let _ = std::fs::remove_file(self.path.join(name));
            let _ = std::fs::remove_file(self.path.join(format!(".{name}")));
        }
        std::fs::remove_dir(&self.path)
    }
}

const WHERE: &str = "choose where the state is kept with --root, or run as root";

/// go-runc and containerd look for these words.
pub fn missing() -> Error {
    Error::new("container does not exist").hint("\"tiny-ce list\" shows those that do")
}
