//! The work behind the answers to init: write its id maps, make mounts that init may not make, copy
//! files, and send the listener of its filter to the agent.
//!
//! Knows how each is done; `container` decides when.

pub mod copy_up;
pub mod detached;
pub mod listener;
pub mod maps;
