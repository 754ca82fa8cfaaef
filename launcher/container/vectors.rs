//! argv and envp of a program, which init is started with already; and its HOME, if nobody says it,
//! by the /etc/passwd that the program will see.
//!
//! Knows where mounts and masks put another file in its place; must not know how they are made.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use super::prepare::Prepared;
use crate::error::{Error, Result};
use crate::plan::c_string;
use crate::spec::Process;
use crate::sys::file;

/// A file below a root, both as they are seen from here; none, if the program will see none.
pub type Passwd = Option<(PathBuf, PathBuf)>;

/// The /etc/passwd of a living container's process.
pub fn passwd_of(pid: i32) -> Passwd {
    Some((PathBuf::from(format!("/proc/{pid}/root")), PathBuf::from("etc/passwd")))
}

/// The /etc/passwd of a container whose mounts are yet to be made: the last mount that covers it
/// counts, and what is masked is gone.
pub fn passwd_to_be(prepared: &Prepared, rootfs: &Path) -> Passwd {
    const FILE: &str = "/etc/passwd";
    let mut found = Some((rootfs.to_owned(), PathBuf::from("etc/passwd")));
    for (index, mount) in prepared.spec.mounts.iter().enumerate() {
        // Names only: a link on the way to it is the image's own affair.
        let place =
            Path::new("/").join(prepared.host.destination(index).unwrap_or(&mount.destination));
        let source = prepared.host.source(index);
        let Ok(below) = Path::new(FILE).strip_prefix(&place) else { continue };
        let has = |option: &str| mount.options.iter().any(|word| word == option);
        found = match source {
            _ if has("remount") => found,
            // Without the link's target, a link is nowhere.
            Some(source) => std::fs::canonicalize(&source.path).ok().and_then(|source| {
                if below.as_os_str().is_empty() {
                    return Some((source.parent()?.to_owned(), source.file_name()?.into()));
                }
                Some((source, below.to_owned()))
            }),
            None if has("tmpcopyup") => found,
            None => None,
        };
    }
    let masked = prepared.spec.linux.iter().flat_map(|linux| &linux.masked_paths);
    let covers = |path: &String| Path::new(FILE).starts_with(path);
    if masked.into_iter().any(covers) { None } else { found }
}

/// argv and envp of the program.
pub fn vectors(process: Option<&Process>, passwd: &Passwd) -> Result<(Vec<CString>, Vec<CString>)> {
    let Some(process) = process else {
        return Ok((vec![c"tiny-ce".to_owned()], Vec::new()));
    };
    let argv = process.args.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>>>()?;
    let mut names = std::collections::BTreeSet::new();
    // The last of several wins, in its place.
    let mut envp: Vec<&String> = process
        .env
        .iter()
        .rev()
        .filter(|entry| names.insert(entry.split('=').next().unwrap_or_default()))
        .collect();
    envp.reverse();
    let mut envp = envp.into_iter().map(|entry| c_string(entry)).collect::<Result<Vec<_>>>()?;
    if !names.contains("HOME") {
        let uid = process.user.as_ref().map_or(0, |user| user.uid);
        envp.push(c_string(&format!("HOME={}", home(uid, passwd)?))?);
    }
    Ok((argv, envp))
}

/// Home directory of a user; `/` if it is not there.
///
/// What the image has in its place is its own affair; what the kernel cannot do now is told.
fn home(uid: u32, passwd: &Passwd) -> Result<String> {
    let read = |(root, path): &(PathBuf, PathBuf)| match file::open_path(root)
        .and_then(|root| file::read_in_root(&root, path, 1 << 20))
    {
        Err(e) if e.raw_os_error().is_some_and(|errno| !NO_PASSWD.contains(&errno)) => {
            Err(Error::io(root.join(path).display(), "openat2", &e))
        }
        bytes => Ok(bytes.unwrap_or_default()),
    };
    let bytes = passwd.as_ref().map(read).transpose()?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let home = text.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let found = fields.next()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| found && home.starts_with('/')).map(str::to_owned)
    });
    Ok(home.unwrap_or_else(|| "/".to_owned()))
}

/// What opening and reading says where there is no such file, or another thing of that name.
const NO_PASSWD: [i32; 9] = [
    libc::ENOENT,
    libc::ENOTDIR,
    libc::ELOOP,
    libc::EACCES,
    libc::EPERM,
    libc::EISDIR,
    libc::ENXIO,
    libc::EXDEV,
    libc::EAGAIN,
];
