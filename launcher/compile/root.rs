//! Resolving targets inside the rootfs, and making what is missing there.
//!
//! Every path is resolved once, by openat2 with RESOLVE_IN_ROOT, into a descriptor; what is made is
//! made below a descriptor, one component at a time (CVE-2019-18837, CVE-2021-30465,
//! CVE-2024-45310). Knows nothing of what is mounted there.

use std::ffi::CString;

use tiny_ce_init::flags::{Device, Mode, OpenFlags, OpenHow, Resolve};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use crate::error::Result;
use crate::plan::{Plan, c_string};
use crate::spec::paths::components;

/// What a target has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A directory, made with mode 0755 if missing.
    Directory,
    /// Anything that is not a directory; an empty regular file is made if missing.
    File,
}

/// How the last component may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Symbolic links are followed, inside the root.
    Follow,
    /// There must be none (CVE-2019-19921, CVE-2023-27561).
    Refuse,
    /// As `Follow`, but one that is the last component is meant itself.
    Keep,
}

impl Links {
    /// How openat2 walks a path from the root.
    pub fn resolve(self) -> Resolve {
        match self {
            Links::Follow | Links::Keep => {
                Resolve::RESOLVE_IN_ROOT | Resolve::RESOLVE_NO_MAGICLINKS
            }
            Links::Refuse => Resolve::RESOLVE_IN_ROOT | Resolve::RESOLVE_NO_SYMLINKS,
        }
    }

    /// How openat2 takes a whole path: for a descriptor that only names.
    pub fn whole(self, wanted: Wanted) -> OpenHow {
        let kind = match (self, wanted) {
            (Links::Keep, _) => OpenFlags::O_NOFOLLOW,
            (_, Wanted::Directory) => OpenFlags::O_DIRECTORY,
            (_, Wanted::File) => OpenFlags(0),
        };
        path_only(kind, self.resolve())
    }
}

/// How one component below a directory is reached: no link, no way out.
pub const BELOW: Resolve = Resolve(Resolve::RESOLVE_BENEATH.0 | Resolve::RESOLVE_NO_SYMLINKS.0);

/// A path of the host's: resolved as anybody's.
pub const HOST: Resolve = Resolve(0);

/// Below a procfs that is known to be ours (CVE-2025-52881).
pub const OWN_PROC: Resolve = Resolve(
    Resolve::RESOLVE_BENEATH.0
        | Resolve::RESOLVE_NO_XDEV.0
        | Resolve::RESOLVE_NO_MAGICLINKS.0
        | Resolve::RESOLVE_NO_SYMLINKS.0,
);

/// openat2 for a descriptor that only names: no permission, no side effect.
pub fn path_only(extra: OpenFlags, resolve: Resolve) -> OpenHow {
    let flags = OpenFlags::O_PATH | OpenFlags::O_CLOEXEC | extra;
    OpenHow { flags, mode: 0, resolve }
}

/// The whole path, relative to the root.
pub fn relative(path: &str) -> Result<CString> {
    let parts = components(path);
    prefix(&parts, parts.len())
}

/// The first `n` components as a path relative to the root.
fn prefix(parts: &[&str], n: usize) -> Result<CString> {
    if n == 0 { Ok(c".".to_owned()) } else { c_string(&parts[..n].join("/")) }
}

/// A path inside the root.
#[derive(Debug, Clone, Copy)]
pub struct Inside<'a> {
    /// As it was given.
    pub path: &'a str,
    /// Where it leads as long as it does not exist, if that is another place; see `host::view`.
    pub leads_to: Option<&'a str>,
}

impl<'a> From<&'a str> for Inside<'a> {
    fn from(path: &'a str) -> Self {
        Inside { path, leads_to: None }
    }
}

/// Steps that leave a descriptor of `to` inside `root` in a slot, making what is missing.
///
/// What exists costs one step; what does not costs two for each component. What is made is opened
/// by the place where it was made: a link that leads elsewhere by then leads nowhere.
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
    // A `..` takes a file away as it does what is missing: for runc it is nothing but text.
    let up = components(to.path).contains(&"..");
    let missing = if up { Unless::ENOENT.or(Unless::ENOTDIR) } else { Unless::ENOENT };
    plan.step_unless(missing, open);
    make(plan, root, &parts, wanted, links, into)?;
    Ok(into)
}

/// The steps of `target` for a path that was not there.
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

/// An empty file, by mknodat: it neither follows a link nor opens what it makes.
pub fn make_file(at: Slot, path: &std::ffi::CStr) -> Op<'_> {
    Op::Mknodat { at, path, mode: Mode(0o100_644), dev: Device(0) }
}
