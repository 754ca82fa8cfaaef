//! Networks as a user meets them: through the command line, with containers on them.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use tiny_ce_test::{Bundle, Case, probe, tiny_ce};

use crate::ground::{interfaces, isolated, names_in, run, sweep};

#[test]
fn two_containers_of_the_command_line() {
    isolated(&[], |_| {
        let case = Case::new();
        assert_eq!(case.tiny_ce(create("web")).ok(), "web\n");
        let (a, b) = (case.id(), case.id());
        let mut bundle = case.bundle();
        bundle.probe("interfaces then udp-echo 7");
        let mut waiting = attached(&case, "run", "web", &bundle, &a);
        let mut waiting = tiny_ce_test::Running::start(&mut waiting, case.dir());
        assert!(waiting.line("interface: lo").contains(" up "));
        assert!(waiting.line("interface: eth0").ends_with(" up 1500 10.0.0.2/24"));
        waiting.line("ready: udp-echo");
        let mut bundle = case.bundle();
        bundle.probe("udp-send 10.0.0.2 7 11");
        let done = attached(&case, "run", "web:10.0.0.77", &bundle, &b).output();
        let text = String::from_utf8(done.expect("tiny-ce").stdout).expect("UTF-8");
        assert!(text.contains("udp.received: 11\n"), "{text}");
        // It has ended, and its address is free; the other has not.
        let rows = format!("web   10.0.0.0/24  tce-web  10.0.0.1  {a}\n");
        assert!(case.tiny_ce(["network", "list"]).ok().ends_with(&rows));
        assert_eq!(case.tiny_ce(["network", "list", "--quiet"]).ok(), "web\n");
        let refused = case.tiny_ce(["network", "rm", "web"]);
        assert!(refused.fails().contains(&format!("is in use by container {a}\n")), "{refused}");
        case.tiny_ce(["delete", "--force", &a]).ok();
        waiting.done();
        case.tiny_ce(["network", "rm", "web"]).ok();
        assert_eq!(interfaces(), ["lo"]);
        assert_eq!(names_in("/run/netns"), [""; 0]);
    });
}

#[test]
fn killed_at_any_call_create_leaves_what_delete_finds() {
    isolated(&[], |_| {
        let case = Case::new();
        case.tiny_ce(create("web")).ok();
        let (id, log) = (case.id(), case.dir().join("log"));
        let mut bundle = case.bundle();
        bundle.probe("pause");
        // There are more than 500, and half a minute is long: before each of them in CI.
        let stride = if std::env::var("TINY_CE_CI").is_ok_and(|ci| ci == "1") { 1 } else { 7 };
        sweep(
            stride,
            |point| {
                let whole = attached(&case, "create", "web", &bundle, &id);
                let mut command = Command::new(probe());
                command.args(["kill-at", &point.to_string()]).arg(tiny_ce());
                command.args(whole.get_args()).current_dir(case.dir());
                // A file, as the created container holds its end of a pipe for as long as it lives.
                command.stdin(Stdio::null()).stdout(File::create(&log).expect("a file"));
                command.status().expect("the probe");
                fs::read_to_string(&log).expect("the file")
            },
            |point| {
                case.tiny_ce(["delete", "--force", &id]).ok();
                assert_eq!(interfaces(), ["lo", "tce-web"], "{point}");
                assert_eq!(names_in("/run/netns"), [""; 0], "{point}");
            },
        );
        case.tiny_ce(["delete", "--force", &id]).ok();
        case.tiny_ce(["network", "rm", "web"]).ok();
        assert_eq!(run(&["cat", "/proc/self/net/dev"]).lines().count(), 3);
    });
}

fn create(name: &str) -> [&str; 5] {
    ["network", "create", name, "--subnet", "10.0.0.0/24"]
}

fn attached(case: &Case, verb: &str, network: &str, bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command([verb, "--network", network, "--bundle"]);
    command.arg(bundle.path()).arg(id);
    command
}
