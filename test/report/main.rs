//! The report: the forerunner's experiments and this project's promises, done on this machine, as a
//! page in English and in Chinese with pictures.
//!
//!     cargo run --example report                    # writes docs/report and docs/zh-CN/report.md
//!     cargo run --example report -- --log FILE      # with the tests that .ci/run has printed
//!     cargo run --example report -- --bench FILE    # the JSON of a benchmark, with its picture
//!     cargo run --example report -- --check         # compares with docs/report, which stays
//!
//! Nothing of the page is written by hand that can be measured: docs/report/report.json has what
//! came out, and both pages are made of it.

mod chinese;
mod compare;
mod costs;
mod counts;
mod forerunner;
mod machine;
mod page;
mod pictures;
mod promises;
mod quantities;
mod session;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use tiny_ce_test::{Case, Need, missing, tree};

use page::{Language, Part, Report, Section, Verdict, filled, words};
use session::Ground;

/// The program that the experiments are done with; test/support knows the same name.
const PROGRAM: &str = "TINY_CE_BIN";

/// The options.
#[derive(Default)]
struct Wishes {
    check: bool,
    bench: Option<PathBuf>,
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = wishes().and_then(|wishes| {
        if std::env::var_os(PROGRAM).is_none() {
            return Err(with_the_release());
        }
        if wishes.check { check(&wishes) } else { renew(&wishes) }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("report: {e}");
            ExitCode::from(2)
        }
    }
}

fn wishes() -> Result<Wishes, String> {
    let mut wishes = Wishes::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a file"));
        match word.as_str() {
            "--check" => wishes.check = true,
            "--bench" => wishes.bench = Some(value()?.into()),
            "--log" => wishes.log = Some(value()?.into()),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(wishes)
}

/// Build tiny-ce optimised, since cargo builds no program for an example, and begin anew with it.
/// The tests of the promises are built beside it: half of an optimised build is one thread. Returns
/// only an error.
fn with_the_release() -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let tests = counts::QUICK.iter().flat_map(|(program, _)| ["--test", program]);
    let builds = [
        vec!["build", "--release", "--bin", "tiny-ce"],
        ["test", "--no-run"].into_iter().chain(tests).collect(),
    ];
    let begin = |words: &Vec<&str>| Command::new(&cargo).args(words).current_dir(tree()).spawn();
    let children = builds.each_ref().map(begin);
    for (child, words) in children.into_iter().zip(&builds) {
        match child.and_then(|mut child| child.wait()) {
            Ok(status) if status.success() => {}
            Ok(status) => return format!("cargo {}: {status}", words.join(" ")),
            Err(e) => return format!("cargo: {e}"),
        }
    }
    let own = std::env::current_exe().expect("/proc/self/exe");
    // target/HOST/PROFILE/examples/report, beside target/HOST/release/tiny-ce.
    let program = own.ancestors().nth(3).expect("target/HOST").join("release/tiny-ce");
    let error = Command::new(own).args(std::env::args_os().skip(1)).env(PROGRAM, program).exec();
    format!("exec: {error}")
}

/// The data, and the page in each language.
const FILES: [&str; 3] =
    ["docs/report/report.json", "docs/report/index.md", "docs/zh-CN/report.md"];

/// The pages of a report.
fn rendered(report: &Report) -> [String; 2] {
    [report.page(Language::English, ""), report.page(Language::Chinese, "../report/")]
}

/// Make the report below a directory, and write its files there.
fn write(wishes: &Wishes, below: &Path) -> Result<Report, String> {
    for name in FILES {
        let dir = below.join(name).with_file_name("");
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let report = made(wishes, &below.join("docs/report"))?;
    let data = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())? + "\n";
    let texts = [vec![data], rendered(&report).to_vec()].concat();
    for (name, text) in FILES.iter().zip(texts) {
        std::fs::write(below.join(name), text).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(report)
}

/// Make the report of docs; whether everything held.
fn renew(wishes: &Wishes) -> Result<bool, String> {
    let report = write(wishes, &tree())?;
    let broken = report.verdicts().iter().filter(|it| ***it == Verdict::Broken).count();
    println!("{} verdicts, {broken} of them \"not held\"", report.verdicts().len());
    Ok(broken == 0)
}

/// Make the report again, below target/report, and compare it with the one in docs.
fn check(wishes: &Wishes) -> Result<bool, String> {
    let read =
        |name: &str| std::fs::read_to_string(tree().join(name)).map_err(|e| format!("{name}: {e}"));
    let [data, pages @ ..] = FILES;
    let earlier: Report = serde_json::from_str(&read(data)?).map_err(|e| format!("{data}: {e}"))?;
    let now = write(wishes, &tree().join("target/report"))?;
    let mut found = compare::compare(&earlier, &now);
    for (name, text) in pages.iter().zip(rendered(&earlier)) {
        if read(name)? != text {
            found.differences.push(format!("{name} is not what {data} says"));
        }
    }
    for line in &found.left_out {
        println!("not compared: {line}");
    }
    for line in &found.differences {
        println!("DIFFERS: {line}");
    }
    let [rows, figures] = [found.rows, found.figures];
    println!("{rows} rows as in docs/report, {figures} figures within their noise");
    if !found.differences.is_empty() {
        println!("target/report has the new one; cargo run --example report writes docs/report");
    }
    Ok(found.differences.is_empty())
}

fn section(heading: &str, parts: Vec<Part>) -> Section {
    Section { heading: words(heading), parts }
}

/// Do everything; the pictures go into a directory.
fn made(wishes: &Wishes, pictures: &Path) -> Result<Report, String> {
    if let Some(reason) = missing(Need::Root).or_else(|| missing(Need::Program("unshare"))) {
        return Err(reason);
    }
    let log = match &wishes.log {
        Some(path) => Some(std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?),
        None => None,
    };
    let ran = log.map(|text| counts::read(&String::from_utf8_lossy(&text)));
    let ran = ran.as_deref();
    let benchmark = benchmark(wishes)?;
    let mut sections = vec![section("The machine", vec![machine::facts()])];
    let case = Case::new();
    let ground = Ground::new(&case);
    let said = |say| vec![Part::Words(words(say))];
    let with = |say, part| [said(say), vec![part]].concat();
    let trials = [forerunner::TRIALS, quantities::TRIALS].map(|trials| ground.all(trials)).concat();
    sections
        .push(section("The forerunner's experiments", with(FORERUNNER, Part::Experiments(trials))));
    let mut shown = ground.all(promises::PROMISES);
    shown.push(promises::kills(&case));
    let mut parts = said(PROMISED);
    // A check is made after the tests, or without them: then their rows say so.
    let known = if wishes.check { Some(ran.unwrap_or_default()) } else { ran };
    parts.push(counts::promises(known, benchmark.as_ref().map(|(all, _)| costs::verdict(all))));
    parts.push(Part::Experiments(shown));
    sections.push(section("The promises", parts));
    let attacks = Part::Experiments(ground.all(promises::ESCAPES));
    sections.push(section("Ways out that are closed", with(ESCAPES, attacks)));
    let drawn = pictures::parts(&ground, pictures);
    drop(ground);
    drop(case);
    sections.push(section("Beside runc and crun", with(PARITY, counts::parity())));
    sections.push(section("The benchmark", with_costs(benchmark.as_ref(), pictures)));
    let tables = |of: fn(&[counts::Ran]) -> Part| ran.map_or_else(counts::without_log, of);
    sections.push(section("Kernels", vec![tables(counts::kernels)]));
    sections.push(section("Engines", vec![tables(counts::podman_and_others)]));
    sections.push(section("Pictures", drawn));
    let mut report = Report { sections };
    let verdicts = report.verdicts();
    let count = |of: fn(&Verdict) -> bool| verdicts.iter().filter(|it| of(it)).count().to_string();
    let numbers = [
        count(|it| *it == Verdict::Held),
        count(|it| *it == Verdict::Broken),
        count(|it| matches!(it, Verdict::NotHere(_))),
    ];
    let summary = filled(SUMMARY, numbers.each_ref().map(String::as_str));
    report
        .sections
        .insert(0, section("", [said(INTRODUCTION), vec![Part::Words(summary)]].concat()));
    Ok(report)
}

/// The section about the benchmark.
fn with_costs(all: Option<&(serde_json::Value, PathBuf)>, pictures: &Path) -> Vec<Part> {
    let mut parts = vec![Part::Words(words(COSTS))];
    match all {
        Some((all, svg)) => parts.extend(costs::parts(all, svg, pictures)),
        None => parts.push(Part::Words(filled("Not measured this time: `{}`.", ["cargo bench"]))),
    }
    parts
}

/// What the benchmark has written, and the path of its picture.
fn benchmark(wishes: &Wishes) -> Result<Option<(serde_json::Value, PathBuf)>, String> {
    let json = match &wishes.bench {
        Some(json) => Some(json.clone()),
        // The benchmark takes longer than a check may.
        None if wishes.check => None,
        None => costs::run(),
    };
    json.map(|json| Ok((costs::read(&json)?, json.with_extension("svg")))).transpose()
}

const INTRODUCTION: &str = "`cargo run --example report` has made this page: it has typed each \
    command below on the machine below, and has taken down what came out. The names of containers \
    had a prefix, and `tiny-ce` a `--root` of its own, which are left out.";
const SUMMARY: &str = "Verdicts: {} held, {} not held, {} not here.";
const FORERUNNER: &str = "What the report of tiny-ce's forerunner showed in 2022, typed anew.";
const PROMISED: &str = "The promises of the README, and a few of them to look at.";
const ESCAPES: &str = "Attacks on the launcher and on the host. `test/escape` has all of them, and \
    exchanges names at each system call.";
const PARITY: &str = "The same config.json, composed at random, under tiny-ce, runc and crun: \
    where all three run it, the program sees the same.";
const COSTS: &str = "`cargo bench` measures whole processes. The floor is a bare program that \
    makes the same container by system calls; the whole floor also makes the cgroups and the state \
    file.";
