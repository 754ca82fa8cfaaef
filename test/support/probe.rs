//! The C programs that tests run, each built once by gcc: the probe, which runs in the containers
//! of tests, and the floor, with which the benchmark compares.
//!
//! Test programs build in parallel: each writes to a file of its own and renames it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The probe's path: `$TINY_CE_PROBE`, or built from test/probe when a source is newer.
pub fn probe() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| match std::env::var_os("TINY_CE_PROBE") {
        Some(path) => path.into(),
        None => build("probe"),
    })
}

/// The benchmark's floor, built from test/bench/floor.c when a source is newer.
pub fn floor() -> PathBuf {
    build("floor")
}

fn build(name: &str) -> PathBuf {
    let from = crate::tree().join("test/probe");
    let to = crate::tree().join("target/probe").join(name);
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let files = std::fs::read_dir(&from).expect("test/probe").flatten();
    let sources = files.map(|file| file.path()).chain([from.join("../bench/floor.c")]);
    if modified(&to) > sources.filter_map(|path| modified(&path)).max() {
        return to;
    }
    std::fs::create_dir_all(to.with_file_name("")).expect("target/probe");
    let own = to.with_file_name(format!("{name}.{}", std::process::id()));
    let done = Command::new(from.join("build")).arg(name).arg(&own).output();
    let done = done.expect("test/probe/build, which calls gcc");
    assert!(done.status.success(), "gcc: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::rename(&own, &to).expect("the built program");
    to
}
