//! What to do about a failed system call: the table `(call, errno) → sentence`.
//!
//! Knows sentences only. A hint that needs a value of the user's is attached where the value is
//! (`Error::hint`).

/// One row of the catalogue, as docs/errors.md prints it.
pub struct Hint {
    /// The system call's name, or `*`.
    pub call: &'static str,
    /// The kernel's number.
    pub errno: i32,
    /// What to do.
    pub text: &'static str,
}

/// Every hint, first match wins.
pub const HINTS: &[Hint] = &[
    Hint {
        call: "clone3",
        errno: libc::EAGAIN,
        text: "too many processes: see linux.resources.pids.limit, and ulimit -u",
    },
    Hint {
        call: "clone",
        errno: libc::EAGAIN,
        text: "too many processes: see linux.resources.pids.limit, and ulimit -u",
    },
    Hint {
        call: "execve",
        errno: libc::EACCES,
        text: "neither the file's mode nor its mount (noexec) may forbid to execute it",
    },
    Hint {
        call: "execve",
        errno: libc::ENOEXEC,
        text: "a script begins with #! and its interpreter; \
               a binary must be for this machine's architecture",
    },
    Hint {
        call: "clone3",
        errno: libc::ENOSPC,
        text: "too many namespaces: see the limits under /proc/sys/user/",
    },
    Hint {
        call: "clone3",
        errno: libc::EPERM,
        text: "new namespaces need root, or a user namespace: \
               add {\"type\": \"user\"} to linux.namespaces",
    },
    Hint { call: "mount_setattr", errno: libc::ENOSYS, text: "tiny-ce needs Linux 5.12 or later" },
    Hint {
        call: "*",
        errno: libc::ENOSPC,
        text: "the file system, or a limit on its kind of object, is full",
    },
    Hint { call: "*", errno: libc::EMFILE, text: "raise the limit on open files (ulimit -n)" },
    Hint { call: "*", errno: libc::ENFILE, text: "the system's table of open files is full" },
    Hint { call: "*", errno: libc::EROFS, text: "the file system is read-only" },
];

/// The hint for a failed call, if the table has one.
pub fn find(call: &str, errno: i32) -> Option<&'static str> {
    HINTS
        .iter()
        .find(|row| row.errno == errno && (row.call == call || row.call == "*"))
        .map(|row| row.text)
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
