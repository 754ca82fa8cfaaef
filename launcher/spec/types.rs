//! config.json as it is written: one row per property of the runtime specification 1.3, Linux.
//!
//! Knows names and types only. What a combination of values means is in `check` (rules) and
//! `compile` (system calls). To add a field: a row here, and its use in `compile`.

use std::collections::BTreeMap;

use super::json::{record, words};

record! {
    /// The whole of config.json (runtime-spec config.md).
    pub struct Spec {
        /// SemVer of the specification; required, but the seed's bundles lack it.
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

record! {
    /// `root`.
    pub struct Root {
        /// Absolute, or relative to the bundle.
        "path" path: String,
        /// Remount the root read-only once everything else is mounted.
        "readonly" readonly: bool,
    }
}

record! {
    /// `mounts[]`.
    pub struct Mount {
        /// Absolute path in the container.
        "destination" destination: String,
        /// File system type; not needed for binds.
        "type" kind: Option<String>,
        /// Device, name or (binds) path on the host, relative to the bundle.
        "source" source: Option<String>,
        /// fstab-style options.
        "options" options: Vec<String>,
        /// Id mapping of the mount itself.
        "uidMappings" uid_mappings: Vec<IdMapping>,
        /// Id mapping of the mount itself.
        "gidMappings" gid_mappings: Vec<IdMapping>,
    }
}

record! {
    /// `process`.
    pub struct Process {
        /// Allocate a pseudo-terminal.
        "terminal" terminal: bool,
        /// Initial size of that terminal.
        "consoleSize" console_size: Option<ConsoleSize>,
        /// User and groups.
        "user" user: Option<User>,
        /// argv; at least one.
        "args" args: Vec<String>,
        /// envp, `NAME=value`.
        "env" env: Vec<String>,
        /// Absolute working directory.
        "cwd" cwd: String,
        /// Capability sets; absent leaves them untouched.
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
    pub struct User {
        /// User id in the container's user namespace.
        "uid" uid: u32,
        /// Group id in the container's user namespace.
        "gid" gid: u32,
        /// umask; 0022 if absent.
        "umask" umask: Option<u32>,
        /// Supplementary groups.
        "additionalGids" additional_gids: Vec<u32>,
    }
}

record! {
    /// `process.capabilities`: names as capabilities(7) has them.
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
    fn read<'a>(
        node: super::json::Node<'a>,
        reader: &mut super::json::Reader<'a>,
    ) -> Option<Self> {
        if node.is("-1") {
            return Some(RlimitValue(u64::MAX));
        }
        u64::read(node, reader).map(RlimitValue)
    }
}

impl super::json::Blank for RlimitValue {
    fn is_blank(&self) -> bool {
        false
    }
}

record! {
    /// `process.scheduler`, as sched_setattr(2) has it.
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
    /// `process.ioPriority`, as ioprio_set(2) has it.
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
    pub struct ExecCpuAffinity {
        /// Before the process joins the container's cgroup.
        "initial" initial: Option<String>,
        /// After it has joined.
        "final" last: Option<String>,
    }
}

record! {
    /// `hooks`: programs run at points of the life cycle.
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
    pub struct Hook {
        /// Absolute path of the program.
        "path" path: String,
        /// Its argv, argv[0] included; the path alone if absent.
        "args" args: Vec<String>,
        /// Its whole environment.
        "env" env: Vec<String>,
        /// Seconds until it is killed, at least 1.
        "timeout" timeout: Option<i64>,
    }
}

record! {
    /// `linux`.
    pub struct Linux {
        /// Namespaces, new or joined by path.
        "namespaces" namespaces: Vec<Namespace>,
        /// Map of the user namespace.
        "uidMappings" uid_mappings: Vec<IdMapping>,
        /// Map of the user namespace.
        "gidMappings" gid_mappings: Vec<IdMapping>,
        /// Offsets of the time namespace, by clock.
        "timeOffsets" time_offsets: BTreeMap<String, TimeOffset>,
        /// Device nodes.
        "devices" devices: Vec<Device>,
        /// Host network devices to move in, by name.
        "netDevices" net_devices: BTreeMap<String, NetDevice>,
        /// Where the cgroup is.
        "cgroupsPath" cgroups_path: Option<String>,
        /// Limits.
        "resources" resources: Option<Resources>,
        /// Intel RDT.
        "intelRdt" intel_rdt: Option<IntelRdt>,
        /// set_mempolicy(2).
        "memoryPolicy" memory_policy: Option<MemoryPolicy>,
        /// Kernel parameters of the container's namespaces.
        "sysctl" sysctl: BTreeMap<String, String>,
        /// System call filter.
        "seccomp" seccomp: Option<Seccomp>,
        /// Propagation of the root mount.
        "rootfsPropagation" rootfs_propagation: Option<RootfsPropagation>,
        /// Paths made unreadable.
        "maskedPaths" masked_paths: Vec<String>,
        /// Paths made read-only.
        "readonlyPaths" readonly_paths: Vec<String>,
        /// SELinux label of the mounts.
        "mountLabel" mount_label: Option<String>,
        /// personality(2).
        "personality" personality: Option<Personality>,
    }
}

record! {
    /// `linux.namespaces[]`.
    pub struct Namespace {
        /// Which.
        "type" kind: NamespaceKind,
        /// Join this one instead of making a new one.
        "path" path: Option<String>,
    }
}

words! {
    /// The kinds of namespaces(7).
    pub enum NamespaceKind ("namespace") {
        /// Process ids.
        Pid = "pid",
        /// Network.
        Network = "network",
        /// Mounts.
        Mount = "mount",
        /// System V IPC and POSIX message queues.
        Ipc = "ipc",
        /// Host and domain name.
        Uts = "uts",
        /// User and group ids.
        User = "user",
        /// cgroup root.
        Cgroup = "cgroup",
        /// Monotonic and boot clocks.
        Time = "time",
    }
}

record! {
    /// One line of a uid_map or gid_map, user_namespaces(7).
    #[derive(Copy)]
    pub struct IdMapping {
        /// First id inside.
        "containerID" container_id: u32,
        /// First id outside.
        "hostID" host_id: u32,
        /// How many.
        "size" size: u32,
    }
}

record! {
    /// `linux.timeOffsets.*`, time_namespaces(7).
    pub struct TimeOffset {
        /// Seconds.
        "secs" secs: Option<i64>,
        /// Nanoseconds, 0 to 999999999.
        "nanosecs" nanosecs: Option<u32>,
    }
}

record! {
    /// `linux.devices[]`.
    pub struct Device {
        /// c, b, u or p.
        "type" kind: DeviceKind,
        /// Absolute path in the container.
        "path" path: String,
        /// Major number; not for p.
        "major" major: Option<i64>,
        /// Minor number; not for p.
        "minor" minor: Option<i64>,
        /// Mode of the node; 0666 if absent.
        "fileMode" file_mode: Option<u32>,
        /// Owner.
        "uid" uid: Option<u32>,
        /// Group.
        "gid" gid: Option<u32>,
    }
}

words! {
    /// Kinds of device nodes.
    pub enum DeviceKind ("device type") {
        /// Character.
        Char = "c",
        /// Block.
        Block = "b",
        /// Character, unbuffered.
        Unbuffered = "u",
        /// FIFO.
        Fifo = "p",
    }
}

record! {
    /// `linux.netDevices.*`.
    pub struct NetDevice {
        /// Name inside; the host's name if absent.
        "name" name: Option<String>,
    }
}

record! {
    /// `linux.resources`.
    pub struct Resources {
        /// Device access rules, in order.
        "devices" devices: Vec<DeviceRule>,
        /// Memory.
        "memory" memory: Option<Memory>,
        /// CPU.
        "cpu" cpu: Option<Cpu>,
        /// Number of tasks.
        "pids" pids: Option<Pids>,
        /// Block I/O.
        "blockIO" block_io: Option<BlockIo>,
        /// Huge pages.
        "hugepageLimits" hugepage_limits: Vec<HugepageLimit>,
        /// cgroup v1 network classes.
        "network" network: Option<NetworkClass>,
        /// RDMA, by device.
        "rdma" rdma: BTreeMap<String, Rdma>,
        /// cgroup v2 files by name, written last.
        "unified" unified: BTreeMap<String, String>,
    }
}

record! {
    /// `linux.resources.devices[]`.
    pub struct DeviceRule {
        /// Allow or deny.
        "allow" allow: bool,
        /// a (all), c or b; all if absent.
        "type" kind: Option<DeviceRuleKind>,
        /// Major number; any if absent or -1.
        "major" major: Option<i64>,
        /// Minor number; any if absent or -1.
        "minor" minor: Option<i64>,
        /// Letters of `rwm`; all if absent.
        "access" access: Option<String>,
    }
}

words! {
    /// What a device rule is about.
    pub enum DeviceRuleKind ("device type") {
        /// Everything.
        All = "a",
        /// Character devices.
        Char = "c",
        /// Block devices.
        Block = "b",
    }
}

record! {
    /// `linux.resources.memory`, in bytes; -1 is unlimited.
    pub struct Memory {
        /// Hard limit.
        "limit" limit: Option<i64>,
        /// Soft limit.
        "reservation" reservation: Option<i64>,
        /// Memory and swap together.
        "swap" swap: Option<i64>,
        /// Obsolete in the kernel.
        "kernel" kernel: Option<i64>,
        /// Obsolete in the kernel.
        "kernelTCP" kernel_tcp: Option<i64>,
        /// 0 to 100; cgroup v1.
        "swappiness" swappiness: Option<u64>,
        /// cgroup v1.
        "disableOOMKiller" disable_oom_killer: Option<bool>,
        /// cgroup v1; always so now.
        "useHierarchy" use_hierarchy: Option<bool>,
        /// Refuse a limit below what is in use.
        "checkBeforeUpdate" check_before_update: Option<bool>,
    }
}

record! {
    /// `linux.resources.cpu`.
    pub struct Cpu {
        /// Relative weight, 2 to 262144.
        "shares" shares: Option<u64>,
        /// Microseconds per period; -1 is unlimited.
        "quota" quota: Option<i64>,
        /// Microseconds that may be used beyond the quota.
        "burst" burst: Option<u64>,
        /// Microseconds.
        "period" period: Option<u64>,
        /// Microseconds; cgroup v1.
        "realtimeRuntime" realtime_runtime: Option<i64>,
        /// Microseconds; cgroup v1.
        "realtimePeriod" realtime_period: Option<u64>,
        /// CPUs, such as `0-3,7`.
        "cpus" cpus: Option<String>,
        /// Memory nodes.
        "mems" mems: Option<String>,
        /// 1: SCHED_IDLE for the whole group.
        "idle" idle: Option<i64>,
    }
}

record! {
    /// `linux.resources.pids`.
    pub struct Pids {
        /// Number of tasks; -1 is unlimited.
        "limit" limit: Option<i64>,
    }
}

record! {
    /// `linux.resources.blockIO`.
    pub struct BlockIo {
        /// 10 to 1000.
        "weight" weight: Option<u16>,
        /// 10 to 1000; cgroup v1.
        "leafWeight" leaf_weight: Option<u16>,
        /// Weight by device.
        "weightDevice" weight_device: Vec<WeightDevice>,
        /// Bytes per second.
        "throttleReadBpsDevice" throttle_read_bps: Vec<ThrottleDevice>,
        /// Bytes per second.
        "throttleWriteBpsDevice" throttle_write_bps: Vec<ThrottleDevice>,
        /// Operations per second.
        "throttleReadIOPSDevice" throttle_read_iops: Vec<ThrottleDevice>,
        /// Operations per second.
        "throttleWriteIOPSDevice" throttle_write_iops: Vec<ThrottleDevice>,
    }
}

record! {
    /// `linux.resources.blockIO.weightDevice[]`.
    pub struct WeightDevice {
        /// Major number.
        "major" major: i64,
        /// Minor number.
        "minor" minor: i64,
        /// 10 to 1000.
        "weight" weight: Option<u16>,
        /// 10 to 1000; cgroup v1.
        "leafWeight" leaf_weight: Option<u16>,
    }
}

record! {
    /// `linux.resources.blockIO.throttle*Device[]`.
    pub struct ThrottleDevice {
        /// Major number.
        "major" major: i64,
        /// Minor number.
        "minor" minor: i64,
        /// Per second; 0 is unlimited.
        "rate" rate: u64,
    }
}

record! {
    /// `linux.resources.hugepageLimits[]`.
    pub struct HugepageLimit {
        /// `2MB`, `1GB`, `64KB`.
        "pageSize" page_size: String,
        /// Bytes.
        "limit" limit: u64,
    }
}

record! {
    /// `linux.resources.network`; cgroup v1.
    pub struct NetworkClass {
        /// net_cls.classid.
        "classID" class_id: Option<u32>,
        /// net_prio.ifpriomap.
        "priorities" priorities: Vec<NetworkPriority>,
    }
}

record! {
    /// `linux.resources.network.priorities[]`.
    pub struct NetworkPriority {
        /// Interface.
        "name" name: String,
        /// Priority.
        "priority" priority: u32,
    }
}

record! {
    /// `linux.resources.rdma.*`.
    pub struct Rdma {
        /// HCA handles.
        "hcaHandles" hca_handles: Option<u32>,
        /// HCA objects.
        "hcaObjects" hca_objects: Option<u32>,
    }
}

record! {
    /// `linux.intelRdt`, the kernel's Documentation/filesystems/resctrl.rst.
    pub struct IntelRdt {
        /// Class of service; the container's id if absent.
        "closID" clos_id: Option<String>,
        /// Lines of the schemata file.
        "schemata" schemata: Vec<String>,
        /// Line L3 of the schemata file.
        "l3CacheSchema" l3_cache_schema: Option<String>,
        /// Line MB of the schemata file.
        "memBwSchema" mem_bw_schema: Option<String>,
        /// A monitoring group for the container.
        "enableMonitoring" enable_monitoring: bool,
    }
}

record! {
    /// `linux.memoryPolicy`, set_mempolicy(2).
    pub struct MemoryPolicy {
        /// Mode.
        "mode" mode: MemoryPolicyMode,
        /// Nodes, such as `0-1`.
        "nodes" nodes: Option<String>,
        /// Mode flags.
        "flags" flags: Vec<MemoryPolicyFlag>,
    }
}

words! {
    /// Modes of set_mempolicy(2).
    pub enum MemoryPolicyMode ("memory policy mode") {
        /// MPOL_DEFAULT.
        Default = "MPOL_DEFAULT",
        /// MPOL_BIND.
        Bind = "MPOL_BIND",
        /// MPOL_INTERLEAVE.
        Interleave = "MPOL_INTERLEAVE",
        /// MPOL_WEIGHTED_INTERLEAVE.
        WeightedInterleave = "MPOL_WEIGHTED_INTERLEAVE",
        /// MPOL_PREFERRED.
        Preferred = "MPOL_PREFERRED",
        /// MPOL_PREFERRED_MANY.
        PreferredMany = "MPOL_PREFERRED_MANY",
        /// MPOL_LOCAL.
        Local = "MPOL_LOCAL",
    }
}

words! {
    /// Mode flags of set_mempolicy(2).
    pub enum MemoryPolicyFlag ("memory policy flag") {
        /// MPOL_F_NUMA_BALANCING.
        NumaBalancing = "MPOL_F_NUMA_BALANCING",
        /// MPOL_F_RELATIVE_NODES.
        RelativeNodes = "MPOL_F_RELATIVE_NODES",
        /// MPOL_F_STATIC_NODES.
        StaticNodes = "MPOL_F_STATIC_NODES",
    }
}

record! {
    /// `linux.seccomp`.
    pub struct Seccomp {
        /// What happens to a system call that no rule is about.
        "defaultAction" default_action: SeccompAction,
        /// errno of a default action ERRNO or TRACE.
        "defaultErrnoRet" default_errno_ret: Option<u32>,
        /// Architectures beside the native one.
        "architectures" architectures: Vec<String>,
        /// Flags of seccomp(2); absent and empty differ.
        "flags" flags: Option<Vec<SeccompFlag>>,
        /// Socket that gets the notification descriptor.
        "listenerPath" listener_path: Option<String>,
        /// Opaque words sent along.
        "listenerMetadata" listener_metadata: Option<String>,
        /// Rules.
        "syscalls" syscalls: Vec<SeccompRule>,
    }
}

words! {
    /// Actions of a filter.
    pub enum SeccompAction ("seccomp action") {
        /// Kill the thread.
        Kill = "SCMP_ACT_KILL",
        /// Kill the process.
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        /// Kill the thread.
        KillThread = "SCMP_ACT_KILL_THREAD",
        /// SIGSYS.
        Trap = "SCMP_ACT_TRAP",
        /// Fail with an errno.
        Errno = "SCMP_ACT_ERRNO",
        /// Tell the tracer.
        Trace = "SCMP_ACT_TRACE",
        /// Allow.
        Allow = "SCMP_ACT_ALLOW",
        /// Allow and log.
        Log = "SCMP_ACT_LOG",
        /// Ask the listener.
        Notify = "SCMP_ACT_NOTIFY",
    }
}

words! {
    /// Flags of seccomp(2).
    pub enum SeccompFlag ("seccomp flag") {
        /// All threads.
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        /// Log actions other than allow.
        Log = "SECCOMP_FILTER_FLAG_LOG",
        /// No speculative store bypass mitigation.
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        /// Notified system calls wait killably.
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

record! {
    /// `linux.seccomp.syscalls[]`.
    pub struct SeccompRule {
        /// System calls.
        "names" names: Vec<String>,
        /// What happens to them.
        "action" action: SeccompAction,
        /// errno of an action ERRNO or TRACE.
        "errnoRet" errno_ret: Option<u32>,
        /// Conditions, all of which must hold.
        "args" args: Vec<SeccompArg>,
    }
}

record! {
    /// `linux.seccomp.syscalls[].args[]`.
    pub struct SeccompArg {
        /// Argument, 0 to 5.
        "index" index: u32,
        /// What it is compared with; the mask of MASKED_EQ.
        "value" value: u64,
        /// The datum of MASKED_EQ.
        "valueTwo" value_two: Option<u64>,
        /// How.
        "op" op: SeccompOperator,
    }
}

words! {
    /// Comparisons of an argument.
    pub enum SeccompOperator ("seccomp operator") {
        /// Not equal.
        Ne = "SCMP_CMP_NE",
        /// Less.
        Lt = "SCMP_CMP_LT",
        /// Less or equal.
        Le = "SCMP_CMP_LE",
        /// Equal.
        Eq = "SCMP_CMP_EQ",
        /// Greater or equal.
        Ge = "SCMP_CMP_GE",
        /// Greater.
        Gt = "SCMP_CMP_GT",
        /// Equal under a mask.
        MaskedEq = "SCMP_CMP_MASKED_EQ",
    }
}

words! {
    /// Propagation types, mount_namespaces(7).
    pub enum RootfsPropagation ("propagation type") {
        /// Shared.
        Shared = "shared",
        /// Shared, recursively.
        Rshared = "rshared",
        /// Slave.
        Slave = "slave",
        /// Slave, recursively.
        Rslave = "rslave",
        /// Private.
        Private = "private",
        /// Private, recursively.
        Rprivate = "rprivate",
        /// Unbindable.
        Unbindable = "unbindable",
        /// Unbindable, recursively.
        Runbindable = "runbindable",
    }
}

record! {
    /// `linux.personality`, personality(2).
    pub struct Personality {
        /// Execution domain.
        "domain" domain: PersonalityDomain,
        /// Reserved by the specification.
        "flags" flags: Vec<String>,
    }
}

words! {
    /// Execution domains.
    pub enum PersonalityDomain ("personality domain") {
        /// The native one.
        Linux = "LINUX",
        /// uname(2) tells a 32-bit machine.
        Linux32 = "LINUX32",
    }
}
