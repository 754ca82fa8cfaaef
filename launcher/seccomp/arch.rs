//! The architectures of seccomp(2): which of them one machine runs, and how each numbers its system
//! calls.
//!
//! Knows SCMP_ARCH_* names, AUDIT_ARCH_* values and ranges of numbers; not which system call has
//! which number (names.rs), nor what a profile says about it.

use std::ops::Range;

/// Bit 30 of a number marks a call of the x32 ABI: `__X32_SYSCALL_BIT`, asm/unistd.h.
pub const X32_BIT: u32 = 0x4000_0000;

/// An architecture whose system calls can be filtered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, through `int 0x80` and `sysenter`.
    X86,
    /// x86_64 with 32-bit pointers: shares its AUDIT_ARCH, told apart by [`X32_BIT`].
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

/// SCMP_ARCH_* words of the specification that no machine we run on can report, so a profile's
/// rules for them have no effect.
const ELSEWHERE: [&str; 18] = [
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

impl Arch {
    /// All architectures; the position of each is its column in the table of names.
    pub const ALL: [Arch; 5] = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];

    /// What this program was built for.
    #[cfg(target_arch = "x86_64")]
    pub const HOST: Arch = Arch::X86_64;
    /// What this program was built for.
    #[cfg(target_arch = "aarch64")]
    pub const HOST: Arch = Arch::Aarch64;

    /// The architecture that `linux.seccomp.architectures` calls `word`.
    pub fn from_word(word: &str) -> Option<Arch> {
        Arch::ALL.into_iter().find(|arch| arch.word() == word)
    }

    /// Every word that `linux.seccomp.architectures` may contain.
    pub fn words() -> impl Iterator<Item = &'static str> {
        Arch::ALL.into_iter().map(Arch::word).chain(ELSEWHERE)
    }

    /// The word of the specification, which is libseccomp's.
    pub fn word(self) -> &'static str {
        match self {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::X32 => "SCMP_ARCH_X32",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// The common name.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::X86 => "x86",
            Arch::X32 => "x32",
            Arch::Aarch64 => "aarch64",
            Arch::Arm => "arm",
        }
    }

    /// `seccomp_data.arch`: linux/audit.h, AUDIT_ARCH_*.
    pub fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xc000_003e,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are compared with all their 64 bits. On the others only the low 32 are
    /// compared, as by libseccomp.
    pub fn is_wide(self) -> bool {
        matches!(self, Arch::X86_64 | Arch::Aarch64)
    }

    /// Whether a kernel of architecture `native` runs programs of this one.
    pub fn runs_on(self, native: Arch) -> bool {
        match native {
            Arch::X86_64 => matches!(self, Arch::X86_64 | Arch::X86 | Arch::X32),
            Arch::Aarch64 => matches!(self, Arch::Aarch64 | Arch::Arm),
            _ => self == native,
        }
    }

    /// The offset from a number of the table to `seccomp_data.nr`.
    pub fn base(self) -> u32 {
        if self == Arch::X32 { X32_BIT } else { 0 }
    }

    /// Numbers (without [`Arch::base`]) that are not in the order in which calls were invented:
    /// the private calls of ARM, and the second set of x32, which stand above all the others.
    pub fn unordered(self) -> Range<u32> {
        match self {
            Arch::Arm => 0xf_0000..0xf_0100,
            Arch::X32 => 512..548,
            _ => 0..0,
        }
    }
}
