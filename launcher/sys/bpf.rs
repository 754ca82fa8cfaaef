//! bpf(2): load a cgroup device program, attach it to a cgroup, list the attached programs.
//!
//! Knows the call's structures (linux/bpf.h). What the instructions mean is in
//! `crate::cgroup::program`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use syscalls::Sysno;

use super::check;
use super::file::owned;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// The most programs that one cgroup can have (BPF_CGROUP_MAX_PROGS in the kernel).
const MAX_PROGRAMS: usize = 64;

/// The start of `union bpf_attr` for BPF_PROG_LOAD, up to `prog_name`. The kernel accepts a shorter
/// union and reads the rest as zero.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// For BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// For BPF_PROG_QUERY.
#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// For BPF_PROG_GET_FD_BY_ID.
#[repr(C)]
#[derive(Default)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
    padding: u32,
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<i64> {
    // SAFETY: `attr` is a writable structure of exactly the size that is passed, and each command's
    // structure holds only pointers to memory that its caller keeps alive over the call.
    let result = unsafe { libc::syscall(Sysno::bpf as i64, command, attr, size_of::<T>()) };
    check(result)
}

/// Run a command that makes a descriptor; the kernel makes each of BPF close-on-exec.
fn made<T>(command: libc::c_int, attr: &mut T) -> io::Result<OwnedFd> {
    owned(bpf(command, attr)?)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Load a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
///
/// # Errors
/// EPERM without CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN.
pub fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    // No GPL-only function is called, so the licence need not be the GPL.
    let license = c"Apache-2.0";
    let mut prog_name = [0; 16];
    prog_name[..15].copy_from_slice(b"tiny_ce_devices");
    let mut attr = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        insns: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        prog_name,
        ..Load::default()
    };
    made(BPF_PROG_LOAD, &mut attr)
}

/// Attach a device program to a cgroup directory; `replace` is a program that it replaces
/// atomically.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replace: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | if replace.is_some() { BPF_F_REPLACE } else { 0 },
        replace_bpf_fd: replace.map_or(0, number),
    };
    bpf(BPF_PROG_ATTACH, &mut attr).map(drop)
}

/// Detach one device program from a cgroup directory.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        ..Attach::default()
    };
    bpf(BPF_PROG_DETACH, &mut attr).map(drop)
}

/// Open the device programs that are attached to a cgroup directory itself, oldest first.
///
/// # Errors
/// ENOENT if a program is freed between the query and its opening.
pub fn device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut attr = Query {
        target_fd: number(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MAX_PROGRAMS as u32,
        ..Query::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    let count = attr.prog_cnt as usize;
    ids.iter()
        .take(count)
        .map(|&prog_id| made(BPF_PROG_GET_FD_BY_ID, &mut ById { prog_id, ..ById::default() }))
        .collect()
}
