//! A directory of the host that attacks aim at, compared with its earlier state.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use tiny_ce_test::{Bundle, Case, Done};

/// The kind, mode, owner, device number and content of each entry, by path.
type Entries = BTreeMap<PathBuf, (u32, u32, u64, Vec<u8>)>;

/// A directory outside every rootfs.
pub struct Victim {
    dir: PathBuf,
    before: Entries,
}

impl Victim {
    /// Make the directory, with files that an attack would change.
    pub fn new(case: &Case) -> Victim {
        let dir = case.dir().join("victim");
        fs::create_dir_all(dir.join("below")).expect("a directory");
        for name in ["file", "null", "console", "ptmx", "below/file"] {
            fs::write(dir.join(name), "of the host").expect("a file");
        }
        let before = entries(&dir);
        Victim { dir, before }
    }

    /// A path in the directory, which need not exist.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Replace the image's `name` by a link to `to` in this directory.
    pub fn linked(&self, bundle: &Bundle, name: &str, to: &str) {
        let link = bundle.rootfs().join(name);
        fs::create_dir_all(link.parent().expect("a directory")).expect("rootfs");
        if link.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            fs::remove_dir_all(&link).expect("the image's directory");
        }
        symlink(self.dir.join(to), link).expect("a link");
    }

    /// Nothing in the directory has changed.
    #[track_caller]
    pub fn is_unharmed(&self, by: &str) {
        assert_eq!(entries(&self.dir), self.before, "{by}");
    }
}

fn entries(dir: &Path) -> Entries {
    let mut found = Entries::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let there = path.symlink_metadata().expect("an entry");
        let content = match there.is_file() {
            true => fs::read(&path).expect("a file"),
            false => Vec::new(),
        };
        if there.is_dir() {
            todo.extend(fs::read_dir(&path).expect("a directory").flatten().map(|it| it.path()));
        }
        found.insert(path, (there.mode(), there.uid(), there.rdev(), content));
    }
    found
}

/// The command failed with one error line that contains `why`; no usage, no panic.
#[track_caller]
pub fn refused(done: &Done, why: &str) {
    assert!(done.fails().starts_with("tiny-ce: "), "{done}");
    assert!(done.stderr.contains(why), "{why:?}: {done}");
    assert!(!done.stderr.contains("panicked"), "{done}");
}

/// The command failed with a message, or succeeded.
#[track_caller]
pub fn fails_cleanly_or_succeeds(done: &Done) {
    if !done.status.success() {
        refused(done, "");
    }
}
