//! Compile `maskedPaths`, `readonlyPaths` and the read-only root. Their steps come after those of
//! every mount, since a later mount would cover a mask.
//!
//! Init skips a path that does not exist; every other failure fails the container.

use std::ffi::CStr;

use tiny_ce_init::flags::{
    AtFlags, Device, Kind, Mode, MountAttr, MountAttrs, MoveMountFlags, OpenFlags, OpenTreeFlags,
    Propagation,
};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::mounts::{clone_fd_op, make};
use super::parameters::Parameters;
use super::root::{Links, path_only, relative};
use crate::error::Result;
use crate::plan::{EMPTY, Plan};
use crate::spec::paths::lexical;

const MISSING: Unless = Unless::ENOENT;

/// The null device.
const NULL: Device = Device((1 << 8) | 3);

fn attach_op(from: Slot, to: Slot) -> Op<'static> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Op::MoveMount { from, to, flags }
}

fn present(plan: &mut Plan, slot: Slot, op: Op<'_>) {
    plan.push(Step { guard: Guard::Present(slot), unless: Unless::NOTHING, op });
}

const READONLY: MountAttr = MountAttr {
    attr_set: MountAttrs::MOUNT_ATTR_RDONLY,
    attr_clr: MountAttrs(0),
    propagation: Propagation(0),
    userns_fd: 0,
};

/// Attach a read-only clone of each path over the path.
///
/// # Errors
/// The plan has no free slot, or a path contains NUL.
pub fn readonly_paths(plan: &mut Plan, root: Slot, paths: &[String]) -> Result<()> {
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        plan.origin(format!("linux.readonlyPaths[{index}] {path:?}"));
        if lexical(path).is_empty() {
            set_readonly(plan, root);
            continue;
        }
        let (target, tree) = (plan.slot()?, plan.slot()?);
        let relative = relative(path)?;
        let how = path_only(OpenFlags(0), Links::Follow.resolve());
        plan.step_unless(MISSING, Op::Openat2 { into: target, at: root, path: &relative, how });
        present(plan, target, clone_fd_op(tree, target, true));
        // Not recursive: mounts below the path keep the attributes that the config gives them.
        let flags = AtFlags::AT_EMPTY_PATH;
        let set = Op::MountSetattr { at: tree, path: EMPTY, flags, attr: READONLY };
        present(plan, target, set);
        present(plan, target, attach_op(tree, target));
        present(plan, target, Op::Close { fd: tree });
        plan.free(tree);
        plan.close_present(target);
    }
    Ok(())
}

/// How masked paths are covered.
pub struct Covers<'a> {
    /// The mount option for `linux.mountLabel`.
    pub label: Option<&'a str>,
    /// Whether init makes the null device itself, since it has left the host's mounts.
    pub own: bool,
}

/// A file or directory that is cloned once for each masked path: a descriptor, and the path below.
#[derive(Clone, Copy)]
struct Cover<'a>(Slot, &'a CStr);

impl Cover<'_> {
    fn clone_into(&self, into: Slot) -> Op<'_> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if self.1.is_empty() {
            flags |= OpenTreeFlags::AT_EMPTY_PATH;
        }
        Op::OpenTree { into, at: self.0, path: self.1, flags }
    }
}

/// Attach a null device over each file, and an empty read-only directory over each directory.
///
/// # Errors
/// The plan has no free slot, or a path or the label contains NUL.
pub fn masked_paths(
    plan: &mut Plan,
    root: Slot,
    paths: &[String],
    covers: &Covers<'_>,
) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    plan.origin("linux.maskedPaths");
    let (null, empty) = if covers.own { own(plan, covers)? } else { hosts(plan, covers)? };
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| !lexical(path).is_empty()) {
        plan.origin(format!("linux.maskedPaths[{index}] {path:?}"));
        mask(plan, root, &relative(path)?, null, empty)?;
    }
    plan.close(empty.0);
    if null.0 != empty.0 {
        plan.close(null.0);
    }
    Ok(())
}

/// The host's null device, and an empty tmpfs.
///
/// The tmpfs has to be attached somewhere before it can be cloned. It is attached over the host's
/// /proc, which init no longer needs, and which the unmount of the host's root takes along (with
/// `--no-pivot` both stay, below the new root). A separate unmount would wait for an RCU grace
/// period. Over the container's root, the tmpfs would hide paths that return to the root through
/// the `..` of a link, and these would not be masked.
fn hosts(plan: &mut Plan, covers: &Covers<'_>) -> Result<(Cover<'static>, Cover<'static>)> {
    let null = plan.slot()?;
    let how = path_only(OpenFlags::O_NOFOLLOW, super::root::HOST);
    plan.step(Op::Openat2 { into: null, at: Slot::CWD, path: c"/dev/null", how });
    plan.step(Op::Statx { fd: null, kind: Kind::S_IFCHR, dev: NULL });
    let mut parameters = Parameters::new(vec!["nr_blocks=1", "nr_inodes=1", "mode=555"]);
    parameters.data.extend(covers.label);
    let empty = make(plan, "tmpfs", Some("tmpfs"), &parameters, MountAttrs::MOUNT_ATTR_RDONLY)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: empty, at: Slot::CWD, path: c"/proc", flags });
    Ok((Cover(null, EMPTY), Cover(empty, EMPTY)))
}

/// A null device and an empty directory in a tmpfs that is never attached: since Linux 6.15 a
/// detached mount can be cloned, if it was made in the mount namespace that init is in.
fn own(plan: &mut Plan, covers: &Covers<'_>) -> Result<(Cover<'static>, Cover<'static>)> {
    let mut parameters = Parameters::new(vec!["nr_blocks=1", "nr_inodes=3", "mode=555"]);
    parameters.data.extend(covers.label);
    let tmpfs = make(plan, "tmpfs", Some("tmpfs"), &parameters, MountAttrs(0))?;
    plan.step(Op::Mkdirat { at: tmpfs, path: c"empty", mode: Mode(0o555) });
    let mode = Mode(0o020_666);
    plan.step(Op::Mknodat { at: tmpfs, path: c"null", mode, dev: NULL });
    set_readonly(plan, tmpfs);
    Ok((Cover(tmpfs, c"null"), Cover(tmpfs, c"empty")))
}

/// The steps for one path, which opens either as a directory or as a file.
fn mask(plan: &mut Plan, root: Slot, path: &CStr, null: Cover<'_>, empty: Cover<'_>) -> Result<()> {
    let (directory, file, tree) = (plan.slot()?, plan.slot()?, plan.slot()?);
    let how = path_only(OpenFlags::O_DIRECTORY, Links::Follow.resolve());
    let not_directory = MISSING.or(Unless::ENOTDIR);
    plan.step_unless(not_directory, Op::Openat2 { into: directory, at: root, path, how });
    let how = path_only(OpenFlags(0), Links::Follow.resolve());
    let open = Op::Openat2 { into: file, at: root, path, how };
    plan.push(Step { guard: Guard::Absent(directory), unless: MISSING, op: open });
    for (target, cover) in [(directory, empty), (file, null)] {
        present(plan, target, cover.clone_into(tree));
        present(plan, target, attach_op(tree, target));
        present(plan, target, Op::Close { fd: tree });
        present(plan, target, Op::Close { fd: target });
    }
    plan.free(tree);
    plan.free(file);
    plan.free(directory);
    Ok(())
}

/// Make the mount of the root read-only, but not the mounts inside it.
pub fn readonly_root(plan: &mut Plan, root: Slot) {
    plan.origin("root.readonly");
    set_readonly(plan, root);
}

fn set_readonly(plan: &mut Plan, root: Slot) {
    plan.step(Op::MountSetattr {
        at: root,
        path: EMPTY,
        flags: AtFlags::AT_EMPTY_PATH,
        attr: READONLY,
    });
}
