//! The options of a container without a bundle: `run`, and what `spec` and `explain` show of it.
//!
//! Types words and says which options they came with; what they mean in config.json is
//! `spec::embedded`'s.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::read_document;
use super::table::options;
use super::value::{Directory, Number, Value, expected};
use crate::spec::Spec;
use crate::spec::embedded::{Embedded, embedded};
use crate::spec::text;
use crate::{Error, Result, sys};

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(
    /// As `text::bytes` reads it.
    pub i64,
);

impl Value for Bytes {
    fn parse(word: &OsStr) -> Result<Self> {
        text::bytes(&word.to_string_lossy()).map(Bytes)
    }
}

/// CPU time, in CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(
    /// Microseconds per `text::CPU_PERIOD_US`.
    pub i64,
);

impl Value for Cpus {
    fn parse(word: &OsStr) -> Result<Self> {
        text::cpus(&word.to_string_lossy()).map(Cpus)
    }
}

/// A user and perhaps a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User(
    /// User id.
    pub u32,
    /// Group id.
    pub Option<u32>,
);

impl Value for User {
    fn parse(word: &OsStr) -> Result<Self> {
        text::user(&word.to_string_lossy()).map(|(uid, gid)| User(uid, gid))
    }
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable(
    /// As given.
    pub String,
);

impl Value for Variable {
    fn parse(word: &OsStr) -> Result<Self> {
        match word.to_str() {
            Some(text) if text.find('=').is_some_and(|at| at > 0) => Ok(Variable(text.to_owned())),
            _ => Err(expected(word, "NAME=VALUE")),
        }
    }
}

/// A bind mount, whose source may be relative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume(
    /// As `text::volume` reads it.
    pub String,
);

impl Value for Volume {
    fn parse(word: &OsStr) -> Result<Self> {
        let word = String::parse(word)?;
        text::volume(&word, Path::new("/")).map(|_| Volume(word))
    }
}

options! {
    /// What a container without a bundle is made of.
    pub struct EmbeddedOptions {
        /// Root file system; default: the host's /, seen through an overlay whose changes vanish.
        "--rootfs DIRECTORY" rootfs: Option<Directory>,
        /// Most memory, such as 512m; more is an OOM kill.
        "-m, --memory SIZE" memory: Option<Bytes>,
        /// Most CPU time, in CPUs, such as 1.5.
        "--cpus NUMBER" cpus: Option<Cpus>,
        /// Most tasks.
        "--pids NUMBER" pids: Option<Number<1, 4_194_304>>,
        /// Host name; default: tiny-ce.
        "--hostname NAME" hostname: Option<String>,
        /// Variable of the environment.
        "-e, --env NAME=VALUE" env: Vec<Variable>,
        /// Working directory; default: /.
        "--cwd DIRECTORY" cwd: Option<String>,
        /// User, and group (default: 0), by number; default: 0.
        "-u, --user UID[:GID]" user: Option<User>,
        /// Make a file or directory of the host visible in the container.
        "--volume SOURCE:TARGET[:ro]" volume: Vec<Volume>,
        /// Mount the root file system read-only.
        "--read-only" read_only: bool,
        /// System calls that are refused, as linux.seccomp in JSON; "unconfined" refuses none.
        /// Default: those that reach beyond the container.
        "--seccomp FILE" seccomp: Option<PathBuf>,
    }
}

impl EmbeddedOptions {
    /// The first option that was given, as typed.
    pub fn given(&self) -> Option<&'static str> {
        let rows = [
            ("--rootfs", self.rootfs.is_some()),
            ("--memory", self.memory.is_some()),
            ("--cpus", self.cpus.is_some()),
            ("--pids", self.pids.is_some()),
            ("--hostname", self.hostname.is_some()),
            ("--env", !self.env.is_empty()),
            ("--cwd", self.cwd.is_some()),
            ("--user", self.user.is_some()),
            ("--volume", !self.volume.is_empty()),
            ("--read-only", self.read_only),
            ("--seccomp", self.seccomp.is_some()),
        ];
        rows.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }

    /// The config.json that these options and the command mean.
    ///
    /// # Errors
    /// A path or a word of the command is not UTF-8, which config.json must be; a volume is
    /// malformed; there is no working directory.
    pub fn spec(self, command: &[OsString], terminal: bool, rootless: bool) -> Result<Spec> {
        let here =
            std::env::current_dir().map_err(|e| Error::io("working directory", "getcwd", &e))?;
        let rootfs = match &self.rootfs {
            Some(Directory(path)) => utf8("--rootfs", here.join(path).into())?,
            None => "/".to_owned(),
        };
        let volume = |word: &Volume| text::volume(&word.0, &here);
        let default = Embedded::default();
        let User(uid, gid) = self.user.unwrap_or(User(default.user.0, None));
        Ok(embedded(&Embedded {
            rootfs,
            args: command
                .iter()
                .map(|word| utf8("command", word.clone()))
                .collect::<Result<_>>()?,
            terminal,
            memory_bytes: self.memory.map(|it| it.0),
            cpu_quota_us: self.cpus.map(|it| it.0),
            pids: self.pids.map(|it| it.0),
            hostname: self.hostname.unwrap_or(default.hostname),
            env: self.env.into_iter().map(|it| it.0).collect(),
            cwd: self.cwd.unwrap_or(default.cwd),
            user: (uid, gid.unwrap_or(default.user.1)),
            volumes: self.volume.iter().map(volume).collect::<Result<_>>()?,
            read_only: self.read_only,
            seccomp: match self.seccomp.as_deref() {
                None => default.seccomp,
                Some(path) if path == Path::new("unconfined") => None,
                Some(path) => Some(read_document(path)?.0),
            },
            rootless: rootless.then(|| (sys::user::effective_uid(), sys::user::effective_gid())),
            cgroup2: cgroup2(),
        }))
    }
}

/// Whether /sys/fs/cgroup is of cgroup version 2 alone (cgroups(7)).
pub fn cgroup2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A word that is to be in config.json.
pub fn utf8(what: &str, word: OsString) -> Result<String> {
    let wrong = |word: OsString| {
        Error::new(format!("{what} {:?}: not UTF-8, which config.json is", PathBuf::from(word)))
    };
    word.into_string().map_err(wrong)
}
