//! Rules for `mounts`: destination, source, type and ids. `options` knows what a word of the
//! options means; a word that is not a flag goes to the file system, which alone knows it.

use super::namespaces::{add, find, mappings};
use super::{Allow, At, Findings, paths};
use crate::spec::json::quote;
use crate::spec::options::{Effect, holds_flags};
use crate::spec::{Mount, NamespaceKind, Spec, idmap};

/// Files of /proc that a mount may cover: those that lxcfs emulates, and two that checkpointing and
/// FIPS mode need. Nothing else below /proc may be covered (CVE-2019-16884).
pub const BELOW_PROC: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

impl Mount {
    /// Whether the mount is a bind of existing files, not a new file system.
    pub fn is_bind(&self) -> bool {
        let bind = self.kind.as_deref() == Some("bind") || self.options.bind.is_some();
        bind && !self.options.remount
    }

    /// Return the name of the mount in messages: its index in `mounts`, and its destination.
    pub fn origin(&self, index: usize) -> String {
        format!("mounts[{index}] {:?}", self.destination)
    }

    /// Whether the ids of the mount are mapped.
    pub fn is_id_mapped(&self) -> bool {
        !self.uid_mappings.is_empty() || self.options.idmap.is_some()
    }
}

pub fn check(f: &mut Findings, spec: &Spec, allow: Allow) {
    for (index, mount) in spec.mounts.iter().enumerate() {
        let base = format_args!("mounts[{index}]");
        self::mount(f, base, mount, spec);
        let (place, remount) = (mount.destination.as_str(), mount.options.remount);
        let covers = !place.is_empty() && paths::clean(place) == "/" && !remount;
        if covers && !(allow.host_root && index == 0) {
            let shown = quote(place);
            let text = format!("{shown} covers root.path, and every mount before this one");
            f.warn(format_args!("{base}.destination"), text);
        }
    }
}

fn mount(f: &mut Findings, base: At<'_>, mount: &Mount, spec: &Spec) {
    let field = format_args!("{base}.destination");
    if paths::length(f, field, &mount.destination) {
        destination(f, field, mount);
    }
    what(f, base, mount);
    ids(f, base, mount, spec);
}

fn destination(f: &mut Findings, field: At<'_>, mount: &Mount) {
    let clean = paths::clean(&mount.destination);
    let shown = quote(&mount.destination);
    if mount.destination.is_empty() {
        return f.wrong(field, "empty; a path inside the container is needed");
    }
    if !mount.destination.starts_with('/') {
        f.warn(field, format!("{shown} is relative, which is deprecated: it is taken from /"));
    }
    match paths::within(&clean, "/proc") {
        Some("") => {
            let proc = mount.kind.as_deref() == Some("proc") && !mount.is_bind();
            // The host's own /proc, for a container in the host's PID namespace.
            let bound = mount.is_bind()
                && mount.source.as_deref().is_some_and(|s| paths::clean(s) == "/proc");
            if !proc && !bound {
                let text = format!("only procfs can be mounted on {shown}");
                f.wrong_hint(field, text, "type \"proc\", or a bind mount of the host's /proc");
            }
        }
        Some(below) if !BELOW_PROC.contains(&below) => {
            let text = format!("nothing can be mounted on {shown}, except on these below /proc: ");
            f.wrong(field, text + &BELOW_PROC.join(", "));
        }
        _ => {}
    }
}

fn what(f: &mut Findings, base: At<'_>, mount: &Mount) {
    if let Some(source) = &mount.source {
        paths::length(f, format_args!("{base}.source"), source);
    }
    if mount.is_bind() {
        if mount.source.is_none() {
            f.wrong(format_args!("{base}.source"), "missing; a bind mount needs one");
        }
    } else if mount.kind.is_none() && !mount.options.remount {
        let text = "missing; only a bind mount (option bind or rbind) needs none";
        f.wrong(format_args!("{base}.type"), text);
    }
    bind_options(f, base, mount);
}

/// Warn of words that have no effect on a bind mount, such as parameters of a file system. mount(2)
/// ignores them silently, and such a word may be a misspelt flag.
fn bind_options(f: &mut Findings, base: At<'_>, mount: &Mount) {
    if !mount.is_bind() {
        return;
    }
    for (index, (word, effect)) in mount.options.words().enumerate() {
        let field = format_args!("{base}.options[{index}]");
        match effect {
            Effect::Parameters if word.is_empty() => {}
            Effect::Parameters if holds_flags(word) => {
                let text = format!("{} holds several options", quote(word));
                f.wrong_hint(field, text, "each flag of a bind mount is a string of its own");
            }
            Effect::Parameters | Effect::Super(_) | Effect::CopyUp => {
                f.warn(field, format!("{} has no effect on a bind mount", quote(word)));
            }
            _ => {}
        }
    }
}

/// Check the id mappings of a mount, which mount_setattr(2) sets by MOUNT_ATTR_IDMAP.
fn ids(f: &mut Findings, base: At<'_>, mount: &Mount, spec: &Spec) {
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    for (given, missing, name, other) in
        [(uids, gids, "gidMappings", "uidMappings"), (gids, uids, "uidMappings", "gidMappings")]
    {
        if !given.is_empty() && missing.is_empty() {
            f.wrong(format_args!("{base}.{name}"), format!("missing; {other} is given"));
        }
    }
    mappings(f, format_args!("{base}.uidMappings"), uids);
    mappings(f, format_args!("{base}.gidMappings"), gids);
    if let Some(maps) = idmap::of_options(spec, mount) {
        let field = format_args!("{base}.options");
        match maps {
            Ok((uids, gids)) => {
                mappings(f, format_args!("{field}.uids"), &uids);
                mappings(f, format_args!("{field}.gids"), &gids);
            }
            Err(why) => f.wrong_hint(
                field,
                format!("idmap: {why}"),
                "such as idmap=uids=0-100000-1000;gids=0-100000-1000",
            ),
        }
        if !uids.is_empty() {
            f.wrong(field, "idmap has a mapping, and uidMappings is given as well");
        }
    }
    if let (true, Some(kind @ ("cgroup" | "cgroup2" | "sysfs" | "proc"))) =
        (mount.is_id_mapped() && !mount.is_bind(), mount.kind.as_deref())
    {
        f.wrong(format_args!("{base}.type"), format!("{kind} has no ids to map"));
    }
    let user = find(spec.linux.as_ref(), NamespaceKind::User);
    let bare = mount.options.idmap.filter(|_| mount.options.mapping().is_none());
    if let (Some(recursive), true, None) = (bare, uids.is_empty() && gids.is_empty(), user) {
        let option = if recursive { "ridmap" } else { "idmap" };
        f.wrong_hint(
            format!("{base}.options"),
            format!("{option} has no mapping to use"),
            format!("give uidMappings and gidMappings, or {}", add(NamespaceKind::User)),
        );
    }
}
