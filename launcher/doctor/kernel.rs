//! The kernel: its version, system calls, namespaces, filters, security modules, file systems.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::user::Caller;
use super::{Finding, text};
use crate::errno::ErrnoName;
use crate::spec::NamespaceKind;
use crate::sys::file::sealed_executable;
use crate::sys::{cgroupfs, mount, probe, seccomp};
use crate::{Error, Result};

/// The oldest kernel on which containers run: mount_setattr(2).
const OLDEST: (u32, u32) = (5, 12);

/// Features of newer kernels, each with the fallback on older ones.
const NEWER: [((u32, u32), &str); 5] = [
    ((5, 14), "cgroup.kill (without it, processes are killed one by one)"),
    ((5, 19), "id-mapped mounts of overlays"),
    ((6, 3), "id-mapped mounts of tmpfs"),
    ((6, 15), "the exit status that \"tiny-ce wait\" tells"),
    ((7, 0), "mount namespaces that begin with the rootfs alone"),
];

pub fn version() -> Finding {
    const WHAT: &str = "kernel";
    let release = release();
    let Some(found) = numbers(&release) else {
        return Finding::warn(WHAT, format!("release {release:?}, which is no version"))
            .hint("tiny-ce needs Linux 5.12 or later");
    };
    if found < OLDEST {
        return Finding::missing(WHAT, format!("Linux {release}; 5.12 or later is needed"))
            .hint(NEWER_KERNEL)
            .vital();
    }
    let newer: Vec<&str> = NEWER.iter().filter(|(at, _)| found < *at).map(|(_, it)| *it).collect();
    match newer.is_empty() {
        true => Finding::ok(WHAT, format!("Linux {release}")),
        false => Finding::ok(WHAT, format!("Linux {release}; without {}", newer.join(", "))),
    }
}

/// Whether this kernel is new enough for containers, by the newest system call that all need.
///
/// # Errors
/// It is not, or a filter hides the call.
pub fn required() -> Result<()> {
    if probe::NEWEST.errno() != libc::ENOSYS {
        return Ok(());
    }
    let text = format!(
        "this kernel is Linux {}, and tiny-ce needs 5.12 or later: mount_setattr(2): {}",
        release(),
        ErrnoName(libc::ENOSYS)
    );
    Err(Error::new(text).hint(if is_old() { NEWER_KERNEL } else { OUTSIDE }))
}

const NEWER_KERNEL: &str = "install a newer kernel";
const OUTSIDE: &str = "a system call filter around this session forbids that; run outside of it";

/// Whether the kernel says that it is too old: then no filter hides its system calls.
fn is_old() -> bool {
    numbers(&release()).is_some_and(|found| found < OLDEST)
}

/// The kernel's release by /proc, since uname(2) may report another (personality(2), UNAME26).
fn release() -> String {
    text("/proc/sys/kernel/osrelease").unwrap_or_else(probe::release)
}

/// `6.1.0-28-amd64` → 6, 1.
fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub fn procfs() -> Finding {
    const WHAT: &str = "/proc";
    if cgroupfs::fs_type_of("/proc").ok() != Some(libc::PROC_SUPER_MAGIC) {
        return Finding::missing(WHAT, "is not a procfs").hint("mount -t proc proc /proc").vital();
    }
    let mounts = text("/proc/self/mountinfo").unwrap_or_default();
    match hidden(&mounts) {
        Some(option) => Finding::warn(WHAT, format!("mounted with {option}"))
            .hint("users other than root cannot tell the state of containers that others run"),
        None => Finding::ok(WHAT, "a procfs that hides nothing"),
    }
}

pub fn root() -> Finding {
    const WHAT: &str = "root directory";
    if probe::is_mount_point("/") {
        return Finding::ok(WHAT, "a mount point");
    }
    let finding = Finding::missing(WHAT, "no mount point, as in a chroot")
        .hint("mount --bind DIRECTORY DIRECTORY before chroot(8) into it");
    // A mount namespace that begins with the rootfs needs nothing of the caller's root.
    if probe::tree_namespaces() { finding } else { finding.vital() }
}

/// The file that covers masked paths.
pub fn null_device() -> Finding {
    const WHAT: &str = "/dev/null";
    let there = std::fs::metadata(WHAT).is_ok_and(|it| it.file_type().is_char_device());
    match there {
        true => Finding::ok(WHAT, "a device that can cover masked paths"),
        false => Finding::missing(WHAT, "not a device; containers with masked paths need it")
            .hint("mount -t devtmpfs devtmpfs /dev"),
    }
}

/// The mount option of procfs that hides processes of other users, proc(5).
fn hidden(mountinfo: &str) -> Option<&str> {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc"))?;
    let options = line.rsplit(' ').next()?.split(',');
    options.into_iter().find(|option| {
        let value = option.strip_prefix("hidepid=");
        value.is_some_and(|value| !matches!(value, "0" | "off"))
    })
}

/// A seccomp filter around us may forbid calls that the kernel has.
pub fn system_calls(caller: &Caller) -> Finding {
    const WHAT: &str = "system calls";
    let refused = probe::CALLS.iter().filter(|call| {
        let errno = call.errno();
        // Some calls check the caller's privileges before their arguments, and return EPERM.
        errno == libc::ENOSYS || errno == libc::EPERM && caller.mounts()
    });
    let refused: Vec<&str> = refused.map(|call| call.name).collect();
    match refused.is_empty() {
        true => Finding::ok(WHAT, "those of detached mounts, pidfds and clone3"),
        false => Finding::missing(WHAT, format!("{} cannot be called here", refused.join(", ")))
            .hint(if is_old() { NEWER_KERNEL } else { OUTSIDE })
            .vital(),
    }
}

/// Try each kind of namespace, in a child that ends at once.
pub fn namespaces(caller: &Caller) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut good = Vec::new();
    for kind in NamespaceKind::ALL {
        match attempt(*kind, caller) {
            Ok(()) => good.push(kind.word()),
            Err(e) => all.push(refused(*kind, caller, &e)),
        }
    }
    all.insert(0, Finding::ok("namespaces", format!("can be made: {}", good.join(", "))));
    if good.is_empty() {
        all.remove(0);
    }
    all
}

fn attempt(kind: NamespaceKind, caller: &Caller) -> io::Result<()> {
    let user = NamespaceKind::User.flag().0 as i32;
    let before = if caller.administers || kind == NamespaceKind::User { 0 } else { user };
    probe::can_unshare(before, kind.flag().0 as i32)
}

fn refused(kind: NamespaceKind, caller: &Caller, e: &io::Error) -> Finding {
    let what = match kind {
        NamespaceKind::Pid => "pid namespaces",
        NamespaceKind::Network => "network namespaces",
        NamespaceKind::Mount => "mount namespaces",
        NamespaceKind::Ipc => "ipc namespaces",
        NamespaceKind::Uts => "uts namespaces",
        NamespaceKind::User => "user namespaces",
        NamespaceKind::Cgroup => "cgroup namespaces",
        NamespaceKind::Time => "time namespaces",
    };
    let errno = e.raw_os_error().unwrap_or(0);
    // Root of a user namespace runs bundles without a new one; its other containers need one.
    let user = kind == NamespaceKind::User;
    let less = match user && caller.administers && caller.nested {
        true => ": only bundles without one can run, and no \"run\" without a bundle",
        false => "",
    };
    let finding = Finding::missing(what, format!("unshare(2): {}{less}", ErrnoName(errno)));
    let finding = finding.hint(remedy(kind, errno));
    let needed = kind == NamespaceKind::Mount || user && !caller.administers;
    if needed { finding.vital() } else { finding }
}

/// How to permit this kind of namespace, as far as /proc shows what forbids it.
fn remedy(kind: NamespaceKind, errno: i32) -> String {
    let file = match kind {
        NamespaceKind::Network => "net",
        NamespaceKind::Mount => "mnt",
        kind => kind.word(),
    };
    let limit = format!("/proc/sys/user/max_{file}_namespaces");
    let switched_off = |path: &str, off: &str| text(path).is_some_and(|text| text == off);
    let exists = |path: &str| std::fs::metadata(path).is_ok();
    if exists("/proc/self/ns") && !exists(&format!("/proc/self/ns/{file}")) {
        return "the kernel was built without them".to_owned();
    }
    if switched_off(&limit, "0") {
        return format!("sysctl -w user.max_{file}_namespaces=10000");
    }
    if switched_off("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "sysctl -w kernel.unprivileged_userns_clone=1, or run as root".to_owned();
    }
    if switched_off("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, an AppArmor profile for \
                tiny-ce with the rule userns, or run as root"
            .to_owned();
    }
    match errno {
        libc::ENOSPC => format!("too many exist; see {limit}"),
        _ => "run as root, outside of a sandbox or chroot(8) that forbids them".to_owned(),
    }
}

pub fn seccomp() -> Finding {
    const WHAT: &str = "seccomp";
    match seccomp::takes(0) {
        true => Finding::ok(WHAT, "system call filters can be set"),
        false => Finding::missing(WHAT, "the kernel has no system call filters")
            .hint("containers with linux.seccomp are refused; a kernel with CONFIG_SECCOMP_FILTER"),
    }
}

/// The security modules that a label in config.json needs.
pub fn modules() -> Finding {
    const WHAT: &str = "security modules";
    let apparmor = text("/sys/module/apparmor/parameters/enabled").as_deref() == Some("Y");
    let selinux = text("/sys/fs/selinux/enforce").map(|mode| match mode.as_str() {
        "1" => "SELinux (enforcing)",
        _ => "SELinux (permissive)",
    });
    let labels: Vec<&str> = apparmor.then_some("AppArmor").into_iter().chain(selinux).collect();
    if cgroupfs::fs_type_of("/sys").ok() != Some(libc::SYSFS_MAGIC) {
        return Finding::warn(WHAT, "unknown: /sys is not a sysfs")
            .hint("mount -t sysfs sysfs /sys; labels in config.json are refused without it");
    }
    let others = text("/sys/kernel/security/lsm").map(|list| format!("; active: {list}"));
    let others = others.unwrap_or_default();
    match labels.is_empty() {
        true => Finding::ok(WHAT, format!("neither AppArmor nor SELinux labels{others}")),
        false => Finding::ok(WHAT, format!("labels of {}{others}", labels.join(" and "))),
    }
}

/// File systems that containers want; asking for one loads its module, as mounting it would.
pub fn file_systems(caller: &Caller) -> Vec<Finding> {
    let known = text("/proc/filesystems").unwrap_or_default();
    let known = |name: &str| known.lines().any(|line| line.split('\t').next_back() == Some(name));
    let asked = |name: &str| match caller.mounts() {
        true => mount::knows(name),
        false => mount::knows_in_a_user_namespace(name),
    };
    let available = |name: &str| known(name) || asked(name);
    let overlay = match available("overlay") {
        true => Finding::ok("overlay", "\"tiny-ce run\" without a bundle shows the host's files"),
        false => Finding::warn(
            "overlay",
            "the kernel has none: \"tiny-ce run\" without a bundle cannot change the host's files",
        )
        .hint("modprobe overlay, as root"),
    };
    let names = ["tmpfs", "devpts", "mqueue", "sysfs"];
    let absent: Vec<&str> = names.into_iter().filter(|name| !available(name)).collect();
    let usual = match absent.is_empty() {
        true => Finding::ok("file systems", format!("{} and proc", names.join(", "))),
        false => Finding::missing("file systems", format!("no {}", absent.join(", ")))
            .hint("mounts of these types fail; remove them from config.json"),
    };
    vec![overlay, usual]
}

/// Whether init can be run from memory, and if not, from a file below the state root.
pub fn memfd(state: Option<&Path>) -> Finding {
    const WHAT: &str = "executable memory files";
    let Err(e) = sealed_executable(c"tiny-ce-doctor", b"") else {
        return Finding::ok(WHAT, "init is run from memory that nobody can change");
    };
    let refused = format!("memfd_create(2): {}", ErrnoName(e.raw_os_error().unwrap_or(0)));
    let file = state.and_then(|state| state.ancestors().find(|path| path.exists()));
    match file.filter(|path| probe::is_noexec(path)) {
        None => Finding::warn(WHAT, format!("{refused}: see vm.memfd_noexec"))
            .hint("init is run from a file in the state directory, which must not be noexec"),
        Some(path) => {
            Finding::missing(WHAT, format!("{refused}, and {} is noexec", path.display()))
                .hint("choose another state directory with --root, or sysctl -w vm.memfd_noexec=1")
                .vital()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(numbers("6.1.0-28-amd64"), Some((6, 1)));
        assert_eq!(numbers("5.15.167.4-microsoft-standard-WSL2"), Some((5, 15)));
        assert_eq!(numbers("unknown"), None);
    }

    #[test]
    fn hidden_processes() {
        let line = |options: &str| format!("22 1 0:21 / /proc rw,nosuid - proc proc {options}\n");
        assert_eq!(hidden(&line("rw")), None);
        assert_eq!(hidden(&line("rw,hidepid=off")), None);
        assert_eq!(hidden(&line("rw,gid=5,hidepid=invisible")), Some("hidepid=invisible"));
        // The last mount on a path covers the earlier ones.
        assert_eq!(hidden(&(line("rw,hidepid=2") + &line("rw"))), None);
    }

    #[test]
    fn no_mountinfo_causes_a_panic() {
        tiny_ce_test::fuzz("mountinfo", &["test/fuzz/mountinfo"], |bytes| {
            let _ = hidden(&String::from_utf8_lossy(bytes));
        });
    }
}
