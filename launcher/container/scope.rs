//! The container's cgroup, which systemd may make, as a scope that init is moved into.
//!
//! systemd makes a scope only around a process, so init is cloned first and waits for its plan
//! until it is in the scope. Knows when a scope is made and removed; `systemd` knows how, and
//! `cgroup` the groups in it.

use std::os::unix::net::UnixStream;
use std::path::Path;

use super::launch::Undo;
use super::prepare::{Prepared, broken};
use crate::cgroup::{self, Cgroup, Devices, Hierarchies, Processes, Setting};
use crate::conversation;
use crate::error::{Error, Result};
use crate::log;
use crate::spec::{Process, Spec};
use crate::state::Record;
use crate::sys::process::{Child, Clone};
use crate::systemd::properties::{self, Property};
use crate::systemd::{Owner, Scope, Systemd, names};

/// What makes the container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupDriver {
    /// We make it, by cgroupfs.
    #[default]
    Cgroupfs,
    /// systemd makes it; we ask over D-Bus.
    Systemd,
    /// No cgroup is made: the container stays in the cgroups of its creator.
    Disabled,
}

/// A scope that is to be made, and the connection to its manager.
pub struct Wanted {
    /// The names of the scope, which the record keeps.
    pub scope: Scope,
    /// The connection to the manager.
    pub systemd: Systemd,
    /// The properties of the scope.
    pub properties: Vec<Property>,
}

/// Locate the container's groups, which do not exist yet; with systemd, connect to it.
pub fn locate(
    by: CgroupDriver,
    spec: &Spec,
    (id, state): (&str, &Path),
    h: &Hierarchies,
) -> Result<(Cgroup, Option<Wanted>)> {
    let linux = spec.linux.as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path.as_deref());
    match by {
        CgroupDriver::Cgroupfs => Ok((Cgroup::locate(path, id, h)?, None)),
        CgroupDriver::Disabled => Ok((Cgroup::default(), None)),
        CgroupDriver::Systemd => {
            let user = crate::sys::user::is_rootless();
            let names = names(path, id, user)?;
            let annotations = properties::of_annotations(&spec.annotations);
            let properties = annotations.map_err(|wrong| broken(vec![wrong]))?;
            if user && h.mode() != cgroup::Mode::V2 {
                let text = "the user's systemd can make cgroups of version 2 only";
                return Err(Error::new(text).hint("leave --systemd-cgroup out, or run as root"));
            }
            let mut systemd = Systemd::connect(user)?;
            let path = systemd.cgroup()? + &names.cgroup();
            let scope = Scope::new(&names, state, &systemd);
            Ok((Cgroup::managed(&path, h), Some(Wanted { scope, systemd, properties })))
        }
    }
}

impl Wanted {
    /// Add the limits as properties; a property that an annotation gives wins over a limit.
    pub fn limit(&mut self, settings: &[Setting], devices: &Devices) {
        let version = self.systemd.version();
        let mut all = properties::of(settings, version);
        all.extend(properties::of_devices(devices));
        let first = properties::of_start(settings);
        // Versions 253 and later know it, and some of 252: Debian's, for one.
        if !first.is_empty() && self.systemd.scopes_have(properties::OOM_POLICY) {
            all.extend(first);
        }
        all.retain(|(name, _)| self.properties.iter().all(|(other, _)| other != name));
        all.append(&mut self.properties);
        self.properties = all;
    }
}

/// Refuse limits if the container gets no cgroup.
///
/// # Errors
/// There are limits, and `by` makes no cgroup.
pub fn limits_need_one(by: CgroupDriver, settings: &[Setting]) -> Result<()> {
    let first = settings.first().filter(|_| by == CgroupDriver::Disabled);
    let Some(first) = first else { return Ok(()) };
    let text = format!("{}: --cgroup-manager disabled: there is no cgroup to limit", first.origin);
    Err(Error::new(text).hint("remove linux.resources, or choose another manager"))
}

/// Make the groups and set their limits before init is cloned, unless systemd makes the groups.
pub fn before(undo: &mut Undo<'_>, prepared: &Prepared) -> Result<()> {
    if undo.wanted.is_some() {
        return Ok(());
    }
    undo.record.cgroup.create(&prepared.settings)?;
    limit(&mut undo.record.cgroup, prepared)
}

fn limit(cgroup: &mut Cgroup, prepared: &Prepared) -> Result<()> {
    let settings = cgroup.delay_small_limits(&prepared.settings);
    cgroup.apply(&settings)?;
    cgroup.set_devices(&prepared.devices)
}

/// Make the scope around init before init gets its plan, or around CRIU before it restores init,
/// and set the limits.
pub fn around(undo: &mut Undo<'_>, prepared: &Prepared, pid: i32) -> Result<()> {
    let Some(wanted) = &mut undo.wanted else { return Ok(()) };
    wanted.systemd.start(&wanted.scope, pid, &wanted.properties)?;
    undo.record.cgroup.adopt(pid, &cgroup::probe()?)?;
    limit(&mut undo.record.cgroup, prepared)
}

/// Kill the processes left in the container's groups, and remove the groups.
///
/// If systemd cannot be reached, it still unloads the scope once that is empty: the scope was made
/// with CollectMode=inactive-or-failed.
pub fn remove(record: &Record, manager: Option<&mut Systemd>) -> Result<()> {
    match take_away(record, manager) {
        // No cgroup outlives its boot, so a group of this name is another container's.
        Err(e) if !record.boot.is_now() => {
            log::debug(|| e.line().to_owned());
            Ok(())
        }
        result => result,
    }
}

fn take_away(record: &Record, manager: Option<&mut Systemd>) -> Result<()> {
    let Some(scope) = &record.scope else { return record.cgroup.remove(Processes::Kill) };
    let mut own;
    let manager = match manager {
        Some(manager) => manager,
        None => match Systemd::at(&scope.manager) {
            Ok(manager) => {
                own = manager;
                &mut own
            }
            Err(e) => {
                log::debug(|| format!("{}: {}", scope.unit, e.line()));
                return record.cgroup.remove(Processes::Kill);
            }
        },
    };
    match manager.owner(scope)? {
        Owner::Nobody => record.cgroup.remove(Processes::Kill),
        // Our scope was never made: the unit of this name is another's.
        Owner::Another => Ok(()),
        Owner::Ours => {
            // If the processes are not visible to us, systemd kills them when it stops the scope.
            let killed = record.cgroup.kill();
            manager.stop(scope)?;
            record.cgroup.remove(Processes::Kill).and(killed)
        }
    }
}

/// Change the limits that are properties of the scope.
pub fn update(record: &Record, settings: &[Setting]) -> Result<()> {
    let Some(scope) = &record.scope else { return Ok(()) };
    let mut manager = Systemd::at(&scope.manager)?;
    let changed = properties::of(settings, manager.version());
    manager.set(scope, &changed)
}

/// Start a process of `exec` in the container's group. An unprivileged caller outside its systemd
/// manager's cgroup may not clone into the group; then its systemd moves the process there while
/// the process waits for its plan.
pub fn start_in(
    record: &Record,
    cgroup: &Cgroup,
    process: &Process,
    request: &Clone<'_>,
) -> Result<(Child, UnixStream)> {
    let failed = |(call, e): (&'static str, std::io::Error)| {
        crate::program::vectors::failed(Some(process), "exec", call, &e)
    };
    let (scope, refused) = match (conversation::start(request), &record.scope) {
        (Err(("clone3", e)), Some(scope)) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            (scope, e)
        }
        (result, _) => return result.map_err(failed),
    };
    let below = cgroup.distance_below(&record.cgroup);
    let below = below.ok_or_else(|| failed(("clone3", refused)))?;
    let outside = Clone { cgroup: None, ..*request };
    let (child, channel) = conversation::start(&outside).map_err(failed)?;
    let moved =
        Systemd::at(&scope.manager).and_then(|mut manager| manager.attach(scope, below, child.pid));
    moved.map(|()| (child, channel))
}
