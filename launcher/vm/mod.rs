//! Boot a machine in QEMU whose first process is tiny-ce, and be its outside: its standard streams,
//! its signals, its clock.
//!
//! Knows QEMU and the link; what is in the image, `image` knows.

mod host;
mod kernel;
mod qemu;
mod share;

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::{End, Host};
use kernel::{Architecture, Kernel};
use qemu::Port;
pub use share::Share;
use share::Way;

use crate::image::modules::Modules;
use crate::image::{self, Compression, ImageRequest};
use crate::sys::{file, memory};
use crate::{Error, Result};

/// The exit status if there is none of the container's.
pub const FAILED: u8 = 125;

/// What executes the machine's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// KVM if it works here, and emulation otherwise.
    Auto,
    /// The kernel's virtual machine.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

/// A machine that is to be booted.
#[derive(Debug)]
pub struct VmRequest {
    /// What its image holds, but for modules and mounts.
    pub image: ImageRequest,
    /// Directory with the kernel's modules; none: it is looked for.
    pub modules: Option<PathBuf>,
    /// Names of modules.
    pub module: Vec<String>,
    /// The kernel's file.
    pub kernel: PathBuf,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How much memory it has; none: by the size of the image.
    pub memory_bytes: Option<u64>,
    /// How many CPUs it has.
    pub cpus: u32,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// Directories of this host that its containers see.
    pub shares: Vec<Share>,
    /// Whether the kernel's console is shown.
    pub console: bool,
    /// What executes its code.
    pub accelerator: Accelerator,
    /// The emulator.
    pub qemu: Option<PathBuf>,
}

/// The least memory of a machine for which none is asked, and how many times the image's size is
/// added: the archive, what is unpacked, and as much again to work with.
const MEMORY_MIB: u64 = 512;
const IMAGES: u64 = 3;

/// The hint where a module may be what is missing, and none could be brought.
const NO_MODULES: &str =
    "the image has no modules: name their directory by --modules /lib/modules/RELEASE";

/// Boot the machine, and wait for its end; the result is the container's exit status.
///
/// # Errors
/// The image cannot be made, QEMU cannot be started, or the machine ends without a status.
pub fn run(mut request: VmRequest, own: &Path) -> Result<u8> {
    memory::stay();
    let began = Instant::now();
    let kernel = kernel::look(&request.kernel)?;
    let program = request.image.program.get_or_insert_with(|| own.to_owned()).clone();
    fits(&program, &kernel)?;
    let (port, server) = add_modules(&mut request, &kernel)?;
    let image = scratch()?;
    let to = BufWriter::with_capacity(1 << 20, again(&image)?);
    let (to, bytes) = image::write(&request.image, Compression::None, to, "the image")?;
    to.into_inner().map_err(|e| Error::io("the image", "write", e.error()))?;
    let memory_mib = match request.memory_bytes {
        Some(bytes) => bytes >> 20,
        None => MEMORY_MIB + IMAGES * (bytes >> 20),
    };
    let emulator = qemu::program(kernel.architecture, request.qemu.as_ref());
    let kvm = match request.accelerator {
        Accelerator::Kvm => true,
        Accelerator::Tcg => false,
        Accelerator::Auto => qemu::kvm_works(&emulator, kernel.architecture),
    };
    let directory = Scratch::new()?;
    let (mut servers, shares) =
        share::serve(&request.shares, server.as_deref(), memory_mib, &directory.0)?;
    let mut append = qemu::append(kernel.architecture, port, kvm, request.console);
    request.append.iter().for_each(|words| append += &format!(" {words}"));
    let mut host = Host::new(request.console)?;
    let machine = qemu::Machine {
        architecture: kernel.architecture,
        port,
        kvm,
        memory_mib,
        cpus: request.cpus,
        kernel: &request.kernel,
        image: image.as_raw_fd(),
        console: host.console_end(),
        link: host.link_end(),
        append,
        shares,
    };
    let inherited = vec![machine.image, machine.console, machine.link];
    host.start(&emulator, machine.arguments(), inherited)?;
    match host.work(request.timeout.map(|timeout| began + timeout))? {
        End::Status(status) => Ok(status),
        end => {
            let shared = matches!(&end, End::Failed(text) if text.contains(share::PLACE));
            let mut error = host.error(end, request.timeout);
            if shared && request.image.modules.is_none() {
                error = error.hint(NO_MODULES);
            }
            Err(servers.fallen().into_iter().fold(error, Error::detail))
        }
    }
}

/// Refuse a program of another architecture than the kernel's: e_machine of elf(5).
fn fits(program: &Path, kernel: &Kernel) -> Result<()> {
    use std::io::Read;
    let mut head = [0; 20];
    let read = File::open(program).and_then(|mut file| file.read_exact(&mut head));
    read.map_err(|e| Error::io(program.display(), "read", &e))?;
    let of = match (&head[..4], head[18], head[19]) {
        (b"\x7fELF", 62, 0) => Some(Architecture::X86),
        (b"\x7fELF", 183, 0) => Some(Architecture::Arm),
        _ => None,
    };
    if of == Some(kernel.architecture) {
        return Ok(());
    }
    let text = format!("the kernel is of {}, and tiny-ce is not", kernel.architecture.name());
    Err(Error::new(text).hint("name a tiny-ce of that architecture with --tiny-ce FILE"))
}

/// Add the modules that are asked for, and what the link and the shared directories need; return
/// what the link goes over, and the server of virtiofs, if that is how directories are shared.
fn add_modules(request: &mut VmRequest, kernel: &Kernel) -> Result<(Port, Option<PathBuf>)> {
    let given = request.modules.clone();
    let directory = given.or_else(|| found_modules(&request.kernel, kernel));
    let modules = directory.as_deref().map(Modules::read).transpose()?;
    // Without a directory of modules nobody knows what is built in.
    let knows = |name: &str| modules.as_ref().is_some_and(|it| it.knows(name));
    let mut names = request.module.clone();
    if let (None, [first, ..]) = (&modules, &names[..]) {
        let error = Error::new(format!("--module {first}: the kernel's modules are not found"));
        return Err(error.hint(NO_MODULES));
    }
    let port = match Port::MODULES.iter().all(|name| knows(name)) {
        true => Port::Virtio,
        false => Port::Serial,
    };
    if port == Port::Virtio {
        names.extend(Port::MODULES.map(str::to_owned));
    }
    let mut server = None;
    if !request.shares.is_empty() {
        let (way, program) = Way::choose(modules.as_ref())?;
        share::add(&request.shares, way, &mut request.image);
        server = program;
        let known = way.modules().iter().filter(|name| knows(name));
        names.extend(known.map(|name| (*name).to_owned()));
    }
    request.image.modules = directory.filter(|_| !names.is_empty()).map(|it| (it, names));
    Ok((port, server))
}

/// The directory of the kernel's modules, where distributions have it, or beside the kernel.
fn found_modules(file: &Path, kernel: &Kernel) -> Option<PathBuf> {
    let release = kernel.release.as_ref()?;
    let beside = file.parent().unwrap_or(Path::new(""));
    let above = beside.join("..");
    let places = [
        PathBuf::from("/lib/modules"),
        beside.join("lib/modules"),
        above.join("lib/modules"),
        beside.join("kernel/lib/modules"),
    ];
    places.into_iter().map(|it| it.join(release)).find(|it| it.join("modules.dep").exists())
}

/// A file without a name, in the directory for temporary files.
fn scratch() -> Result<File> {
    let directory = std::env::temp_dir();
    file::unnamed(&directory).map_err(|e| {
        Error::io(directory.display(), "open", &e).hint("TMPDIR names another directory")
    })
}

fn again(file: &File) -> Result<File> {
    file.try_clone().map_err(|e| Error::io("the image", "dup", &e))
}

/// A directory for sockets, which is removed with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("tiny-ce-vm-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e: io::Error| Error::io(path.display(), "mkdir", &e))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
