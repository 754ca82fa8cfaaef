//! Read the counters of the cgroup v1 controllers (the kernel's cgroup-v1/*.rst) into runc's shape.
//!
//! If this kernel does not have a file, its number stays zero.

use super::Group;
use super::dir::Dir;
use super::stats::{BlkioEntry, Hugetlb, MemoryEntry, Stats, list, page_sizes, pairs};

/// cpuacct.stat counts in ticks of USER_HZ, which is 100 on every architecture but alpha.
const TICK_NS: u64 = 10_000_000;

pub(super) fn read(dir: &Dir, group: &Group, stats: &mut Stats) {
    for controller in &group.controllers {
        match controller.as_str() {
            "cpu" => cpu(dir, stats),
            "cpuacct" => cpuacct(dir, stats),
            "cpuset" => cpuset(dir, stats),
            "memory" => memory(dir, stats),
            "pids" => {
                stats.pids.current = number(dir, "pids.current");
                let limit = number(dir, "pids.max");
                stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
            }
            "blkio" => blkio(dir, stats),
            "hugetlb" => hugetlb(dir, stats),
            _ => {}
        }
    }
}

fn number(dir: &Dir, file: &str) -> u64 {
    dir.number(file).unwrap_or(0)
}

fn text(dir: &Dir, file: &str) -> String {
    dir.read(file).unwrap_or_default()
}

fn cpu(dir: &Dir, stats: &mut Stats) {
    for (name, value) in pairs(&text(dir, "cpu.stat")) {
        match name {
            "nr_periods" => stats.cpu.throttling.periods = value,
            "nr_throttled" => stats.cpu.throttling.throttled_periods = value,
            "throttled_time" => stats.cpu.throttling.throttled_time = value,
            _ => {}
        }
    }
}

fn cpuacct(dir: &Dir, stats: &mut Stats) {
    let usage = &mut stats.cpu.usage;
    usage.total = number(dir, "cpuacct.usage");
    for (name, value) in pairs(&text(dir, "cpuacct.stat")) {
        match name {
            "user" => usage.user = value * TICK_NS,
            "system" => usage.kernel = value * TICK_NS,
            _ => {}
        }
    }
    let numbers = |text: &str| text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    usage.percpu = numbers(&text(dir, "cpuacct.usage_percpu"));
    // The first line is "cpu user system", each other line is for a processor.
    for line in text(dir, "cpuacct.usage_all").lines().skip(1) {
        let all: Vec<u64> = numbers(line);
        if let [_, user, system] = all[..] {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(system);
        }
    }
}

fn cpuset(dir: &Dir, stats: &mut Stats) {
    let set = &mut stats.cpuset;
    set.cpus = list(&text(dir, "cpuset.cpus"));
    set.mems = list(&text(dir, "cpuset.mems"));
    set.cpu_exclusive = number(dir, "cpuset.cpu_exclusive");
    set.mem_hardwall = number(dir, "cpuset.mem_hardwall");
    set.mem_exclusive = number(dir, "cpuset.mem_exclusive");
    set.memory_migrate = number(dir, "cpuset.memory_migrate");
    set.memory_spread_page = number(dir, "cpuset.memory_spread_page");
    set.memory_spread_slab = number(dir, "cpuset.memory_spread_slab");
    set.memory_pressure = number(dir, "cpuset.memory_pressure");
    set.sched_load_balance = number(dir, "cpuset.sched_load_balance");
    let level = text(dir, "cpuset.sched_relax_domain_level");
    set.sched_relax_domain_level = level.trim().parse().unwrap_or(0);
}

fn memory(dir: &Dir, stats: &mut Stats) {
    let entry = |name: &str| MemoryEntry {
        limit: number(dir, &format!("memory.{name}limit_in_bytes")),
        usage: number(dir, &format!("memory.{name}usage_in_bytes")),
        max: number(dir, &format!("memory.{name}max_usage_in_bytes")),
        failcnt: number(dir, &format!("memory.{name}failcnt")),
    };
    let memory = &mut stats.memory;
    memory.usage = entry("");
    memory.swap = entry("memsw.");
    memory.kernel = entry("kmem.");
    memory.kernel_tcp = entry("kmem.tcp.");
    memory.raw = pairs(&text(dir, "memory.stat")).map(|(k, v)| (k.to_owned(), v)).collect();
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
}

fn blkio(dir: &Dir, stats: &mut Stats) {
    let first = |files: [&str; 3]| {
        let texts = files.iter().map(|file| entries(&text(dir, file)));
        texts.into_iter().find(|list| !list.is_empty()).unwrap_or_default()
    };
    let blkio = &mut stats.blkio;
    // BFQ, and before Linux 5.0 CFQ, count what they schedule; the throttle layer counts all.
    blkio.service_bytes = first([
        "blkio.bfq.io_service_bytes_recursive",
        "blkio.io_service_bytes_recursive",
        "blkio.throttle.io_service_bytes_recursive",
    ]);
    blkio.serviced = first([
        "blkio.bfq.io_serviced_recursive",
        "blkio.io_serviced_recursive",
        "blkio.throttle.io_serviced_recursive",
    ]);
    let either = |name: &str| {
        let bfq = entries(&text(dir, &format!("blkio.bfq.{name}_recursive")));
        if bfq.is_empty() { entries(&text(dir, &format!("blkio.{name}_recursive"))) } else { bfq }
    };
    blkio.queued = either("io_queued");
    blkio.service_time = either("io_service_time");
    blkio.wait_time = either("io_wait_time");
    blkio.merged = either("io_merged");
    blkio.time = either("time");
    blkio.sectors = either("sectors");
}

/// `8:0 Read 4096`, `8:0 12`; the last line, `Total 4096`, is not about a device.
fn entries(text: &str) -> Vec<BlkioEntry> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        let (op, value) = match (words.next()?, words.next()) {
            (op, Some(value)) => (op, value),
            (value, None) => ("", value),
        };
        Some(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().ok()? })
    });
    lines.collect()
}

fn hugetlb(dir: &Dir, stats: &mut Stats) {
    for size in page_sizes(dir, ".limit_in_bytes") {
        let entry = Hugetlb {
            usage: number(dir, &format!("hugetlb.{size}.usage_in_bytes")),
            max: number(dir, &format!("hugetlb.{size}.max_usage_in_bytes")),
            failcnt: number(dir, &format!("hugetlb.{size}.failcnt")),
        };
        stats.hugetlb.insert(size, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blkio_lines() {
        let found = entries("8:0 Read 4096\n8:0 Total 4096\n7:1 12\nTotal 4096\n");
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].op.as_str(), found[0].value), ("Read", 4096));
        assert_eq!((found[2].major, found[2].minor, found[2].value), (7, 1, 12));
    }
}
