//! Resolve targets inside the rootfs, and make the components that are missing.
//!
//! openat2 with RESOLVE_IN_ROOT resolves a path to a descriptor; a missing component is made below
//! the descriptor of its parent, one at a time (CVE-2019-18837, CVE-2021-30465, CVE-2024-45310).
//! This module does not know what is mounted on a target.

use std::ffi::CString;

use tiny_ce_init::flags::{Device, Mode, OpenFlags, OpenHow, Resolve};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use crate::error::Result;
use crate::plan::{Plan, c_string};
use crate::spec::paths::components;

/// The type that a target has to be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A directory, made with mode 0755 if missing.
    Directory,
    /// Anything that is not a directory; an empty regular file is made if missing.
    File,
}

/// How symbolic links in a path are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Symbolic links are followed, inside the root.
    Follow,
    /// The path may not contain a symbolic link (CVE-2019-19921, CVE-2023-27561).
    Refuse,
    /// As `Follow`, but if the last component is a link, the target is the link itself.
    Keep,
}

impl Links {
    /// The flags with which openat2 resolves a path from the root.
    pub fn resolve(self) -> Resolve {
        match self {
            Links::Follow | Links::Keep => {
                Resolve::RESOLVE_IN_ROOT | Resolve::RESOLVE_NO_MAGICLINKS
            }
            Links::Refuse => Resolve::RESOLVE_IN_ROOT | Resolve::RESOLVE_NO_SYMLINKS,
        }
    }

    /// The arguments with which openat2 opens a whole path with O_PATH.
    pub fn whole(self, wanted: Wanted) -> OpenHow {
        let kind = match (self, wanted) {
            (Links::Keep, _) => OpenFlags::O_NOFOLLOW,
            (_, Wanted::Directory) => OpenFlags::O_DIRECTORY,
            (_, Wanted::File) => OpenFlags(0),
        };
        path_only(kind, self.resolve())
    }
}

/// Resolve below a directory: follow no link, and never leave the directory.
pub const BELOW: Resolve = Resolve(Resolve::RESOLVE_BENEATH.0 | Resolve::RESOLVE_NO_SYMLINKS.0);

/// Resolve a path of the host without restrictions.
pub const HOST: Resolve = Resolve(0);

/// Resolve below a procfs that init has made itself (CVE-2025-52881).
pub const OWN_PROC: Resolve = Resolve(
    Resolve::RESOLVE_BENEATH.0
        | Resolve::RESOLVE_NO_XDEV.0
        | Resolve::RESOLVE_NO_MAGICLINKS.0
        | Resolve::RESOLVE_NO_SYMLINKS.0,
);

/// The arguments of openat2 with O_PATH, which needs no permission on the file and has no side
/// effect.
pub fn path_only(extra: OpenFlags, resolve: Resolve) -> OpenHow {
    let flags = OpenFlags::O_PATH | OpenFlags::O_CLOEXEC | extra;
    OpenHow { flags, mode: 0, resolve }
}

/// Return the whole path, relative to the root.
///
/// # Errors
/// The path contains NUL.
pub fn relative(path: &str) -> Result<CString> {
    let parts = components(path);
    prefix(&parts, parts.len())
}

/// Return the first `n` components as a path relative to the root.
fn prefix(parts: &[&str], n: usize) -> Result<CString> {
    if n == 0 { Ok(c".".to_owned()) } else { c_string(&parts[..n].join("/")) }
}

/// A path inside the root.
#[derive(Debug, Clone, Copy)]
pub struct Inside<'a> {
    /// The path as the config gives it.
    pub path: &'a str,
    /// Where links of the image lead it, if that is another place; see `host::view`. If the target
    /// does not exist, it is made there.
    pub leads_to: Option<&'a str>,
}

impl<'a> From<&'a str> for Inside<'a> {
    fn from(path: &'a str) -> Self {
        Inside { path, leads_to: None }
    }
}

/// Open `to` inside `root` into a slot, and make its missing components.
///
/// A target that exists costs one system call; otherwise each component costs up to three more. A
/// new target is opened by the place where it was made, not by the given path: a link of that path
/// that changes meanwhile has no effect.
///
/// # Errors
/// The plan has no free slot, or the path contains NUL.
pub fn target<'a>(
    plan: &mut Plan,
    root: Slot,
    to: impl Into<Inside<'a>>,
    wanted: Wanted,
    links: Links,
) -> Result<Slot> {
    let to: Inside<'_> = to.into();
    let whole = relative(to.path)?;
    let into = plan.slot()?;
    let open = Op::Openat2 { into, at: root, path: &whole, how: links.whole(wanted) };
    let parts = components(to.leads_to.unwrap_or(to.path));
    if parts.is_empty() {
        plan.step(open);
        return Ok(into);
    }
    // runc removes `file/..` from the path's text, so a component before `..` may be a file, for
    // which openat2 fails with ENOTDIR.
    let up = components(to.path).contains(&"..");
    let missing = if up { Unless::ENOENT.or(Unless::ENOTDIR) } else { Unless::ENOENT };
    plan.step_unless(missing, open);
    make(plan, root, &parts, wanted, links, into)?;
    Ok(into)
}

/// The steps of `target` for a path that does not exist: each is skipped if `into` is filled.
fn make(
    plan: &mut Plan,
    root: Slot,
    parts: &[&str],
    wanted: Wanted,
    links: Links,
    into: Slot,
) -> Result<()> {
    let absent = |plan: &mut Plan, unless: Unless, op: Op<'_>| {
        plan.push(Step { guard: Guard::Absent(into), unless, op });
    };
    let parent = plan.slot()?;
    for depth in 1..=parts.len() {
        let last = depth == parts.len();
        let component = c_string(parts[depth - 1])?;
        let at = if depth == 1 { root } else { parent };
        let mode = Mode(0o755);
        match wanted {
            Wanted::File if last => absent(plan, Unless::EEXIST, make_file(at, &component)),
            _ => absent(plan, Unless::EEXIST, Op::Mkdirat { at, path: &component, mode }),
        }
        if depth > 1 {
            absent(plan, Unless::NOTHING, Op::Close { fd: parent });
        }
        if !last {
            let path = prefix(parts, depth)?;
            let how = path_only(OpenFlags::O_DIRECTORY, links.resolve());
            absent(plan, Unless::NOTHING, Op::Openat2 { into: parent, at: root, path: &path, how });
        }
    }
    let path = prefix(parts, parts.len())?;
    let how = links.whole(wanted);
    absent(plan, Unless::NOTHING, Op::Openat2 { into, at: root, path: &path, how });
    plan.free(parent);
    Ok(())
}

/// Make an empty file by mknodat(2), which neither follows a link nor opens the file.
pub fn make_file(at: Slot, path: &std::ffi::CStr) -> Op<'_> {
    Op::Mknodat { at, path, mode: Mode(0o100_644), dev: Device(0) }
}
