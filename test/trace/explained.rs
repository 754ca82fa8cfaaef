//! Parse what `explain` prints: the steps, each with its guard, its strings, its tolerance.
//!
//! Reads text as a user does; shares no code with the printer.

/// Whether a step is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Always.
    Always,
    /// If this slot holds a descriptor.
    Present(usize),
    /// If this slot is empty.
    Absent(usize),
}

/// A line of `explain`: `   3  if no fd5: mkdirat(at=fd2, path="a", mode=0755) unless EEXIST`.
#[derive(Clone, Debug)]
pub struct Step {
    /// The whole line.
    pub text: String,
    /// Whether the step is executed.
    pub guard: Guard,
    /// The system call.
    pub call: String,
    /// The strings among its arguments, except those that are cut or not text.
    pub strings: Vec<String>,
    /// The kernel's constants among its arguments, by name.
    pub constants: Vec<String>,
    /// The slot that the step fills if it succeeds.
    pub into: Option<usize>,
    /// The slot that the step empties.
    pub closes: Option<usize>,
    /// The errnos that the step tolerates.
    pub unless: Vec<String>,
}

/// Every step of a text that `explain` printed.
pub fn read(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let number = trimmed.split("  ").next().and_then(|number| number.parse::<usize>().ok());
        // The other lines name fields of config.json.
        if let Some(number) = number {
            steps.push(step(trimmed));
            assert_eq!(number, steps.len(), "{line}");
        }
    }
    steps
}

fn step(line: &str) -> Step {
    let (_, text) = line.split_once("  ").expect("a number and a step");
    let guarded = |start: &str| text.strip_prefix(start).and_then(|rest| rest.split_once(": "));
    let (guard, rest) = match (guarded("if no fd"), guarded("if fd")) {
        (Some((slot, rest)), _) => (Guard::Absent(slot_number(slot)), rest),
        (_, Some((slot, rest))) => (Guard::Present(slot_number(slot)), rest),
        _ => (Guard::Always, text),
    };
    let (call, arguments) = rest.split_once('(').expect("a call");
    let (arguments, unless) = match arguments.rsplit_once(") unless ") {
        Some((arguments, unless)) => (arguments, unless.split(", ").map(str::to_owned).collect()),
        None => (arguments.strip_suffix(')').expect("a bracket"), Vec::new()),
    };
    let slot = |name: &str| {
        let value = arguments.split(", ").find_map(|argument| argument.strip_prefix(name))?;
        Some(slot_number(value))
    };
    Step {
        text: line.to_owned(),
        guard,
        call: call.to_owned(),
        // strace prints these as lists.
        strings: if call.ends_with("groups") { Vec::new() } else { strings(arguments) },
        constants: constants(arguments),
        into: slot("into=fd"),
        closes: slot("fd=fd").filter(|_| call == "close"),
        unless,
    }
}

fn slot_number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text:?}: not a slot"))
}

/// The quoted arguments that strace quotes in the same way.
fn strings(arguments: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut parts = arguments.split('"').skip(1);
    while let Some(part) = parts.next() {
        let after = parts.next().unwrap_or_default();
        if !part.contains('\\') && !after.starts_with("...") {
            found.push(part.to_owned());
        }
    }
    found
}

/// The names of flags and requests. Reports to the launcher are not the kernel's constants, and
/// strace does not print the negation of one.
fn constants(arguments: &str) -> Vec<String> {
    let outside = arguments.split('"').step_by(2);
    let words = outside.flat_map(|part| part.split([',', ' ', '{', '}', '|', '=']));
    let name = |word: &&str| {
        let letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        word.contains('_')
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(letter)
    };
    let others = arguments.contains("what=") || arguments.contains("not=");
    words.filter(name).filter(|_| !others).map(str::to_owned).collect()
}
