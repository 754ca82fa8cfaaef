//! `/dev`: the default nodes and links, and `linux.devices`.
//!
//! `/dev` is opened once, refusing links; everything is made below that descriptor. In a user
//! namespace, where nodes cannot be made, and where no cgroup limits devices and every mount is
//! `nodev`, they are binds of the host's, verified to be what they are named (CVE-2025-31133). What
//! the host lacks is made by a launcher that may, outside of the user namespace, and bound too.

use tiny_ce_init::flags::{
    AtFlags, Device as Number, Kind, Mode, MountAttrs, OpenFlags, Propagation,
};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::mounts::{Context, attach, clone, set};
use super::root::{self, Inside, Links, Wanted, make_file, path_only};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::{Plan, Preload, c_string};
use crate::spec::options::Attrs;
use crate::spec::paths::{components, lexical};
use crate::spec::{Device, DeviceKind, Mount, NamespaceKind, Spec};

/// A node to make.
pub struct Node<'a> {
    path: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Permissions.
    pub mode: u32,
    /// Its user and group, as the container counts them.
    pub owner: Option<(u32, u32)>,
    /// Where its directory leads, if that is another place than it says.
    directory: Option<&'a str>,
    /// A detached mount of it, which the launcher has made.
    made: Option<Slot>,
}

/// What every container has (runtime-spec config-linux.md, "Default Devices").
/// Nodes that every container has: path, major and minor number.
pub const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Links of every container (runtime-linux.md, "Dev symbolic links").
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// What is mounted on `/dev`.
fn mounted(spec: &Spec) -> Option<&Mount> {
    spec.mounts.iter().rfind(|mount| lexical(&mount.destination) == ["dev"])
}

/// Those of `linux.devices` that are made, with their index. Of several at one path that is the
/// first, as by both peers, and none in the place of a directory: `check` has warned.
fn configured(spec: &Spec) -> impl Iterator<Item = (usize, &Device)> {
    let mut seen = Vec::new();
    spec.linux.iter().flat_map(|linux| &linux.devices).enumerate().filter(move |(_, device)| {
        let parts = lexical(&device.path);
        // `podman run --privileged` lists all of the host's: the link stands for this one.
        let linked = components(&device.path) == ["dev", "ptmx"];
        if linked || seen.contains(&parts) || parts.is_empty() || parts == ["dev"] {
            return false;
        }
        seen.push(parts);
        true
    })
}

/// Which devices the launcher makes, by their index: what the host lacks, for a new user namespace.
/// Who owns a node in one that is joined is not known here.
pub fn preloads(plan: &mut Plan, spec: &Spec, host: &Host) -> Result<Vec<Option<Slot>>> {
    let new = super::namespaces::new_user(spec);
    let mut nodes = vec![None; host.devices.len()];
    if !new || host.euid != 0 || host.user_namespace || mounted(spec).is_some_and(Mount::is_bind) {
        return Ok(nodes);
    }
    for (index, device) in configured(spec) {
        let missing = host.devices.get(index).is_some_and(|facts| facts.missing);
        if missing && device.kind != DeviceKind::Fifo {
            nodes[index] = Some(plan.preload(Preload::Node { device: index })?);
        }
    }
    Ok(nodes)
}

/// Nodes and links. Nothing if `/dev` is a bind: then it is somebody else's.
pub fn all(plan: &mut Plan, context: &Context<'_>, nodes: &[Option<Slot>]) -> Result<()> {
    let mount = mounted(context.spec);
    if mount.is_some_and(Mount::is_bind) {
        return Ok(());
    }
    plan.origin("default devices");
    let dev = root::target(plan, context.root, "/dev", Wanted::Directory, Links::Refuse)?;
    // On a tmpfs of our own there is nothing yet that would have to be looked at first.
    let fresh = mount.is_some_and(|m| m.kind.as_deref() == Some("tmpfs"));
    let listed = context.spec.linux.iter().flat_map(|linux| &linux.devices);
    let paths: Vec<_> = listed.map(|device| components(&device.path)).collect();
    for (path, major, minor) in DEFAULTS {
        if !paths.contains(&components(path)) {
            let (kind, mode, owner) = (Kind::S_IFCHR, 0o666, None);
            let (directory, made) = (None, None);
            let node = Node { path, kind, major, minor, mode, owner, directory, made };
            node.steps(plan, context, dev, fresh && !covered(context, path))?;
        }
    }
    for (name, to) in LINKS {
        link(plan, dev, name, to)?;
    }
    if context.host.kcore {
        link(plan, dev, "core", "/proc/kcore")?;
    }
    plan.step_unless(Unless::ENOENT, Op::Unlinkat { at: dev, path: c"ptmx" });
    plan.step_unless(Unless::EEXIST, Op::Symlinkat { target: c"pts/ptmx", at: dev, path: c"ptmx" });
    for (index, device) in configured(context.spec) {
        plan.origin(format!("linux.devices[{index}] {:?}", device.path));
        let directory = context.host.devices.get(index).and_then(|it| it.directory.as_deref());
        let mut node = Node::of(device, directory);
        node.made = nodes.get(index).copied().flatten();
        node.steps(plan, context, dev, false)?;
    }
    plan.close(dev);
    Ok(())
}

/// Whether a mount of the config stands where this node would.
fn covered(context: &Context<'_>, path: &str) -> bool {
    let parts = components(path);
    context.spec.mounts.iter().any(|mount| lexical(&mount.destination) == parts)
}

fn link(plan: &mut Plan, dev: Slot, name: &str, to: &str) -> Result<()> {
    let (name, to) = (c_string(name)?, c_string(to)?);
    plan.step_unless(Unless::EEXIST, Op::Symlinkat { target: &to, at: dev, path: &name });
    Ok(())
}

impl<'a> Node<'a> {
    /// That of `linux.devices`.
    pub fn of(device: &'a Device, directory: Option<&'a str>) -> Node<'a> {
        let (major, minor) = device.number();
        Node {
            path: &device.path,
            kind: device.kind.file_type(),
            major,
            minor,
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            owner: Some((device.uid.unwrap_or(0), device.gid.unwrap_or(0))),
            directory,
            made: None,
        }
    }

    fn steps(&self, plan: &mut Plan, context: &Context<'_>, dev: Slot, fresh: bool) -> Result<()> {
        let number = Number::new(self.major, self.minor).ok_or_else(|| {
            Error::new(format!(
                "{:?}: device {}:{}: out of range",
                self.path, self.major, self.minor
            ))
        })?;
        let parts = lexical(self.path);
        let Some((name, parents)) = parts.split_last() else {
            return Err(Error::new(format!("{:?}: not the path of a node", self.path)));
        };
        let name = c_string(name)?;
        let (at, opened) = match parents {
            ["dev"] => (dev, None),
            _ => {
                let path = parents.join("/");
                let to = Inside { path: &path, leads_to: self.directory };
                let slot = root::target(plan, context.root, to, Wanted::Directory, Links::Follow)?;
                (slot, Some(slot))
            }
        };
        let bind = context.host.user_namespace
            || context.host.nodev
            || context.spec.namespace(NamespaceKind::User).is_some();
        let bound = bind && self.kind as u32 != Kind::S_IFIFO as u32;
        if bound {
            self.bind(plan, at, &name, number)?;
        } else {
            self.make(plan, at, &name, number, fresh)?;
        }
        if let Some(slot) = opened {
            plan.close(slot);
        }
        Ok(())
    }

    /// Make the node; what stands there already must be the same.
    fn make(
        &self,
        plan: &mut Plan,
        at: Slot,
        path: &std::ffi::CStr,
        dev: Number,
        fresh: bool,
    ) -> Result<()> {
        let mode = Mode(self.kind as u32 | self.mode);
        let make = Op::Mknodat { at, path, mode, dev };
        if fresh {
            plan.step(make);
            self.own(plan, at, path);
            return Ok(());
        }
        let there = plan.slot()?;
        let how = path_only(OpenFlags::O_NOFOLLOW, root::BELOW);
        plan.step_unless(Unless::ENOENT, Op::Openat2 { into: there, at, path, how });
        let absent = Guard::Absent(there);
        plan.push(Step { guard: absent, unless: Unless::NOTHING, op: make });
        let verify = if self.kind as u32 == Kind::S_IFIFO as u32 {
            Op::StatxKind { fd: there, kind: self.kind }
        } else {
            Op::Statx { fd: there, kind: self.kind, dev }
        };
        plan.push(Step { guard: Guard::Present(there), unless: Unless::NOTHING, op: verify });
        if let Some(own) = self.own_op(at, path) {
            plan.push(Step { guard: absent, unless: Unless::NOTHING, op: own });
        }
        plan.close_present(there);
        Ok(())
    }

    fn own_op<'p>(&self, at: Slot, path: &'p std::ffi::CStr) -> Option<Op<'p>> {
        let (uid, gid) = self.owner.filter(|owner| *owner != (0, 0))?;
        Some(Op::Fchownat { at, path, uid, gid, flags: AtFlags::AT_SYMLINK_NOFOLLOW })
    }

    fn own(&self, plan: &mut Plan, at: Slot, path: &std::ffi::CStr) {
        if let Some(op) = self.own_op(at, path) {
            plan.step(op);
        }
    }

    /// Bind the launcher's node, or else the host's, onto an empty file.
    fn bind(&self, plan: &mut Plan, at: Slot, name: &std::ffi::CStr, dev: Number) -> Result<()> {
        let tree = match self.made {
            Some(tree) => tree,
            None => clone(plan, self.path, false, false)?,
        };
        plan.step(Op::Statx { fd: tree, kind: self.kind, dev });
        // As crun has it: there is nothing in a node that a program would lack.
        let attrs = MountAttrs::MOUNT_ATTR_NOSUID | MountAttrs::MOUNT_ATTR_NOEXEC;
        let attrs = Attrs { set: attrs, ..Attrs::default() };
        set(plan, tree, attrs, Propagation(0), false);
        plan.step_unless(Unless::EEXIST, make_file(at, name));
        let to = plan.slot()?;
        let how = path_only(OpenFlags::O_NOFOLLOW, root::BELOW);
        plan.step(Op::Openat2 { into: to, at, path: name, how });
        attach(plan, tree, to);
        plan.close(to);
        plan.close(tree);
        Ok(())
    }
}
