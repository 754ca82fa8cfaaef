//! Labels of Linux security modules → steps: what the kernel gives the program at execve.
//!
//! The attribute is opened while `/proc` is certainly a procfs of the host's (CVE-2019-16884,
//! CVE-2025-52881) and written last; whether the module is there at all is `host`'s to know.

use std::ffi::CStr;

use tiny_ce_init::flags::{Magic, OpenFlags, OpenHow, Resolve};
use tiny_ce_init::{Op, Slot};

use crate::error::Result;
use crate::plan::Plan;
use crate::spec::Process;

/// An open attribute, and what is to be written to it.
pub struct Label {
    attribute: Slot,
    value: String,
    origin: &'static str,
}

/// Whether the process is to have any label.
pub fn is_wanted(process: &Process) -> bool {
    let given = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    given(&process.apparmor_profile) || given(&process.selinux_label)
}

/// Open what the process's labels are written to: before `/proc` can be anybody else's.
pub fn open(plan: &mut Plan, process: &Process) -> Result<Vec<Label>> {
    let mut labels = Vec::new();
    if let Some(profile) = process.apparmor_profile.as_ref().filter(|p| !p.is_empty()) {
        plan.origin("process.apparmorProfile");
        let attribute = attribute(plan, c"/proc/thread-self/attr/apparmor/exec")?;
        let value = format!("exec {profile}");
        labels.push(Label { attribute, value, origin: "process.apparmorProfile" });
    }
    if let Some(label) = process.selinux_label.as_ref().filter(|label| !label.is_empty()) {
        plan.origin("process.selinuxLabel");
        let attribute = attribute(plan, c"/proc/thread-self/attr/exec")?;
        let value = label.clone();
        labels.push(Label { attribute, value, origin: "process.selinuxLabel" });
    }
    Ok(labels)
}

fn attribute(plan: &mut Plan, path: &CStr) -> Result<Slot> {
    let into = plan.slot()?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
    let how = OpenHow { flags, mode: 0, resolve: Resolve(0) };
    plan.step(Op::Openat2 { into, at: Slot::CWD, path, how });
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
