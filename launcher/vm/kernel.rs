//! What a kernel's file says of it: its architecture and its release.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// An architecture that machines are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    X86,
    Arm,
}

impl Architecture {
    /// The one of this machine, if it is one of these.
    pub fn own() -> Option<Architecture> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Architecture::X86),
            "aarch64" => Some(Architecture::Arm),
            _ => None,
        }
    }

    /// As Rust and Linux call it.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::X86 => "x86_64",
            Architecture::Arm => "aarch64",
        }
    }
}

/// What is known of a kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its architecture; that of this machine, if the file does not tell.
    pub architecture: Architecture,
    /// As uname(2) has it; none, if the file does not tell, as one that is compressed.
    pub release: Option<String>,
}

/// How much of the file is searched for the release: an uncompressed kernel has it in its data.
const SEARCHED: u64 = 64 << 20;

/// Look at a kernel's file.
///
/// # Errors
/// It cannot be read, or is no kernel of a known architecture.
pub fn look(path: &Path) -> Result<Kernel> {
    let failed = |call| move |e: io::Error| Error::io(path.display(), call, &e);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed("open"))?;
    file.take(SEARCHED).read_to_end(&mut bytes).map_err(failed("read"))?;
    read(&bytes).ok_or_else(|| {
        Error::new(format!("{}: no kernel that QEMU boots here", path.display()))
            .hint("bzImage or vmlinux of x86_64, Image or Image.gz of aarch64")
    })
}

fn read(bytes: &[u8]) -> Option<Kernel> {
    let at = |offset: usize, length: usize| bytes.get(offset..offset + length);
    // Documentation/arch/x86/boot.rst: the header's magic, and where the version stands.
    if at(0x202, 4) == Some(b"HdrS") {
        let place = at(0x20e, 2).map(|it| usize::from(u16::from_le_bytes([it[0], it[1]])));
        let text = place.filter(|it| *it > 0).and_then(|it| bytes.get(it + 0x200..));
        let release = text.and_then(word);
        return Some(Kernel { architecture: Architecture::X86, release });
    }
    // Documentation/arch/arm64/booting.rst: the magic of an Image.
    let architecture = if at(56, 4) == Some(b"ARM\x64") {
        Architecture::Arm
    } else if at(0, 4) == Some(b"\x7fELF") {
        match at(18, 2)? {
            [62, 0] => Architecture::X86,
            [183, 0] => Architecture::Arm,
            _ => return None,
        }
    } else if at(0, 2) == Some(&[0x1f, 0x8b]) || at(0, 4) == Some(b"MZ\0\0") {
        // An Image that is compressed, or unpacks itself.
        Architecture::Arm
    } else {
        return None;
    };
    let banner = b"Linux version ";
    let found = bytes.windows(banner.len()).position(|it| it == banner);
    // The first is the format of a message in some kernels.
    let release = found.and_then(|at| word(&bytes[at + banner.len()..]));
    Some(Kernel { architecture, release: release.filter(|it| !it.contains('%')) })
}

/// The word at the beginning of these bytes.
fn word(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().take(65).position(|byte| byte.is_ascii_whitespace() || *byte == 0)?;
    let word = std::str::from_utf8(&bytes[..end]).ok()?;
    (!word.is_empty() && word != "." && !word.contains('/')).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_both_architectures() {
        let mut bytes = vec![0; 0x1000];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x400u16.to_le_bytes());
        bytes[0x600..0x60e].copy_from_slice(b"6.1.0-50 (deb)");
        let x86 = Kernel { architecture: Architecture::X86, release: Some("6.1.0-50".into()) };
        assert_eq!(read(&bytes), Some(x86));
        let mut bytes = vec![0; 0x1000];
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes[0x800..0x800 + 20].copy_from_slice(b"Linux version 7.2.1 ");
        let arm = Kernel { architecture: Architecture::Arm, release: Some("7.2.1".into()) };
        assert_eq!(read(&bytes), Some(arm));
        assert_eq!(read(b"#!/bin/sh\n"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn no_file_causes_a_panic() {
        tiny_ce_test::fuzz("kernel", &["test/fuzz/kernel"], |bytes| {
            let _ = read(bytes);
        });
    }
}
