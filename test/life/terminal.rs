//! `process.terminal`: of the launcher's own terminal, or through a console socket.

use serde_json::json;
use std::process::Command;
use tiny_ce_test::{Bundle, Case, Done, Running, probe, run, tiny_ce};

fn with_terminal(case: &Case, commands: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/process/terminal", true).probe(commands);
    bundle
}

/// What a program finds whose terminal it is.
#[track_caller]
fn is_a_terminal(done: &Done, size: &str) {
    for number in 0..3 {
        assert_eq!(done.value(&format!("tty.{number}")), size, "{done}");
    }
    assert_eq!(done.value("tty.controlling"), "ok");
    assert_eq!(done.value("tty.foreground"), "1");
}

/// Lines end as a terminal has it.
fn plain(mut done: Done) -> Done {
    done.stdout = done.stdout.replace('\r', "");
    done
}

/// tiny-ce on a terminal of 24 rows and 80 columns.
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

/// Nothing is pushed into the caller's terminal, on which a shell may wait (CVE-2016-2779).
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
fn what_is_typed_arrives_and_signals_too() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = with_terminal(&case, "say ready then await 2 then exit 6");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let words = ["run", "--bundle", &path, &case.id()];
    let mut running = Running::start(&mut in_terminal(&case, &words), case.dir());
    running.line("ready: await");
    // Control-C, which the container's terminal turns into SIGINT: the launcher's is raw.
    let mut stdin = running.stdin().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"\x03").expect("typed");
    // 6 in the upper byte.
    assert_eq!(running.line("ended:"), "ended: 1536");
    drop(stdin);
    running.done();
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
    // Once by the terminal's echo, once by the program.
    console.line("typed");
    console.line("typed");
    drop(stdin);
    console.done();
    // The terminal ends a moment before its program does.
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn exec_has_one_too() {
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
    // 3 in the upper byte.
    assert_eq!(exec(&["exit", "3"]).value("ended"), "768");
}

#[test]
fn a_terminal_wants_somebody_at_its_other_end() {
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

/// sun_path has 108 bytes; paths of engines have more.
#[test]
fn a_console_socket_may_be_deep_down() {
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

/// What a program writes as it ends is read to the last byte.
#[test]
fn nothing_that_is_written_is_lost() {
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
