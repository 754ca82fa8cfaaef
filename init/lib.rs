//! The instruction set of tiny-ce: the operations of a plan, and the machine that runs a plan.
//!
//! A *plan* is a flat list of *steps*, each one system call. The launcher encodes it, init decodes
//! and runs it, and `explain` decodes and prints the same bytes. Four principles:
//!
//! 1. One operation, one row (`ops`): name, system call, fields, arguments.
//! 2. One step, one system call: `(index, errno)` is a complete diagnosis. `Supervise` alone makes
//!    more.
//! 3. No decisions here: control flow is next, skip by a descriptor's presence, or stop.
//! 4. No heap, no strings of its own, no configuration: init takes everything from the plan.
//!
//! [`wire`]: how fields travel. [`flags`]: the kernel's flag words by name. [`ops`]: the table.
//! [`step`]: a step, and the plan around it. [`machine`]: the one place that makes system calls.
//! [`life`]: the loop over the steps. `supervise`: the one step that makes several, of an init that
//! stays. [`stamps`]: what the steps took, in the init of `--analyze` only.
#![no_std]

pub mod flags;
pub mod life;
pub mod machine;
pub mod ops;
pub mod stamps;
pub mod step;
mod supervise;
pub mod wire;

/// The name of init's program, and of a process that supervises.
pub const NAME: &core::ffi::CStr = c"tiny-ce-init";

pub use ops::{Op, ROWS, Row};
pub use step::{Guard, Plan, Step, Unless};
pub use wire::{Malformed, Slot};
