//! Compile the odd limits and the limits of devices for cgroup v2: names, units and order (the
//! kernel's cgroup-v2.rst).
//!
//! Pure. The ranges of the values are checked already. The fields have the units of v1, and are
//! converted.

use super::compile::{Draft, given, throttles};
use super::probe::Version::V2;
use crate::spec::limits::{Odd, Value};
use crate::spec::{BlockIo, Cpu, Memory, Resources};

/// The kernel's period if only a quota is given, in microseconds.
const DEFAULT_PERIOD_US: u64 = 100_000;

/// Compile a row of the table that needs more than the name of a file.
pub(super) fn odd(d: &mut Draft<'_>, odd: Odd, resources: &Resources) {
    let memory = resources.memory.as_ref();
    let cpu = resources.cpu.as_ref();
    match odd {
        Odd::Memory => memory.map_or((), |it| self::memory(d, it)),
        Odd::Shares => cpu.map_or((), |it| shares(d, it)),
        Odd::Bandwidth => cpu.map_or((), |it| bandwidth(d, it)),
        Odd::Idle => d.idle(V2, cpu.and_then(|it| it.idle)),
        Odd::RealTime => {}
        Odd::IoWeight => resources.block_io.as_ref().map_or((), |it| weight(d, it)),
    }
}

/// Set the limits of memory and of swap. The config's swap is v1's, memory and swap together; v2
/// limits swap alone.
fn memory(d: &mut Draft<'_>, m: &Memory) {
    let limit = given(m.limit);
    let swap = match (limit, given(m.swap)) {
        (_, Some(-1)) => Some((Value::Max, "memory.swap")),
        (Some(-1), None) => Some((Value::Max, "memory.limit")),
        (Some(limit @ 1..), Some(swap)) => Some(((swap - limit).max(0).into(), "memory.swap")),
        (_, Some(swap)) => Some((swap.into(), "memory.swap")),
        (_, None) => None,
    };
    if let Some((value, field)) = swap {
        // Without swap accounting the file is missing, and there is no swap to limit.
        let trivial = matches!(value, Value::Max | Value::Number(0));
        d.set(V2, ("memory", "memory.swap.max"), value, field).missing_ok = trivial;
    }
    if let Some(limit) = limit {
        let check = m.check_before_update == Some(true) && limit > 0;
        let max = if limit < 0 { Value::Max } else { limit.into() };
        d.set(V2, ("memory", "memory.max"), max, "memory.limit").usage =
            check.then_some("memory.current");
    }
}

fn shares(d: &mut Draft<'_>, c: &Cpu) {
    if c.idle == Some(1) {
        return;
    }
    let weight = cpu_weight(c.shares.unwrap_or_default());
    d.set(V2, ("cpu", "cpu.weight"), weight, "cpu.shares");
}

fn bandwidth(d: &mut Draft<'_>, c: &Cpu) {
    let period = c.period.filter(|p| *p != 0).unwrap_or(DEFAULT_PERIOD_US);
    let quota = c.quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota != 0);
    let field = if given(c.quota).is_some() { "cpu.quota" } else { "cpu.period" };
    d.set(V2, ("cpu", "cpu.max"), Value::Quota(quota, period), field);
}

fn weight(d: &mut Draft<'_>, b: &BlockIo) {
    let weight = b.weight.unwrap_or_default();
    d.set(V2, ("io", "io.bfq.weight"), weight, "blockIO.weight").fallback =
        Some(("io.weight".into(), io_weight(weight).into()));
}

/// Compile the limits for single devices in `linux.resources.blockIO`.
pub(super) fn block_devices(d: &mut Draft<'_>, b: &BlockIo) {
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
            setting.fallback = Some(("io.weight".into(), other.into()));
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

/// Convert shares 2..=262144 to a weight 1..=10000, on the curve that maps 2, 1024 and 262144 to 1,
/// 100 and 10000: the default of v1 becomes that of v2. Shares outside of the range count as its
/// nearest end.
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

/// Convert a weight 10..=1000 of BFQ to one of io.weight, 1..=10000, linearly.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).max(10) - 10) * 9999 / 990
}
