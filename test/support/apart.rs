//! A network namespace, a mount namespace and a `/run` of the test's own, which a process beside
//! the test holds, so that its bridges and named namespaces are not the host's.

use std::process::Command;

use crate::{Case, Done, Running, tiny_ce};

/// The shell's commands in the new namespaces before it waits.
const ENTER: &str = "mount -t tmpfs tmpfs /run && \
    { test -L /var/run || mount --bind /run /var/run; } && mkdir -p /run/netns && \
    ip link set lo up 2>/dev/null; echo ready && exec cat";

/// Namespaces apart from the host's network.
pub struct Apart<'c> {
    case: &'c Case,
    holder: Running,
}

impl<'c> Apart<'c> {
    /// Make the namespaces; they end when this is dropped.
    pub fn new(case: &'c Case) -> Self {
        let mut command = Command::new("unshare");
        let words = ["--net", "--mount", "--propagation", "private", "sh", "-c", ENTER];
        command.args(words);
        let mut holder = Running::start(&mut command, case.dir());
        holder.line("ready");
        Apart { case, holder }
    }

    /// Run a program in the namespaces, to its end.
    #[track_caller]
    pub fn program(&self, words: &[&str]) -> Done {
        let pid = self.holder.pid().to_string();
        let enter = ["nsenter", "--target", &pid, "--net", "--mount"];
        self.case.program([&enter, words].concat())
    }

    /// Run `tiny-ce --root STATE WORDS…` in the namespaces.
    #[track_caller]
    pub fn tiny_ce(&self, words: &[&str]) -> Done {
        let (program, root) = (tiny_ce(), self.case.state());
        let first = [program.to_str(), Some("--root"), root.to_str()];
        let first = first.map(|word| word.expect("UTF-8"));
        self.program(&[&first, words].concat())
    }
}
