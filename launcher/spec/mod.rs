//! config.json: what the user wrote, typed, and the rules it must keep.
//!
//! `json` reads text, `types` and its neighbours name every field, `check` holds the rules across
//! fields. Never looks at the host: that is `host`; never decides on a system call: that is
//! `compile`.

pub mod check;
pub mod confine;
pub mod default;
pub mod embedded;
mod field;
pub mod filter;
pub mod id;
pub mod idmap;
pub mod json;
pub mod limits;
pub mod linux;
pub mod list;
pub mod load;
pub mod names;
pub mod options;
mod parse;
pub mod paths;
mod record;
pub mod resources;
pub mod text;
pub mod types;

pub use check::{Allow, Findings, check};
pub use default::{default, rootless, to_json};
pub use embedded::embedded;
pub use filter::*;
pub use linux::*;
pub use load::load;
pub use options::MountOptions;
pub use resources::*;
pub use types::*;
