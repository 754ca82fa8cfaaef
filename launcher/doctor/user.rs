//! The caller: rights, ranges of subordinate ids, the place for the state.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Finding, text};
use crate::{Error, sys};

/// The caller.
pub struct Caller {
    /// Effective user id.
    pub uid: u32,
    /// Name in /etc/passwd; the number, if there is none.
    pub name: String,
    /// Whether it has CAP_SYS_ADMIN.
    pub administers: bool,
    /// Whether it is in a user namespace other than the machine's.
    pub nested: bool,
}

impl Caller {
    /// Whether it may mount where it is: the mount namespace can be another user namespace's.
    pub fn mounts(&self) -> bool {
        self.administers && !self.nested
    }

    /// The caller of this process.
    pub fn find() -> Caller {
        let uid = sys::user::effective_uid();
        let passwd = text("/etc/passwd").unwrap_or_default();
        let name = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        Caller {
            uid,
            name: name.unwrap_or_else(|| uid.to_string()),
            administers: sys::user::administers(),
            nested: sys::user::in_user_namespace(),
        }
    }
}

pub fn rights(caller: &Caller) -> Finding {
    const WHAT: &str = "rights";
    match (caller.uid, caller.administers, caller.nested) {
        (0, true, false) => Finding::ok(WHAT, "root"),
        (_, true, true) => Finding::ok(WHAT, "root of a user namespace: containers are rootless"),
        (_, true, false) => Finding::ok(WHAT, format!("{}, with CAP_SYS_ADMIN", caller.name)),
        (0, false, _) => Finding::warn(WHAT, "root without CAP_SYS_ADMIN")
            .hint("containers need a user namespace of their own, as those of any other user"),
        _ => Finding::ok(WHAT, format!("{}, without root's: containers are rootless", caller.name)),
    }
}

/// The state root, or its nearest ancestor that exists.
pub fn state_directory(state: Result<&Path, &Error>) -> Finding {
    const WHAT: &str = "state directory";
    let state = match state {
        Ok(state) => state,
        Err(e) => {
            let hint = "log in with a session of your own, or say where with --root";
            return Finding::missing(WHAT, e.line()).hint(hint).vital();
        }
    };
    let shown = state.display();
    let existing = state.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Finding::missing(WHAT, format!("{shown}: {} is no directory", existing.display()))
            .hint("choose another one with --root")
            .vital();
    }
    let writable = existing.to_str().is_some_and(sys::cgroupfs::writable);
    match writable {
        true => Finding::ok(WHAT, format!("{shown} can be written")),
        false => {
            Finding::missing(WHAT, format!("{shown}: {} cannot be written", existing.display()))
                .hint(
                    "choose another one with --root, or run as root; where nothing can be \
                     written: mount -t tmpfs tmpfs /run",
                )
                .vital()
        }
    }
}

/// Helpers and ranges for more than one id in a user namespace, newuidmap(1).
pub fn mappings(caller: &Caller) -> Vec<Finding> {
    let mut all = Vec::new();
    let absent: Vec<&str> =
        ["newuidmap", "newgidmap"].into_iter().filter(|name| mapper(name).is_none()).collect();
    all.push(match (absent.is_empty(), caller.uid) {
        (true, _) => Finding::ok("newuidmap, newgidmap", "rootless containers can map many ids"),
        (false, 0) => Finding::ok(
            "newuidmap, newgidmap",
            "not there with their rights; only callers other than root need them",
        ),
        (false, _) => Finding::warn(
            "newuidmap, newgidmap",
            format!("{} not there, or without the rights to map ids", absent.join(" and ")),
        )
        .hint("install uidmap (or shadow-utils); without it a container has one user id"),
    });
    if caller.uid == 0 {
        return all;
    }
    for (what, path) in [("subuid", "/etc/subuid"), ("subgid", "/etc/subgid")] {
        let ranges = ranges(&text(path).unwrap_or_default(), caller);
        all.push(match ranges {
            0 => Finding::warn(what, format!("{path} has no range for {}", caller.name)).hint(
                format!(
                    "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}",
                    caller.name
                ),
            ),
            ids => Finding::ok(what, format!("{ids} ids for {} in {path}", caller.name)),
        });
    }
    all
}

/// How many ids a subuid(5) file gives to the caller.
fn ranges(text: &str, caller: &Caller) -> u64 {
    let number = caller.uid.to_string();
    let own = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        (who == caller.name || who == number).then(|| fields.nth(1)?.trim().parse::<u64>().ok())?
    });
    own.sum()
}

/// A program on PATH that is setuid root or has file capabilities.
fn mapper(name: &str) -> Option<PathBuf> {
    let path = crate::host::programs::find(name)?;
    let file = path.metadata().ok()?;
    let setuid = file.uid() == 0 && file.permissions().mode() & 0o4000 != 0;
    (setuid || sys::file::has_capabilities(&path)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_by_name_or_number() {
        let caller =
            Caller { uid: 1000, name: "ada".to_owned(), administers: false, nested: false };
        let text = "root:1:5\nada:100000:65536\n1000:200000:4\nadam:1:1\nbroken\n";
        assert_eq!(ranges(text, &caller), 65540);
        assert_eq!(ranges("", &caller), 0);
    }
}
