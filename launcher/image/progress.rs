//! How far a long work is: a line on a terminal that is written again and again.

use std::io::{self, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

/// Before this time nothing is shown, and then as often: who waits for less needs no line.
const EVERY: Duration = Duration::from_millis(200);

/// The line; nothing is shown unless standard error is a terminal.
pub struct Progress {
    shows: bool,
    last: Instant,
    width: usize,
    packed: usize,
    all: usize,
    bytes: u64,
}

impl Progress {
    /// Begin.
    pub fn new() -> Progress {
        let shows = io::stderr().is_terminal();
        Progress { shows, last: Instant::now(), width: 0, packed: 0, all: 0, bytes: 0 }
    }

    /// So many files were found.
    pub fn found(&mut self, count: usize) {
        self.show(|| format!("{count} files found"));
    }

    /// So many files are going to be packed.
    pub fn pack(&mut self, all: usize) {
        self.all = all;
    }

    /// One more is packed.
    pub fn packed(&mut self) {
        self.packed += 1;
        self.show_packed();
    }

    /// Watch what is read of a file: a large one takes long, too.
    pub fn watch<R: Read>(&mut self, from: R) -> Watched<'_, R> {
        Watched { from, progress: self }
    }

    fn show_packed(&mut self) {
        let (packed, all, mib) = (self.packed, self.all, self.bytes >> 20);
        self.show(|| format!("{packed} of {all} files packed, {mib} MiB"));
    }

    fn show(&mut self, text: impl FnOnce() -> String) {
        if !self.shows || self.last.elapsed() < EVERY {
            return;
        }
        self.last = Instant::now();
        let text = text();
        let _ = write!(io::stderr(), "\r{text:<width$}", width = self.width);
        self.width = text.len();
    }
}

/// A file whose bytes are counted while they are read.
pub struct Watched<'a, R> {
    from: R,
    progress: &'a mut Progress,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.progress.bytes += count as u64;
        self.progress.show_packed();
        Ok(count)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.width > 0 {
            let _ = write!(io::stderr(), "\r{:width$}\r", "", width = self.width);
        }
    }
}
