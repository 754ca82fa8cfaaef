//! An archive in the format newc of cpio(5), as the kernel unpacks it
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Writes entries in the order in which they come. Knows no file system.

use std::io::{self, Read, Write};

/// What an entry says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Type and permissions, `st_mode` of stat(2).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
}

/// Where an entry stands among the names of one file: hard links have the same inode number, and
/// the last of them has the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    /// The inode number, which is the archive's own.
    pub inode: u32,
    /// How many names the file has in the archive.
    pub count: u32,
}

/// The largest file, in bytes: its size is eight hexadecimal digits.
pub const LARGEST: u64 = u32::MAX as u64;

/// What GNU cpio fills an archive up to, in bytes.
const BLOCK: u64 = 512;

/// An archive that is being written.
pub struct Archive<W> {
    to: W,
    written: u64,
    /// The time of every entry, in seconds since 1970.
    mtime: u32,
}

impl<W: Write> Archive<W> {
    /// Begin one, in which every file has this time.
    pub fn new(to: W, mtime: u32) -> Archive<W> {
        Archive { to, written: 0, mtime }
    }

    /// Write an entry with the data of `data`, which has `size` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` if there are fewer bytes, `FileTooLarge` if `size` is beyond [`LARGEST`];
    /// what read(2) and write(2) fail with.
    pub fn add(
        &mut self,
        path: &[u8],
        meta: &Meta,
        links: Links,
        size: u64,
        data: impl Read,
    ) -> io::Result<()> {
        let Ok(size_32) = u32::try_from(size) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.header(path, meta, links, size_32)?;
        let copied = io::copy(&mut data.take(size), &mut self.to)?;
        self.written += copied;
        if copied < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(4)
    }

    fn header(&mut self, path: &[u8], meta: &Meta, links: Links, size: u32) -> io::Result<()> {
        let fields = [
            links.inode,
            meta.mode,
            meta.uid,
            meta.gid,
            links.count,
            self.mtime,
            size,
            // The device that holds the file: inode numbers are all of one.
            0,
            0,
            meta.device.0,
            meta.device.1,
            path.len() as u32 + 1,
            0,
        ];
        let mut text = String::from("070701");
        fields.iter().for_each(|field| text += &format!("{field:08x}"));
        self.to.write_all(text.as_bytes())?;
        self.to.write_all(path)?;
        self.to.write_all(&[0])?;
        self.written += (text.len() + path.len() + 1) as u64;
        self.pad(4)
    }

    fn pad(&mut self, to: u64) -> io::Result<()> {
        let missing = self.written.next_multiple_of(to) - self.written;
        self.written += missing;
        self.to.write_all(&[0; BLOCK as usize][..missing as usize])
    }

    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Write the end, and return what was written to.
    ///
    /// # Errors
    /// As write(2).
    pub fn finish(mut self) -> io::Result<W> {
        self.mtime = 0;
        let none = Meta { mode: 0, uid: 0, gid: 0, device: (0, 0) };
        self.header(b"TRAILER!!!", &none, Links { inode: 0, count: 1 }, 0)?;
        self.pad(BLOCK)?;
        Ok(self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_byte_by_byte() {
        let mut archive = Archive::new(Vec::new(), 0x10);
        let meta = Meta { mode: 0o100_644, uid: 1, gid: 2, device: (0, 0) };
        let links = Links { inode: 3, count: 1 };
        archive.add(b"a", &meta, links, 5, &b"hello, and more"[..]).expect("an entry");
        let bytes = archive.finish().expect("an end");
        let wanted = "07070100000003000081a40000000100000002000000010000001000000005\
                      00000000000000000000000000000000000000020000000\x30a\0hello\0\0\0";
        assert_eq!(String::from_utf8_lossy(&bytes[..wanted.len()]), wanted);
        let rest = String::from_utf8_lossy(&bytes[wanted.len()..]).into_owned();
        assert!(rest.starts_with("070701") && rest.contains("TRAILER!!!\0"), "{rest:?}");
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn a_file_that_has_shrunk_or_is_too_large_is_an_error() {
        let meta = Meta { mode: 0o100_644, uid: 0, gid: 0, device: (0, 0) };
        let links = Links { inode: 1, count: 1 };
        let add = |size, data: &[u8]| {
            Archive::new(io::sink(), 0).add(b"a", &meta, links, size, data).map_err(|e| e.kind())
        };
        assert_eq!(add(6, b"short"), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(add(LARGEST + 1, b""), Err(io::ErrorKind::FileTooLarge));
    }
}
