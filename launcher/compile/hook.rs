//! Compile one hook to the plan of the process that executes it. Pure, like the rest of `compile`.
//!
//! Init runs hooks as it sets up containers, by a list of steps: which program to execute, in which
//! namespaces and with which privileges. Pipes, timeouts and the state on stdin are the caller's.

use tiny_ce_init::flags::{CloneFlags, CloseRangeFlags, Prctl};
use tiny_ce_init::{Op, Slot, Unless};

use super::identity::{self, Identity};
use super::{namespaces, security};
use crate::error::Result;
use crate::plan::{Finished, Plan, Preload, c_string};
use crate::spec::NamespaceKind;

/// What to compile.
pub struct HookRequest<'a> {
    /// The field of config.json: `hooks.createRuntime[1] "/path"`.
    pub name: &'a str,
    /// Absolute path of the program.
    pub path: &'a str,
    /// The bundle; if the hook's process cannot enter it, the hook runs in `/`.
    pub cwd: &'a str,
    /// The container's namespaces to join: those that are not the launcher's own.
    pub namespaces: &'a [NamespaceKind],
    /// Whether the launcher opens the program, since its path leads to another file, or to none, in
    /// those namespaces.
    pub preloaded: bool,
    /// The confinement of a program of the image, which is that of the container's process.
    pub confined: Option<Confined<'a>>,
}

/// The confinement of the container's process, which applies to a program of its image as well.
pub struct Confined<'a> {
    /// The user, capabilities, limits and filter of the process.
    pub identity: &'a Identity<'a>,
    /// How many cgroup v1 hierarchies the hook joins; their `tasks` files are preloaded.
    pub hierarchies: usize,
}

/// Compile the plan of a hook. The preloads are, in this order: standard input, standard output,
/// the `tasks` files, a process of the container if namespaces are joined, the program if
/// `preloaded`.
///
/// # Errors
/// The plan needs more descriptors at once than it has slots, or a text of it contains NUL.
pub fn compile(request: &HookRequest<'_>) -> Result<Finished> {
    let mut plan = Plan::new();
    let plan = &mut plan;
    plan.origin(request.name);
    let input = plan.preload(Preload::Stdio)?;
    let output = plan.preload(Preload::Stdio)?;
    let hierarchies = request.confined.as_ref().map_or(0, |confined| confined.hierarchies);
    let tasks = (0..hierarchies).map(|_| plan.preload(Preload::CgroupTasks));
    let tasks = tasks.collect::<Result<Vec<Slot>>>()?;
    let enters = !request.namespaces.is_empty();
    let process = if enters { Some(plan.preload(Preload::Process)?) } else { None };
    let program = if request.preloaded { Some(plan.preload(Preload::Program)?) } else { None };
    for (fd, to) in [(input, 0), (output, 1), (output, 2)] {
        plan.step(Op::Dup3Stdio { fd, to });
    }
    for fd in tasks {
        plan.step(Op::Write { fd, data: b"0" });
        plan.close(fd);
    }
    if let Some(confined) = &request.confined {
        // Before the hook joins the mount namespace, while /proc is the host's.
        oom_score(plan, confined.identity)?;
        plan.origin(request.name);
    }
    if let Some(process) = process {
        if request.namespaces.contains(&NamespaceKind::Pid) {
            // If this process dies before it reports its child, the launcher finds the child by
            // its process group.
            plan.step(Op::Setsid {});
        }
        enter(plan, process, request.namespaces);
    }
    let labels = match &request.confined {
        Some(confined) => security::open(plan, confined.identity.process)?,
        None => Vec::new(),
    };
    plan.origin(request.name);
    // A session of its own is a process group of its own: a timeout kills the whole group.
    plan.step(Op::Setsid {});
    if let Some(confined) = &request.confined {
        // A program of the image must not have the caller's keys.
        security::keys(plan, confined.identity.process)?;
        plan.origin(request.name);
        plan.step(Op::JoinSessionKeyring {});
        identity::limits(plan, confined.identity.process);
        identity::change(plan, confined.identity, labels)?;
        plan.origin(request.name);
    } else {
        let absent = Unless::ENOENT.or(Unless::ENOTDIR).or(Unless::EACCES);
        plan.step(Op::Chdir { path: c"/" });
        plan.step_unless(absent, Op::Chdir { path: &c_string(request.cwd)? });
    }
    // No hook outlives its launcher. A change of ids would reset the signal, so it is set after it.
    let option = Prctl::PR_SET_PDEATHSIG;
    plan.step(Op::Prctl { option, value: libc::SIGKILL as u64 });
    become_hook(plan, request, program)?;
    Ok(std::mem::take(plan).finish())
}

/// Set the OOM score adjustment of the container's process.
fn oom_score(plan: &mut Plan, identity: &Identity<'_>) -> Result<()> {
    let Some(score) = identity.process.oom_score_adj else { return Ok(()) };
    plan.origin("process.oomScoreAdj");
    let path = "/proc/self/oom_score_adj";
    super::write_file(plan, Slot::CWD, path, &score.to_string(), super::root::HOST)
}

/// Join the container's namespaces, and become root of its user namespace.
fn enter(plan: &mut Plan, process: Slot, kinds: &[NamespaceKind]) {
    let kind = kinds.iter().fold(CloneFlags(0), |all, kind| all | kind.flag());
    // Other processes in the namespaces could ptrace this one if it were dumpable (CVE-2016-9962).
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
    // One setns(2) for all (Linux 5.8): the kernel checks each by the rights of before the call.
    plan.step(Op::Setns { fd: process, kind });
    // Before the fork: processes of the pid namespace can see the child's descriptors.
    plan.close(process);
    if kinds.contains(&NamespaceKind::Pid) {
        namespaces::fork(plan);
    }
    if kinds.contains(&NamespaceKind::User) {
        be_root(plan);
    }
}

/// Become root of a user namespace that was joined, if it has a root.
pub(super) fn be_root(plan: &mut Plan) {
    // The namespace may not map id 0, and may deny setgroups(2) (user_namespaces(7)).
    let unmapped = Unless::EINVAL.or(Unless::EPERM);
    plan.step_unless(unmapped, Op::Setgroups { groups: b"" });
    plan.step_unless(unmapped, Op::Setresgid { gid: 0 });
    plan.step_unless(unmapped, Op::Setresuid { uid: 0 });
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
}

/// Close all descriptors but 0, 1 and 2, load the filter, and execute the program. A preloaded
/// program stays open as descriptor 3: if it is a script, its interpreter opens it by number.
fn become_hook(plan: &mut Plan, request: &HookRequest<'_>, program: Option<Slot>) -> Result<()> {
    const PROGRAM: u32 = 3;
    let flags = CloseRangeFlags(0);
    let channel = plan.slot()?;
    let first = PROGRAM + u32::from(program.is_some());
    plan.step(Op::Dup { into: channel, fd: Slot::CHANNEL, lowest: first });
    if let Some(fd) = program {
        plan.step(Op::Dup3Stdio { fd, to: PROGRAM });
    }
    // If no number lies between, the range is empty, and close_range(2) fails with EINVAL.
    plan.step_unless(Unless::EINVAL, Op::CloseBelow { first, last: channel, flags });
    plan.step(Op::CloseAbove { first: channel, flags });
    if let Some(confined) = &request.confined {
        identity::late_limits(plan, confined.identity.process);
        if let Some(filter) = confined.identity.filter {
            identity::seccomp(plan, filter, channel)?;
        }
        plan.origin(request.name);
    }
    match program {
        Some(_) => plan.step(Op::Execveat { number: PROGRAM }),
        None => plan.step(Op::Execve { path: &c_string(request.path)? }),
    }
    Ok(())
}
