//! Detached mounts that only the launcher can make: id-mapped mounts, binds whose source the
//! container's root may not reach, and device nodes, which the root of a user namespace may not
//! make.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::compile::devices::Node;
use crate::conversation;
use crate::error::{Error, Result};
use crate::network::elsewhere;
use crate::spec::{IdMapping, Mount, NamespaceKind, Spec, idmap};
use crate::state::Record;
use crate::sys::mount;
use crate::sys::process::{self, Clone};

/// Clone the source of `mounts[index]` as a detached mount, and map its ids if the mount asks for
/// it.
///
/// # Errors
/// The source cannot be cloned, or its file system does not support id-mapped mounts.
pub fn make(spec: &Spec, index: usize, record: &Record, program: &OwnedFd) -> Result<OwnedFd> {
    let mount = &spec.mounts[index];
    let place = mount.origin(index);
    let source = Path::new(&record.bundle).join(mount.source.as_deref().unwrap_or_default());
    let recursive = mount.options.bind == Some(true);
    let tree = mount::clone_tree(&source, recursive, mount.options.source_nofollow)
        .map_err(|e| Error::io(format!("{place}: source {}", source.display()), "open_tree", &e))?;
    if mount.is_id_mapped() {
        map(spec, index, &tree, program)?;
    }
    Ok(tree)
}

/// Map the ids of a detached mount as `mounts[index]` asks for it.
///
/// # Errors
/// The user namespace with the mapping cannot be made or opened, or the file system does not
/// support id-mapped mounts.
pub fn map(spec: &Spec, index: usize, tree: &OwnedFd, program: &OwnedFd) -> Result<()> {
    let mount = &spec.mounts[index];
    let place = mount.origin(index);
    let user = namespace(spec, mount, program).map_err(|e| e.within(&place))?;
    let recursive = mount.options.idmap == Some(true);
    mount::map_ids(tree, &user, recursive).map_err(|e| {
        Error::io(&place, "mount_setattr", &e).hint("the file system must support id-mapped mounts")
    })
}

/// Make the node of `linux.devices[index]`, and return a detached mount of it. The node is in a
/// tmpfs over the container's private `directory`, in a mount namespace of one thread: if the
/// launcher is killed, the node vanishes.
///
/// # Errors
/// The node's owner is not mapped, or a system call fails.
pub fn node(spec: &Spec, index: usize, directory: &Path) -> Result<OwnedFd> {
    let Some((linux, device)) =
        spec.linux.as_ref().and_then(|linux| Some((linux, linux.devices.get(index)?)))
    else {
        return Err(Error::new(format!("linux.devices[{index}]: is not there")));
    };
    let place = format!("linux.devices[{index}] {:?}", device.path);
    let node = Node::of(device, None);
    let (uid, gid) = node.owner.unwrap_or_default();
    let owner = |map: &[IdMapping], id: u32, field: &str| {
        IdMapping::outside(map, id).ok_or_else(|| {
            let text = format!("{place}: {id} as the owner: not in {field}");
            Error::new(text).hint("the owner of a node is an id of the container's user namespace")
        })
    };
    let uid = owner(&linux.uid_mappings, uid, "linux.uidMappings")?;
    let gid = owner(&linux.gid_mappings, gid, "linux.gidMappings")?;
    let failed = |call: &'static str| {
        let place = &place;
        move |e: std::io::Error| {
            let error = Error::io(place, call, &e);
            match crate::hints::find(call, e.raw_os_error().unwrap_or(0), place) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
    };
    elsewhere(&place, || {
        mount::unshare_mounts().map_err(failed("unshare"))?;
        mount::tmpfs(directory).map_err(failed("mount"))?;
        let path = directory.join("node");
        mount::make_node(&path, node.kind as u32 | node.mode, (node.major, node.minor))
            .map_err(failed("mknod"))?;
        std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).map_err(failed("lchown"))?;
        let mode = fs::Permissions::from_mode(node.mode);
        fs::set_permissions(&path, mode).map_err(failed("chmod"))?;
        mount::clone_tree(&path, false, true).map_err(failed("open_tree"))
    })
}

/// Return a user namespace with the mapping of the option `idmap`, else of the mount's mappings,
/// else that of the container.
fn namespace(spec: &Spec, mount: &Mount, program: &OwnedFd) -> Result<File> {
    if let Some(maps) = idmap::of_options(spec, mount) {
        let (uids, gids) = maps.map_err(|why| Error::new(format!("idmap: {why}")))?;
        return user_namespace(&uids, &gids, program);
    }
    if !mount.uid_mappings.is_empty() {
        return user_namespace(&mount.uid_mappings, &mount.gid_mappings, program);
    }
    let joined = spec.namespace(NamespaceKind::User);
    if let Some(path) = joined.and_then(|namespace| namespace.path.as_deref()) {
        return File::open(path).map_err(|e| Error::io(format!("idmap: {path}"), "open", &e));
    }
    let linux = spec.linux.as_ref();
    let uids = linux.map_or(&[][..], |linux| &linux.uid_mappings);
    let gids = linux.map_or(&[][..], |linux| &linux.gid_mappings);
    user_namespace(uids, gids, program)
}

/// Make a user namespace with these maps, which lives as long as its descriptor.
///
/// The namespace needs a first process. We clone init, which waits for a plan, and ends when we
/// close the channel instead.
fn user_namespace(uids: &[IdMapping], gids: &[IdMapping], program: &OwnedFd) -> Result<File> {
    let failed = |call: &'static str| move |e: std::io::Error| Error::io("idmap", call, &e);
    let request = Clone {
        flags: u64::from(NamespaceKind::User.flag().0),
        cgroup: None,
        program: program.as_fd(),
        argv: &[c"tiny-ce".to_owned()],
        envp: &[],
        descriptors: &[],
        die_with_parent: true,
    };
    let (child, channel) =
        conversation::start(&request).map_err(|(call, e)| Error::io("idmap", call, &e))?;
    let namespace = crate::answers::maps::write(child.pid, uids, gids)
        .and_then(|()| File::open(format!("/proc/{}/ns/user", child.pid)).map_err(failed("open")));
    drop(channel);
    process::wait(&child.pidfd, false).map_err(failed("waitid"))?;
    namespace
}
