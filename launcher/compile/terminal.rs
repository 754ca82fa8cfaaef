//! Compile `process.terminal`: a pseudo-terminal of the container's own devpts.
//!
//! Init opens the master without following links and verifies it. It opens the slave by the master,
//! not by a name (CVE-2025-52565), and `/dev/console` may not be a link.

use tiny_ce_init::flags::{Device, Kind, Magic, OpenFlags, OpenHow, Report};
use tiny_ce_init::{Op, Slot};

use super::mounts::clone_fd;
use super::root::{self, Links, Wanted};
use super::targets::attach;
use crate::error::Result;
use crate::plan::{Plan, c_string};
use crate::spec::Process;

/// The device number of /dev/ptmx, the kernel's Documentation/admin-guide/devices.txt.
const PTMX: Device = Device((5 << 8) | 2);

/// Where the terminal is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below a rootfs that init has not entered yet; it gets a `/dev/console`.
    Rootfs(Slot),
    /// In the container, which `exec` has joined.
    Joined,
}

/// Make the terminal, send its master to the launcher, and return its slave.
///
/// # Errors
/// The plan has no free slot.
pub fn open(plan: &mut Plan, process: &Process, place: Place) -> Result<Option<Slot>> {
    if !process.terminal {
        return Ok(None);
    }
    plan.origin("process.terminal");
    let (master, slave) = (plan.slot()?, plan.slot()?);
    let flags = OpenFlags::O_RDWR | OpenFlags::O_NOCTTY | OpenFlags::O_CLOEXEC;
    let (at, path) = match place {
        Place::Rootfs(root) => (root, c_string("dev/pts/ptmx")?),
        Place::Joined => (Slot::CWD, c_string("/dev/pts/ptmx")?),
    };
    let how = OpenHow { flags, mode: 0, resolve: Links::Refuse.resolve() };
    plan.step(Op::Openat2 { into: master, at, path: &path, how });
    plan.step(Op::Fstatfs { fd: master, magic: Magic::DEVPTS_SUPER_MAGIC });
    plan.step(Op::Statx { fd: master, kind: Kind::S_IFCHR, dev: PTMX });
    plan.step(Op::UnlockPty { master });
    plan.step(Op::OpenPtyPeer { into: slave, master, flags });
    if process.user().uid != 0 {
        plan.step(Op::Fchown { fd: slave, uid: process.user().uid, gid: u32::MAX });
    }
    if let Some(size) = &process.console_size {
        plan.origin("process.consoleSize");
        let words = [size.height, size.width, 0, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        plan.step(Op::SetWindowSize { tty: slave, size: &bytes });
        plan.origin("process.terminal");
    }
    if let Place::Rootfs(root) = place {
        let to = root::target(plan, root, "/dev/console", Wanted::File, Links::Refuse)?;
        let tree = clone_fd(plan, slave, false)?;
        attach(plan, tree, to);
        plan.close(to);
        plan.close(tree);
    }
    plan.step(Op::SendFd { to: Slot::CHANNEL, what: Report::TERMINAL, fd: master });
    plan.close(master);
    Ok(Some(slave))
}

/// Make the slave stdin, stdout and stderr, and the controlling terminal if this process is the
/// program's.
pub fn take(plan: &mut Plan, slave: Option<Slot>, controlling: bool) {
    let Some(slave) = slave else { return };
    plan.origin("process.terminal");
    for to in 0..3 {
        plan.step(Op::Dup3Stdio { fd: slave, to });
    }
    if controlling {
        plan.step(Op::SetControllingTty { number: 0 });
    }
    plan.close(slave);
}
