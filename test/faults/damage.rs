//! Damaged state files: `state` names the file, `list` shows this container as damaged beside the
//! others, `delete --force` kills its processes and removes it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use tiny_ce_test::Case;

use crate::verdict::one_line;

/// The ways in which a test damages a file.
const DAMAGES: [&str; 8] =
    ["empty", "truncated", "noise", "huge", "a link", "a directory", "missing", "other JSON"];

fn damage(path: &Path, how: &str) {
    let bytes = fs::read(path).expect("a state file");
    fs::remove_file(path).expect("a state file");
    match how {
        "empty" => fs::write(path, "").expect("a file"),
        "truncated" => fs::write(path, &bytes[..bytes.len() / 2]).expect("a file"),
        "noise" => fs::write(path, [0xff; 512]).expect("a file"),
        // A sparse file: it takes no disk space, but reading all of it would take all memory.
        "huge" => File::create(path).and_then(|file| file.set_len(1 << 40)).expect("a file"),
        "a link" => symlink("/etc/passwd", path).expect("a link"),
        "a directory" => fs::create_dir(path).expect("a directory"),
        "other JSON" => fs::write(path, "[{\"id\": 7}]").expect("a file"),
        _ => {}
    }
}

#[track_caller]
fn listed(case: &Case, id: &str) -> Option<String> {
    let all: Value =
        serde_json::from_str(case.tiny_ce(["list", "--format", "json"]).ok()).expect("JSON");
    let all = all.as_array().expect("a list");
    let found = all.iter().find(|entry| entry["id"] == id)?;
    Some(found["status"].as_str().expect("a status").to_owned())
}

/// A process that has ended stays a zombie until its new parent reaps it.
fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Only `state.json` is damaged: the intent still tells everything that has to be removed.
#[test]
fn a_damaged_state_is_reported_and_can_be_deleted() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let other = case.create(&bundle);
    for runs in [false, true] {
        for how in DAMAGES.into_iter().filter(|how| *how != "missing") {
            let container = case.create(&bundle);
            let (id, pid) = (container.id().to_owned(), container.pid());
            if runs {
                container.start();
            }
            damage(&case.state().join(&id).join("state.json"), how);
            let done = case.tiny_ce(["state", &id]);
            one_line(&done);
            let named = done.stderr.contains(&format!("{id}/state.json"));
            assert!(named, "{how}: {done}");
            assert_eq!(listed(&case, &id).as_deref(), Some("damaged"), "{how}");
            assert_eq!(listed(&case, other.id()).as_deref(), Some("created"), "{how}");
            for words in [&["start", &id][..], &["kill", &id], &["delete", &id], &["ps", &id]] {
                one_line(&case.tiny_ce(words));
            }
            drop(container);
            assert!(!lives(pid), "{how}: {pid} lives");
            assert!(case.cgroups().iter().all(|path| !path.ends_with(&id)), "{how}");
            assert_eq!(listed(&case, &id), None, "{how}");
        }
    }
}

/// Each of the other files is damaged, and then all but the intent at once.
#[test]
fn a_container_with_any_damaged_file_can_be_deleted() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    for files in [
        &["intent.json"][..],
        &["config.json"],
        &["plan"],
        &["start.sock"],
        &["state.json", "config.json", "plan"],
    ] {
        for how in DAMAGES {
            let container = case.create(&bundle);
            let (id, pid) = (container.id().to_owned(), container.pid());
            for file in files.iter().filter(|file| **file != "start.sock") {
                damage(&case.state().join(&id).join(file), how);
            }
            if files == ["start.sock"] {
                fs::remove_file(case.state().join(&id).join("start.sock")).expect("a socket");
            }
            let done = case.tiny_ce(["start", &id]);
            // `start` succeeds if it does not read the damaged file: the intent, for example.
            if !done.status.success() {
                one_line(&done);
            }
            drop(container);
            assert!(!lives(pid), "{files:?} {how}: {pid} lives");
            assert_eq!(case.leftovers(), Vec::<String>::new(), "{files:?} {how}");
        }
    }
}

/// As after a reboot: the pid now belongs to another process, not to the container.
#[test]
fn a_container_of_another_boot_is_stopped() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    for runs in [false, true] {
        let container = case.create(&bundle);
        if runs {
            container.start();
        }
        let id = container.id();
        for file in ["intent.json", "state.json"] {
            let path = case.state().join(id).join(file);
            let text = fs::read_to_string(&path).expect("a state file");
            let mut state: Value = serde_json::from_str(&text).expect("JSON");
            state["boot"] = "00000000-0000-0000-0000-000000000000".into();
            fs::write(&path, state.to_string()).expect("a state file");
        }
        assert_eq!(container.status(), "stopped");
        for verb in ["start", "kill"] {
            one_line(&container.tiny_ce(verb, []));
        }
        container.delete();
        assert_eq!(case.leftovers(), Vec::<String>::new());
    }
}

/// The container's directory is a file, a link, or empty.
#[test]
fn an_entry_that_is_no_container_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let container = case.create(&case.bundle());
    let state = case.state();
    for (name, make) in [
        ("file", (|path| fs::write(path, "").expect("a file")) as fn(&Path)),
        ("link", |path| symlink("/etc", path).expect("a link")),
        ("empty", |path| fs::create_dir(path).expect("a directory")),
    ] {
        let path = state.join(name);
        make(&path);
        for verb in ["state", "start", "kill", "delete"] {
            let done = case.tiny_ce([verb, name]);
            one_line(&done);
            assert!(done.stderr.contains(name), "{done}");
        }
        assert_eq!(listed(&case, container.id()).as_deref(), Some("created"));
        assert_eq!(listed(&case, name).as_deref(), Some("damaged"), "{name}");
        let done = case.tiny_ce(["delete", "--force", name]);
        assert!(Path::new("/etc/passwd").exists(), "{done}");
        if name == "empty" {
            done.ok();
            assert!(!path.exists(), "{done}");
        } else {
            one_line(&done);
            fs::remove_file(&path).expect("what is no directory");
        }
    }
}

/// The container was made before an upgrade: every build understands its files, except the plan.
#[test]
fn a_plan_of_another_build_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    for runs in [false, true] {
        let container = case.create(&bundle);
        if runs {
            container.start();
        }
        let plan = case.state().join(container.id()).join("plan");
        let mut bytes = fs::read(&plan).expect("the plan");
        bytes[0] ^= 1;
        fs::write(&plan, bytes).expect("the plan");
        let line = format!("{}: another build of tiny-ce wrote it\n", plan.display());
        let verb = if runs { "explain" } else { "start" };
        assert!(container.tiny_ce(verb, []).fails().contains(&line), "{verb}");
        let status = container.state()["status"].clone();
        assert_eq!(status, if runs { "running" } else { "created" });
        if runs {
            container.tiny_ce("exec", ["/probe", "pid"]).ok();
        }
        container.tiny_ce("delete", ["--force"]).ok();
    }
}
