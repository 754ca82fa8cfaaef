//! Compile a config (`Spec`) and the facts about the host (`Host`) to a `Plan`. Pure: no system
//! call, no clock, no environment.
//!
//! The steps stand in the order in which init runs them, and the security argument of
//! ARCHITECTURE.md rests on this order. Each field is compiled in the module named after it.

pub mod activation;
pub mod cgroups;
pub mod criu;
pub mod devices;
pub mod exec;
pub mod hook;
pub mod identity;
pub mod live;
pub mod masks;
pub mod mounts;
pub mod namespaces;
pub mod parameters;
mod parts;
pub mod root;
pub mod security;
pub mod streams;
pub mod supervise;
pub mod targets;
pub mod terminal;
pub mod usernet;

use tiny_ce_init::flags::{
    AtFlags, CloneFlags, MemoryFlags, Mode, MountAttr, MountAttrs, MoveMountFlags, OpenFlags,
    OpenTreeFlags, Prctl, Propagation, Report, Signal, UmountFlags,
};
use tiny_ce_init::{Op, Slot};

use self::parameters::Parameters;
use crate::error::Result;
use crate::host::Host;
use crate::plan::{Finished, Plan, Preload, c_string};
use crate::spec::options::Attrs;
use crate::spec::paths::components;
use crate::spec::{
    Hooks, MemoryPolicyFlag, MemoryPolicyMode, NamespaceKind, RootfsPropagation, Spec,
};

/// What init does once the container is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Wait for `start`.
    AwaitStart,
    /// Execute the program as soon as the launcher has committed the container.
    Run,
}

/// A compiled system call filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterBytes {
    /// SECCOMP_FILTER_FLAG_*.
    pub flags: u32,
    /// An array of struct sock_filter.
    pub program: Vec<u8>,
    /// Whether a listener receives its notifications (SCMP_ACT_NOTIFY).
    pub notify: bool,
}

/// What to compile.
pub struct ContainerRequest<'a> {
    /// The config, which `check` has accepted.
    pub spec: &'a Spec,
    /// Facts about the host.
    pub host: &'a Host,
    /// Whether the command is `create` or `run`.
    pub then: Then,
    /// The filter of `linux.seccomp`.
    pub filter: Option<&'a FilterBytes>,
    /// Which descriptors after 2 the program inherits.
    pub preserved: &'a activation::Preserved,
    /// `--no-pivot`: attach the rootfs over `/` and chroot(2) into it, instead of pivot_root(2).
    pub no_pivot: bool,
    /// `--no-new-keyring`: keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// A private directory of the host: a tmpfs is mounted there, in which are the root of the
    /// rootfs and its changes. The first of `mounts` then covers the root.
    pub ephemeral: Option<&'a str>,
    /// `--init`: init stays as the first process, and makes another for the program.
    pub init: bool,
    /// `--network pasta`: the program that makes the network, which the launcher starts while init
    /// waits.
    pub usernet: Option<&'a str>,
}

/// Compile the plan of a container.
///
/// # Errors
/// The config needs more descriptors at once than a plan has slots, a text of it contains NUL, a
/// device number is out of range, or a mount option is longer than fsconfig(2) takes.
pub fn compile(request: &ContainerRequest<'_>) -> Result<Finished> {
    let (spec, host) = (request.spec, request.host);
    let mut plan = Plan::new();
    let plan = &mut plan;
    let socket = match request.then {
        Then::AwaitStart => Some(plan.preload(Preload::StartSocket)?),
        Then::Run => None,
    };
    let groups = namespaces::cgroup_preloads(plan, host)?;
    let joined = namespaces::preloads(plan, spec)?;
    let mut trees = mounts::preloads(plan, spec, host)?;
    let nodes = devices::preloads(plan, spec, host)?;
    session(plan, request)?;
    namespaces::join_cgroups(plan, spec, groups);
    namespaces::join(plan, spec, host, &joined)?;
    loopback(plan, spec)?;
    let labels = match &spec.process {
        Some(process) => security::open(plan, process)?,
        None => Vec::new(),
    };
    sysctl(plan, spec)?;
    let alone = namespaces::begins_with_rootfs(spec, host, request.ephemeral.is_some());
    if alone || shares(spec) {
        mounts::ahead(plan, spec, host, alone, &mut trees)?;
    }
    let root = if alone { own_namespace(plan, request)? } else { rootfs(plan, request)? };
    let mut context = mounts::Context { spec, host, root, trees: &trees, dev: None };
    let deferred = mounts::all(plan, &mut context)?;
    let root = context.root;
    devices::all(plan, &context, &nodes)?;
    let slave = match &spec.process {
        Some(process) => terminal::open(plan, process, terminal::Place::Rootfs(root))?,
        None => None,
    };
    working_directory(plan, request, root)?;
    deferred.finish(plan);
    hooks(plan, request);
    if let Some(linux) = &spec.linux {
        masks::readonly_paths(plan, root, &linux.readonly_paths)?;
        let label = mounts::label(spec);
        let covers = masks::Covers { label: label.as_deref(), own: alone };
        masks::masked_paths(plan, root, &linux.masked_paths, &covers)?;
    }
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        masks::readonly_root(plan, root);
    }
    enter(plan, request, root, alone)?;
    names(plan, spec);
    become_program(plan, request, Inside { socket, slave, labels })?;
    Ok(std::mem::take(plan).finish())
}

/// Set what needs the host's /proc, make init non-dumpable, and give it a session and a keyring of
/// its own.
fn session(plan: &mut Plan, request: &ContainerRequest<'_>) -> Result<()> {
    plan.origin("the session");
    if let Some(score) = request.spec.process.as_ref().and_then(|p| p.oom_score_adj) {
        plan.origin("process.oomScoreAdj");
        write_file(plan, Slot::CWD, "/proc/self/oom_score_adj", &score.to_string(), root::HOST)?;
        plan.origin("the session");
    }
    // Init must not be dumpable when it joins a namespace that other processes are in: they could
    // ptrace it (CVE-2016-9962). An unprivileged launcher can write the maps of a dumpable process
    // only (ptrace(2)), so init stays dumpable until they are written, and joins nothing before.
    if !maps_first(request) {
        plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
    }
    // Files and nodes get exactly the modes of the config; `identity` sets the program's umask.
    plan.step(Op::Umask { mask: Mode(0) });
    // Before the filter is loaded, since the filter may refuse rt_sigaction(2).
    end_on_signals(plan, request);
    plan.step(Op::Setsid {});
    if !request.no_new_keyring {
        if let Some(process) = &request.spec.process {
            security::keys(plan, process)?;
            plan.origin("the session");
        }
        plan.step(Op::JoinSessionKeyring {});
    }
    Ok(())
}

/// Whether an unprivileged launcher writes the maps of a new user namespace.
fn maps_first(request: &ContainerRequest<'_>) -> bool {
    request.host.euid != 0 && namespaces::new_user(request.spec)
}

/// Let the usual signals end a container that waits for `start`, as runc does. Init needs a handler
/// for each: the kernel drops a signal for which the first process of a pid namespace has no
/// handler (pid_namespaces(7)).
fn end_on_signals(plan: &mut Plan, request: &ContainerRequest<'_>) {
    let first = request.spec.namespace(NamespaceKind::Pid).is_some_and(|pid| pid.path.is_none());
    if request.then == Then::AwaitStart && first {
        for (_, signal) in Signal::ALL {
            plan.step(Op::EndOn { signal: *signal });
        }
    }
}

/// Bring up the loopback interface of a new network namespace, as runc does.
fn loopback(plan: &mut Plan, spec: &Spec) -> Result<()> {
    let new = spec.namespace(NamespaceKind::Network).is_some_and(|net| net.path.is_none());
    if !new {
        return Ok(());
    }
    plan.origin("linux.namespaces \"network\"");
    let socket = plan.slot()?;
    plan.step(Op::Socket { into: socket });
    // struct ifreq: the name in 16 bytes, then IFF_UP|IFF_RUNNING.
    let mut ifreq = [0u8; 40];
    ifreq[..2].copy_from_slice(b"lo");
    ifreq[16] = 0x41;
    plan.step(Op::SetInterfaceFlags { socket, ifreq: &ifreq });
    plan.close(socket);
    Ok(())
}

/// Open a file, write `value` in one call, and close it.
fn write_file(
    plan: &mut Plan,
    at: Slot,
    path: &str,
    value: &str,
    resolve: tiny_ce_init::flags::Resolve,
) -> Result<()> {
    let path = c_string(path)?;
    let into = plan.slot()?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
    let how = tiny_ce_init::flags::OpenHow { flags, mode: 0, resolve };
    plan.step(Op::Openat2 { into, at, path: &path, how });
    plan.step(Op::Write { fd: into, data: value.as_bytes() });
    plan.close(into);
    Ok(())
}

/// Write kernel parameters through a detached procfs, which no mount of the config can replace
/// (CVE-2025-52881). Init is in the container's namespaces by now, so it changes theirs.
fn sysctl(plan: &mut Plan, spec: &Spec) -> Result<()> {
    let Some(linux) = spec.linux.as_ref().filter(|linux| !linux.sysctl.is_empty()) else {
        return Ok(());
    };
    plan.origin("linux.sysctl");
    let none = Parameters::default();
    let proc = mounts::make(plan, "proc", Some("proc"), &none, MountAttrs(0))?;
    for (key, value) in &linux.sysctl {
        plan.origin(format!("linux.sysctl[{key:?}]"));
        let path = format!("sys/{}", crate::spec::check::sysctl_file(key));
        write_file(plan, proc, &path, value, root::OWN_PROC)?;
    }
    plan.close(proc);
    Ok(())
}

/// Return `linux.rootfsPropagation`.
fn propagation(spec: &Spec) -> Option<RootfsPropagation> {
    spec.linux.as_ref().and_then(|linux| linux.rootfs_propagation)
}

/// Whether a bind that asks for `shared` may stay a peer of its source on the host. It may not
/// where `rootfsPropagation` is absent, or makes all mounts slave, private or unbindable.
fn shares(spec: &Spec) -> bool {
    use RootfsPropagation::{Rprivate, Rslave, Runbindable};
    !matches!(propagation(spec), None | Some(Rslave | Rprivate | Runbindable))
}

/// The propagation of the host's mounts in the container, before a mount's own options change it.
fn of_the_hosts(spec: &Spec) -> Propagation {
    match propagation(spec) {
        Some(RootfsPropagation::Rprivate) => Propagation::MS_PRIVATE,
        _ => Propagation::MS_SLAVE,
    }
}

/// Attach a clone of the root file system over its own directory, and return its descriptor.
fn rootfs(plan: &mut Plan, request: &ContainerRequest<'_>) -> Result<Slot> {
    if inherits_mounts(request.spec) {
        plan.origin("root.path");
        return bare_root(plan, &request.host.rootfs);
    }
    plan.origin("linux.rootfsPropagation");
    // From here on, no mount or unmount of init propagates to the host. Binds that are to be shared
    // with the host have been cloned before, and stay peers of their sources.
    let kind = of_the_hosts(request.spec);
    plan.step(propagate(Slot::CWD, c"/", AtFlags::AT_RECURSIVE, kind));
    if request.host.initramfs && !request.no_pivot {
        step_off_initramfs(plan)?;
    }
    plan.origin("root.path");
    if let Some(directory) = request.ephemeral {
        return parts::place(plan, request, directory);
    }
    let path = c_string(&request.host.rootfs)?;
    let tree = mounts::clone(plan, &request.host.rootfs, true, false)?;
    mounts::set(plan, tree, nodev(request), Propagation(0), true);
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: tree, at: Slot::CWD, path: &path, flags });
    Ok(tree)
}

/// Make a mount namespace in which a clone of the root file system is the only tree, enter it, and
/// return the descriptor of its root. Until then init is in the host's mount namespace, so no step
/// before may attach anything.
fn own_namespace(plan: &mut Plan, request: &ContainerRequest<'_>) -> Result<Slot> {
    plan.origin("root.path, the only tree of the mount namespace");
    let flags = OpenTreeFlags::OPEN_TREE_NAMESPACE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let path = c_string(&request.host.rootfs)?;
    let namespace = plan.slot()?;
    plan.step(Op::OpenTree { into: namespace, at: Slot::CWD, path: &path, flags });
    plan.step(Op::Setns { fd: namespace, kind: CloneFlags::CLONE_NEWNS });
    plan.close(namespace);
    let root = plan.slot()?;
    let how = root::path_only(OpenFlags::O_DIRECTORY, root::HOST);
    plan.step(Op::Openat2 { into: root, at: Slot::CWD, path: c"/", how });
    mounts::set(plan, root, nodev(request), of_the_hosts(request.spec), true);
    Ok(root)
}

/// Make the image's device nodes unusable if no cgroup limits devices.
fn nodev(request: &ContainerRequest<'_>) -> Attrs {
    let set = match request.host.nodev {
        true => MountAttrs::MOUNT_ATTR_NODEV,
        false => MountAttrs(0),
    };
    Attrs { set, ..Attrs::default() }
}

/// Whether the container shares the caller's mount namespace, in which nothing may be changed.
pub fn inherits_mounts(spec: &Spec) -> bool {
    spec.namespace(NamespaceKind::Mount).is_none()
}

/// Open the root directory of a container that shares the caller's mount namespace.
fn bare_root(plan: &mut Plan, path: &str) -> Result<Slot> {
    let into = plan.slot()?;
    let how = root::path_only(OpenFlags::O_DIRECTORY, root::HOST);
    plan.step(Op::Openat2 { into, at: Slot::CWD, path: &c_string(path)?, how });
    Ok(into)
}

/// Make `root` the root of init by chroot(2).
fn change_root(plan: &mut Plan, root: Slot) {
    plan.step(Op::Fchdir { fd: root });
    plan.step(Op::Chroot { path: c"." });
    plan.close(root);
}

/// Attach a clone of the initramfs over itself and enter it. pivot_root(2) refuses an initramfs,
/// since its mount has no parent; the clone has one.
fn step_off_initramfs(plan: &mut Plan) -> Result<()> {
    plan.origin("the initramfs");
    let tree = mounts::clone(plan, "/", true, false)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    plan.step(Op::MoveMountAt { from: tree, at: Slot::CWD, path: c"/", flags });
    plan.step(Op::Fchdir { fd: tree });
    plan.step(Op::Chroot { path: c"." });
    plan.close(tree);
    Ok(())
}

/// The operation that changes the propagation of a mount.
fn propagate(at: Slot, path: &std::ffi::CStr, flags: AtFlags, propagation: Propagation) -> Op<'_> {
    let attr =
        MountAttr { attr_set: MountAttrs(0), attr_clr: MountAttrs(0), propagation, userns_fd: 0 };
    Op::MountSetattr { at, path, flags, attr }
}

/// Make the working directory if the image lacks it, as runc and crun do.
fn working_directory(plan: &mut Plan, request: &ContainerRequest<'_>, root: Slot) -> Result<()> {
    let Some(process) = &request.spec.process else { return Ok(()) };
    if components(&process.cwd).is_empty() {
        return Ok(());
    }
    plan.origin("process.cwd");
    let to = root::Inside { path: &process.cwd, leads_to: request.host.cwd.as_deref() };
    let cwd = root::target(plan, root, to, root::Wanted::Directory, root::Links::Follow)?;
    plan.close(cwd);
    Ok(())
}

/// Whether there are hooks that come before the pivot.
fn hooks_before_entering(spec: &Spec) -> bool {
    let before = |hooks: &Hooks| {
        [&hooks.prestart, &hooks.create_runtime, &hooks.create_container]
            .iter()
            .any(|hooks| !hooks.is_empty())
    };
    spec.hooks.as_ref().is_some_and(before)
}

/// Wait while the launcher starts the program that makes the network, and runs the hooks that come
/// before the pivot.
fn hooks(plan: &mut Plan, request: &ContainerRequest<'_>) {
    match (hooks_before_entering(request.spec), request.usernet) {
        (false, None) => return,
        (true, None) => plan.origin("hooks"),
        (false, Some(program)) => plan.origin(format!("--network {program}")),
        (true, Some(program)) => plan.origin(format!("--network {program}, hooks")),
    }
    // An unprivileged launcher and its program can open the namespaces of a dumpable process only
    // (ptrace(2)). Nobody but this user can look into init meanwhile: its user namespace is new.
    let opened = request.usernet.is_some() && maps_first(request);
    let option = Prctl::PR_SET_DUMPABLE;
    if opened {
        plan.step(Op::Prctl { option, value: 1 });
    }
    plan.step(Op::Report { to: Slot::CHANNEL, what: Report::HOOKS });
    plan.step(Op::Await { from: Slot::CHANNEL });
    if opened {
        plan.step(Op::Prctl { option, value: 0 });
    }
}

/// Replace the host's root by the rootfs. Between `pivot_root` and `umount2`, the host's root is
/// mounted over it and is `/..`.
fn pivot(plan: &mut Plan, request: &ContainerRequest<'_>, root: Slot) {
    plan.step(Op::Fchdir { fd: root });
    if request.no_pivot {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        plan.step(Op::MoveMountAt { from: root, at: Slot::CWD, path: c"/", flags });
        plan.step(Op::Chroot { path: c"." });
    } else {
        plan.step(Op::PivotRoot { new_root: c".", put_old: c"." });
        plan.step(Op::Umount2 { target: c".", flags: UmountFlags::MNT_DETACH });
    }
    plan.step(Op::Chdir { path: c"/" });
}

/// Make the rootfs the root, unless it is, and set its propagation.
fn enter(plan: &mut Plan, request: &ContainerRequest<'_>, root: Slot, alone: bool) -> Result<()> {
    plan.origin("root.path");
    if inherits_mounts(request.spec) {
        change_root(plan, root);
        return Ok(());
    }
    let propagation = propagation(request.spec);
    if !alone {
        pivot(plan, request, root);
    }
    // `rprivate` has no step here: `rootfs` made the mounts private, and an option of a mount that
    // asks for another propagation counts.
    if let Some(propagation) = propagation.filter(|it| *it != RootfsPropagation::Rprivate) {
        plan.origin("linux.rootfsPropagation");
        let (kind, recursive) = match propagation {
            RootfsPropagation::Shared => (Propagation::MS_SHARED, false),
            RootfsPropagation::Rshared => (Propagation::MS_SHARED, true),
            RootfsPropagation::Slave => (Propagation::MS_SLAVE, false),
            RootfsPropagation::Rslave => (Propagation::MS_SLAVE, true),
            RootfsPropagation::Private | RootfsPropagation::Rprivate => {
                (Propagation::MS_PRIVATE, false)
            }
            RootfsPropagation::Unbindable => (Propagation::MS_UNBINDABLE, false),
            RootfsPropagation::Runbindable => (Propagation::MS_UNBINDABLE, true),
        };
        let flags = if recursive { AtFlags::AT_RECURSIVE } else { AtFlags(0) };
        plan.step(propagate(Slot::CWD, c"/", flags, kind));
    }
    plan.close(root);
    Ok(())
}

/// Set the host name and the NIS domain name.
fn names(plan: &mut Plan, spec: &Spec) {
    if let Some(hostname) = spec.hostname.as_ref().filter(|name| !name.is_empty()) {
        plan.origin("hostname");
        plan.step(Op::Sethostname { name: hostname.as_bytes() });
    }
    // The sysctl kernel.domainname is set already, and overrides the property, as with runc.
    let parameter = crate::spec::check::sysctl_value(spec, "kernel/domainname").is_some();
    let domainname = spec.domainname.as_ref().filter(|name| !name.is_empty() && !parameter);
    if let Some(domainname) = domainname {
        plan.origin("domainname");
        plan.step(Op::Setdomainname { name: domainname.as_bytes() });
    }
}

/// Set the execution domain, personality(2).
fn personality(plan: &mut Plan, spec: &Spec) {
    if let Some(personality) = spec.linux.as_ref().and_then(|linux| linux.personality.as_ref()) {
        plan.origin("linux.personality");
        let persona = match personality.domain {
            crate::spec::PersonalityDomain::Linux => 0,
            crate::spec::PersonalityDomain::Linux32 => 8,
        };
        plan.step(Op::Personality { persona });
    }
}

/// Set the memory policy, which the program inherits.
fn memory_policy(plan: &mut Plan, spec: &Spec) {
    let Some(policy) = spec.linux.as_ref().and_then(|linux| linux.memory_policy.as_ref()) else {
        return;
    };
    plan.origin("linux.memoryPolicy");
    let mode = match policy.mode {
        MemoryPolicyMode::Default => 0,
        MemoryPolicyMode::Preferred => 1,
        MemoryPolicyMode::Bind => 2,
        MemoryPolicyMode::Interleave => 3,
        MemoryPolicyMode::Local => 4,
        MemoryPolicyMode::PreferredMany => 5,
        MemoryPolicyMode::WeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlag| match flag {
        MemoryPolicyFlag::NumaBalancing => MemoryFlags::MPOL_F_NUMA_BALANCING,
        MemoryPolicyFlag::RelativeNodes => MemoryFlags::MPOL_F_RELATIVE_NODES,
        MemoryPolicyFlag::StaticNodes => MemoryFlags::MPOL_F_STATIC_NODES,
    };
    let flags = policy.flags.iter().map(flag).fold(MemoryFlags(0), |all, flag| all | flag);
    let words = policy.nodes.as_deref().map(crate::spec::list::mask).unwrap_or_default();
    let nodes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    // The kernel subtracts one from this count; 0 would wrap around to the largest number.
    let bits = words.len() as u32 * 64 + 1;
    plan.step(Op::SetMempolicy { mode, flags, nodes: &nodes, bits });
}

/// The descriptors that init opened before it entered the root, and uses afterwards.
struct Inside {
    socket: Option<Slot>,
    slave: Option<Slot>,
    labels: Vec<security::Label>,
}

/// Take on the identity of the program, wait for `start`, and execute the program.
fn become_program(plan: &mut Plan, request: &ContainerRequest<'_>, inside: Inside) -> Result<()> {
    let spec = request.spec;
    let Inside { socket, slave, labels } = inside;
    personality(plan, spec);
    memory_policy(plan, spec);
    let process = spec.process.as_ref();
    let identity = process.map(|process| identity::Identity {
        process,
        groups_denied: namespaces::groups_denied(spec, request.host),
        filter: request.filter,
        last_capability: request.host.last_capability,
        stdio: request.host.stdio,
    });
    if let Some(identity) = &identity {
        identity::limits(plan, identity.process);
        terminal::take(plan, slave, !request.init);
        identity::change(plan, identity, labels)?;
    }
    let open = identity::Open { channel: Slot::CHANNEL, socket };
    let identity::Open { mut channel, socket } =
        identity::descriptors(plan, open, request.preserved)?;
    if let Some(identity) = &identity {
        identity::listened(plan, identity, channel)?;
    }
    plan.origin("the commit");
    plan.step(Op::Report { to: channel, what: Report::READY });
    plan.step(Op::Await { from: channel });
    if let Some(socket) = socket {
        plan.origin("start");
        channel = plan.slot()?;
        plan.step(Op::Accept { into: channel, socket });
    }
    let Some(identity) = identity else {
        // `start` refuses a container without a process before it connects to the socket.
        return Ok(());
    };
    let start_hooks = spec.hooks.as_ref().is_some_and(|hooks| !hooks.start_container.is_empty());
    if start_hooks {
        plan.origin("hooks.startContainer");
        plan.step(Op::Report { to: channel, what: Report::START_HOOKS });
        plan.step(Op::Await { from: channel });
    }
    if request.init {
        supervise::supervise(plan, request, &identity)?;
    }
    identity::execute(plan, &identity, channel)
}
