//! Read a file with a document to typed values, or to one error that names the file.
//!
//! The file is read once, so that the checked bytes are the used bytes (hardening rule 15). This
//! module formats violations, but does not know what any field means.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Spec;
use super::json::{self, Field, MAX_BYTES, Violation};
use crate::error::{Error, Result};

/// Read `file` (usually `config.json`) of a bundle. Return the spec, and the bytes that it was read
/// from, in which `refuse` finds the positions of broken rules.
///
/// # Errors
/// The file cannot be read, is larger than 16 MiB, or has violations of JSON or of types.
pub fn load(bundle: &Path, file: &str) -> Result<(Box<Spec>, Vec<u8>)> {
    read_file(&place(bundle, file)).map_err(|e| match e.errno() {
        Some(libc::ENOENT) => e.hint(
            "a bundle is a directory with config.json and a root file \
            system; \"tiny-ce spec\" writes a config.json",
        ),
        _ => e,
    })
}

/// Return the path of `file` of a bundle: below the bundle, unless `file` is absolute or `-`.
pub fn place(bundle: &Path, file: &str) -> PathBuf {
    // `join` replaces the bundle's path by an absolute one.
    bundle.join(named(Path::new(file)))
}

/// The name of standard input in messages; it is read without being opened by this name.
const STDIN: &str = "/dev/stdin";

/// Return the path that a caller means by the name of a file: `-` is standard input.
pub fn named(file: &Path) -> &Path {
    if file == Path::new("-") { Path::new(STDIN) } else { file }
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

/// Read the bytes of a file, a pipe or a device up to its end, but at most `MAX_BYTES` + 1.
fn slurp(path: &Path) -> Result<Vec<u8>> {
    let failed = |call| move |e| Error::io(path.display(), call, &e);
    let most = MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let got = if path == Path::new(STDIN) {
        // open(2) of /dev/stdin fails with ENXIO if standard input is a socket.
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(failed("open"))?;
        let length = file.metadata().map_err(failed("fstat"))?.len();
        bytes.reserve(length.min(MAX_BYTES as u64) as usize + 1);
        file.take(most).read_to_end(&mut bytes)
    };
    got.map_err(failed("read"))?;
    Ok(bytes)
}

/// Make one error of all violations of a document. `path` is the document's as the user gave it,
/// and empty if the values come from options of the command line.
///
/// A violation without a position gets that of its field in `source`. The violations are listed in
/// the document's order.
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
                _ if path == Path::new("") => line(only),
                Some(_) => format!("{shown}:{}", line(only)),
                None => format!("{shown}: {}", line(only)),
            });
            only.hint.iter().fold(error, |e, hint| e.hint(hint.as_str()))
        }
        all => {
            let of = if path == Path::new("") { String::new() } else { format!("{shown}: ") };
            let first = Error::new(format!("{of}{} problems", all.len()));
            all.iter().fold(first, |e, violation| {
                let e = e.detail(line(violation));
                violation.hint.iter().fold(e, |e, hint| e.detail(format!("  hint: {hint}")))
            })
        }
    }
}

/// The line for a violation: `41:18: linux.resources.memory.limit: expected …`. It leaves out the
/// position or the path if the violation has none.
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
