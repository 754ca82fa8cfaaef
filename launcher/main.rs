//! The program: `cli` with this process's words and exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    tiny_ce::cli::main(std::env::args_os()).into()
}
