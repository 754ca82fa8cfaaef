//! What is refused, rule by rule, beside runc and crun: what both of them run runs here too, unless
//! it is unsafe.
//!
//! test/refusals/rows.json has for each rule the smallest input that breaks it. Each is run under
//! all three; what comes of it is the last table of docs/parity.md, which `BLESS=1 cargo test
//! --test refusals` writes. `census` looks through the sources for a rule that has no row.

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

/// What runs at the same time: each is a process most of the time.
const WORKERS: usize = 3;

/// How many things may be refused because they are unsafe.
const MOST_UNSAFE: usize = 10;

/// A row, and what became of it.
pub struct Tried {
    row: Row,
    ours: Done,
    /// What `validate` tells of its config.json.
    judged: Done,
    /// Of runc and of crun, if they are there.
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

/// The row under one runtime; `command` makes one of its commands of words.
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
    // Whatever the row says, the container that it is about has to be there.
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

/// Every row that is for this machine, tried once.
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

/// What both of the others run runs here, or is on the list of the unsafe; what one of them runs is
/// refused with a reason.
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

/// A row is a refusal or a warning.
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
    // The page tells of a machine with cgroup v1 and of the peers of today.
    if cgroup_v2() || all.iter().any(|tried| tried.peers.is_none()) {
        return;
    }
    table::check(all);
}
