//! One hook → the plan of the process that becomes it. Pure, like the rest of `compile`.
//!
//! The same machine that sets a container up runs its hooks: what is executed, where and with
//! which privileges is a list of steps here. Knows nothing of pipes, time or the state on stdin.

use tiny_ce_init::flags::{CloneFlags, CloseRangeFlags, Prctl};
use tiny_ce_init::{Op, Slot, Unless};

use super::identity::{self, Identity};
use super::{namespaces, security};
use crate::error::Result;
use crate::plan::{Finished, Plan, Preload, c_string};
use crate::spec::NamespaceKind;

/// What to compile.
pub struct Request<'a> {
    /// The field of config.json: `hooks.createRuntime[1] "/path"`.
    pub name: &'a str,
    /// Absolute path of the program.
    pub path: &'a str,
    /// The bundle; where it cannot be entered, the hook runs in `/`.
    pub cwd: &'a str,
    /// The container's namespaces to enter: those that are not the launcher's own.
    pub namespaces: &'a [NamespaceKind],
    /// The program is preloaded: its path means another file, or none, in those namespaces.
    pub preloaded: bool,
    /// For the container's own programs, which are as confined as its process.
    pub confined: Option<Confined<'a>>,
}

/// What holds the container's process holds a program of its image.
pub struct Confined<'a> {
    /// The user, capabilities, limits and filter of the process.
    pub identity: &'a Identity<'a>,
    /// How many cgroup v1 hierarchies it is put into; their `tasks` files are preloaded.
    pub hierarchies: usize,
}

/// The plan of a hook. Preloaded are, in this order: standard input, output, the `tasks` files,
/// a process of the container if namespaces are entered, the program if it is asked for.
pub fn compile(request: &Request<'_>) -> Result<Finished> {
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
        // While the host's /proc is in sight.
        oom_score(plan, confined.identity)?;
        plan.origin(request.name);
    }
    if let Some(process) = process {
        if request.namespaces.contains(&NamespaceKind::Pid) {
            // The group by which a child is found whose maker did not live to tell of it.
            plan.step(Op::Setsid {});
        }
        enter(plan, process, request.namespaces);
    }
    let labels = match &request.confined {
        Some(confined) => security::open(plan, confined.identity.process)?,
        None => Vec::new(),
    };
    plan.origin(request.name);
    // A session, and so a group of processes, of its own: a timeout kills all of the group.
    plan.step(Op::Setsid {});
    if let Some(confined) = &request.confined {
        // Programs of the image are not given the caller's keys.
        security::keys(plan, confined.identity.process)?;
        plan.origin(request.name);
        plan.step(Op::JoinSessionKeyring {});
        identity::limits(plan, confined.identity.process)?;
        identity::change(plan, confined.identity, labels)?;
        plan.origin(request.name);
    } else {
        let absent = Unless::ENOENT.or(Unless::ENOTDIR).or(Unless::EACCES);
        plan.step(Op::Chdir { path: c"/" });
        plan.step_unless(absent, Op::Chdir { path: &c_string(request.cwd)? });
    }
    // After the last change of ids, which would forget it: no hook outlives its launcher.
    let option = Prctl::PR_SET_PDEATHSIG;
    plan.step(Op::Prctl { option, value: libc::SIGKILL as u64 });
    become_hook(plan, request, program)?;
    Ok(std::mem::take(plan).finish())
}

/// The score of the container's process.
fn oom_score(plan: &mut Plan, identity: &Identity<'_>) -> Result<()> {
    let Some(score) = identity.process.oom_score_adj else { return Ok(()) };
    plan.origin("process.oomScoreAdj");
    let path = "/proc/self/oom_score_adj";
    super::write_file(plan, Slot::CWD, path, &score.to_string(), super::root::HOST)
}

/// Be in the container's namespaces, and root of its user namespace.
fn enter(plan: &mut Plan, process: Slot, kinds: &[NamespaceKind]) {
    let kind = kinds.iter().fold(CloneFlags(0), |all, kind| all | kind.flag());
    // Before the first namespace that others are in is joined (CVE-2016-9962).
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
    // All at once: the kernel checks each by what this process may do now (Linux 5.8).
    plan.step(Op::Setns { fd: process, kind });
    // Before the fork: what is in a pid namespace can be looked at from there.
    plan.close(process);
    if kinds.contains(&NamespaceKind::Pid) {
        namespaces::fork(plan);
    }
    if kinds.contains(&NamespaceKind::User) {
        be_root(plan);
    }
}

/// Root of a user namespace that was joined, as far as it has one.
pub(super) fn be_root(plan: &mut Plan) {
    // Zero may not be mapped, and setgroups(2) may be denied there (user_namespaces(7)).
    let unmapped = Unless::EINVAL.or(Unless::EPERM);
    plan.step_unless(unmapped, Op::Setgroups { groups: b"" });
    plan.step_unless(unmapped, Op::Setresgid { gid: 0 });
    plan.step_unless(unmapped, Op::Setresuid { uid: 0 });
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
}

/// Nothing but 0, 1 and 2 stays open, and the program where it is executed by descriptor: an
/// interpreter of a script opens it by number.
fn become_hook(plan: &mut Plan, request: &Request<'_>, program: Option<Slot>) -> Result<()> {
    const PROGRAM: u32 = 3;
    let flags = CloseRangeFlags(0);
    let channel = plan.slot()?;
    let first = PROGRAM + u32::from(program.is_some());
    plan.step(Op::Dup { into: channel, fd: Slot::CHANNEL, lowest: first });
    if let Some(fd) = program {
        plan.step(Op::Dup3Stdio { fd, to: PROGRAM });
    }
    // Nothing may lie between, which the kernel calls invalid.
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
