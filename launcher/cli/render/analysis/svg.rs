//! An analysis as a picture: a lane for the launcher and one for init, and below them the names of
//! what took longest.
//!
//! No text overlaps another: those in the lanes are single letters that make room for each other,
//! and all others have a line of their own.

use std::fmt::Write;

use crate::analysis::{Analysis, PROGRAM, PhaseTime, StepOutcome, StepTime, WAITING};
use crate::cli::render::picture::{LINE, WIDTH, cut, document, escaped, mono, text};

/// Where the lanes begin and end, in the template's units, which it has 640 of.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 624.0;
/// How high a lane is.
const LANE: f64 = 30.0;
/// The least distance of two letters.
const APART: f64 = 15.0;
/// How many parts of a lane have a letter.
const NAMED: usize = 8;
/// Where the names of the lists begin.
const NAMES: f64 = 136.0;

/// What the colours mean: their classes in the template, in the launcher's lane and in init's.
const COLOURS: &[(&str, &str, &str)] = &[
    ("prepare", "reads, compiles", "namespaces, session"),
    ("keep", "intent, commit", "names, labels, the rest"),
    ("place", "cgroups, network", "mounts, root"),
    ("start", "starts init", "execve"),
    ("answer", "hooks, answers", "devices, masks"),
    ("process", "after execve", "process"),
    ("wait", "waits for init", "waits for the launcher"),
];

/// A part of a lane.
struct Part<'a> {
    class: &'static str,
    start_ns: u64,
    end_ns: u64,
    name: String,
    call: Option<&'a str>,
}

impl Part<'_> {
    fn took(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// Draw it, up to the moment when the program runs.
pub fn svg(analysis: &Analysis) -> String {
    let program = analysis.launcher.iter().find(|phase| phase.name == PROGRAM);
    let end_ns = program.map_or(analysis.init.end_ns, |phase| phase.start_ns).max(1);
    let phases = analysis.launcher.iter().filter(|phase| phase.end_ns <= end_ns);
    let phases: Vec<Part<'_>> = phases.map(of_phase).collect();
    let made = analysis.steps.iter();
    let made = made.filter(|it| it.outcome != StepOutcome::Skipped && it.end_ns <= end_ns);
    let steps: Vec<Part<'_>> = [of_plan(analysis)].into_iter().chain(made.map(of_step)).collect();
    let title = format!("{} from the command line to the program", time(end_ns));
    let mut body = String::new();
    text(&mut body, "title", (10.0, 24.0), &title);
    let init = &analysis.init;
    let life = time(init.end_ns.saturating_sub(init.start_ns));
    let calls = format!("init: {life}, {} system calls, {} skipped", init.calls, init.skipped);
    text(&mut body, "quiet", (10.0, 44.0), &calls);
    axis(&mut body, end_ns);
    let mut y = 244.0;
    let launcher = lane(&mut body, ("launcher", 86.0, 78.0), &phases, ('1', end_ns));
    let init = lane(&mut body, ("init", 140.0, 186.0), &steps, ('a', end_ns));
    legend(&mut body, &mut y);
    list(&mut body, &mut y, "what the launcher did longest", &launcher);
    list(&mut body, &mut y, "the longest steps of init", &init);
    let after = analysis.launcher.iter().filter(|phase| phase.start_ns >= end_ns);
    let after = after.map(|it| format!("{} {}", it.name, time(it.end_ns - it.start_ns)));
    let after = format!("then: {}", after.collect::<Vec<_>>().join(", "));
    text(&mut body, "quiet", (10.0, y + 10.0), &after);
    document(&title, y + 26.0, &body)
}

fn of_phase(phase: &PhaseTime) -> Part<'static> {
    let class = match phase.name {
        WAITING => "wait",
        "the configuration" | "the host" | "the plan" => "prepare",
        "the intent" | "the commit" => "keep",
        "the cgroups" | "the network" | "the scope" => "place",
        "init's program" | "the clone of init" => "start",
        "what follows execve" => "process",
        _ => "answer",
    };
    let name = phase.name.to_owned();
    Part { class, start_ns: phase.start_ns, end_ns: phase.end_ns, name, call: None }
}

/// Init's first part, which is no step.
fn of_plan(analysis: &Analysis) -> Part<'static> {
    let (start_ns, end_ns) = (analysis.init.start_ns, analysis.init.plan_ns);
    Part { class: "wait", start_ns, end_ns, name: "read the plan".to_owned(), call: None }
}

fn of_step(step: &StepTime) -> Part<'_> {
    let field = step.field.as_str();
    let is = |words: &[&str]| words.iter().any(|word| field.starts_with(word));
    let class = match step.outcome {
        StepOutcome::Executed => "start",
        _ if step.waits => "wait",
        _ if is(&["mounts", "root", "linux.rootfsPropagation"]) => "place",
        _ if is(&["linux.devices", "linux.maskedPaths", "linux.readonlyPaths"]) => "answer",
        _ if is(&["process"]) => "process",
        _ if is(&["linux.namespaces", "linux.cgroupsPath", "the session"]) => "prepare",
        _ => "keep",
    };
    let name = format!("{field}: {}", step.text);
    Part { class, start_ns: step.start_ns, end_ns: step.end_ns, name, call: Some(&step.call) }
}

/// Where a moment is, from left to right.
fn place(ns: u64, end_ns: u64) -> f64 {
    LEFT + (RIGHT - LEFT) * ns as f64 / end_ns as f64
}

/// Times at round distances, with a line through both lanes.
fn axis(body: &mut String, end_ns: u64) {
    let mut distance = 1u64;
    // 1, 2, 5, 10, 20, …: at most six of them.
    while end_ns / distance > 6 {
        let first = distance / 10u64.pow(distance.ilog10());
        distance = if first == 2 { distance / 2 * 5 } else { distance * 2 };
    }
    for ns in (0..=end_ns / distance).map(|it| it * distance) {
        let x = place(ns, end_ns);
        let _ = writeln!(body, "<path class=\"grid\" d=\"M{x:.1} 82V208\"/>");
        // The last one might reach beyond the edge.
        let class = if x > RIGHT - 20.0 { "quiet end" } else { "quiet middle" };
        let at = if x > RIGHT - 20.0 { x.min(RIGHT) + 6.0 } else { x };
        text(body, class, (at, 222.0), &time(ns));
    }
}

/// Draw a lane and the letters of its longest parts, and return these with their letters, the
/// longest first.
fn lane<'a>(
    body: &mut String,
    (name, top, row): (&str, f64, f64),
    parts: &'a [Part<'a>],
    (first, end_ns): (char, u64),
) -> Vec<(char, &'a Part<'a>)> {
    let _ = writeln!(
        body,
        "<rect class=\"lane\" x=\"{LEFT}\" y=\"{top}\" width=\"{}\" height=\"{LANE}\"/>",
        RIGHT - LEFT
    );
    text(body, "head", (10.0, top + 19.0), name);
    for part in parts {
        let (x, end) = (place(part.start_ns, end_ns), place(part.end_ns, end_ns));
        let width = (end - x).max(0.3);
        let _ = writeln!(
            body,
            "<rect class=\"{}\" x=\"{x:.2}\" y=\"{top}\" width=\"{width:.2}\" \
             height=\"{LANE}\"><title>{}: {}</title></rect>",
            part.class,
            escaped(&part.name),
            time(part.took())
        );
    }
    let mut longest: Vec<&Part<'_>> = parts.iter().collect();
    longest.sort_by_key(|part| std::cmp::Reverse(part.took()));
    longest.truncate(NAMED);
    let named: Vec<(char, &Part<'_>)> =
        (0u32..).zip(longest).filter_map(|(n, it)| Some((letter(first, n)?, it))).collect();
    letters(body, (top, row), &named, end_ns);
    named
}

fn letter(first: char, number: u32) -> Option<char> {
    char::from_u32(u32::from(first) + number)
}

/// The letters, each as near to its part as the others let it, and joined to it by a line.
fn letters(body: &mut String, (top, row): (f64, f64), named: &[(char, &Part<'_>)], end_ns: u64) {
    let middle = |part: &Part<'_>| place(part.start_ns + part.took() / 2, end_ns);
    let mut sorted: Vec<(char, f64, f64)> =
        named.iter().map(|(letter, part)| (*letter, middle(part), middle(part))).collect();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut least = LEFT + 4.0;
    for (_, _, x) in &mut sorted {
        *x = x.max(least);
        least = *x + APART;
    }
    let mut most = RIGHT - 4.0;
    for (_, _, x) in sorted.iter_mut().rev() {
        *x = x.min(most);
        most = *x - APART;
    }
    // The row is above its lane, or below it.
    let (from, to) = if row < top { (row + 3.0, top) } else { (row - 10.0, top + LANE) };
    for (letter, part, x) in sorted {
        let _ = writeln!(body, "<path class=\"lead\" d=\"M{x:.1} {from}L{part:.1} {to}\"/>");
        text(body, "head middle", (x, row), &letter.to_string());
    }
}

fn legend(body: &mut String, y: &mut f64) {
    text(body, "head", (30.0, *y), "the launcher");
    text(body, "head", (320.0, *y), "init");
    *y += LINE;
    for (class, launcher, init) in COLOURS {
        let top = *y - 10.0;
        let _ = writeln!(
            body,
            "<rect class=\"{class}\" x=\"10\" y=\"{top}\" width=\"12\" height=\"12\" rx=\"2\"/>"
        );
        text(body, "", (30.0, *y), launcher);
        text(body, "", (320.0, *y), init);
        *y += LINE;
    }
}

fn list(body: &mut String, y: &mut f64, title: &str, parts: &[(char, &Part<'_>)]) {
    *y += 10.0;
    text(body, "head", (10.0, *y), title);
    *y += LINE;
    for (letter, part) in parts {
        text(body, "head", (10.0, *y), &letter.to_string());
        let top = *y - 10.0;
        let _ = writeln!(
            body,
            "<rect class=\"{}\" x=\"28\" y=\"{top}\" width=\"12\" height=\"12\" rx=\"2\"/>",
            part.class
        );
        text(body, "end", (122.0, *y), &time(part.took()));
        match part.call {
            Some(_) => mono(body, "", (NAMES, *y), &cut(&part.name, WIDTH - 10.0 - NAMES)),
            None => text(body, "", (NAMES, *y), &part.name),
        }
        *y += LINE;
    }
}

/// With three digits, in the unit that suits it.
fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0 => return "0".to_owned(),
        1..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let short = if text.contains('.') { text.trim_end_matches('0') } else { &text };
    format!("{} {unit}", short.trim_end_matches('.'))
}
