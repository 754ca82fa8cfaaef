//! Run a command with a fault at one system call of the launcher, or of the init that it starts.
//!
//! The probe's `fault` command does this by ptrace(2). Knows numbers of calls, not their names;
//! must not know how a command should react to a fault.

use crate::process::{Done, run};
use crate::{Case, probe};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Whose system calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The calls of the command itself.
    Launcher,
    /// The calls of its first child, up to the execve(2) that makes the child the container's
    /// program.
    Init,
    /// As `Init`, for another child, counted from 0: a hook, for example.
    Child(u32),
    /// As `Init`, without the calls that read the plan: how many those are depends on the kernel.
    Plan,
    /// The calls of an init that waits for `start`, up to the same execve(2).
    Process(u32),
}

/// What happens at a call, before the kernel executes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller gets SIGKILL.
    Kill,
    /// The caller gets this signal.
    Signal(u8),
    /// The launcher gets SIGKILL.
    Orphan,
    /// These two names are exchanged (renameat2(2), RENAME_EXCHANGE).
    Rename(PathBuf, PathBuf),
    /// The kernel does not execute the call, which fails with this errno.
    Errno(i32),
}

/// A system call that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number on this architecture.
    pub number: i64,
    /// The kernel's result: a negative errno, or another value.
    pub result: i64,
}

/// The outcome of a command with a fault.
pub struct Faulted {
    /// How the command ended, and its output.
    pub done: Done,
    /// The number of the call at which the fault was; `None` if the command made fewer calls.
    pub hit: Option<i64>,
    /// How long it took.
    pub took: Duration,
}

impl Case {
    /// Run `command` with a fault at the `point`th call, counted from 1.
    #[track_caller]
    pub fn fault(&self, whose: Whose, fault: Fault, point: usize, command: &Command) -> Faulted {
        let what = match fault {
            Fault::Kill => "kill".to_owned(),
            Fault::Signal(signal) => format!("signal:{signal}"),
            Fault::Orphan => "orphan".to_owned(),
            Fault::Rename(a, b) => format!("rename:{}:{}", a.display(), b.display()),
            Fault::Errno(errno) => errno.to_string(),
        };
        let begin = Instant::now();
        let (done, report) = self.traced(whose, &what, point, command);
        let hit = values(&report, "hit: ").next().map(|value| number(value, &report));
        Faulted { done, hit, took: begin.elapsed() }
    }

    /// Run `command` without a fault, and list the calls that are counted.
    #[track_caller]
    pub fn calls(&self, whose: Whose, command: &Command) -> (Done, Vec<Call>) {
        let (done, report) = self.traced(whose, "list", 0, command);
        let call = |value: &str| {
            let (nr, result) = value.split_once(' ').unwrap_or_else(|| panic!("{report}"));
            Call { number: number(nr, &report), result: number(result, &report) }
        };
        (done, values(&report, "call: ").map(call).collect())
    }

    fn traced(&self, whose: Whose, what: &str, point: usize, command: &Command) -> (Done, String) {
        let path = self.dir().join(format!("fault-{}", self.number()));
        let mut tracer = Command::new(probe());
        tracer.arg("fault").arg(&path).arg(match whose {
            Whose::Launcher => "launcher".to_owned(),
            Whose::Init => "init".to_owned(),
            Whose::Child(nth) => format!("child:{nth}"),
            Whose::Plan => "plan".to_owned(),
            Whose::Process(pid) => pid.to_string(),
        });
        tracer.args([what, &point.to_string()]);
        tracer.arg(command.get_program()).args(command.get_args());
        tracer.env("TINY_CE_CASE", self.tag()).current_dir(self.dir());
        let mut done = run(&mut tracer, self.dir());
        let report = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}\n{done}"));
        let _ = std::fs::remove_file(path);
        let ended = values(&report, "ended: ").next().unwrap_or_else(|| panic!("{done}"));
        done.status = ExitStatus::from_raw(number(ended, &report) as i32);
        (done, report)
    }
}

fn values<'r>(report: &'r str, key: &'r str) -> impl Iterator<Item = &'r str> {
    report.lines().filter_map(move |line| line.strip_prefix(key))
}

fn number(text: &str, report: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} in {report}"))
}
