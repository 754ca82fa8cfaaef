//! Who owns a file in an image. Pure.

use crate::spec::IdMapping;
use crate::{Error, Result};

/// How the owners of files on this machine become those in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// The caller's ids, which become root's if nothing else is said.
    pub caller: (u32, u32),
    /// Ranges of user ids; if there are any, they alone count.
    pub uids: Vec<IdMapping>,
    /// The same of groups.
    pub gids: Vec<IdMapping>,
}

impl Owners {
    /// The owner and the group in the image.
    ///
    /// # Errors
    /// An id is in no range.
    pub fn map(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        Ok((
            one("user", "--uid-map", uid, self.caller.0, &self.uids)?,
            one("group", "--gid-map", gid, self.caller.1, &self.gids)?,
        ))
    }
}

fn one(what: &str, option: &str, id: u32, caller: u32, ranges: &[IdMapping]) -> Result<u32> {
    if ranges.is_empty() {
        return Ok(if id == caller { 0 } else { id });
    }
    let inside = |it: &IdMapping| {
        let above = id.checked_sub(it.host_id).filter(|above| *above < it.size)?;
        it.container_id.checked_add(above)
    };
    ranges.iter().find_map(inside).ok_or_else(|| {
        Error::new(format!("{what} {id} owns it, and is in no range of {option}"))
            .hint(format!("{option} CONTAINER:HOST:SIZE, as in linux.uidMappings of config.json"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_becomes_root_unless_ranges_say_otherwise() {
        let mut owners = Owners { caller: (1000, 100), ..Owners::default() };
        assert_eq!(owners.map(1000, 100), Ok((0, 0)));
        assert_eq!(owners.map(0, 5), Ok((0, 5)));
        let range = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        owners.uids = vec![range(0, 1000, 1), range(1, 100_000, 65536)];
        assert_eq!(owners.map(100_032, 100), Ok((33, 0)));
        assert_eq!(owners.map(165_535, 100), Ok((65536, 0)));
        for id in [165_536, 999, 99_999] {
            let text = owners.map(id, 100).expect_err("no range").to_string();
            assert!(text.contains("--uid-map"), "{text}");
        }
    }
}
