//! Find the namespaces of a running container that a new process joins, in /proc/PID/ns.
//!
//! Knows which namespaces differ from ours, not how they are joined.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use crate::error::{Error, Result};
use crate::spec::NamespaceKind;
use crate::sys::process::pidfd_open;

/// A process whose namespaces a new one joins.
pub struct Joined {
    /// Its pidfd, which setns(2) takes.
    pub process: OwnedFd,
    /// The kinds of its namespaces that differ from this process's.
    pub namespaces: Vec<NamespaceKind>,
}

impl Joined {
    /// Open the pidfd of process `pid`, and compare its namespaces with ours.
    ///
    /// # Errors
    /// There is no such process, or its namespaces may not be looked at.
    pub fn open(pid: i32) -> Result<Joined> {
        let process =
            pidfd_open(pid).map_err(|e| Error::io(format!("pid {pid}"), "pidfd_open", &e))?;
        Ok(Joined { process, namespaces: namespaces(pid)? })
    }
}

/// Return the kinds of namespaces of process `pid` that differ from ours; setns(2) refuses to join
/// the caller's own user namespace.
///
/// # Errors
/// A namespace of the process, or of this one, may not be looked at.
pub fn namespaces(pid: i32) -> Result<Vec<NamespaceKind>> {
    let mut differ = Vec::new();
    for kind in NamespaceKind::ALL {
        let file = match kind {
            NamespaceKind::Network => "net",
            NamespaceKind::Mount => "mnt",
            kind => kind.word(),
        };
        let namespace = |process: &str| {
            std::fs::metadata(format!("/proc/{process}/ns/{file}")).map(|m| (m.dev(), m.ino()))
        };
        let failed = |process: &str, e| Error::io(format!("/proc/{process}/ns/{file}"), "stat", &e);
        let own = match namespace("thread-self") {
            // ENOENT: this kernel lacks the kind. Any other error must not be skipped: the new
            // process would stay in the host's namespace of this kind.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            own => own.map_err(|e| failed("thread-self", e))?,
        };
        let pid = pid.to_string();
        let theirs = namespace(&pid).map_err(|e| failed(&pid, e))?;
        if own != theirs {
            differ.push(*kind);
        }
    }
    Ok(differ)
}
