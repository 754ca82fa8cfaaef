//! Commands on containers that run: held still, listed, waited for, measured, changed.
//!
//! Each test makes its own container; both versions of cgroups are meant.

#[path = "ops/control.rs"]
mod control;
#[path = "ops/doctor.rs"]
mod doctor;
#[path = "ops/limits.rs"]
mod limits;
