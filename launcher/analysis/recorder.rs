//! Record when the launcher's phases begin, and take init's stamps.
//!
//! A recorder that is off does nothing, so that a caller need not ask.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use tiny_ce_init::Op;
use tiny_ce_init::stamps::{Stamp, counter};

use super::{Analysis, InitTime, PhaseTime, StepOutcome, StepTime};
use crate::errno;
use crate::error::{Error, Result};
use crate::plan::Finished;
use crate::sys;
use crate::sys::usage::{self, monotonic_ns};

/// What takes the times of one container; the default is off.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Option<Rc<Recording>>);

#[derive(Debug)]
struct Recording {
    began: Moment,
    /// When each phase began, by CLOCK_MONOTONIC.
    phases: RefCell<Vec<(&'static str, u64)>>,
    shared: RefCell<Option<(OwnedFd, Finished)>>,
    executed_ns: Cell<u64>,
}

/// One moment by two clocks, of which init has only the first.
#[derive(Debug, Clone, Copy)]
struct Moment {
    count: u64,
    ns: u64,
}

impl Moment {
    /// Read both, the counter between two times: of several tries the one that was interrupted
    /// least.
    fn now() -> Moment {
        let one = || {
            let (before, count, after) = (monotonic_ns(), counter(), monotonic_ns());
            (after - before, Moment { count, ns: before + (after - before) / 2 })
        };
        let first = one();
        let more = (0..8).map(|_| one());
        more.fold(first, |best, it| if it.0 < best.0 { it } else { best }).1
    }
}

impl Recorder {
    /// A recorder that is on, in the launcher's first phase.
    pub fn on() -> Recorder {
        let began = Moment::now();
        Recorder(Some(Rc::new(Recording {
            began,
            phases: RefCell::new(vec![("the configuration", began.ns)]),
            shared: RefCell::default(),
            executed_ns: Cell::default(),
        })))
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The launcher's next phase begins.
    pub fn phase(&self, name: &'static str) {
        if let Some(recording) = &self.0 {
            recording.phases.borrow_mut().push((name, monotonic_ns()));
        }
    }

    /// Do something in a phase of its own, and return to the phase in which it began.
    pub fn during<T>(&self, name: &'static str, what: impl FnOnce() -> T) -> T {
        let last = |recording: &Rc<Recording>| Some(recording.phases.borrow().last()?.0);
        let before = self.0.as_ref().and_then(last);
        self.phase(name);
        let result = what();
        if let Some(before) = before {
            self.phase(before);
        }
        result
    }

    /// Init has executed the program.
    pub fn executed(&self) {
        if let Some(recording) = &self.0 {
            recording.executed_ns.set(monotonic_ns());
        }
    }

    /// Send init the memory for the stamps of its plan, before the plan.
    ///
    /// # Errors
    /// memfd_create(2), ftruncate(2) or sendmsg(2) fails.
    pub fn share(&self, channel: &UnixStream, plan: &Finished) -> Result<()> {
        let Some(recording) = &self.0 else { return Ok(()) };
        let length = (plan.steps().count() + 1) * Stamp::SIZE;
        let failed = |call| move |e: std::io::Error| Error::io("--analyze", call, &e);
        let memory =
            sys::file::memory(c"tiny-ce-analyze", length as u64).map_err(failed("memfd_create"))?;
        sys::socket::send(channel, &(length as u64).to_ne_bytes(), &memory)
            .map_err(failed("sendmsg"))?;
        *recording.shared.borrow_mut() = Some((memory, plan.clone()));
        Ok(())
    }

    /// Everything has ended: put the times together. `None` if the recorder is off.
    ///
    /// # Errors
    /// The stamps cannot be read.
    pub fn analysis(&self) -> Result<Option<Analysis>> {
        let Some(recording) = &self.0 else { return Ok(None) };
        let end = Moment::now();
        let shared = recording.shared.borrow();
        let Some((memory, plan)) = shared.as_ref() else {
            return Err(Error::new("--analyze: init was not started"));
        };
        let mut bytes = vec![0; (plan.steps().count() + 1) * Stamp::SIZE];
        let memory = memory.try_clone().map(File::from);
        memory
            .and_then(|memory| memory.read_exact_at(&mut bytes, 0))
            .map_err(|e| Error::io("--analyze", "pread", &e))?;
        let clocks = Clocks { began: recording.began, end };
        let mut stamps = bytes.chunks_exact(Stamp::SIZE).filter_map(Stamp::decode);
        let own = stamps.next().unwrap_or_default();
        let executed_ns = recording.executed_ns.get().saturating_sub(recording.began.ns);
        let steps = steps(plan, stamps, &clocks, executed_ns);
        Ok(Some(Analysis {
            began_ns: recording.began.ns,
            launcher: phases(&recording.phases.borrow(), &clocks),
            init: init(&own, &steps, &clocks, executed_ns),
            steps,
            own: usage::own(),
            container: usage::of_children(),
        }))
    }
}

/// The first and the last moment, between which counts become times.
struct Clocks {
    began: Moment,
    end: Moment,
}

impl Clocks {
    /// Nanoseconds since the first moment. The counter's frequency is constant, and the clock
    /// follows it but for the fraction of a per mille by which NTP corrects it.
    fn ns(&self, count: u64) -> u64 {
        let counts = u128::from(self.end.count.saturating_sub(self.began.count).max(1));
        let since = u128::from(count.saturating_sub(self.began.count));
        (since * u128::from(self.end.ns - self.began.ns) / counts) as u64
    }

    fn length_ns(&self) -> u64 {
        self.end.ns - self.began.ns
    }
}

/// Each phase up to the next; those without any time, between two others, are left out.
fn phases(began: &[(&'static str, u64)], clocks: &Clocks) -> Vec<PhaseTime> {
    let ends = began.iter().skip(1).map(|(_, ns)| *ns).chain([clocks.end.ns]);
    let since = |ns: u64| ns.saturating_sub(clocks.began.ns);
    let phase = |((name, start), end): (&(&'static str, u64), u64)| PhaseTime {
        name,
        start_ns: since(*start),
        end_ns: since(end),
    };
    began.iter().zip(ends).map(phase).filter(|it| it.end_ns > it.start_ns).collect()
}

fn steps(
    plan: &Finished,
    stamps: impl Iterator<Item = Stamp>,
    clocks: &Clocks,
    executed_ns: u64,
) -> Vec<StepTime> {
    let mut all = Vec::new();
    for ((index, step), stamp) in plan.steps().enumerate().zip(stamps) {
        let (outcome, end_ns) = match (stamp, &step.op) {
            (Stamp { start: 0, .. }, _) => (StepOutcome::Skipped, 0),
            (Stamp { end: 0, .. }, Op::Supervise {}) => (StepOutcome::Stays, clocks.length_ns()),
            (Stamp { end: 0, .. }, _) => (StepOutcome::Executed, executed_ns),
            (Stamp { errno: 1.., end, .. }, _) => (StepOutcome::Tolerated, clocks.ns(end)),
            (Stamp { end, .. }, _) => (StepOutcome::Done, clocks.ns(end)),
        };
        let start_ns = if stamp.start == 0 { 0 } else { clocks.ns(stamp.start) };
        let tolerated = outcome == StepOutcome::Tolerated;
        all.push(StepTime {
            number: index + 1,
            field: plan.origin(index as u32).to_owned(),
            call: step.op.call_name().to_lowercase(),
            text: step.to_string(),
            outcome,
            errno: tolerated.then(|| errno::name(stamp.errno as i32)),
            waits: matches!(step.op, Op::Await { .. } | Op::Accept { .. }),
            start_ns,
            // A processor's counter may be some counts behind another's.
            end_ns: end_ns.max(start_ns),
        });
    }
    all
}

fn init(own: &Stamp, steps: &[StepTime], clocks: &Clocks, executed_ns: u64) -> InitTime {
    let (start_ns, plan_ns) = (clocks.ns(own.start), clocks.ns(own.end));
    let count = |outcome| steps.iter().filter(|step| step.outcome == outcome).count();
    let took = |step: &StepTime| step.end_ns - step.start_ns;
    let passed = || steps.iter().filter(|step| step.outcome != StepOutcome::Stays);
    let skipped = count(StepOutcome::Skipped);
    InitTime {
        start_ns,
        plan_ns,
        end_ns: executed_ns,
        calls: steps.len() - skipped,
        skipped,
        tolerated: count(StepOutcome::Tolerated),
        steps_ns: plan_ns.saturating_sub(start_ns) + passed().map(took).sum::<u64>(),
        waited_ns: passed().filter(|step| step.waits).map(took).sum(),
    }
}
