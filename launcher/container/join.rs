//! What of a living container a new process enters, read below /proc/PID.
//!
//! Knows what there is, not what is done with it.

use std::os::unix::fs::MetadataExt;

use crate::error::{Error, Result};
use crate::spec::NamespaceKind;

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
        // A kind that this kernel does not have is nobody's.
        let Ok(own) = namespace("thread-self") else { continue };
        let theirs = namespace(&pid.to_string())
            .map_err(|e| Error::io(format!("/proc/{pid}/ns/{file}"), "stat", &e))?;
        if own != theirs {
            differ.push(*kind);
        }
    }
    Ok(differ)
}

/// Whether setgroups(2) is denied in its user namespace (user_namespaces(7)).
pub fn groups_denied(pid: i32) -> bool {
    let path = format!("/proc/{pid}/setgroups");
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "deny")
}
