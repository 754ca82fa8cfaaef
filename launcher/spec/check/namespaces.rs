//! Rules for `linux.namespaces`, and for properties that need a namespace: id mappings, host and
//! domain name, clocks.

use std::collections::BTreeMap;

use super::{At, Findings, paths};
use crate::spec::json::quote;
use crate::spec::{IdMapping, Linux, Namespace, NamespaceKind, Spec, TimeOffset, is_id};

/// The most lines of a uid_map or gid_map, since Linux 4.15 (user_namespaces(7)).
const MAX_MAPPINGS: usize = 340;

/// Longest host or domain name, in bytes: sethostname(2).
const MAX_NAME: usize = 64;

/// Clocks of a time namespace, time_namespaces(7).
const CLOCKS: [&str; 2] = ["monotonic", "boottime"];

/// Return the entry for a kind of namespace.
pub fn find(linux: Option<&Linux>, kind: NamespaceKind) -> Option<&Namespace> {
    linux?.namespaces.iter().find(|namespace| namespace.kind == kind)
}

/// Return a kind of namespace with its article: `an IPC namespace`.
pub fn a(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "a PID namespace",
        NamespaceKind::Network => "a network namespace",
        NamespaceKind::Mount => "a mount namespace",
        NamespaceKind::Ipc => "an IPC namespace",
        NamespaceKind::Uts => "a UTS namespace",
        NamespaceKind::User => "a user namespace",
        NamespaceKind::Cgroup => "a cgroup namespace",
        NamespaceKind::Time => "a time namespace",
    }
}

/// Return a hint that says how to add a namespace.
pub fn add(kind: NamespaceKind) -> String {
    format!("add {{\"type\": \"{}\"}} to linux.namespaces", kind.word())
}

pub fn check(f: &mut Findings, spec: &Spec) {
    let linux = spec.linux.as_ref();
    let list = linux.map_or(&[][..], |linux| &linux.namespaces);
    let mut seen = BTreeMap::new();
    for (index, namespace) in list.iter().enumerate() {
        if let Some(first) = seen.insert(namespace.kind, index) {
            let text = format!("{} again, after [{first}]", namespace.kind.word());
            f.wrong(format_args!("linux.namespaces[{index}]"), text);
        }
        if let Some(target) = &namespace.path {
            paths::absolute(f, format_args!("linux.namespaces[{index}].path"), target);
        }
    }
    if find(linux, NamespaceKind::Mount).is_none() {
        inherited(f, spec);
    }
    for (field, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        let Some(name) = name else { continue };
        if find(linux, NamespaceKind::Uts).is_none() {
            f.wrong(field, format!("needs a UTS namespace; {}", add(NamespaceKind::Uts)));
        }
        if name.len() > MAX_NAME {
            f.wrong(field, format!("{} bytes; at most {MAX_NAME}", name.len()));
        }
    }
    let Some(linux) = linux else { return };
    user(f, spec, linux);
    time(f, linux);
}

/// Check a config without a mount namespace. The container inherits the caller's (runtime-spec
/// config-linux.md), and init enters the root by chroot(2). Properties that would change the host's
/// mounts are refused.
fn inherited(f: &mut Findings, spec: &Spec) {
    let linux = spec.linux.as_ref();
    let hooks = spec.hooks.as_ref();
    let given = [
        ("mounts", !spec.mounts.is_empty()),
        ("root.readonly", spec.root.as_ref().is_some_and(|root| root.readonly)),
        ("process.terminal", spec.process.as_ref().is_some_and(|process| process.terminal)),
        ("hooks.createContainer", hooks.is_some_and(|all| !all.create_container.is_empty())),
        ("hooks.startContainer", hooks.is_some_and(|all| !all.start_container.is_empty())),
        ("linux.maskedPaths", linux.is_some_and(|linux| !linux.masked_paths.is_empty())),
        ("linux.readonlyPaths", linux.is_some_and(|linux| !linux.readonly_paths.is_empty())),
        ("linux.rootfsPropagation", linux.is_some_and(|it| it.rootfs_propagation.is_some())),
        // In a user namespace, init binds the host's devices, which needs a mount namespace.
        ("linux.namespaces", find(linux, NamespaceKind::User).is_some()),
    ];
    let mut needed = false;
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        let what = if field == "linux.namespaces" { "a user namespace needs" } else { "needs" };
        let text = format!("{what} a mount namespace; without one it would change the host's");
        f.wrong_hint(field, text, add(NamespaceKind::Mount));
        needed = true;
    }
    if !needed {
        let text = "no mount namespace: the container has the host's, and its root by chroot alone";
        f.warn("linux.namespaces", text);
    }
}

fn user(f: &mut Findings, spec: &Spec, linux: &Linux) {
    let namespace = find(Some(linux), NamespaceKind::User);
    let maps =
        [("linux.uidMappings", &linux.uid_mappings), ("linux.gidMappings", &linux.gid_mappings)];
    let mut sound = true;
    for (field, map) in maps {
        if namespace.is_none() && !map.is_empty() {
            let text = "no effect: there is no user namespace to map";
            f.warn(field, format!("{text}; {}", add(NamespaceKind::User)));
        }
        if namespace.is_some_and(|n| n.path.is_none()) && map.is_empty() {
            f.warn(field, "missing; the caller is root of the new user namespace, and the only id");
        }
        // Without a user namespace, the warning above says that the mappings have no effect.
        sound &= namespace.is_none() || mappings(f, format_args!("{field}"), map);
    }
    let user = spec.process.as_ref().and_then(|process| process.user.as_ref());
    let (Some(Namespace { path: None, .. }), Some(user), true) = (namespace, user, sound) else {
        return;
    };
    let mut mapped = |field: String, id: u32, list: &str, map: &[IdMapping]| {
        let map = if map.is_empty() { &[IdMapping::own(0)] } else { map };
        if is_id(id) && IdMapping::outside(map, id).is_none() {
            f.wrong(field, format!("{id} is not mapped by {list}"));
        }
    };
    mapped("process.user.uid".into(), user.uid, maps[0].0, maps[0].1);
    mapped("process.user.gid".into(), user.gid, maps[1].0, maps[1].1);
    for (index, gid) in user.additional_gids.iter().enumerate() {
        mapped(format!("process.user.additionalGids[{index}]"), *gid, maps[1].0, maps[1].1);
    }
}

/// Check the kernel's rules for an id map (user_namespaces(7)), and return whether it keeps them.
pub fn mappings(f: &mut Findings, field: At<'_>, map: &[IdMapping]) -> bool {
    let before = f.violations.len();
    if map.len() > MAX_MAPPINGS {
        f.wrong(field, format!("{} mappings; at most {MAX_MAPPINGS}", map.len()));
    }
    for (index, m) in map.iter().enumerate() {
        if m.size == 0 {
            f.wrong(format_args!("{field}[{index}].size"), "0; at least 1");
        }
        for (name, first) in [("containerID", m.container_id), ("hostID", m.host_id)] {
            if first.checked_add(m.size).is_none() {
                let text = format!("{first} and size {} reach beyond id 4294967294", m.size);
                f.wrong(format_args!("{field}[{index}].{name}"), text);
            }
        }
    }
    if before == f.violations.len() {
        overlap(f, field, "containerID", map, |m| m.container_id);
        overlap(f, field, "hostID", map, |m| m.host_id);
    }
    before == f.violations.len()
}

fn overlap(
    f: &mut Findings,
    field: At<'_>,
    name: &str,
    map: &[IdMapping],
    first: impl Fn(&IdMapping) -> u32,
) {
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_by_key(|index| first(&map[*index]));
    for pair in order.windows(2) {
        let (low, high) = (&map[pair[0]], &map[pair[1]]);
        // The sum does not overflow: `mappings` has checked that.
        if first(low) + low.size > first(high) {
            let (a, b) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            let text = format!("overlaps with that of [{a}]");
            f.wrong(format_args!("{field}[{b}].{name}"), text);
        }
    }
}

fn time(f: &mut Findings, linux: &Linux) {
    const FIELD: &str = "linux.timeOffsets";
    if linux.time_offsets.is_empty() {
        return;
    }
    match find(Some(linux), NamespaceKind::Time) {
        None => f.wrong_hint(FIELD, "needs a time namespace", add(NamespaceKind::Time)),
        Some(Namespace { path: Some(path), .. }) => {
            let text = format!("the clocks of the time namespace {} are set", quote(path));
            f.wrong(FIELD, format!("{text} already; leave out its path or the offsets"));
        }
        Some(_) => {}
    }
    for (clock, TimeOffset { nanosecs, .. }) in &linux.time_offsets {
        let field = format!("{FIELD}[{clock:?}]");
        if !CLOCKS.contains(&clock.as_str()) {
            f.wrong(&field, format!("unknown clock; known: {}", CLOCKS.join(", ")));
        }
        if let Some(nanosecs) = nanosecs {
            f.range(format_args!("{field}.nanosecs"), *nanosecs, 0, 999_999_999);
        }
    }
}
