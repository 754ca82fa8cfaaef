//! System calls by name: one table for all architectures, computed at compile time.
//!
//! Knows names and numbers: the tables of crate `syscalls`, and the calls that they lack. Must not
//! know filters. A name is looked up with one hash and one comparison. The table is plain bytes
//! without pointers, so that it needs no relocation and touches few pages.

use super::arch::Arch;

/// Stands for "not on this architecture".
const NONE: u16 = u16::MAX;
/// ARM's private calls have the numbers `0xf0000 + n`; the table holds `0x8000 + n`.
const PRIVATE: u16 = 0x8000;
const BUCKETS: usize = 1024;
const COLUMNS: usize = Arch::ALL.len();

/// x86_64 numbers of the calls that x32 has again as 512, 513, …: syscall_64.tbl, "x32".
const X32_OWN: [u16; 36] = [
    13, 15, 16, 19, 20, 45, 46, 47, 59, 101, 127, 128, 129, 131, 222, 244, 246, 247, 273, 274, 278,
    279, 295, 296, 297, 299, 307, 310, 311, 54, 55, 206, 209, 322, 327, 328,
];
/// x86_64 numbers that x32 does not have at all: syscall_64.tbl, "64".
const X64_ONLY: [u16; 14] = [134, 156, 174, 177, 178, 180, 205, 211, 214, 215, 236, 335, 336, 453];
/// arch/arm/include/uapi/asm/unistd.h; crate `syscalls` ends before these.
const ARM_PRIVATE: [(&str, u16); 6] = [
    ("breakpoint", 1),
    ("cacheflush", 2),
    ("usr26", 3),
    ("usr32", 4),
    ("set_tls", 5),
    ("get_tls", 6),
];
/// Calls of 32-bit x86 that exist only within socketcall(2) and ipc(2).
const MULTIPLEXED: [&str; 5] = ["accept", "send", "recv", "semop", "semtimedop"];

/// The numbers of one name on all architectures.
#[derive(Clone, Copy)]
pub struct Numbers(&'static [u16; COLUMNS]);

impl Numbers {
    /// `seccomp_data.nr` of the call, if the architecture has it.
    pub fn on(self, arch: Arch) -> Option<u32> {
        match self.0[arch as usize] {
            NONE => None,
            n if n >= PRIVATE => Some(0xf_0000 + u32::from(n - PRIVATE)),
            n => Some(arch.base() + u32::from(n)),
        }
    }
}

/// The numbers of a system call, `None` if no architecture knows the name.
pub fn find(name: &str) -> Option<Numbers> {
    let mut bucket = hash(name.as_bytes()) as usize % BUCKETS;
    loop {
        let entry = INDEX[bucket] as usize;
        if entry == NONE as usize {
            return None;
        }
        if text(entry) == name.as_bytes() {
            return Some(Numbers(&NUMBERS[entry]));
        }
        bucket = (bucket + 1) % BUCKETS;
    }
}

/// All names, in no particular order.
pub fn all() -> impl Iterator<Item = (&'static str, Numbers)> {
    (0..TABLE.count).filter_map(|entry| {
        let name = std::str::from_utf8(text(entry)).ok()?;
        Some((name, Numbers(&NUMBERS[entry])))
    })
}

fn text(entry: usize) -> &'static [u8] {
    &TEXT[ENDS[entry] as usize..ENDS[entry + 1] as usize]
}

/// FNV-1a, 32 bits.
const fn hash(name: &[u8]) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

const TABLE: Table = build();
static TEXT: [u8; TABLE.used] = first(&TABLE.text);
static ENDS: [u16; TABLE.count + 1] = first(&TABLE.ends);
static NUMBERS: [[u16; COLUMNS]; TABLE.count] = first(&TABLE.numbers);
static INDEX: [u16; BUCKETS] = TABLE.index;

const fn first<T: Copy, const FROM: usize, const TO: usize>(from: &[T; FROM]) -> [T; TO] {
    let mut to = [from[0]; TO];
    let mut at = 0;
    while at < TO {
        to[at] = from[at];
        at += 1;
    }
    to
}

/// The table while it grows; larger than needed.
struct Table {
    text: [u8; 16384],
    used: usize,
    /// The text of entry `n` ends at `ends[n + 1]`.
    ends: [u16; BUCKETS],
    numbers: [[u16; COLUMNS]; BUCKETS],
    count: usize,
    index: [u16; BUCKETS],
}

impl Table {
    const fn is(&self, entry: usize, name: &[u8]) -> bool {
        let start = self.ends[entry] as usize;
        if self.ends[entry + 1] as usize - start != name.len() {
            return false;
        }
        let mut at = 0;
        while at < name.len() {
            if self.text[start + at] != name[at] {
                return false;
            }
            at += 1;
        }
        true
    }

    /// The entry of `name`, a new one if there is none yet.
    const fn entry(&mut self, name: &[u8]) -> usize {
        let mut bucket = hash(name) as usize % BUCKETS;
        while self.index[bucket] != NONE {
            let entry = self.index[bucket] as usize;
            if self.is(entry, name) {
                return entry;
            }
            bucket = (bucket + 1) % BUCKETS;
        }
        self.index[bucket] = self.count as u16;
        let mut at = 0;
        while at < name.len() {
            self.text[self.used + at] = name[at];
            at += 1;
        }
        self.used += name.len();
        self.count += 1;
        self.ends[self.count] = self.used as u16;
        self.count - 1
    }

    const fn set(&mut self, arch: Arch, name: &str, number: u16) {
        let entry = self.entry(plain(name));
        self.numbers[entry][arch as usize] = number;
    }
}

/// `r#break` is how the crate has to spell `break`.
const fn plain(name: &str) -> &[u8] {
    match name.as_bytes() {
        [b'r', b'#', rest @ ..] => rest,
        whole => whole,
    }
}

const fn x32(number: u16) -> u16 {
    let mut at = 0;
    while at < X32_OWN.len() {
        if X32_OWN[at] == number {
            return 512 + at as u16;
        }
        at += 1;
    }
    let mut at = 0;
    while at < X64_ONLY.len() {
        if X64_ONLY[at] == number {
            return NONE;
        }
        at += 1;
    }
    number
}

/// Calls `$add(name, number)` for every call of one table of the crate.
macro_rules! each {
    ($arch:ident, |$name:ident, $number:ident| $add:expr) => {{
        let mut number = 0;
        while number <= syscalls::$arch::Sysno::last().id() as u16 {
            if let Some(call) = syscalls::$arch::Sysno::new(number as usize) {
                let ($name, $number) = (call.name(), number);
                $add;
            }
            number += 1;
        }
    }};
}

const fn build() -> Table {
    let mut table = Table {
        text: [0; 16384],
        used: 0,
        ends: [0; BUCKETS],
        numbers: [[NONE; COLUMNS]; BUCKETS],
        count: 0,
        index: [NONE; BUCKETS],
    };
    each!(x86_64, |name, number| {
        table.set(Arch::X86_64, name, number);
        table.set(Arch::X32, name, x32(number));
    });
    each!(x86, |name, number| table.set(Arch::X86, name, number));
    each!(arm, |name, number| table.set(Arch::Arm, name, number));
    each!(aarch64, |name, number| match number {
        // Here the crate has the name of the kernel's entry point, fstatat.
        79 => table.set(Arch::Aarch64, "newfstatat", number),
        // The 64-bit time variants exist on 32-bit architectures only.
        403..=423 => {}
        _ => table.set(Arch::Aarch64, name, number),
    });
    let mut at = 0;
    while at < ARM_PRIVATE.len() {
        table.set(Arch::Arm, ARM_PRIVATE[at].0, PRIVATE + ARM_PRIVATE[at].1);
        at += 1;
    }
    let mut at = 0;
    while at < MULTIPLEXED.len() {
        table.entry(MULTIPLEXED[at].as_bytes());
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(arch: Arch, name: &str) -> Option<u32> {
        find(name).and_then(|numbers| numbers.on(arch))
    }

    #[test]
    fn a_name_has_its_number_on_every_architecture() {
        assert_eq!(number(Arch::X86_64, "read"), Some(0));
        assert_eq!(number(Arch::X86, "read"), Some(3));
        assert_eq!(number(Arch::X86, "break"), Some(17));
        assert_eq!(number(Arch::Aarch64, "newfstatat"), Some(79));
        assert_eq!(number(Arch::Aarch64, "futex_time64"), None);
        assert_eq!(number(Arch::Arm, "futex_time64"), Some(422));
        assert_eq!(number(Arch::Arm, "set_tls"), Some(0xf_0005));
        assert_eq!(number(Arch::X86_64, "socketcall"), None);
    }

    #[test]
    fn x32_numbers_follow_the_kernels_table() {
        assert_eq!(number(Arch::X32, "read"), Some(0x4000_0000));
        assert_eq!(number(Arch::X32, "execve"), Some(0x4000_0000 + 520));
        assert_eq!(number(Arch::X32, "getsockopt"), Some(0x4000_0000 + 542));
        assert_eq!(number(Arch::X32, "pwritev2"), Some(0x4000_0000 + 547));
        assert_eq!(number(Arch::X32, "uselib"), None);
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        assert!(all().count() > 400);
        for (name, numbers) in all() {
            assert_eq!(find(name).map(|found| found.0), Some(numbers.0), "{name}");
        }
        for name in ["", "reaD", "r#break", "no_such_call"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
