//! CRIU → a short plan for the same machine: what it stands on, and then the program. Pure.
//!
//! To restore, CRIU wants the rootfs as a mount of its own and a place for every mount. Both are
//! made in a mount namespace that it is born in: nothing of it is seen outside or outlives it.

use tiny_ce_init::flags::{
    AtFlags, CloseRangeFlags, MoveMountFlags, OpenFlags, OpenHow, Propagation, Report,
};
use tiny_ce_init::{Op, Slot, Unless};

use super::mounts::{self, Context};
use super::propagate;
use super::root::{self, Wanted};
use crate::error::Result;
use crate::host::Host;
use crate::plan::{Finished, Plan, Preload, c_string};
use crate::spec::paths::components;
use crate::spec::{Mount, NamespaceKind, Spec};

/// Where `criu swrk` finds its end of the conversation; namespaces are behind it.
pub const SERVICE: u32 = 3;

/// What to compile.
#[derive(Default)]
pub struct Request<'a> {
    /// How many cgroup v1 hierarchies it joins by itself.
    pub cgroup_joins: usize,
    /// What is to be restored, if anything is.
    pub restore: Option<Restore<'a>>,
}

/// A container that is to be restored.
pub struct Restore<'a> {
    /// Its configuration.
    pub spec: &'a Spec,
    /// Facts.
    pub host: &'a Host,
    /// A directory of the host on which missing mount points are made.
    pub scratch: &'a str,
    /// A directory of the host on which the rootfs is mounted for CRIU.
    pub root: &'a str,
    /// Directories of the host that CRIU is to work in: on mounts of another namespace it cannot.
    pub directories: &'a [String],
    /// Namespaces that CRIU is given by descriptor: kind and path.
    pub namespaces: &'a [(NamespaceKind, String)],
}

/// The plan of a process that becomes CRIU. Preloaded are, in this order: its end of the
/// conversation, its program, `tasks` files of cgroup v1, namespaces.
pub fn compile(request: &Request<'_>) -> Result<Finished> {
    let mut plan = Plan::new();
    let plan = &mut plan;
    let service = plan.preload(Preload::Service)?;
    let program = plan.preload(Preload::Program)?;
    let tasks = (0..request.cgroup_joins).map(|_| plan.preload(Preload::CgroupTasks));
    let tasks = tasks.collect::<Result<Vec<Slot>>>()?;
    let mut given = vec![service];
    for (kind, path) in request.restore.iter().flat_map(|restore| restore.namespaces) {
        let kind = kind.flag().0;
        given.push(plan.preload(Preload::Namespace { path: path.clone(), kind })?);
    }
    given.push(program);
    if !tasks.is_empty() {
        plan.origin("linux.cgroupsPath");
    }
    for fd in tasks {
        plan.step(Op::Write { fd, data: b"0" });
        plan.close(fd);
    }
    if let Some(restore) = &request.restore {
        ground(plan, restore)?;
    }
    execute(plan, &given)?;
    Ok(std::mem::take(plan).finish())
}

/// The mount points, and the rootfs without what is mounted on them.
fn ground(plan: &mut Plan, restore: &Restore<'_>) -> Result<()> {
    plan.origin("linux.namespaces \"mount\"");
    plan.step(propagate(Slot::CWD, c"/", AtFlags::AT_RECURSIVE, Propagation::MS_SLAVE));
    plan.origin("root.path");
    let scratch = rootfs(plan, restore, restore.scratch)?;
    let trees = vec![None; restore.spec.mounts.len()];
    let (spec, host) = (restore.spec, restore.host);
    let mut context = Context { spec, host, root: scratch, trees: &trees };
    for (index, mount) in spec.mounts.iter().enumerate() {
        if comes_with_its_place(spec, mount) {
            continue;
        }
        if mount.is_bind() {
            // It may hold mount points of the next ones.
            mounts::single(plan, &mut context, index)?;
            continue;
        }
        plan.origin(mount.origin(index));
        let to = mounts::target(plan, &context, index, Wanted::Directory)?;
        plan.close(to);
    }
    plan.origin("root.path");
    plan.close(context.root);
    let root = rootfs(plan, restore, restore.root)?;
    plan.close(root);
    plan.origin("--image-path, --work-path");
    for directory in restore.directories {
        let into = plan.slot()?;
        let flags = OpenFlags::O_DIRECTORY | OpenFlags::O_CLOEXEC;
        let how = OpenHow { flags, mode: 0, resolve: root::HOST };
        plan.step(Op::Openat2 { into, at: Slot::CWD, path: &c_string(directory)?, how });
        plan.step(Op::SendFd { to: Slot::CHANNEL, what: Report::DIRECTORY, fd: into });
        plan.close(into);
    }
    Ok(())
}

fn rootfs(plan: &mut Plan, restore: &Restore<'_>, directory: &str) -> Result<Slot> {
    let tree = mounts::clone(plan, &restore.host.rootfs, true, false)?;
    let path = c_string(directory)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: tree, at: Slot::CWD, path: &path, flags });
    Ok(tree)
}

/// CRIU restores what a tmpfs holds, and mounts of cgroups are below a tmpfs or a sysfs.
fn comes_with_its_place(spec: &Spec, mount: &Mount) -> bool {
    let kind = |mount: &Mount| mount.kind.clone().unwrap_or_default();
    let parts = components(&mount.destination);
    let covered = spec.mounts.iter().any(|above| {
        let above_parts = components(&above.destination);
        matches!(kind(above).as_str(), "tmpfs" | "proc" | "sysfs")
            && parts.len() > above_parts.len()
            && parts.starts_with(&above_parts)
    });
    covered || matches!(kind(mount).as_str(), "cgroup" | "cgroup2")
}

/// Nothing stays open but 0, 1, 2, what CRIU is given from `SERVICE` on, and last its program: an
/// interpreter of a script opens it by number.
fn execute(plan: &mut Plan, given: &[Slot]) -> Result<()> {
    plan.origin("criu");
    let first = SERVICE + given.len() as u32;
    let flags = CloseRangeFlags(0);
    let channel = plan.slot()?;
    plan.step(Op::Dup { into: channel, fd: Slot::CHANNEL, lowest: first });
    // Out of the way of the places that they are to go to.
    let mut copies = Vec::with_capacity(given.len());
    for fd in given {
        let into = plan.slot()?;
        plan.step(Op::Dup { into, fd: *fd, lowest: first });
        copies.push(into);
    }
    for (index, fd) in copies.iter().enumerate() {
        plan.step(Op::Dup3Stdio { fd: *fd, to: SERVICE + index as u32 });
    }
    // Nothing may lie between, which the kernel calls invalid.
    plan.step_unless(Unless::EINVAL, Op::CloseBelow { first, last: channel, flags });
    plan.step(Op::CloseAbove { first: channel, flags });
    plan.step(Op::Report { to: channel, what: Report::EXECUTE });
    plan.step(Op::Execveat { number: first - 1 });
    Ok(())
}
