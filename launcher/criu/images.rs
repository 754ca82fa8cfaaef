//! The directories of a checkpoint, and the options that `checkpoint` and `restore` share.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::criu::{self, messages::RpcOptions};
use crate::error::{Error, Result};

/// The file with CRIU's names of standard input, output and error at the checkpoint.
pub const DESCRIPTORS: &str = "descriptors.json";

/// How `restore` treats cgroups (criu(8), `--manage-cgroups`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupMode {
    /// It leaves them alone.
    Ignore = 0,
    /// It restores the values of the cgroups that CRIU makes.
    Soft = 3,
    /// It restores the values of all cgroups.
    Full = 4,
    /// It restores the values of all cgroups, and fails if one exists already.
    Strict = 5,
}

/// How CRIU blocks packets while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkLock {
    /// With the iptables-restore program.
    Iptables = 1,
    /// By itself (CRIU 3.17).
    Nftables = 2,
    /// Not at all (CRIU 3.18).
    Skip = 3,
}

/// What `checkpoint` and `restore` share.
#[derive(Debug, Clone, Default)]
pub struct CriuOptions {
    /// The directory of the images.
    pub image_path: PathBuf,
    /// The directory of the log; default: that of the images.
    pub work_path: Option<PathBuf>,
    /// Keep established TCP connections.
    pub tcp_established: bool,
    /// Allow Unix sockets whose other end is outside of the container.
    pub ext_unix_sk: bool,
    /// Allow the session and the terminal of the caller.
    pub shell_job: bool,
    /// Keep file locks.
    pub file_locks: bool,
    /// Transfer memory on page faults, by userfaultfd(2).
    pub lazy_pages: bool,
    /// Remove from the parent images the pages that a newer image has, by punching holes.
    pub auto_dedup: bool,
    /// Leave the content of the network namespace alone.
    pub empty_network: bool,
    /// How cgroups are treated; default: as CRIU does by itself.
    pub cgroups: Option<CgroupMode>,
    /// How the network is locked; default: as CRIU does by itself.
    pub network_lock: Option<NetworkLock>,
}

/// `CG_MODE_DEFAULT` of rpc.proto.
const DEFAULT_MODE: i32 = 6;

/// The open directories of a checkpoint, whose descriptors CRIU gets.
pub struct Images {
    /// The path of the images.
    pub path: PathBuf,
    directory: File,
    work: Option<(PathBuf, File)>,
}

impl Images {
    /// Open the directories. That of the log is made if it is missing, and with `make_images` that
    /// of the images as well.
    ///
    /// # Errors
    /// A directory cannot be opened or made, or there is no checkpoint.
    pub fn open(options: &CriuOptions, make_images: bool) -> Result<Images> {
        let open = |name: &str, path: &Path, make: bool| {
            let failed = |call| {
                let place = format!("{name} {}", path.display());
                move |e: std::io::Error| Error::io(place, call, &e)
            };
            match DirBuilder::new().mode(0o700).create(path) {
                _ if !make => {}
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(failed("mkdir")(e)),
                _ => {}
            }
            let file = File::open(path).map_err(failed("open"))?;
            match file.metadata().is_ok_and(|it| it.is_dir()) {
                true => Ok(file),
                false => Err(failed("open")(std::io::Error::from_raw_os_error(libc::ENOTDIR))),
            }
        };
        let directory = match make_images || options.image_path.exists() {
            true => open("--image-path", &options.image_path, make_images)?,
            false => {
                let path = options.image_path.display();
                return Err(Error::new(format!("--image-path {path}: there is no checkpoint"))
                    .hint("name the directory that \"tiny-ce checkpoint\" was given"));
            }
        };
        let work = options.work_path.as_ref();
        let work = work.map(|path| Ok((path.clone(), open("--work-path", path, true)?)));
        Ok(Images { path: options.image_path.clone(), directory, work: work.transpose()? })
    }

    /// The absolute paths of the directories: that of the images, and that of the log if it is
    /// another.
    ///
    /// # Errors
    /// realpath(3) fails, or a path is not UTF-8.
    pub fn paths(&self) -> Result<Vec<String>> {
        let paths = [&self.path].into_iter().chain(self.work.as_ref().map(|(path, _)| path));
        let absolute = |path: &PathBuf| {
            let found = path.canonicalize();
            let found = found.map_err(|e| Error::io(path.display(), "realpath", &e))?;
            let text = found.into_os_string().into_string();
            text.map_err(|path| Error::new(format!("{}: not UTF-8", path.display())))
        };
        paths.map(absolute).collect()
    }

    /// The path to which CRIU writes a log of this name.
    pub fn log(&self, name: &str) -> PathBuf {
        self.work.as_ref().map_or(&self.path, |(path, _)| path).join(name)
    }

    /// CRIU's options for both `checkpoint` and `restore`.
    pub fn options(
        &self,
        options: &CriuOptions,
        log: &str,
        annotation: Option<&String>,
    ) -> RpcOptions {
        RpcOptions {
            images_dir_fd: criu::number(&self.directory),
            work_dir_fd: self.work.as_ref().map(|(_, file)| criu::number(file)),
            tcp_established: Some(options.tcp_established),
            ext_unix_sk: Some(options.ext_unix_sk),
            shell_job: Some(options.shell_job),
            file_locks: Some(options.file_locks),
            lazy_pages: Some(options.lazy_pages),
            auto_dedup: Some(options.auto_dedup),
            empty_ns: options.empty_network.then_some(libc::CLONE_NEWNET as u32),
            manage_cgroups_mode: Some(options.cgroups.map_or(DEFAULT_MODE, |mode| mode as i32)),
            network_lock: options.network_lock.map(|lock| lock as i32),
            // The config may ask for mounts that are slaves or peers of the host's.
            ext_sharing: Some(true),
            ext_masters: Some(true),
            config_file: criu::config_file(annotation),
            ..criu::common(log)
        }
    }
}

/// Check that CRIU knows this `--network-lock`: an older one would ignore the option, and the
/// caller would believe that the network is locked as asked.
///
/// # Errors
/// CRIU is too old.
pub fn check_version(options: &CriuOptions, version: u32) -> Result<()> {
    let (name, needed) = match options.network_lock {
        Some(NetworkLock::Skip) => ("skip", 31_800),
        Some(NetworkLock::Nftables) => ("nftables", 31_700),
        _ => return Ok(()),
    };
    needs(&format!("--network-lock {name}"), version, needed)
}

/// Check that CRIU is new enough for an option.
///
/// # Errors
/// CRIU is older than `needed`.
pub fn needs(option: &str, version: u32, needed: u32) -> Result<()> {
    let words = |version: u32| format!("{}.{}", version / 10_000, version / 100 % 100);
    match version >= needed {
        true => Ok(()),
        false => Err(Error::new(format!(
            "{option}: needs criu {}, and this is {}",
            words(needed),
            words(version)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shared_option_reaches_criu() {
        let all = CriuOptions {
            image_path: std::env::temp_dir(),
            work_path: Some(std::env::temp_dir()),
            tcp_established: true,
            ext_unix_sk: true,
            shell_job: true,
            file_locks: true,
            lazy_pages: true,
            auto_dedup: true,
            empty_network: true,
            cgroups: Some(CgroupMode::Strict),
            network_lock: Some(NetworkLock::Nftables),
        };
        let images = Images::open(&all, false).expect("a directory");
        let opts = images.options(&all, "x.log", Some(&"/etc/own.conf".to_owned()));
        let flags = [
            opts.tcp_established,
            opts.ext_unix_sk,
            opts.shell_job,
            opts.file_locks,
            opts.lazy_pages,
            opts.auto_dedup,
            opts.orphan_pts_master,
            opts.notify_scripts,
        ];
        assert_eq!(flags, [Some(true); 8]);
        assert_eq!(opts.empty_ns, Some(0x4000_0000));
        assert_eq!((opts.manage_cgroups_mode, opts.network_lock), (Some(5), Some(2)));
        assert_eq!(opts.config_file.as_deref(), Some("/etc/own.conf"));
        assert_eq!(opts.log_file.as_deref(), Some("x.log"));
        assert!(opts.images_dir_fd > 2 && opts.work_dir_fd.is_some_and(|fd| fd > 2));
        assert_eq!(images.log("x.log"), std::env::temp_dir().join("x.log"));
        let none = CriuOptions { image_path: std::env::temp_dir(), ..CriuOptions::default() };
        let opts = images.options(&none, "x.log", None);
        assert_eq!((opts.tcp_established, opts.empty_ns), (Some(false), None));
        assert_eq!((opts.manage_cgroups_mode, opts.network_lock), (Some(6), None));
    }

    #[test]
    fn an_option_that_criu_is_too_old_for_is_refused() {
        let lock = |network_lock| CriuOptions { network_lock, ..CriuOptions::default() };
        assert_eq!(check_version(&lock(None), 31_500), Ok(()));
        assert_eq!(check_version(&lock(Some(NetworkLock::Iptables)), 31_500), Ok(()));
        let error = check_version(&lock(Some(NetworkLock::Skip)), 31_701).expect_err("too old");
        assert_eq!(error.line(), "--network-lock skip: needs criu 3.18, and this is 3.17");
    }
}
