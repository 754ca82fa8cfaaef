//! Make a machine ready: its file systems, its cgroups, its loopback interface, its name.
//!
//! Each part is made if it is not there yet, so that a root which another program has prepared is
//! taken as it is. Knows no container.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;

use crate::spec::machine::MachineMount;
use crate::sys::{machine, probe};
use crate::{Error, Result, log, network};

/// A file system that every machine has.
struct Place {
    kind: &'static str,
    target: &'static str,
    flags: u64,
    options: &'static str,
    /// Whether nothing works without it.
    vital: bool,
}

const SAFE: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// In the order in which they are mounted; the options are those of systemd
/// (src/shared/mount-setup.c there), so that containers find what they find elsewhere.
const PLACES: &[Place] = &[
    place("proc", "/proc", SAFE, "", true),
    place("sysfs", "/sys", SAFE, "", true),
    place("devtmpfs", "/dev", libc::MS_NOSUID, "mode=755", true),
    place("devpts", "/dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, PTS, true),
    place("tmpfs", "/dev/shm", libc::MS_NOSUID | libc::MS_NODEV, "mode=1777", true),
    place("mqueue", "/dev/mqueue", SAFE, "", false),
    place("tmpfs", "/run", libc::MS_NOSUID | libc::MS_NODEV, "mode=755", true),
    place("cgroup2", "/sys/fs/cgroup", SAFE, "nsdelegate", false),
    place("securityfs", "/sys/kernel/security", SAFE, "", false),
];

const PTS: &str = "gid=5,mode=620,ptmxmode=666";

const fn place(
    kind: &'static str,
    target: &'static str,
    flags: u64,
    options: &'static str,
    vital: bool,
) -> Place {
    Place { kind, target, flags, options, vital }
}

/// Names in /dev that udev makes elsewhere.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("fd/0", "/dev/stdin"),
    ("fd/1", "/dev/stdout"),
    ("fd/2", "/dev/stderr"),
];

/// The kernel makes no more descriptors for a process than this unless it is told to
/// (fs.nr_open), and systemd gives services half of it.
const MOST_DESCRIPTORS: u64 = 524_288;

/// Mount /proc, by which the machine is told from a container.
///
/// # Errors
/// It cannot be mounted.
pub fn process_files() -> Result<()> {
    mount_place(&PLACES[0])
}

/// Mount the file systems that every machine has.
///
/// # Errors
/// A vital one cannot be mounted. A kernel may lack the others; who needs one will say so.
pub fn file_systems() -> Result<()> {
    for place in PLACES {
        match mount_place(place) {
            Err(e) if place.vital => return Err(e),
            Err(e) => log::debug(|| e.line().to_owned()),
            Ok(()) => {}
        }
    }
    temporary();
    for (target, link) in LINKS {
        match std::os::unix::fs::symlink(target, link) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::io(link, "symlink", &e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn mount_place(place: &Place) -> Result<()> {
    if probe::is_mount_point(place.target) {
        return Ok(());
    }
    let target = Path::new(place.target);
    match fs::create_dir(target) {
        // In sysfs the kernel has the directories of the file systems that it has.
        Err(e) if e.kind() != ErrorKind::AlreadyExists && place.vital => {
            return Err(Error::io(place.target, "mkdir", &e));
        }
        _ => {}
    }
    machine::mount(place.kind, target, place.kind, place.flags, place.options).map_err(|e| {
        let error = Error::io(format!("{} on {}", place.kind, place.target), "mount", &e);
        match e.raw_os_error() {
            Some(libc::ENODEV) => error.hint("the kernel was built without this file system"),
            _ => error,
        }
    })
}

/// A directory for temporary files, if the root has none.
fn temporary() {
    use std::os::unix::fs::PermissionsExt;
    if fs::create_dir("/tmp").is_ok() {
        let _ = fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777));
    }
}

/// Mount what machine.json names besides.
///
/// # Errors
/// One cannot be mounted.
pub fn mount(mounts: &[MachineMount]) -> Result<()> {
    for (index, it) in mounts.iter().enumerate() {
        let place = format!("mounts[{index}] {:?}", it.target);
        let target = Path::new(&it.target);
        fs::create_dir_all(target).map_err(|e| Error::io(&place, "mkdir", &e))?;
        let (ro, own): (Vec<_>, Vec<_>) = it.options.iter().partition(|it| *it == "ro");
        let own: Vec<&str> = own.into_iter().map(String::as_str).collect();
        let flags = if ro.is_empty() { 0 } else { libc::MS_RDONLY };
        machine::mount(&it.source, target, &it.kind, flags, &own.join(",")).map_err(|e| {
            let error = Error::io(&place, "mount", &e);
            match e.raw_os_error() {
                Some(libc::ENODEV) => error.hint(format!(
                    "the kernel has no {:?}, or its module is not among \"modules\"",
                    it.kind
                )),
                _ => error,
            }
        })?;
    }
    Ok(())
}

/// Give every controller of cgroup version 2 to the cgroups of containers.
pub fn cgroups() {
    const ROOT: &str = "/sys/fs/cgroup";
    let controllers = fs::read_to_string(format!("{ROOT}/cgroup.controllers")).unwrap_or_default();
    let file = format!("{ROOT}/cgroup.subtree_control");
    for name in controllers.split_whitespace() {
        if let Err(e) = fs::write(&file, format!("+{name}")) {
            log::warning(Error::io(format!("{file} = +{name}"), "write", &e).line());
        }
    }
}

/// Bring up the loopback interface, and name the machine.
pub fn network(hostname: &str) {
    let own = "/proc/self/ns/net";
    let up = fs::File::open(own)
        .map_err(|e| Error::io(own, "open", &e))
        .and_then(|file| network::loopback_up("this machine", file.as_fd()));
    if let Err(e) = up {
        log::warning(e.line());
    }
    if let Err(e) = machine::set_hostname(hostname) {
        log::warning(Error::io(format!("host name {hostname:?}"), "sethostname", &e).line());
    }
}

/// What the first process sets for itself and for all that it starts.
pub fn process() {
    if let Err(e) = machine::raise_descriptors(MOST_DESCRIPTORS) {
        log::warning(Error::io("limit of descriptors", "setrlimit", &e).line());
    }
    if let Err(e) = machine::take_ctrl_alt_del() {
        log::warning(Error::io("Ctrl-Alt-Del", "reboot", &e).line());
    }
}
