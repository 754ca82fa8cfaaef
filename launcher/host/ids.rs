//! The ids that a caller without root's rights can give to a container: its own, and those that
//! subuid(5) and subgid(5) give to it, which newuidmap(1) and newgidmap(1) map. Only reads.

use std::fs::read_to_string;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::spec::IdMapping;
use crate::spec::idmap::Maps;
use crate::sys;

/// The user namespace of a container whose root is the caller, and that has no other id.
pub fn own() -> Maps {
    let (uid, gid) = (sys::user::effective_uid(), sys::user::effective_gid());
    (vec![IdMapping::own(uid)], vec![IdMapping::own(gid)])
}

/// One in which the caller is root as well, with every other id that it may map. Root of a user
/// namespace may map all ids that this has, and each as itself.
///
/// # Errors
/// The caller has no other id, or cannot map any: the error says why.
pub fn many() -> Result<Maps> {
    let (uid, gid) = (sys::user::effective_uid(), sys::user::effective_gid());
    if uid == 0 {
        return identity();
    }
    for program in ["newuidmap", "newgidmap"] {
        if mapper(program).is_none() {
            let text = format!("{program}: not there, or without the rights to map ids");
            return Err(Error::new(text).hint("install uidmap (or shadow-utils)"));
        }
    }
    if sys::user::no_new_privileges() {
        return Err(Error::new("newuidmap: gets no rights, since this session has no_new_privs")
            .hint("run outside of the sandbox that set it"));
    }
    let passwd = read_to_string("/etc/passwd").unwrap_or_default();
    let found = name(&passwd, uid);
    // newgidmap(1) looks at the group of passwd(5), which newgrp(1) does not change.
    if let Some((name, _)) = found.filter(|(_, group)| *group != gid) {
        return Err(Error::new(format!(
            "newgidmap: group {gid} is not that of {name} in /etc/passwd"
        ))
        .hint("newgrp(1) without a group returns to it"));
    }
    let name = found.map_or("", |(name, _)| name);
    Ok((given("/etc/subuid", name, uid)?, given("/etc/subgid", name, gid)?))
}

/// The ids of this process's user namespace.
fn identity() -> Result<Maps> {
    if !sys::user::changes_ids() {
        return Err(Error::new("this process lacks CAP_SETUID or CAP_SETGID, to map other ids")
            .hint("run as another root of this user namespace"));
    }
    let own = |file| -> Vec<IdMapping> {
        let same = |(first, size)| IdMapping { container_id: first, host_id: first, size };
        sys::user::ids_of_namespace(file).into_iter().map(same).collect()
    };
    let (users, groups) = (own("uid_map"), own("gid_map"));
    let root = |map: &[IdMapping]| map.iter().any(|it| it.container_id == 0);
    let several = |map: &[IdMapping]| map.iter().any(|it| it.size > 1) || map.len() > 1;
    if root(&users) && root(&groups) && (several(&users) || several(&groups)) {
        return Ok((users, groups));
    }
    Err(Error::new("this user namespace has one id")
        .hint("make one with more: unshare --map-auto --map-root-user, or podman unshare"))
}

/// The caller's own id, which becomes 0, and then the ids that a file gives to it.
fn given(file: &str, name: &str, own: u32) -> Result<Vec<IdMapping>> {
    let text = read_to_string(file).unwrap_or_default();
    let map = map(&text, name, sys::user::effective_uid(), own);
    if map.len() > 1 {
        return Ok(map);
    }
    let who = if name.is_empty() { own.to_string() } else { name.to_owned() };
    Err(Error::new(format!("{file}: has no range for {who}"))
        .hint(format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {who}")))
}

/// The most lines of a map, user_namespaces(7).
const MOST_LINES: usize = 340;

/// The caller's own id as 0, and behind it the ranges of a subuid(5) file that its name or its user
/// id has. Ids of the host that come twice are left out.
fn map(text: &str, name: &str, uid: u32, own: u32) -> Vec<IdMapping> {
    let number = uid.to_string();
    let mut map = vec![IdMapping::own(own)];
    for line in text.lines() {
        let mut fields = line.split(':');
        let who = fields.next().filter(|who| !who.is_empty());
        let mut next = || fields.next()?.trim().parse::<u32>().ok();
        let (Some(first), Some(count)) = (next(), next()) else { continue };
        let (Some(end), Some(container_id)) = (first.checked_add(count), above(&map)) else {
            continue;
        };
        let twice = |it: &IdMapping| first < it.host_id + it.size && it.host_id < end;
        let fits = count > 0 && container_id.checked_add(count).is_some();
        let mine = who.is_some_and(|who| who == name || who == number);
        if mine && fits && !map.iter().any(twice) && map.len() < MOST_LINES {
            map.push(IdMapping { container_id, host_id: first, size: count });
        }
    }
    map
}

/// The id above those of a map.
fn above(map: &[IdMapping]) -> Option<u32> {
    map.last().and_then(|last| last.container_id.checked_add(last.size))
}

/// The name and the group of a user in a text of passwd(5).
fn name(passwd: &str, uid: u32) -> Option<(&str, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let own = fields.nth(1)?.parse::<u32>().ok()? == uid;
        let group = fields.next()?.parse().ok()?;
        own.then_some((name, group))
    })
}

/// A program on PATH that is setuid root or has file capabilities, and whose mount lets it have
/// them.
fn mapper(name: &str) -> Option<PathBuf> {
    let path = super::programs::find(name)?;
    let file = path.metadata().ok()?;
    let setuid = file.uid() == 0 && file.permissions().mode() & 0o4000 != 0;
    let rights = setuid || sys::file::has_capabilities(&path);
    (rights && !sys::probe::is_nosuid(&path)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u32, u32, u32)> {
        let map = map(text, "ada", 1000, 1001);
        map.iter().map(|it| (it.container_id, it.host_id, it.size)).collect()
    }

    #[test]
    fn ranges_are_by_name_or_number() {
        let text = "root:1:5\nada:100000:65536\n1000:200000:4\nadam:1:1\nbroken\nada:x:1\n:9:9\n";
        assert_eq!(lines(text), [(0, 1001, 1), (1, 100_000, 65536), (65537, 200_000, 4)]);
        assert_eq!(lines(""), [(0, 1001, 1)]);
    }

    #[test]
    fn ids_are_mapped_once_and_in_range() {
        for text in ["ada:1000:5", "ada:4294967295:1", "ada:7:0", "ada:2:4294967293"] {
            assert_eq!(lines(text), [(0, 1001, 1)], "{text}");
        }
        let text = "ada:10:10\nada:19:2\nada:5:5\n";
        assert_eq!(lines(text), [(0, 1001, 1), (1, 10, 10), (11, 5, 5)]);
        let many: String = (0..400).map(|n| format!("ada:{}:1\n", 5000 + n)).collect();
        assert_eq!(lines(&many).len(), MOST_LINES);
    }

    #[test]
    fn a_user_has_a_name_and_a_group() {
        let passwd = "root:x:0:0::/:\nada:x:1000:1001:Ada:/home/ada:\nbroken:x\n";
        assert_eq!(name(passwd, 1000), Some(("ada", 1001)));
        assert_eq!(name(passwd, 7), None);
    }
}
