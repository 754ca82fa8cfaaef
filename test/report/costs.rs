//! The benchmark in its stories, out of the JSON and the picture that it writes.
//!
//! Measures nothing: `cargo bench` does.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tiny_ce_test::tree;

use crate::page::{Cell, Noise, Part, Verdict, Words, filled, words};

/// Ratios of CPU time hardly depend on other load, and this much on the machine.
const RATIO: Noise = Noise::Percent(35.0);

/// Run the benchmark of the program under test; return the path of its JSON, beside which its
/// picture is. Only what is measured is optimised.
pub fn run() -> Option<PathBuf> {
    let (json, svg) = (tree().join("target/bench.json"), tree().join("target/bench.svg"));
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["bench", "--profile", "dev", "--bench", "bench", "--"]);
    command.args(["--turns", "30", "--containers", "100"]);
    command.arg("--json").arg(&json).arg("--svg").arg(&svg).current_dir(tree());
    let done = command.stdout(std::process::Stdio::null()).status();
    done.ok().filter(|status| status.success()).map(|_| json)
}

/// What a benchmark has written.
pub fn read(json: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(json).map_err(|e| format!("{}: {e}", json.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", json.display()))
}

/// Whether the benchmark has met its marks.
pub fn verdict(all: &Value) -> Verdict {
    let mut marks = all["marks"].as_array().into_iter().flatten();
    if marks.all(|mark| mark["met"] == true) { Verdict::Held } else { Verdict::Broken }
}

/// The tables of a benchmark, and its picture, which lies beside its JSON.
pub fn parts(all: &Value, svg: &Path, pictures: &Path) -> Vec<Part> {
    let programs: Vec<&Value> = all["programs"].as_array().into_iter().flatten().collect();
    let mut parts = vec![
        marks(all),
        Part::Words(filled("Medians of {} turns; times in ms.", [&all["turns"].to_string()])),
        one(&programs),
        verbs(&programs),
        crowds(&programs),
    ];
    parts.extend(many(&programs));
    if std::fs::copy(svg, pictures.join("bench.svg")).is_ok() {
        let shows = words("What a container costs under each program");
        parts.push(Part::Picture { file: "bench.svg".to_owned(), shows });
    }
    parts
}

/// The marks of test/bench/gate.rs: ratios of CPU time, and counts.
fn marks(all: &Value) -> Part {
    let row = |mark: &Value| {
        let noise = if mark["what"].as_str().is_some_and(|it| it.contains("CPU")) {
            RATIO
        } else {
            Noise::Any
        };
        vec![
            Cell::Words(words(mark["what"].as_str().unwrap_or_default())),
            figure(mark["got"].as_f64(), 2, noise),
            figure(mark["at_most"].as_f64(), 2, Noise::Points(0.0)),
            Cell::Verdict(if mark["met"] == true { Verdict::Held } else { Verdict::Broken }),
        ]
    };
    let rows = all["marks"].as_array().into_iter().flatten().map(row).collect();
    Part::Table { head: ["mark", "measured", "at most", "verdict"].map(words).to_vec(), rows }
}

/// The name and the version of a program: versions differ from machine to machine.
fn named(program: &Value) -> [Cell; 2] {
    let text = program["program"].as_str().unwrap_or_default();
    match text.split_once(' ').filter(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit())) {
        Some((name, version)) => [Cell::Name(name.to_owned()), Cell::Fact(version.to_owned())],
        None => [Cell::Name(text.to_owned()), Cell::Empty],
    }
}

fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer)?.as_f64().filter(|it| *it > 0.0)
}

fn figure(value: Option<f64>, decimals: usize, noise: Noise) -> Cell {
    value.map_or(Cell::Empty, |value| Cell::Figure { value, decimals, noise })
}

fn heads(names: &[&str]) -> Vec<Words> {
    ["program", "version"].iter().chain(names).map(|name| words(name)).collect()
}

/// One container, after a rest and in a burst.
fn one(programs: &[&Value]) -> Part {
    let floor = programs.iter().find(|it| it["program"] == "whole floor");
    let floor = floor.and_then(|it| number(it, "/run_burst/cpu_ms"));
    let row = |it: &&Value| {
        let cpu = number(it, "/run_burst/cpu_ms");
        let ours = it["program"].as_str().is_some_and(|name| name.starts_with("tiny-ce"));
        let mut cells = named(it).to_vec();
        cells.extend([
            figure(number(it, "/run_alone/wall_ms"), 2, Noise::Any),
            figure(number(it, "/run_burst/wall_ms"), 2, Noise::Any),
            figure(cpu, 2, Noise::Any),
            figure(
                cpu.zip(floor).map(|(cpu, floor)| cpu / floor),
                2,
                if ours { RATIO } else { Noise::Any },
            ),
            figure(number(it, "/run_burst/page_faults"), 0, Noise::Any),
            figure(number(it, "/run_among_mounts/cost/cpu_ms"), 2, Noise::Any),
        ]);
        cells
    };
    Part::Table {
        head: heads(&[
            "`run`, alone",
            "in a burst",
            "CPU",
            "CPU against the whole floor",
            "page faults",
            "CPU among 1,000 mounts",
        ]),
        rows: programs.iter().map(row).collect(),
    }
}

/// The other commands.
fn verbs(programs: &[&Value]) -> Part {
    let runtimes = programs.iter().filter(|it| number(it, "/exec/wall_ms").is_some());
    let row = |it: &&Value| {
        let mut cells = named(it).to_vec();
        for story in ["create_start_delete", "exec"] {
            for what in ["wall_ms", "cpu_ms"] {
                cells.push(figure(number(it, &format!("/{story}/{what}")), 2, Noise::Any));
            }
        }
        cells
    };
    Part::Table {
        head: heads(&["create, start, delete", "CPU", "`exec`", "CPU"]),
        rows: runtimes.map(row).collect(),
    }
}

/// Containers a second.
fn crowds(programs: &[&Value]) -> Part {
    let row = |it: &&Value| {
        let mut cells = named(it).to_vec();
        let rates = (0..3).map(|at| number(it, &format!("/at_once/{at}/a_second")));
        cells.extend(rates.map(|rate| figure(rate, 0, Noise::Any)));
        cells
    };
    Part::Table {
        head: heads(&["containers a second, 1 caller", "8 callers", "32 callers"]),
        rows: programs.iter().map(row).collect(),
    }
}

/// Commands among many containers.
fn many(programs: &[&Value]) -> Option<Part> {
    let rows: Vec<Vec<Cell>> = programs
        .iter()
        .filter_map(|it| {
            let most = it["many"].as_array()?.last()?;
            let mut cells = named(it).to_vec();
            cells.push(figure(number(most, "/containers"), 0, Noise::Points(0.0)));
            for what in ["list", "state"] {
                cells.push(figure(number(most, &format!("/{what}/wall_ms")), 2, Noise::Any));
            }
            let [first, last] =
                ["first", "last"].map(|it2| number(it, &format!("/creates/{it2}/cpu_ms")));
            let growth = first.zip(last).map(|(first, last)| last / first);
            cells.push(figure(growth, 2, Noise::Any));
            Some(cells)
        })
        .collect();
    let head = heads(&["containers", "`list`", "`state`", "CPU of the last creates, to the first"]);
    (!rows.is_empty()).then_some(Part::Table { head, rows })
}
