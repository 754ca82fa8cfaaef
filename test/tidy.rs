//! The house rules that a machine can check, as tests: sizes, words, where `unsafe` may be, links.
//!
//! Reads the sources as text. What the compiler and clippy check is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tiny_ce_test::tree;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const LINE_COLUMNS: usize = 100;

/// Tables that have a row for each field of config.json, and that read worse cut in two.
const LONG_TABLES: &[&str] = &["launcher/spec/types.rs"];

/// This file, which names what it looks for.
const OWN: &str = "test/tidy.rs";

/// A source file: its path from the top, and its text.
struct Source {
    path: String,
    text: String,
}

/// All files of the tree with one of these endings, in the order of their names.
fn sources(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut todo = vec![tree()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory of the tree") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                // What cargo and git made is not ours to keep tidy.
                if name != "target" && name != ".git" {
                    todo.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(read(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "the tree has files that end in {endings:?}");
    found
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let path = path.strip_prefix(tree()).expect("in the tree").to_string_lossy().into_owned();
    Source { path, text }
}

#[track_caller]
fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn files_and_lines_are_short() {
    let mut broken = Vec::new();
    for file in sources(&[".rs", ".c", ".h", ".sh"]) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES && !LONG_TABLES.contains(&file.path.as_str()) {
            broken.push(format!("{}: {lines} lines", file.path));
        }
        for (number, line) in file.text.lines().enumerate() {
            let columns: usize = line.chars().map(columns).sum();
            if columns > LINE_COLUMNS {
                broken.push(format!("{}:{}: {columns} columns", file.path, number + 1));
            }
            if line.ends_with([' ', '\t']) {
                broken.push(format!("{}:{}: white space at the end", file.path, number + 1));
            }
        }
    }
    none(&format!("{FILE_LINES} lines and {LINE_COLUMNS} columns at most"), &broken);
}

/// A terminal and an editor give Chinese characters and their punctuation two columns.
fn columns(c: char) -> usize {
    1 + usize::from(matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ff01}'..='\u{ff60}'))
}

/// rustfmt puts a function's end at the indentation of its beginning.
#[test]
fn functions_are_short() {
    let mut broken = Vec::new();
    for file in sources(&[".rs"]) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (first, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let words = code.split_whitespace().take_while(|word| *word != "fn");
            let qualifier = |word: &str| {
                word.starts_with("pub")
                    || matches!(word, "const" | "unsafe" | "extern" | "\"C\"" | "async")
            };
            if !code.contains("fn ") || !words.into_iter().all(qualifier) {
                continue;
            }
            let end = format!("{}}}", &line[..line.len() - code.len()]);
            let length = lines[first..].iter().position(|l| *l == end).map_or(0, |at| at + 1);
            if length > FUNCTION_LINES && !code.ends_with(';') && !code.ends_with('}') {
                broken.push(format!("{}:{}: {length} lines: {code}", file.path, first + 1));
            }
        }
    }
    none(&format!("functions have {FUNCTION_LINES} lines at most"), &broken);
}

/// System calls are made in launcher/sys and in init; the tests make theirs in the probe, in C.
#[test]
fn unsafe_is_in_the_system_call_files() {
    let mut broken = Vec::new();
    for file in sources(&[".rs"]) {
        let may = file.path.starts_with("launcher/sys/") || file.path.starts_with("init/");
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            let quoted = code.contains("\"unsafe") || code.contains("unsafe\"");
            if !may && words.any(|word| word == "unsafe") && !quoted {
                broken.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("unsafe only in launcher/sys and init", &broken);
}

/// A lint is switched off for one thing, and the attribute says why.
#[test]
fn a_lint_is_switched_off_for_a_reason() {
    let mut broken = Vec::new();
    for file in sources(&[".rs"]) {
        // Put together, or it would find itself here.
        for opening in ["allow", "expect"].map(|word| [format!("#[{word}("), format!("#![{word}(")])
        {
            for (at, _) in opening.iter().flat_map(|text| file.text.match_indices(text.as_str())) {
                let attribute = file.text[at..].split(")]").next().unwrap_or_default();
                if !attribute.contains("reason =") {
                    broken.push(format!("{}: {}", file.path, attribute.trim()));
                }
            }
        }
    }
    none("a lint is switched off for a reason", &broken);
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo", "unimplemented", "dbg"].map(|word| format!("{word}!("));
    let words = ["FIX", "TO", "X"].map(|word| match word {
        "FIX" => "FIXME".to_owned(),
        "TO" => format!("{word}DO"),
        _ => word.repeat(3),
    });
    let mut broken = Vec::new();
    for file in sources(&[".rs", ".c", ".h", ".sh", ".md"]) {
        for (number, line) in file.text.lines().enumerate() {
            if file.path != OWN
                && marks.iter().chain(&words).any(|mark| line.contains(mark.as_str()))
            {
                broken.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("nothing is left unfinished", &broken);
}

/// The kernel's and OCI's words name things; these say nothing about what a thing is.
#[test]
fn names_say_what_a_thing_is() {
    let empty =
        ["manager", "context", "builder", "handler", "helper", "util", "engine", "middleware"];
    let kinds = ["fn", "struct", "enum", "trait", "mod", "type", "const", "static"];
    let mut broken = Vec::new();
    for file in sources(&[".rs"]) {
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let words: Vec<&str> = code.split_whitespace().collect();
            for pair in words.windows(2).filter(|pair| kinds.contains(&pair[0])) {
                let name = pair[1].split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let name = name.unwrap_or_default().to_lowercase();
                let parts: Vec<&str> = name.split('_').collect();
                // A test's name is a sentence, and may speak of engines; a file's security context
                // is SELinux's word.
                if parts.len() < 4
                    && name != "context"
                    && empty.iter().any(|word| name.contains(word))
                {
                    broken.push(format!("{}:{}: {name}", file.path, number + 1));
                }
            }
        }
    }
    none("empty names", &broken);
}

/// A module says what it knows before it says anything else.
#[test]
fn modules_begin_with_what_they_know() {
    let headed = |file: &Source| {
        let code = file.text.lines().find(|line| !line.starts_with("#!["));
        code.is_some_and(|line| line.starts_with("//!"))
    };
    let broken: Vec<String> =
        sources(&[".rs"]).into_iter().filter(|f| !headed(f)).map(|f| f.path).collect();
    none("a module begins with //!", &broken);
}

/// `autotests = false`: a test that Cargo.toml does not name would never run.
#[test]
fn every_test_is_named_in_the_manifest() {
    let manifest = std::fs::read_to_string(tree().join("Cargo.toml")).expect("Cargo.toml");
    let mut broken = Vec::new();
    for file in sources(&[".rs"]) {
        let direct = file.path.strip_prefix("test/").is_some_and(|name| !name.contains('/'));
        let runs = file.text.contains("#[test]");
        if direct && runs && !manifest.contains(&format!("path = \"{}\"", file.path)) {
            broken.push(file.path);
        }
    }
    none("each test/*.rs has a [[test]] in Cargo.toml", &broken);
}

/// Nobody's own directories are written down: the tree works wherever it is cloned.
/// `.ci/run` finds the targets of random input by this word.
#[test]
fn targets_of_random_input_are_named_alike() {
    let call = ["fuzz", "(\""].concat();
    let mut broken = Vec::new();
    let mut found = 0;
    for file in sources(&[".rs"]) {
        let mut name = "";
        for line in file.text.lines() {
            if let Some((_, rest)) = line.split_once("fn ") {
                name = rest.split('(').next().unwrap_or_default();
            }
            if line.contains(&call) {
                found += 1;
                if !name.contains("panic") {
                    broken.push(format!("{}: {name}", file.path));
                }
            }
        }
    }
    assert!(found >= 14, "{found} targets");
    none("a target of random input has \"panic\" in its name", &broken);
}

#[test]
fn no_path_of_one_machine() {
    let tree = tree();
    let here = tree.to_str().expect("UTF-8");
    let mut broken = Vec::new();
    for file in sources(&[".rs", ".c", ".h", ".sh", ".md", ".toml", ".json", "run"]) {
        for (number, line) in file.text.lines().enumerate() {
            if line.contains(here) {
                broken.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("no path of one machine", &broken);
}

/// What each top-level module of the launcher may not import: the table of ARCHITECTURE.md.
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    ("spec", &["host", "sys", "compile", "plan", "container", "cgroup", "cli"]),
    ("host", &["compile", "container", "plan", "cli"]),
    ("compile", &["sys", "container", "cgroup", "log", "cli"]),
    ("plan", &["compile", "spec", "host", "container", "cli"]),
    ("container", &["cli", "doctor", "features"]),
    ("analysis", &["cli", "compile", "container", "conversation", "host", "spec", "state"]),
    ("boot", &["cli", "compile", "cgroup", "conversation", "doctor", "plan", "host"]),
    ("image", &["boot", "cli", "compile", "container", "host", "plan", "vm"]),
    ("vm", &["boot", "cli", "compile", "container", "host", "plan"]),
    ("link", &["*"]),
    ("conversation", &["container", "criu", "hooks", "cli"]),
    ("state", &["container", "compile", "host", "conversation", "cli"]),
    ("cgroup", &["container", "compile", "host", "cli"]),
    ("criu", &["container", "cli"]),
    ("systemd", &["container", "compile", "host", "cli"]),
    ("network", &["container", "compile", "spec", "cli"]),
    ("usernet", &["container", "state", "cli"]),
    ("seccomp", &["sys", "container", "compile", "host", "cli"]),
    ("hooks", &["container", "cli"]),
    ("errno", &["*"]),
    ("error", &["container", "compile", "spec", "host", "sys", "cli"]),
    ("hints", &["container", "compile", "spec", "host", "sys", "cli", "error"]),
    ("sys", &["*"]),
];

/// The top-level modules that a file of the launcher names; its tests may name any.
fn imports(text: &str) -> BTreeSet<String> {
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = product.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join("\n");
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            found.insert(word(after));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if (c == ',' && depth == 0) || depth < 0 {
                found.insert(word(&list[start..at]));
                start = at + 1;
            }
            if depth < 0 {
                break;
            }
        }
    }
    found
}

/// Which top-level module imports which, and a file that does.
fn arrows() -> BTreeMap<(String, String), String> {
    let mut all = BTreeMap::new();
    let is_test = |path: &str| path.ends_with("_test.rs") || path.ends_with("/tests.rs");
    for file in sources(&[".rs"]) {
        let Some(path) = file.path.strip_prefix("launcher/") else { continue };
        let from = path.split(['/', '.']).next().unwrap_or_default();
        if is_test(path) || ["lib", "main"].contains(&from) {
            continue;
        }
        // A name of its own, of the crate's root, is no module.
        for to in imports(&file.text).into_iter().filter(|to| !to.is_empty() && to != from) {
            all.entry((from.to_owned(), to)).or_insert_with(|| file.path.clone());
        }
    }
    all
}

#[test]
fn modules_know_what_they_may() {
    let arrows = arrows();
    let forbidden = |from: &str, to: &str| {
        let row = MUST_NOT_KNOW.iter().find(|(module, _)| *module == from);
        row.is_some_and(|(_, not)| not.contains(&to) || not.contains(&"*"))
    };
    let broken: Vec<String> = arrows
        .iter()
        .filter(|((from, to), _)| forbidden(from, to))
        .map(|((from, to), path)| format!("{path}: {from} must not know {to}"))
        .collect();
    none("a module imports what it may know", &broken);
}

/// Whatever order modules are read in, each is understood before what stands on it.
#[test]
fn modules_have_no_circles() {
    let arrows = arrows();
    let mut left: BTreeSet<&str> =
        arrows.keys().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    // Whatever stands on nothing that is left goes; what stays is in a circle, or stands on one.
    loop {
        let stands = |module: &str| {
            arrows.keys().any(|(from, to)| from == module && left.contains(to.as_str()))
        };
        let free: Vec<&str> = left.iter().copied().filter(|module| !stands(module)).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|module| !free.contains(module));
    }
    let circle: Vec<String> = arrows
        .iter()
        .filter(|((from, to), _)| left.contains(from.as_str()) && left.contains(to.as_str()))
        .map(|((from, to), path)| format!("{path}: {from} -> {to}"))
        .collect();
    none("no circle of modules", &circle);
}

/// Links from one document to another lead somewhere.
#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for file in sources(&[".md"]) {
        let path = tree().join(&file.path);
        for part in file.text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            let place: PathBuf = path.with_file_name("").join(target);
            if !outside && !target.is_empty() && !place.exists() {
                broken.push(format!("{}: {target}", file.path));
            }
        }
    }
    none("links lead somewhere", &broken);
}
