//! `doctor`: what this machine offers to containers and what it lacks, with what to do about it.
//!
//! Each finding is one line that makes sense alone. Changes nothing on the machine. Must not know
//! containers.

mod cgroups;
pub(crate) mod kernel;
mod programs;
mod user;

use crate::colour::Colour;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Error;

/// The state of one feature of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The machine has what the finding is about.
    Ok,
    /// The machine has a part of it, or the user should know something about it.
    Warn,
    /// The machine lacks it, and a container that needs it fails.
    Missing,
}

impl Verdict {
    /// The word that is printed.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Missing => "missing",
        }
    }

    /// The colour of that word.
    pub(crate) fn colour(self) -> Colour {
        match self {
            Verdict::Ok => Colour::Green,
            Verdict::Warn => Colour::Yellow,
            Verdict::Missing => Colour::Red,
        }
    }
}

/// One feature that was examined.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Its state.
    pub verdict: Verdict,
    /// The feature.
    pub what: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether no container can run without it.
    #[serde(skip)]
    pub vital: bool,
}

impl Finding {
    fn new(verdict: Verdict, what: &'static str, detail: impl Into<String>) -> Finding {
        Finding { verdict, what, detail: detail.into(), hint: None, vital: false }
    }

    fn ok(what: &'static str, detail: impl Into<String>) -> Finding {
        Finding::new(Verdict::Ok, what, detail)
    }

    fn warn(what: &'static str, detail: impl Into<String>) -> Finding {
        Finding::new(Verdict::Warn, what, detail)
    }

    fn missing(what: &'static str, detail: impl Into<String>) -> Finding {
        Finding::new(Verdict::Missing, what, detail)
    }

    fn hint(self, hint: impl Into<String>) -> Finding {
        Finding { hint: Some(hint.into()), ..self }
    }

    fn vital(self) -> Finding {
        Finding { vital: true, ..self }
    }
}

/// All findings, in the order in which a container needs the features. `state` is the state root,
/// or the reason why it is unknown.
pub fn examine(state: Result<&Path, &Error>) -> Vec<Finding> {
    let caller = user::Caller::find();
    let mut all = vec![
        kernel::version(),
        kernel::procfs(),
        kernel::root(),
        kernel::null_device(),
        kernel::system_calls(&caller),
        user::rights(&caller),
    ];
    all.extend(kernel::namespaces(&caller));
    all.push(user::state_directory(state));
    all.push(kernel::seccomp());
    all.push(kernel::modules());
    all.extend(kernel::file_systems(&caller));
    all.push(kernel::memfd(state.ok()));
    all.extend(cgroups::all(&caller));
    all.push(user::ids(&caller));
    all.extend(programs::all(&caller));
    all
}

/// Whether containers can run at all.
pub fn able(findings: &[Finding]) -> bool {
    !findings.iter().any(|it| it.vital && it.verdict == Verdict::Missing)
}

/// The text of a small file, without white space at its ends.
fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sentences_without_full_stops() {
        let all = examine(Ok(&std::env::temp_dir().join("tiny-ce-doctor")));
        for it in &all {
            assert!(!it.detail.is_empty() && !it.detail.ends_with('.'), "{it:?}");
            assert!(it.hint.as_ref().is_none_or(|hint| !hint.ends_with('.')), "{it:?}");
            assert!(it.verdict == Verdict::Ok || it.hint.is_some(), "nothing to do: {it:?}");
        }
        let mut names: Vec<&str> = all.iter().map(|it| it.what).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len(), "each thing once");
    }

    #[test]
    fn only_vital_findings_count() {
        let missing = Finding::missing("criu", "not found");
        assert!(able(std::slice::from_ref(&missing)));
        assert!(!able(&[missing.vital()]));
        assert!(able(&[Finding::warn("kernel", "old").vital()]));
    }
}
