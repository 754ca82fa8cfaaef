//! The instruction set of tiny-ce: what a plan is made of, and the machine that runs one.
//!
//! A *plan* is a flat list of *steps*, each one system call. The launcher encodes it, init decodes
//! and runs it, `explain` decodes and prints the very same bytes. Four principles:
//!
//! 1. One operation, one row (`ops`): name, system call, fields, arguments.
//! 2. One step, one system call: `(index, errno)` is a complete diagnosis.
//! 3. No decisions here: control flow is next, skip by a descriptor's presence, or stop.
//! 4. No heap, no strings of our own, no configuration: everything is in the plan.
//!
//! [`wire`]: how fields travel. [`flags`]: the kernel's flag words by name. [`ops`]: the table.
//! [`step`]: a step, and the plan around it. [`machine`]: the one place that makes system calls.
#![no_std]

pub mod flags;
pub mod machine;
pub mod ops;
pub mod step;
pub mod wire;

pub use ops::{Op, ROWS, Row};
pub use step::{Guard, Plan, Step, Unless};
pub use wire::{Malformed, Slot};
