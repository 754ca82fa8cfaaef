//! Find the namespaces of a running container that a new process joins, by its pidfd, or else in
//! /proc/PID/ns.
//!
//! Knows which namespaces differ from ours, not how they are joined.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use crate::error::{Error, Result};
use crate::spec::NamespaceKind;
use crate::sys::namespace;
use crate::sys::process::{own_pidfd, pidfd_open};

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
        let namespaces = namespaces(pid, &process)?;
        Ok(Joined { process, namespaces })
    }
}

/// Return the kinds of namespaces of process `pid` that differ from ours; setns(2) refuses to join
/// the caller's own user namespace.
fn namespaces(pid: i32, process: &OwnedFd) -> Result<Vec<NamespaceKind>> {
    let own = own_pidfd().ok();
    let by_pidfd = |kind: NamespaceKind| {
        let of = |process| namespace::of_process(process, kind.flag().0).ok();
        of(own.as_ref()?).zip(of(process))
    };
    let mut differ = Vec::new();
    for kind in NamespaceKind::ALL {
        // Linux before 6.11 does not answer. Of what it refuses, the files say why.
        let (ours, theirs) = match by_pidfd(*kind) {
            Some(both) => both,
            None => match by_file("thread-self", *kind) {
                // This kernel lacks the kind. Any other error must not be skipped: the new process
                // would stay in the host's namespace of this kind.
                Err(e) if e.errno() == Some(libc::ENOENT) => continue,
                ours => (ours?, by_file(&pid.to_string(), *kind)?),
            },
        };
        if ours != theirs {
            differ.push(*kind);
        }
    }
    Ok(differ)
}

/// The device and the inode of a process's namespace, by its file in /proc.
fn by_file(process: &str, kind: NamespaceKind) -> Result<(u64, u64)> {
    let file = match kind {
        NamespaceKind::Network => "net",
        NamespaceKind::Mount => "mnt",
        kind => kind.word(),
    };
    let path = format!("/proc/{process}/ns/{file}");
    match std::fs::metadata(&path) {
        Ok(it) => Ok((it.dev(), it.ino())),
        Err(e) => Err(Error::io(path, "stat", &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfd_and_the_files_name_the_same_namespaces() {
        let own = own_pidfd();
        let process = pidfd_open(std::process::id() as i32).expect("a pidfd");
        for kind in NamespaceKind::ALL {
            let by_pidfd = own.as_ref().ok().map(|own| namespace::of_process(own, kind.flag().0));
            let Some(Ok(by_pidfd)) = by_pidfd else {
                println!("skipped: {}: this kernel knows no namespaces by pidfd", kind.word());
                continue;
            };
            assert_eq!(by_pidfd, by_file("thread-self", *kind).expect("its file"));
        }
        let differ = namespaces(std::process::id() as i32, &process).expect("namespaces");
        assert_eq!(differ, []);
    }
}
