//! `run` without a bundle: a command in the host's own file system, or in a directory's.

use serde_json::Value;
use std::fs;
use std::path::Path;
use tiny_ce_test::{Case, Done, Need, cgroup_v2, probe};

/// `tiny-ce run OPTIONS… ID -- COMMAND…`; by environment it is this case's.
fn run(case: &Case, options: &[&str], command: &[&str]) -> Done {
    let (id, tag) = (case.id(), format!("TINY_CE_CASE={}", case.tag()));
    let words = [&["run", "--env", &tag], options, &[&id, "--"], command].concat();
    case.tiny_ce(words)
}

/// The probe where the host has it: the same place is seen inside.
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
    assert_eq!((done.value("cwd"), done.value("pid")), ("/etc", "1"));
    assert_eq!(done.value("cap.effective"), "0000000000000000");
    let done = seen(&case, &[], "hostname then cwd then no_new_privs");
    assert_eq!((done.value("hostname"), done.value("cwd")), ("tiny-ce", "/"));
}

#[test]
fn its_limits_are_as_asked() {
    let Some(case) = Case::root(&[]) else { return };
    let done = seen(&case, &["--memory", "16m"], "hog 64M");
    assert!(done.ends(137).stderr.contains("16777216"), "{done}");
    let done = seen(&case, &["--pids", "3"], "fork 9");
    assert_eq!(done.value("forked"), "2");
    let file = match cgroup_v2() {
        true => "/sys/fs/cgroup/cpu.max",
        false => "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    };
    let done = seen(&case, &["--cpus", "0.5"], &format!("cat {file}"));
    assert!(done.ok().starts_with("50000"), "{done}");
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
fn without_a_name_it_has_one_and_its_status_is_the_commands() {
    let Some(case) = Case::root(&[]) else { return };
    let probe = probe().to_str().expect("UTF-8").to_owned();
    let tag = format!("TINY_CE_CASE={}", case.tag());
    case.tiny_ce(["run", "-e", &tag, "--", &probe, "exit", "5"]).ends(5);
    case.tiny_ce(["run", "-e", &tag, "--", "/nope"]).fails();
    let done = case.tiny_ce(["run", "--detach", "-e", &tag, "--", &probe, "pause"]);
    // The program may have printed something by then.
    let id = done.ok().lines().find(|line| !line.contains(' ')).expect("its name").to_owned();
    let state: Value = serde_json::from_str(case.tiny_ce(["state", &id]).ok()).expect("JSON");
    assert_eq!(state["status"], "running");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

/// What `spec` writes for the same options is the same container.
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
fn its_filter_refuses_what_reaches_beyond_it() {
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
