//! What of a living container a new process enters, read below /proc/PID.
//!
//! Knows what there is, not what is done with it.

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
    /// Those of its namespaces that are not this process's.
    pub namespaces: Vec<NamespaceKind>,
}

impl Joined {
    /// Open process `pid`.
    pub fn open(pid: i32) -> Result<Joined> {
        let process =
            pidfd_open(pid).map_err(|e| Error::io(format!("pid {pid}"), "pidfd_open", &e))?;
        Ok(Joined { process, namespaces: namespaces(pid)? })
    }
}

/// Namespaces of process `pid` that are not our own: joining one's own user namespace is refused.
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
            // A kind that this kernel does not have is nobody's. One that only cannot be looked at
            // must not be passed over: the new process would stay in the host's.
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
