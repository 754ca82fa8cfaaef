//! The table of limits: one row for each limit of `linux.resources` that is one value.
//!
//! A row gives the property and its type, the check, what `update` merges, the cgroup files, the
//! property of systemd, and the option of `update` and `run` with its documents. This module does
//! not know how a file is written, or anything of the machine. If a limit needs more than the name
//! of a file, it is `Odd`: the row names a function of `cgroup`.

use std::fmt;

use super::check::resources as rule;
use super::check::{At, Findings};
use super::record::record;
use super::resources::{Resources, ThrottleDevice, WeightDevice};

/// A value of a limit, and of the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number; a boolean is 1 or 0.
    Number(i128),
    /// `max`: no limit.
    Max,
    /// `cpu.max`: the quota, if there is one, and the period, in microseconds.
    Quota(Option<u64>, u64),
    /// Anything else.
    Text(String),
}

impl Value {
    /// Read the content of a file, or what a caller wrote for a file.
    pub fn read(text: &str) -> Value {
        let quota = || {
            let (quota, period) = text.split_once(' ')?;
            let quota = if quota == "max" { None } else { Some(quota.parse().ok()?) };
            Some(Value::Quota(quota, period.parse().ok()?))
        };
        let found = match text {
            "max" => Some(Value::Max),
            _ => text.parse().ok().map(Value::Number).or_else(quota),
        };
        // A text such as `007`, which would be written back as `7`, stays a text.
        found.filter(|it| it.to_string() == text).unwrap_or_else(|| Value::Text(text.to_owned()))
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<i128> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Max => f.write_str("max"),
            Value::Quota(None, period) => write!(f, "max {period}"),
            Value::Quota(Some(quota), period) => write!(f, "{quota} {period}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// The type of a limit's property.
pub trait Scalar: Sized + Clone {
    /// Convert a property to a value of the table.
    fn value(self) -> Value;
    /// Convert a value to a property; `None` if the type of the property cannot hold it.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Scalar for $type {
            fn value(self) -> Value {
                Value::Number(self.into())
            }

            fn from_value(value: Value) -> Option<Self> {
                Self::try_from(value.number()?).ok()
            }
        }

        impl From<$type> for Value {
            fn from(number: $type) -> Value {
                Value::Number(number.into())
            }
        }
    )*};
}

numbers! { i32 i64 u64 u32 u16 }

impl Scalar for bool {
    fn value(self) -> Value {
        Value::Number(self.into())
    }

    fn from_value(value: Value) -> Option<Self> {
        value.number().map(|it| it != 0)
    }
}

impl Scalar for String {
    fn value(self) -> Value {
        Value::Text(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        Some(value.to_string())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

/// Limits that newer ones can change: a limit that the newer ones do not give stays.
pub trait Merge {
    /// Take over the limits that `new` gives.
    fn merge(&mut self, new: &Self);
}

macro_rules! replaced {
    ($($type:ty)*) => {$(impl Merge for $type {
        fn merge(&mut self, new: &Self) {
            self.clone_from(new);
        }
    })*};
}

replaced! { i64 u64 u32 u16 bool String }

impl<T: Merge + Clone> Merge for Option<T> {
    fn merge(&mut self, new: &Self) {
        match (self, new) {
            (Some(old), Some(new)) => old.merge(new),
            (old @ None, Some(_)) => old.clone_from(new),
            (_, None) => {}
        }
    }
}

/// An item of a list with a name of some kind. A newer item with the same name replaces it.
pub trait Item: Clone {
    /// Whether both items have the same name.
    fn is_same(&self, other: &Self) -> bool;
}

impl<T: Item> Merge for Vec<T> {
    fn merge(&mut self, new: &Self) {
        for item in new {
            match self.iter_mut().find(|old| old.is_same(item)) {
                Some(old) => old.clone_from(item),
                None => self.push(item.clone()),
            }
        }
    }
}

/// Where one version of cgroups has a limit.
#[derive(Debug, Clone, Copy)]
pub enum File {
    /// The value is written to this file as it is.
    Plain(&'static str),
    /// The value is written to this file; `max` if it is less than 0.
    Max(&'static str),
    /// A function writes the limit, once for all rows that name the function.
    Odd(Odd),
    /// The limit has no file of its own: it only affects other limits.
    Beside,
    /// This version does not have the limit; the text says why.
    No(&'static str),
    /// No kernel has the limit any more; the text is a warning.
    Gone(&'static str),
}

/// The functions for limits that need more than the name of a file. They are in `cgroup::v1` and
/// `cgroup::v2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Memory, and memory with swap: in v1 each limits the other; v2 counts swap separately.
    Memory,
    /// Shares become a weight in v2; an idle group refuses both.
    Shares,
    /// Quota and period, which are one file in v2.
    Bandwidth,
    /// Idle is written before or after the shares, since an idle group refuses shares.
    Idle,
    /// The real-time period is written before the real-time runtime.
    RealTime,
    /// The file depends on the I/O scheduler.
    IoWeight,
}

/// The property of a systemd unit for one cgroup file.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The cgroup file.
    pub file: &'static str,
    /// The name of the property on D-Bus.
    pub name: &'static str,
    /// The smallest number that systemd accepts.
    pub least: u64,
    /// The first version of systemd that has the property.
    pub since: u32,
}

const fn unit(file: &'static str, name: &'static str, least: u64, since: u32) -> Property {
    Property { file, name, least, since }
}

/// The type of the value that an option takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// A size such as 512m, or -1.
    Bytes,
    /// A number from the first to the second.
    Number(i64, i64),
    /// A list; an empty word gives none.
    Text,
}

/// One row of the table.
#[derive(Debug)]
pub struct Limit {
    /// The path of the property below `linux.resources`.
    pub field: &'static str,
    /// The whole path of the property.
    pub path: &'static str,
    /// Return the value of the property.
    pub get: fn(&Resources) -> Option<Value>,
    /// Set the property to this value, and change nothing else.
    pub set: fn(&mut Resources, Option<Value>),
    /// The description of the limit in the help.
    pub doc: &'static str,
    /// The number that means the same as a property that is not given.
    pub nothing: Option<i128>,
    /// The lowest and the highest number that are accepted.
    pub range: Option<(i128, i128)>,
    /// A rule in addition to the range; its second argument is the path of the property.
    pub check: Option<fn(&mut Findings, At<'_>, &Resources)>,
    /// Another limit that has to be written again together with this one.
    pub with: Option<&'static str>,
    /// The cgroup controller.
    pub controller: &'static str,
    /// Where cgroup v1 has the limit.
    pub v1: File,
    /// Where cgroup v2 has the limit.
    pub v2: File,
    /// The first Linux that has the files; empty if every supported one has them.
    pub since: &'static str,
    /// The value that a kernel without the files has anyway, for which it needs no file.
    pub absent: Option<i128>,
    /// A hint for the case that a write to the files fails with EINVAL.
    pub hint: Option<&'static str>,
    /// The properties of systemd for the files.
    pub systemd: &'static [Property],
    /// The option of `update` and `run`, as the help shows it, and what it takes.
    pub option: Option<(&'static str, Takes)>,
    /// Other names of the option, with their dashes.
    pub aliases: &'static [&'static str],
}

impl Limit {
    const PLAIN: Limit = Limit {
        field: "",
        path: "",
        get: |_| None,
        set: |_, _| {},
        doc: "",
        nothing: None,
        range: None,
        check: None,
        with: None,
        controller: "",
        v1: File::Beside,
        v2: File::Beside,
        since: "",
        absent: None,
        hint: None,
        systemd: &[],
        option: None,
        aliases: &[],
    };

    /// Return the value, unless it means the same as a property that is not given.
    pub fn asked(&self, resources: &Resources) -> Option<Value> {
        (self.get)(resources).filter(|value| !self.is_nothing(value))
    }

    /// Whether a value means the same as a property that is not given.
    pub fn is_nothing(&self, value: &Value) -> bool {
        match value {
            Value::Text(text) => text.is_empty(),
            value => value.number().is_some() && value.number() == self.nothing,
        }
    }
}

/// Return the row whose value is written to this file, `Plain` or `Max`.
pub fn of_file(file: &str) -> Option<&'static Limit> {
    let holds = |it: File| matches!(it, File::Plain(name) | File::Max(name) if name == file);
    LIMITS.iter().find(|limit| holds(limit.v1) || holds(limit.v2))
}

/// Return the property of systemd for a cgroup file.
pub fn property(file: &str) -> Option<&'static Property> {
    LIMITS.iter().flat_map(|limit| limit.systemd).find(|property| property.file == file)
}

macro_rules! limits {
    (
        $($(#[$about:meta])* pub struct $name:ident = $group:literal $at:ident {
            $($(#[doc = $doc:literal])* $key:literal $field:ident: $type:ty {
                $($row:ident: $value:expr),* $(,)?
            })*
            $(lists {
                $($(#[$ldoc:meta])* $lkey:literal $list:ident: $ltype:ty,)*
            })?
        })*
        unified {
            $($(#[doc = $udoc:literal])* $file:literal { $($urow:ident: $uvalue:expr),* $(,)? })*
        }
    ) => {
        $(
            record! {
                $(#[$about])*
                #[derive(Default)]
                pub struct $name {
                    $($(#[doc = $doc])* $key $field: Option<$type>,)*
                    $($($(#[$ldoc])* $lkey $list: $ltype,)*)?
                }
            }

            impl Merge for $name {
                fn merge(&mut self, new: &Self) {
                    $(self.$field.merge(&new.$field);)*
                    $($(self.$list.merge(&new.$list);)*)?
                }
            }
        )*

        /// Every limit, in the order in which they are written.
        pub const LIMITS: &[Limit] = &[
            $($(Limit {
                field: concat!($group, ".", $key),
                path: concat!("linux.resources.", $group, ".", $key),
                get: |from| from.$at.as_ref()?.$field.clone().map(Scalar::value),
                set: |to, value| match value {
                    Some(value) => {
                        to.$at.get_or_insert_default().$field = Scalar::from_value(value);
                    }
                    None => if let Some(group) = &mut to.$at {
                        group.$field = None;
                    },
                },
                doc: concat!($($doc, "\n"),*),
                $($row: $value,)*
                ..Limit::PLAIN
            },)*)*
            $(Limit {
                field: concat!("unified[\"", $file, "\"]"),
                path: concat!("linux.resources.unified[\"", $file, "\"]"),
                get: |from| from.unified.get($file).map(|text| Value::read(text)),
                set: |to, value| match value {
                    Some(value) => {
                        // -1 of an option means no limit, for which the file takes `max`.
                        let unlimited = value.number().is_some_and(|number| number < 0);
                        let value = if unlimited { Value::Max } else { value };
                        to.unified.insert($file.to_owned(), value.to_string());
                    }
                    None => {
                        to.unified.remove($file);
                    }
                },
                doc: concat!($($udoc, "\n"),*),
                $($urow: $uvalue,)*
                ..Limit::PLAIN
            },)*
        ];
    };
}

/// Numbers from -1 (unlimited) up.
const BYTES: Option<(i128, i128)> = Some((-1, i64::MAX as i128));
const COUNT: Takes = Takes::Number(0, i64::MAX);
const SIGNED: Takes = Takes::Number(-1, i64::MAX);
const GONE: File = File::Gone("the kernel has no such limit any more");
const NO_REAL_TIME: File = File::No("cgroup v2 has no real-time scheduling limits");

limits! {
    /// `linux.resources.memory`, in bytes; -1 is unlimited.
    pub struct Memory = "memory" memory {
        /// Most memory, such as 512m or 1.5g; more is an OOM kill. -1: unlimited.
        "limit" limit: i64 {
            nothing: Some(0), range: BYTES, with: Some("memory.swap"), controller: "memory",
            v1: File::Odd(Odd::Memory), v2: File::Odd(Odd::Memory),
            systemd: &[
                unit("memory.limit_in_bytes", "MemoryLimit", 1, 0),
                unit("memory.max", "MemoryMax", 1, 0),
            ],
            option: Some(("-m, --memory BYTES", Takes::Bytes)),
        }
        /// Memory that the kernel leaves to the container when memory is short; -1: unlimited.
        "reservation" reservation: i64 {
            nothing: Some(0), range: BYTES, controller: "memory",
            v1: File::Plain("memory.soft_limit_in_bytes"), v2: File::Max("memory.low"),
            systemd: &[unit("memory.low", "MemoryLow", 0, 0)],
            option: Some(("--memory-reservation BYTES", Takes::Bytes)),
        }
        /// Memory and swap together; -1: unlimited.
        "swap" swap: i64 {
            nothing: Some(0), range: BYTES, check: Some(rule::swap),
            with: Some("memory.limit"), controller: "memory",
            v1: File::Odd(Odd::Memory), v2: File::Odd(Odd::Memory),
            systemd: &[unit("memory.swap.max", "MemorySwapMax", 0, 0)],
            option: Some(("--memory-swap BYTES", Takes::Bytes)),
        }
        /// Obsolete: the kernel has no such limit any more, and a warning says so.
        "kernel" kernel: i64 {
            nothing: Some(0), v1: GONE, v2: GONE,
            option: Some(("--kernel-memory BYTES", Takes::Bytes)),
        }
        /// Obsolete: the kernel has no such limit any more, and a warning says so.
        "kernelTCP" kernel_tcp: i64 {
            nothing: Some(0), v1: GONE, v2: GONE,
            option: Some(("--kernel-memory-tcp BYTES", Takes::Bytes)),
        }
        /// How readily the kernel swaps its memory, 0 to 100; cgroup v1.
        "swappiness" swappiness: u64 {
            // Some callers write -1 for "not given", as an unsigned 64-bit number.
            nothing: Some(u64::MAX as i128), range: Some((0, 100)), controller: "memory",
            v1: File::Plain("memory.swappiness"),
            v2: File::No("cgroup v2 has no such setting; see memory.swap"),
        }
        /// Stop a process that needs more memory instead of killing it; cgroup v1.
        "disableOOMKiller" disable_oom_killer: bool {
            nothing: Some(0), controller: "memory",
            v1: File::Plain("memory.oom_control"),
            v2: File::No("cgroup v2 cannot disable the OOM killer"),
        }
        /// Apply the limits to the cgroups below as well, which is always so now.
        "useHierarchy" use_hierarchy: bool {
            nothing: Some(1), v1: File::Gone("always true since Linux 5.11"),
            v2: File::Gone("always true since Linux 5.11"),
        }
        /// Refuse a limit below what is in use.
        "checkBeforeUpdate" check_before_update: bool {}
    }

    /// `linux.resources.cpu`.
    pub struct Cpu = "cpu" cpu {
        /// Relative weight of its processor time, 2 to 262144.
        "shares" shares: u64 {
            nothing: Some(0), check: Some(rule::shares), controller: "cpu",
            v1: File::Odd(Odd::Shares), v2: File::Odd(Odd::Shares),
            systemd: &[
                unit("cpu.shares", "CPUShares", 2, 0),
                unit("cpu.weight", "CPUWeight", 1, 0),
            ],
            option: Some(("--cpu-share WEIGHT", Takes::Number(0, 262_144))),
            aliases: &["--cpu-shares"],
        }
        /// Processor time per period; 0 and less: unlimited.
        "quota" quota: i64 {
            nothing: Some(0), check: Some(rule::quota), with: Some("cpu.period"),
            controller: "cpu", v1: File::Odd(Odd::Bandwidth), v2: File::Odd(Odd::Bandwidth),
            option: Some(("--cpu-quota MICROSECONDS", Takes::Number(i64::MIN, i64::MAX))),
        }
        /// Length of a period.
        "period" period: u64 {
            nothing: Some(0), range: Some((1000, 1_000_000)), with: Some("cpu.quota"),
            controller: "cpu", v1: File::Odd(Odd::Bandwidth), v2: File::Odd(Odd::Bandwidth),
            option: Some(("--cpu-period MICROSECONDS", COUNT)),
        }
        /// Processor time beyond the quota that can be saved up.
        "burst" burst: u64 {
            check: Some(rule::burst), controller: "cpu",
            v1: File::Plain("cpu.cfs_burst_us"), v2: File::Plain("cpu.max.burst"),
            since: "5.14", absent: Some(0), hint: Some("the burst is at most the quota"),
            option: Some(("--cpu-burst MICROSECONDS", COUNT)),
        }
        /// 1: only CPU time that no other task wants; 0: the usual share.
        "idle" idle: i64 {
            range: Some((0, 1)), controller: "cpu",
            v1: File::Odd(Odd::Idle), v2: File::Odd(Odd::Idle), since: "5.15", absent: Some(0),
            option: Some(("--cpu-idle 0|1", Takes::Number(0, 1))),
        }
        /// Real-time processor time per real-time period; cgroup v1.
        "realtimeRuntime" realtime_runtime: i64 {
            nothing: Some(0), range: BYTES, check: Some(rule::realtime_runtime),
            controller: "cpu", v1: File::Odd(Odd::RealTime), v2: NO_REAL_TIME,
            option: Some(("--cpu-rt-runtime MICROSECONDS", SIGNED)),
        }
        /// Length of a real-time period; cgroup v1.
        "realtimePeriod" realtime_period: u64 {
            nothing: Some(0), controller: "cpu", v1: File::Odd(Odd::RealTime), v2: NO_REAL_TIME,
            option: Some(("--cpu-rt-period MICROSECONDS", COUNT)),
        }
        /// Which processors, such as 0-3,7.
        "cpus" cpus: String {
            check: Some(rule::cpus), controller: "cpuset",
            v1: File::Plain("cpuset.cpus"), v2: File::Plain("cpuset.cpus"),
            systemd: &[unit("cpuset.cpus", "AllowedCPUs", 0, 244)],
            option: Some(("--cpuset-cpus LIST", Takes::Text)),
        }
        /// Which memory nodes, such as 0-1.
        "mems" mems: String {
            check: Some(rule::mems), controller: "cpuset",
            v1: File::Plain("cpuset.mems"), v2: File::Plain("cpuset.mems"),
            systemd: &[unit("cpuset.mems", "AllowedMemoryNodes", 0, 244)],
            option: Some(("--cpuset-mems LIST", Takes::Text)),
        }
    }

    /// `linux.resources.pids`.
    pub struct Pids = "pids" pids {
        /// Most tasks; -1: unlimited.
        "limit" limit: i64 {
            nothing: Some(0), check: Some(rule::pids), controller: "pids",
            v1: File::Max("pids.max"), v2: File::Max("pids.max"),
            systemd: &[unit("pids.max", "TasksMax", 1, 0)],
            option: Some(("--pids-limit NUMBER", Takes::Number(-1, 4_194_304))),
            aliases: &["--pids"],
        }
    }

    /// `linux.resources.blockIO`.
    pub struct BlockIo = "blockIO" block_io {
        /// Relative weight of its block I/O, 10 to 1000.
        "weight" weight: u16 {
            nothing: Some(0), check: Some(rule::weight), controller: "io",
            v1: File::Odd(Odd::IoWeight), v2: File::Odd(Odd::IoWeight),
            systemd: &[
                unit("blkio.weight", "BlockIOWeight", 10, 0),
                unit("io.weight", "IOWeight", 1, 0),
            ],
            option: Some(("--blkio-weight WEIGHT", Takes::Number(0, 1000))),
        }
        /// Relative weight against the cgroups below, 10 to 1000; cgroup v1.
        "leafWeight" leaf_weight: u16 {
            nothing: Some(0), check: Some(rule::leaf_weight), controller: "io",
            v1: File::Plain("blkio.leaf_weight"), v2: File::No("cgroup v2 has no leaf weight"),
        }
        lists {
            /// Weight by device.
            "weightDevice" weight_device: Vec<WeightDevice>,
            /// Bytes per second.
            "throttleReadBpsDevice" throttle_read_bps: Vec<ThrottleDevice>,
            /// Bytes per second.
            "throttleWriteBpsDevice" throttle_write_bps: Vec<ThrottleDevice>,
            /// Operations per second.
            "throttleReadIOPSDevice" throttle_read_iops: Vec<ThrottleDevice>,
            /// Operations per second.
            "throttleWriteIOPSDevice" throttle_write_iops: Vec<ThrottleDevice>,
        }
    }

    // Limits of cgroup v2 for which the specification has no property.
    unified {
        /// Memory from which on it is slowed down.
        "memory.high" { systemd: &[unit("memory.high", "MemoryHigh", 1, 0)] }
        /// Memory that is never taken from it.
        "memory.min" { systemd: &[unit("memory.min", "MemoryMin", 0, 240)] }
        /// Most memory in zswap, which holds swapped pages compressed in RAM; -1: unlimited.
        "memory.zswap.max" {
            since: "5.19", systemd: &[unit("memory.zswap.max", "MemoryZSwapMax", 0, 253)],
            option: Some(("--memory-zswap BYTES", Takes::Bytes)),
        }
    }
}
