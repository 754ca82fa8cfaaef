//! A container's network that another program makes without privileges: pasta(1) or
//! slirp4netns(1), which turn the container's packets into connections of their own.
//!
//! Knows how each is called, when its network is ready, and how it ends. Must not know a
//! configuration, the state, or the command line.

mod call;

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tiny_ce_init::NAME;

use crate::compile::usernet::{UsernetRequest, compile};
use crate::conversation::{self, Answers, End, Init, channel, join};
use crate::error::{Error, Result};
use crate::host::programs;
use crate::plan::{Finished, c_string};
use crate::spec::NamespaceKind;
use crate::sys::process::{self, Child, Clone as Cloned};
use crate::sys::signal::{self, Interest};
use crate::sys::terminal::set_blocking;
use crate::sys::user;

/// A program that makes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usernet {
    /// pasta(1), of passt.
    Pasta,
    /// slirp4netns(1).
    Slirp4netns,
}

/// How long a program may take until the network is ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a watcher may take to end after its container, in milliseconds.
const END_MS: i32 = 10_000;

/// The most bytes of a program's messages that are read: the capacity of a pipe.
const MESSAGES: u64 = 64 << 10;

impl Usernet {
    /// Both programs.
    pub const ALL: [Usernet; 2] = [Usernet::Pasta, Usernet::Slirp4netns];

    /// The program's name, as in `--network`.
    pub fn word(self) -> &'static str {
        match self {
            Usernet::Pasta => "pasta",
            Usernet::Slirp4netns => "slirp4netns",
        }
    }

    /// What to do if it is not there.
    pub fn remedy(self) -> &'static str {
        match self {
            Usernet::Pasta => "install passt, the package with pasta",
            Usernet::Slirp4netns => "install slirp4netns",
        }
    }

    /// The address at which the container reaches the host's first resolver.
    pub fn resolver(self) -> Ipv4Addr {
        match self {
            // It has to be given to pasta. Podman has the same, which is link-local.
            Usernet::Pasta => Ipv4Addr::new(169, 254, 1, 1),
            // slirp4netns(1): the third of 10.0.2.0/24.
            Usernet::Slirp4netns => Ipv4Addr::new(10, 0, 2, 3),
        }
    }

    /// Look for the program in PATH.
    ///
    /// # Errors
    /// It is not there.
    pub fn find(self) -> Result<PathBuf> {
        let found = programs::find(self.word()).and_then(|path| std::path::absolute(path).ok());
        found.ok_or_else(|| {
            Error::new(format!("{}: {} is not on PATH", self.place(), self.word()))
                .hint(self.remedy())
        })
    }

    /// The option, which an error is about.
    pub fn place(self) -> String {
        format!("--network {}", self.word())
    }
}

/// A program to start.
pub struct Start<'a> {
    /// Which.
    pub usernet: Usernet,
    /// The program of init, which runs the plan.
    pub init: &'a OwnedFd,
    /// The container's init, in a network namespace of its own.
    pub pid: i32,
}

impl Start<'_> {
    /// Start the program, with a watcher over it, and wait until the container has a network.
    ///
    /// `made` is told the watcher's pid before there is a program. The watcher is a child of this
    /// process; it ends after the container's init has, and so does the program.
    ///
    /// # Errors
    /// The program is not there, cannot be executed, ends or takes too long; the error has its
    /// messages. `made` fails.
    pub fn start(&self, made: &mut dyn FnMut(i32) -> Result<()>) -> Result<()> {
        let place = self.usernet.place();
        let failed = |call| {
            let place = place.clone();
            move |e: io::Error| Error::io(place, call, &e)
        };
        let path = self.usernet.find()?;
        let path = path.to_string_lossy();
        let call = call::of(self.usernet, self.pid, self.has_own_users()?);
        let name = place.as_str();
        let plan = compile(&UsernetRequest { name, path: &path, given: call.given })?;
        let own = format!("/proc/{}/ns/net", self.pid);
        let namespace = File::open(&own).map_err(|e| Error::io(&own, "open", &e))?;
        let process = process::pidfd_open(self.pid).map_err(failed("pidfd_open"))?;
        let [ready, messages, exit] =
            [io::pipe(), io::pipe(), io::pipe()].map(|pipe| pipe.map_err(failed("pipe2")));
        let (ready, messages, exit) = (ready?, messages?, exit?);
        for end in [messages.0.as_fd(), messages.1.as_fd()] {
            set_blocking(end, false).map_err(failed("fcntl"))?;
        }
        let opened: [RawFd; 7] = [
            process.as_raw_fd(),
            namespace.as_raw_fd(),
            ready.1.as_raw_fd(),
            messages.1.as_raw_fd(),
            messages.0.as_raw_fd(),
            exit.0.as_raw_fd(),
            exit.1.as_raw_fd(),
        ];
        let words = ["--", &path].into_iter().map(str::to_owned).chain(call.args);
        let words = words.map(|word| c_string(&word)).collect::<Result<Vec<_>>>()?;
        let search = std::env::var("PATH").unwrap_or_default();
        let (child, channel) = conversation::start(&Cloned {
            flags: 0,
            cgroup: None,
            program: self.init.as_fd(),
            argv: &[vec![NAME.to_owned()], words].concat(),
            envp: &[c_string(&format!("PATH={search}"))?],
            descriptors: &opened,
            die_with_parent: false,
        })
        .map_err(|(call, e)| Error::io(&place, call, &e))?;
        made(child.pid)?;
        // Only the processes that need them have the other ends.
        drop((namespace, process, exit, ready.1, messages.1));
        self.until_ready(&plan, &channel, child, ready.0, messages.0)
    }

    /// Whether the container has a user namespace of its own that the program has to join.
    fn has_own_users(&self) -> Result<bool> {
        if user::effective_uid() == 0 {
            // Root may enter a network namespace whatever user namespace owns it.
            return Ok(false);
        }
        Ok(join::Joined::open(self.pid)?.namespaces.contains(&NamespaceKind::User))
    }

    fn until_ready(
        &self,
        plan: &Finished,
        channel: &std::os::unix::net::UnixStream,
        child: Child,
        mut ready: PipeReader,
        mut messages: PipeReader,
    ) -> Result<()> {
        struct Silent;
        impl Answers for Silent {}
        channel::send(channel, &plan.bytes)?;
        // The channel ends when both the watcher has closed it and the program is executed.
        let place = self.usernet.place();
        match conversation::listen(channel, plan, Init::Pid(child.pid), &mut Silent)? {
            End::Executed => {}
            End::Ready | End::Silent => {
                return Err(Error::new(format!("{place}: its watcher has ended")));
            }
        }
        let until = Instant::now() + PATIENCE;
        let (word, mut said) = (self.usernet.word(), [0]);
        let what = loop {
            let left = until.saturating_duration_since(Instant::now()).as_millis() as i32;
            let waited = signal::wait(&[Interest::read(ready.as_fd(), true)], left);
            if !waited.map_err(|e| Error::io(&place, "poll", &e))?[0] {
                break format!("is not ready after {} s", PATIENCE.as_secs());
            }
            match ready.read(&mut said) {
                Ok(1) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => break "has ended instead of making a network".to_owned(),
            }
        };
        let mut text = Vec::new();
        // The pipe does not block: WouldBlock is the end of what there is.
        let _ = messages.by_ref().take(MESSAGES).read_to_end(&mut text);
        Err(self.advise(Error::with_output(format!("{place}: {word} {what}"), &text)))
    }

    /// Add what to do about a failure, as far as it can be told from here.
    fn advise(&self, error: Error) -> Error {
        match tun() {
            Ok(()) => error,
            Err(e) => error.hint(e.1),
        }
    }
}

/// The device by which both programs make an interface.
pub const TUN: &str = "/dev/net/tun";

/// Whether the caller can open the device of both programs.
///
/// # Errors
/// It cannot: the kernel's reason, and what to do.
pub fn tun() -> std::result::Result<(), (io::Error, &'static str)> {
    match File::options().read(true).write(true).open(TUN) {
        Ok(_) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => Err((
            e,
            "chmod 0666 /dev/net/tun, as udev has it: each user makes interfaces in their \
                     own network namespaces only",
        )),
        Err(e) => Err((e, "modprobe tun; mknod -m 0666 /dev/net/tun c 10 200")),
    }
}

/// Wait until a watcher, whose container has ended, has ended too, and with it the program; kill it
/// if it does not. Reap it, if it is a child of this process.
///
/// # Errors
/// It lives on.
pub fn end(pidfd: &OwnedFd) -> Result<()> {
    let failed = |call| move |e: io::Error| Error::io("the watcher of the network", call, &e);
    if process::wait_gone(pidfd, END_MS).is_err() {
        process::kill(pidfd, libc::SIGKILL).map_err(failed("pidfd_send_signal"))?;
        process::wait_gone(pidfd, END_MS).map_err(failed("poll"))?;
    }
    // ECHILD: it is another process's child.
    let _ = process::wait(pidfd, false);
    Ok(())
}
