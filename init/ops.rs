//! The table: one operation, one row, one place.
//!
//! A row is a doc, a name, the system call, the fields that travel and the arguments they become.
//! From it come the enum, `encode`, `decode`, `Display`, the arguments for the machine, and `ROWS`
//! for the reference and the tests. To add an operation, add a row: nothing else.

use core::ffi::CStr;
use core::fmt;

use crate::flags::*;
use crate::machine::{
    Above, Arg, Argv, At, Below, End, Envp, Machine, Message, Readable, Scratch, Send, SockFprog,
};
use crate::wire::{Field, Malformed, Reader, Sink, Slot};

/// A row of the table, for the reference and the tests.
pub struct Row {
    /// What the operation is for.
    pub doc: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The system call, in upper case.
    pub call: &'static str,
    /// Names and types of the fields.
    pub fields: &'static [(&'static str, &'static str)],
}

/// [`Field::show`] as an object-safe trait, so that the fields of a row fit in one array.
trait Show {
    fn show_field(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<'p, T: Field<'p>> Show for T {
    fn show_field(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f)
    }
}

/// What to do with the result of a successful call.
pub(crate) enum Then {
    /// Nothing.
    Nothing,
    /// The result is a descriptor: put it into this slot.
    Keep(Slot),
    /// Whether the result passed the row's check.
    Check(bool),
}

macro_rules! ops {
    ($p:lifetime; $(
        $(#[doc = $doc:literal])+
        $name:ident = $call:ident { $($field:ident: $type:ty),* } ($($arg:expr),*)
        $(-> $into:ident)? $(words $words:ident)? $(says $says:literal)? $(check $check:expr)?;
    )*) => {
        /// One operation: what a step does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are the arguments that the man page names")]
        pub enum Op<$p> { $($(#[doc = $doc])+ $name { $($field: $type),* },)* }

        /// The number of each operation on the wire.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "names of rows")]
        #[repr(u8)]
        enum Code { $($name),* }

        /// Every row, in the order of the table.
        pub const ROWS: &[Row] = &[$(Row {
            doc: concat!($($doc),+),
            name: stringify!($name),
            call: stringify!($call),
            fields: &[$((stringify!($field), stringify!($type))),*],
        }),*];

        impl<$p> Op<$p> {
            /// Append to a plan.
            pub fn encode(&self, out: &mut dyn Sink) {
                match self { $(Op::$name { $($field),* } => {
                    out.put(&[Code::$name as u8]);
                    $($field.encode(out);)*
                })* }
            }

            /// Decode what `encode` wrote.
            ///
            /// # Errors
            /// The bytes are no operation of this table, are too few, or a field is out of range.
            pub fn decode(from: &mut Reader<$p>) -> Result<Self, Malformed> {
                let code = u8::decode(from);
                let op = $(if code == Code::$name as u8 {
                    Op::$name { $($field: Field::decode(from)),* }
                } else)* {
                    return Err(Malformed);
                };
                from.whole(op)
            }

            /// The number and the arguments of the system call.
            pub(crate) fn call(&self, m: &mut Machine) -> (usize, [usize; 6]) {
                match self { $(Op::$name { $($field),* } => {
                    $(let _ = $field;)*
                    // There are six registers for arguments; the kernel ignores the rest.
                    let (a, b, c, d, e, f, ..) = ($($arg.arg(m),)* 0, 0, 0, 0, 0, 0);
                    (sc::nr::$call, [a, b, c, d, e, f])
                })* }
            }

            /// What to do with the result `got`.
            pub(crate) fn then(&self, m: &Machine, got: usize) -> Then {
                let _ = (m, got);
                match self { $(Op::$name { $($field),* } => {
                    $(let _ = $field;)*
                    $(
                        let check: fn(&Machine, usize, &Self) -> bool = $check;
                        return Then::Check(check(m, got, self));
                    )?
                    $(return Then::Keep(*$into);)?
                    #[allow(unreachable_code, reason = "a row has one of these, or none")]
                    Then::Nothing
                })* }
            }

            /// The fs context from which the kernel's message about a failure can be read.
            pub fn words(&self) -> Option<Slot> {
                match self {
                    $($(Op::$name { $words, .. } => Some(*$words),)?)*
                    _ => None,
                }
            }

            /// The slot that the call fills if it succeeds.
            pub fn into_slot(&self) -> Option<Slot> {
                match self {
                    $($(Op::$name { $into, .. } => Some(*$into),)?)*
                    _ => None,
                }
            }

            /// The name of its row.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$name { .. } => stringify!($name),)* }
            }

            /// The system call in upper case, as in the table.
            pub fn call_name(&self) -> &'static str {
                match self { $(Op::$name { .. } => stringify!($call),)* }
            }
        }

        impl fmt::Display for Op<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for c in self.call_name().chars() {
                    write!(f, "{}", c.to_ascii_lowercase())?;
                }
                f.write_str("(")?;
                match self { $(Op::$name { $($field),* } => {
                    let says: &str = concat!($($says)?);
                    let fields: &[(&str, &dyn Show)] = &[$((stringify!($field), $field)),*];
                    f.write_str(says)?;
                    for (i, (name, value)) in fields.iter().enumerate() {
                        f.write_str(if i == 0 && says.is_empty() { "" } else { ", " })?;
                        write!(f, "{name}=")?;
                        value.show_field(f)?;
                    }
                })* }
                f.write_str(")")
            }
        }
    };
}

/// A check of the result against the fields of its row.
macro_rules! check {
    ($name:ident { $($field:ident),* }, $m:ident, $got:ident => $body:expr) => {
        |$m, $got, op| {
            let _ = ($m, $got);
            match op {
                Op::$name { $($field,)* .. } => $body,
                _ => false,
            }
        }
    };
}

const UNLOCKED: &u64 = &0;
const CAPABILITY_VERSION_3: &u64 = &0x2008_0522;
const SIGCHLD_CLONE_PARENT: u32 = 17 | 0x8000;
const SIGCHLD_CLONE_PIDFD: u32 = 17 | 0x1000;
const EVERY_SIGNAL: &u64 = &u64::MAX;
const SOCK_CLOEXEC: u32 = 0x8_0000;
const SIOCSIFFLAGS: u32 = 0x8914;
const TIOCSCTTY: u32 = 0x540e;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGPTPEER: u32 = 0x5441;
const STATX_TYPE: u32 = 1;

ops! { 'p;
    // ---- namespaces and the session
    /// Join a namespace that the launcher has opened, and whose kind it has verified.
    Setns = SETNS { fd: Slot, kind: CloneFlags } (fd, kind);
    /// Move to new namespaces.
    Unshare = UNSHARE { flags: CloneFlags } (flags);
    /// Make a session keyring, so that the container does not have the caller's keys.
    JoinSessionKeyring = KEYCTL { } (1usize, 0usize) says "operation=KEYCTL_JOIN_SESSION_KEYRING";
    /// Make a session, without a controlling terminal and without job control from outside.
    Setsid = SETSID { } ();

    // ---- mounts, made detached and attached by descriptor
    /// Clone the mounts at `path` into a detached tree.
    OpenTree = OPEN_TREE { into: Slot, at: Slot, path: &'p CStr, flags: OpenTreeFlags }
        (at, path, flags) -> into;
    /// Open a context to make a file system of this type.
    Fsopen = FSOPEN { into: Slot, fsname: &'p CStr, flags: FsopenFlags } (fsname, flags) -> into;
    /// Set a parameter of a context to a value.
    FsconfigString = FSCONFIG { fs: Slot, key: &'p CStr, value: &'p CStr }
        (fs, 1usize, key, value, 0usize) words fs says "cmd=FSCONFIG_SET_STRING";
    /// Set a parameter of a context that has no value.
    FsconfigFlag = FSCONFIG { fs: Slot, key: &'p CStr }
        (fs, 0usize, key, 0usize, 0usize) words fs says "cmd=FSCONFIG_SET_FLAG";
    /// Set a parameter of a context to a directory, by descriptor.
    FsconfigFd = FSCONFIG { fs: Slot, key: &'p CStr, fd: Slot }
        (fs, 5usize, key, 0usize, fd) words fs says "cmd=FSCONFIG_SET_FD";
    /// Make the superblock of a context.
    FsconfigCreate = FSCONFIG { fs: Slot }
        (fs, 6usize, 0usize, 0usize, 0usize) words fs says "cmd=FSCONFIG_CMD_CREATE";
    /// Open a context to change the file system of a mount.
    Fspick = FSPICK { into: Slot, at: Slot, flags: FspickFlags } (at, c"", flags) -> into;
    /// Change the superblock of a context.
    FsconfigReconfigure = FSCONFIG { fs: Slot }
        (fs, 7usize, 0usize, 0usize, 0usize) words fs says "cmd=FSCONFIG_CMD_RECONFIGURE";
    /// Make a detached mount of a context's file system.
    Fsmount = FSMOUNT { into: Slot, fs: Slot, flags: FsmountFlags, attr: MountAttrs }
        (fs, flags, attr) -> into words fs;
    /// Set attributes and propagation of a mount or a tree of them.
    MountSetattr = MOUNT_SETATTR { at: Slot, path: &'p CStr, flags: AtFlags, attr: MountAttr }
        (at, path, flags, attr, 32usize);
    /// Attach the tree `from` to the directory or file `to`.
    MoveMount = MOVE_MOUNT { from: Slot, to: Slot, flags: MoveMountFlags }
        (from, c"", to, c"", flags);
    /// Attach the tree `from` to `path`, which is relative to `at`.
    MoveMountAt = MOVE_MOUNT { from: Slot, at: Slot, path: &'p CStr, flags: MoveMountFlags }
        (from, c"", at, path, flags);
    /// Change the root; both paths are the working directory, so that no path has to be trusted.
    PivotRoot = PIVOT_ROOT { new_root: &'p CStr, put_old: &'p CStr } (new_root, put_old);
    /// Detach the mount at `target`.
    Umount2 = UMOUNT2 { target: &'p CStr, flags: UmountFlags } (target, flags);
    /// Make `path` the root directory, with `--no-pivot` and on an initramfs.
    Chroot = CHROOT { path: &'p CStr } (path);

    // ---- files below a descriptor
    /// Open a path; all later steps use the descriptor.
    Openat2 = OPENAT2 { into: Slot, at: Slot, path: &'p CStr, how: OpenHow }
        (at, path, how, 24usize) -> into;
    /// Create a directory; `path` is one component below `at`.
    Mkdirat = MKDIRAT { at: Slot, path: &'p CStr, mode: Mode } (at, path, mode);
    /// Create a node or an empty file; `path` is one component below `at`.
    Mknodat = MKNODAT { at: Slot, path: &'p CStr, mode: Mode, dev: Device } (at, path, mode, dev);
    /// Create a symbolic link; `path` is one component below `at`.
    Symlinkat = SYMLINKAT { target: &'p CStr, at: Slot, path: &'p CStr } (target, at, path);
    /// Remove a file; `path` is one component below `at`.
    Unlinkat = UNLINKAT { at: Slot, path: &'p CStr } (at, path, 0usize);
    /// Set the owner of a file; -1 leaves an id unchanged.
    Fchownat = FCHOWNAT { at: Slot, path: &'p CStr, uid: u32, gid: u32, flags: AtFlags }
        (at, path, uid, gid, flags);
    /// Set the owner of an open file; -1 leaves an id unchanged.
    Fchown = FCHOWN { fd: Slot, uid: u32, gid: u32 } (fd, uid, gid);
    /// Set the owner of an inherited stdio descriptor.
    FchownStdio = FCHOWN { number: u32, uid: u32, gid: u32 } (number, uid, gid);
    /// Verify that a node has this kind and number (CVE-2025-31133).
    Statx = STATX { fd: Slot, kind: Kind, dev: Device }
        (fd, c"", AtFlags::AT_EMPTY_PATH, STATX_TYPE, Scratch(0))
        check check!(Statx { kind, dev }, m, got => {
            u32::from(m.u16_at(28)) & 0o170_000 == *kind as u32
                && m.u32_at(128) == dev.major() && m.u32_at(132) == dev.minor()
        });
    /// Verify that a node has this kind.
    StatxKind = STATX { fd: Slot, kind: Kind }
        (fd, c"", AtFlags::AT_EMPTY_PATH, STATX_TYPE, Scratch(0))
        check check!(StatxKind { kind }, m, got => {
            u32::from(m.u16_at(28)) & 0o170_000 == *kind as u32
        });
    /// Verify that a descriptor is on this file system (CVE-2019-16884).
    Fstatfs = FSTATFS { fd: Slot, magic: Magic } (fd, Scratch(0))
        check check!(Fstatfs { magic }, m, got => m.u64_at(0) == *magic as u64);
    /// Verify that a descriptor is not on this file system.
    FstatfsNot = FSTATFS { fd: Slot, not: Magic } (fd, Scratch(0))
        check check!(FstatfsNot { not }, m, got => m.u64_at(0) != *not as u64);
    /// Write this data in one call.
    Write = WRITE { fd: Slot, data: &'p [u8] } (fd, data, data.len())
        check check!(Write { data }, m, got => got == data.len());
    /// Set an extended attribute of an open file.
    Fsetxattr = FSETXATTR { fd: Slot, name: &'p CStr, value: &'p [u8] }
        (fd, name, value, value.len(), 0usize);
    /// Close a descriptor.
    Close = CLOSE { fd: Slot } (fd);
    /// Change the working directory to a descriptor.
    Fchdir = FCHDIR { fd: Slot } (fd);
    /// Change the working directory.
    Chdir = CHDIR { path: &'p CStr } (path);
    /// Verify that the working directory is inside the root (CVE-2024-21626).
    Getcwd = GETCWD { } (Scratch(0), Machine::SCRATCH)
        check |m, _, _| m.u8_at(0) == b'/';

    // ---- the terminal
    /// Unlock the slave of a pseudo-terminal.
    UnlockPty = IOCTL { master: Slot } (master, TIOCSPTLCK, At(UNLOCKED)) says "request=TIOCSPTLCK";
    /// Open the slave of a pseudo-terminal by its master, and not by name.
    OpenPtyPeer = IOCTL { into: Slot, master: Slot, flags: OpenFlags } (master, TIOCGPTPEER, flags)
        -> into says "request=TIOCGPTPEER";
    /// Make the terminal on a stdio descriptor the controlling terminal.
    SetControllingTty = IOCTL { number: u32 } (number, TIOCSCTTY, 0usize)
        says "request=TIOCSCTTY";
    /// Set the size of a terminal: rows, columns, and two words of zero.
    SetWindowSize = IOCTL { tty: Slot, size: &'p [u8] }
        (tty, TIOCSWINSZ, size) says "request=TIOCSWINSZ";
    /// Send a descriptor to the launcher.
    SendFd = SENDMSG { to: Slot, what: Report, fd: Slot } (to, Send(*what as u32, *fd), 0usize);

    // ---- names
    /// Set the host name.
    Sethostname = SETHOSTNAME { name: &'p [u8] } (name, name.len());
    /// Set the NIS domain name.
    Setdomainname = SETDOMAINNAME { name: &'p [u8] } (name, name.len());

    /// Make a socket for the ioctls of network interfaces.
    Socket = SOCKET { into: Slot }
        (2usize, 0x8_0002usize, 0usize) -> into says "domain=AF_INET, type=SOCK_DGRAM|SOCK_CLOEXEC";
    /// Set the flags of a network interface, netdevice(7).
    SetInterfaceFlags = IOCTL { socket: Slot, ifreq: &'p [u8] }
        (socket, SIOCSIFFLAGS, ifreq) says "request=SIOCSIFFLAGS";

    // ---- identity and limits
    /// Set an attribute of the process, prctl(2).
    Prctl = PRCTL { option: Prctl, value: u64 } (option, value, 0usize, 0usize, 0usize);
    /// Let a signal end init, until execve.
    EndOn = RT_SIGACTION { signal: Signal } (signal, End, 0usize, 8usize)
        says "handler=exit_group";
    /// Block or unblock every signal.
    Sigprocmask = RT_SIGPROCMASK { how: SigHow } (how, At(EVERY_SIGNAL), 0usize, 8usize)
        says "set=~[]";
    /// The name of this process, as ps(1) has it.
    SetName = PRCTL { name: &'p CStr } (15usize, name, 0usize, 0usize, 0usize)
        says "option=PR_SET_NAME";
    /// Raise one ambient capability.
    RaiseAmbient = PRCTL { capability: u32 }
        (47usize, 2usize, capability, 0usize, 0usize)
        says "option=PR_CAP_AMBIENT, value=PR_CAP_AMBIENT_RAISE";
    /// Clear the ambient set.
    ClearAmbient = PRCTL { }
        (47usize, 4usize, 0usize, 0usize, 0usize)
        says "option=PR_CAP_AMBIENT, value=PR_CAP_AMBIENT_CLEAR_ALL";
    /// Set all supplementary groups.
    Setgroups = SETGROUPS { groups: &'p [u8] } (groups.len() / 4, groups);
    /// Set the real, effective and saved group, before the user, whose change removes CAP_SETGID.
    Setresgid = SETRESGID { gid: u32 } (gid, gid, gid);
    /// Set the real, effective and saved user.
    Setresuid = SETRESUID { uid: u32 } (uid, uid, uid);
    /// Set the capability sets.
    Capset = CAPSET { caps: Caps } (At(CAPABILITY_VERSION_3), caps);
    /// Verify the user.
    Getresuid = GETRESUID { uid: u32 } (Scratch(0), Scratch(4), Scratch(8))
        check check!(Getresuid { uid }, m, got => (0..3).all(|i| m.u32_at(i * 4) == *uid));
    /// Verify the group.
    Getresgid = GETRESGID { gid: u32 } (Scratch(0), Scratch(4), Scratch(8))
        check check!(Getresgid { gid }, m, got => (0..3).all(|i| m.u32_at(i * 4) == *gid));
    /// Verify the supplementary groups, which the kernel keeps sorted.
    Getgroups = GETGROUPS { groups: &'p [u8] } (Machine::SCRATCH / 4, Scratch(0))
        check check!(Getgroups { groups }, m, got => m.bytes(got * 4) == *groups);
    /// Verify the capability sets.
    Capget = CAPGET { caps: Caps } (At(CAPABILITY_VERSION_3), Scratch(0))
        check check!(Capget { caps }, m, got => m.caps() == *caps);
    /// Set the file mode creation mask.
    Umask = UMASK { mask: Mode } (mask);
    /// Set a resource limit.
    Prlimit = PRLIMIT64 { resource: Resource, limit: Rlimit } (0usize, resource, limit, 0usize);
    /// Set the scheduling policy.
    SchedSetattr = SCHED_SETATTR { attr: SchedAttr } (0usize, attr, 0usize);
    /// Set the CPUs to run on, a bit mask.
    SchedSetaffinity = SCHED_SETAFFINITY { mask: &'p [u8] } (0usize, mask.len(), mask);
    /// Set the I/O priority; the class is in the top 3 of 16 bits.
    IoprioSet = IOPRIO_SET { ioprio: u32 } (1usize, 0usize, ioprio) says "which=IOPRIO_WHO_PROCESS";
    /// Set the memory policy: a mode, and a bit mask of nodes.
    SetMempolicy = SET_MEMPOLICY { mode: u32, flags: MemoryFlags, nodes: &'p [u8], bits: u32 }
        (mode | flags.0, nodes, bits);
    /// Set the execution domain.
    Personality = PERSONALITY { persona: u32 } (persona);
    /// Install a system call filter.
    Seccomp = SECCOMP { flags: FilterFlags, program: &'p [u8] }
        (1usize, flags, SockFprog(program)) says "operation=SECCOMP_SET_MODE_FILTER";
    /// Install a system call filter, and keep the descriptor of its notifications.
    SeccompNotify = SECCOMP { into: Slot, flags: FilterFlags, program: &'p [u8] }
        (1usize, flags, SockFprog(program)) -> into says "operation=SECCOMP_SET_MODE_FILTER";

    // ---- the conversation
    /// Go on in a new process, whose parent is the launcher. The old one reports its pid and ends.
    Fork = CLONE { to: Slot }
        (SIGCHLD_CLONE_PARENT, 0usize, 0usize, 0usize, 0usize) says "flags=CLONE_PARENT|SIGCHLD";
    /// Make the process of the program, which goes on with the plan and without the first two
    /// words of argv, which are init's own. Only this process, its parent, gets its pidfd.
    Program = CLONE { into: Slot } (SIGCHLD_CLONE_PIDFD, 0usize, Scratch(0), 0usize, 0usize) -> into
        says "flags=CLONE_PIDFD|SIGCHLD";
    /// Wait for a signal, pass it on to the program or reap what has ended, and wait again. When
    /// the program has ended, end with its status.
    Supervise = RT_SIGTIMEDWAIT { } (At(EVERY_SIGNAL), 0usize, 0usize, 8usize) says "set=~[]";
    /// Wait until one of two processes has ended, by their pidfds.
    PollEnded = PPOLL { one: Slot, other: Slot }
        (Readable(*one, *other), 2usize, 0usize, 0usize, 0usize) says "events=POLLIN";
    /// Kill a process, by its pidfd.
    Kill = PIDFD_SEND_SIGNAL { pidfd: Slot } (pidfd, 9usize, 0usize, 0usize) says "sig=SIGKILL";
    /// Wait until a child has ended, and reap it.
    Waitid = WAITID { pidfd: Slot } (3usize, pidfd, Scratch(0), 4usize, 0usize)
        says "idtype=P_PIDFD, options=WEXITED";
    /// Report to the launcher how far init has come.
    Report = WRITE { to: Slot, what: Report } (to, Message(*what as u32), 8usize)
        check |_, got, _| got == 8;
    /// Wait for the launcher's answer. Init ends if the channel does.
    Await = READ { from: Slot } (from, Scratch(0), 1usize) check |_, got, _| got == 1;
    /// Wait for `start` to connect; the connection becomes the report channel.
    Accept = ACCEPT4 { into: Slot, socket: Slot } (socket, 0usize, 0usize, SOCK_CLOEXEC)
        -> into says "flags=SOCK_CLOEXEC";
    /// Copy a descriptor to the lowest free number from `lowest` on, close-on-exec. A copy of the
    /// report channel becomes the report channel.
    Dup = FCNTL { into: Slot, fd: Slot, lowest: u32 }
        (fd, 1030usize, lowest) -> into says "op=F_DUPFD_CLOEXEC";
    /// Copy a preserved descriptor to the number at which the program expects it.
    Dup3 = DUP3 { from: u32, to: u32 } (from, to, 0usize);
    /// Close the descriptor of this number, which the caller did not have open.
    CloseNumber = CLOSE { number: u32 } (number);
    /// Copy a descriptor to a stdio number.
    Dup3Stdio = DUP3 { fd: Slot, to: u32 } (fd, to, 0usize);
    /// Close every descriptor from `first` on that is below `last`.
    CloseBelow = CLOSE_RANGE { first: u32, last: Slot, flags: CloseRangeFlags }
        (first, Below(*last), flags);
    /// Close every descriptor after `first` that is below `last`.
    CloseBetween = CLOSE_RANGE { first: Slot, last: Slot, flags: CloseRangeFlags }
        (Above(*first), Below(*last), flags);
    /// Close every descriptor after `first`.
    CloseAbove = CLOSE_RANGE { first: Slot, flags: CloseRangeFlags }
        (Above(*first), 0xffff_ffffusize, flags);
    /// Close every descriptor from this number on.
    CloseFrom = CLOSE_RANGE { first: u32, flags: CloseRangeFlags }
        (first, 0xffff_ffffusize, flags);
    /// Become the container's program, with the argv and envp that init was given.
    Execve = EXECVE { path: &'p CStr } (path, Argv, Envp);
    /// Execute a program by its descriptor, since its path leads elsewhere in this mount namespace.
    Execveat = EXECVEAT { number: u32 } (number, c"", Argv, Envp, AtFlags::AT_EMPTY_PATH);
}
