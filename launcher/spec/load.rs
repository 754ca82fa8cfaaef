//! A file with a document in it → typed values, or one error that names the file.
//!
//! Reads the file once: what is checked is what is used (hardening rule 15). Knows files, and how
//! violations read; not what any field means.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Spec;
use super::json::{self, Field, MAX_BYTES, Violation};
use crate::error::{Error, Result};

/// Read `file` (usually `config.json`) of a bundle. The bytes are those that the spec was read
/// from: `refuse` finds the positions of broken rules in them.
///
/// # Errors
/// The file cannot be read, is larger than 16 MiB, or has violations of JSON or of types.
pub fn load(bundle: &Path, file: &str) -> Result<(Spec, Vec<u8>)> {
    let path = bundle.join(file);
    read_file(&path).map_err(|e| match e.errno() {
        Some(libc::ENOENT) => e.hint(
            "a bundle is a directory with config.json and a root file \
            system; \"tiny-ce spec\" writes a config.json",
        ),
        _ => e,
    })
}

/// Read a document of type `T`, such as the process of `exec --process`.
///
/// # Errors
/// As [`load`].
pub fn read_file<T: Field>(path: &Path) -> Result<(T, Vec<u8>)> {
    let bytes = slurp(path)?;
    match json::read(&bytes) {
        Ok(value) => Ok((value, bytes)),
        Err(violations) => Err(refuse(path, &bytes, violations)),
    }
}

/// The bytes of a regular file, bounded.
fn slurp(path: &Path) -> Result<Vec<u8>> {
    let failed = |call| move |e| Error::io(path.display(), call, &e);
    // O_NONBLOCK: opening a FIFO must not wait for a writer before it can be refused.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed("open"))?;
    let status = file.metadata().map_err(failed("fstat"))?;
    if !status.is_file() {
        return Err(Error::new(format!("{}: not a regular file", path.display())));
    }
    let mut bytes = Vec::with_capacity(status.len().min(MAX_BYTES as u64) as usize + 1);
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed("read"))?;
    Ok(bytes)
}

/// All violations of one document as one error; `path` as the user gave it.
///
/// Those without a position get that of their field in `source`; the order is the document's.
pub fn refuse(path: &Path, source: &[u8], mut violations: Vec<Violation>) -> Error {
    let unplaced = |v: &Violation| v.position.is_none() && !v.path.is_empty();
    let paths = violations.iter().filter(|v| unplaced(v)).map(|v| v.path.as_str());
    let positions = json::locate(source, paths);
    for (violation, position) in violations.iter_mut().filter(|v| unplaced(v)).zip(positions) {
        violation.position = position;
    }
    violations.sort_by_key(|violation| violation.position);
    let shown = path.display();
    match &violations[..] {
        [only] => {
            let error = Error::new(match only.position {
                Some(_) => format!("{shown}:{}", line(only)),
                None => format!("{shown}: {}", line(only)),
            });
            only.hint.iter().fold(error, |e, hint| e.hint(hint.as_str()))
        }
        all => {
            let first = Error::new(format!("{shown}: {} problems", all.len()));
            all.iter().fold(first, |e, violation| {
                let e = e.detail(line(violation));
                violation.hint.iter().fold(e, |e, hint| e.detail(format!("  hint: {hint}")))
            })
        }
    }
}

/// `41:18: linux.resources.memory.limit: expected …`, as far as known.
pub fn line(violation: &Violation) -> String {
    let mut text = String::new();
    if let Some((line, column)) = violation.position {
        text.push_str(&format!("{line}:{column}: "));
    }
    if !violation.path.is_empty() {
        text.push_str(&violation.path);
        text.push_str(": ");
    }
    text.push_str(&violation.text);
    text
}
