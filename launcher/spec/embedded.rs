//! The config.json of `tiny-ce run` without a bundle: a shell in the host's own file system. These
//! are the defaults, which options of the command line change.
//!
//! One property of such a container is not in config.json: its root file system is in a tmpfs, to
//! which its changes go. `root.path` is the host's root all the same, so `check` has to be called
//! with `Allow::host_root`. Pure.

use super::default::{default, unprivileged};
use super::idmap::Maps;
use super::*;

/// The capabilities that container engines give by default: a shell and a package manager need them
/// inside the container, and they give no power over the host.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Return the default config.json.
///
/// `rootless` has the ids that a caller without privileges maps into a new user namespace, whose
/// root the caller becomes. `cgroup2` says whether /sys/fs/cgroup is of cgroup version 2 alone.
pub fn embedded(rootless: Option<Maps>, cgroup2: bool) -> Spec {
    let mut spec = default(cgroup2);
    spec.root = Some(Root { path: "/".to_owned(), readonly: false });
    if let Some(process) = &mut spec.process {
        let names: Vec<String> = CAPABILITIES.map(str::to_owned).to_vec();
        process.terminal = false;
        process.args = vec!["/bin/sh".to_owned()];
        process.capabilities = Some(Capabilities {
            bounding: names.clone(),
            effective: names.clone(),
            permitted: names,
            ..Capabilities::default()
        });
        // The program keeps the caller's limits, as if the caller had started it directly.
        process.rlimits = Vec::new();
    }
    if let Some(maps) = rootless {
        unprivileged(&mut spec, maps);
    }
    if let Some(linux) = &mut spec.linux {
        linux.seccomp = Some(confine::filter());
    }
    spec
}

impl Process {
    /// Run as this user. A user other than root has no capabilities after execve(2), so the sets
    /// become empty.
    pub fn run_as(&mut self, user: User) {
        if let Some(sets) = self.capabilities.as_mut().filter(|_| user.uid != 0) {
            (sets.effective, sets.permitted) = (Vec::new(), Vec::new());
        }
        self.user = Some(user);
    }

    /// Add these variables; each replaces a variable of the same name.
    pub fn add_variables(&mut self, given: Vec<String>) {
        let name = |variable: &str| variable.split('=').next().map(str::to_owned);
        self.env.retain(|own| !given.iter().any(|given| name(given) == name(own)));
        self.env.extend(given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_given_takes_the_place_of_its_default() {
        let mut process = embedded(None, false).process.unwrap();
        process.add_variables(["TERM=dumb", "A=1", "A=2"].map(str::to_owned).to_vec());
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(process.env, [path, "TERM=dumb", "A=1", "A=2"]);
    }

    #[test]
    fn only_root_has_capabilities() {
        for (uid, count) in [(0, 14), (1000, 0)] {
            let mut process = embedded(None, false).process.unwrap();
            process.run_as(User { uid, ..User::default() });
            let sets = process.capabilities.unwrap();
            assert_eq!((sets.effective.len(), sets.permitted.len()), (count, count));
            assert_eq!((sets.bounding.len(), sets.ambient.len()), (14, 0));
        }
    }
}
