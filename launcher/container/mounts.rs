//! `mounts add` and `mounts remove`: change the mounts of a running container. `add` makes all
//! mounts of a list or none.
//!
//! For each mount, a process joins the container, runs a plan of `compile::live` and ends. Knows
//! the conversation with that process, and how a failed `add` is undone.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::nodev;
use crate::answers::copy_up;
use crate::answers::detached;
use crate::cgroup;
use crate::compile::activation::Preserved;
use crate::compile::live::{self, MountRequest};
use crate::compile::targets::place;
use crate::conversation::join::Joined;
use crate::conversation::{self, Answers, End, Init, channel};
use crate::error::{Error, Result};
use crate::host::{self, Host, MountFacts};
use crate::plan::{Finished, Preload};
use crate::spec::check::{Allow, check};
use crate::spec::paths::lexical;
use crate::spec::{Mount, Spec, id, load};
use crate::state::{self, Directory, ProcessId, Record};
use crate::sys::file;
use crate::sys::process::{self, Clone};

/// Mounts, and the document that they come from, for messages.
#[derive(Debug, Clone)]
pub struct Mounts {
    /// The mounts, in the order given.
    pub list: Vec<Mount>,
    /// The name and the text of the document.
    pub source: (String, Vec<u8>),
}

/// Make these mounts in a container, in order. A relative source is below the bundle.
///
/// # Errors
/// There is no such container, it has stopped, or one of the mounts is wrong or refused; then none
/// of them stays.
pub fn mount(root: &Path, id: &str, mounts: &Mounts) -> Result<()> {
    let work = || {
        let mut container = Container::open(root, id, mounts)?;
        let (bundle, root) = (PathBuf::from(&container.record.bundle), container.root());
        let sources = host::sources(&container.spec.mounts, &bundle, &root)?;
        for (index, source) in sources.into_iter().enumerate() {
            // Probe now, since the mounts before this one change what is there.
            let facts = host::mounted(&root, &container.spec.mounts[index], source);
            container.host.mounts.push(facts);
            let plan = live::add(&container.request(index))?;
            let before = container.mount_at(index);
            if let Err(e) = container.run(index, &plan) {
                // The mount may be attached although a later step failed.
                let attached = container.mount_at(index) != before;
                let done = if attached { index + 1 } else { index };
                return Err((0..done).rev().fold(e, |e, done| container.take_back(done, e)));
            }
        }
        Ok(())
    };
    work().map_err(|e: Error| e.within(format!("cannot mount in {id:?}")))
}

/// Unmount the topmost mount at the destination of each of these, in order.
///
/// # Errors
/// There is no such container, it has stopped, or nothing is mounted at a destination; the mounts
/// before that one stay unmounted.
pub fn unmount(root: &Path, id: &str, mounts: &Mounts) -> Result<()> {
    let work = || {
        let mut container = Container::open(root, id, mounts)?;
        // Follow no link: the container could point it at a mount that confines the container.
        let name = |mount: &Mount| Some(lexical(&mount.destination).join("/"));
        let facts = |mount| MountFacts { destination: name(mount), ..MountFacts::default() };
        container.host.mounts = mounts.list.iter().map(facts).collect();
        (0..mounts.list.len()).try_for_each(|index| {
            container.run(index, &live::remove(&container.request(index))?).map_err(|e| {
                match e.errno() {
                    Some(libc::EINVAL) => {
                        e.hint("nothing is mounted there, or it is a symbolic link")
                    }
                    _ => e,
                }
            })
        })
    };
    work().map_err(|e: Error| e.within(format!("cannot unmount in {id:?}")))
}

/// A container that is joined once for each mount.
struct Container {
    directory: Directory,
    record: Record,
    init: ProcessId,
    spec: Spec,
    host: Host,
    joined: Joined,
}

impl Container {
    fn open(root: &Path, id: &str, mounts: &Mounts) -> Result<Container> {
        id::check(id)?;
        let directory = Directory::open_locked(root, id)?;
        let record = Record::load(&directory)?;
        let stopped =
            || Error::new("container not running").hint("only a created or running one has mounts");
        let init = record.living_init().ok_or_else(stopped)?;
        let joined = Joined::open(init.pid);
        // Compare the start time after opening the pidfd, which then stays with this process.
        if !init.alive() {
            return Err(stopped());
        }
        let joined = joined?;
        let spec = state::config(&directory)?;
        if crate::compile::inherits_mounts(&spec) {
            let text = "the container has no mount namespace: the host's mounts would be changed";
            return Err(Error::new(text));
        }
        let nodev = nodev::holds(&spec, &record.cgroup);
        let mut spec = asked(spec, mounts)?;
        if nodev {
            nodev::mounts(&mut spec);
        }
        let host = host::machine(&spec, &record.cgroup, &cgroup::probe()?);
        Ok(Container { directory, record, init, spec, host, joined })
    }

    fn request(&self, index: usize) -> MountRequest<'_> {
        MountRequest {
            spec: &self.spec,
            host: &self.host,
            namespaces: &self.joined.namespaces,
            index,
        }
    }

    /// Return the container's present root directory.
    fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init.pid))
    }

    /// Return the id of the mount that a destination is on, or that its nearest existing parent is
    /// on if the destination does not exist.
    fn mount_at(&self, index: usize) -> Option<u64> {
        let root = file::open_path(&self.root()).ok()?;
        let place = place(&self.spec, &self.host, index).join("/");
        let destination = Path::new(&place);
        let there =
            destination.ancestors().find_map(|path| file::open_beneath(&root, path).ok())?;
        let info = format!("/proc/self/fdinfo/{}", there.as_raw_fd());
        let info = std::fs::read_to_string(info).ok()?;
        info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
    }

    fn take_back(&self, index: usize, error: Error) -> Error {
        match live::remove(&self.request(index)).and_then(|plan| self.run(index, &plan)) {
            Ok(()) => error,
            Err(left) => error.detail(format!("and left behind: {}", left.line())),
        }
    }

    /// Run a plan in the container to its end.
    fn run(&self, index: usize, plan: &Finished) -> Result<()> {
        let failed = |call| move |e: std::io::Error| Error::io("mounts", call, &e);
        let program = conversation::program(&self.directory)?;
        let mut opened: Vec<OwnedFd> = Vec::new();
        for preload in &plan.preloads {
            opened.push(match preload {
                Preload::Tree { mount } => {
                    detached::make(&self.spec, *mount, &self.record, &program)?
                }
                _ => self.joined.process.try_clone().map_err(failed("fcntl"))?,
            });
        }
        let request = Clone {
            flags: 0,
            cgroup: None,
            program: program.as_fd(),
            argv: &[c"tiny-ce".to_owned()],
            envp: &[],
            descriptors: &conversation::descriptors(&opened, &Preserved::default())?,
            die_with_parent: true,
        };
        let (mut child, channel) =
            conversation::start(&request).map_err(|(call, e)| Error::io("mounts", call, &e))?;
        drop(opened);
        channel::send(&channel, &plan.bytes)?;
        let mut mounting = Mounting { container: self, index };
        let said = conversation::listen(&channel, plan, Init::Child(&mut child), &mut mounting);
        let said = said.and_then(|end| match end {
            End::Ready => Ok(()),
            End::Executed | End::Silent => Err(Error::new("init ended before the mount was done")),
        });
        drop(channel);
        if said.is_err() {
            let _ = process::kill(&child.pidfd, libc::SIGKILL);
        }
        let _ = process::wait(&child.pidfd, false);
        said
    }
}

/// The answers to init while it makes a mount.
struct Mounting<'a> {
    container: &'a Container,
    index: usize,
}

impl Answers for Mounting<'_> {
    fn copy_up(&mut self, _: i32, directory: &OwnedFd, tmpfs: &OwnedFd) -> Result<()> {
        copy_up::copy_up(directory, tmpfs, self.container.init.pid)
    }

    fn map_ids(&mut self, mount: &OwnedFd) -> Result<()> {
        let program = conversation::program(&self.container.directory)?;
        detached::map(&self.container.spec, self.index, mount, &program)
    }
}

/// Return the configuration with these mounts in place of its own; only the mounts are checked.
fn asked(mut spec: Spec, mounts: &Mounts) -> Result<Spec> {
    spec.mounts.clone_from(&mounts.list);
    let mut violations = check(&spec, Allow::default()).violations;
    violations.retain(|violation| violation.path.starts_with("mounts["));
    for violation in &mut violations {
        // The document is the list itself, so paths begin at its index.
        violation.path = violation.path["mounts".len()..].to_owned();
    }
    if !violations.is_empty() {
        return Err(load::refuse(Path::new(&mounts.source.0), &mounts.source.1, violations));
    }
    spec.process = None;
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|namespace| namespace.path.is_none());
    }
    Ok(spec)
}
