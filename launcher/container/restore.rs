//! `restore`: CRIU restores a container's processes from images, in cgroups and on mounts that we
//! make as for a new container.
//!
//! CRIU and the init that it restores are children of this process. CRIU waits for our answer to
//! `post-restore`, so the record is complete before the first restored process runs on.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::launch::{self, Undo};
use super::netns::NetworkChoice;
use super::prepare::{LaunchOptions, Prepared, Source, prepare};
use super::{RunOptions, delete, run, scope};
use crate::compile::{Then, criu as plan};
use crate::conversation::{self, adopt};
use crate::criu::external;
use crate::criu::images::{self, CriuOptions, DESCRIPTORS, Images};
use crate::criu::messages::{self, CgroupRoot, InheritFd, JoinNamespace, Notify, RpcRequest, kind};
use crate::criu::{self, Criu, Program, Start};
use crate::error::{Error, Result};
use crate::foreground::Signals;
use crate::foreground::console::{self, Console};
use crate::foreground::notify;
use crate::hooks::{self, Place, Scene};
use crate::host;
use crate::plan::Finished;
use crate::spec::{NamespaceKind, id};
use crate::state::{self, ProcessId, Status};
use crate::sys::process::Exit;

const LOG: &str = "restore.log";

/// Two directories in the state directory, on which CRIU's mount namespace has the rootfs.
const GROUND: [&str; 2] = ["criu-scratch", "criu-root"];

/// The options of `restore`.
#[derive(Debug, Default)]
pub struct Restore {
    /// The options that `restore` shares with `checkpoint`.
    pub criu: CriuOptions,
    /// The options that `restore` shares with `create`.
    pub options: LaunchOptions,
    /// The options that `restore` shares with `run`.
    pub run: RunOptions,
    /// Close TCP connections.
    pub tcp_close: bool,
    /// Another profile or label of a security module: `TYPE:NAME`.
    pub lsm_profile: Option<String>,
    /// Another SELinux context of mounts.
    pub lsm_mount_context: Option<String>,
}

/// Restore a container from images, and unless detached wait for its end.
///
/// Returns the program's exit status, 128 and the number of the signal that ended it, or 0 if
/// detached.
///
/// # Errors
/// The id is taken, the configuration is wrong, or CRIU fails. No part of the container is left.
pub fn restore(root: &Path, id: &str, source: Source, restore: &Restore) -> Result<i32> {
    go(root, id, source, restore).map_err(|e| e.within(format!("cannot restore {id:?}")))
}

fn go(root: &Path, id: &str, source: Source, restore: &Restore) -> Result<i32> {
    id::check(id)?;
    let program = Program::find()?;
    let images = Images::open(&restore.criu, false)?;
    let options = &restore.options;
    let mut prepared = prepare(id, &root.join(id), source, options, Then::Run)?;
    console::check(prepared.terminal(), restore.run.detach, options.console_socket.as_deref())?;
    let signals = match restore.run.detach {
        true => None,
        false => Some(Signals::catch(!restore.run.no_subreaper)?),
    };
    let mut undo = launch::begin(root, id, &mut prepared)?;
    let mut restoring =
        Restoring { undo: &mut undo, prepared: &prepared, restore, images: &images };
    if let Err(e) = restoring.from(&program) {
        return Err(undo.undo(e, &prepared.spec));
    }
    let Undo { directory, record, child, terminal, .. } = undo;
    directory.unlock()?;
    let (Some(signals), Some(child)) = (signals, child) else { return Ok(0) };
    let console = terminal.map(Console::new).transpose()?;
    let mut oom = run::counting(&record);
    let exit = signals.wait(&child, console, None, oom.as_mut())?;
    run::report(&record, exit, oom.as_ref());
    if !restore.run.keep {
        delete::ended(root, &directory, &record, &prepared.spec)?;
    }
    Ok(exit.code())
}

struct Restoring<'a, 'u> {
    undo: &'a mut Undo<'u>,
    prepared: &'a Prepared,
    restore: &'a Restore,
    images: &'a Images,
}

impl Restoring<'_, '_> {
    /// Do everything from the first side effect to the running container.
    fn from(&mut self, program: &Program) -> Result<()> {
        let init = conversation::program(&self.undo.directory)?;
        let version = program.version(&init)?;
        images::check_version(&self.restore.criu, version)?;
        for (name, given) in [
            ("--lsm-profile", &self.restore.lsm_profile),
            ("--lsm-mount-context", &self.restore.lsm_mount_context),
        ] {
            given.iter().try_for_each(|_| images::needs(name, version, 31_600))?;
        }
        let inherited = self.inherited()?;
        launch::places(self.undo, self.prepared, &self.restore.options)?;
        self.make_sources()?;
        let [scratch, ground] = GROUND.map(|name| self.undo.directory.path().join(name));
        for path in [&scratch, &ground] {
            fs::create_dir(path).map_err(|e| Error::io(path.display(), "mkdir", &e))?;
        }
        let ground = ground.canonicalize().map_err(|e| Error::io("--root", "realpath", &e))?;
        let (namespaces, directories) = (self.given_namespaces(), self.images.paths()?);
        let plan = plan::compile(&plan::CriuRequest {
            cgroup_joins: self.prepared.host.cgroup_joins,
            restore: Some(plan::Restore {
                spec: &self.prepared.spec,
                host: &self.prepared.host,
                scratch: &scratch.to_string_lossy(),
                root: &ground.to_string_lossy(),
                directories: &directories,
                namespaces: &namespaces,
            }),
        })?;
        // systemd makes the scope around CRIU, so there are no groups to join before.
        let scope = self.undo.wanted.is_some();
        let cgroup = &self.undo.record.cgroup;
        let mut opened = if scope { Vec::new() } else { cgroup.join_files()? };
        for (kind, path) in &namespaces {
            opened.push(host::namespaces::open(path, *kind)?.into());
        }
        let criu = Criu::start(&Start {
            program,
            init: &init,
            plan: &plan,
            cgroup: if scope { None } else { cgroup.clone_fd()? },
            flags: libc::CLONE_NEWNS as u64,
            opened: &opened,
        })?;
        scope::around(self.undo, self.prepared, criu.pid())?;
        let mut opts = self.opts(&ground, &namespaces, inherited)?;
        opts.cg_root = cgroup_roots(criu.pid())?;
        let mut directories = criu.directories.iter();
        opts.images_dir_fd = directories.next().map_or(-1, criu::number);
        opts.work_dir_fd = directories.next().map(criu::number);
        let request = RpcRequest { kind: kind::RESTORE, opts: Some(opts), ..RpcRequest::default() };
        let asked = criu.ask(&request, &mut |notify, fds| self.notified(notify, fds, &init, &plan));
        let ended = asked.and_then(|_| criu.end()).and_then(|exit| match exit {
            Some(Exit::Status(0)) | None => Ok(()),
            Some(exit) => Err(Error::new(format!("criu: exit status {}", exit.code()))),
        });
        ended.map_err(|e| criu::log::explain(e, &self.images.log(LOG)))?;
        for name in GROUND {
            // The mounts on it are in CRIU's mount namespace, so here it is an empty directory.
            let _ = fs::remove_dir(self.undo.directory.path().join(name));
        }
        match self.undo.record.init {
            // Set the limits that were deferred while the container was restored.
            Some(_) => self.undo.record.cgroup.tighten(),
            None => Err(Error::new("criu: has restored nothing")),
        }
    }

    /// Return the namespaces to join that CRIU takes by descriptor.
    fn given_namespaces(&self) -> Vec<(NamespaceKind, String)> {
        let all = self.prepared.spec.linux.iter().flat_map(|linux| &linux.namespaces);
        let given = all.filter(|namespace| external::namespace_key(namespace.kind).is_some());
        given.filter_map(|it| Some((it.kind, it.path.clone()?))).collect()
    }

    /// Return the namespaces that CRIU joins by path.
    fn joined_namespaces(&self) -> Result<Vec<JoinNamespace>> {
        let mut joined = Vec::new();
        for (index, namespace) in
            self.prepared.spec.linux.iter().flat_map(|linux| &linux.namespaces).enumerate()
        {
            let Some(path) = &namespace.path else { continue };
            let name = match namespace.kind {
                NamespaceKind::Network | NamespaceKind::Pid => continue,
                NamespaceKind::Mount => "mnt",
                NamespaceKind::Cgroup => {
                    let text = format!(
                        "linux.namespaces[{index}]: criu cannot restore into a cgroup namespace \
                         that is there already"
                    );
                    return Err(Error::new(text).hint("leave the path out"));
                }
                kind => kind.word(),
            };
            joined.push(JoinNamespace { ns: name.to_owned(), ns_file: path.clone() });
        }
        Ok(joined)
    }

    /// Map the pipes and files that were standard input, output and error to ours.
    fn inherited(&self) -> Result<Vec<InheritFd>> {
        let path = self.images.path.join(DESCRIPTORS);
        let bytes = fs::read(&path).map_err(|e| {
            Error::io(path.display(), "open", &e)
                .hint("a checkpoint is what \"tiny-ce checkpoint\" has written, whole")
        })?;
        let names: Vec<String> = serde_json::from_slice(&bytes)
            .map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
        let mut inherited: Vec<InheritFd> = Vec::new();
        for (fd, name) in (0..3).zip(names) {
            let outside = name.starts_with("pipe:") || name.starts_with("file[");
            if outside && inherited.iter().all(|known| known.key != name) {
                inherited.push(InheritFd { key: name, fd });
            }
        }
        Ok(inherited)
    }

    fn opts(
        &self,
        ground: &Path,
        namespaces: &[(NamespaceKind, String)],
        mut inherit_fd: Vec<InheritFd>,
    ) -> Result<messages::RpcOptions> {
        let (spec, restore) = (&self.prepared.spec, self.restore);
        for (index, (kind, _)) in namespaces.iter().enumerate() {
            let key = external::namespace_key(*kind).unwrap_or_default().to_owned();
            inherit_fd.push(InheritFd { key, fd: plan::SERVICE as i32 + 1 + index as i32 });
        }
        let record = &self.undo.record;
        let (bundle, rootfs) = (Path::new(&record.bundle), Path::new(&record.rootfs));
        let state = self.undo.directory.path();
        let annotation = spec.annotations.get(criu::ANNOTATION);
        Ok(messages::RpcOptions {
            root: Some(ground.to_string_lossy().into_owned()),
            rst_sibling: Some(true),
            evasive_devices: Some(true),
            inherit_fd,
            external: external::sources(spec, &self.prepared.host.cgroups, bundle, rootfs, state),
            join_ns: self.joined_namespaces()?,
            ..asked(restore, self.images.options(&restore.criu, LOG, annotation))
        })
    }

    /// Make the files of the state directory that the container may have mounted: CRIU needs them
    /// as sources if the images have these mounts.
    fn make_sources(&self) -> Result<()> {
        notify::make_directory(&self.undo.directory)?;
        match self.restore.options.network {
            // `launch::places` has written the file, with an address.
            Some(NetworkChoice::Attached(_)) => Ok(()),
            _ => super::hosts::write(&self.undo.directory, &self.prepared.spec, None),
        }
    }

    /// Act on a notification of CRIU.
    fn notified(
        &mut self,
        notify: &Notify,
        descriptors: Vec<OwnedFd>,
        init: &OwnedFd,
        plan: &Finished,
    ) -> Result<()> {
        let pid = notify.pid.unwrap_or_default();
        match notify.script.as_deref().unwrap_or_default() {
            "setup-namespaces" => self.hooks(pid, init),
            "orphan-pts-master" => self.terminal(descriptors),
            "post-restore" => self.commit(pid, plan),
            _ => Ok(()),
        }
    }

    /// Run the hooks: CRIU has made the namespaces, and restored nothing in them yet.
    fn hooks(&mut self, pid: i32, init: &OwnedFd) -> Result<()> {
        let Some(all) = &self.prepared.spec.hooks else { return Ok(()) };
        self.undo.child = Some(adopt(pid)?);
        let record = &self.undo.record;
        let state = record.state_as(Status::Creating, pid, String::new());
        let state = serde_json::to_vec(&state).map_err(|e| Error::new(e.to_string()))?;
        let bundle = PathBuf::from(&record.bundle);
        let program = std::os::fd::AsFd::as_fd(init);
        let scene = Scene { program, state: &state, bundle: &bundle };
        hooks::run("prestart", &all.prestart, &scene, Place::Runtime)?;
        hooks::run("createRuntime", &all.create_runtime, &scene, Place::Runtime)
    }

    fn terminal(&mut self, descriptors: Vec<OwnedFd>) -> Result<()> {
        let Some(master) = descriptors.into_iter().next() else {
            return Err(Error::new("criu: the terminal comes without its descriptor"));
        };
        let socket = self.restore.options.console_socket.as_deref();
        self.undo.terminal = console::deliver(socket, master)?;
        Ok(())
    }

    /// Commit: CRIU has restored all processes, and keeps them stopped until this returns.
    fn commit(&mut self, pid: i32, plan: &Finished) -> Result<()> {
        let child = adopt(pid)?;
        let identity =
            ProcessId::of(pid).ok_or_else(|| Error::new("criu: what it has restored is gone"))?;
        self.undo.child = Some(child);
        // 0, 0 is no program's device and inode: the container never awaits `start`.
        self.undo.record.init = Some((identity, 0, 0));
        let (directory, record) = (&self.undo.directory, &self.undo.record);
        directory.write(state::CONFIG, &self.prepared.config)?;
        directory.write(state::PLAN, &plan.to_file())?;
        record.save(directory, state::STATE)?;
        match &self.restore.options.pid_file {
            Some(path) => launch::write_pid_file(path, pid),
            None => Ok(()),
        }
    }
}

/// Add the options that only `restore` has.
fn asked(restore: &Restore, opts: messages::RpcOptions) -> messages::RpcOptions {
    messages::RpcOptions {
        tcp_close: Some(restore.tcp_close),
        lsm_profile: restore.lsm_profile.clone(),
        lsm_mount_context: restore.lsm_mount_context.clone(),
        ..opts
    }
}

/// Replace the cgroups in the images by those that CRIU is in.
fn cgroup_roots(pid: i32) -> Result<Vec<CgroupRoot>> {
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", &e))?;
    let root = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let ctrl = Some(fields.next()?.to_owned());
        Some(CgroupRoot { ctrl, path: fields.next()?.to_owned() })
    };
    Ok(text.lines().filter_map(root).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_reaches_criu() {
        let restore = Restore {
            tcp_close: true,
            lsm_profile: Some("apparmor:other".to_owned()),
            lsm_mount_context: Some("a:b:c".to_owned()),
            ..Restore::default()
        };
        let opts = asked(&restore, messages::RpcOptions::default());
        assert_eq!(opts.tcp_close, Some(true));
        assert_eq!(opts.lsm_profile.as_deref(), Some("apparmor:other"));
        assert_eq!(opts.lsm_mount_context.as_deref(), Some("a:b:c"));
    }
}
