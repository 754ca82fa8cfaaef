//! Hand a v2 cgroup to the container's root, so that it can make cgroups of its own.
//!
//! Only for a container with its own cgroup namespace and a writable cgroup mount (CVE-2023-25809);
//! the caller checks that.

use std::os::fd::AsFd;

use super::Cgroup;
use super::dir::read_path;
use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

/// The files to delegate if the kernel has no /sys/kernel/cgroup/delegate, which lists them.
const FALLBACK: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// Give the directory of the container's v2 cgroup, and the files that may be delegated, to a user
/// and a group of the host. Files that this cgroup does not have are skipped.
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
