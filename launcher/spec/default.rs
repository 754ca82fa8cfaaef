//! The config.json that `tiny-ce spec` writes: a shell in a root file system beside it.
//!
//! It is the config.json of `runc spec` with another version and host name, so that scripts that
//! change the one fit the other as well. Pure.

use super::idmap::Maps;
use super::*;
use crate::error::{Error, Result};

/// The version of the specification that a written config.json follows.
pub const VERSION: &str = "1.3.0";

/// Return what `runc spec` writes. `cgroup2` says whether /sys/fs/cgroup is of cgroup version 2
/// alone: the container then needs a cgroup namespace, to see its own cgroup only.
pub fn default(cgroup2: bool) -> Spec {
    let new = |kind| Namespace { kind, path: None };
    let mut namespaces: Vec<Namespace> = [
        NamespaceKind::Pid,
        NamespaceKind::Network,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Mount,
    ]
    .map(new)
    .to_vec();
    if cgroup2 {
        namespaces.push(new(NamespaceKind::Cgroup));
    }
    Spec {
        oci_version: Some(VERSION.to_owned()),
        process: Some(process()),
        root: Some(Root { path: "rootfs".to_owned(), readonly: true }),
        hostname: Some("tiny-ce".to_owned()),
        mounts: mounts(),
        linux: Some(linux(namespaces)),
        ..Spec::default()
    }
}

/// Return what `runc spec --rootless` writes for the user `uid` with the group `gid`: the user is
/// root of a user namespace, and nothing needs more ids or privileges.
pub fn rootless(uid: u32, gid: u32, cgroup2: bool) -> Spec {
    let mut spec = default(cgroup2);
    unprivileged(&mut spec, (vec![IdMapping::own(uid)], vec![IdMapping::own(gid)]));
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|n| n.kind != NamespaceKind::Network);
    }
    // Only the owner of the network namespace, here the host's, can mount a sysfs.
    for sys in spec.mounts.iter_mut().filter(|mount| mount.destination == "/sys") {
        *sys = mount("/sys", "none", "/sys", "rbind nosuid noexec nodev ro");
    }
    spec
}

/// Change a spec so that a user without privileges can run it.
pub(super) fn unprivileged(spec: &mut Spec, (uids, gids): Maps) {
    let has_tty = IdMapping::outside(&gids, TTY).is_some();
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
        (linux.uid_mappings, linux.gid_mappings) = (uids, gids);
        linux.resources = None;
    }
    if has_tty {
        return;
    }
    // The user namespace does not map the group that would own the terminals.
    for pts in spec.mounts.iter_mut().filter(|mount| mount.destination == "/dev/pts") {
        pts.options = options(PTS);
    }
}

/// Return the text of a config.json, indented by tabs as runc's is.
///
/// # Errors
/// A key is not a string; no `Spec` has such a key.
pub fn to_json(spec: &Spec) -> Result<String> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut to = serde_json::Serializer::with_formatter(&mut text, indent);
    serde::Serialize::serialize(spec, &mut to).map_err(|e| Error::new(e.to_string()))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|e| Error::new(e.to_string()))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn process() -> Process {
    let names = words("CAP_AUDIT_WRITE CAP_KILL CAP_NET_BIND_SERVICE");
    Process {
        terminal: true,
        user: Some(User::default()),
        args: words("sh"),
        env: words("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=xterm"),
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: names.clone(),
            effective: names.clone(),
            inheritable: Vec::new(),
            permitted: names,
            // An ambient capability has to be inheritable, too (capabilities(7)).
            ambient: Vec::new(),
        }),
        rlimits: vec![Rlimit {
            kind: "RLIMIT_NOFILE".to_owned(),
            hard: RlimitValue(1024),
            soft: RlimitValue(1024),
        }],
        no_new_privileges: true,
        ..Process::default()
    }
}

fn mount(destination: &str, kind: &str, source: &str, options: &str) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: self::options(options),
        ..Mount::default()
    }
}

fn options(words: &str) -> MountOptions {
    words.split_whitespace().collect()
}

const PTS: &str = "nosuid noexec newinstance ptmxmode=0666 mode=0620";

/// The group of terminals, tty, in every distribution.
const TTY: u32 = 5;

fn mounts() -> Vec<Mount> {
    let pts = format!("{PTS} gid={TTY}");
    vec![
        mount("/proc", "proc", "proc", ""),
        mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro"),
    ]
}

fn linux(namespaces: Vec<Namespace>) -> Linux {
    let masked = "/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats \
        /proc/timer_list /proc/timer_stats /proc/sched_debug /sys/firmware /proc/scsi";
    let readonly = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger";
    // Deny all devices; the default ones are allowed nevertheless.
    let deny_all = DeviceRule { access: Some("rwm".to_owned()), ..DeviceRule::default() };
    Linux {
        namespaces,
        resources: Some(Resources { devices: vec![deny_all], ..Resources::default() }),
        masked_paths: words(masked),
        readonly_paths: words(readonly),
        ..Linux::default()
    }
}
