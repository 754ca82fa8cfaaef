//! Compile mounts of type `cgroup` and `cgroup2`: which of the host's cgroups a container sees.
//!
//! This module knows versions and namespaces of cgroups; `mounts` knows where a mount goes.

use tiny_ce_init::flags::{MountAttrs, Propagation};
use tiny_ce_init::{Op, Slot, Unless};

use super::mounts::{Context, clone, finish_tree, label, make, set};
use super::parameters::Parameters;
use super::root::Wanted;
use super::targets::{attach_at, attach_to, covered, place_below};
use crate::error::Result;
use crate::host::{CgroupMounts, GroupMount, V1Mount};
use crate::plan::{Plan, c_string};
use crate::spec::options::Attrs;
use crate::spec::{MountOptions, NamespaceKind};

/// The types of mounts that this module compiles.
pub const KINDS: [&str; 2] = ["cgroup", "cgroup2"];

/// Make a mount of type `cgroup` or `cgroup2`, of the version that the host has. Without a cgroup
/// namespace of the container's own it shows a clone of the container's group. If the container has
/// no group of its own, the clone is of the launcher's group, and read-only.
///
/// # Errors
/// The plan has no free slot, or a path or an option contains NUL or is too long for fsconfig(2).
pub fn mount(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    options: &MountOptions,
) -> Result<()> {
    let private = context.has_new(NamespaceKind::Cgroup);
    match &context.host.cgroups {
        CgroupMounts::None => {
            // The host has no cgroups mounted: show an empty, read-only directory.
            let attrs = options.made() | MountAttrs::MOUNT_ATTR_RDONLY;
            let data = Parameters::new(vec!["mode=755", "size=4k", "nr_inodes=1"]);
            let tree = make(plan, "tmpfs", Some("tmpfs"), &data, attrs)?;
            finish_tree(plan, tree, options);
            attach_at(plan, context, index, tree, Wanted::Directory)
        }
        CgroupMounts::V2(shown) => {
            let tree = if private {
                let none = Parameters::default();
                make(plan, "cgroup2", Some("cgroup"), &none, options.made())?
            } else {
                group(plan, options, shown)?
            };
            finish_tree(plan, tree, options);
            attach_at(plan, context, index, tree, Wanted::Directory)
        }
        CgroupMounts::V1(hierarchies) => v1(plan, context, index, options, hierarchies),
    }
}

/// Clone the directory of a cgroup, so that the container does not see the groups outside. The
/// launcher's group is read-only: it may have other processes than the container (CVE-2023-25809).
fn group(plan: &mut Plan, options: &MountOptions, shown: &GroupMount) -> Result<Slot> {
    let tree = clone(plan, &shown.directory, true, false)?;
    let mut attrs = options.restricting();
    if !shown.own {
        attrs.set |= MountAttrs::MOUNT_ATTR_RDONLY;
    }
    set(plan, tree, attrs, Propagation(0), true);
    Ok(tree)
}

/// Make a tmpfs with one mount for each hierarchy, and a link for each controller of a hierarchy
/// that has several (`cpu,cpuacct`).
fn v1(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    options: &MountOptions,
    hierarchies: &[V1Mount],
) -> Result<()> {
    let mut data = Parameters::new(vec!["mode=755"]);
    let label = label(context.spec);
    data.data.extend(label.as_deref());
    let attrs = options.made();
    // A hierarchy has neither programs nor devices. runc and crun set these attributes as well,
    // whatever the options are.
    let quiet = MountAttrs::MOUNT_ATTR_NOSUID.0
        | MountAttrs::MOUNT_ATTR_NODEV.0
        | MountAttrs::MOUNT_ATTR_NOEXEC.0;
    let writable = MountAttrs(attrs.0 & !MountAttrs::MOUNT_ATTR_RDONLY.0);
    let tmpfs = make(plan, "tmpfs", Some("tmpfs"), &data, writable)?;
    attach_to(plan, context, index, tmpfs, Wanted::Directory)?;
    covered(plan, context, index, tmpfs)?;
    for hierarchy in hierarchies {
        let tree = if context.has_new(NamespaceKind::Cgroup) {
            let own = Parameters::new(hierarchy.options.iter().map(String::as_str).collect());
            make(plan, "cgroup", Some("cgroup"), &own, MountAttrs(attrs.0 | quiet))?
        } else {
            group(plan, options, &hierarchy.shown)?
        };
        place_below(plan, tree, tmpfs, &hierarchy.name, Wanted::Directory)?;
        plan.close(tree);
        let name = c_string(&hierarchy.name)?;
        for controller in hierarchy.name.split(',').filter(|c| *c != hierarchy.name) {
            let link = c_string(controller)?;
            plan.step_unless(
                Unless::EEXIST,
                Op::Symlinkat { target: &name, at: tmpfs, path: &link },
            );
        }
    }
    let set_last = MountAttrs(attrs.0 & MountAttrs::MOUNT_ATTR_RDONLY.0);
    set(plan, tmpfs, Attrs { set: set_last, ..Attrs::default() }, Propagation(0), false);
    finish_tree(plan, tmpfs, options);
    plan.close(tmpfs);
    Ok(())
}
