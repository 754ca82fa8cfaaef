//! The limits that the benchmark checks with `--gate`: ratios of CPU time within one run, and
//! counts. Neither depends on other load. A limit for a program that is missing counts as exceeded.

use crate::stories::Row;
use crate::table::{cpu, faults, whole_floor};

/// A figure, and its limit.
struct Mark {
    what: &'static str,
    at_most: f64,
    /// The limit in an emulated machine, where each new page of code is translated first.
    emulated: f64,
    of: fn(&[Row]) -> Option<f64>,
}

const MARKS: &[Mark] = &[
    Mark {
        what: "run, CPU against the whole floor",
        at_most: 2.2,
        emulated: 4.0,
        of: |rows| Some(cpu(&ours(rows)?.burst) / cpu(&whole_floor(rows)?.burst)),
    },
    Mark {
        what: "run, CPU against crun",
        at_most: 0.65,
        emulated: 0.5,
        of: |rows| Some(cpu(&ours(rows)?.burst) / cpu(&crun(rows)?.burst)),
    },
    Mark {
        what: "create+start+delete, CPU against crun",
        at_most: 0.55,
        emulated: 0.5,
        of: |rows| Some(cpu(&ours(rows)?.life) / cpu(&crun(rows)?.life)),
    },
    Mark {
        what: "exec, CPU against crun",
        at_most: 0.5,
        emulated: 0.5,
        of: |rows| Some(cpu(&ours(rows)?.exec) / cpu(&crun(rows)?.exec)),
    },
    Mark {
        what: "run, page faults of all processes",
        at_most: 115.0,
        emulated: 160.0,
        of: |rows| Some(faults(&ours(rows)?.burst) as f64),
    },
];

/// The shipped binary, or else the one that cargo built.
fn ours(rows: &[Row]) -> Option<&Row> {
    rows.iter().rfind(|row| row.program.name.starts_with("tiny-ce"))
}

/// The newest crun on this machine.
fn crun(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row.program.name.starts_with("crun"))
}

/// A mark beside the figure of this run.
pub struct Judged {
    /// What was measured.
    pub what: &'static str,
    /// The figure, if it was.
    pub got: Option<f64>,
    /// The limit here.
    pub at_most: f64,
}

impl Judged {
    /// Whether the figure is within its limit.
    pub fn met(&self) -> bool {
        self.got.is_some_and(|got| got <= self.at_most)
    }
}

/// Every mark, with its figure.
pub fn judged(rows: &[Row]) -> Vec<Judged> {
    let emulated = tiny_ce_test::slowness() > 1;
    let judge = |mark: &Mark| Judged {
        what: mark.what,
        got: (mark.of)(rows),
        at_most: if emulated { mark.emulated } else { mark.at_most },
    };
    MARKS.iter().map(judge).collect()
}

/// Print each figure and whether it is within its limit.
pub fn passes(rows: &[Row]) -> bool {
    let all = judged(rows);
    for mark in &all {
        let got = mark.got.map_or("not measured".to_owned(), |got| format!("{got:.2}"));
        let verdict = if mark.met() { "met" } else { "MISSED" };
        println!("{}: {got}, at most {:.2}: {verdict}", mark.what, mark.at_most);
    }
    all.iter().all(Judged::met)
}
