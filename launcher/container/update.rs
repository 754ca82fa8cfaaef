//! `update`: other limits for a container that runs, all of them or none.
//!
//! Knows which limits depend on each other, and what is remembered; what a limit is on this machine
//! is `cgroup`'s. Devices are left as they are, as runc has it.

use std::path::Path;

use super::{merge, scope};
use crate::cgroup::{self, Setting};
use crate::error::{Error, Result};
use crate::origin::Origins;
use crate::resctrl::{Class, Lines};
use crate::spec::check::check_resources;
use crate::spec::json::Violation;
use crate::spec::limits::Merge;
use crate::spec::{Resources, id, load};
use crate::state::{self, Directory, Record};
use crate::{log, spec};

/// What is to be changed.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// What is not given stays as it is.
    pub resources: Resources,
    /// What messages call the document, and its text; both empty, where there is none.
    pub source: (String, Vec<u8>),
    /// The line L3 of the schemata file of resctrl.
    pub l3_cache_schema: Option<String>,
    /// The line MB of the schemata file of resctrl.
    pub mem_bw_schema: Option<String>,
    /// Which fields came from options.
    pub origins: Origins,
}

/// Change the limits of a container; if one is refused, all are set back.
///
/// # Errors
/// There is no such container, it has stopped, or a limit is wrong or refused.
pub fn update(root: &Path, id: &str, update: &Update) -> Result<()> {
    let told = |e| update.origins.apply(e).within(format!("cannot update {id:?}"));
    change(root, id, update).map_err(told)
}

fn change(root: &Path, id: &str, update: &Update) -> Result<()> {
    id::check(id)?;
    let directory = Directory::open_locked(root, id)?;
    let record = Record::load(&directory)?;
    if record.living_init().is_none() {
        let status = record.without_init().word();
        return Err(Error::new("container not running").hint(format!("it is {status}")));
    }
    let mut spec = state::config(&directory)?;
    let linux = spec.linux.get_or_insert_default();
    let old = linux.resources.get_or_insert_default();
    let mut wanted = update.resources.clone();
    merge::only_given(&mut wanted);
    let cgroup = &record.cgroup;
    // A controller that is not found may only be hidden from us.
    let settings =
        settings(update, wanted.clone(), old).or_else(|e| cgroup.visible().and(Err(e)))?;
    if cgroup.is_none() && !settings.is_empty() {
        return Err(Error::new("the container has no cgroup, and so no limits"));
    }
    let lines = update.lines();
    let class = class(&record, &lines)?;
    old.merge(&wanted);
    if let Some(rdt) = &mut linux.intel_rdt {
        merge::schemata(rdt, update.l3_cache_schema.as_ref(), update.mem_bw_schema.as_ref());
    }
    let text = spec::to_json(&spec)?;
    let before = cgroup.snapshot(&settings)?;
    let classes = class.map(Class::snapshot).transpose()?;
    let done = scope::update(&record, &settings)
        .and_then(|()| cgroup.apply(&settings))
        .and_then(|()| class.map_or(Ok(()), |class| class.apply(&lines)))
        // What later commands read is the last thing that can fail.
        .and_then(|()| directory.put(state::CONFIG, text.as_bytes()));
    done.map_err(|e| {
        let e = set_back(&record, &before, e);
        match class.zip(classes).map(|(class, before)| class.restore(&before)) {
            Some(Err(left)) => e.detail(format!("and cannot be set back: {}", left.line())),
            _ => e,
        }
    })
}

impl Update {
    /// Lines for resctrl, by the option that each is from.
    fn lines(&self) -> Lines<'_> {
        let named = [
            ("--l3-cache-schema", &self.l3_cache_schema),
            ("--mem-bw-schema", &self.mem_bw_schema),
        ];
        named
            .into_iter()
            .filter_map(|(name, line)| Some((name.to_owned(), line.as_deref()?)))
            .collect()
    }
}

/// The class of service that the lines are for; none, if there are no lines.
fn class<'a>(record: &'a Record, lines: &Lines<'_>) -> Result<Option<&'a Class>> {
    match (lines.first(), &record.resctrl) {
        (None, _) => Ok(None),
        (Some(_), Some(class)) => Ok(Some(class)),
        (Some((option, _)), None) => {
            let text = format!("{option}: the container has no class of service");
            Err(Error::new(text).hint("create it with linux.intelRdt in its config.json"))
        }
    }
}

/// The files to be written, all that is wrong at once.
fn settings(update: &Update, mut wanted: Resources, old: &Resources) -> Result<Vec<Setting>> {
    if !wanted.devices.is_empty() {
        log::debug(|| "devices are left as they are".to_owned());
        wanted.devices.clear();
    }
    merge::complete(&mut wanted, old);
    let refuse = |violations: Vec<Violation>| {
        load::refuse(Path::new(&update.source.0), &update.source.1, violations)
    };
    let findings = check_resources(&wanted);
    for warning in &findings.warnings {
        log::warning(&update.origins.name(&load::line(warning)));
    }
    if !findings.violations.is_empty() {
        return Err(refuse(findings.violations));
    }
    cgroup::compile("", &wanted, &cgroup::probe()?).map_err(refuse)
}

/// The limits as they were; what refuses is told below the error.
fn set_back(record: &Record, before: &[Setting], error: Error) -> Error {
    let units = scope::update(record, before);
    match record.cgroup.apply(before).and(units) {
        Ok(()) => error,
        Err(left) => error.detail(format!("and cannot be set back: {}", left.line())),
    }
}
