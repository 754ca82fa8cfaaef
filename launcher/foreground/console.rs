//! The terminal of a container on this side: handed to a console socket, or copied to and from the
//! terminal that the launcher was started on.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sys::signal::{self, Interest};
use crate::sys::{socket, terminal};

/// Send the master of a terminal to the console socket, if there is one; else keep it.
pub fn deliver(socket: Option<&Path>, master: OwnedFd) -> Result<Option<OwnedFd>> {
    match socket {
        Some(path) => hand_over(path, &master).map(|()| None),
        None => Ok(Some(kept(master))),
    }
}

/// Give the master to whoever listens at `path`, as engines expect it: one message, one descriptor.
fn hand_over(path: &Path, master: &OwnedFd) -> Result<()> {
    let place = || format!("--console-socket {}", path.display());
    let connection = socket::connect_path(path).map_err(|e| {
        Error::io(place(), "connect", &e).hint("the caller must listen on that socket")
    })?;
    socket::send(&connection, b"/dev/ptmx", master).map_err(|e| Error::io(place(), "sendmsg", &e))
}

/// The master that this process keeps, as the program shall find its terminal: with the size of the
/// launcher's own terminal, if it has one, and without ONLCR, as runc leaves it.
fn kept(master: OwnedFd) -> OwnedFd {
    // Neither is worth a failure: without a terminal on this side there is no size, and a hook may
    // have hung up the new one.
    let _ = terminal::copy_size(io::stdin().as_fd(), master.as_fd());
    let _ = terminal::keep_line_feeds(master.as_fd());
    master
}

/// Before anything is made: a terminal needs exactly one of a console socket and a foreground.
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

/// Bytes on their way from one side to the other.
#[derive(Default)]
struct Pipe {
    waiting: VecDeque<u8>,
    /// Nothing more comes from the one side.
    ended: bool,
    /// The other side takes nothing more.
    refused: bool,
}

/// More than this is not read before some of it has been written, in bytes.
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

    /// Write once.
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

/// The end of the launcher's input, which becomes the end of the terminal's.
///
/// A terminal has no end: a program that reads it waits for ever. So the launcher types what a
/// person types: the byte VEOF, which a shell understands while it edits a line, too. A file at
/// its end answers each read(2) with its end: VEOF is typed again once it has been read. It is
/// never typed while input is unread: a terminal that stops collecting lines (ICANON) makes a NUL
/// of a VEOF that waits.
struct End {
    /// When to look next whether everything has been read.
    due: Instant,
    /// Between two looks.
    delay: Duration,
    /// The last byte of the input was no line feed.
    unfinished: bool,
}

/// VEOF of a new terminal, which programs that edit lines know too: control-D.
const CONTROL_D: u8 = 4;

/// Between two looks: at first, and at most. Each is twice the one before while nobody reads.
const DELAYS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

impl End {
    fn new(unfinished: bool) -> End {
        End { due: Instant::now(), delay: DELAYS.0, unfinished }
    }

    /// Type the end if it is due.
    fn tell(&mut self, master: BorrowedFd<'_>) {
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
            // A shell that edits lines runs the last one without its line feed, as it does when it
            // reads a pipe: by the key that ends a line.
            Ok(None) if std::mem::take(&mut self.unfinished) => b"\r",
            _ => &[CONTROL_D],
        };
        // Full, or without a slave: then the next look comes.
        let _ = terminal::write(master, bytes);
    }

    fn timeout_ms(&self) -> i32 {
        let left = self.due.saturating_duration_since(Instant::now());
        // Rounded up: a timeout that is too short would be a turn for nothing.
        left.as_millis() as i32 + 1
    }
}

/// A master between the container and the launcher's own stdin and stdout.
pub struct Console {
    /// `None` once it is hung up.
    master: Option<OwnedFd>,
    before: Option<terminal::Settings>,
    input: Pipe,
    /// The last byte of the input.
    last: u8,
    end: Option<End>,
    output: Pipe,
}

/// What a [`Console`] waits for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wants {
    /// Standard input can be read.
    pub stdin: bool,
    /// Standard output can be written.
    pub stdout: bool,
    /// The master can be read.
    pub master_read: bool,
    /// The master can be written.
    pub master_write: bool,
}

impl Console {
    /// Make the launcher's terminal raw, if it has one.
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

    /// The window has changed.
    pub fn resize(&self) {
        if let Some(master) = &self.master {
            // Without a terminal on this side there is no size to take over.
            let _ = terminal::copy_size(io::stdin().as_fd(), master.as_fd());
        }
    }

    /// What to wait for.
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

    /// How long to wait for it, in milliseconds; -1 for ever.
    pub fn timeout_ms(&self) -> i32 {
        self.end.as_ref().filter(|_| self.master.is_some()).map_or(-1, End::timeout_ms)
    }

    /// The container's side; `None` once it is hung up.
    pub fn master(&self) -> Option<BorrowedFd<'_>> {
        self.master.as_ref().map(AsFd::as_fd)
    }

    /// Move what can be moved: `stdin` and `stdout` are ready, or something about the master is.
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
            // Nobody reads what the program writes. Without a terminal it would get SIGPIPE; now it
            // gets SIGHUP and EIO, and does not wait for a reader for ever.
            self.master = None;
        }
    }

    /// The program has ended: what it wrote last is still to be shown.
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
