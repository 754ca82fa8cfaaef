//! `exec`: start one more process in a running container, by a short plan for the same init.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::launch;
use super::nodev;
use super::prepare::{self, filter, preserved};
use super::start::StartingContainer;
use super::{exit, scope};
use crate::analysis::Recorder;
use crate::cgroup::{self, Cgroup, Version};
use crate::compile::activation::{self, Listen};
use crate::compile::exec as plan;
use crate::conversation::{self, Answers, End, Init, channel, join};
use crate::error::{Error, Result};
use crate::foreground::Signals;
use crate::foreground::console::{self, Console};
use crate::plan::{Finished, Preload};
use crate::program;
use crate::program::users::Users;
use crate::program::vectors;
use crate::spec::{NamespaceKind, Process, Spec, id};
use crate::state::{self, Directory, ProcessId, Record, Status};
use crate::sys;
use crate::sys::process::{self as processes, Child, Clone};
use crate::sys::user::in_user_namespace;

/// How `exec` runs the process.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// Return once the program runs.
    pub detach: bool,
    /// The file to which the new process's pid is written.
    pub pid_file: Option<PathBuf>,
    /// The socket to which the master of the terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// The socket to which a pidfd of the new process is sent.
    pub pidfd_socket: Option<PathBuf>,
    /// The listening sockets that the program gets: the caller's descriptors from 3 on.
    pub listen: Listen,
    /// How many descriptors after the listening sockets the program inherits.
    pub preserve_fds: u32,
    /// Start the process although the container is paused.
    pub ignore_paused: bool,
    /// `[CONTROLLER,…:]PATH` of cgroups below the container's own.
    pub cgroups: Vec<String>,
}

/// Run a process in a running container. `process` makes it from the container's own `process`.
///
/// Returns the program's exit status, or 0 if detached.
///
/// # Errors
/// There is no such container, it is not running, or the process cannot be started.
pub fn exec(
    root: &Path,
    id: &str,
    process: impl FnOnce(Option<&Process>, &Users) -> Result<Process>,
    options: &ExecOptions,
) -> Result<i32> {
    go(root, id, process, options).map_err(|e| e.within(format!("cannot exec in {id:?}")))
}

fn go(
    root: &Path,
    id: &str,
    process: impl FnOnce(Option<&Process>, &Users) -> Result<Process>,
    options: &ExecOptions,
) -> Result<i32> {
    id::check(id)?;
    let directory = Directory::open(root, id)?;
    let (record, living) = Record::load_with_init(&directory)?;
    let (init, status) = running(&record, living, options)?;
    let spec = state::config(&directory)?;
    let mut process = process(spec.process.as_ref(), &Users::of(init.pid))?;
    // Without an oomScoreAdj of its own, the process gets that of the container's program.
    process.oom_score_adj =
        process.oom_score_adj.or(spec.process.as_ref().and_then(|own| own.oom_score_adj));
    nodev::judge_exec(&spec, &record.cgroup, &mut process);
    activation::listen(&mut process.env, &options.listen);
    prepare::judge_process(&process)?;
    crate::host::security_of(&process)?;
    console::check(process.terminal, options.detach, options.console_socket.as_deref())?;
    let signals = if options.detach { None } else { Some(Signals::catch(false)?) };
    let mut joining = Joining { record, spec, process, init, status, options, directory };
    let (child, terminal) = joining.join()?;
    let Some(signals) = signals else { return Ok(0) };
    let console = terminal.map(Console::new).transpose()?;
    Ok(signals.wait(&child, console, None, None)?.code())
}

fn running(
    record: &Record,
    living: Option<ProcessId>,
    options: &ExecOptions,
) -> Result<(ProcessId, Status)> {
    let status = record.status_of(living)?;
    match status {
        Status::Created | Status::Running => {}
        Status::Paused if options.ignore_paused => {}
        Status::Paused => {
            let text = "cannot exec in a paused container (use --ignore-paused to override)";
            return Err(Error::new(text).hint("\"tiny-ce resume\" it first"));
        }
        Status::Creating | Status::Stopped => {
            let text = "cannot exec a container that has stopped: container not running";
            return Err(Error::new(text).hint("\"tiny-ce start\" or create it again"));
        }
    }
    let init = living.ok_or_else(|| Error::new("container not running"))?;
    Ok((init, status))
}

struct Joining<'a> {
    directory: Directory,
    record: Record,
    spec: Spec,
    process: Process,
    init: ProcessId,
    status: Status,
    options: &'a ExecOptions,
}

impl Joining<'_> {
    /// Start the process in the container's cgroups and namespaces, until it becomes its program.
    fn join(&mut self) -> Result<(Child, Option<OwnedFd>)> {
        let failed = |call| move |e: std::io::Error| Error::io("exec", call, &e);
        let entered = join::Joined::open(self.init.pid);
        // Compare the start time after opening the pidfd, which then stays with this process.
        if !self.init.alive() {
            return Err(Error::new("container not running"));
        }
        let entered = entered?;
        let cgroup = self.cgroup()?;
        let filter = filter(&self.spec)?;
        let joins = cgroup.groups.iter().filter(|g| g.version == Version::V1).count();
        let preserved = preserved(&self.options.listen, self.options.preserve_fds)?;
        // The initial user namespace never denies setgroups(2).
        let inner = entered.namespaces.contains(&NamespaceKind::User) || in_user_namespace();
        let plan = plan::compile(&plan::ExecRequest {
            spec: &self.spec,
            process: &self.process,
            filter: filter.as_ref(),
            namespaces: &entered.namespaces,
            cgroup_joins: joins,
            groups_denied: inner && crate::host::denies_groups(&format!("/proc/{}", self.init.pid)),
            last_capability: sys::process::last_capability(),
            stdio: crate::host::stdio(Some(&self.process)),
            null: crate::host::null_inside(
                &self.process,
                Path::new(&format!("/proc/{}/root", self.init.pid)),
            ),
            preserved: &preserved,
            root: crate::compile::inherits_mounts(&self.spec)
                .then_some(self.record.rootfs.as_str()),
        })?;
        let program = conversation::program(&self.directory)?;
        let mut tasks = cgroup.join_files().map_err(|e| self.asked(e))?.into_iter();
        let mut opened: Vec<OwnedFd> = Vec::new();
        for preload in &plan.preloads {
            opened.push(match preload {
                Preload::Process => entered.process.try_clone().map_err(failed("fcntl"))?,
                _ => tasks.next().ok_or_else(|| Error::new("a cgroup has gone meanwhile"))?,
            });
        }
        let passwd = vectors::passwd_of(self.init.pid);
        let (argv, envp) = vectors::vectors(Some(&self.process), &passwd)?;
        let request = Clone {
            flags: 0,
            cgroup: cgroup.clone_fd().map_err(|e| self.asked(e))?,
            program: program.as_fd(),
            argv: &argv,
            envp: &envp,
            descriptors: &conversation::descriptors(&opened, &preserved)?,
            die_with_parent: false,
        };
        let (child, channel) = scope::start_in(&self.record, &cgroup, &self.process, &request)?;
        drop(opened);
        let mut joined = Joined { child, terminal: None };
        let class = self.record.resctrl.as_ref();
        let placed = class.map_or(Ok(()), |class| class.add(joined.child.pid));
        let _ = processes::on_every_processor(joined.child.pid);
        let placed = placed.and_then(|()| channel::send(&channel, &plan.bytes));
        match placed.and_then(|()| self.converse(&mut joined, &plan, &channel)) {
            Ok(()) => Ok((joined.child, joined.terminal)),
            Err(e) => {
                conversation::kill(&joined.child);
                Err(e)
            }
        }
    }

    fn converse(&self, joined: &mut Joined, plan: &Finished, channel: &UnixStream) -> Result<()> {
        let Joined { child, terminal } = joined;
        let mut starting = Starting { joining: self, plan, terminal };
        match conversation::listen(channel, plan, Init::Child(child), &mut starting)? {
            End::Ready => {}
            End::Executed | End::Silent => return Err(self.ended(joined)),
        }
        program::check(Some(&self.process), joined.child.pid)
            .map_err(|e| conversation::reason(channel, plan, e, || self.ended(joined)))?;
        if let Some(path) = &self.options.pidfd_socket {
            launch::send_pidfd(path, &joined.child.pidfd)?;
        }
        if let Some(path) = &self.options.pid_file {
            launch::write_pid_file(path, joined.child.pid)?;
        }
        channel::go_on(channel)?;
        self.starting(plan, joined.child.pid).until_running(channel)
    }

    /// Return the error for an init that closed the channel without a report.
    fn ended(&self, joined: &Joined) -> Error {
        // Kill it first: if it only closed the channel, waiting for its end would not return.
        let exit = conversation::kill(&joined.child);
        exit::unexpected(&self.record, exit, "init ended before it became the program")
    }

    fn starting<'a>(&'a self, plan: &'a Finished, pid: i32) -> StartingContainer<'a> {
        let (directory, spec, record) = (&self.directory, &self.spec, &self.record);
        let (status, recorder) = (self.status, Recorder::default());
        StartingContainer { directory, spec, record, plan, pid, status, recorder }
    }

    /// Name `--cgroup` in an error about a cgroup, if the option was given.
    fn asked(&self, e: Error) -> Error {
        match self.options.cgroups.join(" ") {
            asked if asked.is_empty() => e,
            asked => e.within(format_args!("--cgroup {asked}")),
        }
    }

    /// Return the groups for the process: those that init is in now, which may not be those that it
    /// was started in, or the groups below them that `--cgroup` names.
    fn cgroup(&self) -> Result<Cgroup> {
        let mut cgroup = match self.record.cgroup.is_none() {
            true => Cgroup::default(),
            false => self.record.cgroup.joined_by(self.init.pid, &cgroup::probe()?)?,
        };
        for wanted in self.options.cgroups.iter().filter(|wanted| !wanted.is_empty()) {
            let named = |e: Error| e.within(format_args!("--cgroup {wanted:?}"));
            let (controllers, path) = match wanted.split_once(':') {
                Some((controllers, path)) => (Some(controllers), path),
                None => (None, wanted.as_str()),
            };
            match controllers {
                None => cgroup = cgroup.below(None, path).map_err(named)?,
                Some(names) => {
                    for name in names.split(',') {
                        cgroup = cgroup.below(Some(name), path).map_err(named)?;
                    }
                }
            }
        }
        Ok(cgroup)
    }
}

struct Joined {
    child: Child,
    terminal: Option<OwnedFd>,
}

/// The answers to init until it is ready to become the program.
struct Starting<'a> {
    joining: &'a Joining<'a>,
    plan: &'a Finished,
    terminal: &'a mut Option<OwnedFd>,
}

impl Answers for Starting<'_> {
    fn terminal(&mut self, master: OwnedFd) -> Result<()> {
        *self.terminal = console::deliver(self.joining.options.console_socket.as_deref(), master)?;
        Ok(())
    }

    fn listener(&mut self, pid: i32, listener: OwnedFd) -> Result<()> {
        self.joining.starting(self.plan, pid).listener_of(pid, listener)
    }
}
