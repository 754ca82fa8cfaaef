//! A root on a disk, by the parameters of the kernel's command line that name one.
//!
//! The kernel mounts `root=` by itself only without an initramfs; with one, its first process has
//! to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::kernel_line::KernelLine;
use crate::sys::machine;
use crate::{Error, Result};

/// Where the new root is mounted before it is entered: on the initramfs, from which all else moves.
const TARGET: &str = "/new-root";

/// How long a disk may take to appear, in seconds, unless rootdelay= or rootwait say otherwise.
const PATIENCE_S: u64 = 10;

/// How often it is looked for. The kernel tells of new devices by netlink too, but of no device
/// that was there already.
const PAUSE: Duration = Duration::from_millis(20);

/// Make the disk of `root=` the root, if the line names one, and return whether it does.
///
/// # Errors
/// The disk does not appear, or its file system cannot be mounted.
pub fn switch(line: &KernelLine) -> Result<bool> {
    let Some(source) = line.get("root") else { return Ok(false) };
    let place = format!("root={source}");
    wait_for(line, source, &place)?;
    let target = Path::new(TARGET);
    fs::create_dir_all(target).map_err(|e| Error::io(TARGET, "mkdir", &e))?;
    mount(line, source, target, &place)?;
    for name in ["dev", "proc", "sys", "run"] {
        let to = target.join(name);
        // On a root that is read-only the directory has to be there, as in every distribution.
        let _ = fs::create_dir(&to);
        let from = PathBuf::from("/").join(name);
        machine::move_mount(&from, &to)
            .map_err(|e| Error::io(format!("{place}: {}", to.display()), "mount", &e))?;
    }
    forget_initramfs();
    machine::enter_root(target).map_err(|e| Error::io(&place, "chroot", &e))?;
    Ok(true)
}

/// Wait until the device is there. What begins with no slash is no device: a tag of 9p or virtiofs.
fn wait_for(line: &KernelLine, source: &str, place: &str) -> Result<()> {
    if source.contains('=') {
        return Err(Error::new(format!("{place}: expected the path of a device"))
            .hint("nothing here looks for labels and UUIDs: root=/dev/vda1"));
    }
    if !source.starts_with('/') {
        return Ok(());
    }
    let delay = line.get("rootdelay").and_then(|it| it.parse().ok()).unwrap_or(PATIENCE_S);
    let end = Instant::now() + Duration::from_secs(delay);
    while !Path::new(source).exists() {
        if !line.has("rootwait") && Instant::now() > end {
            let error = Error::new(format!("{place}: no such device after {delay} s"));
            return Err(error.hint("its driver may be a module: name it in machine.json"));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn mount(line: &KernelLine, source: &str, target: &Path, place: &str) -> Result<()> {
    // As in the kernel, the last of ro and rw counts, and ro without either.
    let flags = if line.has("rw") { 0 } else { libc::MS_RDONLY };
    let options = line.get("rootflags").unwrap_or_default();
    let kinds = match line.get("rootfstype") {
        Some(kinds) => kinds.split(',').map(str::to_owned).collect(),
        None => of_disks(),
    };
    let mut last = None;
    for kind in &kinds {
        match machine::mount(source, target, kind, flags, options) {
            Ok(()) => return Ok(()),
            Err(e) => last = Some(e),
        }
    }
    Err(match last {
        Some(e) => Error::io(format!("{place} ({})", kinds.join(", ")), "mount", &e)
            .hint("say which file system it has with rootfstype="),
        None => Error::new(format!("{place}: the kernel has no file system for disks")),
    })
}

/// The file systems of disks that the kernel has, in its order (proc_filesystems(5)).
fn of_disks() -> Vec<String> {
    let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix('\t')).map(str::to_owned).collect()
}

/// Give the memory of the initramfs back: its files can be reached no more.
fn forget_initramfs() {
    if let Ok(root) = fs::symlink_metadata("/") {
        empty(Path::new("/"), root.dev());
    }
}

/// Remove what is below a directory, on its own file system only. What cannot be removed stays: it
/// only takes memory.
fn empty(directory: &Path, device: u64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.dev() != device {
            continue;
        }
        if found.is_dir() {
            empty(&path, device);
            let _ = fs::remove_dir(&path);
        } else {
            let _ = fs::remove_file(&path);
        }
    }
}
