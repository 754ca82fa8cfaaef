//! Compile the start of a program that makes a container's network, and the watch over it. Pure.
//!
//! Init forks. The child becomes the program. The parent, the watcher, waits until the container's
//! init or the program has ended, and then kills and reaps the program: so the program ends with
//! the container, even if no launcher is left.

use tiny_ce_init::flags::{CloseRangeFlags, Prctl, Report};
use tiny_ce_init::{Guard, NAME, Op, Slot, Step, Unless};

use crate::error::Result;
use crate::plan::{Finished, Plan, Preload, c_string};

/// What the program gets as a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptor {
    /// The container's network namespace.
    Namespace,
    /// A pipe to which it writes when the network is ready.
    Ready,
    /// A pipe for its messages.
    Messages,
    /// A pipe whose other end only the watcher has.
    Exit,
}

/// What to compile.
pub struct UsernetRequest<'a> {
    /// The purpose: `--network pasta`.
    pub name: &'a str,
    /// Absolute path of the program.
    pub path: &'a str,
    /// The program's descriptors from 0 on.
    pub given: &'a [Descriptor],
}

/// Compile the plan. The preloads are, in this order: the pidfd of the container's init, the
/// network namespace, the writing end of the pipe of readiness, the writing and the reading end of
/// the pipe of messages, and the reading and the writing end of the pipe `Exit`.
///
/// # Errors
/// The path contains NUL, or the plan has no free slot.
pub fn compile(request: &UsernetRequest<'_>) -> Result<Finished> {
    let mut plan = Plan::new();
    let plan = &mut plan;
    plan.origin(request.name);
    let init = plan.preload(Preload::Process)?;
    let mut pipe = || plan.preload(Preload::Stdio);
    let [namespace, ready, messages] = [pipe()?, pipe()?, pipe()?];
    // The watcher keeps the reading end of the messages, so that the program gets no SIGPIPE: the
    // pipe does not block, and what does not fit is lost. It keeps the writing end of `Exit`, too.
    let [_kept, exit, _kept_too] = [pipe()?, pipe()?, pipe()?];
    let slot = |given: &Descriptor| match given {
        Descriptor::Namespace => namespace,
        Descriptor::Ready => ready,
        Descriptor::Messages => messages,
        Descriptor::Exit => exit,
    };
    // No signal of the caller's terminal reaches either process, and neither keeps a mount busy.
    plan.step(Op::Setsid {});
    plan.step(Op::Chdir { path: c"/" });
    let program = plan.slot()?;
    plan.step(Op::Program { into: program });
    let given: Vec<Slot> = request.given.iter().map(slot).collect();
    watch(plan, program, init, &[Slot::CHANNEL, namespace, ready, messages, exit]);
    become_program(plan, request, program, &given)?;
    Ok(std::mem::take(plan).finish())
}

/// The steps of the watcher, which alone has the program's pidfd.
fn watch(plan: &mut Plan, program: Slot, init: Slot, not_watched: &[Slot]) {
    let guard = Guard::Present(program);
    let mut step = |op| plan.push(Step { guard, unless: Unless::NOTHING, op });
    step(Op::SetName { name: NAME });
    // The caller's standard streams, of which some may be closed.
    step(Op::CloseBelow { first: 0, last: Slot::CHANNEL, flags: CloseRangeFlags(0) });
    for fd in not_watched {
        step(Op::Close { fd: *fd });
    }
    step(Op::PollEnded { one: init, other: program });
    step(Op::Kill { pidfd: program });
    step(Op::Waitid { pidfd: program });
}

/// The steps of the child, in which the slot `program` is empty.
fn become_program(
    plan: &mut Plan,
    request: &UsernetRequest<'_>,
    program: Slot,
    given: &[Slot],
) -> Result<()> {
    let channel = plan.slot()?;
    let mut copies = Vec::with_capacity(given.len());
    for _ in given {
        copies.push(plan.slot()?);
    }
    let path = c_string(request.path)?;
    let mut push = |unless, op| plan.push(Step { guard: Guard::Absent(program), unless, op });
    let mut step = |op| push(Unless::NOTHING, op);
    // If the watcher is killed, the program ends too. An execve(2) of a program without set-user-ID
    // keeps this, and both programs keep their ids.
    step(Op::Prctl { option: Prctl::PR_SET_PDEATHSIG, value: libc::SIGKILL as u64 });
    // The copies get numbers above all of the final ones, so that no dup3 closes one of them.
    let lowest = given.len() as u32;
    step(Op::Dup { into: channel, fd: Slot::CHANNEL, lowest });
    for (fd, into) in given.iter().zip(&copies) {
        step(Op::Dup { into: *into, fd: *fd, lowest });
    }
    for (fd, to) in copies.iter().zip(0..) {
        step(Op::Dup3Stdio { fd: *fd, to });
    }
    let flags = CloseRangeFlags(0);
    // If no number lies between, the range is empty, and close_range(2) fails with EINVAL.
    push(Unless::EINVAL, Op::CloseBelow { first: lowest, last: channel, flags });
    let mut step = |op| push(Unless::NOTHING, op);
    step(Op::CloseAbove { first: channel, flags });
    step(Op::Report { to: channel, what: Report::EXECUTE });
    step(Op::Execve { path: &path });
    Ok(())
}
