//! Programs and devices that some commands use.

use std::path::Path;

use super::user::Caller;
use super::{Finding, text};
use crate::errno::ErrnoName;
use crate::host::programs::find;
use crate::network;
use crate::usernet::{self, Usernet};

pub fn all(caller: &Caller) -> Vec<Finding> {
    let mut all = vec![
        program("ps", "the table of \"tiny-ce ps\"", "install procps"),
        program("criu", "\"tiny-ce checkpoint\" and \"tiny-ce restore\"", "install criu"),
    ];
    all.extend(Usernet::ALL.map(maker));
    all.extend([tun(), resctrl()]);
    if caller.administers {
        all.push(networks());
    }
    all
}

fn program(name: &'static str, user: &str, remedy: &str) -> Finding {
    match find(name) {
        Some(path) => Finding::ok(name, format!("{}, for {user}", path.display())),
        None => Finding::missing(name, format!("not on PATH; needed for {user}")).hint(remedy),
    }
}

/// A program that gives a container, also a user's, the internet.
fn maker(usernet: Usernet) -> Finding {
    let word = usernet.word();
    match find(word) {
        Some(path) => Finding::ok(word, format!("{}, for {}", path.display(), usernet.place())),
        None => {
            let text = format!("not on PATH; needed for {}", usernet.place());
            Finding::missing(word, text).hint(usernet.remedy())
        }
    }
}

fn tun() -> Finding {
    match usernet::tun() {
        Ok(()) => Finding::ok(usernet::TUN, "can be opened: pasta and slirp4netns can be used"),
        Err((e, hint)) => {
            let errno = ErrnoName(e.raw_os_error().unwrap_or(0));
            let text = format!("pasta and slirp4netns need it: openat(2): {errno}");
            Finding::missing(usernet::TUN, text).hint(hint)
        }
    }
}

/// Bridges and veth pairs, of which networks are made: tried in a network namespace of its own.
fn networks() -> Finding {
    const WHAT: &str = "networks";
    match network::attempt() {
        Ok(()) => Finding::ok(WHAT, "bridges and veth pairs can be made"),
        Err(_) if !Path::new("/proc/thread-self").exists() => {
            Finding::warn(WHAT, "unknown without /proc").hint("mount -t proc proc /proc")
        }
        Err(e) => Finding::missing(WHAT, e.line())
            .hint("modprobe bridge veth; \"tiny-ce network create\" needs them"),
    }
}

fn resctrl() -> Finding {
    const WHAT: &str = "resctrl";
    let Some(flags) = text("/proc/cpuinfo") else {
        return Finding::warn(WHAT, "unknown: /proc/cpuinfo cannot be read")
            .hint("mount -t proc proc /proc");
    };
    let flags = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = ["rdt_a", "cat_l3", "mba"].into_iter().any(|f| flags.split(' ').any(|it| it == f));
    let mounted = text("/proc/self/mounts").unwrap_or_default();
    let mounted = mounted.lines().any(|line| line.split(' ').nth(2) == Some("resctrl"));
    match (has, mounted) {
        (_, true) => Finding::ok(WHAT, "mounted: linux.intelRdt can be used"),
        (true, false) => Finding::warn(WHAT, "the processor has it, and it is not mounted")
            .hint("mount -t resctrl resctrl /sys/fs/resctrl, if a container has linux.intelRdt"),
        (false, false) => Finding::ok(WHAT, "the processor has no cache or bandwidth control"),
    }
}
