//! Which tests were run, and where, out of what `cargo test` and .ci/run print.
//!
//! Reads text only; runs nothing but the tests of the promises, if there is no log.

use std::process::Command;

use tiny_ce_test::tree;

use crate::chinese;
use crate::page::{Cell, Part, Verdict, Words, count, filled, words};

/// A test program that was run.
#[derive(Debug)]
pub struct Ran {
    /// The step of .ci/run, or nothing.
    step: String,
    /// The kernel of the virtual machine in which it was run.
    kernel: Option<String>,
    /// `life`.
    program: String,
    /// The names of its tests.
    names: Vec<String>,
    passed: u64,
    failed: u64,
}

/// Every test program of a log.
pub fn read(log: &str) -> Vec<Ran> {
    let (mut all, mut step) = (Vec::new(), String::new());
    let mut now: Option<Ran> = None;
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix("=== ") {
            // A second try belongs to the step in which it is made.
            if rest.contains(", once more: ") {
                continue;
            }
            step = rest.split(" (").next().unwrap_or_default().to_owned();
        } else if let Some(rest) = line.trim_start().strip_prefix("Running ") {
            let (kernel, program) = match rest.split_once(" in the virtual machine") {
                Some((name, kernel)) => (Some(kernel.trim_start_matches(", Linux ")), name),
                None => (None, rest.split(" (").next().unwrap_or_default()),
            };
            // test/today says "with the engines of today".
            let program = program.split(" with ").next().unwrap_or_default();
            let file = program.rsplit(['/', ' ']).next().unwrap_or_default();
            let program = file.trim_end_matches(".rs").to_owned();
            let kernel = kernel.map(str::to_owned);
            let step = step.clone();
            now = Some(Ran { step, kernel, program, names: Vec::new(), passed: 0, failed: 0 });
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            let number = |word: &str| -> u64 {
                let part = rest.split([';', '.']).find(|part| part.ends_with(word));
                part.and_then(|part| part.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
            };
            let (passed, failed) = (number(" passed"), number(" failed"));
            all.extend(now.take().map(|ran| Ran { passed, failed, ..ran }));
        } else if let (Some(rest), Some(ran)) = (line.strip_prefix("test "), &mut now) {
            ran.names.extend(rest.split_once(" ... ").map(|(name, _)| name.to_owned()));
        }
    }
    all.retain(|ran| ran.passed + ran.failed > 0);
    all
}

/// The tests of the promises, which take less than a minute when they are built, and their output.
pub fn run(program: &str, names: &[&str]) -> Vec<Ran> {
    eprintln!("report: cargo test --test {program} {}", names.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "--test", program, "--", "--format", "pretty"]);
    // The tests take the program that cargo builds with them.
    command.args(names).env_remove("TINY_CE_BIN").current_dir(tree());
    let output = command.output().expect("cargo");
    let text = String::from_utf8_lossy(&output.stdout);
    read(&format!("Running {program} (here)\n{text}"))
}

/// The tests of the promises that are run if there is no log: some of their programs take minutes.
pub const QUICK: &[(&str, &[&str])] = &[
    ("trace", &[]),
    ("inject", &[]),
    ("kill", &["create", "run"]),
    ("life", &["init::", "odd::"]),
    ("bad_input", &[]),
    ("seccomp", &[]),
];

/// The table of promises of a README, by number: the sentence, and the path of its test.
fn promised(readme: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(tree().join(readme)).expect(readme);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let number = cells.first()?.strip_prefix("| ")?;
        number.parse::<u32>().ok()?;
        let path = cells.get(2)?.split_once("](")?.1.split(')').next()?;
        Some((cells[1].to_owned(), path.trim_start_matches("../").to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// The promises of README.md, and how many tests of each have passed; one is the benchmark's.
pub fn promises(log: Option<&[Ran]>, benchmark: Option<Verdict>) -> Part {
    let ours: Vec<Ran> = match log {
        Some(_) => Vec::new(),
        None => QUICK.iter().flat_map(|(program, names)| run(program, names)).collect(),
    };
    let ran = log.unwrap_or(&ours);
    let (english, chinese) = (promised("README.md"), promised("docs/zh-CN/README.md"));
    let row = |((say, path), (chinese, _)): (&(String, String), &(String, String))| {
        let name = path.trim_start_matches("test/").split(['/', '.']).next().unwrap_or_default();
        let all = ran.iter().filter(|ran| ran.program == name);
        let (passed, failed) =
            all.fold((0, 0), |(passed, failed), ran| (passed + ran.passed, failed + ran.failed));
        let verdict = match (passed, failed) {
            (0, 0) if name == "bench" && benchmark.is_some() => {
                benchmark.clone().unwrap_or(Verdict::Broken)
            }
            (0, 0) => Verdict::NotHere(words("not run this time")),
            (_, 0) => Verdict::Held,
            _ => Verdict::Broken,
        };
        let promise = Words { say: say.clone(), with: Vec::new(), chinese: Some(chinese.clone()) };
        vec![
            Cell::Words(promise),
            Cell::Name(format!("[{name}](../../{path})")),
            if passed > 0 { count(passed) } else { Cell::Empty },
            Cell::Verdict(verdict),
        ]
    };
    Part::Table {
        head: ["promise", "test", "tests passed", "verdict"].map(words).to_vec(),
        rows: english.iter().zip(&chinese).map(row).collect(),
    }
}

/// A step of .ci/run, in words; Chinese has those of today.
fn step(name: &str) -> Words {
    let chinese = chinese::find(name).map_or(name, |it| it).to_owned();
    Words { say: name.to_owned(), with: Vec::new(), chinese: Some(chinese) }
}

/// Which tests were run on which kernel.
pub fn kernels(ran: &[Ran]) -> Part {
    let here = super::machine::kernel();
    let mut groups: Vec<(&str, &str, Vec<&Ran>)> = Vec::new();
    for one in ran {
        let kernel = one.kernel.as_deref().unwrap_or(&here);
        let same =
            |(step, of, _): &&mut (&str, &str, Vec<&Ran>)| *step == one.step && *of == kernel;
        match groups.iter_mut().find(same) {
            Some((_, _, list)) => list.push(one),
            None => groups.push((&one.step, kernel, vec![one])),
        }
    }
    let row = |(name, kernel, list): (&str, &str, Vec<&Ran>)| {
        let sum = |of: fn(&Ran) -> u64| list.iter().map(|ran| of(ran)).sum::<u64>();
        let mut programs: Vec<&str> = list.iter().map(|ran| ran.program.as_str()).collect();
        programs.sort_unstable();
        programs.dedup();
        let held = sum(|ran| ran.failed) == 0;
        vec![
            Cell::Words(step(name)),
            Cell::Fact(format!("Linux {kernel}")),
            Cell::Fact(programs.join(", ")),
            count(sum(|ran| ran.passed)),
            Cell::Verdict(if held { Verdict::Held } else { Verdict::Broken }),
        ]
    };
    Part::Table {
        head: ["step", "kernel", "test programs", "tests passed", "verdict"].map(words).to_vec(),
        rows: groups.into_iter().map(row).collect(),
    }
}

/// The engines by the modules of their tests, and the packages that have their versions.
const PACKAGES: &[(&[&str], &str, &str)] = &[
    (&["podman"], "Podman", "podman"),
    (&["buildah"], "Buildah", "buildah"),
    (&["containerd"], "containerd", "containerd"),
    (&["cri"], "containerd, CRI", "containerd"),
    (
        &[
            "docker",
            "docker_newer",
            "docker_store",
            "live_restore",
            "remapped",
            "services",
            "swarm",
        ],
        "Docker",
        "docker.io",
    ),
];

/// The step with Debian 12's own engines; the others have those of today.
const OWN: &str = "tests on this machine";

/// Which engines were tried, with tiny-ce and with a peer.
pub fn podman_and_others(ran: &[Ran]) -> Part {
    let mut rows = Vec::new();
    let mut steps: Vec<&str> = Vec::new();
    for one in ran.iter().filter(|ran| ran.program == "engines") {
        if !steps.contains(&one.step.as_str()) {
            steps.push(&one.step);
        }
    }
    for name in steps {
        let all: Vec<&Ran> =
            ran.iter().filter(|ran| ran.program == "engines" && ran.step == name).collect();
        let root = if name == OWN { "/" } else { "target/today" };
        for (modules, engine, package) in PACKAGES {
            let of = |runtime: &str| {
                let names = all.iter().flat_map(|ran| &ran.names);
                let own = names
                    .filter(|test| modules.contains(&test.split("::").next().unwrap_or_default()));
                own.filter(|test| test.contains(runtime)).count() as u64
            };
            let (ours, peers) = (of("tiny_ce::"), of("peer::"));
            if ours + peers == 0 {
                continue;
            }
            let held = all.iter().all(|ran| ran.failed == 0);
            rows.push(vec![
                Cell::Name((*engine).to_owned()),
                Cell::Fact(version(root, package).unwrap_or_default()),
                Cell::Words(step(name)),
                count(ours),
                if peers > 0 { count(peers) } else { Cell::Empty },
                Cell::Verdict(if held { Verdict::Held } else { Verdict::Broken }),
            ]);
        }
    }
    let head = ["engine", "version", "step", "tests with tiny-ce", "with runc", "verdict"];
    Part::Table { head: head.map(words).to_vec(), rows }
}

/// The version of a Debian package, without Debian's own part.
pub fn version(root: &str, package: &str) -> Option<String> {
    let status = tree().join(root).join("var/lib/dpkg/status");
    let text = std::fs::read_to_string(status).ok()?;
    let own = text.split("\n\n").find(|it| it.starts_with(&format!("Package: {package}\n")))?;
    let line = own.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let upstream = line.rsplit_once('-').map_or(line, |it| it.0);
    Some(upstream.split(['+', '~']).next().unwrap_or(upstream).to_owned())
}

/// Random configurations under tiny-ce, runc and crun: how many all three have run, and that the
/// program saw the same.
pub fn parity() -> Part {
    const NAME: &str = "at_random::a_random_config";
    eprintln!("report: cargo test --test life {NAME}");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "--test", "life", NAME]).env("TINY_CE_SEED", SEEDS);
    command.env_remove("TINY_CE_BIN").current_dir(tree());
    let output = command.output().expect("cargo");
    let told = String::from_utf8_lossy(&output.stderr);
    let line = told.lines().find_map(|line| line.strip_prefix("compared: "));
    let numbers: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    let [composed, ran] = [0, 2].map(|at| numbers.get(at).copied().unwrap_or("0"));
    let verdict = match (line, output.status.success()) {
        (_, false) => Verdict::Broken,
        (Some(_), _) => Verdict::Held,
        (None, _) => Verdict::NotHere(words("`.ci/peers` has not fetched runc and crun")),
    };
    let figure = |text: &str| count(text.parse().unwrap_or(0));
    Part::Table {
        head: ["composed at random", "run by all three", "verdict"].map(words).to_vec(),
        rows: vec![vec![figure(composed), figure(ran), Cell::Verdict(verdict)]],
    }
}

/// The seeds of those configurations: the same each time.
const SEEDS: &str = "1-40";

/// What stands in place of a table that needs a log.
pub fn without_log() -> Part {
    Part::Words(filled("Not measured this time: `{}` takes what `.ci/run` has printed.", ["--log"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "
=== tests with the engines of today (20 min)
     Running engines with the engines of today
test podman::life::tiny_ce::limits ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 79 filtered out; finished in 0.10s

=== tests on this machine (30 min)
   Compiling tiny-ce v0.1.0
     Running unittests launcher/lib.rs (target/debug/deps/tiny_ce-1)
test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
     Running test/engines.rs (target/debug/deps/engines-1)
test docker::tiny_ce::limits ... ok
test docker_newer::tiny_ce::limits ... skipped: no docker
ok
test docker::peer::limits ... ok
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.10s
     Running test/seed.rs (target/debug/deps/seed-1)
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.10s

=== tests in a virtual machine with cgroup v2 (60 min)
     Running trace in the virtual machine, Linux 6.1.0-42-amd64
test result: ok. 19 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.90s
";

    #[test]
    fn a_log_says_which_tests_were_run_where() {
        let ran = read(LOG);
        let shown: Vec<_> = ran
            .iter()
            .map(|it| (&*it.program, it.kernel.as_deref(), it.passed, it.failed))
            .collect();
        assert_eq!(
            shown,
            [
                ("engines", None, 1, 0),
                ("lib", None, 12, 0),
                ("engines", None, 3, 0),
                ("trace", Some("6.1.0-42-amd64"), 19, 1),
            ]
        );
        let Part::Table { rows, .. } = kernels(&ran) else { unreachable!() };
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1][3], count(15));
        assert_eq!(rows[2][4], Cell::Verdict(Verdict::Broken));
        let Part::Table { rows, .. } = podman_and_others(&ran) else { unreachable!() };
        assert_eq!(rows[0][3], count(1));
        assert_eq!(rows[1][3..], [count(2), count(1), Cell::Verdict(Verdict::Held)]);
    }
}
