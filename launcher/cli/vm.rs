//! `vm`: boot a machine that runs a container, and end with the container's status.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Globals;
use super::image::ImageOptions;
use super::table::command;
use super::value::{AfterDashes, Bytes, Directory, Number, Switch, Value, choice};
use crate::vm::{self, Share, VmRequest};
use crate::{Error, Result};

choice! {
    /// What executes the machine's code.
    pub enum Accelerator {
        /// KVM if it works here, and emulation otherwise.
        "auto" Auto,
        /// The kernel's virtual machine.
        "kvm" Kvm,
        /// QEMU's emulation.
        "tcg" Tcg,
    }
}

/// A directory of the host, its place in the container, and whether it is read-only.
impl Value for Share {
    fn parse(word: &OsStr) -> Result<Self> {
        Share::read(&String::parse(word)?)
    }
}

command! {
    /// Boot a kernel in QEMU to run a container, and wait for its end.
    ///
    /// The machine's initramfs is that of "tiny-ce initramfs" with the same options. The
    /// container's output is ours, input and signals are passed on, and the exit status is the
    /// container's. If there is none, since the kernel panics, QEMU fails or the time is over, an
    /// error says so, with the end of the kernel's console, and the exit status is 125.
    pub struct Vm = "vm" {
        args {
            /// Directory with config.json.
            "[BUNDLE]" bundle: Option<Directory>,
            /// The program, in place of that of the config.json.
            "[-- COMMAND...]" command: AfterDashes,
        }
        options {
            /// The kernel, as distributions ship it (vmlinuz), or vmlinux.
            "-k, --kernel FILE" kernel: Option<PathBuf>,
            /// End the machine after this time; default: never.
            "--timeout DURATION" timeout: Option<Duration>,
            /// Memory of the machine; default: 512m, or more for a large image.
            "-m, --memory SIZE" memory: Option<Bytes>,
            /// CPUs of the machine; default: 1.
            "--cpus NUMBER" cpus: Option<Number<1, 255>>,
            /// Add these words to the kernel's command line.
            "--append WORDS" append: Vec<String>,
            /// Show a directory of the host in the container, at the same path or at TARGET.
            "--share DIRECTORY[:TARGET][:ro]" share: Vec<Share>,
            /// Give a container of --rootfs a terminal; =false: none. Default: if standard input
            /// and output are one.
            "-t, --tty" tty: Switch,
            /// Show the kernel's console on standard error.
            "--console" console: bool,
            /// What executes the machine's code; default: auto.
            "--accel auto|kvm|tcg" accel: Option<Accelerator>,
            /// The emulator; default: qemu-system-x86_64 or qemu-system-aarch64.
            "--qemu PROGRAM" qemu: Option<PathBuf>,
        }
        include {
            "Image" image: ImageOptions,
        }
        examples {
            "vm test --kernel /boot/vmlinuz --timeout 60s": "the container of test/config.json",
            "vm -k vmlinuz --rootfs alpine -- sh": "a shell on another kernel",
        }
        run = run;
    }
}

fn run(it: Vm, _: &Globals) -> Result<u8> {
    let AfterDashes(command) = &it.command;
    let bundle = it.bundle.as_ref().map(|Directory(path)| path.as_path());
    let request = || {
        let kernel = it.kernel.as_ref();
        let kernel = kernel.ok_or_else(|| Error::new("--kernel is missing: -k /boot/vmlinuz"))?;
        let memory = match it.memory {
            Some(Bytes(..16_777_216)) => {
                return Err(Error::new("--memory: less than 16m boots no kernel"));
            }
            memory => memory.map(|Bytes(bytes)| bytes as u64),
        };
        let accelerator = match it.accel {
            Some(Accelerator::Kvm) => vm::Accelerator::Kvm,
            Some(Accelerator::Tcg) => vm::Accelerator::Tcg,
            Some(Accelerator::Auto) | None => vm::Accelerator::Auto,
        };
        let mut image = it.image.request(bundle, command)?;
        let terminal = it.tty.0;
        if terminal.is_some() && it.image.rootfs.is_none() {
            return Err(Error::new("--tty: only with --rootfs; config.json says it"));
        }
        if it.image.rootfs.is_some() {
            let own = || io::stdin().is_terminal() && io::stdout().is_terminal();
            image.give_terminal(terminal.unwrap_or_else(own));
        }
        Ok(VmRequest {
            image,
            modules: it.image.modules.as_ref().map(|Directory(path)| path.clone()),
            module: it.image.module.clone(),
            kernel: kernel.clone(),
            timeout: it.timeout,
            memory_bytes: memory,
            cpus: it.cpus.map_or(1, |Number(count)| count as u32),
            append: it.append.clone(),
            shares: it.share.clone(),
            console: it.console,
            accelerator,
            qemu: it.qemu.clone(),
        })
    };
    let end = request().and_then(|request| vm::run(request, Path::new("/proc/self/exe")));
    end.map_err(|e| e.within("vm"))
}
