//! `update`: change the limits of a running container, all of them or none.
//!
//! Knows the order of the change, and how it is undone; `cgroup` knows the files of a limit on this
//! machine, `merge` which limits depend on each other. As in runc, devices are not changed.

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

/// The limits to change.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// The new limits; a limit that is not given stays as it is.
    pub resources: Resources,
    /// The document's name in messages, and its text; both are empty if there is no document.
    pub source: (String, Vec<u8>),
    /// The line L3 of the schemata file of resctrl.
    pub l3_cache_schema: Option<String>,
    /// The line MB of the schemata file of resctrl.
    pub mem_bw_schema: Option<String>,
    /// The options behind the fields that options set.
    pub origins: Origins,
}

/// Change the limits of a container; if the kernel refuses one, restore all.
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
    // A missing controller may only be invisible in this mount namespace: that error comes first.
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
        // Write the configuration last: later commands then read only limits that are in force.
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
    /// Return the lines for resctrl, each with its option.
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

/// Return the container's class of service; `None` if there are no lines for it.
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

/// Return the files to write, or all mistakes of the new limits as one error.
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

/// Write back the earlier limits; a failure is added to `error` as a detail.
fn set_back(record: &Record, before: &[Setting], error: Error) -> Error {
    let units = scope::update(record, before);
    match record.cgroup.apply(before).and(units) {
        Ok(()) => error,
        Err(left) => error.detail(format!("and cannot be set back: {}", left.line())),
    }
}
