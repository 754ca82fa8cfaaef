//! How long a container takes: the floor, tiny-ce, crun and runc, turn by turn; both of today, and
//! those that this machine has.
//!
//!     cargo bench                       # 300 turns
//!     cargo bench -- --turns 60 --at-least 3
//!
//! Every program gets the same bundle (`runc spec`'s default, a static payload that exits), the
//! same tmpfs for its state, the same cgroups. Times are of whole processes, from posix_spawn to
//! wait. `--at-least N` fails unless tiny-ce is N times faster than crun. Knows programs only.

mod table;

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use table::{Row, print};
use tiny_ce_test::{Bundle, Case, Need, Peer, floor, met, tiny_ce, tree};

/// Set once the benchmark is in mount and cgroup circumstances of its own.
const INSIDE: &str = "TINY_CE_BENCH_INSIDE";

/// Where a host with cgroup v1 has v2 beside it.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// What a user may ask for.
struct Wishes {
    turns: usize,
    at_least: Option<f64>,
}

fn main() -> ExitCode {
    let wishes = wishes();
    if !met(&[Need::Root, Need::Program("unshare")]) {
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(INSIDE).is_none() {
        let error = go_inside();
        eprintln!("bench: unshare: {error}");
        return ExitCode::FAILURE;
    }
    let case = Case::new();
    // Where a machine has /run: the runtimes' state costs no disk.
    let state = case.state();
    std::fs::create_dir(&state).expect("a directory of our own");
    let mount = ["mount", "-t", "tmpfs", "tmpfs"].map(OsStr::new);
    case.program(mount.into_iter().chain([state.as_ref()])).ok();
    let mut bundle = case.bundle();
    bundle.probe("exit 0");
    let rows = measure(&programs(), &bundle, case.dir(), wishes.turns);
    print(&rows, wishes.turns);
    case.program([OsStr::new("umount"), state.as_ref()]).ok();
    if Path::new(UNIFIED).exists() {
        case.program(["umount", UNIFIED]).ok();
    }
    judge(&rows, wishes.at_least)
}

fn wishes() -> Wishes {
    let mut wishes = Wishes { turns: 300, at_least: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|text| text.parse::<f64>().ok());
        match word.as_str() {
            "--turns" => wishes.turns = number().map_or(300, |turns| turns as usize).max(5),
            "--at-least" => wishes.at_least = number(),
            // cargo bench gives --bench.
            _ => {}
        }
    }
    wishes
}

/// The same again in a mount namespace of our own, without cgroup v2 beside v1: crun refuses such
/// a host, and all shall be measured on the same one.
fn go_inside() -> std::io::Error {
    let own = std::env::current_exe().expect("/proc/self/exe");
    // The tmpfs takes the directories that a runtime makes there when it finds no cgroup v2.
    let script = format!(
        "! mountpoint -q {UNIFIED} || {{ umount {UNIFIED} && mount -t tmpfs tmpfs {UNIFIED}; }}
         exec \"$0\" \"$@\""
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "slave", "/bin/sh", "-c", &script]);
    unshare.arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec()
}

/// A program to measure.
struct Program {
    name: String,
    path: PathBuf,
    is_floor: bool,
}

fn programs() -> Vec<Program> {
    let named = |name: &str, path: PathBuf| Program { name: name.into(), path, is_floor: false };
    let mut programs = vec![Program { name: "floor".into(), path: floor(), is_floor: true }];
    programs.push(named("tiny-ce", tiny_ce()));
    let arch = std::env::consts::ARCH;
    let musl = tree().join(format!("target/musl/{arch}-unknown-linux-musl/release/tiny-ce"));
    if version(&musl) == version(&tiny_ce()) {
        programs.push(named("tiny-ce (musl)", musl));
    } else if musl.exists() {
        eprintln!("skipped: the musl binary is of another commit: .ci/musl builds it");
    }
    for peer in [Peer::Crun, Peer::Runc] {
        let mut add = |path: Option<PathBuf>, lack: &str| {
            let name = peer.name();
            let Some((text, path)) = path.and_then(|path| Some((version(&path)?, path))) else {
                return eprintln!("skipped: {name} {lack}");
            };
            let number = text.lines().next().and_then(|line| line.split_whitespace().last());
            programs.push(named(&format!("{name} {}", number.unwrap_or("?")), path));
        };
        add(peer.path(), "of today is not in target/peers: .ci/peers fetches it");
        add(peer.installed(), "is not installed");
    }
    programs
}

/// What the program's `--version` prints; none if it cannot be run.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn measure(programs: &[Program], bundle: &Bundle, dir: &Path, turns: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = programs.iter().map(|program| Row::new(&program.name)).collect();
    let path = bundle.path().to_path_buf();
    // The first turns fill the page cache, and are not counted.
    for turn in 0..turns + 3 {
        for (program, row) in programs.iter().zip(&mut rows) {
            let bench = Bench { program, bundle: &path, dir, turn };
            let (run, life) = (bench.run(), (!program.is_floor).then(|| bench.life()));
            if turn >= 3 {
                row.run.push(run);
                row.life.extend(life);
            }
        }
    }
    rows
}

/// One turn of one program.
struct Bench<'a> {
    program: &'a Program,
    bundle: &'a Path,
    dir: &'a Path,
    turn: usize,
}

impl Bench<'_> {
    /// The time of `run`, or of the floor.
    fn run(&self) -> Duration {
        let mut command = Command::new(&self.program.path);
        if self.program.is_floor {
            command.arg(self.bundle.join("rootfs")).args(["/probe", "exit", "0"]);
        } else {
            command.arg("--root").arg(self.state()).args(["run", "--bundle"]);
            command.arg(self.bundle).arg(self.id("run"));
        }
        self.time(&mut command)
    }

    /// The time of `create`, `start` and `delete` together; the container's own end is not in it.
    fn life(&self) -> Duration {
        let (id, pid_file) = (self.id("life"), self.dir.join("pid"));
        let mut create = self.command(&["create", "--bundle"]);
        create.arg(self.bundle).arg("--pid-file").arg(&pid_file).arg(&id);
        let mut time = self.time(&mut create);
        let pid = std::fs::read_to_string(&pid_file).expect("a pid file");
        time += self.time(self.command(&["start"]).arg(&id));
        while is_running(pid.trim()) {
            std::thread::yield_now();
        }
        time + self.time(self.command(&["delete"]).arg(&id))
    }

    fn time(&self, command: &mut Command) -> Duration {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        let status = command.status().unwrap_or_else(|e| panic!("{}: {e}", self.program.name));
        let time = begin.elapsed();
        assert!(status.success(), "{command:?}: {status}");
        time
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program.path);
        command.arg("--root").arg(self.state()).args(words);
        command
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state").join(self.program.name.replace(' ', "-"))
    }

    fn id(&self, of: &str) -> String {
        let tag = self.dir.file_name().expect("a case's directory").to_string_lossy();
        format!("{tag}-{of}-{}", self.turn)
    }
}

/// Whether the process is there and has not ended: proc_pid_stat(5)'s third field.
fn is_running(pid: &str) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = text.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// Fail if crun is less than `at_least` times slower than the fastest tiny-ce, or not there.
fn judge(rows: &[Row], at_least: Option<f64>) -> ExitCode {
    let Some(at_least) = at_least else { return ExitCode::SUCCESS };
    let fastest = |name: &str| {
        let named = rows.iter().filter(|row| row.name.starts_with(name));
        named.map(|row| table::median(&row.run)).min()
    };
    let ratio = match (fastest("tiny-ce"), fastest("crun")) {
        (Some(ours), Some(crun)) => crun.as_secs_f64() / ours.as_secs_f64(),
        _ => 0.0,
    };
    println!("run: tiny-ce is {ratio:.1} times faster than crun, {at_least} wanted");
    if ratio >= at_least { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
