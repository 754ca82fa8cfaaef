//! Names, units and order of the cgroup v1 files, the kernel's cgroup-v1/*.rst.
//!
//! Pure. Called with values whose ranges are checked.

use super::compile::{Draft, given, swappiness, throttles};
use super::probe::Version::V1;
use crate::spec::{BlockIo, Cpu, Memory};

/// `linux.resources.memory`.
///
/// The kernel wants `memory.limit_in_bytes` ≤ `memory.memsw.limit_in_bytes` at every moment,
/// so that the order depends on what is there: `apply` writes again, last, what was EINVAL.
pub(super) fn memory(d: &mut Draft<'_>, m: &Memory) {
    let (limit, swap) = (given(m.limit), given(m.swap));
    if let (None | Some(-1), Some(swap @ 1..)) = (limit, swap) {
        let text = format!("{swap}, but there is no limit; swap is memory and swap together");
        d.wrong("memory.swap", text + " in cgroup v1: give memory.limit as well");
    }
    match (limit, swap) {
        // Unlimited memory, and nothing said about swap: that is not to stay limited alone.
        (Some(-1), None) => {
            let file = ("memory", "memory.memsw.limit_in_bytes");
            d.set(V1, file, -1, "memory.limit").missing_ok = true;
        }
        // On the way up, this one has to go first; on the way down `apply` comes back to it.
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
    if let Some(reservation) = given(m.reservation) {
        let file = ("memory", "memory.soft_limit_in_bytes");
        d.set(V1, file, reservation, "memory.reservation");
    }
    if let Some(swappiness) = swappiness(m) {
        d.set(V1, ("memory", "memory.swappiness"), swappiness, "memory.swappiness");
    }
    if m.disable_oom_killer == Some(true) {
        d.set(V1, ("memory", "memory.oom_control"), 1, "memory.disableOOMKiller");
    }
}

/// `linux.resources.cpu`, without cpus and mems.
pub(super) fn cpu(d: &mut Draft<'_>, c: &Cpu) {
    if let Some(idle) = c.idle.filter(|i| *i == 0) {
        d.set(V1, ("cpu", "cpu.idle"), idle, "cpu.idle").missing_ok = true;
    }
    if let Some(shares) = c.shares.filter(|s| *s != 0 && c.idle != Some(1)) {
        d.set(V1, ("cpu", "cpu.shares"), shares, "cpu.shares");
    }
    if let Some(period) = c.period.filter(|p| *p != 0) {
        d.set(V1, ("cpu", "cpu.cfs_period_us"), period, "cpu.period");
    }
    if let Some(quota) = given(c.quota) {
        d.set(V1, ("cpu", "cpu.cfs_quota_us"), quota.max(-1), "cpu.quota");
    }
    if let Some(burst) = c.burst {
        // Linux 5.14; before, there was none.
        d.set(V1, ("cpu", "cpu.cfs_burst_us"), burst, "cpu.burst").missing_ok = burst == 0;
    }
    if let Some(period) = c.realtime_period.filter(|p| *p != 0) {
        d.set(V1, ("cpu", "cpu.rt_period_us"), period, "cpu.realtimePeriod");
    }
    if let Some(runtime) = given(c.realtime_runtime) {
        d.set(V1, ("cpu", "cpu.rt_runtime_us"), runtime, "cpu.realtimeRuntime");
    }
    if c.idle == Some(1) {
        // Last: an idle group refuses shares.
        d.set(V1, ("cpu", "cpu.idle"), 1, "cpu.idle");
    }
}

/// `linux.resources.blockIO`. Weights are of the BFQ scheduler, or of CFQ before Linux 5.0.
pub(super) fn block_io(d: &mut Draft<'_>, b: &BlockIo) {
    if let Some(weight) = b.weight.filter(|w| *w != 0) {
        d.set(V1, ("blkio", "blkio.bfq.weight"), weight, "blockIO.weight").fallback =
            Some(("blkio.weight".into(), weight.to_string()));
    }
    if let Some(weight) = b.leaf_weight.filter(|w| *w != 0) {
        d.set(V1, ("blkio", "blkio.leaf_weight"), weight, "blockIO.leafWeight");
    }
    for (index, device) in b.weight_device.iter().enumerate() {
        let field = format!("blockIO.weightDevice[{index}]");
        let number = format!("{}:{}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|w| *w != 0) {
            let value = format!("{number} {weight}");
            let field = format!("{field}.weight");
            let setting = d.set(V1, ("blkio", "blkio.bfq.weight_device"), &value, &field);
            setting.fallback = Some(("blkio.weight_device".into(), value));
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
