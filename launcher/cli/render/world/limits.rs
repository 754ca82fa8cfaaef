//! What the container may use: its cgroups, their limits, and devices.

use std::collections::BTreeMap;

use super::World;
use crate::cgroup::{Devices, Setting};
use crate::cli::render::picture::{Sheet, State};
use crate::compile::devices::DEFAULTS;
use crate::spec::limits::Value;
use crate::spec::paths::lexical;

/// What a reviewer misses first, with the files of both versions that limit it.
const WANTED: [(&str, &[&str]); 3] = [
    ("memory", &["memory.max", "memory.limit_in_bytes"]),
    ("processes", &["pids.max"]),
    ("CPU time", &["cpu.max", "cpu.cfs_quota_us"]),
];

/// The card of cgroups: where they are, their limits, and what has none.
pub fn cgroups(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("cgroups and limits", |sheet| {
        if world.cgroup.is_none() {
            sheet.line(State::Open, "none of its own: it stays in the launcher's");
        }
        if let Some(scope) = world.scope {
            sheet.fact("scope", None, scope);
        }
        // v1 has a path for each hierarchy, most of them alike.
        let mut paths: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for group in &world.cgroup.groups {
            let below = group.path.strip_prefix(&group.mount).unwrap_or(&group.path);
            let name = match group.version {
                crate::cgroup::Version::V1 => group.controllers.join(","),
                crate::cgroup::Version::V2 => "unified".to_owned(),
            };
            paths.entry(below).or_default().push(name);
        }
        for (path, controllers) in paths {
            sheet.line(State::Own, path);
            let (x, end) = (super::mounts::INDENT, super::mounts::END);
            sheet.lines("quiet", x, end, &controllers.join(" "));
            sheet.y += 3.0;
        }
        for setting in world.settings {
            let Setting { file, value, origin, .. } = setting;
            let state = if is_limit(value) { State::Own } else { State::Open };
            sheet.line(state, &format!("{file} = {value} ({origin})"));
        }
        let limited = |files: &[&str]| {
            let own = |it: &&Setting| files.contains(&it.file.as_str()) && is_limit(&it.value);
            world.settings.iter().any(|setting| own(&setting))
        };
        for (what, _) in WANTED.iter().filter(|(_, files)| !limited(files)) {
            sheet.line(State::Open, &format!("no limit of {what}"));
        }
    });
}

fn is_limit(value: &Value) -> bool {
    match value {
        Value::Max | Value::Quota(None, _) => false,
        Value::Number(number) => *number >= 0,
        Value::Quota(Some(_), _) => true,
        Value::Text(text) => !text.starts_with("max"),
    }
}

/// The card of devices: the nodes, and which devices the kernel lets it use.
pub fn devices(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("devices", |sheet| {
        let mut mounts = world.spec.mounts.iter();
        match mounts.rfind(|mount| lexical(&mount.destination) == ["dev"]) {
            Some(mount) if mount.is_bind() => {
                sheet.line(State::Open, "those of a directory of the host, on /dev");
            }
            _ => {
                let names = DEFAULTS.map(|(path, major, minor)| format!("{path} {major}:{minor}"));
                sheet.line(State::Own, &names.join(", "));
            }
        }
        for device in world.spec.linux.iter().flat_map(|linux| &linux.devices) {
            let (major, minor) = device.number();
            let mode = device.file_mode.map(|mode| format!(" mode {mode:04o}")).unwrap_or_default();
            let owner = match (device.uid, device.gid) {
                (None, None) => String::new(),
                (user, group) => format!(" of {}:{}", user.unwrap_or(0), group.unwrap_or(0)),
            };
            let kind = device.kind.word();
            let words = format!("{} {kind} {major}:{minor}{mode}{owner}", device.path);
            sheet.line(State::Shared, &words);
        }
        access(world, sheet);
    });
}

fn access(world: &World<'_>, sheet: &mut Sheet) {
    let rules: Vec<(bool, String)> = match world.devices {
        Devices::Unrestricted if world.host.nodev => {
            let words = "no cgroup limits them; every mount is nodev, and CAP_MKNOD is taken away";
            return sheet.line(State::Shared, words);
        }
        Devices::Unrestricted => {
            return sheet.line(State::Open, "no cgroup limits which devices it may use");
        }
        Devices::V1(lines) => lines.clone(),
        Devices::V2(_, rules) => rules
            .iter()
            .map(|rule| {
                let words = rule.to_string();
                let (_, device) = words.split_once(' ').unwrap_or(("", &words));
                (rule.allow, device.to_owned())
            })
            .collect(),
    };
    // Neighbours of one kind make one line: the last rule that matches decides.
    for group in rules.chunk_by(|a, b| a.0 == b.0) {
        let words: Vec<&str> = group.iter().map(|(_, words)| words.as_str()).collect();
        let (state, verb) = match group[0].0 {
            true => (State::Shared, "allow"),
            false => (State::Own, "deny"),
        };
        sheet.line(state, &format!("{verb} {}", words.join(", ")));
    }
}
