//! Read `mounts[].options`, the words of fstab(5), to attributes, propagation, and parameters of
//! the file system.
//!
//! No other module compares the word of an option: the words are looked up in one table, once, when
//! the document is read. This module does not know where a mount goes or how it is made.

use serde::{Serialize, Serializer};
use tiny_ce_init::flags::{MountAttrs, Propagation};

use super::json::{Blank, Field, Node, Reader};

/// The effect of one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Set these attributes of the mount itself.
    Set(MountAttrs),
    /// Clear these attributes of the mount itself.
    Clear(MountAttrs),
    /// Set these flags for access times.
    Times(Times),
    /// Clear these flags for access times.
    NotTimes(Times),
    /// As `Set`, and for every mount below.
    SetAll(MountAttrs),
    /// As `Clear`, and for every mount below.
    ClearAll(MountAttrs),
    /// Replace the access-time mode, which is one value and not a bit, also for every mount below.
    AtimeAll(MountAttrs),
    /// Set the propagation; recursively if true.
    Propagate(Propagation, bool),
    /// Bind the source; with every mount below if true, even if a later word is `bind`.
    Bind(bool),
    /// A flag of the superblock.
    Super(&'static str),
    /// The word asks for the default.
    Nothing,
    /// Copy the image's files at the destination into the new tmpfs.
    CopyUp,
    /// Map the ids of the mount; also of every mount below if true.
    IdMap(bool),
    /// If the source is a symbolic link, bind the link itself.
    SourceNoFollow,
    /// If the source is a symbolic link, make the same link instead of a mount.
    CopySymlink,
    /// If the destination is a symbolic link, mount on the link itself.
    TargetNoFollow,
    /// Change the mount at the destination.
    Remount,
    /// A word that is not in the table: parameters, which only the file system knows.
    Parameters,
}

const RELATIME: MountAttrs = MountAttrs(0);

/// The flags of mount(2) for access times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times(u8);

impl Times {
    const STRICT: Times = Times(1);
    const NONE: Times = Times(2);
    const RELATIVE: Times = Times(4);
    const NOT_OF_DIRECTORIES: Times = Times(8);

    fn has(self, other: Times) -> bool {
        self.0 & other.0 != 0
    }

    /// Return the attributes for these flags. As in path_mount() of the kernel's fs/namespace.c,
    /// MS_STRICTATIME overrides MS_NOATIME, which overrides MS_RELATIME, in whichever order they
    /// came.
    fn attrs(self) -> MountAttrs {
        let mode = match self {
            times if times.has(Times::STRICT) => MountAttrs::MOUNT_ATTR_STRICTATIME,
            times if times.has(Times::NONE) => MountAttrs::MOUNT_ATTR_NOATIME,
            _ => RELATIME,
        };
        match self.has(Times::NOT_OF_DIRECTORIES) {
            true => mode | MountAttrs::MOUNT_ATTR_NODIRATIME,
            false => mode,
        }
    }
}

/// The attributes, without access times, that mount(2) sets or clears in a remount, according to
/// its flags.
const REPLACED: [MountAttrs; 5] = [
    MountAttrs::MOUNT_ATTR_RDONLY,
    MountAttrs::MOUNT_ATTR_NOSUID,
    MountAttrs::MOUNT_ATTR_NODEV,
    MountAttrs::MOUNT_ATTR_NOEXEC,
    MountAttrs::MOUNT_ATTR_NOSYMFOLLOW,
];

/// Every option that is not a parameter of the file system. Later words win.
pub const OPTIONS: &[(&str, Effect)] = &[
    ("async", Effect::Super("async")),
    ("atime", Effect::NotTimes(Times::NONE)),
    ("bind", Effect::Bind(false)),
    ("copy-symlink", Effect::CopySymlink),
    ("defaults", Effect::Nothing),
    ("dest-nofollow", Effect::TargetNoFollow),
    ("dev", Effect::Clear(MountAttrs::MOUNT_ATTR_NODEV)),
    ("diratime", Effect::NotTimes(Times::NOT_OF_DIRECTORIES)),
    ("dirsync", Effect::Super("dirsync")),
    ("exec", Effect::Clear(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("idmap", Effect::IdMap(false)),
    ("iversion", Effect::Super("iversion")),
    ("lazytime", Effect::Super("lazytime")),
    ("loud", Effect::Nothing),
    ("mand", Effect::Super("mand")),
    ("noatime", Effect::Times(Times::NONE)),
    ("nodev", Effect::Set(MountAttrs::MOUNT_ATTR_NODEV)),
    ("nodiratime", Effect::Times(Times::NOT_OF_DIRECTORIES)),
    ("noexec", Effect::Set(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("noiversion", Effect::Nothing),
    ("nolazytime", Effect::Super("nolazytime")),
    ("nomand", Effect::Super("nomand")),
    ("norelatime", Effect::NotTimes(Times::RELATIVE)),
    ("nostrictatime", Effect::NotTimes(Times::STRICT)),
    ("nosuid", Effect::Set(MountAttrs::MOUNT_ATTR_NOSUID)),
    ("nosymfollow", Effect::Set(MountAttrs::MOUNT_ATTR_NOSYMFOLLOW)),
    ("private", Effect::Propagate(Propagation::MS_PRIVATE, false)),
    ("rasync", Effect::Super("async")),
    ("ratime", Effect::AtimeAll(RELATIME)),
    ("rbind", Effect::Bind(true)),
    ("rdev", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NODEV)),
    ("rdiratime", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NODIRATIME)),
    ("rdirsync", Effect::Super("dirsync")),
    ("relatime", Effect::Times(Times::RELATIVE)),
    ("remount", Effect::Remount),
    ("rexec", Effect::ClearAll(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("ridmap", Effect::IdMap(true)),
    ("rmand", Effect::Super("mand")),
    ("rnoatime", Effect::AtimeAll(MountAttrs::MOUNT_ATTR_NOATIME)),
    ("rnodev", Effect::SetAll(MountAttrs::MOUNT_ATTR_NODEV)),
    ("rnodiratime", Effect::SetAll(MountAttrs::MOUNT_ATTR_NODIRATIME)),
    ("rnoexec", Effect::SetAll(MountAttrs::MOUNT_ATTR_NOEXEC)),
    ("rnomand", Effect::Super("nomand")),
    ("rnorelatime", Effect::AtimeAll(RELATIME)),
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
    ("rsync", Effect::Super("sync")),
    ("runbindable", Effect::Propagate(Propagation::MS_UNBINDABLE, true)),
    ("rw", Effect::Clear(MountAttrs::MOUNT_ATTR_RDONLY)),
    ("shared", Effect::Propagate(Propagation::MS_SHARED, false)),
    ("silent", Effect::Nothing),
    ("slave", Effect::Propagate(Propagation::MS_SLAVE, false)),
    ("src-nofollow", Effect::SourceNoFollow),
    ("strictatime", Effect::Times(Times::STRICT)),
    ("suid", Effect::Clear(MountAttrs::MOUNT_ATTR_NOSUID)),
    ("symfollow", Effect::Clear(MountAttrs::MOUNT_ATTR_NOSYMFOLLOW)),
    ("sync", Effect::Super("sync")),
    ("tmpcopyup", Effect::CopyUp),
    ("unbindable", Effect::Propagate(Propagation::MS_UNBINDABLE, false)),
];

/// Attributes to set and to clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attrs {
    /// The attributes to set.
    pub set: MountAttrs,
    /// The attributes to clear.
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

    /// Whether there is no attribute to set or to clear.
    pub fn is_empty(self) -> bool {
        self == Attrs::default()
    }
}

/// The effects of all options of one mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountOptions {
    /// The words as they are written, each with its effect.
    words: Vec<(String, Effect)>,
    /// Attributes of the mount itself, without access times.
    attrs: Attrs,
    /// Access times of the mount itself.
    times: Times,
    /// Whether a word sets or clears a flag of mount(2).
    pub named: bool,
    /// Attributes of the mount and of all mounts below it.
    pub all: Attrs,
    /// The propagation types in the order given; each is recursive if its flag is true.
    pub propagation: Vec<(Propagation, bool)>,
    /// Whether the mount is a bind; with every mount below if true.
    pub bind: Option<bool>,
    /// Flags of the superblock.
    pub flags: Vec<&'static str>,
    /// Whether ids are mapped; recursively if true.
    pub idmap: Option<bool>,
    /// See [`Effect::CopyUp`].
    pub copy_up: bool,
    /// See [`Effect::SourceNoFollow`].
    pub source_nofollow: bool,
    /// See [`Effect::CopySymlink`].
    pub copy_symlink: bool,
    /// See [`Effect::TargetNoFollow`].
    pub target_nofollow: bool,
    /// See [`Effect::Remount`].
    pub remount: bool,
}

/// Return the effect of a word.
fn meaning(word: &str) -> Effect {
    match OPTIONS.binary_search_by_key(&word, |(name, _)| name) {
        Ok(at) => OPTIONS[at].1,
        // crun's `idmap=MAPPING`.
        Err(_) => match word.split_once('=') {
            Some(("idmap", _)) => Effect::IdMap(false),
            Some(("ridmap", _)) => Effect::IdMap(true),
            _ => Effect::Parameters,
        },
    }
}

/// Whether a word holds several options, separated by commas, of which at least one is a flag.
pub fn holds_flags(word: &str) -> bool {
    parameters(word).any(|part| meaning(part) != Effect::Parameters)
}

/// Split a word into parameters of a file system, at its commas. A comma does not separate between
/// quotes, after a backslash (overlay), or between the nodes of tmpfs's `mpol=bind:0,2`.
fn parameters(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(word);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = separator(text);
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
    // The kernel ignores an empty parameter, and one without a name.
    .filter(|parameter| !parameter.is_empty() && !parameter.starts_with('='))
}

/// Return the index of the first comma that separates parameters.
fn separator(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut quoted, mut escaped) = (false, false);
    bytes.iter().enumerate().position(|(at, byte)| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => escaped = !literal,
            b',' if !quoted && !literal => {
                let node = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
                return !(node && text.starts_with("mpol="));
            }
            _ => {}
        }
        false
    })
}

/// Escape a path so that it is one layer of `lowerdir` in one word: a colon separates layers, a
/// comma parameters.
pub fn layer(path: &str) -> String {
    path.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}

impl MountOptions {
    /// Return the words as they are written, each with its effect.
    pub fn words(&self) -> impl Iterator<Item = (&str, Effect)> {
        self.words.iter().map(|(word, effect)| (word.as_str(), *effect))
    }

    /// Whether a word clears `nodev`, even if a later word sets it again.
    pub fn asks_for_devices(&self) -> bool {
        const NODEV: MountAttrs = MountAttrs::MOUNT_ATTR_NODEV;
        let asks = |effect| effect == Effect::Clear(NODEV) || effect == Effect::ClearAll(NODEV);
        self.words().any(|(_, effect)| asks(effect))
    }

    /// Return the parameters of the file system, `key` or `key=value`.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.words()
            .filter(|(_, effect)| *effect == Effect::Parameters)
            .flat_map(|(word, _)| parameters(word))
    }

    /// Return the mode that `mode=` gives the root of a file system.
    pub fn mode(&self) -> Option<u32> {
        let given = self.parameters().filter_map(|word| word.strip_prefix("mode=")).last()?;
        // The kernel refuses a value that is not a mode.
        Some(u32::from_str_radix(given, 8).unwrap_or_default())
    }

    /// Return MAPPING of the last `idmap=MAPPING` or `ridmap=MAPPING`.
    pub fn mapping(&self) -> Option<&str> {
        let maps = self.words().filter(|(_, effect)| matches!(effect, Effect::IdMap(_)));
        maps.filter_map(|(word, _)| Some(word.split_once('=')?.1)).last()
    }

    /// Return all attributes of a mount that is made new.
    pub fn made(&self) -> MountAttrs {
        self.attrs.set | self.times.attrs()
    }

    /// Return the attributes to set and to clear on an existing mount. Access times stay as they
    /// are unless an option names them.
    pub fn asked(&self) -> Attrs {
        let mut attrs = self.attrs;
        if self.times != Times::default() {
            attrs.clear |= MountAttrs::MOUNT_ATTR__ATIME | MountAttrs::MOUNT_ATTR_NODIRATIME;
            attrs.set |= self.times.attrs();
            let set = MountAttrs::MOUNT_ATTR_NODIRATIME.0 & attrs.set.0;
            attrs.clear = MountAttrs(attrs.clear.0 & !set);
        }
        attrs
    }

    /// As `asked` for a mount of the host, whose restrictions stay: only access times are cleared.
    pub fn restricting(&self) -> Attrs {
        let Attrs { set, clear } = self.asked();
        let times = MountAttrs::MOUNT_ATTR__ATIME.0 | MountAttrs::MOUNT_ATTR_NODIRATIME.0;
        Attrs { set, clear: MountAttrs(clear.0 & times) }
    }

    /// Return the attributes that no option names; mount(2) clears them on an existing mount.
    pub fn unnamed(&self) -> impl Iterator<Item = MountAttrs> {
        let named = self.attrs.set.0 | self.attrs.clear.0;
        REPLACED.into_iter().filter(move |attr| attr.0 & named == 0)
    }

    fn apply(&mut self, effect: Effect) {
        self.named |= matches!(
            effect,
            Effect::Set(_)
                | Effect::Clear(_)
                | Effect::Times(_)
                | Effect::NotTimes(_)
                | Effect::Super(_)
                | Effect::Nothing
        );
        match effect {
            Effect::Set(attrs) => self.attrs.set(attrs),
            Effect::Clear(attrs) => self.attrs.clear(attrs),
            Effect::Times(times) => self.times.0 |= times.0,
            Effect::NotTimes(times) => self.times.0 &= !times.0,
            Effect::SetAll(attrs) => self.all.set(attrs),
            Effect::ClearAll(attrs) => self.all.clear(attrs),
            Effect::AtimeAll(mode) => self.all.atime(mode),
            Effect::Propagate(kind, recursive) => self.propagation.push((kind, recursive)),
            Effect::Bind(recursive) => self.bind = Some(recursive || self.bind == Some(true)),
            Effect::Super(flag) => self.flags.push(flag),
            Effect::Nothing => {}
            Effect::CopyUp => self.copy_up = true,
            Effect::IdMap(recursive) => self.idmap = Some(recursive),
            Effect::SourceNoFollow => self.source_nofollow = true,
            Effect::CopySymlink => self.copy_symlink = true,
            Effect::TargetNoFollow => self.target_nofollow = true,
            Effect::Remount => self.remount = true,
            Effect::Parameters => {}
        }
    }
}

impl<W: Into<String>> Extend<W> for MountOptions {
    fn extend<I: IntoIterator<Item = W>>(&mut self, words: I) {
        let words = words.into_iter();
        // The launcher's allocator does not free the memory that a growing vector leaves.
        self.words.reserve_exact(words.size_hint().0);
        for word in words {
            let word = word.into();
            let effect = meaning(&word);
            self.apply(effect);
            self.words.push((word, effect));
        }
    }
}

impl<W: Into<String>> FromIterator<W> for MountOptions {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Self {
        let mut options = MountOptions::default();
        options.extend(words);
        options
    }
}

impl Field for MountOptions {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        Vec::<String>::read(node, reader).map(Self::from_iter)
    }

    fn missing() -> Option<Self> {
        Some(Self::default())
    }
}

impl Blank for MountOptions {
    fn is_blank(&self) -> bool {
        self.words.is_empty()
    }
}

impl Serialize for MountOptions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.words().map(|(word, _)| word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_binary_search() {
        assert!(OPTIONS.is_sorted_by(|a, b| a.0 < b.0));
    }

    fn read(words: &[&str]) -> MountOptions {
        words.iter().copied().collect()
    }

    #[test]
    fn the_words_are_written_as_they_were_read() {
        let text = r#"["ro","","size=1,mode=700","idmap=a","ridmap=b","idmap"]"#;
        let options: MountOptions = crate::spec::json::read(text.as_bytes()).expect("options");
        assert_eq!(serde_json::to_string(&options).expect("JSON"), text);
        assert_eq!((options.mode(), options.mapping()), (Some(0o700), Some("b")));
        assert_eq!(options.idmap, Some(false));
    }

    #[test]
    fn later_words_win() {
        let options = read(&["ro", "nosuid", "rw", "size=1k"]);
        assert_eq!(options.made(), MountAttrs::MOUNT_ATTR_NOSUID);
        assert_eq!(options.asked().clear, MountAttrs::MOUNT_ATTR_RDONLY);
        assert_eq!(options.parameters().collect::<Vec<_>>(), ["size=1k"]);
    }

    #[test]
    fn a_bind_of_everything_stays_one() {
        for (given, recursive) in [
            (&["rbind", "bind"][..], true),
            (&["bind", "rbind"][..], true),
            (&["bind", "rprivate"][..], false),
        ] {
            assert_eq!(read(given).bind, Some(recursive), "{given:?}");
        }
    }

    #[test]
    fn a_flag_that_is_named_takes_the_others_away() {
        let unnamed = |given: &[&str]| read(given).unnamed().count();
        assert!(!read(&["rbind", "rprivate", "rro", "tmpcopyup"]).named);
        for given in ["rw", "exec", "relatime", "diratime", "silent", "defaults", "sync"] {
            assert!(read(&[given]).named, "{given}");
        }
        assert_eq!(unnamed(&["ro", "exec", "nosuid"]), 2);
        assert_eq!(unnamed(&["relatime"]), 5);
    }

    #[test]
    fn access_times_are_kept_unless_a_way_of_keeping_them_is_asked_for() {
        const TIMES: u64 = 0xf0;
        for (given, set, clear) in [
            (&["atime", "diratime", "norelatime", "nostrictatime"][..], 0, 0),
            (&["relatime"][..], 0, 0xf0),
            (&["noatime", "relatime"][..], 0x10, 0xf0),
            (&["strictatime", "noatime"][..], 0x20, 0xf0),
            (&["strictatime", "nostrictatime"][..], 0, 0),
            (&["nodiratime"][..], 0x80, 0x70),
        ] {
            let asked = read(given).asked();
            assert_eq!((asked.set.0 & TIMES, asked.clear.0 & TIMES), (set, clear), "{given:?}");
        }
    }

    #[test]
    fn one_word_may_have_several_parameters() {
        for (word, parts) in [
            ("size=64k,mode=700", &["size=64k", "mode=700"][..]),
            (",size=64k,,=x,", &["size=64k"]),
            ("", &[]),
            ("mpol=bind:0,2,size=1k", &["mpol=bind:0,2", "size=1k"]),
            ("mode=7,1", &["mode=7", "1"]),
            ("context=\"a:s0:c1,c2\",mode=7", &["context=\"a:s0:c1,c2\"", "mode=7"]),
            ("lowerdir=/a\\,b:/c\\\\,ro", &["lowerdir=/a\\,b:/c\\\\", "ro"]),
        ] {
            assert_eq!(parameters(word).collect::<Vec<_>>(), parts, "{word}");
        }
    }
}
