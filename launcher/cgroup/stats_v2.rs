//! Read the counters of cgroup v2 (the kernel's cgroup-v2.rst) into runc's shape, which is v1's.
//!
//! On a hybrid machine v2 adds the pressure, and leaves alone what v1 has filled.

use super::Group;
use super::dir::Dir;
use super::processes::keyed;
use super::stats::{BlkioEntry, Hugetlb, MemoryEntry, Stats, list, page_sizes, pairs, psi};

pub(super) fn read(dir: &Dir, group: &Group, stats: &mut Stats) {
    stats.cpu.psi = psi(dir, "cpu.pressure");
    stats.memory.psi = psi(dir, "memory.pressure");
    stats.blkio.psi = psi(dir, "io.pressure");
    // The kernel counts CPU time in every v2 cgroup, also without the controller.
    if stats.cpu.usage.total == 0 {
        cpu(dir, stats);
    }
    for controller in &group.controllers {
        match controller.as_str() {
            "cpuset" => {
                stats.cpuset.cpus = list(&text(dir, "cpuset.cpus.effective"));
                stats.cpuset.mems = list(&text(dir, "cpuset.mems.effective"));
            }
            "memory" => memory(dir, stats),
            "pids" => {
                stats.pids.current = number(dir, "pids.current");
                let limit = number(dir, "pids.max");
                stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
            }
            "io" => io(&text(dir, "io.stat"), stats),
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
    let (usage, throttling) = (&mut stats.cpu.usage, &mut stats.cpu.throttling);
    for (name, value) in pairs(&text(dir, "cpu.stat")) {
        match name {
            "usage_usec" => usage.total = value * 1000,
            "user_usec" => usage.user = value * 1000,
            "system_usec" => usage.kernel = value * 1000,
            "nr_periods" => throttling.periods = value,
            "nr_throttled" => throttling.throttled_periods = value,
            "throttled_usec" => throttling.throttled_time = value * 1000,
            _ => {}
        }
    }
}

fn memory(dir: &Dir, stats: &mut Stats) {
    let events = |file: &str| keyed(&text(dir, file), "max").unwrap_or(0);
    let memory = &mut stats.memory;
    memory.raw = pairs(&text(dir, "memory.stat")).map(|(k, v)| (k.to_owned(), v)).collect();
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    memory.usage = MemoryEntry {
        limit: number(dir, "memory.max"),
        usage: number(dir, "memory.current"),
        max: number(dir, "memory.peak"),
        failcnt: events("memory.events"),
    };
    memory.kernel.usage = memory.raw.get("kernel").copied().unwrap_or(0);
    // v1 counts memory and swap together, and so does runc.
    let limit = number(dir, "memory.swap.max");
    memory.swap = MemoryEntry {
        limit: limit.saturating_add(memory.usage.limit),
        usage: number(dir, "memory.swap.current") + memory.usage.usage,
        max: 0,
        failcnt: events("memory.swap.events"),
    };
}

/// Parse io.stat: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
fn io(text: &str, stats: &mut Stats) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let number = words.next().and_then(|number| number.split_once(':'));
        let Some((Ok(major), Ok(minor))) = number.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let op = match name.as_bytes().first() {
                Some(b'r') => "Read",
                Some(b'w') => "Write",
                Some(b'd') => "Discard",
                _ => continue,
            };
            let list = match &name[1..] {
                "bytes" => &mut stats.blkio.service_bytes,
                "ios" => &mut stats.blkio.serviced,
                _ => continue,
            };
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
}

fn hugetlb(dir: &Dir, stats: &mut Stats) {
    for size in page_sizes(dir, ".max") {
        let events = text(dir, &format!("hugetlb.{size}.events"));
        let entry = Hugetlb {
            usage: number(dir, &format!("hugetlb.{size}.current")),
            max: 0,
            failcnt: keyed(&events, "max").unwrap_or(0),
        };
        stats.hugetlb.insert(size, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_lines() {
        let mut stats = Stats::default();
        io("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n", &mut stats);
        let seen = |list: &[BlkioEntry]| {
            list.iter().map(|e| format!("{}:{} {} {}", e.major, e.minor, e.op, e.value)).collect()
        };
        let bytes: Vec<String> = seen(&stats.blkio.service_bytes);
        let ios: Vec<String> = seen(&stats.blkio.serviced);
        assert_eq!(bytes, ["8:0 Read 1", "8:0 Write 2", "8:0 Discard 5"]);
        assert_eq!(ios, ["8:0 Read 3", "8:0 Write 4", "8:0 Discard 6"]);
    }
}
