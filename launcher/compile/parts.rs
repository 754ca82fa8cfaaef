//! Compile the root of a container without a bundle: overlays of the host's files whose changes go
//! to a tmpfs in init's mount namespace, and vanish with it.
//!
//! Knows the tmpfs and how one part is mounted; `host::parts` chose the parts.

use tiny_ce_init::flags::{
    AtFlags, FsmountFlags, FsopenFlags, Mode, MountAttr, MountAttrs, MoveMountFlags, OpenFlags,
    OpenTreeFlags, Propagation, Report,
};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::ContainerRequest;
use super::mounts::{self, Context};
use super::parameters::{self, Parameters};
use super::root::{self, Wanted};
use super::targets;
use crate::error::Result;
use crate::host::Part;
use crate::plan::{EMPTY, Plan, c_string};
use crate::spec::{IdMapping, NamespaceKind, Spec};

/// The errnos of an overlay that the kernel does not make of a directory.
const REFUSED: Unless = Unless::EINVAL.or(Unless::EACCES).or(Unless::EOPNOTSUPP);

/// Attach the tmpfs, make the directories for the changes of each part, and make it the working
/// directory. Return the directory on which the root is mounted.
///
/// # Errors
/// The plan has no free slot, or a path contains NUL.
pub fn place(plan: &mut Plan, request: &ContainerRequest<'_>, directory: &str) -> Result<Slot> {
    let data = Parameters::new(vec!["mode=700"]);
    let tmpfs = mounts::make(plan, "tmpfs", Some("tiny-ce"), &data, MountAttrs(0))?;
    let path = c_string(directory)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: tmpfs, at: Slot::CWD, path: &path, flags });
    plan.step(Op::Mkdirat { at: tmpfs, path: c"root", mode: Mode(0o755) });
    for part in request.host.mounts.iter().filter_map(|facts| facts.part.as_ref()) {
        let (upper, work) = (c_string(&part.upper)?, c_string(&part.work)?);
        plan.step(Op::Mkdirat { at: tmpfs, path: &upper, mode: Mode(part.mode) });
        plan.step(Op::Mkdirat { at: tmpfs, path: &work, mode: Mode(0o700) });
        let (uid, gid) = owner(request.spec, part.owner);
        if (uid, gid) != (0, 0) {
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
            plan.step(Op::Fchownat { at: tmpfs, path: &upper, uid, gid, flags });
        }
    }
    // The names of these directories are relative, so that they do not depend on `directory`.
    plan.step(Op::Fchdir { fd: tmpfs });
    let into = plan.slot()?;
    let how = root::path_only(OpenFlags::O_DIRECTORY, root::BELOW);
    plan.step(Op::Openat2 { into, at: tmpfs, path: c"root", how });
    plan.close(tmpfs);
    Ok(into)
}

/// The owner of a part's directory in the container. In a user namespace it may have no id: the
/// directory is then root's.
fn owner(spec: &Spec, (uid, gid): (u32, u32)) -> (u32, u32) {
    if spec.namespace(NamespaceKind::User).is_none() {
        return (uid, gid);
    }
    let Some(linux) = &spec.linux else { return (0, 0) };
    let inside = |map: &[IdMapping], id| IdMapping::inside(map, id).unwrap_or(0);
    (inside(&linux.uid_mappings, uid), inside(&linux.gid_mappings, gid))
}

/// The overlay of one part. Where the kernel makes none, because the file system below cannot be a
/// lower layer or is an overlay of overlays, the host's own directory is mounted read-only, and
/// init reports that.
///
/// # Errors
/// The plan has no free slot, or a path contains NUL.
pub fn overlay(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    part: &Part,
) -> Result<()> {
    let options = &context.spec.mounts[index].options;
    let (fs, tree, bare) = (plan.slot()?, plan.slot()?, plan.slot()?);
    let flags = FsopenFlags::FSOPEN_CLOEXEC;
    plan.step(Op::Fsopen { into: fs, fsname: c"overlay", flags });
    parameters::one(plan, fs, "source", Some("tiny-ce"))?;
    for word in options.parameters() {
        match word.split_once('=') {
            // Since Linux 6.5 this call looks at the directory; before, the one that makes the
            // overlay does.
            Some(("lowerdir", value)) if value.len() <= parameters::LONGEST_VALUE => {
                let value = c_string(value)?;
                plan.step_unless(
                    REFUSED,
                    Op::FsconfigString { fs, key: c"lowerdir", value: &value },
                );
            }
            Some((key, value)) => parameters::one(plan, fs, key, Some(value))?,
            None => parameters::one(plan, fs, word, None)?,
        }
    }
    if context.spec.namespace(NamespaceKind::User).is_some() {
        // A user namespace may not set trusted.* attributes; overlay can use user.* (Linux 5.11).
        parameters::one(plan, fs, "userxattr", None)?;
    }
    plan.step_unless(REFUSED, Op::FsconfigCreate { fs });
    let (flags, attr) = (FsmountFlags::FSMOUNT_CLOEXEC, options.made());
    plan.step_unless(Unless::EINVAL, Op::Fsmount { into: tree, fs, flags, attr });
    plan.close(fs);
    let lower = c_string(&part.lower)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone = Op::OpenTree { into: bare, at: Slot::CWD, path: &lower, flags };
    let attr_set = options.made() | MountAttrs::MOUNT_ATTR_RDONLY;
    let attr =
        MountAttr { attr_set, attr_clr: MountAttrs(0), propagation: Propagation(0), userns_fd: 0 };
    let flags = AtFlags::AT_EMPTY_PATH;
    for op in [
        clone,
        Op::MountSetattr { at: bare, path: EMPTY, flags, attr },
        Op::Report { to: Slot::CHANNEL, what: Report::READ_ONLY },
        Op::Dup { into: tree, fd: bare, lowest: 0 },
    ] {
        plan.push(Step { guard: Guard::Absent(tree), unless: Unless::NOTHING, op });
    }
    plan.close_present(bare);
    targets::attach_at(plan, context, index, tree, Wanted::Directory)
}
