//! Compile the labels of Linux security modules, which the kernel gives the program at execve(2).
//!
//! The `/proc` may be the container's. Init opens the attribute so that no mount of the container
//! can redirect it (CVE-2019-16884, CVE-2025-52881), and writes it last. `host` knows whether the
//! kernel has the module.

use std::ffi::CStr;

use tiny_ce_init::flags::{Magic, OpenFlags, OpenHow, Resolve};
use tiny_ce_init::{Op, Slot};

use super::root::path_only;
use crate::error::Result;
use crate::plan::Plan;
use crate::spec::Process;

/// An open attribute, and the label to write to it.
pub struct Label {
    attribute: Slot,
    value: String,
    origin: &'static str,
}

/// Resolve below procfs, cross no mount and follow no magic link; `thread-self` is a plain link.
const BELOW_PROC: Resolve = Resolve(
    Resolve::RESOLVE_BENEATH.0 | Resolve::RESOLVE_NO_XDEV.0 | Resolve::RESOLVE_NO_MAGICLINKS.0,
);

/// Open the attributes for the labels of the process. The process that writes a label has to open
/// the attribute itself: since Linux 5.13 the kernel refuses a descriptor that another opened.
///
/// # Errors
/// The plan has no free slot.
pub fn open(plan: &mut Plan, process: &Process) -> Result<Vec<Label>> {
    let given = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
    let profile = given(&process.apparmor_profile).map(|name| format!("exec {name}"));
    let wanted = [
        ("process.apparmorProfile", c"thread-self/attr/apparmor/exec", profile),
        ("process.selinuxLabel", c"thread-self/attr/exec", given(&process.selinux_label)),
    ];
    let mut labels = Vec::new();
    for (origin, path, value) in wanted {
        let Some(value) = value else { continue };
        plan.origin(origin);
        let proc = procfs(plan)?;
        let attribute = attribute(plan, proc, path)?;
        plan.close(proc);
        labels.push(Label { attribute, value, origin });
    }
    Ok(labels)
}

/// Give new keys the SELinux label of the process, up to execve(2), which resets it. With another
/// label, the program could not use the session keyring that init makes for it.
///
/// # Errors
/// The plan has no free slot.
pub fn keys(plan: &mut Plan, process: &Process) -> Result<()> {
    let label = process.selinux_label.as_ref().filter(|label| !label.is_empty());
    let Some(label) = label else { return Ok(()) };
    plan.origin("process.selinuxLabel");
    let proc = procfs(plan)?;
    let attribute = attribute(plan, proc, c"thread-self/attr/keycreate")?;
    plan.close(proc);
    plan.step(Op::Write { fd: attribute, data: label.as_bytes() });
    plan.close(attribute);
    Ok(())
}

/// Open `/proc`, and verify that it is a procfs. A bind of a directory of procfs would not serve:
/// only the root of procfs has `thread-self`.
fn procfs(plan: &mut Plan) -> Result<Slot> {
    let into = plan.slot()?;
    let how = path_only(OpenFlags::O_DIRECTORY, Resolve::RESOLVE_NO_SYMLINKS);
    plan.step(Op::Openat2 { into, at: Slot::CWD, path: c"/proc", how });
    plan.step(Op::Fstatfs { fd: into, magic: Magic::PROC_SUPER_MAGIC });
    Ok(into)
}

/// Open an attribute below `proc` for writing, and verify that it is a file of procfs.
fn attribute(plan: &mut Plan, proc: Slot, path: &CStr) -> Result<Slot> {
    let into = plan.slot()?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
    let how = OpenHow { flags, mode: 0, resolve: BELOW_PROC };
    plan.step(Op::Openat2 { into, at: proc, path, how });
    plan.step(Op::Fstatfs { fd: into, magic: Magic::PROC_SUPER_MAGIC });
    Ok(into)
}

/// Write the labels, which take effect at the next execve(2).
pub fn write(plan: &mut Plan, labels: Vec<Label>) {
    for label in labels {
        plan.origin(label.origin);
        plan.step(Op::Write { fd: label.attribute, data: label.value.as_bytes() });
        plan.close(label.attribute);
    }
}
