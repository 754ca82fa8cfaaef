//! Load kernel modules. Their order is the caller's: none is looked for, and no dependency.

use std::fs::File;

use crate::sys::machine;
use crate::{Error, Result};

/// Load the modules of these files, in this order; one that is loaded already is no error.
///
/// # Errors
/// A file cannot be opened, or the kernel refuses the module.
pub fn load(files: &[String]) -> Result<()> {
    for path in files {
        let place = format!("module {path:?}");
        let file = File::open(path).map_err(|e| Error::io(&place, "open", &e))?;
        let compressed = !path.ends_with(".ko");
        match machine::load_module(&file, "", compressed) {
            Err(e) if e.raw_os_error() != Some(libc::EEXIST) => {
                return Err(refused(&place, compressed, &e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn refused(place: &str, compressed: bool, e: &std::io::Error) -> Error {
    let error = Error::io(place, "finit_module", e);
    match e.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::EINVAL) if compressed => error.hint(
            "this kernel decompresses no modules (CONFIG_MODULE_DECOMPRESS), or none of this \
             kind: bring the module decompressed, as .ko",
        ),
        Some(libc::ENOEXEC) => error.hint("the module is of another kernel"),
        Some(libc::ENOENT) => error.hint("it needs a module that is not loaded before it"),
        _ => error,
    }
}
