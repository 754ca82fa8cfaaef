//! linux.resources.devices: which device nodes may be made, read and written.
//!
//! For each kind of access the last rule that matches decides; if no rule matches, access is
//! denied. An empty list of rules restricts nothing. Pure, except for `Cgroup::set_devices`.
//! `program` makes the BPF program of cgroup v2.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::AsFd;

use super::probe::{Hierarchies, Version};
use super::{Cgroup, program};
use crate::spec::json::Violation;
use crate::spec::{DeviceRule, DeviceRuleKind};
use crate::sys::{bpf, cgroupfs};
use crate::{Error, Result};

/// Make a node.
pub const MKNOD: u8 = 1;
/// Read.
pub const READ: u8 = 2;
/// Write.
pub const WRITE: u8 = 4;
/// Every access.
pub const ALL: u8 = MKNOD | READ | WRITE;

/// The rules appended to every list: for devices that programs need, and for harmless ones. 5:1 is
/// missing on purpose: it is the host's console, and a container's console is a pseudo-terminal.
const DEFAULT: &[(DeviceRuleKind, Option<u32>, Option<u32>, u8)] = &[
    (DeviceRuleKind::Char, None, None, MKNOD),
    (DeviceRuleKind::Block, None, None, MKNOD),
    (DeviceRuleKind::Char, Some(1), Some(3), ALL), // null
    (DeviceRuleKind::Char, Some(1), Some(5), ALL), // zero
    (DeviceRuleKind::Char, Some(1), Some(7), ALL), // full
    (DeviceRuleKind::Char, Some(1), Some(8), ALL), // random
    (DeviceRuleKind::Char, Some(1), Some(9), ALL), // urandom
    (DeviceRuleKind::Char, Some(5), Some(0), ALL), // tty
    (DeviceRuleKind::Char, Some(5), Some(2), ALL), // ptmx
    (DeviceRuleKind::Char, Some(136), None, ALL),  // pts/*
    (DeviceRuleKind::Char, Some(10), Some(200), ALL), // net/tun
];

/// One rule, with defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether it allows, and does not deny.
    pub allow: bool,
    /// Character devices, block devices, or both.
    pub kind: DeviceRuleKind,
    /// The major number; `None` for any.
    pub major: Option<u32>,
    /// The minor number; `None` for any.
    pub minor: Option<u32>,
    /// Bits of [`ALL`].
    pub access: u8,
}

/// Compiled rules, for cgroup v1 or v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// No restriction, apart from those of the cgroups above.
    Unrestricted,
    /// Writes to v1's `devices.deny` (false) and `devices.allow` (true), in order.
    V1(Vec<(bool, String)>),
    /// Instructions of a `BPF_PROG_TYPE_CGROUP_DEVICE` program, and the rules behind them.
    V2(Vec<u64>, Vec<Rule>),
}

/// Compile the rules. Not to be called for a container that is rootless or has a user namespace: it
/// cannot have rules, and the kernel refuses to make its device nodes anyway.
///
/// # Errors
/// All rules with a wrong number or access, or else the rule that cgroup v1 cannot express. There
/// is neither the v1 devices controller nor cgroup v2. There are too many rules for one program.
pub fn compile_devices(
    rules: &[DeviceRule],
    h: &Hierarchies,
) -> std::result::Result<Devices, Vec<Violation>> {
    if rules.is_empty() {
        return Ok(Devices::Unrestricted);
    }
    let mut violations = Vec::new();
    let mut list = Vec::with_capacity(rules.len() + DEFAULT.len());
    for (index, rule) in rules.iter().enumerate() {
        match complete(rule) {
            Ok(rule) => list.push(rule),
            Err((field, text)) => {
                let path = format!("linux.resources.devices[{index}]{field}");
                violations.push(Violation::rule(path, text));
            }
        }
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    list.extend(DEFAULT.iter().map(|&(kind, major, minor, access)| Rule {
        allow: true,
        kind,
        major,
        minor,
        access,
    }));
    let whole = |text: String| vec![Violation::rule("linux.resources.devices", text)];
    match h.find("devices").or(h.v2()).map(|h| h.version) {
        Some(Version::V1) => {
            Table::of(&list).map(|table| Devices::V1(table.lines())).map_err(|(index, text)| {
                vec![Violation::rule(format!("linux.resources.devices[{index}]"), text)]
            })
        }
        Some(Version::V2) => {
            program::fits(&list).map_err(whole)?;
            Ok(Devices::V2(program::compile(&list), list))
        }
        None => Err(whole("needs the v1 devices controller, or cgroup v2".into())),
    }
}

fn complete(rule: &DeviceRule) -> std::result::Result<Rule, (&'static str, String)> {
    let number = |field, value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| {
            (field, format!("expected 0 to {}, or -1 for any, found {value}", u32::MAX))
        }),
    };
    let mut access = 0;
    for letter in rule.access.as_deref().unwrap_or("rwm").chars() {
        access |= match letter {
            'm' => MKNOD,
            'r' => READ,
            'w' => WRITE,
            _ => return Err((".access", format!("expected letters of rwm, found {letter:?}"))),
        };
    }
    if access == 0 {
        return Err((".access", "is empty; leave it out for every access".into()));
    }
    Ok(Rule {
        allow: rule.allow,
        kind: rule.kind.unwrap_or(DeviceRuleKind::All),
        major: number(".major", rule.major)?,
        minor: number(".minor", rule.minor)?,
        access,
    })
}

impl Rule {
    /// Whether it matches every device and every access.
    pub(super) fn is_whole(&self) -> bool {
        self.kind == DeviceRuleKind::All
            && self.major.is_none()
            && self.minor.is_none()
            && self.access == ALL
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allow { "allow " } else { "deny " })?;
        write_device(f, self.kind.word(), self.major, self.minor, self.access)
    }
}

/// Write `c 1:* rwm`, the form of v1's files.
fn write_device(
    f: &mut impl fmt::Write,
    kind: &str,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
) -> fmt::Result {
    write!(f, "{kind} ")?;
    match major {
        Some(major) => write!(f, "{major}:")?,
        None => f.write_str("*:")?,
    }
    match minor {
        Some(minor) => write!(f, "{minor} ")?,
        None => f.write_str("* ")?,
    }
    for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')] {
        if access & bit != 0 {
            f.write_char(letter)?;
        }
    }
    Ok(())
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Devices::Unrestricted => Ok(()),
            Devices::V1(lines) => lines.iter().try_for_each(|(allow, line)| {
                let file = if *allow { "devices.allow" } else { "devices.deny" };
                writeln!(f, "{file} = {line:?}  # linux.resources.devices")
            }),
            Devices::V2(code, rules) => {
                writeln!(f, "BPF_CGROUP_DEVICE, {} instructions:", code.len())?;
                rules.iter().try_for_each(|rule| writeln!(f, "  {rule}"))
            }
        }
    }
}

/// The device of one entry in v1's list: `c` or `b`, major and minor number.
type Entry = (DeviceRuleKind, Option<u32>, Option<u32>);

/// v1's list: a default, and exceptions from it without an order.
#[derive(Default)]
struct Table {
    allow: bool,
    exceptions: BTreeMap<Entry, u8>,
}

impl Table {
    /// The table with the meaning of the rules, or the first rule that no table can express.
    fn of(rules: &[Rule]) -> std::result::Result<Table, (usize, String)> {
        let mut table = Table::default();
        for (index, rule) in rules.iter().enumerate() {
            if rule.is_whole() {
                table = Table { allow: rule.allow, exceptions: BTreeMap::new() };
                continue;
            }
            for kind in [DeviceRuleKind::Char, DeviceRuleKind::Block] {
                if rule.kind == DeviceRuleKind::All || rule.kind == kind {
                    let entry = (kind, rule.major, rule.minor);
                    table.take(entry, rule).map_err(|text| (index, text))?;
                }
            }
        }
        table.close();
        Ok(table)
    }

    fn take(&mut self, entry: Entry, rule: &Rule) -> std::result::Result<(), String> {
        if rule.allow != self.allow {
            *self.exceptions.entry(entry).or_default() |= rule.access;
            return Ok(());
        }
        // The rule restores the default: remove the exceptions that it covers. An exception that
        // it covers in part cannot be split, since v1 has no exception from an exception.
        for (other, access) in &mut self.exceptions {
            if covers(entry, *other) {
                *access &= !rule.access;
            } else if overlaps(entry, *other) && *access & rule.access != 0 {
                let mut wider = String::new();
                let (kind, major, minor) = *other;
                // Writing to a String cannot fail.
                write_device(&mut wider, kind.word(), major, minor, *access).ok();
                return Err(format!(
                    "cgroup v1 cannot make \"{rule}\" an exception from the earlier \"{wider}\"; \
                     give the devices of the earlier rule one by one"
                ));
            }
        }
        self.exceptions.retain(|_, access| *access != 0);
        Ok(())
    }

    /// Give each exception the access of the wider ones that cover it: v1 grants an access only if
    /// *one* exception grants all of it, and two entries may grant reading and writing separately.
    fn close(&mut self) {
        let all: Vec<(Entry, u8)> = self.exceptions.iter().map(|(e, a)| (*e, *a)).collect();
        for (entry, access) in &mut self.exceptions {
            for (wider, more) in &all {
                if covers(*wider, *entry) {
                    *access |= more;
                }
            }
        }
    }

    fn lines(&self) -> Vec<(bool, String)> {
        let mut lines = Vec::with_capacity(self.exceptions.len() + 1);
        // A new cgroup starts with its parent's list. To allow all, nothing is written: what the
        // parent denies, a child cannot allow.
        if !self.allow {
            lines.push((false, "a".to_owned()));
        }
        for ((kind, major, minor), access) in &self.exceptions {
            let mut line = String::with_capacity(16);
            // Writing to a String cannot fail.
            write_device(&mut line, kind.word(), *major, *minor, *access).ok();
            lines.push((!self.allow, line));
        }
        lines
    }
}

/// Whether `a` matches every device that `b` matches.
fn covers(a: Entry, b: Entry) -> bool {
    a.0 == b.0 && (a.1.is_none() || a.1 == b.1) && (a.2.is_none() || a.2 == b.2)
}

/// Whether some device matches both.
fn overlaps(a: Entry, b: Entry) -> bool {
    let meet = |x: Option<u32>, y: Option<u32>| x.is_none() || y.is_none() || x == y;
    a.0 == b.0 && meet(a.1, b.1) && meet(a.2, b.2)
}

impl Cgroup {
    /// Put the rules in force. A v2 program that an earlier container left in the cgroup is
    /// replaced.
    ///
    /// # Errors
    /// The container has no cgroup for device rules, it is hidden, or the kernel refuses a rule or
    /// the program.
    pub fn set_devices(&self, devices: &Devices) -> Result<()> {
        match devices {
            Devices::Unrestricted => Ok(()),
            Devices::V1(lines) => self.write_devices(lines),
            Devices::V2(code, _) => self.attach_devices(code),
        }
    }

    fn write_devices(&self, lines: &[(bool, String)]) -> Result<()> {
        let Some(group) = self.v1("devices") else { return Err(no_cgroup()) };
        let dir = group.dir()?;
        let open = |file: &str| {
            dir.open_file(file).map_err(|e| Error::io(format!("{}/{file}", group.path), "open", &e))
        };
        let files = [open("devices.deny")?, open("devices.allow")?];
        for (allow, line) in lines {
            let file = &files[usize::from(*allow)];
            cgroupfs::write_once(file.as_fd(), line.as_bytes()).map_err(|e| {
                let name = if *allow { "allow" } else { "deny" };
                let place =
                    format!("linux.resources.devices: {}/devices.{name} = {line:?}", group.path);
                let e = Error::io(place, "write", &e);
                match e.errno() {
                    Some(libc::EPERM) => e.hint(
                        "a device that the cgroup above denies cannot be allowed; and rules need \
                         root in the initial user namespace",
                    ),
                    _ => e,
                }
            })?;
        }
        Ok(())
    }

    fn attach_devices(&self, code: &[u64]) -> Result<()> {
        let Some(group) = self.v2() else { return Err(no_cgroup()) };
        let cgroup = group.dir()?.watch(".");
        let cgroup = cgroup.map_err(|e| Error::io(&group.path, "open", &e))?;
        let failed = |e: std::io::Error| {
            let e = Error::io(format!("linux.resources.devices: {}", group.path), "bpf", &e);
            match e.errno() {
                Some(libc::EPERM) => {
                    e.hint("device rules need root (CAP_BPF and CAP_NET_ADMIN) on cgroup v2")
                }
                Some(libc::EINVAL | libc::ENOSYS) => {
                    e.hint("the kernel needs CONFIG_CGROUP_BPF, and the BPF system call")
                }
                _ => e,
            }
        };
        let program = bpf::load_device_program(code).map_err(failed)?;
        let old = bpf::device_programs(cgroup.as_fd()).map_err(failed)?;
        // A single old program is replaced atomically. Several are detached after ours is attached.
        let (first, rest) = match old.as_slice() {
            [one] => (Some(one.as_fd()), &[][..]),
            others => (None, others),
        };
        bpf::attach_device_program(cgroup.as_fd(), program.as_fd(), first).map_err(failed)?;
        for other in rest {
            bpf::detach_device_program(cgroup.as_fd(), other.as_fd()).map_err(failed)?;
        }
        Ok(())
    }
}

fn no_cgroup() -> Error {
    Error::new("linux.resources.devices: the container has no cgroup to put them in force")
}

#[cfg(test)]
#[path = "devices_test.rs"]
mod tests;
