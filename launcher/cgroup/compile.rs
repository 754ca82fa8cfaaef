//! linux.resources → cgroup files and values. Pure: no system call, no clock.
//!
//! Knows the hierarchy of each controller. The table `spec::limits` names the files; `v1` and `v2`
//! compile its odd rows and the limits of devices. `spec::check` has checked the ranges.

use std::collections::BTreeMap;
use std::fmt;

use super::probe::Version::{self, V1, V2};
use super::probe::{Hierarchies, Mode};
use super::{v1, v2};
use crate::spec::json::Violation;
use crate::spec::limits::{File, LIMITS, Limit, Odd, Value};
use crate::spec::{BlockIo, HugepageLimit, NetworkClass, Rdma, Resources};

/// One value for one file of the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The version of the controller's hierarchy.
    pub version: Version,
    /// The controller; empty for the `cgroup.*` files.
    pub controller: String,
    /// The name of the file.
    pub file: String,
    /// The value, which is written in one write(2).
    pub value: Value,
    /// The field of config.json: `linux.resources.memory.limit`.
    pub origin: String,
    /// Another file and its value, for a kernel without `file`.
    pub fallback: Option<(String, Value)>,
    /// Whether the file may be missing, since a kernel without it behaves as the value asks.
    pub missing_ok: bool,
    /// The file with the bytes in use, which must not exceed the value (checkBeforeUpdate).
    pub usage: Option<&'static str>,
    /// For a file with a line per device: the line that removes the device's line.
    pub unset: Option<String>,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}  # {}", self.file, self.value.to_string(), self.origin)
    }
}

/// Compile linux.resources for this machine to settings in the order of writing. `compile_devices`
/// compiles the device rules.
///
/// `base` is the path of the resources in their document, as in `spec::check`.
///
/// # Errors
/// All values that this machine cannot have, and all controllers that it lacks.
pub fn compile(
    base: &str,
    resources: &Resources,
    h: &Hierarchies,
) -> Result<Vec<Setting>, Vec<Violation>> {
    let mut draft = Draft {
        base,
        h,
        settings: Vec::new(),
        violations: Vec::new(),
        done: Vec::new(),
        missing: Vec::new(),
    };
    let d = &mut draft;
    for limit in LIMITS {
        d.limit(limit, resources);
    }
    if let Some(block_io) = &resources.block_io {
        d.block_devices(block_io);
    }
    d.hugetlb(&resources.hugepage_limits);
    if let Some(network) = &resources.network {
        d.network(network);
    }
    d.rdma(&resources.rdma);
    // Last, so that `unified` overrides the other fields.
    d.unified(&resources.unified);
    if draft.violations.is_empty() { Ok(draft.settings) } else { Err(draft.violations) }
}

/// The settings and violations so far.
pub(super) struct Draft<'h> {
    base: &'h str,
    h: &'h Hierarchies,
    pub(super) settings: Vec<Setting>,
    violations: Vec<Violation>,
    /// The odd rows that are compiled, and the controllers that are reported missing.
    done: Vec<Odd>,
    missing: Vec<&'static str>,
}

impl Draft<'_> {
    fn path(&self, field: &str) -> String {
        let dot = if self.base.is_empty() { "" } else { "." };
        format!("{}{dot}{field}", self.base)
    }

    pub(super) fn wrong(&mut self, field: &str, text: impl Into<String>) {
        self.violations.push(Violation::rule(self.path(field), text));
    }

    /// The version with the controller; `None` after a violation if neither has it.
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
        value: impl Into<Value>,
        field: &str,
    ) -> &mut Setting {
        self.settings.push(Setting {
            version,
            controller: controller.to_owned(),
            file: file.to_owned(),
            value: value.into(),
            origin: self.path(field),
            fallback: None,
            missing_ok: false,
            usage: None,
            unset: None,
        });
        let last = self.settings.len() - 1;
        &mut self.settings[last]
    }

    /// Compile a row of the table.
    fn limit(&mut self, limit: &'static Limit, resources: &Resources) {
        let Some(value) = limit.asked(resources) else { return };
        match limit.v2 {
            File::Gone(_) | File::Beside => return,
            _ if self.missing.contains(&limit.controller) => return,
            _ => {}
        }
        let Some(version) = self.version_of(limit.controller, limit.field) else {
            return self.missing.push(limit.controller);
        };
        let (file, value) = match (if version == V1 { limit.v1 } else { limit.v2 }, value) {
            (File::Max(file), Value::Number(..=-1)) => (file, Value::Max),
            (File::Plain(file) | File::Max(file), value) => (file, value),
            (File::No(why), _) => return self.wrong(limit.field, why),
            (File::Odd(odd), _) if !self.done.contains(&odd) => {
                self.done.push(odd);
                return match version {
                    V1 => v1::odd(self, odd, resources),
                    V2 => v2::odd(self, odd, resources),
                };
            }
            (File::Odd(_) | File::Beside | File::Gone(_), _) => return,
        };
        let missing_ok = limit.absent.is_some() && limit.absent == value.number();
        let controller = file.split('.').next().unwrap_or(file);
        self.set(version, (controller, file), value, limit.field).missing_ok = missing_ok;
    }

    /// Set cpu.idle. An idle group refuses shares, so that 0 is written before them and 1 after.
    pub(super) fn idle(&mut self, version: Version, idle: Option<i64>) {
        let Some(idle) = idle else { return };
        self.set(version, ("cpu", "cpu.idle"), idle, "cpu.idle").missing_ok = idle == 0;
        let first = self.settings.iter().position(|it| it.controller == "cpu");
        if let Some(first) = first.filter(|_| idle == 0) {
            self.settings[first..].rotate_right(1);
        }
    }

    fn block_devices(&mut self, b: &BlockIo) {
        let devices = throttles(b).iter().any(|(_, _, list)| !list.is_empty());
        if !devices && b.weight_device.is_empty() || self.missing.contains(&"io") {
            return;
        }
        match self.version_of("io", "blockIO") {
            Some(V1) => v1::block_devices(self, b),
            Some(V2) => v2::block_devices(self, b),
            None => {}
        }
    }

    fn hugetlb(&mut self, limits: &[HugepageLimit]) {
        for (index, limit) in limits.iter().enumerate() {
            let field = format!("hugepageLimits[{index}]");
            let size = &limit.page_size;
            let Some(version) = self.version_of("hugetlb", &field) else { return };
            let name = if version == V1 { "limit_in_bytes" } else { "max" };
            let file = format!("hugetlb.{size}.{name}");
            let reserved = format!("hugetlb.{size}.rsvd.{name}");
            self.set(version, ("hugetlb", &file), limit.limit, &field);
            // The file exists since Linux 5.7; before, the kernel did not limit reservations.
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
            let controller = file.split_once('.').map_or(file.as_str(), |(name, _)| name);
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
            // A file with a line per device accepts one line per write.
            let lines = text.trim_end_matches('\n').split('\n');
            for line in lines {
                self.set(V2, (controller, file), Value::read(line), &field);
            }
        }
    }
}

/// The value, unless it is 0: for runc and the engines 0 means "leave unchanged".
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

#[cfg(test)]
#[path = "compile_test.rs"]
mod tests;
