//! What is measured: one container after a rest and in a burst, the other commands, many
//! containers, many at once, and a host with many mounts. Each is measured for every program in
//! turn.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::{Cost, cost, cost_of, reap, succeed};
use crate::programs::{Ground, Program};

/// The number of runs of one program in a burst.
const BURST: usize = 10;
/// The rest before a run that is measured alone: afterwards no cache or lock is warm.
const REST: Duration = Duration::from_millis(50);
/// The numbers of containers that run at the same time.
pub const CROWDS: [usize; 3] = [1, 8, 32];
/// The number of mounts on the host in the last story.
pub const MOUNTS: usize = 1000;

/// A program's figures.
pub struct Row {
    /// The program.
    pub program: Program,
    /// `run`, each after a rest.
    pub alone: Vec<Cost>,
    /// `run`, one after the other.
    pub burst: Vec<Cost>,
    /// `create`, `start` and `delete` together.
    pub life: Vec<Cost>,
    /// `exec` into a container.
    pub exec: Vec<Cost>,
    /// The costs of `list` and `state`, by the number of containers.
    pub many: Vec<(usize, Vec<Cost>, Vec<Cost>)>,
    /// The costs of the first twenty creates, and of the last twenty.
    pub creates: Option<(Vec<Cost>, Vec<Cost>)>,
    /// Containers per second, in the order of [`CROWDS`].
    pub crowds: Vec<f64>,
    /// `run` on a host with [`MOUNTS`] more mounts.
    pub mounts: Vec<Cost>,
}

/// The ground and the extent of the measurement.
pub struct Stories<'a> {
    /// The bundle and the state.
    pub ground: Ground<'a>,
    /// A bundle whose program waits for ever.
    pub waiting: &'a Path,
    /// The directory for the mounts, which does not exist yet.
    pub mounts: &'a Path,
    /// How often each story is measured.
    pub turns: usize,
    /// The number of containers in the story of many; 0 leaves that story out.
    pub containers: usize,
}

impl Stories<'_> {
    /// Measure all stories, for each of these programs.
    pub fn tell(&self, programs: Vec<Program>) -> Vec<Row> {
        let row = |program| Row {
            program,
            alone: Vec::new(),
            burst: Vec::new(),
            life: Vec::new(),
            exec: Vec::new(),
            many: Vec::new(),
            creates: None,
            crowds: Vec::new(),
            mounts: Vec::new(),
        };
        let mut rows: Vec<Row> = programs.into_iter().map(row).collect();
        // The first runs fill the page cache, and are not counted.
        for row in &rows {
            self.run(&row.program, 0);
        }
        self.in_bursts(&mut rows);
        self.alone(&mut rows);
        for row in &mut rows {
            self.crowds(row);
        }
        for row in rows.iter_mut().filter(|row| row.program.is_runtime()) {
            self.exec(row);
            self.many(row);
        }
        self.among_mounts(&mut rows);
        rows
    }

    fn id(&self, of: &str, turn: usize) -> String {
        format!("{}-{of}-{turn}", self.ground.tag)
    }

    fn run(&self, program: &Program, turn: usize) -> Cost {
        cost(&mut program.run(&self.ground, &self.id("run", turn)))
    }

    fn in_bursts(&self, rows: &mut [Row]) {
        for _ in 0..self.turns.div_ceil(BURST) {
            for row in rows.iter_mut() {
                row.burst.extend((0..BURST).map(|turn| self.run(&row.program, turn)));
                if row.program.is_runtime() {
                    row.life.extend((0..BURST).map(|turn| self.life(&row.program, turn)));
                }
            }
        }
    }

    fn alone(&self, rows: &mut [Row]) {
        for turn in 0..self.turns {
            for row in rows.iter_mut() {
                std::thread::sleep(REST);
                row.alone.push(self.run(&row.program, turn));
            }
        }
    }

    /// `create`, `start` and `delete`, without the wait for the container's end.
    fn life(&self, program: &Program, turn: usize) -> Cost {
        let (id, pid_file) = (self.id("life", turn), self.ground.state.join("pid"));
        let mut create = program.command(&self.ground, &["create", "--bundle"]);
        create.arg(self.ground.bundle).arg("--pid-file").arg(&pid_file).arg(&id);
        let made = cost(&mut create);
        let pid = std::fs::read_to_string(&pid_file).expect("a pid file");
        let started = cost(program.command(&self.ground, &["start"]).arg(&id));
        // The CPU time of its end is part of a container's cost.
        let ended = cost_of(|| wait_for(pid.trim()));
        let ended = Cost { wall: Duration::ZERO, waits: 0, ..ended };
        made + started + ended + cost(program.command(&self.ground, &["delete"]).arg(&id))
    }

    /// Each of [`CROWDS`] threads runs its share of containers.
    fn crowds(&self, row: &mut Row) {
        for crowd in CROWDS {
            let share = (self.turns / crowd).clamp(2, 20);
            let begin = Instant::now();
            std::thread::scope(|scope| {
                for thread in 0..crowd {
                    let program = &row.program;
                    scope.spawn(move || {
                        for turn in 0..share {
                            let id = self.id(&format!("crowd{thread}"), turn);
                            succeed(quiet(&mut program.run(&self.ground, &id)));
                        }
                    });
                }
            });
            row.crowds.push((crowd * share) as f64 / begin.elapsed().as_secs_f64());
        }
    }

    /// Create and start a container whose program waits.
    fn waiting(&self, program: &Program, id: &str) -> Cost {
        let mut create = program.command(&self.ground, &["create", "--bundle"]);
        let cost = cost(create.arg(self.waiting).arg(id));
        succeed(quiet(program.command(&self.ground, &["start"]).arg(id)));
        cost
    }

    fn delete(&self, program: &Program, id: &str) {
        succeed(quiet(program.command(&self.ground, &["delete", "--force"]).arg(id)));
        reap();
    }

    fn exec(&self, row: &mut Row) {
        let (program, id) = (&row.program, self.id("exec", 0));
        self.waiting(program, &id);
        for _ in 0..self.turns {
            let mut exec = program.command(&self.ground, &["exec"]);
            row.exec.push(cost(exec.arg(&id).args(["/probe", "exit", "0"])));
        }
        self.delete(program, &id);
    }

    /// `list` and `state` with 1, 100 and `containers` containers; and the creates meanwhile.
    fn many(&self, row: &mut Row) {
        const SAMPLE: usize = 20;
        if self.containers < 2 * SAMPLE {
            return;
        }
        let program = &row.program;
        let mut creates = Vec::new();
        let fewer = [1, 100].into_iter().filter(|count| *count < self.containers);
        for count in fewer.chain([self.containers]) {
            for turn in creates.len()..count {
                creates.push(self.waiting(program, &self.id("many", turn)));
            }
            let measured = |words: &[&str], id: Option<&str>| -> Vec<Cost> {
                let one = || cost(program.command(&self.ground, words).args(id));
                (0..SAMPLE).map(|_| one()).collect()
            };
            let (list, state) = (measured(&["list"], None), self.id("many", 0));
            row.many.push((count, list, measured(&["state"], Some(&state))));
        }
        let last = creates.split_off(creates.len() - SAMPLE);
        creates.truncate(SAMPLE);
        row.creates = Some((creates, last));
        for turn in 0..self.containers {
            self.delete(program, &self.id("many", turn));
        }
    }

    /// The first story again, on a host with a thousand more mounts.
    fn among_mounts(&self, rows: &mut [Row]) {
        let place = |index: usize| self.mounts.join(index.to_string());
        for index in 0..MOUNTS {
            std::fs::create_dir_all(place(index)).expect("a directory of our own");
            let mut mount = Command::new("mount");
            succeed(mount.args(["-t", "tmpfs", "tmpfs"]).arg(place(index)));
        }
        for _ in 0..self.turns.div_ceil(2 * BURST) {
            for row in rows.iter_mut() {
                row.mounts.extend((0..BURST).map(|turn| self.run(&row.program, turn)));
            }
        }
        for index in 0..MOUNTS {
            succeed(Command::new("umount").arg(place(index)));
        }
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null())
}

/// Wait until the process has ended, by the third field of proc_pid_stat(5).
fn wait_for(pid: &str) {
    let running = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = text.rsplit(") ").next().and_then(|rest| rest.chars().next());
        state.is_some_and(|state| state != 'Z' && state != 'X')
    };
    while running() {
        std::thread::yield_now();
    }
}
