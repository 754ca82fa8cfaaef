//! Compile `/dev`: the default nodes and links, and `linux.devices`.
//!
//! Init opens `/dev` once, without following links, and makes everything below that descriptor. It
//! binds the host's nodes and verifies their numbers (CVE-2025-31133) in two cases: in a user
//! namespace, where mknodat(2) fails, and if no cgroup limits devices, where every mount is
//! `nodev`. A privileged launcher makes the nodes that the host lacks, outside of the user
//! namespace; init binds these, too.

use tiny_ce_init::flags::{
    AtFlags, Device as Number, Kind, Mode, MountAttrs, OpenFlags, Propagation,
};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::mounts::{Context, clone, set};
use super::root::{self, Inside, Links, Wanted, make_file, path_only};
use super::streams::{self, Place};
use super::targets::attach;
use crate::error::{Error, Result};
use crate::host::{Host, NULL_DEVICE};
use crate::plan::{Plan, Preload, c_string};
use crate::spec::options::Attrs;
use crate::spec::paths::{components, lexical};
use crate::spec::{Device, DeviceKind, Mount, NamespaceKind, Spec};

/// A node to make.
pub struct Node<'a> {
    path: &'a str,
    /// The file type.
    pub kind: Kind,
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
    /// Permissions.
    pub mode: u32,
    /// The user and the group, as ids in the container.
    pub owner: Option<(u32, u32)>,
    /// Where links of the image lead the node's directory, if that is another place.
    directory: Option<&'a str>,
    /// A detached mount of the node, if the launcher makes it.
    made: Option<Slot>,
}

/// Nodes that every container has (runtime-spec config-linux.md, "Default Devices"): path, major
/// and minor number.
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

/// Return the last mount on `/dev`.
fn mounted(spec: &Spec) -> Option<&Mount> {
    spec.mounts.iter().rfind(|mount| lexical(&mount.destination) == ["dev"])
}

/// Return the devices of `linux.devices` that are made, with their index. Of several devices at one
/// path only the first is made, as by runc and crun, and none is made at `/` or `/dev`; `check` has
/// warned of both.
fn configured(spec: &Spec) -> impl Iterator<Item = (usize, &Device)> {
    let mut seen = Vec::new();
    spec.linux.iter().flat_map(|linux| &linux.devices).enumerate().filter(move |(_, device)| {
        let parts = lexical(&device.path);
        // `podman run --privileged` lists all of the host's devices, and /dev/ptmx is a link here.
        let linked = components(&device.path) == ["dev", "ptmx"];
        if linked || seen.contains(&parts) || parts.is_empty() || parts == ["dev"] {
            return false;
        }
        seen.push(parts);
        true
    })
}

/// Preload the nodes that the launcher makes, by index in `linux.devices`: those that the host
/// lacks, for a new user namespace. For a user namespace that is joined, `compile` does not know
/// the mapping of the nodes' owners.
///
/// # Errors
/// The plan has no free slot.
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

/// Make the nodes and links, but nothing if `/dev` is a bind, which shows files of the host.
///
/// # Errors
/// A device number is out of range, a path is not the path of a node or contains NUL, or the plan
/// has no free slot.
pub fn all(plan: &mut Plan, context: &Context<'_>, nodes: &[Option<Slot>]) -> Result<()> {
    let mount = mounted(context.spec);
    if mount.is_some_and(Mount::is_bind) {
        return Ok(());
    }
    plan.origin("default devices");
    // A tmpfs that init has made on /dev is empty, so no existing node has to be verified.
    let fresh = context.dev.is_some();
    let dev = match context.dev {
        Some(dev) => dev,
        None => root::target(plan, context.root, "/dev", Wanted::Directory, Links::Refuse)?,
    };
    let listed = context.spec.linux.iter().flat_map(|linux| &linux.devices);
    let paths: Vec<_> = listed.map(|device| components(&device.path)).collect();
    // A mount on the path of a node makes a file there.
    let mounts = context.spec.mounts.iter().map(|mount| lexical(&mount.destination));
    let mounts: Vec<_> = mounts.filter(|place| place.starts_with(&["dev"])).collect();
    for (path, major, minor) in DEFAULTS {
        if !paths.contains(&components(path)) {
            let (kind, mode, owner) = (Kind::S_IFCHR, 0o666, None);
            let (directory, made) = (None, None);
            let node = Node { path, kind, major, minor, mode, owner, directory, made };
            let empty = fresh && !mounts.iter().any(|mount| *mount == components(path));
            node.steps(plan, context, dev, empty)?;
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
    if has_null(context.spec) {
        streams::own_null(plan, context.host.null, Place::Dev(dev))?;
    }
    if !fresh {
        plan.close(dev);
    }
    Ok(())
}

/// Whether the container's `/dev/null` is the null device: the default one, or one of the config.
fn has_null(spec: &Spec) -> bool {
    let mut listed = configured(spec).filter(|(_, it)| components(&it.path) == ["dev", "null"]);
    listed.all(|(_, it)| it.kind.file_type() == Kind::S_IFCHR && it.number() == NULL_DEVICE)
}

/// Make a symbolic link below `/dev`, unless the name exists.
fn link(plan: &mut Plan, dev: Slot, name: &str, to: &str) -> Result<()> {
    let (name, to) = (c_string(name)?, c_string(to)?);
    plan.step_unless(Unless::EEXIST, Op::Symlinkat { target: &to, at: dev, path: &name });
    Ok(())
}

impl<'a> Node<'a> {
    /// The node of an entry of `linux.devices`.
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

    /// Make the node; if the path exists, verify that it is the same device.
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
        let existing = plan.slot()?;
        let how = path_only(OpenFlags::O_NOFOLLOW, root::BELOW);
        plan.step_unless(Unless::ENOENT, Op::Openat2 { into: existing, at, path, how });
        let absent = Guard::Absent(existing);
        plan.push(Step { guard: absent, unless: Unless::NOTHING, op: make });
        let verify = if self.kind as u32 == Kind::S_IFIFO as u32 {
            Op::StatxKind { fd: existing, kind: self.kind }
        } else {
            Op::Statx { fd: existing, kind: self.kind, dev }
        };
        plan.push(Step { guard: Guard::Present(existing), unless: Unless::NOTHING, op: verify });
        if let Some(own) = self.own_op(at, path) {
            plan.push(Step { guard: absent, unless: Unless::NOTHING, op: own });
        }
        plan.close_present(existing);
        Ok(())
    }

    /// The operation that changes the owner, unless the owner is root.
    fn own_op<'p>(&self, at: Slot, path: &'p std::ffi::CStr) -> Option<Op<'p>> {
        let (uid, gid) = self.owner.filter(|owner| *owner != (0, 0))?;
        Some(Op::Fchownat { at, path, uid, gid, flags: AtFlags::AT_SYMLINK_NOFOLLOW })
    }

    fn own(&self, plan: &mut Plan, at: Slot, path: &std::ffi::CStr) {
        if let Some(op) = self.own_op(at, path) {
            plan.step(op);
        }
    }

    /// Bind the node that the launcher made, or else the host's, onto an empty file.
    fn bind(&self, plan: &mut Plan, at: Slot, name: &std::ffi::CStr, dev: Number) -> Result<()> {
        let tree = match self.made {
            Some(tree) => tree,
            None => clone(plan, self.path, false, false)?,
        };
        plan.step(Op::Statx { fd: tree, kind: self.kind, dev });
        // As crun does: no program needs set-user-ID or execution on a device node.
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
