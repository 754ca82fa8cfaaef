//! `start`: the connection to init's socket is the channel on which it tells what goes wrong from
//! here on; when the program runs, the channel ends.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::channel::{self, Said};
use super::directory::Directory;
use super::record::{self, Record, Status};
use super::{end, load_plan};
use crate::compile::report;
use crate::error::{Error, Result};
use crate::hooks::{self, Place};
use crate::plan::Finished;
use crate::spec::{self, Spec, id};
use crate::sys;

/// Run the program of a created container.
///
/// # Errors
/// There is no such container, it is not `created`, or its program cannot be executed.
pub fn start(root: &Path, id: &str) -> Result<()> {
    begin(root, id).map_err(|e| e.within(format!("cannot start {id:?}")))
}

fn begin(root: &Path, id: &str) -> Result<()> {
    id::check(id)?;
    let directory = Directory::open_locked(root, id)?;
    let record = Record::load(&directory)?;
    match record.status() {
        Status::Created => {}
        status => {
            let text = format!("the container is {}, expected created", status.word());
            return Err(Error::new(text).hint(match status {
                Status::Stopped => "delete it, and create it again",
                _ => "a container is started once",
            }));
        }
    }
    let spec = config(&directory)?;
    if spec.process.is_none() {
        return Err(Error::new("process: the config has none, so there is nothing to start"));
    }
    let connection = sys::socket::connect(directory.fd(), record::SOCKET).map_err(|e| {
        Error::io(directory.path().join(record::SOCKET).display(), "connect", &e)
            .hint("the container was started already, or its init is gone")
    })?;
    let plan = load_plan(&directory)?;
    let pid = record.init.map_or(0, |(init, ..)| init.pid);
    let going = Going { spec: &spec, record: &record, plan: &plan, pid };
    going.until_running(&connection)?;
    directory.unlink(record::SOCKET)?;
    going.poststart()
}

/// The configuration that the container was made from.
pub fn config(directory: &Directory) -> Result<Spec> {
    let bytes = directory.get(record::CONFIG)?.unwrap_or_default();
    let path = directory.path().join(record::CONFIG);
    spec::json::read(&bytes).map_err(|violations| spec::load::refuse(&path, &bytes, violations))
}

/// A container on its way from the commit to its program.
pub struct Going<'a> {
    /// The configuration.
    pub spec: &'a Spec,
    /// What is remembered.
    pub record: &'a Record,
    /// What init runs.
    pub plan: &'a Finished,
    /// Init.
    pub pid: i32,
}

impl Going<'_> {
    /// Answer init until it has become the program.
    pub fn until_running(&self, channel: &UnixStream) -> Result<()> {
        let mut executes = false;
        loop {
            match channel::listen(channel)? {
                Said::At(report::EXECUTE, _) => executes = true,
                Said::At(report::START_HOOKS, _) => {
                    self.start_hooks()?;
                    channel::go_on(channel)?;
                }
                Said::At(report::LISTENER, Some(fd)) => self.listener(fd)?,
                Said::Failed { index, errno, words } => {
                    return Err(self.plan.failure(index, errno, &words));
                }
                Said::Closed if executes => return Ok(()),
                Said::Closed => {
                    let what = "init ended before it became the program";
                    return Err(end::unexpected(self.record, None, what));
                }
                Said::At(..) | Said::Forked(_) => {
                    return Err(Error::new("init reports out of turn"));
                }
            }
        }
    }

    fn state(&self, status: Status) -> Result<Vec<u8>> {
        let state = self.record.state_as(status, self.pid, String::new());
        serde_json::to_vec(&state).map_err(|e| Error::new(e.to_string()))
    }

    fn start_hooks(&self) -> Result<()> {
        let Some(all) = &self.spec.hooks else { return Ok(()) };
        let state = self.state(Status::Created)?;
        let place = Place::Started { pid: self.pid };
        let bundle = Path::new(&self.record.bundle);
        hooks::run("startContainer", &all.start_container, &state, place, bundle)
    }

    /// Hooks after the program has been started; one that fails stops the container.
    pub fn poststart(&self) -> Result<()> {
        let Some(all) = self.spec.hooks.as_ref().filter(|all| !all.poststart.is_empty()) else {
            return Ok(());
        };
        let state = self.state(Status::Running)?;
        let bundle = Path::new(&self.record.bundle);
        let result = hooks::run("poststart", &all.poststart, &state, Place::Runtime, bundle);
        if result.is_err() {
            // The specification 1.3 has it stopped; what remains is the user's to delete.
            let _ = self.record.cgroup.kill();
        }
        result
    }

    /// Hand the listener of the filter on.
    pub fn listener(&self, fd: OwnedFd) -> Result<()> {
        let state = self.record.state_as(Status::Created, self.pid, String::new());
        super::listener::hand_over(self.spec, &state, self.pid, fd)
    }
}
