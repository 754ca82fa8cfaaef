//! `list`: every container below a root, damaged ones included.

use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use super::{Directory, Owners, Record, STATE, State, processes_are_visible};
use crate::cgroup::Freezers;
use crate::error::{Error, Result};
use crate::spec::id;
use crate::sys;

/// One container.
pub enum Listed {
    /// A container whose state could be read.
    Whole(Box<State>),
    /// A container whose state could not be read.
    Untold {
        /// The container.
        id: String,
        /// `damaged` if its state files cannot be read, `unknown` if its cgroup is not visible.
        status: &'static str,
        /// The reason.
        error: Error,
    },
}

/// The ids of all containers, sorted.
///
/// # Errors
/// The root cannot be read; a root that does not exist has no containers.
pub fn ids(root: &Path) -> Result<Vec<String>> {
    let failed = |e: std::io::Error| Error::io(root.display(), "open", &e);
    let entries = match std::fs::read_dir(root) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().filter(|name| id::check(name).is_ok()) {
            ids.push(name.to_owned());
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// A thread looks at this many containers at least: fewer are read before another thread starts.
const WORTH_A_THREAD: usize = 100;

/// Every container, by id. Where there are many, as many threads look as there are processors: most
/// of the time goes to the kernel, which answers them side by side.
///
/// # Errors
/// As [`ids`].
pub fn list(root: &Path) -> Result<Vec<Listed>> {
    let ids = ids(root)?;
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    Ok(match ids.len() / WORTH_A_THREAD {
        0 | 1 => look(root, &ids),
        most => look_side_by_side(root, &ids, most.min(processors())),
    })
}

/// Look at the containers of these ids in as many threads; this one is the first.
fn look_side_by_side(root: &Path, ids: &[String], threads: usize) -> Vec<Listed> {
    let (own, others) = ids.split_at(ids.len().div_ceil(threads));
    thread::scope(|scope| {
        let begin =
            |ids| (ids, thread::Builder::new().spawn_scoped(scope, move || look(root, ids)));
        let parts: Vec<_> = others.chunks(own.len()).map(begin).collect();
        let mut all = look(root, own);
        for (ids, part) in parts {
            // A limit of processes may refuse a thread.
            let found = part.ok().and_then(|it| it.join().ok());
            all.extend(found.unwrap_or_else(|| look(root, ids)));
        }
        all
    })
}

/// Look at the containers of these ids. One that vanishes meanwhile is left out.
fn look(root: &Path, ids: &[String]) -> Vec<Listed> {
    let mut all = Vec::with_capacity(ids.len());
    let mut owners = Owners::default();
    let mut glance = Glance::begin(root);
    for id in ids {
        if let Some(state) = glance.as_mut().and_then(|it| it.state(id, &mut owners)) {
            all.push(Listed::Whole(Box::new(state)));
            continue;
        }
        let mut status = "damaged";
        let read = Directory::open(root, id).and_then(|directory| {
            let (record, init) = Record::load_with_init(&directory)?;
            status = "unknown";
            record.state(init, &directory, &mut owners)
        });
        match read {
            Ok(state) => all.push(Listed::Whole(Box::new(state))),
            // Another process deleted the container meanwhile.
            Err(_) if !root.join(id).exists() => {}
            Err(error) => all.push(Listed::Untold { id: id.clone(), status, error }),
        }
    }
    all
}

/// The short way to the state of a container: few system calls, and no more of the record than is
/// shown. Whatever is not plain is left to the long way, which knows the words for it.
struct Glance {
    root: OwnedFd,
    bytes: Vec<u8>,
}

/// A record of this size or more, in bytes, is left to the long way.
const SMALL: usize = 16 << 10;

impl Glance {
    /// Open the root; `None` if it cannot be opened, or /proc does not show our processes.
    fn begin(root: &Path) -> Option<Glance> {
        processes_are_visible().ok()?;
        let root = sys::file::open_directory(root).ok()?;
        Some(Glance { root, bytes: vec![0; SMALL] })
    }

    fn state(&mut self, id: &str, owners: &mut Owners) -> Option<State> {
        let name = CString::new(format!("{id}/{STATE}")).ok()?;
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
        let file = sys::file::openat2(self.root.as_fd(), &name, flags, resolve).ok()?;
        let got = File::from(file).read(&mut self.bytes).ok().filter(|got| *got < SMALL)?;
        let record: Record<Freezers> = serde_json::from_slice(&self.bytes[..got]).ok()?;
        record.glance(owners.name(sys::file::owner_at(&self.root, id).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_threads_find_what_one_finds_in_the_same_order() {
        let root = std::env::temp_dir().join(format!("tiny-ce-many-{}", std::process::id()));
        let many = 5 * WORTH_A_THREAD + 1;
        for i in 0..many {
            std::fs::create_dir_all(root.join(format!("c{i}"))).expect("a directory");
        }
        let names = |all: &[Listed]| -> Vec<String> {
            let untold = |it: &Listed| match it {
                Listed::Untold { id, status, .. } => format!("{id} {status}"),
                Listed::Whole(state) => panic!("{}: an empty directory has a state", state.id),
            };
            all.iter().map(untold).collect()
        };
        let ids = ids(&root).expect("ids");
        let expected: Vec<String> = ids.iter().map(|id| format!("{id} damaged")).collect();
        let parts =
            [1, 2, 3, 7, many].map(|threads| names(&look_side_by_side(&root, &ids, threads)));
        let listed = list(&root).map(|all| names(&all));
        std::fs::remove_dir_all(&root).expect("removed");
        assert_eq!(ids.len(), many);
        assert!(parts.iter().all(|part| *part == expected));
        assert_eq!(listed.expect("a list"), expected);
    }
}
