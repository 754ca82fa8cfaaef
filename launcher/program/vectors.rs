//! argv and envp of a program, with which init is already started. If HOME is not given, it comes
//! from the /etc/passwd that the program will see.
//!
//! Knows which mounts and masks cover that file; must not know how they are made.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::plan::c_string;
use crate::spec::{Mount, Process, Spec};
use crate::sys::file;

/// A root directory and a path below it, in the launcher's mount namespace; `None` if the program
/// will not see the file.
pub type Seen = Option<(PathBuf, PathBuf)>;

const PASSWD: &str = "/etc/passwd";

/// Return the /etc/passwd of a running container's process.
pub fn passwd_of(pid: i32) -> Seen {
    file_of(pid, PASSWD)
}

/// Return a file of a running container's process, by its absolute path in the container.
pub fn file_of(pid: i32, file: &str) -> Seen {
    Some((PathBuf::from(format!("/proc/{pid}/root")), below_root(file)))
}

/// Return the /etc/passwd of a container whose mounts are not made yet.
pub fn passwd_to_be(spec: &Spec, host: &Host) -> Seen {
    let mounts = spec.mounts.iter().enumerate().map(|(index, mount)| {
        let place = host.destination(index).unwrap_or(&mount.destination);
        (place, mount, host.source(index).map(|source| source.path.as_str()))
    });
    let masked = spec.linux.as_ref().map_or(&[][..], |linux| &linux.masked_paths);
    file_to_be(PASSWD, Path::new(&host.rootfs), mounts, masked)
}

/// Return a file, by its absolute path, of a container whose mounts are not made yet. `mounts` has
/// for each mount its place and the source of a bind. The last mount that covers the file counts,
/// and a masked file is not seen.
pub fn file_to_be<'a>(
    file: &str,
    rootfs: &Path,
    mounts: impl Iterator<Item = (&'a str, &'a Mount, Option<&'a str>)>,
    masked: &[String],
) -> Seen {
    let mut found = Some((rootfs.to_owned(), below_root(file)));
    for (place, mount, source) in mounts {
        // Compare names only; symbolic links in the image are not followed here.
        let place = Path::new("/").join(place);
        let Ok(below) = Path::new(file).strip_prefix(&place) else { continue };
        found = match source {
            _ if mount.options.remount => found,
            // Resolve a source that is a symbolic link: the path that is returned may not contain
            // the link's target.
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

/// Return argv and envp of the program.
///
/// # Errors
/// A string contains NUL, or the passwd file cannot be read.
pub fn vectors(process: Option<&Process>, passwd: &Seen) -> Result<(Vec<CString>, Vec<CString>)> {
    let Some(process) = process else {
        return Ok((vec![c"tiny-ce".to_owned()], Vec::new()));
    };
    let argv = process.args.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>>>()?;
    let mut names = std::collections::BTreeSet::new();
    // Of several entries with one name, keep the last one at its position.
    let mut envp: Vec<&String> = process
        .env
        .iter()
        .rev()
        .filter(|entry| names.insert(entry.split('=').next().unwrap_or_default()))
        .collect();
    envp.reverse();
    // As in runc, an empty HOME counts as not given.
    envp.retain(|entry| *entry != "HOME=");
    let has_home = envp.iter().any(|entry| entry.starts_with("HOME="));
    let mut envp = envp.into_iter().map(|entry| c_string(entry)).collect::<Result<Vec<_>>>()?;
    if !has_home {
        let uid = process.user().uid;
        envp.push(c_string(&format!("HOME={}", home(uid, passwd)?))?);
    }
    Ok((argv, envp))
}

/// Return the error for an init that could not be started with these vectors. It names `place`,
/// unless E2BIG says that one string, or all strings together, are too long for execve(2).
pub fn failed(
    process: Option<&Process>,
    place: &str,
    call: &'static str,
    error: &std::io::Error,
) -> Error {
    /// The pages that the longest string may have, with its NUL: MAX_ARG_STRLEN of linux/binfmts.h.
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

/// Return the home directory of a user; `/` if the file has no line for the user.
fn home(uid: u32, passwd: &Seen) -> Result<String> {
    let text = read(passwd)?;
    let home = text.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let found = fields.next()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| found && home.starts_with('/')).map(str::to_owned)
    });
    Ok(home.unwrap_or_else(|| "/".to_owned()))
}

/// Read a file; return an empty text if the image has no such file, or something else in its place.
///
/// # Errors
/// The file is there and the kernel cannot read it.
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

/// The errnos of opening and reading if there is no such file, or it is not a regular file that we
/// may read.
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
