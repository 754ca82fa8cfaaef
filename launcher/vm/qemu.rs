//! The command line of QEMU, and whether KVM works here.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::kernel::Architecture;
use crate::sys::process;
use crate::{Error, Result};

/// What QEMU is told.
pub struct Machine<'a> {
    pub architecture: Architecture,
    pub port: Port,
    pub kvm: bool,
    pub memory_mib: u64,
    pub cpus: u32,
    pub kernel: &'a Path,
    /// Descriptors that QEMU inherits: the image, the kernel's console, and the link.
    pub image: RawFd,
    pub console: RawFd,
    pub link: RawFd,
    /// The kernel's command line.
    pub append: String,
    /// Options for the shared directories.
    pub shares: Vec<String>,
}

/// What the link goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// A serial port, of which every byte is a call of QEMU.
    Serial,
    /// A port of virtio, which is a hundred times as fast, but needs a driver.
    Virtio,
}

impl Port {
    /// The modules of its driver.
    pub const MODULES: [&'static str; 2] = ["virtio_pci", "virtio_console"];
}

/// What differs between machines: QEMU's board, the kernel's console, the serial port of the link.
struct Board {
    machine: &'static str,
    console: &'static str,
    link: &'static str,
    serial: &'static [&'static str],
}

fn board(architecture: Architecture) -> Board {
    match architecture {
        // Serial ports need no module in any distribution's kernel.
        Architecture::X86 => Board {
            machine: "q35",
            console: "ttyS0",
            link: "/dev/ttyS1",
            serial: &["-serial", "chardev:link"],
        },
        // The board has one serial port for us; another one is on PCI.
        Architecture::Arm => Board {
            machine: "virt",
            console: "ttyAMA0",
            link: "/dev/ttyS0",
            serial: &["-device", "pci-serial,chardev=link"],
        },
    }
}

/// The beginning of the kernel's command line. A panic ends QEMU, since it does not reboot.
pub fn append(architecture: Architecture, port: Port, kvm: bool, verbose: bool) -> String {
    let Board { console, link, .. } = board(architecture);
    let link = if port == Port::Virtio { "/dev/vport0p1" } else { link };
    let mut words = format!("console={console} panic=-1 rdinit=/init tiny-ce.link={link}");
    if !verbose {
        words += " quiet";
    }
    // An emulated timer may be too slow for the test that the kernel makes of it at boot.
    if architecture == Architecture::X86 && !kvm {
        words += " no_timer_check";
    }
    words
}

impl Machine<'_> {
    /// The arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        let board = board(self.architecture);
        // QEMU 7.2 may run code that a newer kernel has just patched on another processor, if each
        // processor has a thread; that kernel dies.
        let accelerator = if self.kvm { "kvm" } else { "tcg,thread=single" };
        let mut words: Vec<OsString> = [
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-monitor",
            "none",
            "-machine",
            board.machine,
            "-cpu",
            "max",
            "-accel",
            accelerator,
        ]
        .map(OsString::from)
        .to_vec();
        let mut add = |text: String| words.push(text.into());
        add("-m".into());
        add(format!("{}M", self.memory_mib));
        add("-smp".into());
        add(self.cpus.to_string());
        for (id, fd) in [("console", self.console), ("link", self.link)] {
            add("-chardev".into());
            add(format!("socket,id={id},fd={fd}"));
        }
        let virtio = ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=link"];
        let link = if self.port == Port::Virtio { &virtio } else { board.serial };
        let ports = ["-serial", "chardev:console"].iter().chain(link);
        ports.for_each(|word| add((*word).to_owned()));
        self.shares.iter().for_each(|word| add(word.clone()));
        add("-append".into());
        add(self.append.clone());
        add("-initrd".into());
        add(format!("/dev/fd/{}", self.image));
        words.extend(["-kernel".into(), self.kernel.into()]);
        words
    }
}

/// QEMU for an architecture, unless another program is named.
pub fn program(architecture: Architecture, named: Option<&PathBuf>) -> PathBuf {
    let usual = || PathBuf::from(format!("qemu-system-{}", architecture.name()));
    named.cloned().unwrap_or_else(usual)
}

/// The error of a QEMU that cannot be started.
pub fn absent(program: &Path, e: &std::io::Error) -> Error {
    let error = Error::io(program.display(), "execve", e);
    match e.raw_os_error() {
        Some(libc::ENOENT) => error.hint(
            "install QEMU (Debian: qemu-system-x86 or qemu-system-arm), or name it with --qemu",
        ),
        _ => error,
    }
}

/// How long a processor under KVM may take for five instructions, and QEMU for its start, in
/// milliseconds.
const PROBE_MS: i32 = 3000;

/// Whether KVM works here. A /dev/kvm that can be opened is not enough, as a machine that is
/// virtual itself may have one that QEMU fails with; so a machine is started whose firmware is five
/// instructions, which end it.
pub fn kvm_works(program: &Path, architecture: Architecture) -> bool {
    let opened = File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if !opened || Architecture::own() != Some(architecture) {
        return false;
    }
    match architecture {
        Architecture::X86 => probe(program).unwrap_or(false),
        Architecture::Arm => true,
    }
}

fn probe(program: &Path) -> Result<bool> {
    /// mov al, 16; out 0xf4, al; hlt: at the address where a processor of x86 begins.
    const CODE: [u8; 5] = [0xb0, 0x10, 0xe6, 0xf4, 0xf4];
    /// What isa-debug-exit makes of 16.
    const ENDED: i32 = 16 << 1 | 1;
    const FIRMWARE: usize = 64 << 10;
    let mut firmware = super::scratch()?;
    let mut bytes = vec![0xf4; FIRMWARE];
    bytes[FIRMWARE - 16..][..CODE.len()].copy_from_slice(&CODE);
    firmware.write_all(&bytes).map_err(|e| Error::io("firmware", "write", &e))?;
    let fd = firmware.as_raw_fd();
    let mut command = Command::new(program);
    command
        .args(["-nodefaults", "-no-user-config", "-machine", "pc", "-cpu", "max", "-m", "16"])
        .args(["-accel", "kvm", "-display", "none", "-monitor", "none"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .args(["-bios", &format!("/dev/fd/{fd}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    process::inherit(&mut command, vec![fd]);
    let mut child = command.spawn().map_err(|e| absent(program, &e))?;
    let pidfd = process::pidfd_open(child.id() as i32);
    let ended = pidfd.is_ok_and(|pidfd| process::wait_gone(&pidfd, PROBE_MS).is_ok());
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| Error::io(program.display(), "waitid", &e))?;
    Ok(ended && status.code() == Some(ENDED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_where_its_ports_are() {
        for architecture in [Architecture::X86, Architecture::Arm] {
            let text = append(architecture, Port::Serial, false, false);
            let board = board(architecture);
            assert!(text.contains(&format!("console={} ", board.console)), "{text}");
            assert!(text.contains(&format!("tiny-ce.link={} ", board.link)), "{text}");
            assert!(text.contains(" quiet"), "{text}");
        }
    }
}
