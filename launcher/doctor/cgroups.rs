//! Cgroups: version, controllers, delegation, freezer; and systemd, which may manage them.

use std::path::Path;

use super::user::Caller;
use super::{Finding, text};
use crate::cgroup::{Hierarchies, Mode, Version, probe};
use crate::sys::cgroupfs::writable;
use crate::systemd::Systemd;

/// The controllers that the limits of config.json need, by their names in v2.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

pub fn all(caller: &Caller) -> Vec<Finding> {
    let hierarchies = match probe() {
        Ok(hierarchies) => hierarchies,
        Err(e) => {
            let text = e.line().to_owned();
            return vec![Finding::missing("cgroups", text).hint("mount /proc and cgroup2")];
        }
    };
    if hierarchies.mode() == Mode::None {
        return vec![
            Finding::warn("cgroups", "no cgroup file system is mounted: containers have no limits")
                .hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
        ];
    }
    vec![mode(&hierarchies), controllers(&hierarchies), place(&hierarchies), systemd(caller)]
}

fn mode(hierarchies: &Hierarchies) -> Finding {
    let freezer = hierarchies.v2().is_some() || hierarchies.find("freezer").is_some();
    let text = match hierarchies.mode() {
        Mode::V2 => "version 2",
        Mode::V1 => "version 1",
        _ => "version 1, and version 2 beside it",
    };
    match freezer {
        true => Finding::ok("cgroups", text),
        false => Finding::warn("cgroups", format!("{text}; without a freezer"))
            .hint("\"tiny-ce pause\" needs cgroup2, or the v1 controller freezer"),
    }
}

fn controllers(hierarchies: &Hierarchies) -> Finding {
    const WHAT: &str = "controllers";
    let absent: Vec<&str> =
        CONTROLLERS.into_iter().filter(|name| hierarchies.find(name).is_none()).collect();
    let all: Vec<&str> = hierarchies
        .all
        .iter()
        .flat_map(|it| &it.controllers)
        .map(String::as_str)
        .filter(|name| !name.starts_with("name="))
        .collect();
    match absent.is_empty() {
        true => Finding::ok(WHAT, all.join(", ")),
        false => {
            Finding::warn(WHAT, format!("no {}; there are: {}", absent.join(", "), all.join(", ")))
                .hint("limits that need them are refused; see the kernel's cgroup_disable=")
        }
    }
}

/// Whether the caller can make cgroups in the place where a container's cgroup would be.
fn place(hierarchies: &Hierarchies) -> Finding {
    const WHAT: &str = "delegation";
    let own = |it: &crate::cgroup::Hierarchy| {
        format!("{}{}", it.mount, it.own_below_mount().trim_end_matches('/'))
    };
    let above = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned());
    let closed = |it: &&crate::cgroup::Hierarchy| {
        let own = own(it);
        let beside = it.version == Version::V2 && above(&own).is_some_and(|it| writable(&it));
        !writable(&own) && !beside
    };
    let closed: Vec<String> = hierarchies.all.iter().filter(closed).map(own).collect();
    let text = match closed.as_slice() {
        [] => return Finding::ok(WHAT, delegated(hierarchies)),
        [only] => format!("{only} cannot be written"),
        [first, more @ ..] => format!("{first} and {} more cannot be written", more.len()),
    };
    Finding::warn(WHAT, text).hint(
        "containers run without limits; run as root, or in a unit with Delegate=yes: \
         systemd-run --user --scope --property=Delegate=yes",
    )
}

/// In v2 a cgroup has the controllers that all its ancestors enable in cgroup.subtree_control.
fn delegated(hierarchies: &Hierarchies) -> String {
    let own = hierarchies.v2().filter(|_| hierarchies.mode() == Mode::V2);
    let list = own
        .and_then(|it| text(&format!("{}{}/cgroup.controllers", it.mount, it.own_below_mount())));
    match list {
        Some(list) if list.is_empty() => "cgroups can be made, without controllers".to_owned(),
        Some(list) => format!("cgroups can be made, with {}", list.replace(' ', ", ")),
        None => "cgroups can be made".to_owned(),
    }
}

fn systemd(caller: &Caller) -> Finding {
    const WHAT: &str = "systemd";
    if !Path::new("/run/systemd/system").exists() {
        let text = "not this machine's first process: cgroups are made directly";
        return Finding::ok(WHAT, text);
    }
    match Systemd::connect(caller.uid != 0 || caller.nested) {
        Ok(systemd) => {
            let (version, path) = (systemd.version(), systemd.address().path.display());
            Finding::ok(WHAT, format!("version {version} answers at {path}"))
        }
        Err(e) => Finding::warn(WHAT, e.line().to_owned())
            .hint("--systemd-cgroup needs it: install dbus, and dbus-user-session for users"),
    }
}
