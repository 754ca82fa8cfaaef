//! Tell a cgroup that has been removed from one that is hidden: not visible in this mount
//! namespace.
//!
//! A mount namespace may lack a hierarchy (`ip netns exec` mounts a new /sys), or show a part of
//! it only. A hidden cgroup is never taken for removed. Knows only mounts and /proc/self/cgroup;
//! the caller decides what to do without a cgroup.

use super::dir::read_path;
use super::probe::{memberships, shown_at};
use super::{Cgroup, Group, Version};
use crate::sys::cgroupfs::fs_type_of;
use crate::{Error, Result};

impl Cgroup {
    /// The groups that a living process is in. No hierarchy of `self` is missing among them, unless
    /// it does not exist any more.
    ///
    /// # Errors
    /// A hierarchy in which `self` has a group is hidden, or a file of /proc cannot be read.
    pub fn joined_by(&self, pid: i32, h: &super::Hierarchies) -> Result<Cgroup> {
        let joined = Cgroup::of_process(pid, h)?;
        let mut hidden = Vec::new();
        for group in &self.groups {
            let found = joined.groups.iter().any(|other| group.same_hierarchy(other));
            if !found && group.hierarchy_exists()? {
                hidden.push(group);
            }
        }
        match hidden.is_empty() {
            true => Ok(joined),
            false => Err(refusal(&hidden)),
        }
    }

    /// Check that every group is visible, or its hierarchy does not exist any more.
    ///
    /// # Errors
    /// A group is hidden, or a file of /proc cannot be read.
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
    /// The error for a directory that could not be opened: ENOENT if it has been removed, another
    /// error if it is hidden.
    pub(super) fn open_error(&self, error: Error) -> Error {
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

    /// Whether the mount point shows the same part of the hierarchy as when the group was made.
    fn is_visible(&self) -> Result<bool> {
        // Another file system may be mounted over it, which mountinfo alone does not show.
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

    /// Whether the kernel has the hierarchy. A v1 hierarchy that is unmounted everywhere exists
    /// while it has groups (cgroups(7)); then it disappears from /proc/self/cgroup.
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
