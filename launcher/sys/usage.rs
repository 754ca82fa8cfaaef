//! The clock, and what processes have used: clock_gettime(2), getrusage(2).

use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use syscalls::Sysno;

/// CLOCK_MONOTONIC, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the kernel writes a timespec there; for this clock it always does.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) };
    // SAFETY: it was zeroed, and the kernel filled it.
    let time = unsafe { time.assume_init() };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The time of day. By a system call: musl would look the function up in the vDSO, which takes two
/// page faults, and a start asks once.
pub fn time_of_day() -> SystemTime {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the kernel writes a timespec there; for this clock it always does.
    unsafe { libc::syscall(Sysno::clock_gettime as i64, libc::CLOCK_REALTIME, time.as_mut_ptr()) };
    // SAFETY: it was zeroed, and the kernel filled it.
    let time = unsafe { time.assume_init() };
    SystemTime::UNIX_EPOCH + Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What processes have used, getrusage(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// Page faults without I/O.
    pub minor_faults: u64,
    /// Page faults that read from a disk.
    pub major_faults: u64,
    /// How often they waited for something.
    pub voluntary_switches: u64,
    /// How often they were preempted.
    pub involuntary_switches: u64,
}

/// What this process has used.
pub fn own() -> Usage {
    of(libc::RUSAGE_SELF)
}

/// What the children have used that this process has reaped, with their own reaped children.
pub fn of_children() -> Usage {
    of(libc::RUSAGE_CHILDREN)
}

fn of(whose: libc::c_int) -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes an rusage there; for these two values it always does.
    unsafe { libc::getrusage(whose, usage.as_mut_ptr()) };
    // SAFETY: it was zeroed, and the kernel filled it.
    let usage = unsafe { usage.assume_init() };
    let microseconds = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Usage {
        user_us: microseconds(usage.ru_utime),
        system_us: microseconds(usage.ru_stime),
        minor_faults: usage.ru_minflt as u64,
        major_faults: usage.ru_majflt as u64,
        voluntary_switches: usage.ru_nvcsw as u64,
        involuntary_switches: usage.ru_nivcsw as u64,
    }
}
