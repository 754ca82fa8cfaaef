//! The last section of docs/parity.md: what is refused, by which runtime, and why.
//!
//! Prints the results of the rows; decides nothing.

use super::Tried;
use std::fmt::Write;
use tiny_ce_test::tree;

/// The heading of the section; the table is the rest of the page.
const HEADING: &str = "## What is refused\n";

const PAGE: &str = "docs/parity.md";

const INTRODUCTION: &str = "
Each rule by which tiny-ce refuses an input, with the smallest input that breaks the rule: a
change of the default config.json, or a command line. [test/refusals.rs](../test/refusals.rs) runs
each input under tiny-ce and the newest runc and crun, on a machine with cgroup v1, and writes
these tables from the results. The test fails if a rule has no input, or if both others run an
input that is not marked as an attack.
";

/// Check that the page ends with the current table; `BLESS` writes it.
pub fn check(all: &[Tried]) {
    let path = tree().join(PAGE);
    let page = std::fs::read_to_string(&path).expect(PAGE);
    let (before, now) = page.split_once(HEADING).unwrap_or((&page, ""));
    let wanted = table(all);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{}\n\n{HEADING}{wanted}", before.trim_end())).expect(PAGE);
        return;
    }
    let stale = now.lines().filter(|line| !wanted.lines().any(|other| other == *line));
    let new = wanted.lines().filter(|line| !now.lines().any(|other| other == *line));
    let changed: Vec<String> =
        stale.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}"))).collect();
    assert!(now == wanted, "{PAGE}: BLESS=1 writes it anew:\n{}", changed.join("\n"));
}

fn table(all: &[Tried]) -> String {
    let refused = || all.iter().filter(|tried| tried.is_refused());
    let mut text = INTRODUCTION.to_owned();
    text +=
        "\n### Unsafe: both others run it\n\n| input | what could be done with it |\n|---|---|\n";
    for Tried { row, .. } in refused().filter(|tried| tried.row.attack.is_some()) {
        let attack = row.attack.as_deref().unwrap_or_default();
        let _ = writeln!(text, "| {}: `{}` | {attack} |", row.rule, row.shown());
    }
    text += "\n### One of the others runs it\n\n";
    text += "| input | run by | why it is refused |\n|---|---|---|\n";
    for tried in refused().filter(|tried| tried.run_by() == 1) {
        let by = tried.peers.as_ref().is_some_and(|[runc, _]| runc.code() == 0);
        let by = if by { "runc" } else { "crun" };
        let row = &tried.row;
        let _ = writeln!(text, "| {}: `{}` | {by} | {} |", row.rule, row.shown(), row.why);
    }
    text += "\n### All three refuse it\n\n| rule | input |\n|---|---|\n";
    for Tried { row, .. } in refused().filter(|tried| tried.run_by() == 0) {
        let _ = writeln!(text, "| {} | `{}` |", row.rule, row.shown());
    }
    text += "\n### A warning, and it runs\n\n| rule | input |\n|---|---|\n";
    for Tried { row, .. } in all.iter().filter(|tried| !tried.is_refused()) {
        let _ = writeln!(text, "| {} | `{}` |", row.rule, row.shown());
    }
    text
}
