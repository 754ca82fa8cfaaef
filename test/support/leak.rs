//! Find what a case left behind on the machine, by the tag that all its names contain.
//!
//! Tests run in parallel, so there is no snapshot to compare with: each check looks for the mounts,
//! cgroups, processes and names of this case only.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long processes may take to end after the last command has returned.
const DYING: Duration = Duration::from_secs(2);

/// List everything that the case `tag` has left, one line each.
pub(crate) fn found(tag: &str, dir: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    left.extend(mounts.lines().filter(|line| line.contains(tag)).map(|l| format!("mount {l}")));
    left.extend(cgroups(tag).iter().map(|path| format!("cgroup {}", path.display())));
    for place in ["/run/netns", "/dev/shm", "/dev/mqueue", "/run/tiny-ce"] {
        left.extend(named(Path::new(place), tag).map(|path| path.display().to_string()));
    }
    let state = std::fs::read_dir(dir.join("state")).into_iter().flatten().flatten();
    left.extend(state.map(|entry| format!("state {}", entry.path().display())));
    let until = Instant::now() + DYING;
    while !processes(tag).is_empty() && Instant::now() < until {
        // This process is not their parent, so it cannot wait for them.
        std::thread::sleep(Duration::from_millis(5));
    }
    left.extend(processes(tag).iter().map(|pid| format!("process {pid} {}", command_line(*pid))));
    left
}

/// Remove as much as possible of what the case left, to keep the machine clean.
pub(crate) fn sweep(tag: &str) {
    for pid in processes(tag) {
        crate::process::kill(pid, "KILL");
    }
    // A cgroup can be removed only after the cgroups below it.
    let mut dirs = cgroups(tag);
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.as_os_str().len()));
    for dir in dirs {
        let _ = std::fs::remove_dir(dir);
    }
}

/// The cgroups named after the case, in every hierarchy. Podman 5 makes directories for hierarchies
/// that are not mounted, in the tmpfs at /sys/fs/cgroup: they are no cgroups.
pub(crate) fn cgroups(tag: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = todo.pop() {
        // Directories come and go while other tests run; none of this case's vanishes meanwhile.
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let is_cgroup = || entry.path().join("cgroup.procs").exists();
            if entry.path().to_string_lossy().contains(tag) && is_cgroup() {
                found.push(entry.path());
            }
            todo.push(entry.path());
        }
    }
    found
}

/// The processes whose environment or command line names the case, except the test itself.
fn processes(tag: &str) -> Vec<u32> {
    let own = std::process::id();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let names = |pid: &u32| {
        ["environ", "cmdline"].iter().any(|file| {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            bytes.windows(tag.len()).any(|part| part == tag.as_bytes())
        })
    };
    pids.filter(|pid| *pid != own && names(pid)).collect()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn named<'a>(dir: &Path, tag: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let ours = move |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().contains(tag);
    entries.filter(ours).map(|entry| entry.path())
}
