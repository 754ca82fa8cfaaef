//! What is outside of a machine: the console, or the program that booted it, at the other end of a
//! link.
//!
//! Moves bytes of standard streams, and knows no program that they are of.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::link::{Arrived, Frame, FromMachine, HELLO, LONGEST, ToMachine, WINDOW};
use crate::sys::signal::{self, Interest};
use crate::sys::{machine, terminal};
use crate::{Error, Result};

/// The most bytes that wait to be sent before no more output is read, in bytes.
const MOST_WAITING: usize = 64 << 10;

/// How long a driver may take to make the link's device, and the link to send its last bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the device is looked for.
const PAUSE: Duration = Duration::from_millis(5);

/// The link.
pub struct Link {
    file: File,
    waiting: VecDeque<u8>,
    arrived: Arrived,
    /// Whether the other end can be reached; a line that fails once is given up.
    broken: bool,
}

impl Link {
    /// Open the device of the link and greet the other end.
    ///
    /// # Errors
    /// The device does not appear, or it cannot be opened or set up.
    pub fn open(path: &str) -> Result<Link> {
        let place = || format!("tiny-ce.link={path}");
        let failed = |call| move |e: io::Error| Error::io(place(), call, &e);
        let end = Instant::now() + PATIENCE;
        let file = loop {
            let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
            let open = File::options().read(true).write(true).custom_flags(flags).open(path);
            match open {
                Ok(file) => break file,
                // A driver makes the name first, and the port behind it a moment later (ENXIO).
                Err(e) if Instant::now() > end => {
                    let error = failed("open")(e);
                    return Err(error.hint("its driver may be a module: name it in machine.json"));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        };
        machine::make_transparent(&file).map_err(failed("ioctl"))?;
        let mut link = Link {
            file,
            waiting: HELLO.iter().copied().collect(),
            arrived: Arrived::after_hello(),
            broken: false,
        };
        link.say(&FromMachine::Grant(WINDOW));
        Ok(link)
    }

    /// Another descriptor of the line.
    pub fn file(&self) -> Option<File> {
        self.file.try_clone().ok()
    }

    /// Send a frame as soon as the line takes it.
    pub fn say(&mut self, frame: &FromMachine) {
        if !self.broken {
            self.waiting.extend(frame.bytes());
        }
    }

    /// Send output, cut into frames.
    pub fn say_output(&mut self, errors: bool, bytes: &[u8]) {
        for piece in bytes.chunks(LONGEST) {
            self.say(&match errors {
                true => FromMachine::Errors(piece.to_vec()),
                false => FromMachine::Output(piece.to_vec()),
            });
        }
    }

    /// Whether more output may be read.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// What to wait for.
    pub fn interest(&self) -> Interest<'_> {
        let write = !self.waiting.is_empty() && !self.broken;
        Interest { fd: self.file.as_fd(), read: !self.broken, write, urgent: false }
    }

    /// Send and receive what can be without waiting.
    pub fn turn(&mut self) -> Vec<ToMachine> {
        self.send();
        let mut bytes = [0; 4096];
        match terminal::read(self.file.as_fd(), &mut bytes) {
            Ok(0) => Vec::new(),
            Ok(got) => self.arrived.add(&bytes[..got]),
            Err(e) if would_block(&e) => Vec::new(),
            Err(_) => {
                self.broken = true;
                Vec::new()
            }
        }
    }

    fn send(&mut self) {
        while !self.waiting.is_empty() && !self.broken {
            match terminal::write(self.file.as_fd(), self.waiting.as_slices().0) {
                Ok(put) => drop(self.waiting.drain(..put)),
                Err(e) if would_block(&e) => return,
                Err(_) => self.broken = true,
            }
        }
    }

    /// Send everything that waits, and this frame as the last.
    pub fn finish(&mut self, last: &FromMachine) {
        self.say(last);
        let end = Instant::now() + PATIENCE;
        while !self.waiting.is_empty() && !self.broken && Instant::now() < end {
            let interest = Interest { read: false, ..self.interest() };
            if signal::wait(&[interest], 100).is_err() {
                break;
            }
            self.send();
        }
        let _ = machine::drain(&self.file);
    }
}

/// Whether nothing can be read or written now.
pub fn would_block(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Where the output of programs goes, and where their input comes from.
pub enum Outside {
    /// The machine's console, with the settings that it had.
    Console(Option<terminal::Settings>),
    /// The program that booted the machine.
    Link(Box<Link>),
}

impl Outside {
    /// Whether more output may be read from programs.
    pub fn has_room(&self) -> bool {
        match self {
            Outside::Console(_) => true,
            Outside::Link(link) => link.has_room(),
        }
    }

    /// Pass on what a program has written.
    pub fn put(&mut self, errors: bool, bytes: &[u8]) {
        match self {
            // The console takes a line in a bounded time, whoever looks at it.
            Outside::Console(_) => {
                use std::io::Write;
                let _ = io::stdout().write_all(bytes).and_then(|()| io::stdout().flush());
            }
            Outside::Link(link) => link.say_output(errors, bytes),
        }
    }

    /// Say something of our own to the user, who may look at the console or at the link.
    pub fn warn(&mut self, text: &str) {
        crate::log::warning(text);
        if let Outside::Link(link) = self {
            link.say_output(true, format!("tiny-ce: warning: {text}\n").as_bytes());
        }
    }

    /// A program with a terminal has begun: every byte that is typed is for that terminal.
    pub fn begin_terminal(&mut self) {
        match self {
            Outside::Console(before @ None) => {
                *before = terminal::make_raw(io::stdin().as_fd()).ok();
            }
            Outside::Console(_) => {}
            Outside::Link(link) => link.say(&FromMachine::Terminal),
        }
    }

    /// Undo [`Outside::begin_terminal`].
    pub fn end_terminal(&mut self) {
        if let Outside::Console(before) = self
            && let Some(settings) = before.take()
        {
            let _ = terminal::restore(io::stdin().as_fd(), &settings);
        }
    }
}

/// Read once, without waiting; `None` at the end.
pub fn read_some(from: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 8192];
    match terminal::read(from, &mut bytes) {
        Ok(0) => None,
        Ok(got) => {
            bytes.truncate(got);
            Some(bytes)
        }
        Err(e) if would_block(&e) => Some(Vec::new()),
        // EIO: no process has the slave of a terminal open any more.
        Err(_) => None,
    }
}
