//! `linux.namespaces` → clone flags for new ones, steps for joined ones.
//!
//! New namespaces come with the clone itself. Joined ones are descriptors that the launcher opened
//! and verified, entered by `setns` while `/proc` is still the host's.

use tiny_ce_init::flags::{CloneFlags, OpenFlags, OpenHow, Prctl, Report};
use tiny_ce_init::{Op, Slot};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{Plan, Preload};
use crate::spec::{IdMapping, Linux, NamespaceKind, Spec};

/// The order in which namespaces are joined: the user namespace apart, mounts last.
const ORDER: [NamespaceKind; 6] = [
    NamespaceKind::Network,
    NamespaceKind::Ipc,
    NamespaceKind::Uts,
    NamespaceKind::Cgroup,
    NamespaceKind::Time,
    NamespaceKind::Mount,
];

/// Whether namespaces have to be entered one by one: a user namespace takes its maps after the
/// process has become init, or its capabilities would be lost with that; and a pid namespace that
/// is joined needs a fork of its own.
fn staged(spec: &Spec) -> bool {
    let pid = spec.namespace(NamespaceKind::Pid).is_some_and(|pid| pid.path.is_some());
    pid || spec.namespace(NamespaceKind::User).is_some()
}

/// Whether there is a user namespace of the container's own.
pub fn new_user(spec: &Spec) -> bool {
    spec.namespace(NamespaceKind::User).is_some_and(|user| user.path.is_none())
}

/// What clone3 makes new.
pub fn clone_flags(spec: &Spec) -> CloneFlags {
    let Some(linux) = spec.linux.as_ref().filter(|_| !staged(spec)) else { return CloneFlags(0) };
    let new = linux.namespaces.iter().filter(|namespace| namespace.path.is_none());
    // A time namespace takes effect at execve, and its offsets are written before that; a cgroup
    // namespace has as its root the groups that its maker is in.
    new.filter(|n| !matches!(n.kind, NamespaceKind::Time | NamespaceKind::Cgroup))
        .fold(CloneFlags(0), |flags, namespace| flags | namespace.kind.flag())
}

/// The `tasks` files of the v1 hierarchies, which the launcher opens.
pub fn cgroup_preloads(plan: &mut Plan, host: &Host) -> Result<Vec<Slot>> {
    (0..host.cgroup_joins).map(|_| plan.preload(Preload::CgroupTasks)).collect()
}

/// Init joins v1 hierarchies by itself: moving another process waits for an RCU grace period, and
/// moving oneself does not (Linux 5.5). In v2 it was born there.
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

/// Root of the user namespace, or the first id it has: before that nothing can be made in it. One
/// that is joined has its maps already, with a root as everywhere.
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

/// Only children are in a pid namespace that was joined: one goes on, its pid is told, this process
/// ends. The child waits until it is known: what it says must not come before that.
pub fn fork(plan: &mut Plan) {
    plan.step(Op::Fork { to: Slot::CHANNEL });
    plan.step(Op::Await { from: Slot::CHANNEL });
}

/// The kind that a CLONE_NEW* flag stands for.
pub fn kind_of(flags: u32) -> Result<NamespaceKind> {
    let found = NamespaceKind::ALL.iter().find(|kind| kind.flag().0 == flags);
    found.copied().ok_or_else(|| Error::new(format!("{flags:#x}: not a kind of namespace")))
}

/// Joined namespaces, by index in `linux.namespaces`.
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

/// Enter what is joined; where stages are needed, make what is new.
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
    // What belongs to the host's user namespace can be entered only from there.
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
        // Root of this user namespace from here on, or its files could not be reached.
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
        // The child is in the session of the process that ends, and not its leader.
        plan.step(Op::Setsid {});
    }
    Ok(())
}

/// The offsets of a time namespace that is yet to be made, opened before a user namespace is
/// entered, in which the files of this process in /proc belong to somebody else.
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

/// A time namespace of its own, and its offsets while nothing is in it.
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
    // It was made for children; before Linux 6.3 execve(2) does not enter it either.
    plan.origin(format!("linux.namespaces {:?}", new.kind.word()));
    let into = plan.slot()?;
    let how = OpenHow { flags: OpenFlags::O_CLOEXEC, mode: 0, resolve: super::root::HOST };
    let path = c"/proc/self/ns/time_for_children";
    plan.step(Op::Openat2 { into, at: Slot::CWD, path, how });
    plan.step(Op::Setns { fd: into, kind: CloneFlags::CLONE_NEWTIME });
    plan.close(into);
    Ok(())
}

/// Whether setgroups(2) is denied in the container's user namespace: it is, where somebody without
/// privileges maps ids without a helper, and where it is already (user_namespaces(7)).
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
