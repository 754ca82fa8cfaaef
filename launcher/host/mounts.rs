//! The facts about `mounts`: the sources of binds, the paths that destinations lead to, the
//! directories that a tmpfs covers. Each mount is looked up on top of the mounts before it.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::view::{Content, Found, View};
use super::{DeviceFacts, Launch, Link, MountFacts, Part, Source, ToMake, utf8};
use crate::error::{Error, Result};
use crate::spec::paths::{components, lexical};
use crate::spec::{Device, Mount, NamespaceKind, Spec};

/// The facts about mounts, and about the paths that are looked up on top of all mounts: those of
/// devices and the working directory.
///
/// # Errors
/// The source of a bind does not exist, may not be looked up, or is not UTF-8.
pub fn probe(
    spec: &Spec,
    launch: &Launch<'_>,
) -> Result<(Vec<MountFacts>, Vec<DeviceFacts>, Option<String>)> {
    let mut view = View::new(launch.rootfs);
    let mut mounts = Vec::with_capacity(spec.mounts.len());
    for (index, mount) in spec.mounts.iter().enumerate() {
        let (facts, place) = if index < launch.parts {
            shown(mount, index)?
        } else {
            let source = match mount.is_bind() {
                true => Some(launched(&view, mount, index, launch)?),
                false => None,
            };
            look(&view, mount, source)
        };
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
        DeviceFacts { directory, missing: user && !is_on_host(device) }
    };
    let devices = spec.linux.iter().flat_map(|linux| &linux.devices).map(device).collect();
    let cwd = spec.process.as_ref().map_or("", |process| &process.cwd);
    // Init enters the working directory by its path as configured, so that whatever comes before a
    // `..` must exist.
    let plain = !cwd.split('/').any(|part| part == "..");
    let lead = view.lead(cwd, true).filter(|_| plain);
    Ok((mounts, devices, elsewhere(cwd, lead.as_deref())))
}

/// The sources of binds for a container that runs, whose files `root` shows. The launcher opens all
/// of them on the host, since it does not see the mounts of the container.
///
/// # Errors
/// A source does not exist, or may not be opened.
pub fn sources(mounts: &[Mount], bundle: &Path, root: &Path) -> Result<Vec<Option<Source>>> {
    let view = View::new(root);
    let source = |(index, mount): (usize, &Mount)| match mount.is_bind() {
        true => source(mount, (bundle, &view), &mount.origin(index), |_| None).map(Some),
        false => Ok(None),
    };
    mounts.iter().enumerate().map(source).collect()
}

/// The facts about a mount for a container that runs, whose files `root` shows.
pub fn mounted(root: &Path, mount: &Mount, source: Option<Source>) -> MountFacts {
    look(&View::new(root), mount, source).0
}

/// The facts about one mount, and the place where it is attached.
fn look(view: &View, mount: &Mount, source: Option<Source>) -> (MountFacts, Option<Vec<String>>) {
    let link = source.as_ref().is_some_and(|source| source.link.is_some());
    let place = destination(view, mount, link);
    let tmpfs_mode = place.as_deref().and_then(|place| tmpfs_mode(view, mount, place));
    let destination = elsewhere(&mount.destination, place.as_deref());
    (MountFacts { source, tmpfs_mode, part: None, destination }, place)
}

/// Whether the host has this device, of the same kind and number, at its path.
fn is_on_host(device: &Device) -> bool {
    let (major, minor) = device.number();
    std::fs::metadata(&device.path).is_ok_and(|found| {
        found.mode() & libc::S_IFMT == device.kind.file_type() as u32
            && found.rdev() == libc::makedev(major, minor)
    })
}

/// The place where a mount is attached.
fn destination(view: &View, mount: &Mount, link: bool) -> Option<Vec<String>> {
    let parts = lexical(&mount.destination);
    if matches!(parts.as_slice(), ["proc" | "sys" | "dev"]) {
        // Init refuses a symbolic link there.
        return Some(parts.into_iter().map(str::to_owned).collect());
    }
    view.lead(&mount.destination, !link && !mount.options.target_nofollow)
}

/// The place as a path; `None` if it is `path` itself.
fn elsewhere(path: &str, place: Option<&[String]>) -> Option<String> {
    let place = place?.join("/");
    (place != components(path).join("/")).then_some(place)
}

fn content(mount: &Mount, facts: &MountFacts) -> Content {
    if let Some(part) = &facts.part {
        return Content::Directory(part.lower.clone().into());
    }
    match &facts.source {
        Some(Source { link: Some(link), .. }) => Content::Link(link.target.clone()),
        Some(Source { directory: false, .. }) => Content::File,
        Some(Source { made: true, .. }) => Content::New(None),
        Some(source) => Content::Directory(source.path.clone().into()),
        None if mount.options.copy_up => Content::Same,
        None => Content::New(facts.tmpfs_mode.or_else(|| mount.options.mode())),
    }
}

/// The facts about a mount that `parts` gives, and its place: one of the host, whose path has no
/// symbolic link. So nothing has to be looked up on top of the mounts before it, of which there can
/// be a thousand.
///
/// # Errors
/// The place has gone since.
fn shown(mount: &Mount, index: usize) -> Result<(MountFacts, Option<Vec<String>>)> {
    let place = components(&mount.destination).into_iter().map(str::to_owned).collect();
    let mut facts = MountFacts { part: part(mount), ..MountFacts::default() };
    if mount.is_bind() {
        let path = mount.destination.clone();
        let kind = std::fs::symlink_metadata(&path)
            .map_err(|e| Error::io(format!("{}: source {path}", mount.origin(index)), "stat", &e))?
            .file_type();
        // The directory around it is a new tmpfs, which has no link yet.
        let target = kind.is_symlink().then(|| std::fs::read_link(&path).ok()).flatten();
        let target = target.map(|target| utf8(target, &path)).transpose()?;
        let link = target.map(|target| Link { target, present: false });
        // The root file system is the host's, so init finds it there; the launcher may lack the
        // right to clone it, as root of a user namespace without mounts of its own.
        let made = link.is_none();
        facts.source = Some(Source { path, directory: kind.is_dir(), made, link });
    }
    Ok((facts, Some(place)))
}

/// What a mount is an overlay of: of those that `parts` gives, both upper directories are relative.
fn part(mount: &Mount) -> Option<Part> {
    let value = |key: &str| {
        let value = mount.options.parameters().find_map(|word| word.strip_prefix(key));
        value.filter(|value| !value.starts_with('/')).map(str::to_owned)
    };
    let (upper, work) = (value("upperdir=")?, value("workdir=")?);
    let metadata = std::fs::metadata(&mount.destination).ok();
    let (mode, owner) = metadata.map_or((0o755, (0, 0)), |it| (it.mode(), (it.uid(), it.gid())));
    Some(Part { lower: mount.destination.clone(), upper, work, mode: mode & 0o7777, owner })
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
    let paths = (launch.bundle, view);
    source(mount, paths, &mount.origin(index), |path| made(view, path, launch.rootfs))
}

/// The source of a bind; `made` returns what earlier mounts have put at its path.
fn source(
    mount: &Mount,
    (bundle, view): (&Path, &View),
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
        true => link(&path, view, mount, origin)?,
        false => None,
    };
    if link.is_some() {
        return Ok(Source { path: utf8(path, origin)?, directory: false, made: false, link });
    }
    let metadata =
        if mount.options.source_nofollow { path.symlink_metadata() } else { path.metadata() };
    let metadata = metadata
        .map_err(|e| Error::io(format!("{origin}: source {}", path.display()), "stat", &e))?;
    let path = utf8(path, origin)?;
    Ok(Source { path, directory: metadata.is_dir(), made: made.is_some(), link: None })
}

/// What earlier mounts have put at a path of the host, if the path is in the rootfs.
fn made(view: &View, path: &Path, rootfs: &Path) -> Option<Found> {
    let inside = match path.strip_prefix(rootfs) {
        Ok(inside) => inside.to_owned(),
        // The path may name the rootfs through a symbolic link.
        Err(_) if path.symlink_metadata().is_err() => real(path)?.strip_prefix(rootfs).ok()?.into(),
        Err(_) => return None,
    };
    let mut place = Vec::new();
    for part in inside.components() {
        match part {
            Component::Normal(name) => place.push(name.to_str()?.to_owned()),
            // The host resolves this path, so that a symbolic link may lead out of the rootfs.
            Component::ParentDir if view.is_directory(&place) => drop(place.pop()?),
            _ => return None,
        }
    }
    view.made(&place)
}

/// A path without symbolic links, as far as it exists.
fn real(path: &Path) -> Option<PathBuf> {
    let resolved = |ancestor: &Path| {
        let rest = path.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(rest))
    };
    path.ancestors().find_map(resolved)
}

/// What the source says if it is a symbolic link, and whether the container has one at the
/// destination that says the same.
fn link(source: &Path, view: &View, mount: &Mount, origin: &str) -> Result<Option<Link>> {
    let Ok(target) = std::fs::read_link(source) else { return Ok(None) };
    let target = utf8(target, origin)?;
    let place = view.lead(&mount.destination, false);
    let present = place.is_some_and(|place| view.look(&place) == Found::Link(target.clone()));
    Ok(Some(Link { target, present }))
}
