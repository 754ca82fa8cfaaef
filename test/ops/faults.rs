//! `update`, `pause` and `mounts add` killed, or failed by the kernel, at one system call after the
//! other: the container is as before or as asked for, and runs on. One in STRIDE calls is taken;
//! all of them with `TINY_CE_FULL=1`.

use crate::limits::{self, MIB};
use crate::mounts::{running, sources, table};
use serde_json::json;
use tiny_ce_test::{Case, Container, Fault, Whose};

/// EIO, which none of these calls normally returns.
const EIO: Fault = Fault::Errno(5);

/// A prime, so that no period among the calls hides a kind of call.
const STRIDE: usize = 7;

/// Call `reached` with one point after the other, until the command makes no such call.
fn sweep(mut reached: impl FnMut(usize) -> bool) {
    let stride = if std::env::var_os("TINY_CE_FULL").is_some() { 1 } else { STRIDE };
    let mut point = 1;
    while reached(point) {
        point += stride;
    }
    assert!(point > 2 * stride, "{point} points");
}

/// The limits of memory and tasks in the kernel's files.
fn limits(case: &Case) -> (String, String) {
    (limits::memory(case), limits::pids(case))
}

fn mib(count: u64) -> String {
    (count * MIB).to_string()
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let Some(case) = Case::root(&[]) else { return };
    let container = limits::pausing(&case);
    let before = ["--memory", "64m", "--pids-limit", "20"];
    sweep(|point| {
        container.tiny_ce("update", before).ok();
        let words = ["update", container.id(), "--memory", "32m", "--pids-limit", "7"];
        let faulted = case.fault(Whose::Launcher, EIO, point, &case.command(words));
        let (memory, tasks) = match faulted.done.status.success() {
            true => (32, "7"),
            false => (64, "20"),
        };
        assert_eq!(limits(&case), (mib(memory), tasks.to_owned()), "{point}: {}", faulted.done);
        faulted.hit.is_some()
    });
    assert_eq!(container.status(), "running");
}

#[test]
fn a_killed_update_can_be_repeated() {
    let Some(case) = Case::root(&[]) else { return };
    let container = limits::pausing(&case);
    sweep(|point| {
        let words = ["update", container.id(), "--memory", "32m", "--pids-limit", "7"];
        let faulted = case.fault(Whose::Launcher, Fault::Kill, point, &case.command(words));
        assert_eq!(container.status(), "running", "{point}");
        container.tiny_ce("update", ["--memory", "64m", "--pids-limit", "20"]).ok();
        assert_eq!(limits(&case), (mib(64), "20".to_owned()), "{point}");
        faulted.hit.is_some()
    });
}

#[test]
fn a_pause_that_is_killed_or_fails_leaves_one_of_two_states() {
    let Some(case) = Case::root(&[]) else { return };
    let container = limits::pausing(&case);
    for fault in [Fault::Kill, EIO] {
        sweep(|point| {
            let pause = case.command(["pause", container.id()]);
            let faulted = case.fault(Whose::Launcher, fault.clone(), point, &pause);
            match container.status().as_str() {
                "paused" => drop(container.tiny_ce("resume", []).ok()),
                "running" => assert!(!faulted.done.status.success(), "{point}"),
                other => panic!("{fault:?} {point}: {other}"),
            }
            assert_eq!(container.status(), "running", "{fault:?} {point}");
            faulted.hit.is_some()
        });
    }
}

/// Both mounts are added, or neither.
#[test]
fn a_failed_mounts_add_leaves_nothing() {
    let Some(case) = Case::root(&[]) else { return };
    let (_bundle, container) = running(&case, |_| {});
    let (dir, _) = sources(&case);
    let file = case.dir().join("two.json");
    let list = json!([
        {"destination": "/tmp", "source": dir, "options": ["bind", "ro"]},
        {"destination": "/mnt/new", "type": "tmpfs", "source": "tmpfs"},
    ]);
    std::fs::write(&file, list.to_string()).expect("a file");
    let name = file.to_str().expect("UTF-8").to_owned();
    let before = table(&container);
    for whose in [Whose::Launcher, Whose::Plan] {
        sweep(|point| {
            let add = case.command(["mounts", "add", container.id(), &name]);
            let faulted = case.fault(whose, EIO, point, &add);
            if faulted.done.status.success() {
                assert_ne!(table(&container), before, "{whose:?} {point}");
                case.tiny_ce(["mounts", "remove", container.id(), &name]).ok();
            }
            assert_eq!(table(&container), before, "{whose:?} {point}: {}", faulted.done);
            faulted.hit.is_some()
        });
    }
}

/// If `mounts add` is killed, the container runs on and can be deleted.
#[test]
fn a_killed_mounts_add_leaves_the_container_running() {
    let Some(case) = Case::root(&[]) else { return };
    let (_bundle, container) = running(&case, |_| {});
    let file = case.dir().join("one.json");
    let list = json!([{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]);
    std::fs::write(&file, list.to_string()).expect("a file");
    let name = file.to_str().expect("UTF-8").to_owned();
    let before = table(&container);
    for (whose, fault) in
        [(Whose::Launcher, Fault::Kill), (Whose::Init, Fault::Kill), (Whose::Init, Fault::Orphan)]
    {
        sweep(|point| {
            let add = case.command(["mounts", "add", container.id(), &name]);
            let faulted = case.fault(whose, fault.clone(), point, &add);
            settle(&case, &container, &name, &before);
            faulted.hit.is_some()
        });
    }
}

/// Remove the mount, if it was added.
#[track_caller]
fn settle(case: &Case, container: &Container<'_>, name: &str, before: &str) {
    assert_eq!(container.status(), "running");
    if table(container) != before {
        case.tiny_ce(["mounts", "remove", container.id(), name]).ok();
    }
    assert_eq!(table(container), before);
}
