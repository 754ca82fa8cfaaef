//! Device rules → a `BPF_PROG_TYPE_CGROUP_DEVICE` program, linux/bpf.h, the kernel's
//! bpf/standardization/instruction-set.rst.
//!
//! Pure. The program tries the rules from the last to the first, and for each kind of access the
//! first rule that matches decides. R3 holds the requested access that is not decided yet: a rule
//! that denies part of it ends the program with 0, a rule that allows the rest of it with 1.

use super::devices::{ALL, Rule};
use crate::spec::DeviceRuleKind;

const R0: u8 = 0;
/// `struct bpf_cgroup_dev_ctx *`: access_type, major, minor.
const R1: u8 = 1;
/// Kind of device.
const R2: u8 = 2;
/// Access not decided yet.
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;

/// `BPF_DEVCG_DEV_BLOCK`.
pub(super) const BLOCK: u32 = 1;
/// `BPF_DEVCG_DEV_CHAR`.
pub(super) const CHAR: u32 = 2;

pub(super) const LDX_MEM_W: u8 = 0x61;
pub(super) const MOV32_IMM: u8 = 0xb4;
pub(super) const MOV32_REG: u8 = 0xbc;
pub(super) const AND32_IMM: u8 = 0x54;
pub(super) const RSH32_IMM: u8 = 0x74;
pub(super) const JNE32_IMM: u8 = 0x56;
pub(super) const JSET32_IMM: u8 = 0x46;
pub(super) const JA: u8 = 0x05;
pub(super) const EXIT: u8 = 0x95;

/// `struct bpf_insn`: code, registers, offset, immediate. Apart from the order of the bytes, little
/// and big endian differ in the order of the two register nibbles.
fn instruction(code: u8, target: u8, source: u8, offset: i16, immediate: u32) -> u64 {
    let registers = if cfg!(target_endian = "little") {
        target | (source << 4)
    } else {
        (target << 4) | source
    };
    let mut bytes = [0; 8];
    bytes[0] = code;
    bytes[1] = registers;
    bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
    bytes[4..].copy_from_slice(&immediate.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

/// Refuse more rules than one program can hold. A rule takes at most seven instructions, and the
/// kernel allows a million with CAP_BPF (BPF_COMPLEXITY_LIMIT_INSNS).
///
/// # Errors
/// There are more than 10,000 rules.
pub(super) fn fits(rules: &[Rule]) -> Result<(), String> {
    const MAX: usize = 10_000;
    match rules.len() {
        0..=MAX => Ok(()),
        n => Err(format!("{n} rules are more than the {MAX} that one program can hold")),
    }
}

/// The instructions, as `struct bpf_insn` in memory.
pub(super) fn compile(rules: &[Rule]) -> Vec<u64> {
    let mut code = vec![
        instruction(LDX_MEM_W, R2, R1, 0, 0),
        instruction(MOV32_REG, R3, R2, 0, 0),
        instruction(RSH32_IMM, R3, 0, 0, 16),
        instruction(AND32_IMM, R2, 0, 0, 0xffff),
        instruction(LDX_MEM_W, R4, R1, 4, 0),
        instruction(LDX_MEM_W, R5, R1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        append(&mut code, rule);
        if rule.is_whole() {
            // The rule ends the program always, and the verifier rejects unreachable instructions.
            return code;
        }
    }
    end(&mut code, 0);
    code
}

fn append(code: &mut Vec<u64>, rule: &Rule) {
    let mut body = Vec::with_capacity(4);
    match (rule.allow, rule.access) {
        (true, ALL) => end(&mut body, 1),
        (true, access) => {
            body.push(instruction(AND32_IMM, R3, 0, 0, u32::from(!access & ALL)));
            body.push(instruction(JNE32_IMM, R3, 0, 2, 0));
            end(&mut body, 1);
        }
        (false, ALL) => end(&mut body, 0),
        (false, access) => {
            body.push(instruction(JSET32_IMM, R3, 0, 1, u32::from(access)));
            body.push(instruction(JA, 0, 0, 2, 0));
            end(&mut body, 0);
        }
    }
    let kind = match rule.kind {
        DeviceRuleKind::All => None,
        DeviceRuleKind::Char => Some(CHAR),
        DeviceRuleKind::Block => Some(BLOCK),
    };
    let tests = [(R2, kind), (R4, rule.major), (R5, rule.minor)];
    let mut left = tests.iter().filter(|(_, value)| value.is_some()).count();
    for (register, value) in tests {
        let Some(value) = value else { continue };
        left -= 1;
        // Jump over the tests that follow and the body, which are at most six instructions.
        let over = i16::try_from(left + body.len()).unwrap_or(i16::MAX);
        code.push(instruction(JNE32_IMM, register, 0, over, value));
    }
    code.append(&mut body);
}

fn end(code: &mut Vec<u64>, verdict: u32) {
    code.push(instruction(MOV32_IMM, R0, 0, 0, verdict));
    code.push(instruction(EXIT, 0, 0, 0, 0));
}
