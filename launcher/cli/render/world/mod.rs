//! A container's world as one figure: what is its own, what it shares with the host, and what it
//! may do; a card for each kind of wall.
//!
//! Knows what a security reviewer asks. Everything in it is from the configuration, the facts about
//! the host, and what was compiled from both; it opens nothing.

mod limits;
mod mounts;
mod rights;
mod walls;

use super::picture::Sheet;
use crate::cgroup::{Cgroup, Devices, Setting};
use crate::container::{NetworkChoice, Prepared};
use crate::host::Host;
use crate::plan::Finished;
use crate::spec::Spec;

const TITLE: &str = "the world of a container";

/// What the figure shows.
pub struct World<'a> {
    /// What the user calls the container: its bundle.
    pub name: &'a str,
    /// The configuration.
    pub spec: &'a Spec,
    /// The facts about the host.
    pub host: &'a Host,
    /// Where its groups will be.
    pub cgroup: &'a Cgroup,
    /// The scope that systemd makes, if it makes the groups.
    pub scope: Option<&'a str>,
    /// The limits.
    pub settings: &'a [Setting],
    /// The devices that it may use.
    pub devices: &'a Devices,
    /// What `--network` asked for.
    pub network: Option<&'a NetworkChoice>,
    /// Whether the changes to its files vanish.
    pub ephemeral: bool,
    /// Whether init stays as the first process.
    pub init: bool,
    /// The steps that make it.
    pub plan: &'a Finished,
}

impl<'a> World<'a> {
    /// Of a container that is prepared.
    pub fn of(
        name: &'a str,
        prepared: &'a Prepared,
        network: Option<&'a NetworkChoice>,
    ) -> World<'a> {
        World {
            name,
            spec: &prepared.spec,
            host: &prepared.host,
            cgroup: &prepared.cgroup,
            scope: prepared.wanted.as_ref().map(|wanted| wanted.scope.unit.as_str()),
            settings: &prepared.settings,
            devices: &prepared.devices,
            network,
            ephemeral: prepared.ephemeral,
            init: prepared.init,
            plan: &prepared.plan,
        }
    }

    /// Draw it.
    pub fn svg(&self) -> String {
        let mut sheet = Sheet::new(TITLE, self.name);
        let (steps, user) = (self.plan.steps().count(), self.host.euid);
        sheet.remark(&format!("user {user} makes it in {steps} steps, which explain prints"));
        sheet.legend();
        rights::program(self, &mut sheet);
        walls::namespaces(self, &mut sheet);
        walls::users(self, &mut sheet);
        rights::capabilities(self, &mut sheet);
        rights::system_calls(self, &mut sheet);
        mounts::mounts(self, &mut sheet);
        limits::devices(self, &mut sheet);
        limits::cgroups(self, &mut sheet);
        walls::network(self, &mut sheet);
        walls::parameters(self, &mut sheet);
        walls::hooks(self, &mut sheet);
        sheet.finish(TITLE)
    }
}
