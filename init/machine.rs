//! The machine: slots for descriptors, scratch memory, and the one system call instruction.
//!
//! Runs one step at a time and returns its outcome. Knows neither the order of the steps nor their
//! purpose.
#![expect(unsafe_code, reason = "this is init's system-call file")]

use core::ffi::CStr;

use crate::flags::*;
use crate::ops::{Op, Then};
use crate::step::{Guard, Step};
use crate::wire::Slot;

/// The state of init: its descriptors, its scratch memory, and the argv and envp that it was
/// started with.
#[repr(C, align(8))]
pub struct Machine {
    scratch: [u8; Machine::SCRATCH],
    area: [u64; 16],
    slots: [i32; Slot::COUNT],
    pub(crate) program: usize,
    argv: usize,
    envp: usize,
}

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The call succeeded.
    Done,
    /// The guard did not hold, so no call was made.
    Skipped,
    /// The call failed with an errno that the step tolerates.
    Tolerated(i32),
    /// The call failed with an errno that the step does not tolerate.
    Failed(i32),
    /// This process forked a child, which continues the plan; the number is the child's pid.
    Forked(u32),
    /// The call succeeded, but the check of its result did not hold.
    Unverified,
}

/// Stands in place of a step's index when a child continues the plan: the errno is then the pid.
pub const FORKED: u32 = 0x8000_0007;

/// How often openat2(2) is called again after EAGAIN: its resolution raced with a rename or a
/// mount.
const RACES: usize = 128;
/// The longest message of the kernel that init passes on, in bytes.
const WORDS: usize = 512;
const EINTR: i32 = 4;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const ENOENT: i32 = 2;
pub(crate) const EACCES: i32 = 13;

impl Machine {
    /// Size of the scratch memory, in bytes: it holds the longest working directory that init
    /// accepts.
    pub const SCRATCH: usize = 3584;

    /// A machine before [`Machine::begin`]. All bytes are zero, so that it lies in .bss and takes
    /// no space in the file.
    pub const fn new() -> Self {
        Machine {
            scratch: [0; Self::SCRATCH],
            area: [0; 16],
            slots: [0; Slot::COUNT],
            program: 0,
            argv: 0,
            envp: 0,
        }
    }

    /// Fill the first slots: the channel is descriptor 3, and the descriptors that the launcher
    /// preloaded follow it.
    pub fn begin(&mut self, argv: usize, envp: usize, preloaded: usize) {
        self.argv = argv;
        self.envp = envp;
        for (slot, fd) in self.slots.iter_mut().enumerate() {
            *fd = if slot <= preloaded { slot as i32 + 3 } else { -1 };
        }
    }

    /// The descriptor in a slot; `AT_FDCWD` for [`Slot::CWD`], -1 if there is none.
    #[inline(never)] // In sixty places: the copies would be a tenth of the program.
    pub fn fd(&self, slot: Slot) -> i32 {
        if slot == Slot::CWD { -100 } else { self.slots.get(slot.number()).copied().unwrap_or(-1) }
    }

    /// Run one step.
    pub fn run(&mut self, step: &Step<'_>) -> Outcome {
        match step.guard {
            Guard::Present(slot) if self.fd(slot) < 0 => return Outcome::Skipped,
            Guard::Absent(slot) if self.fd(slot) >= 0 => return Outcome::Skipped,
            _ => {}
        }
        if let Op::Supervise {} = step.op {
            return Outcome::Failed(self.supervise(&step.op));
        }
        match self.call(&step.op) {
            Ok(pid) if let Op::Program { into } = step.op => self.forked(into, pid),
            Ok(pid) if pid > 0 && matches!(step.op, Op::Fork { .. }) => Outcome::Forked(pid as u32),
            Ok(got) => match step.op.then(self, got) {
                Then::Nothing | Then::Check(true) => {
                    self.closed(&step.op);
                    Outcome::Done
                }
                Then::Keep(slot) => self.keep(slot, got as i32),
                Then::Check(false) => Outcome::Unverified,
            },
            Err(errno) => {
                if let Some(slot) = step.op.into_slot() {
                    self.keep(slot, -1);
                }
                if step.unless.tolerates(errno) {
                    Outcome::Tolerated(errno)
                } else {
                    Outcome::Failed(errno)
                }
            }
        }
    }

    fn keep(&mut self, slot: Slot, fd: i32) -> Outcome {
        if let Some(place) = self.slots.get_mut(slot.number()) {
            *place = fd;
        }
        Outcome::Done
    }

    /// Tell the program's process, in which fork(2) returns 0, from this one, its parent.
    fn forked(&mut self, into: Slot, pid: usize) -> Outcome {
        self.program = pid;
        if pid > 0 {
            return self.keep(into, self.u32_at(0) as i32);
        }
        self.argv += 2 * size_of::<usize>();
        self.keep(into, -1)
    }

    /// Empty the slot of a descriptor that was closed, so that guards treat it as absent.
    fn closed(&mut self, op: &Op<'_>) {
        if let Op::Close { fd } = op {
            self.keep(*fd, -1);
        }
    }

    pub(crate) fn call(&mut self, op: &Op<'_>) -> Result<usize, i32> {
        let (number, args) = op.call(self);
        for _ in 0..RACES {
            match raw(number, args) {
                // Linux closes the descriptor even if close(2) returns EINTR.
                Err(EINTR) if matches!(op, Op::Close { .. }) => return Ok(0),
                Err(EINTR) => {}
                Err(EAGAIN) if matches!(op, Op::Openat2 { .. }) => {}
                result => return result,
            }
        }
        Err(EAGAIN)
    }

    /// The kernel's own message about the failure of `op`, without the final newline.
    ///
    /// Each read(2) of an fs context returns one message; warnings come first, the error comes
    /// last.
    pub fn words(&mut self, op: &Op<'_>) -> &[u8] {
        let Some(slot) = op.words() else { return &[] };
        let args = [self.fd(slot) as usize, self.scratch(), WORDS, 0, 0, 0];
        let mut length = 0;
        while let Ok(got @ 1..) = raw(sc::nr::READ, args) {
            length = got;
        }
        self.bytes(length).strip_suffix(b"\n").unwrap_or(self.bytes(length))
    }

    /// Report to `channel` that step `index` ended the plan with `errno`, with the kernel's
    /// message, whose length is in the upper half of the second word: another process of this plan
    /// may report behind it. One write(2) of so few bytes is never mixed with another's (unix(7)).
    pub fn fail(&mut self, channel: Slot, index: u32, errno: i32, op: Option<&Op<'_>>) {
        let mut message = [0; 8 + WORDS];
        let mut length = 8;
        let said = op.map_or(&[][..], |op| self.words(op));
        for (to, byte) in message.iter_mut().skip(8).zip(said) {
            *to = *byte;
            length += 1;
        }
        let second = errno | ((length - 8) as i32) << 16;
        let head = index.to_le_bytes().into_iter().chain(second.to_le_bytes());
        for (to, byte) in message.iter_mut().zip(head) {
            *to = byte;
        }
        let args = [self.fd(channel) as usize, message.as_ptr() as usize, length, 0, 0, 0];
        let _ = raw(sc::nr::WRITE, args);
    }

    /// The first `length` bytes of the scratch memory.
    pub(crate) fn bytes(&self, length: usize) -> &[u8] {
        self.scratch.get(..length).unwrap_or(&[])
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut value = [0; N];
        for (to, byte) in value.iter_mut().zip(self.scratch.iter().skip(at)) {
            *to = *byte;
        }
        value
    }

    /// The address of the scratch memory.
    pub(crate) fn scratch(&mut self) -> usize {
        self.scratch.as_mut_ptr() as usize
    }

    pub(crate) fn u8_at(&self, at: usize) -> u8 {
        self.array::<1>(at)[0]
    }

    pub(crate) fn u16_at(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.array(at))
    }

    pub(crate) fn u32_at(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    pub(crate) fn u64_at(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.array(at))
    }

    /// The three sets as capget(2) writes them: the low word of each, then the high word of each.
    pub(crate) fn caps(&self) -> Caps {
        let set = |i: usize| {
            let low = u64::from(self.u32_at(i * 4));
            CapSet(low | u64::from(self.u32_at(12 + i * 4)) << 32)
        };
        Caps { effective: set(0), permitted: set(1), inheritable: set(2) }
    }

    /// Copy `words` into the area and return its address.
    fn area(&mut self, words: &[u64]) -> usize {
        for (to, word) in self.area.iter_mut().zip(words) {
            *to = *word;
        }
        self.area.as_ptr() as usize
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

/// Read one plan from `Slot::CHANNEL` into fresh memory, and no byte after it.
///
/// `None` if the channel holds no plan, or only a part of one.
pub fn receive() -> Option<&'static [u8]> {
    const CHANNEL: usize = 3;
    let mut head = [0u8; crate::step::Header::SIZE];
    read_all(CHANNEL, head.as_mut_ptr() as usize, head.len())?;
    let header = crate::step::Header::decode(&mut crate::wire::Reader::new(&head)).ok()?;
    let length = header.length as usize;
    // Without an address mmap(2) maps near the stack, which takes up to three new pages of page
    // tables. One page of page tables covers 2 MiB, and the one that covers init's code has free
    // entries.
    let near = (receive as *const () as usize & !0x1f_ffff) + 0x1_0000;
    // PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_POPULATE: one page fault for the whole
    // plan.
    let args = [near, length, 3, 0x8022, usize::MAX, 0];
    let at = raw(sc::nr::MMAP, args).ok()?;
    // SAFETY: the kernel has just mapped `length` zeroed bytes at `at`, and no other reference to
    // them exists.
    let plan = unsafe { core::slice::from_raw_parts_mut(at as *mut u8, length) };
    for (to, byte) in plan.iter_mut().zip(head) {
        *to = byte;
    }
    read_all(CHANNEL, at + head.len(), length - head.len())?;
    Some(plan)
}

fn read_all(fd: usize, mut at: usize, mut left: usize) -> Option<()> {
    while left > 0 {
        match raw(sc::nr::READ, [fd, at, left, 0, 0, 0]) {
            Ok(0) => return None,
            Ok(got) => {
                at += got;
                left -= got;
            }
            Err(EINTR) => {}
            Err(_) => return None,
        }
    }
    Some(())
}

/// End the process, even if its system call filter does not allow exit_group(2).
pub fn exit(status: i32) -> ! {
    let _ = raw(sc::nr::EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]);
    // SAFETY: the instruction is undefined, so the kernel kills the process with SIGILL.
    // `force_sig` kills the first process of a pid namespace too.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("ud2", options(noreturn));
    }
    // SAFETY: the same.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("udf #0", options(noreturn));
    }
}

/// The handler of signals: exit with 128 + signal, as a shell reports a process that a signal
/// killed.
extern "C" fn end(signal: i32) -> ! {
    exit(128 + signal)
}

/// Make the system call; a result from -4095 to -1 is an errno.
pub(crate) fn raw(number: usize, args: [usize; 6]) -> Result<usize, i32> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the arguments come from `Op::call`, which makes each pointer from a value that lives
    // in the plan, the step or the machine, all of which outlive the call and which nothing else
    // refers to while the kernel writes; or from `receive`, `words` and `Stamps`, which own their
    // memory.
    let got = unsafe { sc::syscall6(number, a, b, c, d, e, f) };
    if got > usize::MAX - 4096 { Err(got.wrapping_neg() as i32) } else { Ok(got) }
}

/// A value that becomes one argument of a system call.
pub(crate) trait Arg {
    fn arg(&self, m: &mut Machine) -> usize;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Arg for $type {
            fn arg(&self, _: &mut Machine) -> usize {
                *self as usize
            }
        }
    )*};
}
plain!(usize, u32, u64, Prctl, Resource, SigHow, Signal);

macro_rules! words {
    ($($type:ty),*) => {$(
        impl Arg for $type {
            fn arg(&self, _: &mut Machine) -> usize {
                self.0 as usize
            }
        }
    )*};
}
words!(
    CloneFlags,
    OpenFlags,
    AtFlags,
    OpenTreeFlags,
    FsopenFlags,
    FspickFlags,
    FsmountFlags,
    MountAttrs,
    MoveMountFlags,
    UmountFlags,
    CloseRangeFlags,
    FilterFlags,
    Mode,
    Device
);

macro_rules! pointers {
    ($($type:ty),*) => {$(
        impl Arg for $type {
            fn arg(&self, _: &mut Machine) -> usize {
                core::ptr::from_ref(self) as usize
            }
        }
    )*};
}
pointers!(OpenHow, MountAttr, Rlimit, SchedAttr);

impl Arg for Slot {
    fn arg(&self, m: &mut Machine) -> usize {
        m.fd(*self) as isize as usize
    }
}

impl Arg for CStr {
    fn arg(&self, _: &mut Machine) -> usize {
        self.as_ptr() as usize
    }
}

impl Arg for [u8] {
    fn arg(&self, _: &mut Machine) -> usize {
        self.as_ptr() as usize
    }
}

/// capset(2) wants the low words of the three sets, then the high words.
impl Arg for Caps {
    fn arg(&self, m: &mut Machine) -> usize {
        let (e, p, i) = (self.effective.0, self.permitted.0, self.inheritable.0);
        let low = |set: u64| set & 0xffff_ffff;
        m.area(&[low(e) | low(p) << 32, low(i) | (e >> 32) << 32, (p >> 32) | (i >> 32) << 32])
    }
}

/// An offset in the scratch memory, to which the kernel writes.
pub(crate) struct Scratch(pub usize);

impl Arg for Scratch {
    fn arg(&self, m: &mut Machine) -> usize {
        m.scratch() + self.0
    }
}

/// The address of a constant.
pub(crate) struct At(pub &'static u64);

impl Arg for At {
    fn arg(&self, _: &mut Machine) -> usize {
        core::ptr::from_ref(self.0) as usize
    }
}

/// The kernel's struct sigaction: handler, flags, restorer, mask. x86 requires a restorer; the
/// handler never returns, so the restorer never runs.
pub(crate) struct End;

impl Arg for End {
    fn arg(&self, m: &mut Machine) -> usize {
        const SA_RESTORER: u64 = 0x0400_0000;
        let handler = end as extern "C" fn(i32) -> ! as usize as u64;
        m.area(&[handler, SA_RESTORER, handler, 0])
    }
}

/// struct sock_fprog.
pub(crate) struct SockFprog<'a>(pub &'a [u8]);

impl Arg for SockFprog<'_> {
    fn arg(&self, m: &mut Machine) -> usize {
        m.area(&[(self.0.len() / 8) as u64, self.0.as_ptr() as usize as u64])
    }
}

/// The 8 bytes of a report.
pub(crate) struct Message(pub u32);

impl Arg for Message {
    fn arg(&self, m: &mut Machine) -> usize {
        m.area(&[u64::from(self.0)])
    }
}

/// Two of struct pollfd, each with POLLIN.
pub(crate) struct Readable(pub Slot, pub Slot);

impl Arg for Readable {
    fn arg(&self, m: &mut Machine) -> usize {
        const POLLIN: u64 = 1;
        let entry = |slot, m: &Machine| u64::from(m.fd(slot) as u32) | POLLIN << 32;
        m.area(&[entry(self.0, m), entry(self.1, m)])
    }
}

/// struct msghdr with the 8 bytes of a report and one descriptor.
pub(crate) struct Send(pub u32, pub Slot);

impl Arg for Send {
    fn arg(&self, m: &mut Machine) -> usize {
        const SOL_SOCKET_SCM_RIGHTS: u64 = 1 | 1 << 32;
        let base = m.area.as_ptr() as usize as u64;
        let word = |n: u64| base + n * 8;
        let fd = m.fd(self.1) as u32;
        m.area(&[
            0,
            0,
            word(7),
            1,
            word(10),
            24,
            0, // msghdr: name, namelen, iov, iovlen, control, len
            word(9),
            8,
            u64::from(self.0), // iovec, and the report
            20,
            SOL_SOCKET_SCM_RIGHTS,
            u64::from(fd), // cmsghdr, and the descriptor
        ])
    }
}

/// The number of a slot's descriptor, less one.
pub(crate) struct Below(pub Slot);

impl Arg for Below {
    fn arg(&self, m: &mut Machine) -> usize {
        (m.fd(self.0) - 1) as usize
    }
}

/// The number of a slot's descriptor, plus one.
pub(crate) struct Above(pub Slot);

impl Arg for Above {
    fn arg(&self, m: &mut Machine) -> usize {
        (m.fd(self.0) + 1) as usize
    }
}

/// The argument vector that init was given.
pub(crate) struct Argv;

impl Arg for Argv {
    fn arg(&self, m: &mut Machine) -> usize {
        m.argv
    }
}

/// The environment that init was given.
pub(crate) struct Envp;

impl Arg for Envp {
    fn arg(&self, m: &mut Machine) -> usize {
        m.envp
    }
}
