//! Compile `process`: limits, scheduling, user, groups, capabilities, and the program itself.
//!
//! The container's program and `exec` use the same steps. Security depends on their order; comments
//! at the steps say why each has its place.

use tiny_ce_init::flags::{
    CapSet, Caps, CloseRangeFlags, FilterFlags, Mode, OpenFlags, Prctl, Report, Resolve, Resource,
    Rlimit, SchedAttr,
};
use tiny_ce_init::machine::Machine;
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::root::path_only;

use super::FilterBytes;
use super::activation::Preserved;
use super::security::{self, Label};
use crate::error::Result;
use crate::plan::{Plan, c_string};
use crate::spec::names;
use crate::spec::{
    Capabilities, IoPriorityClass, Process, Scheduler, SchedulerFlag, SchedulerPolicy, User,
};

/// Without `process.capabilities` the program has no capabilities, as with runc and crun: it must
/// not inherit those of the launcher.
static NONE: Capabilities = Capabilities {
    bounding: Vec::new(),
    effective: Vec::new(),
    inheritable: Vec::new(),
    permitted: Vec::new(),
    ambient: Vec::new(),
};

/// The umask of a program for which the config gives none, as with runc and crun.
const UMASK: u32 = 0o022;

/// The identity that a process takes on.
pub struct Identity<'a> {
    /// The `process` of the config.
    pub process: &'a Process,
    /// Whether setgroups(2) is denied: see `namespaces::groups_denied`.
    pub groups_denied: bool,
    /// The system call filter, if any.
    pub filter: Option<&'a FilterBytes>,
    /// The highest capability that the kernel has.
    pub last_capability: u32,
    /// Which of stdin, stdout and stderr the program's user is to own.
    pub stdio: [bool; 3],
}

impl Identity<'_> {
    /// The capabilities that init keeps until execve(2). Without no_new_privs, loading a filter
    /// needs CAP_SYS_ADMIN (seccomp(2)). Init loads the filter after the change of user, since the
    /// filter could refuse that change, so init keeps CAP_SYS_ADMIN until then.
    fn held(&self) -> u64 {
        if holds(self.process, self.filter.is_some()) { 1 << CAP_SYS_ADMIN } else { 0 }
    }
}

/// See `Identity::held`.
fn holds(process: &Process, filtered: bool) -> bool {
    filtered && !process.no_new_privileges
}

/// The process that a hook of the image runs as: the container's, without CAP_SYS_PTRACE if init
/// holds CAP_SYS_ADMIN. Init waits while the hook runs, and the hook could ptrace it (ptrace(2)).
pub fn of_hook(process: &Process, filtered: bool) -> Process {
    let mut process = process.clone();
    let held = holds(&process, filtered);
    if let Some(sets) = process.capabilities.as_mut().filter(|_| held) {
        sets.remove("CAP_SYS_PTRACE");
    }
    process
}

/// The number of CAP_SYS_ADMIN, capabilities(7).
const CAP_SYS_ADMIN: u32 = 21;

/// The set of the capabilities with these names. It ignores unknown names: `check` has warned.
pub fn capability_set(names: &[String]) -> u64 {
    let numbers = names.iter().filter_map(|name| names::capability(name));
    numbers.fold(0, |set, capability| set | 1 << capability)
}

/// A soft limit on open files below this number is set last, since init needs descriptors itself.
const FEW_FILES: u64 = 64;

fn is_late(limit: &crate::spec::Rlimit) -> bool {
    limit.kind == "RLIMIT_NOFILE" && limit.soft.0 < FEW_FILES
}

/// Set one limit, but to no less than `least`.
fn rlimit(plan: &mut Plan, index: usize, limit: &crate::spec::Rlimit, least: u64) {
    plan.origin(format!("process.rlimits[{index}] {:?}", limit.kind));
    // `check` has refused unknown limits.
    let Some(resource) = Resource::named(&limit.kind) else { return };
    let limit = Rlimit { soft: limit.soft.0.max(least), hard: limit.hard.0.max(least) };
    plan.step(Op::Prlimit { resource, limit });
}

/// Set limits and scheduling while init still has privileges.
pub fn limits(plan: &mut Plan, process: &Process) {
    for (index, limit) in process.rlimits.iter().enumerate() {
        // A late limit gets a first value here: raising its hard limit needs privileges.
        rlimit(plan, index, limit, if is_late(limit) { FEW_FILES } else { 0 });
    }
    if let Some(scheduler) = &process.scheduler {
        plan.origin("process.scheduler");
        plan.step(Op::SchedSetattr { attr: sched_attr(scheduler) });
    }
    if let Some(priority) = &process.io_priority {
        plan.origin("process.ioPriority");
        let class = match priority.class {
            IoPriorityClass::Rt => 1,
            IoPriorityClass::Be => 2,
            IoPriorityClass::Idle => 3,
        };
        let level = u32::try_from(priority.priority.unwrap_or(0)).unwrap_or(0);
        plan.step(Op::IoprioSet { ioprio: class << 13 | level });
    }
}

fn sched_attr(scheduler: &Scheduler) -> SchedAttr {
    let policy = match scheduler.policy {
        SchedulerPolicy::Other => 0,
        SchedulerPolicy::Fifo => 1,
        SchedulerPolicy::Rr => 2,
        SchedulerPolicy::Batch => 3,
        SchedulerPolicy::Iso => 4,
        SchedulerPolicy::Idle => 5,
        SchedulerPolicy::Deadline => 6,
    };
    let bit = |flag: &SchedulerFlag| match flag {
        SchedulerFlag::ResetOnFork => 0x1,
        SchedulerFlag::Reclaim => 0x2,
        SchedulerFlag::DlOverrun => 0x4,
        SchedulerFlag::KeepPolicy => 0x8,
        SchedulerFlag::KeepParams => 0x10,
        SchedulerFlag::UtilClampMin => 0x20,
        SchedulerFlag::UtilClampMax => 0x40,
    };
    SchedAttr {
        size: 48,
        policy,
        flags: scheduler.flags.iter().map(bit).fold(0, |all, bit| all | bit),
        nice: scheduler.nice.unwrap_or(0),
        priority: u32::try_from(scheduler.priority.unwrap_or(0)).unwrap_or(0),
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
    }
}

/// Change the user, groups, capabilities and working directory, and verify the change.
///
/// # Errors
/// The plan has no free slot, or `process.cwd` contains NUL.
pub fn change(plan: &mut Plan, identity: &Identity<'_>, labels: Vec<Label>) -> Result<()> {
    let process = identity.process;
    let user = process.user();
    let directory = enter_cwd(plan, process)?;
    if process.no_new_privileges {
        plan.origin("process.noNewPrivileges");
        plan.step(Op::Prctl { option: Prctl::PR_SET_NO_NEW_PRIVS, value: 1 });
    }
    let caps = process.capabilities.as_ref().unwrap_or(&NONE);
    // Dropping from the bounding set needs CAP_SETPCAP, which init may lose below.
    plan.origin("process.capabilities.bounding");
    let keep = capability_set(&caps.bounding);
    for capability in (0..=identity.last_capability).filter(|c| keep & 1 << c == 0) {
        let option = Prctl::PR_CAPBSET_DROP;
        plan.step(Op::Prctl { option, value: u64::from(capability) });
    }
    stdio(plan, identity, user);
    user_ids(plan, identity, user);
    capability_sets(plan, caps, identity.held());
    // A change of ids resets the dumpable flag to fs.suid_dumpable (prctl(2)), which may be 1.
    plan.origin("process.user");
    plan.step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 0 });
    plan.origin("process.cwd");
    let cwd = c_string(&process.cwd)?;
    let not_yet = Guard::Absent(directory);
    plan.push(Step { guard: not_yet, unless: Unless::NOTHING, op: Op::Chdir { path: &cwd } });
    plan.step(Op::Getcwd {});
    plan.close_present(directory);
    plan.origin("process.user.umask");
    plan.step(Op::Umask { mask: Mode(user.umask.unwrap_or(UMASK) & 0o777) });
    // The labels take effect at execve(2), but an unknown label fails here: `create`, not `start`.
    security::write(plan, labels);
    Ok(())
}

/// Give stdin, stdout and stderr to the program's user, so that the program can open /dev/stderr.
fn stdio(plan: &mut Plan, identity: &Identity<'_>, user: &User) {
    plan.origin("process.user.uid");
    let wanted = (0u32..).zip(identity.stdio).filter(|(_, owned)| *owned);
    for (number, _) in wanted.filter(|_| !identity.process.terminal) {
        let (uid, gid) = (user.uid, u32::MAX);
        // The owner of some files cannot be changed, but the program can still write to them.
        let kept = Unless::EPERM.or(Unless::EROFS).or(Unless::EINVAL);
        plan.step_unless(kept, Op::FchownStdio { number, uid, gid });
    }
}

/// Enter the working directory before the change of user, since the user may lack permission. If
/// root lacks permission, `change` enters it after the change of user.
fn enter_cwd(plan: &mut Plan, process: &Process) -> Result<Slot> {
    plan.origin("process.cwd");
    let cwd = c_string(&process.cwd)?;
    let into = plan.slot()?;
    let how = path_only(OpenFlags::O_DIRECTORY, Resolve(0));
    plan.step_unless(Unless::EACCES, Op::Openat2 { into, at: Slot::CWD, path: &cwd, how });
    let enter = Op::Fchdir { fd: into };
    plan.push(Step { guard: Guard::Present(into), unless: Unless::NOTHING, op: enter });
    let verify = Op::Getcwd {};
    plan.push(Step { guard: Guard::Present(into), unless: Unless::NOTHING, op: verify });
    Ok(into)
}

/// Set the groups, the gid and the uid, and read them back.
fn user_ids(plan: &mut Plan, identity: &Identity<'_>, user: &User) {
    plan.origin("process.user");
    plan.step(Op::Prctl { option: Prctl::PR_SET_KEEPCAPS, value: 1 });
    let mut groups: Vec<u32> = user.additional_gids.clone();
    // The kernel sorts the groups and keeps duplicates, and getgroups(2) has to return these.
    groups.sort_unstable();
    let bytes: Vec<u8> = groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
    // Where setgroups(2) is denied, init cannot drop the launcher's groups (user_namespaces(7)).
    // If the config asks for groups, init calls it nevertheless, so that the failure is reported.
    let asks = user.additional_gids.iter().any(|gid| *gid != user.gid);
    if !identity.groups_denied || asks {
        // Also for an empty list: the program must not keep the caller's groups (CVE-2022-36109).
        plan.step(Op::Setgroups { groups: &bytes });
    }
    plan.step(Op::Setresgid { gid: user.gid });
    plan.step(Op::Setresuid { uid: user.uid });
    plan.step(Op::Getresuid { uid: user.uid });
    plan.step(Op::Getresgid { gid: user.gid });
    if !identity.groups_denied && bytes.len() <= Machine::SCRATCH {
        plan.step(Op::Getgroups { groups: &bytes });
    }
}

/// Set the capability sets, with `held` in addition for init. execve(2) computes the program's sets
/// from the inheritable, bounding and ambient sets (capabilities(7)), so `held` does not reach it.
fn capability_sets(plan: &mut Plan, caps: &Capabilities, held: u64) {
    plan.origin("process.capabilities");
    let set = |names: &[String]| CapSet(capability_set(names));
    let caps_sets = Caps {
        effective: CapSet(capability_set(&caps.effective) | held),
        permitted: CapSet(capability_set(&caps.permitted) | held),
        inheritable: set(&caps.inheritable),
    };
    plan.step(Op::Capset { caps: caps_sets });
    plan.step(Op::Capget { caps: caps_sets });
    plan.step(Op::Prctl { option: Prctl::PR_SET_KEEPCAPS, value: 0 });
    plan.step(Op::ClearAmbient {});
    // An ambient capability has to be permitted and inheritable. Many configs name others, which
    // are left out.
    let possible = capability_set(&caps.permitted) & caps_sets.inheritable.0;
    let ambient = capability_set(&caps.ambient) & possible;
    if ambient != 0 {
        plan.origin("process.capabilities.ambient");
        for capability in (0..64).filter(|c| ambient & 1 << c != 0) {
            plan.step(Op::RaiseAmbient { capability });
        }
    }
}

/// Load the filter, and send its listener to the launcher if it has one. The listener is not closed
/// here, since the filter may refuse close(2); execve(2) closes it.
///
/// # Errors
/// The filter has a listener, and the plan has no free slot.
pub fn seccomp(plan: &mut Plan, filter: &FilterBytes, channel: Slot) -> Result<()> {
    plan.origin("linux.seccomp");
    let (flags, program) = (FilterFlags(filter.flags), filter.program.as_slice());
    if !filter.notify {
        plan.step(Op::Seccomp { flags, program });
        return Ok(());
    }
    let into = plan.slot()?;
    let flags = flags | FilterFlags::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    plan.step(Op::SeccompNotify { into, flags, program });
    plan.step(Op::SendFd { to: channel, what: Report::LISTENER, fd: into });
    Ok(())
}

/// Close the descriptors that the program must not inherit, before the filter could refuse the
/// calls. The channel and the socket of `start` stay open until execve(2), as do the connection and
/// the listener that are opened later; none of them is a directory or a program (CVE-2024-21626).
///
/// # Errors
/// The plan has no free slot.
pub fn descriptors(plan: &mut Plan, open: Open, preserved: &Preserved) -> Result<Open> {
    plan.origin("--preserve-fds");
    let first = 3 + preserved.count;
    let mut moved = |fd: Slot| -> Result<Slot> {
        let into = plan.slot()?;
        plan.step(Op::Dup { into, fd, lowest: first });
        Ok(into)
    };
    let kept = Open { channel: moved(open.channel)?, socket: open.socket.map(moved).transpose()? };
    let loaded = plan.preloads().len() as u32;
    for index in 0..preserved.count {
        plan.step(Op::Dup3 { from: 4 + loaded + index, to: 3 + index });
    }
    // For each hole the launcher passes another descriptor, so that the numbers stay in step.
    for number in &preserved.holes {
        plan.step(Op::CloseNumber { number: *number });
    }
    let flags = CloseRangeFlags(0);
    // If no number lies between, the range is empty, and close_range(2) fails with EINVAL.
    plan.step_unless(Unless::EINVAL, Op::CloseBelow { first, last: kept.channel, flags });
    if let Some(last) = kept.socket {
        let between = Op::CloseBetween { first: kept.channel, last, flags };
        plan.step_unless(Unless::EINVAL, between);
    }
    plan.step(Op::CloseAbove { first: kept.socket.unwrap_or(kept.channel), flags });
    Ok(kept)
}

/// The descriptors that init still uses once the program's descriptors have their numbers.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// The channel to the launcher.
    pub channel: Slot,
    /// The socket that `start` connects to.
    pub socket: Option<Slot>,
}

/// Load a filter with a listener before the commit: engines expect the listener while the container
/// is still `creating`.
///
/// # Errors
/// The plan has no free slot.
pub fn listened(plan: &mut Plan, identity: &Identity<'_>, channel: Slot) -> Result<()> {
    match identity.filter.filter(|filter| filter.notify) {
        Some(filter) => seccomp(plan, filter, channel),
        None => Ok(()),
    }
}

/// Set the limits that would have been too small for init.
pub fn late_limits(plan: &mut Plan, process: &Process) {
    for (index, limit) in process.rlimits.iter().enumerate().filter(|(_, l)| is_late(l)) {
        rlimit(plan, index, limit, 0);
    }
}

/// The last steps: set late limits, report that the program comes next, load the filter, and call
/// execve(2). No call comes between the two, so that a filter only has to allow execve(2).
///
/// # Errors
/// The plan has no free slot, or the path of the program contains NUL.
pub fn execute(plan: &mut Plan, identity: &Identity<'_>, channel: Slot) -> Result<()> {
    late_limits(plan, identity.process);
    plan.origin("process.args[0]");
    plan.step(Op::Report { to: channel, what: Report::EXECUTE });
    if let Some(filter) = identity.filter.filter(|filter| !filter.notify) {
        seccomp(plan, filter, channel)?;
    }
    plan.origin("process.args[0]");
    let candidates = candidates(identity.process);
    let not_this = Unless::ENOENT.or(Unless::ENOTDIR).or(Unless::EACCES);
    for candidate in &candidates {
        let path = c_string(candidate)?;
        if candidates.len() == 1 {
            plan.step(Op::Execve { path: &path });
        } else {
            plan.step_unless(not_this, Op::Execve { path: &path });
        }
    }
    Ok(())
}

/// The paths to try for `args[0]`: execvp(3)'s search, by the PATH of the program's environment.
pub fn candidates(process: &Process) -> Vec<String> {
    let Some(name) = process.args.first() else { return Vec::new() };
    if name.contains('/') {
        return vec![name.clone()];
    }
    let path = process.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH="));
    let directories = path.unwrap_or_default().split(':').filter(|part| !part.is_empty());
    directories.map(|directory| format!("{}/{name}", directory.trim_end_matches('/'))).collect()
}
