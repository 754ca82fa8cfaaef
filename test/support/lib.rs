//! The support of the integration tests: a [`Case`] is the ground of one test on the machine, a
//! [`Bundle`] its config.json and rootfs, [`Done`] and [`Running`] a command that has ended or that
//! still runs.
//!
//! Knows tiny-ce only as a program: its command line, files and output. Never links the launcher,
//! so that a mistake in the launcher cannot hide itself in the tests.

mod apart;
mod bundle;
mod case;
mod dice;
mod fault;
mod fuzz;
mod leak;
mod needs;
mod peers;
mod probe;
mod process;
pub mod svg;
mod sweep;

pub use apart::Apart;
pub use bundle::{Bundle, default_config};
pub use case::{Case, Container};
pub use dice::Dice;
pub use fault::{Call, Fault, Faulted, Whose};
pub use fuzz::fuzz;
pub use needs::{Need, cgroup_v2, met, missing, skip};
pub use peers::Peer;
pub use probe::{floor, probe};
pub use process::{Done, Running, Signal, command, run};
pub use sweep::{full, sweep};

use std::path::PathBuf;

/// How long a test waits for anything before it fails as hung: an engine takes more than a minute
/// for a build in an emulated machine.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(180);

/// The factor by which this machine may be slower than a common one: an emulated machine is slow.
pub fn slowness() -> u32 {
    if std::env::var_os("TINY_CE_VM").is_some() { 10 } else { 1 }
}

/// The top of the source tree.
pub fn tree() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("test/support is two below the top").to_path_buf()
}

/// The tiny-ce under test: `$TINY_CE_BIN`, or what cargo built beside the running test.
pub fn tiny_ce() -> PathBuf {
    if let Some(path) = std::env::var_os("TINY_CE_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("/proc/self/exe");
    // target/PROFILE/deps/TEST, beside target/PROFILE/tiny-ce.
    test.ancestors().nth(2).expect("target/PROFILE/deps").join("tiny-ce")
}
