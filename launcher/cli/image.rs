//! What `initramfs` and `vm` share: the options that say what is in an image.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::embedded::{User, utf8};
use super::environment::{Variable, variables};
use super::table::options;
use super::value::{Directory, Id, Value, expected};
use crate::container::Users;
use crate::image::owners::Owners;
use crate::image::{ImageRequest, Packed};
use crate::spec::machine::{Job, Machine};
use crate::spec::{IdMapping, embedded, load};
use crate::{Error, Result, sys};

/// A range of ids: of the image, of this machine, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdRange(
    /// As config.json has it.
    pub IdMapping,
);

impl Value for IdRange {
    fn parse(word: &OsStr) -> Result<Self> {
        let text = word.to_string_lossy();
        let numbers: Option<Vec<u32>> = text.split(':').map(|it| it.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[container_id, host_id, size]) if size > 0 => {
                Ok(IdRange(IdMapping { container_id, host_id, size }))
            }
            _ => Err(expected(word, "CONTAINER:HOST:SIZE, three numbers")),
        }
    }
}

options! {
    /// What an image is made of.
    pub struct ImageOptions {
        /// Root file system of a container without a bundle, whose program stands behind --.
        "--rootfs DIRECTORY" rootfs: Option<Directory>,
        /// Name of the container; default: that of the bundle's directory, or container.
        "--name CONTAINER" name: Option<Id>,
        /// Variable of the environment, if there is no bundle; without a value: the caller's.
        "-e, --env NAME[=VALUE]" env: Vec<Variable>,
        /// Working directory, if there is no bundle; default: /.
        "-w, --cwd DIRECTORY" | "--workdir" cwd: Option<String>,
        /// User, and perhaps group, if there is no bundle; default: 0.
        "-u, --user USER[:GROUP]" user: Option<User>,
        /// Host name of the machine; default: tiny-ce.
        "-h, --hostname NAME" hostname: Option<String>,
        /// Several containers with an order and restart policies, in place of a bundle: a file as
        /// machine.json, whose bundles are directories of this machine, relative to the file's.
        "--machine FILE" machine: Option<PathBuf>,
        /// Put what is in this directory into the machine's own root, beside the containers.
        "--files DIRECTORY" files: Option<Directory>,
        /// Load this kernel module, and those that it needs.
        "--module NAME" module: Vec<String>,
        /// Directory with the kernel's modules, such as /lib/modules/6.1.0.
        "--modules DIRECTORY" modules: Option<Directory>,
        /// Give files with these ids of this machine others in the image; without a range the
        /// caller's become root's, and others stay.
        "--uid-map CONTAINER:HOST:SIZE" uid_map: Vec<IdRange>,
        /// The same for groups.
        "--gid-map CONTAINER:HOST:SIZE" gid_map: Vec<IdRange>,
        /// The tiny-ce of the image, perhaps of another architecture; default: this one.
        "--tiny-ce FILE" program: Option<PathBuf>,
    }
}

/// Name of a container without a bundle.
const NAME: &str = "container";

impl ImageOptions {
    /// The image that is meant, but for modules.
    ///
    /// # Errors
    /// Nothing to run is named, or too much; a configuration cannot be read or breaks a rule.
    pub fn request(&self, bundle: Option<&Path>, command: &[OsString]) -> Result<ImageRequest> {
        let caller = (sys::user::effective_uid(), sys::user::effective_gid());
        let ranges = |it: &[IdRange]| it.iter().map(|IdRange(range)| *range).collect();
        let owners = Owners { caller, uids: ranges(&self.uid_map), gids: ranges(&self.gid_map) };
        let (containers, of_machine) = self.containers(bundle, command)?;
        let machine = of_machine.unwrap_or_else(|| Machine::of(Vec::new()));
        Ok(ImageRequest {
            program: self.program.clone(),
            containers,
            hostname: self.hostname.clone().or(machine.hostname),
            files: self.files.as_ref().map(|Directory(path)| path.clone()),
            modules: None,
            mounts: machine.mounts,
            owners,
            output: None,
        })
    }

    fn containers(
        &self,
        bundle: Option<&Path>,
        command: &[OsString],
    ) -> Result<(Vec<Packed>, Option<Machine>)> {
        let given = [bundle.is_some(), self.rootfs.is_some(), self.machine.is_some()];
        if given.iter().filter(|it| **it).count() > 1 {
            return Err(Error::new("BUNDLE, --rootfs and --machine are three ways; give one"));
        }
        if let (None, Some(option)) = (&self.rootfs, self.of_rootfs()) {
            return Err(Error::new(format!("{option}: only with --rootfs; config.json says it")));
        }
        match (bundle, &self.rootfs, &self.machine) {
            (Some(bundle), ..) => Ok((vec![self.of_bundle(bundle, command)?], None)),
            (_, Some(Directory(rootfs)), _) => {
                Ok((vec![self.of_rootfs_at(rootfs, command)?], None))
            }
            (.., Some(file)) if command.is_empty() => of_machine(file),
            (.., Some(_)) => Err(Error::new("a command behind -- needs a BUNDLE or --rootfs")),
            _ => Err(Error::new("nothing to run: give a BUNDLE, --rootfs or --machine")),
        }
    }

    /// An option that says something of a container without a bundle.
    fn of_rootfs(&self) -> Option<&'static str> {
        let given = [
            (!self.env.is_empty(), "--env"),
            (self.cwd.is_some(), "--cwd"),
            (self.user.is_some(), "--user"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }

    fn of_bundle(&self, bundle: &Path, command: &[OsString]) -> Result<Packed> {
        let real = std::fs::canonicalize(bundle)
            .map_err(|e| Error::io(bundle.display(), "realpath", &e))?;
        let mut job = Job::of_bundle(&real.to_string_lossy());
        job.id = Some(self.name.as_ref().map_or_else(|| job.name(), |Id(name)| name.clone()));
        let mut packed = Packed::of_bundle(bundle, super::create::CONFIG, job)?;
        if let (Some(spec), false) = (&mut packed.spec, command.is_empty()) {
            spec.process.get_or_insert_default().args = words(command)?;
        }
        Ok(packed)
    }

    fn of_rootfs_at(&self, rootfs: &Path, command: &[OsString]) -> Result<Packed> {
        // The machine has cgroup version 2 alone.
        let mut spec = embedded(None, true);
        spec.root.get_or_insert_default().path = utf8("--rootfs", rootfs.into())?;
        let process = spec.process.get_or_insert_default();
        if let Some(User(user, group)) = &self.user {
            let users = Users::to_be(rootfs, &[]);
            let user = users.find(user, group.as_ref()).map_err(|e| e.within("--user"))?;
            process.run_as(user);
        }
        if !command.is_empty() {
            process.args = words(command)?;
        }
        if let Some(cwd) = &self.cwd {
            process.cwd.clone_from(cwd);
        }
        process.add_variables(variables(&[], &self.env)?);
        let name = self.name.as_ref().map_or(NAME, |Id(name)| name);
        Ok(Packed::of_spec(spec, name))
    }
}

fn words(command: &[OsString]) -> Result<Vec<String>> {
    command.iter().map(|word| utf8("command", word.clone())).collect()
}

/// The containers of a machine.json of this machine.
fn of_machine(file: &Path) -> Result<(Vec<Packed>, Option<Machine>)> {
    let (mut machine, bytes) = load::read_file::<Machine>(file)?;
    let found = machine.check();
    if !found.is_empty() {
        return Err(load::refuse(file, &bytes, found));
    }
    if !machine.modules.is_empty() {
        let error = Error::new(format!("{}: modules: named by --module here", file.display()));
        return Err(error.hint("--module finds the files, and what they depend on"));
    }
    let here = file.parent().unwrap_or(Path::new(""));
    let pack = |job: Job| match &job.bundle {
        Some(bundle) => Packed::of_bundle(&here.join(bundle), super::create::CONFIG, job.clone()),
        None => Ok(Packed { job, spec: None, rootfs: PathBuf::new() }),
    };
    let jobs = std::mem::take(&mut machine.jobs);
    Ok((jobs.into_iter().map(pack).collect::<Result<_>>()?, Some(machine)))
}
