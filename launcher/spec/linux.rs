//! `linux` as it is written: one row per property of the runtime specification 1.3.
//!
//! This module has names and types only, as `types`. `resources` and `filter` have the rows of
//! `linux.resources` and `linux.seccomp`.

use std::collections::BTreeMap;

use tiny_ce_init::flags::{CloneFlags, Kind as FileType};

use super::filter::Seccomp;
use super::record::{record, words};
use super::resources::Resources;

record! {
    /// `linux`.
    #[derive(Default)]
    pub struct Linux {
        /// Namespaces, new or joined by path.
        "namespaces" namespaces: Vec<Namespace>,
        /// The uid_map of the user namespace.
        "uidMappings" uid_mappings: Vec<IdMapping>,
        /// The gid_map of the user namespace.
        "gidMappings" gid_mappings: Vec<IdMapping>,
        /// Offsets of the time namespace, by clock.
        "timeOffsets" time_offsets: BTreeMap<String, TimeOffset>,
        /// Device nodes.
        "devices" devices: Vec<Device>,
        /// Host network devices to move in, by name.
        "netDevices" net_devices: BTreeMap<String, NetDevice>,
        /// The path of the container's cgroup.
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
        /// The kind of namespace.
        "type" kind: NamespaceKind,
        /// The namespace to join, instead of making a new one.
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

impl NamespaceKind {
    /// Its CLONE_NEW*.
    pub fn flag(self) -> CloneFlags {
        match self {
            NamespaceKind::Pid => CloneFlags::CLONE_NEWPID,
            NamespaceKind::Network => CloneFlags::CLONE_NEWNET,
            NamespaceKind::Mount => CloneFlags::CLONE_NEWNS,
            NamespaceKind::Ipc => CloneFlags::CLONE_NEWIPC,
            NamespaceKind::Uts => CloneFlags::CLONE_NEWUTS,
            NamespaceKind::User => CloneFlags::CLONE_NEWUSER,
            NamespaceKind::Cgroup => CloneFlags::CLONE_NEWCGROUP,
            NamespaceKind::Time => CloneFlags::CLONE_NEWTIME,
        }
    }
}

record! {
    /// One line of a uid_map or gid_map, user_namespaces(7).
    #[derive(Copy)]
    pub struct IdMapping {
        /// The first id inside the namespace.
        "containerID" container_id: u32,
        /// The first id outside the namespace.
        "hostID" host_id: u32,
        /// The number of ids.
        "size" size: u32,
    }
}

impl IdMapping {
    /// The map of a new user namespace for which the config gives none: it maps root to the caller,
    /// and no other id, as with crun.
    pub fn own(caller: u32) -> IdMapping {
        IdMapping { container_id: 0, host_id: caller, size: 1 }
    }

    /// Whether this map has the caller's id only. An unprivileged caller can write no other map,
    /// and can write this one for groups only after setgroups(2) is denied (user_namespaces(7)).
    pub fn is_own(map: &[IdMapping], caller: u32) -> bool {
        matches!(map, [only] if only.size == 1 && only.host_id == caller)
    }

    /// Return the id inside that an id outside is mapped to.
    pub fn inside(map: &[IdMapping], id: u32) -> Option<u32> {
        map.iter().find_map(|range| {
            let offset = id.checked_sub(range.host_id).filter(|offset| *offset < range.size)?;
            range.container_id.checked_add(offset)
        })
    }

    /// Return the id outside that an id inside is mapped to.
    pub fn outside(map: &[IdMapping], id: u32) -> Option<u32> {
        map.iter().find_map(|range| {
            let offset =
                id.checked_sub(range.container_id).filter(|offset| *offset < range.size)?;
            range.host_id.checked_add(offset)
        })
    }
}

/// Whether a number is the id of a user or a group. The highest number is not: it tells the kernel
/// to leave an id unchanged (setresuid(2), chown(2)).
pub fn is_id(number: u32) -> bool {
    number != u32::MAX
}

record! {
    /// `linux.timeOffsets.*`, time_namespaces(7).
    #[derive(Default)]
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

impl DeviceKind {
    /// Its S_IF*, as in the mode of a node.
    pub fn file_type(self) -> FileType {
        match self {
            DeviceKind::Block => FileType::S_IFBLK,
            DeviceKind::Fifo => FileType::S_IFIFO,
            DeviceKind::Char | DeviceKind::Unbuffered => FileType::S_IFCHR,
        }
    }
}

impl Device {
    /// Its major and minor number, which may be out of the kernel's range.
    pub fn number(&self) -> (u32, u32) {
        let number = |n: Option<i64>| u32::try_from(n.unwrap_or(0)).unwrap_or(u32::MAX);
        (number(self.major), number(self.minor))
    }
}

record! {
    /// `linux.netDevices.*`.
    #[derive(Default)]
    pub struct NetDevice {
        /// The name in the container; the host's name if absent.
        "name" name: Option<String>,
    }
}

record! {
    /// `linux.intelRdt`, the kernel's Documentation/filesystems/resctrl.rst.
    #[derive(Default)]
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
        /// The native domain.
        Linux = "LINUX",
        /// uname(2) reports a 32-bit machine.
        Linux32 = "LINUX32",
    }
}
