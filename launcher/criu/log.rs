//! The lines of CRIU's log that explain a failure, of thousands.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::error::Error;

/// The most lines to show.
const LINES: usize = 8;

/// The most lines to show if the log has no error.
const LAST: usize = 3;

/// Add to an error its cause according to the log, and the lines of the log around it.
pub fn explain(error: Error, log: &Path) -> Error {
    let Ok(file) = File::open(log) else { return error };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    let lines = excerpt(lines.map(|line| String::from_utf8_lossy(&line).into_owned()));
    let mut hint = format!("all of it is in {}", log.display());
    let error = match cause(&lines) {
        Some(words) => {
            hint = advice(words).map(|advice| format!("{advice}; {hint}")).unwrap_or(hint);
            error.kernel(words)
        }
        None => error,
    };
    lines.into_iter().fold(error, |error, line| error.detail(line)).hint(hint)
}

/// What to do about a cause that is not the container's.
fn advice(cause: &str) -> Option<&'static str> {
    // https://github.com/checkpoint-restore/criu/issues/2499
    let busy = cause.starts_with("Can't bind transport socket");
    busy.then_some("an old CRIU restores one container at a time in a network namespace: try again")
}

/// The last errors of a log, each with the line before it, since the first errors may be attempts
/// that CRIU recovers from. Without an error, the last lines.
fn excerpt(lines: impl Iterator<Item = String>) -> Vec<String> {
    let (mut before, mut last) = (None, VecDeque::new());
    let mut found = VecDeque::new();
    for line in lines {
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        if line.trim().is_empty() {
            continue;
        }
        last.push_back(line.clone());
        last.drain(..last.len().saturating_sub(LAST));
        match line.contains(ERROR) {
            true => {
                found.extend(before.take());
                found.push_back(line);
            }
            false => before = Some(line),
        }
        found.drain(..found.len().saturating_sub(LINES));
    }
    if found.is_empty() { last.into() } else { found.into() }
}

/// The start of an error in a line of the log, after the time.
const ERROR: &str = "Error (";

/// The last error that does not merely report that an earlier one made CRIU fail.
fn cause(lines: &[String]) -> Option<&str> {
    let errors = lines.iter().rev().filter_map(|line| line.split_once(ERROR)?.1.split_once("): "));
    let words = errors.map(|(_place, words)| words.trim());
    words.into_iter().find(|words| !words.contains("FAILED") && !words.contains("exited, status="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_what_came_before_them() {
        let log = ["a", "b", "(0.1) Error (x.c:1): one", "(0.2) Error (x.c:2): two", "c", "d"];
        let lines = log.iter().map(|line| (*line).to_owned());
        assert_eq!(excerpt(lines), ["b", "(0.1) Error (x.c:1): one", "(0.2) Error (x.c:2): two"]);
        let many = (0..100).map(|n| format!("Error (x.c:{n}): \u{1b}[1mmany"));
        assert_eq!(excerpt(many).len(), LINES);
        assert_eq!(excerpt(log[..2].iter().map(|line| (*line).to_owned())), ["a", "b"]);
    }

    #[test]
    fn the_cause_is_neither_the_first_nor_the_last_error() {
        let lines = [
            "(0.1) Error (criu/util.c:642): exited, status=1",
            "(0.2) Error (criu/net.c:3071): Locking network failed: why ",
            "(0.3) Error (criu/util.c:642): exited, status=1",
            "(0.4) Error (criu/cr-dump.c:2053): Dumping FAILED.",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(cause(&lines), Some("Locking network failed: why"));
        assert_eq!(cause(&lines[3..]), None);
    }

    #[test]
    fn two_restores_at_once_are_told_apart_from_other_failures() {
        let line = "(01.67) 1: Error (criu/files.c:1661): Can't bind transport socket \
            /crtools-fd-1-0: Address already in use";
        let lines = [line.to_owned(), "(01.68) Error (criu/x.c:7): Restoring FAILED.".to_owned()];
        assert!(cause(&lines).and_then(advice).is_some_and(|say| say.contains("one container")));
        assert_eq!(advice("Locking network failed: why"), None);
    }
}
