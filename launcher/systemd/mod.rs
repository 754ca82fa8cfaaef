//! Scopes: units of systemd that hold a container's cgroup, made, changed and stopped over D-Bus.
//!
//! `unit` knows names, `properties` the property of each limit, `bus` and `wire` the protocol.
//! Touched only by containers that were made with the systemd driver, and by "doctor". Must not
//! know about the container's state directory, or write to cgroupfs.

mod bus;
mod gvariant;
pub mod properties;
mod unit;
mod wire;

use serde::{Deserialize, Serialize};

pub use bus::Address;
use bus::{Answer, Bus};
use properties::Property;
pub use unit::{Names, names};
use wire::{Message, Method, Value};

use crate::error::{Error, Result};

/// A container's scope. It is kept in the state, from which the unit can be found and removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scope {
    /// Name of the unit.
    pub unit: String,
    /// The slice that it is in.
    pub slice: String,
    /// Its description, which distinguishes it from another container's unit with the same name.
    pub description: String,
    /// The manager of the unit.
    pub manager: Address,
}

/// The owner of a unit's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// No unit has the name.
    Nobody,
    /// The unit is this scope.
    Ours,
    /// Another unit has the name.
    Another,
}

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SCOPE: &str = "org.freedesktop.systemd1.Scope";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// A connection to the system manager or to a user manager.
pub struct Systemd {
    bus: Bus,
    address: Address,
    version: u32,
}

impl Systemd {
    /// Connect to the system manager, or with `user` to the manager of the calling user.
    ///
    /// # Errors
    /// The manager cannot be reached; the error says what to do.
    pub fn connect(user: bool) -> Result<Systemd> {
        let mut first: Option<Error> = None;
        for address in Address::of(user) {
            match Self::at(&address) {
                Ok(manager) => return Ok(manager),
                Err(e) => {
                    first = Some(match first {
                        Some(first) => first.detail(e.line()),
                        None => e,
                    });
                }
            }
        }
        let why = first.unwrap_or_else(|| {
            Error::new("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set")
        });
        let which = if user { "the user's systemd" } else { "systemd" };
        Err(why.within(format!("cannot reach {which}")).hint(match user {
            _ if !std::path::Path::new("/run/systemd/system").exists() => {
                "systemd is not this machine's first process: leave --systemd-cgroup out"
            }
            true => {
                "install dbus-user-session and log in with a session of your own (not su or sudo; \
                 or: loginctl enable-linger), so that $XDG_RUNTIME_DIR/bus is there; or leave \
                 --systemd-cgroup out"
            }
            false => "start dbus.socket, or leave --systemd-cgroup out",
        }))
    }

    /// Connect to the manager that made a scope.
    ///
    /// # Errors
    /// The bus cannot be reached, or systemd does not tell its version.
    pub fn at(address: &Address) -> Result<Systemd> {
        let bus = Bus::connect(address)?;
        let mut manager = Systemd { bus, address: address.clone(), version: 0 };
        let version = manager.property(PATH, INTERFACE, "Version")?;
        // `252.39-1~deb12u1`, `v250`.
        let digits = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next();
        manager.version = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Ok(manager)
    }

    /// The manager's version number; 0 if it is unknown.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The address at which the manager is reached.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The manager's own cgroup, below which its units are; empty for the root cgroup.
    ///
    /// # Errors
    /// The connection fails, or systemd does not tell the property.
    pub fn cgroup(&mut self) -> Result<String> {
        let path = self.property(PATH, INTERFACE, "ControlGroup")?;
        Ok(path.trim_end_matches('/').to_owned())
    }

    /// Whether scopes have a property whose value is a text. systemd's own processes are in a
    /// scope, which is asked for it.
    pub fn scopes_have(&mut self, property: &str) -> bool {
        let own = format!("{PATH}/unit/init_2escope");
        self.property(&own, SCOPE, property).is_ok()
    }

    /// Make the scope with a process in it, and wait until the job is done.
    ///
    /// # Errors
    /// The connection fails, systemd refuses the unit or a property, or the job fails.
    pub fn start(&mut self, scope: &Scope, pid: i32, wanted: &[Property]) -> Result<()> {
        self.watch_jobs()?;
        let arguments = [
            Value::text(&scope.unit),
            Value::text("replace"),
            list(&scope.properties(pid, wanted)),
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        let mut answer = self.ask("StartTransientUnit", &arguments)?;
        if matches!(&answer, Answer::Refused(name, _) if name == UNIT_EXISTS) {
            self.make_way(scope)?;
            answer = self.ask("StartTransientUnit", &arguments)?;
        }
        let job = self.done(scope, "StartTransientUnit", answer)?;
        self.wait(scope, "start", &job)
    }

    /// Subscribe to the signals about the end of jobs; on its private socket systemd sends them to
    /// every client.
    fn watch_jobs(&mut self) -> Result<()> {
        if self.address.direct {
            return Ok(());
        }
        let of = format!("sender='{NAME}',interface='{INTERFACE}',member='JobRemoved'");
        self.bus.watch(&format!("type='signal',{of}"))
    }

    /// Remove a failed scope, or an earlier scope of this container.
    fn make_way(&mut self, scope: &Scope) -> Result<()> {
        if self.owner(scope)? == Owner::Ours {
            return self.stop(scope);
        }
        self.ask("ResetFailedUnit", &[Value::text(&scope.unit)]).map(drop)
    }

    /// The owner of the unit with this name.
    ///
    /// # Errors
    /// The connection fails, or systemd refuses the query.
    pub fn owner(&mut self, scope: &Scope) -> Result<Owner> {
        let path = match self.ask("GetUnit", &[Value::text(&scope.unit)])? {
            Answer::Done(message) => text(&message),
            Answer::Refused(name, _) if name == NO_SUCH_UNIT => return Ok(Owner::Nobody),
            refused => self.done(scope, "GetUnit", refused).map(|m| text(&m))?,
        };
        Ok(match self.property(&path, UNIT, "Description") {
            Ok(description) if description == scope.description => Owner::Ours,
            Ok(_) => Owner::Another,
            // The unit was unloaded meanwhile.
            Err(_) => Owner::Nobody,
        })
    }

    /// Stop the scope, which has no process left, and reset it, so that systemd unloads it.
    ///
    /// # Errors
    /// The connection fails, systemd refuses, or the job fails. A unit that is gone is no error.
    pub fn stop(&mut self, scope: &Scope) -> Result<()> {
        self.watch_jobs()?;
        let arguments = [Value::text(&scope.unit), Value::text("replace")];
        let answer = self.ask("StopUnit", &arguments)?;
        if !is_gone(&answer) {
            let job = self.done(scope, "StopUnit", answer)?;
            self.wait(scope, "stop", &job)?;
        }
        let answer = self.ask("ResetFailedUnit", &[Value::text(&scope.unit)])?;
        match is_gone(&answer) {
            true => Ok(()),
            false => self.done(scope, "ResetFailedUnit", answer).map(drop),
        }
    }

    /// Change properties of the scope; the change lasts until the scope ends.
    ///
    /// # Errors
    /// The connection fails, or systemd refuses a property.
    pub fn set(&mut self, scope: &Scope, wanted: &[Property]) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let arguments = [Value::text(&scope.unit), Value::Bool(true), list(wanted)];
        let answer = self.ask("SetUnitProperties", &arguments)?;
        self.done(scope, "SetUnitProperties", answer).map(drop)
    }

    /// Move a process into the scope, or into a cgroup below it.
    ///
    /// # Errors
    /// The connection fails, or systemd refuses to move the process.
    pub fn attach(&mut self, scope: &Scope, below: &str, pid: i32) -> Result<()> {
        let pids = Value::Array("u".into(), vec![Value::U32(pid as u32)]);
        let arguments = [Value::text(&scope.unit), Value::text(below), pids];
        let answer = self.ask("AttachProcessesToUnit", &arguments)?;
        self.done(scope, "AttachProcessesToUnit", answer).map(drop)
    }

    fn ask(&mut self, member: &str, arguments: &[Value]) -> Result<Answer> {
        let method = Method { destination: NAME, path: PATH, interface: INTERFACE, member };
        self.bus.call(&method, arguments)
    }

    fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<String> {
        let properties = "org.freedesktop.DBus.Properties";
        let method = Method { destination: NAME, path, interface: properties, member: "Get" };
        let answer = self.bus.call(&method, &[Value::text(interface), Value::text(name)])?;
        let place = self.bus.path().display().to_string();
        match answer {
            Answer::Done(message) => message
                .arguments()
                .text_in_variant()
                .ok_or_else(|| Error::new(format!("{place}: {name} of systemd is no text"))),
            Answer::Refused(_, text) => Err(Error::new(format!("{place}: {name}: {text}"))),
        }
    }

    /// The answer; a refusal becomes an error.
    fn done(&self, scope: &Scope, call: &str, answer: Answer) -> Result<Message> {
        let (name, text) = match answer {
            Answer::Done(message) => return Ok(message),
            Answer::Refused(name, text) => (name, text),
        };
        let text = text.trim_end_matches('.');
        let error = Error::new(format!("systemd: {call} {}: {text}", scope.unit));
        Err(match name.as_str() {
            UNIT_EXISTS => error.hint(format!(
                "choose another linux.cgroupsPath or another id, or: systemctl stop {}",
                scope.unit
            )),
            "org.freedesktop.DBus.Error.PropertyReadOnly"
            | "org.freedesktop.DBus.Error.UnknownProperty"
            | "org.freedesktop.DBus.Error.InvalidArgs" => error.hint(format!(
                "see systemd.scope(5) and systemd.resource-control(5), and the annotations {}NAME",
                properties::ANNOTATION
            )),
            "org.freedesktop.DBus.Error.AccessDenied"
            | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
                error.hint("only root may ask the system's systemd for it")
            }
            _ => error,
        })
    }

    fn wait(&mut self, scope: &Scope, what: &str, answer: &Message) -> Result<()> {
        let job = text(answer);
        let ended = |signal: &Message| {
            let mut arguments = signal.arguments();
            arguments.u32()?;
            let of = arguments.text()?;
            arguments.text()?;
            arguments.text().filter(|_| of == job)
        };
        let result = self.bus.wait("JobRemoved", ended)?;
        if result == "done" {
            return Ok(());
        }
        let unit = &scope.unit;
        Err(Error::new(format!("systemd: {what} {unit}: the job ended with {result:?}"))
            .hint(format!("see: journalctl --unit {unit}, and: systemctl status {}", scope.slice)))
    }
}

/// The first argument.
fn text(message: &Message) -> String {
    message.arguments().text().unwrap_or_default()
}

fn is_gone(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(name, _) if name == NO_SUCH_UNIT)
}

/// `a(sv)`.
fn list(properties: &[Property]) -> Value {
    let pair = |(name, value): &Property| {
        Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value.clone()))])
    };
    Value::Array("(sv)".into(), properties.iter().map(pair).collect())
}

impl Scope {
    /// The scope of a container: `state` is its state directory, which no other container has.
    pub fn new(names: &Names, state: &std::path::Path, manager: &Systemd) -> Scope {
        Scope {
            unit: names.unit.clone(),
            slice: names.slice.clone(),
            description: format!("tiny-ce container {}", state.display()),
            manager: manager.address.clone(),
        }
    }

    /// All properties of the new scope. Those of `wanted` come last, and so override the others.
    fn properties(&self, pid: i32, wanted: &[Property]) -> Vec<Property> {
        let yes = |name: &str| (name.to_owned(), Value::Bool(true));
        let text = |name: &str, text: &str| (name.to_owned(), Value::text(text));
        let pids = Value::Array("u".into(), vec![Value::U32(pid as u32)]);
        let mut all = vec![
            text("Description", &self.description),
            text("Slice", &self.slice),
            ("PIDs".to_owned(), pids),
            yes("Delegate"),
            ("DefaultDependencies".to_owned(), Value::Bool(false)),
            // systemd unloads a failed scope too, so a launcher that is killed leaves no unit
            // behind.
            text("CollectMode", "inactive-or-failed"),
            yes("CPUAccounting"),
            yes("IOAccounting"),
            yes("MemoryAccounting"),
            yes("TasksAccounting"),
        ];
        all.retain(|(name, _)| wanted.iter().all(|(other, _)| other != name));
        all.extend(wanted.iter().cloned());
        all
    }
}
