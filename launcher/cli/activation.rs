//! Read the variables of socket activation: `LISTEN_FDS` and `NOTIFY_SOCKET`.
//!
//! Only reads variables; `compile::activation` and `container` act on them.

use std::env;
use std::path::PathBuf;

use crate::compile::activation::Listen;
use crate::{Error, Result};

/// More descriptors than any process can have.
const MOST: u32 = 1_048_576;

/// The number of sockets passed to this process, sd_listen_fds(3); 0 if LISTEN_PID is another
/// process.
///
/// # Errors
/// LISTEN_FDS is no number of descriptors.
pub fn listen() -> Result<Listen> {
    let variable = |name| env::var(name).ok();
    let own = variable("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let Some(count) = variable("LISTEN_FDS").filter(|_| own) else {
        return Ok(Listen::default());
    };
    match count.parse() {
        Ok(count) if count <= MOST => Ok(Listen { count, names: variable("LISTEN_FDNAMES") }),
        _ => Err(Error::new(format!("LISTEN_FDS {count:?}: expected a number of descriptors"))
            .hint("unset LISTEN_FDS, if no sockets are to be passed on")),
    }
}

/// The socket of the service manager for notifications, sd_notify(3).
pub fn notify_socket() -> Option<PathBuf> {
    env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from)
}
