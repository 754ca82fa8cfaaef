//! Questions to the kernel whose answer is an errno: nothing stays changed.

use std::io;

use super::check;

/// The errno of a system call with these arguments, 0 if it succeeds.
///
/// For arguments that the kernel refuses before it does anything: no pointer among them is valid.
pub fn errno_of(number: i64, args: [i64; 5]) -> i32 {
    let [a, b, c, d, e] = args;
    // SAFETY: the caller passes null pointers and descriptors that do not exist, only.
    match check(unsafe { libc::syscall(number, a, b, c, d, e) }) {
        Ok(_) => 0,
        Err(e) => e.raw_os_error().unwrap_or(0),
    }
}

/// unshare(2), in a child that ends at once: first `before` (0: nothing), then `flags`.
pub fn can_unshare(before: i32, flags: i32) -> io::Result<()> {
    // SAFETY: the child makes system calls only, and never returns from here.
    let child = check(unsafe { libc::fork() }.into())? as libc::pid_t;
    if child == 0 {
        // SAFETY: no pointers but that to this thread's errno; exit handlers do not run.
        unsafe {
            if (before == 0 || libc::unshare(before) == 0) && libc::unshare(flags) == 0 {
                libc::_exit(0);
            }
            // Every errno of unshare(2) fits into an exit status.
            libc::_exit(*libc::__errno_location());
        }
    }
    let mut status = 0;
    loop {
        // SAFETY: `status` is a writable int.
        match check(unsafe { libc::waitpid(child, &raw mut status, 0) }.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => break result.map(drop)?,
        }
    }
    match libc::WEXITSTATUS(status) {
        0 if libc::WIFEXITED(status) => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
