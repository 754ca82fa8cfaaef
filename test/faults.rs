//! Faults: errors of the kernel, damaged or full files, killed processes. In every test a command
//! fails with one line or its container is right; no command hangs; `delete --force` leaves
//! nothing.

#[path = "faults/cgroups.rs"]
mod cgroups;
#[path = "faults/crowd.rs"]
mod crowd;
#[path = "faults/damage.rs"]
mod damage;
#[path = "faults/errnos.rs"]
mod errnos;
#[path = "faults/ground.rs"]
mod ground;
#[path = "faults/model.rs"]
mod model;
#[path = "faults/scarce.rs"]
mod scarce;
#[path = "faults/signals.rs"]
mod signals;
#[path = "faults/verdict.rs"]
mod verdict;
