//! Print a filter as text, for `tiny-ce explain --seccomp`.
//!
//! Prints the tables from which the program was made, and nothing else.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::arch::Arch;
use super::ranges::{Range, lookup};
use super::rules::{Condition, Decision, Verdict};
use super::{Filter, Tables, names, verdict};
use crate::errno::ErrnoName;
use crate::spec::SeccompOperator;

/// Columns of a line.
const WIDTH: usize = 100;

/// What the filter answers, by architecture: verdicts with the calls that get them, conditions,
/// and what holds for all the others.
pub fn disassemble(filter: &Filter) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, &filter.tables);
    out
}

fn write(out: &mut String, tables: &Tables) -> fmt::Result {
    for (arch, newest) in &tables.archs {
        let own = tables.sections.iter().find(|section| section.audit == arch.audit());
        let Some(section) = own else { continue };
        writeln!(out, "{}:", arch.name())?;
        let calls = calls(*arch, *newest, &section.ranges, tables);
        verdicts(out, &calls)?;
        for (name, decision) in &calls {
            conditions(out, name, decision, tables.default)?;
        }
        writeln!(out, "  any other: {}", Words(tables.default))?;
        if let (Some(newest), Some(newer)) = (newest, tables.newer) {
            let call = names::all().find(|(_, numbers)| numbers.on(*arch) == Some(*newest));
            let name = call.map_or("", |(name, _)| name);
            let number = newest - arch.base();
            writeln!(out, "  any newer than {name} ({number}): {}", Words(newer))?;
        }
    }
    writeln!(out, "any other architecture: {}", Words(verdict::KILL_THREAD))
}

/// The calls with rules, by name, unless their verdict is the default.
fn calls<'a>(
    arch: Arch,
    newest: Option<u32>,
    ranges: &[Range],
    tables: &'a Tables,
) -> Vec<(&'static str, &'a Decision)> {
    let is_newer = |number: u32| {
        tables.newer.is_some()
            && newest.is_some_and(|newest| number > newest)
            && !arch.unordered().contains(&(number - arch.base()))
    };
    let mut calls: Vec<_> = names::all()
        .filter_map(|(name, numbers)| Some((name, numbers.on(arch)?)))
        .filter(|(_, number)| !is_newer(*number))
        .map(|(name, number)| (name, &tables.decisions[usize::from(lookup(ranges, number))]))
        .filter(|(_, decision)| **decision != Decision::Always(tables.default))
        .collect();
    calls.sort_by_key(|(name, _)| *name);
    calls
}

fn verdicts(out: &mut String, calls: &[(&str, &Decision)]) -> fmt::Result {
    let mut groups: BTreeMap<Verdict, Vec<&str>> = BTreeMap::new();
    for (name, decision) in calls {
        if let Decision::Always(verdict) = decision {
            groups.entry(*verdict).or_default().push(name);
        }
    }
    for (verdict, names) in groups.iter().rev() {
        let mut line = format!("  {}:", Words(*verdict));
        for name in names {
            if line.len() + 1 + name.len() > WIDTH {
                writeln!(out, "{line}")?;
                line = "   ".to_owned();
            }
            line.push(' ');
            line.push_str(name);
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn conditions(out: &mut String, name: &str, decision: &Decision, default: Verdict) -> fmt::Result {
    let Decision::ByArgument(cases) = decision else { return Ok(()) };
    for case in cases {
        let conditions: Vec<String> = case.conditions.iter().map(condition).collect();
        writeln!(out, "  {name} if {}: {}", conditions.join(" and "), Words(case.verdict))?;
    }
    writeln!(out, "  {name} otherwise: {}", Words(default))
}

fn condition(condition: &Condition) -> String {
    use SeccompOperator::{Eq, Ge, Gt, Le, Lt, MaskedEq, Ne};
    let Condition { argument, mask, value, .. } = condition;
    let operator = match condition.operator {
        MaskedEq => return format!("arg{argument} & {mask:#x} == {value:#x}"),
        Ne => "!=",
        Lt => "<",
        Le => "<=",
        Eq => "==",
        Ge => ">=",
        Gt => ">",
    };
    format!("arg{argument} {operator} {value:#x}")
}

/// A verdict in the words of seccomp(2).
struct Words(Verdict);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.0 & verdict::DATA;
        match self.0 & verdict::ACTION {
            verdict::KILL_PROCESS => f.write_str("kill process"),
            verdict::KILL_THREAD => f.write_str("kill thread"),
            verdict::TRAP => f.write_str("trap"),
            verdict::ERRNO => write!(f, "errno {}", ErrnoName(data as i32)),
            verdict::USER_NOTIF => f.write_str("notify"),
            verdict::TRACE => write!(f, "trace {data}"),
            verdict::LOG => f.write_str("log"),
            _ => f.write_str("allow"),
        }
    }
}
