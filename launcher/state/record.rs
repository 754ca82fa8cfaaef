//! The record of a container that its state directory keeps, and the container's status.
//!
//! `intent.json` is written before the first side effect, and again once the network and the class
//! of service are made; `state.json`, which adds the process, before init goes on. Either file is
//! enough to find and remove everything.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tiny_ce_init::NAME;

use super::{Directory, INTENT, STATE};
use crate::cgroup::{Cgroup, Freezers};
use crate::error::{Error, Result};
use crate::network::Attachment;
use crate::systemd::Scope;
use crate::{resctrl, sys};

/// A process, named by its pid and start time, so that a re-used pid is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid in the launcher's pid namespace.
    pub pid: i32,
    /// Its start time: field 22 of /proc/PID/stat, in clock ticks since boot.
    pub start: u64,
}

impl ProcessId {
    /// Return the identity of a process; `None` if no process has this pid.
    pub fn of(pid: i32) -> Option<ProcessId> {
        Some(ProcessId { pid, start: sys::process::start_time(pid)? })
    }

    /// Whether this process runs: it exists, and its end has not begun.
    pub fn alive(self) -> bool {
        self.look().is_some_and(|stat| !stat.exiting)
    }

    /// Whether this process exists and is not a zombie; it may be about to end.
    pub fn exists(self) -> bool {
        self.look().is_some()
    }

    fn look(self) -> Option<sys::process::Stat> {
        sys::process::stat(self.pid).filter(|stat| stat.start == self.start && !stat.is_zombie())
    }
}

/// Everything that the state directory records of a container. `list` reads only a part of its
/// cgroups.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record<C = Cgroup> {
    /// The container.
    pub id: String,
    /// Absolute path.
    pub bundle: String,
    /// Absolute path.
    pub rootfs: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// The process that creates the container, or created it.
    pub launcher: ProcessId,
    /// The boot in which it was made: a pid of another boot means nothing.
    pub boot: Boot,
    /// The cgroups of its processes.
    pub cgroup: C,
    /// The systemd scope that its cgroup belongs to, if systemd made the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Its attachment to a network, which `delete` undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Attachment>,
    /// The program that makes its network, if one does, and the process that watches over it,
    /// which ends after init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usernet: Option<(String, ProcessId)>,
    /// Its class of service, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<resctrl::Class>,
    /// From the config.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Init, and the device and inode of init's program; absent until init is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<(ProcessId, u64, u64)>,
}

/// runtime-spec runtime.md, "State", and `paused`, which runc and crun add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Init waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// The program is frozen.
    Paused,
    /// The program has ended.
    Stopped,
}

impl Status {
    /// As callers read it.
    pub fn word(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// A boot of the kernel, by /proc/sys/kernel/random/boot_id; empty if that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot(String);

impl Boot {
    /// Return the present boot, which is read once: this process sees no other.
    pub fn now() -> &'static Boot {
        static NOW: OnceLock<Boot> = OnceLock::new();
        NOW.get_or_init(|| {
            let id = sys::file::read_small("/proc/sys/kernel/random/boot_id");
            Boot(id.map(|id| id.trim().to_owned()).unwrap_or_default())
        })
    }

    /// Whether this is the present boot. If either boot_id is unknown, say yes: then only the start
    /// time identifies a process, and a living process is not taken for dead.
    pub fn is_now(&self) -> bool {
        let now = Boot::now();
        self.0.is_empty() || now.0.is_empty() || self == now
    }
}

impl Record {
    /// Read the record: `state.json`, or `intent.json` of a container that is not ready.
    ///
    /// # Errors
    /// The file cannot be read, is missing, or is damaged; or no living init is found, and /proc
    /// does not show this pid namespace.
    pub fn load(directory: &Directory) -> Result<Record> {
        Self::load_with_init(directory).map(|(record, _)| record)
    }

    /// Read the record as `load` does, and return init too, if it lives.
    ///
    /// # Errors
    /// As [`Record::load`].
    pub fn load_with_init(directory: &Directory) -> Result<(Record, Option<ProcessId>)> {
        let (name, bytes) = match directory.get(STATE)? {
            Some(bytes) => (STATE, bytes),
            None => match directory.get(INTENT)? {
                Some(bytes) => (INTENT, bytes),
                None => return Err(damaged(directory, INTENT, "missing")),
            },
        };
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|e| damaged(directory, name, &format!("not what tiny-ce writes ({e})")))?;
        let init = record.living_init();
        if init.is_none() {
            processes_are_visible()?;
        }
        Ok((record, init))
    }

    /// Read the record as `load` does, but fall back to `intent.json` if `state.json` is damaged.
    pub fn rescue(directory: &Directory) -> Option<Record> {
        Self::load(directory).ok().or_else(|| {
            let bytes = directory.get(INTENT).ok().flatten()?;
            serde_json::from_slice(&bytes).ok()
        })
    }

    /// Write the record to the file `name`.
    ///
    /// # Errors
    /// The record cannot be encoded, or the file cannot be written.
    pub fn save(&self, directory: &Directory, name: &str) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| Error::new(format!("{name}: {e}")))?;
        directory.put(name, &bytes)
    }

    /// Return the status of the container.
    ///
    /// # Errors
    /// Init lives, but its cgroup is not visible from here, so that nothing tells whether the
    /// container is paused.
    pub fn status(&self) -> Result<Status> {
        self.status_of(self.living_init())
    }

    /// Return the status of the container whose init is `living`.
    ///
    /// # Errors
    /// As [`Record::status`].
    pub fn status_of(&self, living: Option<ProcessId>) -> Result<Status> {
        let Some(init) = living else { return Ok(self.without_init()) };
        Ok(self.with_init(init, self.cgroup.frozen()?))
    }
}

impl<C> Record<C> {
    /// Init, if it lives.
    pub fn living_init(&self) -> Option<ProcessId> {
        let (init, ..) = self.init?;
        (self.boot.is_now() && init.alive()).then_some(init)
    }

    /// Return the status of a container whose init lives, and is frozen or not.
    fn with_init(&self, init: ProcessId, frozen: bool) -> Status {
        // As in runc, a created container that is frozen is `paused`.
        if frozen {
            return Status::Paused;
        }
        match self.executed_by(init) {
            Executed::Init if !supervises(init) => Status::Created,
            Executed::Init | Executed::Program => Status::Running,
            Executed::Nothing => Status::Stopped,
        }
    }

    /// Whether the first process is an init that passes signals on to the program.
    pub fn is_supervised(&self, init: ProcessId) -> bool {
        matches!(self.executed_by(init), Executed::Init) && supervises(init)
    }

    /// Return the status of a container that has no living init.
    pub fn without_init(&self) -> Status {
        let creating = self.init.is_none() && self.boot.is_now() && self.launcher.alive();
        if creating { Status::Creating } else { Status::Stopped }
    }

    /// What the first process executes, by /proc/PID/exe.
    fn executed_by(&self, init: ProcessId) -> Executed {
        let Some((_, device, inode)) = self.init else { return Executed::Program };
        match std::fs::metadata(format!("/proc/{}/exe", init.pid)) {
            Ok(program) if program.dev() == device && program.ino() == inode => Executed::Init,
            // An unprivileged caller may not read the link of init, which is not dumpable
            // (ptrace(2)), but can read that of a dumpable program in its user namespace.
            Err(e) if e.raw_os_error() == Some(libc::EACCES) => Executed::Init,
            // do_exit (kernel/exit.c) gives the program's memory back a while before the process
            // is a zombie.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Executed::Nothing,
            _ => Executed::Program,
        }
    }
}

/// What a process executes.
enum Executed {
    /// Init.
    Init,
    /// The container's program.
    Program,
    /// Nothing any more: the process is about to end.
    Nothing,
}

/// Whether an init has made the program's process: it then gives itself its name, while execve(2)
/// of a descriptor has called it otherwise.
fn supervises(init: ProcessId) -> bool {
    let name = sys::file::read_small(&format!("/proc/{}/comm", init.pid));
    name.is_ok_and(|name| name.trim_end().as_bytes() == NAME.to_bytes())
}

/// Check that /proc shows the processes of this pid namespace: otherwise a process that is not
/// found there is not necessarily dead.
///
/// # Errors
/// /proc is not mounted, or belongs to another pid namespace.
pub fn processes_are_visible() -> Result<()> {
    let own = std::fs::read_link("/proc/self").map_err(|e| {
        Error::io("/proc/self", "readlink", &e).hint("mount /proc: mount -t proc proc /proc")
    })?;
    if own.as_os_str() == std::process::id().to_string().as_str() {
        return Ok(());
    }
    Err(Error::new(
        "/proc is that of another pid namespace: the container's processes are not visible here",
    )
    .hint("mount one of this pid namespace: mount -t proc proc /proc"))
}

fn damaged(directory: &Directory, name: &str, how: &str) -> Error {
    let path = directory.path().join(name);
    Error::new(format!("{}: {how}", path.display()))
        .hint("\"tiny-ce delete --force\" removes the container all the same")
}

/// The state as callers read it (runtime-spec runtime.md; runc's field names and order).
#[derive(Debug, Clone, Serialize)]
pub struct State {
    /// The version of the specification that this follows.
    #[serde(rename = "ociVersion")]
    pub oci_version: &'static str,
    /// The container.
    pub id: String,
    /// 0 when stopped.
    pub pid: i32,
    /// See [`Status`].
    pub status: Status,
    /// Absolute path.
    pub bundle: String,
    /// Absolute path.
    pub rootfs: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// The systemd scope of the container; crun's name for this field.
    #[serde(rename = "systemd-scope", skip_serializing_if = "Option::is_none")]
    pub systemd_scope: Option<String>,
    /// From the config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Name of the owner of the state directory, or its number.
    pub owner: String,
}

/// The version of the specification in the state and in `--version`.
pub const OCI_VERSION: &str = "1.3.0";

impl Record {
    /// Return the present state of a container whose init is `living`.
    ///
    /// # Errors
    /// As [`Record::status`].
    pub fn state(
        &self,
        living: Option<ProcessId>,
        directory: &Directory,
        owners: &mut Owners,
    ) -> Result<State> {
        let status = self.status_of(living)?;
        Ok(self.state_now(status, owners.of(directory)))
    }
}

impl Record<Freezers> {
    /// Return the present state; `None` if it is not plain, and the whole record has to be read.
    pub(super) fn glance(&self, owner: String) -> Option<State> {
        let status = match self.living_init() {
            Some(init) => self.with_init(init, self.cgroup.frozen()?),
            None => self.without_init(),
        };
        Some(self.state_now(status, owner))
    }
}

impl<C> Record<C> {
    /// Return the state with this status, and the pid that callers read with it.
    fn state_now(&self, status: Status, owner: String) -> State {
        let pid = match (status, self.init) {
            (Status::Stopped | Status::Creating, _) | (_, None) => 0,
            (_, Some((init, ..))) => init.pid,
        };
        self.state_as(status, pid, owner)
    }

    /// Return the state with a status, pid and owner that the caller gives: hooks get a status that
    /// the record does not show yet.
    pub fn state_as(&self, status: Status, pid: i32, owner: String) -> State {
        State {
            oci_version: OCI_VERSION,
            id: self.id.clone(),
            pid,
            status,
            bundle: self.bundle.clone(),
            rootfs: self.rootfs.clone(),
            created: self.created.clone(),
            systemd_scope: self.scope.as_ref().map(|scope| scope.unit.clone()),
            annotations: self.annotations.clone(),
            owner,
        }
    }
}

/// The names of users by /etc/passwd, each looked up once.
#[derive(Debug, Default)]
pub struct Owners(BTreeMap<u32, String>);

impl Owners {
    /// Return the owner of the directory: the name, or else the uid.
    fn of(&mut self, directory: &Directory) -> String {
        sys::file::stat(directory.fd()).map_or_else(|_| String::new(), |it| self.name(it.st_uid))
    }

    /// Return the name of a user, or else the uid.
    pub(super) fn name(&mut self, uid: u32) -> String {
        self.0.entry(uid).or_insert_with(|| user(uid)).clone()
    }
}

fn user(uid: u32) -> String {
    let uid = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_state_causes_a_panic() {
        tiny_ce_test::fuzz("record", &["test/fuzz/record"], |bytes| {
            let Ok(record) = serde_json::from_slice::<Record>(bytes) else { return };
            let state = record.state_as(record.without_init(), 0, String::new());
            assert_eq!(state.id, record.id);
        });
    }
}
