//! What init is answered where a word is not enough: the launcher writes its id maps, makes mounts
//! that init may not make, copies files, and hands on the listener of its filter.
//!
//! Knows how each is done, not when: the conversation is `container`'s.

pub mod copy_up;
pub mod detached;
pub mod listener;
pub mod maps;
