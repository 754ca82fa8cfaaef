//! Attach mounts to their targets inside the rootfs: which path a target has, how links in it are
//! treated, and when nothing has to be resolved.
//!
//! `root` resolves the paths; this module does not know kinds of mounts.

use tiny_ce_init::flags::{Magic, Mode, MoveMountFlags, OpenFlags};
use tiny_ce_init::{Op, Slot};

use super::mounts::Context;
use super::root::{self, Inside, Links, Wanted};
use crate::error::Result;
use crate::host::Host;
use crate::plan::{Plan, c_string};
use crate::spec::check::BELOW_PROC;
use crate::spec::paths::{components, lexical};
use crate::spec::{Mount, Spec};

/// Attach `tree` onto the file or directory of the descriptor `to`.
pub fn attach(plan: &mut Plan, tree: Slot, to: Slot) {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    plan.step(Op::MoveMount { from: tree, to, flags });
}

/// Open the target of a mount inside the rootfs, and make it if it is missing.
///
/// # Errors
/// The plan has no free slot, or the path contains NUL.
pub fn target(
    plan: &mut Plan,
    context: &Context<'_>,
    index: usize,
    wanted: Wanted,
) -> Result<Slot> {
    let mount = &context.spec.mounts[index];
    let leads_to = context.host.destination(index);
    if let Some(file) = leads_to.filter(|place| may_cover_proc(place)) {
        // The target is opened by the place that was checked, and links are refused: a link that
        // changes meanwhile must not select another file of /proc.
        return root::target(plan, context.root, file, wanted, Links::Refuse);
    }
    let inside = Inside { path: &mount.destination, leads_to };
    let to = root::target(plan, context.root, inside, wanted, links(mount))?;
    if !context.is_plain(index) {
        // A link of the image may lead into /proc, which a mount must not cover (CVE-2019-16884).
        plan.step(Op::FstatfsNot { fd: to, not: Magic::PROC_SUPER_MAGIC });
    }
    Ok(to)
}

/// The components of a mount's place, once links are followed; empty for the root.
pub fn place<'a>(spec: &'a Spec, host: &'a Host, index: usize) -> Vec<&'a str> {
    components(host.destination(index).unwrap_or(&spec.mounts[index].destination))
}

/// Whether a place is a file of /proc that a mount may cover.
fn may_cover_proc(place: &str) -> bool {
    place.strip_prefix("proc/").is_some_and(|file| BELOW_PROC.contains(&file))
}

/// How symbolic links in the destination of a mount are treated.
pub(super) fn links(mount: &Mount) -> Links {
    match lexical(&mount.destination).as_slice() {
        ["proc" | "sys" | "dev"] => Links::Refuse,
        _ if mount.options.target_nofollow => Links::Keep,
        _ => Links::Follow,
    }
}

/// Attach a tree to the target of a mount. A target in the empty tmpfs on `/dev` is made and named
/// below the descriptor of the tmpfs, in two steps instead of eight; see `place_below`.
pub(super) fn attach_to(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    tree: Slot,
    wanted: Wanted,
) -> Result<()> {
    if let Some((dev, name)) = context.in_dev(index) {
        return place_below(plan, tree, dev, name, wanted);
    }
    let to = target(plan, context, index, wanted)?;
    attach(plan, tree, to);
    plan.close(to);
    Ok(())
}

/// Make the mount point `name` in the file system `at`, and attach a tree there.
///
/// `at` has to be the root of a file system that init has made in this plan, so nothing of the
/// image is in it. `name` is one component and did not exist, or mkdirat(2) would have failed, and
/// move_mount(2) without MOVE_MOUNT_T_SYMLINKS follows no link: a process that is in the mount
/// namespace too could not lead it out of that file system.
pub(super) fn place_below(
    plan: &mut Plan,
    tree: Slot,
    at: Slot,
    name: &str,
    wanted: Wanted,
) -> Result<()> {
    let name = c_string(name)?;
    match wanted {
        Wanted::Directory => plan.step(Op::Mkdirat { at, path: &name, mode: Mode(0o755) }),
        Wanted::File => plan.step(root::make_file(at, &name)),
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: tree, at, path: &name, flags });
    Ok(())
}

/// If a mount covers the root, open its directory and use it as the root from here on. If it covers
/// the tmpfs on `/dev`, forget that.
pub(super) fn covered(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    tree: Slot,
) -> Result<()> {
    let place = place(context.spec, context.host, index);
    if place == ["dev"] {
        context.dev = None;
    }
    if !place.is_empty() {
        return Ok(());
    }
    let into = plan.slot()?;
    let how = root::path_only(OpenFlags::O_DIRECTORY, root::BELOW);
    plan.step(Op::Openat2 { into, at: tree, path: c".", how });
    plan.close(context.root);
    context.root = into;
    context.dev = None;
    Ok(())
}

/// Attach a tree to the target of a mount, and close it.
pub(super) fn attach_at(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    tree: Slot,
    wanted: Wanted,
) -> Result<()> {
    attach_to(plan, context, index, tree, wanted)?;
    covered(plan, context, index, tree)?;
    plan.close(tree);
    Ok(())
}

impl Context<'_> {
    /// The tmpfs on `/dev` and the name of a mount's target in it, if no earlier step can have made
    /// anything of that name.
    fn in_dev(&self, index: usize) -> Option<(Slot, &str)> {
        let at = |index: usize| place(self.spec, self.host, index);
        let dev = self.dev?;
        match (components(&self.spec.mounts[index].destination).as_slice(), at(index).as_slice()) {
            (["dev", name], ["dev", same]) if name == same && *name != ".." => {
                let new = !(0..index).any(|earlier| at(earlier).starts_with(&["dev", name]));
                new.then_some((dev, *name))
            }
            _ => None,
        }
    }

    /// Whether no link of the image can lead a destination into /proc: it is the root, it is
    /// reached without links, or it is in a file system that the config makes.
    fn is_plain(&self, index: usize) -> bool {
        let given = components(&self.spec.mounts[index].destination);
        let earlier = || self.spec.mounts.iter().take(index);
        match given.as_slice() {
            parts if parts.contains(&"..") => false,
            [] | ["proc", ..] | ["sys" | "dev"] => true,
            [first @ ("sys" | "dev"), ..] => earlier()
                .any(|mount| !mount.is_bind() && components(&mount.destination) == [*first]),
            _ => false,
        }
    }
}
