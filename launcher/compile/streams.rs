//! Compile the standard streams that are the host's null device: they become the container's own.
//!
//! A descriptor of the host's /dev would tell the program the host's mount and inode by
//! /proc/self/fd, and CRIU could not restore it. runc and crun do the same (reopenDevNull). The
//! node is verified, since an image or a program in the container may have another file there.

use tiny_ce_init::flags::{Device, Kind, OpenFlags, OpenHow, Resolve};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::root::{BELOW, Links};
use crate::error::Result;
use crate::host::NULL_DEVICE;
use crate::plan::Plan;

/// Where the container's null device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the container's `/dev`, which init has opened.
    Dev(Slot),
    /// In the container, which `exec` has joined.
    Joined,
}

/// Open the null device of the container, verify it, and copy it to each of `streams`. A stream
/// stays as it is if the container's cgroups or mounts refuse the device.
///
/// # Errors
/// The plan has no free slot.
pub fn own_null(plan: &mut Plan, streams: [bool; 3], place: Place) -> Result<()> {
    if streams == [false; 3] {
        return Ok(());
    }
    plan.origin("standard streams that are /dev/null");
    let into = plan.slot()?;
    let (at, path, resolve): (_, _, Resolve) = match place {
        Place::Dev(dev) => (dev, c"null", BELOW),
        Place::Joined => (Slot::CWD, c"/dev/null", Links::Refuse.resolve()),
    };
    let flags = OpenFlags::O_RDWR | OpenFlags::O_NOCTTY | OpenFlags::O_CLOEXEC;
    let how = OpenHow { flags, mode: 0, resolve };
    let refused = Unless::EACCES.or(Unless::EPERM);
    plan.step_unless(refused, Op::Openat2 { into, at, path, how });
    let mut step = |op| {
        plan.push(Step { guard: Guard::Present(into), unless: Unless::NOTHING, op });
    };
    let (major, minor) = NULL_DEVICE;
    let dev = Device((major << 8) | minor);
    step(Op::Statx { fd: into, kind: Kind::S_IFCHR, dev });
    for (to, _) in (0u32..).zip(streams).filter(|(_, null)| *null) {
        step(Op::Dup3Stdio { fd: into, to });
    }
    plan.close_present(into);
    Ok(())
}
