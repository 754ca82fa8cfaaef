//! What separates the container from the host: namespaces, ids, network; and what crosses over:
//! kernel parameters, hooks.

use super::World;
use crate::cli::render::picture::{Sheet, State, cut};
use crate::container::NetworkChoice;
use crate::spec::{Hook, IdMapping, NamespaceKind};

const KINDS: [NamespaceKind; 8] = [
    NamespaceKind::User,
    NamespaceKind::Mount,
    NamespaceKind::Pid,
    NamespaceKind::Network,
    NamespaceKind::Ipc,
    NamespaceKind::Uts,
    NamespaceKind::Cgroup,
    NamespaceKind::Time,
];

/// Whether it has a namespace of this kind, and the one that it joins.
fn namespace<'a>(world: &World<'a>, kind: NamespaceKind) -> (State, Option<&'a str>) {
    match world.spec.namespace(kind) {
        None => (State::Open, None),
        Some(namespace) => match namespace.path.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => (State::Shared, Some(path)),
            None => (State::Own, None),
        },
    }
}

/// The card of namespaces: each kind, and below them those that are joined.
pub fn namespaces(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("namespaces", |sheet| {
        let cells = KINDS.map(|kind| {
            let (state, path) = namespace(world, kind);
            let (short, long) = match (state, path) {
                (_, Some(path)) => ("joined", format!("joins {path}")),
                (State::Own, _) => ("own", "its own".to_owned()),
                _ => ("host's", "the launcher's".to_owned()),
            };
            let word = kind.word();
            (state, format!("{word}: {short}"), format!("{word}: {long}"))
        });
        cells.chunks(4).for_each(|row| sheet.row(row, 4));
        sheet.y += 3.0;
        for kind in KINDS {
            if let (state, Some(path)) = namespace(world, kind) {
                sheet.line(state, &format!("{} joins {path}", kind.word()));
            }
        }
        for (name, value) in
            [("host name", &world.spec.hostname), ("domain name", &world.spec.domainname)]
        {
            if let Some(value) = value {
                sheet.fact(name, None, value);
            }
        }
    });
}

/// The card of ids: who the container's users are on the host.
pub fn users(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("users and groups on the host", |sheet| {
        match namespace(world, NamespaceKind::User) {
            (state @ State::Shared, _) => {
                return sheet.line(state, "as the namespace that it joins maps them");
            }
            (state @ State::Open, _) => {
                let words = match world.host.user_namespace {
                    true => "the same as in the launcher's user namespace, which is not the first",
                    false => "the same: user 0 of the container is user 0 of the host",
                };
                return sheet.line(state, words);
            }
            _ => {}
        }
        let Some(linux) = &world.spec.linux else { return };
        for (what, maps) in [("user", &linux.uid_mappings), ("group", &linux.gid_mappings)] {
            for map in maps {
                let state = if map.host_id == 0 { State::Open } else { State::Own };
                sheet.line(state, &mapping(what, map));
            }
        }
    });
}

fn mapping(what: &str, map: &IdMapping) -> String {
    let range = |first: u32| match map.size {
        0 | 1 => format!("{what} {first}"),
        size => format!("{what}s {first} to {}", u64::from(first) + u64::from(size) - 1),
    };
    let is = if map.size > 1 { "are" } else { "is" };
    format!("{} {is} {} of the host", range(map.container_id), range(map.host_id))
}

/// The card of the network.
pub fn network(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("network", |sheet| {
        let devices = world.spec.linux.as_ref().map(|linux| &linux.net_devices);
        let (state, path) = namespace(world, NamespaceKind::Network);
        match (world.network, path) {
            (Some(NetworkChoice::Attached(word)), _) => {
                let (name, address) = word.split_once(':').unwrap_or((word, "a free address"));
                sheet.line(
                    State::Shared,
                    &format!("attached to the network {name}, with {address}"),
                );
            }
            (Some(NetworkChoice::Usernet(usernet)), _) => {
                let words = "the way out, with what the launcher's user can reach";
                sheet.line(State::Shared, &format!("{}: {words}", usernet.word()));
            }
            (_, Some(path)) => sheet.line(state, &format!("that of {path}")),
            (_, None) if state == State::Open => {
                sheet.line(state, "the launcher's: its interfaces, its ports, its abstract sockets")
            }
            _ if devices.is_none_or(|devices| devices.is_empty()) => {
                sheet
                    .line(state, "its own, with a loopback interface alone, unless hooks add more");
            }
            _ => sheet.line(state, "its own"),
        }
        for (host, device) in devices.into_iter().flatten() {
            let name = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(host);
            let words = format!("the host's device {host} moves in, as {name}");
            sheet.line(State::Open, &words);
        }
    });
}

/// The card of kernel parameters.
pub fn parameters(world: &World<'_>, sheet: &mut Sheet) {
    let Some(linux) = world.spec.linux.as_ref().filter(|linux| !linux.sysctl.is_empty()) else {
        return;
    };
    sheet.card("kernel parameters", |sheet| {
        for (key, value) in &linux.sysctl {
            sheet.line(State::Own, &format!("{key} = {value}"));
        }
    });
}

/// The card of hooks: who runs what, and where.
pub fn hooks(world: &World<'_>, sheet: &mut Sheet) {
    let Some(hooks) = &world.spec.hooks else { return };
    let all: [(&str, &[Hook], State, &str); 6] = [
        ("prestart", &hooks.prestart, State::Open, "on the host"),
        ("createRuntime", &hooks.create_runtime, State::Open, "on the host"),
        ("createContainer", &hooks.create_container, State::Shared, "the host's file, inside"),
        ("startContainer", &hooks.start_container, State::Own, "inside"),
        ("poststart", &hooks.poststart, State::Open, "on the host"),
        ("poststop", &hooks.poststop, State::Open, "on the host"),
    ];
    if all.iter().all(|(_, hooks, ..)| hooks.is_empty()) {
        return;
    }
    sheet.card("hooks, with the launcher's rights", |sheet| {
        for (kind, hooks, state, place) in all {
            for hook in hooks {
                let words = match hook.args.is_empty() {
                    true => hook.path.clone(),
                    false => format!("{} ({})", hook.path, cut(&hook.args.join(" "), 2000.0)),
                };
                sheet.line(state, &format!("{kind}, {place}: {words}"));
            }
        }
    });
}
