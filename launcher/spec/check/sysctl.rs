//! Rules for `linux.sysctl`: a parameter has to belong to a namespace of the container.

use std::collections::BTreeMap;

use super::Findings;
use super::namespaces::{a, add, find};
use crate::spec::json::quote;
use crate::spec::{Linux, NamespaceKind, Spec};

/// Kernel parameters of an IPC namespace, ipc_namespaces(7).
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// Return the file of a parameter below /proc/sys. As in sysctl(8), the first `.` or `/` of a name
/// is its separator. If that is `.`, a `/` stands for a `.` inside a component: both
/// `net.ipv4.conf.eno2/100.x` and `net/ipv4/conf/eno2.100/x` are `net/ipv4/conf/eno2.100/x`.
pub fn file(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'.') => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// Return the config's value of the parameter with this file.
pub fn value<'s>(spec: &'s Spec, path: &str) -> Option<&'s str> {
    let all = spec.linux.as_ref()?.sysctl.iter();
    all.into_iter().find(|(name, _)| file(name) == path).map(|(_, value)| value.as_str())
}

pub fn check(f: &mut Findings, spec: &Spec, linux: &Linux) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in linux.sysctl.keys() {
        let field = format!("linux.sysctl[{name:?}]");
        let path = file(name);
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            f.wrong(field, "not the name of a kernel parameter");
            continue;
        }
        if path == "kernel/domainname" {
            domainname(f, &field, spec, &linux.sysctl[name]);
        }
        match needed(&path, &linux.sysctl[name], spec) {
            Ok(kind) if find(Some(linux), kind).is_none() => {
                let text = format!("needs {}; it would change the host", a(kind));
                f.wrong_hint(&field, text, add(kind));
            }
            Ok(_) => {}
            Err(text) => f.wrong(&field, text),
        }
        if let Some(first) = seen.insert(path, name) {
            f.warn(field, format!("the same parameter as {}, and set after it", quote(first)));
        }
    }
}

/// Warn if the property domainname differs from the parameter, which sets the same name.
fn domainname(f: &mut Findings, field: &str, spec: &Spec, value: &str) {
    if let Some(other) = spec.domainname.as_ref().filter(|name| *name != value) {
        let text =
            format!("{} is set, and not the property domainname, {}", quote(value), quote(other));
        f.warn(field, text);
    }
}

/// Return the namespace that a parameter belongs to, or why the parameter cannot be set.
fn needed(path: &str, value: &str, spec: &Spec) -> Result<NamespaceKind, &'static str> {
    match path {
        _ if IPC.contains(&path) || path.starts_with("fs/mqueue/") => Ok(NamespaceKind::Ipc),
        _ if path.starts_with("net/") => Ok(NamespaceKind::Network),
        _ if path.starts_with("user/") => Ok(NamespaceKind::User),
        // The parameter has the same value as the property hostname.
        "kernel/hostname" if spec.hostname.as_deref() == Some(value) => Ok(NamespaceKind::Uts),
        "kernel/hostname" => Err("conflicts with the property hostname; use that"),
        "kernel/domainname" => Ok(NamespaceKind::Uts),
        _ => Err("not of a namespace: it would change the whole host"),
    }
}

#[cfg(test)]
mod tests {
    use super::file;

    #[test]
    fn separators() {
        for (name, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eno2/100.rp_filter", "net/ipv4/conf/eno2.100/rp_filter"),
            ("net/ipv4/conf/eno2.100/rp_filter", "net/ipv4/conf/eno2.100/rp_filter"),
            ("net.//.kernel", "net/../kernel"),
            ("kernel", "kernel"),
        ] {
            assert_eq!(file(name), path);
        }
    }
}
