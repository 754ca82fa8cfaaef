//! What each step took, for `--analyze`: stamps of the processor's counter, in memory that init
//! shares with the launcher.
//!
//! The counter needs no system call, so the calls of an analysed container are those of the plan,
//! whatever its filter refuses, and no time namespace shifts it. The launcher makes times of the
//! stamps. The ordinary init is built without a call into this file.
#![expect(unsafe_code, reason = "a counter's instruction, and memory that is mapped")]

use core::sync::atomic::{AtomicU64, Ordering};

use crate::life::Watch;
use crate::machine::{Outcome, raw};
use crate::ops::Op;

/// What the memory has of a step, in counts of [`counter`]; of a step that was not run, zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Before the step.
    pub start: u64,
    /// After it; zero if the step has not returned.
    pub end: u64,
    /// The errno that the step tolerated; zero if its call succeeded.
    pub errno: u64,
}

impl Stamp {
    /// Size in the memory, in bytes.
    pub const SIZE: usize = Self::WORDS * size_of::<u64>();
    const WORDS: usize = 3;

    /// Read the stamp at the beginning of `bytes`; `None` if there are too few.
    pub fn decode(bytes: &[u8]) -> Option<Stamp> {
        let mut words = bytes.chunks_exact(size_of::<u64>());
        let mut word = || words.next()?.try_into().ok().map(u64::from_ne_bytes);
        Some(Stamp { start: word()?, end: word()?, errno: word()? })
    }
}

/// The memory: first the stamp of init's own beginning, which ends when the plan has been read,
/// then a stamp for each step.
pub struct Stamps(&'static [AtomicU64]);

impl Stamps {
    /// Receive the memory from the launcher: a memfd, beside its length in 8 bytes.
    ///
    /// `None` if the channel has something else.
    pub fn receive() -> Option<Stamps> {
        const CHANNEL: usize = 3;
        const PROT_READ_WRITE: usize = 3;
        const MAP_SHARED_POPULATE: usize = 0x8001;
        let born = counter();
        let mut length = 0u64;
        // struct iovec; struct cmsghdr and a descriptor; struct msghdr.
        let mut part = [(&raw mut length) as u64, 8];
        let mut control = [0u64; 3];
        let (parts, rights) = ((&raw mut part) as u64, (&raw mut control) as u64);
        let mut message = [0, 0, parts, 1, rights, 24, 0];
        let arguments = [CHANNEL, (&raw mut message) as usize, 0, 0, 0, 0];
        if raw(sc::nr::RECVMSG, arguments) != Ok(8) {
            return None;
        }
        // SAFETY: the kernel has written to these locals, which are alive, through the addresses in
        // `message`.
        let (length, [_, _, fd]) = unsafe {
            ((&raw const length).read_volatile() as usize, (&raw const control).read_volatile())
        };
        let fd = fd as u32 as usize;
        // Not in steps: the descriptor is gone before the first.
        let at = raw(sc::nr::MMAP, [0, length, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, 0]);
        raw(sc::nr::CLOSE, [fd, 0, 0, 0, 0, 0]).ok()?;
        // SAFETY: the kernel has mapped `length` bytes, which stay mapped as long as this program
        // runs; other processes may write there, so that the words are atomic.
        let words =
            unsafe { core::slice::from_raw_parts(at.ok()? as *const AtomicU64, length / 8) };
        let stamps = Stamps(words);
        stamps.put(0, 0, born);
        Some(stamps)
    }

    fn put(&self, stamp: usize, word: usize, value: u64) {
        if let Some(place) = self.0.get(stamp * Stamp::WORDS + word) {
            place.store(value, Ordering::Relaxed);
        }
    }
}

impl Watch for Stamps {
    fn begins(&mut self) {
        self.put(0, 1, counter());
    }

    fn before(&mut self, index: usize, op: &Op<'_>) -> u64 {
        let now = counter();
        // These may not return.
        if let Op::Execve { .. } | Op::Supervise {} = op {
            self.put(index + 1, 0, now);
        }
        now
    }

    /// Two processes of a plan may skip steps of each other's, so a step that is skipped leaves the
    /// memory as it is.
    fn after(&mut self, index: usize, before: u64, outcome: Outcome) {
        let errno = match outcome {
            // The child has the stamp of its fork, too.
            Outcome::Skipped | Outcome::Forked(_) => return,
            Outcome::Tolerated(errno) => errno as u64,
            _ => 0,
        };
        let now = counter();
        self.put(index + 1, 0, before);
        self.put(index + 1, 1, now);
        self.put(index + 1, 2, errno);
    }
}

/// The counter that every processor of the machine has, and by which the kernel keeps
/// CLOCK_MONOTONIC: `rdtsc`, or `cntvct_el0`.
pub fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction reads a counter and touches no memory.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(target_arch = "aarch64")]
    {
        let count: u64;
        // SAFETY: the instruction reads a counter and touches no memory.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack));
        }
        count
    }
}
