//! Launch a container: intent, cgroup, clone, maps, plan, hooks, and at last the commit.
//!
//! A launch that fails leaves nothing. A launch that is killed leaves at most what `delete --force`
//! finds by the intent, which was written first. Knows the order; other modules do each part.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use tiny_ce_init::NAME;

use super::netns::NetworkChoice;
use super::prepare::{LaunchOptions, Prepared};
use super::scope::{self, Wanted};
use super::{hosts, resolver, usernet};
use crate::analysis::{Recorder, WAITING};
use crate::compile::mounts::asks_for_ids;
use crate::compile::namespaces;
use crate::conversation::{self, Answers, End, Init, channel};
use crate::error::{Error, Result};
use crate::foreground::console;
use crate::foreground::notify::{self, Notify};
use crate::hooks::{self, Place, Scene};
use crate::host::Host;
use crate::mountinfo::{Line, unescape};
use crate::plan::{Finished, Preload};
use crate::program::vectors;
use crate::spec::{Hook, Mount, NamespaceKind, Spec};
use crate::state::{self, Boot, Directory, ProcessId, Record, Status};
use crate::sys::process::{self, Child, Clone};
use crate::usernet::Usernet;
use crate::{host, log, network, resctrl, sys};

/// A container that is ready and committed.
pub struct Ready {
    /// Its state directory, locked.
    pub directory: Directory,
    /// The record of the container.
    pub record: Record,
    /// Init.
    pub child: Child,
    /// The channel to init.
    pub channel: UnixStream,
    /// The plan that init runs.
    pub plan: Finished,
    /// The configuration.
    pub spec: Box<Spec>,
    /// The master of its terminal, unless a console socket got it.
    pub terminal: Option<OwnedFd>,
    /// The socket for its notifications, if a service manager wants them.
    pub notify: Option<Notify>,
}

/// The parts of a container that are undone if its launch fails.
pub struct Undo<'a> {
    /// The directory that holds all state directories.
    pub root: &'a Path,
    /// The state directory, locked.
    pub directory: Directory,
    /// The record, to which each step adds.
    pub record: Record,
    /// The scope to be made, if systemd makes the cgroup.
    pub wanted: Option<Wanted>,
    /// Init, once it is cloned.
    pub child: Option<Child>,
    /// The master of its terminal, unless a console socket got it.
    pub terminal: Option<OwnedFd>,
    notify: Option<Notify>,
}

impl Undo<'_> {
    /// Remove everything again. What cannot be removed is added to `error` as a detail.
    pub fn undo(mut self, error: Error, spec: &Spec) -> Error {
        if let Some(child) = &self.child {
            conversation::kill(child);
        }
        let usernet = usernet::end(&self.record);
        let systemd = self.wanted.as_mut().map(|wanted| &mut wanted.systemd);
        let cgroup = scope::remove(&self.record, systemd);
        let network = match &self.record.network {
            Some(attachment) => network::detach(self.root, attachment),
            None => Ok(()),
        };
        let class = self.record.resctrl.as_ref().map_or(Ok(()), resctrl::Class::remove);
        // Earlier hooks may have run, so run the poststop hooks (runtime-spec runtime.md,
        // "Lifecycle").
        if self.child.is_some() {
            poststop(&self.directory, &self.record, spec);
        }
        let directory = self.directory.remove();
        let left = [usernet, cgroup, network, class, directory].into_iter().filter_map(Result::err);
        left.fold(error, |error, left| error.detail(format!("and left behind: {}", left.line())))
    }
}

/// Launch the container; `create` and `run` differ only in the plan.
pub fn launch(
    root: &Path,
    id: &str,
    mut prepared: Prepared,
    options: &LaunchOptions,
) -> Result<Ready> {
    options.recorder.phase("the intent");
    let mut undo = begin(root, id, &mut prepared)?;
    match commit(&mut undo, &prepared, options) {
        Ok((channel, child)) => {
            let Undo { directory, record, terminal, notify, .. } = undo;
            let Prepared { plan, spec, .. } = prepared;
            Ok(Ready { directory, record, child, channel, plan, spec, terminal, notify })
        }
        Err(e) => Err(undo.undo(e, &prepared.spec)),
    }
}

/// Make the state directory, and write the intent before anything else is made.
pub fn begin<'a>(root: &'a Path, id: &str, prepared: &mut Prepared) -> Result<Undo<'a>> {
    let directory = Directory::create(root, id)?;
    let record = match intent(id, prepared, &directory) {
        Ok(record) => record,
        Err(e) => {
            let _ = directory.remove();
            return Err(e);
        }
    };
    let wanted = prepared.wanted.take();
    Ok(Undo { root, directory, record, wanted, child: None, terminal: None, notify: None })
}

/// The file with the launcher's start time, which identifies the launcher in the intent.
const OWN_STAT: &str = "/proc/self/stat";

/// Write down what is about to be made, before it is made.
fn intent(id: &str, prepared: &mut Prepared, directory: &Directory) -> Result<Record> {
    let launcher = std::process::id() as i32;
    let rdt = prepared.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    let record = Record {
        id: id.to_owned(),
        bundle: prepared.bundle.to_string_lossy().into_owned(),
        rootfs: prepared.host.rootfs.clone(),
        created: crate::rfc3339::format(sys::usage::time_of_day()),
        launcher: ProcessId::of(launcher).ok_or_else(|| match File::open(OWN_STAT) {
            Err(e) => Error::io(OWN_STAT, "open", &e),
            Ok(_) => Error::new(format!("{OWN_STAT}: cannot be read")).hint("mount /proc"),
        })?,
        boot: Boot::now().clone(),
        cgroup: std::mem::take(&mut prepared.cgroup),
        scope: prepared.wanted.as_ref().map(|wanted| wanted.scope.clone()),
        network: None,
        usernet: None,
        resctrl: rdt.map(|rdt| resctrl::Class::locate(rdt, id)).transpose()?,
        annotations: prepared.spec.annotations.clone(),
        init: None,
    };
    record.save(directory, state::INTENT)?;
    Ok(record)
}

/// Do everything from the first side effect to the commit.
fn commit(
    undo: &mut Undo<'_>,
    prepared: &Prepared,
    options: &LaunchOptions,
) -> Result<(UnixStream, Child)> {
    let recorder = &options.recorder;
    places(undo, prepared, options)?;
    if prepared.ephemeral {
        let path = undo.directory.path().join(state::ROOTFS);
        std::fs::create_dir(&path).map_err(|e| Error::io(path.display(), "mkdir", &e))?;
    }
    if let Some(path) = &options.notify_socket {
        notify::make_directory(&undo.directory)?;
        // A socket that `create` binds is closed when `create` exits, so there `start` binds one.
        if !prepared.plan.preloads.contains(&Preload::StartSocket) {
            undo.notify = Some(Notify::bind(&undo.directory, path)?);
        }
    }
    recorder.phase("init's program");
    let program = conversation::program(&undo.directory)?;
    let analyzing = match recorder.is_on() {
        true => Some(conversation::analyzing_program(&undo.directory)?),
        false => None,
    };
    let init = analyzing.as_ref().unwrap_or(&program);
    recorder.phase("the clone of init");
    let ours = start(undo, prepared, &program, init)?;
    if undo.wanted.is_some() {
        recorder.phase("the scope");
    }
    scope::around(undo, prepared, undo.pid())?;
    // sched_setaffinity(2) may need CAP_SYS_NICE; if it fails, init keeps the launcher's affinity.
    let _ = process::on_every_processor(undo.pid());
    recorder.share(&ours, &prepared.plan)?;
    channel::send(&ours, &prepared.plan.bytes)?;
    recorder.phase(WAITING);
    until_ready(undo, prepared, options, &program, &ours)?;
    recorder.phase("the commit");
    let reason = |undo: &Undo<'_>, error| {
        let ended = || undo.ended("init ended as it became ready");
        conversation::reason(&ours, &prepared.plan, error, ended)
    };
    net_devices(&prepared.spec, undo.pid()).map_err(|e| reason(undo, e))?;
    let process = prepared.spec.process.as_ref();
    crate::program::check(process, undo.pid()).map_err(|e| reason(undo, e))?;
    let identity = ProcessId::of(undo.pid()).ok_or_else(|| {
        reason(undo, Error::new(format!("/proc/{}/stat: cannot be read", undo.pid())))
    })?;
    let stat = sys::file::stat(init).map_err(|e| Error::io("init", "fstat", &e))?;
    undo.record.init = Some((identity, stat.st_dev, stat.st_ino));
    undo.directory.write(state::CONFIG, &prepared.config)?;
    undo.directory.write(state::PLAN, &prepared.plan.to_file())?;
    undo.record.save(&undo.directory, state::STATE)?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, identity.pid)?;
    }
    if let (Some(path), Some(child)) = (&options.pidfd_socket, &undo.child) {
        send_pidfd(path, &child.pidfd)?;
    }
    channel::go_on(&ours)?;
    let child = undo.child.take().ok_or_else(gone)?;
    Ok((ours, child))
}

/// Make the network, the cgroups and the class of service in which its processes will be.
pub fn places(undo: &mut Undo<'_>, prepared: &Prepared, options: &LaunchOptions) -> Result<()> {
    if let Some(NetworkChoice::Attached(request)) = &options.network {
        options.recorder.phase("the network");
        let alive = |id: &str| undo.root.join(id).exists();
        undo.record.network = Some(network::attach(undo.root, request, &undo.record.id, &alive)?);
        undo.record.save(&undo.directory, state::INTENT)?;
        let address = undo.record.network.as_ref().map(|attachment| attachment.address);
        hosts::write(&undo.directory, &prepared.spec, address)?;
    }
    if let Some(usernet) = options.usernet() {
        hosts::write(&undo.directory, &prepared.spec, None)?;
        resolver::write(&undo.directory, usernet)?;
    }
    options.recorder.phase("the cgroups");
    scope::before(undo, prepared)?;
    let rdt = prepared.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    if let (Some(class), Some(rdt)) = (&mut undo.record.resctrl, rdt) {
        class.create(rdt)?;
        undo.record.save(&undo.directory, state::INTENT)?;
    }
    Ok(())
}

/// Run the poststop hooks of a container that has ended; their failures are only logged.
pub fn poststop(directory: &Directory, record: &Record, spec: &Spec) {
    let Some(all) = spec.hooks.as_ref().filter(|all| !all.poststop.is_empty()) else { return };
    let state = record.state_as(Status::Stopped, 0, String::new());
    let state = serde_json::to_vec(&state).map_err(|e| Error::new(e.to_string()));
    match state.and_then(|state| Ok((state, conversation::program(directory)?))) {
        Ok((state, program)) => {
            let bundle = Path::new(&record.bundle);
            let scene = Scene { program: program.as_fd(), state: &state, bundle };
            hooks::run_all("poststop", &all.poststop, &scene);
        }
        Err(e) => log::warning(&format!("hooks.poststop: {e}")),
    }
}

/// Open the descriptors that the plan expects in its slots, and start init from the file `init`;
/// `program` is for plans of the launcher's own.
fn start(
    undo: &mut Undo<'_>,
    prepared: &Prepared,
    program: &OwnedFd,
    init: &OwnedFd,
) -> Result<UnixStream> {
    let (record, spec, plan) = (&undo.record, &prepared.spec, &prepared.plan);
    let mut opened: Vec<OwnedFd> = Vec::new();
    let scope = undo.wanted.is_some();
    let mut joins = if scope { Vec::new() } else { record.cgroup.join_files()? }.into_iter();
    for preload in &plan.preloads {
        opened.push(match preload {
            Preload::StartSocket => start_socket(&undo.directory)?.into(),
            Preload::Namespace { path, kind } => {
                host::namespaces::open(path, namespaces::kind_of(*kind)?)?.into()
            }
            Preload::CgroupTasks => {
                joins.next().ok_or_else(|| Error::new("a cgroup has gone while it was joined"))?
            }
            Preload::Process | Preload::Stdio | Preload::Program | Preload::Service => {
                return Err(Error::new("a container's plan joins no process"));
            }
            Preload::Tree { mount } => {
                crate::answers::detached::make(spec, *mount, &undo.record, program)?
            }
            Preload::Node { device } => {
                crate::answers::detached::node(spec, *device, undo.directory.path())?
            }
        });
    }
    let passwd = vectors::passwd_to_be(spec, &prepared.host);
    let (mut argv, envp) = vectors::vectors(spec.process.as_ref(), &passwd)?;
    if prepared.init {
        // Until it makes the program's process, which drops these words.
        argv.splice(0..0, [NAME, c"--"].map(CStr::to_owned));
    }
    let request = Clone {
        flags: u64::from(namespaces::clone_flags(spec, &prepared.host, prepared.ephemeral).0),
        cgroup: if scope { None } else { record.cgroup.clone_fd()? },
        program: init.as_fd(),
        argv: &argv,
        envp: &envp,
        descriptors: &conversation::descriptors(&opened, &prepared.preserved)?,
        die_with_parent: false,
    };
    let (child, channel) = conversation::start(&request).map_err(|(call, e)| {
        let place = if call == "socketpair" { "init's channel" } else { "linux.namespaces" };
        vectors::failed(spec.process.as_ref(), place, call, &e)
    })?;
    let pid = child.pid;
    undo.child = Some(child);
    // Add init before it has children, which inherit its class, and before it uses memory that the
    // monitoring group should count.
    undo.record.resctrl.as_ref().map_or(Ok(()), |class| class.add(pid))?;
    Ok(channel)
}

/// Send a pidfd of the new process to the process that listens at `path`.
pub fn send_pidfd(path: &Path, pidfd: &OwnedFd) -> Result<()> {
    let place = || format!("--pidfd-socket {}", path.display());
    let connection =
        sys::socket::connect_path(path).map_err(|e| Error::io(place(), "connect", &e))?;
    sys::socket::send(&connection, b"pidfd", pidfd).map_err(|e| Error::io(place(), "sendmsg", &e))
}

fn start_socket(directory: &Directory) -> Result<UnixListener> {
    sys::socket::listen(directory.fd(), state::SOCKET)
        .map_err(|e| Error::io(directory.path().join(state::SOCKET).display(), "bind", &e))
}

/// Write the pid to another name and rename(2) it to `path`, since readers wait for the file to
/// appear and must not see it empty. A `path` that is a pipe or a device is written to directly.
pub fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{pid}"));
    let temporary = Path::new(&temporary);
    let place = || format!("--pid-file {}", path.display());
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return std::fs::write(path, pid.to_string()).map_err(|e| Error::io(place(), "write", &e));
    }
    std::fs::write(temporary, pid.to_string()).map_err(|e| Error::io(place(), "open", &e))?;
    std::fs::rename(temporary, path).map_err(|e| {
        let _ = std::fs::remove_file(temporary);
        Error::io(place(), "rename", &e)
    })
}

impl Undo<'_> {
    /// Return init's pid; 0 before it is cloned.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// Return the error for an init that closed the channel without a report. Kill it first: if it
    /// only closed the channel, waiting for its end would not return.
    fn ended(&self, what: &str) -> Error {
        let exit = self.child.as_ref().and_then(conversation::kill);
        super::exit::unexpected(&self.record, exit, what)
    }
}

/// Answer init until everything that can fail before `start` has been done.
fn until_ready(
    undo: &mut Undo<'_>,
    prepared: &Prepared,
    options: &LaunchOptions,
    program: &OwnedFd,
    channel: &UnixStream,
) -> Result<()> {
    let Undo { directory, record, child, terminal, .. } = undo;
    let child = child.as_mut().ok_or_else(gone)?;
    let (spec, host) = (&prepared.spec, &prepared.host);
    let socket = options.console_socket.as_deref();
    let usernet = options.usernet();
    let mut setup = Setup {
        directory,
        recorder: &options.recorder,
        record,
        usernet,
        program,
        spec,
        host,
        socket,
        terminal,
        copied: 0,
        mapped: 0,
        read_only: false,
    };
    match conversation::listen(channel, &prepared.plan, Init::Child(child), &mut setup)? {
        End::Ready => {
            if setup.read_only {
                warn_of_read_only(host, undo.pid());
            }
            Ok(())
        }
        End::Executed | End::Silent => Err(undo.ended("init ended while it was set up")),
    }
}

fn gone() -> Error {
    Error::new("init is gone")
}

/// The answers to init while it runs its plan up to the commit.
struct Setup<'a> {
    directory: &'a Directory,
    recorder: &'a Recorder,
    record: &'a mut Record,
    usernet: Option<Usernet>,
    program: &'a OwnedFd,
    spec: &'a Spec,
    host: &'a Host,
    socket: Option<&'a Path>,
    terminal: &'a mut Option<OwnedFd>,
    copied: usize,
    mapped: usize,
    read_only: bool,
}

impl Answers for Setup<'_> {
    /// Make the network, and run the three kinds of hooks that run before init enters the rootfs.
    fn hooks(&mut self, pid: i32) -> Result<()> {
        let recorder = self.recorder;
        if let Some(usernet) = self.usernet {
            let state = (self.directory, &mut *self.record);
            recorder.during("the network's program", || {
                usernet::start(usernet, self.program, pid, state)
            })?;
        }
        let Some(all) = &self.spec.hooks else { return Ok(()) };
        let state = self.record.state_as(Status::Creating, pid, String::new());
        let state = serde_json::to_vec(&state).map_err(|e| Error::new(e.to_string()))?;
        let bundle = Path::new(&self.record.bundle);
        let scene = Scene { program: self.program.as_fd(), state: &state, bundle };
        let run = |phase: &'static str, hooks: &[Hook], place| match hooks {
            [] => Ok(()),
            _ => recorder.during(phase, || {
                hooks::run(phase.trim_start_matches("hooks."), hooks, &scene, place)
            }),
        };
        run("hooks.prestart", &all.prestart, Place::Runtime)?;
        run("hooks.createRuntime", &all.create_runtime, Place::Runtime)?;
        let place = Place::Container { pid, rootfs: Path::new(&self.record.rootfs) };
        run("hooks.createContainer", &all.create_container, place)
    }

    /// Write uid_map and gid_map of the new user namespace, user_namespaces(7).
    fn maps(&mut self, pid: i32) -> Result<()> {
        let Some(linux) = &self.spec.linux else { return Ok(()) };
        self.recorder.during("the id maps", || {
            crate::answers::maps::write(pid, &linux.uid_mappings, &linux.gid_mappings)
        })
    }

    /// Copy into the next tmpfs with `tmpcopyup`: init asks for them in the order of the mounts.
    fn copy_up(&mut self, pid: i32, directory: &OwnedFd, tmpfs: &OwnedFd) -> Result<()> {
        let mounts = self.spec.mounts.iter().enumerate();
        let mut asking = mounts.filter(|(_, mount)| mount.options.copy_up);
        let (index, mount) = asking.nth(self.copied).ok_or_else(conversation::out_of_turn)?;
        self.copied += 1;
        self.recorder
            .during("tmpcopyup", || crate::answers::copy_up::copy_up(directory, tmpfs, pid))
            .map_err(|e| e.within(mount.origin(index)))
    }

    /// Map the ids of the next mount that is mapped after it was made, in the order of the mounts.
    fn map_ids(&mut self, mount: &OwnedFd) -> Result<()> {
        let asks = |(index, mount): &(usize, &Mount)| asks_for_ids(mount, self.host.source(*index));
        let mut asking = self.spec.mounts.iter().enumerate().filter(asks);
        let (index, _) = asking.nth(self.mapped).ok_or_else(conversation::out_of_turn)?;
        self.mapped += 1;
        self.recorder.during("the ids of a mount", || {
            crate::answers::detached::map(self.spec, index, mount, self.program)
        })
    }

    fn read_only(&mut self) -> Result<()> {
        self.read_only = true;
        Ok(())
    }

    fn terminal(&mut self, master: OwnedFd) -> Result<()> {
        let socket = self.socket;
        *self.terminal =
            self.recorder.during("the terminal", || console::deliver(socket, master))?;
        Ok(())
    }

    fn listener(&mut self, pid: i32, listener: OwnedFd) -> Result<()> {
        let state = self.record.state_as(Status::Creating, pid, String::new());
        self.recorder.during("the filter's listener", || {
            crate::answers::listener::hand_over(self.spec, &state, pid, listener)
        })
    }
}

/// Warn of the parts of the host's files that are read-only: those of which `pid`, a process in the
/// container, sees no overlay.
fn warn_of_read_only(host: &Host, pid: i32) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let lines: Vec<Line<'_>> = text.lines().filter_map(Line::read).collect();
    let is_overlaid = |part: &&host::Part| {
        let upper = format!("upperdir={}", part.upper);
        let mut here = lines.iter().filter(|line| line.options.split(',').any(|it| it == upper));
        here.any(|line| unescape(line.place).is_some_and(|place| place == part.lower))
    };
    let parts = host.mounts.iter().filter_map(|facts| facts.part.as_ref());
    let places: Vec<&str> =
        parts.filter(|part| !is_overlaid(part)).map(|part| part.lower.as_str()).collect();
    log::warning(&format!("{}: read-only, since it cannot be overlaid", places.join(", ")));
}

/// Move the host interfaces of `linux.netDevices` into the container's network namespace.
fn net_devices(spec: &Spec, pid: i32) -> Result<()> {
    if spec.namespace(NamespaceKind::Network).is_none() {
        return Ok(());
    }
    for (host, device) in spec.linux.iter().flat_map(|linux| &linux.net_devices) {
        let place = format!("linux.netDevices[{host:?}]");
        let path = format!("/proc/{pid}/ns/net");
        let namespace = File::open(&path).map_err(|e| Error::io(&place, "openat", &e))?;
        network::move_device(&place, host, device.name.as_deref(), namespace.as_fd())?;
    }
    Ok(())
}
