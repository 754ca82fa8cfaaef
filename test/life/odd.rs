//! Random changes that make a config.json odd: dropped fields, repeated entries, changed orders,
//! options joined into one word, links in the rootfs, unusual ids.
//!
//! Knows the shape of config.json; not which result is right.

use crate::at_random::Part;
use serde_json::{Value, json};
use tiny_ce_test::{Bundle, Dice};

pub(crate) const ODD: [Part; 7] = [drop_field, repeat, reorder, join, link, ids, maps];

/// What is never dropped: the program and its root, and the mount namespace, without which the
/// mounts would be made on the host.
const KEPT: [&str; 7] = [
    "/process",
    "/process/args",
    "/process/env",
    "/root",
    "/root/path",
    "/linux",
    "/linux/namespaces",
];

/// Collect the pointers of all values, down to single options.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('/', "~1"), value)).collect()
        }
        Value::Array(all) => all.iter().enumerate().map(|(at, v)| (at.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        let here = format!("{at}/{key}");
        // Nor is a mapping's `hostID` dropped: without it, the host's root would be mapped.
        let parts = ["/linux/namespaces/", "/linux/uidMappings/", "/linux/gidMappings/"];
        let namespace = value["type"] == "mount" || parts.iter().any(|parts| at.starts_with(parts));
        let word = ["/process/args/", "/process/env/"].iter().any(|kept| here.starts_with(kept));
        if !KEPT.contains(&here.as_str()) && !namespace && !word {
            found.push(here.clone());
        }
        places(value, &here, found);
    }
}

/// The pointers of arrays with more than one entry.
fn arrays(bundle: &Bundle) -> Vec<String> {
    let mut all = Vec::new();
    places(&bundle.config, "", &mut all);
    all.extend(["/process/env", "/linux/namespaces"].map(str::to_owned));
    all.retain(|at| {
        let array = bundle.config.pointer(at).and_then(Value::as_array);
        array.is_some_and(|entries| entries.len() > 1)
    });
    all
}

fn drop_field(dice: &mut Dice, bundle: &mut Bundle) {
    let mut all = Vec::new();
    places(&bundle.config, "", &mut all);
    let place: &String = dice.one(&all);
    bundle.remove(place);
}

fn repeat(dice: &mut Dice, bundle: &mut Bundle) {
    let array = dice.one(&arrays(bundle)).clone();
    let entries = bundle.config.pointer_mut(&array).and_then(Value::as_array_mut);
    let entries = entries.expect("an array");
    let entry = dice.one(entries).clone();
    entries.insert(dice.throw(entries.len() + 1), entry);
}

fn reorder(dice: &mut Dice, bundle: &mut Bundle) {
    let array = dice.one(&arrays(bundle)).clone();
    let entries = bundle.config.pointer_mut(&array).and_then(Value::as_array_mut);
    let entries = entries.expect("an array");
    let (from, to) = (dice.throw(entries.len()), dice.throw(entries.len()));
    entries.swap(from, to);
}

/// Join two options of a mount by a comma, or make one empty.
fn join(dice: &mut Dice, bundle: &mut Bundle) {
    let mounts = bundle.config["mounts"].as_array_mut().into_iter().flatten();
    let options = mounts.filter_map(|mount| mount["options"].as_array_mut());
    let mut options: Vec<&mut Vec<Value>> = options.filter(|all| all.len() > 1).collect();
    if options.is_empty() {
        return;
    }
    let which = dice.throw(options.len());
    let options = &mut options[which];
    let at = dice.throw(options.len() - 1);
    if dice.throw(4) == 0 {
        return options.insert(at, json!(""));
    }
    let second = options.remove(at + 1);
    let both = format!("{},{}", options[at].as_str().unwrap_or(""), second.as_str().unwrap_or(""));
    options[at] = json!(both);
}

/// Put links where mounts, files or the working directory go.
fn link(dice: &mut Dice, bundle: &mut Bundle) {
    let name = *dice.one(&["mnt", "x", "a", "host", "etc/passwd", "etc/new", "not", "tmp"]);
    let target = *dice.one(&[
        "/etc",
        "tmp",
        "../tmp",
        "/not/yet",
        "nowhere",
        "../../../../etc/there",
        "/dev/shm",
        "./etc/../tmp",
    ]);
    let place = bundle.rootfs().join(name);
    // The directories of the default rootfs are empty.
    let _ = std::fs::remove_dir(&place);
    let _ = std::fs::remove_file(&place);
    let _ = std::os::unix::fs::symlink(target, place);
}

fn ids(dice: &mut Dice, bundle: &mut Bundle) {
    const IDS: [u32; 7] = [0, 1, 999, 65_534, 65_535, 65_536, 4_294_967_294];
    let mut user = json!({"uid": *dice.one(&IDS), "gid": *dice.one(&IDS)});
    if dice.throw(2) == 0 {
        let group = *dice.one(&IDS);
        user["additionalGids"] = json!([*dice.one(&IDS), group, group]);
    }
    if dice.throw(4) == 0 {
        user.as_object_mut().expect("an object").remove("gid");
    }
    bundle.set("/process/user", user);
}

fn maps(dice: &mut Dice, bundle: &mut Bundle) {
    let map = |dice: &mut Dice| {
        let size = *dice.one(&[1, 10, 65_536]);
        let first = json!({"containerID": 0, "hostID": *dice.one(&[0, 100_000]), "size": size});
        let second = json!({"containerID": size, "hostID": 300_000, "size": *dice.one(&[1, 1000])});
        if dice.throw(2) == 0 { json!([second, first]) } else { json!([first]) }
    };
    let (uids, gids) = (map(dice), map(dice));
    bundle.set("/linux/uidMappings", uids).set("/linux/gidMappings", gids);
    if dice.throw(4) != 0 {
        bundle.namespace("user", None);
    }
}
