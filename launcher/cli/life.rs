//! `create`, `start`, `run`, `state`, `kill`, `delete`, `list`: the life of a container.
//!
//! Types words, chooses between a bundle and none, and prints; what a container is and does is
//! `container`'s. Names and flags are runc's.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::activation;
use super::embedded::EmbeddedOptions;
use super::table::{command, options};
use super::targets::{Target, together};
use super::value::{AfterDashes, Completes, DescriptorCount, Directory, Id, Switch, Value};
use super::{Globals, print};
use crate::container::{self, Options, RunOptions, Source};
use crate::{Error, Result, signals, state};

/// A signal, by name or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(
    /// Its number.
    pub i32,
);

impl Value for Signal {
    // Those that people send.
    const COMPLETES: Completes =
        Completes::Words(&["TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT"]);

    fn parse(word: &OsStr) -> Result<Self> {
        signals::parse(&word.to_string_lossy()).map(Signal)
    }
}

options! {
    /// What `create` and `run` share.
    pub struct CreateOptions {
        /// Where config.json is; default: the working directory.
        "-b, --bundle DIRECTORY" bundle: Option<Directory>,
        /// Name of the file in the bundle; -: standard input; default: config.json.
        "-f, --config FILE" config: Option<String>,
        /// Write the pid of the container's program to this file.
        "--pid-file FILE" pid_file: Option<PathBuf>,
        /// Send the master of the container's terminal to this Unix socket.
        "--console-socket PATH" console_socket: Option<PathBuf>,
        /// Send a pidfd of the container's program to this Unix socket.
        "--pidfd-socket PATH" pidfd_socket: Option<PathBuf>,
        /// Pass on this many of the caller's descriptors, from 3 on; default: 0.
        "--preserve-fds NUMBER" preserve_fds: Option<DescriptorCount>,
        /// Attach the container to a network, with this address or a free one.
        "--network NAME[:ADDRESS]" | "--net" network: Option<String>,
        /// Move the root instead of pivoting to it, where it is a ramdisk; less safe.
        "--no-pivot" no_pivot: bool,
        /// Keep the caller's session keyring.
        "--no-new-keyring" no_new_keyring: bool,
    }
}

command! {
    /// Create a container; its program waits for "start".
    pub struct Create = "create" {
        args {
            /// What it is to be called.
            "CONTAINER" id: Id,
        }
        include {
            "Options" create: CreateOptions,
        }
        examples {
            "create --bundle /srv/web web": "from /srv/web/config.json",
        }
        run = |it, globals: &Globals| {
            let (source, options) = (it.create.source(), it.create.options(globals)?);
            container::create(&globals.state_root()?, &it.id.0, source, &options).map(|()| 0)
        };
    }
}

impl CreateOptions {
    /// The bundle that is meant, which is the working directory if none is named.
    fn source(&self) -> Source {
        let named = self.bundle.as_ref().map(|Directory(path)| path.clone());
        Source::Bundle {
            path: named.unwrap_or_else(|| PathBuf::from(".")),
            config: self.config.clone().unwrap_or_else(|| CONFIG.to_owned()),
        }
    }

    /// What has nothing to do with the configuration.
    fn options(&self, globals: &Globals) -> Result<Options> {
        Ok(Options {
            pid_file: self.pid_file.clone(),
            console_socket: self.console_socket.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            preserve_fds: self.preserve_fds.map_or(0, |it| it.0),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            rootless: globals.asked_rootless(),
            network: self.network.clone(),
            listen: activation::listen()?,
            notify_socket: activation::notify_socket(),
            cgroup_driver: globals.cgroups()?,
        })
    }
}

command! {
    /// Start the program of a created container.
    pub struct Start = "start" {
        args {
            /// A created container.
            "CONTAINER" id: Id,
        }
        examples {
            "start web": "its program runs from now on",
        }
        run = |it, globals: &Globals| {
            let notify = activation::notify_socket();
            container::start(&globals.state_root()?, &it.id.0, notify.as_deref()).map(|()| 0)
        };
    }
}

command! {
    /// Create a container, start it, and wait for its end.
    ///
    /// With --bundle, or with a CONTAINER and a config.json in the working directory, it is the
    /// container of that config.json. Otherwise nothing is needed: a shell, or the COMMAND, runs in
    /// the host's own file system, whose changes vanish, or in that of --rootfs.
    ///
    /// Signals are passed on. The exit status is that of the program; 128 and the signal's number,
    /// if a signal ended it.
    pub struct Run = "run" {
        args {
            /// What it is to be called; default: a name of its own.
            "[CONTAINER]" id: Option<String>,
            /// What runs in a container without a bundle; default: a shell, whose container is
            /// named by --name if it is to have a name.
            "[-- COMMAND...]" command: AfterDashes,
        }
        options {
            /// Do not wait; the container stays until it is deleted.
            "-d, --detach" detach: bool,
            /// Leave the container there when its program has ended.
            "--keep" keep: bool,
            /// Delete the container when its program has ended, which is the default; =false is
            /// --keep.
            "--rm" rm: Switch,
            /// What it is to be called, as CONTAINER.
            "--name CONTAINER" name: Option<Id>,
            /// With the caller's standard input, which it always has.
            "-i, --interactive" interactive: Switch,
            /// Do not adopt processes that the container leaves behind.
            "--no-subreaper" no_subreaper: bool,
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
    /// Send a signal to a container's program.
    ///
    /// KILL ends every process of the container, also one that its program has left behind in a
    /// pid namespace that it shares with others. A created container ends by TERM, INT, HUP and
    /// QUIT.
    pub struct Kill = "kill" {
        args {
            /// The container.
            "CONTAINER" target: Target,
            /// Its name or number; default: TERM; 0: only see whether there is a process.
            "[SIGNAL]" signal: Option<Signal>,
        }
        options {
            /// Send it to every process of the container.
            "-a, --all" all: bool,
            /// CONTAINER is a regular expression: all containers in whose ids it is found.
            "-r, --regex" regex: bool,
        }
        examples {
            "kill web": "ask it to end",
            "kill --all web KILL": "end all its processes at once",
            "kill --regex ^web-": "web-1, web-2, and so on",
        }
        run = |it, globals: &Globals| {
            let Signal(signal) = it.signal.unwrap_or(Signal(libc::SIGTERM));
            let root = globals.state_root()?;
            it.target.each(&root, it.regex, it.all, |id| container::kill(&root, id, signal, it.all))
        };
    }
}

command! {
    /// Delete a container that does not run, and all that belongs to it.
    pub struct Delete = "delete" {
        args {
            /// The container.
            "CONTAINER" target: Target,
        }
        options {
            /// Kill it first; and it is no error if there is none.
            "-f, --force" force: bool,
            /// CONTAINER is a regular expression: all containers in whose ids it is found.
            "-r, --regex" regex: bool,
        }
        examples {
            "delete --force web": "whatever its state is",
            "delete --regex ^web-": "web-1, web-2, and so on",
        }
        run = |it, globals: &Globals| {
            let root = globals.state_root()?;
            let delete = |id: &str| container::delete(&root, id, it.force);
            it.target.each(&root, it.regex, it.force, delete)
        };
    }
}

fn run(it: Run, globals: &Globals) -> Result<u8> {
    let AfterDashes(command) = &it.command;
    let root = globals.state_root()?;
    // As a shell would have it: where somebody sits, the program has a terminal.
    let terminal = it.create.console_socket.is_some()
        || !it.detach && io::stdin().is_terminal() && io::stdout().is_terminal();
    let named = name(&it, command)?;
    let source = choose(&it.create, it.embedded, command, (named.is_some(), terminal), globals)?;
    let unnamed = named.is_none();
    let id = named.unwrap_or_else(generated_id);
    let keep = it.keep || it.rm.0 == Some(false);
    let run = RunOptions { detach: it.detach, keep, no_subreaper: it.no_subreaper };
    let code = container::run(&root, &id, source, &it.create.options(globals)?, run)?;
    if it.detach && unnamed {
        // Otherwise nobody would know what to delete.
        print(&format!("{id}\n"))?;
    }
    Ok(status(code))
}

/// What `--interactive=false` is told.
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
        return Err(what_is_meant(word));
    }
    let Id(id) = Id::parse(OsStr::new(word)).map_err(|e| e.within("run"))?;
    if it.name.as_ref().is_some_and(|Id(name)| *name != id) {
        return wrong(&format!("{id:?} and --name are two names; give one of them"));
    }
    // Other tools would take the word for an image, or for a root file system.
    let bare = command.is_empty() && it.name.is_none() && it.embedded.rootfs.is_none();
    if !meant && bare { Err(what_is_meant(word)) } else { Ok(Some(id)) }
}

fn looks_like_a_path_or_an_image(word: &str) -> bool {
    matches!(word, "." | "..") || word.contains(['/', ':'])
}

/// The error of a word that could be a directory, an image or a name: it asks which.
fn what_is_meant(word: &str) -> Error {
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
pub fn unbundled(
    embedded: EmbeddedOptions,
    command: &[OsString],
    terminal: bool,
    globals: &Globals,
) -> Result<Source> {
    let ephemeral = embedded.rootfs.is_none();
    let (spec, origins) = embedded.spec(command, terminal, globals.rootless()?)?;
    Ok(Source::Embedded { spec: Box::new(spec), ephemeral, origins })
}

/// Usual name of the file in a bundle.
pub const CONFIG: &str = "config.json";

/// An id that nobody has: 12 hexadecimal digits of the seed that the kernel gave this process.
fn generated_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))[..12].to_owned()
}

/// An exit status of a program; there are none above 255.
pub fn status(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

command! {
    /// Create and start a container from a bundle, and wait for its end.
    ///
    /// The same as "run --bundle BUNDLE" with a name of its own; and a config.json without
    /// ociVersion will do.
    pub struct CreateStart = "cs" {
        args {
            /// Where config.json is.
            "BUNDLE" bundle: Directory,
        }
        run = |it, globals: &Globals| {
            let (Directory(path), config) = (it.bundle, CONFIG.to_owned());
            let source = Source::Bundle { path, config };
            let (root, id) = (globals.state_root()?, generated_id());
            let options = Options { cgroup_driver: globals.cgroups()?, ..Options::default() };
            container::run(&root, &id, source, &options, RunOptions::default()).map(status)
        };
    }
}

command! {
    /// Delete all containers, running ones too.
    pub struct DeleteAll = "del" | "d" {
        run = |_, globals: &Globals| delete_all(&globals.state_root()?);
    }
}

fn delete_all(root: &Path) -> Result<u8> {
    let mut deleted = String::new();
    let mut failed: Vec<Error> = Vec::new();
    for id in state::list(root)?.iter().map(super::list::id) {
        match container::delete(root, id, true) {
            Ok(()) => deleted += &format!("{id}\n"),
            Err(e) => failed.push(e),
        }
    }
    let count = deleted.lines().count();
    print(&format!("{deleted}{count} deleted\n"))?;
    together(failed).map(|()| 0)
}
