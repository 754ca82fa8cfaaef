//! docs/parity.md stays true: every test that it names exists, every command and option of the
//! table of commands is in it, and whatever is not supported has a reason.
//!
//! Reads the page and the sources as text. A reviewer decides whether a test shows what its row
//! says.

use std::collections::BTreeMap;
use tiny_ce::cli::{COMMANDS, Globals, table::OptionSet};
use tiny_ce_test::tree;

const PAGE: &str = "docs/parity.md";

fn text(path: &str) -> String {
    std::fs::read_to_string(tree().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A row: the heading that it is under, and its three cells.
struct Row {
    heading: String,
    cells: [String; 3],
}

fn rows(page: &str) -> Vec<Row> {
    let (mut heading, mut rows) = (String::new(), Vec::new());
    // test/refusals.rs writes and checks the last section.
    let page = page.split("## What is refused").next().unwrap_or_default();
    for line in page.lines() {
        if let Some(words) = line.strip_prefix('#') {
            heading = words.trim_start_matches('#').trim().to_owned();
        }
        let Some(inside) = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|')) else {
            continue;
        };
        // A bar in a code span does not end a cell.
        let mut cells: Vec<String> = vec![String::new()];
        let mut code = false;
        for c in inside.chars() {
            match c {
                '`' => code = !code,
                '|' if !code => {
                    cells.push(String::new());
                    continue;
                }
                _ => {}
            }
            cells.last_mut().expect("a cell").push(c);
        }
        let cells = cells.iter().map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let cells = cells.try_into().unwrap_or_else(|_| panic!("not three cells: {line}"));
        rows.push(Row { heading: heading.clone(), cells });
    }
    rows.retain(|row| row.cells[2] != "test");
    assert!(rows.len() > 100, "{} rows", rows.len());
    rows
}

/// The names of the tests in a source: functions with the attribute, and those that a macro makes
/// tests.
fn tests(source: &str) -> Vec<String> {
    let behind = source.split("#[test]").skip(1);
    let name = |code: &str| Some(code.split_once("fn ")?.1.split_once('(')?.0.to_owned());
    let given = source.split("\non_each_runtime!").skip(1);
    let given = given.flat_map(|code| code.split([';', '}']).next().unwrap_or_default().lines());
    let given = given.filter(|line| !line.trim_start().starts_with("//"));
    let given = given.flat_map(|line| line.split(|c: char| !c.is_ascii_lowercase() && c != '_'));
    behind.filter_map(name).chain(given.map(str::to_owned)).collect()
}

#[test]
fn every_row_is_yes_with_a_test_or_no_with_a_reason() {
    let mut broken = Vec::new();
    for Row { heading, cells: [what, verdict, shown] } in rows(&text(PAGE)) {
        let good = match verdict.strip_prefix("no: ") {
            Some(reason) => reason.split(' ').count() >= 2 && shown.is_empty(),
            None => verdict == "yes" && shown.contains("](../") && shown.contains('`'),
        };
        if !good || what.is_empty() {
            broken.push(format!("{heading}: {what}: {verdict}: {shown}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_test_that_is_named_exists() {
    let (mut known, mut missing) = (BTreeMap::new(), Vec::new());
    for Row { cells: [_, _, shown], .. } in rows(&text(PAGE)) {
        for part in shown.split("; ").filter(|part| !part.is_empty()) {
            let link = part.split_once("](../").and_then(|(_, rest)| rest.split_once(')'));
            let path = link.unwrap_or_else(|| panic!("no link: {part}")).0.to_owned();
            let there = known.entry(path.clone()).or_insert_with(|| tests(&text(&path)));
            // Every second piece is between two backticks.
            let named: Vec<&str> = part.split('`').skip(1).step_by(2).collect();
            assert!(!named.is_empty(), "{part}");
            for name in named {
                if !there.iter().any(|test| test == name) {
                    missing.push(format!("{path}: {name}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// An option counts as named where its spelling stands alone: `--memory` is not `--memory-swap`.
fn names(rows: &[&Row], word: &str) -> bool {
    rows.iter().any(|row| {
        row.cells[0].match_indices(word).any(|(at, _)| {
            let behind = row.cells[0][at + word.len()..].chars().next();
            !behind.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-')
        })
    })
}

#[test]
fn every_command_and_option_has_a_row() {
    let all = rows(&text(PAGE));
    let mut missing = Vec::new();
    for opt in Globals::ROWS {
        let own: Vec<&Row> = all.iter().filter(|row| row.heading == "Global options").collect();
        if !names(&own, &format!("--{}", opt.long())) {
            missing.push(opt.spec.to_owned());
        }
    }
    for command in COMMANDS.iter().flat_map(|(_, commands)| *commands) {
        // A command with a heading has a table; another command has a row.
        let quoted = format!("`{}`", command.name);
        let own = |row: &&Row| row.heading == quoted || row.cells[0].contains(&quoted);
        let own: Vec<&Row> = all.iter().filter(own).collect();
        if own.is_empty() {
            missing.push(command.name.to_owned());
        }
        for opt in command.options().filter(|opt| opt.long() != "help") {
            let short = opt.short().map(|c| format!("-{c}"));
            if !names(&own, &format!("--{}", opt.long())) {
                missing.push(format!("{} {}", command.name, opt.spec));
            } else if short.is_some_and(|short| !names(&own, &format!("`{short}`"))) {
                missing.push(format!("{} {}: its letter", command.name, opt.spec));
            }
        }
    }
    assert!(missing.is_empty(), "not in {PAGE}:\n{}", missing.join("\n"));
}

/// test/cli/mistakes.txt has a typical mistake for each command.
#[test]
fn every_command_has_a_mistake() {
    let mistakes = text("test/cli/mistakes.txt");
    let mut missing: Vec<&str> =
        COMMANDS.iter().flat_map(|(_, all)| *all).map(|c| c.name).collect();
    missing.retain(|name| {
        let made = |line: &str| {
            let rest = line.strip_prefix("$ tiny-ce ").and_then(|line| line.strip_prefix(name));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        !mistakes.lines().any(made)
    });
    assert!(missing.is_empty(), "{missing:?}");
}
