//! `initramfs`: write an image that boots.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Globals;
use super::image::ImageOptions;
use super::table::command;
use super::value::{AfterDashes, Directory, choice};
use crate::image::{self, ImageRequest};
use crate::{Error, Result};

choice! {
    /// How an image is compressed.
    pub enum Compression {
        /// Not at all.
        "none" None,
        /// gzip.
        "gzip" Gzip,
        /// zstd.
        "zstd" Zstd,
    }
}

command! {
    /// Write an initramfs that runs a container.
    ///
    /// Its first process is tiny-ce, which runs the container of the bundle, or the COMMAND in the
    /// files of --rootfs, and switches the machine off when it has ended. Files, owners, modes and
    /// device nodes are written into the archive, so root is not needed. The same files make the
    /// same bytes: all have the time of SOURCE_DATE_EPOCH, or 1970.
    pub struct Initramfs = "initramfs" {
        args {
            /// Directory with config.json.
            "[BUNDLE]" bundle: Option<Directory>,
            /// The program, in place of that of the config.json.
            "[-- COMMAND...]" command: AfterDashes,
        }
        options {
            /// Write the image to this file, or with - to standard output.
            "-o, --output FILE" output: Option<PathBuf>,
            /// Compress it: gzip makes it smaller, zstd is faster; default: gzip.
            "--compress none|gzip|zstd" compress: Option<Compression>,
        }
        include {
            "Image" image: ImageOptions,
        }
        examples {
            "initramfs web -o web.img": "from web/config.json and its root file system",
            "initramfs --rootfs alpine -o test.img -- sh -c id": "without a bundle",
        }
        run = write;
    }
}

fn write(it: Initramfs, _: &Globals) -> Result<u8> {
    let AfterDashes(command) = &it.command;
    let bundle = it.bundle.as_ref().map(|Directory(path)| path.as_path());
    let wrong = |text: &str| Error::new(text).within("initramfs");
    let output = it.output.as_ref().ok_or_else(|| wrong("--output is missing: -o FILE"))?;
    let mut request = it.image.request(bundle, command).map_err(|e| e.within("initramfs"))?;
    if !it.image.module.is_empty() {
        let Some(Directory(directory)) = &it.image.modules else {
            let error = wrong("--module: of which kernel? --modules is missing");
            return Err(error.hint("--modules /lib/modules/RELEASE"));
        };
        request.modules = Some((directory.clone(), it.image.module.clone()));
    }
    let compression = match it.compress {
        Some(Compression::None) => image::Compression::None,
        Some(Compression::Zstd) => image::Compression::Zstd,
        Some(Compression::Gzip) | None => image::Compression::Gzip,
    };
    if output == Path::new("-") {
        if io::stdout().is_terminal() {
            return Err(wrong("--output -: standard output is a terminal"));
        }
        let place = "standard output";
        let (mut to, _) = image::write(&request, compression, io::stdout(), place)?;
        to.flush().map_err(|e| Error::io(place, "write", &e))?;
        return Ok(0);
    }
    into_file(&mut request, compression, output)
}

/// Write a new file beside the old one and put it into its place, so that a failure leaves what was
/// there.
fn into_file(
    request: &mut ImageRequest,
    compression: image::Compression,
    output: &Path,
) -> Result<u8> {
    let place = output.display().to_string();
    let is_other = fs::metadata(output).is_ok_and(|found| !found.is_file());
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = if is_other { output.to_owned() } else { output.with_file_name(name) };
    let file = File::options().write(true).create(true).truncate(true).open(&fresh);
    let file = file.map_err(|e| Error::io(&place, "open", &e))?;
    let found = file.metadata().map_err(|e| Error::io(&place, "fstat", &e))?;
    request.output = Some((found.dev(), found.ino()));
    let to = io::BufWriter::with_capacity(1 << 20, file);
    let written = image::write(request, compression, to, &place).and_then(|(mut to, _)| {
        to.flush().map_err(|e| Error::io(&place, "write", &e))?;
        match is_other {
            true => Ok(()),
            false => fs::rename(&fresh, output).map_err(|e| Error::io(&place, "rename", &e)),
        }
    });
    if written.is_err() && !is_other {
        let _ = fs::remove_file(&fresh);
    }
    written.map(|()| 0)
}
