//! Rules for `linux.resources`: ranges that a cgroup of either version takes.
//!
//! What only one of the versions has is refused or converted by `cgroup`, which knows the host.

use std::collections::BTreeSet;

use super::{At, Findings, linux};
use crate::spec::json::quote;
use crate::spec::{BlockIo, Cpu, DeviceRule, HugepageLimit, Memory, Resources, ThrottleDevice};

/// Longest quota, in microseconds: `MAX_BW` of kernel/sched/sched.h.
const MAX_QUOTA_US: i128 = (1 << 44) - 1;

/// `base` is the path of the resources in their document.
pub fn check(f: &mut Findings, base: At<'_>, resources: &Resources) {
    for (index, rule) in resources.devices.iter().enumerate() {
        device(f, format_args!("{base}devices[{index}]"), rule);
    }
    if let Some(memory) = &resources.memory {
        self::memory(f, format_args!("{base}memory"), memory);
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(f, format_args!("{base}cpu"), cpu);
    }
    if let Some(limit @ ..=-2) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        f.warn(format_args!("{base}pids.limit"), format!("{limit} is taken as -1, unlimited"));
    }
    if let Some(block_io) = &resources.block_io {
        self::block_io(f, format_args!("{base}blockIO"), block_io);
    }
    hugepages(f, format_args!("{base}hugepageLimits"), &resources.hugepage_limits);
    for (index, priority) in
        resources.network.iter().flat_map(|network| &network.priorities).enumerate()
    {
        let field = format_args!("{base}network.priorities[{index}].name");
        linux::interface(f, field, &priority.name);
    }
    for device in resources.rdma.keys() {
        if device.is_empty() || device.contains(|c: char| c == '/' || c.is_whitespace()) {
            f.wrong(format_args!("{base}rdma[{device:?}]"), "not the name of an RDMA device");
        }
    }
    for file in resources.unified.keys() {
        if !file.contains('.') || file.starts_with('.') || file.contains('/') {
            let text = "not a file of a cgroup, such as memory.high";
            f.wrong(format_args!("{base}unified[{file:?}]"), text);
        }
    }
}

fn device(f: &mut Findings, base: At<'_>, rule: &DeviceRule) {
    for (name, number) in [("major", rule.major), ("minor", rule.minor)] {
        if let Some(number) = number {
            f.range(format_args!("{base}.{name}"), number, -1, u32::MAX.into());
        }
    }
    let access = rule.access.as_deref().unwrap_or("");
    if let Some(letter) = access.chars().find(|letter| !"rwm".contains(*letter)) {
        let text = format!("{} has {letter:?}; only r, w and m are known", quote(access));
        f.wrong(format_args!("{base}.access"), text);
    }
}

fn memory(f: &mut Findings, base: At<'_>, memory: &Memory) {
    for (name, bytes) in
        [("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap)]
    {
        if let Some(bytes) = bytes {
            f.range(format_args!("{base}.{name}"), bytes, -1, i64::MAX.into());
        }
    }
    // The largest number is the -1 ("not given") of a caller whose type has no sign.
    if let Some(swappiness) = memory.swappiness.filter(|given| *given != u64::MAX) {
        f.range(format_args!("{base}.swappiness"), swappiness, 0, 100);
    }
    for (name, bytes) in [("kernel", memory.kernel), ("kernelTCP", memory.kernel_tcp)] {
        if bytes.is_some_and(|bytes| bytes != 0) {
            f.warn(format_args!("{base}.{name}"), "the kernel has no such limit any more");
        }
    }
    if memory.use_hierarchy == Some(false) {
        f.warn(format_args!("{base}.useHierarchy"), "always true since Linux 5.11");
    }
    // Without a limit, swap is one of its own in v2, and impossible in v1.
    let (limit, swap) = (memory.limit.unwrap_or(0), memory.swap.unwrap_or(0));
    if swap > 0 && swap < limit {
        let text = format!("{swap} is less than the limit, {limit}");
        let hint = "swap is memory and swap together; as much as the limit means no swap";
        f.wrong_hint(format_args!("{base}.swap"), text, hint);
    }
}

/// Everywhere, 0 leaves the kernel's own value: callers write it for "not given".
fn cpu(f: &mut Findings, base: At<'_>, cpu: &Cpu) {
    // The kernel takes 1 as 2; callers know both as the least.
    if let Some(shares @ 262_145..) = cpu.shares {
        f.warn(format_args!("{base}.shares"), format!("{shares} is taken as 262144, the most"));
    }
    if cpu.idle == Some(1) && cpu.shares.is_some_and(|shares| shares != 0) {
        let text = "without effect: cpu.idle 1 gives the lowest weight";
        f.warn(format_args!("{base}.shares"), text);
    }
    if let Some(quota @ 1..) = cpu.quota {
        f.range(format_args!("{base}.quota"), quota, 1000, MAX_QUOTA_US);
    }
    if let Some(period @ 1..) = cpu.period {
        f.range(format_args!("{base}.period"), period, 1000, 1_000_000);
    }
    let quota = cpu.quota.unwrap_or(0);
    if let Some(burst) = cpu.burst.filter(|burst| quota > 0 && *burst > quota.unsigned_abs()) {
        let text = format!("{burst} is more than the quota, {quota}");
        f.wrong(format_args!("{base}.burst"), text);
    }
    if let Some(runtime) = cpu.realtime_runtime {
        f.range(format_args!("{base}.realtimeRuntime"), runtime, -1, i64::MAX.into());
        let period = cpu.realtime_period.unwrap_or(0);
        if period > 0 && runtime > 0 && runtime.unsigned_abs() > period {
            let text = format!("{runtime} is more than the realtimePeriod, {period}");
            f.wrong(format_args!("{base}.realtimeRuntime"), text);
        }
    }
    if let Some(idle) = cpu.idle {
        f.range(format_args!("{base}.idle"), idle, 0, 1);
    }
    kernel_list(f, format_args!("{base}.cpus"), cpu.cpus.as_deref());
    kernel_list(f, format_args!("{base}.mems"), cpu.mems.as_deref());
}

/// A list for a cpuset, which the kernel reads itself. Empty, it is not given.
fn kernel_list(f: &mut Findings, field: At<'_>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty() && !is_kernel_list(text)) {
        f.wrong(field, format!("{} is not a list such as 0-3,7", quote(text)));
    }
}

/// The kernel's bitmap_parselist(): commas and white space part regions, in any number; `N` is the
/// last bit (Linux 5.13), and `all` every one.
fn is_kernel_list(text: &str) -> bool {
    let parts = |c: char| c == ',' || c.is_ascii_whitespace() || c == '\x0b';
    let mut regions = text.split(parts).filter(|region| !region.is_empty()).peekable();
    regions.peek().is_some()
        && regions.all(|region| {
            let (range, group) = match region.split_once(':') {
                Some((range, group)) => (range, format!(":{group}")),
                None => (region, String::new()),
            };
            if range.eq_ignore_ascii_case("all") {
                return is_list(&format!("0-1{group}"));
            }
            let number =
                |text: &str| if text == "N" { "4294967295".into() } else { text.to_owned() };
            let range = match range.split_once('-') {
                Some((first, last)) => format!("{}-{}", number(first), number(last)),
                None => number(range),
            };
            is_list(&format!("{range}{group}"))
        })
}

/// A list of CPUs or nodes that we read ourselves, where one is given.
pub fn list(f: &mut Findings, field: At<'_>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !is_list(text)) {
        f.wrong(field, format!("{} is not a list such as 0-3,7", quote(text)));
    }
}

/// `0-3,7` and, as the kernel's bitmap_parselist() has it, `0-31:2/4`.
fn is_list(text: &str) -> bool {
    let number = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten()
    };
    text.split(',').all(|part| {
        let (range, group) = match part.split_once(':') {
            Some((range, group)) => (range, Some(group)),
            None => (part, None),
        };
        let group_fits = group.is_none_or(|group| {
            let halves = group.split_once('/');
            let halves = halves.and_then(|(used, size)| Some((number(used)?, number(size)?)));
            range.contains('-') && halves.is_some_and(|(used, size)| used <= size && size > 0)
        });
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        group_fits && matches!((number(first), number(last)), (Some(a), Some(b)) if a <= b)
    })
}

fn block_io(f: &mut Findings, base: At<'_>, block_io: &BlockIo) {
    let weight = |f: &mut Findings, field: At<'_>, weight: Option<u16>| {
        if let Some(weight @ 1..) = weight {
            f.range(field, weight, 1, 1000);
            if weight < 10 {
                f.warn(field, format!("{weight} is less than 10, the specification's least"));
            }
        }
    };
    weight(f, format_args!("{base}.weight"), block_io.weight);
    weight(f, format_args!("{base}.leafWeight"), block_io.leaf_weight);
    for (index, device) in block_io.weight_device.iter().enumerate() {
        let base = format!("{base}.weightDevice[{index}]");
        numbers(f, format_args!("{base}"), device.major, device.minor);
        weight(f, format_args!("{base}.weight"), device.weight);
        weight(f, format_args!("{base}.leafWeight"), device.leaf_weight);
        if device.weight.is_none() && device.leaf_weight.is_none() {
            f.wrong(base, "neither weight nor leafWeight is given");
        }
    }
    let lists: [(&str, &[ThrottleDevice]); 4] = [
        ("throttleReadBpsDevice", &block_io.throttle_read_bps),
        ("throttleWriteBpsDevice", &block_io.throttle_write_bps),
        ("throttleReadIOPSDevice", &block_io.throttle_read_iops),
        ("throttleWriteIOPSDevice", &block_io.throttle_write_iops),
    ];
    for (name, list) in lists {
        for (index, device) in list.iter().enumerate() {
            let field = format!("{base}.{name}[{index}]");
            numbers(f, format_args!("{field}"), device.major, device.minor);
            if device.rate.is_none() {
                f.warn(format!("{field}.rate"), "required, and missing; taken as 0, no limit");
            }
        }
    }
}

fn numbers(f: &mut Findings, base: At<'_>, major: i64, minor: i64) {
    f.range(format_args!("{base}.major"), major, 0, u32::MAX.into());
    f.range(format_args!("{base}.minor"), minor, 0, u32::MAX.into());
}

fn hugepages(f: &mut Findings, base: At<'_>, limits: &[HugepageLimit]) {
    let mut seen = BTreeSet::new();
    for (index, limit) in limits.iter().enumerate() {
        let field = format!("{base}[{index}].pageSize");
        let size = &limit.page_size;
        if !is_page_size(size) {
            f.wrong(&field, format!("{} is not a page size such as 2MB or 1GB", quote(size)));
        }
        if !seen.insert(size) {
            f.wrong(field, format!("{} again", quote(size)));
        }
    }
}

/// As in the names of the cgroup files, `hugetlb.2MB.…`: a power of two, in the largest unit.
fn is_page_size(text: &str) -> bool {
    let unit = ["KB", "MB", "GB"].iter().find_map(|unit| text.strip_suffix(unit));
    unit.is_some_and(|number| {
        !number.starts_with('0')
            && number.bytes().all(|b| b.is_ascii_digit())
            && number.parse::<u32>().is_ok_and(|n| n.is_power_of_two() && n < 1024)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        for good in ["0", "0-3", "0-3,7", "0,2,4-5", "0-31:2/4"] {
            assert!(is_list(good), "{good}");
        }
        for bad in ["", "banana", "1-", "-1", "3-1", "0,", ",", "0 1", "+1", "0-3:2", "1:1/2"] {
            assert!(!is_list(bad), "{bad}");
        }
    }

    /// What a cpuset of Linux took, and what it refused, under the peers.
    #[test]
    fn lists_as_the_kernel_reads_them() {
        for good in [
            "0-1\n", " 1", "0,", ",0", "0 1", "0, 1", "0,,1", "0\t", "0-N", "N", "all", "ALL",
            "all:1/2", "00", "0-31:2/4",
        ] {
            assert!(is_kernel_list(good), "{good:?}");
        }
        for bad in [",", "\n", "1:1/2", "1-0", "+1", "0x1", "0 - 1", "0;1", "n", "allx", "-1"] {
            assert!(!is_kernel_list(bad), "{bad:?}");
        }
    }

    #[test]
    fn page_sizes() {
        for good in ["2MB", "1GB", "64KB", "512MB"] {
            assert!(is_page_size(good), "{good}");
        }
        for bad in ["", "MB", "2M", "2mb", "3MB", "0MB", "02MB", "2048KB", "2 MB", "+2MB", "2MB\n"]
        {
            assert!(!is_page_size(bad), "{bad}");
        }
    }
}
