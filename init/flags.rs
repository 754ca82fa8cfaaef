//! The kernel's flag words, by name: values from include/uapi/linux/*.h.
//!
//! Knows numbers and their names. A bit without a name prints in hexadecimal, so nothing is hidden.

use core::fmt;

use crate::wire::{Field, Reader, Sink, structure};

/// Print the names of the bits in `value`, then the bits without a name.
fn names(value: u64, table: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut left = value;
    let mut between = "";
    for (name, bits) in table {
        if *bits != 0 && left & bits == *bits {
            write!(f, "{between}{name}")?;
            between = "|";
            left &= !bits;
        }
    }
    match left {
        0 if between.is_empty() => match table.iter().find(|(_, bits)| *bits == 0) {
            Some((name, _)) => f.write_str(name),
            None => f.write_str("0"),
        },
        0 => Ok(()),
        left => write!(f, "{between}{left:#x}"),
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* pub struct $name:ident: $type:ty { $($bit:ident = $value:expr,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[repr(transparent)]
        pub struct $name(
            /// The word as the kernel takes it.
            pub $type,
        );

        #[allow(missing_docs, reason = "the kernel's names are their documentation")]
        impl $name {
            $(pub const $bit: $name = $name($value);)*
            /// Every name, widest bits first where they overlap.
            const NAMES: &'static [(&'static str, u64)] = &[$((stringify!($bit), $value as u64),)*];
        }

        impl core::ops::BitOr for $name {
            type Output = $name;
            fn bitor(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }
        }

        impl core::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: $name) {
                self.0 |= other.0;
            }
        }

        impl<'p> Field<'p> for $name {
            fn encode(&self, out: &mut dyn Sink) {
                self.0.encode(out);
            }
            fn decode(from: &mut Reader<'p>) -> Self {
                $name(<$type>::decode(from))
            }
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                names(self.0 as u64, Self::NAMES, f)
            }
        }
    )*};
}

flags! {
    /// Namespaces, clone(2), setns(2), unshare(2).
    pub struct CloneFlags: u32 {
        CLONE_NEWTIME = 0x80,
        CLONE_NEWNS = 0x2_0000,
        CLONE_NEWCGROUP = 0x200_0000,
        CLONE_NEWUTS = 0x400_0000,
        CLONE_NEWIPC = 0x800_0000,
        CLONE_NEWUSER = 0x1000_0000,
        CLONE_NEWPID = 0x2000_0000,
        CLONE_NEWNET = 0x4000_0000,
    }

    /// open(2) and openat2(2).
    pub struct OpenFlags: u64 {
        O_RDONLY = 0,
        O_WRONLY = 0x1,
        O_RDWR = 0x2,
        O_CREAT = 0x40,
        O_EXCL = 0x80,
        O_NOCTTY = 0x100,
        O_NONBLOCK = 0x800,
        O_DIRECTORY = DIRECTORY,
        O_NOFOLLOW = NOFOLLOW,
        O_CLOEXEC = 0x8_0000,
        O_PATH = 0x20_0000,
    }

    /// openat2(2), how a path is resolved.
    pub struct Resolve: u64 {
        RESOLVE_NO_XDEV = 0x1,
        RESOLVE_NO_MAGICLINKS = 0x2,
        RESOLVE_NO_SYMLINKS = 0x4,
        RESOLVE_BENEATH = 0x8,
        RESOLVE_IN_ROOT = 0x10,
    }

    /// Flags of the `*at` calls.
    pub struct AtFlags: u32 {
        AT_SYMLINK_NOFOLLOW = 0x100,
        AT_NO_AUTOMOUNT = 0x800,
        AT_EMPTY_PATH = 0x1000,
        AT_RECURSIVE = 0x8000,
    }

    /// open_tree(2).
    pub struct OpenTreeFlags: u32 {
        OPEN_TREE_CLONE = 0x1,
        OPEN_TREE_NAMESPACE = 0x2,
        OPEN_TREE_CLOEXEC = 0x8_0000,
        AT_SYMLINK_NOFOLLOW = 0x100,
        AT_EMPTY_PATH = 0x1000,
        AT_RECURSIVE = 0x8000,
    }

    /// fsopen(2).
    pub struct FsopenFlags: u32 {
        FSOPEN_CLOEXEC = 0x1,
    }

    /// fsmount(2).
    pub struct FsmountFlags: u32 {
        FSMOUNT_CLOEXEC = 0x1,
    }

    /// Attributes of a mount, mount_setattr(2).
    pub struct MountAttrs: u64 {
        MOUNT_ATTR_RDONLY = 0x1,
        MOUNT_ATTR_NOSUID = 0x2,
        MOUNT_ATTR_NODEV = 0x4,
        MOUNT_ATTR_NOEXEC = 0x8,
        MOUNT_ATTR__ATIME = 0x70,
        MOUNT_ATTR_STRICTATIME = 0x20,
        MOUNT_ATTR_NOATIME = 0x10,
        MOUNT_ATTR_NODIRATIME = 0x80,
        MOUNT_ATTR_IDMAP = 0x10_0000,
        MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000,
    }

    /// Propagation, mount_setattr(2).
    pub struct Propagation: u64 {
        MS_UNBINDABLE = 0x2_0000,
        MS_PRIVATE = 0x4_0000,
        MS_SLAVE = 0x8_0000,
        MS_SHARED = 0x10_0000,
    }

    /// fspick(2).
    pub struct FspickFlags: u32 {
        FSPICK_CLOEXEC = 0x1,
        FSPICK_EMPTY_PATH = 0x8,
    }

    /// move_mount(2).
    pub struct MoveMountFlags: u32 {
        MOVE_MOUNT_F_EMPTY_PATH = 0x4,
        MOVE_MOUNT_T_SYMLINKS = 0x10,
        MOVE_MOUNT_T_EMPTY_PATH = 0x40,
        MOVE_MOUNT_BENEATH = 0x200,
    }

    /// umount2(2).
    pub struct UmountFlags: u32 {
        MNT_FORCE = 0x1,
        MNT_DETACH = 0x2,
        UMOUNT_NOFOLLOW = 0x8,
    }

    /// close_range(2).
    pub struct CloseRangeFlags: u32 {
        CLOSE_RANGE_UNSHARE = 0x2,
        CLOSE_RANGE_CLOEXEC = 0x4,
    }

    /// seccomp(2), SECCOMP_SET_MODE_FILTER.
    pub struct FilterFlags: u32 {
        SECCOMP_FILTER_FLAG_TSYNC = 0x1,
        SECCOMP_FILTER_FLAG_LOG = 0x2,
        SECCOMP_FILTER_FLAG_SPEC_ALLOW = 0x4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 0x8,
        SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20,
    }

    /// Mode and flags of set_mempolicy(2).
    pub struct MemoryFlags: u32 {
        MPOL_F_NUMA_BALANCING = 0x2000,
        MPOL_F_RELATIVE_NODES = 0x4000,
        MPOL_F_STATIC_NODES = 0x8000,
    }
}

#[cfg(target_arch = "x86_64")]
const DIRECTORY: u64 = 0x1_0000;
#[cfg(target_arch = "x86_64")]
const NOFOLLOW: u64 = 0x2_0000;
#[cfg(not(target_arch = "x86_64"))]
const DIRECTORY: u64 = 0x4000;
#[cfg(not(target_arch = "x86_64"))]
const NOFOLLOW: u64 = 0x8000;

/// Permission bits, printed in octal; with type bits for mknodat(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(
    /// As the kernel takes it.
    pub u32,
);

impl<'p> Field<'p> for Mode {
    fn encode(&self, out: &mut dyn Sink) {
        self.0.encode(out);
    }

    fn decode(from: &mut Reader<'p>) -> Self {
        Mode(u32::decode(from))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 & 0o170_000 {
            0o020_000 => "S_IFCHR|",
            0o060_000 => "S_IFBLK|",
            0o010_000 => "S_IFIFO|",
            0o100_000 => "S_IFREG|",
            0o040_000 => "S_IFDIR|",
            _ => "",
        };
        write!(f, "{kind}0{:o}", self.0 & 0o7777)
    }
}

/// A device number, as mknod(2) takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device(
    /// Encoded as the kernel's `new_encode_dev` does.
    pub u32,
);

impl Device {
    /// From its two numbers; `None` if one does not fit the kernel's 12 and 20 bits.
    pub const fn new(major: u32, minor: u32) -> Option<Device> {
        if major >= 1 << 12 || minor >= 1 << 20 {
            return None;
        }
        Some(Device((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)))
    }

    /// Major number.
    pub const fn major(self) -> u32 {
        (self.0 >> 8) & 0xfff
    }

    /// Minor number.
    pub const fn minor(self) -> u32 {
        (self.0 & 0xff) | ((self.0 >> 12) & 0xf_ff00)
    }
}

impl<'p> Field<'p> for Device {
    fn encode(&self, out: &mut dyn Sink) {
        self.0.encode(out);
    }

    fn decode(from: &mut Reader<'p>) -> Self {
        Device(u32::decode(from))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major(), self.minor())
    }
}

/// An enum of the kernel's numbers, by name.
macro_rules! choices {
    ($($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$vdoc:meta])* $variant:ident = $value:expr,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        #[allow(non_camel_case_types, reason = "the kernel's names")]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            /// Every value, with its name.
            pub const ALL: &'static [(&'static str, $name)] =
                &[$((stringify!($variant), $name::$variant)),*];

            /// The value with this name.
            pub fn named(name: &str) -> Option<$name> {
                Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
            }

            /// The value with this number.
            pub fn numbered(number: u32) -> Option<$name> {
                Self::ALL.iter().find(|(_, known)| *known as u32 == number).map(|(_, value)| *value)
            }
        }

        impl<'p> Field<'p> for $name {
            fn encode(&self, out: &mut dyn Sink) {
                (*self as u32).encode(out);
            }
            fn decode(from: &mut Reader<'p>) -> Self {
                match u32::decode(from) {
                    $(value if value == $value => $name::$variant,)*
                    _ => from.refuse([$($name::$variant),*][0]),
                }
            }
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => stringify!($variant),)* })
            }
        }
    )*};
}

choices! {
    /// prctl(2) with one value.
    pub enum Prctl {
        /// The signal that comes when the parent dies.
        PR_SET_PDEATHSIG = 1,
        /// Whether other processes may trace this one: not while it joins namespaces
        /// (CVE-2016-9962).
        PR_SET_DUMPABLE = 4,
        /// Keep permitted capabilities over setuid.
        PR_SET_KEEPCAPS = 8,
        /// Drop a capability from the bounding set.
        PR_CAPBSET_DROP = 24,
        /// execve(2) gives no privileges from now on.
        PR_SET_NO_NEW_PRIVS = 38,
    }

    /// signal(7): those by which people end programs.
    pub enum Signal {
        /// The terminal is gone.
        SIGHUP = 1,
        /// From the keyboard.
        SIGINT = 2,
        /// From the keyboard.
        SIGQUIT = 3,
        /// From kill(1).
        SIGTERM = 15,
    }

    /// sigprocmask(2).
    pub enum SigHow {
        /// The signals wait.
        SIG_BLOCK = 0,
        /// The signals are delivered.
        SIG_UNBLOCK = 1,
    }

    /// getrlimit(2).
    pub enum Resource {
        /// Seconds of processor time.
        RLIMIT_CPU = 0,
        /// Bytes of a file.
        RLIMIT_FSIZE = 1,
        /// Bytes of the data segment.
        RLIMIT_DATA = 2,
        /// Bytes of the stack.
        RLIMIT_STACK = 3,
        /// Bytes of a core file.
        RLIMIT_CORE = 4,
        /// Pages in memory; of no effect.
        RLIMIT_RSS = 5,
        /// Processes of the user.
        RLIMIT_NPROC = 6,
        /// The highest descriptor, plus one.
        RLIMIT_NOFILE = 7,
        /// Bytes locked into memory.
        RLIMIT_MEMLOCK = 8,
        /// Bytes of address space.
        RLIMIT_AS = 9,
        /// File locks; of no effect.
        RLIMIT_LOCKS = 10,
        /// Queued signals.
        RLIMIT_SIGPENDING = 11,
        /// Bytes of the user's message queues.
        RLIMIT_MSGQUEUE = 12,
        /// 20 less the lowest nice value.
        RLIMIT_NICE = 13,
        /// The highest real-time priority.
        RLIMIT_RTPRIO = 14,
        /// Microseconds of real time without a system call.
        RLIMIT_RTTIME = 15,
    }

    /// Reports of init at points of its plan: the number in its 8 bytes, with the errno 0.
    pub enum Report {
        /// The rootfs is complete and not yet pivoted to: hooks may run.
        HOOKS = 0x8000_0001,
        /// Everything that can fail before `start` has been done.
        READY = 0x8000_0002,
        /// `startContainer` hooks may run.
        START_HOOKS = 0x8000_0003,
        /// Comes with the master of the terminal.
        TERMINAL = 0x8000_0004,
        /// Comes with the listener of the system call filter.
        LISTENER = 0x8000_0005,
        /// The launcher must write the user namespace's maps.
        MAPS = 0x8000_0006,
        /// Comes with the directory from which the launcher copies files.
        COPY_FROM = 0x8000_000c,
        /// Comes with the tmpfs into which the launcher copies them.
        COPY_UP = 0x8000_0009,
        /// Comes with a detached mount whose ids the launcher maps.
        MAP_IDS = 0x8000_000a,
        /// Comes with a directory that init has opened in the mount namespace of CRIU.
        DIRECTORY = 0x8000_000b,
        /// A part of the host's files is read-only, since it cannot be overlaid.
        READ_ONLY = 0x8000_000d,
        /// The next thing is execve.
        EXECUTE = 0x8000_0008,
    }

    /// The file type that a check expects.
    pub enum Kind {
        /// Character device.
        S_IFCHR = 0o020_000,
        /// Block device.
        S_IFBLK = 0o060_000,
        /// FIFO.
        S_IFIFO = 0o010_000,
    }

    /// File systems whose identity is verified, include/uapi/linux/magic.h.
    pub enum Magic {
        /// procfs.
        PROC_SUPER_MAGIC = 0x9fa0,
        /// devpts.
        DEVPTS_SUPER_MAGIC = 0x1cd1,
    }
}

structure! {
    /// openat2(2).
    pub struct OpenHow {
        /// As in open(2).
        flags: OpenFlags,
        /// Of a file that is made.
        mode: u64,
        /// How the path is walked.
        resolve: Resolve,
    }

    /// mount_setattr(2), without an id mapping.
    pub struct MountAttr {
        /// The attributes to set.
        attr_set: MountAttrs,
        /// The attributes to clear.
        attr_clr: MountAttrs,
        /// The propagation; 0 leaves it unchanged.
        propagation: Propagation,
        /// Always 0 here: the launcher makes the id-mapped mounts.
        userns_fd: u64,
    }

    /// prlimit(2).
    pub struct Rlimit {
        /// Soft limit.
        soft: u64,
        /// Hard limit.
        hard: u64,
    }

    /// sched_setattr(2).
    pub struct SchedAttr {
        /// Of this structure: 48.
        size: u32,
        /// SCHED_*.
        policy: u32,
        /// SCHED_FLAG_*.
        flags: u64,
        /// For SCHED_OTHER and SCHED_BATCH.
        nice: i32,
        /// For SCHED_FIFO and SCHED_RR.
        priority: u32,
        /// Nanoseconds.
        runtime: u64,
        /// Nanoseconds.
        deadline: u64,
        /// Nanoseconds.
        period: u64,
    }

    /// Capability sets of a process, bit n is capability n.
    pub struct Caps {
        /// Effective.
        effective: CapSet,
        /// Permitted.
        permitted: CapSet,
        /// Inheritable.
        inheritable: CapSet,
    }
}

/// A set of capabilities, printed in hexadecimal as in /proc/PID/status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct CapSet(
    /// Bit n is capability n.
    pub u64,
);

impl<'p> Field<'p> for CapSet {
    fn encode(&self, out: &mut dyn Sink) {
        self.0.encode(out);
    }

    fn decode(from: &mut Reader<'p>) -> Self {
        CapSet(u64::decode(from))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
