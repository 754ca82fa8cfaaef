//! What is remembered of a container, and what its status is.
//!
//! `intent.json` is written before the first side effect and never again; `state.json`, with the
//! process, before the commit. Either is enough to find and remove everything.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use super::{Directory, INTENT, STATE};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::network::Attachment;
use crate::systemd::Scope;
use crate::{resctrl, sys};

/// A process, named so that a re-used pid is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// In the launcher's pid namespace.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, clock ticks since boot.
    pub start: u64,
}

impl Identity {
    /// Of a living process.
    pub fn of(pid: i32) -> Option<Identity> {
        Some(Identity { pid, start: sys::process::start_time(pid)? })
    }

    /// Whether that very process is there and not a zombie.
    pub fn alive(self) -> bool {
        sys::process::stat(self.pid)
            .is_some_and(|(state, start)| start == self.start && !matches!(state, b'Z' | b'X'))
    }
}

/// Everything that is remembered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// The container.
    pub id: String,
    /// Absolute path.
    pub bundle: String,
    /// Absolute path.
    pub rootfs: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// Who is creating it, or has.
    pub launcher: Identity,
    /// /proc/sys/kernel/random/boot_id, if it could be read: processes of another boot are not
    /// meant.
    pub boot: Boot,
    /// Where its processes are.
    pub cgroup: Cgroup,
    /// The unit of systemd that made its cgroup, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// What has to be undone with the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Attachment>,
    /// Its class of service, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<resctrl::Class>,
    /// From the config.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Init, and device and inode of its program, once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<(Identity, u64, u64)>,
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

/// A run of the kernel, by its random name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot(String);

impl Boot {
    /// The one that is now; without a name where the kernel does not tell.
    pub fn now() -> Boot {
        let id = sys::file::read_small("/proc/sys/kernel/random/boot_id");
        Boot(id.map(|id| id.trim().to_owned()).unwrap_or_default())
    }

    /// Whether it is the one that is now. If that cannot be told, it may be: pids are compared with
    /// their start times then, and nobody who lives is taken for dead.
    pub fn is_now(&self) -> bool {
        let now = Boot::now();
        self.0.is_empty() || now.0.is_empty() || *self == now
    }
}

impl Record {
    /// Read what is remembered: the state, or the intent of a container that is not ready.
    pub fn load(directory: &Directory) -> Result<Record> {
        let (name, bytes) = match directory.get(STATE)? {
            Some(bytes) => (STATE, bytes),
            None => match directory.get(INTENT)? {
                Some(bytes) => (INTENT, bytes),
                None => return Err(damaged(directory, INTENT, "missing")),
            },
        };
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|e| damaged(directory, name, &format!("not what tiny-ce writes ({e})")))?;
        match record.living_init() {
            Some(_) => Ok(record),
            None => processes_are_visible().map(|()| record),
        }
    }

    /// As `load`, but the intent will do where the state is damaged.
    pub fn rescue(directory: &Directory) -> Option<Record> {
        Self::load(directory).ok().or_else(|| {
            let bytes = directory.get(INTENT).ok().flatten()?;
            serde_json::from_slice(&bytes).ok()
        })
    }

    /// Write it under `name`.
    pub fn save(&self, directory: &Directory, name: &str) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| Error::new(format!("{name}: {e}")))?;
        directory.put(name, &bytes)
    }

    /// Init, if it lives.
    pub fn living_init(&self) -> Option<Identity> {
        let (init, ..) = self.init?;
        (self.boot.is_now() && init.alive()).then_some(init)
    }

    /// What the container is doing.
    ///
    /// # Errors
    /// It lives, and whether it is paused cannot be seen from here.
    pub fn status(&self) -> Result<Status> {
        let Some(init) = self.living_init() else { return Ok(self.without_init()) };
        // A created container can be paused, too, and as runc has it that is what it is then.
        if self.cgroup.frozen()? {
            return Ok(Status::Paused);
        }
        Ok(if self.awaits_start(init) { Status::Created } else { Status::Running })
    }

    /// What a container does that has no living init.
    pub fn without_init(&self) -> Status {
        let creating = self.init.is_none() && self.boot.is_now() && self.launcher.alive();
        if creating { Status::Creating } else { Status::Stopped }
    }

    /// Whether init still is init: its program is ours, and not yet the container's.
    fn awaits_start(&self, init: Identity) -> bool {
        let Some((_, device, inode)) = self.init else { return false };
        match std::fs::metadata(format!("/proc/{}/exe", init.pid)) {
            Ok(program) => program.dev() == device && program.ino() == inode,
            // Init is not dumpable, so that somebody without privileges cannot look; a program in
            // their own user namespace they can look at.
            Err(e) => e.raw_os_error() == Some(libc::EACCES),
        }
    }
}

/// A process that is not found is dead, unless /proc is not mounted, or is another pid namespace's.
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
    /// Of the specification that this follows.
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
    /// The unit of systemd that it is in; crun's name for it.
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
    /// The state, as of now.
    pub fn state(&self, directory: &Directory) -> Result<State> {
        let status = self.status()?;
        let pid = match (status, self.init) {
            (Status::Stopped | Status::Creating, _) | (_, None) => 0,
            (_, Some((init, ..))) => init.pid,
        };
        Ok(self.state_as(status, pid, owner(directory)))
    }

    /// The state with a status that only the caller knows, for hooks.
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

/// Who owns the directory: a name from /etc/passwd, or else the number.
fn owner(directory: &Directory) -> String {
    let Ok(stat) = sys::file::stat(directory.fd()) else { return String::new() };
    let uid = stat.st_uid.to_string();
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
    fn no_state_breaks_it() {
        tiny_ce_test::fuzz("record", &["test/fuzz/record"], |bytes| {
            let Ok(record) = serde_json::from_slice::<Record>(bytes) else { return };
            let state = record.state_as(record.without_init(), 0, String::new());
            assert_eq!(state.id, record.id);
        });
    }
}
