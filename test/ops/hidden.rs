//! Commands from a mount namespace where cgroups of the container are hidden: each finds what it
//! needs, or fails and names the mount. A hidden cgroup is never taken for a removed one.

use serde_json::{Value, json};
use tiny_ce_test::{Case, Container, Done, Need, cgroup_v2, tiny_ce};

use crate::limits::{pausing, pids};

/// Shell commands that hide mounts in a private mount namespace, each with one of the mounts that
/// it hides.
fn ways() -> Vec<(String, String)> {
    let all = ["mount -t tmpfs none /sys/fs/cgroup", "umount -l /sys; mount -t sysfs none /sys"];
    let mut ways = Vec::new();
    if cgroup_v2() {
        ways.push(("umount /sys/fs/cgroup".to_owned(), TOP.to_owned()));
    }
    for name in ["unified", "pids", "devices", "freezer", "memory"] {
        let path = format!("{TOP}/{name}");
        if std::path::Path::new(&path).join("cgroup.procs").exists() {
            ways.push((format!("umount {path}"), path));
        }
    }
    // As in `ip netns exec`: a new sysfs, with nothing mounted on it.
    ways.extend(all.map(|how| (how.to_owned(), first())));
    ways
}

const TOP: &str = "/sys/fs/cgroup";

/// The mount of the hierarchy that commands use first.
fn first() -> String {
    let unified = format!("{TOP}/unified");
    if std::path::Path::new(&unified).exists() { unified } else { TOP.to_owned() }
}

/// Run `tiny-ce WORDS` after the shell command `how` has hidden something.
fn from<W: AsRef<str>>(case: &Case, how: &str, words: &[W]) -> Done {
    let line = format!("{how} || exit 99; exec \"$@\"");
    let (program, state) = (tiny_ce(), case.state());
    let mut all = vec!["unshare", "--mount", "--propagation", "private", "sh", "-c", &line, "sh"];
    all.extend([program.to_str().expect("UTF-8"), "--root", state.to_str().expect("UTF-8")]);
    all.extend(words.iter().map(AsRef::as_ref));
    let done = case.program(all);
    assert_ne!(done.code(), 99, "{done}");
    done
}

#[track_caller]
fn names(done: &Done, mount: &str) {
    let text = done.fails();
    assert!(text.contains("the container's cgroup is not visible here"), "{done}");
    let all = text.split("not mounted at ").nth(1).unwrap_or_default();
    let all = all.lines().next().unwrap_or_default();
    assert!(all.split(", ").any(|named| named == mount), "{mount}: {done}");
    assert!(text.contains("nsenter --target 1 --mount"), "{done}");
}

fn limited(case: &Case) -> Container<'_> {
    let mut bundle = case.bundle();
    bundle.probe("pause").set("/linux/resources/pids", json!({"limit": 20}));
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    container
}

/// 40 forks under a limit of 20, and a denied device: exec confines its process, or starts none.
#[test]
fn exec_never_escapes_the_limits() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let container = limited(&case);
    let probe = ["/probe", "fork", "40"];
    let words: Vec<&str> = ["exec", container.id()].into_iter().chain(probe).collect();
    assert_eq!(case.tiny_ce(&words).value("fork"), "EAGAIN");
    for (how, mount) in ways() {
        names(&from(&case, &how, &words), &mount);
    }
}

#[test]
fn commands_that_need_a_hidden_cgroup_name_its_mount() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let container = pausing(&case);
    let id = container.id();
    let how = "mount -t tmpfs none /sys/fs/cgroup";
    for words in [
        &["state", id][..],
        &["exec", id, "/probe", "ids"],
        &["pause", id],
        &["resume", id],
        &["ps", id],
        &["checkpoint", id],
        &["events", id],
        &["events", "--stats", id],
        &["update", "--pids-limit", "9", id],
        &["kill", "--all", id, "KILL"],
        &["kill", "--all", id, "USR1"],
        &["delete", id],
    ] {
        names(&from(&case, how, words), &first());
    }
    let listed: Value =
        serde_json::from_str(from(&case, how, &["list", "--format", "json"]).ok()).expect("JSON");
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!(id), &json!("unknown")));
    assert!(listed[0]["error"].as_str().expect("why").contains("not visible"), "{listed}");
    // Nothing has changed.
    assert_eq!((container.status(), pids(&case)), ("running".to_owned(), "max".to_owned()));
    // A signal to the first process needs no cgroup.
    from(&case, how, &["kill", id, "KILL"]).ok();
    super::until("stopped", || container.status() == "stopped");
}

/// Without a /proc of this pid namespace no process appears to live; the container must not count
/// as stopped, and must not be deleted.
#[test]
fn without_a_proc_no_container_counts_as_stopped() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let container = pausing(&case);
    for how in ["mount -t tmpfs none /proc", "mount --bind /tmp /proc"] {
        let id = container.id();
        for words in [
            &["state", id][..],
            &["delete", id],
            &["delete", "--force", id],
            &["exec", id, "/probe", "ids"],
            &["kill", id],
            &["wait", id],
        ] {
            let done = from(&case, how, words);
            assert!(done.fails().contains("/proc"), "{done}");
            assert!(done.stderr.contains("mount -t proc proc /proc"), "{done}");
        }
    }
    assert_eq!(container.status(), "running");
}

/// With cgroup v1 a frozen process dies only when it is thawed: `kill` must not report success
/// before.
#[test]
fn kill_does_not_claim_success_on_a_frozen_container() {
    let Some(case) = Case::root(&[Need::Program("unshare"), Need::CgroupV1("freezer")]) else {
        return;
    };
    let container = pausing(&case);
    std::fs::write(format!("/sys/fs/cgroup/freezer/{}/freezer.state", container.id()), "FROZEN")
        .expect("the freezer");
    let how = "umount /sys/fs/cgroup/freezer";
    names(&from(&case, how, &["state", container.id()]), "/sys/fs/cgroup/freezer");
    names(&from(&case, how, &["kill", container.id(), "KILL"]), "/sys/fs/cgroup/freezer");
    container.tiny_ce("kill", ["KILL"]).ok();
    super::until("stopped", || container.status() == "stopped");
}

/// `delete` removes what it can, names what it cannot, and remembers it for the next delete.
#[test]
fn delete_reports_what_it_cannot_remove() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    for (how, mount) in ways() {
        for ended in [true, false] {
            let container = pausing(&case);
            let id = container.id().to_owned();
            let pid = container.pid();
            let delete = match ended {
                true => {
                    container.kill("KILL");
                    super::until("stopped", || container.status() == "stopped");
                    vec!["delete", &id]
                }
                false => vec!["delete", "--force", &id],
            };
            names(&from(&case, &how, &delete), &mount);
            let alive = std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| !stat.contains(") Z "));
            assert!(!alive, "{how}: {pid} lives");
            assert!(!case.cgroups().is_empty(), "{how}");
            assert!(how.contains(" -t ") || cgroup_v2() || case.cgroups().len() == 1, "{how}");
            case.tiny_ce(["delete", &id]).ok();
            container.gone();
            assert_eq!(case.leftovers(), Vec::<String>::new(), "{how}");
        }
    }
}

/// Cgroups that were removed by others, hierarchies that the kernel no longer has, and cgroups of
/// another boot: they are gone, so no command waits for them.
#[test]
fn removed_cgroups_and_hierarchies_are_no_error() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let edit = |id: &str, change: &dyn Fn(&mut Value)| {
        for file in ["state.json", "intent.json"] {
            let path = case.state().join(id).join(file);
            let text = std::fs::read_to_string(&path).expect("a state file");
            let mut state = serde_json::from_str(&text).expect("JSON");
            change(&mut state);
            std::fs::write(&path, state.to_string()).expect("a state file");
        }
    };
    // A hierarchy that is not mounted, and that no process is in.
    let container = pausing(&case);
    edit(container.id(), &|state| {
        let mut group = state["cgroup"]["groups"][0].clone();
        group["version"] = "v1".into();
        group["controllers"] = json!(["gone"]);
        group["mount"] = "/sys/fs/cgroup/gone".into();
        group["path"] = "/sys/fs/cgroup/gone/it".into();
        state["cgroup"]["groups"].as_array_mut().expect("groups").insert(0, group);
    });
    assert_eq!(container.status(), "running");
    container.tiny_ce("exec", ["/probe", "ids"]).ok();
    container.kill("KILL");
    super::until("stopped", || container.status() == "stopped");
    container.delete();

    // Another boot, of a machine with other cgroup hierarchies.
    let container = pausing(&case);
    let id = container.id().to_owned();
    container.kill("KILL");
    super::until("stopped", || container.status() == "stopped");
    let cgroups = case.cgroups();
    edit(&id, &|state| state["boot"] = "00000000-0000-0000-0000-000000000000".into());
    from(&case, "mount -t tmpfs none /sys/fs/cgroup", &["delete", &id]).ok();
    container.gone();
    for path in cgroups {
        std::fs::remove_dir(&path).expect("an empty cgroup");
    }
}
