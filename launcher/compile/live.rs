//! Compile a change of a running container's mounts: join it, then attach or detach a mount, with
//! the same care for paths as when the container was made. Pure.

use std::ffi::CString;

use tiny_ce_init::flags::{CloneFlags, OpenFlags, Prctl, Report, UmountFlags};
use tiny_ce_init::{Op, Slot};

use super::mounts::{self, Context};
use super::root::{self, Links};
use super::{hook, namespaces, targets};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{Finished, Plan, Preload, c_string};
use crate::spec::{Mount, NamespaceKind, Spec};

/// One mount, and the container that gains or loses it.
pub struct MountRequest<'a> {
    /// The container's configuration, with the new mounts in place of its own.
    pub spec: &'a Spec,
    /// Facts about the new mounts.
    pub host: &'a Host,
    /// Namespaces of the container's init that are not the launcher's own.
    pub namespaces: &'a [NamespaceKind],
    /// The index of the mount.
    pub index: usize,
}

/// Make a mount and attach it.
///
/// The launcher clones the source, since init does not see the host's paths in the container.
///
/// # Errors
/// There is no such mount, it would cover the root, the container has no mount namespace of its
/// own, or the mount cannot be compiled (see `mounts::single`).
pub fn add(request: &MountRequest<'_>) -> Result<Finished> {
    let mut plan = Plan::new();
    let plan = &mut plan;
    let process = plan.preload(Preload::Process)?;
    let mut trees = vec![None; request.spec.mounts.len()];
    let source = request.host.source(request.index);
    if source.is_some_and(|source| source.link.is_none()) {
        trees[request.index] = Some(plan.preload(Preload::Tree { mount: request.index })?);
    }
    let given = mount(request)?;
    if targets::place(request.spec, request.host, request.index).is_empty()
        && !given.options.remount
    {
        let text = "the processes of a container keep the root that they have";
        return Err(Error::new(text).within(given.origin(request.index)));
    }
    let root = enter(plan, request, process)?;
    let mut context =
        Context { spec: request.spec, host: request.host, root, trees: &trees, dev: None };
    mounts::single(plan, &mut context, request.index)?;
    Ok(end(plan))
}

/// Detach the topmost mount at a mount's destination.
///
/// # Errors
/// There is no such mount, its destination is the root or contains NUL, the container has no mount
/// namespace of its own, or the plan has no free slot.
pub fn remove(request: &MountRequest<'_>) -> Result<Finished> {
    let mut plan = Plan::new();
    let plan = &mut plan;
    let process = plan.preload(Preload::Process)?;
    let root = enter(plan, request, process)?;
    let mount = mount(request)?;
    plan.origin(mount.origin(request.index));
    let parts = targets::place(request.spec, request.host, request.index);
    let Some((name, parents)) = parts.split_last() else {
        return Err(Error::new("the root file system cannot be taken away"));
    };
    // umount2(2) takes no descriptor. Init changes to the parent directory, since the mount may be
    // on a file, and names the last component, where UMOUNT_NOFOLLOW refuses to follow a link.
    let path = if parents.is_empty() { c".".to_owned() } else { c_string(&parents.join("/"))? };
    let into = plan.slot()?;
    let how = root::path_only(OpenFlags::O_DIRECTORY, Links::Follow.resolve());
    plan.step(Op::Openat2 { into, at: root, path: &path, how });
    plan.step(Op::Fchdir { fd: into });
    let target: CString = c_string(name)?;
    let flags = UmountFlags::MNT_DETACH | UmountFlags::UMOUNT_NOFOLLOW;
    plan.step(Op::Umount2 { target: &target, flags });
    Ok(end(plan))
}

fn mount<'a>(request: &MountRequest<'a>) -> Result<&'a Mount> {
    let found = request.spec.mounts.get(request.index);
    found.ok_or_else(|| Error::new(format!("there is no mounts[{}]", request.index)))
}

/// Join the mount namespace, and the user namespace and the namespace of the file system if the
/// container has its own; open the container's root.
fn enter(plan: &mut Plan, request: &MountRequest<'_>, process: Slot) -> Result<Slot> {
    let mount = mount(request)?;
    plan.origin("linux.namespaces");
    // These file systems show the namespace of the process that mounts them.
    let shown = match mount.kind.as_deref() {
        Some("proc") => Some(NamespaceKind::Pid),
        Some("sysfs") => Some(NamespaceKind::Network),
        Some("mqueue") => Some(NamespaceKind::Ipc),
        Some("cgroup" | "cgroup2") => Some(NamespaceKind::Cgroup),
        _ => None,
    };
    let wanted = |kind: &NamespaceKind| {
        matches!(kind, NamespaceKind::User | NamespaceKind::Mount) || Some(*kind) == shown
    };
    let kinds: Vec<NamespaceKind> =
        request.namespaces.iter().copied().filter(|kind| wanted(kind)).collect();
    if !kinds.contains(&NamespaceKind::Mount) {
        return Err(Error::new("the container has no mount namespace of its own"));
    }
    let kind = kinds.iter().fold(CloneFlags(0), |all, kind| all | kind.flag());
    // Other processes in the namespaces could ptrace this one if it were dumpable (CVE-2016-9962).
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
    // One setns(2) for all (Linux 5.8): the kernel checks each by the rights of before the call.
    plan.step(Op::Setns { fd: process, kind });
    plan.close(process);
    if kinds.contains(&NamespaceKind::Pid) {
        // setns(2) puts only children into the pid namespace.
        namespaces::fork(plan);
    }
    if kinds.contains(&NamespaceKind::User) {
        hook::be_root(plan);
    }
    plan.origin("the root of the container");
    let root = plan.slot()?;
    let how = root::path_only(OpenFlags::O_DIRECTORY, root::HOST);
    plan.step(Op::Openat2 { into: root, at: Slot::CWD, path: c"/", how });
    Ok(root)
}

/// Report that the mount is done, and finish the plan.
fn end(plan: &mut Plan) -> Finished {
    plan.origin("the end");
    plan.step(Op::Report { to: Slot::CHANNEL, what: Report::READY });
    std::mem::take(plan).finish()
}
