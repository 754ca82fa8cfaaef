//! The table of hints for failed system calls: `(call, errno, about) → sentence`.
//!
//! Knows only sentences. docs/errors.md is printed from it. A hint that contains a value of the
//! user is added by the code that knows the value (`Error::hint`).

use std::fmt::Write;

use crate::errno::ErrnoName;

/// One row of the catalogue.
pub struct Hint {
    /// The names of the system calls; `*` stands for any.
    pub calls: &'static [&'static str],
    /// The errno of the failure.
    pub errno: i32,
    /// The failed field, path or step must contain this text.
    pub about: &'static str,
    /// The hint: what to do.
    pub text: &'static str,
}

macro_rules! hints {
    ($($($call:literal)|+ $errno:ident $(about $about:literal)?: $text:literal;)*) => {
        /// Every hint; the first match counts.
        pub const HINTS: &[Hint] = &[$(Hint {
            calls: &[$($call),+],
            errno: libc::$errno,
            about: concat!($($about)?),
            text: $text,
        }),*];
    };
}

hints! {
    // ---- processes and namespaces
    "clone" EAGAIN about "--init":
        "init is a process too: raise linux.resources.pids.limit or ulimit -u by one, or give \
         --init=false";
    "clone3" | "clone" | "fork" EAGAIN:
        "too many processes: see linux.resources.pids.limit, and ulimit -u";
    "clone3" | "unshare" ENOSPC: "too many namespaces: see the limits under /proc/sys/user/";
    "clone3" EPERM: "new namespaces need root, or a user namespace: \
                     add {\"type\": \"user\"} to linux.namespaces";
    "unshare" EPERM: "this user may make no namespaces: see /proc/sys/user/, and \
                      kernel.unprivileged_userns_clone or AppArmor where the distribution has them";
    "setns" EPERM: "joining a namespace needs CAP_SYS_ADMIN in the user namespace that owns it";
    // ---- mounts
    "fsconfig" | "fsmount" EPERM about "\"/proc\"":
        "procfs can be mounted only for a PID namespace of one's own: add {\"type\": \"pid\"} to \
         linux.namespaces";
    "fsconfig" | "fsmount" EPERM about "\"/sys\"":
        "sysfs can be mounted only for a network namespace of one's own: add \
         {\"type\": \"network\"} to linux.namespaces, or bind the host's /sys";
    "fsconfig" | "fsmount" EPERM:
        "this file system cannot be mounted in a user namespace: bind it instead";
    "fsconfig" EINVAL about "key=\"lowerdir+\"":
        "layers of an overlay that have more than 255 bytes together need Linux 6.8: use shorter \
         paths";
    "fsconfig" EINVAL about "cmd=FSCONFIG_SET_FD":
        "a directory of an overlay whose path has more than 255 bytes needs Linux 6.13: use a \
         shorter one";
    "fsconfig" EINVAL about "\"overlay\": fsconfig(cmd=FSCONFIG_CMD_CREATE":
        "the kernel's log (dmesg) has the reason; the usual ones: an upperdir without a workdir; a \
         workdir that is in upperdir, holds it or is on another file system; an upperdir on a file \
         system that cannot have one (overlay, NFS, FUSE, procfs); a single lowerdir and no \
         upperdir; an option that another one rules out";
    "fsconfig" ELOOP about "\"overlay\": fsconfig":
        "two directories of the overlay overlap: none may be given twice or lie in another";
    "fsconfig" ENOENT about "\"overlay\": fsconfig":
        "lowerdir, upperdir and workdir must exist; a colon or a comma in their names needs a \
         backslash before it";
    "fsconfig" EBUSY about "\"overlay\": fsconfig":
        "upperdir or workdir is in use by another overlay";
    "fsconfig" ESTALE about "\"overlay\": fsconfig":
        "this upperdir was used with another lowerdir, and index=on does not allow that";
    "fsopen" ENODEV about "fsname=\"overlay\"":
        "the kernel has no overlayfs: modprobe overlay, or run a rootfs with --rootfs";
    "fsopen" ENODEV about "fsname=\"mqueue\"":
        "the kernel has no POSIX message queues: run a bundle without this mount";
    "fsopen" ENODEV about "fsname=":
        "the kernel does not have this file system: see /proc/filesystems";
    "mount_setattr" ENOSYS: "tiny-ce needs Linux 5.12 or later";
    "mount_setattr" EINVAL about "linux.rootfsPropagation":
        "the root of this process is no mount point, as in a chroot: mount --bind DIRECTORY \
         DIRECTORY before chroot(8) into it";
    "mount_setattr" EPERM:
        "a flag of a mount that came from another user namespace cannot be cleared; ask for it too";
    "move_mount" ENOTDIR:
        "a directory is mounted on a directory, a file on a file: the image has the other kind";
    "move_mount" EINVAL about "mounts[":
        "a directory is mounted on a directory, a file on a file: the image has the other kind";
    "openat2" ENOTDIR about "process.cwd":
        "the working directory, or a name on the way to it, is a file in the container";
    "openat2" EACCES about "process.cwd":
        "the container's root may not enter a directory on the way to it, as the caller may not on \
         the host";
    "openat2" ENOTDIR about "mounts[":
        "the destination, or a name on the way to it, is a file where a directory has to be";
    "openat2" ELOOP: "the path has a symbolic link where none is allowed, or too many links";
    "openat2" EAGAIN: "another process renames a file or directory on the path, again and again";
    "open_tree" ENOENT about "linux.devices":
        "the host has no device at this path to bind; only root on the host can make a node, for a \
         container without a new user namespace";
    "openat2" ENOENT about "linux.maskedPaths":
        "the host has no /dev/null: mount -t devtmpfs devtmpfs /dev";
    "mkdirat" | "openat" EACCES about "mounts[":
        "the container's root may not write to the rootfs: make the missing directory or file in \
         it, or chown it to the ids that linux.uidMappings and linux.gidMappings give to root";
    "symlinkat" EEXIST: "another file exists there, and the link does not replace it";
    "mknod" | "mknodat" EPERM: "device nodes can be made in the host's user namespace only";
    "pivot_root" EINVAL: "pivot_root(2) cannot leave a root of this kind: try --no-pivot";
    // ---- identity and limits
    "setresuid" | "setresgid" | "setgroups" EINVAL:
        "the user namespace does not map this id: see linux.uidMappings and linux.gidMappings";
    "setgroups" EPERM:
        "without root's rights, groups can be set only where newgidmap has written the map";
    "prlimit64" EPERM:
        "a hard limit above the caller's (ulimit -H) needs CAP_SYS_RESOURCE";
    "sched_setattr" EPERM:
        "real-time policies and lower nice values need CAP_SYS_NICE; in a cpu cgroup of version 1, \
         real-time policies need linux.resources.cpu.realtimeRuntime too";
    "ioprio_set" EPERM: "the real-time class needs CAP_SYS_ADMIN or CAP_SYS_NICE";
    "write" EACCES about "oomScoreAdj": "a lower value than the caller's needs CAP_SYS_RESOURCE";
    "capset" | "prctl" EPERM:
        "the caller itself does not have this capability, and cannot give it to a container";
    "seccomp" ENOSYS about "linux.seccomp":
        "the kernel has no system call filters, or a sandbox refuses them: --seccomp unconfined";
    // ---- labels
    "write" ENOENT about "apparmorProfile":
        "no such profile is loaded: load it (apparmor_parser --replace FILE); \
         /sys/kernel/security/apparmor/profiles lists those that are";
    "write" EINVAL about "selinuxLabel":
        "the loaded policy does not know this context: user:role:type, and a level if it has some";
    "fsconfig" EINVAL about "key=\"context\"":
        "the loaded policy does not know this context: see linux.mountLabel, and the mount's \
         options";
    "openat2" ENOENT about "apparmorProfile":
        "the container's own /proc is needed: a procfs of its pid namespace, mounted there";
    "openat2" ENOENT about "selinuxLabel":
        "the container's own /proc is needed: a procfs of its pid namespace, mounted there";
    "openat2" EXDEV about "thread-self/attr/":
        "something is mounted over this file of /proc: labels are written to the real one only";
    // ---- the program
    "execveat" EACCES about "linux.namespaces":
        "vm.memfd_noexec is 2, and the state directory is on a file system that is mounted noexec: \
         choose another one with --root";
    "execve" EACCES: "the file's mode, or its mount (noexec), forbids executing it";
    "execve" ENOEXEC: "a script begins with #! and its interpreter; \
                       a binary must be for this machine's architecture";
    "execve" | "execveat" E2BIG:
        "process.args and process.env together are too long: see ulimit -s, and \
         linux.resources.memory.limit";
    "execve" ETXTBSY: "a process still has the program open for writing";
    // ---- what is on the host
    "stat" ENOENT about ": source ": "the source of a bind must exist on the host";
    "stat" EACCES about ": source ":
        "this user may not enter a directory on the way to it: see namei -m PATH";
    "openat" ENOENT about "root.path":
        "it is the directory of the root file system; a relative root.path begins at the bundle";
    "openat" EACCES about "root.path":
        "this user may not enter a directory on the way to it: see namei -m PATH";
    "open" ENOENT about "--pid-file": "make the directory first";
    "open" ENOENT about "--": "the path is of the host, and begins at the working directory";
    "mkdir" EACCES about "/sys/fs/cgroup/":
        "limits need a cgroup that this user may write: a delegated cgroup (systemd-run --user \
         --scope -p Delegate=yes), or root";
    "mkdir" EROFS about "/sys/fs/cgroup/":
        "as in a container of another engine: mount it writable, or make containers without \
         cgroups (--cgroup-manager disabled)";
    "write" EBUSY about "memory": "more is in use than this limit allows: give more";
    "*" EFBIG: "a limit on the size of files is too low (ulimit -f)";
    // ---- whatever the call
    "read" ENOENT about "/proc/self/": "mount -t proc proc /proc";
    "write" ENOSPC about "cgroup":
        "cpuset.cpus and cpuset.mems of this cgroup, or of one above, are still empty";
    "*" ENOSPC: "the file system, or a limit on its kind of object, is full";
    "*" EMFILE: "raise the limit on open files (ulimit -n)";
    "*" ENFILE: "the system's table of open files is full";
    "*" ENOMEM: "the machine, or a limit (ulimit -v, a cgroup's), has no memory left";
    "*" EROFS: "the file system is read-only";
}

/// The hint for a failed call on something, if the table has one.
pub fn find(call: &str, errno: i32, about: &str) -> Option<&'static str> {
    let fits = |row: &&Hint| {
        row.errno == errno
            && row.calls.iter().any(|it| *it == call || *it == "*")
            && about.contains(row.about)
    };
    HINTS.iter().find(fits).map(|row| row.text)
}

/// The hint for a call that succeeded, but whose result a check of the plan refused.
pub fn of_answer(call: &str) -> Option<&'static str> {
    (call == "fstatfs").then_some(
        "another file system is mounted there, or none: /proc must be a procfs that nothing \
         covers, and /dev/pts a devpts",
    )
}

/// docs/errors.md.
pub fn document() -> String {
    let mut text = String::from(
        "# Errors\n\n\
         An error is one line: the action that failed; the field of config.json, the option or\n\
         the path; the system call; and the errno by its name and in words. The indented lines\n\
         below it have the step of the plan and a hint. The exit status is 1; that of `exec` is\n\
         255, unless its options are wrong.\n\n\
         ```\n\
         tiny-ce: cannot create \"web\": mounts[0] \"/proc\": fsmount(2): EPERM (Operation not \
         permitted)\n  step 15 of 366: fsmount(into=fd4, fs=fd3, flags=FSMOUNT_CLOEXEC, attr=0)\n  \
         hint: procfs can be mounted only for a PID namespace of one's own: …\n\
         ```\n\n\
         ![Three errors in a terminal](screens/error.svg)\n\n\
         A mistake of config.json comes with its line and column, and one error has all of \
         them:\n\n\
         ![validate in a terminal](screens/validate.svg)\n\n\
         With `--log-format json`, the log gets one object with the line as `msg`.\n\n\
         ## Hints\n\n\
         This page is printed from the table of hints; the first row that matches counts.\n\n\
         | system call | errno | about | what to do |\n| --- | --- | --- | --- |\n",
    );
    for row in HINTS {
        let calls: Vec<String> = row.calls.iter().map(|call| format!("`{call}`")).collect();
        let calls = if row.calls == ["*"] { "any".to_owned() } else { calls.join(", ") };
        let about = if row.about.is_empty() { String::new() } else { format!("`{}`", row.about) };
        let errno = ErrnoName(row.errno);
        // Writing to a String does not fail.
        let _ = writeln!(text, "| {calls} | {errno} | {about} | {} |", row.text);
    }
    text
}

/// A system call's name as a man page has it, from the table's upper case.
pub fn call_name(upper: &str) -> &'static str {
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let names = NAMES.get_or_init(|| {
        tiny_ce_init::ROWS.iter().map(|row| row.call.to_ascii_lowercase()).collect()
    });
    let row = tiny_ce_init::ROWS.iter().position(|row| row.call == upper);
    row.and_then(|at| names.get(at)).map_or("system call", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_row_comes_first() {
        let proc = find("fsmount", libc::EPERM, "mounts[0] \"/proc\"").expect("a hint");
        assert!(proc.starts_with("procfs"), "{proc}");
        let other = find("fsmount", libc::EPERM, "mounts[3] \"/data\"").expect("a hint");
        assert!(other.starts_with("this file system"), "{other}");
        assert!(find("nosuch", libc::EPERM, "").is_none());
        assert_eq!(find("nosuch", libc::EROFS, ""), Some("the file system is read-only"));
    }

    /// No row may be hidden by an earlier row that always matches first.
    #[test]
    fn every_row_can_match() {
        for row in HINTS {
            for call in row.calls {
                assert_eq!(find(call, row.errno, row.about), Some(row.text), "{call}");
            }
        }
    }
}
