//! The system call filter of `tiny-ce run` without a bundle.
//!
//! It refuses system calls that a program without privileges over the host has no use for, and that
//! have led out of containers more than once. It allows all others, since the container may run any
//! software of the host. Pure; `seccomp` compiles the filter.

use super::*;

/// Flags with which clone(2) and unshare(2) make a namespace. In a new user namespace, a process
/// has capabilities that the container was not given (CVE-2022-0185 and many after it).
const NAMESPACES: [u64; 8] = [
    libc::CLONE_NEWNS as u64,
    libc::CLONE_NEWCGROUP as u64,
    libc::CLONE_NEWUTS as u64,
    libc::CLONE_NEWIPC as u64,
    libc::CLONE_NEWUSER as u64,
    libc::CLONE_NEWPID as u64,
    libc::CLONE_NEWNET as u64,
    CLONE_NEWTIME,
];

const CLONE_NEWTIME: u64 = 0x80;

/// System calls that fail with EPERM, whatever their arguments.
const REFUSED: &[&str] = &[
    // They join namespaces, and change mounts.
    "setns",
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "fsopen",
    "fspick",
    "fsconfig",
    "fsmount",
    "open_tree",
    "open_tree_attr",
    "move_mount",
    "mount_setattr",
    // It opens a file by its inode number, outside of the container's mounts and root, too.
    "open_by_handle_at",
    // The kernel's keyrings belong to no namespace (CVE-2016-0728).
    "add_key",
    "request_key",
    "keyctl",
    // Large or old parts of the kernel that few programs need, with many vulnerabilities.
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "kcmp",
    "lookup_dcookie",
    "vm86",
    "vm86old",
    "uselib",
    "ustat",
    "sysfs",
    // They change the whole machine: modules, kernels, clocks, swap, quotas, accounting, I/O ports,
    // the kernel's log.
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "settimeofday",
    "stime",
    "swapon",
    "swapoff",
    "quotactl",
    "quotactl_fd",
    "acct",
    "ioperm",
    "iopl",
    "syslog",
    "nfsservctl",
    "_sysctl",
    "vhangup",
];

/// Socket families that no namespace confines: AF_ALG is the kernel's cryptography, AF_VSOCK leads
/// to the hypervisor.
const FAMILIES: [u64; 2] = [libc::AF_ALG as u64, libc::AF_VSOCK as u64];

/// Return `linux.seccomp` for a container without a bundle.
pub fn filter() -> Seccomp {
    let refused = |names: &[&str], errno: i32, args: Vec<SeccompArg>| SeccompRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: SeccompAction::Errno,
        errno_ret: Some(errno.unsigned_abs()),
        args,
    };
    let when = |value: u64, value_two: Option<u64>, op| {
        vec![SeccompArg { index: 0, value, value_two, op }]
    };
    let mut syscalls = vec![
        refused(REFUSED, libc::EPERM, Vec::new()),
        // A filter cannot read clone3's flags, which are in memory. On ENOSYS, C libraries fall
        // back to clone.
        refused(&["clone3"], libc::ENOSYS, Vec::new()),
    ];
    for flag in NAMESPACES {
        let set = when(flag, Some(flag), SeccompOperator::MaskedEq);
        syscalls.push(refused(&["clone", "unshare"], libc::EPERM, set));
    }
    for family in FAMILIES {
        let named = when(family, None, SeccompOperator::Eq);
        syscalls.push(refused(&["socket"], libc::EAFNOSUPPORT, named));
    }
    Seccomp {
        default_action: SeccompAction::Allow,
        default_errno_ret: None,
        // The architectures whose programs this machine can run. The filter refuses every system
        // call of any other.
        architectures: if cfg!(target_arch = "x86_64") {
            ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].map(str::to_owned).to_vec()
        } else {
            ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"].map(str::to_owned).to_vec()
        },
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}
