//! Rules for `linux.devices`: mknodat(2) has to be able to make the nodes.

use std::collections::BTreeMap;

use super::{At, Findings, paths};
use crate::spec::json::quote;
use crate::spec::paths::lexical;
use crate::spec::{Device, DeviceKind};

/// The largest numbers that both makedev(3) and the kernel's `MINORBITS` allow.
const MAX_MAJOR: i64 = (1 << 12) - 1;
const MAX_MINOR: i64 = (1 << 20) - 1;

pub fn check(f: &mut Findings, devices: &[Device]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, device) in devices.iter().enumerate() {
        let base = format!("linux.devices[{index}]");
        let field = format!("{base}.path");
        if paths::absolute(f, &field, &device.path) {
            let clean = format!("/{}", lexical(&device.path).join("/"));
            place(f, &field, &clean);
            match seen.get(&clean) {
                Some(first) => {
                    let path = quote(&device.path);
                    f.warn(&base, format!("{path} again: the one of [{first}] is made"));
                }
                None => {
                    seen.insert(clean, index);
                }
            }
        }
        numbers(f, format_args!("{base}"), device);
        mode(f, format_args!("{base}"), device);
    }
}

fn place(f: &mut Findings, field: &str, clean: &str) {
    if clean == "/" || clean == "/dev" {
        f.warn(field, format!("{clean:?} is a directory, not a node in one, and ignored"));
    }
    for kernel in ["/proc", "/sys"] {
        if paths::within(clean, kernel).is_some() {
            f.wrong(field, format!("{} is below {kernel}, which is the kernel's", quote(clean)));
        }
    }
}

fn numbers(f: &mut Findings, base: At<'_>, device: &Device) {
    let limits = [("major", device.major, MAX_MAJOR), ("minor", device.minor, MAX_MINOR)];
    for (name, number, limit) in limits {
        match (device.kind, number) {
            // A FIFO has no device number; callers that write 0 for it do no harm.
            (DeviceKind::Fifo, _) => {}
            (kind, None) => {
                let text =
                    format!("missing, and taken as 0; a device of type {} has one", kind.word());
                f.warn(format_args!("{base}.{name}"), text);
            }
            (_, Some(number)) => f.range(format_args!("{base}.{name}"), number, 0, limit.into()),
        }
    }
}

/// Check the mode and the owner of a node. The mode may have the file type bits of stat(2), if they
/// are those of the device's type.
fn mode(f: &mut Findings, base: At<'_>, device: &Device) {
    let Some(mode) = device.file_mode else { return };
    let kind = match device.kind {
        DeviceKind::Char | DeviceKind::Unbuffered => libc::S_IFCHR,
        DeviceKind::Block => libc::S_IFBLK,
        DeviceKind::Fifo => libc::S_IFIFO,
    };
    if mode & !0o7777 != 0 && mode & !0o7777 != kind {
        let text = format!("{mode} (octal {mode:#o}) is more than 4095 (octal 0o7777)");
        let hint = "the rest is ignored; JSON has no octal numbers: the mode 0666 is written 438";
        f.warn(format!("{base}.fileMode"), format!("{text}: {hint}"));
    }
    for (name, id) in [("uid", device.uid), ("gid", device.gid)] {
        f.id(format_args!("{base}.{name}"), id.unwrap_or_default());
    }
}
