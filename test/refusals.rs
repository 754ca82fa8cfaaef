//! What is refused, rule by rule, compared with runc and crun: a config that both of them run runs
//! here too, unless it is unsafe.
//!
//! test/refusals/rows.json has for each rule the smallest input that breaks it. Each runs under all
//! three; the result is the last table of docs/parity.md, which `BLESS=1 cargo test --test
//! refusals` writes. `census` looks for rules in the sources that have no row.

#[path = "refusals/census.rs"]
mod census;
#[path = "refusals/row.rs"]
mod row;
#[path = "refusals/table.rs"]
mod table;

use row::{Row, rows};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use tiny_ce_test::{Case, Done, Need, Peer, cgroup_v2, met, run, tree};

/// The number of rows tried at a time; each waits for a process most of the time.
const WORKERS: usize = 3;

/// How many inputs may be refused as unsafe although both peers run them.
const MOST_UNSAFE: usize = 10;

/// A row, and its result.
pub struct Tried {
    row: Row,
    ours: Done,
    /// What `validate` prints about its config.json.
    judged: Done,
    /// The results of runc and of crun, if they are installed.
    peers: Option<[Done; 2]>,
}

impl Tried {
    fn is_refused(&self) -> bool {
        self.ours.code() != 0
    }

    /// All that was told of it.
    fn told(&self) -> String {
        self.ours.stderr.clone() + &self.judged.stderr
    }

    fn run_by(&self) -> usize {
        self.peers.iter().flatten().filter(|done| done.code() == 0).count()
    }
}

/// Run the row under one runtime; `command` makes a command of that runtime from words.
fn attempt(row: &Row, case: &Case, command: impl Fn(&[String]) -> Command) -> Done {
    let bundle = row.bundle(case);
    let id = case.id();
    let (before, line) = row.lines(&bundle, &id);
    let short = |words: &[String]| {
        let command = command(words);
        let mut short = Command::new("timeout");
        short.args(["--kill-after", "2", "20"]).arg(command.get_program());
        short.args(command.get_args()).env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
        run(&mut short, case.dir())
    };
    let made = before.map(|words| short(&words));
    let done = short(&line);
    let _ = short(&["delete".into(), "--force".into(), id]);
    // The container that the row is about must exist, whatever the row does.
    if let Some(made) = made {
        made.ok();
    }
    done
}

fn tried(row: Row, with_peers: bool) -> Tried {
    let case = Case::new();
    let ours = attempt(&row, &case, |words| case.command(words));
    let bundle = row.bundle(&case);
    row.lines(&bundle, "");
    let path = bundle.rootfs().with_file_name("");
    let judged = case.tiny_ce(["validate".as_ref(), path.as_os_str()]);
    drop(case);
    let peers = with_peers.then(|| {
        let case = Case::new();
        let all = Peer::ALL.map(|peer| {
            let done = attempt(&row, &case, |words| case.peer_command(peer, words));
            case.sweep();
            done
        });
        case.sweep();
        all
    });
    Tried { row, ours, judged, peers }
}

/// Every row for this machine, run once.
fn all() -> Option<&'static [Tried]> {
    static ALL: OnceLock<Option<Vec<Tried>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        if !met(&[Need::Root]) {
            return None;
        }
        let with_peers = met(&Peer::ALL.map(Need::Peer));
        let version = if cgroup_v2() { 2 } else { 1 };
        let file = std::fs::read_to_string(tree().join("test/refusals/rows.json")).expect("rows");
        let rows: Vec<Row> = rows(&file).into_iter().filter(|row| row.is_for(version)).collect();
        let (count, next) = (rows.len(), AtomicUsize::new(0));
        let rows: Vec<Mutex<Option<Row>>> = rows.into_iter().map(|r| Mutex::new(Some(r))).collect();
        let done: Vec<Mutex<Option<Tried>>> = (0..count).map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(row) = rows.get(at) else { break };
                        let row = row.lock().expect("a row").take().expect("once");
                        *done[at].lock().expect("a place") = Some(tried(row, with_peers));
                    }
                });
            }
        });
        let all = done.into_iter().map(|place| place.into_inner().expect("done").expect("tried"));
        Some(all.collect())
    });
    all.as_deref()
}

/// An input that both peers run runs here, or is one of the unsafe ones; an input that one of them
/// runs is refused with a reason.
#[test]
fn a_config_that_both_peers_run_runs_here() {
    let Some(all) = all() else { return };
    let mut told = String::new();
    for Tried { row, ours, peers, .. } in all {
        let Some([runc, crun]) = peers else { continue };
        let by = [runc, crun].iter().filter(|done| done.code() == 0).count();
        let refused = ours.code() != 0;
        match (refused, by, &row.attack) {
            (false, _, _) => {}
            (true, 2, None) => told += &format!("{}: both run it: {}\n", row.rule, ours.stderr),
            (true, 1, None) if row.why.split(' ').count() < 4 => {
                let (name, other) = if runc.code() == 0 { ("runc", crun) } else { ("crun", runc) };
                told += &format!(
                    "{}: {name} runs it, and no reason is given: ours: {}other: {}\n",
                    row.rule, ours.stderr, other.stderr
                );
            }
            _ => {}
        }
        if row.attack.is_some() && (by < 2 || !refused) {
            told += &format!(
                "{}: tells of an attack, and is not run by both or not refused\n",
                row.rule
            );
        }
    }
    let unsafe_ones = all.iter().filter(|tried| tried.row.attack.is_some()).count();
    assert!(unsafe_ones <= MOST_UNSAFE, "{unsafe_ones} rows are called unsafe");
    assert!(told.is_empty(), "{told}");
}

/// Each row causes a refusal or a warning.
#[test]
fn every_row_is_reported() {
    let Some(all) = all() else { return };
    let silent = all.iter().filter(|tried| tried.told().trim().is_empty());
    let silent: Vec<&str> = silent.map(|tried| tried.row.rule.as_str()).collect();
    assert!(silent.is_empty(), "neither refused nor warned of: {silent:#?}");
}

/// `validate` shows each warning about config.json that `run` shows.
#[test]
fn validate_shows_each_warning() {
    let Some(all) = all() else { return };
    let of_configs = all.iter().filter(|tried| !tried.is_refused() && !tried.row.is_command());
    let mut hidden = Vec::new();
    for tried in of_configs {
        for line in tried.ours.stderr.lines().filter(|line| line.contains("warning: ")) {
            let text = line.rsplit("config.json: ").next().unwrap_or(line);
            if !tried.judged.stderr.contains(text) {
                hidden.push(format!("{}: {line}", tried.row.rule));
            }
        }
    }
    assert!(hidden.is_empty(), "{hidden:#?}");
}

#[test]
fn each_rule_has_a_row() {
    let Some(all) = all() else { return };
    let told: String = all.iter().map(Tried::told).collect();
    let missing = census::missing(&told);
    assert!(missing.is_empty(), "no row of test/refusals/rows.json shows:\n{}", missing.join("\n"));
}

#[test]
fn the_page_is_current() {
    let Some(all) = all() else { return };
    // The page describes a machine with cgroup v1 and current peers.
    if cgroup_v2() || all.iter().any(|tried| tried.peers.is_none()) {
        return;
    }
    table::check(all);
}
