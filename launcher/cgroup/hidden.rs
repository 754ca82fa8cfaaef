//! A group that is not found: removed, or only not visible from here.
//!
//! A mount namespace may lack a hierarchy (`ip netns exec` mounts a new /sys), or show a part only.
//! What is not visible is never taken for removed. Knows mounts and /proc/self/cgroup only; what is
//! done without a group is the caller's affair.

use super::dir::read_path;
use super::probe::{memberships, shown_at};
use super::{Cgroup, Group, Version};
use crate::sys::cgroupfs::fs_type_of;
use crate::{Error, Result};

impl Cgroup {
    /// The groups that a living process is in, with one for each group of `self`.
    ///
    /// # Errors
    /// A hierarchy in which `self` has a group is not visible from here.
    pub fn joined_by(&self, pid: i32, h: &super::Hierarchies) -> Result<Cgroup> {
        let there = Cgroup::of_process(pid, h)?;
        let mut hidden = Vec::new();
        for group in &self.groups {
            let found = there.groups.iter().any(|other| group.same_hierarchy(other));
            if !found && group.hierarchy_exists()? {
                hidden.push(group);
            }
        }
        match hidden.is_empty() {
            true => Ok(there),
            false => Err(refusal(&hidden)),
        }
    }

    /// Fail unless every group is visible, or has been removed.
    ///
    /// # Errors
    /// A group is hidden, or mountinfo cannot be read.
    pub fn visible(&self) -> Result<()> {
        let mut hidden = Vec::new();
        for group in &self.groups {
            if !group.is_visible()? && group.hierarchy_exists()? {
                hidden.push(group);
            }
        }
        if hidden.is_empty() { Ok(()) } else { Err(refusal(&hidden)) }
    }
}

impl Group {
    /// Why the directory could not be opened: ENOENT means from here on that it has been removed.
    pub(super) fn why_not(&self, error: Error) -> Error {
        if !matches!(error.errno(), None | Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) {
            return error;
        }
        match (self.is_visible(), self.hierarchy_exists()) {
            (Err(e), _) | (_, Err(e)) => e,
            (Ok(true), _) => error,
            (Ok(false), Ok(true)) => refusal(&[self]),
            (Ok(false), Ok(false)) => Error::call(&self.path, "open", libc::ENOENT),
        }
    }

    /// Whether the mount point shows the hierarchy, and as much of it as when the group was made.
    fn is_visible(&self) -> Result<bool> {
        // Something else may be mounted over it, which mountinfo alone does not tell.
        if fs_type_of(&self.mount).ok() != Some(self.version.magic()) {
            return Ok(false);
        }
        let shown = shown_at(&self.mount)?;
        Ok(shown.is_some_and(|shown| {
            shown.version == self.version
                && shown.root == self.root
                && (self.version == Version::V2 || shown.controllers == self.controllers)
        }))
    }

    /// Whether the kernel has the hierarchy at all. One of v1 that is unmounted everywhere lives on
    /// as long as there are groups in it, cgroups(7); after that /proc/self/cgroup lacks it.
    fn hierarchy_exists(&self) -> Result<bool> {
        const FILE: &str = "/proc/self/cgroup";
        let text = read_path(FILE).map_err(|e| Error::io(FILE, "read", &e))?;
        Ok(memberships(&text).any(|(controllers, _)| match self.version {
            Version::V1 => controllers.split(',').any(|c| self.controllers.iter().any(|o| o == c)),
            Version::V2 => controllers.is_empty(),
        }))
    }

    fn same_hierarchy(&self, other: &Group) -> bool {
        self.version == other.version
            && (self.version == Version::V2 || self.controllers == other.controllers)
    }
}

fn refusal(hidden: &[&Group]) -> Error {
    let names: Vec<String> = hidden.iter().map(|group| group.name()).collect();
    let mounts: Vec<&str> = hidden.iter().map(|group| group.mount.as_str()).collect();
    let (is, it) = if hidden.len() == 1 { ("is", "it") } else { ("are", "them") };
    let text = format!(
        "the container's cgroup is not visible here: {} {is} not mounted at {}",
        names.join(", "),
        mounts.join(", ")
    );
    let mount = match hidden.first() {
        Some(Group { version: Version::V1, controllers, mount, .. }) => {
            let none = controllers.iter().any(|c| c.starts_with("name="));
            let none = if none { "none," } else { "" };
            format!("mount -t cgroup -o {none}{} cgroup {mount}", controllers.join(","))
        }
        Some(Group { mount, .. }) => format!("mount -t cgroup2 cgroup2 {mount}"),
        None => String::new(),
    };
    Error::new(text).hint(format!(
        "call tiny-ce in a mount namespace that has {it}, such as that of process 1 (nsenter \
         --target 1 --mount), or mount {it} here: {mount}"
    ))
}
