//! `explain`: print the plan of a container that exists, or that `create` or `run` would make.
//!
//! Chooses the plan and prints it. `compile` makes the plan, and the plan formats its steps.

use std::path::PathBuf;

use super::create::CONFIG;
use super::embedded::EmbeddedOptions;
use super::run::unbundled;
use super::table::command;
use super::value::AfterDashes;
use super::{Globals, print};
use crate::compile::Then;
use crate::container::{self, LaunchOptions, NetworkChoice, Source};
use crate::spec::id;
use crate::{Error, Result};

command! {
    /// Print the system calls that make a container, and explain each.
    ///
    /// Each is below the field of config.json that it is for. With a BUNDLE: the calls that
    /// "create" would make now. With a CONTAINER: those that made it. With neither: those that
    /// "run" would make with the same options. Nothing is run. The plan that is printed is the plan
    /// that init runs.
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
        }
        include {
            "Container without a bundle" embedded: EmbeddedOptions,
        }
        examples {
            "explain /srv/web": "of /srv/web/config.json",
            "explain web": "of the container web",
            "explain --read-only -- make": "of \"tiny-ce run --read-only -- make\"",
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
    let AfterDashes(command) = &it.command;
    let Some(target) = it.target else {
        let source = unbundled(it.embedded, command, false, globals)?;
        return would(globals, source, it.network, Then::Run);
    };
    if let Some(extra) = it.embedded.asked(command) {
        return Err(Error::new(format!("explain: {extra} is for a container without a bundle")));
    }
    let name = target.to_str().filter(|name| id::check(name).is_ok());
    if let Some(name) = name.filter(|name| root.join(name).symlink_metadata().is_ok()) {
        return print(&container::plan(&root, name)?.to_string());
    }
    if name.is_some() && !target.is_dir() {
        return Err(Error::new(format!(
            "explain: {target:?}: there is neither a container nor a directory of this name"
        )));
    }
    let config = it.config.unwrap_or_else(|| CONFIG.to_owned());
    let source = Source::Bundle { path: target, config };
    would(globals, source, it.network, Then::AwaitStart)
}

/// The values for the container's cgroup, each with its field, and then the plan.
fn would(
    globals: &Globals,
    source: Source,
    network: Option<NetworkChoice>,
    then: Then,
) -> Result<u8> {
    let (root, cgroup_driver) = (globals.state_root()?, globals.cgroups()?);
    let options = LaunchOptions { network, cgroup_driver, ..LaunchOptions::default() };
    let prepared = container::prepare(NAME, &root.join(NAME), source, &options, then)?;
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
