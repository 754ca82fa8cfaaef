//! CRIU as a process: `criu swrk`, one request, its notifications, one response.
//!
//! Knows the conversation, the images, and what of a container is the host's. Must not know when
//! CRIU is asked, or what follows from its notifications: that is the caller's.

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
use crate::plan::Finished;
use crate::signals::ending;
use crate::sys::process::{self, Child, Clone, Exit};
use crate::sys::{file, message};
use messages::{Features, Notify, RpcOptions, RpcRequest, RpcResponse, kind};
use prost::Message;

/// An annotation of a config.json: a file of options that CRIU reads itself.
pub const ANNOTATION: &str = "org.criu.config";

/// The oldest CRIU that tells what is relied on here: `status-ready`, external pid namespaces.
const OLDEST: u32 = 31_500;

/// A response is small; larger ones are none.
const LARGEST: usize = 64 << 10;

/// How long CRIU may take to end when there is nothing more to say, in milliseconds.
const PATIENCE_MS: i32 = 10_000;

/// CRIU's program, opened.
pub struct Program(OwnedFd);

impl Program {
    /// Look for `criu` in PATH.
    pub fn find() -> Result<Program> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&path).map(|directory| directory.join("criu"));
        let Some(path) = found.find(|path| path.is_file()) else {
            return Err(Error::new("criu: not found in PATH, and nothing else can do it")
                .hint("install criu (the package has this name everywhere), 3.15 or later"));
        };
        let opened = file::open_path(&path).map_err(|e| Error::io(path.display(), "open", &e))?;
        Ok(Program(opened))
    }

    /// Which version it is, as 31700; an error if it is older than what is relied on.
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

    /// Whether it and this kernel have what is `wanted`.
    pub fn has(&self, init: &OwnedFd, wanted: Features) -> Result<Features> {
        let plan = plan::compile(&plan::CriuRequest::default())?;
        let start = Start { program: self, init, plan: &plan, cgroup: None, flags: 0, opened: &[] };
        let criu = Criu::start(&start)?;
        let features = Some(wanted);
        let request = RpcRequest { kind: kind::FEATURE_CHECK, features, ..RpcRequest::default() };
        Ok(criu.ask(&request, &mut |_, _| Ok(()))?.features.unwrap_or_default())
    }
}

/// What a CRIU is started from.
pub struct Start<'a> {
    /// Its program.
    pub program: &'a Program,
    /// Init's program, which becomes it.
    pub init: &'a OwnedFd,
    /// How (`compile::criu`).
    pub plan: &'a Finished,
    /// Directory of the cgroup v2 that it is born in.
    pub cgroup: Option<std::os::fd::BorrowedFd<'a>>,
    /// CLONE_NEW*.
    pub flags: u64,
    /// What the plan preloads behind conversation and program.
    pub opened: &'a [OwnedFd],
}

/// A CRIU that waits for a request. Dropped, its conversation ends and so does it.
pub struct Criu {
    child: Child,
    socket: Option<OwnedFd>,
    ended: bool,
    /// Directories of its plan, as it sees them.
    pub directories: Vec<OwnedFd>,
}

/// What is done about a notification, before CRIU goes on.
pub type Notified<'a> = dyn FnMut(&Notify, Vec<OwnedFd>) -> Result<()> + 'a;

impl Criu {
    /// Start it with the environment and the standard descriptors of this process.
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

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    fn socket(&self) -> Result<&OwnedFd> {
        self.socket.as_ref().ok_or_else(|| Error::new("criu: the conversation is over"))
    }

    /// Ask for something, answer its notifications, and give its response.
    ///
    /// A notification that cannot be answered well makes CRIU undo what it has done; the error is
    /// that of the notification then.
    pub fn ask(&self, request: &RpcRequest, notified: &mut Notified<'_>) -> Result<RpcResponse> {
        self.tell(request)?;
        let mut broken = None;
        let mut bytes = vec![0; LARGEST];
        loop {
            let received = message::receive(self.socket()?, &mut bytes, true)
                .map_err(|e| Error::io("criu", "recvmsg", &e))?;
            if received.length == 0 || received.truncated {
                return Err(broken.unwrap_or_else(|| self.silent()));
            }
            let response = RpcResponse::decode(&bytes[..received.length])
                .map_err(|e| Error::new(format!("criu: an answer that is none: {e}")))?;
            if response.kind == kind::NOTIFY {
                let notify = response.notify.unwrap_or_default();
                let result = match broken {
                    None => notified(&notify, received.descriptors),
                    // It is undoing what it did.
                    Some(_) => Ok(()),
                };
                let well = result.is_ok() && broken.is_none();
                broken = broken.or(result.err());
                let (kind, notify_success) = (kind::NOTIFY, Some(well));
                self.tell(&RpcRequest { kind, notify_success, ..RpcRequest::default() })?;
                continue;
            }
            return match (broken, response.success) {
                (Some(error), _) => Err(error),
                (None, true) => Ok(response),
                (None, false) => Err(refused(&response)),
            };
        }
    }

    /// Why there is no answer.
    fn silent(&self) -> Error {
        let gone = process::wait_gone(&self.child.pidfd, PATIENCE_MS);
        let exit = gone.and_then(|()| process::wait(&self.child.pidfd, true));
        let how = exit.ok().flatten().map_or_else(|| "it hangs".to_owned(), ending);
        Error::new(format!("criu: no answer: {how}"))
    }

    fn tell(&self, request: &RpcRequest) -> Result<()> {
        message::send(self.socket()?, &request.encode_to_vec(), None)
            .map_err(|e| Error::io("criu", "sendmsg", &e))
    }

    /// Say nothing more, and wait for its end: what it was asked for is done only then.
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
        // It lets processes go on that it has stopped: never killed, unless it hangs.
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
    // What it says itself is the first error that it met, and seldom the one that matters.
    match response.cr_errno.filter(|errno| *errno > 0) {
        Some(errno) => Error::new(format!("criu: {what} failed: {}", ErrnoName(errno))),
        None => Error::new(format!("criu: {what} failed")),
    }
}

/// What dump and restore ask for alike.
pub fn common(log: &str) -> RpcOptions {
    RpcOptions {
        log_level: Some(4),
        log_file: Some(log.to_owned()),
        notify_scripts: Some(true),
        orphan_pts_master: Some(true),
        ..RpcOptions::default()
    }
}

/// A descriptor of ours, as CRIU finds it: by our pid and this number.
pub fn number(fd: &impl AsRawFd) -> i32 {
    fd.as_raw_fd()
}

/// Which file has settings that are nobody's command line's; CRIU does not mind if it is missing.
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
