//! The program: `cli` with this process's words and exit status.

use std::process::ExitCode;

#[global_allocator]
static MEMORY: tiny_ce::Arena = tiny_ce::Arena::new();

fn main() -> ExitCode {
    tiny_ce::cli::main(std::env::args_os()).into()
}
