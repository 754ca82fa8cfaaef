//! tiny-ce as the first process of a machine, the images that boot it, and `tiny-ce vm`.
//!
//! The kernels are those of test/vm/base, which unpacks them below target/vm.

#[path = "boot/faults.rs"]
mod faults;
#[path = "boot/images.rs"]
mod images;
#[path = "boot/machine.rs"]
mod machine;
#[path = "boot/vm.rs"]
mod vm;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tiny_ce_test::{Case, Done, Need, met, probe, run, skip, tiny_ce, tree};

/// The suites of Debian whose kernels are booted: Linux 6.1, 6.12 and 7.
const SUITES: [&str; 3] = ["bookworm", "trixie", "trixie-backports"];

const QEMU: &str = "qemu-system-x86_64";

/// The kernel of a suite; without one, or without QEMU, the test is skipped.
fn kernel(suite: &str) -> Option<PathBuf> {
    if !met(&[Need::Program(QEMU), Need::Program("strip")]) {
        return None;
    }
    let path = tree().join("target/vm").join(suite).join("vmlinuz");
    there(path, &format!("needs a kernel: test/vm/base {suite} $PWD/target/vm/{suite}"))
}

/// A path that exists; without it, the test is skipped.
fn there(path: PathBuf, need: &str) -> Option<PathBuf> {
    if !path.exists() {
        skip(need);
        return None;
    }
    Some(path)
}

/// The directory of that kernel's modules.
fn modules(suite: &str) -> PathBuf {
    let all = tree().join("target/vm").join(suite).join("kernel/lib/modules");
    let mut entries = std::fs::read_dir(&all).expect("modules");
    entries.next().expect("a release").expect("an entry").path()
}

/// tiny-ce without debug information, which is most of a test's build: images hold it.
fn small() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = tree().join("target/boot");
        std::fs::create_dir_all(&directory).expect("target/boot");
        let fresh = directory.join(format!("tiny-ce.{}", std::process::id()));
        let strip = Command::new("strip").arg("-o").arg(&fresh).arg(tiny_ce()).status();
        assert!(strip.expect("strip").success());
        let path = directory.join("tiny-ce");
        std::fs::rename(&fresh, &path).expect("target/boot/tiny-ce");
        path
    })
}

/// tiny-ce as it is shipped: `.ci/release` builds it into `dist`, or `cargo build --release` for
/// this machine's C library. Without one, the test is skipped.
fn optimised() -> Option<PathBuf> {
    if !met(&[Need::Program("strip")]) {
        return None;
    }
    let entries = |place: &str| {
        let entries = std::fs::read_dir(tree().join(place)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>()
    };
    let released = entries("dist").into_iter().filter(|path| text(path).ends_with("-x86_64"));
    let built = entries("target").into_iter().map(|path| path.join("release/tiny-ce"));
    let found = released.chain(built).find(|path| path.is_file());
    if found.is_none() {
        skip("needs an optimised build: .ci/release");
    }
    found
}

/// Run the small tiny-ce.
#[track_caller]
fn small_tiny_ce<W: AsRef<OsStr>>(case: &Case, words: impl IntoIterator<Item = W>) -> Done {
    run(&mut command(case, words), case.dir())
}

fn command<W: AsRef<OsStr>>(case: &Case, words: impl IntoIterator<Item = W>) -> Command {
    let mut command = Command::new(small());
    command.args(words).env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
    command
}

/// A root file system with the probe, and `busybox` as sh.
fn rootfs(case: &Case) -> PathBuf {
    let root = case.dir().join("root");
    for name in ["proc", "sys", "dev", "tmp", "etc", "bin"] {
        std::fs::create_dir_all(root.join(name)).expect("a directory");
    }
    std::fs::copy(probe(), root.join("probe")).expect("the probe");
    std::fs::copy("/bin/busybox", root.join("bin/sh")).expect("busybox");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.join("probe"), mode).expect("chmod");
    root
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A script that can be executed.
fn program(path: &Path, script: &str) {
    std::fs::write(path, script).expect("a script");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}
