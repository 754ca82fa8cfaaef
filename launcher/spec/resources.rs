//! `linux.resources` as it is written: one row per property of the runtime specification 1.3.
//!
//! This module has names and types only, as `types`, and says which items of a list are the same.
//! `limits` has the limits that are one value.

use std::collections::BTreeMap;

pub use super::limits::{BlockIo, Cpu, Memory, Pids};
use super::limits::{Item, Merge};
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
    /// The devices that a rule applies to.
    pub enum DeviceRuleKind ("device type") {
        /// All devices.
        All = "a",
        /// Character devices.
        Char = "c",
        /// Block devices.
        Block = "b",
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

macro_rules! items {
    ($($name:ident: $($key:ident)*;)*) => {$(impl Item for $name {
        fn is_same(&self, other: &Self) -> bool {
            $(self.$key == other.$key)&&*
        }
    })*};
}

items! {
    WeightDevice: major minor;
    ThrottleDevice: major minor;
    HugepageLimit: page_size;
    NetworkPriority: name;
}

impl Merge for Resources {
    /// Merge every limit but the device rules, which stay.
    fn merge(&mut self, new: &Self) {
        let Resources {
            devices: _,
            memory,
            cpu,
            pids,
            block_io,
            hugepage_limits,
            network,
            rdma,
            unified,
        } = new;
        self.memory.merge(memory);
        self.cpu.merge(cpu);
        self.pids.merge(pids);
        self.block_io.merge(block_io);
        self.hugepage_limits.merge(hugepage_limits);
        self.network.merge(network);
        self.rdma.extend(rdma.clone());
        self.unified.extend(unified.clone());
    }
}

impl Merge for NetworkClass {
    fn merge(&mut self, new: &Self) {
        let NetworkClass { class_id, priorities } = new;
        self.class_id.merge(class_id);
        self.priorities.merge(priorities);
    }
}
