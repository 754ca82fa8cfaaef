//! The rules across the fields of config.json. One pass finds everything that is wrong.
//!
//! Pure: no system call, no environment. `host` and `compile` decide what depends on the host, such
//! as whether a path exists or the kernel knows a file system; `seccomp` has the rules for filters.

mod devices;
mod linux;
mod mounts;
mod namespaces;
mod paths;
mod process;
pub(super) mod resources;
mod sysctl;

use std::fmt::{Arguments, Display};

use super::json::{Violation, quote};
use super::{Hook, Hooks, Process, Resources, Root, Spec, is_id};

pub use mounts::BELOW_PROC;
pub use sysctl::{file as sysctl_file, value as sysctl_value};

/// The versions of the specification that tiny-ce implements.
pub const VERSIONS: &str = "1.0.0 to 1.3.x";

/// The newest minor version of the specification that tiny-ce implements.
const NEWEST_MINOR: u64 = 3;

/// The path of the field that is checked. It becomes text only if something is wrong with the
/// field.
pub(super) type At<'a> = Arguments<'a>;

/// Exceptions from the rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allow {
    /// `root.path` may be `/`: the root file system is read through an overlay, not pivoted to.
    pub host_root: bool,
}

/// What the rules found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Fields that must be changed.
    pub violations: Vec<Violation>,
    /// Fields that are accepted, but have no effect, or another effect than it seems.
    pub warnings: Vec<Violation>,
}

impl Findings {
    fn wrong(&mut self, path: impl Display, text: impl Into<String>) {
        self.violations.push(Violation::rule(path.to_string(), text));
    }

    fn wrong_hint(&mut self, path: impl Display, text: impl Into<String>, hint: impl Into<String>) {
        self.violations.push(Violation::rule(path.to_string(), text).hint(hint));
    }

    fn warn(&mut self, path: impl Display, text: impl Into<String>) {
        self.warnings.push(Violation::rule(path.to_string(), text));
    }

    /// Check that `number` is the id of a user or a group.
    fn id(&mut self, path: impl Display, number: u32) {
        if !is_id(number) {
            self.wrong(path, "4294967295 means \"no change\" to the kernel; 0 to 4294967294");
        }
    }

    /// Check that `value` is from `low` to `high`; the message has all three.
    fn range(&mut self, path: impl Display, value: impl Into<i128>, low: i128, high: i128) {
        let value = value.into();
        if !(low..=high).contains(&value) {
            self.wrong(path, format!("{value} is out of range; {low} to {high}"));
        }
    }
}

/// Check a whole config.json by every rule.
pub fn check(spec: &Spec, allow: Allow) -> Findings {
    let mut f = Findings::default();
    version(&mut f, spec.oci_version.as_deref());
    root(&mut f, spec.root.as_ref(), allow);
    if let Some(process) = &spec.process {
        process::check(&mut f, format_args!("process."), process);
    }
    mounts::check(&mut f, spec, allow);
    hooks(&mut f, spec.hooks.as_ref());
    if spec.annotations.contains_key("") {
        f.warn("annotations", "a key is empty, which the specification forbids");
    }
    namespaces::check(&mut f, spec);
    if let Some(linux) = &spec.linux {
        devices::check(&mut f, &linux.devices);
        sysctl::check(&mut f, spec, linux);
        linux::check(&mut f, linux);
        if let Some(resources) = &linux.resources {
            resources::check(&mut f, format_args!("linux.resources."), resources);
            let zero = resources.pids.as_ref().is_some_and(|pids| pids.limit == Some(0));
            // Before version 1.3 of the specification, callers wrote 0 for "no limit".
            if zero && spec.minor_version() >= Some(3) {
                let text = "0 is taken as no limit, as runc and crun take it; -1 says so";
                f.warn("linux.resources.pids.limit", text);
            }
        }
    }
    f
}

/// Check a process alone, such as that of `exec --process`.
pub fn check_process(process: &Process) -> Findings {
    let mut f = Findings::default();
    process::check(&mut f, format_args!(""), process);
    f
}

/// Check resources alone, such as those of `update --resources`.
pub fn check_resources(resources: &Resources) -> Findings {
    let mut f = Findings::default();
    resources::check(&mut f, format_args!(""), resources);
    f
}

/// Check `ociVersion`: SemVer 2.0.0, compatible within a major version. No version is refused,
/// since runc and crun ignore the version as well, and only read the fields.
fn version(f: &mut Findings, version: Option<&str>) {
    const PATH: &str = "ociVersion";
    let Some(version) = version else {
        return f.warn(PATH, format!("missing or empty; taken as one of {VERSIONS}"));
    };
    let shown = quote(version);
    match semver(version) {
        Some((1, minor)) if minor > NEWEST_MINOR => f.warn(
            PATH,
            format!("{shown} is newer than {VERSIONS}; what is new in it is unknown, and ignored"),
        ),
        Some((1, _)) => {}
        Some(_) => f.warn(PATH, format!("{shown} is taken as one of {VERSIONS}")),
        None => {
            let text = "is not a version such as 1.2.0 (SemVer 2.0.0)";
            f.warn(PATH, format!("{shown} {text}; taken as one of {VERSIONS}"));
        }
    }
}

impl Spec {
    /// Return the minor number of `ociVersion`.
    pub fn minor_version(&self) -> Option<u64> {
        semver(self.oci_version.as_deref()?).map(|(_, minor)| minor)
    }
}

/// Return the major and the minor number of a SemVer 2.0.0 version.
fn semver(version: &str) -> Option<(u64, u64)> {
    let (version, build) = version.split_once('+').unwrap_or((version, "0"));
    let (core, before) = version.split_once('-').unwrap_or((version, "0"));
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !build.split('.').all(word) || !before.split('.').all(word) {
        return None;
    }
    let number = |part: &str| {
        let plain = part == "0" || !part.starts_with('0');
        (plain && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u64>().ok())?
    };
    let mut parts = core.split('.');
    let (major, minor) = (number(parts.next()?)?, number(parts.next()?)?);
    number(parts.next()?)?;
    parts.next().is_none().then_some((major, minor))
}

fn root(f: &mut Findings, root: Option<&Root>, allow: Allow) {
    let Some(root) = root else {
        return f.wrong("root", "required, and missing");
    };
    if root.path.is_empty() {
        f.wrong("root.path", "empty; the root file system's directory is needed");
    } else if root.path.starts_with('/') && paths::clean(&root.path) == "/" && !allow.host_root {
        f.wrong_hint(
            "root.path",
            format!("{} is the host's own root", quote(&root.path)),
            "give a directory; \"tiny-ce run\" without a bundle uses the host's files, unchanged",
        );
    }
    paths::length(f, "root.path", &root.path);
}

fn hooks(f: &mut Findings, hooks: Option<&Hooks>) {
    let Some(hooks) = hooks else { return };
    let kinds: [(&str, &[Hook]); 6] = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, list) in kinds {
        for (index, hook) in list.iter().enumerate() {
            let base = format!("hooks.{kind}[{index}]");
            hook_path(f, kind, format_args!("{base}.path"), &hook.path);
            if let Some(timeout @ ..=0) = hook.timeout {
                let text = format!("{timeout} is out of range; at least 1 (seconds)");
                f.wrong(format_args!("{base}.timeout"), text);
            }
        }
    }
}

/// Check the path of a hook. The specification asks for an absolute path; runc and crun take a
/// relative one, too, which is a warning here. A name without a slash is refused, since runc looks
/// for it in the bundle, and crun in PATH.
fn hook_path(f: &mut Findings, kind: &str, field: At<'_>, path: &str) {
    if path.starts_with('/') || !path.contains('/') {
        paths::absolute(f, field, path);
    } else if paths::length(f, field, path) {
        let from = if kind == "startContainer" { "process.cwd" } else { "the bundle" };
        let text = "is not an absolute path, which the specification asks for; taken as one below";
        f.warn(field, format!("{} {text} {from}", quote(path)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0+dev.1", "1.0.0-rc.1+x-y"] {
            assert_eq!(semver(good).map(|v| v.0), Some(1), "{good}");
        }
        for bad in ["", "1", "1.0", "1.0.0.0", "01.0.0", "v1.0.0", "1.0.0-", "1.0.0-a..b", "1.0.0+"]
        {
            assert_eq!(semver(bad), None, "{bad}");
        }
    }
}
