//! Cgroups in an unexpected state: existing already, populated, frozen, threaded, read-only,
//! removed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tiny_ce_test::{Bundle, Case, Need, Running, cgroup_v2, probe, tiny_ce};

use crate::verdict::{fails_cleanly_or_succeeds, one_line};

/// The cgroup `name` in the hierarchy of `controller`, or in cgroup v2.
fn group(controller: &str, name: &str) -> PathBuf {
    let top = PathBuf::from("/sys/fs/cgroup");
    let top = if cgroup_v2() { top } else { top.join(controller) };
    top.join(name)
}

fn bundle(case: &Case, name: &str, program: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/linux/cgroupsPath", format!("/{name}")).probe(program);
    bundle
}

/// Start a process in the cgroup that does not belong to the container.
fn resident(case: &Case, group: &str) -> Running {
    let line = format!("echo $$ > {group}/cgroup.procs && exec {} pause", probe().display());
    let mut command = Command::new("sh");
    let mut running = Running::start(command.args(["-c", &line]), case.dir());
    running.line("ready:");
    running
}

/// An empty cgroup becomes the container's and is removed with it, as under runc.
#[test]
fn an_empty_cgroup_is_used_and_removed() {
    let Some(case) = Case::root(&[]) else { return };
    let name = case.id();
    fs::create_dir(group("pids", &name)).expect("a cgroup");
    assert_eq!(case.run(&bundle(&case, &name, "say ran")).ok(), "ran\n");
    assert_eq!(case.cgroups(), Vec::<PathBuf>::new());
}

/// A process that was in the cgroup before is not killed.
#[test]
fn processes_already_in_the_cgroup_survive() {
    let Some(case) = Case::root(&[Need::Program("sh")]) else { return };
    for controller in ["pids", "memory", "freezer"] {
        if cgroup_v2() && controller != "pids" {
            continue;
        }
        let name = case.id();
        let group = group(controller, &name);
        fs::create_dir(&group).expect("a cgroup");
        let other = resident(&case, group.to_str().expect("UTF-8"));
        let pid = other.pid();
        let mut bundle = bundle(&case, &name, "pause");
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let id = case.id();
        let done = case.tiny_ce(["run", "--detach", "--bundle", &path, &id]);
        fails_cleanly_or_succeeds(&done);
        case.tiny_ce(["delete", "--force", &id]).ok();
        // Nor if `create` fails.
        bundle.args(["/nope"]).path();
        one_line(&case.tiny_ce(["create", "--bundle", &path, &id]));
        let lives = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the resident");
        assert!(!lives.contains(") Z "), "{controller}: {lives}");
        drop(other);
        // The cgroup is busy until its last process has been reaped.
        let mut gone = false;
        for _ in 0..500 {
            gone = gone || fs::remove_dir(&group).is_ok();
            std::thread::sleep(std::time::Duration::from_millis(if gone { 0 } else { 2 }));
        }
        assert!(gone, "{}", group.display());
        assert_eq!(case.cgroups(), Vec::<PathBuf>::new(), "{controller}");
    }
}

/// In a frozen cgroup, init would stop before it could report anything.
#[test]
fn a_frozen_cgroup_is_refused_or_thawed() {
    let Some(case) = Case::root(&[]) else { return };
    let name = case.id();
    let group = group("freezer", &name);
    let (file, frozen, thawed) = match cgroup_v2() {
        true => ("cgroup.freeze", "1", "0"),
        false => ("freezer.state", "FROZEN", "THAWED"),
    };
    fs::create_dir(&group).expect("a cgroup");
    fs::write(group.join(file), frozen).expect("the freezer");
    let id = case.id();
    let bundle = bundle(&case, &name, "pause");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let begin = std::time::Instant::now();
    let done = case.tiny_ce(["create", "--bundle", &path, &id]);
    let took = begin.elapsed();
    fs::write(group.join(file), thawed).expect("the freezer");
    case.tiny_ce(["delete", "--force", &id]).ok();
    fs::remove_dir(&group).expect("an empty cgroup");
    fails_cleanly_or_succeeds(&done);
    assert!(took < crate::verdict::hangs(), "{took:?}: {done}");
}

/// The container's cgroup is frozen from outside.
#[test]
fn a_frozen_container_can_be_deleted() {
    let Some(case) = Case::root(&[]) else { return };
    let name = case.id();
    let group = group("freezer", &name);
    for start in [false, true] {
        let bundle = bundle(&case, &name, "fork 3 then pause");
        let container = case.create(&bundle);
        if start {
            container.start();
        }
        match cgroup_v2() {
            true => fs::write(group.join("cgroup.freeze"), "1"),
            false => fs::write(group.join("freezer.state"), "FROZEN"),
        }
        .expect("the freezer");
        let id = container.id().to_owned();
        drop(container);
        assert_eq!(case.leftovers(), Vec::<String>::new(), "{id}");
    }
}

/// A threaded cgroup takes threads but no processes, so no container.
#[test]
fn a_threaded_cgroup_is_refused_or_used() {
    let Some(case) = Case::root(&[]) else { return };
    let unified = PathBuf::from("/sys/fs/cgroup/unified");
    let top = if cgroup_v2() { PathBuf::from("/sys/fs/cgroup") } else { unified };
    if !top.join("cgroup.procs").exists() {
        return tiny_ce_test::skip("needs cgroup v2");
    }
    let name = case.id();
    let parent = top.join(&name);
    let group = parent.join("in");
    fs::create_dir_all(&group).expect("a cgroup");
    fs::write(group.join("cgroup.type"), "threaded").expect("cgroup.type");
    let done = case.run(&bundle(&case, &format!("{name}/in"), "say ran"));
    let below = case.run(&bundle(&case, &format!("{name}/in/below"), "say ran"));
    for path in [&group, &parent] {
        // If the cgroup was empty, it may have been removed with a container.
        let _ = fs::remove_dir(path);
    }
    fails_cleanly_or_succeeds(&done);
    fails_cleanly_or_succeeds(&below);
    assert_eq!(case.cgroups(), Vec::<PathBuf>::new(), "{done}{below}");
}

#[test]
fn read_only_cgroups_are_reported() {
    let Some(case) = Case::root(&[Need::Program("unshare"), Need::Program("sh")]) else { return };
    let id = case.id();
    let line = format!(
        "grep -o ' /sys/fs/cgroup[^ ]* ' /proc/self/mountinfo | while read at; do \
         mount -o remount,bind,ro $at || exit 9; done; exec {} --root {} run --bundle {} {id}",
        tiny_ce().display(),
        case.state().display(),
        bundle(&case, &id, "say ran").path().display(),
    );
    let done = case.program(["unshare", "--mount", "sh", "-c", &line]);
    one_line(&done);
    assert!(done.stderr.contains("/sys/fs/cgroup"), "{done}");
    assert!(done.stderr.contains("EROFS"), "{done}");
    assert_eq!(case.leftovers(), Vec::<String>::new());
}

#[test]
fn a_removed_cgroup_is_no_error() {
    let Some(case) = Case::root(&[]) else { return };
    let mut container = case.create(&bundle(&case, &case.id(), "exit 0"));
    container.start();
    container.ended();
    for path in case.cgroups() {
        let mut gone = false;
        for _ in 0..500 {
            gone = gone || fs::remove_dir(&path).is_ok();
            std::thread::sleep(std::time::Duration::from_millis(if gone { 0 } else { 2 }));
        }
        assert!(gone, "{}", path.display());
    }
    assert_eq!(container.status(), "stopped");
    for verb in ["ps", "pause", "resume"] {
        fails_cleanly_or_succeeds(&container.tiny_ce(verb, []));
    }
    container.delete();
}
