//! Resolve a path inside a container before its mounts exist: through the symbolic links of the
//! image and of what `mounts` put over it, as runc and crun follow them.
//!
//! Only reads. The result decides which directories the plan makes, but never where something is
//! attached: init resolves every path again, inside the root. If a link is exchanged meanwhile,
//! init fails, or makes an empty directory inside the root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::spec::paths::components;
use crate::sys::{copy, file};

/// The files of a container after its mounts: the image, and each mount over those before it.
pub struct View {
    layers: Vec<Layer>,
}

struct Layer {
    place: Vec<String>,
    content: Content,
}

/// What a mount shows.
pub enum Content {
    /// A directory of the host.
    Directory(PathBuf),
    /// Anything that is not a directory.
    File,
    /// A symbolic link with this target.
    Link(String),
    /// A new file system without symbolic links, and the mode of its root if that is known.
    New(Option<u32>),
    /// The files that it covers.
    Same,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing that this process can see.
    Missing,
    /// A directory, and its mode if that is known.
    Directory(Option<u32>),
    /// A file of another kind.
    File,
    /// A symbolic link with this target.
    Link(String),
}

/// The kernel follows 40 symbolic links in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// The most components of one path that are looked up, those of links included.
const MOST_COMPONENTS: usize = 4096;

impl View {
    /// The view of an image without mounts.
    pub fn new(rootfs: &Path) -> View {
        let content = Content::Directory(rootfs.to_owned());
        View { layers: vec![Layer { place: Vec::new(), content }] }
    }

    /// Mount something at a place that [`View::lead`] returned.
    pub fn mount(&mut self, place: Vec<String>, content: Content) {
        self.layers.push(Layer { place, content });
    }

    /// The place that a path leads to, as components. A `..` after a component that does not exist
    /// removes that component. `None` if the path has too many links or components, or a link is
    /// not UTF-8.
    pub fn lead(&self, path: &str, follow_last: bool) -> Option<Vec<String>> {
        let owned = |path: &str| components(path).into_iter().rev().map(str::to_owned).collect();
        let mut left: Vec<String> = owned(path);
        let mut place: Vec<String> = Vec::new();
        let (mut links, mut seen, mut missing) = (0, 0, false);
        while let Some(part) = left.pop() {
            seen += 1;
            if seen > MOST_COMPONENTS {
                return None;
            }
            if part == ".." {
                place.pop();
                missing = false;
                continue;
            }
            place.push(part);
            if left.is_empty() && !follow_last {
                break;
            }
            if missing && !self.has_below(&place) {
                continue;
            }
            let found = self.look(&place);
            missing = found == Found::Missing;
            let Found::Link(target) = found else { continue };
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

    /// What a place names, none of whose parents is a symbolic link.
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

    /// Whether something is mounted at or below a place.
    fn has_below(&self, place: &[String]) -> bool {
        let mounts = self.layers.get(1..).unwrap_or_default();
        mounts.iter().any(|layer| layer.place.starts_with(place))
    }

    /// Whether a place names a directory, once the mounts are made.
    pub fn is_directory(&self, place: &[String]) -> bool {
        let found = self.made(place).unwrap_or_else(|| self.look(place));
        matches!(found, Found::Directory(_))
    }

    /// What a place names once the mounts are made; `None` if no mount is at, above or below it.
    pub fn made(&self, place: &[String]) -> Option<Found> {
        let mounts = self.layers.get(1..).unwrap_or_default();
        let under = self.has_below(place);
        let over = mounts.iter().any(|layer| place.starts_with(&layer.place));
        match self.look(place) {
            // Init makes the parents of a mount's destination.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn place(view: &View, path: &str) -> Option<String> {
        view.lead(path, true).map(|parts| parts.join("/"))
    }

    #[test]
    fn paths_lead_through_what_is_mounted() {
        let dir = std::env::temp_dir().join(format!("tiny-ce-view-{}", std::process::id()));
        let (root, volume) = (dir.join("root"), dir.join("volume"));
        fs::create_dir_all(root.join("a/b")).expect("a directory");
        fs::create_dir_all(&volume).expect("a directory");
        symlink("../../out", root.join("a/up")).expect("a link");
        symlink("self/x", root.join("self")).expect("a link");
        symlink("/there", volume.join("away")).expect("a link");
        let wide = "x/".repeat(2000);
        symlink(&wide, root.join("wide")).expect("a link");
        let mut view = View::new(&root);
        assert_eq!(place(&view, "/a/./up/c").as_deref(), Some("out/c"));
        assert_eq!(view.lead("/a/up", false), Some(vec!["a".to_owned(), "up".to_owned()]));
        assert_eq!(place(&view, "../no/../a/b/../..").as_deref(), Some(""));
        // A link to itself, and paths of too many components.
        assert_eq!(place(&view, "/self"), None);
        assert_eq!(place(&view, "/wide/../").map(|path| path.len()), Some(2 * 1999 - 1));
        assert_eq!(place(&view, &format!("/wide/{}", "y/".repeat(3000))), None);
        // A mount covers links of the image, and has links of its own.
        assert_eq!(view.made(&["a".to_owned()]), None);
        view.mount(vec!["a".to_owned()], Content::Directory(volume));
        assert_eq!(place(&view, "/a/up/c").as_deref(), Some("a/up/c"));
        assert_eq!(place(&view, "/a/away/c").as_deref(), Some("there/c"));
        view.mount(vec!["a".to_owned(), "l".to_owned()], Content::Link("away".to_owned()));
        assert_eq!(place(&view, "/a/l").as_deref(), Some("there"));
        view.mount(vec!["new".to_owned(), "fs".to_owned()], Content::New(Some(0o700)));
        let named =
            |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(view.made(&named(&["new"])), Some(Found::Directory(Some(0o755))));
        assert_eq!(view.made(&named(&["new", "fs"])), Some(Found::Directory(Some(0o700))));
        assert_eq!(view.made(&named(&["new", "fs", "x"])), Some(Found::Missing));
        assert_eq!(view.made(&named(&["else"])), None);
        fs::remove_dir_all(&dir).expect("the directory");
    }
}
