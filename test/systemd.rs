//! The systemd driver: scopes of the system's manager and of a user's, on a machine whose first
//! process is systemd; and the errors on a machine where it is not.

#[path = "systemd/faults.rs"]
mod faults;
#[path = "systemd/oom.rs"]
mod oom;
#[path = "systemd/restore.rs"]
mod restore;
#[path = "systemd/scope.rs"]
mod scope;
#[path = "systemd/unit.rs"]
mod unit;
#[path = "systemd/user.rs"]
mod user;

use std::fs;
use std::path::Path;
use std::process::Command;

use tiny_ce_test::{Bundle, Case, Done, Need, skip};

/// A machine whose first process is systemd.
pub const SYSTEMD: Need = Need::File("/run/systemd/system");

/// `create` by the systemd driver, which must succeed.
#[track_caller]
pub fn create(case: &Case, bundle: &Bundle, id: &str) {
    tiny_ce_test::run(&mut creating(case, bundle, id), case.dir()).ok();
}

/// The command that [`create`] runs.
pub fn creating(case: &Case, bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command(["--systemd-cgroup", "create", "--bundle"]);
    command.arg(bundle.path()).arg(id);
    command
}

/// A property of a unit.
#[track_caller]
pub fn show(case: &Case, unit: &str, property: &str) -> String {
    let show = ["systemctl", "show", "--value", "--property", property, unit];
    case.program(show).ok().trim().to_owned()
}

/// No unit has this name.
#[track_caller]
pub fn is_gone(case: &Case, unit: &str) {
    assert_eq!(show(case, unit, "LoadState,ActiveState"), "not-found\ninactive", "{unit}");
}

/// The v2 cgroup of a process, below the mount point.
#[track_caller]
pub fn cgroup_of(pid: &str) -> String {
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = text.lines().find_map(|line| line.strip_prefix("0::")).expect("cgroup v2");
    line.to_owned()
}

/// The pid of a container's program.
#[track_caller]
pub fn pid_of(state: &Done) -> String {
    let json = state.ok().find('{').map_or("", |at| &state.ok()[at..]);
    let state: serde_json::Value = serde_json::from_str(json).expect("JSON");
    state["pid"].to_string()
}

/// A file of a cgroup.
#[track_caller]
pub fn read(cgroup: &str, file: &str) -> String {
    let path = Path::new("/sys/fs/cgroup").join(cgroup.trim_start_matches('/')).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().to_owned()
}

#[test]
fn without_systemd_the_driver_is_refused() {
    if Path::new("/run/systemd/system").exists() {
        return skip("needs a machine without systemd");
    }
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let id = case.id();
    let done = tiny_ce_test::run(&mut creating(&case, &bundle, &id), case.dir());
    let said = done.fails();
    assert!(
        said.contains("cannot reach systemd: /run/dbus/system_bus_socket: connect(2)"),
        "{said}"
    );
    assert!(said.contains("hint: systemd is not this machine's first process"), "{said}");
    assert!(case.tiny_ce(["state", &id]).fails().contains("does not exist"));
}

#[test]
fn a_path_that_names_no_scope_is_refused() {
    let Some(case) = Case::root(&[]) else { return };
    for (path, said) in [
        ("/a/b", "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups"),
        ("a:b:c", "the name of a slice ends with .slice"),
        ("a--b.slice:b:c", "each dash of a slice's name"),
        ("a.slice:b:c.slice", "a container is in a scope"),
    ] {
        let mut bundle = case.bundle();
        bundle.set("/linux/cgroupsPath", path);
        let done = tiny_ce_test::run(&mut creating(&case, &bundle, &case.id()), case.dir());
        let line = done.fails();
        assert!(line.contains("linux.cgroupsPath: ") && line.contains(said), "{path}: {line}");
    }
}

#[test]
fn an_annotation_that_is_no_property_is_refused() {
    let Some(case) = Case::root(&[]) else { return };
    for (name, value, said) in [
        ("KillMode", "none", "a string stands in quotes"),
        ("Slice", "'a.slice'", "Slice is not to be chosen"),
        ("TimeoutStopSec", "'soon'", "a number of seconds is wanted"),
        ("a b", "1", "is no name of a property"),
    ] {
        let mut bundle = case.bundle();
        let key = format!("org.systemd.property.{name}");
        bundle.set("/annotations", serde_json::json!({ key.clone(): value }));
        let done = tiny_ce_test::run(&mut creating(&case, &bundle, &case.id()), case.dir());
        let line = done.fails();
        assert!(line.contains(&key) && line.contains(said), "{key}: {line}");
    }
}

#[test]
fn contradicting_cgroup_managers_are_refused() {
    let case = Case::new();
    let words = ["--systemd-cgroup", "--cgroup-manager", "cgroupfs", "create", "a"];
    let done = case.tiny_ce(words);
    assert!(done.fails().contains("--cgroup-manager says otherwise"), "{done}");
}

#[test]
fn restore_needs_a_cgroup_manager() {
    let case = Case::new();
    let words = ["--cgroup-manager", "disabled", "restore", "--image-path", "images", "a"];
    let done = case.tiny_ce(words);
    assert!(done.fails().contains("--cgroup-manager disabled: criu restores into"), "{done}");
}

#[test]
fn without_a_cgroup_a_container_stays_in_its_creators() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.remove("/linux/resources").without_namespace("cgroup").probe("cgroup then exit 3");
    let run = |bundle: &Bundle| {
        let mut command = case.command(["--cgroup-manager", "disabled", "run", "--bundle"]);
        command.arg(bundle.path()).arg(case.id());
        tiny_ce_test::run(&mut command, case.dir())
    };
    let own = || fs::read_to_string("/proc/self/cgroup").expect("/proc/self/cgroup");
    // With cgroup v1 systemd may move this test itself meanwhile.
    let (before, done, after) = (own(), run(&bundle), own());
    let found = done.ends(3).values("cgroup");
    let same = |own: &str| found == own.lines().collect::<Vec<_>>();
    assert!(same(&before) || same(&after), "{done}");
    bundle.set("/linux/resources/pids/limit", 20);
    let said = run(&bundle);
    assert!(
        said.fails().contains("linux.resources.pids.limit: --cgroup-manager disabled"),
        "{said}"
    );
}
