//! `--analyze`: what each step of init and each phase of the launcher took.
//!
//! Knows how times are taken and put together. Must not know what a phase does, or how an analysis
//! is printed.

mod recorder;

use serde::Serialize;

pub use crate::sys::usage::Usage;
pub use recorder::Recorder;

/// The phase in which the launcher waits for what init reports next.
pub const WAITING: &str = "waiting for init";
/// The phase in which the launcher waits for the end of the program.
pub const PROGRAM: &str = "waiting for the program";

/// What a container took, from the command line to the end of its program.
///
/// Times are in nanoseconds and begin with the launcher's first phase.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// When the launcher's first phase began, by CLOCK_MONOTONIC (clock_gettime(2)).
    pub began_ns: u64,
    /// The phases of the launcher, each up to the next.
    pub launcher: Vec<PhaseTime>,
    /// Init.
    pub init: InitTime,
    /// The steps of the plan.
    pub steps: Vec<StepTime>,
    /// What the launcher used.
    #[serde(rename = "launcherUsage")]
    pub own: Usage,
    /// What init, the hooks and the program used together: a process that becomes another program
    /// keeps its counters.
    #[serde(rename = "containerUsage")]
    pub container: Usage,
}

/// A phase of the launcher.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTime {
    /// What the launcher did.
    #[serde(rename = "phase")]
    pub name: &'static str,
    /// When it began.
    pub start_ns: u64,
    /// When the next began.
    pub end_ns: u64,
}

/// The life of init.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitTime {
    /// Its first instruction.
    pub start_ns: u64,
    /// It has read its plan; the first step begins.
    pub plan_ns: u64,
    /// It has executed the program.
    pub end_ns: u64,
    /// How many system calls the steps made.
    pub calls: usize,
    /// How many steps were skipped, since their guards did not hold.
    pub skipped: usize,
    /// How many calls failed with an errno that their step tolerates.
    pub tolerated: usize,
    /// The time of all steps together, with that of reading the plan.
    pub steps_ns: u64,
    /// How much of it init waited for an answer of the launcher.
    pub waited_ns: u64,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// The call succeeded.
    Done,
    /// The guard did not hold, so no call was made.
    Skipped,
    /// The call failed with an errno that the step tolerates.
    Tolerated,
    /// The program was executed.
    Executed,
    /// Init stays in this step until the program has ended.
    Stays,
}

/// A step of the plan.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepTime {
    /// Its number, from 1.
    #[serde(rename = "step")]
    pub number: usize,
    /// The field of config.json that it is for.
    pub field: String,
    /// The name of its system call.
    pub call: String,
    /// The step as `explain` prints it.
    pub text: String,
    /// What became of it.
    pub outcome: StepOutcome,
    /// The name of the errno that the step tolerated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// Whether init waits in it for an answer of the launcher.
    pub waits: bool,
    /// When it began; 0 if it was skipped.
    pub start_ns: u64,
    /// When it ended; 0 if it was skipped.
    pub end_ns: u64,
}
