//! Hooks in the life of a container: their order, their states, where they run, and the effect on
//! the container if a hook fails, hangs, or loses its launcher.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tiny_ce_test::{Bundle, Case, Need, Running};

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook on the host: a script of this case.
fn script(case: &Case, name: &str, body: &str) -> Value {
    let path = case.dir().join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a script");
    json!({"path": path, "env": [format!("TINY_CE_CASE={}", case.tag()), "PATH=/usr/bin:/bin"]})
}

/// A hook in the container: the probe, with `exit 9`, since only a failed hook's output is printed.
fn probe(commands: &str) -> Value {
    let args: Vec<&str> = ["/probe"].into_iter().chain(commands.split_whitespace()).collect();
    json!({"path": "/probe", "args": args})
}

fn log(case: &Case) -> PathBuf {
    case.dir().join("log")
}

/// A hook that appends its kind and its state to the log.
fn teller(case: &Case, kind: &str) -> Value {
    let body = format!("{{ printf '%s ' {kind}; cat; echo; }} >>{}", log(case).display());
    script(case, &format!("tell-{kind}"), &body)
}

/// What the hooks wrote to the log: kind and state, in order.
fn told(case: &Case) -> Vec<(String, Value)> {
    let text = fs::read_to_string(log(case)).unwrap_or_default();
    let parts = text.lines().map(|line| line.split_once(' ').expect("kind and state"));
    parts.map(|(kind, state)| (kind.into(), serde_json::from_str(state).expect("JSON"))).collect()
}

fn kinds(case: &Case) -> Vec<String> {
    told(case).into_iter().map(|(kind, _)| kind).collect()
}

fn with(bundle: &mut Bundle, kind: &str, hook: Value) {
    bundle.push(&format!("/hooks/{kind}"), hook);
}

fn namespace(pid: &str, name: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("a namespace");
    link.to_string_lossy().into_owned()
}

#[test]
fn six_kinds_run_in_their_order_with_their_state() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    for kind in KINDS.into_iter().filter(|kind| *kind != "startContainer") {
        with(&mut bundle, kind, teller(&case, kind));
    }
    with(&mut bundle, "startContainer", probe("write /started yes"));
    bundle
        .set("/root/readonly", false)
        .set("/annotations/a", "b")
        .probe("cat /started then await 15");
    let started = bundle.rootfs().join("started");
    let container = case.create(&bundle);
    assert_eq!(kinds(&case), KINDS[..3]);
    assert!(!started.exists(), "startContainer before start");
    let pid = container.pid();
    container.start();
    assert_eq!(fs::read_to_string(started).expect("written by startContainer"), "yes");
    assert_eq!(kinds(&case), [&KINDS[..3], &["poststart"]].concat());
    container.kill("KILL");
    let id = container.id().to_owned();
    case.tiny_ce(["delete", "--force", &id]).ok();
    drop(container);
    let told = told(&case);
    let statuses = ["creating", "creating", "creating", "running", "stopped"];
    assert_eq!(told.len(), statuses.len(), "{told:?}");
    let bundle = bundle.path().canonicalize().expect("a bundle");
    for ((kind, state), status) in told.iter().zip(statuses) {
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["id"], id.as_str(), "{kind}");
        assert_eq!(state["bundle"], bundle.to_str().expect("UTF-8"), "{kind}");
        assert_eq!(state["annotations"]["a"], "b", "{kind}");
        let process = if status == "stopped" { 0 } else { pid };
        assert_eq!(state["pid"], process, "{kind}");
    }
}

#[test]
fn run_has_all_of_them_too() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    for kind in KINDS.into_iter().filter(|kind| *kind != "startContainer") {
        with(&mut bundle, kind, teller(&case, kind));
    }
    with(&mut bundle, "startContainer", probe("write /started yes"));
    bundle.set("/root/readonly", false).probe("cat /started");
    assert_eq!(case.run(&bundle).ok(), "yes");
    assert_eq!(kinds(&case), [&KINDS[..3], &KINDS[4..]].concat());
}

#[test]
fn mounts_of_create_container_are_in_the_container_only() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let inside = bundle.rootfs().join("tmp");
    let body = format!(
        "mount -t tmpfs {tag} {tmp} && echo from a hook >{tmp}/file\n\
         readlink /proc/self/ns/net /proc/self/ns/mnt /proc/self/ns/pid >{dir}/entered",
        tag = case.tag(),
        tmp = inside.display(),
        dir = case.dir().display(),
    );
    with(&mut bundle, "createContainer", script(&case, "mounts", &body));
    let body = format!("readlink /proc/self/ns/mnt >{}/outside", case.dir().display());
    with(&mut bundle, "createRuntime", script(&case, "outside", &body));
    bundle.probe("cat /tmp/file then await 15");
    let mut container = case.create(&bundle);
    let pid = container.pid().to_string();
    let names = ["net", "mnt", "pid"].map(|name| namespace(&pid, name) + "\n");
    let read = |name: &str| fs::read_to_string(case.dir().join(name)).expect("written by a hook");
    assert_eq!(read("entered"), names.concat());
    assert_eq!(read("outside"), namespace("self", "mnt") + "\n");
    container.start();
    container.line("from a hook");
    assert!(!inside.join("file").exists(), "the mount is on the host");
}

#[test]
fn a_user_namespace_is_entered_as_its_root() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.namespace("user", None);
    for mapping in ["uidMappings", "gidMappings"] {
        let ids = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
        bundle.set(&format!("/linux/{mapping}"), ids);
    }
    let out = case.dir().join("out");
    fs::create_dir(&out).expect("a directory");
    fs::set_permissions(&out, PermissionsExt::from_mode(0o777)).expect("a directory");
    let body = format!("{{ id -u; id -g; readlink /proc/self/ns/user; }} >{}/ids", out.display());
    with(&mut bundle, "createContainer", script(&case, "ids", &body));
    bundle.probe("await 15");
    let container = case.create(&bundle);
    let ids = fs::read_to_string(out.join("ids")).expect("written by a hook");
    let user = namespace(&container.pid().to_string(), "user");
    assert_eq!(ids, format!("0\n0\n{user}\n"));
    assert_ne!(user, namespace("self", "user"));
}

#[test]
fn a_start_container_hook_is_confined_as_the_process_is() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [7]}));
    bundle.set("/process/cwd", "/tmp").set("/process/env", json!(["A=container"]));
    let commands = "cgroup then fds then ids then caps then no_new_privs then cwd then env";
    let mut hook = probe(&format!("{commands} then exit 9"));
    hook["env"] = json!(["B=hook"]);
    with(&mut bundle, "startContainer", hook);
    with(&mut bundle, "poststop", teller(&case, "poststop"));
    // The container's own process reports the same.
    let mut same = case.bundle();
    same.config.clone_from(&bundle.config);
    same.remove("/hooks").set("/process/env", json!(["B=hook"]));
    same.probe(commands);
    let process = case.run(&same);
    let container = case.create(&bundle);
    let done = container.tiny_ce("start", []);
    let error = done.fails();
    let lines: Vec<&str> = error.lines().filter_map(|line| line.strip_prefix("  | ")).collect();
    // An error contains only the last lines of a hook's output.
    let of = |lines: &[&str], word: &str| -> Vec<String> {
        lines.iter().filter(|line| line.starts_with(word)).map(|&line| line.into()).collect()
    };
    let expected: Vec<&str> = process.ok().lines().collect();
    for word in ["uid", "gid", "groups", "cap", "no_new_privs", "cwd"] {
        assert_eq!(of(&lines, word), of(&expected, word), "{word}: {done}");
    }
    assert_eq!(of(&lines, "groups"), ["groups: 7"]);
    assert_eq!(of(&lines, "env"), ["env: B=hook"]);
    assert_eq!(of(&lines, "fd").len(), 3, "{done}");
    // Its cgroup namespace has the container's cgroup as its root.
    assert!(of(&lines, "cgroup").iter().all(|line| line.ends_with(":/")), "{done}");
    let line =
        "error running startContainer hook #0: hooks.startContainer[0] \"/probe\": exit status";
    assert!(error.contains(&format!("{line} 9")), "{done}");
    drop(container);
    assert_eq!(kinds(&case), ["poststop"]);
}

#[test]
fn without_env_a_hook_has_the_runtimes_or_the_programs() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/process/env", json!(["A=program", "B=2"]));
    for kind in KINDS.into_iter().filter(|kind| *kind != "startContainer") {
        let body = format!("echo {kind} ${{CALLER-none}} ${{A-none}} >>{}", log(&case).display());
        let mut hook = script(&case, &format!("env-{kind}"), &body);
        hook.as_object_mut().expect("a hook").remove("env");
        with(&mut bundle, kind, hook);
    }
    with(&mut bundle, "startContainer", probe("env then exit 9"));
    bundle.probe("await 15");
    let (id, path) = (case.id(), bundle.path().to_str().expect("UTF-8").to_owned());
    let by = |caller: &str, line: &[&str]| {
        let mut command = case.command(line.iter().copied());
        command.env("CALLER", caller);
        Running::start(&mut command, case.dir()).exited()
    };
    by("create", &["create", "--bundle", &path, &id]).ok();
    let done = by("start", &["start", &id]);
    let lines: Vec<&str> =
        done.fails().lines().filter_map(|line| line.strip_prefix("  | ")).collect();
    assert_eq!(lines, ["env: A=program", "env: B=2", "env: HOME=/root"], "{done}");
    by("delete", &["delete", "--force", &id]).ok();
    let told = fs::read_to_string(log(&case)).expect("a log");
    let created = KINDS[..3].iter().map(|kind| format!("{kind} create none\n"));
    assert_eq!(told, created.collect::<String>() + "poststop delete none\n");
}

/// Init ends only after `start` has closed its channel, so `start` has to wait for that.
#[test]
fn the_container_is_stopped_as_soon_as_a_start_container_hook_has_failed() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    with(&mut bundle, "startContainer", probe("exit 9"));
    for _ in 0..10 {
        let container = case.create(&bundle);
        container.tiny_ce("start", []).fails();
        assert_eq!(container.status(), "stopped");
        container.delete();
    }
}

#[test]
fn a_create_container_hook_runs_in_the_root_that_is_to_be() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    // By relative paths, as hooks for runc use them.
    let body = "pwd; echo from a hook >tmp/file; test -c dev/null && test -d proc/1 && echo whole";
    let body = format!("{{ {body}; }} >{}/told", case.dir().display());
    with(&mut bundle, "createContainer", script(&case, "there", &body));
    bundle.set("/root/readonly", false).probe("cat /tmp/file");
    assert_eq!(case.run(&bundle).ok(), "from a hook\n");
    let rootfs = bundle.rootfs().canonicalize().expect("a rootfs");
    let told = fs::read_to_string(case.dir().join("told")).expect("told");
    assert_eq!(told, format!("{}\nwhole\n", rootfs.display()));
}

#[test]
fn a_relative_path_of_a_hook_is_a_warning() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let hook = script(&case, "hook", "exit 0");
    fs::rename(case.dir().join("hook"), bundle.path().join("hook")).expect("the hook's place");
    for kind in KINDS.into_iter().filter(|kind| *kind != "startContainer") {
        with(&mut bundle, kind, json!({"path": "./hook", "env": hook["env"]}));
    }
    with(&mut bundle, "startContainer", json!({"path": "./probe", "args": ["probe", "pid"]}));
    bundle.probe("pid");
    let done = case.run(&bundle);
    assert_eq!(done.value("pid"), "1");
    for kind in KINDS {
        let line = format!("hooks.{kind}[0].path: \"./");
        assert_eq!(done.stderr.matches(&line).count(), 1, "{kind}: {done}");
    }
}

#[test]
fn a_hook_that_fails_undoes_the_container() {
    let Some(case) = Case::root(&[]) else { return };
    for kind in &KINDS[..3] {
        let mut bundle = case.bundle();
        with(&mut bundle, kind, script(&case, "fails", "echo no device >&2; exit 4"));
        with(&mut bundle, kind, teller(&case, "never"));
        with(&mut bundle, "poststop", teller(&case, kind));
        let id = case.id();
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let done = case.tiny_ce(["create", "--bundle", &path, &id]);
        let hook = case.dir().join("fails");
        let line = format!(
            "error running {kind} hook #0: hooks.{kind}[0] {hook:?}: exit status 4: no device"
        );
        assert!(done.fails().contains(&line), "{done}");
        assert_eq!(case.leftovers(), Vec::<String>::new(), "{kind}");
        bundle.remove("/hooks");
        case.tiny_ce(["run", "--bundle", bundle.path().to_str().expect("UTF-8"), &id]).ok();
    }
    assert_eq!(kinds(&case), KINDS[..3]);
}

#[test]
fn a_poststart_hook_that_fails_stops_the_container() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    with(&mut bundle, "poststart", script(&case, "fails", "exit 5"));
    bundle.probe("await 15");
    let mut container = case.create(&bundle);
    let done = container.tiny_ce("start", []);
    let line = "error running poststart hook #0: hooks.poststart[0]";
    assert!(done.fails().contains(line), "{done}");
    container.ended();
    assert_eq!(container.status(), "stopped");
}

#[test]
fn a_poststop_hook_that_fails_is_a_warning() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    with(&mut bundle, "poststop", script(&case, "fails", "echo of no use; exit 6"));
    with(&mut bundle, "poststop", teller(&case, "second"));
    let done = case.run(&bundle);
    done.ok();
    let hook = case.dir().join("fails");
    let line = format!(
        "error running poststop hook #0: hooks.poststop[0] {hook:?}: exit status 6: of no use"
    );
    assert!(done.stderr.contains(&line), "{done}");
    assert_eq!(kinds(&case), ["second"]);
}

#[test]
fn a_hook_that_hangs_is_killed_with_its_children() {
    let Some(case) = Case::root(&[]) else { return };
    for kind in ["createRuntime", "createContainer"] {
        let mut bundle = case.bundle();
        let mut hook = script(&case, "hangs", "sleep 1000 & sleep 1000");
        hook["timeout"] = json!(1);
        with(&mut bundle, kind, hook);
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let done = case.tiny_ce(["create", "--bundle", &path, &case.id()]);
        assert!(done.fails().contains(": timed out after 1 s"), "{done}");
        assert_eq!(case.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_hook_does_not_outlive_its_launcher() {
    let Some(case) = Case::root(&[Need::Program("mkfifo")]) else { return };
    for kind in ["createRuntime", "createContainer"] {
        let gate = case.dir().join(format!("gate-{kind}"));
        case.program(["mkfifo", gate.to_str().expect("UTF-8")]).ok();
        let mut bundle = case.bundle();
        let body = format!("echo $$ >{}; exec sleep 1000", gate.display());
        with(&mut bundle, kind, script(&case, "hangs", &body));
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let id = case.id();
        let mut create = case.spawn(["create", "--bundle", &path, &id]);
        // The hook runs once it has opened the FIFO.
        fs::read_to_string(&gate).expect("a FIFO");
        create.signal("KILL");
        create.exited().ends(137);
        case.tiny_ce(["delete", "--force", &id]).ok();
        assert_eq!(case.leftovers(), Vec::<String>::new());
    }
}
