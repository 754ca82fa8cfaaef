//! Prepare everything that a launch needs, without a side effect: `explain` stops here.

use std::path::{Path, PathBuf};

use super::netns::NetworkChoice;
use super::nodev;
use super::scope::{self, CgroupDriver, Wanted};
use super::{hosts, resolver};
use crate::analysis::Recorder;
use crate::cgroup::{self, Cgroup, Devices, Hierarchies, Setting};
use crate::compile::activation::{self, Listen, Preserved};
use crate::compile::{self, ContainerRequest, FilterBytes, Then};
use crate::error::{Error, Result};
use crate::host::{self, Host, ToMake};
use crate::origin::Origins;
use crate::plan::Finished;
use crate::spec::check::{Allow, check};
use crate::spec::json::Violation;
use crate::spec::{IdMapping, Mount, NamespaceKind, Process, Spec, load};
use crate::state::{ETC_RESOLV, ROOTFS};
use crate::usernet::Usernet;
use crate::{log, seccomp, sys};

/// The source of the configuration.
#[derive(Debug, Clone)]
pub enum Source {
    /// A directory with a config.json.
    Bundle {
        /// The path as the user gave it.
        path: PathBuf,
        /// The name of the file in the directory, usually `config.json`.
        config: String,
    },
    /// A configuration made from options, whose rootfs may be the host's.
    Embedded {
        /// The configuration.
        spec: Box<Spec>,
        /// If changes to the rootfs go to a tmpfs and vanish: how many of the first mounts show the
        /// host's files.
        parts: Option<usize>,
        /// The options behind each field: errors name them, since the user never saw the
        /// configuration.
        origins: Origins,
    },
}

impl Source {
    /// Return the option behind each field; empty if the configuration is a file.
    pub(super) fn origins(&self) -> Origins {
        match self {
            Source::Bundle { .. } => Origins::default(),
            Source::Embedded { origins, .. } => origins.clone(),
        }
    }
}

/// What the caller asks for besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct LaunchOptions {
    /// The file to which init's pid is written.
    pub pid_file: Option<PathBuf>,
    /// The listening sockets that the program gets: the caller's descriptors from 3 on.
    pub listen: Listen,
    /// The service manager's socket, to which the program's notifications are passed on.
    pub notify_socket: Option<PathBuf>,
    /// How many descriptors after the listening sockets the program inherits.
    pub preserve_fds: u32,
    /// Move the root over `/` and chroot(2), instead of pivot_root(2), which fails on an initramfs.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Whether to leave out cgroups that the caller may not make; by default only if the caller is
    /// not root.
    pub rootless: Option<bool>,
    /// The socket to which the master of the terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// The socket to which a pidfd of init is sent.
    pub pidfd_socket: Option<PathBuf>,
    /// The container's network, if not as the configuration has it.
    pub network: Option<NetworkChoice>,
    /// What makes the container's cgroup.
    pub cgroup_driver: CgroupDriver,
    /// Whether init stays as the container's first process; by default only if there is no bundle.
    pub init: Option<bool>,
    /// What takes the times of `--analyze`.
    pub recorder: Recorder,
}

impl LaunchOptions {
    /// The program that makes the network, if one does.
    pub fn usernet(&self) -> Option<Usernet> {
        self.network.as_ref().and_then(NetworkChoice::usernet)
    }
}

/// Everything that a launch needs.
pub struct Prepared {
    /// The configuration, checked.
    pub spec: Box<Spec>,
    /// config.json as it was read.
    pub config: Vec<u8>,
    /// The absolute path of the bundle.
    pub bundle: PathBuf,
    /// The facts about the host.
    pub host: Host,
    /// Where the container's groups will be.
    pub cgroup: Cgroup,
    /// The systemd scope, if systemd makes the groups.
    pub wanted: Option<Wanted>,
    /// The limits that are written there.
    pub settings: Vec<Setting>,
    /// The devices that the container may use.
    pub devices: Devices,
    /// The plan that init runs.
    pub plan: Finished,
    /// The caller's descriptors that the program inherits.
    pub preserved: Preserved,
    /// Whether the rootfs is the host's, and its changes vanish.
    pub ephemeral: bool,
    /// Whether init stays as the first process.
    pub init: bool,
}

impl Prepared {
    /// Whether the program wants a terminal.
    pub fn terminal(&self) -> bool {
        self.spec.process.as_ref().is_some_and(|process| process.terminal)
    }
}

/// Read and check the configuration, probe the host, and compile the plan. `state` is the path of
/// the container's state directory, which need not exist.
///
/// # Errors
/// The configuration cannot be read or breaks a rule, or this host lacks what it asks for.
pub fn prepare(
    id: &str,
    state: &Path,
    source: Source,
    options: &LaunchOptions,
    then: Then,
) -> Result<Prepared> {
    let origins = source.origins();
    read_and_compile(id, state, source, options, then).map_err(|e| origins.apply(e))
}

fn read_and_compile(
    id: &str,
    state: &Path,
    source: Source,
    options: &LaunchOptions,
    then: Then,
) -> Result<Prepared> {
    let (mut spec, config, bundle, parts, init) = read(source, state, options)?;
    options.recorder.phase("the host");
    let hierarchies = cgroup::probe()?;
    let by = options.cgroup_driver;
    let (mut cgroup, mut wanted) = scope::locate(by, &spec, (id, state), &hierarchies)?;
    let rootless = crate::sys::user::is_rootless();
    // Where no cgroup limits devices, `nodev` restricts them by other means.
    let unlimited = rootless || by == CgroupDriver::Disabled || hierarchies.all.is_empty();
    let (settings, devices) = resources(&spec, &hierarchies, unlimited)?;
    scope::limits_need_one(by, &settings)?;
    empty_cgroup_mounts(&spec, &hierarchies);
    if let Some(wanted) = &mut wanted {
        wanted.limit(&settings, &devices);
    } else if options.rootless.unwrap_or(rootless) && !has_path(&spec) {
        leave_out(&mut cgroup, &settings)?;
    }
    let nodev = nodev::judge(&mut spec, &cgroup)?;
    let rootfs = host::rootfs(&spec, &bundle)?;
    let to_make = add(&mut spec, (&rootfs, parts.is_some()), options, (id, state))?;
    let launch = host::Launch {
        bundle: &bundle,
        rootfs: &rootfs,
        cgroup: &cgroup,
        hierarchies: &hierarchies,
        scope: wanted.is_some(),
        nodev,
        parts: parts.unwrap_or(0),
        to_make: &to_make,
    };
    let host = host::probe(&spec, &launch)?;
    host::security(&spec)?;
    options.recorder.phase("the plan");
    let filter = filter(&spec)?;
    let directory = state.join(ROOTFS).to_string_lossy().into_owned();
    let preserved = preserved(&options.listen, options.preserve_fds)?;
    let request = ContainerRequest {
        spec: &spec,
        host: &host,
        then,
        filter: filter.as_ref(),
        preserved: &preserved,
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        ephemeral: parts.is_some().then_some(&directory),
        init,
        usernet: options.usernet().map(Usernet::word),
    };
    let plan = compile::compile(&request)?;
    Ok(Prepared {
        spec,
        config,
        bundle,
        host,
        cgroup,
        wanted,
        settings,
        devices,
        plan,
        preserved,
        ephemeral: parts.is_some(),
        init,
    })
}

/// Leave out the cgroups that the caller may not make. The configuration needs none of these, so
/// only --debug shows them; "doctor" lists them.
fn leave_out(cgroup: &mut Cgroup, settings: &[Setting]) -> Result<()> {
    cgroup.leave_out(settings)?.into_iter().for_each(|text| log::debug(|| text));
    Ok(())
}

/// Add to the configuration what the command line asks for, before the host is probed. Return the
/// paths that do not exist yet, because they are made with the container.
fn add(
    spec: &mut Spec,
    (rootfs, ephemeral): (&Path, bool),
    options: &LaunchOptions,
    (id, state): (&str, &Path),
) -> Result<Vec<ToMake>> {
    let mut to_make = Vec::new();
    if let Some(namespace) =
        options.network.as_ref().map(|it| it.apply(spec, id)).transpose()?.flatten()
    {
        to_make.push(namespace);
        to_make.extend(hosts::bind(spec, rootfs, state));
    }
    if let Some(usernet) = options.usernet() {
        usernet.find()?;
        to_make.extend(hosts::bind(spec, rootfs, state));
        match resolver::bind(spec, rootfs, state, ephemeral) {
            Ok(file) => to_make.extend(file),
            Err(text) => log::warning(&format!("{ETC_RESOLV}: {text}")),
        }
    }
    if options.notify_socket.is_some() {
        let path = state.join(crate::state::NOTIFY).to_string_lossy().into_owned();
        activation::notify(spec, &path);
        to_make.push(ToMake { path, directory: true });
    }
    if let Some(process) = &mut spec.process {
        activation::listen(&mut process.env, &options.listen);
    }
    Ok(to_make)
}

/// Warn of cgroup mounts that will be empty, because the host has no cgroup file system.
fn empty_cgroup_mounts(spec: &Spec, hierarchies: &Hierarchies) {
    if !hierarchies.all.is_empty() {
        return;
    }
    let kind = |mount: &Mount| matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"));
    for (index, mount) in spec.mounts.iter().enumerate().filter(|(_, mount)| kind(mount)) {
        let place = &mount.destination;
        log::warning(&format!(
            "mounts[{index}] {place:?}: no cgroup file system is mounted on this host: it is empty"
        ));
    }
}

/// Find which of the caller's descriptors from 3 on are open. The listening sockets come first, and
/// all of them must be open; of those that `--preserve-fds` counts, some may be closed, as in crun.
pub fn preserved(listen: &Listen, count: u32) -> Result<Preserved> {
    let count = listen.count.saturating_add(count);
    let numbers = 3..3u32.saturating_add(count.min(sys::process::MOST_DESCRIPTORS as u32));
    let holes: Vec<u32> = numbers.filter(|fd| !sys::file::is_inheritable(*fd as i32)).collect();
    match holes.first() {
        Some(fd) if fd - 3 < listen.count => {
            Err(Error::new(format!("LISTEN_FDS {}: {fd} is not open", listen.count))
                .hint("descriptors from 3 on are counted; the caller must leave them open"))
        }
        _ => Ok(Preserved { count, holes }),
    }
}

/// Map root to the caller in a new user namespace for which the configuration has no maps.
fn own_ids(spec: &mut Spec) {
    let new = crate::compile::namespaces::new_user(spec);
    let Some(linux) = spec.linux.as_mut().filter(|_| new) else { return };
    let own = [crate::sys::user::effective_uid(), crate::sys::user::effective_gid()];
    for (map, id) in [&mut linux.uid_mappings, &mut linux.gid_mappings].into_iter().zip(own) {
        if map.is_empty() {
            map.push(IdMapping::own(id));
        }
    }
}

fn has_path(spec: &Spec) -> bool {
    spec.linux.as_ref().is_some_and(|linux| linux.cgroups_path.is_some())
}

/// A configuration, its bytes, its bundle, how many of the first mounts show the host's files, and
/// whether init stays.
type Given = (Box<Spec>, Vec<u8>, PathBuf, Option<usize>, bool);

fn read(source: Source, state: &Path, options: &LaunchOptions) -> Result<Given> {
    match source {
        Source::Bundle { path, config } => {
            let (mut spec, bytes) = load(&path, &config)?;
            judge(
                &spec,
                &bytes,
                &load::place(&path, &config),
                Allow::default(),
                &Origins::default(),
            )?;
            let bundle = sys::file::real_path(&path)
                .map_err(|e| Error::io(path.display(), "realpath", &e))?;
            own_ids(&mut spec);
            let init = stays(options, false, &spec)?;
            Ok((spec, bytes, bundle, None, init))
        }
        Source::Embedded { mut spec, parts, origins } => {
            let bytes = crate::spec::default::to_json(&spec)?.into_bytes();
            let allow = Allow { host_root: parts.is_some() };
            judge(&spec, b"", Path::new(""), allow, &origins)?;
            own_ids(&mut spec);
            let init = stays(options, true, &spec)?;
            Ok((spec, bytes, state.to_owned(), parts, init))
        }
    }
}

/// Check the configuration: log warnings, and return all broken rules as one error.
fn judge(spec: &Spec, bytes: &[u8], path: &Path, allow: Allow, origins: &Origins) -> Result<()> {
    let findings = check(spec, allow);
    warn(path, &findings.warnings, origins);
    if findings.violations.is_empty() {
        return Ok(());
    }
    Err(load::refuse(path, bytes, findings.violations))
}

fn warn(path: &Path, warnings: &[Violation], origins: &Origins) {
    for warning in warnings {
        let text = match path == Path::new("") {
            true => origins.name(&load::line(warning)),
            false => format!("{}: {}", path.display(), load::line(warning)),
        };
        // runc's default config has this and it is harmless, so only "validate" shows it.
        match warning.path.ends_with("capabilities.ambient") {
            true => log::debug(|| text),
            false => log::warning(&text),
        }
    }
}

/// Check a process: log warnings, and return all broken rules as one error.
pub fn judge_process(process: &Process) -> Result<()> {
    let findings = crate::spec::check::check_process(process);
    warn(Path::new("process"), &findings.warnings, &Origins::default());
    if findings.violations.is_empty() {
        return Ok(());
    }
    Err(load::refuse(Path::new("process"), b"", findings.violations))
}

/// Return the error for a configuration with these violations.
pub fn broken(violations: Vec<Violation>) -> Error {
    load::refuse(Path::new("config.json"), b"", violations)
}

fn resources(
    spec: &Spec,
    hierarchies: &Hierarchies,
    unlimited: bool,
) -> Result<(Vec<Setting>, Devices)> {
    let resources = spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let Some(resources) = resources else { return Ok((Vec::new(), Devices::Unrestricted)) };
    let settings = cgroup::compile("linux.resources", resources, hierarchies).map_err(broken)?;
    // An unprivileged user can neither make device nodes nor attach a BPF program. Root's
    // containers in a user namespace cannot make nodes either, but their image may contain some.
    let devices = match unlimited {
        true => Devices::Unrestricted,
        false => cgroup::compile_devices(&resources.devices, hierarchies).map_err(broken)?,
    };
    Ok((settings, devices))
}

/// Compile the container's system call filter.
pub fn filter(spec: &Spec) -> Result<Option<FilterBytes>> {
    let Some(config) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else {
        return Ok(None);
    };
    let filter = seccomp::compile(config).map_err(broken)?;
    // The default profile of each engine names calls of other architectures, so only "validate"
    // shows these warnings.
    filter.warnings.iter().for_each(|warning| log::debug(|| warning.clone()));
    Ok(Some(FilterBytes { flags: filter.flags, program: filter.bytes(), notify: filter.notify }))
}

/// Whether init stays as the first process.
///
/// # Errors
/// It should, and is not the first process of a pid namespace: it would not adopt the program's
/// orphans, and the program would outlive it. Or there are listening sockets, which are for the
/// first process (sd_listen_fds(3)).
fn stays(options: &LaunchOptions, embedded: bool, spec: &Spec) -> Result<bool> {
    let sockets = options.listen.count > 0;
    let first = spec.namespace(NamespaceKind::Pid).is_some_and(|pid| pid.path.is_none());
    match options.init {
        Some(true) if !first => {
            Err(Error::new("--init: the container has no pid namespace of its own")
                .hint("add {\"type\": \"pid\"} to linux.namespaces, or leave --init out"))
        }
        Some(true) if sockets => {
            Err(Error::new("--init: LISTEN_FDS are for process 1, which would not be the program")
                .hint("leave --init out"))
        }
        asked => Ok(asked.unwrap_or(embedded && !sockets)),
    }
}
