//! `checkpoint`: CRIU writes a container's processes into images, and ends them or lets them run.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::delete;
use crate::compile::criu as plan;
use crate::conversation;
use crate::criu::external::{self, ProcessMounts};
use crate::criu::images::{self, CriuOptions, DESCRIPTORS, Images};
use crate::criu::messages::{Features, PageServer, RpcOptions, RpcRequest, kind};
use crate::criu::{self, Criu, Program, Start};
use crate::error::{Error, Result};
use crate::log;
use crate::spec::{Spec, id};
use crate::state::{self, Directory, Record, Status};
use crate::sys::process::Exit;

const LOG: &str = "dump.log";

/// The options of `checkpoint`.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// The options that `checkpoint` and `restore` share.
    pub criu: CriuOptions,
    /// The images of an earlier checkpoint, relative to those of this one.
    pub parent_path: Option<PathBuf>,
    /// Leave the container running.
    pub leave_running: bool,
    /// Write only memory, and leave the container running.
    pub pre_dump: bool,
    /// The address and port of a CRIU page server to which memory is sent.
    pub page_server: Option<(String, u16)>,
    /// The descriptor to which a NUL byte is written once lazy pages can be fetched.
    pub status: Option<OwnedFd>,
    /// Leave out TCP connections that are not established yet.
    pub tcp_skip_in_flight: bool,
    /// Link unlinked files that are still open to a new name.
    pub link_remap: bool,
}

/// Write a running container into images, and delete it unless the options leave it running.
///
/// # Errors
/// There is no such container, it is not running, or CRIU fails; the container then runs on.
pub fn checkpoint(root: &Path, id: &str, options: Checkpoint) -> Result<()> {
    go(root, id, options).map_err(|e| e.within(format!("cannot checkpoint {id:?}")))
}

fn go(root: &Path, id: &str, mut options: Checkpoint) -> Result<()> {
    id::check(id)?;
    let directory = Directory::open_locked(root, id)?;
    let record = Record::load(&directory)?;
    let pid = running(&record)?;
    if directory.has(state::ROOTFS) {
        return Err(Error::new("its rootfs is made of changes that vanish with it")
            .hint("a container that is to be checkpointed needs a bundle, or --rootfs"));
    }
    if let Some((program, _)) = &record.usernet {
        let text = format!("{program} makes the container's network, which cannot be restored");
        return Err(Error::new(text).hint("create it with another --network"));
    }
    let program = Program::find()?;
    let spec = state::config(&directory)?;
    if crate::compile::inherits_mounts(&spec) {
        return Err(Error::new("the container has no mount namespace that could be restored"));
    }
    let init = conversation::program(&directory)?;
    check(&program, &init, &options)?;
    let images = Images::open(&options.criu, true)?;
    let mut opts = images.options(&options.criu, LOG, spec.annotations.get(criu::ANNOTATION));
    ask_for(&mut opts, &options)?;
    opts.pid = Some(pid);
    opts.root = Some(record.rootfs.clone());
    opts.freeze_cgroup = record.cgroup.freezer_for_criu()?.map(str::to_owned);
    if !options.pre_dump {
        leave_out(&mut opts, &images, &spec, &record, pid)?;
    }
    let plan = plan::compile(&plan::CriuRequest::default())?;
    let start =
        Start { program: &program, init: &init, plan: &plan, cgroup: None, flags: 0, opened: &[] };
    let criu = Criu::start(&start)?;
    let kind = if options.pre_dump { kind::PRE_DUMP } else { kind::DUMP };
    let request = RpcRequest { kind, opts: Some(opts), ..RpcRequest::default() };
    let mut status = options.status.take();
    let asked = criu.ask(&request, &mut |notify, _| {
        if notify.script.as_deref() == Some("status-ready")
            && let Some(fd) = status.take()
        {
            File::from(fd).write_all(&[0]).map_err(|e| Error::io("--status-fd", "write", &e))?;
        }
        Ok(())
    });
    let ended = asked.and_then(|_| criu.end());
    match ended.map_err(|e| criu::log::explain(e, &images.log(LOG)))? {
        // After a pre-dump CRIU waits for the next request; a later command makes that with a CRIU
        // of its own.
        _ if options.pre_dump => return Ok(()),
        Some(Exit::Status(0)) | None => {}
        Some(exit) => {
            let error = Error::new(format!("criu: exit status {}", exit.code()));
            return Err(criu::log::explain(error, &images.log(LOG)));
        }
    }
    match options.leave_running {
        true => Ok(()),
        false => delete::locked(root, &directory, &record, true),
    }
}

fn running(record: &Record) -> Result<i32> {
    match (record.status()?, record.living_init()) {
        (_, Some(init)) if record.is_supervised(init) => {
            let text = "init stays beside its program (--init), and init cannot be restored";
            Err(Error::new(text).hint("create it with --init=false"))
        }
        (Status::Running | Status::Paused, Some(init)) => Ok(init.pid),
        (status, _) => {
            let text = format!("the container is {}, expected running", status.word());
            Err(Error::new(text).hint(match status {
                Status::Created => "\"tiny-ce start\" it first",
                _ => "only what runs can be written down",
            }))
        }
    }
}

/// Check, before anything is written, that CRIU and the kernel support the options.
fn check(program: &Program, init: &OwnedFd, options: &Checkpoint) -> Result<()> {
    let version = program.version(init)?;
    images::check_version(&options.criu, version)?;
    let wanted = Features {
        mem_track: (options.pre_dump || options.parent_path.is_some()).then_some(true),
        lazy_pages: options.criu.lazy_pages.then_some(true),
    };
    if wanted == Features::default() {
        return Ok(());
    }
    let found = program.features(init, wanted.clone())?;
    if wanted.mem_track.is_some() && found.mem_track != Some(true) {
        return Err(Error::new(
            "--pre-dump, --parent-path: this kernel does not tell dirty memory",
        )
        .hint("it needs CONFIG_MEM_SOFT_DIRTY"));
    }
    if wanted.lazy_pages.is_some() && found.lazy_pages != Some(true) {
        return Err(Error::new("--lazy-pages: this kernel cannot")
            .hint("it needs CONFIG_USERFAULTFD, and Linux 4.11"));
    }
    Ok(())
}

fn ask_for(opts: &mut RpcOptions, options: &Checkpoint) -> Result<()> {
    opts.leave_running = Some(options.leave_running);
    opts.tcp_skip_in_flight = Some(options.tcp_skip_in_flight);
    opts.link_remap = Some(options.link_remap);
    opts.ps = options
        .page_server
        .clone()
        .map(|(address, port)| PageServer { address: Some(address), port: Some(port.into()) });
    let Some(parent) = &options.parent_path else { return Ok(()) };
    let place = format!("--parent-path {}", parent.display());
    if parent.is_absolute() {
        return Err(Error::new(format!("{place}: must be relative to --image-path"))
            .hint("images are found by it wherever they are moved to"));
    }
    let there = options.criu.image_path.join(parent);
    let found = there.metadata().map_err(|e| Error::io(&place, "stat", &e))?;
    if !found.is_dir() {
        return Err(Error::new(format!("{place}: not a directory")));
    }
    opts.parent_img = parent.to_str().map(str::to_owned);
    opts.track_mem = Some(true);
    Ok(())
}

/// Tell CRIU which mounts, namespaces and files are the host's, and record what standard input,
/// output and error were.
fn leave_out(
    opts: &mut RpcOptions,
    images: &Images,
    spec: &Spec,
    record: &Record,
    pid: i32,
) -> Result<()> {
    let mounts = ProcessMounts::of(pid)?;
    let descriptors = mounts.descriptors(pid);
    opts.external = external::joined(spec, record, pid)?;
    opts.external.extend(mounts.mounts(&external::places(spec)));
    opts.external.extend(mounts.cgroups(spec));
    let files = descriptors.iter().filter(|name| name.starts_with("file["));
    opts.external.extend(files.cloned());
    opts.external.dedup();
    log::debug(|| format!("criu: external {:?}", opts.external));
    let path = images.path.join(DESCRIPTORS);
    let text = serde_json::to_vec(&descriptors).map_err(|e| Error::new(e.to_string()))?;
    std::fs::write(&path, text).map_err(|e| Error::io(path.display(), "write", &e))
}

/// Take the descriptor that the caller left open for `--status-fd`.
///
/// # Errors
/// The descriptor is not open.
pub fn status_fd(number: i32) -> Result<OwnedFd> {
    crate::sys::file::inherited(number).ok_or_else(|| {
        Error::new(format!("--status-fd {number}: not open"))
            .hint("the caller must leave the descriptor open")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_reaches_criu() {
        let mut opts = RpcOptions::default();
        let mut options = Checkpoint {
            leave_running: true,
            page_server: Some(("192.0.2.1".to_owned(), 9)),
            tcp_skip_in_flight: true,
            link_remap: true,
            ..Checkpoint::default()
        };
        ask_for(&mut opts, &options).expect("options");
        let flags = [opts.leave_running, opts.tcp_skip_in_flight, opts.link_remap];
        assert_eq!((flags, opts.track_mem), ([Some(true); 3], None));
        let server = opts.ps.take().expect("a page server");
        assert_eq!((server.address.as_deref(), server.port), (Some("192.0.2.1"), Some(9)));
        options.criu.image_path = PathBuf::from("/proc");
        options.parent_path = Some(PathBuf::from("../proc"));
        ask_for(&mut opts, &options).expect("options");
        assert_eq!((opts.parent_img.as_deref(), opts.track_mem), (Some("../proc"), Some(true)));
    }
}
