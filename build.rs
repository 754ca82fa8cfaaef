//! Builds init, the freestanding program that the launcher embeds, and checks what came out.
//!
//! Cargo inside a build script needs its own target directory and a fresh set of flags. Init needs
//! no standard library, so it is built for the host's target wherever the architectures agree.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An init larger than this is a mistake, in bytes.
const LARGEST: usize = 24 << 10;

fn main() {
    println!("cargo:rerun-if-changed=init");
    println!("cargo:rerun-if-changed=Cargo.toml");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=.git/HEAD");
    let out = PathBuf::from(variable("OUT_DIR"));
    let init = build(&out.join("init"));
    let bytes = std::fs::read(&init).expect("init was built and can be read");
    check(&bytes);
    println!("cargo:rustc-env=TINY_CE_INIT={}", init.display());
    println!("cargo:rustc-env=TINY_CE_COMMIT={}", commit());
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Build it below `directory`, and tell where it is.
fn build(directory: &Path) -> PathBuf {
    let (host, target) = (variable("HOST"), variable("TARGET"));
    let architecture = |triple: &str| triple.split('-').next().map(str::to_owned);
    let target = if architecture(&host) == architecture(&target) { host } else { target };
    let flags = [
        "-Cpanic=abort",
        "-Crelocation-model=static",
        // Nobody unwinds here: the tables would be a quarter of the file.
        "-Cforce-unwind-tables=no",
    ];
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .args(["build", "--quiet", "--package", "tiny-ce-init", "--bin", "tiny-ce-init"])
        .args(["--features", "machine", "--profile", "init", "--offline", "--target", &target])
        .arg("--target-dir")
        .arg(directory)
        .current_dir(variable("CARGO_MANIFEST_DIR"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // What is meant for the outer build must not reach the inner one.
    for name in ["RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_UNSTABLE_BUILD_STD"] {
        cargo.env_remove(name);
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "init does not build: {status}");
    directory.join(target).join("init").join("tiny-ce-init")
}

/// Static, small, nothing both writable and executable: elf(5).
fn check(elf: &[u8]) {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    assert!(elf.len() <= LARGEST, "init is {} bytes, more than {LARGEST}", elf.len());
    let word = |at: usize, size: usize| {
        elf[at..at + size].iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte))
    };
    let (table, size, count) = (word(32, 8) as usize, word(54, 2) as usize, word(56, 2) as usize);
    for header in (0..count).map(|i| table + i * size) {
        let (kind, flags) = (word(header, 4) as u32, word(header + 4, 4));
        assert!(kind != PT_INTERP && kind != PT_DYNAMIC, "init is not static");
        assert!(
            kind != PT_LOAD || flags & 3 != 3,
            "init has a segment that is writable and executable"
        );
    }
}

/// The commit this is built from, for `--version`; empty outside a checkout.
fn commit() -> String {
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    git.ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
