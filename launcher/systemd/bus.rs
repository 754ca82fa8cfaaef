//! A connection to a D-Bus, or to systemd itself: calls, their answers, and signals.
//!
//! We have our own client for its size, and because the synchronous libraries send our user id to
//! the bus: the bus then refuses root of a user namespace, whose id outside is another. This
//! client, like libsystemd, sends no id, so the bus takes the socket's credentials. Knows the
//! protocol. Must not know what systemd's methods are.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::wire::{self, Message, Method, Value};
use crate::error::{Error, Result};
use crate::sys;

/// The timeout for an answer, and for a job of systemd.
const PATIENCE: Duration = Duration::from_secs(30);

/// The socket of a service manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The socket.
    pub path: PathBuf,
    /// The socket is systemd's own: there is no bus daemon, and so no call of Hello.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
}

impl Address {
    /// The system manager's private socket, which exists on a machine without D-Bus too.
    fn of_system() -> Vec<Address> {
        let bus =
            env::var_os("DBUS_SYSTEM_BUS_ADDRESS").and_then(|text| parse(&text.to_string_lossy()));
        vec![
            Address { path: bus.unwrap_or("/run/dbus/system_bus_socket".into()), direct: false },
            Address { path: "/run/systemd/private".into(), direct: true },
        ]
    }

    /// The user manager's sockets: from the environment of the session, or at the usual place.
    fn of_user() -> Vec<Address> {
        let mut all = Vec::new();
        let session = env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
        if let Some(path) = parse(&session) {
            all.push(Address { path, direct: false });
        }
        let runtime = match env::var_os("XDG_RUNTIME_DIR").filter(|text| !text.is_empty()) {
            Some(directory) => PathBuf::from(directory),
            // Root of a user namespace has another user id outside, which this process does not
            // know.
            None if sys::user::in_user_namespace() => return all,
            None => PathBuf::from(format!("/run/user/{}", sys::user::effective_uid())),
        };
        all.push(Address { path: runtime.join("bus"), direct: false });
        all.push(Address { path: runtime.join("systemd/private"), direct: true });
        all
    }

    /// The addresses to try, in turn.
    pub fn of(user: bool) -> Vec<Address> {
        if user { Self::of_user() } else { Self::of_system() }
    }
}

/// The first `unix:path=` of an address list (the D-Bus specification, "Server Addresses").
fn parse(list: &str) -> Option<PathBuf> {
    let path = list.split(';').find_map(|one| {
        one.strip_prefix("unix:")?.split(',').find_map(|pair| pair.strip_prefix("path="))
    })?;
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// The outcome of a call.
pub enum Answer {
    /// The call succeeded.
    Done(Message),
    /// The call was refused: the name of the error, and its message.
    Refused(String, String),
}

/// A connection.
pub struct Bus {
    stream: UnixStream,
    path: PathBuf,
    serial: u32,
    /// Signals that arrived during the wait for an answer.
    signals: Vec<Message>,
}

impl Bus {
    /// Connect and authenticate; on a bus, call Hello.
    pub fn connect(address: &Address) -> Result<Bus> {
        let path = &address.path;
        let failed = |call| move |e: io::Error| Error::io(path.display(), call, &e);
        let stream = sys::socket::connect_path(path).map_err(failed("connect"))?;
        let patience = Some(PATIENCE);
        stream
            .set_read_timeout(patience)
            .and_then(|()| stream.set_write_timeout(patience))
            .map_err(failed("setsockopt"))?;
        let mut bus = Bus { stream, path: path.clone(), serial: 0, signals: Vec::new() };
        bus.authenticate()?;
        if !address.direct {
            bus.ask("Hello", &[])?;
        }
        Ok(bus)
    }

    /// Authenticate by EXTERNAL without an identity: the server takes the socket's credentials.
    ///
    /// All lines are sent at once, as by libsystemd, and the first call only after OK: if systemd
    /// reads BEGIN together with the first call, it waits for more bytes (bus_socket_start_running
    /// of src/libsystemd/sd-bus/bus-socket.c ignores bytes that it has already read). When it has
    /// answered OK, it has read BEGIN.
    fn authenticate(&mut self) -> Result<()> {
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let mut line = self.line()?;
        if line == "DATA" {
            line = self.line()?;
        }
        if !line.starts_with("OK ") {
            return Err(self
                .broken(&format!("answers {line:?} to AUTH EXTERNAL"))
                .hint("it knows the caller by another user id: enter no user namespace before"));
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        // The specification has no line that long.
        while !line.ends_with(b"\r\n") && line.len() < 16 << 10 {
            let mut byte = [0];
            self.receive(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.stream.write_all(bytes);
        sent.map_err(|e| Error::io(self.path.display(), "write", &e))
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.stream.read_exact(bytes).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => {
                self.broken(&format!("no answer within {} s", PATIENCE.as_secs()))
            }
            io::ErrorKind::UnexpectedEof => self.broken("closed the connection"),
            _ => Error::io(self.path.display(), "read", &e),
        })
    }

    fn broken(&self, text: &str) -> Error {
        Error::new(format!("{}: {text}", self.path.display()))
    }

    /// Call a method of the bus itself.
    fn ask(&mut self, member: &str, arguments: &[Value]) -> Result<()> {
        const NAME: &str = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        let method = Method { destination: NAME, path, interface: NAME, member };
        match self.call(&method, arguments)? {
            Answer::Done(_) => Ok(()),
            Answer::Refused(_, text) => Err(self.broken(&format!("{member}: {text}"))),
        }
    }

    /// Subscribe to the signals that a rule matches. Without a bus daemon there is nothing to
    /// subscribe to.
    pub fn watch(&mut self, rule: &str) -> Result<()> {
        self.ask("AddMatch", &[Value::text(rule)])
    }

    /// Call a method and wait for its answer.
    pub fn call(&mut self, method: &Method<'_>, arguments: &[Value]) -> Result<Answer> {
        self.serial += 1;
        let serial = self.serial;
        self.send(&wire::call(serial, method, arguments))?;
        loop {
            let message = self.next()?;
            match message.kind {
                wire::RETURN if message.reply_to == serial => return Ok(Answer::Done(message)),
                wire::ERROR if message.reply_to == serial => {
                    let text = message.arguments().text().unwrap_or_default();
                    return Ok(Answer::Refused(message.error, text));
                }
                wire::SIGNAL => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// Wait for a signal of this name for which `wanted` returns a value.
    pub fn wait<T>(&mut self, member: &str, wanted: impl Fn(&Message) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        let mut early = std::mem::take(&mut self.signals).into_iter();
        loop {
            let message = match early.next() {
                Some(message) => message,
                None if Instant::now() > end => {
                    return Err(
                        self.broken(&format!("no {member} within {} s", PATIENCE.as_secs()))
                    );
                }
                None => self.next()?,
            };
            let ours = message.kind == wire::SIGNAL && message.member == member;
            if let Some(found) = ours.then(|| wanted(&message)).flatten() {
                return Ok(found);
            }
        }
    }

    fn next(&mut self) -> Result<Message> {
        let mut head = [0; 16];
        self.receive(&mut head)?;
        let unreadable = "sent what is no message of D-Bus";
        let length = wire::rest_of(&head).ok_or_else(|| self.broken(unreadable))?;
        let mut rest = vec![0; length];
        self.receive(&mut rest)?;
        wire::message(&head, &rest).ok_or_else(|| self.broken(unreadable))
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let path = |text| parse(text).map(|path| path.display().to_string());
        assert_eq!(path("unix:path=/run/user/1000/bus").as_deref(), Some("/run/user/1000/bus"));
        let several = "tcp:host=a,port=1;unix:guid=0,path=/a%20b;unix:path=/c";
        assert_eq!(path(several).as_deref(), Some("/a b"));
        for text in ["", "unix:abstract=/tmp/x", "path=/x", "unix:path=/%zz"] {
            assert_eq!(path(text), None, "{text}");
        }
    }
}
