//! CRIU as a process: `criu swrk`, one request, its notifications, one response.
//!
//! Knows the conversation, the images, and which of a container's resources are the host's. Must
//! not know when CRIU gets a request or what its notifications cause: the caller does.

pub mod external;
pub mod images;
pub mod log;
pub mod messages;

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::compile::criu as plan;
use crate::conversation::{self, Answers, End, Init, channel};
use crate::errno::ErrnoName;
use crate::error::{Error, Result};
use crate::host::programs;
use crate::plan::Finished;
use crate::signals::ending;
use crate::sys::process::{self, Child, Clone, Exit};
use crate::sys::{file, message};
use messages::{Features, Notify, RpcOptions, RpcRequest, RpcResponse, kind};
use prost::Message;

/// An annotation of a config.json that names a file with options for CRIU.
pub const ANNOTATION: &str = "org.criu.config";

/// The oldest CRIU that has all that is needed here: `status-ready`, external pid namespaces.
const OLDEST: u32 = 31_500;

/// The most bytes of a response; CRIU's are much smaller.
const LARGEST: usize = 64 << 10;

/// How long CRIU may take to end after the conversation, in milliseconds.
const PATIENCE_MS: i32 = 10_000;

/// CRIU's program, as an `O_PATH` descriptor.
pub struct Program(OwnedFd);

impl Program {
    /// Look for `criu` in PATH.
    ///
    /// # Errors
    /// It is not there, or cannot be opened.
    pub fn find() -> Result<Program> {
        let Some(path) = programs::find("criu") else {
            return Err(Error::new("criu: not found in PATH, and nothing else can do it")
                .hint("install criu (the package has this name everywhere), 3.15 or later"));
        };
        let opened = file::open_path(&path).map_err(|e| Error::io(path.display(), "open", &e))?;
        Ok(Program(opened))
    }

    /// Ask CRIU for its version, such as 31700.
    ///
    /// # Errors
    /// CRIU cannot be started, does not answer, or is older than 3.15.
    pub fn version(&self, init: &OwnedFd) -> Result<u32> {
        let plan = plan::compile(&plan::CriuRequest::default())?;
        let start = Start { program: self, init, plan: &plan, cgroup: None, flags: 0, opened: &[] };
        let criu = Criu::start(&start)?;
        let request = RpcRequest { kind: kind::VERSION, ..RpcRequest::default() };
        let response = criu.ask(&request, &mut |_, _| Ok(()))?;
        let Some(version) = response.version else {
            return Err(Error::new("criu: does not tell its version"));
        };
        let part = |number: i32| u32::try_from(number).unwrap_or_default();
        let (major, minor) = (part(version.major_number), part(version.minor_number));
        let number = major * 10_000 + minor * 100 + part(version.sublevel.unwrap_or_default());
        match number >= OLDEST {
            true => Ok(number),
            false => Err(Error::new(format!("criu: version {major}.{minor}, older than 3.15"))
                .hint("install a newer one")),
        }
    }

    /// Ask which of the `wanted` features CRIU and this kernel have.
    ///
    /// # Errors
    /// CRIU cannot be started, or does not answer.
    pub fn features(&self, init: &OwnedFd, wanted: Features) -> Result<Features> {
        let plan = plan::compile(&plan::CriuRequest::default())?;
        let start = Start { program: self, init, plan: &plan, cgroup: None, flags: 0, opened: &[] };
        let criu = Criu::start(&start)?;
        let features = Some(wanted);
        let request = RpcRequest { kind: kind::FEATURE_CHECK, features, ..RpcRequest::default() };
        Ok(criu.ask(&request, &mut |_, _| Ok(()))?.features.unwrap_or_default())
    }
}

/// What CRIU is started with.
pub struct Start<'a> {
    /// The program of CRIU.
    pub program: &'a Program,
    /// The program of init, which executes CRIU.
    pub init: &'a OwnedFd,
    /// Init's plan (`compile::criu`).
    pub plan: &'a Finished,
    /// The directory of the v2 cgroup that CRIU starts in.
    pub cgroup: Option<std::os::fd::BorrowedFd<'a>>,
    /// CLONE_NEW* flags.
    pub flags: u64,
    /// The preloads of the plan after CRIU's socket and program.
    pub opened: &'a [OwnedFd],
}

/// A CRIU that waits for a request. If it is dropped, its conversation ends, and then CRIU ends.
pub struct Criu {
    child: Child,
    socket: Option<OwnedFd>,
    ended: bool,
    /// The directories that its plan has opened, as CRIU sees them.
    pub directories: Vec<OwnedFd>,
}

/// The caller's answer to a notification, for which CRIU waits.
pub type Notified<'a> = dyn FnMut(&Notify, Vec<OwnedFd>) -> Result<()> + 'a;

impl Criu {
    /// Start CRIU with the environment and the standard descriptors of this process.
    ///
    /// # Errors
    /// socketpair(2) or clone3(2) fails, or a step of the plan fails before CRIU is executed.
    pub fn start(start: &Start<'_>) -> Result<Criu> {
        let failed = |call| move |e: std::io::Error| Error::io("criu", call, &e);
        let (socket, service) = message::pair().map_err(failed("socketpair"))?;
        let first = [service.as_raw_fd(), start.program.0.as_raw_fd()];
        let opened = first.into_iter().chain(start.opened.iter().map(AsRawFd::as_raw_fd));
        let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            CString::new([name.into_vec(), value.into_vec()].join(&b'=')).ok()
        };
        let (child, channel) = conversation::start(&Clone {
            flags: start.flags,
            cgroup: start.cgroup,
            program: start.init.as_fd(),
            argv: &["criu".into(), "swrk".into(), plan::SERVICE.to_string()]
                .map(|word: String| CString::new(word).unwrap_or_default()),
            envp: &std::env::vars_os().filter_map(variable).collect::<Vec<_>>(),
            descriptors: &opened.collect::<Vec<RawFd>>(),
            die_with_parent: false,
        })
        .map_err(|(call, e)| Error::io("criu", call, &e))?;
        let directories = Vec::new();
        let mut criu = Criu { child, socket: Some(socket), ended: false, directories };
        drop(service);
        channel::send(&channel, &start.plan.bytes)?;
        let init = Init::Pid(criu.child.pid);
        match conversation::listen(&channel, start.plan, init, &mut criu)? {
            End::Executed => Ok(criu),
            End::Ready | End::Silent => Err(Error::new("criu: ended before it was started")),
        }
    }

    /// The pid of CRIU.
    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    fn socket(&self) -> Result<&OwnedFd> {
        self.socket.as_ref().ok_or_else(|| Error::new("criu: the conversation is over"))
    }

    /// Send a request, answer the notifications, and return the response.
    ///
    /// If `notified` fails, CRIU is told so and undoes what it has done.
    ///
    /// # Errors
    /// The first error of `notified`. CRIU refuses the request, ends without an answer, or sends
    /// bytes that are no answer.
    pub fn ask(&self, request: &RpcRequest, notified: &mut Notified<'_>) -> Result<RpcResponse> {
        self.send(request)?;
        let mut broken = None;
        let mut bytes = vec![0; LARGEST];
        loop {
            let received = message::receive(self.socket()?, &mut bytes, true)
                .map_err(|e| Error::io("criu", "recvmsg", &e))?;
            if received.length == 0 || received.truncated {
                return Err(broken.unwrap_or_else(|| self.no_answer()));
            }
            let response = RpcResponse::decode(&bytes[..received.length])
                .map_err(|e| Error::new(format!("criu: an answer that is none: {e}")))?;
            if response.kind == kind::NOTIFY {
                let notify = response.notify.unwrap_or_default();
                let result = match broken {
                    None => notified(&notify, received.descriptors),
                    // CRIU is undoing what it has done.
                    Some(_) => Ok(()),
                };
                let well = result.is_ok() && broken.is_none();
                broken = broken.or(result.err());
                let (kind, notify_success) = (kind::NOTIFY, Some(well));
                self.send(&RpcRequest { kind, notify_success, ..RpcRequest::default() })?;
                continue;
            }
            return match (broken, response.success) {
                (Some(error), _) => Err(error),
                (None, true) => Ok(response),
                (None, false) => Err(refused(&response)),
            };
        }
    }

    /// The error if CRIU does not answer: how it ended, or that it hangs.
    fn no_answer(&self) -> Error {
        let gone = process::wait_gone(&self.child.pidfd, PATIENCE_MS);
        let exit = gone.and_then(|()| process::wait(&self.child.pidfd, true));
        let how = exit.ok().flatten().map_or_else(|| "it hangs".to_owned(), ending);
        Error::new(format!("criu: no answer: {how}"))
    }

    fn send(&self, request: &RpcRequest) -> Result<()> {
        message::send(self.socket()?, &request.encode_to_vec(), None)
            .map_err(|e| Error::io("criu", "sendmsg", &e))
    }

    /// End the conversation, and wait until CRIU has ended: only then its work is complete.
    ///
    /// # Errors
    /// waitid(2) fails.
    pub fn end(mut self) -> Result<Option<Exit>> {
        self.socket = None;
        self.ended = true;
        process::wait(&self.child.pidfd, false).map_err(|e| Error::io("criu", "waitid", &e))
    }
}

impl Answers for Criu {
    fn directory(&mut self, directory: OwnedFd) -> Result<()> {
        self.directories.push(directory);
        Ok(())
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // CRIU resumes the processes that it has stopped, so it is killed only if it hangs.
        self.socket = None;
        if process::wait_gone(&self.child.pidfd, PATIENCE_MS).is_err() {
            let _ = process::kill(&self.child.pidfd, libc::SIGKILL);
        }
        let _ = process::wait(&self.child.pidfd, false);
    }
}

fn refused(response: &RpcResponse) -> Error {
    let what = match response.kind {
        kind::DUMP => "the checkpoint",
        kind::PRE_DUMP => "the checkpoint of the memory alone",
        kind::RESTORE => "the restore",
        _ => "a question",
    };
    // CRIU's own message is the first error that it met, and often not the cause.
    match response.cr_errno.filter(|errno| *errno > 0) {
        Some(errno) => Error::new(format!("criu: {what} failed: {}", ErrnoName(errno))),
        None => Error::new(format!("criu: {what} failed")),
    }
}

/// The options that `checkpoint` and `restore` always have.
pub fn common(log: &str) -> RpcOptions {
    RpcOptions {
        log_level: Some(4),
        log_file: Some(log.to_owned()),
        notify_scripts: Some(true),
        orphan_pts_master: Some(true),
        ..RpcOptions::default()
    }
}

/// The number of our descriptor, by which CRIU opens it in our /proc/PID/fd.
pub fn number(fd: &impl AsRawFd) -> i32 {
    fd.as_raw_fd()
}

/// The file with the administrator's options for CRIU: that of the annotation, or else the first of
/// two in /etc/criu that exists.
pub fn config_file(annotation: Option<&String>) -> Option<String> {
    const FILES: [&str; 2] = ["/etc/criu/tiny-ce.conf", "/etc/criu/runc.conf"];
    match annotation {
        Some(path) => Some(path.clone()).filter(|path| !path.is_empty()),
        None => FILES.iter().find(|path| Path::new(path).exists()).map(|path| (*path).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_wins() {
        assert_eq!(config_file(Some(&"/a".to_owned())).as_deref(), Some("/a"));
        assert_eq!(config_file(Some(&String::new())), None);
    }
}
