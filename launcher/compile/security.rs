//! Labels of Linux security modules → steps: what the kernel gives the program at execve.
//!
//! The attribute is opened below a `/proc` that may be the container's, by what no mount of its can
//! redirect (CVE-2019-16884, CVE-2025-52881), and written last. Whether the module is there at all
//! is `host`'s to know.

use std::ffi::CStr;

use tiny_ce_init::flags::{Magic, OpenFlags, OpenHow, Resolve};
use tiny_ce_init::{Op, Slot};

use super::root::path_only;
use crate::error::Result;
use crate::plan::Plan;
use crate::spec::Process;

/// An open attribute, and what is to be written to it.
pub struct Label {
    attribute: Slot,
    value: String,
    origin: &'static str,
}

/// Below procfs, with no mount crossed and no magic link followed; `thread-self` is a common link.
const BELOW_PROC: Resolve = Resolve(
    Resolve::RESOLVE_BENEATH.0 | Resolve::RESOLVE_NO_XDEV.0 | Resolve::RESOLVE_NO_MAGICLINKS.0,
);

/// Open what the process's labels are written to, by the process that writes them: the kernel takes
/// them from nobody else, not even from the parent that opened them (Linux 5.13).
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

/// Keys made from here on have the process's label, up to execve, which forgets it: or the program
/// could not use the session keyring that is made for it.
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

/// `/proc`, which is one: `thread-self` is in no directory of procfs but its root.
fn procfs(plan: &mut Plan) -> Result<Slot> {
    let into = plan.slot()?;
    let how = path_only(OpenFlags::O_DIRECTORY, Resolve::RESOLVE_NO_SYMLINKS);
    plan.step(Op::Openat2 { into, at: Slot::CWD, path: c"/proc", how });
    plan.step(Op::Fstatfs { fd: into, magic: Magic::PROC_SUPER_MAGIC });
    Ok(into)
}

fn attribute(plan: &mut Plan, proc: Slot, path: &CStr) -> Result<Slot> {
    let into = plan.slot()?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
    let how = OpenHow { flags, mode: 0, resolve: BELOW_PROC };
    plan.step(Op::Openat2 { into, at: proc, path, how });
    plan.step(Op::Fstatfs { fd: into, magic: Magic::PROC_SUPER_MAGIC });
    Ok(into)
}

/// Write them: they take effect at the next execve.
pub fn write(plan: &mut Plan, labels: Vec<Label>) {
    for label in labels {
        plan.origin(label.origin);
        plan.step(Op::Write { fd: label.attribute, data: label.value.as_bytes() });
        plan.close(label.attribute);
    }
}
