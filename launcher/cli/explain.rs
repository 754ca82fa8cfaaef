//! `explain`: print the plan of a container that exists, or that `create` or `run` would make.
//!
//! Chooses the plan and prints it. `compile` makes the plan, and the plan formats its steps.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::analyze::run_and_print;
use super::create::CONFIG;
use super::embedded::EmbeddedOptions;
use super::render::world::World;
use super::run::{generated_id, status, unbundled};
use super::table::command;
use super::value::{AfterDashes, FigureFormat, Order};
use super::{Globals, print};
use crate::analysis::Recorder;
use crate::compile::Then;
use crate::container::{self, LaunchOptions, NetworkChoice, Source};
use crate::doctor::kernel;
use crate::spec::id;
use crate::{Error, Result};

command! {
    /// Print the system calls that make a container, and explain each.
    ///
    /// Each is below the field of config.json that it is for. With a BUNDLE: the calls that
    /// "create" would make now. With a CONTAINER: those that made it. With neither: those that
    /// "run" would make with the same options. Nothing is run, unless --analyze asks for it. The
    /// plan that is printed is the plan that init runs.
    pub struct Explain = "explain" {
        args {
            /// A directory with a config.json, or the id of a container.
            "[BUNDLE|CONTAINER]" target: Option<PathBuf>,
            /// The program of a container without a bundle; default: a shell.
            "[-- COMMAND...]" command: AfterDashes,
        }
        options {
            /// Name of the file in the bundle, or - for standard input; default: config.json.
            "-f, --config FILE" config: Option<String>,
            /// The network, as "run" takes it.
            "--network NAME[:ADDRESS]|none|host|pasta|slirp4netns|ns:PATH"
                network: Option<NetworkChoice>,
            /// Run the container to the end of its program, and print what each step of init and
            /// each phase of tiny-ce took, in microseconds. Skipped steps and tolerated errnos say
            /// so. The program's output goes to standard error.
            "--analyze" analyze: bool,
            /// The order of the analysis; default: plan.
            "--sort plan|time" sort: Option<Order>,
            /// The form; svg: a picture of the container's world, and with --analyze of the
            /// analysis; json: only of an analysis. Default: text.
            "--format text|json|svg" format: Option<FigureFormat>,
        }
        include {
            "Container without a bundle" embedded: EmbeddedOptions,
        }
        examples {
            "explain /srv/web": "of /srv/web/config.json",
            "explain web": "of the container web",
            "explain --read-only -- make": "of \"tiny-ce run --read-only -- make\"",
            "explain --format svg /srv/web >web.svg": "the container's world, as a picture",
            "explain --analyze --sort time -- true": "where the time of a container goes",
            "explain --analyze --format svg /srv/web >time.svg": "as a picture",
        }
        run = explain;
    }
}

command! {
    /// Print every operation that a plan can have.
    ///
    /// Each is one system call with the fields that the plan has for it, and init can do nothing
    /// else. The steps that "explain" prints are such operations.
    pub struct Operations = "operations" {
        examples {
            "operations | grep mount": "the operations about mounts",
        }
        run = |_, _| print(&operations());
    }
}

/// One line for each operation, and its description below.
fn operations() -> String {
    let row = |row: &tiny_ce_init::Row| {
        let field = |(name, kind): &(&str, &str)| {
            let kind = kind.trim_start_matches("&'p ");
            format!("{name}: {kind}")
        };
        let fields: Vec<String> = row.fields.iter().map(field).collect();
        format!(
            "{} = {}({})\n    {}\n",
            row.name,
            row.call.to_lowercase(),
            fields.join(", "),
            row.doc.trim()
        )
    };
    tiny_ce_init::ROWS.iter().map(row).collect()
}

/// The id that the text uses for a container that does not exist yet.
const NAME: &str = "CONTAINER";

fn explain(it: Explain, globals: &Globals) -> Result<u8> {
    let root = globals.state_root()?;
    if it.analyze {
        return analyze(it, &root, globals);
    }
    if it.sort.is_some() {
        return Err(Error::new("explain: --sort is for --analyze"));
    }
    if it.format == Some(FigureFormat::Json) {
        return Err(Error::new("explain: --format json is for --analyze")
            .hint("the plan is text; a picture of the container's world is svg"));
    }
    let drawn = it.format == Some(FigureFormat::Svg);
    let AfterDashes(command) = &it.command;
    let Some(target) = it.target else {
        let source = unbundled(it.embedded, command, false, globals)?;
        return would(globals, source, it.network, Then::Run, drawn);
    };
    if let Some(extra) = it.embedded.asked(command) {
        return Err(Error::new(format!("explain: {extra} is for a container without a bundle")));
    }
    if let Some(name) = container_of(&target, &root)? {
        if drawn {
            let text = format!("explain: --format svg: the container {name:?} is there already");
            return Err(Error::new(text).hint("name its bundle, which is what is drawn"));
        }
        return print(&container::plan(&root, name)?.to_string());
    }
    let config = it.config.unwrap_or_else(|| CONFIG.to_owned());
    let source = Source::Bundle { path: target, config };
    would(globals, source, it.network, Then::AwaitStart, drawn)
}

/// The name of the container, if the word is one; otherwise it is a bundle.
///
/// # Errors
/// It is neither.
fn container_of<'a>(target: &'a Path, root: &Path) -> Result<Option<&'a str>> {
    let name = target.to_str().filter(|name| id::check(name).is_ok());
    match name {
        Some(name) if root.join(name).symlink_metadata().is_ok() => Ok(Some(name)),
        Some(_) if !target.is_dir() => Err(Error::new(format!(
            "explain: {target:?}: there is neither a container nor a directory of this name"
        ))),
        _ => Ok(None),
    }
}

/// Run the container, as `run` does, and print what it took.
fn analyze(it: Explain, root: &Path, globals: &Globals) -> Result<u8> {
    kernel::required()?;
    if it.sort.is_some() && it.format == Some(FigureFormat::Svg) {
        return Err(Error::new("explain: --sort: a picture has the order in which things happen"));
    }
    let recorder = Recorder::on();
    let AfterDashes(command) = &it.command;
    let source = match it.target {
        None => {
            let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
            unbundled(it.embedded, command, terminal, globals)?
        }
        Some(target) => {
            if let Some(extra) = it.embedded.asked(command) {
                let text = format!("explain: {extra} is for a container without a bundle");
                return Err(Error::new(text));
            }
            if let Some(name) = container_of(&target, root)? {
                let text = format!("explain: --analyze: the container {name:?} is there already");
                return Err(Error::new(text)
                    .hint("name its bundle: another container is made of it, and runs"));
            }
            let config = it.config.unwrap_or_else(|| CONFIG.to_owned());
            Source::Bundle { path: target, config }
        }
    };
    let (network, cgroup_driver) = (it.network, globals.cgroups()?);
    let options = LaunchOptions { network, cgroup_driver, recorder, ..LaunchOptions::default() };
    let form = (it.format.unwrap_or(FigureFormat::Text), it.sort.unwrap_or(Order::Plan));
    run_and_print((root, &generated_id()), source, &options, form).map(status)
}

/// The values for the container's cgroup, each with its field, and then the plan; or the figure.
fn would(
    globals: &Globals,
    source: Source,
    network: Option<NetworkChoice>,
    then: Then,
    drawn: bool,
) -> Result<u8> {
    let (root, cgroup_driver) = (globals.state_root()?, globals.cgroups()?);
    let options = LaunchOptions { network, cgroup_driver, ..LaunchOptions::default() };
    let prepared = container::prepare(NAME, &root.join(NAME), source, &options, then)?;
    if drawn {
        let name = match then {
            Then::Run => "as \"tiny-ce run\" makes it, without a bundle".to_owned(),
            _ => prepared.bundle.display().to_string(),
        };
        return print(&World::of(&name, &prepared, options.network.as_ref()).svg());
    }
    let mut text = String::new();
    if let Some(wanted) = &prepared.wanted {
        text.push_str(&format!("the scope {} in {}\n", wanted.scope.unit, wanted.scope.slice));
        for (name, value) in &wanted.properties {
            text.push_str(&format!("       {name} = {value}\n"));
        }
    }
    let settings = prepared.settings.iter().map(ToString::to_string);
    let devices = prepared.devices.to_string();
    for (index, line) in settings.chain(devices.lines().map(str::to_owned)).enumerate() {
        if index == 0 {
            text.push_str("the cgroup\n");
        }
        text.push_str(&format!("       {line}\n"));
    }
    print(&format!("{text}{}", prepared.plan))
}
