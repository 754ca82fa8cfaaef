//! Open the namespaces that a container joins, and verify their kinds.

use std::fs::File;
use std::io;

use crate::error::{Error, Result};
use crate::spec::NamespaceKind;
use crate::sys::namespace;

/// Open the namespace at `path`.
///
/// # Errors
/// The path cannot be opened, or is not a namespace of this kind.
pub fn open(path: &str, wanted: NamespaceKind) -> Result<File> {
    let file = File::open(path).map_err(|e| {
        let hint = match e.kind() {
            io::ErrorKind::PermissionDenied => {
                "another user's process is looked into with CAP_SYS_PTRACE in its user namespace"
            }
            _ => "the namespace to join must exist: see ip-netns(8), nsenter(1)",
        };
        Error::io(path, "openat", &e).hint(hint)
    })?;
    let flag = namespace::flag(&file).unwrap_or_default();
    match NamespaceKind::ALL.iter().find(|kind| kind.flag().0 == flag) {
        Some(found) if *found == wanted => Ok(file),
        Some(found) => Err(Error::new(format!(
            "{path}: is a {} namespace, expected {}",
            found.word(),
            wanted.word()
        ))),
        None => Err(Error::new(format!("{path}: is not a namespace, expected {}", wanted.word()))),
    }
}
