//! config.json as it is written: one row per property of the runtime specification 1.3, Linux.
//!
//! This module has names and types only. `check` has the rules for combinations of values, and
//! `compile` the system calls. A new field needs a row here, and its use in `compile`.

use std::collections::BTreeMap;

use super::linux::{IdMapping, Linux, Namespace, NamespaceKind};
use super::options::MountOptions;
use super::record::{record, words};

record! {
    /// The whole of config.json (runtime-spec config.md).
    #[derive(Default)]
    pub struct Spec {
        /// The version of the specification. The specification requires it, but a config without it
        /// is accepted, with a warning.
        "ociVersion" oci_version: Option<String>,
        /// The program; without it a container can be created but not started.
        "process" process: Option<Process>,
        /// The root file system.
        "root" root: Option<Root>,
        /// Name in the UTS namespace.
        "hostname" hostname: Option<String>,
        /// NIS domain in the UTS namespace.
        "domainname" domainname: Option<String>,
        /// Mounts, in the order in which they are made.
        "mounts" mounts: Vec<Mount>,
        /// Programs run at points of the life cycle.
        "hooks" hooks: Option<Hooks>,
        /// Free-form; copied to the state.
        "annotations" annotations: BTreeMap<String, String>,
        /// Everything specific to Linux.
        "linux" linux: Option<Linux>,
    }
}

impl Spec {
    /// The namespace of this kind in `linux.namespaces`, if one is listed.
    pub fn namespace(&self, kind: NamespaceKind) -> Option<&Namespace> {
        self.linux.as_ref()?.namespaces.iter().find(|namespace| namespace.kind == kind)
    }
}

record! {
    /// `root`.
    #[derive(Default)]
    pub struct Root {
        /// Absolute, or relative to the bundle.
        "path" path: String,
        /// Remount the root read-only once everything else is mounted.
        "readonly" readonly: bool,
    }
}

record! {
    /// `mounts[]`.
    #[derive(Default)]
    pub struct Mount {
        /// Absolute path in the container.
        "destination" destination: String,
        /// File system type; not needed for binds.
        "type" kind: Option<String>,
        /// Device, name or (binds) path on the host, relative to the bundle.
        "source" source: Option<String>,
        /// fstab-style options.
        "options" options: MountOptions,
        /// Id mapping of the mount itself.
        "uidMappings" uid_mappings: Vec<IdMapping>,
        /// Id mapping of the mount itself.
        "gidMappings" gid_mappings: Vec<IdMapping>,
    }
}

record! {
    /// `process`.
    #[derive(Default)]
    pub struct Process {
        /// Allocate a pseudo-terminal.
        "terminal" terminal: bool,
        /// Initial size of that terminal.
        "consoleSize" console_size: Option<ConsoleSize>,
        /// User and groups.
        "user" user: Option<User>,
        /// argv, which has at least one entry.
        "args" args: Vec<String>,
        /// envp, `NAME=value`.
        "env" env: Vec<String>,
        /// Absolute working directory.
        "cwd" cwd: String,
        /// Capability sets; if absent, the program has no capabilities.
        "capabilities" capabilities: Option<Capabilities>,
        /// Resource limits.
        "rlimits" rlimits: Vec<Rlimit>,
        /// PR_SET_NO_NEW_PRIVS.
        "noNewPrivileges" no_new_privileges: bool,
        /// AppArmor profile for the program.
        "apparmorProfile" apparmor_profile: Option<String>,
        /// /proc/PID/oom_score_adj, -1000 to 1000.
        "oomScoreAdj" oom_score_adj: Option<i64>,
        /// sched_setattr(2).
        "scheduler" scheduler: Option<Scheduler>,
        /// SELinux label for the program.
        "selinuxLabel" selinux_label: Option<String>,
        /// ioprio_set(2).
        "ioPriority" io_priority: Option<IoPriority>,
        /// CPU affinity of `exec`.
        "execCPUAffinity" exec_cpu_affinity: Option<ExecCpuAffinity>,
    }
}

record! {
    /// `process.consoleSize`, in characters.
    pub struct ConsoleSize {
        /// Rows.
        "height" height: u16,
        /// Columns.
        "width" width: u16,
    }
}

record! {
    /// `process.user`.
    #[derive(Default)]
    pub struct User {
        /// User id in the container's user namespace.
        "uid" uid: u32 => 0,
        /// Group id in the container's user namespace.
        "gid" gid: u32 => 0,
        /// umask; 0022 if absent.
        "umask" umask: Option<u32>,
        /// Supplementary groups.
        "additionalGids" additional_gids: Vec<u32>,
    }
}

record! {
    /// `process.capabilities`, with the names of capabilities(7).
    #[derive(Default)]
    pub struct Capabilities {
        /// Bounding set.
        "bounding" bounding: Vec<String>,
        /// Effective set.
        "effective" effective: Vec<String>,
        /// Inheritable set.
        "inheritable" inheritable: Vec<String>,
        /// Permitted set.
        "permitted" permitted: Vec<String>,
        /// Ambient set.
        "ambient" ambient: Vec<String>,
    }
}

impl Capabilities {
    /// Whether any set has this capability.
    pub fn has(&self, name: &str) -> bool {
        let Capabilities { bounding, effective, inheritable, permitted, ambient } = self;
        let sets = [bounding, effective, inheritable, permitted, ambient];
        sets.iter().any(|set| set.iter().any(|held| held == name))
    }

    /// Remove this capability from every set.
    pub fn remove(&mut self, name: &str) {
        let Capabilities { bounding, effective, inheritable, permitted, ambient } = self;
        let sets = [bounding, effective, inheritable, permitted, ambient];
        sets.into_iter().for_each(|set| set.retain(|held| held != name));
    }
}

impl Process {
    /// The user that the program runs as: root if the config names none.
    pub fn user(&self) -> &User {
        static ROOT: User = User { uid: 0, gid: 0, umask: None, additional_gids: Vec::new() };
        self.user.as_ref().unwrap_or(&ROOT)
    }
}

record! {
    /// `process.rlimits[]`.
    pub struct Rlimit {
        /// `RLIMIT_…`.
        "type" kind: String,
        /// Hard limit; 18446744073709551615 is unlimited.
        "hard" hard: RlimitValue,
        /// Soft limit.
        "soft" soft: RlimitValue,
    }
}

/// A resource limit: an unsigned 64-bit integer, or -1 for unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct RlimitValue(
    /// The limit in the kernel's unit; `u64::MAX` is unlimited.
    pub u64,
);

impl super::json::Field for RlimitValue {
    fn read<'a>(node: super::json::Node<'a>, reader: &mut super::json::Reader<'a>) -> Option<Self> {
        if node.is("-1") {
            return Some(RlimitValue(u64::MAX));
        }
        u64::read(node, reader).map(RlimitValue)
    }

    /// runc and crun read a missing limit as 0.
    fn missing() -> Option<Self> {
        Some(RlimitValue(0))
    }
}

impl super::json::Blank for RlimitValue {
    fn is_blank(&self) -> bool {
        false
    }
}

record! {
    /// `process.scheduler`, the arguments of sched_setattr(2).
    pub struct Scheduler {
        /// Policy.
        "policy" policy: SchedulerPolicy,
        /// Nice value, -20 to 19.
        "nice" nice: Option<i32>,
        /// Static priority of SCHED_FIFO and SCHED_RR.
        "priority" priority: Option<i32>,
        /// Flags.
        "flags" flags: Vec<SchedulerFlag>,
        /// SCHED_DEADLINE, nanoseconds.
        "runtime" runtime: Option<u64>,
        /// SCHED_DEADLINE, nanoseconds.
        "deadline" deadline: Option<u64>,
        /// SCHED_DEADLINE, nanoseconds.
        "period" period: Option<u64>,
    }
}

words! {
    /// Scheduling policies.
    pub enum SchedulerPolicy ("scheduling policy") {
        /// SCHED_OTHER.
        Other = "SCHED_OTHER",
        /// SCHED_FIFO.
        Fifo = "SCHED_FIFO",
        /// SCHED_RR.
        Rr = "SCHED_RR",
        /// SCHED_BATCH.
        Batch = "SCHED_BATCH",
        /// SCHED_ISO, reserved in the kernel and never implemented.
        Iso = "SCHED_ISO",
        /// SCHED_IDLE.
        Idle = "SCHED_IDLE",
        /// SCHED_DEADLINE.
        Deadline = "SCHED_DEADLINE",
    }
}

words! {
    /// Flags of sched_setattr(2).
    pub enum SchedulerFlag ("scheduler flag") {
        /// Children start with the default policy.
        ResetOnFork = "SCHED_FLAG_RESET_ON_FORK",
        /// Reclaim unused bandwidth.
        Reclaim = "SCHED_FLAG_RECLAIM",
        /// Signal overruns.
        DlOverrun = "SCHED_FLAG_DL_OVERRUN",
        /// Keep the policy.
        KeepPolicy = "SCHED_FLAG_KEEP_POLICY",
        /// Keep the parameters.
        KeepParams = "SCHED_FLAG_KEEP_PARAMS",
        /// Utilisation clamp, lower.
        UtilClampMin = "SCHED_FLAG_UTIL_CLAMP_MIN",
        /// Utilisation clamp, upper.
        UtilClampMax = "SCHED_FLAG_UTIL_CLAMP_MAX",
    }
}

record! {
    /// `process.ioPriority`, the arguments of ioprio_set(2).
    pub struct IoPriority {
        /// Class.
        "class" class: IoPriorityClass,
        /// 0 (highest) to 7.
        "priority" priority: Option<i32>,
    }
}

words! {
    /// I/O scheduling classes.
    pub enum IoPriorityClass ("I/O priority class") {
        /// Real time.
        Rt = "IOPRIO_CLASS_RT",
        /// Best effort.
        Be = "IOPRIO_CLASS_BE",
        /// Idle.
        Idle = "IOPRIO_CLASS_IDLE",
    }
}

record! {
    /// `process.execCPUAffinity`: lists such as `0-3,7`.
    #[derive(Default)]
    pub struct ExecCpuAffinity {
        /// Before the process joins the container's cgroup.
        "initial" initial: Option<String>,
        /// After it has joined.
        "final" last: Option<String>,
    }
}

record! {
    /// `hooks`: programs run at points of the life cycle.
    #[derive(Default)]
    pub struct Hooks {
        /// Deprecated; before createRuntime.
        "prestart" prestart: Vec<Hook>,
        /// Runtime's namespaces, before pivot_root.
        "createRuntime" create_runtime: Vec<Hook>,
        /// Container's namespaces, before pivot_root.
        "createContainer" create_container: Vec<Hook>,
        /// Container's namespaces and root, before the program is executed.
        "startContainer" start_container: Vec<Hook>,
        /// Runtime's namespaces, after the program was started.
        "poststart" poststart: Vec<Hook>,
        /// Runtime's namespaces, after the container was deleted.
        "poststop" poststop: Vec<Hook>,
    }
}

record! {
    /// `hooks.*[]`.
    #[derive(Default)]
    pub struct Hook {
        /// Path of the program; a relative path begins at the bundle.
        "path" path: String,
        /// Its argv, with `argv[0]`; the path alone if absent.
        "args" args: Vec<String>,
        /// The whole environment; if absent, a startContainer hook gets the environment of
        /// `process`, and any other hook inherits the runtime's.
        "env" env: Option<Vec<String>>,
        /// Seconds until the hook is killed, at least 1.
        "timeout" timeout: Option<i64>,
    }
}
