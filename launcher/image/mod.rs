//! Make an initramfs whose first process is tiny-ce: the program, the bundles, machine.json, kernel
//! modules. Nothing of it needs root.
//!
//! Knows what is where in an image, as `boot` reads it; not how the kernel is told.

mod compress;
mod cpio;
pub mod modules;
pub mod owners;
pub mod progress;
mod tree;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use compress::Compressed;
pub use compress::Compression;
use modules::Modules;
use owners::Owners;
use progress::Progress;
use tree::Tree;

use crate::spec::check::{Allow, check};
use crate::spec::machine::{Job, Machine, MachineMount};
use crate::spec::{Mount, Spec, load, to_json};
use crate::{Error, Result, log};

/// A container of an image.
#[derive(Debug)]
pub struct Packed {
    /// What machine.json says of it; its bundle is replaced by the place in the image.
    pub job: Job,
    /// Its configuration, if the job has a bundle.
    pub spec: Option<Box<Spec>>,
    /// Its root file system on this machine.
    pub rootfs: PathBuf,
}

/// What an image is made of.
#[derive(Debug, Default)]
pub struct ImageRequest {
    /// The program; none: the one that runs.
    pub program: Option<PathBuf>,
    /// What is run, in order.
    pub containers: Vec<Packed>,
    /// The machine's host name.
    pub hostname: Option<String>,
    /// A directory whose content becomes the machine's own root.
    pub files: Option<PathBuf>,
    /// The modules of the kernel, and the names of those that are wanted.
    pub modules: Option<(PathBuf, Vec<String>)>,
    /// What the machine mounts besides.
    pub mounts: Vec<MachineMount>,
    /// Who owns the files.
    pub owners: Owners,
    /// Device and inode of the image itself, which is not to be in it.
    pub output: Option<(u64, u64)>,
}

/// Where the bundles are in the image.
const BUNDLES: &str = "bundles";

/// The variable by which distributions make packages reproducible: the time of all files
/// (reproducible-builds.org/specs/source-date-epoch).
const TIME: &str = "SOURCE_DATE_EPOCH";

impl Packed {
    /// The container of a bundle.
    ///
    /// # Errors
    /// Its config.json cannot be read, or breaks a rule.
    pub fn of_bundle(bundle: &Path, config: &str, job: Job) -> Result<Packed> {
        let (spec, bytes) = load(bundle, config)?;
        let findings = check(&spec, Allow::default());
        if !findings.violations.is_empty() {
            return Err(load::refuse(&load::place(bundle, config), &bytes, findings.violations));
        }
        let rootfs = spec.root.as_ref().map(|root| bundle.join(&root.path)).unwrap_or_default();
        Ok(Packed { job, spec: Some(spec), rootfs })
    }

    /// A container that options describe.
    pub fn of_spec(spec: Spec, id: &str) -> Packed {
        let rootfs = spec.root.as_ref().map(|root| PathBuf::from(&root.path)).unwrap_or_default();
        let job = Job { id: Some(id.to_owned()), init: true, ..Job::of_bundle("") };
        Packed { job, spec: Some(Box::new(spec)), rootfs }
    }

    /// Show a directory of the machine in the container.
    pub fn show(&mut self, source: &str, target: &str, read_only: bool) {
        let Some(spec) = &mut self.spec else { return };
        let ro = if read_only { "ro" } else { "rw" };
        spec.mounts.push(Mount {
            destination: target.to_owned(),
            kind: Some("bind".to_owned()),
            source: Some(source.to_owned()),
            options: ["rbind", ro].into_iter().collect(),
            ..Mount::default()
        });
    }
}

impl ImageRequest {
    /// Say whether the containers have a terminal.
    pub fn give_terminal(&mut self, terminal: bool) {
        for spec in self.containers.iter_mut().filter_map(|it| it.spec.as_mut()) {
            spec.process.get_or_insert_default().terminal = terminal;
        }
    }
}

/// Make the image and write it to `to`, which `place` names; return that, and the size before
/// compression, in bytes.
///
/// # Errors
/// A file cannot be read or has no place in an image, a module is unknown, or writing fails.
pub fn write<W: Write + Send + 'static>(
    request: &ImageRequest,
    compression: Compression,
    to: W,
    place: &str,
) -> Result<(W, u64)> {
    let mtime = time()?;
    let mut progress = Progress::new();
    let tree = tree(request, &mut progress)?;
    let (to, bytes) = tree.write(Compressed::new(compression, to), place, mtime, &mut progress)?;
    let to = to.finish().map_err(|e| Error::io(place, "write", &e))?;
    Ok((to, bytes))
}

/// The time of all files, in seconds since 1970.
fn time() -> Result<u32> {
    match std::env::var(TIME) {
        Ok(text) => text.parse().map_err(|_| {
            Error::new(format!("{TIME}={text}: expected seconds since 1970, below 4294967296"))
        }),
        Err(_) => Ok(0),
    }
}

fn tree(request: &ImageRequest, progress: &mut Progress) -> Result<Tree> {
    let mut tree = Tree::default();
    let (owners, but) = (&request.owners, request.output);
    if let Some(files) = &request.files {
        tree.copy("", files, owners, but, progress)?;
    }
    for path in ["dev", "proc", "sys", "run", "etc"] {
        tree.directory_if_missing(path, 0o755);
    }
    tree.directory_if_missing("tmp", 0o1777);
    // The kernel opens it for the first process, before /dev is mounted.
    tree.device("dev/console", 0o600, (5, 1));
    let own = Path::new("/proc/self/exe");
    tree.copy_file("init", request.program.as_deref().unwrap_or(own), 0o755)?;
    // For those who are on the machine. A link in place of the directory leads elsewhere.
    if let Some(directory) = ["bin", "usr/bin"].into_iter().find(|it| tree.may_have_below(it)) {
        tree.link(&format!("{directory}/tiny-ce"), "/init");
    }
    let mut machine = Machine::of(Vec::new());
    for packed in &request.containers {
        let mut job = packed.job.clone();
        if let Some(spec) = &packed.spec {
            let bundle = format!("{BUNDLES}/{}", job.name());
            job.id = Some(job.name());
            job.bundle = Some(format!("/{bundle}"));
            let mut spec = spec.clone();
            spec.root.get_or_insert_default().path = "rootfs".to_owned();
            warn_of_sources(&spec, request);
            tree.copy(&format!("{bundle}/rootfs"), &packed.rootfs, owners, but, progress)?;
            tree.file(&format!("{bundle}/config.json"), 0o644, to_json(&spec)?.into_bytes());
        }
        machine.jobs.push(job);
    }
    machine.hostname = request.hostname.clone();
    machine.mounts = request.mounts.clone();
    machine.modules = modules(&mut tree, request)?;
    let found = machine.check();
    if !found.is_empty() {
        return Err(load::refuse(Path::new("machine.json"), b"", found));
    }
    let mut text = serde_json::to_vec_pretty(&machine)
        .map_err(|e| Error::new(format!("machine.json: {e}")))?;
    text.push(b'\n');
    tree.file("etc/tiny-ce/machine.json", 0o644, text);
    Ok(tree)
}

/// Add the modules that are wanted, and return their paths in the order in which they are loaded.
fn modules(tree: &mut Tree, request: &ImageRequest) -> Result<Vec<String>> {
    let Some((directory, names)) = &request.modules else { return Ok(Vec::new()) };
    let all = Modules::read(directory)?;
    let mut wanted = Vec::new();
    for name in names {
        all.want(name, &mut wanted)?;
    }
    let release = fs::canonicalize(directory)
        .map_err(|e| Error::io(directory.display(), "realpath", &e))?
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut paths = Vec::new();
    for file in wanted {
        // Not every kernel decompresses modules, and none each of the kinds.
        let plain = compress::ENDS.iter().find_map(|end| file.strip_suffix(end));
        let path = format!("lib/modules/{release}/{}", plain.unwrap_or(&file));
        match plain {
            Some(_) => tree.file(&path, 0o644, compress::decompress(&all.path(&file))?),
            None => tree.copy_file(&path, &all.path(&file), 0o644)?,
        }
        paths.push(format!("/{path}"));
    }
    Ok(paths)
}

/// Name the mounts of a container whose sources are files of this machine, which the image lacks.
fn warn_of_sources(spec: &Spec, request: &ImageRequest) {
    /// Directories that every machine has, or makes.
    const KNOWN: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];
    for (index, mount) in spec.mounts.iter().enumerate().filter(|(_, it)| it.is_bind()) {
        let source = mount.source.as_deref().unwrap_or_default();
        let path = Path::new(source);
        let known = KNOWN.iter().any(|it| path.starts_with(it));
        let mounted = request.mounts.iter().any(|it| path.starts_with(&it.target));
        let brought = request.files.as_ref().is_some_and(|files| {
            path.strip_prefix("/").is_ok_and(|below| files.join(below).exists())
        });
        if !known && !mounted && !brought {
            log::warning(&format!(
                "mounts[{index}] {:?}: its source {source} is not in the image",
                mount.destination
            ));
        }
    }
}
