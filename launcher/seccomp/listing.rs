//! A filter in words, for `tiny-ce explain --seccomp`.
//!
//! Prints the tables that the program was made from; knows nothing that is not in them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::arch::Arch;
use super::ranges::{Range, lookup};
use super::rules::{Condition, Decision, Verdict};
use super::{Filter, names, verdict};
use crate::error::ErrnoName;
use crate::spec::SeccompOperator;

const WIDTH: usize = 100;

/// What the filter answers, by architecture: verdicts with the calls that get them, conditions,
/// and what holds for all the others.
pub fn disassemble(filter: &Filter) -> String {
    let tables = &filter.tables;
    let mut out = String::new();
    for arch in &tables.archs {
        let Some(section) = tables.sections.iter().find(|s| s.audit == arch.audit()) else {
            continue;
        };
        let _ = writeln!(out, "{}:", arch.name());
        named(&mut out, *arch, &section.ranges, &tables.decisions, tables.default);
        unnamed(&mut out, *arch, &section.ranges, &tables.decisions);
    }
    let _ = writeln!(out, "any other architecture: {}", describe(verdict::KILL_THREAD));
    out
}

fn named(out: &mut String, arch: Arch, ranges: &[Range], decisions: &[Decision], default: Verdict) {
    let mut calls: Vec<(&str, &Decision)> = names::all()
        .filter_map(|(name, numbers)| {
            let decision = lookup(ranges, numbers.on(arch)?);
            Some((name, &decisions[usize::from(decision)]))
        })
        .collect();
    calls.sort_by_key(|(name, _)| *name);
    let mut groups: BTreeMap<Verdict, Vec<&str>> = BTreeMap::new();
    for (name, decision) in &calls {
        match decision {
            Decision::Always(verdict) => groups.entry(*verdict).or_default().push(name),
            Decision::ByArgument(cases) => {
                for case in cases {
                    let conditions: Vec<String> = case.conditions.iter().map(condition).collect();
                    let verdict = describe(case.verdict);
                    let _ = writeln!(out, "  {name} if {}: {verdict}", conditions.join(" and "));
                }
                let _ = writeln!(out, "  {name} otherwise: {}", describe(default));
            }
        }
    }
    for (verdict, names) in groups.iter().rev() {
        wrapped(out, &format!("  {}:", describe(*verdict)), names);
    }
}

/// What calls get that are newer than every name known here.
fn unnamed(out: &mut String, arch: Arch, ranges: &[Range], decisions: &[Decision]) {
    let newest = names::all()
        .filter_map(|(_, numbers)| numbers.on(arch))
        .filter(|number| !arch.unordered().contains(&(number - arch.base())))
        .max();
    let after = newest.map(|newest| lookup(ranges, newest + 1));
    if let Some(Decision::Always(verdict)) = after.map(|id| &decisions[usize::from(id)]) {
        let _ = writeln!(out, "  any newer call: {}", describe(*verdict));
    }
}

fn wrapped(out: &mut String, head: &str, names: &[&str]) {
    let mut line = head.to_owned();
    for name in names {
        if line.len() + 1 + name.len() > WIDTH {
            let _ = writeln!(out, "{line}");
            line = "   ".to_owned();
        }
        line.push(' ');
        line.push_str(name);
    }
    let _ = writeln!(out, "{line}");
}

fn condition(condition: &Condition) -> String {
    use SeccompOperator::{Eq, Ge, Gt, Le, Lt, MaskedEq, Ne};
    let argument = condition.argument;
    let operator = match condition.operator {
        Ne => "!=",
        Lt => "<",
        Le => "<=",
        Eq => "==",
        Ge => ">=",
        Gt => ">",
        MaskedEq => {
            let (mask, value) = (condition.mask, condition.value);
            return format!("arg{argument} & {mask:#x} == {value:#x}");
        }
    };
    format!("arg{argument} {operator} {:#x}", condition.value)
}

/// A verdict in the words of seccomp(2).
fn describe(verdict: Verdict) -> String {
    let data = verdict & verdict::DATA;
    match verdict & verdict::ACTION {
        verdict::KILL_PROCESS => "kill process".into(),
        verdict::KILL_THREAD => "kill thread".into(),
        verdict::TRAP => "trap".into(),
        verdict::ERRNO => format!("errno {}", ErrnoName(data as i32)),
        verdict::USER_NOTIF => "notify".into(),
        verdict::TRACE => format!("trace {data}"),
        verdict::LOG => "log".into(),
        _ => "allow".into(),
    }
}
