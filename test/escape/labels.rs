//! Labels are written to files of /proc, and `exec` uses the container's /proc, where mounts could
//! lead the write elsewhere (CVE-2019-16884, CVE-2025-52881).

use serde_json::json;
use std::os::unix::fs::symlink;
use tiny_ce_test::{Bundle, Case, Need};

/// A bundle whose program may mount, runs `commands`, and waits.
fn mounting(case: &Case, commands: &str) -> Bundle {
    let mut bundle = case.bundle();
    for set in ["bounding", "permitted", "effective"] {
        bundle.push(&format!("/process/capabilities/{set}"), "CAP_SYS_ADMIN");
    }
    bundle.set("/root/readonly", false).set("/linux/maskedPaths", json!([]));
    bundle.set("/linux/readonlyPaths", json!([]));
    bundle.probe(&format!("{commands} then await 15"));
    bundle
}

/// `exec` with a profile fails at this system call, with a hint.
fn exec_is_refused(case: &Case, bundle: &Bundle, made: &[&str], call: &str) {
    let mut container = case.create(bundle);
    container.start();
    for line in made {
        assert_eq!(container.line(line.split(' ').next().expect("a word")), *line);
    }
    container.line("ready:");
    let exec = |profile: &[&str]| {
        let words = ["exec"].iter().chain(profile).copied();
        case.tiny_ce(words.chain([container.id(), "/probe", "say", "ran"]))
    };
    let done = exec(&["--apparmor", "unconfined"]);
    done.ends(255);
    assert!(!done.stdout.contains("ran"), "{done}");
    assert!(done.stderr.contains(&format!("--apparmor: {call}")), "{done}");
    assert!(done.stderr.contains("hint:"), "{done}");
    // Without a profile nothing is written, so exec does not check /proc.
    assert!(exec(&[]).ok().contains("ran"));
    container.tiny_ce("delete", ["--force"]).ok();
    container.ended();
}

/// Without this the attacks below would prove nothing.
#[test]
fn exec_applies_a_profile_if_nothing_covers_proc() {
    let Some(case) = Case::root(&[Need::AppArmor]) else { return };
    let mut container = case.create(&mounting(&case, "say mounted"));
    container.start();
    container.line("ready:");
    let id = container.id().to_owned();
    let done = case.tiny_ce(["exec", "--apparmor", "unconfined", &id, "/probe", "say", "ran"]);
    assert!(done.ok().contains("ran"), "{done}");
    container.tiny_ce("delete", ["--force"]).ok();
    container.ended();
}

/// Another file system on /proc, with a file that accepts any write.
#[test]
fn a_label_is_not_written_to_another_file_system() {
    let Some(case) = Case::root(&[Need::AppArmor]) else { return };
    let attack = "mount none /proc tmpfs 0 then mkdir /proc/thread-self then \
                  mkdir /proc/thread-self/attr then mkdir /proc/thread-self/attr/apparmor then \
                  write /proc/thread-self/attr/apparmor/exec x";
    let bundle = mounting(&case, attack);
    exec_is_refused(&case, &bundle, &["mount /proc: ok"], "fstatfs(2): ");
}

/// A directory of procfs on /proc: its file system type is procfs.
#[test]
fn a_label_is_not_written_below_a_part_of_procfs() {
    let Some(case) = Case::root(&[Need::AppArmor]) else { return };
    // 4096 is MS_BIND.
    let bundle = mounting(&case, "mount /proc/1 /proc none 4096");
    exec_is_refused(&case, &bundle, &["mount /proc: ok"], "openat2(2): ENOENT");
}

/// A link mounted on the link /proc/thread-self, which leads to a process that the container
/// chooses.
#[test]
fn a_label_is_not_written_through_a_mount_on_the_way() {
    let Some(case) = Case::root(&[Need::AppArmor]) else { return };
    // open_tree(OPEN_TREE_CLONE|AT_SYMLINK_NOFOLLOW), move_mount(MOVE_MOUNT_F_EMPTY_PATH).
    let attack = "syscall 428 -100 @/other 0x101 then syscall 429 3 @ -100 @/proc/thread-self 4";
    let bundle = mounting(&case, attack);
    symlink("1/task/1", bundle.rootfs().join("other")).expect("a link");
    let made = ["syscall 428: 3", "syscall 429: 0"];
    exec_is_refused(&case, &bundle, &made, "openat2(2): EXDEV");
}

/// /proc is not mounted.
#[test]
fn a_label_needs_a_procfs() {
    let Some(case) = Case::root(&[Need::AppArmor]) else { return };
    let mut bundle = mounting(&case, "say mounted");
    let mounts = bundle.config["mounts"].as_array().expect("mounts").iter();
    let others = mounts.filter(|mount| mount["destination"] != "/proc").cloned().collect();
    bundle.set("/mounts", serde_json::Value::Array(others));
    let _ = std::fs::remove_dir(bundle.rootfs().join("proc"));
    exec_is_refused(&case, &bundle, &[], "openat2(2): ENOENT");
}
