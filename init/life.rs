//! The life of init: run the plan from its first step to its last, and report how it ended.
//!
//! A [`Watch`] sees each step before and after it. The ordinary init has none, and is compiled as
//! if there were no such thing.

use crate::machine::{EACCES, ENOENT, FORKED, Machine, Outcome};
use crate::ops::Op;
use crate::step::Plan;
use crate::wire::Slot;

/// What sees the steps of a plan.
pub trait Watch {
    /// The plan has been read.
    fn begins(&mut self);
    /// The step with this index comes next; the answer is handed to [`Watch::after`].
    fn before(&mut self, index: usize, op: &Op<'_>) -> u64;
    /// The step had this outcome.
    fn after(&mut self, index: usize, before: u64, outcome: Outcome);
}

/// Nobody watches.
impl Watch for () {
    #[inline(always)]
    fn begins(&mut self) {}

    #[inline(always)]
    fn before(&mut self, _: usize, _: &Op<'_>) -> u64 {
        0
    }

    #[inline(always)]
    fn after(&mut self, _: usize, _: u64, _: Outcome) {}
}

impl Machine {
    /// Run the plan to its end, and report to the launcher how it ended.
    ///
    /// Returns only if no execve(2) of the plan succeeded.
    pub fn life<W: Watch>(&mut self, plan: Plan<'_>, watch: &mut W) {
        let mut channel = Slot::CHANNEL;
        let mut last = u32::MAX;
        let mut refused = ENOENT;
        watch.begins();
        for (index, step) in plan.enumerate() {
            let before = watch.before(index, &step.op);
            let outcome = self.run(&step);
            watch.after(index, before, outcome);
            match outcome {
                Outcome::Done => match step.op {
                    Op::Accept { into, .. } => channel = into,
                    Op::Dup { into, fd, .. } if fd == channel => channel = into,
                    _ => {}
                },
                Outcome::Skipped => {}
                Outcome::Tolerated(errno) => {
                    if let Op::Execve { .. } = step.op {
                        last = index as u32;
                        // Of several candidates, EACCES says more than ENOENT, as in execvp(3).
                        refused = if errno == EACCES { EACCES } else { refused };
                    }
                }
                Outcome::Failed(errno) => {
                    return self.fail(channel, index as u32, errno, Some(&step.op));
                }
                Outcome::Forked(pid) => return self.fail(channel, FORKED, pid as i32, None),
                Outcome::Unverified if matches!(step.op, Op::Await { .. }) => return,
                Outcome::Unverified => return self.fail(channel, index as u32, 0, None),
            }
        }
        // execve(2) failed for every candidate path of the program, each time with a tolerated
        // errno.
        self.fail(channel, last, refused, None);
    }
}
