//! The files of an image, before they are written: each path with what it is and who owns it.
//!
//! The order of the paths, the inode numbers and the times do not depend on the machine that makes
//! the image, so that the same files make the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::cpio::{Archive, LARGEST, Links, Meta};
use super::owners::Owners;
use super::progress::Progress;
use crate::sys::file;
use crate::{Error, Result, log};

/// The content of a file.
enum Content {
    /// Of a file of this machine, of this size.
    File(PathBuf, u64),
    /// These bytes: a file's, or the target of a link.
    Bytes(Vec<u8>),
}

struct Item {
    meta: Meta,
    content: Content,
    /// Device and inode on this machine, if the file has several names.
    identity: Option<(u64, u64)>,
}

/// The files of an image, by their paths without a slash at the beginning.
#[derive(Default)]
pub struct Tree {
    items: BTreeMap<Vec<u8>, Item>,
}

impl Tree {
    /// Add a directory of root, unless there is something.
    pub fn directory_if_missing(&mut self, path: &str, mode: u32) {
        if !self.items.contains_key(path.as_bytes()) {
            self.put(path, libc::S_IFDIR | mode, Content::Bytes(Vec::new()));
        }
    }

    /// Whether a file can be added below this path: it is a directory, or nothing yet.
    pub fn may_have_below(&self, path: &str) -> bool {
        self.items.get(path.as_bytes()).is_none_or(Item::is_directory)
    }

    /// Add a file of root with these bytes.
    pub fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.parents(path);
        self.put(path, libc::S_IFREG | mode, Content::Bytes(bytes));
    }

    /// Add a symbolic link of root.
    pub fn link(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.put(path, libc::S_IFLNK | 0o777, Content::Bytes(target.as_bytes().to_vec()));
    }

    /// Add a character device of root.
    pub fn device(&mut self, path: &str, mode: u32, device: (u32, u32)) {
        self.parents(path);
        self.put(path, libc::S_IFCHR | mode, Content::Bytes(Vec::new()));
        if let Some(item) = self.items.get_mut(key(path).as_bytes()) {
            item.meta.device = device;
        }
    }

    fn put(&mut self, path: &str, mode: u32, content: Content) {
        let meta = Meta { mode, uid: 0, gid: 0, device: (0, 0) };
        self.items.insert(key(path).as_bytes().to_vec(), Item { meta, content, identity: None });
    }

    fn parents(&mut self, path: &str) {
        let key = key(path);
        for (at, _) in key.match_indices('/') {
            if !self.items.contains_key(&key.as_bytes()[..at]) {
                self.put(&key[..at], libc::S_IFDIR | 0o755, Content::Bytes(Vec::new()));
            }
        }
    }

    /// Add a file of this machine as root's, with this mode.
    ///
    /// # Errors
    /// It cannot be looked at, or is no regular file.
    pub fn copy_file(&mut self, path: &str, from: &Path, mode: u32) -> Result<()> {
        let found = fs::metadata(from).map_err(|e| Error::io(from.display(), "stat", &e))?;
        if !found.is_file() {
            return Err(Error::new(format!("{}: not a regular file", from.display())));
        }
        self.parents(path);
        self.put(path, libc::S_IFREG | mode, Content::File(from.to_owned(), found.len()));
        Ok(())
    }

    /// Add a directory of this machine and all below it, on its own file system only: of a mount
    /// below it the directory is taken, empty. `but` is a file that is not taken: the image
    /// itself.
    ///
    /// # Errors
    /// A file cannot be looked at, is larger than the format allows, or has an owner that is not
    /// mapped.
    pub fn copy(
        &mut self,
        path: &str,
        from: &Path,
        owners: &Owners,
        but: Option<(u64, u64)>,
        progress: &mut Progress,
    ) -> Result<()> {
        let found = fs::metadata(from).map_err(|e| Error::io(from.display(), "stat", &e))?;
        if !found.is_dir() {
            return Err(Error::new(format!("{}: not a directory", from.display())));
        }
        self.parents(path);
        let top = Walk { owners, but, device: found.dev() };
        self.walk(key(path).as_bytes().to_vec(), from.to_owned(), &found, &top, progress)
    }

    fn walk(
        &mut self,
        key: Vec<u8>,
        from: PathBuf,
        found: &Metadata,
        walk: &Walk<'_>,
        progress: &mut Progress,
    ) -> Result<()> {
        let at = |call, e: &io::Error| Error::io(from.display(), call, e);
        if walk.but == Some((found.dev(), found.ino())) {
            return Ok(());
        }
        // The top of the archive is the root, which the kernel has already.
        if !key.is_empty() {
            self.items.insert(key.clone(), item(&from, found, walk.owners)?);
        }
        progress.found(self.items.len());
        if !found.is_dir() || found.dev() != walk.device {
            return Ok(());
        }
        for entry in fs::read_dir(&from).map_err(|e| at("openat", &e))? {
            let entry = entry.map_err(|e| at("getdents64", &e))?;
            let path = entry.path();
            let found =
                fs::symlink_metadata(&path).map_err(|e| Error::io(path.display(), "lstat", &e))?;
            let slash = if key.is_empty() { &b""[..] } else { b"/" };
            let below = [&key, slash, entry.file_name().as_bytes()].concat();
            self.walk(below, path, &found, walk, progress)?;
        }
        Ok(())
    }

    /// Write the archive, in which every file has this time; return how many bytes it has.
    ///
    /// # Errors
    /// A file cannot be read, or has changed since it was looked at; or what is written to fails,
    /// which `place` names.
    pub fn write<W: Write>(
        &self,
        to: W,
        place: &str,
        mtime: u32,
        progress: &mut Progress,
    ) -> Result<(W, u64)> {
        let mut archive = Archive::new(to, mtime);
        let mut names: BTreeMap<(u64, u64), Names> = BTreeMap::new();
        for identity in self.items.values().filter_map(|item| item.identity) {
            names.entry(identity).or_default().count += 1;
        }
        let mut inode = 0;
        progress.pack(self.items.len());
        for (path, item) in &self.items {
            let names = item.identity.and_then(|it| names.get_mut(&it));
            let (links, has_data) = match names {
                Some(names) => names.next(&mut inode),
                None => {
                    inode += 1;
                    (Links { inode, count: if item.is_directory() { 2 } else { 1 } }, true)
                }
            };
            add(&mut archive, path, item, links, has_data, place, progress)?;
            progress.packed();
        }
        let written = archive.written();
        let to = archive.finish().map_err(|e| Error::io(place, "write", &e))?;
        Ok((to, written))
    }
}

/// What holds for a whole walk.
struct Walk<'a> {
    owners: &'a Owners,
    but: Option<(u64, u64)>,
    device: u64,
}

/// The names of one file in an archive.
#[derive(Default)]
struct Names {
    count: u32,
    seen: u32,
    inode: u32,
}

impl Names {
    /// The next name, and whether it is the last, which has the data.
    fn next(&mut self, inode: &mut u32) -> (Links, bool) {
        if self.seen == 0 {
            *inode += 1;
            self.inode = *inode;
        }
        self.seen += 1;
        (Links { inode: self.inode, count: self.count }, self.seen == self.count)
    }
}

impl Item {
    fn is_directory(&self) -> bool {
        self.meta.mode & libc::S_IFMT == libc::S_IFDIR
    }
}

fn key(path: &str) -> &str {
    path.trim_matches('/')
}

fn item(from: &Path, found: &Metadata, owners: &Owners) -> Result<Item> {
    let kind: FileType = found.file_type();
    let content = if kind.is_file() {
        if found.len() > LARGEST {
            return Err(Error::new(format!(
                "{}: {} bytes; a file of an initramfs has less than 4 GiB",
                from.display(),
                found.len()
            )));
        }
        if found.mode() & 0o111 != 0 && file::has_capabilities(from) {
            log::warning(&format!(
                "{}: its capabilities are lost, since an initramfs cannot hold them",
                from.display()
            ));
        }
        Content::File(from.to_owned(), found.len())
    } else if kind.is_symlink() {
        let target = fs::read_link(from).map_err(|e| Error::io(from.display(), "readlink", &e))?;
        Content::Bytes(target.into_os_string().into_vec())
    } else {
        Content::Bytes(Vec::new())
    };
    let node = kind.is_char_device() || kind.is_block_device();
    let device = if node { (libc::major(found.rdev()), libc::minor(found.rdev())) } else { (0, 0) };
    let (uid, gid) = owners.map(found.uid(), found.gid()).map_err(|e| e.within(from.display()))?;
    let several = found.nlink() > 1 && !found.is_dir();
    Ok(Item {
        meta: Meta { mode: found.mode(), uid, gid, device },
        content,
        identity: several.then(|| (found.dev(), found.ino())),
    })
}

fn add<W: Write>(
    archive: &mut Archive<W>,
    path: &[u8],
    item: &Item,
    links: Links,
    has_data: bool,
    place: &str,
    progress: &mut Progress,
) -> Result<()> {
    let (from, size) = match &item.content {
        Content::File(from, size) if has_data => (from, *size),
        Content::File(..) => {
            let added = archive.add(path, &item.meta, links, 0, io::empty());
            return added.map_err(|e| Error::io(place, "write", &e));
        }
        Content::Bytes(bytes) => {
            let added = archive.add(path, &item.meta, links, bytes.len() as u64, &bytes[..]);
            return added.map_err(|e| Error::io(place, "write", &e));
        }
    };
    let shown = from.display();
    let file = File::open(from).map_err(|e| {
        let error = Error::io(&shown, "open", &e);
        match e.raw_os_error() {
            Some(libc::EACCES) => error.hint("only who may read a file can put it into an image"),
            _ => error,
        }
    })?;
    archive.add(path, &item.meta, links, size, progress.watch(file)).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::new(format!("{shown}: has become shorter while it was read"))
        }
        _ => Error::io(format!("{shown} to {place}"), "write", &e),
    })
}
