//! `linux.resources` as it is written: one row per property of the runtime specification 1.3.
//!
//! Knows names and types only; see `types`. Which cgroup file a limit becomes is not known here.

use std::collections::BTreeMap;

use super::record::{record, words};

record! {
    /// `linux.resources`.
    #[derive(Default)]
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
    #[derive(Default)]
    pub struct DeviceRule {
        /// Allow or deny.
        "allow" allow: bool = always,
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
    #[derive(Default)]
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
    #[derive(Default)]
    pub struct Cpu {
        /// Relative weight, 2 to 262144; 0 leaves the kernel's 1024.
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
    #[derive(Default)]
    pub struct Pids {
        /// Number of tasks; -1 is unlimited.
        "limit" limit: Option<i64>,
    }
}

record! {
    /// `linux.resources.blockIO`.
    #[derive(Default)]
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
        "rate" rate: Option<u64>,
    }
}

record! {
    /// `linux.resources.hugepageLimits[]`.
    #[derive(Default)]
    pub struct HugepageLimit {
        /// `2MB`, `1GB`, `64KB`.
        "pageSize" page_size: String,
        /// Bytes.
        "limit" limit: u64,
    }
}

record! {
    /// `linux.resources.network`; cgroup v1.
    #[derive(Default)]
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
    #[derive(Default)]
    pub struct Rdma {
        /// HCA handles.
        "hcaHandles" hca_handles: Option<u32>,
        /// HCA objects.
        "hcaObjects" hca_objects: Option<u32>,
    }
}
