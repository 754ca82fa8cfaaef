//! What the environment says about sockets: `LISTEN_FDS` and `NOTIFY_SOCKET`.
//!
//! Only reads variables; what follows from them is `compile::activation`'s and `container`'s.

use std::env;
use std::path::PathBuf;

use crate::compile::activation::Listen;
use crate::{Error, Result};

/// More descriptors than any process can have.
const MOST: u32 = 1_048_576;

/// The sockets that this process was given, sd_listen_fds(3): none, if they are another's.
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

/// Where the service manager wants to be told, sd_notify(3).
pub fn notify_socket() -> Option<PathBuf> {
    env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from)
}
