//! Processes: clone3(2) and execveat(2) in one, pidfds, waiting, /proc/PID/stat.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use syscalls::Sysno;

use super::check;

/// The highest capability of this kernel, prctl(2): at least the 40 of Linux 5.9.
pub fn last_capability() -> u32 {
    // SAFETY: no pointers; EINVAL means that there is no such capability.
    (41..64)
        .take_while(|c| unsafe { libc::prctl(libc::PR_CAPBSET_READ, *c, 0, 0, 0) } >= 0)
        .last()
        .map_or(40, |c| c as u32)
}

/// A process to make.
pub struct Clone<'a> {
    /// CLONE_NEW* flags.
    pub flags: u64,
    /// The directory of the v2 cgroup that it starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The program, executed by descriptor.
    pub program: BorrowedFd<'a>,
    /// Its argv.
    pub argv: &'a [CString],
    /// Its envp.
    pub envp: &'a [CString],
    /// The descriptors that it gets as 3, 4 and so on; 0, 1 and 2 are those of this process.
    pub descriptors: &'a [RawFd],
    /// Whether the kernel kills it when the calling thread ends first (PR_SET_PDEATHSIG).
    pub die_with_parent: bool,
}

/// A child.
pub struct Child {
    /// Its pid in the pid namespace of this process.
    pub pid: i32,
    /// Its pidfd, which refers to no other process even if the pid is used again.
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

/// What the child reads. It is on the stack of the parent, which waits until the child has executed
/// its program.
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

/// Clone a process that executes a program: clone3(2) with CLONE_VM and CLONE_VFORK, so that the
/// child shares this memory until execveat(2).
///
/// # Errors
/// The call that failed and its errno: `clone3`, or one that the child made after it.
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
    // never returns from it. No signal runs a handler in the child, since this process has none.
    let pid = unsafe { clone3(&args, &mut birth) };
    let pid = check(pid).map_err(|e| ("clone3", e))?;
    // SAFETY: clone3 has succeeded, and made this descriptor because of CLONE_PIDFD.
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

/// Make the system call: the parent gets the pid, or -1 with errno; the child runs `be_born`.
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

/// The child: arrange the descriptors, reset the signals, execute the program.
unsafe extern "C" fn be_born(birth: *mut Birth) -> ! {
    // SAFETY: the parent has made `birth` and waits; no other thread uses it.
    let birth = unsafe { &mut *birth };
    // SAFETY: this is the child, and `birth` is as the parent made it.
    birth.errno = unsafe { become_program(birth) };
    // SAFETY: the parent's exit handlers must not run here.
    unsafe { libc::_exit(127) }
}

/// Make only calls that neither allocate nor lock. Return the errno of the one that failed, and do
/// not return otherwise.
///
/// # Safety
/// The caller is a child that shares the parent's memory but not its descriptors and signal
/// dispositions, and the parent waits. The pointers of `birth` are valid.
unsafe fn become_program(birth: &mut Birth) -> i32 {
    // SAFETY: errno is shared with the parent's thread only, which waits.
    let errno = || unsafe { *libc::__errno_location() };
    // SAFETY: `descriptors` has `count` entries, and no call keeps a pointer. This process has its
    // own descriptors and its own signal dispositions.
    unsafe {
        birth.call = c"prctl";
        if birth.die_with_parent && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) < 0
        {
            return errno();
        }
        birth.call = c"fcntl";
        let first = 3;
        let free = first + birth.count as RawFd;
        // First move those that are in the way above the numbers that all are to get, so that dup2
        // overwrites none.
        let aside = |fd| if fd < free { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, free) } else { fd };
        let originals = std::slice::from_raw_parts(birth.descriptors, birth.count);
        let mut numbers = [0 as RawFd; MOST_DESCRIPTORS];
        for (number, fd) in numbers.iter_mut().zip(originals) {
            *number = aside(*fd);
            if *number < 0 {
                return errno();
            }
        }
        let program = aside(birth.program);
        if program < 0 {
            return errno();
        }
        birth.call = c"dup2";
        for (index, number) in numbers.iter().take(birth.count).enumerate() {
            if libc::dup2(*number, first + index as RawFd) < 0 {
                return errno();
            }
        }
        // Init must not inherit what the caller left open: it may live long, and the reader of a
        // pipe that it holds would never see the end.
        birth.call = c"close_range";
        let cloexec = libc::CLOSE_RANGE_CLOEXEC;
        if libc::syscall(Sysno::close_range as i64, free, u32::MAX, cloexec) < 0 {
            return errno();
        }
        birth.call = c"rt_sigaction";
        for signal in (1..=64).filter(|it| ![libc::SIGKILL, libc::SIGSTOP].contains(it)) {
            // Rust ignores SIGPIPE, and the caller may have ignored other signals. execve(2) would
            // keep them ignored.
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

/// The most descriptors that a new process can get.
pub const MOST_DESCRIPTORS: usize = 512;

/// The kernel's struct sigaction for SIG_DFL, and an empty set of signals: all zero.
static DEFAULT: [u64; 4] = [0; 4];

/// sched_setaffinity(2): let a process run on every processor of its cpuset, whatever affinity it
/// has inherited. Since Linux 6.2 an affinity stays in force after the move to another cpuset.
pub fn on_every_processor(pid: i32) -> io::Result<()> {
    // The most processors that a kernel can be built for.
    let mask = [0xff_u8; 8192 / 8];
    // SAFETY: the mask has the length that is passed, and lives over the call.
    let result = unsafe { libc::sched_setaffinity(pid, mask.len(), mask.as_ptr().cast()) };
    check(result.into()).map(drop)
}

/// pidfd_open(2).
///
/// # Errors
/// ESRCH if there is no such process: also where the kernel says EINVAL, as Linux 6.1 does while
/// the number is still that of a process group or a session.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = Pid::from_raw(pid.max(0)).ok_or(Errno::INVAL)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|e| match e {
        Errno::INVAL => Errno::SRCH.into(),
        e => e.into(),
    })
}

/// A pidfd of this thread, pidfd_open(2) with PIDFD_THREAD.
///
/// # Errors
/// EINVAL before Linux 6.9.
pub fn own_pidfd() -> io::Result<OwnedFd> {
    // Not libc::gettid: musl lacks it, and std refers to it weakly, so that the call would link.
    // SAFETY: no arguments, no memory.
    let thread = check(unsafe { libc::syscall(Sysno::gettid as i64) })?;
    // SAFETY: no pointers, and the call returns a new descriptor or fails.
    super::file::owned(unsafe {
        libc::syscall(Sysno::pidfd_open as i64, thread, libc::PIDFD_THREAD)
    })
}

/// pidfd_send_signal(2).
pub fn kill(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    // SAFETY: the null pointer stands for the siginfo that kill(2) would give.
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
    /// From a wait status, as waitpid(2) returns it.
    pub fn of_wait(status: i32) -> Exit {
        match libc::WIFSIGNALED(status) {
            true => Exit::Signal(libc::WTERMSIG(status)),
            false => Exit::Status(libc::WEXITSTATUS(status)),
        }
    }

    /// The exit status that a shell reports: for a signal, 128 plus its number.
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

/// As [`wait`], and the most bytes that the child, or one that it has reaped, had in memory
/// (`ru_maxrss` of getrusage(2)). The C library's waitid lacks the argument for it.
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
        // SAFETY: it was zeroed, and the kernel filled it.
        let info = unsafe { info.assume_init() };
        // SAFETY: waitid fills these fields, or all are zero.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        // SAFETY: it was zeroed, and the kernel filled it.
        let kib = unsafe { usage.assume_init() }.ru_maxrss;
        let exit = match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(Exit::Status(status)),
            _ => Some(Exit::Signal(status)),
        };
        return Ok((exit, (kib as u64) << 10));
    }
}

/// waitid(2) with WNOWAIT: the pid of a child that has ended, which stays unreaped; `None` if no
/// child has ended.
pub fn ended_child() -> Option<i32> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes at most a siginfo_t there.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    // SAFETY: it was zeroed; the field is 0 if no child has ended.
    let pid = unsafe { info.assume_init().si_pid() };
    (result == 0 && pid > 0).then_some(pid)
}

/// Whether this process has any child, waitid(2) with WNOWAIT: ECHILD says that it has none.
pub fn has_children() -> bool {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes at most a siginfo_t there.
    unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) == 0 }
}

/// Reap a child that has ended, waitpid(2), without its status.
pub fn reap(pid: i32) {
    // SAFETY: the null pointer means that the kernel stores no status.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
}

/// Reap a child that has ended, waitpid(2), and return how it ended; `None` if it has not.
pub fn reap_exit(pid: i32) -> Option<Exit> {
    let mut status = 0;
    // SAFETY: `status` is a writable int.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    (reaped == pid).then(|| Exit::of_wait(status))
}

/// Wait until a process has ended, which need not be a child: poll(2) of its pidfd.
///
/// # Errors
/// ETIMEDOUT after `timeout_ms` milliseconds.
pub fn wait_gone(pidfd: &OwnedFd, timeout_ms: i32) -> io::Result<()> {
    use std::os::fd::AsFd;
    let interest = super::signal::Interest::read(pidfd.as_fd(), true);
    match super::signal::wait(&[interest], timeout_ms)?[0] {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
    }
}

/// prctl(2) with PR_SET_CHILD_SUBREAPER: become the parent of orphaned descendants.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into()).map(drop)
}

/// Field 22 of /proc/PID/stat: when a process started, in clock ticks since boot.
///
/// Pid and start time together name one process of this boot: a process that uses the pid again
/// has another start time.
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.start)
}

/// What /proc/PID/stat tells of a process, proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Field 3.
    pub state: u8,
    /// Field 22: its start time, in clock ticks since boot.
    pub start: u64,
    /// Whether do_exit (kernel/exit.c) has begun, a while before the process is a zombie:
    /// PF_EXITING of field 9.
    pub exiting: bool,
    /// Field 52: how it ended, for callers that may ptrace it, and otherwise 0.
    status: Option<i32>,
}

impl Stat {
    /// Whether the process has ended, and waits for its parent to reap it.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Look at a process; `None` if it does not exist.
pub fn stat(pid: i32) -> Option<Stat> {
    fields(&super::file::read_small(&format!("/proc/{pid}/stat")).ok()?)
}

/// How the process with this start time ended, if its parent has not reaped it yet.
///
/// Only a caller that may ptrace the process gets its status: for others field 52 is 0 since Linux
/// 3.5 (proc_pid_stat(5)).
pub fn unreaped_exit(pid: i32, start: u64) -> Option<Exit> {
    let stat = stat(pid).filter(|stat| stat.is_zombie() && stat.start == start)?;
    stat.status.map(Exit::of_wait)
}

/// How a process ended that its parent has not reaped yet, if its last program was the memfd
/// `name`. The kernel gives such a process the memfd's name, or before Linux 6.14 the number of the
/// descriptor.
///
/// For a process that has just closed its descriptors: it soon ends, or executes another program
/// and has another name. Wait for that at most a fraction of a second.
pub fn ended_as(pid: i32, name: &std::ffi::CStr) -> Option<Exit> {
    /// TASK_COMM_LEN without the NUL.
    const LONGEST: usize = 15;
    const TRIES: usize = 1000;
    let full = format!("memfd:{}", name.to_string_lossy());
    for _ in 0..TRIES {
        let text = super::file::read_small(&format!("/proc/{pid}/stat")).ok()?;
        let comm = &text[text.find('(')? + 1..text.rfind(')')?];
        let is_number = comm.bytes().all(|byte| byte.is_ascii_digit());
        if comm != &full[..full.len().min(LONGEST)] && !is_number {
            return None;
        }
        let stat = fields(&text)?;
        if stat.is_zombie() {
            return stat.status.map(Exit::of_wait);
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    None
}

fn fields(text: &str) -> Option<Stat> {
    /// <linux/sched.h>.
    const PF_EXITING: u32 = 4;
    // The name, in parentheses, may contain any byte.
    let after = text.get(text.rfind(')')? + 2..)?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    let start = fields.nth(12)?.parse().ok()?;
    let status = fields.nth(29).and_then(|status| status.parse().ok());
    Some(Stat { state, start, exiting: flags & PF_EXITING != 0, status })
}

/// Let a command that is spawned inherit these descriptors under their numbers, and die when the
/// calling thread ends (PR_SET_PDEATHSIG). Its signals are not blocked, as ours may be, and those
/// of our terminal are not sent to it, since it leads a process group: fcntl(2), prctl(2),
/// sigprocmask(2), setpgid(2).
pub fn inherit(command: &mut std::process::Command, descriptors: Vec<RawFd>) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    let in_child = move || {
        for fd in &descriptors {
            // SAFETY: no pointers.
            check(unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) }.into())?;
        }
        // SAFETY: the set is a local that sigemptyset fills, and no other pointer is passed.
        unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0).into())?;
            let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            let how = libc::SIG_SETMASK;
            check(libc::sigprocmask(how, none.as_ptr(), std::ptr::null_mut()).into()).map(drop)
        }
    };
    // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(in_child) };
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
    fn a_name_may_contain_spaces_and_parentheses() {
        let text = include_str!("../../test/fuzz/stat/zombie");
        let stat = fields(text).unwrap();
        assert!(stat.is_zombie() && stat.exiting, "{stat:?}");
        assert_eq!((stat.start, stat.status), (4711, Some(256)));
    }

    #[test]
    fn no_status_causes_a_panic() {
        tiny_ce_test::fuzz("stat", &["test/fuzz/stat"], |bytes| {
            let _ = fields(&String::from_utf8_lossy(bytes));
        });
    }
}
