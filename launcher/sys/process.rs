//! Processes: clone3(2) straight into a program, pidfds, waiting.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use syscalls::Sysno;

use super::check;

/// The highest capability of this kernel: at least the 40 of Linux 5.9.
pub fn last_capability() -> u32 {
    // SAFETY: no pointers; EINVAL says that there is no such capability.
    (41..64)
        .take_while(|c| unsafe { libc::prctl(libc::PR_CAPBSET_READ, *c, 0, 0, 0) } >= 0)
        .last()
        .map_or(40, |c| c as u32)
}

/// What a clone makes.
pub struct Clone<'a> {
    /// CLONE_NEW*.
    pub flags: u64,
    /// Directory of the cgroup v2 to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The program, executed by descriptor.
    pub program: BorrowedFd<'a>,
    /// Its argv.
    pub argv: &'a [CString],
    /// Its envp.
    pub envp: &'a [CString],
    /// What it finds from descriptor 3 on; 0, 1 and 2 are this process's own.
    pub descriptors: &'a [RawFd],
    /// Killed if the launcher's thread dies first.
    pub die_with_parent: bool,
}

/// A new process: its pid as seen from here, and a pidfd.
pub struct Child {
    /// In this process's pid namespace.
    pub pid: i32,
    /// Refers to it for ever.
    pub pidfd: OwnedFd,
}

/// struct clone_args, include/uapi/linux/sched.h, up to `cgroup` (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// All that the child reads; it lives on the parent's stack, which waits.
struct Birth {
    program: RawFd,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    descriptors: *const RawFd,
    count: usize,
    die_with_parent: bool,
    errno: i32,
    call: &'static CStr,
}

/// clone3(2), Linux 5.7.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const STACK_BYTES: usize = 16 << 10;

/// Clone and execute: the child shares this memory until it has become the program.
///
/// The error names the call that failed, `clone3` or what the child did after it.
pub fn clone_exec(clone: &Clone<'_>) -> Result<Child, (&'static str, io::Error)> {
    let argv = pointers(clone.argv);
    let envp = pointers(clone.envp);
    let mut birth = Birth {
        program: clone.program.as_raw_fd(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        descriptors: clone.descriptors.as_ptr(),
        count: clone.descriptors.len(),
        die_with_parent: clone.die_with_parent,
        errno: 0,
        call: c"",
    };
    let mut stack = vec![std::mem::MaybeUninit::<u128>::uninit(); STACK_BYTES / 16];
    let mut pidfd: RawFd = -1;
    let into_cgroup = clone.cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    let args = CloneArgs {
        flags: clone.flags
            | (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64
            | into_cgroup,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK_BYTES as u64,
        cgroup: clone.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: `args`, `birth` and the stack live until this call returns, and CLONE_VFORK makes it
    // return only when the child has executed or ended; the child runs `be_born` on that stack and
    // never returns from it. Signals cannot run handlers in the child: none is installed here.
    let pid = unsafe { clone3(&args, &mut birth) };
    let pid = check(pid).map_err(|e| ("clone3", e))?;
    // SAFETY: clone3 has succeeded and with CLONE_PIDFD made this descriptor.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let child = Child { pid: pid as i32, pidfd };
    if birth.errno == 0 {
        return Ok(child);
    }
    let _ = wait(&child.pidfd, false);
    let call = birth.call.to_str().unwrap_or("execveat");
    Err((call, io::Error::from_raw_os_error(birth.errno)))
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The system call itself: the parent gets the pid or -1 with errno, the child runs `be_born`.
unsafe fn clone3(args: &CloneArgs, birth: &mut Birth) -> i64 {
    let result: i64;
    let entry: unsafe extern "C" fn(*mut Birth) -> ! = be_born;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise; the child's new stack is 16-byte aligned and empty.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {birth}",
            "call {entry}",
            "ud2",
            "2:",
            birth = in(reg) std::ptr::from_mut(birth),
            entry = in(reg) entry,
            inlateout("rax") Sysno::clone3 as i64 => result,
            in("rdi") std::ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            out("rcx") _,
            out("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller's promise; the child's new stack is 16-byte aligned and empty.
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, {birth}",
            "blr {entry}",
            "brk #1",
            "2:",
            birth = in(reg) std::ptr::from_mut(birth),
            entry = in(reg) entry,
            in("x8") Sysno::clone3 as i64,
            inlateout("x0") std::ptr::from_ref(args) => result,
            in("x1") size_of::<CloneArgs>(),
        );
    }
    if (-4095..0).contains(&result) {
        // SAFETY: errno is this thread's own.
        unsafe { *libc::__errno_location() = -result as i32 };
        return -1;
    }
    result
}

/// The child: arrange descriptors, forget the caller's signals, become the program.
unsafe extern "C" fn be_born(birth: *mut Birth) -> ! {
    // SAFETY: the parent made it and waits; nothing else looks at it meanwhile.
    let birth = unsafe { &mut *birth };
    // SAFETY: this is the child, and `birth` is as the parent made it.
    birth.errno = unsafe { become_program(birth) };
    // SAFETY: the parent's exit handlers must not run here.
    unsafe { libc::_exit(127) }
}

/// Only calls that neither allocate nor lock; it returns only the errno of the one that failed.
///
/// # Safety
/// Called in a child that shares the parent's memory but not its descriptors and dispositions of
/// signals, while the parent waits; `birth` has pointers to what its fields say.
unsafe fn become_program(birth: &mut Birth) -> i32 {
    // SAFETY: errno is this thread's own, and shared with a parent that waits.
    let errno = || unsafe { *libc::__errno_location() };
    // SAFETY: `descriptors` has `count` entries; these calls take no other pointers that outlive
    // them; the new process has its own table of descriptors and of signal dispositions.
    unsafe {
        birth.call = c"prctl";
        if birth.die_with_parent && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) < 0
        {
            return errno();
        }
        birth.call = c"fcntl";
        let first = 3;
        let free = first + birth.count as RawFd;
        // Out of the way of the places that they are to go to.
        let copies = std::slice::from_raw_parts(birth.descriptors, birth.count);
        let mut numbers = [0 as RawFd; MOST_DESCRIPTORS];
        for (number, fd) in numbers.iter_mut().zip(copies) {
            *number = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, free);
            if *number < 0 {
                return errno();
            }
        }
        let program = libc::fcntl(birth.program, libc::F_DUPFD_CLOEXEC, free);
        if program < 0 {
            return errno();
        }
        birth.call = c"dup2";
        for (index, number) in numbers.iter().take(birth.count).enumerate() {
            if libc::dup2(*number, first + index as RawFd) < 0 {
                return errno();
            }
        }
        // What the caller left open is not for init, which may wait long: pipes would not end.
        birth.call = c"close_range";
        let cloexec = libc::CLOSE_RANGE_CLOEXEC;
        if libc::syscall(Sysno::close_range as i64, free, u32::MAX, cloexec) < 0 {
            return errno();
        }
        birth.call = c"rt_sigaction";
        for signal in (1..=64).filter(|it| ![libc::SIGKILL, libc::SIGSTOP].contains(it)) {
            // Rust ignores SIGPIPE, callers ignore what they like; the program starts afresh.
            let default = DEFAULT.as_ptr();
            if libc::syscall(Sysno::rt_sigaction as i64, signal, default, 0usize, 8usize) < 0 {
                return errno();
            }
        }
        birth.call = c"rt_sigprocmask";
        let (how, none) = (libc::SIG_SETMASK, DEFAULT.as_ptr());
        if libc::syscall(Sysno::rt_sigprocmask as i64, how, none, 0usize, 8usize) < 0 {
            return errno();
        }
        birth.call = c"execveat";
        libc::syscall(
            Sysno::execveat as i64,
            program,
            c"".as_ptr(),
            birth.argv,
            birth.envp,
            libc::AT_EMPTY_PATH,
        );
        errno()
    }
}

/// As many descriptors as can be handed to a new process.
pub const MOST_DESCRIPTORS: usize = 512;

/// The kernel's struct sigaction, and its empty set of signals: all zero.
static DEFAULT: [u64; 4] = [0; 4];

/// Let a process run on every processor that its cpuset has, whatever the caller's own affinity is,
/// sched_setaffinity(2): since Linux 6.2 that would outlive the move to another cpuset.
pub fn on_every_processor(pid: i32) -> io::Result<()> {
    // As many as a kernel can be built for.
    let mask = [0xff_u8; 8192 / 8];
    // SAFETY: the mask is as long as is said, and lives over the call.
    let result = unsafe { libc::sched_setaffinity(pid, mask.len(), mask.as_ptr().cast()) };
    check(result.into()).map(drop)
}

/// pidfd_open(2). A process that is gone is ESRCH: Linux 6.1 says EINVAL while its number is still
/// that of a process group or a session.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = Pid::from_raw(pid.max(0)).ok_or(Errno::INVAL)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|e| match e {
        Errno::INVAL => Errno::SRCH.into(),
        e => e.into(),
    })
}

/// pidfd_send_signal(2).
pub fn kill(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    // SAFETY: the null pointer asks for the default siginfo.
    let result = unsafe {
        libc::syscall(Sysno::pidfd_send_signal as i64, pidfd.as_raw_fd(), signal, 0usize, 0)
    };
    check(result).map(drop)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// From a status as waitpid(2) has it.
    pub fn of_wait(status: i32) -> Exit {
        match libc::WIFSIGNALED(status) {
            true => Exit::Signal(libc::WTERMSIG(status)),
            false => Exit::Status(libc::WEXITSTATUS(status)),
        }
    }

    /// As a shell has it: 128 and the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Exit::Status(status) => status,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

/// waitid(2) of a child; `None` if it has not ended and `poll` asks not to wait.
pub fn wait(pidfd: &OwnedFd, poll: bool) -> io::Result<Option<Exit>> {
    wait_and_measure(pidfd, poll).map(|(exit, _)| exit)
}

/// As [`wait`], and how many bytes it, or a child that it has waited for, had in memory at most:
/// the fifth argument, which the kernel has and the C library has not (getrusage(2), `ru_maxrss`).
pub fn wait_and_measure(pidfd: &OwnedFd, poll: bool) -> io::Result<(Option<Exit>, u64)> {
    let options = libc::WEXITED | if poll { libc::WNOHANG } else { 0 };
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the kernel writes at most a siginfo_t and an rusage there.
        let result = unsafe {
            libc::syscall(
                Sysno::waitid as i64,
                libc::P_PIDFD,
                pidfd.as_raw_fd(),
                info.as_mut_ptr(),
                options,
                usage.as_mut_ptr(),
            )
        };
        match check(result) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        // SAFETY: zeroed at first, and filled by a call that succeeded.
        let info = unsafe { info.assume_init() };
        // SAFETY: for SIGCHLD, or all zero, these fields are what the kernel filled.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        // SAFETY: as `info`.
        let kib = unsafe { usage.assume_init() }.ru_maxrss;
        let exit = match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(Exit::Status(status)),
            _ => Some(Exit::Signal(status)),
        };
        return Ok((exit, (kib as u64) << 10));
    }
}

/// A child that has ended, left as it is; `None` if there is none.
pub fn ended_child() -> Option<i32> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes at most a siginfo_t there.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    // SAFETY: zeroed at first; the field is 0 if no child has ended.
    let pid = unsafe { info.assume_init().si_pid() };
    (result == 0 && pid > 0).then_some(pid)
}

/// Forget a child that has ended.
pub fn reap(pid: i32) {
    // SAFETY: the null pointer says that nobody wants the status.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
}

/// Wait until a process that need not be a child has ended, for at most `timeout_ms`.
pub fn wait_gone(pidfd: &OwnedFd, timeout_ms: i32) -> io::Result<()> {
    use std::os::fd::AsFd;
    let interest = super::signal::Interest::read(pidfd.as_fd(), true);
    match super::signal::wait(&[interest], timeout_ms)?[0] {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
    }
}

/// Adopt orphans of descendants, prctl(2).
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into()).map(drop)
}

/// Field 22 of /proc/PID/stat: when a process started, in clock ticks since boot.
///
/// With the pid it names one process of this boot: a re-used pid has another.
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// State letter and start time of a process; `None` if there is none.
pub fn stat(pid: i32) -> Option<(u8, u64)> {
    fields(&super::file::read_small(&format!("/proc/{pid}/stat")).ok()?).map(|(s, t, _)| (s, t))
}

/// How the process with this start time ended, if its parent has not been told yet.
///
/// For callers that may trace it: to others field 52 is 0 (proc_pid_stat(5), Linux 3.5).
pub fn unreaped_exit(pid: i32, start: u64) -> Option<Exit> {
    let text = super::file::read_small(&format!("/proc/{pid}/stat")).ok()?;
    match fields(&text)? {
        (b'Z', found, Some(status)) if found == start => Some(Exit::of_wait(status)),
        _ => None,
    }
}

/// How a process ended that nobody has waited for yet, if its last program was the memfd `name`.
/// The kernel calls one so, or before Linux 6.14 by the number of the descriptor.
///
/// For a process that has just closed its descriptors: it is about to end, or to get the name of
/// another program.
pub fn ended_as(pid: i32, name: &std::ffi::CStr) -> Option<Exit> {
    /// TASK_COMM_LEN without the NUL.
    const LONGEST: usize = 15;
    const TRIES: usize = 1000;
    let full = format!("memfd:{}", name.to_string_lossy());
    for _ in 0..TRIES {
        let text = super::file::read_small(&format!("/proc/{pid}/stat")).ok()?;
        let called = &text[text.find('(')? + 1..text.rfind(')')?];
        let is_number = called.bytes().all(|byte| byte.is_ascii_digit());
        if called != &full[..full.len().min(LONGEST)] && !is_number {
            return None;
        }
        if let (b'Z', _, Some(status)) = fields(&text)? {
            return Some(Exit::of_wait(status));
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    None
}

/// State (field 3), start time (22) and exit code (52) of a /proc/PID/stat.
fn fields(text: &str) -> Option<(u8, u64, Option<i32>)> {
    // The name, in parentheses, may hold anything.
    let after = text.get(text.rfind(')')? + 2..)?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start, fields.nth(29).and_then(|status| status.parse().ok())))
}

/// Bytes of a page, sysconf(3).
pub fn page_size() -> usize {
    // SAFETY: no pointers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = include_str!("../../test/fuzz/stat/zombie");
        assert_eq!(fields(text), Some((b'Z', 4711, Some(256))));
    }

    #[test]
    fn no_status_breaks_it() {
        tiny_ce_test::fuzz("stat", &["test/fuzz/stat"], |bytes| {
            let _ = fields(&String::from_utf8_lossy(bytes));
        });
    }
}
