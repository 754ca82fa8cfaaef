//! Compile the odd limits and the limits of devices for cgroup v1: names, units and order (the
//! kernel's cgroup-v1/*.rst).
//!
//! Pure. The ranges of the values are checked already.

use super::compile::{Draft, given, throttles};
use super::probe::Version::V1;
use crate::spec::limits::Odd;
use crate::spec::{BlockIo, Cpu, Memory, Resources};

/// Compile a row of the table that needs more than the name of a file.
pub(super) fn odd(d: &mut Draft<'_>, odd: Odd, resources: &Resources) {
    let memory = resources.memory.as_ref();
    let cpu = resources.cpu.as_ref();
    match odd {
        Odd::Memory => memory.map_or((), |it| self::memory(d, it)),
        Odd::Shares => cpu.map_or((), |it| shares(d, it)),
        Odd::Bandwidth => cpu.map_or((), |it| bandwidth(d, it)),
        Odd::Idle => d.idle(V1, cpu.and_then(|it| it.idle)),
        Odd::RealTime => cpu.map_or((), |it| real_time(d, it)),
        Odd::IoWeight => resources.block_io.as_ref().map_or((), |it| io_weight(d, it)),
    }
}

/// Set the limits of memory, and of memory with swap.
///
/// The kernel requires `memory.limit_in_bytes` ≤ `memory.memsw.limit_in_bytes` at every moment, so
/// that the right order depends on the old values: `apply` repeats a write that fails with EINVAL.
fn memory(d: &mut Draft<'_>, m: &Memory) {
    let (limit, swap) = (given(m.limit), given(m.swap));
    if let (None | Some(-1), Some(swap @ 1..)) = (limit, swap) {
        let text = format!("{swap}, but there is no limit; swap is memory and swap together");
        d.wrong("memory.swap", text + " in cgroup v1: give memory.limit as well");
    }
    match (limit, swap) {
        // Memory becomes unlimited, and swap is not given: make it unlimited as well.
        (Some(-1), None) => {
            let file = ("memory", "memory.memsw.limit_in_bytes");
            d.set(V1, file, -1, "memory.limit").missing_ok = true;
        }
        // To raise both, this one must come first; to lower both, `apply` repeats it.
        (_, Some(-1)) => {
            d.set(V1, ("memory", "memory.memsw.limit_in_bytes"), -1, "memory.swap");
        }
        _ => {}
    }
    if let Some(limit) = limit {
        let check = m.check_before_update == Some(true) && limit > 0;
        d.set(V1, ("memory", "memory.limit_in_bytes"), limit, "memory.limit").usage =
            check.then_some("memory.usage_in_bytes");
    }
    if let Some(swap) = swap.filter(|s| *s > 0) {
        d.set(V1, ("memory", "memory.memsw.limit_in_bytes"), swap, "memory.swap");
    }
}

fn shares(d: &mut Draft<'_>, c: &Cpu) {
    if c.idle == Some(1) {
        return;
    }
    d.set(V1, ("cpu", "cpu.shares"), c.shares.unwrap_or_default(), "cpu.shares");
}

fn bandwidth(d: &mut Draft<'_>, c: &Cpu) {
    if let Some(period) = c.period.filter(|p| *p != 0) {
        d.set(V1, ("cpu", "cpu.cfs_period_us"), period, "cpu.period");
    }
    if let Some(quota) = given(c.quota) {
        d.set(V1, ("cpu", "cpu.cfs_quota_us"), quota.max(-1), "cpu.quota");
    }
}

fn real_time(d: &mut Draft<'_>, c: &Cpu) {
    if let Some(period) = c.realtime_period.filter(|p| *p != 0) {
        d.set(V1, ("cpu", "cpu.rt_period_us"), period, "cpu.realtimePeriod");
    }
    if let Some(runtime) = given(c.realtime_runtime) {
        d.set(V1, ("cpu", "cpu.rt_runtime_us"), runtime, "cpu.realtimeRuntime");
    }
}

/// Set the weight of the BFQ scheduler, or of CFQ before Linux 5.0.
fn io_weight(d: &mut Draft<'_>, b: &BlockIo) {
    let weight = b.weight.unwrap_or_default();
    d.set(V1, ("blkio", "blkio.bfq.weight"), weight, "blockIO.weight").fallback =
        Some(("blkio.weight".into(), weight.into()));
}

/// Compile the limits for single devices in `linux.resources.blockIO`.
pub(super) fn block_devices(d: &mut Draft<'_>, b: &BlockIo) {
    for (index, device) in b.weight_device.iter().enumerate() {
        let field = format!("blockIO.weightDevice[{index}]");
        let number = format!("{}:{}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|w| *w != 0) {
            let value = format!("{number} {weight}");
            let field = format!("{field}.weight");
            let setting = d.set(V1, ("blkio", "blkio.bfq.weight_device"), value.clone(), &field);
            setting.fallback = Some(("blkio.weight_device".into(), value.into()));
            setting.unset = Some(format!("{number} default"));
        }
        if let Some(weight) = device.leaf_weight.filter(|w| *w != 0) {
            let value = format!("{number} {weight}");
            let field = format!("{field}.leafWeight");
            d.set(V1, ("blkio", "blkio.leaf_weight_device"), value, &field).unset =
                Some(format!("{number} default"));
        }
    }
    for (short, name, devices) in throttles(b) {
        let file = match short {
            "rbps" => "blkio.throttle.read_bps_device",
            "wbps" => "blkio.throttle.write_bps_device",
            "riops" => "blkio.throttle.read_iops_device",
            _ => "blkio.throttle.write_iops_device",
        };
        for (index, device) in devices.iter().enumerate() {
            let number = format!("{}:{}", device.major, device.minor);
            let value = format!("{number} {}", device.rate.unwrap_or(0));
            let field = format!("blockIO.{name}[{index}]");
            d.set(V1, ("blkio", file), value, &field).unset = Some(format!("{number} 0"));
        }
    }
}
