//! What is printed: the table of commands as help, as manual pages, as a document, as completions;
//! the analysis of a container; and pictures.
//!
//! Knows the forms, and opens nothing.

pub mod analysis;
pub mod completion;
pub mod help;
pub mod limits;
pub mod man;
pub mod markdown;
pub mod network;
pub mod picture;
pub mod world;
pub mod wrap;
