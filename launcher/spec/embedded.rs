//! The config.json of `tiny-ce run` without a bundle: a command in the host's own file system, or
//! in a directory, with what the command line asks for.
//!
//! Nothing here is outside config.json but one thing: that changes of the root file system vanish.
//! `root.path` is then the directory below the overlay, and `check` wants `Allow::host_root`. Pure.

use super::default::{default, unprivileged};
use super::text::CPU_PERIOD_US;
use super::*;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Root file system, absolute: `/` or the directory of `--rootfs`.
    pub rootfs: String,
    /// Program and arguments; a shell if empty.
    pub args: Vec<String>,
    /// A pseudo-terminal.
    pub terminal: bool,
    /// Memory limit in bytes, as `text::bytes` reads it.
    pub memory_bytes: Option<i64>,
    /// CPU time per `text::CPU_PERIOD_US`, as `text::cpus` reads it.
    pub cpu_quota_us: Option<i64>,
    /// Number of tasks; -1 is unlimited.
    pub pids: Option<i64>,
    /// Host name.
    pub hostname: String,
    /// Variables, `NAME=value`, added to the defaults or taking their place.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// User and groups in the container.
    pub user: User,
    /// Bind mounts, as `text::volume` reads them.
    pub volumes: Vec<Mount>,
    /// The root file system cannot be written to.
    pub read_only: bool,
    /// The system call filter, if any.
    pub seccomp: Option<Seccomp>,
    /// Ids of a caller without privileges, who becomes root of a new user namespace.
    pub rootless: Option<(u32, u32)>,
    /// Whether /sys/fs/cgroup is of cgroup version 2 alone.
    pub cgroup2: bool,
}

impl Default for Embedded {
    fn default() -> Self {
        Embedded {
            rootfs: "/".to_owned(),
            args: Vec::new(),
            terminal: false,
            memory_bytes: None,
            cpu_quota_us: None,
            pids: None,
            hostname: "tiny-ce".to_owned(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: User::default(),
            volumes: Vec::new(),
            read_only: false,
            seccomp: Some(confine::filter()),
            rootless: None,
            cgroup2: false,
        }
    }
}

/// What a shell and a package tool need of root's powers inside, and nothing over the host:
/// the set that container engines give by default.
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

/// The spec that these options mean.
pub fn embedded(options: &Embedded) -> Spec {
    let mut spec = default(options.cgroup2);
    spec.root = Some(Root { path: options.rootfs.clone(), readonly: options.read_only });
    spec.hostname = Some(options.hostname.clone());
    spec.process = spec.process.map(|process| self::process(options, process));
    if let Some((uid, gid)) = options.rootless {
        unprivileged(&mut spec, uid, gid);
    }
    spec.mounts.extend(options.volumes.iter().cloned());
    if let Some(linux) = &mut spec.linux {
        limits(options, linux);
        linux.seccomp = options.seccomp.clone();
    }
    spec
}

fn process(options: &Embedded, default: Process) -> Process {
    let names: Vec<String> = CAPABILITIES.map(str::to_owned).to_vec();
    // A program of another user than root has none after execve(2); the set says so.
    let active = if options.user.uid == 0 { names.clone() } else { Vec::new() };
    let args = match options.args.is_empty() {
        true => vec!["/bin/sh".to_owned()],
        false => options.args.clone(),
    };
    Process {
        terminal: options.terminal,
        user: Some(options.user.clone()),
        args,
        env: environment(default.env, &options.env),
        cwd: options.cwd.clone(),
        capabilities: Some(Capabilities {
            bounding: names,
            effective: active.clone(),
            inheritable: Vec::new(),
            permitted: active,
            ambient: Vec::new(),
        }),
        // Those of the caller: this command stands for the caller's own.
        rlimits: Vec::new(),
        ..default
    }
}

/// The defaults without those that are given again, then what is given.
fn environment(defaults: Vec<String>, given: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().map(str::to_owned);
    let again = |default: &String| given.iter().any(|g| name(g) == name(default));
    defaults.into_iter().filter(|default| !again(default)).chain(given.iter().cloned()).collect()
}

fn limits(options: &Embedded, linux: &mut Linux) {
    let asked =
        options.memory_bytes.is_some() || options.cpu_quota_us.is_some() || options.pids.is_some();
    if linux.resources.is_none() && !asked {
        return;
    }
    let resources = linux.resources.get_or_insert_default();
    resources.memory =
        options.memory_bytes.map(|limit| Memory { limit: Some(limit), ..Memory::default() });
    resources.cpu = options.cpu_quota_us.map(|quota| Cpu {
        quota: Some(quota),
        period: Some(CPU_PERIOD_US),
        ..Cpu::default()
    });
    resources.pids = options.pids.map(|limit| Pids { limit: Some(limit) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_given_takes_the_place_of_its_default() {
        let env = ["TERM=dumb", "A=1", "A=2"].map(str::to_owned).to_vec();
        let process = embedded(&Embedded { env, ..Embedded::default() }).process.unwrap();
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(process.env, [path, "TERM=dumb", "A=1", "A=2"]);
    }

    #[test]
    fn only_root_has_capabilities() {
        for (uid, count) in [(0, 14), (1000, 0)] {
            let user = User { uid, ..User::default() };
            let options = Embedded { user, ..Embedded::default() };
            let sets = embedded(&options).process.unwrap().capabilities.unwrap();
            assert_eq!((sets.effective.len(), sets.permitted.len()), (count, count));
            assert_eq!((sets.bounding.len(), sets.ambient.len()), (14, 0));
        }
    }

    #[test]
    fn limits_are_there_if_asked_for() {
        let limits = |options: &Embedded| embedded(options).linux.unwrap().resources;
        let rootless = Embedded { rootless: Some((1000, 1000)), ..Embedded::default() };
        assert_eq!(limits(&rootless), None);
        let pids = limits(&Embedded { pids: Some(9), ..rootless }).unwrap();
        assert_eq!((pids.pids, pids.memory), (Some(Pids { limit: Some(9) }), None));
        let default = limits(&Embedded::default()).unwrap();
        assert_eq!(default.devices.len(), 1, "no device but the default ones");
    }
}
