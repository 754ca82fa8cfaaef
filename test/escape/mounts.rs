//! Mounts over paths that protect the host, and targets that lead outside, or are changed to.

use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};
use tiny_ce_test::{Bundle, Case, Fault, Running, Whose, full, probe, sweep};

use crate::victim::{Victim, fails_cleanly_or_succeeds, refused};

fn tmpfs(bundle: &mut Bundle, destination: &str) {
    let mount = json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
    bundle.push("/mounts", mount);
}

/// CVE-2019-16884: with another file system on /proc, labels and masks would have no effect.
#[test]
fn nothing_is_mounted_over_proc() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    for destination in [
        "/proc",
        "/proc/",
        "//proc/.",
        "/proc/sys",
        "/proc/self/attr",
        "/proc/sys/kernel",
        "/../proc",
    ] {
        let mut bundle = case.bundle();
        tmpfs(&mut bundle, destination);
        refused(&case.run(&bundle), destination);
    }
    for destination in ["/proc", "/proc/self/attr", "/proc/sys"] {
        let mut bundle = case.bundle();
        bundle.bind(victim.path("below").to_str().expect("UTF-8"), destination, &["bind"]);
        refused(&case.run(&bundle), destination);
    }
    victim.is_unharmed("binds");
}

/// The same by an image with a link at the destination of a volume.
#[test]
fn nothing_is_mounted_over_proc_through_a_link() {
    let Some(case) = Case::root(&[]) else { return };
    for (link, target) in [("data", "/proc"), ("data", "proc/sys"), ("a/b", "../proc/self/attr")] {
        let mut bundle = case.bundle();
        let path = bundle.rootfs().join(link);
        fs::create_dir_all(path.parent().expect("a directory")).expect("rootfs");
        symlink(target, path).expect("a link");
        tmpfs(&mut bundle, &format!("/{link}"));
        bundle.probe("mounts");
        let done = case.run(&bundle);
        fails_cleanly_or_succeeds(&done);
        let over = |line: &&str| line.contains(" /proc") && line.contains(" - tmpfs ");
        // Masks are tmpfs mounts too, but read-only.
        let over = |line: &&str| over(line) && line.contains(" rw,");
        assert_eq!(done.values("mount").into_iter().find(over), None, "{link} -> {target}: {done}");
    }
}

/// CVE-2019-18837: links inside the rootfs are resolved inside the rootfs.
#[test]
fn a_target_below_a_link_stays_inside() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    for (to, up) in [("below", false), ("missing", false), ("below", true)] {
        let mut bundle = case.bundle();
        victim.linked(&bundle, "link", to);
        if up {
            let link = bundle.rootfs().join("link");
            fs::remove_file(&link).expect("a link");
            let far = format!("{}{}", "../".repeat(40), victim.path(to).display());
            symlink(far, link).expect("a link");
        }
        bundle.set("/root/readonly", false);
        tmpfs(&mut bundle, "/link");
        tmpfs(&mut bundle, "/link/made/here");
        bundle.bind(victim.path("file").to_str().expect("UTF-8"), "/link/name", &["bind", "ro"]);
        bundle.probe("write /link/made/here/x y");
        fails_cleanly_or_succeeds(&case.run(&bundle));
        victim.is_unharmed(to);
    }
}

/// CVE-2021-30465, CVE-2024-45310: a process beside the runtime exchanges a directory of the rootfs
/// with a link to the outside, again and again, while containers with mounts below it are created.
#[test]
fn an_attacker_who_renames_gains_nothing() {
    let Some(case) = Case::root(&[]) else { return };
    let victim = Victim::new(&case);
    let mut bundle = case.bundle();
    let rootfs = bundle.rootfs();
    fs::create_dir_all(rootfs.join("real")).expect("a directory");
    symlink(victim.path("below"), rootfs.join("swapped")).expect("a link");
    bundle.set("/root/readonly", false).probe("say ran");
    let source = case.dir().join("source");
    fs::create_dir(&source).expect("a directory");
    fs::write(source.join("marker"), "").expect("a file");
    for n in 0..8 {
        bundle.bind(source.to_str().expect("UTF-8"), &format!("/real/in/{n}"), &["bind"]);
    }
    let mut attack = Command::new(probe());
    attack.arg("exchange").args([rootfs.join("real"), rootfs.join("swapped")]);
    let mut attacker = Running::start(&mut attack, case.dir());
    assert_eq!(attacker.line("ready:"), "ready: ok");
    let seconds = if full() { 10 } else { 2 };
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut made, mut refusals) = (0, 0);
    // A slow machine continues until there were at least ten attempts.
    while Instant::now() < until || made + refusals < 10 {
        let done = case.run(&bundle);
        fails_cleanly_or_succeeds(&done);
        match done.status.success() {
            true => made += 1,
            false => refusals += 1,
        }
        victim.is_unharmed(&format!("after {made} made, {refusals} refused"));
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        assert!(!mounts.contains(case.tag()), "{mounts}");
    }
    drop(attacker);
}

/// The same without relying on luck: the exchange happens once, just before one system call, for
/// each call of the process that could be deceived.
fn exchanged_at_each_call(whose: Whose, name: &str) {
    if Case::root(&[]).is_none() {
        return;
    }
    let ground = |case: &Case| {
        let victim = Victim::new(case);
        let mut bundle = case.bundle();
        symlink(victim.path("below"), bundle.rootfs().join("link")).expect("a link");
        fs::create_dir_all(bundle.rootfs().join(name)).expect("a directory");
        bundle.set("/root/readonly", false).set("/process/cwd", format!("/{name}"));
        if name != "proc" {
            tmpfs(&mut bundle, &format!("/{name}/made/here"));
            symlink(format!("{name}/by/link"), bundle.rootfs().join("dangling")).expect("a link");
            tmpfs(&mut bundle, "/dangling/here");
        }
        bundle.bind(victim.path("file").to_str().expect("UTF-8"), "/mnt/file", &["bind", "ro"]);
        bundle.probe("write x y");
        (victim, bundle)
    };
    let what = format!("exchange, {name}, {whose:?}");
    let points = sweep(&what, 31, ground, |case, (victim, bundle), point| {
        let (real, link) = (bundle.rootfs().join(name), bundle.rootfs().join("link"));
        let mut run = case.command(["run", "--bundle"]);
        run.arg(bundle.path()).arg(case.id());
        let fault = Fault::Rename(real.clone(), link.clone());
        let faulted = case.fault(whose, fault, point, &run);
        // If the program ran, its exit status does not matter.
        fails_cleanly_or_succeeds(&faulted.done);
        victim.is_unharmed(&format!("{point}: {}", faulted.done));
        let host = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        assert!(!host.contains(case.tag()), "{point}: {host}");
        if real.is_symlink() {
            let aside = bundle.rootfs().join("aside");
            fs::rename(&real, &aside).expect("the link");
            fs::rename(&link, &real).expect("the directory");
            fs::rename(&aside, &link).expect("the link");
        }
        faulted.hit.is_some()
    });
    assert!(points > 50, "{what}: {points} points");
}

#[test]
fn an_attacker_at_each_call_of_init_gains_nothing() {
    for name in ["real", "mnt", "dev", "proc"] {
        exchanged_at_each_call(Whose::Init, name);
    }
}

#[test]
fn an_attacker_at_each_call_of_the_launcher_gains_nothing() {
    exchanged_at_each_call(Whose::Launcher, "real");
}
