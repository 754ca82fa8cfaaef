//! The cost of a container: the floors, tiny-ce and its peers, in one run.
//!
//!     cargo bench                                  # all stories, 300 turns
//!     cargo bench -- --turns 60 --containers 0 --gate
//!     cargo bench -- --json FILE --svg FILE
//!
//! Every program gets the same bundle (`runc spec`'s default, a static payload that exits), the
//! same tmpfs for its state, the same cgroups. `--gate` fails if a limit of gate.rs is exceeded:
//! the limits are ratios of CPU time and counts, which other load does not change.

mod gate;
mod measure;
mod picture;
mod programs;
mod stories;
mod table;

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use tiny_ce_test::{Case, Need, met};

/// Set once the benchmark is in a mount namespace of its own.
const INSIDE: &str = "TINY_CE_BENCH_INSIDE";

/// The cgroup v2 mount point of a host with cgroup v1.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// The options of the benchmark.
struct Wishes {
    turns: usize,
    containers: usize,
    gate: bool,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let wishes = match wishes() {
        Ok(wishes) => wishes,
        Err(e) => {
            eprintln!("bench: {e}");
            return ExitCode::from(2);
        }
    };
    if !met(&[Need::Root, Need::Program("unshare")]) {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(INSIDE).is_none() {
        let error = go_inside();
        eprintln!("bench: unshare: {error}");
        return ExitCode::FAILURE;
    }
    nix::sys::prctl::set_child_subreaper(true).expect("prctl(2)");
    let results = measure_all(&wishes);
    table::print(&results, wishes.turns);
    let written = [
        (&wishes.json, table::json(&results, wishes.turns)),
        (&wishes.svg, picture::svg(&results)),
    ];
    for (path, text) in written {
        let Some(path) = path else { continue };
        if let Err(e) = std::fs::write(path, text) {
            eprintln!("bench: {}: {e}", path.display());
            return ExitCode::FAILURE;
        }
    }
    match wishes.gate && !gate::passes(&results) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn wishes() -> Result<Wishes, String> {
    let mut wishes = Wishes { turns: 300, containers: 1000, gate: false, json: None, svg: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let number =
            |text: String| text.parse::<usize>().map_err(|_| format!("{word} {text}: no number"));
        match word.as_str() {
            "--turns" => wishes.turns = number(value()?)?.max(5),
            "--containers" => wishes.containers = number(value()?)?,
            "--json" => wishes.json = Some(value()?.into()),
            "--svg" => wishes.svg = Some(value()?.into()),
            "--gate" => wishes.gate = true,
            // cargo bench passes this option.
            "--bench" => {}
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(wishes)
}

/// Make the ground, measure every story, and remove the ground.
fn measure_all(wishes: &Wishes) -> Vec<stories::Row> {
    let case = Case::new();
    // The state is on a tmpfs, as /run is, so that no disk is measured.
    let state = case.state();
    std::fs::create_dir(&state).expect("a directory of our own");
    let mount = ["mount", "-t", "tmpfs", "tmpfs"].map(OsStr::new);
    case.program(mount.into_iter().chain([state.as_ref()])).ok();
    let mut bundle = case.bundle();
    bundle.probe("exit 0");
    let mut waiting = case.bundle();
    waiting.probe("pause");
    let tag = case.dir().file_name().expect("a case's directory").to_string_lossy();
    let story = stories::Stories {
        ground: programs::Ground { bundle: bundle.path(), state: &state, tag: &tag },
        waiting: waiting.path(),
        mounts: &case.dir().join("mounts"),
        turns: wishes.turns,
        containers: wishes.containers,
    };
    let results = story.tell(programs::all());
    case.program([OsStr::new("umount"), state.as_ref()]).ok();
    if Path::new(UNIFIED).exists() {
        case.program(["umount", UNIFIED]).ok();
    }
    results
}

/// Run the benchmark in its own mount namespace, without cgroup v2 beside v1: crun refuses such a
/// host, and all programs must be measured on the same one.
fn go_inside() -> std::io::Error {
    let own = std::env::current_exe().expect("/proc/self/exe");
    // A runtime that finds no cgroup v2 makes directories there, which the tmpfs takes.
    let script = format!(
        "! mountpoint -q {UNIFIED} || {{ umount {UNIFIED} && mount -t tmpfs tmpfs {UNIFIED}; }}
         exec \"$0\" \"$@\""
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "slave", "/bin/sh", "-c", &script]);
    unshare.arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec()
}
