//! How far a long work is: a line on a terminal that is written again and again.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Before this time nothing is shown, and then as often: who waits for less needs no line.
const EVERY: Duration = Duration::from_millis(200);

/// The line; nothing is shown unless standard error is a terminal.
pub struct Progress {
    shows: bool,
    last: Instant,
    width: usize,
}

impl Progress {
    /// Begin.
    pub fn new() -> Progress {
        Progress { shows: io::stderr().is_terminal(), last: Instant::now(), width: 0 }
    }

    /// So many files were found.
    pub fn found(&mut self, count: usize) {
        self.show(|| format!("{count} files found"));
    }

    /// So many of all files were written, which make so many bytes.
    pub fn wrote(&mut self, count: usize, of: usize, bytes: u64) {
        self.show(|| format!("{count} of {of} files packed, {} MiB", bytes >> 20));
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

impl Drop for Progress {
    fn drop(&mut self) {
        if self.width > 0 {
            let _ = write!(io::stderr(), "\r{:width$}\r", "", width = self.width);
        }
    }
}
