//! The options of a container without a bundle, for `run`, `spec` and `explain`.
//!
//! Parses the words, applies them to the defaults of `spec::embedded`, and records which option set
//! a field of config.json: a row has the option and its field, `spec` changes the field.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::environment::{Variable, variables};
use super::limits::LimitOptions;
use super::read_document;
use super::table::{Opt, OptionSet, options};
use super::value::{Directory, Switch, Value, choice};
use crate::container::Users;
use crate::host::ids;
use crate::host::lacks::Lacks;
use crate::host::parts::Parts;
use crate::origin::Origins;
use crate::spec::embedded::embedded;
use crate::spec::idmap::Maps;
use crate::spec::text::{self, Who};
use crate::spec::{Cpu, IdMapping, Linux, Mount, Process, Resources, Spec};
use crate::{Error, Result, log, sys};

choice! {
    /// Which ids a container has whose caller is not root.
    pub enum Ids {
        /// The caller's, which is 0.
        "own" Own,
        /// Also those that are given to the caller.
        "all" All,
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
        /// Root file system; default: the host's files, seen through overlays whose changes vanish.
        "--rootfs DIRECTORY" rootfs: Option<Directory> => "root.path",
        /// Most CPU time, in CPUs, such as 1.5; 0: no limit. Sets --cpu-quota and --cpu-period.
        "--cpus NUMBER" cpus: Option<Cpus> => "linux.resources.cpu",
        /// Host name; default: tiny-ce.
        "-h, --hostname NAME" hostname: Option<String> => "hostname",
        /// Variable of the environment; without a value: the caller's, if it has one.
        "-e, --env NAME[=VALUE]" env: Vec<Variable> => "process.env",
        /// Variables of a file, as --env has them, one a line; # begins a comment.
        "--env-file FILE" env_file: Vec<PathBuf> => "process.env",
        /// Working directory; default: /.
        "-w, --cwd DIRECTORY" | "--workdir" cwd: Option<String> => "process.cwd",
        /// User, and perhaps group, by number or by a name of the container's /etc/passwd and
        /// /etc/group; default: 0. Without a group, the user's own there, or 0.
        "-u, --user USER[:GROUP]" user: Option<User> => "process.user",
        /// Ids of a container whose caller is not root: own is the caller's alone, all are also
        /// those of /etc/subuid and /etc/subgid. Default: all, where newuidmap can map them.
        "--ids own|all" ids: Option<Ids> => "linux.uidMappings",
        /// Make a file or directory of the host visible in the container.
        "-v, --volume SOURCE:TARGET[:ro]" volume: Vec<Volume>,
        /// Mount the root file system read-only.
        "--read-only" read_only: bool,
        /// With a terminal; =false: without one. Default: if standard input and output are one.
        "-t, --tty" tty: Switch,
        /// System calls that are refused, as linux.seccomp in JSON; "unconfined" refuses none.
        /// Default: those that reach beyond the container.
        "--seccomp FILE" seccomp: Option<PathBuf>,
        ..limits: LimitOptions
    }
}

/// What the machine gives to a container without a bundle.
#[derive(Default)]
pub struct Machine {
    /// What shows the host's files; `None` with --rootfs.
    pub parts: Option<Parts>,
    /// What the container has to do without.
    pub lacks: Lacks,
}

impl EmbeddedOptions {
    /// The first word about a container without a bundle, as typed.
    pub fn asked(&self, command: &[OsString]) -> Option<&'static str> {
        let command = (!command.is_empty()).then_some("a command behind --");
        self.given().next().map(Opt::name).or(command)
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
        machine: Machine,
    ) -> Result<(Spec, Origins)> {
        let mut spec = embedded(self.maps(rootless)?, cgroup2());
        let mut origins = self.origins("config.json", "");
        self.do_without(machine.lacks, &mut spec);
        if let Some(parts) = machine.parts {
            self.show(parts, &mut spec, &mut origins);
        }
        let here =
            std::env::current_dir().map_err(|e| Error::io("working directory", "getcwd", &e))?;
        let root = spec.root.get_or_insert_default();
        if let Some(Directory(path)) = &self.rootfs {
            root.path = utf8("--rootfs", here.join(path).into())?;
        }
        root.readonly = self.read_only;
        let volumes = self.volume.iter().map(|word| mount(&word.0, &here));
        let volumes: Vec<Mount> = volumes.collect::<Result<_>>()?;
        let found = |User(user, group): &User| {
            let users = Users::to_be(Path::new(&root.path), &volumes);
            users.find(user, group.as_ref()).map_err(|e| e.within("--user"))
        };
        let user = self.user.as_ref().map(found).transpose()?;
        for (index, Volume(word)) in (spec.mounts.len()..).zip(&self.volume) {
            origins.add(format!("mounts[{index}]"), format!("--volume {word:?}"));
        }
        spec.mounts.extend(volumes);
        if let Some(name) = self.hostname.as_ref().filter(|it| !it.is_empty()) {
            spec.hostname = Some(name.clone());
        }
        let process = spec.process.get_or_insert_default();
        process.terminal = self.tty.0.unwrap_or(terminal);
        if let Some(user) = user {
            self.has_ids(&user, spec.linux.as_ref())?;
            process.run_as(user);
        }
        self.process(process, command)?;
        origins.add("process.args", "the command");
        origins.add("config.json: process.args", "the command");
        let linux = spec.linux.get_or_insert_default();
        self.limits(&mut linux.resources)?;
        if let Some(path) = &self.seccomp {
            let filter = path != Path::new("unconfined");
            let failed = |e: Error| match e.errno() {
                Some(libc::ENOENT) => e.hint("it begins at the working directory"),
                _ => e,
            };
            let read = || read_document(path).map_err(|e| failed(e).within("--seccomp"));
            linux.seccomp = filter.then(read).transpose()?.map(|it| it.0);
            origins.add("linux.seccomp.", format!("--seccomp {path:?}: "));
            origins.add("config.json: linux.seccomp.", format!("--seccomp {path:?}: "));
        }
        Ok((spec, origins))
    }

    /// The ids of a container whose caller has no root's rights.
    ///
    /// # Errors
    /// All are asked for, and the caller cannot map them; or the caller is root.
    fn maps(&self, rootless: bool) -> Result<Option<Maps>> {
        match (rootless, self.ids) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(Error::new("--ids: a container of root has every id")
                .hint("give --rootless for a user namespace, or leave --ids out")),
            (true, Some(Ids::Own)) => Ok(Some(ids::own())),
            // Root who asks for --rootless gives the container no id that is not needed.
            (true, None) if !sys::user::is_rootless() => Ok(Some(ids::own())),
            (true, Some(Ids::All)) => ids::many().map(Some).map_err(|e| e.within("--ids all")),
            (true, None) => Ok(Some(ids::many().unwrap_or_else(|e| {
                log::debug(|| format!("a container has one id: {}", e.line()));
                ids::own()
            }))),
        }
    }

    /// Check that the container has the ids of a user.
    ///
    /// # Errors
    /// It does not; the error says why it has no more.
    fn has_ids(&self, user: &crate::spec::User, linux: Option<&Linux>) -> Result<()> {
        let Some(linux) = linux.filter(|linux| !linux.uid_mappings.is_empty()) else {
            return Ok(());
        };
        let lacks = |map: &[IdMapping], id: u32| IdMapping::outside(map, id).is_none();
        let groups = user.additional_gids.iter().chain([&user.gid]).copied();
        let group = groups.into_iter().find(|gid| lacks(&linux.gid_mappings, *gid));
        let what = match (lacks(&linux.uid_mappings, user.uid), group) {
            (true, _) => format!("user {}", user.uid),
            (false, Some(gid)) => format!("group {gid}"),
            (false, None) => return Ok(()),
        };
        let error = Error::new(format!("--user: the container has no {what}"));
        Err(match ids::many() {
            _ if self.ids == Some(Ids::Own) => error.hint("leave --ids own out"),
            Ok(_) => error.hint("the caller's ranges in /etc/subuid and /etc/subgid are too small"),
            Err(e) => error.detail(e.line()).hint(e.advice().unwrap_or("run as root")),
        })
    }

    /// Leave out what the kernel lacks, unless it is asked for.
    fn do_without(&self, lacks: Lacks, spec: &mut Spec) {
        if lacks.queues {
            spec.mounts.retain(|mount| mount.kind.as_deref() != Some("mqueue"));
            log::warning("this kernel has no POSIX message queues: there is no /dev/mqueue");
        }
        if lacks.filters && self.seccomp.is_none() {
            spec.linux.get_or_insert_default().seccomp = None;
            log::warning(
                "this kernel has no system call filters, or a sandbox refuses them: the container \
                 has none, as with --seccomp unconfined",
            );
        }
    }

    /// Show the host's files.
    fn show(&self, parts: Parts, spec: &mut Spec, origins: &mut Origins) {
        for index in 0..parts.mounts.len() {
            origins.add(format!("mounts[{index}]"), "the host's");
        }
        if parts.bare {
            log::warning(
                "this kernel has no overlayfs (modprobe overlay): the host's files are read-only, \
                 and /tmp and /var/tmp are empty",
            );
        }
        for place in parts.readonly {
            log::warning(&format!(
                "{place}: read-only, since it has too many entries beside what is mounted there"
            ));
        }
        let linux = spec.linux.get_or_insert_default();
        linux.masked_paths.extend(parts.masked);
        if self.read_only {
            let writable = parts.mounts.iter().filter(|mount| !mount.is_bind());
            let places = writable.map(|mount| mount.destination.clone());
            linux.readonly_paths.extend(places.filter(|place| place != "/"));
        }
        spec.mounts.splice(0..0, parts.mounts);
    }

    fn process(&self, process: &mut Process, command: &[OsString]) -> Result<()> {
        if !command.is_empty() {
            let word = |word: &OsString| utf8("command", word.clone());
            process.args = command.iter().map(word).collect::<Result<_>>()?;
        }
        if let Some(cwd) = self.cwd.as_ref().filter(|it| !it.is_empty()) {
            process.cwd.clone_from(cwd);
        }
        process.add_variables(variables(&self.env_file, &self.env)?);
        Ok(())
    }

    fn limits(&self, resources: &mut Option<Resources>) -> Result<()> {
        if let Some(Cpus(quota)) = self.cpus {
            if self.limits.has("cpu.quota") || self.limits.has("cpu.period") {
                let text = "--cpus: sets --cpu-quota and --cpu-period, which are given as well";
                return Err(Error::new(text).hint("give --cpus, or the other two"));
            }
            let period = Some(text::CPU_PERIOD_US);
            let cpu = Cpu { quota: Some(quota), period, ..Cpu::default() };
            resources.get_or_insert_default().cpu = Some(cpu);
        }
        self.limits.put_new(resources);
        Ok(())
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
///
/// # Errors
/// The word is not UTF-8.
pub fn utf8(what: &str, word: OsString) -> Result<String> {
    let wrong = |word: OsString| {
        Error::new(format!("{what} {:?}: not UTF-8, which config.json is", PathBuf::from(word)))
    };
    word.into_string().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::parse;

    fn spec(line: &str, rootless: bool) -> Spec {
        let (read, result) = parse(line.split(' ').map(OsString::from));
        assert_eq!(result, Ok(()), "{line}");
        let options = EmbeddedOptions::take(&read.input).expect(line);
        options.spec(&[], false, rootless, Machine::default()).expect(line).0
    }

    #[test]
    fn without_options_there_are_the_defaults() {
        for rootless in [false, true] {
            let many = sys::user::is_rootless().then(|| ids::many().ok()).flatten();
            let maps = rootless.then(|| many.unwrap_or_else(ids::own));
            let defaults = embedded(maps, cgroup2());
            assert_eq!(spec("run", rootless), defaults);
            let said = |default: &str, opt: &str| {
                let doc = EmbeddedOptions::ROWS.iter().find(|row| row.name() == opt);
                let doc = doc.map_or("", |row| row.doc);
                assert!(doc.contains(&format!("default: {default}.")), "{opt}: {doc}");
            };
            said(&defaults.hostname.expect("a name"), "--hostname");
            said(&defaults.process.expect("a process").cwd, "--cwd");
        }
    }

    #[test]
    fn limits_are_there_if_asked_for() {
        let limits = |line: &str, rootless| spec(line, rootless).linux.expect("linux").resources;
        assert_eq!(limits("run", true), None);
        let pids = limits("run --pids 9", true).expect("resources");
        assert_eq!((pids.pids.and_then(|it| it.limit), pids.memory), (Some(9), None));
        assert_eq!(limits("run --pids-limit 0 -m 0", true), None, "0 is no limit");
        let default = limits("run", false).expect("resources");
        assert_eq!(default.devices.len(), 1, "no device but the default ones");
        let cpu = limits("run --cpus 1.5 --cpu-burst 7 --cpuset-cpus 0-1", true);
        let cpu = cpu.and_then(|it| it.cpu).expect("limits of CPUs");
        assert_eq!((cpu.quota, cpu.period, cpu.burst), (Some(150_000), Some(100_000), Some(7)));
        assert_eq!(cpu.cpus.as_deref(), Some("0-1"));
    }
}
