//! The options of a mount: fstab's words → attributes, propagation, superblock parameters.
//!
//! One table. Knows nothing of where a mount goes or how it is made.

use tiny_ce_init::flags::{MountAttrs, Propagation};

/// What one word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Set these attributes of the mount itself.
    Set(MountAttrs),
    /// Clear these.
    Clear(MountAttrs),
    /// Replace the access-time mode, which is one value and not a bit.
    Atime(MountAttrs),
    /// As `Set`, for every mount below too.
    SetAll(MountAttrs),
    /// As `Clear`, for every mount below too.
    ClearAll(MountAttrs),
    /// As `Atime`, for every mount below too.
    AtimeAll(MountAttrs),
    /// Propagation; recursive if true.
    Propagate(Propagation, bool),
    /// A bind; of everything below too if true.
    Bind(bool),
    /// A flag of the superblock.
    Super(&'static str),
    /// What is the case anyway.
    Nothing,
    /// Copy what the image has there into the new tmpfs.
    CopyUp,
    /// Map the ids of the mount; of every mount below too if true.
    IdMap(bool),
    /// Do not follow a symbolic link that the source is.
    SourceNoFollow,
    /// Make a symbolic link that the source is anew, instead of mounting anything.
    CopySymlink,
    /// Do not follow a symbolic link that the destination is: mount on the link itself.
    TargetNoFollow,
    /// Change what is mounted there already.
    Remount,
}

const RELATIME: MountAttrs = MountAttrs(0);

/// Every option that is not a parameter of the file system. Later words win.
pub const OPTIONS: &[(&str, Effect)] = &[
    ("async", Effect::Super("async")),
    ("atime", Effect::Atime(RELATIME)),
    ("bind", Effect::Bind(false)),
    ("copy-symlink", Effect::CopySymlink),
    ("defaults", Effect::Nothing),
    ("dest-nofollow", Effect::TargetNoFollow),
    ("dev", Effect::Clear(MountAttrs::MOUNT_ATTR_NODEV)),
    ("diratime", Effect::Clear(MountAttrs::MOUNT_ATTR_NODIRATIME)),
    ("dirsync", Effect::Super("dirsync")),
    ("exec", Effect::Clear(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("idmap", Effect::IdMap(false)),
    ("iversion", Effect::Super("iversion")),
    ("lazytime", Effect::Super("lazytime")),
    ("loud", Effect::Nothing),
    ("mand", Effect::Super("mand")),
    ("noatime", Effect::Atime(MountAttrs::MOUNT_ATTR_NOATIME)),
    ("nodev", Effect::Set(MountAttrs::MOUNT_ATTR_NODEV)),
    ("nodiratime", Effect::Set(MountAttrs::MOUNT_ATTR_NODIRATIME)),
    ("noexec", Effect::Set(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("noiversion", Effect::Nothing),
    ("nolazytime", Effect::Super("nolazytime")),
    ("nomand", Effect::Super("nomand")),
    ("norelatime", Effect::Atime(MountAttrs::MOUNT_ATTR_STRICTATIME)),
    ("nostrictatime", Effect::Atime(RELATIME)),
    ("nosuid", Effect::Set(MountAttrs::MOUNT_ATTR_NOSUID)),
    ("nosymfollow", Effect::Set(MountAttrs::MOUNT_ATTR_NOSYMFOLLOW)),
    ("private", Effect::Propagate(Propagation::MS_PRIVATE, false)),
    ("ratime", Effect::AtimeAll(RELATIME)),
    ("rbind", Effect::Bind(true)),
    ("rdev", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NODEV)),
    ("rdiratime", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NODIRATIME)),
    ("relatime", Effect::Atime(RELATIME)),
    ("remount", Effect::Remount),
    ("rexec", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("ridmap", Effect::IdMap(true)),
    ("rnoatime", Effect::AtimeAll(MountAttrs::MOUNT_ATTR_NOATIME)),
    ("rnodev", Effect::SetAll(MountAttrs::MOUNT_ATTR_NODEV)),
    ("rnodiratime", Effect::SetAll(MountAttrs::MOUNT_ATTR_NODIRATIME)),
    ("rnoexec", Effect::SetAll(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("rnorelatime", Effect::AtimeAll(MountAttrs::MOUNT_ATTR_STRICTATIME)),
    ("rnostrictatime", Effect::AtimeAll(RELATIME)),
    ("rnosuid", Effect::SetAll(MountAttrs::MOUNT_ATTR_NOSUID)),
    ("rnosymfollow", Effect::SetAll(MountAttrs::MOUNT_ATTR_NOSYMFOLLOW)),
    ("ro", Effect::Set(MountAttrs::MOUNT_ATTR_RDONLY)),
    ("rprivate", Effect::Propagate(Propagation::MS_PRIVATE, true)),
    ("rrelatime", Effect::AtimeAll(RELATIME)),
    ("rro", Effect::SetAll(MountAttrs::MOUNT_ATTR_RDONLY)),
    ("rrw", Effect::ClearAll(MountAttrs::MOUNT_ATTR_RDONLY)),
    ("rshared", Effect::Propagate(Propagation::MS_SHARED, true)),
    ("rslave", Effect::Propagate(Propagation::MS_SLAVE, true)),
    ("rstrictatime", Effect::AtimeAll(MountAttrs::MOUNT_ATTR_STRICTATIME)),
    ("rsuid", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NOSUID)),
    ("rsymfollow", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NOSYMFOLLOW)),
    ("runbindable", Effect::Propagate(Propagation::MS_UNBINDABLE, true)),
    ("rw", Effect::Clear(MountAttrs::MOUNT_ATTR_RDONLY)),
    ("shared", Effect::Propagate(Propagation::MS_SHARED, false)),
    ("silent", Effect::Nothing),
    ("slave", Effect::Propagate(Propagation::MS_SLAVE, false)),
    ("src-nofollow", Effect::SourceNoFollow),
    ("strictatime", Effect::Atime(MountAttrs::MOUNT_ATTR_STRICTATIME)),
    ("suid", Effect::Clear(MountAttrs::MOUNT_ATTR_NOSUID)),
    ("symfollow", Effect::Clear(MountAttrs::MOUNT_ATTR_NOSYMFOLLOW)),
    ("sync", Effect::Super("sync")),
    ("tmpcopyup", Effect::CopyUp),
    ("unbindable", Effect::Propagate(Propagation::MS_UNBINDABLE, false)),
];

/// Attributes to set and to clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attrs {
    /// To set.
    pub set: MountAttrs,
    /// To clear.
    pub clear: MountAttrs,
}

impl Attrs {
    fn set(&mut self, attrs: MountAttrs) {
        self.set |= attrs;
        self.clear = MountAttrs(self.clear.0 & !attrs.0);
    }

    fn clear(&mut self, attrs: MountAttrs) {
        self.clear |= attrs;
        self.set = MountAttrs(self.set.0 & !attrs.0);
    }

    fn atime(&mut self, mode: MountAttrs) {
        self.clear |= MountAttrs::MOUNT_ATTR__ATIME;
        self.set = MountAttrs(self.set.0 & !MountAttrs::MOUNT_ATTR__ATIME.0 | mode.0);
    }

    /// Whether nothing is asked for.
    pub fn is_empty(self) -> bool {
        self == Attrs::default()
    }
}

/// What the options of one mount amount to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options<'a> {
    /// Of the mount itself.
    pub attrs: Attrs,
    /// Of it and of all mounts below it.
    pub all: Attrs,
    /// In the order given; each is recursive if its flag is true.
    pub propagation: Vec<(Propagation, bool)>,
    /// A bind; of everything below too if true.
    pub bind: Option<bool>,
    /// Flags of the superblock.
    pub flags: Vec<&'static str>,
    /// `key` or `key=value` for the file system.
    pub data: Vec<&'a str>,
    /// Copy what the image has there.
    pub copy_up: bool,
    /// Map ids; recursively if true.
    pub idmap: Option<bool>,
    /// Do not follow the source.
    pub source_nofollow: bool,
    /// Copy the source if it is a symbolic link.
    pub copy_symlink: bool,
    /// Do not follow the destination.
    pub target_nofollow: bool,
    /// Change what is there.
    pub remount: bool,
}

/// Whether a word is one of the table, rather than a parameter of the file system.
pub fn is_known(word: &str) -> bool {
    OPTIONS.binary_search_by_key(&word, |(name, _)| name).is_ok() || idmap(word).is_some()
}

/// Whether a word is about the file system itself, which all its mounts share.
pub fn is_of_the_file_system(word: &str) -> bool {
    let row = OPTIONS.binary_search_by_key(&word, |(name, _)| name);
    row.is_ok_and(|at| matches!(OPTIONS[at].1, Effect::Super(_) | Effect::CopyUp))
}

/// crun's `idmap=MAPPING`: whether it is recursive, and the mapping.
pub fn idmap(word: &str) -> Option<(bool, &str)> {
    let (name, mapping) = word.split_once('=')?;
    match name {
        "idmap" => Some((false, mapping)),
        "ridmap" => Some((true, mapping)),
        _ => None,
    }
}

impl<'a> Options<'a> {
    /// Read the words of `mounts[].options`.
    pub fn new(words: &'a [String]) -> Self {
        let mut options = Options::default();
        for word in words {
            match OPTIONS.binary_search_by_key(&word.as_str(), |(name, _)| name) {
                Ok(at) => options.apply(OPTIONS[at].1),
                Err(_) => match idmap(word) {
                    Some((recursive, _)) => options.apply(Effect::IdMap(recursive)),
                    None => options.data.push(word),
                },
            }
        }
        options
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Set(attrs) => self.attrs.set(attrs),
            Effect::Clear(attrs) => self.attrs.clear(attrs),
            Effect::Atime(mode) => self.attrs.atime(mode),
            Effect::SetAll(attrs) => self.all.set(attrs),
            Effect::ClearAll(attrs) => self.all.clear(attrs),
            Effect::AtimeAll(mode) => self.all.atime(mode),
            Effect::Propagate(kind, recursive) => self.propagation.push((kind, recursive)),
            Effect::Bind(recursive) => self.bind = Some(recursive),
            Effect::Super(flag) => self.flags.push(flag),
            Effect::Nothing => {}
            Effect::CopyUp => self.copy_up = true,
            Effect::IdMap(recursive) => self.idmap = Some(recursive),
            Effect::SourceNoFollow => self.source_nofollow = true,
            Effect::CopySymlink => self.copy_symlink = true,
            Effect::TargetNoFollow => self.target_nofollow = true,
            Effect::Remount => self.remount = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_binary_search() {
        assert!(OPTIONS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn later_words_win() {
        let words = ["ro", "nosuid", "rw", "size=1k"].map(str::to_owned);
        let options = Options::new(&words);
        assert_eq!(options.attrs.set, MountAttrs::MOUNT_ATTR_NOSUID);
        assert_eq!(options.attrs.clear, MountAttrs::MOUNT_ATTR_RDONLY);
        assert_eq!(options.data, ["size=1k"]);
    }
}
