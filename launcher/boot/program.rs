//! A program that the first process has started, a container or a command, and our ends of its
//! standard streams.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::outside::{Outside, read_some, would_block};
use crate::container::{self, Begun, LaunchOptions, Source};
use crate::foreground::console::End;
use crate::spec::machine::Job;
use crate::spec::{self, load};
use crate::sys::process::{self, Child, Exit};
use crate::sys::signal::Interest;
use crate::sys::{machine, terminal};
use crate::{Error, Result};

/// Where the state of the machine's containers is kept, as by root's tiny-ce elsewhere.
pub const STATE: &str = "/run/tiny-ce";

/// The config.json of a container whose command is that of the kernel's command line.
const CHANGED: &str = "/run/tiny-ce-config.json";

/// What commands find programs by: that of containers, in spec::default.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that runs.
pub struct Program {
    process: Process,
    streams: Streams,
}

enum Process {
    Container(Box<Begun>),
    Command(Child),
}

/// Our ends of a program's standard streams; those that it shares with the console have none.
#[derive(Default)]
struct Streams {
    stdin: Option<OwnedFd>,
    /// Output and errors; the flag says which.
    outputs: Vec<(bool, OwnedFd)>,
    /// The master of its terminal, in place of both.
    master: Option<OwnedFd>,
    /// Input that it has not taken yet.
    waiting: VecDeque<u8>,
    /// Whether its input ends after that.
    ended: bool,
    /// The last byte of its input.
    last: u8,
    /// The end of input on its terminal, once it has come.
    end: Option<End>,
}

/// The ends that the program gets.
type Theirs = [OwnedFd; 3];

/// Start a job. `has_input` says whether standard input is for it; `words`, if there are any, are
/// its command in place of that of its config.json.
///
/// # Errors
/// The container cannot be created or started, or the command cannot be executed.
pub fn start(
    job: &Job,
    has_input: bool,
    words: &[String],
    outside: &mut Outside,
    console: &Theirs,
) -> Result<Program> {
    let failed = |e| Error::io(format!("{:?}: standard streams", job.name()), "pipe2", &e);
    let shared = matches!(outside, Outside::Console(_));
    let (mut streams, theirs) = if shared && !job.terminal {
        (Streams::default(), of_console(console, has_input).map_err(failed)?)
    } else if job.terminal {
        of_terminal().map_err(failed)?
    } else {
        pipes(has_input).map_err(failed)?
    };
    let process = match &job.bundle {
        Some(bundle) => {
            let mut begun = in_streams(&theirs, console, || container(job, bundle, words))?;
            if let Some(master) = begun.terminal.take() {
                streams.stdin = None;
                streams.master = Some(master);
            }
            Process::Container(Box::new(begun))
        }
        None => Process::Command(command(job, theirs)?),
    };
    if let Some(master) = &streams.master {
        terminal::set_blocking(master.as_fd(), false).map_err(failed)?;
        outside.begin_terminal();
    }
    Ok(Program { process, streams })
}

fn container(job: &Job, bundle: &str, words: &[String]) -> Result<Begun> {
    let path = PathBuf::from(bundle);
    let config = match words {
        [] => "config.json".to_owned(),
        words => with_command(&path, words)?,
    };
    let options = LaunchOptions { init: job.init.then_some(true), ..LaunchOptions::default() };
    container::start_here(Path::new(STATE), &job.name(), Source::Bundle { path, config }, &options)
}

/// Write the bundle's config.json with another command, and return where.
fn with_command(bundle: &Path, words: &[String]) -> Result<String> {
    let (mut spec, _) = load(bundle, "config.json")?;
    spec.process.get_or_insert_default().args = words.to_vec();
    fs::write(CHANGED, spec::to_json(&spec)?).map_err(|e| Error::io(CHANGED, "write", &e))?;
    Ok(CHANGED.to_owned())
}

/// Do something with these standard streams, since a container gets those of its launcher.
fn in_streams<T>(theirs: &Theirs, console: &Theirs, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let set = |[stdin, stdout, stderr]: &Theirs| {
        let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        machine::set_streams(streams).map_err(|e| Error::io("standard streams", "dup3", &e))
    };
    set(theirs)?;
    let result = work();
    set(console)?;
    result
}

/// The console as it is, without its input unless that is for the program.
fn of_console(console: &Theirs, has_input: bool) -> io::Result<Theirs> {
    let stdin = match has_input {
        true => console[0].try_clone()?,
        false => File::open("/dev/null")?.into(),
    };
    Ok([stdin, console[1].try_clone()?, console[2].try_clone()?])
}

fn of_terminal() -> io::Result<(Streams, Theirs)> {
    let (master, slave) = machine::terminal()?;
    let theirs = [slave.try_clone()?, slave.try_clone()?, slave];
    Ok((Streams { master: Some(master), ..Streams::default() }, theirs))
}

fn pipes(has_input: bool) -> io::Result<(Streams, Theirs)> {
    let mut streams = Streams::default();
    let stdin = match has_input {
        true => {
            let (theirs, ours) = io::pipe()?;
            terminal::set_blocking(ours.as_fd(), false)?;
            streams.stdin = Some(ours.into());
            OwnedFd::from(theirs)
        }
        false => File::open("/dev/null")?.into(),
    };
    let mut output = |errors| -> io::Result<OwnedFd> {
        let (ours, theirs) = io::pipe()?;
        terminal::set_blocking(ours.as_fd(), false)?;
        streams.outputs.push((errors, ours.into()));
        Ok(theirs.into())
    };
    let theirs = [stdin, output(false)?, output(true)?];
    Ok((streams, theirs))
}

fn command(job: &Job, theirs: Theirs) -> Result<Child> {
    let name = job.command.first().map_or("", String::as_str);
    let [stdin, stdout, stderr] = theirs.map(Stdio::from);
    let mut command = Command::new(name);
    machine::prepare(&mut command, job.terminal);
    let started = command
        .args(job.command.get(1..).unwrap_or_default())
        .env_clear()
        .envs([("PATH", PATH), ("HOME", "/root"), ("TERM", "linux")])
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|e| Error::io(format!("command {name:?}"), "execve", &e))?;
    let pid = started.id() as i32;
    let failed = |e| Error::io(format!("command {name:?}"), "pidfd_open", &e);
    Ok(Child { pid, pidfd: process::pidfd_open(pid).map_err(failed)? })
}

/// A place where a program's streams have something for us, or room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An output, by its number.
    Output(usize),
    /// Its standard input.
    Stdin,
    /// The master of its terminal.
    Master,
}

impl Program {
    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child().pid
    }

    fn child(&self) -> &Child {
        match &self.process {
            Process::Container(begun) => &begun.child,
            Process::Command(child) => child,
        }
    }

    /// Send it a signal. If it has just ended, its end is seen soon.
    pub fn kill(&self, signal: i32) {
        let _ = process::kill(&self.child().pidfd, signal);
    }

    /// Delete its container, which has ended; return what the user should know.
    pub fn delete(&self, exit: Exit) -> Vec<String> {
        let Process::Container(begun) = &self.process else { return Vec::new() };
        let killed = begun.oom_killed(exit).map(|text| format!("a process was killed by {text}"));
        let left = begun.delete(Path::new(STATE)).err().map(|e| crate::log::one_line(&e));
        killed.into_iter().chain(left).collect()
    }

    /// Give it input.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.streams.last = bytes.last().copied().unwrap_or(self.streams.last);
        self.streams.waiting.extend(bytes);
    }

    /// Its input ends after what was given.
    pub fn end_input(&mut self) {
        self.streams.ended = true;
        self.close_if_ended();
    }

    /// Whether it still takes input.
    pub fn takes_input(&self) -> bool {
        self.streams.stdin.is_some() || self.streams.master.is_some()
    }

    /// Give its terminal this size.
    pub fn resize(&self, rows: u16, columns: u16) {
        if let Some(master) = &self.streams.master {
            let _ = terminal::set_size(master.as_fd(), rows, columns);
        }
    }

    /// What to wait for; `room` says whether output can be passed on.
    pub fn interests(&self, room: bool) -> Vec<(Place, Interest<'_>)> {
        let it = &self.streams;
        let has_input = !it.waiting.is_empty();
        let mut all: Vec<_> = it
            .outputs
            .iter()
            .enumerate()
            .map(|(number, (_, fd))| (Place::Output(number), Interest::read(fd.as_fd(), room)))
            .collect();
        if let Some(fd) = &it.master {
            let fd = fd.as_fd();
            all.push((Place::Master, Interest { fd, read: room, write: has_input, urgent: false }));
        }
        if let Some(fd) = &it.stdin {
            let fd = fd.as_fd();
            all.push((Place::Stdin, Interest { fd, read: false, write: has_input, urgent: false }));
        }
        all
    }

    /// Move bytes at a place that is ready; return how many bytes of input the program has taken.
    pub fn turn(&mut self, place: Place, outside: &mut Outside) -> usize {
        match place {
            Place::Output(number) => {
                if let Some((errors, fd)) = self.streams.outputs.get(number) {
                    match read_some(fd.as_fd()) {
                        Some(bytes) => outside.put(*errors, &bytes),
                        None => drop(self.streams.outputs.remove(number)),
                    }
                }
                0
            }
            Place::Stdin => self.write(),
            Place::Master => {
                match self.streams.master.as_ref().and_then(|fd| read_some(fd.as_fd())) {
                    Some(bytes) => outside.put(false, &bytes),
                    None => self.streams.master = None,
                }
                self.write()
            }
        }
    }

    fn write(&mut self) -> usize {
        let it = &mut self.streams;
        let Some(fd) = it.master.as_ref().or(it.stdin.as_ref()) else { return 0 };
        match terminal::write(fd.as_fd(), it.waiting.as_slices().0) {
            Ok(put) => {
                it.waiting.drain(..put);
                self.close_if_ended();
                put
            }
            Err(e) if would_block(&e) => 0,
            Err(_) => {
                // Nobody reads it any more.
                it.waiting.clear();
                it.stdin = None;
                0
            }
        }
    }

    fn close_if_ended(&mut self) {
        let it = &mut self.streams;
        if it.ended && it.waiting.is_empty() {
            it.stdin = None;
            if it.master.is_some() && it.end.is_none() {
                it.end = Some(End::new(it.last != b'\n' && it.last != 0));
            }
        }
    }

    /// Tell the end of input on its terminal, if that is due; return when it is next, in
    /// milliseconds.
    pub fn tell_end(&mut self) -> Option<i32> {
        let master = self.streams.master.as_ref()?;
        let end = self.streams.end.as_mut()?;
        end.tell(master.as_fd());
        Some(end.timeout_ms())
    }

    /// Pass on what it has written before its end, and what is there now of those that it left.
    pub fn finish(&mut self, outside: &mut Outside) {
        for (errors, fd) in self.streams.outputs.drain(..) {
            pass_on_rest(&fd, errors, outside);
        }
        if let Some(fd) = self.streams.master.take() {
            pass_on_rest(&fd, false, outside);
            outside.end_terminal();
        }
    }
}

/// A process that the program left behind may write for ever: what a pipe or a terminal holds is
/// read, and no more.
const MOST_READS: usize = 64;

fn pass_on_rest(fd: &OwnedFd, errors: bool, outside: &mut Outside) {
    for _ in 0..MOST_READS {
        match read_some(fd.as_fd()).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => outside.put(errors, &bytes),
            None => return,
        }
    }
}
