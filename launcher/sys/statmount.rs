//! statmount(2): the mount that a path leads to, without the text of all mounts.
//!
//! Knows the layout of the answer. Must not know what the mount is for.

use std::ffi::CStr;
use std::io;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use syscalls::Sysno;

use super::check;

/// A mount: the fields of proc_pid_mountinfo(5), not escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The type of its file system, as `f_type` of statfs(2).
    pub magic: i64,
    /// The directory of the file system that it shows.
    pub root: String,
    /// Where it is attached, from this process's root.
    pub place: String,
    /// What the file system itself says of its options: `cpu,cpuacct`. Empty before Linux 6.11.
    pub options: String,
}

/// STATMOUNT_SB_BASIC, STATMOUNT_MNT_ROOT and STATMOUNT_MNT_POINT of include/uapi/linux/mount.h.
const NEEDED: u64 = 0x01 | 0x08 | 0x10;
/// STATMOUNT_MNT_OPTS; the kernel answers nothing if there are none.
const OPTIONS: u64 = 0x80;

/// Where the strings of struct statmount begin.
const STRINGS: usize = 512;

/// `STATX_MNT_ID_UNIQUE`: the id that the kernel never gives again.
const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// The mount that an absolute path leads to.
///
/// # Errors
/// ENOSYS before Linux 6.8. EOVERFLOW if the strings are longer than those of cgroups are. ENODATA
/// if the kernel leaves out a part. As statx(2) if there is no such path.
pub fn mount_of(path: &str) -> io::Result<Mount> {
    let found = statx(CWD, path, AtFlags::empty(), UNIQUE)?;
    if !StatxFlags::from_bits_retain(found.stx_mask).contains(UNIQUE) {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    // struct mnt_id_req: its size, the id, what is wanted.
    let request: [u64; 3] = [24, found.stx_mnt_id, NEEDED | OPTIONS];
    let mut answer = [0_u8; STRINGS + 1024];
    // SAFETY: the request has the size that it names, and the kernel writes no more than the length
    // of the answer; both live over the call.
    check(unsafe {
        let (to, length) = (answer.as_mut_ptr(), answer.len());
        libc::syscall(Sysno::statmount as i64, request.as_ptr(), to, length, 0)
    })?;
    read(&answer).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODATA))
}

/// Read a struct statmount; nothing if the kernel left out a part.
fn read(answer: &[u8]) -> Option<Mount> {
    let number = |at: usize| Some(u64::from_ne_bytes(answer.get(at..at + 8)?.try_into().ok()?));
    let offset = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let string = |at: usize| {
        let from = STRINGS.checked_add(offset(at)? as usize)?;
        let text = CStr::from_bytes_until_nul(answer.get(from..)?).ok()?;
        text.to_str().ok().map(str::to_owned)
    };
    let mask = number(8)?;
    if mask & NEEDED != NEEDED {
        return None;
    }
    let options = if mask & OPTIONS == 0 { String::new() } else { string(4)? };
    Some(Mount { magic: number(24)? as i64, root: string(104)?, place: string(108)?, options })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::{Line, unescape};

    #[test]
    fn it_says_what_mountinfo_says() {
        let proc = match mount_of("/proc/self") {
            Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
                return println!("skipped: this kernel has no statmount(2)");
            }
            answer => answer.expect("a mount"),
        };
        assert_eq!((proc.magic, proc.root.as_str()), (libc::PROC_SUPER_MAGIC, "/"));
        let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        for line in table.lines().filter_map(Line::read).filter(|it| it.kind.starts_with("cgroup"))
        {
            let place = unescape(line.place).expect("UTF-8");
            // Another mount may be above this one.
            let Ok(mount) = mount_of(&place) else { continue };
            if crate::sys::cgroupfs::fs_type_of(&place).is_ok_and(|kind| kind == mount.magic) {
                assert_eq!(mount.place, place);
                assert_eq!(mount.root, line.root);
                assert!(line.options.ends_with(&mount.options), "{line:?} {mount:?}");
            }
        }
        assert_eq!(mount_of("/no such path").expect_err("no path").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_answer_that_lacks_a_part_is_none() {
        let mut answer = [0_u8; STRINGS + 8];
        answer[8..16].copy_from_slice(&NEEDED.to_ne_bytes());
        answer[STRINGS..STRINGS + 2].copy_from_slice(b"/x");
        assert_eq!(read(&answer).map(|it| it.place).as_deref(), Some("/x"));
        assert_eq!(read(&answer[..STRINGS + 1]), None, "no end of a string");
        answer[108..112].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(read(&answer), None, "a string outside");
        answer[108..112].fill(0);
        answer[8] = 0;
        assert_eq!(read(&answer), None, "no string");
    }
}
