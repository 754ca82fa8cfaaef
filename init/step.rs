//! A step: an operation, the errnos that it tolerates, and the descriptor that its guard tests. And
//! the plan, which is a header and steps.
//!
//! Layout of a plan: `MAGIC` (8 bytes, derived from the table: launcher and init are one build),
//! length of the whole plan (u32), number of preloaded descriptors (u32), steps. No byte may follow
//! the last step. A prefix of a plan is not a plan.

use core::fmt;

use crate::ops::{Op, ROWS};
use crate::wire::{Field, Malformed, Reader, Sink, Slot};

/// Errnos that a step tolerates: the plan continues as if the call had succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unless(u16);

impl Unless {
    /// No errno is tolerated.
    pub const NOTHING: Unless = Unless(0);
    /// File exists.
    pub const EEXIST: Unless = Unless(1);
    /// No such file or directory.
    pub const ENOENT: Unless = Unless(2);
    /// Not a directory.
    pub const ENOTDIR: Unless = Unless(4);
    /// Permission denied.
    pub const EACCES: Unless = Unless(8);
    /// Operation not permitted.
    pub const EPERM: Unless = Unless(16);
    /// Invalid argument: the kernel does not know a flag or a value.
    pub const EINVAL: Unless = Unless(32);
    /// The kernel does not have the system call.
    pub const ENOSYS: Unless = Unless(64);
    /// Too many symbolic links, or a symbolic link where the call allows none.
    pub const ELOOP: Unless = Unless(128);
    /// Read-only file system.
    pub const EROFS: Unless = Unless(256);
    /// The file system does not support the operation.
    pub const EOPNOTSUPP: Unless = Unless(512);

    /// Every bit that has a name.
    const KNOWN: u16 = (1 << Self::NAMES.len()) - 1;

    const NAMES: [(Unless, i32, &'static str); 10] = [
        (Self::EEXIST, 17, "EEXIST"),
        (Self::ENOENT, 2, "ENOENT"),
        (Self::ENOTDIR, 20, "ENOTDIR"),
        (Self::EACCES, 13, "EACCES"),
        (Self::EPERM, 1, "EPERM"),
        (Self::EINVAL, 22, "EINVAL"),
        (Self::ENOSYS, 38, "ENOSYS"),
        (Self::ELOOP, 40, "ELOOP"),
        (Self::EROFS, 30, "EROFS"),
        (Self::EOPNOTSUPP, 95, "EOPNOTSUPP"),
    ];

    /// The errnos of both.
    pub const fn or(self, other: Unless) -> Unless {
        Unless(self.0 | other.0)
    }

    /// Whether `errno` is tolerated.
    pub fn tolerates(self, errno: i32) -> bool {
        Self::NAMES.iter().any(|(bit, number, _)| self.0 & bit.0 != 0 && *number == errno)
    }
}

/// The condition under which a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The step always runs.
    Always,
    /// The step runs only if an earlier step filled this slot.
    Present(Slot),
    /// The step runs only if this slot is empty: the step that would have filled it failed with a
    /// tolerated errno.
    Absent(Slot),
}

/// One step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'p> {
    /// The condition under which the step runs.
    pub guard: Guard,
    /// The errnos that the step tolerates.
    pub unless: Unless,
    /// The operation.
    pub op: Op<'p>,
}

impl<'p> Step<'p> {
    /// Append to a plan.
    pub fn encode(&self, out: &mut dyn Sink) {
        match self.guard {
            Guard::Always => out.put(&[0]),
            Guard::Present(slot) => {
                out.put(&[1]);
                slot.encode(out);
            }
            Guard::Absent(slot) => {
                out.put(&[2]);
                slot.encode(out);
            }
        }
        self.unless.0.encode(out);
        self.op.encode(out);
    }

    /// Decode what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are no step: a guard, an errno or the operation is unknown, or bytes are missing.
    pub fn decode(from: &mut Reader<'p>) -> Result<Self, Malformed> {
        let guard = match u8::decode(from) {
            0 => Guard::Always,
            1 => Guard::Present(Slot::decode(from)),
            2 => Guard::Absent(Slot::decode(from)),
            _ => return Err(Malformed),
        };
        let unless = Unless(u16::decode(from));
        if unless.0 & !Unless::KNOWN != 0 {
            return Err(Malformed);
        }
        Ok(Step { guard, unless, op: Op::decode(from)? })
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.guard {
            Guard::Always => {}
            Guard::Present(slot) => {
                f.write_str("if ")?;
                slot.show(f)?;
                f.write_str(": ")?;
            }
            Guard::Absent(slot) => {
                f.write_str("if no ")?;
                slot.show(f)?;
                f.write_str(": ")?;
            }
        }
        write!(f, "{}", self.op)?;
        let mut between = " unless ";
        for (bit, _, name) in Unless::NAMES {
            if self.unless.0 & bit.0 != 0 {
                write!(f, "{between}{name}")?;
                between = ", ";
            }
        }
        Ok(())
    }
}

/// The first bytes of every plan: a digest of the table, so that init refuses the plan of another
/// build.
pub const MAGIC: [u8; 8] = digest().to_le_bytes();

/// FNV-1a over every row.
const fn digest() -> u64 {
    const fn mix(mut hash: u64, text: &str) -> u64 {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x100_0000_01b3);
            i += 1;
        }
        hash
    }
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut row = 0;
    while row < ROWS.len() {
        hash = mix(mix(hash, ROWS[row].name), ROWS[row].call);
        let mut field = 0;
        while field < ROWS[row].fields.len() {
            hash = mix(mix(hash, ROWS[row].fields[field].0), ROWS[row].fields[field].1);
            field += 1;
        }
        row += 1;
    }
    hash
}

/// The header of a plan, before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole plan, header included, in bytes.
    pub length: u32,
    /// How many descriptors the launcher preloaded, into the slots from 1 on.
    pub preloaded: u32,
}

impl Header {
    /// Size on the wire, in bytes.
    pub const SIZE: usize = 16;
    /// The greatest length of a plan, in bytes.
    pub const LONGEST: u32 = 16 << 20;

    /// Encode the header.
    pub fn encode(&self, out: &mut dyn Sink) {
        out.put(&MAGIC);
        self.length.encode(out);
        self.preloaded.encode(out);
    }

    /// Decode the header; refuses the header of another build.
    ///
    /// # Errors
    /// Another build wrote the header, or it has a length or a count out of range.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let ours = from.take(MAGIC.len()) == MAGIC;
        let header = Header { length: u32::decode(from), preloaded: u32::decode(from) };
        let fits = ours
            && header.length >= Self::SIZE as u32
            && header.length <= Self::LONGEST
            && (header.preloaded as usize) < Slot::COUNT;
        if fits { from.whole(header) } else { Err(Malformed) }
    }
}

/// The steps of a plan that was checked as a whole: each step decodes.
#[derive(Clone)]
pub struct Plan<'p> {
    header: Header,
    steps: Reader<'p>,
}

impl<'p> Plan<'p> {
    /// Check all of `bytes` before any step runs: a prefix of a plan is not a plan.
    ///
    /// # Errors
    /// The header or a step does not decode, or the length in the header is not that of `bytes`.
    pub fn new(bytes: &'p [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let header = Header::decode(&mut reader)?;
        if header.length as usize != bytes.len() {
            return Err(Malformed);
        }
        let steps = reader;
        while reader.left() > 0 {
            Step::decode(&mut reader)?;
        }
        Ok(Plan { header, steps })
    }

    /// How many descriptors are preloaded.
    pub fn preloaded(&self) -> usize {
        self.header.preloaded as usize
    }
}

impl<'p> Iterator for Plan<'p> {
    type Item = Step<'p>;

    fn next(&mut self) -> Option<Step<'p>> {
        if self.steps.left() == 0 {
            return None;
        }
        Step::decode(&mut self.steps).ok()
    }
}
