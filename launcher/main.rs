//! The command line of tiny-ce.

fn main() {}
