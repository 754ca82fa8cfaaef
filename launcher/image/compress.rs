//! The compressions of an initramfs that every kernel of a distribution undoes, and of kernel
//! modules, which not every kernel undoes.

use std::fs::File;
use std::io::{self, BufReader, PipeWriter, Read, Write};
use std::path::Path;
use std::thread::{self, JoinHandle};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, FrameCompressor};
use xz4rust::XzReader;

use crate::{Error, Result};

/// The ends of the names of what [`decompress`] knows.
pub const ENDS: [&str; 3] = [".gz", ".xz", ".zst"];

/// Read a file, and decompress it if its name says so.
///
/// # Errors
/// The file cannot be read, or what it holds is not what its name says.
pub fn decompress(path: &Path) -> Result<Vec<u8>> {
    let failed = |call| move |e: io::Error| Error::io(path.display(), call, &e);
    let file = BufReader::new(File::open(path).map_err(failed("open"))?);
    let mut bytes = Vec::new();
    let read = match path.extension().and_then(|it| it.to_str()) {
        Some("gz") => MultiGzDecoder::new(file).read_to_end(&mut bytes),
        Some("xz") => XzReader::new(file).read_to_end(&mut bytes),
        Some("zst") => StreamingDecoder::new(file)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
            .and_then(|mut decoder| decoder.read_to_end(&mut bytes)),
        _ => { file }.read_to_end(&mut bytes),
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(e) if e.raw_os_error().is_some() => Err(failed("read")(e)),
        Err(e) => Err(Error::new(format!("{}: cannot be decompressed: {e}", path.display()))),
    }
}

/// How an image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip(1): the smallest here.
    Gzip,
    /// zstd(1): made, and undone by the kernel, in less time.
    Zstd,
}

/// A file that is written compressed.
pub enum Compressed<W: Write> {
    None(W),
    Gzip(GzEncoder<W>),
    /// The compressor pulls its input, so it has a thread of its own behind a pipe.
    Zstd(PipeWriter, JoinHandle<io::Result<W>>),
    /// The pipe or the thread could not be made.
    Failed(io::Error),
}

impl<W: Write + Send + 'static> Compressed<W> {
    pub fn new(compression: Compression, to: W) -> Compressed<W> {
        match compression {
            Compression::None => Compressed::None(to),
            // Its header has no time and no name, so the same input makes the same bytes.
            Compression::Gzip => Compressed::Gzip(GzEncoder::new(to, flate2::Compression::new(6))),
            Compression::Zstd => match io::pipe() {
                Ok((from, pipe)) => {
                    let compress = move || -> io::Result<W> {
                        let mut sink = Sink { to, failed: None };
                        let mut compressor = FrameCompressor::new(CompressionLevel::Fastest);
                        compressor.set_source(from);
                        compressor.set_drain(&mut sink);
                        compressor.compress();
                        drop(compressor);
                        sink.failed.map_or(Ok(sink.to), Err)
                    };
                    Compressed::Zstd(pipe, thread::spawn(compress))
                }
                Err(e) => Compressed::Failed(e),
            },
        }
    }

    /// Write what is held back, and return what was written to.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Compressed::None(to) => Ok(to),
            Compressed::Gzip(encoder) => encoder.finish(),
            Compressed::Zstd(pipe, thread) => {
                drop(pipe);
                thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
            }
            Compressed::Failed(e) => Err(e),
        }
    }
}

impl<W: Write> Write for Compressed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressed::None(to) => to.write(bytes),
            Compressed::Gzip(encoder) => encoder.write(bytes),
            Compressed::Zstd(pipe, _) => pipe.write(bytes),
            Compressed::Failed(e) => Err(io::Error::from(e.kind())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressed::None(to) => to.flush(),
            Compressed::Gzip(encoder) => encoder.flush(),
            Compressed::Zstd(pipe, _) => pipe.flush(),
            Compressed::Failed(_) => Ok(()),
        }
    }
}

/// The compressor panics if it cannot write: it gets no error, and the first one is kept.
struct Sink<W> {
    to: W,
    failed: Option<io::Error>,
}

impl<W: Write> Write for &mut Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none()
            && let Err(e) = self.to.write_all(bytes)
        {
            self.failed = Some(e);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut to = Compressed::new(compression, Vec::new());
        to.write_all(bytes).expect("written");
        to.finish().expect("compressed")
    }

    #[test]
    fn what_is_compressed_is_as_it_was() {
        let bytes: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let zstd = compressed(Compression::Zstd, &bytes);
        let mut back = Vec::new();
        let mut decoder = StreamingDecoder::new(&zstd[..]).expect("a frame");
        decoder.read_to_end(&mut back).expect("decompressed");
        assert!(back == bytes && zstd.len() < bytes.len());
        let gzip = compressed(Compression::Gzip, &bytes);
        let mut back = Vec::new();
        MultiGzDecoder::new(&gzip[..]).read_to_end(&mut back).expect("decompressed");
        assert!(back == bytes && gzip.len() < bytes.len());
        assert_eq!(compressed(Compression::None, &bytes), bytes);
    }

    const XZ: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\
        \x2f\xe5\xa3\x01\x00\x0f\x74\x69\x6e\x79\x2d\x63\x65\x2d\x74\x69\x6e\x79\x2d\x63\x65\
        \x0a\x00\xd1\xe6\x41\x75\xdf\x01\x6c\x44\x00\x01\x28\x10\xe5\x0b\x6c\x60\x1f\xb6\xf3\
        \x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let case = tiny_ce_test::Case::new();
        for (name, bytes) in [
            ("a.ko.gz", compressed(Compression::Gzip, &[7; 4096])),
            ("a.ko.zst", compressed(Compression::Zstd, &[7; 4096])),
            // What xz(1) makes of 16 bytes.
            ("a.ko.xz", XZ.to_vec()),
        ] {
            let path = case.dir().join(name);
            let write = |bytes: &[u8]| std::fs::write(&path, bytes).expect("a file");
            write(&bytes);
            let whole = decompress(&path).expect(name);
            assert!(whole == [7; 4096] || whole == b"tiny-ce-tiny-ce\n", "{name}");
            for damaged in [&bytes[..bytes.len() / 2], b"\x7fELF", b""] {
                write(damaged);
                let text = decompress(&path).expect_err(name).line().to_owned();
                let wanted = format!("{name}: cannot be decompressed: ");
                assert!(text.contains(&wanted), "{text}");
            }
        }
        let text = decompress(Path::new("/nothing.ko.xz")).expect_err("absent").to_string();
        assert!(text.starts_with("/nothing.ko.xz: open(2): ENOENT"), "{text}");
    }

    #[test]
    fn a_full_disk_is_an_error_for_each() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut to = Compressed::new(compression, Full);
            let written = to.write_all(&[7; 1 << 20]).and_then(|()| to.finish().map(drop));
            let errno = written.expect_err("full").raw_os_error();
            assert_eq!(errno, Some(libc::ENOSPC), "{compression:?}");
        }
    }
}
