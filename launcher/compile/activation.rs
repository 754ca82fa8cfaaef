//! Pass on to a container what a service manager gives to a service: listening sockets
//! (sd_listen_fds(3)) and a socket for notifications (sd_notify(3)).
//!
//! The functions change the config as if the user had written it. Pure: they read neither this
//! process's environment nor its descriptors.

use crate::spec::{Mount, Spec};

/// Listening sockets: the caller's descriptors from 3 on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listen {
    /// The number of sockets.
    pub count: u32,
    /// Their names, separated by colons.
    pub names: Option<String>,
}

/// The caller's descriptors that the program inherits under the same numbers, from 3 on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preserved {
    /// How many numbers there are.
    pub count: u32,
    /// The numbers that are not open in the caller, and so not in the program.
    pub holes: Vec<u32>,
}

/// The directory of the notification socket in the container.
pub const NOTIFY_DIRECTORY: &str = "/run/notify";
/// The socket's name in that directory.
pub const NOTIFY_SOCKET: &str = "notify.sock";

/// Set the variables that name the program's sockets, in place of those of the config.
pub fn listen(env: &mut Vec<String>, listen: &Listen) {
    if listen.count == 0 {
        return;
    }
    env.retain(|entry| !entry.starts_with("LISTEN_FDNAMES="));
    env.push(format!("LISTEN_FDS={}", listen.count));
    // The container's program is pid 1 of its pid namespace.
    env.push("LISTEN_PID=1".to_owned());
    env.extend(listen.names.as_ref().map(|names| format!("LISTEN_FDNAMES={names}")));
}

/// Add a mount of the host's `directory`, and the variable that names the socket in it.
///
/// The mount is of the directory, since the socket does not exist yet: the command that starts the
/// container binds it there.
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
