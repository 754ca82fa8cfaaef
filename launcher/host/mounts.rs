//! Facts about `mounts`: what the sources of binds are, where destinations lead, which directories
//! are covered. Each mount is looked at in what those before it leave.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::view::{Content, Found, View};
use super::{DeviceFacts, Launch, Link, MountFacts, Source, ToMake, utf8};
use crate::error::{Error, Result};
use crate::spec::paths::{components, lexical};
use crate::spec::{Device, Mount, NamespaceKind, Spec};
use crate::sys;

/// What is to be known about mounts, and about the paths that are looked up after them: devices and
/// the working directory.
pub fn probe(
    spec: &Spec,
    launch: &Launch<'_>,
) -> Result<(Vec<MountFacts>, Vec<DeviceFacts>, Option<String>)> {
    let mut view = View::new(launch.rootfs);
    let mut mounts = Vec::with_capacity(spec.mounts.len());
    for (index, mount) in spec.mounts.iter().enumerate() {
        let source = match mount.is_bind() {
            true => Some(launched(&view, mount, index, launch)?),
            false => None,
        };
        let (facts, place) = look(&view, mount, source);
        if let Some(place) = place.filter(|_| !mount.options.remount) {
            view.mount(place, content(mount, &facts));
        }
        mounts.push(facts);
    }
    let user = spec.namespace(NamespaceKind::User).is_some();
    let device = |device: &Device| {
        let parts = components(&device.path);
        let parents = parts.split_last().map_or_else(String::new, |(_, parents)| parents.join("/"));
        let directory = elsewhere(&parents, view.lead(&parents, true).as_deref());
        DeviceFacts { directory, missing: user && !is_there(device) }
    };
    let devices = spec.linux.iter().flat_map(|linux| &linux.devices).map(device).collect();
    let cwd = spec.process.as_ref().map_or("", |process| &process.cwd);
    // The program enters it by its own name: what comes before a `..` has to be there.
    let plain = !cwd.split('/').any(|part| part == "..");
    let lead = view.lead(cwd, true).filter(|_| plain);
    Ok((mounts, devices, elsewhere(cwd, lead.as_deref())))
}

/// What the sources of the binds are, for a container that runs and whose files `root` shows: the
/// launcher opens them all, as what the container has mounted is not seen from here.
///
/// # Errors
/// A source does not exist, or may not be opened.
pub fn sources(mounts: &[Mount], bundle: &Path, root: &Path) -> Result<Vec<Option<Source>>> {
    let source = |(index, mount): (usize, &Mount)| match mount.is_bind() {
        true => source(mount, (bundle, root), &mount.origin(index), |_| None).map(Some),
        false => Ok(None),
    };
    mounts.iter().enumerate().map(source).collect()
}

/// About a mount that the container is to get now, whose files `root` shows.
pub fn mounted(root: &Path, mount: &Mount, source: Option<Source>) -> MountFacts {
    look(&View::new(root), mount, source).0
}

/// About one mount, and the place that it is to have.
fn look(view: &View, mount: &Mount, source: Option<Source>) -> (MountFacts, Option<Vec<String>>) {
    let link = source.as_ref().is_some_and(|source| source.link.is_some());
    let place = destination(view, mount, link);
    let tmpfs_mode = place.as_deref().and_then(|place| tmpfs_mode(view, mount, place));
    let destination = elsewhere(&mount.destination, place.as_deref());
    (MountFacts { source, tmpfs_mode, destination }, place)
}

/// Whether the host has this very device at its path.
fn is_there(device: &Device) -> bool {
    let (major, minor) = device.number();
    std::fs::metadata(&device.path).is_ok_and(|there| {
        there.mode() & libc::S_IFMT == device.kind.file_type() as u32
            && there.rdev() == libc::makedev(major, minor)
    })
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

fn content(mount: &Mount, facts: &MountFacts) -> Content {
    match &facts.source {
        Some(Source { link: Some(link), .. }) => Content::Link(link.target.clone()),
        Some(Source { directory: false, .. }) => Content::File,
        Some(Source { made: true, .. }) => Content::New(None),
        Some(source) => Content::Directory(source.path.clone().into()),
        None if mount.options.copy_up => Content::Same,
        None => Content::New(facts.tmpfs_mode.or_else(|| mount.options.mode())),
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

/// The source of a bind in a container that is to be made.
fn launched(view: &View, mount: &Mount, index: usize, launch: &Launch<'_>) -> Result<Source> {
    let coming = launch.to_make.iter().find(|it| Some(&it.path) == mount.source.as_ref());
    if let Some(ToMake { path, directory }) = coming.cloned() {
        return Ok(Source { path, directory, made: false, link: None });
    }
    let paths = (launch.bundle, launch.rootfs);
    source(mount, paths, &mount.origin(index), |path| made(view, path, launch.rootfs))
}

/// The source of a bind; `made` tells what earlier mounts make stand at its path.
fn source(
    mount: &Mount,
    (bundle, rootfs): (&Path, &Path),
    origin: &str,
    made: impl FnOnce(&Path) -> Option<Found>,
) -> Result<Source> {
    let Some(source) = &mount.source else {
        return Err(Error::new(format!("{origin}: a bind needs a source")));
    };
    let path = bundle.join(source);
    let made = made(&path);
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
