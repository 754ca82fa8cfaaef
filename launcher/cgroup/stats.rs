//! The JSON that `events --stats` prints, with runc's names, and without the zeros that runc leaves
//! out.
//!
//! Knows only the shape (runc's types/events.go); `stats_v1` and `stats_v2` fill it. Sizes are in
//! bytes and times in nanoseconds, unless a field says otherwise.

use std::collections::BTreeMap;

use serde::Serialize;

use super::dir::Dir;
use super::probe::Version;
use super::{Cgroup, stats_v1, stats_v2};
use crate::Result;

fn zero(value: &u64) -> bool {
    *value == 0
}

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $key:literal $field:ident: $type:ty
        $(=> $skip:literal)?,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$fdoc])* #[serde(rename = $key $(, skip_serializing_if = $skip)?)]
            pub $field: $type,)*
        }
    };
}

shape! {
    /// The statistics of one container.
    Stats {
        /// Processor time.
        "cpu" cpu: Cpu,
        /// Processors and memory nodes.
        "cpuset" cpuset: Cpuset,
        /// Memory.
        "memory" memory: Memory,
        /// Tasks.
        "pids" pids: Pids,
        /// Block devices.
        "blkio" blkio: Blkio,
        /// Huge pages, by size.
        "hugetlb" hugetlb: BTreeMap<String, Hugetlb>,
        /// Filled by the caller, from resctrl.
        "intel_rdt" intel_rdt: BTreeMap<String, serde_json::Value>,
        /// Filled by the caller; `null` if the container has no network interface of its own.
        "network_interfaces" network_interfaces: Option<Vec<NetworkInterface>>,
    }
}

shape! {
    /// `cpu`.
    Cpu {
        /// CPU time used.
        "usage" usage: CpuUsage,
        /// CPU time denied by the quota.
        "throttling" throttling: Throttling,
        /// Pressure.
        "psi" psi: Option<Psi> => "Option::is_none",
    }
}

shape! {
    /// `cpu.usage`.
    CpuUsage {
        /// In total.
        "total" total: u64 => "zero",
        /// By processor; v1.
        "percpu" percpu: Vec<u64> => "Vec::is_empty",
        /// In the kernel, by processor; v1.
        "percpu_kernel" percpu_kernel: Vec<u64> => "Vec::is_empty",
        /// In programs, by processor; v1.
        "percpu_user" percpu_user: Vec<u64> => "Vec::is_empty",
        /// In the kernel.
        "kernel" kernel: u64,
        /// In programs.
        "user" user: u64,
    }
}

shape! {
    /// `cpu.throttling`.
    Throttling {
        /// Periods with a task to run.
        "periods" periods: u64 => "zero",
        /// Periods in which the quota was used up.
        "throttledPeriods" throttled_periods: u64 => "zero",
        /// How long tasks that could run had no quota left.
        "throttledTime" throttled_time: u64 => "zero",
    }
}

shape! {
    /// Pressure stall information, the kernel's accounting/psi.rst.
    Psi {
        /// Some task waited.
        "some" some: PsiLine,
        /// All tasks waited.
        "full" full: PsiLine,
    }
}

shape! {
    /// One line of a pressure file; averages in percent, the total in microseconds.
    PsiLine {
        /// Over 10 seconds.
        "avg10" avg10: f64,
        /// Over 60 seconds.
        "avg60" avg60: f64,
        /// Over 300 seconds.
        "avg300" avg300: f64,
        /// Since the start.
        "total" total: u64,
    }
}

shape! {
    /// `cpuset`; flags are 0 or 1.
    Cpuset {
        /// Processors.
        "cpus" cpus: Vec<u16> => "Vec::is_empty",
        /// v1.
        "cpu_exclusive" cpu_exclusive: u64,
        /// Memory nodes.
        "mems" mems: Vec<u16> => "Vec::is_empty",
        /// v1.
        "mem_hardwall" mem_hardwall: u64,
        /// v1.
        "mem_exclusive" mem_exclusive: u64,
        /// v1.
        "memory_migrate" memory_migrate: u64,
        /// v1.
        "memory_spread_page" memory_spread_page: u64,
        /// v1.
        "memory_spread_slab" memory_spread_slab: u64,
        /// v1.
        "memory_pressure" memory_pressure: u64,
        /// v1.
        "sched_load_balance" sched_load_balance: u64,
        /// v1; -1 stands for the system's default.
        "sched_relax_domain_level" sched_relax_domain_level: i64,
    }
}

shape! {
    /// `memory`.
    Memory {
        /// File cache.
        "cache" cache: u64 => "zero",
        /// Memory.
        "usage" usage: MemoryEntry,
        /// Memory and swap together, in v2 too.
        "swap" swap: MemoryEntry,
        /// The kernel's part.
        "kernel" kernel: MemoryEntry,
        /// TCP buffers; v1.
        "kernelTCP" kernel_tcp: MemoryEntry,
        /// memory.stat, name by name.
        "raw" raw: BTreeMap<String, u64> => "BTreeMap::is_empty",
        /// Pressure.
        "psi" psi: Option<Psi> => "Option::is_none",
    }
}

shape! {
    /// One counter with a limit; 18446744073709551615 is v2's `max`.
    MemoryEntry {
        /// Limit.
        "limit" limit: u64,
        /// Now.
        "usage" usage: u64 => "zero",
        /// Highest so far.
        "max" max: u64 => "zero",
        /// How often the limit was hit.
        "failcnt" failcnt: u64,
    }
}

shape! {
    /// `pids`.
    Pids {
        /// Tasks now.
        "current" current: u64 => "zero",
        /// Limit; left out if there is none.
        "limit" limit: u64 => "zero",
    }
}

shape! {
    /// `blkio`.
    Blkio {
        /// Bytes.
        "ioServiceBytesRecursive" service_bytes: Vec<BlkioEntry> => "Vec::is_empty",
        /// Operations.
        "ioServicedRecursive" serviced: Vec<BlkioEntry> => "Vec::is_empty",
        /// In the queue; v1.
        "ioQueueRecursive" queued: Vec<BlkioEntry> => "Vec::is_empty",
        /// v1.
        "ioServiceTimeRecursive" service_time: Vec<BlkioEntry> => "Vec::is_empty",
        /// v1.
        "ioWaitTimeRecursive" wait_time: Vec<BlkioEntry> => "Vec::is_empty",
        /// v1.
        "ioMergedRecursive" merged: Vec<BlkioEntry> => "Vec::is_empty",
        /// v1.
        "ioTimeRecursive" time: Vec<BlkioEntry> => "Vec::is_empty",
        /// v1.
        "sectorsRecursive" sectors: Vec<BlkioEntry> => "Vec::is_empty",
        /// Pressure.
        "psi" psi: Option<Psi> => "Option::is_none",
    }
}

shape! {
    /// One number about one device.
    BlkioEntry {
        /// Device.
        "major" major: u64 => "zero",
        /// Device.
        "minor" minor: u64 => "zero",
        /// `Read`, `Write`, …
        "op" op: String => "String::is_empty",
        /// The number.
        "value" value: u64 => "zero",
    }
}

shape! {
    /// `hugetlb.*`.
    Hugetlb {
        /// Now.
        "usage" usage: u64 => "zero",
        /// Highest so far.
        "max" max: u64 => "zero",
        /// How often the limit was hit.
        "failcnt" failcnt: u64,
    }
}

shape! {
    /// `network_interfaces[]`: one interface, as the container sees it.
    NetworkInterface {
        /// Name.
        "Name" name: String,
        /// Received.
        "RxBytes" rx_bytes: u64,
        /// Received.
        "RxPackets" rx_packets: u64,
        /// Received.
        "RxErrors" rx_errors: u64,
        /// Received.
        "RxDropped" rx_dropped: u64,
        /// Sent.
        "TxBytes" tx_bytes: u64,
        /// Sent.
        "TxPackets" tx_packets: u64,
        /// Sent.
        "TxErrors" tx_errors: u64,
        /// Sent.
        "TxDropped" tx_dropped: u64,
    }
}

impl Cgroup {
    /// Read all counters. A counter that this kernel does not have is zero, or left out.
    ///
    /// # Errors
    /// The container has no cgroup, or one is hidden or removed.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        self.primary()?.dir()?;
        for group in &self.groups {
            let dir = group.dir()?;
            match group.version {
                Version::V1 => stats_v1::read(dir, group, &mut stats),
                Version::V2 => stats_v2::read(dir, group, &mut stats),
            }
        }
        Ok(stats)
    }
}

/// The lines of the form `name number`, such as `user_usec 12`.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, number) = line.split_once(' ')?;
        Some((name, number.trim().parse().ok()?))
    })
}

/// The huge page sizes for which the directory has a file `hugetlb.SIZE` + `suffix`.
pub(super) fn page_sizes(dir: &Dir, suffix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir.path()) else { return Vec::new() };
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(suffix)?;
            (!size.contains('.')).then(|| size.to_owned())
        })
        .collect()
}

/// Expand a list of ranges: `0-3,7` → 0, 1, 2, 3, 7.
pub(super) fn list(text: &str) -> Vec<u16> {
    let ranges = text.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

/// Parse a pressure file: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and `full …`.
pub(super) fn psi(dir: &Dir, file: &str) -> Option<Psi> {
    // The kernel may be built without pressure, or run with psi=0 (EOPNOTSUPP).
    dir.read(file).ok().map(|text| parse_psi(&text))
}

fn parse_psi(text: &str) -> Psi {
    let line = |kind: &str| {
        let mut found = PsiLine::default();
        let words = text.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or_default();
        for (key, value) in words.split(' ').filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => found.avg10 = value.parse().unwrap_or_default(),
                "avg60" => found.avg60 = value.parse().unwrap_or_default(),
                "avg300" => found.avg300 = value.parse().unwrap_or_default(),
                "total" => found.total = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        found
    };
    Psi { some: line("some "), full: line("full ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_pairs_and_pressure() {
        assert_eq!(list("0-3,7\n"), [0, 1, 2, 3, 7]);
        assert_eq!(list("\n"), [0u16; 0]);
        assert_eq!(pairs("a 1\nb x\nc 3\n").collect::<Vec<_>>(), [("a", 1), ("c", 3)]);
        let p = parse_psi(
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\n\
             full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
        );
        assert_eq!((p.some.avg10, p.some.avg60, p.some.total, p.full.total), (1.5, 0.25, 77, 5));
    }

    #[test]
    fn empty_statistics_are_printed_as_runc_prints_them() {
        let text = serde_json::to_string(&Stats::default()).expect("JSON");
        assert_eq!(
            text,
            "{\"cpu\":{\"usage\":{\"kernel\":0,\"user\":0},\"throttling\":{}},\
             \"cpuset\":{\"cpu_exclusive\":0,\"mem_hardwall\":0,\"mem_exclusive\":0,\
             \"memory_migrate\":0,\"memory_spread_page\":0,\"memory_spread_slab\":0,\
             \"memory_pressure\":0,\"sched_load_balance\":0,\"sched_relax_domain_level\":0},\
             \"memory\":{\"usage\":{\"limit\":0,\"failcnt\":0},\"swap\":{\"limit\":0,\
             \"failcnt\":0},\"kernel\":{\"limit\":0,\"failcnt\":0},\"kernelTCP\":{\"limit\":0,\
             \"failcnt\":0}},\"pids\":{},\"blkio\":{},\"hugetlb\":{},\"intel_rdt\":{},\
             \"network_interfaces\":null}"
        );
    }

    #[test]
    fn no_counters_cause_a_panic() {
        tiny_ce_test::fuzz("counters", &["test/fuzz/counters"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let _ = (list(&text), pairs(&text).count(), parse_psi(&text));
        });
    }
}
