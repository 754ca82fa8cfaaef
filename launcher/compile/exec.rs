//! Compile `exec` to a plan: join the container, take on the identity, execute the program.
//!
//! The container is not trusted: init is non-dumpable before it joins a namespace, and stays so
//! (CVE-2016-9962). The filter, capabilities, limits and no_new_privs of `ExecRequest` apply as
//! they do to the container's own program.

use tiny_ce_init::flags::{CloneFlags, Mode, Prctl, Report};
use tiny_ce_init::{Op, Slot};

use super::identity::{self, Identity};
use super::terminal::{self, Place};
use super::{FilterBytes, activation, namespaces, root, security, streams, write_file};
use crate::error::Result;
use crate::plan::{Finished, Plan, Preload};
use crate::spec::{NamespaceKind, Process, Spec};

/// What to compile.
pub struct ExecRequest<'a> {
    /// The container's configuration.
    pub spec: &'a Spec,
    /// The process to run, with every default filled in.
    pub process: &'a Process,
    /// The container's filter.
    pub filter: Option<&'a FilterBytes>,
    /// Namespaces of the container's init that are not the launcher's own.
    pub namespaces: &'a [NamespaceKind],
    /// How many cgroup v1 hierarchies init joins by itself.
    pub cgroup_joins: usize,
    /// Whether setgroups(2) is denied in the container's user namespace.
    pub groups_denied: bool,
    /// The highest capability that the kernel has.
    pub last_capability: u32,
    /// Which of stdin, stdout and stderr the program's user is to own.
    pub stdio: [bool; 3],
    /// Which of stdin, stdout and stderr are to be the container's null device.
    pub null: [bool; 3],
    /// Which descriptors after 2 the program inherits.
    pub preserved: &'a activation::Preserved,
    /// The root of a container that shares the caller's mount namespace.
    pub root: Option<&'a str>,
}

/// Compile the plan of a process that joins a container.
///
/// # Errors
/// The plan needs more descriptors at once than it has slots, or a text of it contains NUL.
pub fn compile(request: &ExecRequest<'_>) -> Result<Finished> {
    let mut plan = Plan::new();
    let plan = &mut plan;
    let container = plan.preload(Preload::Process)?;
    let tasks = (0..request.cgroup_joins).map(|_| plan.preload(Preload::CgroupTasks));
    let tasks = tasks.collect::<Result<Vec<_>>>()?;
    if let Some(score) = request.process.oom_score_adj {
        plan.origin("process.oomScoreAdj");
        write_file(plan, Slot::CWD, "/proc/self/oom_score_adj", &score.to_string(), root::HOST)?;
    }
    plan.origin("the session");
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
    plan.step(Op::Umask { mask: Mode(0) });
    security::keys(plan, request.process)?;
    plan.origin("the session");
    plan.step(Op::JoinSessionKeyring {});
    // Before init joins, the path is resolved on the host; what the container did to its root has
    // no effect.
    let root = match request.root {
        Some(path) => {
            plan.origin("root.path");
            Some(super::bare_root(plan, path)?)
        }
        None => None,
    };
    join(plan, request, container, tasks, root);
    let labels = security::open(plan, request.process)?;
    plan.origin("the session");
    plan.step(Op::Setsid {});
    let slave = terminal::open(plan, request.process, Place::Joined)?;
    streams::own_null(plan, request.null, streams::Place::Joined)?;
    super::personality(plan, request.spec);
    super::memory_policy(plan, request.spec);
    let identity = Identity {
        process: request.process,
        groups_denied: request.groups_denied,
        filter: request.filter,
        last_capability: request.last_capability,
        stdio: request.stdio,
    };
    identity::limits(plan, request.process);
    terminal::take(plan, slave, true);
    identity::change(plan, &identity, labels)?;
    let open = identity::Open { channel: Slot::CHANNEL, socket: None };
    let channel = identity::descriptors(plan, open, request.preserved)?.channel;
    identity::listened(plan, &identity, channel)?;
    plan.origin("the commit");
    plan.step(Op::Report { to: channel, what: Report::READY });
    plan.step(Op::Await { from: channel });
    identity::execute(plan, &identity, channel)?;
    Ok(std::mem::take(plan).finish())
}

/// Set the CPU affinity to these CPUs.
fn affinity(plan: &mut Plan, which: &str, cpus: Option<&str>) {
    let Some(cpus) = cpus.filter(|cpus| !cpus.is_empty()) else { return };
    plan.origin(format!("process.execCPUAffinity.{which}"));
    let words = crate::spec::list::mask(cpus);
    let mask: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    plan.step(Op::SchedSetaffinity { mask: &mask });
}

/// Enter the container's cgroups and namespaces.
fn join(
    plan: &mut Plan,
    request: &ExecRequest<'_>,
    container: Slot,
    tasks: Vec<Slot>,
    root: Option<Slot>,
) {
    let cpus = request.process.exec_cpu_affinity.as_ref();
    affinity(plan, "initial", cpus.and_then(|cpus| cpus.initial.as_deref()));
    plan.origin("linux.cgroupsPath");
    for fd in tasks {
        plan.step(Op::Write { fd, data: b"0" });
        plan.close(fd);
    }
    affinity(plan, "final", cpus.and_then(|cpus| cpus.last.as_deref()));
    plan.origin("linux.namespaces");
    let kinds = request.namespaces.iter();
    let kind = kinds.fold(CloneFlags(0), |all, kind| all | kind.flag());
    // One setns(2) checks the rights over all the namespaces before it enters any: inside the user
    // namespace, init would have no right to enter one that belongs to the host's.
    if kind != CloneFlags(0) {
        plan.step(Op::Setns { fd: container, kind });
    }
    if request.namespaces.contains(&NamespaceKind::User) {
        namespaces::become_root(plan, request.spec);
    }
    // Before the fork: processes of the container can see the child through their /proc, so it must
    // not hold a descriptor or a mount of the host (CVE-2016-9962).
    plan.close(container);
    if let Some(root) = root {
        plan.origin("root.path");
        super::change_root(plan, root);
        plan.origin("linux.namespaces");
    }
    let forks = [NamespaceKind::Pid, NamespaceKind::Time];
    if request.namespaces.iter().any(|kind| forks.contains(kind)) {
        namespaces::fork(plan);
    }
}
