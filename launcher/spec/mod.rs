//! config.json: what the user wrote, typed, and the rules it must keep.
//!
//! `json` reads text, `types` names every field, `check` holds the rules across fields.
//! Never looks at the host: that is `host`; never decides on a system call: that is `compile`.

pub mod json;
pub mod types;

pub use types::*;
