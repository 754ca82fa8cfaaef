//! Find the messages of rules in the sources that no row has shown.
//!
//! A message is a string literal with a space in it in a file of rules; its format arguments may be
//! any text. Reads sources as text.

use tiny_ce_test::tree;

/// Files in which every such literal is a rule's message.
const RULES: [&str; 20] = [
    "launcher/spec/check/devices.rs",
    "launcher/spec/check/linux.rs",
    "launcher/spec/check/mod.rs",
    "launcher/spec/check/mounts.rs",
    "launcher/spec/check/namespaces.rs",
    "launcher/spec/check/paths.rs",
    "launcher/spec/check/process.rs",
    "launcher/spec/check/resources.rs",
    "launcher/spec/check/sysctl.rs",
    "launcher/spec/field.rs",
    "launcher/spec/id.rs",
    "launcher/spec/idmap.rs",
    "launcher/spec/json.rs",
    "launcher/spec/load.rs",
    "launcher/spec/parse.rs",
    "launcher/spec/record.rs",
    "launcher/spec/text.rs",
    "launcher/seccomp/profile.rs",
    "launcher/cgroup/compile.rs",
    "launcher/host.rs",
];

/// Messages of those files that no row can show here, with the reason: `test` names a test that
/// does.
const UNSEEN: [(&str, &str); 17] = [
    ("a cgroup namespace", "no rule asks for one"),
    ("a PID namespace", "no rule asks for one"),
    ("a mount namespace", "no rule asks for one"),
    ("problems; the others are not listed", "the test of launcher/spec/json.rs"),
    (
        "the number {}…",
        "a number as long as that is refused by its type, and shown in test/bad-input",
    ),
    ("needs cgroups, and no cgroup file system is mounted", "this machine has them"),
    ("/cgroup.controllers does not list", "of cgroup v2"),
    ("cgroup v2 has no such controller", "of cgroup v2"),
    ("hca_object=max", "no text but a value"),
    ("a bind needs a source", "`check` is first to see it"),
    ("the working directory's path is not UTF-8", "of the caller, not of an input"),
    ("something follows the document", "the test of launcher/spec/json.rs"),
    (
        "the network namespace joined is the host's own",
        "a namespace of the test's own is no host's",
    ),
    ("set it on the host, or give the container", "the hint of that"),
    ("an incomplete", "a backslash in a literal: the test of launcher/spec/parse.rs"),
    (
        "no mount namespace: the container has",
        "`life namespaces::`: no row for the others to mount on this machine",
    ),
    ("a digit", "a part of \"expected …, found …\", which has rows"),
];

/// The messages that are not in `told`.
pub fn missing(told: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for file in RULES {
        let source =
            std::fs::read_to_string(tree().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        for text in texts(&source) {
            let unseen = UNSEEN.iter().any(|(known, _)| text.contains(known));
            if !unseen && !shown(&text, told) {
                missing.push(format!("{file}: {text:?}"));
            }
        }
    }
    missing
}

/// Whether a line contains the pieces of the text in order.
fn shown(text: &str, told: &str) -> bool {
    let pieces: Vec<&str> = pieces(text);
    told.lines().any(|line| {
        let mut rest = line;
        pieces.iter().all(|piece| match rest.split_once(piece) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
    })
}

/// The parts of a format string outside its braces.
fn pieces(text: &str) -> Vec<&str> {
    text.split(['{', '}']).step_by(2).map(|piece| piece.trim_end_matches('\n')).collect()
}

/// String literals with more than one word, outside comments and unit tests.
fn texts(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut texts = Vec::new();
    for line in joined(code).lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut rest = line;
        while let Some((before, behind)) = rest.split_once('"') {
            // A quote in a character literal does not begin a string.
            if before.ends_with('\'') || before.ends_with("b'") {
                rest = behind;
                continue;
            }
            let end = end(behind);
            let text = &behind[..end];
            if text.trim().contains(' ') && text.bytes().any(|b| b.is_ascii_lowercase()) {
                texts.push(text.replace("\\\"", "\"").replace("\\n", "\n"));
            }
            rest = behind.get(end + 1..).unwrap_or_default();
        }
    }
    texts
}

/// The index where a string literal ends.
fn end(text: &str) -> usize {
    let mut escaped = false;
    let found = text.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    found.map_or(text.len(), |(at, _)| at)
}

/// Join the lines of each string literal.
fn joined(code: &str) -> String {
    let mut all = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        all.push_str(line);
        let mut open = line.ends_with('\\');
        while open {
            all.pop();
            let next = lines.next().unwrap_or_default();
            all.push_str(next.trim_start());
            open = next.ends_with('\\');
        }
        all.push('\n');
    }
    all
}
