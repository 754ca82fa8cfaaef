//! The outside of a machine that runs: its console, its link, QEMU's messages, our own standard
//! streams and signals, and the time.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::qemu;
use crate::link::{Arrived, Frame, FromMachine, ToMachine};
use crate::sys::signal::{self, Interest};
use crate::sys::{process, terminal};
use crate::{Error, Result, log};

/// How a machine has ended.
#[derive(Debug)]
pub enum End {
    /// With this status of its container.
    Status(u8),
    /// Its first process says why there is no status.
    Failed(String),
    /// QEMU has ended, with this status if it was no signal.
    Gone(Option<i32>),
    /// The time was over.
    Late,
    /// We were told to end before the container ran.
    Signal(i32),
}

/// How much of the console is kept for an error, in bytes, and how much of it is shown, in lines.
const KEPT: usize = 64 << 10;
const SHOWN: usize = 24;

/// The most bytes that wait to be written before no more are read.
const MOST_WAITING: usize = 64 << 10;

/// A pipe that poll(2) calls writable takes this much without blocking, in bytes (PIPE_BUF).
const ONE_WRITE: usize = 4096;

/// The outside of a machine.
pub struct Host {
    link: UnixStream,
    console: UnixStream,
    /// The ends for QEMU, until it has been started.
    theirs: Option<(UnixStream, UnixStream)>,
    signals: OwnedFd,
    qemu: Option<(Child, OwnedFd)>,
    messages: Option<io::PipeReader>,
    arrived: Arrived,
    /// What the kernel and QEMU have written.
    kept: VecDeque<u8>,
    said: Vec<u8>,
    shows_console: bool,
    /// What waits for our standard output and standard error.
    out: VecDeque<u8>,
    err: VecDeque<u8>,
    /// What waits for the machine.
    to_machine: VecDeque<u8>,
    granted: usize,
    input_ended: bool,
    raw: Option<terminal::Settings>,
    has_terminal: bool,
    end: Option<End>,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Signal,
    Link,
    Console,
    Messages,
    Input,
    Output,
    Errors,
    Gone,
}

impl Host {
    /// Make the ends of both lines, and take all signals from now on.
    ///
    /// # Errors
    /// socketpair(2) or signalfd(2) fails.
    pub fn new(shows_console: bool) -> Result<Host> {
        let pair = || {
            let pair =
                UnixStream::pair().map_err(|e| Error::io("QEMU's ports", "socketpair", &e))?;
            let set = pair.0.set_nonblocking(true);
            set.map_err(|e| Error::io("QEMU's ports", "fcntl", &e)).map(|()| pair)
        };
        let ((link, their_link), (console, their_console)) = (pair()?, pair()?);
        let signals = signal::all().map_err(|e| Error::io("signals", "signalfd", &e))?;
        Ok(Host {
            link,
            console,
            theirs: Some((their_link, their_console)),
            signals,
            qemu: None,
            messages: None,
            arrived: Arrived::default(),
            kept: VecDeque::new(),
            said: Vec::new(),
            shows_console,
            out: VecDeque::new(),
            err: VecDeque::new(),
            to_machine: VecDeque::new(),
            granted: 0,
            input_ended: false,
            raw: None,
            has_terminal: false,
            end: None,
        })
    }

    /// The descriptor of QEMU's end of the link.
    pub fn link_end(&self) -> RawFd {
        self.theirs.as_ref().map_or(-1, |it| it.0.as_raw_fd())
    }

    /// The descriptor of QEMU's end of the console.
    pub fn console_end(&self) -> RawFd {
        self.theirs.as_ref().map_or(-1, |it| it.1.as_raw_fd())
    }

    /// Start QEMU, which inherits these descriptors.
    ///
    /// # Errors
    /// It cannot be executed.
    pub fn start(
        &mut self,
        program: &Path,
        arguments: Vec<OsString>,
        inherited: Vec<RawFd>,
    ) -> Result<()> {
        let (messages, theirs) = io::pipe().map_err(|e| Error::io("QEMU", "pipe2", &e))?;
        let again = theirs.try_clone().map_err(|e| Error::io("QEMU", "dup", &e))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(theirs).stderr(again);
        process::inherit(&mut command, inherited);
        let child = command.spawn().map_err(|e| qemu::absent(program, &e))?;
        let pidfd = process::pidfd_open(child.id() as i32);
        let pidfd = pidfd.map_err(|e| Error::io("QEMU", "pidfd_open", &e))?;
        self.qemu = Some((child, pidfd));
        self.messages = Some(messages);
        // So that the end of QEMU is the end of the lines.
        self.theirs = None;
        Ok(())
    }

    /// Work until the machine has ended, or the time is over.
    ///
    /// # Errors
    /// A system call of ours fails.
    pub fn work(&mut self, until: Option<Instant>) -> Result<End> {
        let worked = self.until_end(until);
        if let Some(settings) = self.raw.take() {
            let _ = terminal::restore(io::stdin().as_fd(), &settings);
        }
        // What the machine has to write is written when it says its status.
        if let Some((child, _)) = &mut self.qemu {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.qemu = None;
        worked
    }

    fn until_end(&mut self, until: Option<Instant>) -> Result<End> {
        loop {
            let written = self.out.is_empty() && self.err.is_empty();
            if let Some(end) = self.end.take_if(|_| written) {
                return Ok(end);
            }
            let late = until.is_some_and(|until| Instant::now() >= until);
            if late {
                return Ok(End::Late);
            }
            for event in self.wait(until)? {
                self.answer(event)?;
            }
        }
    }

    fn wait(&self, until: Option<Instant>) -> Result<Vec<Event>> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let room = self.out.len().max(self.err.len()) < MOST_WAITING;
        let runs = self.end.is_none();
        let write = |fd, wanted| Interest { fd, read: false, write: wanted, urgent: false };
        let link = Interest {
            fd: self.link.as_fd(),
            read: room && runs,
            write: !self.to_machine.is_empty() && runs,
            urgent: false,
        };
        let own: BorrowedFd<'_> = self.signals.as_fd();
        let gone = self.qemu.as_ref().map_or(own, |it| it.1.as_fd());
        let messages = self.messages.as_ref().map_or(own, AsFd::as_fd);
        let all = [
            (Event::Signal, Interest::read(own, true)),
            (Event::Link, link),
            (Event::Console, Interest::read(self.console.as_fd(), room && runs)),
            (Event::Messages, Interest::read(messages, self.messages.is_some() && runs)),
            (Event::Input, Interest::read(stdin.as_fd(), self.wants_input())),
            (Event::Output, write(stdout.as_fd(), !self.out.is_empty())),
            (Event::Errors, write(stderr.as_fd(), !self.err.is_empty())),
            (Event::Gone, Interest::read(gone, self.qemu.is_some() && runs)),
        ];
        let (events, interests): (Vec<Event>, Vec<Interest<'_>>) = all.into_iter().unzip();
        let timeout_ms = until.map_or(-1, |until| {
            let left = until.saturating_duration_since(Instant::now()).as_millis() + 1;
            i32::try_from(left).unwrap_or(i32::MAX)
        });
        let ready =
            signal::wait(&interests, timeout_ms).map_err(|e| Error::io("waiting", "poll", &e))?;
        Ok(events.into_iter().zip(ready).filter(|it| it.1).map(|it| it.0).collect())
    }

    fn wants_input(&self) -> bool {
        self.granted > 0 && !self.input_ended && self.end.is_none()
    }

    fn answer(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Signal => {
                let number = signal::next(&self.signals);
                self.signal(number.map_err(|e| Error::io("signals", "read", &e))?);
            }
            Event::Link => self.of_link(),
            Event::Console => self.of_console(),
            Event::Messages => match read(self.messages.as_ref().map(AsFd::as_fd)) {
                Some(bytes) => self.said.extend(bytes),
                None => self.messages = None,
            },
            Event::Input => self.of_input(),
            Event::Output => drain(&mut self.out, io::stdout().as_fd()),
            Event::Errors => drain(&mut self.err, io::stderr().as_fd()),
            Event::Gone => self.gone(),
        }
        Ok(())
    }

    fn of_link(&mut self) {
        if !self.to_machine.is_empty() {
            drain(&mut self.to_machine, self.link.as_fd());
        }
        let bytes = read(Some(self.link.as_fd())).unwrap_or_default();
        for frame in self.arrived.add::<FromMachine>(&bytes) {
            match frame {
                FromMachine::Output(bytes) => self.out.extend(bytes),
                FromMachine::Errors(bytes) => self.err.extend(bytes),
                FromMachine::Grant(count) => self.granted += count as usize,
                FromMachine::Status(status) => self.end = Some(End::Status(status)),
                FromMachine::Failed(text) => self.end = Some(End::Failed(text)),
                FromMachine::Terminal => self.terminal(),
            }
        }
    }

    /// A program with a terminal has begun: ours is a part of it, if we have one.
    fn terminal(&mut self) {
        self.has_terminal = true;
        if self.raw.is_none() && io::stdin().is_terminal() {
            self.raw = terminal::make_raw(io::stdin().as_fd()).ok();
        }
        self.resize();
    }

    fn resize(&mut self) {
        if let (true, Ok((rows, columns))) =
            (self.has_terminal, terminal::size(io::stdin().as_fd()))
        {
            self.say(&ToMachine::Size(rows, columns));
        }
    }

    fn say(&mut self, frame: &ToMachine) {
        self.to_machine.extend(frame.bytes());
    }

    fn of_console(&mut self) {
        let Some(bytes) = read(Some(self.console.as_fd())) else { return };
        if self.shows_console {
            self.err.extend(&bytes);
        }
        self.kept.extend(&bytes);
        let over = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..over);
    }

    fn of_input(&mut self) {
        let mut bytes = [0; 2048];
        let most = self.granted.min(bytes.len());
        match terminal::read(io::stdin().as_fd(), &mut bytes[..most]) {
            Ok(got @ 1..) => {
                self.granted -= got;
                self.say(&ToMachine::Input(bytes[..got].to_vec()));
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) => {}
            Ok(0) | Err(_) => {
                self.input_ended = true;
                self.say(&ToMachine::End);
            }
        }
    }

    fn signal(&mut self, number: i32) {
        match number {
            libc::SIGCHLD | libc::SIGURG | libc::SIGCONT | libc::SIGPIPE => {}
            libc::SIGWINCH => self.resize(),
            _ if self.arrived.is_greeted() => {
                self.say(&ToMachine::Signal(number as u8));
            }
            libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => {
                self.end.get_or_insert(End::Signal(number));
            }
            _ => {}
        }
    }

    /// QEMU has ended: take what it and the machine have said before.
    fn gone(&mut self) {
        self.of_link();
        self.of_console();
        while let Some(bytes) = read(self.messages.as_ref().map(AsFd::as_fd)) {
            self.said.extend(bytes);
        }
        let status = self.qemu.as_mut().and_then(|(child, _)| child.wait().ok());
        self.end.get_or_insert(End::Gone(status.and_then(|status| status.code())));
        self.qemu = None;
    }

    /// The error of a machine that has ended without a status.
    pub fn error(&self, end: End, timeout: Option<Duration>) -> Error {
        let (front, back) = self.kept.as_slices();
        let console = colourless(&String::from_utf8_lossy(&[front, back].concat()));
        let panic = console.lines().find_map(|line| line.split_once("Kernel panic - "));
        let panicked = panic.is_some();
        let booting = !self.arrived.is_greeted();
        let error = match end {
            End::Failed(text) => return Error::new(format!("in the machine: {text}")),
            End::Late => {
                let seconds = timeout.unwrap_or_default().as_secs_f64();
                let error = Error::new(format!("not finished after {seconds} s (--timeout)"));
                // Once containers run, the console says nothing of them.
                match booting || panicked {
                    true => error,
                    false => return error,
                }
            }
            End::Signal(number) => {
                let name = crate::signals::ending(process::Exit::Signal(number));
                return Error::new(format!("{name} before the container ran"));
            }
            End::Gone(Some(0)) | End::Status(_) if panicked => {
                let why = panic.map_or("", |(_, why)| why.trim_end());
                Error::new(format!("the kernel panicked: {why}"))
            }
            End::Gone(Some(0)) | End::Status(_) => match told(&console).filter(|_| booting) {
                Some(text) => return Error::new(format!("in the machine: {text}")),
                None => Error::new("the machine ended without a status, as one that was reset"),
            },
            End::Gone(Some(status)) => self.of_qemu(&format!("exit status {status}")),
            End::Gone(None) => self.of_qemu("killed by a signal"),
        };
        let lines: Vec<&str> = console.lines().map(str::trim_end).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(SHOWN));
        last.filter(|line| !line.is_empty()).fold(error, |error, line| error.detail(*line))
    }

    fn of_qemu(&self, how: &str) -> Error {
        let said = String::from_utf8_lossy(&self.said);
        let error = Error::new(format!("QEMU failed: {how}"));
        said.lines().fold(error, |error, line| error.detail(line.trim_end()))
    }
}

/// The text without what `colour` puts around words, as on the machine's console.
fn colourless(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default();
    parts.fold(first.to_owned(), |so_far, part| {
        let digits = part.trim_start_matches(|it: char| it.is_ascii_digit() || it == ';');
        so_far + digits.strip_prefix('m').unwrap_or(part)
    })
}

/// Why the first process could not go on, in one line, if it says so on the console: before it has
/// loaded the modules there is no link.
fn told(console: &str) -> Option<String> {
    let error = |line: &&str| line.starts_with(OURS) && !line[OURS.len()..].starts_with("warning:");
    let mut lines = console.lines().map(str::trim_end).skip_while(|line| !error(line));
    let first = lines.next()?.strip_prefix(OURS)?;
    let more = lines.take_while(|line| line.starts_with("  ")).map(str::trim);
    Some(more.fold(first.to_owned(), |text, line| text + "; " + line))
}

/// How a line of the first process begins.
const OURS: &str = "tiny-ce: ";

/// Read once, without waiting; `None` at the end.
fn read(from: Option<BorrowedFd<'_>>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 16 << 10];
    match terminal::read(from?, &mut bytes) {
        Ok(0) => None,
        Ok(got) => {
            bytes.truncate(got);
            Some(bytes)
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) => Some(Vec::new()),
        Err(_) => None,
    }
}

/// Write once what waits, as much as a pipe takes without blocking. Who closes it does not get it.
fn drain(waiting: &mut VecDeque<u8>, to: BorrowedFd<'_>) {
    let bytes = waiting.as_slices().0;
    match terminal::write(to, &bytes[..bytes.len().min(ONE_WRITE)]) {
        Ok(put) => drop(waiting.drain(..put)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
        Err(e) => {
            log::debug(|| format!("output is lost: {e}"));
            waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_console_tells_of_a_failure() {
        let console = "[    1.0] text\r\ntiny-ce: \x1b[33mwarning:\x1b[0m no cpu\r\n\
                       \x1b[31mtiny-ce:\x1b[0m module \"x\": finit_module(2): ENOEXEC\r\n  \
                       \x1b[36mhint:\x1b[0m the module is of another kernel\r\n\
                       [    8.8] reboot: Power down\r\n";
        let wanted =
            "module \"x\": finit_module(2): ENOEXEC; hint: the module is of another kernel";
        assert_eq!(told(&colourless(console)).as_deref(), Some(wanted));
        assert_eq!(told("[    0.1] Booting\n"), None);
        assert_eq!(colourless("a\x1b[0"), "a0");
        assert_eq!(colourless("\x1b[2Jb"), "2Jb");
    }
}
