//! The options of limits, one for each row of the table of limits that names one: of `update`, and
//! of `run` without a bundle. The names are runc's.
//!
//! Parses the words. Must not know how a limit is written.

use super::parse::Input;
use super::table::{Opt, OptionSet, opt};
use super::value::{Bytes, Value as _, number};
use crate::Result;
use crate::spec::Resources;
use crate::spec::limits::{LIMITS, Limit, Takes, Value};

/// Limits that were given by options.
#[derive(Debug)]
pub struct LimitOptions(Vec<(&'static Limit, Value)>);

/// How many rows name an option.
const NAMED: usize = {
    let (mut row, mut count) = (0, 0);
    while row < LIMITS.len() {
        count += LIMITS[row].option.is_some() as usize;
        row += 1;
    }
    count
};

impl OptionSet for LimitOptions {
    const ROWS: &'static [Opt] = &{
        let mut rows = [const { opt::<Option<String>>("", "", &[], "") }; NAMED];
        let (mut row, mut count) = (0, 0);
        while row < LIMITS.len() {
            let limit = &LIMITS[row];
            if let Some((spec, _)) = limit.option {
                rows[count] = opt::<Option<String>>(spec, limit.doc, limit.aliases, limit.path);
                count += 1;
            }
            row += 1;
        }
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
            given.extend(value.map(|value| (limit, value)));
        }
        Ok(LimitOptions(given))
    }

    fn given(&self) -> impl Iterator<Item = &'static Opt> {
        let is_given = |row: &&Opt| self.0.iter().any(|(limit, _)| limit.path == row.field);
        Self::ROWS.iter().filter(is_given)
    }
}

impl LimitOptions {
    /// Whether the limit of this property was given.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(limit, _)| limit.field == field)
    }

    /// Set the properties that config.json has for the limits.
    pub fn put(&self, to: &mut Resources) {
        for (limit, value) in &self.0 {
            (limit.set)(to, Some(value.clone()));
        }
    }

    /// Set the properties of a new container, which has no limit that 0 could leave as it is.
    pub fn put_new(&self, to: &mut Option<Resources>) {
        for (limit, value) in self.0.iter().filter(|(limit, value)| !limit.is_nothing(value)) {
            (limit.set)(to.get_or_insert_default(), Some(value.clone()));
        }
    }
}
