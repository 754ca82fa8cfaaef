//! Images with links and nodes at paths that the runtime creates or uses.

use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use tiny_ce_test::{Bundle, Case};

use crate::victim::{Victim, fails_cleanly_or_succeeds, refused};

/// Remove the tmpfs on /dev, so that the image's own /dev is used.
fn bare_dev(bundle: &mut Bundle) {
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/dev");
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867.
#[test]
fn links_at_proc_and_sys_are_refused() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    for name in ["proc", "sys"] {
        let bundle = case.bundle();
        victim.linked(&bundle, name, "below");
        refused(&case.run(&bundle), &format!("\"/{name}\""));
        // Nor may a link lead to a directory inside.
        let bundle = case.bundle();
        fs::create_dir(bundle.rootfs().join("real")).expect("a directory");
        fs::remove_dir(bundle.rootfs().join(name)).expect("the image's directory");
        symlink("real", bundle.rootfs().join(name)).expect("a link");
        refused(&case.run(&bundle), &format!("\"/{name}\""));
    }
    victim.is_unharmed("proc and sys");
}

/// CVE-2026-41579, CVE-2026-47766.
#[test]
fn a_link_at_dev_leads_nowhere_outside() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    for (tmpfs, up) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut bundle = case.bundle();
        if !tmpfs {
            bare_dev(&mut bundle);
        }
        victim.linked(&bundle, "dev", ".");
        if up {
            let link = bundle.rootfs().join("dev");
            fs::remove_file(&link).expect("a link");
            symlink(format!("{}{}", "../".repeat(30), victim.path("").display()), link)
                .expect("a link");
        }
        bundle.set("/root/readonly", false);
        fails_cleanly_or_succeeds(&case.run(&bundle));
        victim.is_unharmed(&format!("tmpfs {tmpfs}, up {up}"));
    }
}

/// CVE-2025-31133, CVE-2025-62161.
#[test]
fn a_false_null_device_masks_nothing_and_harms_nobody() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    let commands = "stat /etc/secret then cat /etc/secret then readlink /proc/self/fd/1";
    for link in [true, false] {
        let mut bundle = case.bundle();
        bare_dev(&mut bundle);
        bundle.set("/root/readonly", false).probe(commands);
        bundle.file("etc/secret", "secret");
        bundle.push("/linux/maskedPaths", "/etc/secret");
        match link {
            true => victim.linked(&bundle, "dev/null", "null"),
            false => drop(bundle.file("dev/null", "of the image")),
        }
        let done = case.run(&bundle);
        refused(&done, "default devices");
        // Without the image's file, the runtime makes the node, and the mask is the host's null
        // device.
        fs::remove_file(bundle.rootfs().join("dev/null")).expect("the image's");
        let done = case.run(&bundle);
        assert!(done.value("stat /etc/secret").ends_with("rdev=1:3"), "{done}");
        assert!(!done.stdout.contains("/dev/null"), "{done}");
    }
    victim.is_unharmed("/dev/null");
}

/// A program replaces the container's null device; `exec`, whose standard input is the host's null
/// device, keeps that then.
#[test]
fn a_false_null_device_of_a_program_is_not_opened() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    let outside = victim.path("null");
    let outside = outside.to_str().expect("UTF-8");
    let bind = victim.path("").to_str().expect("UTF-8").trim_end_matches('/').to_owned();
    for replace in [
        "write /dev/null x".to_owned(),
        format!("symlink {outside} /dev/null"),
        "symlink /seen/null /dev/null".to_owned(),
        "mknod /dev/null c 1 5".to_owned(),
        "mknod /dev/null p 0 0".to_owned(),
        "mkdir /dev/null".to_owned(),
        "say none".to_owned(),
    ] {
        let mut bundle = case.bundle();
        for set in ["bounding", "permitted", "effective"] {
            bundle.push(&format!("/process/capabilities/{set}"), "CAP_MKNOD");
        }
        bundle.bind(&bind, "/seen", &["bind"]);
        bundle.probe(&format!("unlink /dev/null then {replace} then pause"));
        let mut container = case.create(&bundle);
        container.start();
        container.line("ready:");
        let words = "say hi then fds then cat /proc/self/fd/0";
        let id = container.id().to_owned();
        let words: Vec<&str> =
            ["exec", &id, "/probe"].into_iter().chain(words.split_whitespace()).collect();
        let done = case.tiny_ce(words);
        assert!(done.ok().starts_with("hi\n"), "{replace}: {done}");
        assert!(!done.stdout.contains("of the host"), "{replace}: {done}");
        assert!(done.stdout.len() < 4096, "{replace}: {} bytes", done.stdout.len());
        assert!(done.values("fd").iter().any(|fd| fd.starts_with("0 ")), "{replace}: {done}");
        container.kill("KILL");
        container.ended();
    }
    victim.is_unharmed("/dev/null of a program");
}

/// CVE-2025-52565.
#[test]
fn a_false_console_is_not_mounted_on() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    for target in ["console", "missing"] {
        let mut bundle = case.bundle();
        bare_dev(&mut bundle);
        bundle.set("/root/readonly", false).set("/process/terminal", true).probe("tty");
        victim.linked(&bundle, "dev/console", target);
        refused(&case.run(&bundle), "process.terminal");
    }
    victim.is_unharmed("/dev/console");
}

/// Every file and directory that the runtime creates in a rootfs is a link to the outside.
#[test]
fn files_made_in_a_rootfs_are_not_made_outside() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    let source = case.dir().join("source");
    fs::write(&source, "bound").expect("a file");
    for name in [
        "dev/null",
        "dev/zero",
        "dev/tty",
        "dev/fd",
        "dev/stdin",
        "dev/stdout",
        "dev/core",
        "dev/ptmx",
        "dev/pts",
        "dev/shm",
        "dev/mqueue",
        "dev/fuse",
        "etc/bound",
        "mnt",
        "made",
        "dev",
    ] {
        for target in ["file", "missing", "below", "below/missing"] {
            let mut bundle = case.bundle();
            bare_dev(&mut bundle);
            bundle.set("/root/readonly", false).set("/process/cwd", "/made/a").probe("cwd");
            let fuse = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]);
            bundle.set("/linux/devices", fuse);
            bundle.bind(source.to_str().expect("UTF-8"), "/etc/bound", &["bind"]);
            bundle.push(
                "/mounts",
                json!({"destination": "/mnt/tmpfs", "type": "tmpfs", "source": "tmpfs"}),
            );
            victim.linked(&bundle, name, target);
            fails_cleanly_or_succeeds(&case.run(&bundle));
            victim.is_unharmed(&format!("{name} -> {target}"));
        }
    }
}

/// CVE-2025-52881: a kernel parameter is written to a real procfs, or not at all.
#[test]
fn false_kernel_parameters_are_not_written() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    let mut bundle = case.bundle();
    bundle.set("/linux/sysctl", json!({"kernel.msgmax": "4242"}));
    let file = victim.path("file");
    bundle.bind(file.to_str().expect("UTF-8"), "/proc/sys/kernel/msgmax", &["bind"]);
    refused(&case.run(&bundle), "/proc/sys/kernel/msgmax");
    victim.is_unharmed("a bind");
    // The image's own /proc is no procfs, and the real one is mounted elsewhere.
    let mut bundle = case.bundle();
    let false_one = bundle.file("proc/sys/kernel/msgmax", "of the image");
    bundle.set("/linux/sysctl", json!({"kernel.msgmax": "4242"}));
    bundle.mount("/proc")["destination"] = "/real".into();
    bundle.set("/root/readonly", false).remove("/linux/readonlyPaths");
    bundle.probe("cat /real/sys/kernel/msgmax");
    let done = case.run(&bundle);
    fails_cleanly_or_succeeds(&done);
    if done.status.success() {
        assert_eq!(done.stdout, "4242\n", "{done}");
    }
    assert_eq!(fs::read(false_one).expect("the image's"), b"of the image");
}
