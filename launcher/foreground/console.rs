//! The master of a container's terminal: sent to a console socket, or copied from the launcher's
//! standard input and to its standard output.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sys::signal::{self, Interest};
use crate::sys::{socket, terminal};

/// Send the master of a terminal to the console socket; without a socket, return the master.
///
/// # Errors
/// The socket cannot be connected or written to.
pub fn deliver(socket: Option<&Path>, master: OwnedFd) -> Result<Option<OwnedFd>> {
    match socket {
        Some(path) => hand_over(path, &master).map(|()| None),
        None => Ok(Some(kept(master))),
    }
}

/// Send the master to the process that listens at `path`, as engines expect: one message with one
/// descriptor.
fn hand_over(path: &Path, master: &OwnedFd) -> Result<()> {
    let place = || format!("--console-socket {}", path.display());
    let connection = socket::connect_path(path).map_err(|e| {
        Error::io(place(), "connect", &e).hint("the caller must listen on that socket")
    })?;
    socket::send(&connection, b"/dev/ptmx", master).map_err(|e| Error::io(place(), "sendmsg", &e))
}

/// Prepare the terminal whose master this process keeps: give it the size of the launcher's own
/// terminal, and clear ONLCR, as runc does.
fn kept(master: OwnedFd) -> OwnedFd {
    // Ignore failures: the launcher may have no terminal and so no size, and a hook may have hung
    // up the new terminal.
    let _ = terminal::copy_size(io::stdin().as_fd(), master.as_fd());
    let _ = terminal::keep_line_feeds(master.as_fd());
    master
}

/// Check, before anything is made, the options for the terminal.
///
/// # Errors
/// A detached container with a terminal has no console socket, or there is a console socket without
/// a terminal.
pub fn check(terminal: bool, detached: bool, socket: Option<&Path>) -> Result<()> {
    match (terminal, detached, socket) {
        (true, true, None) => Err(Error::new(
            "process.terminal: cannot allocate tty if tiny-ce will detach without setting console \
             socket",
        )
        .hint("give --console-socket, or set process.terminal to false")),
        (false, _, Some(_)) => Err(Error::new(
            "--console-socket: cannot use console socket if tiny-ce will not detach or allocate \
             tty",
        )
        .hint("set process.terminal to true, or leave --console-socket out")),
        _ => Ok(()),
    }
}

/// Bytes that were read from one side and not yet written to the other.
#[derive(Default)]
struct Pipe {
    waiting: VecDeque<u8>,
    /// Whether the source has ended.
    ended: bool,
    /// Whether the destination refuses more bytes.
    refused: bool,
}

/// The most bytes that wait to be written before we stop reading.
const MOST_WAITING: usize = 64 << 10;

/// A pipe that poll(2) calls writable takes this much without blocking, in bytes (PIPE_BUF).
const ONE_WRITE: usize = 4096;

impl Pipe {
    fn wants(&self) -> bool {
        !self.ended && !self.refused && self.waiting.len() < MOST_WAITING
    }

    fn fill(&mut self, from: BorrowedFd<'_>) {
        let mut bytes = [0; 8192];
        match terminal::read(from, &mut bytes) {
            Ok(0) => self.ended = true,
            Ok(got) => self.waiting.extend(&bytes[..got]),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // EIO: no process has the slave open any more, or the launcher is in the background of
            // its terminal; EBADF: standard input is open for writing only.
            Err(_) => self.ended = true,
        }
    }

    /// Write once, at most `ONE_WRITE` bytes.
    fn drain(&mut self, to: BorrowedFd<'_>) {
        let bytes = self.waiting.as_slices().0;
        match terminal::write(to, &bytes[..bytes.len().min(ONE_WRITE)]) {
            Ok(put) => drop(self.waiting.drain(..put)),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => {
                self.waiting.clear();
                self.refused = true;
            }
        }
    }
}

/// The end of the launcher's input, which the program must see as the end of its terminal's input.
///
/// A terminal has no end of file, so a program that reads it would wait for ever. The launcher
/// therefore writes what a person types: the byte VEOF, which a shell also understands while it
/// edits a line. Each read(2) at the end of a file returns 0, so the launcher writes VEOF again
/// once the program has read it. It never writes VEOF while input is unread: if the program clears
/// ICANON meanwhile, the kernel turns a waiting VEOF into a NUL.
pub struct End {
    /// When to check next whether the program has read everything.
    due: Instant,
    /// The time between two checks.
    delay: Duration,
    /// Whether the last byte of the input was no line feed.
    unfinished: bool,
}

/// Control-D: VEOF of a new terminal, and the key that line editors take as the end.
const CONTROL_D: u8 = 4;

/// The first and the longest time between two checks. The time doubles while the program does not
/// read.
const DELAYS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

impl End {
    /// Tell it as soon as there is no unread input; `unfinished`, if the input has no last line
    /// feed.
    pub fn new(unfinished: bool) -> End {
        End { due: Instant::now(), delay: DELAYS.0, unfinished }
    }

    /// Write the end, if a check is due and finds no unread input.
    pub fn tell(&mut self, master: BorrowedFd<'_>) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + self.delay;
        self.delay = (self.delay * 2).min(DELAYS.1);
        if terminal::has_unread(master).unwrap_or(false) {
            return;
        }
        let bytes: &[u8] = match terminal::end_of_input(master) {
            Ok(Some(byte)) => {
                self.delay = DELAYS.0;
                &[byte]
            }
            // A line editor runs an unfinished last line only on the Return key. From a pipe the
            // shell would run that line, so write Return first.
            Ok(None) if std::mem::take(&mut self.unfinished) => b"\r",
            _ => &[CONTROL_D],
        };
        // A write fails if the terminal is full or has no open slave; the next check tries again.
        let _ = terminal::write(master, bytes);
    }

    /// Until the next check, in milliseconds.
    pub fn timeout_ms(&self) -> i32 {
        let left = self.due.saturating_duration_since(Instant::now());
        // Round up: a timeout that is too short would wake the loop before the check is due.
        left.as_millis() as i32 + 1
    }
}

/// A master whose bytes are copied from the launcher's stdin and to its stdout.
pub struct Console {
    /// `None` once it is hung up.
    master: Option<OwnedFd>,
    before: Option<terminal::Settings>,
    input: Pipe,
    /// The last byte that was read from stdin.
    last: u8,
    end: Option<End>,
    output: Pipe,
}

/// The descriptors that a [`Console`] waits for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wants {
    /// Wait until standard input can be read.
    pub stdin: bool,
    /// Wait until standard output can be written.
    pub stdout: bool,
    /// Wait until the master can be read.
    pub master_read: bool,
    /// Wait until the master can be written.
    pub master_write: bool,
}

impl Console {
    /// Take the master, and make the launcher's terminal raw, if it has one.
    ///
    /// # Errors
    /// The settings of a descriptor cannot be changed.
    pub fn new(master: OwnedFd) -> Result<Console> {
        let stdin = io::stdin();
        let before = match stdin.is_terminal() {
            true => Some(
                terminal::make_raw(stdin.as_fd())
                    .map_err(|e| Error::io("the terminal", "ioctl", &e))?,
            ),
            false => None,
        };
        terminal::set_blocking(master.as_fd(), false)
            .map_err(|e| Error::io("the terminal", "fcntl", &e))?;
        let console = Console {
            master: Some(master),
            before,
            input: Pipe::default(),
            last: b'\n',
            end: None,
            output: Pipe::default(),
        };
        console.resize();
        Ok(console)
    }

    /// Copy the size of the launcher's terminal, whose window has changed.
    pub fn resize(&self) {
        if let Some(master) = &self.master {
            // Without a terminal of its own the launcher has no size to copy.
            let _ = terminal::copy_size(io::stdin().as_fd(), master.as_fd());
        }
    }

    /// Return what to wait for.
    pub fn wants(&self) -> Wants {
        if self.master.is_none() {
            return Wants::default();
        }
        Wants {
            stdin: self.input.wants(),
            stdout: !self.output.waiting.is_empty(),
            master_read: self.output.wants(),
            master_write: !self.input.waiting.is_empty(),
        }
    }

    /// Return how long to wait, in milliseconds; -1 for ever.
    pub fn timeout_ms(&self) -> i32 {
        self.end.as_ref().filter(|_| self.master.is_some()).map_or(-1, End::timeout_ms)
    }

    /// Return the master; `None` once it is hung up.
    pub fn master(&self) -> Option<BorrowedFd<'_>> {
        self.master.as_ref().map(AsFd::as_fd)
    }

    /// Copy the bytes that can be copied. `stdin` and `stdout` say which of them is ready,
    /// `at_master` whether poll(2) reported anything for the master.
    pub fn turn(&mut self, stdin: bool, stdout: bool, at_master: bool) {
        let Some(master) = &self.master else { return };
        let wants = self.wants();
        if stdin {
            self.input.fill(io::stdin().as_fd());
            self.last = self.input.waiting.back().copied().unwrap_or(self.last);
        }
        if at_master && wants.master_read {
            self.output.fill(master.as_fd());
        }
        if stdout {
            self.output.drain(io::stdout().as_fd());
        }
        if !self.input.waiting.is_empty() {
            self.input.drain(master.as_fd());
        }
        if self.input.ended && self.input.waiting.is_empty() {
            let unfinished = !matches!(self.last, b'\n' | b'\r');
            self.end.get_or_insert_with(|| End::new(unfinished)).tell(master.as_fd());
        }
        if self.output.refused {
            // Standard output is closed. With a pipe the program would get SIGPIPE; closing the
            // master sends it SIGHUP and makes its writes fail with EIO, so that it does not block.
            self.master = None;
        }
    }

    /// Copy the last output of the program, which has ended.
    pub fn finish(&mut self) {
        let Some(master) = &self.master else { return };
        let stdout = io::stdout();
        loop {
            let before = self.output.waiting.len();
            if !self.output.ended {
                self.output.fill(master.as_fd());
            }
            let read = self.output.waiting.len() > before;
            while !self.output.waiting.is_empty() {
                let writable =
                    Interest { fd: stdout.as_fd(), read: false, write: true, urgent: false };
                let _ = signal::wait(&[writable], -1);
                self.output.drain(stdout.as_fd());
            }
            if !read || self.output.refused {
                return;
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = terminal::restore(io::stdin().as_fd(), before);
        }
    }
}
