//! A container's program: check that it exists, and find its argv, its envp and its user.
//!
//! Reads the container's own files, as init sees them. Must not know how the mounts are made.

mod interpreter;
pub mod users;
pub mod vectors;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::compile::identity::candidates;
use crate::errno::ErrnoName;
use crate::error::{Error, Result};
use crate::spec::Process;
use crate::sys::file;

/// Look `process.args[0]` up below the root of process `pid`, so that `create` fails with the texts
/// that podman and dockerd match on.
///
/// # Errors
/// The program is not found, may not be executed, or its interpreter or loader is missing.
pub fn check(process: Option<&Process>, pid: i32) -> Result<()> {
    let Some(process) = process else { return Ok(()) };
    let Some(name) = process.args.first() else { return Ok(()) };
    let root = match file::open_path(Path::new(&format!("/proc/{pid}/root"))) {
        Ok(root) => root,
        // An unprivileged caller may not open the root of init; execve(2) will report the error.
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => return Ok(()),
        Err(e) => return Err(Error::io("process.args[0]", "openat2", &e)),
    };
    let (mut refused, mut missing) = (None, None);
    for candidate in candidates(process) {
        let path = if candidate.starts_with('/') {
            candidate.clone()
        } else {
            format!("{}/{candidate}", process.cwd)
        };
        match look(&root, &path) {
            Ok(()) => match needed(&root, &path, &process.cwd) {
                None => return Ok(()),
                Some(error) => missing = Some(error),
            },
            Err(why) if why.starts_with("stat") && !name.contains('/') => {}
            Err(why) => refused = Some(why),
        }
    }
    if let Some((why, hint)) = missing {
        let error = Error::new(format!("process.args[0]: exec: {name:?}: {why}"));
        return Err(error.hint(hint));
    }
    let why = refused.unwrap_or_else(|| "executable file not found in $PATH".to_owned());
    let error = Error::new(format!("process.args[0]: exec: {name:?}: {why}"));
    Err(if name.contains('/') {
        error.hint("the path is that inside the container, below root.path and its mounts")
    } else {
        error.hint("PATH is looked up in process.env; give the absolute path, or set PATH there")
    })
}

/// How many interpreters of interpreters are checked: the kernel also limits the chain (execve(2),
/// ELOOP).
const DEEPEST: usize = 5;

/// Return what is wrong with the interpreter or loader of the program, and a hint; `None` if it can
/// be executed.
fn needed(root: &OwnedFd, path: &str, cwd: &str) -> Option<(String, &'static str)> {
    let mut path = path.to_owned();
    for _ in 0..DEEPEST {
        // A file that we cannot read may still be executable.
        let head = file::read_in_root(root, Path::new(&path), interpreter::HEAD).ok()?;
        let needs = interpreter::of(&head)?;
        let next = match needs.path().starts_with('/') {
            true => needs.path().to_owned(),
            false => format!("{cwd}/{}", needs.path()),
        };
        if let Err(why) = look(root, &next) {
            let why = why.strip_prefix(&format!("stat {next}: ")).unwrap_or(&why).to_owned();
            let text = format!("its {} {:?}: {why}", needs.word(), needs.path());
            return Some((text, needs.hint()));
        }
        path = next;
    }
    None
}

fn look(root: &impl AsFd, path: &str) -> std::result::Result<(), String> {
    let opened = file::open_beneath(root, Path::new(path)).map_err(|e| {
        let words = match e.raw_os_error() {
            Some(libc::EACCES) => return "permission denied".to_owned(),
            Some(libc::ENOENT) => "no such file or directory".to_owned(),
            Some(libc::ENOTDIR) => "not a directory".to_owned(),
            Some(libc::ELOOP) => "too many levels of symbolic links".to_owned(),
            Some(errno) => ErrnoName(errno).to_string(),
            None => e.to_string(),
        };
        format!("stat {path}: {words}")
    })?;
    let mode = file::mode(&opened).map_err(|e| e.to_string())?;
    match mode & libc::S_IFMT {
        // execve(2) fails with EACCES too, and Docker 20.10 needs this text for exit status 126.
        libc::S_IFDIR => Err("permission denied: is a directory".to_owned()),
        libc::S_IFREG if mode & 0o111 != 0 => Ok(()),
        _ => Err("permission denied".to_owned()),
    }
}
