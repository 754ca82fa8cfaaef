//! `exec`: another process of a container is confined as the first one is, unless options say
//! otherwise.

use serde_json::{Value, json};
use std::fs;
use tiny_ce_test::{Bundle, Case, Container, Done, cgroup_v2};

fn running<'c>(case: &'c Case, bundle: &mut Bundle) -> Container<'c> {
    bundle.probe("await 15");
    let mut container = case.create(bundle);
    container.start();
    container.line("ready:");
    container
}

/// `tiny-ce exec OPTIONS… ID /probe COMMANDS…`.
fn exec(case: &Case, container: &Container<'_>, options: &[&str], commands: &str) -> Done {
    let mut words = vec!["exec"];
    words.extend(options);
    words.extend([container.id(), "/probe"]);
    words.extend(commands.split_whitespace());
    case.tiny_ce(words)
}

/// A process with a value in every field.
fn particular(bundle: &mut Bundle) {
    let sets = json!(["CAP_CHOWN", "CAP_KILL"]);
    for set in ["bounding", "permitted", "effective"] {
        bundle.set(&format!("/process/capabilities/{set}"), sets.clone());
    }
    bundle.set("/process/user/additionalGids", json!([7, 9])).set("/process/user/umask", 0o027);
    bundle.set("/process/cwd", "/tmp").set("/process/oomScoreAdj", 17);
    bundle.set("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 4096, "hard": 8192}]));
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 3}));
    bundle.set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5}));
    bundle.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]}),
    );
}

#[test]
fn exec_is_confined_as_the_container_is() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    particular(&mut bundle);
    let commands = "ids then caps then no_new_privs then seccomp then umask then cwd then limits \
        then signals then ioprio then scheduler then namespaces then cgroup then fds then \
        mkdir /tmp/x";
    bundle.probe(commands);
    let own = case.run(&bundle);
    let container = running(&case, &mut bundle);
    let done = exec(&case, &container, &[], commands);
    for key in [
        "uid",
        "gid",
        "groups",
        "cap.effective",
        "cap.permitted",
        "cap.inheritable",
        "cap.bounding",
        "cap.ambient",
        "no_new_privs",
        "seccomp",
        "umask",
        "cwd",
        "limit.RLIMIT_CORE",
        "signal.blocked",
        "signal.ignored",
        "ioprio.level",
        "scheduler.policy",
        "scheduler.nice",
        "mkdir /tmp/x",
    ] {
        assert_eq!(done.value(key), own.value(key), "{key}");
    }
    assert_eq!(done.value("cap.inheritable"), "0000000000000000");
    assert_eq!(done.value("mkdir /tmp/x"), "EDQUOT");
    assert_eq!(done.value("groups"), "7 9");
    assert_eq!(done.value("cwd"), "/tmp");
    assert_eq!(done.values("fd").len(), 3, "{done}");
    // Its cgroup namespace is the container's, so its cgroups appear as the root.
    assert!(done.values("cgroup").iter().all(|line| line.ends_with(":/")), "{done}");
    for (key, file) in [("ns.pid", "pid"), ("ns.mnt", "mnt"), ("ns.net", "net"), ("ns.ipc", "ipc")]
    {
        let link = fs::read_link(format!("/proc/{}/ns/{file}", container.pid())).expect("one");
        assert_eq!(done.value(key), link.to_str().expect("UTF-8"));
    }
}

#[test]
fn options_change_the_process() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    let options = [
        "--user",
        "1:2",
        "--additional-gids",
        "30",
        "--cwd",
        "/etc",
        "--env",
        "A=1",
        "--env=B=2",
        "--cap",
        "CAP_NET_RAW",
    ];
    let done = exec(&case, &container, &options, "ids then cwd then env then caps");
    assert_eq!(done.value("uid"), "1 1 1");
    assert_eq!((done.value("gid"), done.value("groups")), ("2 2 2", "30"));
    assert_eq!(done.value("cwd"), "/etc");
    assert!(done.values("env").contains(&"A=1") && done.values("env").contains(&"B=2"), "{done}");
    assert_eq!(done.value("cap.inheritable"), "0000000000000000");
    let bounding = u64::from_str_radix(done.value("cap.bounding"), 16).expect("hexadecimal");
    assert_ne!(bounding & 1 << 13, 0, "{done}");
}

#[test]
fn a_process_file_overrides_the_options() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    particular(&mut bundle);
    let container = running(&case, &mut bundle);
    let file = case.dir().join("process.json");
    let process = json!({
        "user": {"uid": 5, "gid": 6}, "cwd": "/", "args": ["/probe", "ids", "then", "cwd"],
        "env": [format!("TINY_CE_CASE={}", case.tag())],
    });
    fs::write(&file, process.to_string()).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let done = case.tiny_ce(["exec", "--process", path, container.id()]);
    assert_eq!((done.value("uid"), done.value("gid")), ("5 5 5", "6 6 6"));
    assert!(done.stdout.contains("\ngroups:\n"), "{done}");
    assert_eq!(done.value("cwd"), "/");
    // `--process` overrides other options, with a warning that names them.
    let beside = ["exec", "--process", path, "--cwd", "/tmp", "--env", "A=1", container.id()];
    let done = case.tiny_ce(beside.into_iter().chain(["/probe", "pid"]));
    assert_eq!(done.value("cwd"), "/");
    assert!(done.stderr.contains("has it all: --cwd, --env, the command\n"), "{done}");
    assert_eq!(done.stderr.lines().count(), 1, "{done}");
}

#[test]
fn empty_options_and_unknown_capabilities_are_ignored() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    let empty = ["--cwd", "", "--pid-file", "", "--console-socket", "", "--process", ""];
    let done = exec(&case, &container, &empty, "cwd");
    assert_eq!(done.value("cwd"), "/");
    let done = exec(&case, &container, &["--cap", "CAP_NOPE", "--cap", "KILL"], "caps");
    let bounding = u64::from_str_radix(done.value("cap.bounding"), 16).expect("hexadecimal");
    assert_ne!(bounding & 1 << 5, 0, "{done}");
    assert_eq!(done.stderr.matches("--cap \"CAP_NOPE\": no such capability").count(), 1, "{done}");
    for words in [&["update"][..], &["update", "--cpuset-cpus", "", "--resources", ""]] {
        let done = case.tiny_ce(words.iter().copied().chain([container.id()]));
        done.ok();
        assert!(done.stderr.contains("no limit is named"), "{done}");
    }
}

#[test]
fn its_exit_status_is_the_programs_or_255() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    exec(&case, &container, &[], "exit 9").ends(9);
    exec(&case, &container, &[], "crash").ends(132);
    exec(&case, &container, &[], "kill 0 15").ends(143);
    let done = case.tiny_ce(["exec", container.id(), "/nope"]);
    assert!(done.ends(255).stderr.contains("no such file or directory"), "{done}");
    assert_eq!(container.status(), "running");
}

#[test]
fn exec_passes_signals_on() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    let mut beside = case.spawn(["exec", container.id(), "/probe", "await", "15"]);
    beside.line("ready:");
    beside.signal("USR1");
    assert_eq!(beside.line("signal:"), "signal: 10");
    beside.signal("TERM");
    beside.done().ends(0);
}

#[test]
fn a_detached_process_runs_on_and_its_pid_is_written() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    let file = case.dir().join("pid");
    let path = file.to_str().expect("UTF-8");
    exec(&case, &container, &["--detach", "--pid-file", path], "await 15").ends(0);
    let pid = fs::read_to_string(&file).expect("the file");
    let pid: u32 = pid.parse().expect("a bare number");
    assert_ne!(pid, container.pid());
    let namespace = |pid| fs::read_link(format!("/proc/{pid}/ns/pid")).expect("a namespace");
    assert_eq!(namespace(pid), namespace(container.pid()));
    container.tiny_ce("delete", ["--force"]).ok();
    assert!(!fs::exists(format!("/proc/{pid}/exe")).unwrap_or(false));
}

#[test]
fn a_created_container_can_be_entered() {
    let Some(case) = Case::root(&[]) else { return };
    let container = case.create(&case.bundle());
    let done = exec(&case, &container, &[], "pid then processes");
    assert_eq!(done.ends(0).values("process").len(), 2, "{done}");
}

/// Numeric ids are taken exactly as typed (CVE-2026-30892).
#[test]
fn numeric_users_are_taken_as_typed() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    for (user, uid, gid) in [
        ("1", "1 1 1", "0 0 0"),
        ("1:2", "1 1 1", "2 2 2"),
        ("1234", "1234 1234 1234", "0 0 0"),
        ("4294967294:4294967294", "4294967294 4294967294 4294967294", ""),
    ] {
        let done = exec(&case, &container, &["--user", user], "ids");
        assert_eq!(done.value("uid"), uid, "{user}");
        assert!(gid.is_empty() || done.value("gid") == gid, "{done}");
    }
    for user in [
        "1:",
        ":1",
        "-1",
        "4294967295",
        "4294967296",
        "1:4294967295",
        "1:2:3",
        "abc",
        "",
        "1 ",
        "+1",
    ] {
        let done = exec(&case, &container, &[&format!("--user={user}")], "ids");
        assert!(!done.fails().is_empty() && done.stdout.is_empty(), "{user}: {done}");
    }
    let state: Value = container.state();
    assert_eq!(state["status"], "running");
}

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nme:x:77:78::/srv:/bin/sh\n7:x:5:5::/:\n";
const GROUP: &str = "root:x:0:\nmine:x:78:\nwheel:x:10:you,me\ndisk:x:6:me\n";

/// As under runc, an option with an empty value counts as absent.
#[test]
fn an_empty_option_keeps_the_containers_value() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/cwd", "/tmp");
    let container = running(&case, &mut bundle);
    let empty = ["--cwd=", "--cgroup=", "--apparmor=", "--process-label="];
    assert_eq!(exec(&case, &container, &empty, "cwd").value("cwd"), "/tmp");
    let done = exec(&case, &container, &["--cgroup", "nope"], "cwd");
    assert!(done.ends(255).stderr.contains(": --cgroup nope: /sys/fs/cgroup/"), "{done}");
    container.tiny_ce("update", ["--cpuset-cpus=", "--cpu-quota=-2"]).ok();
}

/// `docker exec` and `podman exec` take names; the files are read below the container's root.
#[test]
fn a_user_name_comes_from_the_containers_files() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": [99]}));
    bundle.file("users", PASSWD);
    bundle.file("etc/group", GROUP);
    // The same path on the host is another file.
    let _ = fs::remove_file(bundle.rootfs().join("etc/passwd"));
    std::os::unix::fs::symlink("/../../users", bundle.rootfs().join("etc/passwd")).expect("a link");
    let container = running(&case, &mut bundle);
    for (user, uid, gid, groups) in [
        ("me", "77 77 77", "78 78 78", "6 10"),
        ("me:disk", "77 77 77", "6 6 6", ""),
        ("me:9", "77 77 77", "9 9 9", ""),
        ("5:wheel", "5 5 5", "10 10 10", ""),
        ("7", "7 7 7", "0 0 0", "99"),
    ] {
        let done = exec(&case, &container, &["--user", user], "ids");
        let got = (done.value("uid"), done.value("gid"), done.values("groups").concat());
        assert_eq!(got, (uid, gid, groups.to_owned()), "{user}");
    }
    for user in ["nobody", "me:nobody", "Root"] {
        let done = exec(&case, &container, &["--user", user], "ids");
        assert!(done.ends(255).stderr.contains("--user: "), "{user}: {done}");
    }
}

/// Variables of the command line override those of the file.
#[test]
fn variables_of_a_file_and_of_the_caller() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.push("/process/env", "C=own");
    let container = running(&case, &mut bundle);
    let file = case.dir().join("env");
    let text = "# a comment\n\n  A=of the file\nB=\"quoted\"\r\nC=file\nOF_THE_CALLER\nNOT_THERE\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let words =
        ["exec", "-i", "--env-file", file, "-e", "A=a\nb", "-e", "MINE", "--workdir", "/tmp"];
    let rest = [container.id(), "/probe", "env", "then", "cwd"];
    let mut command = case.command([&words[..], &rest].concat());
    command.env("OF_THE_CALLER", "1").env("MINE", "2").env_remove("NOT_THERE");
    let done = tiny_ce_test::run(&mut command, case.dir());
    assert_eq!(done.value("cwd"), "/tmp");
    let text = done.ok();
    for line in
        ["env: A=a", "env: B=\"quoted\"", "env: C=file", "env: OF_THE_CALLER=1", "env: MINE=2"]
    {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    assert!(text.contains("A=a\nb\n") && !text.contains("NOT_THERE"), "{text}");
    std::fs::write(file, "A=b\n=c\n").expect("a file");
    let done = exec(&case, &container, &["--env-file", file], "env");
    assert!(done.ends(255).stderr.contains("line 2: \"=c\": expected NAME=VALUE"), "{done}");
}

/// A cgroup below the container's own: for some controllers, or for all.
#[test]
fn exec_can_join_a_cgroup_below() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    for group in case.cgroups() {
        let below = group.join("below");
        fs::create_dir(&below).expect("a cgroup");
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let (false, Ok(text)) = (cgroup_v2(), fs::read(group.join(file))) {
                let done = exec(&case, &container, &["--cgroup", "cpuset:below"], "cgroup");
                assert!(done.fails().contains("are still empty"), "{done}");
                fs::write(below.join(file), text).expect(file);
            }
        }
    }
    let groups = |options: &[&str]| -> Vec<String> {
        let done = exec(&case, &container, options, "cgroup");
        done.ok();
        done.values("cgroup").iter().map(|line| line.to_string()).collect()
    };
    let below = |lines: &[String]| lines.iter().filter(|line| line.ends_with("/below")).count();
    assert_eq!(below(&groups(&[])), 0);
    let all = groups(&["--cgroup", "below"]);
    assert_eq!(below(&all), all.len(), "{all:?}");
    assert_eq!(below(&groups(&["--cgroup", "/below"])), all.len());
    if !cgroup_v2() {
        let some = groups(&["--cgroup", "memory,pids:below"]);
        assert_eq!(below(&some), 2, "{some:?}");
        let of = |name: &str| some.iter().find(|line| line.contains(&format!(":{name}:")));
        assert!(of("memory").is_some_and(|line| line.ends_with("/below")), "{some:?}");
    }
    for (group, why) in [
        ("nope", "ENOENT"),
        ("../..", ": --cgroup \"../..\": \"..\" is not allowed"),
        ("/", ": --cgroup \"/\": names the container's own cgroup"),
        ("banana:below", ": --cgroup \"banana:below\": the container has no cgroup"),
    ] {
        let done = exec(&case, &container, &["--cgroup", group], "cgroup");
        assert!(done.fails().contains(why), "{group}: {done}");
    }
}

#[test]
fn a_paused_container_is_entered_only_with_the_option() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    container.tiny_ce("pause", []).ok();
    let done = exec(&case, &container, &[], "ids");
    // The text is runc's.
    let words = "cannot exec in a paused container (use --ignore-paused to override)";
    assert!(done.ends(255).stderr.contains(words), "{done}");
    let mut beside =
        case.spawn(["exec", "--ignore-paused", container.id(), "/probe", "say", "resumed"]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    container.tiny_ce("resume", []).ok();
    beside.line("resumed");
    beside.done().ends(0);
}

#[test]
fn no_new_privileges_can_be_added_and_not_taken_away() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/noNewPrivileges", false);
    let container = running(&case, &mut bundle);
    for (options, seen) in [
        (&[][..], "0"),
        (&["--no-new-privs"], "1"),
        (&["--no-new-privs=true"], "1"),
        (&["-no-new-privs"], "1"),
        (&["--no-new-privs=false"], "0"),
    ] {
        let done = exec(&case, &container, options, "no_new_privs");
        assert_eq!(done.value("no_new_privs"), seen, "{options:?}");
    }
}

#[test]
fn descriptors_are_preserved_and_its_pidfd_is_sent() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    let file = case.dir().join("kept");
    fs::write(&file, "kept").expect("a file");
    let words = format!(
        "{} hold 3 {} r then exec {} --root {} exec --preserve-fds 1 {} /probe fds",
        tiny_ce_test::probe().display(),
        file.display(),
        tiny_ce_test::tiny_ce().display(),
        case.state().display(),
        container.id()
    );
    let done = case.program(words.split(' '));
    assert_eq!(done.ok().lines().count(), 4, "{done}");
    assert!(done.values("fd")[3].ends_with("/kept"), "{done}");

    let socket = case.dir().join("pidfd");
    let mut listener = crate::options::console(&case, &socket);
    let socket = socket.to_str().expect("UTF-8");
    exec(&case, &container, &["--pidfd-socket", socket], "exit 0").ok();
    assert_eq!(listener.line("received:"), "received: pidfd");
    assert!(listener.line("target:").contains("pidfd"));
    listener.done();
}

#[test]
fn its_terminal_goes_to_a_console_socket() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let container = running(&case, &mut bundle);
    let socket = case.dir().join("console");
    let mut console = crate::options::console(&case, &socket);
    let socket = socket.to_str().expect("UTF-8");
    let process = json!({"terminal": true, "cwd": "/", "user": {"uid": 0, "gid": 0},
        "consoleSize": {"height": 21, "width": 43}, "args": ["/probe", "tty"],
        "env": [format!("TINY_CE_CASE={}", case.tag())]});
    let file = case.dir().join("process.json");
    fs::write(&file, process.to_string()).expect("a file");
    let options = ["--process", file.to_str().expect("UTF-8"), "--console-socket", socket];
    let words = [&["exec", "--detach"], &options[..], &[container.id()]].concat();
    case.tiny_ce(words).ok();
    assert_eq!(console.line("window:"), "window: 21 43");
    assert_eq!(console.line("tty.0:"), "tty.0: 21 43");
    console.line("tty.controlling: ok");
    console.done();
    let done = case.tiny_ce(["exec", "--tty", "--detach", container.id(), "/probe", "tty"]);
    assert!(done.ends(255).stderr.contains("without setting console socket"), "{done}");
}

/// exec applies `execCPUAffinity`: `initial` before it joins the cgroup, `final` after.
#[test]
fn exec_has_the_affinity_of_the_config() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/execCPUAffinity", json!({"initial": "0-1", "final": "0"}));
    let container = running(&case, &mut bundle);
    let done = exec(&case, &container, &[], "affinity");
    assert_eq!(done.ok(), "affinity: 0\n");
}
