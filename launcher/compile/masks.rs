//! Compile `maskedPaths`, `readonlyPaths` and the read-only root. Their steps come after those of
//! every mount, since a later mount would cover a mask.
//!
//! Init skips a path that does not exist; every other failure fails the container.

use tiny_ce_init::flags::{
    AtFlags, Device, Kind, MountAttr, MountAttrs, MoveMountFlags, OpenFlags, Propagation,
};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::mounts::{clone_fd_op, make};
use super::parameters::Parameters;
use super::root::{Links, path_only, relative};
use crate::error::Result;
use crate::plan::{EMPTY, Plan};
use crate::spec::paths::lexical;

const MISSING: Unless = Unless::ENOENT;

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

/// Attach the host's null device over each file, and clones of one empty tmpfs over each directory.
///
/// The tmpfs has to be attached somewhere before it can be cloned. It is attached over the host's
/// /proc, which init no longer needs, and which the unmount of the host's root takes along (with
/// `--no-pivot` both stay, below the new root). A separate unmount would wait for an RCU grace
/// period. Over the container's root, the tmpfs would hide paths that return to the root through
/// the `..` of a link, and these would not be masked.
///
/// # Errors
/// The plan has no free slot, or a path or the label contains NUL.
pub fn masked_paths(
    plan: &mut Plan,
    root: Slot,
    paths: &[String],
    label: Option<&str>,
) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    plan.origin("linux.maskedPaths");
    let null = plan.slot()?;
    let how = path_only(OpenFlags::O_NOFOLLOW, super::root::HOST);
    plan.step(Op::Openat2 { into: null, at: Slot::CWD, path: c"/dev/null", how });
    let dev = Device((1 << 8) | 3);
    plan.step(Op::Statx { fd: null, kind: Kind::S_IFCHR, dev });
    let mut parameters = Parameters::new(vec!["nr_blocks=1", "nr_inodes=1", "mode=555"]);
    parameters.data.extend(label);
    let empty = make(plan, "tmpfs", Some("tmpfs"), &parameters, MountAttrs::MOUNT_ATTR_RDONLY)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: empty, at: Slot::CWD, path: c"/proc", flags });
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| !lexical(path).is_empty()) {
        plan.origin(format!("linux.maskedPaths[{index}] {path:?}"));
        mask(plan, root, &relative(path)?, null, empty)?;
    }
    plan.close(empty);
    plan.close(null);
    Ok(())
}

/// The steps for one path, which opens either as a directory or as a file.
fn mask(plan: &mut Plan, root: Slot, path: &std::ffi::CStr, null: Slot, empty: Slot) -> Result<()> {
    let (directory, file, tree) = (plan.slot()?, plan.slot()?, plan.slot()?);
    let how = path_only(OpenFlags::O_DIRECTORY, Links::Follow.resolve());
    let not_directory = MISSING.or(Unless::ENOTDIR);
    plan.step_unless(not_directory, Op::Openat2 { into: directory, at: root, path, how });
    let how = path_only(OpenFlags(0), Links::Follow.resolve());
    let open = Op::Openat2 { into: file, at: root, path, how };
    plan.push(Step { guard: Guard::Absent(directory), unless: MISSING, op: open });
    present(plan, directory, clone_fd_op(tree, empty, false));
    present(plan, directory, attach_op(tree, directory));
    present(plan, directory, Op::Close { fd: tree });
    present(plan, directory, Op::Close { fd: directory });
    present(plan, file, clone_fd_op(tree, null, false));
    present(plan, file, attach_op(tree, file));
    present(plan, file, Op::Close { fd: tree });
    present(plan, file, Op::Close { fd: file });
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
