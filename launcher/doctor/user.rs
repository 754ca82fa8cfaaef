//! The caller: rights, the ids that its containers have, the place for the state.

use std::path::Path;

use super::{Finding, text};
use crate::host::ids;
use crate::spec::IdMapping;
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

/// The ids of a container that the caller starts.
pub fn ids(caller: &Caller) -> Finding {
    const WHAT: &str = "ids of a container";
    if caller.uid == 0 && !caller.nested {
        return Finding::ok(WHAT, "the machine's");
    }
    let count = |map: &[IdMapping]| map.iter().map(|it| u64::from(it.size)).sum::<u64>();
    match ids::many() {
        Ok((users, groups)) => {
            let (users, groups) = (count(&users), count(&groups));
            Finding::ok(WHAT, format!("{users} of users and {groups} of groups; 0 is the caller"))
        }
        Err(e) => Finding::warn(WHAT, format!("one, the caller's own, as 0: {}", e.line()))
            .hint(e.advice().unwrap_or("programs that change their user need more")),
    }
}
