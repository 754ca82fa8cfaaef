//! Compile `--init`: init stays as the container's first process, and makes one for the program.
//!
//! Both have the program's ids by now. The first process gives up what it does not need to pass on
//! signals and to reap: capabilities, descriptors, and other system calls. Only it has the
//! program's pidfd, by which guards tell the two apart.

use tiny_ce_init::flags::{CapSet, Caps, CloseRangeFlags, FilterFlags, Prctl, SigHow};
use tiny_ce_init::{Guard, NAME, Op, Slot, Step, Unless};

use super::identity::{Identity, capability_set};
use super::{ContainerRequest, maps_first};
use crate::error::Result;
use crate::plan::Plan;
use crate::seccomp;

/// The system calls that the first process still makes.
const CALLS: [libc::c_long; 5] = [
    libc::SYS_rt_sigtimedwait,
    libc::SYS_kill,
    libc::SYS_wait4,
    libc::SYS_close_range,
    libc::SYS_exit_group,
];

/// Fork, and let the first process supervise; the steps after these are the program's.
///
/// # Errors
/// The plan has no free slot.
pub fn supervise(
    plan: &mut Plan,
    request: &ContainerRequest<'_>,
    identity: &Identity<'_>,
) -> Result<()> {
    plan.origin("--init");
    // Before the fork, so that no signal is lost. The kernel drops a signal to the first process of
    // a pid namespace unless there is a handler, or the signal is blocked.
    plan.step(Op::Sigprocmask { how: SigHow::SIG_BLOCK });
    let program = plan.slot()?;
    plan.step(Op::Program { into: program });
    first_process(plan, maps_first(request), identity, program);
    // A session of its own, as a program without `--init` has; its terminal is the controlling one.
    plan.step(Op::Setsid {});
    if identity.process.terminal {
        plan.step(Op::SetControllingTty { number: 0 });
    }
    plan.step(Op::Sigprocmask { how: SigHow::SIG_UNBLOCK });
    Ok(())
}

fn first_process(plan: &mut Plan, dumpable: bool, identity: &Identity<'_>, program: Slot) {
    let filter = seccomp::only(&CALLS);
    let mut step = |op| {
        let guard = Guard::Present(program);
        plan.push(Step { guard, unless: Unless::NOTHING, op });
    };
    // To signal a program that has changed its user, init needs CAP_KILL, if the program has it.
    let own = identity.process.capabilities.as_ref().map(|it| it.effective.as_slice());
    let kill = CapSet(capability_set(own.unwrap_or_default()) & 1 << CAP_KILL);
    let caps = Caps { effective: kill, permitted: kill, inheritable: CapSet(0) };
    step(Op::Capset { caps });
    if dumpable {
        // An unprivileged launcher joins the namespaces of a dumpable process only (ptrace(2)).
        step(Op::Prctl { option: Prctl::PR_SET_DUMPABLE, value: 1 });
    }
    step(Op::SetName { name: NAME });
    // A filter with a listener is loaded already, and covers this process as well.
    if identity.filter.is_some_and(|filter| !filter.notify) {
        // A program that may trace this process must not thereby escape from its own filter.
        step(Op::Prctl { option: Prctl::PR_SET_NO_NEW_PRIVS, value: 1 });
        step(Op::Seccomp { flags: FilterFlags(0), program: &filter });
    }
    // Also standard input and output: their other ends see when the program has closed them.
    step(Op::CloseFrom { first: 0, flags: CloseRangeFlags(0) });
    step(Op::Supervise {});
}

/// linux/capability.h.
const CAP_KILL: u32 = 5;
