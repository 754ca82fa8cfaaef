//! Directories of the host that a machine sees: by virtiofs, whose server is a program beside QEMU,
//! or by 9p, which QEMU serves itself.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::image::ImageRequest;
use crate::image::modules::Modules;
use crate::spec::machine::MachineMount;
use crate::sys::process;
use crate::{Error, Result};

/// A directory of the host, and where a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    directory: PathBuf,
    target: String,
    read_only: bool,
}

impl Share {
    /// `DIRECTORY`, `DIRECTORY:TARGET`, and either with `:ro`.
    ///
    /// # Errors
    /// There is no such directory, or the target is not absolute.
    pub fn read(word: &str) -> Result<Share> {
        let wrong = |why: String| Error::new(format!("{word:?}: {why}"));
        let (rest, read_only) = match word.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (word, false),
        };
        let (directory, target) = match rest.split_once(':') {
            Some((directory, target)) => (directory, Some(target)),
            None => (rest, None),
        };
        let real = fs::canonicalize(directory)
            .map_err(|e| Error::io(directory, "realpath", &e).within(format!("{word:?}")))?;
        if !real.is_dir() {
            return Err(wrong("not a directory".to_owned()));
        }
        let path = real.to_str().ok_or_else(|| wrong("not UTF-8".to_owned()))?;
        let target = target.unwrap_or(path);
        if !target.starts_with('/') {
            return Err(wrong(format!("the target {target:?} is not absolute")));
        }
        Ok(Share { target: target.to_owned(), read_only, directory: real })
    }
}

/// How directories are shared with a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Virtiofs,
    NineP,
}

impl Way {
    /// Modules that the machine needs for it.
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Way::Virtiofs => &["virtio_pci", "virtiofs"],
            Way::NineP => &["virtio_pci", "9pnet_virtio", "9p"],
        }
    }

    /// What this machine and the kernel can do, virtiofs first: it is faster, and cloud kernels
    /// have no 9p. Without a directory of modules nobody knows what is built into the kernel.
    ///
    /// # Errors
    /// They have neither in common.
    pub fn choose(modules: Option<&Modules>) -> Result<(Way, Option<PathBuf>)> {
        let lacks = |way: Way| {
            let mut needs = way.modules().iter();
            needs.find(|module| modules.is_some_and(|it| !it.knows(module)))
        };
        match (server(), lacks(Way::Virtiofs), lacks(Way::NineP)) {
            (Some(server), None, _) => Ok((Way::Virtiofs, Some(server))),
            (_, _, None) => Ok((Way::NineP, None)),
            (None, None, Some(module)) => {
                let text = format!("the kernel has no {module} for 9p, and virtiofsd is not here");
                Err(Error::new(format!("--share: {text}"))
                    .hint("install virtiofsd (Debian 12: qemu-system-common)"))
            }
            (_, Some(one), Some(other)) => {
                let text = format!("the kernel has no {one} for virtiofs, and no {other} for 9p");
                Err(Error::new(format!("--share: {text}"))
                    .hint("take a kernel that has one of them, or put the files into the rootfs"))
            }
        }
    }
}

/// Where distributions have the server of virtiofs.
fn server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/libexec", "/usr/lib/qemu", "/usr/lib"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(usual).map(|it| it.join("virtiofsd"));
    found.into_iter().find(|it| it.is_file())
}

/// Where a machine mounts them, before the containers bind them.
pub const PLACE: &str = "/share";

/// Let the machine mount the directories, and its containers see them.
pub fn add(shares: &[Share], way: Way, image: &mut ImageRequest) {
    for (number, share) in shares.iter().enumerate() {
        let target = format!("{PLACE}/{number}");
        let (kind, options) = match way {
            Way::Virtiofs => ("virtiofs", &[][..]),
            Way::NineP => ("9p", &["trans=virtio", "version=9p2000.L", "msize=512000"][..]),
        };
        let ro = share.read_only.then_some("ro");
        image.mounts.push(MachineMount {
            kind: kind.to_owned(),
            source: format!("share{number}"),
            target: target.clone(),
            options: options.iter().copied().chain(ro).map(str::to_owned).collect(),
        });
        for packed in &mut image.containers {
            packed.show(&target, &share.target, share.read_only);
        }
    }
}

/// The servers of the shared directories, which end with this value.
#[derive(Default)]
pub struct Servers(Vec<Child>);

impl Servers {
    /// How a server has ended that should not have.
    pub fn fallen(&mut self) -> Option<String> {
        let status = self.0.iter_mut().find_map(|child| child.try_wait().ok().flatten());
        status.map(|status| format!("virtiofsd of --share has ended: {status}"))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Start what serves the directories, and return QEMU's options for them. Sockets are made in
/// `scratch`.
///
/// # Errors
/// A server cannot be started, or a path has no place in an option.
pub fn serve(
    shares: &[Share],
    server: Option<&Path>,
    memory_mib: u64,
    scratch: &Path,
) -> Result<(Servers, Vec<String>)> {
    let (mut servers, mut words) = (Servers::default(), Vec::new());
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    if let (Some(_), [_, ..]) = (server, shares) {
        // The server reads and writes the machine's memory.
        add("-object", format!("memory-backend-memfd,id=memory,size={memory_mib}M,share=on"));
        add("-numa", "node,memdev=memory".to_owned());
    }
    for (number, share) in shares.iter().enumerate() {
        // In QEMU's options a comma is written twice.
        let shown = share.directory.display().to_string().replace(',', ",,");
        let Some(server) = server else {
            let only = if share.read_only { ",readonly=on" } else { "" };
            let own = format!("local,id=fs{number},path={shown},security_model=none{only}");
            add("-fsdev", own);
            add("-device", format!("virtio-9p-pci,fsdev=fs{number},mount_tag=share{number}"));
            continue;
        };
        if shown.contains([',', '\\']) {
            let shown = share.directory.display();
            let error = Error::new(format!("--share {shown}: virtiofsd takes no such path"));
            return Err(error.hint("a comma or a backslash is in it: rename the directory"));
        }
        let socket = scratch.join(format!("share{number}"));
        let failed = |call| {
            let place = socket.display().to_string();
            move |e: std::io::Error| Error::io(place, call, &e)
        };
        let listener = UnixListener::bind(&socket).map_err(failed("bind"))?;
        let mut command = Command::new(server);
        command
            .arg(format!("--fd={}", listener.as_raw_fd()))
            .args(["-o", &format!("source={}", share.directory.display())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        process::inherit(&mut command, vec![listener.as_raw_fd()]);
        let child = command.spawn().map_err(|e| Error::io(server.display(), "execve", &e))?;
        servers.0.push(child);
        let socket = socket.display().to_string().replace(',', ",,");
        add("-chardev", format!("socket,id=fs{number},path={socket}"));
        add("-device", format!("vhost-user-fs-pci,chardev=fs{number},tag=share{number}"));
    }
    Ok((servers, words))
}
