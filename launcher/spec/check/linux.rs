//! Rules for the other properties of `linux`: paths, network devices, RDT, memory policy,
//! personality.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::namespaces::{add, find};
use super::resources::list;
use super::{Findings, paths};
use crate::spec::json::quote;
use crate::spec::paths::lexical;
use crate::spec::{
    IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode, NamespaceKind,
};

/// Longest name of a network interface, in bytes, without the NUL (IFNAMSIZ).
const MAX_INTERFACE: usize = 15;

/// Directories of resctrl that are not classes of service.
const NOT_A_CLASS: [&str; 5] = [".", "..", "info", "mon_data", "mon_groups"];

pub fn check(f: &mut Findings, linux: &Linux) {
    covered(f, linux);
    if let Some(path) = &linux.cgroups_path {
        let _fits = paths::length(f, "linux.cgroupsPath", path)
            && paths::no_parent(f, "linux.cgroupsPath", path);
    }
    net_devices(f, linux);
    if let Some(rdt) = &linux.intel_rdt {
        intel_rdt(f, rdt);
    }
    if let Some(policy) = &linux.memory_policy {
        memory_policy(f, policy);
    }
    if linux.personality.as_ref().is_some_and(|personality| !personality.flags.is_empty()) {
        let text = "ignored: the specification reserves flags and names none";
        f.warn("linux.personality.flags", text);
    }
}

/// Check `maskedPaths` and `readonlyPaths`. Init resolves them inside the root, so a path with `..`
/// or without a leading `/` cannot lead out of it, and is accepted.
fn covered(f: &mut Findings, linux: &Linux) {
    for (name, list) in
        [("maskedPaths", &linux.masked_paths), ("readonlyPaths", &linux.readonly_paths)]
    {
        for (index, path) in list.iter().enumerate() {
            let field = format_args!("linux.{name}[{index}]");
            let shown = quote(path);
            paths::length(f, field, path);
            if path.is_empty() {
                f.warn(field, "empty: it has no effect");
            } else if lexical(path).is_empty() && name == "maskedPaths" {
                f.warn(field, format!("{shown} is the root itself, which cannot be masked"));
            } else if !path.starts_with('/') {
                f.warn(field, format!("{shown} is not an absolute path: taken from /"));
            }
        }
    }
}

/// Check that a network interface can have this name, as the kernel's dev_valid_name() does.
pub fn interface(f: &mut Findings, field: impl Display, name: &str) {
    let shown = quote(name);
    if name.is_empty() || matches!(name, "." | "..") {
        f.wrong(field, format!("{shown} is not the name of a network interface"));
    } else if name.len() > MAX_INTERFACE {
        f.wrong(field, format!("{shown} has {} bytes; at most {MAX_INTERFACE}", name.len()));
    } else if let Some(c) = name.chars().find(|c| "/:".contains(*c) || c.is_whitespace()) {
        f.wrong(field, format!("{shown} has {c:?}, which no network interface can have"));
    }
}

fn net_devices(f: &mut Findings, linux: &Linux) {
    const FIELD: &str = "linux.netDevices";
    if !linux.net_devices.is_empty() && find(Some(linux), NamespaceKind::Network).is_none() {
        let text = "without a network namespace, network devices stay where they are";
        f.warn(FIELD, format!("{text}; {}", add(NamespaceKind::Network)));
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (host, device) in &linux.net_devices {
        let field = format!("{FIELD}[{host:?}]");
        interface(f, &field, host);
        if let Some(name) = &device.name {
            interface(f, format_args!("{field}.name"), name);
        }
        let name = device.name.as_deref().unwrap_or(host);
        // The kernel replaces %d by a free number, so two devices may have the same such name.
        if let Some(other) = seen.insert(name, host).filter(|_| !name.contains("%d")) {
            f.wrong(field, format!("would be named {} as {} is", quote(name), quote(other)));
        }
    }
}

/// Check `intelRdt`, by the kernel's Documentation/filesystems/resctrl.rst.
fn intel_rdt(f: &mut Findings, rdt: &IntelRdt) {
    if let Some(class) = &rdt.clos_id {
        // "/" is the default class of service.
        let directory = !class.contains('/') && !NOT_A_CLASS.contains(&class.as_str());
        if class != "/" && !directory {
            let text = format!("{} cannot be a directory of resctrl", quote(class));
            f.wrong("linux.intelRdt.closID", text);
        } else if class.len() > 255 {
            let text = format!("{} bytes; at most 255", class.len());
            f.wrong("linux.intelRdt.closID", text);
        }
    }
    for (index, line) in rdt.schemata.iter().enumerate() {
        if line.is_empty() || line.contains('\n') {
            let text = format!("{} is not one line of a schemata file", quote(line));
            f.wrong(format_args!("linux.intelRdt.schemata[{index}]"), text);
        }
    }
}

/// Check what set_mempolicy(2) would refuse with EINVAL, which does not say what is wrong.
fn memory_policy(f: &mut Findings, policy: &MemoryPolicy) {
    use MemoryPolicyFlag::{NumaBalancing, RelativeNodes, StaticNodes};
    use MemoryPolicyMode::{Bind, Default, Local, Preferred, PreferredMany};
    list(f, format_args!("linux.memoryPolicy.nodes"), policy.nodes.as_deref());
    let mode = policy.mode.word();
    match (policy.mode, policy.nodes.is_some()) {
        (Default | Local, true) => f.wrong("linux.memoryPolicy.nodes", format!("{mode} has none")),
        (Default | Local | Preferred, _) | (_, true) => {}
        (_, false) => f.wrong("linux.memoryPolicy.nodes", format!("missing; {mode} needs some")),
    }
    let has = |flag| policy.flags.contains(&flag);
    if has(NumaBalancing) && !matches!(policy.mode, Bind | PreferredMany) {
        let text = format!("MPOL_F_NUMA_BALANCING is not for {mode}");
        f.wrong("linux.memoryPolicy.flags", text);
    }
    if has(StaticNodes) && has(RelativeNodes) {
        let text = "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other";
        f.wrong("linux.memoryPolicy.flags", text);
    } else if (has(StaticNodes) || has(RelativeNodes)) && policy.nodes.is_none() {
        f.wrong("linux.memoryPolicy.flags", format!("{mode} without nodes has no flags for them"));
    }
}
