//! What is printed: the table of commands as help, as manual pages, as a document, as completions;
//! and the analysis of a container.
//!
//! Knows the forms, and opens nothing.

pub mod analysis;
pub mod completion;
pub mod help;
pub mod limits;
pub mod man;
pub mod markdown;
pub mod wrap;
