//! Facts about `mounts`: what the sources of binds are, where destinations lead, which directories
//! are covered. Each mount is looked at in what those before it leave.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::view::{Content, Found, View};
use super::{Host, Link, Source, utf8};
use crate::compile::devices::Node;
use crate::compile::namespace;
use crate::error::{Error, Result};
use crate::spec::paths::{components, lexical};
use crate::spec::{Device, Mount, NamespaceKind, Spec};
use crate::sys;

/// Fill in what `host` knows about mounts, and about the paths that are looked up after them.
pub fn probe(host: &mut Host, spec: &Spec, bundle: &Path, rootfs: &Path) -> Result<()> {
    let mut view = View::new(rootfs);
    for (index, mount) in spec.mounts.iter().enumerate() {
        let origin = format!("mounts[{index}] {:?}", mount.destination);
        let source = match mount.is_bind() {
            true => Some(source(&view, mount, (bundle, rootfs), &origin)?),
            false => None,
        };
        let link = source.as_ref().is_some_and(|source| source.link.is_some());
        let place = destination(&view, mount, link);
        let mode = place.as_deref().and_then(|place| tmpfs_mode(&view, mount, place));
        host.destinations.push(elsewhere(&mount.destination, place.as_deref()));
        host.tmpfs_modes.push(mode);
        if let Some(place) = place.filter(|_| !mount.options.remount) {
            view.mount(place, content(mount, source.as_ref(), mode));
        }
        host.sources.push(source);
    }
    let user = namespace(spec, NamespaceKind::User).is_some();
    for device in spec.linux.iter().flat_map(|linux| &linux.devices) {
        let parts = components(&device.path);
        let parents = parts.split_last().map_or_else(String::new, |(_, parents)| parents.join("/"));
        host.device_directories.push(elsewhere(&parents, view.lead(&parents, true).as_deref()));
        host.device_missing.push(user && !is_there(device));
    }
    let cwd = spec.process.as_ref().map_or("", |process| &process.cwd);
    // The program enters it by its own name: what comes before a `..` has to be there.
    let plain = !cwd.split('/').any(|part| part == "..");
    let lead = view.lead(cwd, true).filter(|_| plain);
    host.cwd = elsewhere(cwd, lead.as_deref());
    Ok(())
}

/// Whether the host has this very device at its path.
fn is_there(device: &Device) -> bool {
    let node = Node::of(device, None);
    std::fs::metadata(&device.path).is_ok_and(|there| {
        there.mode() & libc::S_IFMT == node.kind as u32
            && there.rdev() == libc::makedev(node.major, node.minor)
    })
}

/// As `Host::destinations`, in the files that `root` shows.
pub fn destination_in(root: &Path, mount: &Mount) -> Option<String> {
    let place = destination(&View::new(root), mount, false);
    elsewhere(&mount.destination, place.as_deref())
}

/// The place that a mount is to have.
fn destination(view: &View, mount: &Mount, link: bool) -> Option<Vec<String>> {
    let parts = lexical(&mount.destination);
    if matches!(parts.as_slice(), ["proc" | "sys" | "dev"]) {
        // There may be no link on the way.
        return Some(parts.into_iter().map(str::to_owned).collect());
    }
    view.lead(&mount.destination, !link && !mount.options.target_nofollow)
}

/// The place as a path, unless it is the path itself.
fn elsewhere(path: &str, place: Option<&[String]>) -> Option<String> {
    let place = place?.join("/");
    (place != components(path).join("/")).then_some(place)
}

fn content(mount: &Mount, source: Option<&Source>, mode: Option<u32>) -> Content {
    match source {
        Some(Source { link: Some(link), .. }) => Content::Link(link.target.clone()),
        Some(Source { directory: false, .. }) => Content::File,
        Some(Source { made: true, .. }) => Content::New(None),
        Some(source) => Content::Directory(source.path.clone().into()),
        None if mount.options.copy_up => Content::Same,
        None => Content::New(mode.or_else(|| mount.options.mode())),
    }
}

/// runc and crun give a tmpfs without `mode=` the mode of the directory that it covers.
fn tmpfs_mode(view: &View, mount: &Mount, place: &[String]) -> Option<u32> {
    if mount.kind.as_deref() != Some("tmpfs") || mount.is_bind() || mount.options.mode().is_some() {
        return None;
    }
    match view.made(place).unwrap_or_else(|| view.look(place)) {
        Found::Directory(mode) => mode,
        _ => None,
    }
}

fn source(
    view: &View,
    mount: &Mount,
    (bundle, rootfs): (&Path, &Path),
    origin: &str,
) -> Result<Source> {
    let Some(source) = &mount.source else {
        return Err(Error::new(format!("{origin}: a bind needs a source")));
    };
    let path = bundle.join(source);
    let made = made(view, &path, rootfs);
    if let Some(found @ (Found::Directory(_) | Found::File)) = &made {
        let directory = matches!(found, Found::Directory(_));
        return Ok(Source { path: utf8(path, origin)?, directory, made: true, link: None });
    }
    let link = match mount.options.copy_symlink {
        true => link(&path, rootfs, mount, origin)?,
        false => None,
    };
    if link.is_some() {
        return Ok(Source { path: utf8(path, origin)?, directory: false, made: false, link });
    }
    let metadata =
        if mount.options.source_nofollow { path.symlink_metadata() } else { path.metadata() };
    let metadata = metadata.map_err(|e| {
        Error::io(format!("{origin}: source {}", path.display()), "stat", &e)
            .hint("the source of a bind must exist on the host")
    })?;
    let path = utf8(path, origin)?;
    Ok(Source { path, directory: metadata.is_dir(), made: made.is_some(), link: None })
}

/// What earlier mounts make stand at a path of the host's, if it is one in the rootfs.
fn made(view: &View, path: &Path, rootfs: &Path) -> Option<Found> {
    let inside = match path.strip_prefix(rootfs) {
        Ok(inside) => inside.to_owned(),
        // The rootfs may be reached by another name.
        Err(_) if path.symlink_metadata().is_err() => real(path)?.strip_prefix(rootfs).ok()?.into(),
        Err(_) => return None,
    };
    let mut place = Vec::new();
    for part in inside.components() {
        match part {
            Component::Normal(name) => place.push(name.to_str()?.to_owned()),
            // Links are the host's here, where they may lead out of the rootfs.
            Component::ParentDir if view.is_directory(&place) => drop(place.pop()?),
            _ => return None,
        }
    }
    view.made(&place)
}

/// A path as it is without links, as far as it exists.
fn real(path: &Path) -> Option<PathBuf> {
    let resolved = |ancestor: &Path| {
        let rest = path.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(rest))
    };
    path.ancestors().find_map(resolved)
}

/// What the source says if it is a symbolic link, and whether the image says the same.
fn link(source: &Path, rootfs: &Path, mount: &Mount, origin: &str) -> Result<Option<Link>> {
    let Ok(target) = std::fs::read_link(source) else { return Ok(None) };
    let destination = Path::new(&mount.destination);
    let there = || {
        let root = sys::file::open_path(rootfs).ok()?;
        let parent = sys::file::open_in_root(&root, destination.parent()?).ok()?;
        sys::copy::said_by(&parent, destination.file_name()?).ok()
    };
    let there = there().is_some_and(|said| said == target);
    Ok(Some(Link { target: utf8(target, origin)?, there }))
}
