//! Mutated configs: each value of a full one is replaced by another, and what the rules accept is
//! compiled. The result is a refusal, or a plan whose every step can be read and printed.

use serde_json::{Value, json};

use super::given::{CASES, Given};
use super::worlds;
use tiny_ce::plan::Finished;
use tiny_ce::spec::{Allow, Spec, check, json};
use tiny_ce_test::{Dice, full, fuzz, tree};

/// One change in so many is made, unless all of them are asked for.
const STRIDE: usize = 31;

/// Replacements for a value, of any type.
fn others(value: &Value) -> Vec<Value> {
    let long = "x".repeat(5000);
    let mut all = vec![Value::Null, json!(true), json!({}), json!([]), json!(""), json!([[], {}])];
    match value {
        Value::String(_) => all.extend(
            [
                "/",
                "/..",
                "/./a//b/../c",
                "..",
                "a",
                "0-",
                "0-3",
                "/proc",
                "/dev/null",
                "\u{1}",
                "é",
                "tmpfs",
                "bind",
                &long,
            ]
            .map(Value::from),
        ),
        Value::Number(_) => {
            all.extend([-1, 0, 1, 7, 1 << 31, (1 << 32) - 1, 1 << 32, i64::MAX].map(Value::from))
        }
        Value::Array(list) => {
            all.push(list.iter().chain(list).cloned().collect());
            all.push(list.iter().rev().cloned().collect());
            all.push(list.iter().cycle().take(list.len() * 12).cloned().collect());
        }
        Value::Object(_) | Value::Bool(_) | Value::Null => {}
    }
    all
}

/// The pointers of all values, parents first.
fn pointers(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            pointers(value, format!("{at}/{key}"), into);
        }),
        Value::Array(list) => list.iter().enumerate().for_each(|(index, value)| {
            pointers(value, format!("{at}/{index}"), into);
        }),
        _ => {}
    }
    if !at.is_empty() {
        into.push(at);
    }
}

/// Whether the config compiled to a plan.
fn digest(config: &Value, what: &str) -> bool {
    let Ok(spec) = json::read::<Spec>(config.to_string().as_bytes()) else { return false };
    if !check(&spec, Allow::default()).violations.is_empty() {
        return false;
    }
    let given = Given::of(spec, 40);
    let Ok(plan) = given.compile() else { return false };
    let again = tiny_ce::plan::Finished::from_file(&plan.to_file()).expect("its own file");
    assert_eq!(again.to_string(), plan.to_string(), "{what}");
    assert!(plan.steps().count() > 5, "{what}: {plan}");
    if let Some(svg) = worlds::of(&given, what, None) {
        worlds::is_sound(&svg);
    }
    true
}

/// From the bytes of a config.json to a plan, and from the bytes of a plan that was damaged to its
/// steps.
#[test]
fn no_bytes_make_the_compiler_panic() {
    let mut dice = Dice::new(1);
    let mut compiled = 0;
    fuzz("config", &["test/plans", "test/bad-input"], |bytes| {
        let _ = json::unknown::<Spec>(bytes);
        let Ok(spec) = json::read::<Spec>(bytes) else { return };
        if !check(&spec, Allow::default()).violations.is_empty() {
            return;
        }
        if let Some(seccomp) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) {
            let _ = tiny_ce::seccomp::compile(seccomp);
        }
        let Ok(plan) = Given::of(spec, 40).compile() else { return };
        compiled += 1;
        let mut file = plan.to_file();
        assert_eq!(Finished::from_file(&file).map(|it| it.bytes), Some(plan.bytes));
        for _ in 0..8 {
            let at = dice.throw(file.len());
            file[at] = dice.throw(256) as u8;
            let _ = Finished::from_file(&file).map(|it| it.to_string());
        }
    });
    assert!(compiled > 10, "{compiled} compiled");
}

#[test]
fn no_value_makes_the_compiler_panic() {
    let mut configs: Vec<&str> = CASES.iter().map(|(_, config, _)| *config).collect();
    configs.sort_unstable();
    configs.dedup();
    let (mut turn, mut tried, mut compiled) = (0, 0, 0);
    for name in configs {
        let path = tree().join(format!("test/plans/{name}.json"));
        let text = std::fs::read_to_string(path).expect("a config");
        let whole: Value = serde_json::from_str(&text).expect("JSON");
        let mut all = Vec::new();
        pointers(&whole, String::new(), &mut all);
        for pointer in all {
            let value = whole.pointer(&pointer).expect("a value").clone();
            for other in others(&value) {
                turn += 1;
                if !full() && turn % STRIDE != 0 {
                    continue;
                }
                let mut config = whole.clone();
                *config.pointer_mut(&pointer).expect("a value") = other;
                tried += 1;
                compiled += usize::from(digest(&config, &format!("{name}: {pointer}")));
            }
        }
    }
    assert!(tried > 200 && compiled > 50, "{tried} tried, {compiled} compiled");
}
