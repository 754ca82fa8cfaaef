//! The C programs that tests run, each built once by gcc: the probe, which runs in the containers
//! of tests, and the floor, with which the benchmark compares.
//!
//! Test programs build in parallel: each writes to a file of its own and renames it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Small, static, at a fixed address, and without anything for a C library or a debugger.
const FLAGS: &[&str] = &[
    "-Os",
    "-static",
    "-nostdlib",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-pie",
    "-no-pie",
    "-fno-asynchronous-unwind-tables",
    "-fno-tree-loop-distribute-patterns",
    "-Wl,--build-id=none,-z,noexecstack,-z,norelro",
    "-s",
];

/// The probe's path: `$TINY_CE_PROBE`, or built from test/probe when a source is newer.
pub fn probe() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| match std::env::var_os("TINY_CE_PROBE") {
        Some(path) => path.into(),
        None => {
            let files = std::fs::read_dir(crate::tree().join("test/probe")).expect("test/probe");
            let name = |file: std::fs::DirEntry| file.file_name().to_str().map(str::to_owned);
            let code: Vec<String> = files.flatten().filter_map(name).collect();
            build("probe", &code)
        }
    })
}

/// The benchmark's floor, built from test/bench/floor.c when it is newer.
pub fn floor() -> PathBuf {
    build("floor", &["sys.h", "sys.c", "../bench/floor.c"])
}

fn build(name: &str, sources: &[impl AsRef<str>]) -> PathBuf {
    let from = crate::tree().join("test/probe");
    let to = crate::tree().join("target/probe").join(name);
    let sources: Vec<PathBuf> = sources.iter().map(|source| from.join(source.as_ref())).collect();
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let newest = sources.iter().filter_map(|path| modified(path)).max();
    if modified(&to) > newest {
        return to;
    }
    std::fs::create_dir_all(to.with_file_name("")).expect("target/probe");
    let own = to.with_file_name(format!("{name}.{}", std::process::id()));
    let code = sources.iter().filter(|path| path.extension().is_some_and(|end| end == "c"));
    let done = Command::new("gcc").args(FLAGS).arg("-o").arg(&own).args(code).output();
    let done = done.expect("gcc, which builds the probe");
    assert!(done.status.success(), "gcc: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::rename(&own, &to).expect("the built program");
    to
}
