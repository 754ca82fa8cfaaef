//! Find the users and groups that a command line names in the container's /etc/passwd and
//! /etc/group.
//!
//! The launcher reads these files below the container's root, and asks no name service. It resolves
//! a name as Docker and Podman do. Must not know which option gave the name.

use std::path::Path;

use crate::error::{Error, Result};
use crate::program::vectors::{self, Seen};
use crate::spec::text::Who;
use crate::spec::{Mount, User, is_id};

/// The files that list a container's users and groups.
pub struct Users {
    passwd: Seen,
    group: Seen,
}

impl Users {
    /// Return the files of a running container, by one of its processes.
    pub fn of(pid: i32) -> Users {
        Users { passwd: vectors::file_of(pid, PASSWD), group: vectors::file_of(pid, GROUP) }
    }

    /// Return the files of a container that is not made yet: those below `rootfs`, unless one of
    /// these binds covers them.
    pub fn to_be(rootfs: &Path, binds: &[Mount]) -> Users {
        let file = |file| {
            let binds = binds.iter().map(|it| (it.destination.as_str(), it, it.source.as_deref()));
            vectors::file_to_be(file, rootfs, binds, &[])
        };
        Users { passwd: file(PASSWD), group: file(GROUP) }
    }

    /// Find a user, with its own group and supplementary groups; `group`, if given, replaces the
    /// groups.
    ///
    /// # Errors
    /// A name is not in its file, or a file cannot be read. A number need not be in the file: its
    /// group is then 0.
    pub fn find(&self, user: &Who, group: Option<&Who>) -> Result<User> {
        if let (Who::Id(uid), Some(Who::Id(gid))) = (user, group) {
            return Ok(User { uid: *uid, gid: *gid, ..User::default() });
        }
        let passwd = vectors::read(&self.passwd)?;
        let groups = vectors::read(&self.group)?;
        find(user, group, &passwd, &groups)
    }
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Find a user in the texts of passwd(5) and group(5).
fn find(user: &Who, group: Option<&Who>, passwd: &str, groups: &str) -> Result<User> {
    let found = entry(user, passwd);
    let (uid, own) = match (user, &found) {
        (_, Some(fields)) => (id(fields, 2), id(fields, 3)),
        (Who::Id(uid), None) => (Some(*uid), None),
        (Who::Name(_), None) => (None, None),
    };
    let uid = uid.ok_or_else(|| missing("user", user, PASSWD))?;
    let mut answer = User { uid, gid: own.unwrap_or(0), ..User::default() };
    match (group, found) {
        (Some(Who::Id(gid)), _) => answer.gid = *gid,
        (Some(group), _) => {
            let found = entry(group, groups).and_then(|fields| id(&fields, 2));
            answer.gid = found.ok_or_else(|| missing("group", group, GROUP))?;
        }
        (None, Some(found)) => {
            for fields in groups.lines().map(|line| line.split(':').collect::<Vec<_>>()) {
                let member = fields.get(3).is_some_and(|all| all.split(',').any(|m| m == found[0]));
                let gid = id(&fields, 2).filter(|gid| member && *gid != answer.gid);
                answer.additional_gids.extend(gid);
            }
            answer.additional_gids.sort_unstable();
            answer.additional_gids.dedup();
        }
        (None, None) => {}
    }
    Ok(answer)
}

/// Return the fields of the first line with this name, or with this number as its third field.
fn entry<'a>(who: &Who, text: &'a str) -> Option<Vec<&'a str>> {
    text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| match who {
        Who::Name(name) => fields.len() > 2 && fields[0] == name,
        Who::Id(wanted) => id(fields, 2) == Some(*wanted),
    })
}

/// Return the id in the field `at`.
fn id(fields: &[&str], at: usize) -> Option<u32> {
    let digits = fields.get(at).filter(|it| it.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|id| is_id(*id))
}

fn missing(what: &str, who: &Who, file: &str) -> Error {
    let name = match who {
        Who::Name(name) => name.clone(),
        Who::Id(id) => id.to_string(),
    };
    Error::new(format!("{what} {name:?}: not in the container's {file}"))
        .hint(format!("give the {what} by number, or one that is there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:100::/home/me:/bin/sh\n\
        half:x\nodd:x:+5:1\nall:x:4294967295:1::/:\n7:x:77:78::/:\n";
    const GROUPS: &str = "root:x:0:\nusers:x:100:me\ndisk:x:6:you,me\nwheel:x:10:me,you\n\
        twice:x:6:me\nmine:x:8:mee\n";

    fn found(user: Who, group: Option<Who>) -> Option<(u32, u32, Vec<u32>)> {
        let user = find(&user, group.as_ref(), PASSWD, GROUPS).ok()?;
        Some((user.uid, user.gid, user.additional_gids))
    }

    #[test]
    fn names_and_numbers() {
        let name = |name: &str| Who::Name(name.to_owned());
        assert_eq!(found(name("root"), None), Some((0, 0, vec![])));
        assert_eq!(found(name("me"), None), Some((1000, 100, vec![6, 10])));
        assert_eq!(found(Who::Id(1000), None), Some((1000, 100, vec![6, 10])));
        assert_eq!(found(name("me"), Some(Who::Id(5))), Some((1000, 5, vec![])));
        assert_eq!(found(Who::Id(1), Some(name("disk"))), Some((1, 6, vec![])));
        assert_eq!(found(Who::Id(7), None), Some((7, 0, vec![])), "a number is no name");
        for nobody in ["half", "odd", "all", "nobody", "ROOT", ""] {
            assert_eq!(found(name(nobody), None), None, "{nobody}");
        }
        assert_eq!(found(name("me"), Some(name("nogroup"))), None);
    }

    #[test]
    fn no_passwd_causes_a_panic() {
        tiny_ce_test::fuzz("passwd", &["test/fuzz/passwd"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            for user in [Who::Id(33), Who::Name("web".to_owned())] {
                let _ = find(&user, None, &text, &text);
                let _ = find(&user, Some(&Who::Name("users".to_owned())), &text, &text);
            }
        });
    }
}
