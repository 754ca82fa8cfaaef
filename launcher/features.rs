//! `features`: what this runtime recognises, in the format of the specification's features.md.
//!
//! The lists come from the tables that the other modules use, so that they cannot differ from them.
//! Only the seccomp flags depend on the machine: they are those that its kernel accepts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::seccomp::Arch;
use crate::spec::names::CAPABILITIES;
use crate::spec::options::OPTIONS;
use crate::spec::{
    MemoryPolicyFlag, MemoryPolicyMode, NamespaceKind, SeccompAction, SeccompFlag, SeccompOperator,
};
use crate::state::OCI_VERSION;
use crate::sys;

/// The oldest version of the specification that we accept.
const OLDEST: &str = "1.0.0";

/// The kinds of hooks, in the order in which they run.
const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Annotations of a config.json that change our behaviour, so a caller should check them before it
/// passes on an untrusted config.json. An entry that ends with a dot is a prefix.
const UNSAFE_ANNOTATIONS: &[&str] =
    &[crate::criu::ANNOTATION, crate::systemd::properties::ANNOTATION];

/// Facts that only the command line knows.
#[derive(Debug, Clone, Copy)]
pub struct Offered {
    /// Cgroups can be made by systemd.
    pub systemd: bool,
    /// Containers can be checkpointed and restored.
    pub checkpoint: bool,
    /// The revision of the source that was built.
    pub commit: &'static str,
}

/// features.md, "Features structure".
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: [&'static str; 6],
    mount_options: Vec<&'static str>,
    linux: Linux,
    annotations: BTreeMap<&'static str, String>,
    potentially_unsafe_config_annotations: &'static [&'static str],
}

/// features-linux.md.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Vec<&'static str>,
    capabilities: &'static [&'static str],
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Debug, Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: Vec<&'static str>,
    operators: Vec<&'static str>,
    archs: Vec<&'static str>,
    known_flags: Vec<&'static str>,
    supported_flags: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct MemoryPolicy {
    modes: Vec<&'static str>,
    flags: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Debug, Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

/// All features.
pub fn features(offered: Offered) -> Features {
    let yes = || Enabled { enabled: true };
    let annotations = [
        ("io.tiny-ce.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("io.tiny-ce.commit", offered.commit.to_owned()),
        ("io.tiny-ce.checkpoint.enabled", offered.checkpoint.to_string()),
    ];
    Features {
        oci_version_min: OLDEST,
        oci_version_max: OCI_VERSION,
        hooks: HOOKS,
        mount_options: OPTIONS.iter().map(|(name, _)| *name).collect(),
        linux: Linux {
            namespaces: NamespaceKind::ALL.iter().map(|kind| kind.word()).collect(),
            capabilities: &CAPABILITIES,
            cgroup: Cgroup {
                v1: true,
                v2: true,
                systemd: offered.systemd,
                systemd_user: offered.systemd,
                rdma: true,
            },
            seccomp: seccomp(),
            apparmor: yes(),
            selinux: yes(),
            intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
            memory_policy: MemoryPolicy {
                modes: MemoryPolicyMode::ALL.iter().map(|mode| mode.word()).collect(),
                flags: MemoryPolicyFlag::ALL.iter().map(|flag| flag.word()).collect(),
            },
            mount_extensions: MountExtensions { idmap: yes() },
            net_devices: yes(),
        },
        annotations: annotations.into_iter().collect(),
        potentially_unsafe_config_annotations: UNSAFE_ANNOTATIONS,
    }
}

fn seccomp() -> Seccomp {
    let flags = SeccompFlag::ALL.iter();
    let takes = |flag: &&SeccompFlag| sys::seccomp::takes(crate::seccomp::flag_bit(**flag));
    Seccomp {
        enabled: true,
        actions: SeccompAction::ALL.iter().map(|action| action.word()).collect(),
        operators: SeccompOperator::ALL.iter().map(|operator| operator.word()).collect(),
        archs: Arch::words().collect(),
        known_flags: flags.clone().map(|flag| flag.word()).collect(),
        supported_flags: flags.filter(takes).map(|flag| flag.word()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Spec, json};

    #[test]
    fn every_kind_of_hook_is_one_that_is_read() {
        for kind in HOOKS {
            let text = format!("{{\"hooks\": {{\"{kind}\": [{{\"path\": \"/x\"}}]}}}}");
            let spec: Spec = json::read(text.as_bytes()).expect("a config");
            let hooks = spec.hooks.expect("hooks");
            let lists = [
                hooks.prestart,
                hooks.create_runtime,
                hooks.create_container,
                hooks.start_container,
                hooks.poststart,
                hooks.poststop,
            ];
            assert_eq!(lists.iter().filter(|list| !list.is_empty()).count(), 1, "{kind}");
        }
    }

    #[test]
    fn the_shape_is_the_specification_s() {
        let offered = Offered { systemd: true, checkpoint: false, commit: "c0ffee" };
        let all = serde_json::to_value(features(offered)).expect("JSON");
        assert_eq!(all["ociVersionMin"], "1.0.0");
        assert_eq!(all["linux"]["cgroup"]["systemdUser"], true);
        assert_eq!(all["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!(all["annotations"]["io.tiny-ce.checkpoint.enabled"], "false");
        let known = all["linux"]["seccomp"]["knownFlags"].as_array().expect("flags");
        let supported = all["linux"]["seccomp"]["supportedFlags"].as_array().expect("flags");
        assert!(known.len() == 4 && supported.iter().all(|flag| known.contains(flag)));
        for list in ["hooks", "mountOptions", "potentiallyUnsafeConfigAnnotations"] {
            assert!(all[list].is_array(), "{list}");
        }
    }
}
