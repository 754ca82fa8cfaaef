//! The options that every command has.
//!
//! Knows where the state is kept and whether the caller counts as rootless. Must not know any
//! command.

use std::env;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use super::table::options;
use super::value::{Directory, choice};
use crate::container::CgroupDriver;
use crate::{Error, Result, log, sys};

choice! {
    /// The format of a line in the log.
    pub enum LogFormat {
        /// `time="…" level=error msg="…"`.
        "text" Text,
        /// `{"level":"error","msg":"…","time":"…"}`.
        "json" Json,
    }
}

impl From<Option<LogFormat>> for log::Format {
    fn from(format: Option<LogFormat>) -> Self {
        match format {
            Some(LogFormat::Json) => log::Format::Json,
            _ => log::Format::Text,
        }
    }
}

choice! {
    /// How much is logged.
    pub enum LogLevel {
        /// Errors.
        "error" Error,
        /// Warnings as well.
        "warning" Warning,
        /// Each action as well.
        "debug" Debug,
    }
}

choice! {
    /// Whether the caller is treated as one without root's rights.
    pub enum Rootless {
        /// Yes.
        "true" True,
        /// No.
        "false" False,
        /// If the caller is not root, or is root of a user namespace.
        "auto" Auto,
    }
}

choice! {
    /// Which program makes the cgroups of containers.
    pub enum Driver {
        /// tiny-ce.
        "cgroupfs" Cgroupfs,
        /// systemd.
        "systemd" Systemd,
        /// None: containers stay in the cgroups of their creator.
        "disabled" Disabled,
    }
}

options! {
    /// Options that every command has, before or after its name.
    pub struct Globals {
        /// Keep the state of containers here; default: /run/tiny-ce, and without root's rights
        /// $XDG_RUNTIME_DIR/tiny-ce, or /tmp/tiny-ce-UID where that is not set.
        "--root DIRECTORY" root: Option<Directory>,
        /// Append errors to this log as well: a file, journald:NAME or syslog:NAME.
        "--log FILE" log: Option<PathBuf>,
        /// Format of the log; default: text.
        "--log-format text|json" log_format: Option<LogFormat>,
        /// How much is logged; default: warning.
        "--log-level error|warning|debug" log_level: Option<LogLevel>,
        /// Log each action as well, as --log-level debug does.
        "--debug" debug: bool,
        /// Whether to work without root's rights; default: auto, which depends on the caller.
        "--rootless true|false|auto" rootless: Option<Rootless>,
        /// Put new containers into a scope of systemd, over D-Bus; the config's cgroupsPath is
        /// slice:prefix:name. Commands for an existing container need no such option.
        "--systemd-cgroup" systemd_cgroup: bool,
        /// How the cgroups of new containers are made; default: cgroupfs. With disabled containers
        /// have no cgroup of their own, and no limits.
        "--cgroup-manager cgroupfs|systemd|disabled" cgroup_manager: Option<Driver>,
        /// Obsolete: criu is looked up in PATH. Accepted with a warning.
        "--criu PATH" criu: Option<PathBuf>,
        /// Print version, commit and the specification's version.
        "-v, --version" version: bool,
        /// Print this help, or a command's.
        "-h, --help" help: bool,
    }
}

impl Globals {
    /// Where the state of containers is kept; absolute. The directory need not exist yet.
    ///
    /// # Errors
    /// The path is `/`, the working directory is unknown, or without --root and root's rights
    /// XDG_RUNTIME_DIR is not set.
    pub fn state_root(&self) -> Result<PathBuf> {
        let root = match &self.root {
            Some(Directory(root)) => root.clone(),
            None => default_root(rootless_caller())?,
        };
        let root = std::path::absolute(&root)
            .map_err(|e| Error::io(format_args!("--root {:?}", root), "getcwd", &e))?;
        if is_slash(&root) {
            return Err(Error::new("--root \"/\": the root directory cannot hold the state"));
        }
        Ok(root)
    }

    /// Who makes the cgroups of containers that are created.
    ///
    /// # Errors
    /// The two options that say so disagree.
    pub fn cgroups(&self) -> Result<CgroupDriver> {
        match (self.cgroup_manager, self.systemd_cgroup) {
            (None, true) | (Some(Driver::Systemd), _) => Ok(CgroupDriver::Systemd),
            (None | Some(Driver::Cgroupfs), false) => Ok(CgroupDriver::Cgroupfs),
            (Some(Driver::Disabled), false) => Ok(CgroupDriver::Disabled),
            (Some(Driver::Cgroupfs | Driver::Disabled), true) => Err(Error::new(
                "--systemd-cgroup: --cgroup-manager says otherwise; give one of them",
            )),
        }
    }

    /// Whether the caller is treated as one without root's rights.
    pub fn rootless(&self) -> bool {
        self.asked_rootless().unwrap_or_else(rootless_caller)
    }

    /// The same, if it is said.
    pub fn asked_rootless(&self) -> Option<bool> {
        match self.rootless {
            Some(Rootless::True) => Some(true),
            Some(Rootless::False) => Some(false),
            Some(Rootless::Auto) | None => None,
        }
    }

    /// How much is logged.
    pub fn level(&self) -> log::Level {
        match (self.debug, self.log_level) {
            (true, _) | (_, Some(LogLevel::Debug)) => log::Level::Debug,
            (_, Some(LogLevel::Error)) => log::Level::Error,
            _ => log::Level::Warning,
        }
    }
}

/// Not root, or root of a user namespace other than the machine's (user_namespaces(7)) that has a
/// session, or that lacks the group of terminals, as after `unshare --map-root-user`.
fn rootless_caller() -> bool {
    let session = || env::var_os("XDG_RUNTIME_DIR").is_some();
    sys::user::effective_uid() != 0
        || sys::user::in_user_namespace() && (session() || !sys::user::has_group(TTY))
}

/// The group that owns terminals.
const TTY: u32 = 5;

fn default_root(rootless: bool) -> Result<PathBuf> {
    if !rootless {
        return Ok(PathBuf::from("/run/tiny-ce"));
    }
    match env::var_os("XDG_RUNTIME_DIR").filter(|it| !it.is_empty()) {
        Some(runtime) => Ok(PathBuf::from(runtime).join("tiny-ce")),
        None => own_directory(&format!("/tmp/tiny-ce-{}", sys::user::effective_uid())),
    }
}

/// Make a directory below /tmp where nobody else can, or find that it is the caller's alone. In
/// /tmp nobody but its owner can rename it, since that has the sticky bit (chmod(2)).
fn own_directory(path: &str) -> Result<PathBuf> {
    match DirBuilder::new().mode(0o1700).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::io(path, "mkdir", &e).hint(
                "it keeps the state without XDG_RUNTIME_DIR: set XDG_RUNTIME_DIR, or say where \
                 with --root DIRECTORY",
            ));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(path).map_err(|e| Error::io(path, "lstat", &e))?;
    let own = found.uid() == sys::user::effective_uid() && found.mode() & 0o077 == 0;
    if found.is_dir() && own {
        return Ok(PathBuf::from(path));
    }
    Err(Error::new(format!("{path}: not a directory that only the caller can enter")).hint(
        "it keeps the state without XDG_RUNTIME_DIR: remove it, set XDG_RUNTIME_DIR, or say where \
         with --root DIRECTORY",
    ))
}

fn is_slash(path: &Path) -> bool {
    let depth = path.components().fold(0usize, |depth, part| match part {
        Component::Normal(_) => depth + 1,
        Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    });
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slash_in_every_spelling() {
        for path in ["/", "//", "/.", "/..", "/a/..", "/a/../.."] {
            assert!(is_slash(Path::new(path)), "{path}");
        }
        for path in ["/a", "/a/../b", "/../a"] {
            assert!(!is_slash(Path::new(path)), "{path}");
        }
    }
}
