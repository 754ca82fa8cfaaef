//! What only the first process of a machine does: mount(2), reboot(2), finit_module(2),
//! sethostname(2), a new root, and its own standard streams.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::sync;
use rustix::mount::{self, MountFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::system::{RebootCommand, finit_module, reboot, sethostname};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use super::check;

/// mount(2) with `MS_*` flags and the file system's own options, separated by commas.
pub fn mount(source: &str, target: &Path, kind: &str, flags: u64, data: &str) -> io::Result<()> {
    let flags = MountFlags::from_bits_retain(flags as u32);
    let data = CString::new(data)?;
    Ok(mount::mount(source, target, kind, flags, Some(data.as_c_str()))?)
}

/// mount(2) with MS_MOVE.
pub fn move_mount(from: &Path, to: &Path) -> io::Result<()> {
    Ok(mount::mount_move(from, to)?)
}

/// Make the mount at `root` the root of this process and of all that it starts: chdir(2), mount(2)
/// with MS_MOVE, chroot(2). pivot_root(2) refuses an initramfs, which has no parent mount.
pub fn enter_root(root: &Path) -> io::Result<()> {
    rustix::process::chdir(root)?;
    mount::mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// mount(2) with MS_REMOUNT and MS_RDONLY: the file system writes what it holds back, and takes
/// no more.
pub fn make_read_only(target: &Path) -> io::Result<()> {
    Ok(mount::mount_remount(target, MountFlags::RDONLY, c"")?)
}

/// finit_module(2). The kernel itself decompresses a module that is compressed (Linux 5.17).
///
/// # Errors
/// EEXIST if the module is loaded already.
pub fn load_module(file: &impl AsFd, parameters: &str, compressed: bool) -> io::Result<()> {
    /// MODULE_INIT_COMPRESSED_FILE, include/uapi/linux/module.h.
    const COMPRESSED_FILE: i32 = 4;
    let parameters = CString::new(parameters)?;
    Ok(finit_module(file, &parameters, if compressed { COMPRESSED_FILE } else { 0 })?)
}

/// sethostname(2).
pub fn set_hostname(name: &str) -> io::Result<()> {
    Ok(sethostname(name.as_bytes())?)
}

/// reboot(2) with CAD_OFF: Ctrl-Alt-Del becomes a SIGINT for the first process.
pub fn take_ctrl_alt_del() -> io::Result<()> {
    Ok(reboot(RebootCommand::CadOff)?)
}

/// sync(2), and reboot(2): off, or with `restart` on again. Returns only if the kernel refuses.
pub fn switch_off(restart: bool) -> io::Result<()> {
    sync();
    let command = if restart { RebootCommand::Restart } else { RebootCommand::PowerOff };
    Ok(reboot(command)?)
}

/// reboot(2): stop the machine where it cannot switch itself off.
pub fn halt() -> io::Result<()> {
    Ok(reboot(RebootCommand::Halt)?)
}

/// Let every program have as many descriptors as it asks for, setrlimit(2); the soft limit stays,
/// since select(2) knows 1024 descriptors.
pub fn raise_descriptors(most: u64) -> io::Result<()> {
    let now = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: now.current, maximum: Some(most) })?)
}

/// dup3(2): make these the standard streams of this process.
pub fn set_streams(streams: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    let [stdin, stdout, stderr] = streams;
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    Ok(rustix::stdio::dup2_stderr(stderr)?)
}

/// A new pseudo-terminal: its master and its slave, pty(7).
pub fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    Ok((master, slave))
}

/// Let a command that is spawned have a clean set of blocked signals, which it would inherit, and
/// with `terminal` a session with its standard input as controlling terminal: setsid(2), TIOCSCTTY
/// of ioctl_tty(2).
pub fn prepare(command: &mut Command, terminal: bool) {
    let in_child = move || {
        // SAFETY: the set is a local that sigemptyset fills, and no other pointer is passed. All
        // of these calls may be made between fork and execve.
        unsafe {
            let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            let how = libc::SIG_SETMASK;
            check(libc::sigprocmask(how, none.as_ptr(), std::ptr::null_mut()).into())?;
            if terminal {
                check(libc::setsid().into())?;
                check(libc::ioctl(0, libc::TIOCSCTTY, 0).into())?;
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(in_child) };
}

/// Write a byte to an I/O port: ioperm(2) and the instruction OUT. /dev/port would do without it,
/// but cloud kernels have no such file.
///
/// # Errors
/// `Unsupported` on an architecture without I/O ports.
#[cfg(target_arch = "x86_64")]
pub fn write_port(port: u16, byte: u8) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::ioperm(port.into(), 1, 1) }.into())?;
    // SAFETY: the kernel has allowed the port, whose device has no access to our memory.
    unsafe { std::arch::asm!("out dx, al", in("dx") port, in("al") byte, options(nomem)) };
    Ok(())
}

/// See the function of x86.
#[cfg(not(target_arch = "x86_64"))]
pub fn write_port(_: u16, _: u8) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Make a serial line pass each byte on as it is, at the highest usual speed: tcsetattr(3). A file
/// that is no terminal does so already.
pub fn make_transparent(line: &impl AsFd) -> io::Result<()> {
    let mut settings = match tcgetattr(line) {
        Err(rustix::io::Errno::NOTTY) => return Ok(()),
        settings => settings?,
    };
    settings.make_raw();
    settings.set_speed(115_200)?;
    Ok(tcsetattr(line, OptionalActions::Now, &settings)?)
}

/// Wait until a serial line has sent everything, tcdrain(3); another file has, when write(2)
/// returns.
pub fn drain(line: &impl AsFd) -> io::Result<()> {
    match tcdrain(line) {
        Err(rustix::io::Errno::NOTTY) => Ok(()),
        result => Ok(result?),
    }
}
