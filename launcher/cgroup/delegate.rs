//! Hand a v2 cgroup to the container's root, so that it can make cgroups of its own.
//!
//! Only for a container with a cgroup namespace of its own and a writable cgroup mount
//! (CVE-2023-25809): the caller decides.

use std::os::fd::AsFd;

use super::Cgroup;
use super::dir::read_path;
use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

/// What the kernel lists in /sys/kernel/cgroup/delegate; this, where it lists nothing.
const FALLBACK: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// Give the directory and the delegatable files of the container's v2 cgroup to a user and a
/// group of the host. Files that this cgroup does not have are passed over.
///
/// # Errors
/// The cgroup is hidden, or fchownat(2) fails.
pub fn delegate(cgroup: &Cgroup, uid: u32, gid: u32) -> Result<()> {
    let Some(group) = cgroup.v2() else { return Ok(()) };
    let dir = group.dir()?;
    let files = read_path("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| FALLBACK.into());
    sys::chownat(dir.as_fd(), "", uid, gid).map_err(|e| Error::io(&group.path, "chown", &e))?;
    for file in files.split_whitespace() {
        match sys::chownat(dir.as_fd(), file, uid, gid) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("{}/{file}", group.path), "chown", &e));
            }
            _ => {}
        }
    }
    Ok(())
}
