//! Run the machine's jobs: start each when it is due, pass its streams and its signals on, reap it
//! and all orphans, and start it again if its policy says so.
//!
//! Knows the order of jobs and the end of the machine; not how a container is made.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::end::{self, Verdict};
use super::outside::{Outside, read_some};
use super::power_key::PowerKeys;
use super::program::{self, Place, Program};
use crate::link::{FromMachine, ToMachine};
use crate::spec::machine::{Job, Restart};
use crate::sys::process::{self, Exit};
use crate::sys::signal::{self, Interest};
use crate::{Error, Result};

/// How long programs have to end when they are asked to.
const GRACE: Duration = Duration::from_secs(10);

/// The pause before a program is started again: it doubles from the first to the longest while the
/// program ends sooner than the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A job and what has become of it.
struct Supervised {
    job: Job,
    state: State,
    pause: Duration,
    /// When it was started last.
    began: Instant,
}

enum State {
    Waiting,
    Runs(Box<Program>),
    Rests(Instant),
    Ended(Exit),
}

/// The first process at work.
pub struct Supervisor<'a> {
    jobs: Vec<Supervised>,
    /// The command of the kernel's command line, for the last bundle.
    words: &'a [String],
    outside: &'a mut Outside,
    signals: &'a OwnedFd,
    console: &'a [OwnedFd; 3],
    keys: PowerKeys,
    /// Input that no program takes yet.
    input: Vec<u8>,
    input_ended: bool,
    /// Why the machine ends, and when its programs are killed.
    ending: Option<(Verdict, Instant)>,
}

/// What poll(2) found.
enum Event {
    Signal,
    Key(usize),
    Link,
    Console,
    Stream(usize, Place),
}

impl<'a> Supervisor<'a> {
    pub fn new(
        jobs: Vec<Job>,
        words: &'a [String],
        outside: &'a mut Outside,
        signals: &'a OwnedFd,
        console: &'a [OwnedFd; 3],
    ) -> Self {
        let supervised =
            |job| Supervised { job, state: State::Waiting, pause: PAUSES.0, began: Instant::now() };
        let jobs = jobs.into_iter().map(supervised).collect();
        let (input, keys) = (Vec::new(), PowerKeys::open());
        Supervisor {
            jobs,
            words,
            outside,
            signals,
            console,
            keys,
            input,
            input_ended: false,
            ending: None,
        }
    }

    /// Work until the machine ends.
    ///
    /// # Errors
    /// A job cannot be started, or a system call of the first process itself fails.
    pub fn work(&mut self) -> Result<Verdict> {
        loop {
            self.start_due()?;
            if let Some(verdict) = self.verdict() {
                return Ok(verdict);
            }
            let end_ms = self.last().and_then(Program::tell_end);
            for event in self.wait(end_ms)? {
                self.answer(event)?;
            }
        }
    }

    /// Start every job whose turn it is.
    fn start_due(&mut self) -> Result<()> {
        if self.ending.is_some() {
            return Ok(());
        }
        for index in 0..self.jobs.len() {
            let it = &self.jobs[index];
            let due = match it.state {
                State::Waiting => true,
                State::Rests(until) => Instant::now() >= until,
                State::Runs(_) | State::Ended(_) => false,
            };
            if due {
                self.start(index)?;
            }
            let it = &self.jobs[index];
            let succeeded = matches!(it.state, State::Ended(Exit::Status(0)));
            if it.job.wait && !succeeded {
                return Ok(());
            }
        }
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<()> {
        let last = self.jobs.iter().rposition(|it| it.job.bundle.is_some());
        let words = if last == Some(index) { self.words } else { &[] };
        let has_input = self.has_input(index);
        let job = &self.jobs[index].job;
        let started = program::start(job, has_input, words, self.outside, self.console);
        let it = &mut self.jobs[index];
        it.began = Instant::now();
        it.state = match started {
            Ok(program) => State::Runs(Box::new(program)),
            // What could be started once may be started again later.
            Err(e) if it.pause > PAUSES.0 => {
                self.outside.warn(&crate::log::one_line(&e));
                it.pause = (it.pause * 2).min(PAUSES.1);
                State::Rests(Instant::now() + it.pause)
            }
            Err(e) => return Err(e),
        };
        self.feed();
        Ok(())
    }

    /// Standard input is for the last job.
    fn has_input(&self, index: usize) -> bool {
        index + 1 == self.jobs.len()
    }

    /// How the machine ends, if it does now.
    fn verdict(&mut self) -> Option<Verdict> {
        let running = |it: &Supervised| matches!(it.state, State::Runs(_));
        if self.ending.is_some() {
            let (_, end) = self.ending.as_ref()?;
            let over = Instant::now() >= *end || !self.jobs.iter().any(running);
            return if over { self.ending.take().map(|it| it.0) } else { None };
        }
        let mut waited = self.jobs.iter().filter(|it| it.job.is_waited_for()).peekable();
        waited.peek()?;
        let mut ends = Vec::new();
        for it in waited {
            match it.state {
                State::Ended(exit) if it.job.wait && exit != Exit::Status(0) => {
                    ends.push(exit);
                    break;
                }
                State::Ended(exit) => ends.push(exit),
                _ => return None,
            }
        }
        let failed = ends.into_iter().find(|exit| *exit != Exit::Status(0));
        let code = failed.map_or(0, Exit::code);
        self.end(Verdict::Status(u8::try_from(code).unwrap_or(u8::MAX)));
        self.verdict()
    }

    /// Ask all programs to end.
    fn end(&mut self, verdict: Verdict) {
        self.ending.get_or_insert((verdict, Instant::now() + GRACE));
        for it in &self.jobs {
            if let State::Runs(program) = &it.state {
                program.kill(libc::SIGTERM);
                // One that is stopped, or frozen by its shell, would not see it.
                program.kill(libc::SIGCONT);
            }
        }
    }

    fn wait(&self, end_ms: Option<i32>) -> Result<Vec<Event>> {
        let stdin = io::stdin();
        let mut all = vec![(Event::Signal, Interest::read(self.signals.as_fd(), true))];
        let keys = self.keys.fds().enumerate();
        all.extend(keys.map(|(number, fd)| (Event::Key(number), Interest::read(fd, true))));
        match &*self.outside {
            Outside::Link(link) => all.push((Event::Link, link.interest())),
            // The console's input is copied only into a terminal: others read it themselves.
            Outside::Console(raw) => {
                all.push((Event::Console, Interest::read(stdin.as_fd(), raw.is_some())));
            }
        }
        let room = self.outside.has_room();
        for (index, it) in self.jobs.iter().enumerate() {
            if let State::Runs(program) = &it.state {
                let places = program.interests(room).into_iter();
                all.extend(places.map(|(place, it)| (Event::Stream(index, place), it)));
            }
        }
        let (events, interests): (Vec<Event>, Vec<Interest<'_>>) = all.into_iter().unzip();
        let ready = signal::wait(&interests, self.timeout_ms(end_ms))
            .map_err(|e| Error::io("the first process", "poll", &e))?;
        let found = events.into_iter().zip(ready).filter(|(_, ready)| *ready);
        // From the last stream to the first, since an output that ends changes the numbers of those
        // after it.
        Ok(found.map(|(event, _)| event).rev().collect())
    }

    /// Until the next job rests no longer, the programs have had their time, or the end of input
    /// is due.
    fn timeout_ms(&self, end_ms: Option<i32>) -> i32 {
        let rests = self.jobs.iter().filter_map(|it| match it.state {
            State::Rests(until) => Some(until),
            _ => None,
        });
        let next = self.ending.iter().map(|(_, end)| *end).chain(rests);
        let left =
            next.map(|at| at.saturating_duration_since(Instant::now()).as_millis() as i32 + 1);
        left.chain(end_ms).min().unwrap_or(-1)
    }

    fn answer(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Signal => {
                let number =
                    signal::next(self.signals).map_err(|e| Error::io("signals", "read", &e))?;
                self.signal(number);
            }
            Event::Key(number) => {
                if self.keys.is_pressed(number) {
                    self.end(Verdict::Told("the power key"));
                }
            }
            Event::Link => {
                let Outside::Link(link) = &mut *self.outside else { return Ok(()) };
                for frame in link.turn() {
                    self.told(frame);
                }
            }
            Event::Console => {
                let bytes = read_some(io::stdin().as_fd());
                self.input.extend(bytes.unwrap_or_default());
                self.feed();
            }
            Event::Stream(index, place) => {
                if let State::Runs(program) = &mut self.jobs[index].state {
                    let taken = program.turn(place, self.outside);
                    self.grant(taken);
                }
            }
        }
        Ok(())
    }

    fn signal(&mut self, number: i32) {
        match number {
            libc::SIGCHLD => self.reap(),
            // The kernel sends it for Ctrl-Alt-Del (reboot(2), CAD_OFF).
            libc::SIGINT => self.end(Verdict::Restart),
            // init(8) of others is told to switch off by these.
            libc::SIGTERM | libc::SIGUSR2 | libc::SIGPWR => {
                self.end(Verdict::Told("a signal to the first process"));
            }
            _ => {}
        }
    }

    fn told(&mut self, frame: ToMachine) {
        match frame {
            ToMachine::Input(bytes) => {
                self.input.extend(bytes);
                self.feed();
            }
            ToMachine::End => {
                self.input_ended = true;
                self.feed();
            }
            ToMachine::Signal(number) => match (self.last(), i32::from(number)) {
                (Some(program), number) => program.kill(number),
                (None, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT) => {
                    self.end(Verdict::Told("a signal, before the last container ran"));
                }
                (None, _) => {}
            },
            ToMachine::Size(rows, columns) => {
                if let Some(program) = self.last() {
                    program.resize(rows, columns);
                }
            }
        }
    }

    /// The program of the last job, to which input and signals go.
    fn last(&mut self) -> Option<&mut Program> {
        match &mut self.jobs.last_mut()?.state {
            State::Runs(program) => Some(program),
            _ => None,
        }
    }

    /// Give the last job what there is of input.
    fn feed(&mut self) {
        let (input, ended) = (std::mem::take(&mut self.input), self.input_ended);
        match self.last().filter(|program| program.takes_input()) {
            Some(program) => {
                program.feed(&input);
                if ended {
                    program.end_input();
                }
            }
            None => self.input = input,
        }
    }

    /// The other end of the link may send as many bytes as a program has taken.
    fn grant(&mut self, taken: usize) {
        if let (Outside::Link(link), 1..) = (&mut *self.outside, taken) {
            link.say(&FromMachine::Grant(taken as u32));
        }
    }

    /// Reap every child that has ended. Those that are no job's are orphans.
    fn reap(&mut self) {
        while let Some(pid) = process::ended_child() {
            let Some(exit) = process::reap_exit(pid) else { return };
            let of_pid =
                |it: &Supervised| matches!(&it.state, State::Runs(program) if program.pid() == pid);
            if let Some(index) = self.jobs.iter().position(of_pid) {
                self.ended(index, exit);
            }
        }
    }

    /// The program of a job has ended.
    fn ended(&mut self, index: usize, exit: Exit) {
        let several = self.jobs.len() > 1;
        let it = &mut self.jobs[index];
        let name = it.job.name();
        if let State::Runs(mut program) = std::mem::replace(&mut it.state, State::Ended(exit)) {
            program.finish(self.outside);
            for text in program.delete(exit) {
                self.outside.warn(&format!("{name:?}: {text}"));
            }
        }
        if several || matches!(self.outside, Outside::Console(_)) {
            end::say_end(&name, exit);
        }
        let again = match it.job.restart {
            Some(Restart::Always) => true,
            Some(Restart::OnFailure) => exit != Exit::Status(0),
            Some(Restart::Never) | None => false,
        };
        if again && self.ending.is_none() {
            let pause = if it.began.elapsed() >= PAUSES.1 { PAUSES.0 } else { it.pause };
            it.pause = (pause * 2).min(PAUSES.1);
            it.state = State::Rests(Instant::now() + pause);
        }
    }
}
