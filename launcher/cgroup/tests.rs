//! Tests on the machine's own cgroups, v1, hybrid or v2, which need root. Every test makes its own
//! groups, and removes them.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::devices::{ALL, Devices, Rule};
use super::*;
use crate::spec::{DeviceRule, DeviceRuleKind, Resources, json};

/// The machine's hierarchies, or a message that says why the test is skipped.
fn machine() -> Option<Hierarchies> {
    let uid = std::fs::metadata("/proc/self").expect("/proc").uid();
    let h = probe().expect("probe");
    let reason = match h.mode() {
        _ if uid != 0 => "needs root",
        Mode::None => "no cgroup file system is mounted",
        _ => return Some(h),
    };
    assert!(std::env::var_os("TINY_CE_CI").is_none(), "skipped: {reason}");
    eprintln!("skipped: {reason}");
    None
}

/// A container's cgroup that is removed with the test.
struct Own(Cgroup);

impl std::ops::Deref for Own {
    type Target = Cgroup;
    fn deref(&self) -> &Cgroup {
        &self.0
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.0.remove(Processes::Kill).expect("remove");
        for group in &self.0.groups {
            assert!(!Path::new(&group.path).exists(), "{} is left", group.path);
        }
    }
}

fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("/tiny-ce-test-{}-{count}", std::process::id())
}

fn made(h: &Hierarchies, settings: &[Setting]) -> Own {
    let mut own = Own(Cgroup::locate(Some(&name()), "id", h).expect("locate"));
    own.0.create(settings).expect("create");
    own
}

fn resources(text: &str) -> Resources {
    json::read(text.as_bytes()).expect("resources")
}

fn settings(text: &str, h: &Hierarchies) -> Vec<Setting> {
    compile("linux.resources", &resources(text), h).expect("compile")
}

/// A process that is killed with the test.
struct Running(Child);

impl Running {
    fn shell(script: &str, args: &[String]) -> Running {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).arg("sh").args(args);
        Running(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("sh"),
        )
    }

    /// Wait for its end, and return whether its status is 0. Unlike `Child::wait`, this leaves its
    /// stdin open.
    fn ended_well(&mut self) -> bool {
        let stdin = self.0.stdin.take();
        let status = self.0.wait().expect("wait");
        drop(stdin);
        status.success()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("pid")
    }

    /// The next line that it writes.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let out = self.0.stdout.as_mut().expect("stdout");
        BufReader::with_capacity(1, out).read_line(&mut line).expect("line");
        line.trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().expect("wait");
    }
}

/// A process that runs until it is killed; it has already written a line.
fn sleeper() -> Running {
    let mut running = Running::shell("echo up; exec sleep 1000", &[]);
    assert_eq!(running.line(), "up");
    running
}

/// A shell that enters the groups, and then runs the script.
fn inside(own: &Cgroup, script: &str, args: &[&str]) -> Running {
    let mut all = vec![own.groups.len().to_string()];
    all.extend(own.groups.iter().map(|g| format!("{}/cgroup.procs", g.path)));
    all.extend(args.iter().map(|a| (*a).to_owned()));
    let enter = "n=$1; shift; while [ $n -gt 0 ]; do echo $$ > $1; shift; n=$((n-1)); done";
    Running::shell(&format!("{enter}; {script}"), &all)
}

/// Allocate 100 kB of memory in one process, and keep them.
const FILL: &str = "x=$(head -c 100000 /dev/zero | tr '\\0' x); echo up; exec cat";

#[test]
fn a_process_joins_every_hierarchy_and_its_groups_are_removed() {
    let Some(h) = machine() else { return };
    let own = made(&h, &[]);
    let process = sleeper();
    own.add(process.pid(), false).expect("add");
    assert_eq!(own.pids().expect("pids"), [process.pid()]);
    let joined = Cgroup::of_process(process.pid(), &h).expect("of_process");
    let paths = |c: &Cgroup| c.groups.iter().map(|g| g.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&joined), paths(&own));
    assert!(own.clone_fd().expect("clone_fd").is_some() == h.v2().is_some());
    let text = serde_json::to_string(&own.0).expect("JSON");
    let read: Cgroup = serde_json::from_str(&text).expect("state");
    assert_eq!(read.pids().expect("pids"), [process.pid()]);
}

#[test]
fn a_single_threaded_process_moves_itself() {
    let Some(h) = machine() else { return };
    let own = made(&h, &[]);
    let v1 = own.groups.iter().filter(|g| g.version == Version::V1);
    let files: Vec<String> = v1.map(|g| format!("{}/tasks", g.path)).collect();
    assert_eq!(own.join_files().expect("join_files").len(), files.len());
    let script = "for f; do echo 0 > $f || exit 1; done; echo up; exec sleep 1000";
    let mut process = Running::shell(script, &files);
    assert_eq!(process.line(), "up");
    let joined = Cgroup::of_process(process.pid(), &h).expect("of_process");
    for (joined, own) in joined.groups.iter().zip(&own.groups) {
        assert!(joined.version == Version::V2 || joined.path == own.path, "{}", joined.path);
    }
}

#[test]
fn a_cgroup_without_a_path_is_below_or_beside_our_own() {
    let Some(h) = machine() else { return };
    let id = name()[1..].to_owned();
    let mut own = Own(Cgroup::locate(None, &id, &h).expect("locate"));
    own.0.create(&[]).expect("create");
    for (group, hierarchy) in own.groups.iter().zip(h.all.iter().filter(|h| joins(h))) {
        let base = match h.mode() {
            Mode::V2 => parent_of(hierarchy.own_below_mount()),
            _ => hierarchy.own_below_mount().trim_end_matches('/'),
        };
        assert_eq!(group.path, format!("{}{base}/{id}", hierarchy.mount));
    }
}

#[test]
fn limits_are_set_changed_and_rolled_back() {
    let Some(h) = machine() else { return };
    let first = settings(
        r#"{"memory": {"limit": 67108864, "reservation": 33554432}, "pids": {"limit": 10},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"}}"#,
        &h,
    );
    let own = made(&h, &first);
    own.apply(&first).expect("apply");
    assert_eq!(own.memory_limit(), Some(64 << 20));
    let before = own.snapshot(&first).expect("snapshot");
    // Raise and lower the limits: in one of the directions the order is wrong for v1's pairs.
    for bytes in [1 << 30, 16 << 20] {
        let text = format!(
            r#"{{"memory": {{"limit": {bytes}}}, "cpu": {{"quota": 4000, "period": 5000}}}}"#
        );
        own.apply(&settings(&text, &h)).expect("apply");
        assert_eq!(own.memory_limit(), Some(bytes));
    }
    own.apply(&before).expect("roll back");
    assert_eq!(own.snapshot(&first).expect("snapshot"), before);
    assert_eq!(own.memory_limit(), Some(64 << 20));
    let pids = own.with("pids").expect("pids").dir().expect("dir").read("pids.max");
    assert_eq!(pids.expect("pids.max").trim(), "10");
    let process = sleeper();
    own.add(process.pid(), false).expect("add");
}

#[test]
fn the_error_of_a_refused_limit_names_field_file_and_value() {
    let Some(h) = machine() else { return };
    let wanted = settings(r#"{"cpu": {"cpus": "4000"}}"#, &h);
    let own = made(&h, &wanted);
    let text = own.apply(&wanted).expect_err("4000 CPUs").to_string();
    assert!(text.starts_with("linux.resources.cpu.cpus: /"), "{text}");
    assert!(text.contains("/cpuset.cpus = \"4000\": write(2): E"), "{text}");
    assert!(text.contains("\n  allowed there: 0"), "{text}");
    let wanted = settings(r#"{"memory": {"limit": 4096, "checkBeforeUpdate": true}}"#, &h);
    let other = made(&h, &wanted);
    let mut busy = inside(&other, FILL, &[]);
    assert_eq!(busy.line(), "up");
    let text = other.apply(&wanted).expect_err("4096 bytes").to_string();
    assert!(text.starts_with("linux.resources.memory.limit: 4096 bytes are less than"), "{text}");
}

/// Fork as fast as possible, since forks make freezing and killing hard.
const FORKS: &str = "echo up; while :; do (:) & (:); done";

fn freeze_and_kill(own: &Cgroup) {
    let mut process = inside(own, FORKS, &[]);
    assert_eq!(process.line(), "up");
    assert!(!own.frozen().expect("frozen"));
    own.freeze().expect("freeze");
    assert!(own.frozen().expect("frozen"));
    let (before, after) = (own.pids().expect("pids"), own.pids().expect("pids"));
    assert_eq!(before, after);
    own.thaw().expect("thaw");
    assert!(!own.frozen().expect("frozen"));
    own.kill().expect("kill");
    assert!(!process.ended_well());
    let mut process = inside(own, FORKS, &[]);
    assert_eq!(process.line(), "up");
    own.freeze().expect("freeze again");
    own.kill().expect("kill the frozen");
    assert!(!process.ended_well());
}

#[test]
fn frozen_processes_do_not_run_and_can_be_killed() {
    let Some(h) = machine() else { return };
    freeze_and_kill(&made(&h, &[]));
}

#[test]
fn the_v1_freezer_alone_freezes_processes_that_can_be_killed() {
    let Some(mut h) = machine() else { return };
    h.all.retain(|h| h.version == Version::V1);
    if h.find("freezer").is_none() {
        return eprintln!("skipped: no cgroup v1 freezer here");
    }
    freeze_and_kill(&made(&h, &[]));
}

#[test]
fn cgroups_that_the_container_made_are_removed_with_it() {
    let Some(h) = machine() else { return };
    let own = made(&h, &[]);
    let path = &own.primary().expect("primary").path;
    std::fs::create_dir_all(format!("{path}/a/b")).expect("mkdir");
    std::fs::create_dir(format!("{path}/c")).expect("mkdir");
    let process = sleeper();
    std::fs::write(format!("{path}/a/b/cgroup.procs"), process.pid().to_string()).expect("move");
    assert_eq!(own.pids().expect("pids"), [process.pid()]);
    assert_eq!(own.below(None, "a/b").expect("below").pids().expect("pids"), [process.pid()]);
    assert!(own.below(None, "../x").is_err());
}

#[test]
fn criu_gets_the_freezer_that_it_can_thaw() {
    let Some(h) = machine() else { return };
    let mut own = Own(Cgroup::locate(Some(&format!("{}/leaf", name())), "id", &h).expect("locate"));
    own.0.create(&[]).expect("create");
    let Some(group) = own.v1("freezer").or(own.v2()) else { return };
    own.freeze().expect("freeze");
    assert_eq!(own.freezer_for_criu().expect("a freezer"), Some(group.path.as_str()));
    // All that is frozen is frozen by this one.
    for freezer in own.v2().into_iter().chain(own.v1("freezer")) {
        let frozen = super::freezers::frozen_at(&freezer.path, freezer.version);
        assert_eq!(frozen, Some(freezer.path == group.path), "{}", freezer.path);
    }
    own.thaw().expect("thaw");
    let (file, values) = match group.version {
        Version::V1 => ("freezer.state", ["FROZEN", "THAWED"]),
        Version::V2 => ("cgroup.freeze", ["1", "0"]),
    };
    let above = format!("{}/{file}", parent_of(&group.path));
    std::fs::write(&above, values[0]).expect("freeze the cgroup above");
    let refused = own.freezer_for_criu().map(drop);
    std::fs::write(&above, values[1]).expect("thaw the cgroup above");
    let text = refused.expect_err("frozen from above").to_string();
    assert!(text.contains("a cgroup above it is frozen"), "{text}");
    own.freezer_for_criu().expect("nothing is frozen");
}

#[test]
fn a_cgroup_in_use_is_refused_and_left_alone() {
    let Some(h) = machine() else { return };
    let own = made(&h, &[]);
    let process = sleeper();
    own.add(process.pid(), false).expect("add");
    let inner = own.groups[0].path.strip_prefix(&own.groups[0].mount).expect("inner");
    let again = || Cgroup::locate(Some(inner), "id", &h).expect("locate");
    let text = again().create(&[]).expect_err("in use").to_string();
    assert!(text.contains("exists already, and is not empty"), "{text}");
    assert!(text.contains(&process.pid().to_string()), "{text}");
    // As a launcher that was killed after its intent, before it learned that the group exists.
    again().remove(Processes::Kill).expect("left alone");
    assert_eq!(own.pids().expect("pids"), [process.pid()]);
    drop(process);
    own.freeze().expect("freeze");
    let text = again().create(&[]).expect_err("frozen").to_string();
    assert!(text.contains("is frozen"), "{text}");
    own.thaw().expect("thaw");
    again().create(&[]).expect("empty and not frozen");
}

#[test]
fn a_failed_create_leaves_nothing() {
    let Some(h) = machine() else { return };
    let Some(v2) = h.v2() else { return eprintln!("skipped: no cgroup v2 here") };
    let path = format!("{}/sub/leaf", name());
    let mut unheard = settings(r#"{"pids": {"limit": 10}}"#, &h);
    unheard[0].version = Version::V2;
    unheard[0].controller = "unheard".into();
    let mut cgroup = Cgroup::locate(Some(&path), "id", &h).expect("locate");
    assert!(cgroup.groups.iter().all(|g| g.made_parents == 2));
    let text = cgroup.create(&unheard).expect_err("no such controller").to_string();
    assert!(text.starts_with(&format!("{}: the unheard controller", v2.mount)), "{text}");
    for hierarchy in &h.all {
        let top = format!("{}/{}", hierarchy.mount, path.split('/').nth(1).expect("name"));
        assert!(!Path::new(&top).exists(), "{top} is left");
    }
}

#[test]
fn parents_that_were_made_are_removed_when_empty() {
    let Some(h) = machine() else { return };
    let top = name();
    let locate = |leaf: &str| Cgroup::locate(Some(&format!("{top}/{leaf}")), "id", &h);
    let mut first = locate("a").expect("locate");
    first.create(&[]).expect("create");
    let second = {
        let mut second = locate("b").expect("locate");
        second.create(&[]).expect("create");
        second
    };
    let parent = format!("{}{top}", first.groups[0].mount);
    second.remove(Processes::Wait).expect("remove");
    assert!(Path::new(&parent).exists(), "not the second's to remove");
    first.remove(Processes::Wait).expect("remove");
    assert!(!Path::new(&parent).exists());
}

/// Which of these devices a process in the cgroup may open for reading.
fn may_read(own: &Cgroup, devices: &[&str]) -> Vec<bool> {
    let script = "for d; do if (exec 3< $d) 2> /dev/null; then echo yes; else echo no; fi; done";
    let mut process = inside(own, script, devices);
    devices.iter().map(|_| process.line() == "yes").collect()
}

const DENY_ALL: DeviceRule =
    DeviceRule { allow: false, kind: None, major: None, minor: None, access: None };

#[test]
fn device_rules_are_in_force() {
    let Some(h) = machine() else { return };
    let own = made(&h, &[]);
    let seen = ["/dev/null", "/dev/kmsg", "/dev/mem"];
    own.set_devices(&compile_devices(&[], &h).expect("compile")).expect("no rules");
    assert_eq!(may_read(&own, &seen[..2]), [true, true]);
    let kmsg = DeviceRule {
        allow: true,
        kind: Some(DeviceRuleKind::Char),
        major: Some(1),
        minor: Some(11),
        access: Some("r".into()),
    };
    own.set_devices(&compile_devices(&[DENY_ALL, kmsg], &h).expect("compile")).expect("rules");
    assert_eq!(may_read(&own, &seen), [true, true, false]);
}

#[test]
fn a_bpf_program_is_loaded_and_replaced() {
    let Some(h) = machine() else { return };
    if h.v2().is_none() {
        return eprintln!("skipped: no cgroup v2 here");
    }
    let own = made(&h, &[]);
    let rule = |allow, minor, access| Rule {
        allow,
        kind: DeviceRuleKind::Char,
        major: Some(1),
        minor,
        access,
    };
    let v2 = |rules: Vec<Rule>| Devices::V2(program::compile(&rules), rules);
    let seen = ["/dev/null", "/dev/zero", "/dev/kmsg"];
    own.set_devices(&v2(vec![rule(true, None, ALL), rule(false, Some(11), ALL)])).expect("first");
    assert_eq!(may_read(&own, &seen), [true, true, false]);
    // If it did not replace the first program, both would have to allow.
    own.set_devices(&v2(vec![rule(true, None, ALL), rule(false, Some(5), devices::READ)]))
        .expect("second");
    assert_eq!(may_read(&own, &seen), [true, false, true]);
}

#[test]
fn an_oom_kill_is_counted() {
    let Some(h) = machine() else { return };
    let wanted = settings(r#"{"memory": {"limit": 8388608, "swap": 8388608}}"#, &h);
    let own = made(&h, &wanted);
    own.apply(&wanted).expect("apply");
    assert_eq!(own.oom_kills().expect("oom_kills"), 0);
    let mut watch = own.oom_watch().expect("oom_watch");
    assert_eq!(watch.take(), Some(0));
    // A shell variable that grows without end.
    let mut process = inside(&own, "x=xxxxxxxx; while :; do x=$x$x; done", &[]);
    assert!(!process.ended_well());
    assert!(own.oom_kills().expect("oom_kills") > 0);
    assert!(watch.take().is_some_and(|n| n > 0));
    assert_eq!(watch.take(), Some(0));
}

#[test]
fn stats_are_read() {
    let Some(h) = machine() else { return };
    let wanted = settings(r#"{"pids": {"limit": 10}, "memory": {"limit": 67108864}}"#, &h);
    let own = made(&h, &wanted);
    own.apply(&wanted).expect("apply");
    let mut process = inside(&own, FILL, &[]);
    assert_eq!(process.line(), "up");
    let stats = own.stats().expect("stats");
    assert_eq!((stats.pids.current, stats.pids.limit), (1, 10));
    assert_eq!(stats.memory.usage.limit, 64 << 20);
    assert!(!stats.memory.raw.is_empty());
    assert!(stats.memory.raw.values().any(|v| *v > 0));
    assert!(!stats.cpuset.cpus.is_empty());
}

#[test]
fn only_cgroupfs_is_taken_for_a_cgroup() {
    let text = Dir::open("/tmp", Version::V2).expect_err("/tmp").to_string();
    assert_eq!(text, "/tmp: not on a cgroup2 file system");
}

/// Set in the environment of a test that runs again in a process of its own.
const AGAIN: &str = "TINY_CE_TEST_AGAIN";

fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Run a test again in a process of its own, as another user or in another cgroup.
fn again(test: &str, wrap: impl FnOnce(Command) -> Command) {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["--exact", "--nocapture", test]);
    let output = wrap(command).env(AGAIN, "1").output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

#[test]
fn a_user_without_a_cgroup_gets_an_error_only_if_there_are_limits() {
    use std::os::unix::process::CommandExt;
    if is_again() {
        return as_nobody();
    }
    let Some(_) = machine() else { return };
    // The other user may not have access to the directory of the test program.
    let copy = std::env::temp_dir().join(format!("tiny-ce-test-{}", std::process::id()));
    // cp(1) writes it: children of this process would inherit a descriptor that is open for
    // writing, and execve(2) would fail with ETXTBSY.
    let own = std::env::current_exe().expect("our own path");
    assert!(Command::new("cp").arg(own).arg(&copy).status().expect("cp").success());
    let name = "a_user_without_a_cgroup_gets_an_error_only_if_there_are_limits";
    again(&format!("cgroup::tests::{name}"), |command| {
        let mut other = Command::new(&copy);
        other.args(command.get_args()).uid(65534).gid(65534).current_dir("/");
        other
    });
    std::fs::remove_file(copy).expect("remove");
}

fn as_nobody() {
    let h = probe().expect("probe");
    let locate = || Cgroup::locate(None, &name()[1..], &h).expect("locate");
    let mut cgroup = locate();
    let warnings = cgroup.leave_out(&[]).expect("without");
    cgroup.create(&[]).expect("nothing to make");
    assert!(cgroup.is_none());
    assert!(warnings[0].contains("EACCES"), "{warnings:?}");
    assert!(cgroup.pids().is_err());
    cgroup.remove(Processes::Kill).expect("nothing to remove");
    let wanted = settings(r#"{"pids": {"limit": 10}, "memory": {"limit": 67108864}}"#, &h);
    let text = locate().leave_out(&wanted).expect_err("limits").to_string();
    let asked = "needed for: linux.resources.memory.limit, linux.resources.pids.limit";
    assert!(text.contains("mkdir(2): EACCES") && text.contains(asked), "{text}");
    assert!(locate().create(&[]).is_err());
}

#[test]
fn a_delegated_cgroup_belongs_to_the_container() {
    let Some(h) = machine() else { return };
    let own = made(&h, &[]);
    delegate(&own, 65534, 65533).expect("delegate");
    let Some(group) = own.v2() else { return };
    for file in ["", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"] {
        let meta = std::fs::metadata(format!("{}{file}", group.path)).expect("metadata");
        assert_eq!((meta.uid(), meta.gid()), (65534, 65533), "{file}");
    }
    let meta = std::fs::metadata(format!("{}/cgroup.freeze", group.path)).expect("metadata");
    assert_eq!(meta.uid(), 0);
}

#[test]
fn in_a_nested_container_processes_are_moved_so_that_controllers_can_be_enabled() {
    if is_again() {
        return nested();
    }
    let Some(h) = machine() else { return };
    if h.mode() != Mode::V2 {
        return eprintln!("skipped: only pure cgroup v2 has the rule");
    }
    let outer = made(&h, &settings(r#"{"pids": {"limit": 100}}"#, &h));
    let path = outer.groups[0].path.clone();
    let name = "in_a_nested_container_processes_are_moved_so_that_controllers_can_be_enabled";
    again(&format!("cgroup::tests::{name}"), |command| {
        let script = "echo $$ > $1/cgroup.procs; shift; exec /usr/bin/unshare -C -m sh -c '\
                      umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; \
                      exec \"$@\"' sh \"$@\"";
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "sh", &path]).arg(command.get_program());
        shell.args(command.get_args());
        shell
    });
}

fn nested() {
    let h = probe().expect("probe");
    assert_eq!(h.v2().expect("v2").own, "/");
    let wanted = settings(r#"{"pids": {"limit": 7}}"#, &h);
    let own = made(&h, &wanted);
    own.apply(&wanted).expect("apply");
    let text = own.groups[0].dir().expect("dir").read("pids.max").expect("pids.max");
    assert_eq!(text.trim(), "7");
    assert_eq!(probe().expect("probe").v2().expect("v2").own, "/init");
}
