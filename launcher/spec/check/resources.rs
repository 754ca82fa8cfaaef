//! Rules for `linux.resources` in addition to the ranges of the table `limits`, for both versions
//! of cgroups. For most limits, 0 leaves the kernel's own value: callers write it for "not given".
//!
//! `cgroup`, which knows the host, refuses or converts a limit that its version does not have.

use std::collections::BTreeSet;

use super::{At, Findings, linux};
use crate::spec::json::quote;
use crate::spec::limits::{File, LIMITS};
use crate::spec::{BlockIo, Cpu, DeviceRule, HugepageLimit, Resources, ThrottleDevice};

/// The largest quota, in microseconds: `MAX_BW` of the kernel's kernel/sched/sched.h.
const MAX_QUOTA_US: i128 = (1 << 44) - 1;

/// Check resources; `base` is their path in the document.
pub fn check(f: &mut Findings, base: At<'_>, resources: &Resources) {
    for (index, rule) in resources.devices.iter().enumerate() {
        device(f, format_args!("{base}devices[{index}]"), rule);
    }
    for limit in LIMITS {
        let field = format_args!("{base}{}", limit.field);
        if let Some(value) = limit.asked(resources) {
            if let (Some((low, high)), Some(number)) = (limit.range, value.number()) {
                f.range(field, number, low, high);
            }
            if let File::Gone(why) = limit.v2 {
                f.warn(field, why);
            }
            limit.check.inspect(|check| check(f, field, resources));
        }
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

/// Check that memory with swap is no less than memory. Swap without a memory limit is accepted: v2
/// has a limit of swap alone, and `cgroup` refuses it in v1.
pub fn swap(f: &mut Findings, field: At<'_>, resources: &Resources) {
    let memory = resources.memory.as_ref();
    let given = |bytes: Option<i64>| bytes.unwrap_or(0);
    let (limit, swap) = memory.map_or((0, 0), |it| (given(it.limit), given(it.swap)));
    if swap > 0 && swap < limit {
        let text = format!("{swap} is less than the limit, {limit}");
        let hint = "swap is memory and swap together; as much as the limit means no swap";
        f.wrong_hint(field, text, hint);
    }
}

/// Warn of shares that the kernel reduces, or that an idle group ignores. 1 is not a warning: the
/// kernel takes it as 2, and callers use both for the least.
pub fn shares(f: &mut Findings, field: At<'_>, resources: &Resources) {
    let Some(cpu) = &resources.cpu else { return };
    if let Some(shares @ 262_145..) = cpu.shares {
        f.warn(field, format!("{shares} is taken as 262144, the most"));
    }
    if cpu.idle == Some(1) {
        f.warn(field, "without effect: cpu.idle 1 gives the lowest weight");
    }
}

/// Check the range of a quota; 0 and less have no range, since they set no quota.
pub fn quota(f: &mut Findings, field: At<'_>, resources: &Resources) {
    if let Some(quota @ 1..) = resources.cpu.as_ref().and_then(|cpu| cpu.quota) {
        f.range(field, quota, 1000, MAX_QUOTA_US);
    }
}

/// Check the kernel's rule that the burst is not more than the quota.
pub fn burst(f: &mut Findings, field: At<'_>, resources: &Resources) {
    let Some(Cpu { burst: Some(burst), quota: Some(quota @ 1..), .. }) = &resources.cpu else {
        return;
    };
    if *burst > quota.unsigned_abs() {
        f.wrong(field, format!("{burst} is more than the quota, {quota}"));
    }
}

/// Check the kernel's rule that the real-time runtime is not more than its period.
pub fn realtime_runtime(f: &mut Findings, field: At<'_>, resources: &Resources) {
    let Some(cpu) = &resources.cpu else { return };
    let (runtime, period) = (cpu.realtime_runtime.unwrap_or(0), cpu.realtime_period.unwrap_or(0));
    if period > 0 && runtime > 0 && runtime.unsigned_abs() > period {
        f.wrong(field, format!("{runtime} is more than the realtimePeriod, {period}"));
    }
}

/// Check the list of processors.
pub fn cpus(f: &mut Findings, field: At<'_>, resources: &Resources) {
    kernel_list(f, field, resources.cpu.as_ref().and_then(|cpu| cpu.cpus.as_deref()));
}

/// Check the list of memory nodes.
pub fn mems(f: &mut Findings, field: At<'_>, resources: &Resources) {
    kernel_list(f, field, resources.cpu.as_ref().and_then(|cpu| cpu.mems.as_deref()));
}

/// Warn of a number below -1, which means unlimited, as -1 does.
pub fn pids(f: &mut Findings, field: At<'_>, resources: &Resources) {
    if let Some(limit @ ..=-2) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        f.warn(field, format!("{limit} is taken as -1, unlimited"));
    }
}

/// Check the I/O weight of the cgroup relative to other cgroups.
pub fn weight(f: &mut Findings, field: At<'_>, resources: &Resources) {
    io_weight(f, field, resources.block_io.as_ref().and_then(|it| it.weight));
}

/// Check the I/O weight of the cgroup's own tasks relative to the cgroups below it.
pub fn leaf_weight(f: &mut Findings, field: At<'_>, resources: &Resources) {
    io_weight(f, field, resources.block_io.as_ref().and_then(|it| it.leaf_weight));
}

fn io_weight(f: &mut Findings, field: At<'_>, weight: Option<u16>) {
    if let Some(weight @ 1..) = weight {
        f.range(field, weight, 1, 1000);
        if weight < 10 {
            f.warn(field, format!("{weight} is less than 10, the specification's least"));
        }
    }
}

/// Check a list for a cpuset, which the kernel reads. An empty list is the same as none.
fn kernel_list(f: &mut Findings, field: At<'_>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty() && !is_kernel_list(text)) {
        f.wrong(field, format!("{} is not a list such as 0-3,7", quote(text)));
    }
}

/// Whether the kernel's bitmap_parselist() accepts a list. Any number of commas and white space
/// separates regions; `N` is the last bit (Linux 5.13), and `all` is every bit.
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

/// Check a list of CPUs or nodes that `spec::list` reads, if there is one.
pub fn list(f: &mut Findings, field: At<'_>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !is_list(text)) {
        f.wrong(field, format!("{} is not a list such as 0-3,7", quote(text)));
    }
}

/// Whether a list is of the form `0-3,7` or, as for the kernel's bitmap_parselist(), `0-31:2/4`.
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
    for (index, device) in block_io.weight_device.iter().enumerate() {
        let base = format!("{base}.weightDevice[{index}]");
        numbers(f, format_args!("{base}"), device.major, device.minor);
        io_weight(f, format_args!("{base}.weight"), device.weight);
        io_weight(f, format_args!("{base}.leafWeight"), device.leaf_weight);
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

/// Whether a page size is written as in the names of cgroup files, `hugetlb.2MB.…`: a power of two,
/// in the largest unit.
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

    /// Lists that a cpuset of Linux accepted, and lists that it refused, under runc and crun.
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
