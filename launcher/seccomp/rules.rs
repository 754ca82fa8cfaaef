//! From rules about names to one decision per system call number.
//!
//! Knows how rules on the same system call combine; not how a decision becomes instructions.
//! The order of precedence is libseccomp's, because profiles were written against it:
//! a rule without conditions beats those with; the first of several such rules beats the others;
//! among rules with conditions the first that matches wins, in the order of [`by_precedence`].

use super::MAX_INSTRUCTIONS;
use super::arch::Arch;
use crate::spec::SeccompOperator;

/// The action of seccomp(2) on a call: SECCOMP_RET_* with its data.
pub type Verdict = u32;

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// 0 to 5.
    pub argument: u8,
    /// How the argument is compared with `value`.
    pub operator: SeccompOperator,
    /// The bits of the argument that are compared; all bits unless the operator is MASKED_EQ.
    pub mask: u64,
    /// The value that they are compared with; it has no bits outside of `mask`.
    pub value: u64,
    /// Whether all 64 bits count, or the low 32.
    pub wide: bool,
}

impl Condition {
    /// The condition on an architecture, `None` if it always holds there.
    fn on(mut self, arch: Arch) -> Option<Condition> {
        self.wide = arch.is_wide();
        if !self.wide {
            self.mask &= u64::from(u32::MAX);
        }
        self.value &= self.mask;
        (self.mask != 0).then_some(self)
    }
}

/// One rule on one system call: all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// In the order of the arguments, each at most once; empty: always.
    pub conditions: Vec<Condition>,
    /// The verdict if the conditions hold.
    pub verdict: Verdict,
    /// Position in `linux.seccomp.syscalls`.
    pub rule: usize,
}

/// The decision about one system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The same verdict for all arguments.
    Always(Verdict),
    /// The first case that holds, else the default verdict. Never empty, each with conditions.
    ByArgument(Vec<Case>),
}

/// Two rules that contradict each other: the second has another verdict, and no conditions but
/// those that the first begins with, so that nothing would be left of the first. libseccomp
/// refuses that (EEXIST); in the other order it ignores the rule with more conditions.
pub struct Conflict {
    /// Position of the earlier rule.
    pub first: usize,
    /// Position of the later one.
    pub second: usize,
}

/// Decide about one system call of `arch`; `cases` in the order of the profile, at least one.
///
/// # Errors
/// The first two rules that contradict each other.
pub fn decide<'a>(arch: Arch, cases: impl Iterator<Item = &'a Case>) -> Result<Decision, Conflict> {
    let mut kept: Vec<Case> = Vec::new();
    for case in cases {
        let conditions: Vec<Condition> =
            case.conditions.iter().filter_map(|condition| condition.on(arch)).collect();
        if conditions.is_empty() {
            return Ok(Decision::Always(case.verdict));
        }
        let meets = |other: &&Case| other.conditions.starts_with(&conditions);
        let against = kept.iter().filter(meets).find(|other| other.verdict != case.verdict);
        if let Some(other) = against {
            return Err(Conflict { first: other.rule, second: case.rule });
        }
        // Above this limit the program is too long anyway, and comparing all pairs would take too
        // long.
        let repeats = kept.iter().any(|other| other.conditions == conditions);
        if !repeats && kept.len() < MAX_INSTRUCTIONS {
            kept.push(Case { conditions, ..*case });
        }
    }
    if kept.iter().any(|case| case.verdict != kept[0].verdict) {
        kept = by_precedence(kept, 0);
    }
    Ok(Decision::ByArgument(kept))
}

/// Put cases with different verdicts in the order in which libseccomp's filter tests them.
///
/// It makes a tree of comparisons of 32-bit words, rules with a common beginning sharing nodes;
/// on one level the later argument comes first, then equality before less before greater, then
/// the value that is nearer to the end the comparison points to. A rule that is the beginning of
/// another beats it.
fn by_precedence(cases: Vec<Case>, depth: usize) -> Vec<Case> {
    let mut ordered = Vec::with_capacity(cases.len());
    let mut groups: Vec<(Node, Vec<Case>)> = Vec::new();
    for case in cases {
        let Some(node) = Node::nth(&case.conditions, depth) else {
            ordered.push(case);
            continue;
        };
        match groups.iter_mut().find(|(other, _)| other.test == node.test) {
            Some((_, group)) => group.push(case),
            None => groups.push((node, vec![case])),
        }
    }
    groups.sort_by_key(|(node, _)| node.order);
    for (_, group) in groups {
        ordered.extend(by_precedence(group, depth + 1));
    }
    ordered
}

/// A comparison of one 32-bit word, as libseccomp arranges them.
struct Node {
    /// The place in the program: nodes are tested in ascending order.
    order: (u8, u8, u32),
    /// What is tested: word, comparison, mask, value. GE stands for LT too, and so on.
    test: (u8, u8, u32, u32),
}

impl Node {
    fn nth(conditions: &[Condition], depth: usize) -> Option<Node> {
        let words = if conditions.first()?.wide { 2 } else { 1 };
        let condition = conditions.get(depth / words)?;
        Some(Node::new(condition, words == 2 && depth.is_multiple_of(2)))
    }

    fn new(condition: &Condition, high: bool) -> Node {
        use SeccompOperator::{Eq, Ge, Gt, Le, Lt, MaskedEq, Ne};
        let shift = if high { 32 } else { 0 };
        let value = (condition.value >> shift) as u32;
        let word = condition.argument * 2 + u8::from(high);
        let (class, nearness) = match condition.operator {
            Eq | Ne | MaskedEq => (0, u32::MAX - value),
            Lt | Le => (1, value),
            Ge | Gt => (2, u32::MAX - value),
        };
        let comparison = match condition.operator {
            Eq | Ne => 0,
            MaskedEq => 1,
            Gt | Le => 2,
            // The high words of all four are compared with "greater".
            Ge | Lt if high => 2,
            Ge | Lt => 3,
        };
        Node {
            order: (u8::MAX - word, class, nearness),
            test: (word, comparison, (condition.mask >> shift) as u32, value),
        }
    }
}

/// The calls that 32-bit x86 also has, or only has, within socketcall(2) and ipc(2): what a rule
/// says about such a name has to hold there as well (`man 2 socketcall`, linux/net.h, linux/ipc.h).
pub struct Multiplexed {
    /// Number of socketcall(2) or ipc(2) on x86.
    pub number: u32,
    /// Its first argument that means the call.
    pub call: u64,
}

impl Multiplexed {
    /// Find the call by name.
    pub fn find(name: &str) -> Option<Multiplexed> {
        const SOCKETCALL: u32 = 102;
        const IPC: u32 = 117;
        let (number, call) = match name {
            "socket" => (SOCKETCALL, 1),
            "bind" => (SOCKETCALL, 2),
            "connect" => (SOCKETCALL, 3),
            "listen" => (SOCKETCALL, 4),
            "accept" => (SOCKETCALL, 5),
            "getsockname" => (SOCKETCALL, 6),
            "getpeername" => (SOCKETCALL, 7),
            "socketpair" => (SOCKETCALL, 8),
            "send" => (SOCKETCALL, 9),
            "recv" => (SOCKETCALL, 10),
            "sendto" => (SOCKETCALL, 11),
            "recvfrom" => (SOCKETCALL, 12),
            "shutdown" => (SOCKETCALL, 13),
            "setsockopt" => (SOCKETCALL, 14),
            "getsockopt" => (SOCKETCALL, 15),
            "sendmsg" => (SOCKETCALL, 16),
            "recvmsg" => (SOCKETCALL, 17),
            "accept4" => (SOCKETCALL, 18),
            "recvmmsg" => (SOCKETCALL, 19),
            "sendmmsg" => (SOCKETCALL, 20),
            "semop" => (IPC, 1),
            "semget" => (IPC, 2),
            "semctl" => (IPC, 3),
            "semtimedop" => (IPC, 4),
            "msgsnd" => (IPC, 11),
            "msgrcv" => (IPC, 12),
            "msgget" => (IPC, 13),
            "msgctl" => (IPC, 14),
            "shmat" => (IPC, 21),
            "shmdt" => (IPC, 22),
            "shmget" => (IPC, 23),
            "shmctl" => (IPC, 24),
            _ => return None,
        };
        Some(Multiplexed { number, call })
    }

    /// The case within the multiplexer: a condition on the first argument gives way to the one
    /// that selects the call, since the arguments proper are behind a pointer.
    pub fn case(&self, case: &Case) -> Case {
        let selects = Condition {
            argument: 0,
            operator: SeccompOperator::Eq,
            mask: u64::MAX,
            value: self.call,
            wide: false,
        };
        let others = case.conditions.iter().filter(|condition| condition.argument != 0).copied();
        Case { conditions: std::iter::once(selects).chain(others).collect(), ..*case }
    }
}
