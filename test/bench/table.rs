//! The benchmark's figures: medians, tables of them in Markdown, and the same as JSON. Measures
//! nothing.

use serde_json::{Value, json};

use crate::gate;
use crate::measure::Cost;
use crate::programs::Kind;
use crate::stories::{CROWDS, MOUNTS, Row};

/// The median; zero if there are no values.
pub fn median<T: PartialOrd + Copy + Default>(values: impl Iterator<Item = T>) -> T {
    percentile(values, 50)
}

fn percentile<T: PartialOrd + Copy + Default>(
    values: impl Iterator<Item = T>,
    percent: usize,
) -> T {
    let mut sorted: Vec<T> = values.collect();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

/// The median of the wall times, in milliseconds.
pub fn wall(costs: &[Cost]) -> f64 {
    median(costs.iter().map(|cost| cost.wall.as_secs_f64() * 1e3))
}

/// The median of the CPU times, in milliseconds.
pub fn cpu(costs: &[Cost]) -> f64 {
    median(costs.iter().map(|cost| cost.cpu.as_secs_f64() * 1e3))
}

/// The median of the page faults.
pub fn faults(costs: &[Cost]) -> u64 {
    median(costs.iter().map(|cost| cost.faults))
}

/// The row of the whole floor.
pub fn whole_floor(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row.program.kind == Kind::WholeFloor)
}

/// A figure with two decimals; empty for zero.
fn figure(value: f64) -> String {
    if value > 0.0 && value.is_finite() { format!("{value:.2}") } else { String::new() }
}

fn line(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn head(names: &[&str]) {
    println!("| {} |", names.join(" | "));
    println!("| --- |{}", " ---: |".repeat(names.len() - 1));
}

/// Print all tables.
pub fn print(rows: &[Row], turns: usize) {
    println!("{}\n", machine());
    println!("A container of runc's default config.json and a static payload that exits at once;");
    println!(
        "medians of {turns} turns, times in ms. Alone: after a rest of 50 ms. Burst: one after"
    );
    println!("the other. CPU: of all processes, in a burst.\n");
    one_container(rows);
    verbs(rows);
    if rows.iter().any(|row| !row.many.is_empty()) {
        many(rows);
    }
    at_once(rows);
}

fn one_container(rows: &[Row]) {
    head(&[
        "`run`",
        "alone",
        "burst",
        "10 % – 90 %",
        "CPU",
        "× whole floor",
        "page faults",
        "waits",
        "CPU, 1,000 mounts",
        "×",
    ]);
    let floor = whole_floor(rows).map_or(0.0, |row| cpu(&row.burst));
    for row in rows {
        let at = |percent| {
            percentile(row.burst.iter().map(|cost| cost.wall.as_secs_f64() * 1e3), percent)
        };
        line(&[
            row.program.name.clone(),
            figure(wall(&row.alone)),
            figure(wall(&row.burst)),
            format!("{:.2} – {:.2}", at(10), at(90)),
            figure(cpu(&row.burst)),
            figure(cpu(&row.burst) / floor),
            faults(&row.burst).to_string(),
            median(row.burst.iter().map(|cost| cost.waits)).to_string(),
            figure(cpu(&row.mounts)),
            figure(cpu(&row.mounts) / cpu(&row.burst)),
        ]);
    }
    println!();
}

fn verbs(rows: &[Row]) {
    head(&["", "create+start+delete", "CPU", "page faults", "exec", "CPU", "page faults"]);
    for row in rows.iter().filter(|row| row.program.is_runtime()) {
        line(&[
            row.program.name.clone(),
            figure(wall(&row.life)),
            figure(cpu(&row.life)),
            faults(&row.life).to_string(),
            figure(wall(&row.exec)),
            figure(cpu(&row.exec)),
            faults(&row.exec).to_string(),
        ]);
    }
    println!();
}

fn many(rows: &[Row]) {
    println!("With so many containers, `list` and `state`:\n");
    head(&["", "containers", "list", "CPU", "state", "CPU", "last create / first, CPU"]);
    for row in rows {
        for (index, (count, list, state)) in row.many.iter().enumerate() {
            let growth = match &row.creates {
                Some((first, last)) if index + 1 == row.many.len() => cpu(last) / cpu(first),
                _ => 0.0,
            };
            line(&[
                row.program.name.clone(),
                count.to_string(),
                figure(wall(list)),
                figure(cpu(list)),
                figure(wall(state)),
                figure(cpu(state)),
                figure(growth),
            ]);
        }
    }
    println!();
}

fn at_once(rows: &[Row]) {
    println!("Containers a second, so many at once:\n");
    let names: Vec<String> = CROWDS.iter().map(usize::to_string).collect();
    head(&[&[""], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    for row in rows {
        let cells = row.crowds.iter().map(|rate| format!("{rate:.0}"));
        line(&std::iter::once(row.program.name.clone()).chain(cells).collect::<Vec<_>>());
    }
    println!();
}

/// The machine that was measured.
fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cgroup = if tiny_ce_test::cgroup_v2() { "v2" } else { "v1" };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!("Linux {}, cgroup {cgroup}, {cpus} CPUs", kernel.trim())
}

/// All medians and marks, as one JSON document.
pub fn json(rows: &[Row], turns: usize) -> String {
    let costs = |costs: &[Cost]| {
        json!({
            "wall_ms": wall(costs),
            "cpu_ms": cpu(costs),
            "page_faults": faults(costs),
            "waits": median(costs.iter().map(|cost| cost.waits)),
        })
    };
    let row = |row: &Row| {
        let many = row.many.iter().map(|(count, list, state)| {
            json!({ "containers": count, "list": costs(list), "state": costs(state) })
        });
        let crowds = CROWDS.iter().zip(&row.crowds);
        json!({
            "program": row.program.name,
            "run_alone": costs(&row.alone),
            "run_burst": costs(&row.burst),
            "create_start_delete": costs(&row.life),
            "exec": costs(&row.exec),
            "many": many.collect::<Vec<Value>>(),
            "creates": row.creates.as_ref().map(|(first, last)| json!({
                "first": costs(first), "last": costs(last),
            })),
            "at_once": crowds.map(|(count, rate)| json!({
                "containers": count, "a_second": rate,
            })).collect::<Vec<Value>>(),
            "run_among_mounts": { "mounts": MOUNTS, "cost": costs(&row.mounts) },
        })
    };
    let all: Vec<Value> = rows.iter().map(row).collect();
    let mark = |it: gate::Judged| {
        let (what, got, at_most) = (it.what, it.got, it.at_most);
        json!({ "what": what, "got": got, "at_most": at_most, "met": it.met() })
    };
    let marks: Vec<Value> = gate::judged(rows).into_iter().map(mark).collect();
    let document = json!({ "machine": machine(), "turns": turns, "programs": all, "marks": marks });
    format!("{document:#}\n")
}
