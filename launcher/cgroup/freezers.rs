//! Whether a container is frozen, by the path of its freezer alone: for `list`, which asks for
//! every container and wants nothing else of their cgroups.
//!
//! An answer that is not plain is left to [`super::Cgroup::frozen`], which tells a cgroup that has
//! been removed from one that is hidden.

use std::os::fd::AsFd;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use super::Version;
use super::processes::keyed;
use crate::sys::cgroupfs as sys;

/// The groups of a [`super::Cgroup`], as far as they can freeze.
#[derive(serde::Deserialize)]
pub struct Freezers {
    groups: Vec<Freezer>,
}

/// What `list` reads of a [`super::Group`].
#[derive(serde::Deserialize)]
struct Freezer {
    version: Version,
    controllers: HasFreezer,
    path: String,
}

/// Whether a list of controllers has the v1 freezer.
struct HasFreezer(bool);

impl Freezers {
    /// Whether the processes are frozen or being frozen; `None` if a freezer cannot be read.
    pub fn frozen(&self) -> Option<bool> {
        for group in &self.groups {
            let freezes = group.version == Version::V2 || group.controllers.0;
            if freezes && frozen_at(&group.path, group.version)? {
                return Some(true);
            }
        }
        Some(false)
    }
}

/// Whether the cgroup at this path is frozen or being frozen, directly or by one above it; `None`
/// if the files that tell cannot be read, or are not on cgroupfs of this version.
pub(super) fn frozen_at(path: &str, version: Version) -> Option<bool> {
    let read = |name: &str| -> Option<String> {
        let file = sys::openat(sys::cwd(), &format!("{path}/{name}"), libc::O_RDONLY).ok()?;
        let ours = sys::fs_type(file.as_fd()).ok()? == version.magic();
        ours.then(|| sys::read_once(file.as_fd()).ok())?
    };
    Some(match version {
        Version::V1 => read("freezer.state")?.trim() != "THAWED",
        // A cgroup that is being frozen is not yet frozen by its events.
        Version::V2 => {
            read("cgroup.freeze")?.trim() == "1"
                || keyed(&read("cgroup.events")?, "frozen") == Some(1)
        }
    })
}

impl<'de> Deserialize<'de> for HasFreezer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = HasFreezer;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("names of controllers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<HasFreezer, A::Error> {
                let mut found = false;
                while let Some(name) = names.next_element::<&str>()? {
                    found |= name == "freezer";
                }
                Ok(HasFreezer(found))
            }
        }
        from.deserialize_seq(Names)
    }
}
