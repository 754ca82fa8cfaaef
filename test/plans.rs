//! Golden plans: config.json → the system calls that make the container, compiled for a constant
//! host. They need no root and no mocks: the compiler is a pure function.
//!
//! A case of `CASES` compiles `test/plans/CONFIG.json` and compares with `CASE.txt` beside it.
//! `BLESS=1 cargo test --test plans` writes the texts again: the difference of system calls is what
//! a security review reads. `rules` checks what must hold in all plans.

#[path = "plans/given.rs"]
mod given;
#[path = "plans/mutated.rs"]
mod mutated;
#[path = "plans/rules.rs"]
mod rules;
#[path = "plans/worlds.rs"]
mod worlds;

use given::{CASES, Given};
use tiny_ce::plan::Finished;
use tiny_ce::spec::{self, Allow};
use tiny_ce_test::tree;

/// Every case: its name, its input, the plan.
fn all() -> impl Iterator<Item = (&'static str, Given, Finished)> {
    CASES.iter().map(|(name, config, change)| {
        let mut given = Given::new(config);
        change(&mut given);
        let plan = given.compile().unwrap_or_else(|error| panic!("{name}: {error}"));
        (*name, given, plan)
    })
}

/// The cases that make a container or join one; CRIU and the program of a network do not.
fn processes() -> impl Iterator<Item = (&'static str, Given, Finished)> {
    all().filter(|(_, given, _)| given.criu.is_none() && !given.watched)
}

#[test]
fn plans_are_golden() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, _, plan) in all() {
        let found = plan.to_string();
        let golden = tree().join(format!("test/plans/{name}.txt"));
        if bless {
            std::fs::write(&golden, &found).expect("a golden file");
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if found != wanted {
            wrong.push(format!("{name}: wanted\n{wanted}found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every file in test/plans belongs to a case, so that none is left unused.
#[test]
fn no_golden_file_is_an_orphan() {
    let mut wanted =
        ["given.rs", "mutated.rs", "rules.rs", "worlds.rs"].map(str::to_owned).to_vec();
    wanted.extend(CASES.iter().map(|(name, ..)| format!("{name}.txt")));
    wanted.extend(CASES.iter().map(|(_, config, _)| format!("{config}.json")));
    let entries = std::fs::read_dir(tree().join("test/plans")).expect("test/plans");
    let names = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"));
    let orphans: Vec<String> = names.filter(|name| !wanted.contains(name)).collect();
    assert_eq!(orphans, [""; 0]);
}

/// The plan of a config that the rules refuse would show what never happens.
#[test]
fn the_configs_keep_the_rules() {
    for (name, given, _) in all() {
        let found = spec::check(&given.spec, Allow::default());
        assert!(found.violations.is_empty(), "{name}: {:?}", found.violations);
    }
}

/// The plans named default are those of the configs that `tiny-ce spec` writes.
#[test]
fn the_default_configs_are_those_that_spec_writes() {
    let defaults = [
        ("default", spec::default(true)),
        ("default-v1", spec::default(false)),
        ("rootless", spec::rootless(1000, 1000, true)),
    ];
    for (name, spec) in defaults {
        let path = tree().join(format!("test/plans/{name}.json"));
        let mut text = spec::to_json(&spec).expect("JSON");
        text.push_str(if text.ends_with('\n') { "" } else { "\n" });
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).expect("a config");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "{name}");
    }
}

/// The same config and host give the same bytes: nothing else goes into a plan.
#[test]
fn compiling_is_a_function() {
    for ((name, _, first), (_, _, second)) in all().zip(all()) {
        assert_eq!(first, second, "{name}");
    }
}

/// The plan that is stored with a container equals the compiled one.
#[test]
fn a_plan_survives_its_file() {
    for (name, _, plan) in all() {
        let file = plan.to_file();
        let read = Finished::from_file(&file).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(read.to_string(), plan.to_string(), "{name}");
        assert!(Finished::from_file(&file[..plan.bytes.len() - 1]).is_none(), "{name}");
    }
}
