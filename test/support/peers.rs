//! The runtimes that tests compare with: runc and crun of today, as `.ci/peers` unpacks them into
//! target/peers.
//!
//! Knows where they are and on which ground each works; not what is compared.

use crate::process::{Done, command, run};
use crate::{Case, cgroup_v2, needs};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a host with cgroup v1 has v2 beside it.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// A runtime that tiny-ce is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The field's first.
    Runc,
    /// The field's fastest.
    Crun,
}

impl Peer {
    /// Both.
    pub const ALL: [Peer; 2] = [Peer::Runc, Peer::Crun];

    /// What its program is called.
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

    /// The one of this machine's packages, of whatever year it is.
    pub fn installed(self) -> Option<PathBuf> {
        needs::program(self.name())
    }

    /// `PEER --root ROOT WORDS…`, in a mount namespace of its own: whatever it mounts, this
    /// machine's mounts stay. crun refuses a machine with both versions of cgroups, so there it
    /// has no version 2.
    fn command<W: AsRef<OsStr>>(self, root: &Path, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = command(["unshare", "--mount", "--propagation", "slave"]);
        if self == Peer::Crun && !cgroup_v2() && Path::new(UNIFIED).exists() {
            // The tmpfs takes the directories that a runtime makes when it finds no cgroup v2.
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
    /// A peer's command with a state directory of its own, to be run or changed.
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
