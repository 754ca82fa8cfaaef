//! Map the system calls of init to the steps of its plan, by interpreting the plan beside the
//! calls.

use syscalls::Sysno;
use tiny_ce::plan::Finished;
use tiny_ce_init::{Guard, Op, Unless};
use tiny_ce_test::Call;

/// A call that is to fail, and its step.
#[derive(Clone, Debug)]
pub struct Point {
    /// The index of the call in its process, from 1.
    pub ordinal: usize,
    /// The number of the system call.
    pub number: i64,
    /// The name of the system call.
    pub call: &'static str,
    /// The index of the step.
    pub step: u32,
    /// The name of the step's row in the table of operations.
    pub name: &'static str,
    /// Whether the step tolerates some errnos.
    pub tolerant: bool,
    /// The errno with which the call fails.
    pub errno: i32,
}

/// The step that accepts `start`'s connection.
pub fn accept(plan: &Finished) -> u32 {
    position(plan, |op| matches!(op, Op::Accept { .. }))
}

/// The step that waits for the commit: the last one before `start`.
pub fn commit(plan: &Finished) -> u32 {
    let end = accept(plan) as usize;
    let waits = plan.steps().take(end).enumerate();
    let last = waits.filter(|(_, step)| matches!(step.op, Op::Await { .. })).last();
    last.map_or(0, |(at, _)| at as u32)
}

fn position(plan: &Finished, is: impl Fn(&Op<'_>) -> bool) -> u32 {
    plan.steps().position(|step| is(&step.op)).map_or(u32::MAX, |at| at as u32)
}

/// The steps from `first` on that were executed, each with its call.
pub fn points(plan: &Finished, first: u32, calls: &[Call]) -> Vec<Point> {
    let mut at = 0;
    let mut open = [false; 64];
    let mut points = Vec::new();
    for (index, step) in plan.steps().enumerate().skip(first as usize) {
        match step.guard {
            Guard::Present(slot) if !open[slot.number()] => continue,
            Guard::Absent(slot) if open[slot.number()] => continue,
            _ => {}
        }
        let Some(call) = calls.get(at) else { break };
        at += 1;
        let name = Sysno::new(call.number as usize).map_or("", |call| call.name());
        assert_eq!(name, step.op.call_name().to_lowercase(), "step {}", index + 1);
        if let Some(slot) = step.op.into_slot() {
            open[slot.number()] = call.result >= 0;
        }
        if let Op::Close { fd } = step.op {
            open[fd.number()] = false;
        }
        points.push(Point {
            ordinal: at,
            number: call.number,
            call: name,
            step: index as u32,
            name: step.op.name(),
            tolerant: step.unless != Unless::NOTHING,
            errno: if step.unless.tolerates(EPERM) { EIO } else { EPERM },
        });
    }
    assert_eq!(calls.len(), at, "every call is a step");
    points
}

const EPERM: i32 = 1;
const EIO: i32 = 5;
