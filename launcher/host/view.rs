//! Where a path inside a container leads while it does not exist yet: along the symbolic links of
//! the image and of what `mounts` put over it, as runc and crun follow them.
//!
//! Only reads. What is found here decides which directories the plan makes, never where something
//! is attached: init resolves every path again, inside the root. A link that is exchanged
//! meanwhile makes init fail, or make an empty directory inside the root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::compile::root::components;
use crate::sys::{copy, file};

/// The files of a container as they will be: the image, and each mount over those before it.
pub struct View {
    layers: Vec<Layer>,
}

struct Layer {
    place: Vec<String>,
    content: Content,
}

/// What a mount shows.
pub enum Content {
    /// A directory of the host's.
    Directory(PathBuf),
    /// Anything that is not a directory.
    File,
    /// A symbolic link that says this.
    Link(String),
    /// A new file system, in which there is nothing that leads elsewhere; with the mode of its
    /// root, if that is known.
    New(Option<u32>),
    /// What is there already.
    Same,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, as far as can be seen.
    Missing,
    /// A directory; with its mode, if that is known.
    Directory(Option<u32>),
    /// Anything else.
    File,
    /// A symbolic link that says this.
    Link(String),
}

/// The kernel follows 40 symbolic links in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// So many components are looked at for one path, links included.
const MOST_COMPONENTS: usize = 4096;

impl View {
    /// Of an image, without any mount.
    pub fn new(rootfs: &Path) -> View {
        let content = Content::Directory(rootfs.to_owned());
        View { layers: vec![Layer { place: Vec::new(), content }] }
    }

    /// Mount something at a place that [`View::lead`] gave.
    pub fn mount(&mut self, place: Vec<String>, content: Content) {
        self.layers.push(Layer { place, content });
    }

    /// The components of the place that a path leads to. A `..` after what does not exist takes
    /// that component away. `None` if the path is endless, or not UTF-8.
    pub fn lead(&self, path: &str, follow_last: bool) -> Option<Vec<String>> {
        let owned = |path: &str| components(path).into_iter().rev().map(str::to_owned).collect();
        let mut left: Vec<String> = owned(path);
        let mut place: Vec<String> = Vec::new();
        let (mut links, mut seen) = (0, 0);
        while let Some(part) = left.pop() {
            seen += 1;
            if seen > MOST_COMPONENTS {
                return None;
            }
            if part == ".." {
                place.pop();
                continue;
            }
            place.push(part);
            if left.is_empty() && !follow_last {
                break;
            }
            let Found::Link(target) = self.look(&place) else { continue };
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            if target.starts_with('/') {
                place.clear();
            } else {
                place.pop();
            }
            left.extend::<Vec<String>>(owned(&target));
        }
        Some(place)
    }

    /// What stands at a place, none of whose parents is a link.
    pub fn look(&self, place: &[String]) -> Found {
        for layer in self.layers.iter().rev() {
            let Some(rest) = place.strip_prefix(layer.place.as_slice()) else { continue };
            return match &layer.content {
                Content::Same => continue,
                Content::Directory(path) => below(path, rest),
                Content::New(mode) if rest.is_empty() => Found::Directory(*mode),
                Content::Link(target) if rest.is_empty() => Found::Link(target.clone()),
                Content::File if rest.is_empty() => Found::File,
                Content::New(_) | Content::Link(_) | Content::File => Found::Missing,
            };
        }
        Found::Missing
    }

    /// What the mounts make stand at a place: `None` if none of them has to do with it.
    pub fn made(&self, place: &[String]) -> Option<Found> {
        let mounts = self.layers.get(1..).unwrap_or_default();
        let under = mounts.iter().any(|layer| layer.place.starts_with(place));
        let over = mounts.iter().any(|layer| place.starts_with(&layer.place));
        match self.look(place) {
            // The parents of a mount's destination are made.
            Found::Missing if under => Some(Found::Directory(Some(0o755))),
            found if under || over => Some(found),
            _ => None,
        }
    }
}

fn below(directory: &Path, rest: &[String]) -> Found {
    found(directory, rest).unwrap_or(Found::Missing)
}

fn found(directory: &Path, rest: &[String]) -> Option<Found> {
    let directory: OwnedFd = file::open_path(directory).ok()?;
    let named = match rest {
        [] => directory,
        _ => file::name_below(&directory, Path::new(&rest.join("/"))).ok()?,
    };
    let mode = file::mode(&named).ok()?;
    Some(match mode & libc::S_IFMT {
        libc::S_IFDIR => Found::Directory(Some(mode & 0o7777)),
        libc::S_IFLNK => {
            let target = copy::read_link(named.as_fd(), c"").ok()?;
            Found::Link(target.into_string().ok()?)
        }
        _ => Found::File,
    })
}
