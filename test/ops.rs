//! Commands on running containers: paused, listed, waited for, measured, changed.
//!
//! Each test makes its own container; all work with both versions of cgroups.

#[path = "ops/control.rs"]
mod control;
#[path = "ops/doctor.rs"]
mod doctor;
#[path = "ops/faults.rs"]
mod faults;
#[path = "ops/hidden.rs"]
mod hidden;
#[path = "ops/limits.rs"]
mod limits;
#[path = "ops/machines.rs"]
mod machines;
#[path = "ops/memory.rs"]
mod memory;
#[path = "ops/mounts.rs"]
mod mounts;

use std::time::{Duration, Instant};
use tiny_ce_test::PATIENCE;

/// Poll for a change of which there is no notification.
#[track_caller]
fn until(what: &str, mut there: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
