//! The options of a container without a bundle: `run`, and what `spec` and `explain` show of it.
//!
//! Types words and says which options they came with; what they mean in config.json is
//! `spec::embedded`'s.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::environment::{Variable, variables};
use super::read_document;
use super::table::options;
use super::value::{Directory, Number, Switch, Value};
use crate::container::Users;
use crate::origin::Origins;
use crate::spec::embedded::{Embedded, embedded};
use crate::spec::text::{self, Who};
use crate::spec::{Mount, Spec};
use crate::{Error, Result, log, sys};

/// A size in bytes, or -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(
    /// As `text::bytes` reads it; or -1.
    pub i64,
);

impl Value for Bytes {
    fn parse(word: &OsStr) -> Result<Self> {
        match word.to_string_lossy().as_ref() {
            "-1" => Ok(Bytes(-1)),
            word => text::bytes(word).map(Bytes),
        }
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

/// A user and perhaps a group, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(
    /// As `text::user` reads it.
    pub Who,
    /// Group.
    pub Option<Who>,
);

impl Value for User {
    fn parse(word: &OsStr) -> Result<Self> {
        text::user(&word.to_string_lossy()).map(|(user, group)| User(user, group))
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
        /// Most memory, such as 512m or 1.5g; more is an OOM kill. 0 or -1: no limit.
        "-m, --memory SIZE" memory: Option<Bytes>,
        /// Most CPU time, in CPUs, such as 1.5; 0: no limit.
        "--cpus NUMBER" cpus: Option<Cpus>,
        /// Most tasks; 0 or -1: no limit.
        "--pids NUMBER" | "--pids-limit" pids: Option<Number<-1, 4_194_304>>,
        /// Host name; default: tiny-ce.
        "-h, --hostname NAME" hostname: Option<String>,
        /// Variable of the environment; without a value: the caller's, if it has one.
        "-e, --env NAME[=VALUE]" env: Vec<Variable>,
        /// Variables of a file, as --env has them, one a line; # begins a comment.
        "--env-file FILE" env_file: Vec<PathBuf>,
        /// Working directory; default: /.
        "-w, --cwd DIRECTORY" | "--workdir" cwd: Option<String>,
        /// User, and perhaps group, by number or by a name of the container's /etc/passwd and
        /// /etc/group; default: 0. Without a group, the user's own there, or 0.
        "-u, --user USER[:GROUP]" user: Option<User>,
        /// Make a file or directory of the host visible in the container.
        "-v, --volume SOURCE:TARGET[:ro]" volume: Vec<Volume>,
        /// Mount the root file system read-only.
        "--read-only" read_only: bool,
        /// With a terminal; =false: without one. Default: if standard input and output are one.
        "-t, --tty" tty: Switch,
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
            ("--env-file", !self.env_file.is_empty()),
            ("--cwd", self.cwd.is_some()),
            ("--user", self.user.is_some()),
            ("--volume", !self.volume.is_empty()),
            ("--read-only", self.read_only),
            ("--tty", self.tty.0.is_some()),
            ("--seccomp", self.seccomp.is_some()),
        ];
        rows.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }

    /// The config.json that these options and the command mean; `terminal`, if they do not say
    /// whether there is one.
    ///
    /// # Errors
    /// A path or a word of the command is not UTF-8, which config.json must be; a volume is
    /// malformed; there is no working directory, or no such user.
    pub fn spec(
        &self,
        command: &[OsString],
        terminal: bool,
        rootless: bool,
    ) -> Result<(Spec, Origins)> {
        let here =
            std::env::current_dir().map_err(|e| Error::io("working directory", "getcwd", &e))?;
        let rootfs = match &self.rootfs {
            Some(Directory(path)) => utf8("--rootfs", here.join(path).into())?,
            None => "/".to_owned(),
        };
        let volumes = self.volume.iter().map(|word| mount(&word.0, &here));
        let volumes: Vec<Mount> = volumes.collect::<Result<_>>()?;
        let default = Embedded::default();
        let user = match &self.user {
            None => default.user,
            Some(User(user, group)) => Users::to_be(Path::new(&rootfs), &volumes)
                .find(user, group.as_ref())
                .map_err(|e| e.within("--user"))?,
        };
        let spec = embedded(&Embedded {
            args: command
                .iter()
                .map(|word| utf8("command", word.clone()))
                .collect::<Result<_>>()?,
            terminal: self.tty.0.unwrap_or(terminal),
            memory_bytes: self.memory.map(|it| it.0),
            cpu_quota_us: self.cpus.map(|it| it.0),
            // As with Docker and Podman; config.json has a number of its own for it.
            pids: self.pids.map(|it| if it.0 == 0 { -1 } else { it.0 }),
            hostname: self.hostname.clone().filter(|it| !it.is_empty()).unwrap_or(default.hostname),
            env: variables(&self.env_file, &self.env)?,
            cwd: self.cwd.clone().filter(|it| !it.is_empty()).unwrap_or(default.cwd),
            user,
            rootfs,
            volumes,
            read_only: self.read_only,
            seccomp: match self.seccomp.as_deref() {
                None => default.seccomp,
                Some(path) if path == Path::new("unconfined") => None,
                Some(path) => Some(read_document(path)?.0),
            },
            rootless: rootless.then(|| (sys::user::effective_uid(), sys::user::effective_gid())),
            cgroup2: cgroup2(),
        });
        let origins = self.origins(&spec);
        Ok((spec, origins))
    }

    /// Which option each field of that config.json came from.
    fn origins(&self, spec: &Spec) -> Origins {
        let mut origins = Origins::default();
        let seccomp = self.seccomp.as_ref().map(|file| format!("--seccomp {file:?}: "));
        for (field, option) in [
            ("hostname", self.hostname.is_some().then_some("--hostname")),
            ("root.path", self.rootfs.is_some().then_some("--rootfs")),
            ("process.args", Some("the command")),
            ("process.cwd", self.cwd.is_some().then_some("--cwd")),
            ("process.env", Some("--env")),
            ("process.user", self.user.is_some().then_some("--user")),
            ("linux.resources.memory", self.memory.is_some().then_some("--memory")),
            ("linux.resources.cpu", self.cpus.is_some().then_some("--cpus")),
            ("linux.resources.pids", self.pids.is_some().then_some("--pids")),
            ("linux.seccomp.", seccomp.as_deref()),
        ] {
            let Some(option) = option else { continue };
            origins.add(field, option);
            origins.add(format!("config.json: {field}"), option);
        }
        let first = spec.mounts.len() - self.volume.len();
        for (index, Volume(word)) in self.volume.iter().enumerate() {
            origins.add(format!("mounts[{}]", first + index), format!("--volume {word:?}"));
        }
        origins
    }
}

/// A volume as a bind mount; it is told if labels are asked for.
fn mount(word: &str, here: &Path) -> Result<Mount> {
    if word.splitn(3, ':').nth(2).is_some_and(|more| more.split(',').any(text::is_label)) {
        log::warning(&format!("--volume {word:?}: its files keep their SELinux labels"));
    }
    text::volume(word, here)
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
