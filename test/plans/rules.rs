//! Invariants of every plan, whatever the config, which a reader of one golden file would have to
//! know by heart.
//!
//! Plans are read as `explain` prints them, and are interpreted: with every tolerated step
//! succeeding, with every one failing, and with mixtures.

use crate::given::Given;
use crate::{all, processes};
use tiny_ce::plan::Finished;
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

/// The steps as text, without the tolerated errnos, and without those of an init that stays beside
/// the program.
fn lines(plan: &Finished) -> Vec<String> {
    let beside = beside(plan);
    let of_program = |(index, _): &(usize, Step<'_>)| !beside.contains(index);
    plan.steps().enumerate().filter(of_program).map(|(_, step)| step.op.to_string()).collect()
}

/// The indices of the steps of an init that stays beside the program.
fn beside(plan: &Finished) -> std::ops::Range<usize> {
    let fork = plan.steps().position(|step| matches!(step.op, Op::Program { .. }));
    let end = plan.steps().position(|step| matches!(step.op, Op::Supervise {}));
    fork.zip(end).map_or(0..0, |(fork, end)| fork + 1..end + 1)
}

/// An init that stays can do nothing but signal and reap: it keeps CAP_KILL at most, no descriptor,
/// and if the program has a filter, it has a narrower one.
#[test]
fn an_init_that_stays_keeps_nothing() {
    for (name, given, plan) in all() {
        let own = beside(&plan);
        assert_eq!(!own.is_empty(), given.init, "{name}");
        let steps = plan.steps().skip(own.start).take(own.len());
        let lines: Vec<String> = steps.map(|step| step.op.to_string()).collect();
        let Some(capset) = lines.first() else { continue };
        assert!(capset.starts_with("capset("), "{name}");
        for set in ["effective", "permitted", "inheritable"] {
            assert!(["0x0", "0x20"].contains(&field(capset, set).expect("a set")), "{name}");
        }
        let end = ["close_range(first=0, flags=0)", "rt_sigtimedwait(set=~[])"];
        assert!(lines.ends_with(&end.map(str::to_owned)), "{name}");
        let filtered = first(&lines, "seccomp").is_some();
        let filter = given.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let wanted = filter.is_some_and(|filter| filter.listener_path.is_none());
        assert_eq!(filtered, wanted, "{name}");
    }
}

/// The index of the first line with this start.
fn first(lines: &[String], start: &str) -> Option<usize> {
    lines.iter().position(|line| line.starts_with(start))
}

/// The index of the last line with this start.
fn last(lines: &[String], start: &str) -> Option<usize> {
    lines.iter().rposition(|line| line.starts_with(start))
}

/// The value of a field that is a word or a number: `at=fd3` of `openat2(into=fd4, at=fd3, …)`.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let start = line.find(&format!("{name}="))? + name.len() + 1;
    line[start..].split([',', ')', '}']).next()
}

/// The value of a field that is a string, which here contains neither quotes nor commas.
fn text<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    field(line, name).map(|value| value.trim_matches('"'))
}

/// The descriptors of init, by slot.
struct Slots(Vec<bool>);

impl Slots {
    /// Interpret a step; `fails` says whether a tolerated one does.
    fn run(&mut self, step: &Step<'_>, fails: bool) {
        match step.guard {
            Guard::Present(slot) if !self.0[slot.number()] => return,
            Guard::Absent(slot) if self.0[slot.number()] => return,
            _ => {}
        }
        let line = step.op.to_string();
        let into = step.op.into_slot();
        for (at, _) in line.match_indices("=fd") {
            let number = line[at + 3..].split(|c: char| !c.is_ascii_digit()).next();
            let number: usize = number.and_then(|n| n.parse().ok()).expect("a slot");
            let fills = line[..at].ends_with("into");
            assert_eq!(self.0[number], !fills, "{line}: fd{number} is open: {}", self.0[number]);
        }
        if step.unless != Unless::NOTHING && fails {
            return;
        }
        // The process of the program does not get its own pidfd.
        let program = matches!(step.op, Op::Program { .. });
        if let Some(slot) = into.filter(|_| !program) {
            self.0[slot.number()] = true;
        }
        if let Op::Close { fd } = step.op {
            self.0[fd.number()] = false;
        }
    }
}

/// A slot is used only while it holds a descriptor, and filled only while it is empty: nothing
/// leaks, and no step depends on whether another one succeeded.
#[test]
fn slots_hold_what_is_used() {
    for (name, given, plan) in all() {
        for pattern in [0u32, u32::MAX, 0x5555_5555, 0xaaaa_aaaa, 0x3333_3333, 0x0f0f_0f0f] {
            let mut slots = Slots(vec![false; 64]);
            slots.0[..=plan.preloads.len()].fill(true);
            for (index, step) in plan.steps().enumerate() {
                if matches!(step.op, Op::Execve { .. }) {
                    continue;
                }
                let what = format!("{name}, step {}, {pattern:#x}", index + 1);
                let run = std::panic::AssertUnwindSafe(|| {
                    slots.run(&step, pattern >> (index % 32) & 1 == 1);
                });
                assert!(std::panic::catch_unwind(run).is_ok(), "{what}");
            }
            // The channel, the socket of `start`, a copy of each, the connection, and a listener.
            let open = slots.0.iter().filter(|open| **open).count();
            let most = if name.starts_with("seccomp-notify") { 6 } else { 5 };
            // CRIU inherits all open descriptors; of those of a network, close_range is not seen.
            let others = given.criu.is_some() || given.watched;
            assert!(open <= most || others, "{name}: {open} descriptors at execve");
        }
    }
}

/// Between the two calls, `/..` is the host's root.
#[test]
fn pivot_root_and_umount_are_adjacent() {
    for (name, given, plan) in processes() {
        let lines = lines(&plan);
        match first(&lines, "pivot_root") {
            Some(at) => {
                assert_eq!(lines[at + 1], "umount2(target=\".\", flags=MNT_DETACH)", "{name}");
                assert_eq!(last(&lines, "pivot_root"), Some(at), "{name}: twice");
            }
            None => {
                let other = given.exec.is_some() || given.no_pivot || tree(&lines).is_some();
                assert!(other, "{name}: no pivot_root");
            }
        }
    }
}

/// The step by which the mount namespace begins with the rootfs as its only tree.
fn tree(lines: &[String]) -> Option<usize> {
    lines.iter().position(|line| line.contains("OPEN_TREE_NAMESPACE"))
}

/// Until init enters a mount namespace that begins with the rootfs, it is in the host's, where it
/// attaches and changes nothing; afterwards it enters no other.
#[test]
fn nothing_changes_the_hosts_mounts() {
    let mut seen = 0;
    for (name, _, plan) in processes() {
        let lines = lines(&plan);
        let Some(tree) = tree(&lines) else { continue };
        seen += 1;
        assert!(lines[tree + 1].starts_with("setns("), "{name}: {}", lines[tree + 1]);
        for line in &lines[..tree] {
            let attaches = line.contains("move_mount(") || line.contains("pivot_root(");
            let changes = line.contains("mount_setattr(") && !line.contains("AT_EMPTY_PATH");
            let unmounts = line.contains("umount2(") || line.contains("chroot(");
            assert!(!attaches && !changes && !unmounts, "{name}: {line}");
        }
        for line in &lines[tree + 2..] {
            let host = line.contains("at=AT_FDCWD") && line.contains("open_tree(");
            assert!(!host && !line.contains("setns("), "{name}: {line}");
        }
        let root = &lines[tree + 3];
        assert!(root.contains("at=AT_FDCWD, path=\"/\""), "{name}: {root}");
        let onto = format!("to={}", field(root, "into").expect("a slot"));
        let over = |line: &&String| line.contains("move_mount") && line.contains(&onto);
        let close = format!("close(fd={})", &onto[3..]);
        let open = lines[tree + 4..].split(|line| *line == close).next().expect("steps");
        assert!(open.len() > 20, "{name}: {} steps", open.len());
        assert_eq!(open.iter().find(over), None, "{name}");
    }
    assert!(seen >= 2, "{seen} plans");
    // Where changes vanish, another file system becomes the root, or devices are bound, nothing is
    // as above.
    let other = ["default-ephemeral", "rootless-ephemeral", "mount-places", "user-new", "hooks"];
    let mut bound = Given::new("default");
    bound.host.nodev = true;
    let others = all().filter(|(name, ..)| other.contains(name)).map(|(_, given, _)| given);
    for mut given in others.chain([bound]) {
        let usual = lines(&given.compile().expect("a plan"));
        given.host.tree_namespaces = true;
        assert_eq!(usual, lines(&given.compile().expect("a plan")));
    }
}

/// CVE-2016-9962: while init is in namespaces of others, processes there cannot look into it.
#[test]
fn init_is_not_dumpable_among_others() {
    const NOT_DUMPABLE: &str = "prctl(option=PR_SET_DUMPABLE, value=0)";
    for (name, given, plan) in processes() {
        let lines = lines(&plan);
        let before = first(&lines, NOT_DUMPABLE).expect("PR_SET_DUMPABLE");
        if let Some(join) = first(&lines, "setns") {
            assert!(before < join, "{name}");
        }
        // Without privileges, init must be dumpable while the launcher writes the maps.
        let alone = first(&lines, "unshare(flags=CLONE_NEWUSER)").filter(|_| given.host.euid != 0);
        assert!(alone.is_some() || before <= 3, "{name}");
        for (at, line) in lines.iter().enumerate().filter(|(_, l)| l.starts_with("setresuid")) {
            let again = lines[at..].iter().any(|line| line == NOT_DUMPABLE);
            assert!(again, "{name}: step {}: {line}, and dumpable again", at + 1);
        }
    }
}

/// CVE-2016-9962: the process that exec forks into the container's pid namespace is in all of the
/// container's namespaces, and holds no descriptor of the host.
#[test]
fn nothing_of_the_hosts_is_held_across_the_fork_of_exec() {
    let mut forks = 0;
    for (name, _, plan) in processes().filter(|(_, given, _)| given.exec.is_some()) {
        let lines = lines(&plan);
        let Some(fork) = first(&lines, "clone(") else { continue };
        let mut slots = Slots(vec![false; 64]);
        slots.0[..=plan.preloads.len()].fill(true);
        plan.steps().take(fork).for_each(|step| slots.run(&step, false));
        let open: Vec<usize> = (0..64).filter(|slot| slots.0[*slot]).collect();
        assert_eq!(open, [Slot::CHANNEL.number()], "{name}");
        assert!(last(&lines, "setns").is_some_and(|at| at < fork), "{name}");
        forks += 1;
    }
    assert!(forks > 1, "{forks} plans");
}

/// Nothing inside the rootfs is reached by a path on the host, or through a link that leads out;
/// whatever is made there is one component below a descriptor.
#[test]
fn paths_of_the_image_are_never_trusted() {
    for (name, given, plan) in all() {
        let all = lines(&plan);
        let before_root = first(&all, "pivot_root").or(first(&all, "chroot"));
        let before_root = tree(&all).map(|tree| tree + 2).or(before_root);
        let before_root = before_root.unwrap_or(if given.exec.is_some() { 0 } else { all.len() });
        for line in &all {
            let call = line.split('(').next().unwrap_or_default();
            let made = matches!(call, "mkdirat" | "mknodat" | "symlinkat" | "unlinkat");
            if made || call == "fchownat" {
                let path = text(line, "path").expect("a path");
                assert!(!path.contains('/') && path != ".." && path != ".", "{name}: {line}");
                assert_ne!(field(line, "at"), Some("AT_FDCWD"), "{name}: {line}");
            }
            // In a file system of init's own, a mount point is named by one component.
            if call == "move_mount" && field(line, "at").is_some_and(|at| at != "AT_FDCWD") {
                assert!(!text(line, "path").expect("a path").contains('/'), "{name}: {line}");
            }
            if call == "openat2" && field(line, "at") != Some("AT_FDCWD") {
                let inside = line.contains("RESOLVE_IN_ROOT") || line.contains("RESOLVE_BENEATH");
                let links =
                    line.contains("RESOLVE_NO_MAGICLINKS") || line.contains("RESOLVE_NO_SYMLINKS");
                assert!(inside && links, "{name}: {line}");
            }
        }
        for line in all[..before_root].iter().filter(|l| l.starts_with("openat2")) {
            let path = text(line, "path").unwrap_or_default();
            let images = given.criu.is_some() && path.starts_with("/var/");
            let hosts =
                path == "/dev/null" || path == "/proc" || path.starts_with("/proc/") || images;
            let below = field(line, "at") != Some("AT_FDCWD");
            assert!(below || hosts, "{name}: a path string before pivot_root: {line}");
        }
    }
}

/// A mount on the root itself would hide it from paths that return to it by a `..`.
#[test]
fn nothing_is_attached_over_the_root() {
    for (name, _, plan) in all() {
        let lines = lines(&plan);
        let Some(enter) = first(&lines, "pivot_root").or(first(&lines, "chroot")) else { continue };
        let root = lines[..enter].iter().rfind(|l| l.starts_with("fchdir")).expect("fchdir");
        let onto = format!("to={}", field(root, "fd").expect("a slot"));
        // The slot may have held another descriptor before it holds the root.
        let filled = |l: &String| l.contains(&format!("into={},", &onto[3..]));
        let since = lines[..enter].iter().rposition(filled).expect("a root");
        let over = |l: &&String| l.starts_with("move_mount") && l.contains(&onto);
        assert_eq!(lines[since..].iter().find(over), None, "{name}");
    }
}

/// A read-only mount is never writable once it is visible, except a tmpfs, which is empty until its
/// mount points have been made.
#[test]
fn readonly_comes_before_the_mount() {
    for (name, given, plan) in processes() {
        if given.exec.is_some() {
            continue;
        }
        for (index, mount) in given.spec.mounts.iter().enumerate() {
            let ro = mount.options.words().any(|(option, _)| option == "ro" || option == "rro");
            let later = mount.options.words().any(|(option, _)| option == "rw");
            let empty = matches!(mount.kind.as_deref(), Some("tmpfs" | "cgroup"));
            // A remount changes a mount that is visible already.
            let there = mount.options.words().any(|(option, _)| option == "remount");
            if !ro || later || empty || there {
                continue;
            }
            let origin = format!("mounts[{index}] {:?}", mount.destination);
            let own = plan.steps().enumerate();
            let own = own.filter(|(at, _)| plan.origin(*at as u32) == origin);
            let own: Vec<String> = own.map(|(_, step)| step.op.to_string()).collect();
            let set = own.iter().position(|l| l.contains("MOUNT_ATTR_RDONLY"));
            let moved = first(&own, "move_mount");
            assert!(set.is_some() && set < moved, "{name}: {origin}: {own:?}");
        }
    }
}

/// The order of a change of identity: each step comes while it is still allowed.
#[test]
fn identity_changes_in_order() {
    for (name, given, plan) in processes() {
        let Some(process) = &given.spec.process else { continue };
        let lines = lines(&plan);
        let at = |start: &str| last(&lines, start).unwrap_or_else(|| panic!("{name}: no {start}"));
        let (gid, uid, caps) = (at("setresgid"), at("setresuid"), at("capset"));
        assert!(gid < uid && uid < caps, "{name}");
        assert!(uid < at("getresuid") && gid < at("getresgid") && caps < at("capget"), "{name}");
        match last(&lines, "setgroups") {
            Some(groups) => assert!(groups < gid && at("getgroups") > uid, "{name}"),
            None => assert!(given.host.euid != 0, "{name}: the caller's groups are kept"),
        }
        let bounding = last(&lines, "prctl(option=PR_CAPBSET_DROP");
        assert!(bounding.is_some_and(|at| at < uid), "{name}");
        assert!(at("umask") > caps && at("getcwd") > caps, "{name}");
        let no_new_privs = last(&lines, "prctl(option=PR_SET_NO_NEW_PRIVS, value=1)");
        assert_eq!(no_new_privs.is_some(), process.no_new_privileges, "{name}");
        assert!(last(&lines, "seccomp").is_none_or(|filter| filter > caps), "{name}");
    }
}

/// The program gets no capability that the config does not name: none at all, if it names none.
#[test]
fn absent_capabilities_are_none() {
    for (name, given, plan) in processes() {
        let Some(process) = &given.spec.process else { continue };
        let none = "capset(caps={effective=0x0, permitted=0x0, inheritable=0x0})";
        let dropped = lines(&plan).iter().any(|line| line == none);
        let asked = process.capabilities.as_ref().is_some_and(|c| !c.permitted.is_empty());
        assert_eq!(dropped, !asked, "{name}");
    }
}

/// The end of every plan: close the descriptors, report that execve is next, and execve.
#[test]
fn the_program_comes_last() {
    for (name, given, plan) in all() {
        let lines = lines(&plan);
        let Some(execve) = first(&lines, "execve") else {
            assert!(given.spec.process.is_none(), "{name}: no program");
            continue;
        };
        assert!(lines[execve..].iter().all(|line| line.starts_with("execve")), "{name}");
        let filter = usize::from(lines[execve - 1].starts_with("seccomp"));
        let word = &lines[execve - 1 - filter];
        assert!(word.starts_with("write(to=fd") && word.contains("EXECUTE"), "{name}");
        let steps = plan.steps().filter(|step| matches!(step.op, Op::Execve { .. }));
        let tolerated = steps.filter(|step| step.unless != Unless::NOTHING).count();
        let candidates = lines.len() - execve;
        assert_eq!(tolerated, if candidates == 1 { 0 } else { candidates }, "{name}");
    }
}

/// A filter may refuse or kill any call after it: only execve follows, and for a filter that
/// notifies also what must come between the sending of the listener and `start`.
#[test]
fn nothing_comes_after_the_filter() {
    let mut seen = 0;
    for (name, _, plan) in all() {
        let lines = lines(&plan);
        let Some(filter) = first(&lines, "seccomp") else { continue };
        let calls = lines[filter + 1..].iter().map(|line| line.split('(').next().expect("a call"));
        let mut calls: Vec<&str> = calls.collect();
        calls.dedup();
        match name {
            "seccomp-notify" => {
                assert_eq!(calls, ["sendmsg", "write", "read", "accept4", "write", "execve"]);
            }
            "seccomp-notify-init" => {
                let fork = ["rt_sigprocmask", "clone", "setsid", "rt_sigprocmask"];
                let before = &["sendmsg", "write", "read", "accept4"][..];
                assert_eq!(calls, [before, &fork, &["write", "execve"]].concat());
            }
            _ => assert_eq!(calls, ["execve"], "{name}"),
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen} plans with a filter");
}

/// No descriptor that could be a directory or a program is left for the program: all are closed
/// once the working directory is set, and after that only sockets are made.
#[test]
fn nothing_is_opened_after_descriptors_are_closed() {
    for (name, given, plan) in processes() {
        let lines = lines(&plan);
        let closed = last(&lines, "close_range").expect("close_range");
        assert!(last(&lines, "getcwd").is_none_or(|cwd| cwd < closed), "{name}");
        let into = lines[closed..].iter().filter(|line| line.contains("into="));
        let mut made = into.map(|line| line.split('(').next().expect("a call"));
        assert!(made.all(|call| matches!(call, "accept4" | "seccomp" | "clone")), "{name}");
        let waits = first(&lines[closed..], "read").is_some();
        assert!(waits || given.criu.is_some(), "{name}: descriptors outlive the commit");
    }
}

/// Every step has an origin that a user can look up.
#[test]
fn every_step_has_an_origin() {
    for (name, _, plan) in all() {
        for index in 0..plan.steps().count() as u32 {
            assert!(!plan.origin(index).is_empty(), "{name}: step {}", index + 1);
        }
    }
}
