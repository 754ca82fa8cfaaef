//! The compressions of an initramfs that every kernel of a distribution undoes.

use std::io::{self, PipeWriter, Write};
use std::thread::{self, JoinHandle};

use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, FrameCompressor};

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
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(&zstd[..]).expect("a frame");
        io::Read::read_to_end(&mut decoder, &mut back).expect("decompressed");
        assert!(back == bytes && zstd.len() < bytes.len());
        let gzip = compressed(Compression::Gzip, &bytes);
        let mut back = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut back)
            .expect("decompressed");
        assert!(back == bytes && gzip.len() < bytes.len());
        assert_eq!(compressed(Compression::None, &bytes), bytes);
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
