//! `spec` and `validate`: write a config.json, and check one without running anything.
//!
//! Knows files and the output. The module `spec` has the texts and the rules.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::embedded::{EmbeddedOptions, Machine, cgroup2};
use super::table::command;
use super::value::{AfterDashes, Directory};
use super::{Globals, print};
use crate::spec::check::{Allow, check};
use crate::spec::default::{default, rootless, to_json};
use crate::spec::load::{load, place};
use crate::spec::{Spec, json};
use crate::{Error, Result, log, seccomp, sys};

command! {
    /// Write a config.json to start from.
    ///
    /// The file is for a shell whose root is the directory rootfs beside it. With --embedded, with
    /// an option of "Container without a bundle" or with a command, it is the one that "tiny-ce
    /// run" uses with the same options and no bundle. An existing file is not overwritten.
    pub struct SpecCommand = "spec" {
        args {
            /// The program of the container; default: a shell.
            "[-- COMMAND...]" command: AfterDashes,
        }
        options {
            /// Directory of the bundle; default: the working directory.
            "-b, --bundle DIRECTORY" bundle: Option<Directory>,
            /// Name of the file in the bundle, or - for standard output; default: config.json.
            "-f, --file FILE" file: Option<PathBuf>,
            /// For a caller without root's rights: a user namespace with the caller as its root.
            "--rootless" rootless: bool,
            /// Write the file that "tiny-ce run" uses without a bundle.
            "--embedded" embedded: bool,
        }
        include {
            "Container without a bundle" container: EmbeddedOptions,
        }
        examples {
            "spec --bundle web": "write web/config.json",
            "spec --file - --memory 512m -- sh -c date": "show what run makes of these options",
        }
        run = write;
    }
}

fn write(it: SpecCommand, globals: &Globals) -> Result<u8> {
    let AfterDashes(command) = &it.command;
    let unbundled = it.embedded || it.container.asked(command).is_some();
    let (uid, gid) = (sys::user::effective_uid(), sys::user::effective_gid());
    let spec = match (unbundled, it.rootless) {
        (true, rootless) => {
            let machine = Machine::default();
            it.container.spec(command, false, rootless || globals.rootless(), machine)?.0
        }
        (false, true) => rootless(uid, gid, cgroup2()),
        (false, false) => default(cgroup2()),
    };
    let text = to_json(&spec)?;
    let file = it.file.unwrap_or_else(|| PathBuf::from("config.json"));
    if file == Path::new("-") {
        return print(&text);
    }
    let path = match it.bundle {
        Some(Directory(bundle)) => bundle.join(file),
        None => file,
    };
    let place = path.display();
    let mut made = File::options().write(true).create_new(true).mode(0o666).open(&path).map_err(
        |e| match e.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::new(format!("{place}: exists already; remove it first, or choose --file"))
            }
            _ => Error::io(&place, "open", &e),
        },
    )?;
    made.write_all(text.as_bytes()).map_err(|e| {
        // A partial file is removed, since the next call would refuse to overwrite it.
        let _ = std::fs::remove_file(&path);
        Error::io(&place, "write", &e)
    })?;
    Ok(0)
}

command! {
    /// Check a bundle's config.json without running anything.
    ///
    /// All errors are printed at once, each with its line; the exit status is then 1.
    pub struct Validate = "validate" {
        args {
            /// Directory of the bundle; default: the working directory.
            "[BUNDLE]" bundle: Option<Directory>,
        }
        options {
            /// Name of the file in the bundle, or - for standard input; default: config.json.
            "-f, --config FILE" config: Option<String>,
        }
        examples {
            "validate web": "check web/config.json",
        }
        run = validate;
    }
}

fn validate(it: Validate, _: &Globals) -> Result<u8> {
    let bundle = it.bundle.map_or_else(PathBuf::new, |Directory(path)| path);
    let file = it.config.as_deref().unwrap_or("config.json");
    let path = place(&bundle, file);
    let (spec, source) = load(&bundle, file)?;
    let mut findings = check(&spec, Allow::default());
    let filter = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    match filter.map(seccomp::compile) {
        Some(Ok(filter)) => filter.warnings.iter().for_each(|text| log::warning(text)),
        Some(Err(violations)) => findings.violations.extend(violations),
        None => {}
    }
    // Unknown fields have no effect and may be typing errors, so they are warnings.
    findings.warnings.extend(json::unknown::<Spec>(&source));
    for warning in &findings.warnings {
        log::warning(&format!("{}: {}", path.display(), crate::spec::load::line(warning)));
    }
    match findings.violations.is_empty() {
        true => print(&format!("{}: valid\n", path.display())),
        false => Err(crate::spec::load::refuse(&path, &source, findings.violations)),
    }
}
