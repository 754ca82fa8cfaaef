//! The containers of a command: one by its id, or with `--regex` all whose ids match.
//!
//! Merges the outcomes for several containers into one. Must not know the command.

use std::ffi::OsStr;
use std::path::Path;

use super::value::{Completes, Id, Value};
use crate::state;
use crate::{Error, Result};

/// The id of a container, or a pattern of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

impl Value for Target {
    const COMPLETES: Completes = Completes::Containers;

    fn parse(word: &OsStr) -> Result<Self> {
        String::parse(word).map(Target)
    }
}

impl Target {
    /// Call a function for the container, or for each container that matches. With `may_be_none`,
    /// no match is not an error.
    ///
    /// # Errors
    /// The id or the expression is malformed, no container matches, or `work` fails for one.
    pub fn each(
        &self,
        root: &Path,
        regex: bool,
        may_be_none: bool,
        mut work: impl FnMut(&str) -> Result<()>,
    ) -> Result<u8> {
        if !regex {
            let Id(id) = Id::parse(OsStr::new(&self.0))?;
            return work(&id).map(|()| 0);
        }
        let ids = state::matching(root, &self.0).map_err(|e| e.within("--regex"))?;
        if ids.is_empty() && !may_be_none {
            return Err(Error::new(format!("--regex {:?}: no container's id matches", self.0))
                .hint("\"tiny-ce list\" shows those that exist"));
        }
        let failed = ids.iter().filter_map(|id| work(id).err()).collect();
        together(failed).map(|()| 0)
    }
}

/// Several failures as one.
///
/// # Errors
/// All failures, if there are any.
pub fn together(failed: Vec<Error>) -> Result<()> {
    match failed.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        many => {
            let all = Error::new(format!("{} containers failed", many.len()));
            Err(many.iter().fold(all, |all, e| all.detail(e.line())))
        }
    }
}
