//! Send the listener of a system call filter to `linux.seccomp.listenerPath` (runtime-spec
//! config-linux.md, "The Container Process State").

use std::os::fd::OwnedFd;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::spec::Spec;
use crate::state::{OCI_VERSION, State};
use crate::sys::socket;

#[derive(Serialize)]
struct ProcessState<'a> {
    #[serde(rename = "ociVersion")]
    oci_version: &'static str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a State,
}

/// Send the listener of process `pid` to the seccomp agent, and close our copy.
///
/// # Errors
/// The configuration has no filter, or the agent's socket cannot be connected or written to.
pub fn hand_over(spec: &Spec, state: &State, pid: i32, listener: OwnedFd) -> Result<()> {
    let Some(seccomp) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else {
        return Err(Error::new("linux.seccomp: init sends a listener that nobody asked for"));
    };
    let path = seccomp.listener_path.as_deref().unwrap_or_default();
    let place = || format!("linux.seccomp.listenerPath {path:?}");
    let message = ProcessState {
        oci_version: OCI_VERSION,
        fds: ["seccompFd"],
        pid,
        metadata: seccomp.listener_metadata.as_deref(),
        state,
    };
    let message = serde_json::to_vec(&message).map_err(|e| Error::new(e.to_string()))?;
    let connection = socket::connect_path(Path::new(path)).map_err(|e| {
        Error::io(place(), "connect", &e).hint("the seccomp agent must listen on that socket")
    })?;
    socket::send(&connection, &message, &listener).map_err(|e| Error::io(place(), "sendmsg", &e))
}
