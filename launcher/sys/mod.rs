//! System calls: the only files of the launcher in which `unsafe` may be written.

pub mod user;
