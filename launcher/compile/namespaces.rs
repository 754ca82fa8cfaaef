//! Compile `linux.namespaces`: clone flags for new namespaces, steps for those that are joined.
//!
//! clone3(2) makes the new namespaces where it can (see `staged`). The launcher opens and verifies
//! those that are joined, and init enters them by setns(2) while `/proc` is still the host's.

use tiny_ce_init::flags::{CloneFlags, OpenFlags, OpenHow, Prctl, Report};
use tiny_ce_init::{Op, Slot};

use super::cgroups;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{Plan, Preload};
use crate::spec::{IdMapping, Linux, Mount, NamespaceKind, Spec};

/// The order in which namespaces are joined, the mount namespace last. The user and pid namespaces
/// are joined separately.
const ORDER: [NamespaceKind; 6] = [
    NamespaceKind::Network,
    NamespaceKind::Ipc,
    NamespaceKind::Uts,
    NamespaceKind::Cgroup,
    NamespaceKind::Time,
    NamespaceKind::Mount,
];

/// Whether init makes and enters the namespaces step by step, instead of clone3(2). A user
/// namespace gets its maps only after the process has executed init, which would lose its
/// capabilities by the execve(2) otherwise; and to enter a pid namespace that is joined, init has
/// to fork.
fn staged(spec: &Spec) -> bool {
    let pid = spec.namespace(NamespaceKind::Pid).is_some_and(|pid| pid.path.is_some());
    pid || spec.namespace(NamespaceKind::User).is_some()
}

/// Whether the container has a new user namespace.
pub fn new_user(spec: &Spec) -> bool {
    spec.namespace(NamespaceKind::User).is_some_and(|user| user.path.is_none())
}

/// How many binds init clones at most before it leaves the host's mounts: each takes a slot.
const CLONED_AHEAD: usize = 32;

/// File systems whose source and options name no path of the host.
const WITHOUT_PATHS: [&str; 7] =
    ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs"];

/// Whether the mount namespace begins with the rootfs as its only tree (OPEN_TREE_NAMESPACE, Linux
/// 7.0), so that no mount of the host is ever in it, and none is copied. Otherwise the namespace
/// begins as a copy of the host's, which the container needs
/// - if it has a user namespace: there a procfs can be mounted only beside one that hides nothing;
/// - if a hook may look for the host's files, or for the rootfs at its path on the host;
/// - if a mount or a device is cloned from a place that only a path of the host names, or is of a
///   file system whose source or options may name one;
/// - if the root's changes vanish, or a mount covers the root: something else is the root then.
pub fn begins_with_rootfs(spec: &Spec, host: &Host, ephemeral: bool) -> bool {
    let new = spec.namespace(NamespaceKind::Mount).is_some_and(|mount| mount.path.is_none());
    let paths = |mount: &Mount| {
        let kind = mount.kind.as_deref().unwrap_or_default();
        !mount.is_bind() && !mount.options.remount && !WITHOUT_PATHS.contains(&kind)
    };
    let sources = || host.mounts.iter().filter_map(|facts| facts.source.as_ref());
    let group = spec.namespace(NamespaceKind::Cgroup).is_none_or(|cgroup| cgroup.path.is_some())
        && spec
            .mounts
            .iter()
            .any(|mount| cgroups::KINDS.contains(&mount.kind.as_deref().unwrap_or_default()));
    host.tree_namespaces
        && !ephemeral
        && new
        && host.euid == 0
        && !host.user_namespace
        && !host.nodev
        && !staged(spec)
        && !super::shares(spec)
        && !super::hooks_before_entering(spec)
        && !group
        && !spec.mounts.iter().any(paths)
        && !super::mounts::cover_root(spec, host)
        && !sources().any(|source| source.made)
        && sources().count() <= CLONED_AHEAD
}

/// The namespaces that clone3(2) makes.
pub fn clone_flags(spec: &Spec, host: &Host, ephemeral: bool) -> CloneFlags {
    let Some(linux) = spec.linux.as_ref().filter(|_| !staged(spec)) else { return CloneFlags(0) };
    let new = linux.namespaces.iter().filter(|namespace| namespace.path.is_none());
    let mounts_later = begins_with_rootfs(spec, host, ephemeral);
    // Init makes these later: the offsets of a time namespace have to be written before a process
    // is in it, and the root of a cgroup namespace is the group that its maker is in.
    new.filter(|n| !matches!(n.kind, NamespaceKind::Time | NamespaceKind::Cgroup))
        .filter(|n| !mounts_later || n.kind != NamespaceKind::Mount)
        .fold(CloneFlags(0), |flags, namespace| flags | namespace.kind.flag())
}

/// Preload the `tasks` files of the v1 hierarchies.
///
/// # Errors
/// The plan has no free slot.
pub fn cgroup_preloads(plan: &mut Plan, host: &Host) -> Result<Vec<Slot>> {
    (0..host.cgroup_joins).map(|_| plan.preload(Preload::CgroupTasks)).collect()
}

/// Join the groups of the v1 hierarchies, and make a new cgroup namespace. Init moves itself, since
/// moving another process waits for an RCU grace period (Linux 5.5). In v2, clone3(2) starts init
/// in its group.
pub fn join_cgroups(plan: &mut Plan, spec: &Spec, tasks: Vec<Slot>) {
    plan.origin("linux.cgroupsPath");
    for fd in tasks {
        plan.step(Op::Write { fd, data: b"0" });
        plan.close(fd);
    }
    let cgroup = spec.namespace(NamespaceKind::Cgroup).is_some_and(|n| n.path.is_none());
    if cgroup && !staged(spec) {
        plan.origin("linux.namespaces \"cgroup\"");
        plan.step(Op::Unshare { flags: CloneFlags::CLONE_NEWCGROUP });
    }
}

/// Become root of the user namespace, or the first id that it maps: with an id that is not mapped,
/// init could make no files. A user namespace that is joined is taken to have a root.
pub fn become_root(plan: &mut Plan, spec: &Spec) {
    plan.origin("linux.uidMappings");
    let first = |map: &[IdMapping]| {
        let has_root = map.iter().any(|m| m.container_id == 0);
        if has_root { 0 } else { map.first().map_or(0, |m| m.container_id) }
    };
    let Some(linux) = &spec.linux else { return };
    plan.step(Op::Setresgid { gid: first(&linux.gid_mappings) });
    plan.step(Op::Setresuid { uid: first(&linux.uid_mappings) });
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
}

/// Fork, since only children of this process are in a pid namespace that it made or joined. This
/// process reports the child's pid and ends. The child waits until the launcher knows the pid, so
/// that no report of the child comes before it.
pub fn fork(plan: &mut Plan) {
    plan.step(Op::Fork { to: Slot::CHANNEL });
    plan.step(Op::Await { from: Slot::CHANNEL });
}

/// Return the kind of namespace of a CLONE_NEW* flag.
///
/// # Errors
/// The flags are not exactly one CLONE_NEW* flag.
pub fn kind_of(flags: u32) -> Result<NamespaceKind> {
    let found = NamespaceKind::ALL.iter().find(|kind| kind.flag().0 == flags);
    found.copied().ok_or_else(|| Error::new(format!("{flags:#x}: not a kind of namespace")))
}

/// Preload the namespaces that are joined, by index in `linux.namespaces`.
///
/// # Errors
/// The plan has no free slot.
pub fn preloads(plan: &mut Plan, spec: &Spec) -> Result<Vec<Option<Slot>>> {
    let Some(linux) = &spec.linux else { return Ok(Vec::new()) };
    let mut slots = Vec::with_capacity(linux.namespaces.len());
    for namespace in &linux.namespaces {
        slots.push(match &namespace.path {
            Some(path) => {
                let (path, kind) = (path.clone(), namespace.kind.flag().0);
                Some(plan.preload(Preload::Namespace { path, kind })?)
            }
            None => None,
        });
    }
    Ok(slots)
}

/// Enter the namespaces that are joined; if `staged`, make the new ones as well.
///
/// # Errors
/// The plan has no free slot.
pub fn join(plan: &mut Plan, spec: &Spec, host: &Host, slots: &[Option<Slot>]) -> Result<()> {
    let Some(linux) = &spec.linux else { return Ok(()) };
    let ours = |index: usize| host.namespaces.get(index).is_some_and(|facts| facts.ours);
    let index_of = |kind| linux.namespaces.iter().position(|n| n.kind == kind);
    let enter = |plan: &mut Plan, kind: NamespaceKind, wanted: &dyn Fn(usize) -> bool| {
        let Some(index) = index_of(kind).filter(|index| wanted(*index)) else { return };
        if let Some(fd) = slots.get(index).copied().flatten() {
            plan.origin(format!("linux.namespaces[{index}] {:?}", kind.word()));
            plan.step(Op::Setns { fd, kind: kind.flag() });
            plan.close(fd);
        }
    };
    let user = index_of(NamespaceKind::User);
    if !staged(spec) {
        ORDER.iter().for_each(|kind| enter(plan, *kind, &|_| true));
        let offsets = offsets(plan, spec)?;
        return time(plan, spec, offsets);
    }
    let offsets = offsets(plan, spec)?;
    // Only a process in the host's user namespace can enter the namespaces that belong to it.
    if user.is_some() {
        ORDER.iter().for_each(|kind| enter(plan, *kind, &ours));
        enter(plan, NamespaceKind::Pid, &ours);
        enter(plan, NamespaceKind::User, &|_| true);
    }
    if user.is_some_and(|index| linux.namespaces[index].path.is_none()) {
        plan.origin("linux.uidMappings");
        plan.step(Op::Unshare { flags: CloneFlags::CLONE_NEWUSER });
        plan.step(Op::Report { to: Slot::CHANNEL, what: Report::MAPS });
        plan.step(Op::Await { from: Slot::CHANNEL });
    }
    let theirs = |index: usize| user.is_none() || !ours(index);
    ORDER.iter().for_each(|kind| enter(plan, *kind, &theirs));
    enter(plan, NamespaceKind::Pid, &theirs);
    if user.is_some() {
        // Without an id of this user namespace, init could not open files that belong to it.
        become_root(plan, spec);
    }
    let new = linux.namespaces.iter().filter(|n| n.path.is_none());
    let flags = new
        .filter(|n| n.kind != NamespaceKind::User && n.kind != NamespaceKind::Time)
        .fold(CloneFlags(0), |flags, n| flags | n.kind.flag());
    plan.origin("linux.namespaces");
    plan.step(Op::Unshare { flags });
    time(plan, spec, offsets)?;
    if index_of(NamespaceKind::Pid).is_some() {
        plan.origin("linux.namespaces \"pid\"");
        fork(plan);
        // The child is in the session of its parent, which ends, and needs one of its own.
        plan.step(Op::Setsid {});
    }
    Ok(())
}

/// Open the file for the offsets of a new time namespace. It is opened before init enters a user
/// namespace, where the id that owns this process's files in /proc is not mapped.
fn offsets(plan: &mut Plan, spec: &Spec) -> Result<Option<Slot>> {
    let new = spec.namespace(NamespaceKind::Time).is_some_and(|n| n.path.is_none());
    if !new || spec.linux.as_ref().is_none_or(|linux| linux.time_offsets.is_empty()) {
        return Ok(None);
    }
    plan.origin("linux.timeOffsets");
    let into = plan.slot()?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
    let how = OpenHow { flags, mode: 0, resolve: super::root::HOST };
    let path = c"/proc/self/timens_offsets";
    plan.step(Op::Openat2 { into, at: Slot::CWD, path, how });
    Ok(Some(into))
}

/// Make a new time namespace, write its offsets while no process is in it, and enter it.
fn time(plan: &mut Plan, spec: &Spec, offsets: Option<Slot>) -> Result<()> {
    let Some(new) = spec.namespace(NamespaceKind::Time).filter(|n| n.path.is_none()) else {
        return Ok(());
    };
    plan.origin(format!("linux.namespaces {:?}", new.kind.word()));
    plan.step(Op::Unshare { flags: CloneFlags::CLONE_NEWTIME });
    for (clock, offset) in spec.linux.iter().flat_map(|linux| &linux.time_offsets) {
        plan.origin(format!("linux.timeOffsets[{clock:?}]"));
        let (seconds, nanos) = (offset.secs.unwrap_or(0), offset.nanosecs.unwrap_or(0));
        let line = format!("{clock} {seconds} {nanos}\n");
        if let Some(fd) = offsets {
            plan.step(Op::Write { fd, data: line.as_bytes() });
        }
    }
    if let Some(fd) = offsets {
        plan.close(fd);
    }
    // unshare(2) puts only children into it, and before Linux 6.3 execve(2) does not enter it.
    plan.origin(format!("linux.namespaces {:?}", new.kind.word()));
    let into = plan.slot()?;
    let how = OpenHow { flags: OpenFlags::O_CLOEXEC, mode: 0, resolve: super::root::HOST };
    let path = c"/proc/self/ns/time_for_children";
    plan.step(Op::Openat2 { into, at: Slot::CWD, path, how });
    plan.step(Op::Setns { fd: into, kind: CloneFlags::CLONE_NEWTIME });
    plan.close(into);
    Ok(())
}

/// Whether setgroups(2) is denied in the container's user namespace (user_namespaces(7)): it is if
/// an unprivileged caller maps its own gid without newgidmap(1), or if it is denied already.
pub fn groups_denied(spec: &Spec, host: &Host) -> bool {
    let own = |linux: &Linux| IdMapping::is_own(&linux.gid_mappings, host.egid);
    host.groups_denied || new_user(spec) && host.euid != 0 && spec.linux.as_ref().is_some_and(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_denied_where_the_caller_maps_its_own_alone() {
        let user = br#"{"linux": {"namespaces": [{"type": "user"}]}}"#;
        let mut spec: Spec = crate::spec::json::read(user).expect("a config");
        for (caller, mapped, size, denied) in
            [(7, 7, 1, true), (7, 7, 2, false), (7, 8, 1, false), (0, 0, 1, false)]
        {
            let map = IdMapping { container_id: 0, host_id: mapped, size };
            spec.linux.get_or_insert_default().gid_mappings = vec![map];
            let host = Host { euid: caller, egid: caller, ..Host::default() };
            assert_eq!(groups_denied(&spec, &host), denied, "{caller}: {map:?}");
        }
    }
}
