//! `mounts add` and `mounts remove`: mounts of a container that runs, all of a list or none.
//!
//! A process joins the container for each mount and ends; what it does is `compile::live`'s. Knows
//! the conversation with it, and the way back.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::nodev;
use crate::answers::copy_up;
use crate::answers::detached;
use crate::cgroup;
use crate::compile::activation::Preserved;
use crate::compile::live::{self, Request};
use crate::compile::mounts::place;
use crate::conversation::join::Joined;
use crate::conversation::{self, Answers, End, Init, channel};
use crate::error::{Error, Result};
use crate::host::{self, Host, MountFacts};
use crate::plan::{Finished, Preload};
use crate::spec::check::{Allow, check};
use crate::spec::paths::lexical;
use crate::spec::{Mount, Spec, id, load};
use crate::state::{self, Directory, Identity, Record};
use crate::sys::file;
use crate::sys::process::{self, Clone};

/// Mounts, and what messages call the document that they are from.
#[derive(Debug, Clone)]
pub struct Mounts {
    /// In the order given.
    pub list: Vec<Mount>,
    /// Name of the document, and its text.
    pub source: (String, Vec<u8>),
}

/// Mount these in a container, in their order. A relative source is below the bundle.
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
            // As the mounts before it have left what the container has.
            let facts = host::mounted(&root, &container.spec.mounts[index], source);
            container.host.mounts.push(facts);
            let plan = live::add(&container.request(index))?;
            let before = container.mount_at(index);
            if let Err(e) = container.run(index, &plan) {
                // What failed may have been the step after the one that counts.
                let attached = container.mount_at(index) != before;
                let done = if attached { index + 1 } else { index };
                return Err((0..done).rev().fold(e, |e, done| container.take_back(done, e)));
            }
        }
        Ok(())
    };
    work().map_err(|e: Error| e.within(format!("cannot mount in {id:?}")))
}

/// Unmount what is mounted last at the destination of each of these, in their order.
///
/// # Errors
/// There is no such container, it has stopped, or nothing is mounted there; those before are gone
/// all the same.
pub fn unmount(root: &Path, id: &str, mounts: &Mounts) -> Result<()> {
    let work = || {
        let mut container = Container::open(root, id, mounts)?;
        // No link is followed: the container could make it lead to a mount that confines it.
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
    init: Identity,
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
        // Compared after opening: what the pidfd means can no longer change.
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

    fn request(&self, index: usize) -> Request<'_> {
        Request { spec: &self.spec, host: &self.host, namespaces: &self.joined.namespaces, index }
    }

    /// What the container has now.
    fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init.pid))
    }

    /// Which mount a destination is on, or would be on if it is still to be made.
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

    /// Run a plan in the container, to its end.
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

/// One of the mounts, while init makes it.
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

/// The configuration with these mounts for its own, checked; nothing else in it is looked at again.
fn asked(mut spec: Spec, mounts: &Mounts) -> Result<Spec> {
    spec.mounts.clone_from(&mounts.list);
    let mut violations = check(&spec, Allow::default()).violations;
    violations.retain(|violation| violation.path.starts_with("mounts["));
    for violation in &mut violations {
        // In the document the list is all there is.
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
