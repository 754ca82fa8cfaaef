//! The state of containers: a directory for each container, its files, and the status they give.
//!
//! Every change is made under the lock of the directory. Must not know how a container is
//! made or run.

mod directory;
mod list;
mod matching;
mod record;

pub use directory::{Directory, missing};
pub use list::{Listed, ids, list};
pub use matching::matching;
pub use record::{
    Boot, OCI_VERSION, Owners, ProcessId, Record, State, Status, processes_are_visible,
};

use crate::error::{Error, Result};
use crate::plan::Finished;
use crate::spec::{self, Spec};

/// The file written before the first side effect.
pub const INTENT: &str = "intent.json";
/// The file written before the commit.
pub const STATE: &str = "state.json";
/// The config.json that the container was made from.
pub const CONFIG: &str = "config.json";
/// The plan that init runs, and its origins.
pub const PLAN: &str = "plan";
/// The socket on which init waits for `start`.
pub const SOCKET: &str = "start.sock";
/// The file that a container on a network whose image has no `/etc/hosts` sees in its place.
pub const HOSTS: &str = "hosts";
/// Where the container sees the file [`HOSTS`].
pub const ETC_HOSTS: &str = "/etc/hosts";
/// The file that a container sees as its resolv.conf, if its own names resolvers of the host.
pub const RESOLV: &str = "resolv.conf";
/// Where the container sees the file [`RESOLV`].
pub const ETC_RESOLV: &str = "/etc/resolv.conf";
/// The directory that the container sees, with a socket for sd_notify(3) in it.
pub const NOTIFY: &str = "notify";
/// The directory on which an ephemeral rootfs is mounted.
pub const ROOTFS: &str = "rootfs";

/// The configuration that a container was made from.
///
/// # Errors
/// The file is missing, cannot be read, or is not a configuration.
pub fn config(directory: &Directory) -> Result<Spec> {
    let bytes = directory.get(CONFIG)?.unwrap_or_default();
    let path = directory.path().join(CONFIG);
    spec::json::read(&bytes).map_err(|violations| spec::load::refuse(&path, &bytes, violations))
}

/// The plan that a container was made from.
///
/// # Errors
/// The file cannot be read, is missing or damaged, or another build of tiny-ce wrote it.
pub fn plan(directory: &Directory) -> Result<Finished> {
    let file = directory.get(PLAN)?.unwrap_or_default();
    Finished::from_file(&file).ok_or_else(|| {
        let path = directory.path().join(PLAN);
        let what = match Finished::is_of_another_build(&file) {
            true => "another build of tiny-ce wrote it",
            false => "damaged, or missing",
        };
        Error::new(format!("{}: {what}", path.display()))
            .hint("\"tiny-ce delete --force\" removes the container all the same")
    })
}
