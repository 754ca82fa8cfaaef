//! `linux.seccomp`: a profile of system call names becomes a BPF program for seccomp(2).
//!
//! Pure: no system call, nothing about this machine but the architecture it was built for. Whether
//! the kernel supports a flag or an action shows when init loads the program. Rules combine as with
//! libseccomp and runc: rules.rs says how. A call that no rule names gets the default, or ENOSYS
//! (below).

pub mod arch;
pub mod bpf;
mod listing;
mod names;
mod profile;
mod ranges;
mod rules;
#[cfg(test)]
mod tests;

use crate::spec::json::Violation;
use crate::spec::{Seccomp, SeccompAction, SeccompFlag};
pub use arch::Arch;
pub use bpf::Instruction;
pub use listing::disassemble;
pub use names::all as system_calls;
use ranges::{Named, Otherwise};
use rules::{Decision, Verdict};

/// SECCOMP_RET_*, linux/seccomp.h; the low 16 bits are data.
mod verdict {
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    pub const KILL_THREAD: u32 = 0;
    pub const TRAP: u32 = 0x0003_0000;
    pub const ERRNO: u32 = 0x0005_0000;
    pub const USER_NOTIF: u32 = 0x7fc0_0000;
    pub const TRACE: u32 = 0x7ff0_0000;
    pub const LOG: u32 = 0x7ffc_0000;
    pub const ALLOW: u32 = 0x7fff_0000;
    /// The bits of the action.
    pub const ACTION: u32 = 0xffff_0000;
    /// The bits of the data: an errno, or a message to the tracer.
    pub const DATA: u32 = 0x0000_ffff;
}

/// SECCOMP_FILTER_FLAG_*, linux/seccomp.h.
mod flag {
    /// Set the filter for all threads. Linux 3.17.
    pub const TSYNC: u32 = 1 << 0;
    /// Log every action but ALLOW. Linux 4.14.
    pub const LOG: u32 = 1 << 1;
    /// Leave speculative store bypass alone. Linux 4.17.
    pub const SPEC_ALLOW: u32 = 1 << 2;
    /// Return a descriptor that gets the notifications. Linux 5.0.
    pub const NEW_LISTENER: u32 = 1 << 3;
    /// Once the listener has received a call, only fatal signals interrupt the caller's wait for
    /// the answer. Linux 5.19.
    pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;
}

/// The verdict about a call that is newer than the profile.
const MISSING: Verdict = verdict::ERRNO | libc::ENOSYS as u32;

/// The kernel's limit for a program: BPF_MAXINSNS, linux/bpf_common.h.
const MAX_INSTRUCTIONS: usize = 4096;

/// The program and the flags for seccomp(2), and the warnings about the profile.
#[derive(Debug)]
pub struct Filter {
    /// The program, for SECCOMP_SET_MODE_FILTER.
    pub program: Vec<Instruction>,
    /// SECCOMP_FILTER_FLAG_*; with NEW_LISTENER exactly if `notify`.
    pub flags: u32,
    /// Whether the filter notifies a listener of calls: seccomp(2) then returns its descriptor.
    pub notify: bool,
    /// Parts of the profile that have no effect; each is a sentence for the log.
    pub warnings: Vec<String>,
    tables: Tables,
}

/// The tables from which the program was made.
#[derive(Debug)]
struct Tables {
    /// Architectures, the native one first, with the newest number that the profile names.
    archs: Vec<(Arch, Option<u32>)>,
    sections: Vec<bpf::Section>,
    decisions: Vec<Decision>,
    default: Verdict,
    /// Verdict about newer calls, where it is not the default.
    newer: Option<Verdict>,
}

impl Filter {
    /// The program as an array of `struct sock_filter`, in native byte order.
    pub fn bytes(&self) -> Vec<u8> {
        bytes(&self.program)
    }
}

fn bytes(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    bytes
}

/// Return a filter, as [`Filter::bytes`] does, that kills the process at any system call but these,
/// which are numbers of this machine's architecture.
pub fn only(calls: &[libc::c_long]) -> Vec<u8> {
    let number = calls.len() as u8;
    let step = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut program = vec![
        step(bpf::LOAD, 0, 0, bpf::ARCH),
        step(bpf::JUMP_EQ, 0, number + 1, Arch::HOST.audit()),
        step(bpf::LOAD, 0, 0, bpf::NUMBER),
    ];
    let calls = (0..number).zip(calls);
    program.extend(calls.map(|(at, call)| step(bpf::JUMP_EQ, number - at, 0, *call as u32)));
    program.push(step(bpf::RETURN, 0, 0, verdict::KILL_PROCESS));
    program.push(step(bpf::RETURN, 0, 0, verdict::ALLOW));
    bytes(&program)
}

/// Compile `linux.seccomp` for the machine this program was built for.
///
/// # Errors
/// The profile has mistakes; all of them are returned at once.
pub fn compile(seccomp: &Seccomp) -> Result<Filter, Vec<Violation>> {
    compile_for(seccomp, Arch::HOST)
}

/// Compile as [`compile`] does, for a kernel of architecture `native`.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(seccomp: &Seccomp, native: Arch) -> Result<Filter, Vec<Violation>> {
    let mut profile = profile::read(seccomp, native);
    let mut violations = std::mem::take(&mut profile.violations);
    let mut decisions = Vec::new();
    let otherwise = otherwise(seccomp.default_action, profile.default, &mut decisions);
    let named: Vec<Named> = (0..profile.archs.len())
        .map(|column| profile.decide(column, &mut decisions, &mut violations))
        .collect();
    let sections = sections(&named, otherwise);
    if let Some(violation) = cannot_start(native, &sections, &decisions, profile.default) {
        violations.push(violation);
    }
    let default = profile.default;
    let program = bpf::assemble(&sections, &decisions, default, verdict::KILL_THREAD);
    if program.len() > MAX_INSTRUCTIONS {
        let text = format!(
            "makes a filter of {} instructions; the kernel takes {MAX_INSTRUCTIONS} at most",
            program.len()
        );
        violations.push(Violation::rule("linux.seccomp.syscalls", text));
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let notify = seccomp.syscalls.iter().any(|rule| rule.action == SeccompAction::Notify);
    let flags = flags(seccomp, notify, &mut profile.warnings);
    let newer = (otherwise.newer != otherwise.default).then_some(MISSING);
    let archs = named.iter().map(|named| (named.arch, named.newest)).collect();
    let tables = Tables { archs, sections, decisions, default, newer };
    Ok(Filter { program, flags, notify, warnings: profile.warnings, tables })
}

/// Decisions for calls that no rule is about.
///
/// A program falls back to an older system call after ENOSYS, and gives up after EPERM. So a call
/// that is newer than every call in the profile gets ENOSYS, unless the profile's default lets
/// calls pass. TRACE counts as passing, since the tracer decides.
fn otherwise(action: SeccompAction, default: Verdict, decisions: &mut Vec<Decision>) -> Otherwise {
    use SeccompAction::{Allow, Log, Trace};
    let missing = match action {
        Allow | Log | Trace => default,
        _ => MISSING,
    };
    let mut id = |verdict| profile::intern(decisions, Decision::Always(verdict));
    Otherwise { default: id(default), newer: id(missing), foreign: id(verdict::KILL_THREAD) }
}

/// One section per AUDIT_ARCH; x32 is a part of x86_64.
fn sections(named: &[Named], otherwise: Otherwise) -> Vec<bpf::Section> {
    let x32 = named.iter().find(|named| named.arch == Arch::X32);
    let own = named.iter().filter(|named| named.arch != Arch::X32);
    own.map(|named| bpf::Section {
        audit: named.arch.audit(),
        ranges: ranges::ranges(named, x32, otherwise),
    })
    .collect()
}

/// The filter applies to the execve(2) of the container's program: a profile that always forbids
/// execve is refused, since no container could start.
fn cannot_start(
    native: Arch,
    sections: &[bpf::Section],
    decisions: &[Decision],
    default: Verdict,
) -> Option<Violation> {
    let section = sections.iter().find(|section| section.audit == native.audit())?;
    let number = names::find("execve")?.on(native)?;
    let forbids = |verdict: Verdict| {
        use verdict::{ACTION, ERRNO, KILL_PROCESS, KILL_THREAD, TRAP};
        matches!(verdict & ACTION, ERRNO | KILL_PROCESS | KILL_THREAD | TRAP)
    };
    let decision = &decisions[usize::from(ranges::lookup(&section.ranges, number))];
    let never = match decision {
        Decision::Always(verdict) => forbids(*verdict),
        Decision::ByArgument(cases) => {
            forbids(default) && cases.iter().all(|case| forbids(case.verdict))
        }
    };
    never.then(|| {
        let mut violation = Violation::rule(
            "linux.seccomp",
            format!("denies execve on {}, so that no program can be started", native.name()),
        );
        violation.hint = Some("allow execve in linux.seccomp.syscalls".to_owned());
        violation
    })
}

/// The kernel's bit of a flag.
pub fn flag_bit(flag: SeccompFlag) -> u32 {
    match flag {
        SeccompFlag::Tsync => flag::TSYNC,
        SeccompFlag::Log => flag::LOG,
        SeccompFlag::SpecAllow => flag::SPEC_ALLOW,
        SeccompFlag::WaitKillableRecv => flag::WAIT_KILLABLE_RECV,
    }
}

/// The profile's flags; without `flags`, SPEC_ALLOW as in runc.
///
/// TSYNC is not passed to the kernel: init has one thread when it loads the filter.
fn flags(seccomp: &Seccomp, notify: bool, warnings: &mut Vec<String>) -> u32 {
    let mut flags = if notify { flag::NEW_LISTENER } else { 0 };
    let Some(asked) = &seccomp.flags else { return flags | flag::SPEC_ALLOW };
    for word in asked {
        flags |= match word {
            SeccompFlag::Tsync => 0,
            // The kernel accepts WAIT_KILLABLE_RECV only together with NEW_LISTENER.
            SeccompFlag::WaitKillableRecv if !notify => {
                let word = word.word();
                warnings.push(format!(
                    "linux.seccomp.flags: {word} has no effect without a rule SCMP_ACT_NOTIFY"
                ));
                0
            }
            other => flag_bit(*other),
        };
    }
    flags
}
