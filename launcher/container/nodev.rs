//! A container whose devices no cgroup limits: only device nodes that are bound into it work.
//!
//! The v1 devices controller, or a BPF program on a v2 cgroup, enforces device rules. Without
//! either, a process that makes a node, or finds one in the image, could open any device of the
//! host. So we take CAP_MKNOD from the container and make every mount `nodev`; the nodes of `/dev`
//! are bind mounts of the host's nodes, each a mount of its own. If config.json asks for devices
//! explicitly, the container gets them, with a warning.

use crate::cgroup::Cgroup;
use crate::compile;
use crate::error::{Error, Result};
use crate::spec::{DeviceRule, DeviceRuleKind, NamespaceKind, Process, Spec};
use crate::{log, sys};

const MKNOD: &str = "CAP_MKNOD";

/// File systems in which no device node can be made; the nodes of devpts are terminals.
const HARMLESS: [&str; 7] =
    ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "securityfs", "sysfs"];

/// Whether no cgroup limits the devices of a container that root starts. An unprivileged user's
/// container can open only the nodes that file permissions allow.
fn is_unlimited(cgroup: &Cgroup) -> bool {
    cgroup.v1("devices").is_none() && cgroup.v2().is_none() && !sys::user::is_rootless()
}

/// Whether we restrict this container's devices: no cgroup limits them, and its configuration does
/// not ask for all devices.
pub fn holds(spec: &Spec, cgroup: &Cgroup) -> bool {
    is_unlimited(cgroup) && asks_for_all(spec).is_none()
}

fn rules(spec: &Spec) -> &[DeviceRule] {
    let resources = spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    resources.map_or(&[], |resources| &resources.devices)
}

/// The field by which config.json asks for all devices: rules that allow all and deny none, as
/// `--privileged` writes them, or, without any rules, the capability to make nodes.
fn asks_for_all(spec: &Spec) -> Option<&'static str> {
    let rules = rules(spec);
    match rules.iter().rposition(is_whole) {
        Some(at) => rules[at..].iter().all(|rule| rule.allow).then_some("linux.resources.devices"),
        None => {
            let named = spec.process.as_ref().is_some_and(has_mknod);
            (rules.is_empty() && named).then_some("process.capabilities")
        }
    }
}

/// Whether a rule is about every device and every access.
fn is_whole(rule: &DeviceRule) -> bool {
    let any = |number: Option<i64>| number.is_none_or(|number| number == -1);
    let access = rule.access.as_deref().unwrap_or("rwm");
    rule.kind.is_none_or(|kind| kind == DeviceRuleKind::All)
        && any(rule.major)
        && any(rule.minor)
        && "rwm".chars().all(|letter| access.contains(letter))
}

fn has_mknod(process: &Process) -> bool {
    process.capabilities.as_ref().is_some_and(|sets| sets.has(MKNOD))
}

/// If no cgroup limits the container's devices, make its mounts `nodev` and, without a user
/// namespace, remove CAP_MKNOD; unless config.json asks for all devices. Return whether this was
/// done.
///
/// # Errors
/// The container has no mount namespace in which device nodes could be disabled.
pub fn judge(spec: &mut Spec, cgroup: &Cgroup) -> Result<bool> {
    if !is_unlimited(cgroup) {
        return Ok(false);
    }
    if let Some(field) = asks_for_all(spec) {
        log::warning(&format!(
            "{field}: no cgroup limits devices: the container can use every device of the host"
        ));
        return Ok(false);
    }
    if !rules(spec).is_empty() {
        log::warning(
            "linux.resources.devices: not in force without a cgroup: there is no CAP_MKNOD, and \
             only nodes that are bound into the container work",
        );
    }
    mounts(spec);
    if let Some(process) = spec.process.as_mut().filter(|_| !in_user_namespace(&spec.linux)) {
        without_mknod(process);
    }
    if compile::inherits_mounts(spec) {
        let text = "linux.namespaces: no mount namespace, in which devices could be closed, and no \
                    device cgroup either";
        return Err(Error::new(text).hint("add {\"type\": \"mount\"} to linux.namespaces"));
    }
    Ok(true)
}

/// Whether the container has a user namespace: mknod(2) of a device fails in it, whatever the
/// capabilities there.
fn in_user_namespace(linux: &Option<crate::spec::Linux>) -> bool {
    linux.iter().flat_map(|linux| &linux.namespaces).any(|it| it.kind == NamespaceKind::User)
}

/// Make every mount that may hold device nodes `nodev`, unless its options have `dev`.
pub fn mounts(spec: &mut Spec) {
    for (index, mount) in spec.mounts.iter_mut().enumerate() {
        let kind = mount.kind.as_deref().unwrap_or_default();
        if !mount.is_bind() && HARMLESS.contains(&kind) {
            continue;
        }
        if mount.options.asks_for_devices() {
            let place = mount.origin(index);
            log::warning(&format!("{place}: dev, and no cgroup limits devices: its nodes work"));
            continue;
        }
        mount.options.extend(["nodev", "rnodev"]);
    }
}

/// Remove CAP_MKNOD from a process, and return whether the process had it.
pub fn without_mknod(process: &mut Process) -> bool {
    let had = has_mknod(process);
    if let Some(capabilities) = &mut process.capabilities {
        capabilities.remove(MKNOD);
    }
    had
}

/// Remove CAP_MKNOD from a process of `exec` as [`judge`] does, with a warning if the container's
/// own process does not ask for it.
pub fn judge_exec(spec: &Spec, cgroup: &Cgroup, process: &mut Process) {
    let bounded = holds(spec, cgroup) && !in_user_namespace(&spec.linux);
    if bounded && without_mknod(process) && !spec.process.as_ref().is_some_and(has_mknod) {
        log::warning("CAP_MKNOD is left out: no cgroup limits the container's devices");
    }
}
