//! From a bundle to everything that a launch needs, without a side effect: `explain` stops here.

use std::path::{Path, PathBuf};

use super::hosts;
use super::nodev;
use super::scope::{self, CgroupDriver, Wanted};
use crate::cgroup::{self, Cgroup, Devices, Hierarchies, Setting};
use crate::compile::activation::{self, Listen, Preserved};
use crate::compile::{self, Filter, Request, Then};
use crate::error::{Error, Result};
use crate::host::{self, Host, ToMake};
use crate::origin::Origins;
use crate::plan::Finished;
use crate::spec::check::{Allow, check};
use crate::spec::json::Violation;
use crate::spec::{IdMapping, Mount, Namespace, NamespaceKind, Process, Spec, load};
use crate::{log, seccomp, sys};

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A directory with a config.json.
    Bundle {
        /// As the user gave it.
        path: PathBuf,
        /// Name of the file in it: `config.json`.
        config: String,
    },
    /// A configuration of our own, whose rootfs may be read through an overlay.
    Embedded {
        /// The configuration.
        spec: Box<Spec>,
        /// Changes to the rootfs vanish.
        ephemeral: bool,
        /// Which options it is made of: nobody has seen the configuration.
        origins: Origins,
    },
}

impl Source {
    /// Which option each field came from, where there is no file.
    pub(super) fn origins(&self) -> Origins {
        match self {
            Source::Bundle { .. } => Origins::default(),
            Source::Embedded { origins, .. } => origins.clone(),
        }
    }
}

/// What the caller asks for beside the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Write init's pid there.
    pub pid_file: Option<PathBuf>,
    /// Listening sockets that the program is given: the caller's descriptors from 3 on.
    pub listen: Listen,
    /// The service manager's socket that the program's notifications go to.
    pub notify_socket: Option<PathBuf>,
    /// How many descriptors after those the program inherits.
    pub preserve_fds: u32,
    /// Move the root instead of pivoting to it, where it is a ramdisk.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Whether to do without cgroups that may not be made; if it is not said: for who is not root.
    pub rootless: Option<bool>,
    /// Who gets the master of the terminal.
    pub console_socket: Option<PathBuf>,
    /// Who gets a pidfd of init.
    pub pidfd_socket: Option<PathBuf>,
    /// Give the container an address on this network: `NAME[:ADDRESS]`.
    pub network: Option<String>,
    /// Who makes its cgroup.
    pub cgroup_driver: CgroupDriver,
}

/// Everything that a launch needs.
pub struct Prepared {
    /// Checked.
    pub spec: Spec,
    /// config.json as it was read.
    pub config: Vec<u8>,
    /// Absolute path.
    pub bundle: PathBuf,
    /// Facts.
    pub host: Host,
    /// Where the container's groups will be.
    pub cgroup: Cgroup,
    /// The scope of systemd that makes them, if one does.
    pub wanted: Option<Wanted>,
    /// What is written there.
    pub settings: Vec<Setting>,
    /// Which devices may be used.
    pub devices: Devices,
    /// What init runs.
    pub plan: Finished,
    /// The caller's descriptors that the program inherits.
    pub preserved: Preserved,
    /// Whether the rootfs is read through an overlay.
    pub ephemeral: bool,
}

impl Prepared {
    /// Whether the program wants a terminal.
    pub fn terminal(&self) -> bool {
        self.spec.process.as_ref().is_some_and(|process| process.terminal)
    }
}

/// Read, check, probe, compile. `state` is where the container's directory is or will be.
pub fn prepare(
    id: &str,
    state: &Path,
    source: Source,
    options: &Options,
    then: Then,
) -> Result<Prepared> {
    let origins = source.origins();
    read_and_compile(id, state, source, options, then).map_err(|e| origins.apply(e))
}

fn read_and_compile(
    id: &str,
    state: &Path,
    source: Source,
    options: &Options,
    then: Then,
) -> Result<Prepared> {
    let (mut spec, config, bundle, ephemeral) = read(source, state)?;
    own_ids(&mut spec);
    let hierarchies = cgroup::probe()?;
    let by = options.cgroup_driver;
    let (mut cgroup, mut wanted) = scope::locate(by, &spec, (id, state), &hierarchies)?;
    let rootless = crate::sys::user::is_rootless();
    let disabled = by == CgroupDriver::Disabled;
    // What no cgroup limits is closed by other means: see `nodev`.
    let unlimited = rootless || disabled || hierarchies.all.is_empty();
    let (settings, devices) = resources(&spec, &hierarchies, unlimited)?;
    if disabled {
        scope::without_cgroup(&settings)?;
    }
    empty_cgroup_mounts(&spec, &hierarchies);
    if let Some(wanted) = &mut wanted {
        wanted.limit(&settings, &devices);
    } else if options.rootless.unwrap_or(rootless) && !has_path(&spec) {
        // Nothing that was asked for is missing: "doctor" tells what does.
        cgroup.leave_out(&settings)?.into_iter().for_each(|text| log::debug(|| text));
    }
    let nodev = nodev::judge(&mut spec, &cgroup)?;
    let rootfs = host::rootfs(&spec, &bundle)?;
    let to_make = add(&mut spec, &rootfs, options, (id, state))?;
    let launch = host::Launch {
        bundle: &bundle,
        rootfs: &rootfs,
        cgroup: &cgroup,
        hierarchies: &hierarchies,
        scope: wanted.is_some(),
        nodev,
        to_make: &to_make,
    };
    let host = host::probe(&spec, &launch)?;
    let filter = filter(&spec)?;
    host::security(&spec)?;
    let directory = state.join(crate::state::ROOTFS);
    let directory = ephemeral.then(|| directory.to_string_lossy());
    let preserved = preserved(&options.listen, options.preserve_fds)?;
    let request = Request {
        spec: &spec,
        host: &host,
        then,
        filter: filter.as_ref(),
        preserved: &preserved,
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        ephemeral: directory.as_deref(),
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
        ephemeral,
    })
}

/// What the command line adds to the configuration, before the facts are taken. Returns what of it
/// is made with the container, and not there yet.
fn add(
    spec: &mut Spec,
    rootfs: &Path,
    options: &Options,
    (id, state): (&str, &Path),
) -> Result<Vec<ToMake>> {
    let mut to_make = Vec::new();
    if let Some(request) = &options.network {
        let path = crate::network::namespace_path(id);
        join_network(spec, request, &path)?;
        to_make.push(ToMake { path, directory: false });
        to_make.extend(hosts::bind(spec, rootfs, state));
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

/// A host without cgroups has none to show.
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

/// Which of the caller's descriptors from 3 on are open: listening sockets come first, and all of
/// them must be. Of those that `--preserve-fds` counts, some may be missing, as with crun.
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

/// A new user namespace without maps has the caller in it, as its root.
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

fn read(source: Source, state: &Path) -> Result<(Spec, Vec<u8>, PathBuf, bool)> {
    match source {
        Source::Bundle { path, config } => {
            let (spec, bytes) = load(&path, &config)?;
            judge(
                &spec,
                &bytes,
                &load::place(&path, &config),
                Allow::default(),
                &Origins::default(),
            )?;
            let bundle =
                path.canonicalize().map_err(|e| Error::io(path.display(), "realpath", &e))?;
            Ok((spec, bytes, bundle, false))
        }
        Source::Embedded { spec, ephemeral, origins } => {
            let bytes = crate::spec::default::to_json(&spec)?.into_bytes();
            let allow = Allow { host_root: ephemeral };
            judge(&spec, b"", Path::new(""), allow, &origins)?;
            Ok((*spec, bytes, state.to_owned(), ephemeral))
        }
    }
}

/// Every broken rule at once; warnings are logged.
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
        // runc's own default config has it, and it does no harm: "validate" tells.
        match warning.path.ends_with("capabilities.ambient") {
            true => log::debug(|| text),
            false => log::warning(&text),
        }
    }
}

/// Every broken rule of a process alone.
pub fn judge_process(process: &Process) -> Result<()> {
    let findings = crate::spec::check::check_process(process);
    warn(Path::new("process"), &findings.warnings, &Origins::default());
    if findings.violations.is_empty() {
        return Ok(());
    }
    Err(load::refuse(Path::new("process"), b"", findings.violations))
}

/// The configuration is refused.
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
    // Who is not root makes no nodes, and attaches no program. Root's containers in a user
    // namespace make none either, but an image may bring some.
    let devices = match unlimited {
        true => Devices::Unrestricted,
        false => cgroup::compile_devices(&resources.devices, hierarchies).map_err(broken)?,
    };
    Ok((settings, devices))
}

/// The container's system call filter, compiled.
pub fn filter(spec: &Spec) -> Result<Option<Filter>> {
    let Some(config) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else {
        return Ok(None);
    };
    let filter = seccomp::compile(config).map_err(broken)?;
    // Every engine's own profile names calls of other machines: "validate" tells.
    filter.warnings.iter().for_each(|warning| log::debug(|| warning.clone()));
    Ok(Some(Filter { flags: filter.flags, program: filter.bytes(), notify: filter.notify }))
}

/// The network namespace that `--network` will make stands in the configuration as one to join.
fn join_network(spec: &mut Spec, request: &str, path: &str) -> Result<()> {
    let Some(linux) = spec.linux.as_mut() else {
        return Err(Error::new("--network: the config has no linux.namespaces"));
    };
    let namespaces = &mut linux.namespaces;
    let index = match namespaces.iter().position(|n| n.kind == NamespaceKind::Network) {
        Some(index) => index,
        None => {
            namespaces.push(Namespace { kind: NamespaceKind::Network, path: None });
            namespaces.len() - 1
        }
    };
    if let Some(joined) = namespaces[index].path.replace(path.to_owned()) {
        return Err(Error::new(format!(
            "--network {request}: linux.namespaces already joins the network namespace {joined}"
        )));
    }
    Ok(())
}
