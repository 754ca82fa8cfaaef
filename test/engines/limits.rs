//! Limits that an engine sets, and where the kernel and systemd show them: in the files of cgroup
//! v1 or v2, and in the properties of the scope if systemd made it.
//!
//! Knows the kernel's files, and how shares become a weight; must not know engines.

use crate::units;
use tiny_ce_test::cgroup_v2;

/// A limit of a container.
pub enum Limit {
    /// Bytes of memory.
    Memory(u64),
    /// Bytes of memory, and of memory and swap together.
    Swap(u64, u64),
    /// Bytes of memory that are protected from reclaim.
    Reservation(u64),
    /// Microseconds of CPU time (the first) in each period (the second).
    Quota(u64, u64),
    /// CPU time relative to others; the default is 1024.
    Shares(u64),
    /// CPUs by number.
    Cpus(&'static str),
    /// Number of tasks.
    Pids(u64),
}

impl Limit {
    /// The controller (`"unified"` is v2), the file, and its content.
    pub fn files(&self, runtime: &str) -> Vec<(&'static str, &'static str, String)> {
        if cgroup_v2() {
            let (file, text) = match self {
                Limit::Memory(bytes) => ("memory.max", bytes.to_string()),
                Limit::Swap(memory, both) => ("memory.swap.max", (both - memory).to_string()),
                Limit::Reservation(bytes) => ("memory.low", bytes.to_string()),
                Limit::Quota(quota, period) => ("cpu.max", format!("{quota} {period}")),
                Limit::Shares(shares) => ("cpu.weight", weight(*shares, runtime).to_string()),
                Limit::Cpus(list) => ("cpuset.cpus", (*list).to_owned()),
                Limit::Pids(count) => ("pids.max", count.to_string()),
            };
            return vec![("unified", file, text)];
        }
        match self {
            Limit::Memory(bytes) => vec![("memory", "memory.limit_in_bytes", bytes.to_string())],
            Limit::Swap(_, both) => {
                vec![("memory", "memory.memsw.limit_in_bytes", both.to_string())]
            }
            Limit::Reservation(bytes) => {
                vec![("memory", "memory.soft_limit_in_bytes", bytes.to_string())]
            }
            Limit::Quota(quota, period) => vec![
                ("cpu", "cpu.cfs_quota_us", quota.to_string()),
                ("cpu", "cpu.cfs_period_us", period.to_string()),
            ],
            Limit::Shares(shares) => vec![("cpu", "cpu.shares", shares.to_string())],
            Limit::Cpus(list) => vec![("cpuset", "cpuset.cpus", (*list).to_owned())],
            Limit::Pids(count) => vec![("pids", "pids.max", count.to_string())],
        }
    }

    /// Check that the scope has the limit as a property, so that systemd keeps it when it next
    /// writes limits.
    #[track_caller]
    pub fn is_property_of(&self, scope: &str, runtime: &str) {
        let (name, value) = match self {
            Limit::Memory(bytes) => ("MemoryMax", bytes.to_string()),
            Limit::Swap(memory, both) => ("MemorySwapMax", (both - memory).to_string()),
            Limit::Reservation(bytes) => ("MemoryLow", bytes.to_string()),
            Limit::Quota(quota, period) => {
                let per_second = quota * 1000 / period;
                let whole = per_second % 1000 == 0;
                let text = match whole {
                    true => format!("{}s", per_second / 1000),
                    false => format!("{per_second}ms"),
                };
                ("CPUQuotaPerSecUSec", text)
            }
            Limit::Shares(shares) => ("CPUWeight", weight(*shares, runtime).to_string()),
            Limit::Cpus(list) => ("AllowedCPUs", (*list).to_owned()),
            Limit::Pids(count) => ("TasksMax", count.to_string()),
        };
        assert_eq!(units::show(scope, name), value, "{name} of {scope}");
    }
}

/// The v2 weight of shares: for this runc a line from 2..=262144 to 1..=10000; for runtimes since
/// 2025 a curve that also goes through 1024 and 100.
fn weight(shares: u64, runtime: &str) -> u64 {
    if runtime == "runc" {
        return 1 + (shares - 2) * 9999 / 262_142;
    }
    let log = (shares as f64).log2();
    10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
}
