//! One measurement: a command from posix_spawn to its end, by the clock and by what the kernel
//! accounts to all of its processes.

use std::ops::Add;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// The cost of a command.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// By the clock.
    pub wall: Duration,
    /// The user and system time of all its processes.
    pub cpu: Duration,
    /// Page faults that needed no disk.
    pub faults: u64,
    /// How often one of its processes gave up the CPU to wait.
    pub waits: u64,
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, more: Cost) -> Cost {
        Cost {
            wall: self.wall + more.wall,
            cpu: self.cpu + more.cpu,
            faults: self.faults + more.faults,
            waits: self.waits + more.waits,
        }
    }
}

/// The resources that all reaped children and their children have used. A container that outlives
/// its command becomes a child of the benchmark, which is a subreaper.
fn used() -> Usage {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage(2)")
}

/// The difference between two moments.
fn between(before: &Usage, after: &Usage, wall: Duration) -> Cost {
    let cpu =
        |usage: &Usage| (usage.user_time() + usage.system_time()).num_microseconds().unsigned_abs();
    Cost {
        wall,
        cpu: Duration::from_micros(cpu(after) - cpu(before)),
        faults: (after.minor_page_faults() - before.minor_page_faults()).unsigned_abs(),
        waits: (after.voluntary_context_switches() - before.voluntary_context_switches())
            .unsigned_abs(),
    }
}

/// The cost of `work`, including every process that ended and became our child.
pub fn cost_of(work: impl FnOnce()) -> Cost {
    let (before, begin) = (used(), Instant::now());
    work();
    let wall = begin.elapsed();
    reap();
    between(&before, &used(), wall)
}

/// The cost of a command that must succeed.
pub fn cost(command: &mut Command) -> Cost {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    cost_of(|| succeed(command))
}

/// Run a command to its end; it must succeed.
pub fn succeed(command: &mut Command) {
    let status = command.status().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Reap every child that has ended.
pub fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
