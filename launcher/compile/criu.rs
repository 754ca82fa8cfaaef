//! Compile the start of CRIU to a plan: the mounts that it needs, then its program. Pure.
//!
//! To restore a container, CRIU needs the rootfs as a mount point, and a mount point for every
//! mount. The plan makes them in a new mount namespace, so that the host does not see them and they
//! vanish when CRIU ends.

use tiny_ce_init::flags::{
    AtFlags, CloseRangeFlags, MoveMountFlags, OpenFlags, OpenHow, Propagation, Report,
};
use tiny_ce_init::{Op, Slot, Unless};

use super::mounts::{self, Context};
use super::propagate;
use super::root::{self, Wanted};
use super::targets;
use crate::error::Result;
use crate::host::Host;
use crate::plan::{Finished, Plan, Preload, c_string};
use crate::spec::paths::components;
use crate::spec::{Mount, NamespaceKind, Spec};

/// The descriptor of the service socket of `criu swrk`; the namespaces have the numbers after it.
pub const SERVICE: u32 = 3;

/// What to compile.
#[derive(Default)]
pub struct CriuRequest<'a> {
    /// How many cgroup v1 hierarchies the process joins by itself.
    pub cgroup_joins: usize,
    /// The container to restore, unless CRIU is to do something else.
    pub restore: Option<Restore<'a>>,
}

/// A container to restore.
pub struct Restore<'a> {
    /// The container's configuration.
    pub spec: &'a Spec,
    /// Facts about the host.
    pub host: &'a Host,
    /// A directory of the host on which missing mount points are made.
    pub scratch: &'a str,
    /// A directory of the host on which the rootfs is mounted for CRIU.
    pub root: &'a str,
    /// Directories of the host that CRIU works in. It opens them in its own mount namespace, since
    /// it cannot work on a mount of another one.
    pub directories: &'a [String],
    /// Namespaces that CRIU receives as descriptors: kind and path.
    pub namespaces: &'a [(NamespaceKind, String)],
}

/// Compile the plan of a process that becomes CRIU. The preloads are, in this order: the service
/// socket, CRIU's program, the `tasks` files of cgroup v1, the namespaces.
///
/// # Errors
/// The plan needs more descriptors at once than it has slots, a text of it contains NUL, or a bind
/// mount of the container cannot be compiled (see `mounts::single`).
pub fn compile(request: &CriuRequest<'_>) -> Result<Finished> {
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

/// Make the missing mount points on a first mount of the rootfs, mount the rootfs once more for
/// CRIU without the container's mounts, and send CRIU's directories to the launcher.
fn ground(plan: &mut Plan, restore: &Restore<'_>) -> Result<()> {
    plan.origin("linux.namespaces \"mount\"");
    plan.step(propagate(Slot::CWD, c"/", AtFlags::AT_RECURSIVE, Propagation::MS_SLAVE));
    plan.origin("root.path");
    let scratch = rootfs(plan, restore, restore.scratch)?;
    let trees = vec![None; restore.spec.mounts.len()];
    let (spec, host) = (restore.spec, restore.host);
    let mut context = Context { spec, host, root: scratch, trees: &trees, dev: None };
    for (index, mount) in spec.mounts.iter().enumerate() {
        if comes_with_its_place(spec, mount) {
            continue;
        }
        if mount.is_bind() {
            // Mount points of later mounts may lie in this bind.
            mounts::single(plan, &mut context, index)?;
            continue;
        }
        plan.origin(mount.origin(index));
        let to = targets::target(plan, &context, index, Wanted::Directory)?;
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

/// Attach a clone of the rootfs on a directory of the host.
fn rootfs(plan: &mut Plan, restore: &Restore<'_>, directory: &str) -> Result<Slot> {
    let tree = mounts::clone(plan, &restore.host.rootfs, true, false)?;
    let path = c_string(directory)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: tree, at: Slot::CWD, path: &path, flags });
    Ok(tree)
}

/// Whether the mount point needs no steps: CRIU restores the files of a tmpfs, procfs and sysfs
/// have their own directories, and a cgroup mount lies on a tmpfs or a sysfs.
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

/// Close every descriptor but 0, 1, 2 and those of `given`, which get the numbers from `SERVICE`
/// on, and execute the last of them. It stays open: if the program is a script, its interpreter
/// opens it by number.
fn execute(plan: &mut Plan, given: &[Slot]) -> Result<()> {
    plan.origin("criu");
    let first = SERVICE + given.len() as u32;
    let flags = CloseRangeFlags(0);
    let channel = plan.slot()?;
    plan.step(Op::Dup { into: channel, fd: Slot::CHANNEL, lowest: first });
    // The copies get numbers above all of the final ones, so that no dup3 closes one of them.
    let mut copies = Vec::with_capacity(given.len());
    for fd in given {
        let into = plan.slot()?;
        plan.step(Op::Dup { into, fd: *fd, lowest: first });
        copies.push(into);
    }
    for (index, fd) in copies.iter().enumerate() {
        plan.step(Op::Dup3Stdio { fd: *fd, to: SERVICE + index as u32 });
    }
    // If no number lies between, the range is empty, and close_range(2) fails with EINVAL.
    plan.step_unless(Unless::EINVAL, Op::CloseBelow { first, last: channel, flags });
    plan.step(Op::CloseAbove { first: channel, flags });
    plan.step(Op::Report { to: channel, what: Report::EXECUTE });
    plan.step(Op::Execveat { number: first - 1 });
    Ok(())
}
