//! linux.resources → cgroup files and values. Pure: no system call, no clock.
//!
//! Knows the rules that v1 and v2 share, and which controller is where; the names and units of
//! each version are in `v1` and `v2`. Zero means "leave as it is" where runc has it so, except
//! for `pids.limit`, for which the specification 1.3 makes it a limit.

use std::collections::BTreeMap;
use std::fmt;

use super::probe::{Hierarchies, Mode, Version};
use super::{v1, v2};
use crate::spec::json::Violation;
use crate::spec::{BlockIo, Cpu, HugepageLimit, Memory, NetworkClass, Pids, Rdma, Resources};

/// One value for one file of the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// In which kind of hierarchy the controller is.
    pub version: Version,
    /// The controller; empty for the `cgroup.*` files.
    pub controller: String,
    /// Name of the file.
    pub file: String,
    /// What is written, in one write(2).
    pub value: String,
    /// The field of config.json: `linux.resources.memory.limit`.
    pub origin: String,
    /// File and value for kernels that lack the file.
    pub fallback: Option<(String, String)>,
    /// A kernel without the file does by itself what the value asks for.
    pub missing_ok: bool,
    /// A file with the bytes in use, which must not exceed the value (checkBeforeUpdate).
    pub usage: Option<&'static str>,
    /// The file has a line per device, and this line stands for "no such line".
    pub unset: Option<String>,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}  # {}", self.file, self.value, self.origin)
    }
}

/// What linux.resources comes to on one machine; device rules are `compile_devices`'s.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// In the order of writing.
    pub settings: Vec<Setting>,
    /// What was asked for and has no effect on any kernel of today.
    pub warnings: Vec<String>,
}

/// Translate linux.resources for this machine; all that is wrong at once.
pub fn compile(resources: &Resources, h: &Hierarchies) -> Result<Compiled, Vec<Violation>> {
    let mut draft = Draft { h, out: Compiled::default(), violations: Vec::new() };
    let d = &mut draft;
    if let Some(memory) = &resources.memory {
        d.memory(memory);
    }
    if let Some(cpu) = &resources.cpu {
        d.cpu(cpu);
        d.cpuset(cpu);
    }
    if let Some(pids) = &resources.pids {
        d.pids(pids);
    }
    if let Some(block_io) = &resources.block_io {
        d.block_io(block_io);
    }
    d.hugetlb(&resources.hugepage_limits);
    if let Some(network) = &resources.network {
        d.network(network);
    }
    d.rdma(&resources.rdma);
    // Last, so that what is said there explicitly wins.
    d.unified(&resources.unified);
    if draft.violations.is_empty() { Ok(draft.out) } else { Err(draft.violations) }
}

/// The settings found so far, and what is wrong.
pub(super) struct Draft<'h> {
    h: &'h Hierarchies,
    pub(super) out: Compiled,
    violations: Vec<Violation>,
}

impl Draft<'_> {
    pub(super) fn wrong(&mut self, field: &str, text: impl Into<String>) {
        self.violations.push(Violation::rule(format!("linux.resources.{field}"), text));
    }

    pub(super) fn warn(&mut self, field: &str, text: &str) {
        self.out.warnings.push(format!("linux.resources.{field}: {text}"));
    }

    /// Which version has the controller; a violation if none.
    fn version_of(&mut self, controller: &str, field: &str) -> Option<Version> {
        if let Some(hierarchy) = self.h.find(controller) {
            return Some(hierarchy.version);
        }
        let places: Vec<&str> = self.h.all.iter().map(|h| h.mount.as_str()).collect();
        self.wrong(
            field,
            match (self.h.v2(), self.h.mode()) {
                (_, Mode::None) => "needs cgroups, and no cgroup file system is mounted".into(),
                (Some(v2), Mode::V2) => format!(
                    "needs the {controller} controller, which {}/cgroup.controllers does not list",
                    v2.mount
                ),
                _ => format!(
                    "needs the {controller} controller, which is in no mounted hierarchy ({})",
                    places.join(", ")
                ),
            },
        );
        None
    }

    pub(super) fn set(
        &mut self,
        version: Version,
        (controller, file): (&str, &str),
        value: impl fmt::Display,
        field: &str,
    ) -> &mut Setting {
        self.out.settings.push(Setting {
            version,
            controller: controller.to_owned(),
            file: file.to_owned(),
            value: value.to_string(),
            origin: format!("linux.resources.{field}"),
            fallback: None,
            missing_ok: false,
            usage: None,
            unset: None,
        });
        let last = self.out.settings.len() - 1;
        &mut self.out.settings[last]
    }

    fn memory(&mut self, m: &Memory) {
        for (field, value) in [("kernel", m.kernel), ("kernelTCP", m.kernel_tcp)] {
            if value.is_some_and(|v| v != 0) {
                self.warn(&format!("memory.{field}"), "the kernel has no such limit any more");
            }
        }
        if m.use_hierarchy == Some(false) {
            self.warn("memory.useHierarchy", "always true since Linux 5.11");
        }
        let sizes = [("limit", m.limit), ("reservation", m.reservation), ("swap", m.swap)];
        for (field, value) in sizes {
            if let Some(value) = value.filter(|v| *v < -1) {
                let text = format!("expected bytes, or -1 for unlimited, found {value}");
                self.wrong(&format!("memory.{field}"), text);
            }
        }
        let (limit, swap) = (given(m.limit), given(m.swap));
        match (limit, swap) {
            (None, Some(1..)) => {
                self.wrong("memory.swap", "is memory and swap together: needs memory.limit, too");
            }
            (Some(limit @ 1..), Some(swap @ 1..)) if swap < limit => self.wrong(
                "memory.swap",
                format!("is memory and swap together: {swap} is less than memory.limit {limit}"),
            ),
            _ => {}
        }
        if let Some(swappiness) = m.swappiness.filter(|s| *s > 100) {
            self.wrong("memory.swappiness", format!("expected 0 to 100, found {swappiness}"));
        }
        let oom_off = m.disable_oom_killer == Some(true);
        let asked = [
            ("limit", limit.is_some()),
            ("swap", swap.is_some()),
            ("reservation", given(m.reservation).is_some()),
            ("swappiness", m.swappiness.is_some()),
            ("disableOOMKiller", oom_off),
        ];
        let Some((field, _)) = asked.iter().find(|(_, asked)| *asked) else { return };
        match self.version_of("memory", &format!("memory.{field}")) {
            Some(Version::V1) => v1::memory(self, m),
            Some(Version::V2) => v2::memory(self, m),
            None => {}
        }
    }

    fn cpu(&mut self, c: &Cpu) {
        if let Some(quota) = c.quota.filter(|q| (1..1000).contains(q)) {
            self.wrong("cpu.quota", format!("expected -1 or at least 1000 us, found {quota}"));
        }
        let period = c.period.filter(|p| *p != 0);
        if let Some(period) = period.filter(|p| !(1000..=1_000_000).contains(p)) {
            self.wrong("cpu.period", format!("expected 1000 to 1000000 us, found {period}"));
        }
        if let Some(idle) = c.idle.filter(|i| !(0..=1).contains(i)) {
            self.wrong("cpu.idle", format!("expected 0 or 1, found {idle}"));
        }
        if c.idle == Some(1) && c.shares.is_some_and(|s| s != 0) {
            self.warn("cpu.shares", "without effect: cpu.idle 1 gives the lowest weight");
        }
        let asked = [
            ("shares", c.shares.is_some_and(|s| s != 0)),
            ("quota", c.quota.is_some_and(|q| q != 0)),
            ("period", period.is_some()),
            ("burst", c.burst.is_some()),
            ("idle", c.idle.is_some()),
            ("realtimeRuntime", c.realtime_runtime.is_some_and(|r| r != 0)),
            ("realtimePeriod", c.realtime_period.is_some_and(|r| r != 0)),
        ];
        let Some((field, _)) = asked.iter().find(|(_, asked)| *asked) else { return };
        match self.version_of("cpu", &format!("cpu.{field}")) {
            Some(Version::V1) => v1::cpu(self, c),
            Some(Version::V2) => v2::cpu(self, c),
            None => {}
        }
    }

    fn cpuset(&mut self, c: &Cpu) {
        for (name, value) in [("cpus", &c.cpus), ("mems", &c.mems)] {
            let Some(value) = value.as_deref().filter(|v| !v.is_empty()) else { continue };
            let field = format!("cpu.{name}");
            if !is_list(value) {
                self.wrong(&field, format!("expected a list such as \"0-3,7\", found {value:?}"));
            } else if let Some(version) = self.version_of("cpuset", &field) {
                self.set(version, ("cpuset", &format!("cpuset.{name}")), value, &field);
            }
        }
    }

    fn pids(&mut self, pids: &Pids) {
        let Some(limit) = pids.limit else { return };
        if limit < -1 {
            let text = format!("expected a number of tasks, or -1 for unlimited, found {limit}");
            return self.wrong("pids.limit", text);
        }
        let Some(version) = self.version_of("pids", "pids.limit") else { return };
        let value = if limit < 0 { "max".into() } else { limit.to_string() };
        self.set(version, ("pids", "pids.max"), value, "pids.limit");
    }

    fn block_io(&mut self, b: &BlockIo) {
        for (field, weight) in [("weight", b.weight), ("leafWeight", b.leaf_weight)] {
            self.weight(&format!("blockIO.{field}"), weight);
        }
        for (index, device) in b.weight_device.iter().enumerate() {
            let field = format!("blockIO.weightDevice[{index}]");
            self.number(&field, device.major, device.minor);
            self.weight(&format!("{field}.weight"), device.weight);
            self.weight(&format!("{field}.leafWeight"), device.leaf_weight);
        }
        for (_, name, devices) in throttles(b) {
            for (index, device) in devices.iter().enumerate() {
                let field = format!("blockIO.{name}[{index}]");
                self.number(&field, device.major, device.minor);
            }
        }
        let devices = throttles(b).iter().any(|(_, _, list)| !list.is_empty());
        let weights = b.weight.unwrap_or(0) != 0 || b.leaf_weight.unwrap_or(0) != 0;
        if !devices && !weights && b.weight_device.is_empty() {
            return;
        }
        match self.version_of("io", "blockIO") {
            Some(Version::V1) => v1::block_io(self, b),
            Some(Version::V2) => v2::block_io(self, b),
            None => {}
        }
    }

    fn weight(&mut self, field: &str, weight: Option<u16>) {
        if let Some(weight) = weight.filter(|w| *w != 0 && !(10..=1000).contains(w)) {
            self.wrong(field, format!("expected 10 to 1000, found {weight}"));
        }
    }

    fn number(&mut self, field: &str, major: i64, minor: i64) {
        for (name, value) in [("major", major), ("minor", minor)] {
            if u32::try_from(value).is_err() {
                let text = format!("expected 0 to {}, found {value}", u32::MAX);
                self.wrong(&format!("{field}.{name}"), text);
            }
        }
    }

    fn hugetlb(&mut self, limits: &[HugepageLimit]) {
        for (index, limit) in limits.iter().enumerate() {
            let field = format!("hugepageLimits[{index}]");
            let size = &limit.page_size;
            if !is_page_size(size) {
                let text = format!("expected a size such as \"2MB\" or \"1GB\", found {size:?}");
                self.wrong(&format!("{field}.pageSize"), text);
                continue;
            }
            let Some(version) = self.version_of("hugetlb", &field) else { return };
            let name = if version == Version::V1 { "limit_in_bytes" } else { "max" };
            let file = format!("hugetlb.{size}.{name}");
            let reserved = format!("hugetlb.{size}.rsvd.{name}");
            self.set(version, ("hugetlb", &file), limit.limit, &field);
            // Linux 5.7; before, reservations were not limited.
            self.set(version, ("hugetlb", &reserved), limit.limit, &field).missing_ok = true;
        }
    }

    fn network(&mut self, n: &NetworkClass) {
        if let Some(class) = n.class_id.filter(|class| *class != 0) {
            self.network_file(("net_cls", "net_cls.classid"), class.to_string(), "classID");
        }
        for (index, p) in n.priorities.iter().enumerate() {
            let field = format!("priorities[{index}]");
            let value = format!("{} {}", p.name, p.priority);
            let unset = format!("{} 0", p.name);
            if let Some(s) = self.network_file(("net_prio", "net_prio.ifpriomap"), value, &field) {
                s.unset = Some(unset);
            }
        }
    }

    fn network_file(
        &mut self,
        file: (&str, &str),
        value: String,
        field: &str,
    ) -> Option<&mut Setting> {
        let field = format!("network.{field}");
        if self.h.mode() == Mode::V2 {
            self.wrong(&field, "cgroup v2 has no such controller; use a filter on the interface");
            return None;
        }
        let version = self.version_of(file.0, &field)?;
        Some(self.set(version, file, value, &field))
    }

    fn rdma(&mut self, devices: &BTreeMap<String, Rdma>) {
        for (device, limit) in devices {
            let field = format!("rdma[{device:?}]");
            let Some(version) = self.version_of("rdma", &field) else { return };
            let mut value = device.clone();
            for (name, limit) in
                [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)]
            {
                if let Some(limit) = limit {
                    value.push_str(&format!(" {name}={limit}"));
                }
            }
            if value != *device {
                let unset = format!("{device} hca_handle=max hca_object=max");
                self.set(version, ("rdma", "rdma.max"), value, &field).unset = Some(unset);
            }
        }
    }

    fn unified(&mut self, files: &BTreeMap<String, String>) {
        for (file, text) in files {
            let field = format!("unified[{file:?}]");
            let Some((controller, _)) = file.split_once('.').filter(|_| !file.contains('/')) else {
                let text = "expected the name of a cgroup v2 file, such as \"memory.high\"";
                self.wrong(&field, text);
                continue;
            };
            let controller = if controller == "cgroup" { "" } else { controller };
            match self.h.v2() {
                Some(v2)
                    if controller.is_empty() || v2.controllers.iter().any(|c| c == controller) => {}
                Some(_) if self.h.mode() == Mode::V2 => {
                    self.version_of(controller, &field);
                    continue;
                }
                _ => {
                    let text = "is for cgroup v2; this machine has that controller in cgroup v1";
                    self.wrong(&field, text);
                    continue;
                }
            }
            // A file with a line per device takes one line per write.
            let lines = text.trim_end_matches('\n').split('\n');
            for line in lines {
                self.set(Version::V2, (controller, file), line, &field);
            }
        }
    }
}

/// 0 is "leave as it is", as runc and the engines have it.
pub(super) fn given(value: Option<i64>) -> Option<i64> {
    value.filter(|v| *v != 0)
}

/// The four throttle lists: short name of the operation, name of the field, devices.
pub(super) fn throttles(
    b: &BlockIo,
) -> [(&'static str, &'static str, &[crate::spec::ThrottleDevice]); 4] {
    [
        ("rbps", "throttleReadBpsDevice", &b.throttle_read_bps),
        ("wbps", "throttleWriteBpsDevice", &b.throttle_write_bps),
        ("riops", "throttleReadIOPSDevice", &b.throttle_read_iops),
        ("wiops", "throttleWriteIOPSDevice", &b.throttle_write_iops),
    ]
}

/// A list as the kernel's bitmap_parselist reads it: `0-3,7`, `0-15:2/4`.
fn is_list(text: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    text.split(',').all(|part| {
        let (range, every) = match part.trim().split_once(':') {
            Some((range, every)) => (range, Some(every)),
            None => (part.trim(), None),
        };
        let range_ok = match range.split_once('-') {
            Some((a, b)) => matches!((number(a), number(b)), (Some(a), Some(b)) if a <= b),
            None => number(range).is_some(),
        };
        let every_ok = every.is_none_or(|every| {
            let pair = every.split_once('/').map(|(used, of)| (number(used), number(of)));
            matches!(pair, Some((Some(used), Some(of))) if used <= of && of > 0)
        });
        range_ok && every_ok
    })
}

/// A huge page size as the kernel names the files: `64KB`, `2MB`, `1GB`.
fn is_page_size(text: &str) -> bool {
    let digits = ["KB", "MB", "GB"].iter().find_map(|unit| text.strip_suffix(unit));
    digits.is_some_and(|d| !d.starts_with('0') && d.parse::<u32>().is_ok_and(|n| n > 0))
}

#[cfg(test)]
#[path = "compile_test.rs"]
mod tests;
