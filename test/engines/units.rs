//! The systemd side of a ground: the slice of its containers, the scopes in it, and their
//! processes.
//!
//! Knows systemctl and what it prints; must not know engines or runtimes.

use crate::ground::until;
use std::fs;
use std::path::{Path, PathBuf};
use tiny_ce_test::Done;

/// Whether systemd is this machine's first process, so that engines let it make cgroups.
pub fn systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// The slice of the ground with this tag.
pub fn slice(tag: &str) -> String {
    format!("{tag}.slice")
}

#[track_caller]
fn systemctl(words: &[&str]) -> Done {
    let mut command = tiny_ce_test::command([&["systemctl"], words].concat());
    tiny_ce_test::run(&mut command, Path::new("/"))
}

/// Make a user with a systemd manager, as after a login; where that is not allowed, print a skip
/// and return false.
pub fn user(name: &str, uid: &str) -> bool {
    if std::env::var_os("TINY_CE_VM").is_none() {
        tiny_ce_test::skip("needs a virtual machine with systemd, in which to make a user");
        return false;
    }
    let run = |words: &[&str]| tiny_ce_test::run(&mut tiny_ce_test::command(words), Path::new("/"));
    // Tests run in parallel, and only the first one adds the user.
    run(&["useradd", "--no-create-home", "--uid", uid, name]);
    run(&["loginctl", "enable-linger", name]).ok();
    until("the user's bus", || Path::new(&format!("/run/user/{uid}/bus")).exists().then_some(()));
    true
}

/// A property of a unit.
#[track_caller]
pub fn show(unit: &str, property: &str) -> String {
    systemctl(&["show", "--value", "--property", property, unit]).ok().trim().to_owned()
}

/// The v2 cgroup of a process, below the mount point.
#[track_caller]
pub fn cgroup_of(pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("a process");
    text.lines().find_map(|line| line.strip_prefix("0::")).expect("cgroup v2").to_owned()
}

/// The containers' scopes in the ground's slice, including failed ones, one line each.
pub fn scopes(tag: &str) -> Vec<String> {
    let done = systemctl(&["show", "--property=Id,Slice,ActiveState", "*.scope"]);
    let of_ground = |unit: &&str| unit.lines().any(|l| l.starts_with("Slice=") && l.contains(tag));
    // A scope of conmon belongs to Podman.
    let units = done.ok().split("\n\n").filter(of_ground).filter(|u| !u.contains("-conmon-"));
    units.map(|unit| format!("unit {}", unit.trim().replace('\n', " "))).collect()
}

/// The processes that are in the ground's slice, or have its tag in their environment or command
/// line.
pub fn processes(tag: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let names = |pid: &u32| {
        ["environ", "cmdline", "cgroup"].iter().any(|file| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            bytes.windows(tag.len()).any(|part| part == tag.as_bytes())
        })
    };
    pids.filter(|pid| *pid != std::process::id() && names(pid)).collect()
}

/// Kill the processes in the ground's slice, and stop the slice, which systemd would keep.
pub fn stop(tag: &str, cgroups: &[PathBuf]) {
    for dir in cgroups {
        let _ = fs::write(dir.join("cgroup.kill"), "1");
    }
    systemctl(&["stop", &slice(tag), &format!("{tag}-*.slice")]);
}
