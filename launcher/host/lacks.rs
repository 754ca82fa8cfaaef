//! What this kernel lacks of what a container without a bundle is made of by default. Only reads,
//! and asks the kernel for file systems, which may load a module.

use std::fs::read_to_string;

use crate::sys::{mount, seccomp, user};

/// What the kernel does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lacks {
    /// POSIX message queues, mq_overview(7).
    pub queues: bool,
    /// The file system overlay.
    pub overlay: bool,
    /// System call filters, or a sandbox refuses to load them.
    pub filters: bool,
}

/// Find what this kernel lacks.
pub fn find() -> Lacks {
    // Without /proc nothing is known, and no container runs.
    let known = read_to_string("/proc/filesystems").ok();
    let lacks = |name: &str| {
        known.as_deref().is_some_and(|known| !known.lines().any(|line| named(line) == name))
    };
    Lacks {
        queues: lacks("mqueue"),
        overlay: lacks("overlay") && !loads("overlay"),
        filters: !seccomp::takes(0),
    }
}

/// `nodev\ttmpfs` → `tmpfs`.
fn named(line: &str) -> &str {
    line.rsplit('\t').next().unwrap_or_default()
}

/// Whether the kernel loads a module for this file system.
fn loads(name: &str) -> bool {
    let root = user::administers() && !user::in_user_namespace();
    if root { mount::knows(name) } else { mount::knows_in_a_user_namespace(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_named_last() {
        assert_eq!((named("nodev\ttmpfs"), named("\text4"), named("")), ("tmpfs", "ext4", ""));
    }
}
