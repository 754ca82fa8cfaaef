//! Commands: a container is run, inspected, used through its streams, stopped.

use super::{Podman, on};
use crate::ground::{IMAGE, on_each_runtime, until};
use crate::limits::Limit;
use crate::units::{self, systemd};
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use tiny_ce_test::{Done, Need, PATIENCE};

on_each_runtime!(
    exit_statuses_and_texts,
    standard_streams,
    a_terminal,
    what_is_typed,
    exec,
    stop_and_kill,
    pause_and_unpause,
    restarts,
    health,
    files_processes_and_logs,
    create_init_start,
    ready_is_told,
    a_scope_by_podmans_name,
    checkpoint_and_restore,
);

fn exit_statuses_and_texts(podman: &Podman) {
    podman.once(&[], &["true"]).ends(0);
    podman.once(&[], &["sh", "-c", "exit 5"]).ends(5);
    let done = podman.once(&[], &["nosuch"]);
    assert!(done.ends(127).stderr.contains("executable file not found in $PATH"), "{done}");
    let done = podman.once(&[], &["/no/such"]);
    assert!(done.ends(127).stderr.contains("no such file or directory"), "{done}");
    for (path, words) in [("/etc/passwd", "permission denied"), ("/etc", "is a directory")] {
        let done = podman.once(&[], &[path]);
        let text = done.ends(126).stderr.to_lowercase();
        // execve(2) of a directory fails with EACCES; runc checks by itself since 1.2.
        assert!(text.contains(words) || text.contains("permission denied"), "{done}");
    }
    podman.detached("web", &[], &["sleep", "600"]);
    let exec = |word| podman.run(&["exec", "web", word]);
    let done = exec("nosuch");
    assert!(done.ends(127).stderr.contains("executable file not found in $PATH"), "{done}");
    let done = exec("/etc/passwd");
    assert!(done.ends(126).stderr.to_lowercase().contains("permission denied"), "{done}");
}

fn standard_streams(podman: &Podman) {
    let done = podman.once(&[], &["sh", "-c", "echo out; echo err >&2; cat"]);
    assert_eq!((done.ok(), done.stderr.as_str()), ("out\n", "err\n"));
    let mut running = podman.beside(&podman.container(&["--rm", "-i"], &["cat"]));
    running.stdin().expect("a pipe").write_all(b"to and fro\n").expect("written");
    assert_eq!(running.done().ok(), "to and fro\n");
    // A descriptor that Podman passes on.
    podman.ground.file("handed", "handed on\n");
    let run = podman.container(&["--rm", "--preserve-fds=1"], &["cat", "/proc/self/fd/3"]);
    let line = format!("exec \"$@\" 3< '{}'", podman.ground.path("handed").display());
    let words = [&["sh", "-c", &line, "sh"], &podman.words(&run)[..]].concat();
    assert_eq!(podman.ground.run(&podman.env(), &words).ok(), "handed on\n");
}

fn a_terminal(podman: &Podman) {
    // Podman sets the size while the program is already running.
    let script = "until [ \"$(stty size)\" = \"24 80\" ]; do sleep 0.02; done 2> /dev/null
        exec /probe tty then exit 4";
    let words = ["sh", "-c", script];
    is_a_terminal(podman.terminal(&podman.container(&["--rm", "-it"], &words)).ends(4));
    podman.detached("web", &[], &["sleep", "600"]);
    is_a_terminal(podman.terminal(&[&["exec", "-it", "web"], &words[..]].concat()).ends(4));
    // -t alone: a terminal inside, none outside.
    let done = podman.run(&["exec", "-t", "web", "tty"]);
    assert!(done.ok().starts_with("/dev/pts/"), "{done}");
    assert_eq!(podman.run(&["exec", "web", "tty"]).ends(1).stdout, "not a tty\n");
}

/// Check what a program sees on a terminal of 24 rows and 80 columns.
#[track_caller]
fn is_a_terminal(done: &Done) {
    for number in 0..3 {
        assert_eq!(done.value(&format!("tty.{number}")), "24 80", "{done}");
    }
    assert_eq!(done.value("tty.controlling"), "ok", "{done}");
}

fn what_is_typed(podman: &Podman) {
    let script = "trap 'echo caught: it; exit 7' INT; echo ready: yes
        read -r line; echo typed: $line; while :; do sleep 0.05; done";
    let run = podman.container(&["--rm", "-it"], &["sh", "-c", script]);
    let mut running = podman.ground.beside_terminal(&podman.env(), &podman.words(&run));
    let mut stdin = running.stdin().expect("a pipe");
    running.line("ready:");
    stdin.write_all(b"two words\n").expect("typed");
    assert_eq!(running.line("typed:"), "typed: two words");
    // Control-C: the container's terminal turns it into SIGINT, because Podman's is in raw mode.
    stdin.write_all(b"\x03").expect("typed");
    running.exited().ends(7);
}

fn exec(podman: &Podman) {
    let limited = ["--memory=64m", "--cap-drop=all", "--cap-add=chown", "--hostname=web"];
    podman.detached("web", &limited, &["sleep", "600"]);
    let exec = |options: &[&str], words: &[&str]| {
        podman.run(&[&["exec"], options, &["web"], words].concat())
    };
    exec(&[], &["sh", "-c", "exit 3"]).ends(3);
    let options = ["--user=1000:5", "--workdir=/tmp", "--env=COLOUR=red"];
    let done = exec(&options, &["sh", "-c", "id -u; id -g; pwd; echo $COLOUR; hostname"]);
    assert_eq!(done.ok(), "1000\n5\n/tmp\nred\nweb\n");
    // The process is in the container's namespaces and confined like it.
    let init = |file: &str| exec(&[], &["sh", "-c", file]).ok().to_owned();
    let namespaces = |pid| init(&format!("for n in /proc/{pid}/ns/*; do readlink $n; done"));
    assert_eq!(namespaces("1"), namespaces("self"));
    let same = "for file in cgroup limits; do cmp /proc/1/$file /proc/self/$file; done";
    assert_eq!(init(same), "");
    let rights = |pid: &str| init(&format!("grep -E '^(Cap|NoNew|Secc)' /proc/{pid}/status"));
    assert_eq!(rights("1"), rights("self"));
    assert!(rights("self").contains("CapEff:\t0000000000000001"));
    let done = exec(&["--privileged"], &["grep", "CapEff", "/proc/self/status"]);
    assert!(done.ok().trim().ends_with("ffffff"), "{done}");
    exec(&["--detach"], &["sh", "-c", "echo $$ > /tmp/pid; mv /tmp/pid /tmp/detached"]).ok();
    let wait = "until [ -e /tmp/detached ]; do sleep 0.02; done; cat /tmp/detached";
    assert_ne!(init(wait).trim(), "1");
    let mut running = podman.beside(&["exec", "-i", "web", "cat"]);
    running.stdin().expect("a pipe").write_all(b"to and fro\n").expect("written");
    assert_eq!(running.done().ok(), "to and fro\n");
}

fn stop_and_kill(podman: &Podman) {
    let script = "trap 'exit 9' TERM; trap 'echo usr1: seen' USR1; echo ready: yes
        while :; do sleep 0.02; done";
    // Wait until the programs have set their traps.
    let ready = |name, options: &[&str]| {
        let options = [&["--name", name], options].concat();
        let mut running = podman.beside(&podman.container(&options, &["sh", "-c", script]));
        running.line("ready:");
        running
    };
    let mut polite = ready("polite", &[]);
    podman.run(&["kill", "--signal=USR1", "polite"]).ok();
    polite.line("usr1:");
    podman.run(&["stop", "polite"]).ok();
    polite.exited().ends(9);
    // The kernel drops a TERM that PID 1 does not handle: after the timeout comes KILL.
    podman.detached("deaf", &[], &["sleep", "600"]);
    podman.run(&["stop", "--time=1", "deaf"]).ok();
    podman.exited("deaf", 137);
    // All of its processes end with it.
    podman.detached("many", &[], &["sh", "-c", "sleep 600 & sleep 600 & wait"]);
    podman.run(&["kill", "many"]).ok();
    assert_eq!(podman.run(&["wait", "many"]).ok(), "137\n");
    podman.run(&["kill", "many"]).fails();
    let mut signal = ready("signal", &["--stop-signal=USR1", "--stop-timeout=1"]);
    podman.run(&["stop", "signal"]).ok();
    signal.line("usr1:");
    signal.exited().ends(137);
}

fn pause_and_unpause(podman: &Podman) {
    podman.detached("web", &[], &["sleep", "600"]);
    // A machine with both versions of cgroups has two freezers.
    let frozen = || {
        let says = |controller, file, word| {
            let dir = podman.ground.find_cgroup("", controller);
            let text = dir.and_then(|dir| fs::read_to_string(dir.join(file)).ok());
            text.is_some_and(|text| text.trim() == word)
        };
        says("freezer", "freezer.state", "FROZEN") || says("unified", "cgroup.freeze", "1")
    };
    podman.run(&["pause", "web"]).ok();
    assert_eq!((podman.inspect("web", "{{.State.Status}}").as_str(), frozen()), ("paused", true));
    let done = podman.run(&["exec", "web", "true"]);
    assert!(done.fails().contains("state"), "{done}");
    podman.run(&["unpause", "web"]).ok();
    assert_eq!((podman.inspect("web", "{{.State.Status}}").as_str(), frozen()), ("running", false));
    podman.run(&["exec", "web", "true"]).ok();
    // A paused container can be removed.
    podman.run(&["pause", "web"]).ok();
    podman.run(&["rm", "--force", "--time=0", "web"]).ok();
}

fn restarts(podman: &Podman) {
    podman.detached("web", &[], &["sleep", "600"]);
    let pid = podman.inspect("web", "{{.State.Pid}}");
    podman.run(&["restart", "--time=0", "web"]).ok();
    assert_ne!(podman.inspect("web", "{{.State.Pid}}"), pid);
    podman.run(&["stop", "--time=0", "web"]).ok();
    podman.run(&["start", "web"]).ok();
    podman.run(&["exec", "web", "true"]).ok();
    // With a restart policy: it fails twice more.
    podman.detached("weak", &["--restart=on-failure:2"], &["sh", "-c", "exit 3"]);
    let three = "until [ \"$(podman inspect -f '{{.RestartCount}} {{.State.Status}}' weak)\" = \
        '2 exited' ]; do sleep 0.1; done";
    podman.ground.run(&podman.env(), &["timeout", "30", "sh", "-c", three]).ok();
    assert_eq!(podman.inspect("weak", "{{.State.ExitCode}}"), "3");
}

/// Without systemd there is no timer, so the test runs the check.
fn health(podman: &Podman) {
    let test = "--health-cmd=test -e /tmp/well";
    let options = [test, "--health-interval=disable", "--health-retries=1"];
    podman.detached("web", &options, &["sleep", "600"]);
    podman.run(&["healthcheck", "run", "web"]).ends(1);
    podman.run(&["exec", "web", "touch", "/tmp/well"]).ok();
    podman.run(&["healthcheck", "run", "web"]).ends(0);
    assert_eq!(podman.inspect("web", "{{.State.Health.Status}}"), "healthy");
}

fn files_processes_and_logs(podman: &Podman) {
    podman.detached("web", &[], &["sh", "-c", "echo one; echo two >&2; exec sleep 600"]);
    let (to, from) = (podman.ground.file("sent", "sent\n"), podman.ground.path("got"));
    let (to, got) = (to.to_str().expect("UTF-8"), from.to_str().expect("UTF-8"));
    podman.run(&["cp", to, "web:/tmp/sent"]).ok();
    podman.run(&["cp", "web:/tmp/sent", got]).ok();
    assert_eq!(fs::read_to_string(&from).expect("copied"), "sent\n");
    let top = podman.run(&["top", "web", "pid", "args"]);
    assert!(top.ok().lines().any(|line| line.starts_with("1 ") && line.contains("sleep 600")));
    let ps = podman.run(&["ps", "--format={{.Names}} {{.Status}}"]);
    assert!(ps.ok().starts_with("web Up "), "{ps}");
    podman.run(&["stop", "--time=0", "web"]).ok();
    let logs = podman.run(&["logs", "web"]);
    assert_eq!((logs.ok(), logs.stderr.as_str()), ("one\n", "two\n"));
    let changes = podman.run(&["diff", "web"]);
    assert!(changes.ok().lines().any(|line| line == "A /tmp/sent"), "{changes}");
    let images = ["commit", "--quiet", "web", "localhost/sent:1"];
    podman.run(&images).ok();
    let mut run = podman.container(&["--rm"], &["cat", "/tmp/sent"]);
    let image = run.iter().position(|word| *word == IMAGE).expect("an image");
    run[image] = "localhost/sent:1";
    assert_eq!(podman.run(&run).ok(), "sent\n");
}

fn create_init_start(podman: &Podman) {
    let mut create = podman.container(&["--name=web"], &["sh", "-c", "echo started; exit 6"]);
    create[0] = "create";
    podman.run(&create).ok();
    podman.run(&["init", "web"]).ok();
    assert_eq!(podman.inspect("web", "{{.State.Status}}"), "initialized");
    let state = format!("/run/{}/{}", podman.ground.runtime.name, podman.inspect("web", "{{.Id}}"));
    podman.ground.made(&podman.ground.seen(&state));
    let done = podman.run(&["start", "--attach", "web"]);
    assert_eq!(done.ends(6).stdout, "started\n");
    // A container that is initialized and never started can be removed.
    let mut create = podman.container(&["--name=never"], &["true"]);
    create[0] = "create";
    podman.run(&create).ok();
    podman.run(&["init", "never"]).ok();
    podman.run(&["rm", "--force", "--time=0", "never"]).ok();
    let info = podman.run(&["info", "--format={{.Host.OCIRuntime.Name}}"]);
    assert_eq!(info.ok().trim(), podman.ground.runtime.name);
}

/// Under systemd, Podman lets systemd make the cgroups, and a container's unit has Podman's name.
fn a_scope_by_podmans_name(podman: &Podman) {
    if !systemd() {
        return tiny_ce_test::skip("needs systemd");
    }
    // In the slice that Podman itself chooses.
    let run = ["run", "--detach", "--name=web", "--network=none", "--memory=64m", IMAGE];
    podman.run(&[&run[..], &["sleep", "600"]].concat()).ok();
    let scope = format!("libpod-{}.scope", podman.inspect("web", "{{.Id}}"));
    let in_slice = format!("/machine.slice/{scope}");
    assert_eq!(units::cgroup_of(&podman.inspect("web", "{{.State.Pid}}")), in_slice);
    assert_eq!(units::show(&scope, "MemoryMax"), "67108864");
    // The scope is systemd's; when the container has ended, so has the unit.
    podman.run(&["exec", "web", "true"]).ok();
    podman.run(&["restart", "--time=0", "web"]).ok();
    assert_eq!(units::cgroup_of(&podman.inspect("web", "{{.State.Pid}}")), in_slice);
    podman.run(&["stop", "--time=0", "web"]).ok();
    assert_eq!(units::show(&scope, "LoadState"), "not-found");
    podman.run(&["start", "web"]).ok();
    podman.run(&["rm", "--force", "--time=0", "web"]).ok();
    assert_eq!(units::show(&scope, "LoadState"), "not-found");
}

/// By CRIU, into Podman's storage and out of it, and into a file from which another container is
/// made.
fn checkpoint_and_restore(podman: &Podman) {
    if !tiny_ce_test::met(&[Need::Program("criu"), Need::Criu]) {
        return;
    }
    // No process is made for a turn: CRIU gives up between a shell's vfork(2) and its execve(2).
    let count = "mkfifo /turn; exec 9<> /turn
        i=0; while :; do i=$((i + 1)); echo $i > /count; read -t 0.1 it <&9; done";
    podman.detached("web", &["--memory=64m"], &["sh", "-c", count]);
    let counted = |name: &str| -> Option<u32> {
        podman.run(&["exec", name, "cat", "/count"]).stdout.trim().parse().ok()
    };
    until("it counts", || counted("web").filter(|count| *count > 20));
    podman.run(&["container", "checkpoint", "web"]).ok();
    assert_eq!(podman.inspect("web", "{{.State.Status}}"), "exited");
    podman.run(&["container", "restore", "web"]).ok();
    assert!(until("it counts on", || counted("web")) > 20);
    podman.ground.has(&[Limit::Memory(64 << 20)]);
    let file = podman.ground.path("web.tar");
    let export = format!("--export={}", file.display());
    podman.run(&["container", "checkpoint", "--compress=none", &export, "web"]).ok();
    podman.run(&["rm", "web"]).ok();
    let import = format!("--import={}", file.display());
    podman.run(&["container", "restore", &import, "--name=again"]).ok();
    assert!(until("it counts on", || counted("again")) > 20);
}

/// The program's message to $NOTIFY_SOCKET reaches that of the service manager.
fn ready_is_told(podman: &Podman) {
    let path = podman.ground.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut env = podman.env();
    env.push(("NOTIFY_SOCKET", &path));
    let options = ["--detach", "--name=web", "--sdnotify=container"];
    let script = "/probe notify READY=1 && exec sleep 600";
    let run = podman.container(&options, &["sh", "-c", script]);
    podman.ground.run(&env, &podman.words(&run)).ok();
    let mut bytes = [0; 4096];
    let mut seen = String::new();
    while !seen.contains("READY=1") || !seen.contains("MAINPID=") {
        let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{error}: {seen:?}"));
        seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        seen.push('\n');
    }
}
