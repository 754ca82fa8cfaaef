//! `run` and `cs`: create a container, start it, and wait for its end.
//!
//! Decides whether the words of the command line mean a bundle or a container without a bundle.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::analyze::Report;
use super::create::{CONFIG, CreateOptions};
use super::embedded::{EmbeddedOptions, Machine};
use super::table::command;
use super::value::{AfterDashes, Directory, Id, Switch, Value};
use super::{Globals, print};
use crate::container::{self, LaunchOptions, RunOptions, Source};
use crate::host::{lacks, parts};
use crate::{Error, Result, sys};

command! {
    /// Create a container, start it, and wait for its end.
    ///
    /// With --bundle, or with a CONTAINER and a config.json in the working directory, it is the
    /// container of that config.json. Otherwise no config.json is needed: a shell, or the COMMAND,
    /// runs in the host's file system, whose changes vanish, or in that of --rootfs.
    ///
    /// Signals are passed on. The exit status is that of the program, or 128 plus the signal's
    /// number if a signal ended it.
    pub struct Run = "run" {
        args {
            /// The name of the new container; default: a generated one.
            "[CONTAINER]" id: Option<String>,
            /// The program of a container without a bundle; default: a shell. --name gives the
            /// container of a shell a name.
            "[-- COMMAND...]" command: AfterDashes,
        }
        options {
            /// Do not wait; the container stays until it is deleted.
            "-d, --detach" detach: bool,
            /// Do not delete the container when its program has ended.
            "--keep" keep: bool,
            /// Delete the container when its program has ended, which is the default; =false is
            /// --keep.
            "--rm" rm: Switch,
            /// The name of the new container, as CONTAINER.
            "--name CONTAINER" name: Option<Id>,
            /// Pass standard input on, which always happens.
            "-i, --interactive" interactive: Switch,
            /// Do not adopt processes that the container leaves behind.
            "--no-subreaper" no_subreaper: bool,
            /// Write to this file what each step of init and each phase of tiny-ce took, when the
            /// program has ended: as JSON or as a picture if its name ends in .json or .svg,
            /// otherwise as text.
            "--analyze FILE" analyze: Option<PathBuf>,
        }
        include {
            "Container" create: CreateOptions,
            "Container without a bundle" embedded: EmbeddedOptions,
        }
        examples {
            "run": "a shell that can break nothing",
            "run --memory 512m --cpus 1 -- make": "a command, with limits",
            "run --rootfs alpine --volume .:/src -it": "a shell in an unpacked image",
            "run --bundle /srv/web web": "from /srv/web/config.json",
        }
        run = run;
    }
}

command! {
    /// Create and start a container from a bundle, and wait for its end.
    ///
    /// The same as "run --bundle BUNDLE" with a generated name. The config.json may lack
    /// ociVersion.
    pub struct CreateStart = "cs" {
        args {
            /// Directory with config.json.
            "BUNDLE" bundle: Directory,
        }
        run = |it, globals: &Globals| {
            let (Directory(path), config) = (it.bundle, CONFIG.to_owned());
            let source = Source::Bundle { path, config };
            let (root, id) = (globals.state_root()?, generated_id());
            let cgroup_driver = globals.cgroups()?;
            let options = LaunchOptions { cgroup_driver, ..LaunchOptions::default() };
            container::run(&root, &id, source, &options, RunOptions::default()).map(status)
        };
    }
}

fn run(it: Run, globals: &Globals) -> Result<u8> {
    let AfterDashes(command) = &it.command;
    let root = globals.state_root()?;
    if it.detach && it.analyze.is_some() {
        return Err(Error::new(
            "run: --analyze: with --detach nobody waits for the end to write it",
        )
        .hint("leave --detach out"));
    }
    let report = Report::begin(it.analyze.as_deref())?;
    // Give the program a terminal if a user sits at ours, or if a console socket takes it.
    let terminal = it.create.console_socket.is_some()
        || !it.detach && io::stdin().is_terminal() && io::stdout().is_terminal();
    let named = name(&it, command)?;
    let source = choose(&it.create, it.embedded, command, (named.is_some(), terminal), globals)?;
    let unnamed = named.is_none();
    let id = named.unwrap_or_else(generated_id);
    let keep = it.keep || it.rm.0 == Some(false);
    let run = RunOptions { detach: it.detach, keep, no_subreaper: it.no_subreaper };
    let options = LaunchOptions { recorder: report.recorder(), ..it.create.options(globals)? };
    let code = container::run(&root, &id, source, &options, run)?;
    report.end();
    if it.detach && unnamed {
        // The user needs the generated id to delete the container.
        print(&format!("{id}\n"))?;
    }
    Ok(status(code))
}

/// The error for `--interactive=false`.
pub const NEVER_ALONE: &str =
    "--interactive: standard input is always passed on; close it by </dev/null";

/// The name that is given, if the words together mean something here.
fn name(it: &Run, command: &[OsString]) -> Result<Option<String>> {
    let wrong = |text: &str| Err(Error::new(format!("run: {text}")));
    match (it.rm.0, it.keep, it.detach) {
        (Some(true), true, _) => return wrong("--rm and --keep are opposites; give one of them"),
        (Some(true), _, true) => {
            return wrong(
                "--rm: with --detach nobody waits for its end; delete it then (tiny-ce delete)",
            );
        }
        _ => {}
    }
    if it.interactive.0 == Some(false) {
        return wrong(NEVER_ALONE);
    }
    let Some(word) = &it.id else { return Ok(it.name.as_ref().map(|Id(id)| id.clone())) };
    let bundled = it.create.bundle.is_some() || it.create.config.is_some();
    let meant = bundled || Path::new(CONFIG).exists();
    if !meant && looks_like_a_path_or_an_image(word) {
        return Err(ask_what_is_meant(word));
    }
    let Id(id) = Id::parse(OsStr::new(word)).map_err(|e| e.within("run"))?;
    if it.name.as_ref().is_some_and(|Id(name)| *name != id) {
        return wrong(&format!("{id:?} and --name are two names; give one of them"));
    }
    // Refuse a bare word: other tools take it for an image or a root file system.
    let bare = command.is_empty() && it.name.is_none() && it.embedded.rootfs.is_none();
    if !meant && bare { Err(ask_what_is_meant(word)) } else { Ok(Some(id)) }
}

fn looks_like_a_path_or_an_image(word: &str) -> bool {
    matches!(word, "." | "..") || word.contains(['/', ':'])
}

/// The error of a word that could be a directory, an image or a name: it asks which.
fn ask_what_is_meant(word: &str) -> Error {
    let path = Path::new(word);
    let name = Id::parse(OsStr::new(word)).is_ok();
    let text = match name {
        true => "has no config.json here, and no command behind --",
        false => "is no name of a container",
    };
    let mut asked = match (path.join(CONFIG).exists(), path.is_dir()) {
        (true, _) => format!("a bundle? run --bundle {word}"),
        (_, true) => format!("a root file system? run --rootfs {word}"),
        _ => "an image? none is fetched: run --rootfs DIRECTORY, where it is unpacked".to_owned(),
    };
    if name {
        asked += &format!("; a name for a shell? run --name {word}");
    }
    Error::new(format!("run: {word:?} {text}")).hint(asked)
}

/// A bundle, or a container without one: whichever the words mean.
///
/// # Errors
/// They mean both.
fn choose(
    create: &CreateOptions,
    embedded: EmbeddedOptions,
    command: &[OsString],
    (named, terminal): (bool, bool),
    globals: &Globals,
) -> Result<Source> {
    let extra = embedded.asked(command);
    let asked = match (&create.bundle, &create.config) {
        (Some(_), _) => Some("--bundle"),
        (None, Some(_)) => Some("--config"),
        (None, None) => None,
    };
    match (asked, extra) {
        (Some(asked), Some(extra)) => Err(Error::new(format!(
            "{extra} cannot be given with {asked}: change the bundle's config.json instead"
        ))),
        (Some(_), None) => Ok(create.source()),
        (None, None) if named && Path::new(CONFIG).exists() => Ok(create.source()),
        (None, _) => unbundled(embedded, command, terminal, globals),
    }
}

/// A container without a bundle, perhaps with a terminal.
///
/// # Errors
/// An option contradicts another one or names a missing file, or it is unknown whether the caller
/// is rootless.
pub fn unbundled(
    embedded: EmbeddedOptions,
    command: &[OsString],
    terminal: bool,
    globals: &Globals,
) -> Result<Source> {
    let ephemeral = embedded.rootfs.is_none();
    let rootless = globals.rootless();
    let lacks = lacks::find();
    let locked = rootless || sys::user::in_user_namespace();
    let parts = ephemeral.then(|| parts::of_host(locked, lacks.overlay));
    let count = parts.as_ref().map(|parts| parts.mounts.len());
    let machine = Machine { parts, lacks };
    let (spec, origins) = embedded.spec(command, terminal, rootless, machine)?;
    Ok(Source::Embedded { spec: Box::new(spec), parts: count, origins })
}

/// Generate an unused id: 12 hexadecimal digits of the seed that the kernel gave this process.
pub fn generated_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))[..12].to_owned()
}

/// The exit status of a program, which is at most 255.
pub fn status(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}
