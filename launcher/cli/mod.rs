//! The command line: from argv to an exit status.
//!
//! `commands` is the table; the parser, and everything that a user sees of it (`render`), are made
//! out of it. A command's own file converts its words to types and calls the library.

mod activation;
mod analyze;
mod commands;
mod completion;
mod config;
mod create;
mod criu;
mod delete;
mod doctor;
mod elsewhere;
mod embedded;
mod environment;
mod events;
mod exec;
mod explain;
mod features;
mod global;
mod help;
mod image;
mod initramfs;
mod kill;
pub mod language;
mod limits;
mod list;
mod man;
mod mounts;
mod nearest;
mod network;
pub mod parse;
mod pause;
mod ps;
mod render;
mod run;
mod start;
pub mod table;
mod targets;
mod update;
pub mod value;
mod vm;
mod wait;
mod zh;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

pub use commands::COMMANDS;
pub use global::Globals;
pub use render::limits::document as limits_document;
pub use render::markdown::document;
pub use render::network::svg as network_picture;
pub use render::world::World;

use crate::doctor::kernel;
use crate::{Error, Result, boot, log, spec, sys};
use render::help::Page;
use table::OptionSet;

/// Run a command line, the program's name first; the result is the exit status.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    sys::signal::outlive_large_files();
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_default();
    if boot::is_first(&program) {
        boot::main();
    }
    let (line, parsed) = parse::parse(args);
    run(&program, &line, parsed).unwrap_or_else(|e| {
        log::error(&e);
        line.command.map_or(1, commands::status_of_errors)
    })
}

fn run(program: &OsStr, line: &parse::Line, parsed: Result<()>) -> Result<u8> {
    let globals = Globals::take(&line.input)?;
    // Commands that only print do not open the log.
    if parsed.is_ok() && (globals.help || globals.version) {
        if !globals.help {
            return print(&version(program));
        }
        let page = Page::of_caller();
        return print(&match (line.command, line.family) {
            (Some(command), _) => render::help::command(page, command),
            (None, Some(family)) => render::help::family(page, family),
            (None, None) => render::help::global(page),
        });
    }
    log::open(globals.log.as_deref(), globals.log_format.into(), globals.level())?;
    parsed?;
    if globals.criu.is_some() {
        log::warning("--criu is obsolete and means nothing: criu is looked up in PATH");
    }
    match (line.command, line.family) {
        (Some(command), _) => {
            log::debug(|| format!("command {:?}, version {}", command.name, VERSION));
            if commands::is_for_containers(command) {
                kernel::required()?;
            }
            (command.run)(&line.input, &globals)
        }
        (None, Some(family)) => Err(render::help::incomplete(family)),
        (None, None) => print(&render::help::global(Page::of_caller())),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision that this was built from.
const COMMIT: &str = match option_env!("TINY_CE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What callers parse (containerd: the first line begins with `runc version `, if it is called
/// runc; Docker takes the last line with the word "version": it must stay the only one).
fn version(program: &OsStr) -> String {
    let name = match Path::new(program).file_name() {
        Some(name) if name == "runc" => "runc",
        _ => "tiny-ce",
    };
    format!("{name} version {VERSION}\ncommit: {COMMIT}\nspec: {}\n", spec::default::VERSION)
}

/// Write to standard output. A reader that has closed the pipe (`| head`) is not an error.
///
/// # Errors
/// write(2) fails.
pub fn print(text: &str) -> Result<u8> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write", &e))
        }
        _ => Ok(0),
    }
}

/// A JSON document of a file, or for - of standard input: its value, what messages call it, and its
/// text.
///
/// # Errors
/// The file cannot be read, or is no such document.
pub fn read_document<T: spec::json::Field>(path: &Path) -> Result<(T, (String, Vec<u8>))> {
    let path = spec::load::named(path);
    let (value, bytes) = spec::load::read_file(path)?;
    Ok((value, (path.display().to_string(), bytes)))
}
