//! `update`: new limits from a document or from options.
//!
//! Parses the words and sets the fields that they have in config.json; `container` changes the
//! limits. The names of the options are runc's.

use std::path::{Path, PathBuf};

use super::embedded::Bytes;
use super::parse::Input;
use super::table::{Opt, OptionSet, command, opt, options};
use super::value::{Id, Value as _, number};
use super::{Globals, read_document};
use crate::container::{self, Update};
use crate::spec::Resources;
use crate::spec::limits::{LIMITS, Limit, Takes, Value};
use crate::{Result, log};

options! {
    /// Shares of resctrl, each by an option.
    pub struct Shares {
        /// Line of its class of service in resctrl, such as L3:0=f.
        "--l3-cache-schema LINE" l3_cache_schema: Option<String>,
        /// Line of its class of service in resctrl, such as MB:0=50.
        "--mem-bw-schema LINE" mem_bw_schema: Option<String>,
    }
}

/// Limits, each by the option that its row names.
#[derive(Debug)]
pub struct Limits {
    /// The rows, with what was given.
    given: Vec<(&'static Limit, &'static str, Value)>,
    shares: Shares,
}

/// How many rows name an option.
const NAMED: usize = {
    let (mut row, mut count) = (0, 0);
    while row < LIMITS.len() {
        count += LIMITS[row].option.is_some() as usize;
        row += 1;
    }
    count
};

impl OptionSet for Limits {
    const ROWS: &'static [Opt] = &{
        let mut rows =
            [const { opt::<Option<String>>("", "", &[], "") }; NAMED + Shares::ROWS.len()];
        let (mut row, mut count) = (0, 0);
        while row < LIMITS.len() {
            if let Some((spec, _)) = LIMITS[row].option {
                rows[count] = opt::<Option<String>>(spec, LIMITS[row].doc, &[], LIMITS[row].field);
                count += 1;
            }
            row += 1;
        }
        rows[NAMED] = Shares::ROWS[0];
        rows[NAMED + 1] = Shares::ROWS[1];
        rows
    };

    fn take(input: &Input) -> Result<Self> {
        let mut given = Vec::new();
        for limit in LIMITS {
            let Some((spec, takes)) = limit.option else { continue };
            let value = input.folded(spec, |words| {
                let Some(word) = words.last().copied().flatten() else { return Ok(None) };
                Ok(Some(match takes {
                    Takes::Bytes => Bytes::parse(word)?.0.into(),
                    Takes::Number(low, high) => number(word, low, high)?.into(),
                    Takes::Text => String::parse(word)?.into(),
                }))
            })?;
            // As in runc, an empty word counts as not given.
            let value = value.filter(|value| *value != Value::Text(String::new()));
            given.extend(value.map(|value| (limit, spec, value)));
        }
        Ok(Limits { given, shares: Shares::take(input)? })
    }

    fn given(&self) -> impl Iterator<Item = &'static Opt> {
        let is_given = |row: &&Opt| self.given.iter().any(|(_, spec, _)| *spec == row.spec);
        Self::ROWS.iter().filter(is_given).chain(self.shares.given())
    }
}

command! {
    /// Change the limits of a container that runs, or is paused.
    ///
    /// What is not named stays as it is. Either all limits that are named are changed or, if one of
    /// them is refused, none. Limits of a document can be overruled by options. Device rules are
    /// left as they are.
    pub struct UpdateCommand = "update" {
        args {
            /// The container.
            "CONTAINER" id: Id,
        }
        options {
            /// A JSON document as config.json has it in linux.resources; -: standard input.
            "-r, --resources FILE" resources: Option<PathBuf>,
        }
        include {
            "Limits" limits: Limits,
        }
        examples {
            "update --memory 512m --memory-swap 512m web": "no swap",
            "update --cpu-quota 50000 --cpu-period 100000 web": "half a processor",
            "update --resources limits.json web": "what the file has",
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
    update.l3_cache_schema.clone_from(&it.limits.shares.l3_cache_schema);
    update.mem_bw_schema.clone_from(&it.limits.shares.mem_bw_schema);
    for opt in it.limits.given().filter(|opt| !opt.field.is_empty()) {
        update.origins.add(opt.field, opt.name());
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

impl Limits {
    /// Each where config.json has it.
    fn put(self, to: &mut Resources) {
        for (limit, _, value) in self.given {
            (limit.set)(to, Some(value));
        }
    }
}
