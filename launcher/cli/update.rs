//! `update`: new limits from a document or from options.
//!
//! Parses the words and sets the fields that they have in config.json; `container` changes the
//! limits.

use std::path::{Path, PathBuf};

use super::limits::LimitOptions;
use super::table::{OptionSet, command};
use super::value::Id;
use super::{Globals, read_document};
use crate::container::{self, Update};
use crate::spec::Resources;
use crate::{Result, log};

command! {
    /// Change the limits of a container that runs, or is paused.
    ///
    /// Other limits are left unchanged. If one of the given limits is refused, none is changed. An
    /// option overrides a limit of --resources. Device rules are left unchanged.
    pub struct UpdateCommand = "update" {
        args {
            /// The container.
            "CONTAINER" id: Id,
        }
        options {
            /// A JSON document like linux.resources of config.json, or - for standard input.
            "-r, --resources FILE" resources: Option<PathBuf>,
            /// A line of the container's class of service in resctrl, such as L3:0=f.
            "--l3-cache-schema LINE" l3_cache_schema: Option<String>,
            /// A line of the container's class of service in resctrl, such as MB:0=50.
            "--mem-bw-schema LINE" mem_bw_schema: Option<String>,
        }
        include {
            "Limits" limits: LimitOptions,
        }
        examples {
            "update --memory 512m --memory-swap 512m web": "no swap",
            "update --cpu-quota 50000 --cpu-period 100000 web": "half a processor",
            "update --resources limits.json web": "the limits in the file",
        }
        run = update;
    }
}

fn update(it: UpdateCommand, globals: &Globals) -> Result<u8> {
    let mut update = match &it.resources {
        None => Update::default(),
        Some(path) => document(path)?,
    };
    let before = update.resources.clone();
    update.l3_cache_schema.clone_from(&it.l3_cache_schema);
    update.mem_bw_schema.clone_from(&it.mem_bw_schema);
    for opt in it.limits.given() {
        let below = opt.field.strip_prefix("linux.resources.").unwrap_or(opt.field);
        update.origins.add(below, opt.name());
    }
    it.limits.put(&mut update.resources);
    let rdt = update.l3_cache_schema.is_some() || update.mem_bw_schema.is_some();
    if it.resources.is_none() && !rdt && update.resources == before {
        // Engines call "update" without a limit if they have nothing to change.
        log::warning("update: no limit is named, nothing is changed; name one: --memory 512m");
    }
    container::update(&globals.state_root()?, &it.id.0, &update).map(|()| 0)
}

fn document(path: &Path) -> Result<Update> {
    let (resources, source) = read_document::<Resources>(path)?;
    Ok(Update { resources, source, ..Update::default() })
}
