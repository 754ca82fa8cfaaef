//! A file with a document in it → typed values, or one error that names the file.
//!
//! Reads the file once: what is checked is what is used (hardening rule 15). Knows files, and how
//! violations read; not what any field means.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Spec;
use super::json::{self, Field, MAX_BYTES, Violation};
use crate::error::{Error, Result};

/// Read `file` (usually `config.json`) of a bundle. The bytes are those that the spec was read
/// from: `refuse` finds the positions of broken rules in them.
///
/// # Errors
/// The file cannot be read, is larger than 16 MiB, or has violations of JSON or of types.
pub fn load(bundle: &Path, file: &str) -> Result<(Spec, Vec<u8>)> {
    read_file(&place(bundle, file)).map_err(|e| match e.errno() {
        Some(libc::ENOENT) => e.hint(
            "a bundle is a directory with config.json and a root file \
            system; \"tiny-ce spec\" writes a config.json",
        ),
        _ => e,
    })
}

/// Where `file` of a bundle is: below it, unless it is absolute or `-`.
pub fn place(bundle: &Path, file: &str) -> PathBuf {
    // An absolute path takes the place of the bundle's.
    bundle.join(named(Path::new(file)))
}

/// Standard input, which need not have a name in the file system.
const STDIN: &str = "/dev/stdin";

/// What a caller means by the name of a file: `-` is standard input.
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

/// The bytes of a file, bounded: of a pipe or a device too, up to its end.
fn slurp(path: &Path) -> Result<Vec<u8>> {
    let failed = |call| move |e| Error::io(path.display(), call, &e);
    let most = MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let got = if path == Path::new(STDIN) {
        // A socket cannot be opened by that name (ENXIO).
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

/// All violations of one document as one error; `path` as the user gave it, and empty where there
/// is no document but options.
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
