//! `state` and `list`: print containers in runc's formats.
//!
//! Knows columns and JSON shapes; the states are `container`'s.

use std::io::{self, ErrorKind};
use std::path::Path;

use serde::Serialize;

use super::table::command;
use super::value::{Id, ListFormat};
use super::{Globals, print};
use crate::colour::{Colour, Paint};
use crate::container;
use crate::state::{self, Listed, State};
use crate::{Error, Result};

command! {
    /// Print the state of a container, as JSON.
    pub struct StateCommand = "state" {
        args {
            /// The container.
            "CONTAINER" id: Id,
        }
        run = |it, globals: &Globals| {
            let state = container::state(&globals.state_root()?, &it.id.0)?;
            print(&(serde_json::to_string_pretty(&state).map_err(unprintable)? + "\n"))
        };
    }
}

command! {
    /// List containers.
    ///
    /// It is an error if --root names a directory that does not exist.
    pub struct List = "list" {
        options {
            /// Output format; default: table.
            "-f, --format table|json" format: Option<ListFormat>,
            /// Print only the ids.
            "-q, --quiet" quiet: bool,
        }
        examples {
            "list --quiet": "for a script",
        }
        run = |it, globals: &Globals| {
            let root = globals.state_root()?;
            check_exists(&root, globals)?;
            match (it.quiet, it.format) {
                (true, _) => {
                    let lines = state::ids(&root)?.into_iter().map(|id| id + "\n");
                    print(&lines.collect::<String>())
                }
                (false, Some(ListFormat::Json)) => print(&json(&state::list(&root)?)?),
                (false, _) => print(&table(&state::list(&root)?, Paint::of(&io::stdout()))),
            }
        };
    }
}

/// If --root names a missing directory, that is an error, as in runc. The default state root may be
/// missing: it is made with the first container.
fn check_exists(root: &Path, globals: &Globals) -> Result<()> {
    match std::fs::metadata(root) {
        Err(e) if globals.root.is_some() && e.kind() == ErrorKind::NotFound => {
            Err(Error::io(format_args!("--root {root:?}"), "open", &e)
                .hint("the first container that is created there makes it"))
        }
        _ => Ok(()),
    }
}

/// One element of `list --format json`.
#[derive(Serialize)]
#[serde(untagged)]
enum Element<'a> {
    Whole(&'a State),
    #[serde(rename_all = "camelCase")]
    Untold {
        oci_version: &'static str,
        id: &'a str,
        pid: i32,
        status: &'static str,
        error: &'a str,
    },
}

impl<'a> Element<'a> {
    fn of(listed: &'a Listed) -> Self {
        match listed {
            Listed::Whole(state) => Element::Whole(state),
            Listed::Untold { id, status, error } => {
                let (oci_version, error) = (crate::spec::default::VERSION, error.line());
                Element::Untold { oci_version, id, pid: 0, status, error }
            }
        }
    }
}

/// The array on one line, as by runc. Without containers it is empty, so that jq can iterate over
/// it (runc prints null).
fn json(all: &[Listed]) -> Result<String> {
    let elements: Vec<Element<'_>> = all.iter().map(Element::of).collect();
    Ok(serde_json::to_string(&elements).map_err(unprintable)? + "\n")
}

fn unprintable(e: serde_json::Error) -> Error {
    Error::new(format!("the state as JSON: {e}"))
}

/// The cells of a container's row.
fn cells<'a>((listed, pid): (&'a Listed, &'a String)) -> [&'a str; 6] {
    match listed {
        Listed::Whole(it) => [&it.id, pid, it.status.word(), &it.bundle, &it.created, &it.owner],
        Listed::Untold { id, status, .. } => [id, pid, status, "-", "-", "-"],
    }
}

/// The colour of a status.
fn colour(status: &str) -> Option<Colour> {
    match status {
        "running" => Some(Colour::Green),
        "paused" | "creating" | "created" => Some(Colour::Yellow),
        "damaged" => Some(Colour::Red),
        _ => None,
    }
}

/// A table whose columns are as wide as their widest cell.
fn table(all: &[Listed], paint: Paint) -> String {
    const HEAD: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let pid = |listed: &Listed| match listed {
        Listed::Whole(it) => it.pid.to_string(),
        Listed::Untold { .. } => "0".to_owned(),
    };
    let pids: Vec<String> = all.iter().map(pid).collect();
    let rows = || std::iter::once(HEAD).chain(all.iter().zip(&pids).map(cells));
    let mut widths = [0; 6];
    for row in rows() {
        for (cell, width) in row.into_iter().zip(&mut widths) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows() {
        for ((cell, width), name) in row.into_iter().zip(widths).zip(HEAD) {
            match colour(cell).filter(|_| name == "STATUS") {
                Some(colour) => text.push_str(&paint.word(colour, cell)),
                None => text.push_str(cell),
            }
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Status;

    fn listed() -> Vec<Listed> {
        let state = State {
            oci_version: "1.3.0",
            id: "web".to_owned(),
            pid: 4711,
            status: Status::Running,
            bundle: "/srv/web".to_owned(),
            rootfs: "/srv/web/rootfs".to_owned(),
            created: "2026-08-19T10:00:00Z".to_owned(),
            systemd_scope: None,
            annotations: Default::default(),
            owner: "root".to_owned(),
        };
        let error = Error::new("/run/tiny-ce/old/state.json: missing");
        let old = Listed::Untold { id: "old".to_owned(), status: "damaged", error };
        vec![old, Listed::Whole(Box::new(state))]
    }

    #[test]
    fn columns_as_runc_has_them() {
        assert_eq!(
            table(&listed(), Paint::NONE),
            "ID    PID    STATUS    BUNDLE     CREATED                OWNER\n\
             old   0      damaged   -          -                      -\n\
             web   4711   running   /srv/web   2026-08-19T10:00:00Z   root\n"
        );
        assert_eq!(table(&[], Paint::NONE), "ID   PID   STATUS   BUNDLE   CREATED   OWNER\n");
    }

    #[test]
    fn json_as_go_runc_reads_it() {
        let text = json(&listed()).expect("JSON");
        let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(all[0]["status"], "damaged");
        assert_eq!(all[0]["error"], "/run/tiny-ce/old/state.json: missing");
        assert_eq!(all[1]["ociVersion"], "1.3.0");
        assert_eq!(all[1]["pid"], 4711);
        assert_eq!(all[1]["created"], "2026-08-19T10:00:00Z");
        assert_eq!(text.lines().count(), 1);
        assert_eq!(json(&[]), Ok("[]\n".to_owned()));
    }
}
