//! `update`: limits by a document or by options.
//!
//! Types words and puts them where config.json has them; what a limit does is `container`'s. Names
//! of options are runc's.

use std::path::{Path, PathBuf};

use super::embedded::Bytes;
use super::table::{command, options};
use super::value::{Id, Number};
use super::{Globals, read_document};
use crate::container::{self, Update};
use crate::origin::Origins;
use crate::spec::Resources;
use crate::{Result, log};

type Count = Number<0, { i64::MAX }>;
type Signed = Number<-1, { i64::MAX }>;
type Quota = Number<{ i64::MIN }, { i64::MAX }>;

options! {
    /// Limits, each by an option.
    pub struct Limits {
        /// Memory, such as 512m; -1: unlimited.
        "--memory BYTES" memory: Option<Bytes>,
        /// Memory that is left to it when memory is short; -1: none in particular.
        "--memory-reservation BYTES" reservation: Option<Bytes>,
        /// Memory and swap together; -1: unlimited.
        "--memory-swap BYTES" swap: Option<Bytes>,
        /// Obsolete: the kernel has no such limit any more, and a warning says so.
        "--kernel-memory BYTES" kernel: Option<Bytes>,
        /// Obsolete: the kernel has no such limit any more, and a warning says so.
        "--kernel-memory-tcp BYTES" kernel_tcp: Option<Bytes>,
        /// Relative weight of its processor time, 2 to 262144.
        "--cpu-share WEIGHT" shares: Option<Number<0, 262_144>>,
        /// Processor time per period; 0 and less: unlimited.
        "--cpu-quota MICROSECONDS" quota: Option<Quota>,
        /// Length of a period.
        "--cpu-period MICROSECONDS" period: Option<Count>,
        /// Processor time beyond the quota that can be saved up.
        "--cpu-burst MICROSECONDS" burst: Option<Count>,
        /// 1: only what nobody else wants; 0: as everybody.
        "--cpu-idle 0|1" idle: Option<Number<0, 1>>,
        /// Real-time processor time per real-time period; cgroup v1.
        "--cpu-rt-runtime MICROSECONDS" rt_runtime: Option<Signed>,
        /// Length of a real-time period; cgroup v1.
        "--cpu-rt-period MICROSECONDS" rt_period: Option<Count>,
        /// Which processors, such as 0-3,7.
        "--cpuset-cpus LIST" cpus: Option<String>,
        /// Which memory nodes, such as 0-1.
        "--cpuset-mems LIST" mems: Option<String>,
        /// Relative weight of its block I/O, 10 to 1000.
        "--blkio-weight WEIGHT" blkio_weight: Option<Number<0, 1000>>,
        /// Number of tasks; -1: unlimited.
        "--pids-limit NUMBER" pids: Option<Signed>,
        /// Line of its class of service in resctrl, such as L3:0=f.
        "--l3-cache-schema LINE" l3_cache_schema: Option<String>,
        /// Line of its class of service in resctrl, such as MB:0=50.
        "--mem-bw-schema LINE" mem_bw_schema: Option<String>,
    }
}

command! {
    /// Change the limits of a container that runs, or is paused.
    ///
    /// What is not named stays as it is. Either all limits that are named are changed or, if one of
    /// them is refused, none. Limits of a document can be overruled by options. Device rules are
    /// left as they are.
    pub struct UpdateCommand = "update" {
        args {
            /// The container.
            "CONTAINER" id: Id,
        }
        options {
            /// A JSON document as config.json has it in linux.resources; -: standard input.
            "-r, --resources FILE" resources: Option<PathBuf>,
        }
        include {
            "Limits" limits: Limits,
        }
        examples {
            "update --memory 512m --memory-swap 512m web": "no swap",
            "update --cpu-quota 50000 --cpu-period 100000 web": "half a processor",
            "update --resources limits.json web": "what the file has",
        }
        run = update;
    }
}

fn update(it: UpdateCommand, globals: &Globals) -> Result<u8> {
    let mut update = match &it.resources {
        None => Update::default(),
        Some(path) => document(path)?,
    };
    let before = update.resources.clone();
    it.limits.put(&mut update.resources);
    update.origins = it.limits.origins();
    update.l3_cache_schema = it.limits.l3_cache_schema;
    update.mem_bw_schema = it.limits.mem_bw_schema;
    let rdt = update.l3_cache_schema.is_some() || update.mem_bw_schema.is_some();
    if it.resources.is_none() && !rdt && update.resources == before {
        // Engines call it so when nothing is left to be changed.
        log::warning("update: no limit is named, nothing is changed; name one: --memory 512m");
    }
    container::update(&globals.state_root()?, &it.id.0, &update).map(|()| 0)
}

fn document(path: &Path) -> Result<Update> {
    let (resources, source) = read_document::<Resources>(path)?;
    Ok(Update { resources, source, ..Update::default() })
}

impl Limits {
    /// Which fields are these options'.
    fn origins(&self) -> Origins {
        let mut origins = Origins::default();
        for (field, option, given) in [
            ("memory.limit", "--memory", self.memory.is_some()),
            ("memory.reservation", "--memory-reservation", self.reservation.is_some()),
            ("memory.swap", "--memory-swap", self.swap.is_some()),
            ("memory.kernel", "--kernel-memory", self.kernel.is_some()),
            ("memory.kernelTCP", "--kernel-memory-tcp", self.kernel_tcp.is_some()),
            ("cpu.shares", "--cpu-share", self.shares.is_some()),
            ("cpu.quota", "--cpu-quota", self.quota.is_some()),
            ("cpu.period", "--cpu-period", self.period.is_some()),
            ("cpu.burst", "--cpu-burst", self.burst.is_some()),
            ("cpu.idle", "--cpu-idle", self.idle.is_some()),
            ("cpu.realtimeRuntime", "--cpu-rt-runtime", self.rt_runtime.is_some()),
            ("cpu.realtimePeriod", "--cpu-rt-period", self.rt_period.is_some()),
            ("cpu.cpus", "--cpuset-cpus", self.cpus.is_some()),
            ("cpu.mems", "--cpuset-mems", self.mems.is_some()),
            ("blockIO.weight", "--blkio-weight", self.blkio_weight.is_some()),
            ("pids.limit", "--pids-limit", self.pids.is_some()),
        ] {
            if given {
                origins.add(field, option);
            }
        }
        origins
    }

    /// Each where config.json has it.
    fn put(&self, to: &mut Resources) {
        let bytes = |limit: Option<Bytes>| limit.map(|it| it.0);
        let count = |number: Option<Count>| number.map(|it| it.0.unsigned_abs());
        let sizes = [self.memory, self.reservation, self.swap, self.kernel, self.kernel_tcp];
        if sizes.iter().any(Option::is_some) {
            let memory = to.memory.get_or_insert_default();
            over(&mut memory.limit, bytes(self.memory));
            over(&mut memory.reservation, bytes(self.reservation));
            over(&mut memory.swap, bytes(self.swap));
            over(&mut memory.kernel, bytes(self.kernel));
            over(&mut memory.kernel_tcp, bytes(self.kernel_tcp));
        }
        let cpu = to.cpu.get_or_insert_default();
        over(&mut cpu.shares, self.shares.map(|it| it.0.unsigned_abs()));
        over(&mut cpu.quota, self.quota.map(|it| it.0));
        over(&mut cpu.period, count(self.period));
        over(&mut cpu.burst, count(self.burst));
        over(&mut cpu.idle, self.idle.map(|it| it.0));
        over(&mut cpu.realtime_runtime, self.rt_runtime.map(|it| it.0));
        over(&mut cpu.realtime_period, count(self.rt_period));
        // As with runc, an empty word is none.
        over(&mut cpu.cpus, self.cpus.clone().filter(|it| !it.is_empty()));
        over(&mut cpu.mems, self.mems.clone().filter(|it| !it.is_empty()));
        if to.cpu == Some(Default::default()) {
            to.cpu = None;
        }
        if let Some(weight) = self.blkio_weight {
            to.block_io.get_or_insert_default().weight = u16::try_from(weight.0).ok();
        }
        if let Some(limit) = self.pids {
            to.pids.get_or_insert_default().limit = Some(limit.0);
        }
    }
}

fn over<T>(to: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *to = given;
    }
}
