//! The program: calls `cli` with this process's arguments, and exits with its status.

use std::process::ExitCode;

#[global_allocator]
static MEMORY: tiny_ce::Arena = tiny_ce::Arena::new();

fn main() -> ExitCode {
    tiny_ce::cli::main(std::env::args_os()).into()
}
