//! Convert settings of cgroup files to properties of a unit, so that systemd does not overwrite the
//! files; and the properties that annotations name.
//!
//! Pure. Every value is also written to cgroupfs: a file without a row has no property, and some
//! properties are coarser than the file. The ranges are systemd's.

use std::collections::BTreeMap;

use super::gvariant;
use super::wire::Value;
use crate::cgroup::{Devices, Setting};
use crate::spec::json::Violation;
use crate::spec::limits::{self, Value as Limit};

/// A property: its name, as in D-Bus, and value.
pub type Property = (String, Value);

/// What annotations with an effect begin with; runc's name for it.
pub const ANNOTATION: &str = "org.systemd.property.";

/// What a scope could not be found or managed without.
const OURS: &[&str] = &["Delegate", "Description", "PIDs", "Slice"];

/// Lists of CPUs and memory nodes, which are masks to systemd.
const LISTS: &[&str] = &["AllowedCPUs", "AllowedMemoryNodes"];

/// The property for `memory.oom.group`.
pub const OOM_POLICY: &str = "OOMPolicy";

/// "infinity" to systemd.
const INFINITY: u64 = u64::MAX;

/// The properties that the settings come to, for this version of systemd.
pub fn of(settings: &[Setting], version: u32) -> Vec<Property> {
    let mut found: Vec<Property> = settings.iter().flat_map(|s| of_one(s, version)).collect();
    let v1 = |file: &str| settings.iter().rfind(|s| s.file == file).map(|s| s.value.number());
    let (quota, period) = (v1("cpu.cfs_quota_us"), v1("cpu.cfs_period_us"));
    if quota.is_some() || period.is_some() {
        let number = |it: Option<Option<i128>>| it.flatten().and_then(|it| u64::try_from(it).ok());
        found.extend(bandwidth(number(quota), number(period).unwrap_or(100_000), version));
    }
    found
}

/// The properties that a scope takes only when it is made: `memory.oom.group` is `OOMPolicy`, by
/// which systemd writes the file again. `SetUnitProperties` refuses it.
pub fn of_start(settings: &[Setting]) -> Vec<Property> {
    let group = settings.iter().rfind(|setting| setting.file == "memory.oom.group");
    let policy = group.and_then(|setting| match setting.value {
        Limit::Number(0) => Some("continue"),
        Limit::Number(1) => Some("kill"),
        _ => None,
    });
    policy.map(|policy| (OOM_POLICY.to_owned(), Value::text(policy))).into_iter().collect()
}

fn of_one(setting: &Setting, version: u32) -> Vec<Property> {
    // The name that the property is about stands second, where the kernel has a choice of two.
    let (file, value) = match &setting.fallback {
        Some((file, value)) => (file.as_str(), value),
        None => (setting.file.as_str(), &setting.value),
    };
    match (file, value) {
        ("cpu.max", Limit::Quota(quota, period)) => return bandwidth(*quota, *period, version),
        // An idle group is one of weight 0 to systemd.
        ("cpu.idle", Limit::Number(1)) if version >= 252 => {
            return vec![("CPUWeight".into(), Value::U64(0))];
        }
        // The one property of a limit that is a boolean.
        ("memory.zswap.writeback", Limit::Number(on @ 0..=1)) if version >= 256 => {
            return vec![("MemoryZSwapWriteback".into(), Value::Bool(*on == 1))];
        }
        _ => {}
    }
    let Some(row) = limits::property(file).filter(|row| version >= row.since) else {
        return Vec::new();
    };
    let value = match value {
        Limit::Max | Limit::Number(..0) => Some(Value::U64(INFINITY)),
        _ if LISTS.contains(&row.name) => mask(&value.to_string()).map(|mask| Value::bytes(&mask)),
        Limit::Number(number) => {
            let number = u64::try_from(*number).ok();
            number.filter(|number| *number >= row.least).map(Value::U64)
        }
        _ => None,
    };
    value.map(|value| (row.name.to_owned(), value)).into_iter().collect()
}

/// A quota, µs or none, in each period of so many µs.
fn bandwidth(quota: Option<u64>, period: u64, version: u32) -> Vec<Property> {
    const SECOND: u64 = 1_000_000;
    /// systemd counts in hundredths of a CPU; up, so that it gives no less than was asked for.
    const STEP: u64 = 10_000;
    if period == 0 {
        return Vec::new();
    }
    let per_second = quota.map_or(INFINITY, |quota| {
        quota.saturating_mul(SECOND).div_ceil(period).next_multiple_of(STEP)
    });
    let mut found = vec![("CPUQuotaPerSecUSec".to_owned(), Value::U64(per_second))];
    if version >= 242 {
        found.push(("CPUQuotaPeriodUSec".to_owned(), Value::U64(period)));
    }
    found
}

/// Convert a list such as `0-3,7` to a bit mask, with 0 in the lowest bit. `None` for the kernel's
/// long form (`0-31:2/4`), which is then written to cgroupfs only.
fn mask(list: &str) -> Option<Vec<u8>> {
    /// More than any kernel of today can have.
    const MOST: usize = 8192;
    let mut mask = Vec::new();
    for range in list.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if last >= MOST {
            return None;
        }
        for bit in first..=last {
            if mask.len() <= bit / 8 {
                mask.resize(bit / 8 + 1, 0);
            }
            mask[bit / 8] |= 1 << (bit % 8);
        }
    }
    (!mask.is_empty()).then_some(mask)
}

/// Device rules of cgroup v1, which systemd writes anew whenever it likes. (In v2 it leaves the
/// program that we attach alone.)
pub fn of_devices(devices: &Devices) -> Vec<Property> {
    let Devices::V1(lines) = devices else { return Vec::new() };
    if !lines.iter().any(|(allow, line)| !allow && line == "a") {
        return Vec::new();
    }
    let allowed = lines.iter().filter(|(allow, _)| *allow).filter_map(|(_, line)| {
        let mut words = line.split(' ');
        let (kind, number, access) = (words.next()?, words.next()?, words.next()?);
        let kind = if kind == "b" { "block" } else { "char" };
        let name = match number.split_once(':')? {
            ("*", _) => format!("{kind}-*"),
            (major, "*") => format!("{kind}-{major}"),
            _ if kind == "block" => format!("/dev/block/{number}"),
            _ => format!("/dev/char/{number}"),
        };
        Some(Value::Struct(vec![Value::text(name), Value::text(access)]))
    });
    let list = Value::Array("(ss)".into(), allowed.collect());
    vec![("DevicePolicy".into(), Value::text("strict")), ("DeviceAllow".into(), list)]
}

/// The properties that annotations name.
///
/// # Errors
/// An annotation names no property or one that tiny-ce sets itself, or its value cannot be parsed.
pub fn of_annotations(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, Violation> {
    let mut found = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(ANNOTATION) else { continue };
        let wrong = |text: String| Violation::rule(format!("annotations[{key:?}]"), text);
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(wrong(format!("{name:?} is no name of a property: letters only")));
        }
        if OURS.contains(&name) {
            return Err(wrong(format!("{name} is not to be chosen: see linux.cgroupsPath")));
        }
        let value = gvariant::parse(text).map_err(|why| wrong(format!("{text:?}: {why}")))?;
        found.push(in_microseconds(name, value).map_err(wrong)?);
    }
    Ok(found)
}

/// `TimeoutStopSec`, which systemd's files have, is `TimeoutStopUSec` on the bus.
fn in_microseconds(name: &str, value: Value) -> Result<Property, String> {
    let stem = name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_lowercase()));
    let Some(stem) = stem else { return Ok((name.to_owned(), value)) };
    let seconds = match value {
        Value::Byte(v) => f64::from(v),
        Value::I16(v) => f64::from(v),
        Value::U16(v) => f64::from(v),
        Value::I32(v) => f64::from(v),
        Value::U32(v) => f64::from(v),
        Value::I64(v) => v as f64,
        Value::U64(v) => v as f64,
        Value::Double(v) => v,
        _ => return Err("a number of seconds is wanted".into()),
    };
    if !seconds.is_finite() || seconds < 0.0 {
        return Err("a number of seconds from 0 up is wanted".into());
    }
    Ok((format!("{stem}USec"), Value::U64((seconds * 1e6) as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Hierarchies, Hierarchy, Version, compile, compile_devices};
    use crate::spec::{DeviceRule, Resources};
    use serde_json::json;

    fn resources(value: serde_json::Value) -> Resources {
        let text = value.to_string();
        crate::spec::json::read(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e:?}"))
    }

    fn machine(version: Version) -> Hierarchies {
        let names = "cpuset cpu io blkio memory hugetlb pids devices";
        Hierarchies {
            all: vec![Hierarchy {
                version,
                controllers: names.split(' ').map(str::to_owned).collect(),
                mount: "/sys/fs/cgroup".into(),
                root: "/".into(),
                own: "/".into(),
            }],
        }
    }

    fn properties(value: serde_json::Value, version: Version) -> Vec<Property> {
        let compiled = compile("", &resources(value), &machine(version)).expect("settings");
        of(&compiled, 252)
    }

    fn number(name: &str, value: u64) -> Property {
        (name.to_owned(), Value::U64(value))
    }

    #[test]
    fn of_version_2() {
        let value = json!({
            "memory": {"limit": 1 << 20, "reservation": 1 << 19, "swap": 3 << 20},
            "cpu": {"shares": 1024, "quota": 33333, "period": 50000, "cpus": "0-1,9", "mems": "0"},
            "pids": {"limit": 20},
            "blockIO": {"weight": 10},
            "unified": {"memory.high": "max", "memory.oom.group": "1", "memory.min": "7"},
        });
        let expected = [
            number("MemorySwapMax", 2 << 20),
            number("MemoryMax", 1 << 20),
            number("MemoryLow", 1 << 19),
            number("CPUWeight", 100),
            number("CPUQuotaPerSecUSec", 670_000),
            number("CPUQuotaPeriodUSec", 50_000),
            ("AllowedCPUs".to_owned(), Value::bytes(&[3, 2])),
            ("AllowedMemoryNodes".to_owned(), Value::bytes(&[1])),
            number("TasksMax", 20),
            number("IOWeight", 1),
            number("MemoryHigh", INFINITY),
            number("MemoryMin", 7),
        ];
        assert_eq!(properties(value, Version::V2), expected);
    }

    #[test]
    fn of_version_1() {
        let value = json!({
            "memory": {"limit": 1 << 20},
            "cpu": {"shares": 512, "quota": 50000},
            "pids": {"limit": -1},
            "blockIO": {"weight": 300},
        });
        let expected = [
            number("MemoryLimit", 1 << 20),
            number("CPUShares", 512),
            number("TasksMax", INFINITY),
            number("BlockIOWeight", 300),
            number("CPUQuotaPerSecUSec", 500_000),
            number("CPUQuotaPeriodUSec", 100_000),
        ];
        assert_eq!(properties(value, Version::V1), expected);
    }

    #[test]
    fn only_at_the_start() {
        let policy = |value: &str| {
            let value = json!({"unified": {"memory.oom.group": value}});
            let machine = machine(Version::V2);
            of_start(&compile("", &resources(value), &machine).expect("settings"))
        };
        let property = |policy: &str| [("OOMPolicy".to_owned(), Value::text(policy))];
        assert_eq!(policy("0"), property("continue"));
        assert_eq!(policy("1"), property("kill"));
        assert_eq!(policy("2"), []);
        assert_eq!(of_start(&[]), []);
    }

    #[test]
    fn a_value_without_a_property_is_left_to_cgroupfs() {
        let value = json!({"cpu": {"cpus": "0-31:2/4", "mems": "0-N"}});
        assert_eq!(properties(value, Version::V2), []);
        let compiled = compile(
            "",
            &resources(json!({"cpu": {"cpus": "0", "quota": 1000, "period": 1000}})),
            &machine(Version::V2),
        );
        let old = of(&compiled.expect("settings"), 239);
        assert_eq!(old, [number("CPUQuotaPerSecUSec", 1_000_000)]);
        let writeback = json!({"unified": {"memory.zswap.writeback": "0"}});
        let compiled = compile("", &resources(writeback), &machine(Version::V2)).expect("settings");
        assert_eq!(of(&compiled, 255), []);
        assert_eq!(of(&compiled, 256), [("MemoryZSwapWriteback".to_owned(), Value::Bool(false))]);
    }

    #[test]
    fn devices_of_version_1() {
        let rule = |allow, kind: &str, major, minor| -> DeviceRule {
            let value = json!({"allow": allow, "type": kind, "major": major, "minor": minor});
            crate::spec::json::read(value.to_string().as_bytes()).expect("a rule")
        };
        let rules = [rule(false, "a", -1, -1), rule(true, "b", 8, -1)];
        let v1 = compile_devices(&rules, &machine(Version::V1)).expect("devices");
        let found = of_devices(&v1);
        assert_eq!(found[0], ("DevicePolicy".to_owned(), Value::text("strict")));
        let Value::Array(_, list) = &found[1].1 else { panic!("{found:?}") };
        let entry =
            |name: &str, access: &str| Value::Struct(vec![Value::text(name), Value::text(access)]);
        for wanted in [
            entry("block-8", "rwm"),
            entry("/dev/char/1:3", "rwm"),
            entry("char-136", "rwm"),
            entry("char-*", "m"),
        ] {
            assert!(list.contains(&wanted), "{wanted:?} in {list:?}");
        }
        let v2 = compile_devices(&rules, &machine(Version::V2)).expect("devices");
        // There is no hierarchy with the name of the controller there, but a program.
        assert!(matches!(v2, Devices::V1(_) | Devices::V2(..)));
    }

    #[test]
    fn annotations() {
        let read = |key: &str, text: &str| {
            of_annotations(&BTreeMap::from([(key.to_owned(), text.to_owned())]))
        };
        let good = |key, text| read(key, text).unwrap_or_else(|e| panic!("{key}: {e:?}"));
        assert_eq!(good("other", "x"), []);
        assert_eq!(
            good("org.systemd.property.TimeoutStopSec", "1.5"),
            [number("TimeoutStopUSec", 1_500_000)]
        );
        assert_eq!(
            good("org.systemd.property.TimeoutStopUSec", "uint64 7"),
            [number("TimeoutStopUSec", 7)]
        );
        assert_eq!(
            good("org.systemd.property.OOMPolicy", "'kill'"),
            [("OOMPolicy".to_owned(), Value::text("kill"))]
        );
        for (key, text) in [
            ("A B", "true"),
            ("", "true"),
            ("Slice", "'a.slice'"),
            ("KillMode", "none"),
            ("StopSec", "'x'"),
        ] {
            assert!(read(&format!("org.systemd.property.{key}"), text).is_err(), "{key}");
        }
    }
}
