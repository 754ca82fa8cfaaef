//! Names, units and order of the cgroup v2 files, the kernel's cgroup-v2.rst.
//!
//! Pure. Called with values whose ranges are checked; the fields are v1's, so this converts.

use super::compile::{Draft, given, swappiness, throttles};
use super::probe::Version::V2;
use crate::spec::{BlockIo, Cpu, Memory};

/// What the kernel takes if only a quota is given, microseconds.
const DEFAULT_PERIOD_US: u64 = 100_000;

/// `linux.resources.memory`.
pub(super) fn memory(d: &mut Draft<'_>, m: &Memory) {
    if swappiness(m).is_some() {
        d.wrong("memory.swappiness", "cgroup v2 has no such setting; see memory.swap");
    }
    if m.disable_oom_killer == Some(true) {
        d.wrong("memory.disableOOMKiller", "cgroup v2 cannot disable the OOM killer");
    }
    let limit = given(m.limit);
    // v1 counts memory and swap together, v2 swap alone.
    let swap = match (limit, given(m.swap)) {
        (_, Some(-1)) => Some(("max".into(), "memory.swap")),
        (Some(-1), None) => Some(("max".into(), "memory.limit")),
        (Some(limit @ 1..), Some(swap)) => Some(((swap - limit).max(0).to_string(), "memory.swap")),
        (_, Some(swap)) => Some((swap.to_string(), "memory.swap")),
        (_, None) => None,
    };
    if let Some((value, field)) = swap {
        // Without swap accounting there is no swap to limit, and none to deny.
        let trivial = value == "max" || value == "0";
        d.set(V2, ("memory", "memory.swap.max"), value, field).missing_ok = trivial;
    }
    if let Some(limit) = limit {
        let check = m.check_before_update == Some(true) && limit > 0;
        d.set(V2, ("memory", "memory.max"), max(limit), "memory.limit").usage =
            check.then_some("memory.current");
    }
    if let Some(reservation) = given(m.reservation) {
        d.set(V2, ("memory", "memory.low"), max(reservation), "memory.reservation");
    }
}

/// `linux.resources.cpu`, without cpus and mems.
pub(super) fn cpu(d: &mut Draft<'_>, c: &Cpu) {
    if given(c.realtime_runtime).is_some() {
        d.wrong("cpu.realtimeRuntime", "cgroup v2 has no real-time scheduling limits");
    }
    if c.realtime_period.is_some_and(|p| p != 0) {
        d.wrong("cpu.realtimePeriod", "cgroup v2 has no real-time scheduling limits");
    }
    if c.idle == Some(0) {
        d.set(V2, ("cpu", "cpu.idle"), 0, "cpu.idle").missing_ok = true;
    }
    if let Some(shares) = c.shares.filter(|s| *s != 0 && c.idle != Some(1)) {
        d.set(V2, ("cpu", "cpu.weight"), cpu_weight(shares), "cpu.shares");
    }
    let period = c.period.filter(|p| *p != 0);
    if given(c.quota).is_some() || period.is_some() {
        let quota = given(c.quota).filter(|q| *q > 0).unwrap_or(-1);
        let value = format!("{} {}", max(quota), period.unwrap_or(DEFAULT_PERIOD_US));
        let field = if given(c.quota).is_some() { "cpu.quota" } else { "cpu.period" };
        d.set(V2, ("cpu", "cpu.max"), value, field);
    }
    if let Some(burst) = c.burst {
        // Linux 5.14; before, there was none.
        d.set(V2, ("cpu", "cpu.max.burst"), burst, "cpu.burst").missing_ok = burst == 0;
    }
    if c.idle == Some(1) {
        // Last: an idle group refuses a weight.
        d.set(V2, ("cpu", "cpu.idle"), 1, "cpu.idle");
    }
}

/// `linux.resources.blockIO`.
pub(super) fn block_io(d: &mut Draft<'_>, b: &BlockIo) {
    if b.leaf_weight.is_some_and(|w| w != 0) {
        d.wrong("blockIO.leafWeight", "cgroup v2 has no leaf weight");
    }
    if let Some(weight) = b.weight.filter(|w| *w != 0) {
        let other = io_weight(weight).to_string();
        d.set(V2, ("io", "io.bfq.weight"), weight, "blockIO.weight").fallback =
            Some(("io.weight".into(), other));
    }
    for (index, device) in b.weight_device.iter().enumerate() {
        let field = format!("blockIO.weightDevice[{index}]");
        let number = format!("{}:{}", device.major, device.minor);
        if device.leaf_weight.is_some_and(|w| w != 0) {
            d.wrong(&format!("{field}.leafWeight"), "cgroup v2 has no leaf weight");
        }
        if let Some(weight) = device.weight.filter(|w| *w != 0) {
            let other = format!("{number} {}", io_weight(weight));
            let value = format!("{number} {weight}");
            let field = format!("{field}.weight");
            let setting = d.set(V2, ("io", "io.bfq.weight"), value, &field);
            setting.fallback = Some(("io.weight".into(), other));
            setting.unset = Some(format!("{number} default"));
        }
    }
    for (short, name, devices) in throttles(b) {
        for (index, device) in devices.iter().enumerate() {
            let number = format!("{}:{}", device.major, device.minor);
            let rate = device.rate.filter(|rate| *rate != 0);
            let rate = rate.map_or_else(|| "max".into(), |rate| rate.to_string());
            let value = format!("{number} {short}={rate}");
            let field = format!("blockIO.{name}[{index}]");
            d.set(V2, ("io", "io.max"), value, &field).unset =
                Some(format!("{number} rbps=max wbps=max riops=max wiops=max"));
        }
    }
}

fn max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

/// Shares 2..=262144 → weight 1..=10000, on the curve that maps 2, 1024 and 262144 to 1, 100
/// and 10000, so that the defaults of both versions meet; what lies outside is taken as the end.
pub(super) fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// Weight 10..=1000 of BFQ → 1..=10000 of io.weight, linear.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).max(10) - 10) * 9999 / 990
}
