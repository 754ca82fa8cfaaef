//! The machine: slots for descriptors, room to scribble on, and the one system call instruction.
//!
//! Runs one step at a time and says how it went. Knows no order and no purpose.
#![expect(unsafe_code, reason = "this is init's system-call file")]

use core::ffi::CStr;

use crate::flags::*;
use crate::ops::{Op, Then};
use crate::step::{Guard, Step};
use crate::wire::Slot;

/// What init has: where its descriptors are, and what it was started with.
#[repr(C, align(8))]
pub struct Machine {
    scratch: [u8; Machine::SCRATCH],
    area: [u64; 16],
    slots: [i32; Slot::COUNT],
    argv: usize,
    envp: usize,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// On to the next.
    Done,
    /// Not taken: its guard said so.
    Skipped,
    /// The kernel said no, and that is as good.
    Tolerated(i32),
    /// The kernel said no.
    Failed(i32),
    /// A child goes on with the plan; this is its pid.
    Forked(u32),
    /// The kernel said yes, and yet it is not as asked.
    Unverified,
}

/// Instead of an index: a child goes on with the plan, and the errno is its pid.
pub const FORKED: u32 = 0x8000_0007;

/// How often a resolution that raced with a rename is tried (openat2(2), EAGAIN).
const RACES: usize = 128;
/// The longest message of the kernel's that is passed on, in bytes.
const WORDS: usize = 512;
const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;

impl Machine {
    /// Room to scribble on, in bytes: for the longest working directory that is let through.
    pub const SCRATCH: usize = 3584;

    /// No descriptors; argv and envp still to be told. All zero, so that it costs no file space.
    pub const fn new() -> Self {
        Machine {
            scratch: [0; Self::SCRATCH],
            area: [0; 16],
            slots: [0; Slot::COUNT],
            argv: 0,
            envp: 0,
        }
    }

    /// Begin: the channel is descriptor 3, what the launcher preloaded follows it.
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
        match self.call(&step.op) {
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

    /// A closed descriptor is no descriptor: guards must not see it.
    fn closed(&mut self, op: &Op<'_>) {
        if let Op::Close { fd } = op {
            self.keep(*fd, -1);
        }
    }

    fn call(&mut self, op: &Op<'_>) -> Result<usize, i32> {
        let (number, args) = op.call(self);
        for _ in 0..RACES {
            match raw(number, args) {
                // The descriptor is gone all the same: close(2).
                Err(EINTR) if matches!(op, Op::Close { .. }) => return Ok(0),
                Err(EINTR) => {}
                Err(EAGAIN) if matches!(op, Op::Openat2 { .. }) => {}
                result => return result,
            }
        }
        Err(EAGAIN)
    }

    /// What the kernel itself says about the failure of `op`, without the final newline.
    ///
    /// Each read(2) gives one message; warnings come before the error, which is the last.
    pub fn words(&mut self, op: &Op<'_>) -> &[u8] {
        let Some(slot) = op.words() else { return &[] };
        let args = [self.fd(slot) as usize, self.scratch.as_mut_ptr() as usize, WORDS, 0, 0, 0];
        let mut length = 0;
        while let Ok(got @ 1..) = raw(sc::nr::READ, args) {
            length = got;
        }
        self.bytes(length).strip_suffix(b"\n").unwrap_or(self.bytes(length))
    }

    /// Tell `channel` that step `index` ended the plan with `errno`, and what the kernel says.
    pub fn fail(&mut self, channel: Slot, index: u32, errno: i32, op: Option<&Op<'_>>) {
        let mut message = [0; 8 + WORDS];
        let mut length = 8;
        let said = op.map_or(&[][..], |op| self.words(op));
        for (to, byte) in message.iter_mut().skip(8).zip(said) {
            *to = *byte;
            length += 1;
        }
        let head = index.to_le_bytes().into_iter().chain(errno.to_le_bytes());
        for (to, byte) in message.iter_mut().zip(head) {
            *to = byte;
        }
        let args = [self.fd(channel) as usize, message.as_ptr() as usize, length, 0, 0, 0];
        let _ = raw(sc::nr::WRITE, args);
    }

    /// The first bytes of what the kernel wrote.
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

    /// The three sets as capget(2) writes them: low words, then high words.
    pub(crate) fn caps(&self) -> Caps {
        let set = |i: usize| {
            let low = u64::from(self.u32_at(i * 4));
            CapSet(low | u64::from(self.u32_at(12 + i * 4)) << 32)
        };
        Caps { effective: set(0), permitted: set(1), inheritable: set(2) }
    }

    /// Leave these words in the area, and tell where.
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

/// Read exactly the plan that `Slot::CHANNEL` brings into fresh memory.
///
/// `None` if there is no plan, or not a whole one.
pub fn receive() -> Option<&'static [u8]> {
    const CHANNEL: usize = 3;
    let mut head = [0u8; crate::step::Header::SIZE];
    read_all(CHANNEL, head.as_mut_ptr() as usize, head.len())?;
    let header = crate::step::Header::decode(&mut crate::wire::Reader::new(&head)).ok()?;
    let length = header.length as usize;
    // Where the kernel is told nothing, it maps near the stack, and page tables down to there cost
    // up to three pages. A page of them covers 2 MiB, and init's own has room.
    let near = (receive as *const () as usize & !0x1f_ffff) + 0x1_0000;
    // PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_POPULATE: one fault for all of it.
    let args = [near, length, 3, 0x8022, usize::MAX, 0];
    let at = raw(sc::nr::MMAP, args).ok()?;
    // SAFETY: the kernel just gave us `length` bytes at `at`, zeroed, and nobody else knows them.
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

/// End the process, also one whose system call filter knows no exit_group.
pub fn exit(status: i32) -> ! {
    let _ = raw(sc::nr::EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]);
    // SAFETY: an instruction that is none. The kernel ends the process, the first of a pid
    // namespace too: `force_sig` passes over nobody.
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

/// The handler of a signal: as a shell tells who ended by one.
extern "C" fn end(signal: i32) -> ! {
    exit(128 + signal)
}

/// The system call, and its result as the kernel means it.
fn raw(number: usize, args: [usize; 6]) -> Result<usize, i32> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the arguments come from `Op::call`, which makes each pointer from a value that lives
    // in the plan, the step or the machine, all of which outlive the call and which nothing else
    // refers to while the kernel writes; or from `receive` and `words`, which own their memory.
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
plain!(usize, u32, u64, Prctl, Resource, Signal);

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

/// A place in the scratch page, for the kernel to write to.
pub(crate) struct Scratch(pub usize);

impl Arg for Scratch {
    fn arg(&self, m: &mut Machine) -> usize {
        m.scratch.as_mut_ptr() as usize + self.0
    }
}

/// A constant, by address.
pub(crate) struct At(pub &'static u64);

impl Arg for At {
    fn arg(&self, _: &mut Machine) -> usize {
        core::ptr::from_ref(self.0) as usize
    }
}

/// The kernel's struct sigaction: handler, flags, restorer, mask. It wants a restorer, which nobody
/// who does not return comes to.
pub(crate) struct End;

impl Arg for End {
    fn arg(&self, m: &mut Machine) -> usize {
        const SA_RESTORER: u64 = 0x0400_0000;
        let handler = end as extern "C" fn(i32) -> ! as usize as u64;
        m.area(&[handler, SA_RESTORER, handler, 0])
    }
}

/// struct sock_fprog.
pub(crate) struct Filter<'a>(pub &'a [u8]);

impl Arg for Filter<'_> {
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

/// The number before a slot's.
pub(crate) struct Below(pub Slot);

impl Arg for Below {
    fn arg(&self, m: &mut Machine) -> usize {
        (m.fd(self.0) - 1) as usize
    }
}

/// The number after a slot's.
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

impl Machine {
    /// Init's whole life after its plan has come: run it, and tell who listens how it ended.
    ///
    /// Returns only if the plan ended without becoming another program.
    pub fn life(&mut self, plan: crate::step::Plan<'_>) {
        let mut channel = Slot::CHANNEL;
        let mut last = u32::MAX;
        let mut refused = ENOENT;
        for (index, step) in plan.enumerate() {
            match self.run(&step) {
                Outcome::Done => match step.op {
                    Op::Accept { into, .. } => channel = into,
                    Op::Dup { into, fd, .. } if fd == channel => channel = into,
                    _ => {}
                },
                Outcome::Skipped => {}
                Outcome::Tolerated(errno) => {
                    if let Op::Execve { .. } = step.op {
                        last = index as u32;
                        // Of several candidates, one that is refused is the better answer.
                        refused = if errno == EACCES { EACCES } else { refused };
                    }
                }
                Outcome::Failed(errno) => {
                    return self.fail(channel, index as u32, errno, Some(&step.op));
                }
                Outcome::Forked(pid) => return self.fail(channel, FORKED, pid as i32, None),
                Outcome::Unverified if matches!(step.op, Op::Await { .. }) => return,
                Outcome::Unverified => return self.fail(channel, index as u32, 0, None),
            }
        }
        // Every candidate for the program was tolerated in not being one.
        self.fail(channel, last, refused, None);
    }
}
