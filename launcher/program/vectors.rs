//! argv and envp of a program, which init is started with already; and its HOME, if nobody says it,
//! by the /etc/passwd that the program will see.
//!
//! Knows where mounts and masks put another file in its place; must not know how they are made.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::c_string;
use crate::spec::{Mount, Process, Spec};
use crate::sys::file;

/// A file below a root, both as they are seen from here; none, if the program will see none.
pub type Seen = Option<(PathBuf, PathBuf)>;

const PASSWD: &str = "/etc/passwd";

/// The /etc/passwd of a living container's process.
pub fn passwd_of(pid: i32) -> Seen {
    file_of(pid, PASSWD)
}

/// A file, by its absolute path in there, of a living container's process.
pub fn file_of(pid: i32, file: &str) -> Seen {
    Some((PathBuf::from(format!("/proc/{pid}/root")), below_root(file)))
}

/// The /etc/passwd of a container whose mounts are yet to be made.
pub fn passwd_to_be(spec: &Spec, host: &Host) -> Seen {
    let mounts = spec.mounts.iter().enumerate().map(|(index, mount)| {
        let place = host.destination(index).unwrap_or(&mount.destination);
        (place, mount, host.source(index).map(|source| source.path.as_str()))
    });
    let masked = spec.linux.as_ref().map_or(&[][..], |linux| &linux.masked_paths);
    file_to_be(PASSWD, Path::new(&host.rootfs), mounts, masked)
}

/// A file, by its absolute path, of a container whose mounts are yet to be made, each with the
/// place where it will be and the source of a bind: the last one that covers the file counts, and
/// what is masked is gone.
pub fn file_to_be<'a>(
    file: &str,
    rootfs: &Path,
    mounts: impl Iterator<Item = (&'a str, &'a Mount, Option<&'a str>)>,
    masked: &[String],
) -> Seen {
    let mut found = Some((rootfs.to_owned(), below_root(file)));
    for (place, mount, source) in mounts {
        // Names only: a link on the way to it is the image's own affair.
        let place = Path::new("/").join(place);
        let Ok(below) = Path::new(file).strip_prefix(&place) else { continue };
        found = match source {
            _ if mount.options.remount => found,
            // Without the link's target, a link is nowhere.
            Some(source) => std::fs::canonicalize(source).ok().and_then(|source| {
                if below.as_os_str().is_empty() {
                    return Some((source.parent()?.to_owned(), source.file_name()?.into()));
                }
                Some((source, below.to_owned()))
            }),
            None if mount.options.copy_up => found,
            None => None,
        };
    }
    let covers = |path: &String| Path::new(file).starts_with(path);
    if masked.iter().any(covers) { None } else { found }
}

fn below_root(file: &str) -> PathBuf {
    PathBuf::from(file.trim_start_matches('/'))
}

/// argv and envp of the program.
pub fn vectors(process: Option<&Process>, passwd: &Seen) -> Result<(Vec<CString>, Vec<CString>)> {
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
    // An empty one is none, as runc has it.
    envp.retain(|entry| *entry != "HOME=");
    let has_home = envp.iter().any(|entry| entry.starts_with("HOME="));
    let mut envp = envp.into_iter().map(|entry| c_string(entry)).collect::<Result<Vec<_>>>()?;
    if !has_home {
        let uid = process.user().uid;
        envp.push(c_string(&format!("HOME={}", home(uid, passwd)?))?);
    }
    Ok((argv, envp))
}

/// What to say where init could not be made with these vectors: `place` is to blame, unless one of
/// its strings, or all of them, are too long for execve(2).
pub fn failed(
    process: Option<&Process>,
    place: &str,
    call: &'static str,
    error: &std::io::Error,
) -> Error {
    /// Pages in the longest string, its NUL included: MAX_ARG_STRLEN of linux/binfmts.h.
    const PAGES: usize = 32;
    let Some(process) = process.filter(|_| error.raw_os_error() == Some(libc::E2BIG)) else {
        return Error::io(place, call, error);
    };
    let most = PAGES * crate::sys::process::page_size() - 1;
    for (field, strings) in [("process.args", &process.args), ("process.env", &process.env)] {
        if let Some(index) = strings.iter().position(|text| text.len() > most) {
            let place = format!("{field}[{index}]");
            let hint = format!("it has {} bytes; at most {most}", strings[index].len());
            return Error::io(place, call, error).hint(hint);
        }
    }
    Error::io("process.args, process.env", call, error)
}

/// Home directory of a user; `/` if it is not there.
fn home(uid: u32, passwd: &Seen) -> Result<String> {
    let text = read(passwd)?;
    let home = text.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let found = fields.next()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| found && home.starts_with('/')).map(str::to_owned)
    });
    Ok(home.unwrap_or_else(|| "/".to_owned()))
}

/// The text of a file; empty if there is none. What the image has in its place is its own affair;
/// what the kernel cannot do now is told.
pub fn read(seen: &Seen) -> Result<String> {
    let read = |(root, path): &(PathBuf, PathBuf)| match file::open_path(root)
        .and_then(|root| file::read_in_root(&root, path, 1 << 20))
    {
        Err(e) if e.raw_os_error().is_some_and(|errno| !NO_FILE.contains(&errno)) => {
            Err(Error::io(root.join(path).display(), "openat2", &e))
        }
        bytes => Ok(bytes.unwrap_or_default()),
    };
    let bytes = seen.as_ref().map(read).transpose()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What opening and reading says where there is no such file, or another thing of that name.
const NO_FILE: [i32; 9] = [
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
