//! `process.terminal`: with the launcher's own terminal, or through a console socket.

use serde_json::json;
use std::process::Command;
use tiny_ce_test::{Bundle, Case, Done, Need, Running, probe, run, tiny_ce};

/// How many seconds timeout(1) waits: a slow machine needs half a minute for large outputs.
const AWHILE: &str = "120";

fn with_terminal(case: &Case, commands: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/process/terminal", true).probe(commands);
    bundle
}

/// Check what the program sees: it controls the terminal, which has this size.
#[track_caller]
fn is_a_terminal(done: &Done, size: &str) {
    for number in 0..3 {
        assert_eq!(done.value(&format!("tty.{number}")), size, "{done}");
    }
    assert_eq!(done.value("tty.controlling"), "ok");
    assert_eq!(done.value("tty.foreground"), "1");
}

/// Replace the terminal's line ends by line feeds.
fn plain(mut done: Done) -> Done {
    done.stdout = done.stdout.replace('\r', "");
    done
}

/// Run tiny-ce on a terminal of 24 rows and 80 columns.
fn in_terminal(case: &Case, words: &[&str]) -> Command {
    let mut command = Command::new(probe());
    command.arg("in-terminal").arg(tiny_ce()).arg("--root").arg(case.state()).args(words);
    command.env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
    command
}

#[test]
fn the_callers_terminal_is_passed_on() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = with_terminal(&case, "tty then fds then stat /dev/console");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let words = ["run", "--bundle", &path, &case.id()];
    let done = plain(run(&mut in_terminal(&case, &words), case.dir()));
    assert_eq!(done.value("ended"), "0", "{done}");
    is_a_terminal(&done, "24 80");
    assert!(done.value("stat /dev/console").starts_with("char mode=0620"), "{done}");
}

/// The container cannot push input into the caller's terminal, where a shell may wait
/// (CVE-2016-2779).
#[test]
fn the_callers_terminal_is_not_typed_on() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("tty then tiocsti");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let words = ["run", "--bundle", &path, &case.id()];
    let done = plain(run(&mut in_terminal(&case, &words), case.dir()));
    assert_eq!(done.value("tty.0"), "24 80", "{done}");
    assert_eq!(done.value("tty.controlling"), "ENXIO", "{done}");
    assert_ne!(done.value("tiocsti"), "ok", "{done}");
}

#[test]
fn typed_keys_arrive_as_input_and_as_signals() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = with_terminal(&case, "say ready then await 2 then exit 6");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let words = ["run", "--bundle", &path, &case.id()];
    let mut running = Running::start(&mut in_terminal(&case, &words), case.dir());
    running.line("ready: await");
    // Control-C: the container's terminal turns it into SIGINT, because the launcher's is in raw
    // mode.
    let mut stdin = running.stdin().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"\x03").expect("typed");
    // The kernel sends the signal before it echoes ^C, so what the program prints may come first.
    // The exit status 6 is in the upper byte.
    let done = running.done();
    assert!(done.stdout.trim_end().ends_with("ended: 1536"), "{done}");
}

#[test]
fn a_console_socket_is_given_the_master() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = with_terminal(&case, "tty then echo");
    bundle.set("/process/consoleSize", json!({"height": 33, "width": 99}));
    let socket = case.dir().join("console");
    let mut command = Command::new(probe());
    let mut console = Running::start(command.arg("console").arg(&socket), case.dir());
    assert_eq!(console.line("ready:"), "ready: console");
    let (socket, id) = (socket.to_str().expect("UTF-8"), case.id());
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    case.tiny_ce(["create", "--console-socket", socket, "--bundle", &path, &id]).ok();
    assert_eq!(console.line("received:"), "received: /dev/ptmx");
    assert_eq!(console.line("window:"), "window: 33 99");
    case.tiny_ce(["start", &id]).ok();
    assert_eq!(console.line("tty.2:"), "tty.2: 33 99");
    assert_eq!(console.line("tty.foreground:"), "tty.foreground: 1");
    let mut stdin = console.stdin().expect("a pipe");
    console.line("tty.controlling: ok");
    std::io::Write::write_all(&mut stdin, b"typed\n\x04").expect("typed");
    // Once as the terminal's echo, and once by the program.
    console.line("typed");
    console.line("typed");
    drop(stdin);
    console.done();
    // The terminal is closed a moment before the program ends.
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn exec_has_a_terminal_too() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let container = case.create(&bundle);
    container.start();
    let exec = |commands: &[&str]| {
        let words = [&["exec", "--tty", container.id(), "/probe"], commands].concat();
        plain(run(&mut in_terminal(&case, &words), case.dir()))
    };
    let done = exec(&["tty"]);
    assert_eq!(done.value("tty.0"), "24 80", "{done}");
    assert_eq!(done.value("tty.controlling"), "ok");
    // The exit status 3 is in the upper byte.
    assert_eq!(exec(&["exit", "3"]).value("ended"), "768");
}

#[test]
fn a_terminal_needs_a_console_socket() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = with_terminal(&case, "tty");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let done = case.tiny_ce(["create", "--bundle", &path, &case.id()]);
    assert!(done.fails().contains("process.terminal"), "{done}");
    let options = ["create", "--console-socket", "/nope", "--bundle", &path, &case.id()];
    let done = case.tiny_ce(options);
    assert!(done.fails().contains("--console-socket /nope"), "{done}");
    let bundle = case.bundle();
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let options = ["create", "--console-socket", "/nope", "--bundle", &path, &case.id()];
    let done = case.tiny_ce(options);
    assert!(done.fails().contains("process.terminal"), "{done}");
}

/// sun_path has 108 bytes; engines use longer paths.
#[test]
fn a_console_socket_may_have_a_long_path() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = with_terminal(&case, "tty");
    let deep = case.dir().join("d".repeat(200));
    std::fs::create_dir(&deep).expect("a directory");
    let short = case.dir().join("s");
    std::os::unix::fs::symlink(&deep, &short).expect("a link");
    let mut console = crate::options::console(&case, &short.join("console"));
    let socket = deep.join("console");
    let (socket, id) = (socket.to_str().expect("UTF-8"), case.id());
    assert!(socket.len() > 200);
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    case.tiny_ce(["create", "--console-socket", socket, "--bundle", &path, &id]).ok();
    console.line("received: /dev/ptmx");
    case.tiny_ce(["delete", "--force", &id]).ok();
    console.done();
}

/// All output is read, including what a program writes just before it ends.
#[test]
fn no_output_is_lost_at_the_end() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = with_terminal(&case, "");
    bundle.file("large", "0123456789abcde\n".repeat(4000));
    bundle.probe("cat /large");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    for _ in 0..10 {
        let words = ["run", "--bundle", &path, &case.id()];
        let done = plain(run(&mut in_terminal(&case, &words), case.dir()));
        assert_eq!(done.stdout.matches("0123456789abcde\n").count(), 4000);
    }
}

/// The standard input of a launcher in the foreground.
#[derive(Debug, Clone, Copy)]
enum Input {
    /// Descriptor 0 is closed.
    Closed,
    /// Descriptor 0 is open for writing only.
    ForWriting,
    /// `/dev/null`.
    Null,
    /// A pipe with this text, and then its end.
    Pipe(&'static str),
}

const INPUTS: [Input; 5] =
    [Input::Null, Input::Closed, Input::ForWriting, Input::Pipe(""), Input::Pipe("true\n")];

/// Run tiny-ce with such an input, in a session without a terminal; after a while it is ended by
/// TERM alone, as supervisors do.
fn with_input(case: &Case, input: Input, words: &[&str]) -> Done {
    let script = match input {
        Input::Closed => "exec \"$@\" <&-",
        Input::ForWriting => "exec \"$@\" 0>/dev/null",
        Input::Null => "exec \"$@\" </dev/null",
        Input::Pipe(_) => "printf %s \"$INPUT\" | \"$@\"",
    };
    let mut command = Command::new("setsid");
    command.args(["--wait", "timeout", AWHILE, "sh", "-c", script, "sh"]).arg(tiny_ce());
    command.arg("--root").arg(case.state()).args(words).current_dir(case.dir());
    command.env("TINY_CE_CASE", case.tag());
    if let Input::Pipe(text) = input {
        command.env("INPUT", text);
    }
    run(&mut command, case.dir())
}

/// Run a shell in a running container by `exec --tty`, and in a container of its own by `run`.
fn shells(needs: &[Need]) -> Option<(Case, Bundle)> {
    let programs = ["busybox", "setsid", "timeout"].map(Need::Program);
    let case = Case::root(&[&programs, needs].concat())?;
    let mut bundle = with_terminal(&case, "pause");
    bundle.set("/process/terminal", false);
    bundle.program("/bin/busybox".as_ref(), "bin/busybox");
    Some((case, bundle))
}

/// At the end of the launcher's input, the terminal's input ends too: a reader does not wait.
#[test]
fn the_end_of_the_input_ends_a_shell() {
    let Some((case, mut bundle)) = shells(&[]) else { return };
    let container = case.create(&bundle);
    container.start();
    bundle.set("/process/terminal", true).args(["/bin/busybox", "sh"]);
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    for input in INPUTS {
        with_input(&case, input, &["run", "--bundle", &path, &case.id()]).ends(0);
        let words = ["exec", "--tty", container.id(), "/bin/busybox", "sh"];
        with_input(&case, input, &words).ends(0);
    }
    // The last line may lack its line feed; a program that edits lines reads single bytes.
    for text in ["exit 7", "exit 7\n"] {
        let words = ["exec", "--tty", container.id(), "/bin/busybox", "sh"];
        with_input(&case, Input::Pipe(text), &words).ends(7);
    }
}

/// As at the end of a file, each read(2) returns 0; and all input before it arrives.
#[test]
fn every_read_sees_the_end_of_the_input() {
    let Some((case, mut bundle)) = shells(&[]) else { return };
    let script = "stty -echo; echo ready; cat; cat; cat; sleep 1; cat; echo over";
    let script = script.replace("cat", "busybox cat").replace("sleep", "busybox sleep");
    let script = script.replace("stty", "busybox stty");
    bundle.set("/process/terminal", true);
    bundle.args(["/bin/busybox", "sh", "-c", &script]);
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    for (input, text) in [
        (Input::Null, ""),
        (Input::Pipe("one\ntwo\n"), "one\ntwo\n"),
        (Input::Pipe("one\nhalf a line"), "one\nhalf a line"),
    ] {
        let done = with_input(&case, input, &["run", "--bundle", &path, &case.id()]);
        let (_, after) = done.ok().split_once("ready\n").expect("ready");
        // The terminal echoed what was typed before `stty -echo` took effect.
        assert_eq!(after, format!("{text}over\n"), "{input:?}");
    }
}

/// A program that does not read runs on, and gets no signal.
#[test]
fn the_end_of_the_input_does_not_end_a_program_that_does_not_read() {
    let Some((case, mut bundle)) = shells(&[]) else { return };
    let container = case.create(&bundle);
    container.start();
    bundle.set("/process/terminal", true).probe("sleep 700 then say over then exit 5");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    for input in INPUTS {
        let done = with_input(&case, input, &["run", "--bundle", &path, &case.id()]);
        assert!(done.ends(5).stdout.ends_with("over\n"), "{input:?}: {done}");
        let probe = ["/probe", "sleep", "100", "then", "say", "over", "then", "exit", "5"];
        let words = [&["exec", "--tty", container.id()][..], &probe].concat();
        let done = with_input(&case, input, &words);
        assert!(done.ends(5).stdout.ends_with("over\n"), "{input:?}: {done}");
    }
}

/// SIGTERM, which is all that some supervisors send, ends a program that does not read.
#[test]
fn a_signal_arrives_without_input() {
    let Some((case, mut bundle)) = shells(&[]) else { return };
    let container = case.create(&bundle);
    container.start();
    bundle.set("/process/terminal", true).probe("await 15 then exit 5");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let run_words = ["run", "--bundle", &path, &case.id()];
    let exec_words =
        ["exec", "--tty", container.id(), "/probe", "await", "15", "then", "exit", "5"];
    for words in [&run_words[..], &exec_words] {
        for input in ["</dev/null", "<&-"] {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec \"$@\" {input}"), "sh"]).arg(tiny_ce());
            command.arg("--root").arg(case.state()).args(words).current_dir(case.dir());
            let mut running = Running::start(command.env("TINY_CE_CASE", case.tag()), case.dir());
            running.line("ready: await");
            running.signal("TERM");
            running.done().ends(5);
        }
    }
}

/// The launcher passes a line feed on as it is; a terminal that reads it adds the carriage return.
#[test]
fn line_feeds_get_no_carriage_return() {
    let Some((case, mut bundle)) = shells(&[]) else { return };
    let container = case.create(&bundle);
    container.start();
    bundle.file("lines", "one\ntwo\n");
    bundle.set("/process/terminal", true).probe("cat /lines");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let run_words = ["run", "--bundle", &path, &case.id()];
    let exec_words = ["exec", "--tty", container.id(), "/probe", "cat", "/lines"];
    for words in [&run_words[..], &exec_words] {
        assert_eq!(with_input(&case, Input::Null, words).ok(), "one\ntwo\n");
        let done = run(&mut in_terminal(&case, words), case.dir());
        assert!(done.stdout.starts_with("one\r\ntwo\r\n"), "{:?}", done.stdout);
    }
}

/// Much output: to a slow reader, and to one that goes away, after which the program ends.
#[test]
fn large_outputs_arrive_whole_or_end_with_their_reader() {
    let Some((case, mut bundle)) = shells(&[]) else { return };
    bundle.set("/process/terminal", true).args(["/bin/busybox", "seq", "100000"]);
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let piped = |reader: &str, id: &str| {
        let script = format!("\"$@\" </dev/null | {{ {reader}; }}");
        let mut command = Command::new("timeout");
        command.args([AWHILE, "sh", "-c", &script, "sh"]).arg(tiny_ce());
        command.arg("--root").arg(case.state()).args(["run", "--bundle", &path, id]);
        run(command.current_dir(case.dir()).env("TINY_CE_CASE", case.tag()), case.dir())
    };
    let whole: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    assert!(piped("sleep 1; cat", &case.id()).ok() == whole, "something is lost");
    bundle.args(["/bin/busybox", "yes"]).path();
    assert_eq!(piped("head -n 1", &case.id()).ok(), "y\n");
}
