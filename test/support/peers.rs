//! The runtimes that tests compare with: current versions of runc and crun, as `.ci/peers` unpacks
//! them into target/peers.
//!
//! Knows where they are and which mounts each needs; not what a test compares.

use crate::process::{Done, command, run};
use crate::{Case, cgroup_v2, needs};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cgroup v2 mount point of a host with cgroup v1.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// A runtime that tiny-ce is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The runtime that engines use by default.
    Runc,
    /// The fastest of the other runtimes.
    Crun,
}

impl Peer {
    /// Both.
    pub const ALL: [Peer; 2] = [Peer::Runc, Peer::Crun];

    /// The name of its program.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Runc => "runc",
            Peer::Crun => "crun",
        }
    }

    /// Its program in target/peers, if it is there.
    pub fn path(self) -> Option<PathBuf> {
        let path = crate::tree().join("target/peers/bin").join(self.name());
        path.is_file().then_some(path)
    }

    /// The program that this machine's packages installed, of whatever year.
    pub fn installed(self) -> Option<PathBuf> {
        needs::program(self.name())
    }

    /// `PEER --root ROOT WORDS…` in its own mount namespace, so that no mount of a peer stays on
    /// this machine. crun refuses a machine with both versions of cgroups, so the namespace hides
    /// cgroup v2 there.
    fn command<W: AsRef<OsStr>>(self, root: &Path, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = command(["unshare", "--mount", "--propagation", "slave"]);
        if self == Peer::Crun && !cgroup_v2() && Path::new(UNIFIED).exists() {
            // A runtime that finds no cgroup v2 makes directories there, which the tmpfs takes.
            let script = format!(
                "! mountpoint -q {UNIFIED} || \
                 {{ umount {UNIFIED} && mount -t tmpfs tmpfs {UNIFIED}; }}; exec \"$0\" \"$@\""
            );
            command.args(["sh", "-c"]).arg(script);
        }
        command.arg(self.path().expect("Need::Peer")).arg("--root").arg(root).args(words);
        command
    }
}

impl Case {
    /// Build a peer's command with its own state directory, without running it.
    pub fn peer_command<W: AsRef<OsStr>>(
        &self,
        peer: Peer,
        words: impl IntoIterator<Item = W>,
    ) -> Command {
        let mut command = peer.command(&self.dir().join(peer.name()), words);
        command.env("TINY_CE_CASE", self.tag()).current_dir(self.dir());
        command
    }

    /// Run a peer's command to its end.
    #[track_caller]
    pub fn peer<W: AsRef<OsStr>>(&self, peer: Peer, words: impl IntoIterator<Item = W>) -> Done {
        run(&mut self.peer_command(peer, words), self.dir())
    }
}
