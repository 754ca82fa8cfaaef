//! config.json as typed values, and the rules that they must keep.
//!
//! `json` reads the text, `types` and the modules beside it name every field, and `check` has the
//! rules across fields. Nothing here looks at the host, as `host` does, or chooses a system call,
//! as `compile` does.

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
pub mod machine;
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
