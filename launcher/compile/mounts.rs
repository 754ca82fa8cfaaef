//! Compile `mounts`: init makes each mount detached, sets its attributes, and only then attaches it
//! to the descriptor of its target. (A read-only tmpfs is writable until its mount points are
//! made.)
//!
//! This module knows the kinds of mounts; `targets` attaches them, and `root` resolves paths.

use tiny_ce_init::flags::{
    AtFlags, FsmountFlags, FsopenFlags, FspickFlags, Magic, MountAttr, MountAttrs, OpenFlags,
    OpenHow, OpenTreeFlags, Propagation, Report,
};
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use super::parameters::{self, Parameters};
use super::root::{self, Links, Wanted};
use super::targets::{attach, attach_at, attach_to, covered, links, place, target};
use crate::error::Result;
use crate::host::{Host, Link, Source};
use crate::plan::{EMPTY, Plan, Preload, c_string};
use crate::spec::options::Attrs;
use crate::spec::paths::lexical;
use crate::spec::{Mount, MountOptions, NamespaceKind, Spec};

/// Set attributes and propagation of a tree, if any are given.
pub fn set(plan: &mut Plan, tree: Slot, attrs: Attrs, propagation: Propagation, recursive: bool) {
    if attrs.is_empty() && propagation == Propagation(0) {
        return;
    }
    let mut flags = AtFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= AtFlags::AT_RECURSIVE;
    }
    let attr = MountAttr { attr_set: attrs.set, attr_clr: attrs.clear, propagation, userns_fd: 0 };
    plan.step(Op::MountSetattr { at: tree, path: EMPTY, flags, attr });
}

/// Make a detached mount of a new file system: fsopen, parameters, fsmount.
///
/// # Errors
/// The plan has no free slot, or a parameter contains NUL or is too long for fsconfig(2).
pub fn make(
    plan: &mut Plan,
    fsname: &str,
    source: Option<&str>,
    parameters: &Parameters<'_>,
    attrs: MountAttrs,
) -> Result<Slot> {
    let fs = plan.slot()?;
    let fsname = c_string(fsname)?;
    plan.step(Op::Fsopen { into: fs, fsname: &fsname, flags: FsopenFlags::FSOPEN_CLOEXEC });
    if let Some(source) = source.filter(|source| !source.is_empty()) {
        parameters::one(plan, fs, "source", Some(source))?;
    }
    parameters::all(plan, fs, parameters)?;
    plan.step(Op::FsconfigCreate { fs });
    let into = plan.slot()?;
    plan.step(Op::Fsmount { into, fs, flags: FsmountFlags::FSMOUNT_CLOEXEC, attr: attrs });
    plan.close(fs);
    Ok(into)
}

/// Clone the mount at a path of the host, or a bind of the path.
///
/// # Errors
/// The plan has no free slot, or the path contains NUL.
pub fn clone(plan: &mut Plan, path: &str, recursive: bool, nofollow: bool) -> Result<Slot> {
    let into = plan.slot()?;
    let path = c_string(path)?;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if nofollow {
        flags |= OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    }
    plan.step(Op::OpenTree { into, at: Slot::CWD, path: &path, flags });
    Ok(into)
}

/// Clone the file or directory of a descriptor on an attached mount.
///
/// # Errors
/// The plan has no free slot.
pub fn clone_fd(plan: &mut Plan, fd: Slot, recursive: bool) -> Result<Slot> {
    let into = plan.slot()?;
    plan.step(clone_fd_op(into, fd, recursive));
    Ok(into)
}

/// The operation of `clone_fd`.
pub fn clone_fd_op(into: Slot, fd: Slot, recursive: bool) -> Op<'static> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Op::OpenTree { into, at: fd, path: EMPTY, flags }
}

/// The steps for mounts that come after all mounts and nodes are made.
#[derive(Default)]
pub struct Deferred {
    /// Trees that stay open until then, and the attributes that they get.
    trees: Vec<(String, Slot, MountAttrs)>,
}

impl Deferred {
    /// Set the attributes of the trees, and close them.
    pub fn finish(self, plan: &mut Plan) {
        for (origin, tree, attrs) in self.trees {
            plan.origin(origin);
            set(plan, tree, Attrs { set: attrs, ..Attrs::default() }, Propagation(0), false);
            plan.close(tree);
        }
    }
}

/// The input for compiling a mount.
pub struct Context<'a> {
    /// The whole config.
    pub spec: &'a Spec,
    /// Facts about the host.
    pub host: &'a Host,
    /// The root of the container.
    pub root: Slot,
    /// Trees that have been cloned already, by index in `mounts`.
    pub trees: &'a [Option<Slot>],
    /// The root of the tmpfs on `/dev`, while no later mount covers it: init has made the tmpfs
    /// empty, so it has no file and no link that an earlier step has not made.
    pub dev: Option<Slot>,
}

/// Whether a bind stays a peer of its source on the host. Its options have to ask for `shared`, and
/// `rootfsPropagation` has to allow it (`shares`). With a user namespace a bind is never a peer:
/// the kernel makes the mounts that it copies slaves (mount_namespaces(7)), since otherwise the
/// root of the container could mount on the host.
fn is_peer(spec: &Spec, options: &MountOptions) -> bool {
    let shared = options.propagation.last().is_some_and(|it| it.0 == Propagation::MS_SHARED);
    shared && super::shares(spec) && spec.namespace(NamespaceKind::User).is_none()
}

/// Clone binds while init sees the host's mounts: `all` of them if the mount namespace begins
/// without these; otherwise those that are to be peers of the host's mounts, since `rootfs` makes
/// the mounts of init's namespace slaves of the host's.
///
/// # Errors
/// The plan has no free slot, or the path of a source contains NUL.
pub fn ahead(
    plan: &mut Plan,
    spec: &Spec,
    host: &Host,
    all: bool,
    trees: &mut [Option<Slot>],
) -> Result<()> {
    for (index, (mount, tree)) in spec.mounts.iter().zip(trees).enumerate() {
        let options = &mount.options;
        let Some(source) = host.source(index).filter(|source| !source.made) else { continue };
        if source.link.is_none() && tree.is_none() && (all || is_peer(spec, options)) {
            plan.origin(mount.origin(index));
            let recursive = options.bind == Some(true);
            *tree = Some(clone(plan, &source.path, recursive, options.source_nofollow)?);
        }
    }
    Ok(())
}

/// Whether a mount covers the root, and is the root from there on.
pub fn cover_root(spec: &Spec, host: &Host) -> bool {
    let covers = |index: usize| place(spec, host, index).is_empty();
    (0..spec.mounts.len()).any(|index| covers(index) && !spec.mounts[index].options.remount)
}

/// Compile every mount, in the order of the config. A mount that covers the root becomes the root
/// of `context`.
///
/// # Errors
/// The plan has no free slot, or a path or an option of a mount, which the error names, contains
/// NUL or is too long for fsconfig(2).
pub fn all(plan: &mut Plan, context: &mut Context<'_>) -> Result<Deferred> {
    let mut deferred = Deferred::default();
    for (index, mount) in context.spec.mounts.iter().enumerate() {
        let origin = mount.origin(index);
        plan.origin(&origin);
        one(plan, context, index, mount, &mut deferred).map_err(|e| e.within(origin))?;
    }
    Ok(deferred)
}

/// Compile one mount alone, deferred steps included.
///
/// # Errors
/// As for `all`.
pub fn single(plan: &mut Plan, context: &mut Context<'_>, index: usize) -> Result<()> {
    let mount = &context.spec.mounts[index];
    let origin = mount.origin(index);
    let mut deferred = Deferred::default();
    plan.origin(&origin);
    one(plan, context, index, mount, &mut deferred).map_err(|e| e.within(origin))?;
    deferred.finish(plan);
    context.dev = None;
    Ok(())
}

fn one(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    mount: &Mount,
    deferred: &mut Deferred,
) -> Result<()> {
    let options = &mount.options;
    if options.remount {
        return remount(plan, context, mount);
    }
    let source = context.host.source(index);
    if let Some(Source { link: Some(link), .. }) = source {
        return copy_link(plan, context, index, link);
    }
    if let Some(source) = source {
        return bind(plan, context, index, mount, source);
    }
    if let Some(part) = context.host.mounts.get(index).and_then(|facts| facts.part.as_ref()) {
        return super::parts::overlay(plan, context, index, part);
    }
    let kind = mount.kind.as_deref().unwrap_or_default();
    if super::cgroups::KINDS.contains(&kind) {
        return super::cgroups::mount(plan, context, index, options);
    }
    if kind == "sysfs" && context.in_user_namespace() {
        return sysfs(plan, context, index, mount.source.as_deref(), options);
    }
    // Kernel file systems label their own files.
    let labelled = !matches!(kind, "proc" | "sysfs" | "mqueue");
    let label_option = label(context.spec).filter(|_| labelled);
    let mut parameters = Parameters::of(options);
    parameters.data.extend(label_option.as_deref());
    let mode = context.host.mounts.get(index).and_then(|facts| facts.tmpfs_mode);
    let mode = mode.map(|mode| format!("mode={mode:o}"));
    parameters.data.extend(mode.as_deref());
    let mut attrs = options.made();
    // A read-only tmpfs stays writable until mount points and nodes have been made in it.
    let late = kind == "tmpfs" && attrs.0 & MountAttrs::MOUNT_ATTR_RDONLY.0 != 0;
    if late {
        attrs = MountAttrs(attrs.0 & !MountAttrs::MOUNT_ATTR_RDONLY.0);
    }
    let tree = make(plan, kind, mount.source.as_deref(), &parameters, attrs)?;
    if kind == "mqueue" {
        label_root(plan, context.spec, tree)?;
    }
    finish_tree(plan, tree, options);
    if asks_for_ids(mount, source) {
        map_ids(plan, tree);
    }
    if options.copy_up {
        copy_up(plan, context, index, tree)?;
    } else {
        attach_to(plan, context, index, tree, Wanted::Directory)?;
    }
    covered(plan, context, index, tree)?;
    let dev = kind == "tmpfs" && !options.copy_up && lexical(&mount.destination) == ["dev"];
    if dev {
        context.dev = Some(tree);
    }
    if late || dev {
        let attrs = if late { MountAttrs::MOUNT_ATTR_RDONLY } else { MountAttrs(0) };
        deferred.trees.push((mount.origin(index), tree, attrs));
    } else {
        plan.close(tree);
    }
    Ok(())
}

/// Attach a tree over its target once the launcher has copied the target's files into it.
fn copy_up(plan: &mut Plan, context: &Context<'_>, index: usize, tree: Slot) -> Result<()> {
    let to = target(plan, context, index, Wanted::Directory)?;
    plan.step(Op::SendFd { to: Slot::CHANNEL, what: Report::COPY_FROM, fd: to });
    plan.step(Op::SendFd { to: Slot::CHANNEL, what: Report::COPY_UP, fd: tree });
    plan.step(Op::Await { from: Slot::CHANNEL });
    attach(plan, tree, to);
    plan.close(to);
    Ok(())
}

/// Attach a clone of a path of the host, which the launcher may have made already.
fn bind(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    mount: &Mount,
    source: &Source,
) -> Result<()> {
    let options = &mount.options;
    let tree = match context.trees.get(index).copied().flatten() {
        Some(tree) => {
            if !is_peer(context.spec, options) {
                // It was cloned in the host's mount namespace, where it may be shared.
                let kind = super::of_the_hosts(context.spec);
                set(plan, tree, Attrs::default(), kind, true);
            }
            tree
        }
        None => {
            let recursive = options.bind == Some(true);
            clone(plan, &source.path, recursive, options.source_nofollow)?
        }
    };
    if source.made && asks_for_ids(mount, Some(source)) {
        map_ids(plan, tree);
    }
    if lexical(&mount.destination) == ["proc"] {
        // Programs rely on /proc, so only a procfs may be bound there (CVE-2019-16884).
        plan.step(Op::Fstatfs { fd: tree, magic: Magic::PROC_SUPER_MAGIC });
    }
    if options.named {
        replace(plan, context, tree, options);
    }
    finish_tree(plan, tree, options);
    let wanted = if source.directory { Wanted::Directory } else { Wanted::File };
    attach_at(plan, context, index, tree, wanted)
}

/// The mount option that gives all files the label of `linux.mountLabel`.
pub fn label(spec: &Spec) -> Option<String> {
    let label = spec.linux.as_ref()?.mount_label.as_ref();
    label.filter(|label| !label.is_empty()).map(|label| format!("context={label}"))
}

/// Label the root directory of a file system that does not know `context=`, by its attribute.
fn label_root(plan: &mut Plan, spec: &Spec, tree: Slot) -> Result<()> {
    let label = spec.linux.as_ref().and_then(|linux| linux.mount_label.as_ref());
    let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok(()) };
    let into = plan.slot()?;
    let flags = OpenFlags::O_DIRECTORY | OpenFlags::O_CLOEXEC;
    let how = OpenHow { flags, mode: 0, resolve: root::BELOW };
    plan.step(Op::Openat2 { into, at: tree, path: c".", how });
    let (name, value) = (c"security.selinux", label.as_bytes());
    // The kernel refuses the label if the SELinux policy does not label such files.
    plan.step_unless(Unless::EOPNOTSUPP, Op::Fsetxattr { fd: into, name, value });
    plan.close(into);
    Ok(())
}

/// Whether init has to send this mount to the launcher, which maps its ids: a mount that init makes
/// or clones itself. The launcher maps the ids of a tree that it has cloned without being asked.
pub fn asks_for_ids(mount: &Mount, source: Option<&Source>) -> bool {
    let made = source.map_or(!mount.is_bind(), |source| source.made);
    made && mount.is_id_mapped() && !mount.options.remount
}

/// Let the launcher map the ids of a tree.
fn map_ids(plan: &mut Plan, tree: Slot) {
    plan.step(Op::SendFd { to: Slot::CHANNEL, what: Report::MAP_IDS, fd: tree });
    plan.step(Op::Await { from: Slot::CHANNEL });
}

/// Give a mount the attributes that the options name and clear all others, as mount(2) does.
fn replace(plan: &mut Plan, context: &Context<'_>, tree: Slot, options: &MountOptions) {
    let mut attrs = options.asked();
    let user = context.host.user_namespace || context.spec.namespace(NamespaceKind::User).is_some();
    if !user {
        options.unnamed().for_each(|attr| attrs.clear |= attr);
        return set(plan, tree, attrs, Propagation(0), false);
    }
    set(plan, tree, attrs, Propagation(0), false);
    for clear in options.unnamed() {
        let attr = MountAttr {
            attr_set: MountAttrs(0),
            attr_clr: clear,
            propagation: Propagation(0),
            userns_fd: 0,
        };
        // EPERM: the mount came from another user namespace, which locks the attribute
        // (mount_namespaces(7)). The attribute stays.
        let op = Op::MountSetattr { at: tree, path: EMPTY, flags: AtFlags::AT_EMPTY_PATH, attr };
        plan.step_unless(Unless::EPERM, op);
    }
}

/// Set the recursive attributes and the propagation of a tree.
pub(super) fn finish_tree(plan: &mut Plan, tree: Slot, options: &MountOptions) {
    set(plan, tree, options.all, Propagation(0), true);
    for (kind, recursive) in &options.propagation {
        set(plan, tree, Attrs::default(), *kind, *recursive);
    }
}

/// `remount`: change the attributes of a mount, and the parameters of its file system.
fn remount(plan: &mut Plan, context: &Context<'_>, mount: &Mount) -> Result<()> {
    let path = root::relative(&mount.destination)?;
    let tree = plan.slot()?;
    let how = links(mount).whole(Wanted::File);
    plan.step(Op::Openat2 { into: tree, at: context.root, path: &path, how });
    let parameters = Parameters::of(&mount.options);
    if !parameters.is_empty() {
        let fs = plan.slot()?;
        let flags = FspickFlags::FSPICK_CLOEXEC | FspickFlags::FSPICK_EMPTY_PATH;
        plan.step(Op::Fspick { into: fs, at: tree, flags });
        parameters::all(plan, fs, &parameters)?;
        plan.step(Op::FsconfigReconfigure { fs });
        plan.close(fs);
    }
    replace(plan, context, tree, &mount.options);
    finish_tree(plan, tree, &mount.options);
    plan.close(tree);
    Ok(())
}

/// `copy-symlink`: make a link with the same content as the host's. The image may have it already.
fn copy_link(plan: &mut Plan, context: &Context<'_>, index: usize, link: &Link) -> Result<()> {
    if link.present {
        return Ok(());
    }
    let place = place(context.spec, context.host, index);
    let Some((name, parents)) = place.split_last() else { return Ok(()) };
    let (name, content) = (c_string(name)?, c_string(&link.target)?);
    let parents = parents.join("/");
    let at = root::target(plan, context.root, parents.as_str(), Wanted::Directory, Links::Follow)?;
    plan.step(Op::FstatfsNot { fd: at, not: Magic::PROC_SUPER_MAGIC });
    plan.step(Op::Symlinkat { target: &content, at, path: &name });
    plan.close(at);
    Ok(())
}

/// Make a sysfs, or clone the host's if the kernel refuses it. In a user namespace it does so if
/// that namespace does not own the network namespace, or if something covers a part of the host's
/// /sys, as in a container (mount_too_revealing in fs/namespace.c). The clone keeps what covers the
/// host's, and its restrictions, and gets those of the options.
fn sysfs(
    plan: &mut Plan,
    context: &mut Context<'_>,
    index: usize,
    source: Option<&str>,
    options: &MountOptions,
) -> Result<()> {
    let (fs, tree) = (plan.slot()?, plan.slot()?);
    let flags = FsopenFlags::FSOPEN_CLOEXEC;
    plan.step_unless(Unless::EPERM, Op::Fsopen { into: fs, fsname: c"sysfs", flags });
    let made = |plan: &mut Plan, unless: Unless, op: Op<'_>| {
        plan.push(Step { guard: Guard::Present(fs), unless, op });
    };
    if let Some(source) = source.filter(|source| !source.is_empty()) {
        let value = c_string(source)?;
        made(plan, Unless::NOTHING, Op::FsconfigString { fs, key: c"source", value: &value });
    }
    made(plan, Unless::NOTHING, Op::FsconfigCreate { fs });
    let (flags, attr) = (FsmountFlags::FSMOUNT_CLOEXEC, options.made());
    made(plan, Unless::EPERM, Op::Fsmount { into: tree, fs, flags, attr });
    plan.close_present(fs);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let op = Op::OpenTree { into: tree, at: Slot::CWD, path: c"/sys", flags };
    plan.push(Step { guard: Guard::Absent(tree), unless: Unless::NOTHING, op });
    set(plan, tree, options.restricting(), Propagation(0), true);
    finish_tree(plan, tree, options);
    attach_at(plan, context, index, tree, Wanted::Directory)
}

impl Context<'_> {
    /// Whether the container has a new namespace of this kind.
    pub fn has_new(&self, kind: NamespaceKind) -> bool {
        self.spec.namespace(kind).is_some_and(|namespace| namespace.path.is_none())
    }

    /// Whether init mounts in a user namespace other than the machine's.
    fn in_user_namespace(&self) -> bool {
        self.spec.namespace(NamespaceKind::User).is_some() || self.host.user_namespace
    }
}

/// Preload the trees that only the launcher can clone: id-mapped binds, and the binds of a
/// container with a user namespace, whose root may lack permission for the sources.
///
/// # Errors
/// The plan has no free slot.
pub fn preloads(plan: &mut Plan, spec: &Spec, host: &Host) -> Result<Vec<Option<Slot>>> {
    let user = spec.namespace(NamespaceKind::User).is_some();
    let mut trees = Vec::with_capacity(spec.mounts.len());
    for (index, mount) in spec.mounts.iter().enumerate() {
        let outside =
            host.source(index).is_some_and(|source| source.link.is_none() && !source.made);
        let launcher = outside && (mount.is_id_mapped() || user && host.euid == 0);
        let tree = launcher.then(|| plan.preload(Preload::Tree { mount: index }));
        trees.push(tree.transpose()?);
    }
    Ok(trees)
}
