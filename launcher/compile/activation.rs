//! What a service manager gives to its services, passed on to a container: listening sockets
//! (sd_listen_fds(3)) and a socket for notifications (sd_notify(3)).
//!
//! Changes the config as if the user had written it. Pure: knows neither this process's environment
//! nor its descriptors.

use crate::spec::{Mount, Spec};

/// Listening sockets: the caller's descriptors from 3 on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listen {
    /// How many there are.
    pub count: u32,
    /// Their names, separated by colons.
    pub names: Option<String>,
}

/// The caller's descriptors that the program has under the same numbers, from 3 on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preserved {
    /// How many numbers there are.
    pub count: u32,
    /// Those among them that the caller has not open: the program has not either.
    pub holes: Vec<u32>,
}

/// Where the container finds the directory of its notification socket.
pub const NOTIFY_DIRECTORY: &str = "/run/notify";
/// The socket's name in that directory.
pub const NOTIFY_SOCKET: &str = "notify.sock";

/// The variables by which a program knows its sockets; in place of what the config has.
pub fn listen(env: &mut Vec<String>, listen: &Listen) {
    if listen.count == 0 {
        return;
    }
    env.retain(|entry| !entry.starts_with("LISTEN_FDNAMES="));
    env.push(format!("LISTEN_FDS={}", listen.count));
    // The container's program is the first of its pid namespace.
    env.push("LISTEN_PID=1".to_owned());
    env.extend(listen.names.as_ref().map(|names| format!("LISTEN_FDNAMES={names}")));
}

/// A mount that shows the host's `directory`, and the variable that names the socket in it.
///
/// The directory and not the socket: whoever starts the container binds a socket of its own there.
pub fn notify(spec: &mut Spec, directory: &str) {
    spec.mounts.push(Mount {
        destination: NOTIFY_DIRECTORY.to_owned(),
        source: Some(directory.to_owned()),
        options: ["bind", "ro", "nosuid", "nodev", "noexec"].into_iter().collect(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        process.env.push(format!("NOTIFY_SOCKET={NOTIFY_DIRECTORY}/{NOTIFY_SOCKET}"));
    }
}
