//! Programs of the host, by PATH.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Return the first executable file with this name on PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| {
        file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    })
}
