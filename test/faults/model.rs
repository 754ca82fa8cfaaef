//! Verbs in random order, some of them killed half-way, against a small model of the allowed
//! states: a verb leads from each state to few others.
//!
//! The order comes from a seed, which a failure prints: `TINY_CE_SEED=N` repeats that order.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use tiny_ce_test::{Bundle, Case, Dice, Fault, Whose, full, run, sweep};

use crate::verdict::one_line;

/// The state of a container, as a caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// There is no container of that name.
    None,
    /// `create` was killed, and none of its processes runs.
    Broken,
    /// As `Broken`, but the intent is missing too: not written yet, or removed already.
    Damaged,
    Created,
    Running,
    Paused,
    Stopped,
}

use State::{Broken, Created, Damaged, None as Absent, Paused, Running, Stopped};

/// A verb, with the state that it leads to for each state in which it succeeds. In any other state
/// it must be refused.
type Verb = (&'static [&'static str], &'static [(State, State)]);

const VERBS: &[Verb] = &[
    (&["create"], &[(Absent, Created)]),
    (&["start"], &[(Created, Running)]),
    (&["pause"], &[(Created, Paused), (Running, Paused), (Paused, Paused)]),
    (&["resume"], &[(Paused, Running), (Created, Created), (Running, Running)]),
    (&["kill", "KILL"], &[(Created, Stopped), (Running, Stopped), (Paused, Stopped)]),
    (&["exec"], &[(Created, Created), (Running, Running)]),
    (&["update"], &[(Created, Created), (Running, Running), (Paused, Paused)]),
    (&["delete"], &[(Created, Absent), (Stopped, Absent), (Broken, Absent)]),
    (
        &["delete", "--force"],
        &[
            (Absent, Absent),
            (Broken, Absent),
            (Damaged, Absent),
            (Created, Absent),
            (Running, Absent),
            (Paused, Absent),
            (Stopped, Absent),
        ],
    ),
];

/// Return the state that `state` reports.
#[track_caller]
fn look(case: &Case, id: &str) -> State {
    let done = case.tiny_ce(["state", id]);
    if !done.status.success() {
        if done.fails().contains("intent.json: missing") {
            return Damaged;
        }
        assert!(done.stderr.contains("container does not exist"), "{done}");
        return Absent;
    }
    let state: serde_json::Value = serde_json::from_str(done.ok()).expect("JSON");
    match state["status"].as_str().expect("a status") {
        "created" => Created,
        "running" => Running,
        "paused" => Paused,
        "stopped" if !case.state().join(id).join("state.json").exists() => Broken,
        "stopped" => Stopped,
        other => panic!("{other}: {done}"),
    }
}

/// A signal takes a moment to act, and so does the death of init after its launcher was killed.
#[track_caller]
fn settles(case: &Case, id: &str, allowed: &BTreeSet<State>, what: &str) -> State {
    let mut seen = Absent;
    for turn in 0..200 {
        seen = look(case, id);
        if allowed.contains(&seen) {
            return seen;
        }
        std::thread::sleep(std::time::Duration::from_millis(turn / 8));
    }
    panic!("{what}: {seen:?}, of {allowed:?}");
}

/// Apply a sequence of random verbs to one container.
fn life(case: &Case, bundle: &Bundle, seed: u64) {
    let mut dice = Dice::new(seed);
    let id = case.id();
    let mut state = Absent;
    let mut story = vec![format!("TINY_CE_SEED={seed}")];
    // A container that was paused before its start resumes to created, not to running.
    let mut started = false;
    for _ in 0..14 {
        let (words, leads) = VERBS[dice.throw(VERBS.len())];
        let mut command = match words {
            ["create"] => case.make(words, bundle, &id),
            ["exec"] => case.command(["exec", &id, "/probe", "exit", "0"]),
            ["update"] => case.command(["update", &id, "--pids-limit", "50"]),
            ["kill", signal] => case.command(["kill", &id, signal]),
            words => case.command([words, &[id.as_str()]].concat()),
        };
        let killed = (dice.throw(3) == 0).then(|| 1 + dice.throw(500));
        let to = leads.iter().find(|(from, _)| *from == state).map(|(_, to)| *to);
        let to = if words == ["resume"] && !started { to.and(Some(Created)) } else { to };
        story.push(format!("{state:?} {} {killed:?}", words.join(" ")));
        let what = story.join(", ");
        let (done, hit) = match killed {
            Some(point) => {
                let fault = case.fault(Whose::Launcher, Fault::Kill, point, &command);
                (fault.done, fault.hit.is_some())
            }
            None => (run(&mut command, case.dir()), false),
        };
        let mut allowed = BTreeSet::new();
        if hit {
            allowed.insert(state);
            allowed.extend(to);
            // If the launcher dies between writing the state and the commit, init ends and the
            // state stays.
            if words == ["create"] && state == Absent {
                allowed.extend([Broken, Damaged, Stopped]);
            }
            // `delete` stops the container first, and then removes file by file.
            if words[0] == "delete" && to.is_some() {
                allowed.extend([Stopped, Broken, Damaged]);
            }
        } else if let Some(to) = to {
            assert!(done.status.success(), "{what}: {done}");
            allowed.insert(to);
        } else {
            one_line(&done);
            allowed.insert(state);
        }
        state = settles(case, &id, &allowed, &what);
        let dying = matches!(words[0], "kill" | "delete") && to.is_some();
        if hit && dying && matches!(state, Created | Running | Paused) {
            // The signal was sent or not: after this `kill` it was.
            let _ = case.tiny_ce(["kill", &id, "KILL"]);
            state = settles(case, &id, &BTreeSet::from([Stopped]), &what);
        }
        started = match state {
            Running => true,
            Absent | Broken | Damaged | Created => false,
            _ => started,
        };
    }
    case.tiny_ce(["delete", "--force", &id]).ok();
    assert_eq!(case.leftovers(), Vec::<String>::new(), "{}", story.join(", "));
}

#[test]
fn any_order_of_verbs_keeps_to_the_model() {
    if Case::root(&[]).is_none() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let given = std::env::var("TINY_CE_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let lives = match (given, full()) {
        (Some(_), _) => 1,
        (None, true) => 1000,
        (None, false) => 40,
    };
    let ground = |case: &Case| {
        let mut bundle = case.bundle();
        bundle.probe("pause");
        bundle
    };
    sweep("lives of verbs", 1, ground, |case, bundle, turn| {
        let seed = given.unwrap_or_else(|| now.wrapping_add(turn as u64 * 2) | 1);
        life(case, bundle, seed);
        turn < lives
    });
}
