//! `idmap=MAPPING` among a mount's options, as crun has it: `uids=0-1-10#10-11-10;gids=0-100-10`.
//!
//! This module reads the mapping, and translates ranges that begin with `@`. Pure.

use super::{IdMapping, Mount, Spec};

/// The mappings of user ids and of group ids.
pub type Maps = (Vec<IdMapping>, Vec<IdMapping>);

/// Return the mapping in the options of this mount, if there is one, or what is wrong with it.
pub fn of_options(spec: &Spec, mount: &Mount) -> Option<Result<Maps, String>> {
    let mapping = mount.options.mapping()?;
    let linux = spec.linux.as_ref();
    let container = (
        linux.map_or(&[][..], |linux| &linux.uid_mappings),
        linux.map_or(&[][..], |linux| &linux.gid_mappings),
    );
    Some(read(mapping, container))
}

/// Read a mapping. A range is the first id in the file system, the first id on the host, and the
/// number of ids. `#` separates ranges, `;` separates users and groups. After `@`, the second
/// number is an id in the container's user namespace.
fn read(mapping: &str, container: (&[IdMapping], &[IdMapping])) -> Result<Maps, String> {
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    for part in mapping.split(';') {
        let (list, ranges, of) = match part.split_once('=') {
            Some(("uids", ranges)) => (&mut uids, ranges, container.0),
            Some(("gids", ranges)) => (&mut gids, ranges, container.1),
            _ => return Err(format!("{part:?}: expected uids=RANGES or gids=RANGES")),
        };
        for range in ranges.split('#') {
            list.push(self::range(range, of)?);
        }
    }
    match (uids.is_empty(), gids.is_empty()) {
        (false, false) => Ok((uids, gids)),
        (true, _) => Err("no uids=".to_owned()),
        (_, true) => Err("no gids=".to_owned()),
    }
}

/// Read one range; `container` is the container's own mapping.
fn range(text: &str, container: &[IdMapping]) -> Result<IdMapping, String> {
    let (relative, numbers) = match text.strip_prefix('@') {
        Some(numbers) => (true, numbers),
        None => (false, text),
    };
    let id = |word: &str| word.parse::<u32>().ok().filter(|_| !word.starts_with('+'));
    let numbers: Vec<u32> = numbers.split('-').map_while(id).collect();
    let [container_id, host_id, size] = numbers[..] else {
        return Err(format!("{text:?}: expected three numbers, such as 0-100000-1000"));
    };
    if !relative {
        return Ok(IdMapping { container_id, host_id, size });
    }
    match IdMapping::outside(container, host_id) {
        Some(host_id) => Ok(IdMapping { container_id, host_id, size }),
        None => Err(format!("{text:?}: {host_id} is not mapped in the container")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn ranges_of_users_and_groups() {
        let maps = read("uids=0-1-10#10-11-10;gids=0-100-10", (&[], &[]));
        assert_eq!(maps, Ok((vec![map(0, 1, 10), map(10, 11, 10)], vec![map(0, 100, 10)])));
    }

    /// The example of crun's manual page.
    #[test]
    fn ranges_behind_an_at_sign_are_relative() {
        let own = [map(0, 0, 1), map(1, 2, 1000)];
        let maps = read("uids=@1-3-10;gids=@0-0-1#1-1-1", (&own, &own));
        assert_eq!(maps, Ok((vec![map(1, 4, 10)], vec![map(0, 0, 1), map(1, 1, 1)])));
    }

    #[test]
    fn malformed_mappings_and_the_reason() {
        for (text, why) in [
            ("", "\"\": expected uids="),
            ("uids=0-0-1", "no gids="),
            ("gids=0-0-1", "no uids="),
            ("uids=0-0;gids=0-0-1", "\"0-0\": expected three numbers"),
            ("uids=0-0-1-1;gids=0-0-1", "expected three numbers"),
            ("uids=+0-0-1;gids=0-0-1", "expected three numbers"),
            ("uids=0-4294967296-1;gids=0-0-1", "expected three numbers"),
            ("uids=@0-7-1;gids=0-0-1", "7 is not mapped in the container"),
            ("uid=0-0-1", "expected uids="),
        ] {
            let error = read(text, (&[], &[])).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
