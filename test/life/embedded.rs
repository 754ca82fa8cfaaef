//! `run` without a bundle: a command in the host's file system, or in that of a directory.

use serde_json::Value;
use std::fs;
use std::path::Path;
use tiny_ce_test::{Case, Done, Need, cgroup_v2, probe};

/// Run `tiny-ce run OPTIONS… ID -- COMMAND…`; the environment carries the tag of this case.
fn run(case: &Case, options: &[&str], command: &[&str]) -> Done {
    let (id, tag) = (case.id(), format!("TINY_CE_CASE={}", case.tag()));
    let words = [&["run", "--env", &tag], options, &[&id, "--"], command].concat();
    case.tiny_ce(words)
}

/// Run the probe at its path on the host, which the container sees at the same path.
fn seen(case: &Case, options: &[&str], commands: &str) -> Done {
    let probe = probe().to_str().expect("UTF-8");
    let command: Vec<&str> = [probe].into_iter().chain(commands.split_whitespace()).collect();
    run(case, options, &command)
}

#[test]
fn changes_of_the_hosts_files_vanish() {
    let Some(case) = Case::root(&[]) else { return };
    let file = case.dir().join("file");
    fs::write(&file, "before").expect("a file");
    let (file, new) = (file.to_str().expect("UTF-8"), case.dir().join("new"));
    let new = new.to_str().expect("UTF-8");
    let commands = format!(
        "cat {file} then say - then write {file} after then cat {file} then say - then \
         write {new} x then unlink {file} then cat {file}"
    );
    let done = seen(&case, &[], &commands);
    assert!(done.ok().starts_with("before-\n"), "{done}");
    assert!(done.stdout.contains("\nafter-\n"), "{done}");
    assert_eq!(done.value(&format!("cat {file}")), "ENOENT");
    assert_eq!(fs::read(file).expect("the host's"), b"before");
    assert!(!Path::new(new).exists());
}

#[test]
fn its_hostname_user_environment_and_directory_are_as_asked() {
    let Some(case) = Case::root(&[]) else { return };
    let options =
        ["--hostname", "web", "--user", "7:8", "-e", "A=1", "--env", "A=2", "--cwd", "/etc"];
    let done = seen(&case, &options, "hostname then ids then env then cwd then pid then caps");
    assert_eq!(done.value("hostname"), "web");
    assert_eq!((done.value("uid"), done.value("gid")), ("7 7 7", "8 8 8"));
    assert!(done.values("env").contains(&"A=2") && !done.values("env").contains(&"A=1"), "{done}");
    assert_eq!((done.value("cwd"), done.value("pid")), ("/etc", "2"));
    assert_eq!(done.value("cap.effective"), "0000000000000000");
    let done = seen(&case, &[], "hostname then cwd then no_new_privs");
    assert_eq!((done.value("hostname"), done.value("cwd")), ("tiny-ce", "/"));
}

#[test]
fn its_limits_are_as_asked() {
    let Some(case) = Case::root(&[]) else { return };
    let done = seen(&case, &["--memory", "16m"], "hog 64M");
    assert!(done.ends(137).stderr.contains("16777216"), "{done}");
    let done = seen(&case, &["--pids", "4"], "fork 9");
    assert_eq!(done.value("forked"), "2");
    let file = match cgroup_v2() {
        true => "/sys/fs/cgroup/cpu.max",
        false => "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    };
    for options in [&["--cpus", "0.5"][..], &["--cpu-quota", "50000", "--cpu-period", "100000"]] {
        let done = seen(&case, options, &format!("cat {file}"));
        assert!(done.ok().starts_with("50000"), "{done}");
    }
}

#[test]
fn volumes_are_the_hosts_and_read_only_is_read_only() {
    let Some(case) = Case::root(&[]) else { return };
    let volume = case.dir().join("volume");
    fs::create_dir(&volume).expect("a directory");
    let from = volume.to_str().expect("UTF-8");
    let (rw, ro) = (format!("{from}:/mnt"), format!("{from}:/srv:ro"));
    let options = ["--read-only", "--volume", &rw, "--volume", &ro];
    let done = seen(&case, &options, "write /mnt/x kept then write /srv/y z then write /etc/z z");
    assert_eq!(done.value("write /mnt/x"), "ok");
    assert_eq!(done.value("write /srv/y"), "EROFS");
    assert_eq!(done.value("write /etc/z"), "EROFS");
    assert_eq!(fs::read(volume.join("x")).expect("written"), b"kept");
}

#[test]
fn a_directory_can_be_its_root_and_changes_stay() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let rootfs = bundle.rootfs();
    let root = rootfs.to_str().expect("UTF-8");
    let done = run(&case, &["--rootfs", root], &["/probe", "write", "/tmp/x", "y"]);
    assert_eq!(done.value("write /tmp/x"), "ok");
    assert_eq!(fs::read(rootfs.join("tmp/x")).expect("written"), b"y");
}

#[test]
fn run_generates_a_name_and_returns_the_status_of_the_command() {
    let Some(case) = Case::root(&[]) else { return };
    let probe = probe().to_str().expect("UTF-8").to_owned();
    let tag = format!("TINY_CE_CASE={}", case.tag());
    case.tiny_ce(["run", "-e", &tag, "--", &probe, "exit", "5"]).ends(5);
    case.tiny_ce(["run", "-e", &tag, "--", "/nope"]).fails();
    let done = case.tiny_ce(["run", "--detach", "-e", &tag, "--", &probe, "pause"]);
    // The program may have printed a line before the name.
    let id = done.ok().lines().find(|line| !line.contains(' ')).expect("its name").to_owned();
    let state: Value = serde_json::from_str(case.tiny_ce(["state", &id]).ok()).expect("JSON");
    assert_eq!(state["status"], "running");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

/// `spec` with the same options writes a config.json that makes the same container.
#[test]
fn spec_shows_what_run_makes() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let root = bundle.rootfs();
    let root = root.to_str().expect("UTF-8");
    let commands = "hostname then caps then limits then cwd then no_new_privs then umask";
    let command: Vec<&str> = ["/probe"].into_iter().chain(commands.split(' ')).collect();
    let options = ["--rootfs", root, "--hostname", "web", "--cwd", "/tmp"];
    let direct = run(&case, &options, &command);
    let dir = case.dir().join("written");
    fs::create_dir(&dir).expect("a directory");
    let dir = dir.to_str().expect("UTF-8");
    case.tiny_ce([&["spec", "--bundle", dir], &options[..], &["--"], &command].concat()).ok();
    let written = case.tiny_ce(["run", "--bundle", dir, &case.id()]);
    assert_eq!(written.ok(), direct.ok());
}

#[test]
fn its_filter_refuses_calls_that_reach_beyond_it() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let shell = |options: &[&str], script: &str| run(&case, options, &["sh", "-c", script]);
    let filtered = "grep -w Seccomp: /proc/self/status; unshare --user true || echo refused";
    let done = shell(&[], filtered);
    assert_eq!(done.ok(), "Seccomp:\t2\nrefused\n");
    let done = shell(&["--seccomp", "unconfined"], filtered);
    assert_eq!(done.ok(), "Seccomp:\t0\n");
    let file = case.dir().join("filter.json");
    let name = file.to_str().expect("UTF-8");
    let rule = r#"{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}"#;
    fs::write(&file, format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#))
        .expect("a file");
    let done = shell(&["--seccomp", name], "mkdir /tmp/of-mine");
    assert!(done.ends(1).stderr.contains("Input/output error"), "{done}");
    fs::write(&file, r#"{"defaultAction": "SCMP_ACT_NOTHING"}"#).expect("a file");
    let done = shell(&["--seccomp", name], "true");
    assert!(done.ends(1).stderr.contains("defaultAction"), "{done}");
}

#[test]
fn short_options_and_names_of_other_tools_are_understood() {
    let Some(case) = Case::root(&[]) else { return };
    let volume = case.dir().join("data");
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("file"), "of the host").expect("a file");
    fs::write(case.dir().join("vars"), "A=file\nB=file\n").expect("a file");
    let file = case.dir().join("vars");
    let file = file.to_str().expect("UTF-8");
    // A relative source is below the working directory, a relative target below /.
    let options = [
        "-v",
        "data:/mnt:z",
        "-v",
        "./data:srv:ro",
        "-w",
        "/mnt",
        "-h",
        "web",
        "-u",
        "7",
        "-m",
        "1.5g",
        "--pids-limit",
        "-1",
        "--cpu-shares",
        "512",
        "--env-file",
        file,
        "-e",
        "A=word",
        "-e",
        "TINY_CE_CASE",
        "-e",
        "NOBODY_HAS_THIS",
        "--rm",
        "-i",
    ];
    let commands = "cat /mnt/file then say - then write /srv/file x then hostname then env then \
                    cwd then ids";
    let done = seen(&case, &options, commands);
    assert!(done.ok().starts_with("of the host-"), "{done}");
    assert_eq!(done.value("write /srv/file"), "EROFS");
    assert_eq!((done.value("hostname"), done.value("cwd")), ("web", "/mnt"));
    assert_eq!(done.value("uid"), "7 7 7");
    let env = done.values("env");
    let tag = format!("TINY_CE_CASE={}", case.tag());
    assert!(env.contains(&"A=word") && env.contains(&"B=file") && env.contains(&&*tag), "{done}");
    assert!(!env.iter().any(|it| it.starts_with("NOBODY_HAS_THIS")), "{done}");
    assert!(done.stderr.contains("--volume \"data:/mnt:z\": its files keep"), "{done}");
    let limits = "linux.resources.memory.limit";
    let text = case.tiny_ce(["explain", "--memory", "1.5g", "--cpus", ".5"]);
    assert!(text.ok().contains("1610612736") && text.ok().contains(limits), "{text}");

    // Short options in one word, and a terminal although standard input is none.
    let (probe, script) = (probe().to_str().expect("UTF-8"), "test -t 0 && echo a terminal");
    let (id, tag) = (case.id(), format!("TINY_CE_CASE={}", case.tag()));
    let done = case.tiny_ce(["run", "-it", "-e", &tag, "--name", &id, "--", "sh", "-c", script]);
    assert_eq!(done.ok(), "a terminal\n");
    let done =
        case.tiny_ce(["run", "-e", &tag, "--rm=false", "--name", &id, "--", probe, "exit", "3"]);
    done.ends(3);
    let state: Value = serde_json::from_str(case.tiny_ce(["state", &id]).ok()).expect("JSON");
    assert_eq!(state["status"], "stopped");
    case.tiny_ce(["delete", &id]).ok();
}

/// As under Docker and Podman, the files of the image count; a bind that covers them counts
/// instead.
#[test]
fn a_user_has_its_groups_by_the_containers_own_files() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    bundle.file("etc/passwd", "me:x:77:78::/srv:/bin/sh\n");
    bundle.file("etc/group", "mine:x:78:\nwheel:x:10:you,me\n");
    let root = bundle.rootfs();
    let root = root.to_str().expect("UTF-8");
    let other = case.dir().join("passwd");
    fs::write(&other, "me:x:5:6::/:\n").expect("a file");
    let other = format!("{}:/etc/passwd", other.display());
    for (options, uid, gid, groups) in [
        (&["--user", "me"][..], "77 77 77", "78 78 78", "10"),
        (&["--user", "77"], "77 77 77", "78 78 78", "10"),
        (&["--user", "me:wheel"], "77 77 77", "10 10 10", ""),
        (&["--user", "77:0"], "77 77 77", "0 0 0", ""),
        (&["--user", "5"], "5 5 5", "0 0 0", ""),
        (&["--user", "me", "--volume", &other], "5 5 5", "6 6 6", "10"),
    ] {
        let options = [&["--rootfs", root], options].concat();
        let done = run(&case, &options, &["/probe", "ids", "then", "env"]);
        let got = (done.value("uid"), done.value("gid"), done.values("groups").concat());
        assert_eq!(got, (uid, gid, groups.to_owned()), "{options:?}");
    }
    let done = run(&case, &["--rootfs", root, "--user", "root"], &["/probe", "ids"]);
    assert!(done.fails().contains("--user: user \"root\": not in the container's /etc/passwd"));
}

/// uname(2) may report 2.6 on a new kernel (personality(2), UNAME26): tiny-ce does not refuse it.
#[test]
fn a_kernel_that_reports_an_old_version_will_do() {
    let Some(case) = Case::root(&[Need::Program("setarch")]) else { return };
    let tag = format!("TINY_CE_CASE={}", case.tag());
    let state = case.state();
    let state = state.to_str().expect("UTF-8");
    let tiny_ce = tiny_ce_test::tiny_ce();
    let words = ["setarch", "--uname-2.6", tiny_ce.to_str().expect("UTF-8"), "--root", state];
    let run = ["run", "--env", &tag, "--", "uname", "-r"];
    let done = case.program([&words[..], &run].concat());
    assert!(done.ok().starts_with("2.6."), "{done}");
    let done = case.program([&words[..], &["doctor"]].concat());
    assert!(!done.stdout.contains("5.12 or later"), "{done}");
}

/// The user wrote no document, so an error names the option, or the command.
#[test]
fn mistakes_name_the_option() {
    let Some(case) = Case::root(&[]) else { return };
    let filter = case.dir().join("filter.json");
    let rule = r#"{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 70000}"#;
    fs::write(&filter, format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#))
        .expect("a file");
    let filter = filter.to_str().expect("UTF-8");
    let long = "x".repeat(65);
    for (options, command, expected) in [
        (&["--hostname", &long][..], "true", "--hostname: 65 bytes; at most 64"),
        (&["--cwd", "here"], "true", "--cwd: \"here\" is not an absolute path"),
        (&["--cwd", "/dev/null"], "true", "--cwd: "),
        (&["--volume", "/:/proc/x"], "true", "--volume \"/:/proc/x\": nothing can be mounted"),
        (&["--volume", "/nope:/mnt"], "true", "--volume \"/nope:/mnt\": source /nope: stat(2): "),
        (&["--volume", "/etc:/etc/passwd"], "true", "--volume \"/etc:/etc/passwd\": "),
        (&["--memory", "1"], "true", "--memory: "),
        (&["--rootfs", "/nope"], "true", "--rootfs \"/nope\": "),
        (&["--seccomp", filter], "true", &format!("--seccomp {filter:?}: syscalls[0].errnoRet: ")),
        (&[], "/nope", "the command: exec: \"/nope\": "),
    ] {
        if options == ["--memory", "1"] && tiny_ce_test::cgroup_v2() {
            // Here a limit below 1 MiB is set only after the program has started.
            continue;
        }
        let done = run(&case, options, &[command]);
        let told = done.ends(1).stderr.lines().next().expect("an error").to_owned();
        let about = told.split_once(": cannot run ").and_then(|(_, rest)| rest.split_once(": "));
        assert!(about.is_some_and(|(_, rest)| rest.starts_with(expected)), "{expected}: {told}");
        for word in ["options given", "config.json", "mounts[", "linux.", "process."] {
            assert!(!told.contains(word), "{word}: {told}");
        }
    }
    // Several mistakes at once.
    let done = run(&case, &["--hostname", &long, "--cwd", "here"], &["true"]);
    assert!(done.fails().contains("2 problems\n  --"), "{done}");
}
