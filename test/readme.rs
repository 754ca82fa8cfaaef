//! Run the examples of the README and docs/library.md as they are written.

#[path = "../docs/library/main.rs"]
mod library;

use std::process::Command;
use tiny_ce_test::{Case, Need, tiny_ce, tree};

/// What `cargo run --example library` calls.
const _: fn() -> tiny_ce::Result<()> = library::main;

/// The lines of every console block: commands after `$ `, then their output.
fn sessions(text: &str) -> Vec<Vec<(String, Vec<String>)>> {
    let mut all = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line) {
            (false, "```console") => {
                inside = true;
                all.push(Vec::new());
            }
            (true, "```") => inside = false,
            (true, line) => {
                let session: &mut Vec<(String, Vec<String>)> = all.last_mut().expect("begun");
                match line.strip_prefix("$ ") {
                    Some(command) => session.push((command.to_owned(), Vec::new())),
                    None => session.last_mut().expect("a command").1.push(line.to_owned()),
                }
            }
            _ => {}
        }
    }
    all
}

/// `…` within a line stands for any text, and as a line for any lines.
fn matches(shown: &[String], got: &[&str]) -> bool {
    match (shown.split_first(), got.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "…" => {
            matches(rest, got) || got.split_first().is_some_and(|(_, left)| matches(shown, left))
        }
        (Some((first, rest)), Some((line, left))) => like(first, line) && matches(rest, left),
        _ => false,
    }
}

fn like(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return left.is_empty() };
    for part in middle {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// Run a session as one shell in a mount and a network namespace of its own; return each output.
fn perform(case: &Case, session: &[(String, Vec<String>)]) -> Vec<String> {
    const MARK: &str = "@@@@";
    let bin = case.dir().join("bin");
    std::fs::create_dir_all(&bin).expect("bin");
    let _ = std::os::unix::fs::symlink(tiny_ce(), bin.join("tiny-ce"));
    let mut script = "mount -t tmpfs none /run && ip link set lo up\n".to_owned();
    for (command, _) in session {
        script.push_str(&format!("{command}\necho '{MARK}'\n"));
    }
    let output = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", &format!("exec 2>&1\n{script}")])
        .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()))
        .current_dir(case.dir())
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split(&format!("{MARK}\n")).map(str::to_owned).collect()
}

#[test]
fn the_readme_s_sessions() {
    let needs = [Need::Program("busybox"), Need::Program("ip"), Need::Program("unshare")];
    let Some(case) = Case::root(&needs) else { return };
    let text = std::fs::read_to_string(tree().join("README.md")).expect("README.md");
    let sessions = sessions(&text);
    assert!(!sessions.is_empty());
    // The blocks are one session: later ones use what the first makes.
    let story: Vec<_> = sessions.into_iter().flatten().collect();
    let printed = perform(&case, &story);
    for ((command, shown), got) in story.iter().zip(&printed) {
        let lines: Vec<&str> = got.lines().filter(|line| !line.starts_with("  hint: ")).collect();
        assert!(matches(shown, &lines), "$ {command}\nshown: {shown:#?}\ngot:\n{got}");
    }
    assert_eq!(printed.len(), story.len() + 1, "a command ended the session");
}

#[test]
fn the_library_s_example() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let status = library::life(&case.state(), bundle.path());
    assert_eq!(status, Ok(tiny_ce::container::Status::Created));
}

#[test]
fn the_library_s_page_shows_the_example_s_lines() {
    let read = |name: &str| std::fs::read_to_string(tree().join(name)).expect(name);
    let (page, example) = (read("docs/library.md"), read("docs/library/main.rs"));
    let example: Vec<&str> = example.lines().map(str::trim).collect();
    let code = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    for line in code.expect("a block of code").lines() {
        assert!(example.contains(&line.trim()), "{line}");
    }
}
