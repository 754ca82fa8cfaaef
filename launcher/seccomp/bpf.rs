//! Compile decisions to the classic BPF program that the kernel runs at every system call.
//!
//! Knows instructions, struct seccomp_data and the limits of jumps; not what a profile is. The
//! program is written backwards, so the target of a jump exists before the jump, and its distance
//! is known. The program finds a number by binary search.

use super::ranges::{Id, Range};
use super::rules::{Case, Condition, Decision, Verdict};
use crate::spec::SeccompOperator;

/// `struct sock_filter`, linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// BPF_LD, BPF_JMP, … with size, mode and source.
    pub code: u16,
    /// How many instructions to skip if the condition holds.
    pub jt: u8,
    /// How many instructions to skip if the condition does not hold.
    pub jf: u8,
    /// Constant, offset or distance.
    pub k: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`: load a word of struct seccomp_data.
pub const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
pub const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub const JUMP_EQ: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
pub const JUMP_GT: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub const JUMP_GE: u16 = 0x35;
/// `BPF_RET | BPF_K`.
pub const RETURN: u16 = 0x06;

/// Offset of the number in struct seccomp_data, linux/seccomp.h.
pub const NUMBER: u32 = 0;
/// Offset of the AUDIT_ARCH value.
pub const ARCH: u32 = 4;
/// Offset of the low word of an argument on a little-endian machine; the high one is 4 further.
const fn argument(index: u8) -> u32 {
    16 + 8 * index as u32
}
const HIGH: u32 = 4;

/// The calls that the kernel reports with one value of `seccomp_data.arch`.
#[derive(Debug)]
pub struct Section {
    /// AUDIT_ARCH_*.
    pub audit: u32,
    /// Decisions about all numbers, the first range from 0.
    pub ranges: Vec<Range>,
}

/// The program: `sections` in the order in which their architecture is looked for, `foreign` for
/// any other, `default` where no case of a decision holds.
pub fn assemble(
    sections: &[Section],
    decisions: &[Decision],
    default: Verdict,
    foreign: Verdict,
) -> Vec<Instruction> {
    let mut program = Backwards {
        code: Vec::with_capacity(512),
        returns: Vec::new(),
        blocks: vec![None; decisions.len()],
        decisions,
        default,
    };
    let mut entries = Vec::with_capacity(sections.len());
    for section in sections.iter().rev() {
        let root = program.search(&section.ranges);
        let root = program.fall_into(root);
        program.load(NUMBER, root);
        entries.push((section.audit, Target::At(program.code.len() - 1)));
    }
    let mut next = Target::Return(foreign);
    for (audit, entry) in entries {
        next = program.branch(JUMP_EQ, audit, entry, next);
    }
    let next = program.fall_into(next);
    program.load(ARCH, next);
    program.code.reverse();
    program.code
}

/// The target of a jump.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A verdict; the instruction that returns it may be anywhere.
    Return(Verdict),
    /// An instruction, counted from the end of the program.
    At(usize),
}

struct Backwards<'a> {
    /// The last instruction first.
    code: Vec<Instruction>,
    /// For each verdict, the instruction nearest to the beginning that returns it.
    returns: Vec<(Verdict, usize)>,
    /// For each decision by argument, its first instruction, once it is written.
    blocks: Vec<Option<usize>>,
    decisions: &'a [Decision],
    default: Verdict,
}

impl Backwards<'_> {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> usize {
        self.code.push(Instruction { code, jt, jf, k });
        self.code.len() - 1
    }

    /// Write the search for the number, which is loaded; the first of `ranges` has been reached.
    fn search(&mut self, ranges: &[Range]) -> Target {
        match ranges {
            [only] => self.decision(only.decision),
            // A single number between two parts of one range.
            [before, single, after]
                if before.decision == after.decision && single.start + 1 == after.start =>
            {
                let around = self.decision(before.decision);
                let within = self.decision(single.decision);
                self.branch(JUMP_EQ, single.start, within, around)
            }
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let pivot = high[0].start;
                let high = self.search(high);
                let low = self.search(low);
                self.branch(JUMP_GE, pivot, high, low)
            }
        }
    }

    fn decision(&mut self, id: Id) -> Target {
        let decisions = self.decisions;
        match &decisions[usize::from(id)] {
            Decision::Always(verdict) => Target::Return(*verdict),
            Decision::ByArgument(cases) => {
                let known = self.blocks[usize::from(id)];
                let start = known.unwrap_or_else(|| self.cases(cases));
                self.blocks[usize::from(id)] = Some(start);
                Target::At(start)
            }
        }
    }

    /// Write the tests of cases; the first that holds answers.
    fn cases(&mut self, cases: &[Case]) -> usize {
        let mut otherwise = Target::Return(self.default);
        for case in cases.iter().rev() {
            let mut holds = Target::Return(case.verdict);
            for condition in case.conditions.iter().rev() {
                holds = self.test(condition, holds, otherwise);
            }
            otherwise = holds;
        }
        self.fall_into(otherwise)
    }

    /// Write the test of one argument: in 32-bit words, since BPF knows no others.
    fn test(&mut self, condition: &Condition, holds: Target, fails: Target) -> Target {
        use SeccompOperator::{Eq, Ge, Gt, Le, Lt, MaskedEq, Ne};
        let word = argument(condition.argument);
        let (value, mask) = (condition.value as u32, condition.mask as u32);
        // BPF has no negated comparison, so a negation exchanges the two targets.
        let (jump, yes, no) = match condition.operator {
            Eq | MaskedEq => (JUMP_EQ, holds, fails),
            Ne => (JUMP_EQ, fails, holds),
            Gt => (JUMP_GT, holds, fails),
            Le => (JUMP_GT, fails, holds),
            Ge => (JUMP_GE, holds, fails),
            Lt => (JUMP_GE, fails, holds),
        };
        let high_mask = (condition.mask >> 32) as u32;
        if !condition.wide || high_mask == 0 {
            return self.word(word, mask, (jump, value), yes, no);
        }
        let high = (condition.value >> 32) as u32;
        if mask == 0 {
            return self.word(word + HIGH, high_mask, (JUMP_EQ, high), yes, no);
        }
        let low = self.word(word, mask, (jump, value), yes, no);
        match jump {
            JUMP_EQ => self.word(word + HIGH, high_mask, (JUMP_EQ, high), low, no),
            // No high word is less than 0, so a high word that is not equal to 0 is greater.
            _ if high == 0 => self.word(word + HIGH, high_mask, (JUMP_EQ, 0), low, yes),
            _ => {
                let equal = self.branch(JUMP_EQ, high, low, no);
                self.word(word + HIGH, high_mask, (JUMP_GT, high), yes, equal)
            }
        }
    }

    /// Write: load a word, apply the mask, compare.
    fn word(
        &mut self,
        offset: u32,
        mask: u32,
        (jump, value): (u16, u32),
        yes: Target,
        no: Target,
    ) -> Target {
        let compare = self.branch(jump, value, yes, no);
        let mut start = self.fall_into(compare);
        if mask != u32::MAX {
            start = self.push(AND, 0, 0, mask);
        }
        self.load(offset, start);
        Target::At(self.code.len() - 1)
    }

    /// Load a word before the latest instruction, which is `next`.
    fn load(&mut self, offset: u32, next: usize) {
        debug_assert_eq!(next + 1, self.code.len());
        self.push(LOAD, 0, 0, offset);
    }

    /// Write a conditional jump.
    fn branch(&mut self, code: u16, k: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        // Making the second target reachable may insert an instruction, which moves the first one
        // further away.
        let yes = self.reach(yes, 1);
        let no = self.reach(no, 0);
        let here = self.code.len();
        Target::At(self.push(code, (here - yes - 1) as u8, (here - no - 1) as u8, k))
    }

    /// The place to jump to from an instruction that follows after at most `more` others: a jump
    /// has 8 bits. If the target is further away, an unconditional jump to it is written here.
    fn reach(&mut self, target: Target, more: usize) -> usize {
        let here = self.code.len() + more;
        let near = |at: usize| here - at - 1 <= usize::from(u8::MAX);
        match target {
            Target::At(at) if near(at) => at,
            Target::At(at) => {
                let distance = self.code.len() - at - 1;
                self.push(JUMP, 0, 0, distance as u32)
            }
            Target::Return(verdict) => {
                let known = self.returns.iter().position(|(value, _)| *value == verdict);
                match known {
                    Some(known) if near(self.returns[known].1) => self.returns[known].1,
                    _ => self.new_return(verdict, known),
                }
            }
        }
    }

    fn new_return(&mut self, verdict: Verdict, known: Option<usize>) -> usize {
        let at = self.push(RETURN, 0, 0, verdict);
        match known {
            Some(known) => self.returns[known].1 = at,
            None => self.returns.push((verdict, at)),
        }
        at
    }

    /// Make `target` the latest instruction, so that the instruction written next falls through to
    /// it.
    fn fall_into(&mut self, target: Target) -> usize {
        let last = self.code.len().wrapping_sub(1);
        match target {
            Target::At(at) if at == last => at,
            Target::At(at) => self.push(JUMP, 0, 0, (last - at) as u32),
            Target::Return(verdict) => {
                let known = self.returns.iter().position(|(value, _)| *value == verdict);
                self.new_return(verdict, known)
            }
        }
    }
}
