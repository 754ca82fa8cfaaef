//! Builds init, the freestanding program that the launcher embeds, and checks what came out.
//!
//! The sources are those of the crate tiny-ce-init, wherever cargo has put it: beside this file, in
//! the registry, in a vendor directory. There it has no workspace, and nobody may write. So a
//! manifest of its own, in this build's output directory, names the sources.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An init larger than this is a mistake, in bytes.
const LARGEST: usize = 24 << 10;

/// As small as it gets, whatever the launcher's profile; the version of `sc` is init/Cargo.toml's.
const MANIFEST: &str = r#"
[workspace]
[package]
name = "tiny-ce-init"
version = "VERSION"
edition = "2024"
[lib]
path = "SOURCE/lib.rs"
[[bin]]
name = "tiny-ce-init"
path = "SOURCE/main.rs"
[dependencies]
sc = "=0.2.7"
[features]
analyze = []
[lints.rust]
unsafe_code = "deny"
[profile.release]
panic = "abort"
lto = "fat"
codegen-units = 1
opt-level = "z"
strip = true
"#;

fn main() {
    // By the key `links`: Cargo's book, "The links manifest key".
    let source = PathBuf::from(variable("DEP_TINY_CE_INIT_SOURCE"));
    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(variable("OUT_DIR"));
    // The second one stamps each step, for `--analyze`. It is a program of its own, so that nobody
    // else pays for it.
    for (features, key) in [("", "TINY_CE_INIT"), ("analyze", "TINY_CE_INIT_ANALYZE")] {
        let built = build(&source, &out.join(format!("init{features}")), features);
        let elf = Elf(std::fs::read(&built).expect("init was built and can be read"));
        elf.check();
        let init = built.with_extension("elf");
        std::fs::write(&init, elf.without_sections()).expect("the output directory can be written");
        println!("cargo:rustc-env={key}={}", init.display());
    }
    println!("cargo:rustc-env=TINY_CE_COMMIT={}", commit().unwrap_or_default());
    // In other profiles the order of functions would only make the link slower.
    if variable("PROFILE") == "release" {
        let order = Path::new(&variable("CARGO_MANIFEST_DIR")).join("launcher/order.ld");
        println!("cargo:rerun-if-changed={}", order.display());
        println!("cargo:rustc-link-arg-bins=-Wl,--script={}", order.display());
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Build it below `directory`, and tell where it is.
fn build(source: &Path, directory: &Path, features: &str) -> PathBuf {
    let (host, target) = (variable("HOST"), variable("TARGET"));
    let architecture = |triple: &str| triple.split('-').next().map(str::to_owned);
    // Init needs no standard library: of the targets of an architecture, the host's is there.
    let native = architecture(&host) == architecture(&target);
    let target = if native { host } else { target };
    std::fs::create_dir_all(directory).expect("the output directory can be written");
    write(&directory.join("Cargo.toml"), &manifest(source));

    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .args(["build", "--quiet", "--bin", "tiny-ce-init", "--release", "--features", features])
        .args(["--target", &target, "--target-dir", "target"])
        .current_dir(directory)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(source, &target).join("\x1f"));
    // What is meant for the outer build must not reach the inner one.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let outer = ["RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_UNSTABLE_BUILD_STD"];
        if outer.iter().any(|it| text.starts_with(it)) || text.starts_with("CARGO_PROFILE_") {
            cargo.env_remove(&name);
        }
    }
    if !native && std::env::var_os("CARGO_UNSTABLE_BUILD_STD").is_some() {
        // The outer build makes its own standard library: this compiler has none for the target.
        // Offline, cargo would ask for all crates that any part of it may use, not only core.
        cargo.env("CARGO_UNSTABLE_BUILD_STD", "core");
    } else {
        // The only dependency is one of the outer build, too.
        cargo.arg("--offline");
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "init does not build: {status}");
    directory.join("target").join(target).join("release/tiny-ce-init")
}

fn manifest(source: &Path) -> String {
    let source = source.to_str().expect("cargo works with UTF-8 paths");
    assert!(!source.contains(['"', '\\']), "{source:?}: a path that TOML would have to escape");
    MANIFEST.replace("VERSION", &variable("CARGO_PKG_VERSION")).replace("SOURCE", source)
}

/// Write what is new, so that cargo sees no change where there is none.
fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// The compiler's flags, in place of all that are configured.
fn flags(source: &Path, target: &str) -> Vec<String> {
    let mut flags: Vec<String> = [
        "-Cpanic=abort",
        // Tables of jumps are then distances of 4 bytes, not addresses of 8: 1 KiB of 12.
        "-Crelocation-model=pic",
        // Nobody unwinds here: the tables would be a quarter of the file.
        "-Cforce-unwind-tables=no",
        "-Clink-arg=-nostdlib",
        "-Clink-arg=-nostartfiles",
        "-Clink-arg=-static",
        "-Clink-arg=-no-pie",
    ]
    .map(str::to_owned)
    .into();
    // Where rustc has start files of its own for a target, it would link them all the same.
    if target.ends_with("-musl") {
        flags.push("-Clink-self-contained=no".to_owned());
    }
    let script = source.join("link.ld");
    flags.push(format!("-Clink-arg=-Wl,--gc-sections,--build-id=none,-T,{}", script.display()));
    // A build that hides its directories hides them here as well.
    let outer = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let remaps = outer.split('\x1f').filter(|flag| flag.starts_with("--remap-path-prefix="));
    flags.extend(remaps.map(str::to_owned));
    flags
}

/// A program as the linker wrote it: elf(5), of 64 bits, the machine's order of bytes.
struct Elf(Vec<u8>);

impl Elf {
    fn word(&self, at: usize, size: usize) -> usize {
        self.0[at..at + size].iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte))
    }

    /// Where the header of each segment is.
    fn segments(&self) -> impl Iterator<Item = usize> {
        let (table, size, count) = (self.word(32, 8), self.word(54, 2), self.word(56, 2));
        (0..count).map(move |i| table + i * size)
    }

    /// Static, small, nothing both writable and executable.
    fn check(&self) {
        const PT_LOAD: usize = 1;
        const PT_DYNAMIC: usize = 2;
        const PT_INTERP: usize = 3;
        let size = self.0.len();
        assert!(size <= LARGEST, "init is {size} bytes, more than {LARGEST}");
        for header in self.segments() {
            let (kind, flags) = (self.word(header, 4), self.word(header + 4, 4));
            assert!(kind != PT_INTERP && kind != PT_DYNAMIC, "init is not static");
            assert!(
                kind != PT_LOAD || flags & 3 != 3,
                "init has a segment that is writable and executable"
            );
        }
    }

    /// Cut off the table of sections, of which the kernel reads nothing and which strip(1) leaves:
    /// each start copies this file, by pages.
    fn without_sections(mut self) -> Vec<u8> {
        // Offset and size in the file: the segment of zeros has none.
        let place = |header| (self.word(header + 8, 8), self.word(header + 32, 8));
        let kept = self.segments().map(place).filter(|(_, size)| *size > 0);
        let end = kept.map(|(at, size)| at + size).max().expect("a program has code");
        self.0.truncate(end);
        // e_shoff; e_shentsize, e_shnum and e_shstrndx.
        self.0[40..48].fill(0);
        self.0[58..64].fill(0);
        self.0
    }
}

/// The commit this is built from, for `--version`: the file's that cargo puts into a package, or
/// that of the checkout.
fn commit() -> Option<String> {
    const PACKAGED: &str = ".cargo_vcs_info.json";
    println!("cargo:rerun-if-changed=Cargo.toml");
    if let Ok(text) = std::fs::read_to_string(PACKAGED) {
        let sha1 = text.split("\"sha1\"").nth(1)?.split('"').nth(1)?;
        let dirty = if text.contains("\"dirty\": true") { "-dirty" } else { "" };
        return Some(format!("{}{dirty}", sha1.get(..12)?));
    }
    // Unpacked below another repository, this is no checkout: then the prefix is a directory.
    let prefix = git(&["rev-parse", "--show-prefix"])?;
    // Watch the reflog, which changes with each commit. Builds for development watch HEAD, which
    // changes with the branch: a commit there need not compile everything again.
    let release = variable("PROFILE") == "release";
    let watched = git(&["rev-parse", "--git-path", if release { "logs/HEAD" } else { "HEAD" }])?;
    if Path::new(&watched).exists() {
        println!("cargo:rerun-if-changed={watched}");
    }
    prefix.is_empty().then(|| git(&["rev-parse", "--short=12", "HEAD"]))?
}

/// What git prints, without the end of the line; none if it fails, as outside a checkout.
fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
