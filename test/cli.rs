//! The command line, as users and shells see it: help, mistakes, completions, manual pages.
//!
//! The golden files are in test/cli; `BLESS=1` writes them again. These tests need no root, and
//! make no container.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tiny_ce::cli::language::Language;
use tiny_ce::cli::{COMMANDS, document};
use tiny_ce_test::{Need, met, tree};

#[path = "cli/terminal.rs"]
mod terminal;

fn tiny_ce(words: &[&str]) -> Output {
    command(words).output().expect("tiny-ce runs")
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiny-ce"));
    command
        .args(words)
        .stdin(Stdio::null())
        // The result must not depend on the user: an unprivileged user's default state root is in
        // here.
        .env("XDG_RUNTIME_DIR", "/nowhere")
        .env("LC_ALL", "C");
    command
}

#[track_caller]
fn stdout(words: &[&str]) -> String {
    printed(words, tiny_ce(words))
}

/// What a caller gets whose locale is Chinese.
#[track_caller]
fn in_chinese(words: &[&str]) -> String {
    let mut command = command(words);
    printed(words, command.env("LC_ALL", "zh_CN.UTF-8").output().expect("tiny-ce runs"))
}

#[track_caller]
fn printed(words: &[&str], output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The name of every command, as words.
fn commands() -> Vec<Vec<&'static str>> {
    let all = COMMANDS.iter().flat_map(|(_, commands)| *commands);
    all.map(|command| command.name.split(' ').collect()).collect()
}

/// A directory of the test, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("tiny-ce-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Scratch(dir)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn golden(path: &str, text: &str) {
    let file = tree().join(path);
    if std::env::var_os("BLESS").is_some_and(|it| it == "1") {
        std::fs::write(&file, text).expect(path);
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = kept.lines().zip(text.lines()).position(|(a, b)| a != b);
    let line = differs.map_or(0, |at| at + 1);
    assert!(kept == text, "{path} differs at line {line}: BLESS=1 cargo test --test cli writes it");
}

/// The help of tiny-ce and of each command, each after the line that asks for it.
#[track_caller]
fn all_help(print: fn(&[&str]) -> String) -> String {
    let mut text = print(&["--help"]);
    for name in commands() {
        let words: Vec<&str> = name.iter().copied().chain(["--help"]).collect();
        text += &format!("\n$ tiny-ce {}\n{}", words.join(" "), print(&words));
    }
    text
}

#[test]
fn help_is_golden() {
    golden("test/cli/help.txt", &all_help(stdout));
    golden("test/cli/help-zh.txt", &all_help(in_chinese));
}

/// A Chinese character has two columns.
#[test]
fn help_fits_a_terminal() {
    let wide = |c: char| matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ff01}'..='\u{ff60}');
    for line in all_help(stdout).lines().chain(all_help(in_chinese).lines()) {
        // Usage and examples stay on one line, so that a user can copy them.
        let whole = line.contains("tiny-ce ");
        let columns = line.chars().count() + line.chars().filter(|c| wide(*c)).count();
        assert!(whole || columns <= 80, "{columns}: {line}");
    }
}

/// Each argument and option has its row, and each example its line.
#[test]
fn help_in_chinese_has_the_same_options_and_examples() {
    for command in COMMANDS.iter().flat_map(|(_, commands)| *commands) {
        let words: Vec<&str> = command.name.split(' ').chain(["--help"]).collect();
        let help = in_chinese(&words);
        let row = |spec: &str| {
            let mut ends = help.lines().filter_map(|line| line.trim_start().strip_prefix(spec));
            ends.any(|end| end.is_empty() || end.starts_with("  "))
        };
        let args = command.args.iter().map(|arg| arg.spec);
        for spec in args.chain(command.options().map(|opt| opt.spec)) {
            assert!(row(spec), "{}: {spec}", command.name);
        }
        for (line, _) in command.examples {
            assert!(help.contains(&format!("\n  tiny-ce {line}\n")), "{}: {line}", command.name);
        }
    }
}

/// The first variable that is set and not empty counts; errors are English in every locale.
#[test]
fn help_follows_the_locale() {
    let help = |variables: &[(&str, &str)]| {
        let mut command = command(&["kill", "--help"]);
        command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env_remove("LANG");
        let output = command.envs(variables.iter().copied()).output().expect("tiny-ce runs");
        String::from_utf8(output.stdout).expect("UTF-8").starts_with("用法：")
    };
    assert!(!help(&[]));
    assert!(help(&[("LANG", "zh_CN.UTF-8")]));
    assert!(help(&[("LANG", "en_US.UTF-8"), ("LC_MESSAGES", "zh_CN.UTF-8")]));
    assert!(help(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "")]));
    assert!(!help(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]));
    assert!(!help(&[("LANG", "zh_CN.GB18030")]));
    for words in [&["help", "network"][..], &["network", "--help"], &["help"], &[]] {
        assert!(in_chinese(words).contains("用法："), "{words:?}");
    }
    let mut wrong = command(&["kill"]);
    let wrong = wrong.env("LC_ALL", "zh_CN.UTF-8").output().expect("tiny-ce runs");
    assert_eq!(wrong.stderr, tiny_ce(&["kill"]).stderr);
    assert!(wrong.stderr.is_ascii());
}

#[test]
fn help_can_be_asked_for_in_every_way() {
    let expected = stdout(&["man", "--help"]);
    for words in [&["help", "man"][..], &["man", "-h"], &["--help", "man"], &["man", "-help"]] {
        assert_eq!(stdout(words), expected, "{words:?}");
    }
    assert_eq!(stdout(&["help"]), stdout(&["--help"]));
    assert_eq!(stdout(&[]), stdout(&["--help"]));
}

/// docs/commands.md, its Chinese sister, docs/errors.md and docs/limits.md are printed from tables.
#[test]
fn the_reference_is_generated() {
    golden("docs/commands.md", &document(Language::English));
    golden("docs/zh-CN/commands.md", &document(Language::Chinese));
    golden("docs/errors.md", &tiny_ce::hints::document());
    golden("docs/limits.md", &tiny_ce::cli::limits_document());
}

/// Each `$ tiny-ce …` line of the file is answered by the lines below it: one line on standard
/// error, with an indented hint or the like below it, and the exit status of a mistake.
#[test]
fn mistakes_are_answered_with_one_line() {
    let kept = std::fs::read_to_string(tree().join("test/cli/mistakes.txt")).expect("the cases");
    let mut text = String::new();
    for case in kept.lines().filter_map(|line| line.strip_prefix("$ tiny-ce")) {
        let output = tiny_ce(&split(case).iter().map(String::as_str).collect::<Vec<_>>());
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        // A machine's status is its container's, and 125 where there is none.
        let status = if case.starts_with(" vm") { 125 } else { 1 };
        assert_eq!(output.status.code(), Some(status), "{case}: {errors}");
        assert!(output.stdout.is_empty(), "{case}: writes to standard output");
        let below = errors.lines().skip(1).all(|line| line.starts_with("  "));
        assert!(errors.starts_with("tiny-ce: ") && below, "{case}: {errors}");
        text += &format!("$ tiny-ce{case}\n{errors}");
    }
    assert!(!text.is_empty(), "there are cases");
    golden("test/cli/mistakes.txt", &text);
}

/// Split into words at spaces, except between single quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn the_version_is_what_callers_parse() {
    let text = stdout(&["--version"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], concat!("tiny-ce version ", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("commit: "), "{text}");
    assert_eq!(lines[2], "spec: 1.3.0");
    // Docker uses the last line that contains the word.
    assert_eq!(text.matches("version").count(), 1, "{text}");
    assert_eq!(stdout(&["-v"]), text);
}

/// A quick start is promised, so a command that only prints opens no file. Files that the C library
/// opens before `main` do not count: its own, and /proc/self/maps for the stack.
#[test]
fn the_version_opens_no_file() {
    if !met(&[Need::Program("strace")]) {
        return;
    }
    for words in [&["--version"][..], &["--help"], &["run", "--help"]] {
        let output = Command::new("strace")
            .args(["-e", "trace=open,openat,openat2,socket,clone,clone3"])
            .arg(env!("CARGO_BIN_EXE_tiny-ce"))
            .args(words)
            .output()
            .expect("strace");
        let calls = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && calls.contains("exited with 0"), "{calls}");
        let library = ["/proc/self/maps", "/etc/ld.so", "/lib"];
        let ours = calls.lines().filter(|line| line.contains('(') && !line.contains("+++"));
        let ours: Vec<&str> =
            ours.filter(|line| !library.iter().any(|path| line.contains(path))).collect();
        assert!(ours.is_empty(), "{words:?}: {ours:?}");
    }
}

/// The message does not depend on the command: otherwise the first system call that fails would
/// name only itself.
#[test]
fn every_command_reports_an_old_kernel() {
    if !met(&[Need::Program("strace")]) {
        return;
    }
    let old = |words: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-o", "/dev/null", "-e", "inject=mount_setattr:error=ENOSYS"]);
        command.arg(env!("CARGO_BIN_EXE_tiny-ce")).args(words).stdin(Stdio::null());
        let output = command.output().expect("strace");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let headings = COMMANDS.iter().filter(|(it, _)| matches!(*it, "Containers" | "Networks"));
    for command in headings.flat_map(|(_, commands)| *commands) {
        let needed = command.args.iter().filter(|arg| !arg.spec.starts_with('['));
        let words = command.name.split(' ').chain(needed.map(|_| "web")).collect::<Vec<_>>();
        let (status, errors) = old(&words);
        let told = errors.starts_with("tiny-ce: this kernel is Linux ");
        assert!(
            told && errors.contains(", and tiny-ce needs 5.12 or later"),
            "{words:?}: {errors}"
        );
        assert_eq!(status, Some(1), "{words:?}: {errors}");
    }
    // A command that makes no container needs no new kernel.
    for words in [&["spec", "-f", "-"][..], &["--version"], &["help", "run"], &["operations"]] {
        assert_eq!(old(words), (Some(0), String::new()), "{words:?}");
    }
}

/// containerd accepts a version only from a program that calls itself runc.
#[test]
fn called_as_runc_it_prints_the_version_of_runc() {
    let scratch = Scratch::new("runc");
    let link = scratch.0.join("runc");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tiny-ce"), &link).expect("a link");
    let output = Command::new(link).arg("--version").output().expect("tiny-ce runs");
    assert!(output.stdout.starts_with(b"runc version "), "{output:?}");
}

/// One object, whatever the error is, so that Podman can read the whole file.
#[test]
fn a_json_log_holds_one_object_per_failure() {
    let scratch = Scratch::new("log");
    let log = scratch.0.join("log.json");
    let path = log.to_str().expect("UTF-8");
    let output = tiny_ce(&["--log", path, "--log-format", "json", "strat"]);
    let text = std::fs::read_to_string(&log).expect("the log");
    let object: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
    assert_eq!(object["level"], "error");
    let message = object["msg"].as_str().expect("a text");
    assert!(message.starts_with("unknown command \"strat\""), "{message}");
    assert!(object["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("tiny-ce: {message}\n"));

    // The options may follow the command, and a second failure adds a second line.
    tiny_ce(&["man", "--bogus", "x"]);
    tiny_ce(&["man", "nope", "--log-format=json", "--log", path]);
    tiny_ce(&["--log-format=json", "--log", path, "man", "nope"]);
    let text = std::fs::read_to_string(&log).expect("the log");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_json_log_without_a_file_is_on_standard_error() {
    let output = tiny_ce(&["--log-format", "json", "strat"]);
    let object: serde_json::Value = serde_json::from_slice(&output.stderr).expect("one object");
    assert_eq!(object["level"], "error");
}

#[test]
fn a_text_log_is_logrus() {
    let scratch = Scratch::new("text");
    let log = scratch.0.join("log");
    tiny_ce(&["--log", log.to_str().expect("UTF-8"), "strat"]);
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(text.starts_with("time=\"2"), "{text}");
    assert!(text.contains("Z\" level=error msg=\"unknown command \\\"strat\\\""), "{text}");
}

/// `tiny-ce --help | head -1` is no error and no panic, although Rust ignores SIGPIPE.
#[test]
fn a_reader_that_goes_away_causes_no_panic() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_tiny-ce"))
        .args(["completion", "bash"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|child| child.wait_with_output())
        .expect("tiny-ce runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_full_disk_is_reported() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = Command::new(env!("CARGO_BIN_EXE_tiny-ce"))
        .arg("--version")
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|child| child.wait_with_output())
        .expect("tiny-ce runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.starts_with("tiny-ce: standard output: write(2): ENOSPC"), "{errors}");
}

#[test]
fn spec_writes_a_valid_config() {
    let scratch = Scratch::new("spec");
    let dir = scratch.0.to_str().expect("UTF-8");
    for words in [
        &["spec"][..],
        &["spec", "--rootless"],
        &["spec", "--embedded"],
        &["spec", "--embedded", "--rootless", "--memory", "1g", "--", "sh"],
    ] {
        // The words after -- are not options.
        let bundle = [&["spec", "-b", dir], &words[1..]].concat();
        assert_eq!(stdout(&bundle), "");
        let file = scratch.0.join("config.json");
        let written = std::fs::read_to_string(&file).expect("config.json");
        let printed = stdout(&[&["spec", "-f", "-"], &words[1..]].concat());
        assert_eq!(written, printed, "{words:?}");
        // It gives no warning; the bundle's root is its own instead of the host's.
        let bundle_s_own = written.replace("\"path\": \"/\"", "\"path\": \"rootfs\"");
        scratch.file("own.json", &bundle_s_own);
        stdout(&["validate", dir, "-f", "own.json"]);

        let output = tiny_ce(&bundle);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "an existing file is left alone");
        assert!(errors.contains("config.json: exists already"), "{errors}");
        std::fs::remove_file(&file).expect("config.json");
    }
}

#[test]
fn validate_reports_every_mistake() {
    let scratch = Scratch::new("validate");
    let dir = scratch.0.to_str().expect("UTF-8");
    let text = stdout(&["spec", "-f", "-"]);
    scratch.file("good.json", &text);
    let output = tiny_ce(&["validate", dir, "-f", "good.json"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{dir}/good.json: valid\n"));

    // An unknown property has no effect; annotations may have any name.
    let more = "{\"proces\": {\"args\": []}, \"annotations\": {\"proces\": \"x\"},";
    scratch.file("odd.json", &text.replacen('{', more, 1));
    let output = tiny_ce(&["validate", dir, "-f", "odd.json"]);
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warnings.lines().count() == 1, "{warnings}");
    assert!(warnings.contains("proces: unknown, and ignored"), "{warnings}");

    let text = text
        .replace("\"cwd\": \"/\"", "\"cwd\": \"here\"")
        .replace("\"path\": \"rootfs\"", "\"path\": \"\"");
    scratch.file("bad.json", &text);
    let output = tiny_ce(&["validate", dir, "-f", "bad.json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("bad.json: 2 problems"), "{errors}");
    assert!(errors.contains("root.path") && errors.contains("process.cwd"), "{errors}");
}

/// Let the shell itself check the script's syntax.
fn checks(shell: &str, flag: &str, scratch: &Scratch) -> Option<PathBuf> {
    if !met(&[Need::Program(match shell {
        "bash" => "bash",
        "zsh" => "zsh",
        _ => "fish",
    })]) {
        return None;
    }
    let script = scratch.file(&format!("tiny-ce.{shell}"), &stdout(&["completion", shell]));
    let output = Command::new(shell).arg(flag).arg(&script).output().expect(shell);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{shell}: {errors}");
    Some(script)
}

/// What bash offers to complete the last word of a command line.
fn bash_offers(script: &Path, words: &[&str]) -> Vec<String> {
    let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let code = format!(
        ". '{}'; COMP_WORDS=({line}); COMP_CWORD={}; _tiny_ce; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.len() - 1
    );
    let output =
        Command::new("bash").args(["--norc", "-c", &code]).current_dir("/").output().expect("bash");
    assert!(output.stderr.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes() {
    let scratch = Scratch::new("bash");
    let Some(script) = checks("bash", "-n", &scratch) else { return };
    let offers = |words: &[&str]| bash_offers(&script, words);
    assert_eq!(offers(&["tiny-ce", "compl"]), ["completion"]);
    assert_eq!(offers(&["tiny-ce", "completion", ""]), ["bash", "zsh", "fish"]);
    assert_eq!(offers(&["tiny-ce", "--log-format", "j"]), ["json"]);
    assert_eq!(offers(&["tiny-ce", "--log-format", "=", "j"]), ["json"]);
    assert_eq!(offers(&["tiny-ce", "--log-format", "="]), ["text", "json"]);
    assert_eq!(offers(&["tiny-ce", "--root", "/pro"]), ["/proc"]);
    assert_eq!(offers(&["tiny-ce", "--root", "/proc", "help", "ma"]), ["man"]);
    assert_eq!(offers(&["tiny-ce", "man", "--deb"]), ["--debug"]);
    assert_eq!(offers(&["tiny-ce", "network", ""]), ["create", "list", "show", "rm"]);
    assert_eq!(offers(&["tiny-ce", "network", "create", "web", "--sub"]), ["--subnet"]);
    assert_eq!(offers(&["tiny-ce", "network", "list", "-f", "t"]), ["table"]);
}

#[test]
fn zsh_can_read_its_completions() {
    checks("zsh", "-n", &Scratch::new("zsh"));
}

#[test]
fn fish_completes() {
    let scratch = Scratch::new("fish");
    let Some(script) = checks("fish", "-n", &scratch) else { return };
    let offers = |line: &str| {
        let code = format!("source '{}'; complete -C '{line}'", script.display());
        let output = Command::new("fish")
            .args(["--no-config", "-c", &code])
            .env("HOME", &scratch.0)
            .output()
            .expect("fish");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines()
            .filter_map(|line| line.split('\t').next())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(offers("tiny-ce compl"), ["completion"]);
    assert_eq!(offers("tiny-ce completion "), ["bash", "fish", "zsh"]);
    assert_eq!(offers("tiny-ce --log-format j"), ["json"]);
    assert_eq!(offers("tiny-ce --root /proc completion z"), ["zsh"]);
    assert_eq!(offers("tiny-ce network "), ["create", "list", "rm", "show"]);
    assert_eq!(offers("tiny-ce network create web --sub"), ["--subnet"]);
}

/// groff with all warnings prints none about a page, and shows its name.
#[test]
fn manual_pages_render() {
    if !met(&[Need::Program("groff")]) {
        return;
    }
    let scratch = Scratch::new("man");
    let pages = commands().into_iter().map(|name| (name.join("-"), [vec!["man"], name].concat()));
    for (name, words) in pages.chain([("".to_owned(), vec!["man"])]) {
        let page = scratch.file("page.1", &stdout(&words));
        let output = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww"])
            .arg(&page)
            .output()
            .expect("groff");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{name}: {errors}");
        let text = String::from_utf8_lossy(&output.stdout).to_uppercase();
        let title = format!("TINY-CE-{}", name.to_uppercase());
        assert!(text.contains(title.trim_end_matches('-')), "{name}: no title");
    }
}

/// The pages that packages install are those that are printed.
#[test]
fn a_directory_gets_every_manual_page() {
    let scratch = Scratch::new("pages");
    let pages = scratch.0.to_str().expect("UTF-8");
    assert_eq!(stdout(&["man", "--directory", pages]), "");
    let page = |name: &str| std::fs::read_to_string(scratch.0.join(name)).expect(name);
    assert_eq!(page("tiny-ce.1"), stdout(&["man"]));
    for name in commands() {
        let words = [vec!["man"], name.clone()].concat();
        assert_eq!(page(&format!("tiny-ce-{}.1", name.join("-"))), stdout(&words));
    }
    let count = std::fs::read_dir(&scratch.0).expect("a directory").count();
    assert_eq!(count, commands().len() + 1);
    let failed = tiny_ce(&["man", "--directory", "/nowhere"]);
    let text = String::from_utf8_lossy(&failed.stderr);
    assert!(text.starts_with("tiny-ce: /nowhere/tiny-ce-run.1: open(2): ENOENT"), "{text}");
    let failed = tiny_ce(&["man", "--directory", pages, "run"]);
    let text = String::from_utf8_lossy(&failed.stderr);
    assert!(text.starts_with("tiny-ce: --directory: writes the pages of all commands"), "{text}");
}

/// `operations` prints the whole table of operations.
#[test]
fn every_operation_is_listed() {
    let text = stdout(&["operations"]);
    for row in tiny_ce_init::ROWS {
        let head = format!("{} = {}(", row.name, row.call.to_lowercase());
        assert!(text.lines().any(|line| line.starts_with(&head)), "{head}");
        assert!(text.contains(row.doc.trim()), "{head}");
    }
    assert_eq!(
        text.lines().filter(|line| !line.starts_with(' ')).count(),
        tiny_ce_init::ROWS.len()
    );
}
