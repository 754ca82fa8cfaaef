//! The terminal of a container on this side: handed to a console socket, or copied to and from the
//! terminal that the launcher was started on.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::error::{Error, Result};
use crate::sys::{socket, terminal};

/// Give the master to whoever listens at `path`, as engines expect it: one message, one descriptor.
pub fn hand_over(path: &Path, master: &OwnedFd) -> Result<()> {
    let place = || format!("--console-socket {}", path.display());
    let connection = socket::connect_path(path).map_err(|e| {
        Error::io(place(), "connect", &e).hint("the caller must listen on that socket")
    })?;
    socket::send(&connection, b"/dev/ptmx", master).map_err(|e| Error::io(place(), "sendmsg", &e))
}

/// The master that this process keeps, with the size of its own terminal, if it has one: before the
/// program looks.
pub fn sized(master: OwnedFd) -> OwnedFd {
    let _ = terminal::copy_size(io::stdin().as_fd(), master.as_fd());
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
    ended: bool,
}

/// More than this is not read before some of it has been written, in bytes.
const MOST_WAITING: usize = 64 << 10;

impl Pipe {
    fn wants(&self) -> bool {
        !self.ended && self.waiting.len() < MOST_WAITING
    }

    fn fill(&mut self, from: BorrowedFd<'_>) {
        let mut bytes = [0; 8192];
        match terminal::read(from, &mut bytes) {
            Ok(0) => self.ended = true,
            Ok(got) => self.waiting.extend(&bytes[..got]),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // EIO: nobody has the slave open any more.
            Err(_) => self.ended = true,
        }
    }

    fn drain(&mut self, to: BorrowedFd<'_>) {
        while !self.waiting.is_empty() {
            match terminal::write(to, self.waiting.as_slices().0) {
                Ok(put) => drop(self.waiting.drain(..put)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.waiting.clear();
                    self.ended = true;
                }
            }
        }
    }
}

/// A master between the container and the launcher's own stdin and stdout.
pub struct Console {
    master: OwnedFd,
    before: Option<terminal::Settings>,
    input: Pipe,
    output: Pipe,
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
        let console = Console { master, before, input: Pipe::default(), output: Pipe::default() };
        console.resize();
        Ok(console)
    }

    /// The window has changed.
    pub fn resize(&self) {
        // Without a terminal on this side there is no size to take over.
        let _ = terminal::copy_size(io::stdin().as_fd(), self.master.as_fd());
    }

    /// What to wait for: (stdin if wanted, master if wanted, master for writing).
    pub fn wants(&self) -> (bool, bool, bool) {
        (self.input.wants(), self.output.wants(), !self.input.waiting.is_empty())
    }

    /// The container's side.
    pub fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Move what can be moved.
    pub fn turn(&mut self, stdin: bool, master: bool) {
        if stdin {
            self.input.fill(io::stdin().as_fd());
        }
        if master {
            self.output.fill(self.master.as_fd());
            self.output.drain(io::stdout().as_fd());
        }
        self.input.drain(self.master.as_fd());
    }

    /// The program has ended: what it wrote last is still to be shown.
    pub fn finish(&mut self) {
        while !self.output.ended {
            let before = self.output.waiting.len();
            self.output.fill(self.master.as_fd());
            if self.output.waiting.len() == before {
                break;
            }
            self.output.drain(io::stdout().as_fd());
        }
        self.output.drain(io::stdout().as_fd());
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = terminal::restore(io::stdin().as_fd(), before);
        }
    }
}
