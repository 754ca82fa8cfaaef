//! The table of commands, printed: as help, as manual pages, as a document, as completions.
//!
//! Knows the table and the forms, and opens nothing.

pub mod completion;
pub mod help;
pub mod limits;
pub mod man;
pub mod markdown;
