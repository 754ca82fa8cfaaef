//! What a test needs of the machine, and how a test reports that it was skipped.
//!
//! A skip is always visible: one line on the real standard error, past libtest's capture. With
//! `TINY_CE_CI=1` a skip is a failure, so that CI cannot pass by running nothing.

use crate::Peer;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Something without which a test cannot run.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Root that may mount, and may make devices and cgroups.
    Root,
    /// A program on PATH.
    Program(&'static str),
    /// A current runtime to compare with, which `.ci/peers` fetches.
    Peer(Peer),
    /// A file or directory of the machine.
    File(&'static str),
    /// Any cgroup v1 hierarchy with this controller.
    CgroupV1(&'static str),
    /// cgroup v2 at /sys/fs/cgroup with this controller; "" asks for no controller.
    CgroupV2(&'static str),
    /// This version of the kernel, or a later one.
    Linux(u32, u32),
    /// CRIU, and a kernel on which CRIU works.
    Criu,
    /// A kernel that enforces AppArmor's profiles, with the file system that loads them.
    AppArmor,
    /// A kernel that enforces SELinux's labels, with the policy test/vm/selinux.conf loaded.
    SeLinux,
    /// The rootfs of another distribution release: `$TINY_CE_ROOTFS`, or target/rootfs.
    Distribution,
}

/// Print `skipped: REASON`; with `TINY_CE_CI=1`, fail.
///
/// `TINY_CE_MAY_SKIP` lists words, separated by commas; CI tolerates a skip whose reason contains
/// one of them, because no machine has both versions of cgroups.
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let allowed = std::env::var("TINY_CE_MAY_SKIP").unwrap_or_default();
    let allowed = allowed.split(',').any(|word| !word.is_empty() && reason.contains(word));
    if !allowed && std::env::var_os("TINY_CE_CI").is_some_and(|value| value == "1") {
        panic!("skipped: {reason}: with TINY_CE_CI=1 nothing may be skipped");
    }
    // Not eprintln!, which libtest captures.
    let _ = std::io::stderr().write_all(format!("skipped: {name}: {reason}\n").as_bytes());
}

/// Whether the machine has all of `needs`; [`skip`] reports the first missing one.
pub fn met(needs: &[Need]) -> bool {
    let missing = needs.iter().copied().find_map(missing);
    if let Some(reason) = &missing {
        skip(reason);
    }
    missing.is_none()
}

/// Why this machine does not have it.
pub fn missing(need: Need) -> Option<String> {
    let (there, reason) = match need {
        Need::Root => (is_root(), "needs root".to_owned()),
        Need::Program(name) => (program(name).is_some(), format!("needs the program {name}")),
        Need::Peer(peer) => (
            peer.path().is_some(),
            format!("needs target/peers/bin/{}, which .ci/peers fetches", peer.name()),
        ),
        Need::File(path) => (Path::new(path).exists(), format!("needs {path}")),
        Need::CgroupV1(name) => {
            let dir = Path::new("/sys/fs/cgroup").join(name).join("tasks");
            (dir.exists(), format!("needs cgroup v1's {name}"))
        }
        Need::CgroupV2(name) => (has_cgroup_v2(name), format!("needs cgroup v2 with {name:?}")),
        Need::Linux(major, minor) => {
            (kernel() >= (major, minor), format!("needs Linux {major}.{minor}"))
        }
        Need::Criu => (criu_works(), "needs a kernel that passes criu check".to_owned()),
        Need::AppArmor => {
            let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
            let there = enabled.is_ok_and(|text| text.starts_with(b"Y"))
                && Path::new("/sys/kernel/security/apparmor/.replace").exists();
            (there, "needs a kernel with AppArmor".to_owned())
        }
        Need::SeLinux => {
            // The file accepts only contexts that the policy defines.
            let context =
                std::fs::write("/sys/fs/selinux/context", "system_u:system_r:tiny_ce_t:s0");
            (context.is_ok(), "needs a kernel with SELinux and the policy of test/vm".to_owned())
        }
        Need::Distribution => (
            distribution().is_some(),
            "needs a distribution's rootfs in $TINY_CE_ROOTFS or target/rootfs".to_owned(),
        ),
    };
    (!there).then_some(reason)
}

/// Major and minor version of the kernel, uname(2).
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// Whether `criu check` succeeds on this machine; run once.
fn criu_works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let check = Command::new("criu").arg("check").output();
        check.is_ok_and(|done| done.status.success())
    })
}

/// Whether cgroup v2 alone is mounted at /sys/fs/cgroup.
pub fn cgroup_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn has_cgroup_v2(controller: &str) -> bool {
    std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(|text| {
        controller.is_empty() || text.split_whitespace().any(|word| word == controller)
    })
}

pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The rootfs of [`Need::Distribution`].
pub(crate) fn distribution() -> Option<PathBuf> {
    let path = match std::env::var_os("TINY_CE_ROOTFS") {
        Some(path) => PathBuf::from(path),
        None => crate::tree().join("target/rootfs"),
    };
    path.join("etc/os-release").exists().then_some(path)
}
