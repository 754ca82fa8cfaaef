//! `events`: the counters of a container at intervals, and each OOM kill in it.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cgroup::stats::{NetworkInterface, Stats};
use crate::conversation::join;
use crate::error::{Error, Result};
use crate::spec::{NamespaceKind, id};
use crate::state::{Directory, ProcessId, Record};
use crate::sys::{memory, process, signal};
use crate::{log, network};

/// An event of a container, in runc's JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Event<'a> {
    /// The counters of its cgroups and interfaces.
    Stats {
        /// The container.
        id: &'a str,
        /// Counters.
        data: Box<Stats>,
    },
    /// The kernel's OOM killer killed a process of the container.
    Oom {
        /// The container.
        id: &'a str,
    },
}

/// Return the present counters of a container.
///
/// # Errors
/// There is no such container, it is not running, or its counters cannot be read.
pub fn stats(root: &Path, id: &str) -> Result<Box<Stats>> {
    let read = || {
        let (record, init) = running(root, id)?;
        measure(&record, init)
    };
    read().map_err(|e: Error| e.within(format!("cannot measure {id:?}")))
}

/// Pass the events of a container to `tell`, until the container ends or `tell` returns false.
///
/// The counters come after each `interval`, an OOM kill comes at once.
///
/// # Errors
/// As [`stats`], or `tell` fails.
pub fn events(
    root: &Path,
    id: &str,
    interval: Duration,
    tell: &mut dyn FnMut(&Event<'_>) -> Result<bool>,
) -> Result<()> {
    stream(root, id, interval, tell).map_err(|e| e.within(format!("cannot watch {id:?}")))
}

fn stream(
    root: &Path,
    id: &str,
    interval: Duration,
    tell: &mut dyn FnMut(&Event<'_>) -> Result<bool>,
) -> Result<()> {
    let (record, init) = running(root, id)?;
    let failed = |call| move |e: std::io::Error| Error::io(format!("pid {}", init.pid), call, &e);
    let pidfd = process::pidfd_open(init.pid).map_err(failed("pidfd_open"))?;
    // Compare the start time after opening the pidfd, which then stays with this process.
    if !init.alive() {
        return Ok(());
    }
    record.cgroup.visible()?;
    let mut watch = match record.cgroup.oom_watch() {
        Ok(watch) => Some(watch),
        Err(e) => {
            log::warning(&format!("OOM kills are not told: {}", e.line()));
            None
        }
    };
    memory::stay();
    let mut next = Instant::now() + interval;
    loop {
        let mut fds = vec![signal::Interest::read(pidfd.as_fd(), true)];
        fds.extend(watch.iter().map(|watch| signal::Interest::read(watch.fd(), true)));
        let left = next.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        let left = i32::try_from(left).unwrap_or(i32::MAX);
        let ended = signal::wait(&fds, left).map_err(failed("poll"))?[0];
        // Report the OOM kill that may have ended the container before its end.
        for _ in 0..watch.as_mut().and_then(|watch| watch.take()).unwrap_or(0) {
            if !tell(&Event::Oom { id })? {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            next += interval;
            let data = match measure(&record, init) {
                // The cgroup vanished because the container ends; poll(2) reports its end next.
                Err(_) if process::wait_gone(&pidfd, ENDING_MS).is_ok() => continue,
                data => data?,
            };
            if !tell(&Event::Stats { id, data })? {
                return Ok(());
            }
        }
    }
}

/// How long init may take to end once its cgroup cannot be read any more, in milliseconds.
const ENDING_MS: i32 = 1000;

fn running(root: &Path, id: &str) -> Result<(Record, ProcessId)> {
    id::check(id)?;
    let record = Record::load(&Directory::open(root, id)?)?;
    match record.living_init() {
        Some(init) => Ok((record, init)),
        None => Err(Error::new("container not running").hint(format!(
            "it is {}; only one that runs can be watched",
            record.without_init().word()
        ))),
    }
}

/// The counters of the cgroups, and of the interfaces if they are the container's own.
fn measure(record: &Record, init: ProcessId) -> Result<Box<Stats>> {
    let mut stats = Box::new(record.cgroup.stats()?);
    stats.intel_rdt = record.resctrl.as_ref().map(|class| class.stats()).unwrap_or_default();
    if join::Joined::open(init.pid)?.namespaces.contains(&NamespaceKind::Network) {
        let interfaces = network::interface_stats(init.pid)?;
        let interfaces: Vec<_> = interfaces.into_iter().map(interface).collect();
        // As in runc, no interface is written as null.
        stats.network_interfaces = Some(interfaces).filter(|list| !list.is_empty());
    }
    Ok(stats)
}

fn interface(it: network::InterfaceStats) -> NetworkInterface {
    NetworkInterface {
        name: it.name,
        rx_bytes: it.rx_bytes,
        rx_packets: it.rx_packets,
        rx_errors: it.rx_errors,
        rx_dropped: it.rx_dropped,
        tx_bytes: it.tx_bytes,
        tx_packets: it.tx_packets,
        tx_errors: it.tx_errors,
        tx_dropped: it.tx_dropped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_as_runc_prints_it() {
        let oom = serde_json::to_string(&Event::Oom { id: "web" }).expect("JSON");
        assert_eq!(oom, "{\"type\":\"oom\",\"id\":\"web\"}");
        let data = Box::new(Stats::default());
        let stats = serde_json::to_string(&Event::Stats { id: "web", data }).expect("JSON");
        assert!(
            stats.starts_with("{\"type\":\"stats\",\"id\":\"web\",\"data\":{\"cpu\":{\"usage\":")
        );
    }
}
