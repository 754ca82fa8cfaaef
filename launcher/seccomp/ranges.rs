//! All numbers that a kernel can report under one AUDIT_ARCH, in ranges with the same decision.
//!
//! Decides about numbers without a rule: the default verdict, ENOSYS if a number is newer than the
//! profile, or KILL if it belongs to an ABI that the profile does not list.

use super::arch::{Arch, X32_BIT};

/// Position of a decision in the filter's list.
pub type Id = u16;

/// One decision for the numbers from `start` up to the next range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First number.
    pub start: u32,
    /// The decision for this number and the following ones.
    pub decision: Id,
}

/// Decisions for numbers without a rule.
#[derive(Debug, Clone, Copy)]
pub struct Otherwise {
    /// The profile's default.
    pub default: Id,
    /// For calls newer than the newest one named; the same as `default` where the profile's
    /// default is to let calls pass.
    pub newer: Id,
    /// For an ABI that the profile does not list.
    pub foreign: Id,
}

/// A profile's decisions about the calls of one architecture.
#[derive(Debug)]
pub struct Named {
    /// The architecture.
    pub arch: Arch,
    /// Decisions by number, ascending.
    pub decisions: Vec<(u32, Id)>,
    /// The highest number that any rule names, with [`Arch::base`].
    pub newest: Option<u32>,
}

/// The ranges of one AUDIT_ARCH: of one architecture, or of x86_64 and x32 together.
pub fn ranges(native: &Named, x32: Option<&Named>, otherwise: Otherwise) -> Vec<Range> {
    let mut ground = ground(native, otherwise);
    if native.arch == Arch::X86_64 {
        ground.truncate_at(X32_BIT);
        match x32 {
            Some(x32) => ground.0.extend(self::ground(x32, otherwise).0),
            None => {
                ground.push(X32_BIT, otherwise.foreign);
                // A tracer skips a call by setting its number to -1; since Linux 4.8 the filter
                // sees that number too, and must not kill for it (man 2 seccomp).
                ground.push(u32::MAX, otherwise.default);
            }
        }
    }
    let named = native.decisions.iter().chain(x32.iter().flat_map(|x32| &x32.decisions));
    overlay(&ground.0, named)
}

/// Ranges under construction: ascending, and neighbours have different decisions.
struct Ground(Vec<Range>);

impl Ground {
    /// From `start` on this decision holds; `start` is never below an earlier one.
    fn push(&mut self, start: u32, decision: Id) {
        if self.0.last().is_some_and(|last| last.start == start) {
            self.0.pop();
        }
        if self.0.last().is_none_or(|last| last.decision != decision) {
            self.0.push(Range { start, decision });
        }
    }

    fn truncate_at(&mut self, end: u32) {
        self.0.retain(|range| range.start < end);
    }
}

/// The decision for numbers without a rule.
fn ground(named: &Named, otherwise: Otherwise) -> Ground {
    let base = named.arch.base();
    let mut ground = Ground(Vec::new());
    ground.push(base, otherwise.default);
    let Some(newest) = named.newest else { return ground };
    let unordered = named.arch.unordered();
    let (start, end) = (base + unordered.start, base + unordered.end);
    if unordered.is_empty() || newest >= end {
        ground.push(newest.saturating_add(1), otherwise.newer);
        return ground;
    }
    ground.push(newest + 1, otherwise.newer);
    ground.push(start, otherwise.default);
    ground.push(end, otherwise.newer);
    ground
}

fn overlay<'a>(ground: &[Range], named: impl Iterator<Item = &'a (u32, Id)>) -> Vec<Range> {
    let mut all = Ground(Vec::with_capacity(ground.len() * 2));
    let mut named = named.peekable();
    for (at, range) in ground.iter().enumerate() {
        let end = ground.get(at + 1).map(|next| next.start);
        all.push(range.start, range.decision);
        while let Some((number, decision)) =
            named.next_if(|(number, _)| end.is_none_or(|end| *number < end))
        {
            all.push(*number, *decision);
            if Some(*number + 1) != end {
                all.push(*number + 1, range.decision);
            }
        }
    }
    all.0
}

/// The decision for a number.
pub fn lookup(ranges: &[Range], number: u32) -> Id {
    let after = ranges.partition_point(|range| range.start <= number);
    ranges[after - 1].decision
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERWISE: Otherwise = Otherwise { default: 0, newer: 1, foreign: 2 };

    fn named(arch: Arch, decisions: &[(u32, Id)], newest: Option<u32>) -> Named {
        Named { arch, decisions: decisions.to_vec(), newest }
    }

    fn starts(ranges: &[Range]) -> Vec<(u32, Id)> {
        ranges.iter().map(|range| (range.start, range.decision)).collect()
    }

    #[test]
    fn neighbours_with_one_decision_are_one_range() {
        let calls = named(Arch::X86, &[(3, 7), (4, 7), (6, 7), (9, 8)], Some(9));
        let expected = [(0, 0), (3, 7), (5, 0), (6, 7), (7, 0), (9, 8), (10, 1)];
        assert_eq!(starts(&ranges(&calls, None, OTHERWISE)), expected);
    }

    #[test]
    fn x32_numbers_are_foreign_unless_listed() {
        let calls = named(Arch::X86_64, &[(0, 7)], Some(0));
        let expected = [(0, 7), (1, 1), (X32_BIT, 2), (u32::MAX, 0)];
        assert_eq!(starts(&ranges(&calls, None, OTHERWISE)), expected);
        let x32 = named(Arch::X32, &[(X32_BIT, 7), (X32_BIT + 520, 7)], Some(X32_BIT + 5));
        let expected = [
            (0, 7),
            (1, 1),
            (X32_BIT, 7),
            (X32_BIT + 1, 0),
            (X32_BIT + 6, 1),
            (X32_BIT + 512, 0),
            (X32_BIT + 520, 7),
            (X32_BIT + 521, 0),
            (X32_BIT + 548, 1),
        ];
        assert_eq!(starts(&ranges(&calls, Some(&x32), OTHERWISE)), expected);
    }

    #[test]
    fn private_calls_of_arm_are_not_newer_than_others() {
        let calls = named(Arch::Arm, &[(1, 7), (0xf_0005, 7)], Some(1));
        let all = ranges(&calls, None, OTHERWISE);
        assert_eq!(lookup(&all, 0), 0);
        assert_eq!(lookup(&all, 2), 1);
        assert_eq!(lookup(&all, 0xf_0004), 0);
        assert_eq!(lookup(&all, 0xf_0005), 7);
        assert_eq!(lookup(&all, u32::MAX), 1);
    }

    #[test]
    fn without_a_named_call_nothing_is_newer() {
        let all = ranges(&named(Arch::X86, &[], None), None, OTHERWISE);
        assert_eq!(starts(&all), [(0, 0)]);
    }
}
