//! Callers that are not root: with their own id only, or with many by newuidmap(1).

use serde_json::json;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use tiny_ce_test::{Bundle, Case, Done, Need, cgroup_v2, probe, tiny_ce};

/// A user id that is not in the machine's /etc/passwd.
const CALLER: u32 = 54321;

/// What the caller can access of a case: its bundle, a state root, and programs.
struct Ground {
    state: PathBuf,
    tiny_ce: PathBuf,
    probe: PathBuf,
}

impl Ground {
    fn new(case: &Case, bundle: &mut Bundle) -> Ground {
        let state = case.state();
        fs::create_dir(&state).expect("a state root");
        let mut own = vec![state.clone(), bundle.path().to_owned(), bundle.rootfs()];
        for entry in fs::read_dir(bundle.rootfs()).expect("a rootfs") {
            own.push(entry.expect("an entry").path());
        }
        // The probe is a hard link to a file that other tests share.
        for path in own.iter().filter(|path| !path.ends_with("probe")) {
            chown(path, Some(CALLER), Some(CALLER)).expect("chown");
        }
        // The source tree may be in a directory that only root can enter.
        let bring = |from: PathBuf, name: &str| {
            let to = case.dir().join(name);
            if fs::hard_link(&from, &to).is_err() {
                case.program(["cp", from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8")])
                    .ok();
            }
            to
        };
        let tiny_ce = bring(tiny_ce(), "tiny-ce");
        Ground { state, tiny_ce, probe: bring(probe().to_owned(), "probe") }
    }

    /// The words that run `tiny-ce --root STATE WORDS…` as the caller.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
        let mut all = vec![text(&self.probe)];
        let become_caller = format!("groups then setgid {CALLER} then setuid {CALLER} then exec");
        all.extend(become_caller.split(' ').map(str::to_owned));
        all.extend([text(&self.tiny_ce), "--root".into(), text(&self.state)]);
        all.extend(words.iter().map(|word| word.to_string()));
        all
    }
}

fn run(case: &Case, bundle: &mut Bundle) -> Done {
    let ground = Ground::new(case, bundle);
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    case.program(ground.words(&["run", "--bundle", &path, &case.id()]))
}

/// As runc's `spec --rootless`: the caller is root of a user namespace.
fn rootless(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    bundle.namespace("user", None).without_namespace("network").without_namespace("cgroup");
    for field in ["uidMappings", "gidMappings"] {
        let map = json!([{"containerID": 0, "hostID": CALLER, "size": 1}]);
        bundle.set(&format!("/linux/{field}"), map);
    }
    bundle.remove("/linux/resources");
    *bundle.mount("/dev/pts") = json!({
        "destination": "/dev/pts", "type": "devpts", "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    });
    bundle.bind("/sys", "/sys", &["rbind", "ro"]);
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    bundle
}

#[test]
fn a_caller_with_one_id_is_root_inside() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = rootless(&case);
    bundle.set("/root/readonly", false);
    bundle.probe(
        "ids then namespaces then pid then write /tmp/x y then stat /tmp/x then open /dev/null rw \
         then processes then hostname then caps then cat /proc/self/fdinfo/0 then \
         cat /proc/self/mountinfo",
    );
    let done = run(&case, &mut bundle);
    assert_eq!(done.value("uid"), "0 0 0", "{done}");
    assert_eq!(done.value("setgroups"), "deny");
    assert_eq!(done.value("pid"), "1");
    assert_eq!(done.value("write /tmp/x"), "ok");
    assert!(done.value("stat /tmp/x").contains("uid=0"), "{done}");
    assert_eq!(done.value("open /dev/null"), "ok");
    assert_eq!(done.value("process"), "1 probe");
    // Standard input is the host's null device, and the container's after all.
    let mut lines = done.stdout.lines();
    let mount = lines.find_map(|line| line.strip_prefix("mnt_id:\t")).expect("fdinfo");
    let of = |line: &&str| line.split(' ').next() == Some(mount);
    let found = lines.find(of).unwrap_or_else(|| panic!("no mount of the container: {done}"));
    assert_eq!(found.split(' ').nth(4), Some("/dev/null"), "{done}");
    let owner = fs::metadata(bundle.rootfs().join("tmp/x")).expect("written");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), CALLER);
}

/// Only root on the host can make a device node.
#[test]
fn a_device_that_the_host_lacks_is_an_error() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = rootless(&case);
    let device = json!({"path": "/dev/made-up", "type": "c", "major": 1, "minor": 3});
    bundle.set("/linux/devices", json!([device])).probe("exit 0");
    let done = run(&case, &mut bundle);
    let text = "linux.devices[0] \"/dev/made-up\": open_tree(2): ENOENT";
    assert!(done.fails().contains(text), "{done}");
    assert!(done.stderr.contains("only root on the host"), "{done}");
}

/// A container without a cgroup of its own is in the caller's, and sees the caller's cgroups
/// instead of an empty directory.
#[test]
fn the_callers_cgroups_are_shown() {
    let Some(case) = Case::root(&[]) else { return };
    let directory = if cgroup_v2() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" };
    let file = format!("{directory}/cgroup.procs");
    let mut bundle = rootless(&case);
    let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"});
    bundle.push("/mounts", mount).probe(&format!("open {file} r then write {file} 0"));
    let done = run(&case, &mut bundle);
    assert_eq!(done.value(&format!("open {file}")), "ok", "{done}");
    assert_eq!(done.value(&format!("write {file}")), "EROFS", "{done}");
}

#[test]
fn the_life_of_a_container_without_root() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = rootless(&case);
    bundle.probe("await 15");
    let ground = Ground::new(&case, &mut bundle);
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let tiny_ce = |words: &[&str]| case.program(ground.words(words));
    tiny_ce(&["create", "--bundle", &path, &id]).ok();
    assert!(tiny_ce(&["state", &id]).ok().contains("\"created\""));
    tiny_ce(&["start", &id]).ok();
    let done = tiny_ce(&["exec", &id, "/probe", "ids"]);
    assert_eq!(done.value("uid"), "0 0 0", "{done}");
    let done = tiny_ce(&["exec", &id, "/probe", "processes"]);
    assert_eq!(done.values("process").len(), 2, "{done}");
    assert!(tiny_ce(&["state", &id]).ok().contains("\"running\""));
    tiny_ce(&["kill", &id, "KILL"]).ok();
    tiny_ce(&["delete", "--force", &id]).ok();
}

/// An init that stays is the process whose namespaces `exec` joins.
#[test]
fn a_container_whose_init_stays_without_root() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = rootless(&case);
    bundle.probe("await 15");
    let ground = Ground::new(&case, &mut bundle);
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let tiny_ce = |words: &[&str]| case.program(ground.words(words));
    tiny_ce(&["create", "--init", "--bundle", &path, &id]).ok();
    assert!(tiny_ce(&["state", &id]).ok().contains("\"created\""));
    tiny_ce(&["start", &id]).ok();
    assert!(tiny_ce(&["state", &id]).ok().contains("\"running\""));
    assert_eq!(tiny_ce(&["exec", &id, "/probe", "ids"]).value("uid"), "0 0 0");
    tiny_ce(&["kill", &id, "TERM"]).ok();
    tiny_ce(&["delete", "--force", &id]).ok();
}

#[test]
fn a_directory_can_be_run_without_a_bundle() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let ground = Ground::new(&case, &mut bundle);
    let tag = format!("TINY_CE_CASE={}", case.tag());
    let root = bundle.rootfs();
    let root = root.to_str().expect("UTF-8");
    let words = ["run", "-e", &tag, "--rootfs", root, &case.id(), "--", "/probe"];
    let run = |command: &str| case.program(ground.words(&[&words[..], &[command]].concat()));
    let done = run("ids");
    assert_eq!(done.value("uid"), "0 0 0", "{done}");
    assert_eq!(run("pid").value("pid"), "2");
    assert_eq!(run("hostname").value("hostname"), "tiny-ce");
}

#[test]
fn ids_of_others_are_refused() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = rootless(&case);
    bundle.set("/linux/uidMappings/0/hostID", 0);
    let done = run(&case, &mut bundle);
    assert!(done.fails().contains("linux.uidMappings"), "{done}");
    assert_eq!(done.values("uid"), Vec::<&str>::new(), "{done}");
}

/// With its own /etc/subuid and /etc/subgid, in a mount namespace of its own.
#[test]
fn newuidmap_maps_many_ids() {
    let need = [Need::Program("newuidmap"), Need::Program("newgidmap"), Need::Program("unshare")];
    let Some(case) = Case::root(&need) else { return };
    let mut bundle = rootless(&case);
    for field in ["uidMappings", "gidMappings"] {
        let more = json!({"containerID": 1, "hostID": 700_000, "size": 1000});
        bundle.push(&format!("/linux/{field}"), more);
    }
    bundle.set("/process/user", json!({"uid": 5, "gid": 6, "additionalGids": [7]}));
    bundle.probe("ids then namespaces");
    let ground = Ground::new(&case, &mut bundle);
    let script = case.dir().join("script");
    let text = format!(
        "set -e\n\
         for file in passwd subuid subgid; do touch {dir}/$file; done\n\
         echo {tag}:x:{CALLER}:{CALLER}::/:/bin/sh | cat /etc/passwd - >{dir}/passwd\n\
         for file in subuid subgid; do echo {tag}:700000:1000 >{dir}/$file; done\n\
         for file in passwd subuid subgid; do\n\
             test -e /etc/$file && mount --bind {dir}/$file /etc/$file\n\
         done\n\
         exec \"$@\"\n",
        dir = case.dir().display(),
        tag = case.tag(),
    );
    fs::write(&script, text).expect("a script");
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let mut words: Vec<String> =
        ["unshare", "--mount", "--propagation", "private", "sh"].map(str::to_owned).to_vec();
    words.push(script.to_str().expect("UTF-8").to_owned());
    words.extend(ground.words(&["run", "--bundle", &path, &case.id()]));
    let done = case.program(words);
    assert_eq!((done.value("uid"), done.value("gid")), ("5 5 5", "6 6 6"), "{done}");
    assert_eq!(done.value("groups"), "7");
    assert_eq!(done.value("setgroups"), "allow");
    assert_eq!(done.values("uid_map").len(), 2, "{done}");
}

/// An unprivileged caller's default state root, and `--rootless`.
#[test]
fn the_state_root_and_cgroups_of_an_unprivileged_caller() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = rootless(&case);
    bundle.probe("await 15");
    let ground = Ground::new(&case, &mut bundle);
    let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
    let runtime = case.dir().join("runtime");
    fs::create_dir(&runtime).expect("a directory");
    chown(&runtime, Some(CALLER), Some(CALLER)).expect("chown");
    let tiny_ce = |words: &[&str]| {
        let mut all = ground.words(words);
        let at = all.iter().position(|word| word == "--root").expect("an option");
        all.drain(at..at + 2);
        all.insert(0, format!("XDG_RUNTIME_DIR={}", runtime.display()));
        all.insert(0, "env".to_owned());
        case.program(all)
    };
    tiny_ce(&["create", "--bundle", &path, &id]).ok();
    let mode = fs::metadata(runtime.join("tiny-ce")).expect("a state root").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o1700);
    assert!(tiny_ce(&["list", "--quiet"]).ok().ends_with(&format!("\n{id}\n")));
    tiny_ce(&["delete", "--force", &id]).ok();
    let done = tiny_ce(&["--rootless=false", "create", "--bundle", &path, &id]);
    assert!(done.fails().contains("/sys/fs/cgroup"), "{done}");
    tiny_ce(&["--rootless=true", "create", "--bundle", &path, &id]).ok();
    tiny_ce(&["delete", "--force", &id]).ok();
    // Limits without a cgroup are an error.
    bundle.set("/linux/resources/memory/limit", 64 << 20);
    bundle.path();
    let done = tiny_ce(&["create", "--bundle", &path, &id]);
    assert!(done.fails().contains("memory") && done.stderr.contains("delegated"), "{done}");
}

#[test]
fn an_unprivileged_caller_needs_a_user_namespace() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.remove("/linux/resources");
    let done = run(&case, &mut bundle);
    let text = done.fails();
    assert!(text.contains("user namespace") && text.contains("\"type\": \"user\""), "{text}");
}

/// As in Podman: root of a user namespace uses the host's device nodes and cgroups.
#[test]
fn root_of_a_user_namespace_runs_containers() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let mut bundle = case.bundle();
    bundle.remove("/linux/resources").without_namespace("cgroup");
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    bundle.mount("/dev/pts")["options"] = json!(["newinstance", "ptmxmode=0666", "mode=0620"]);
    // The files of a new tmpfs have the owners that they have in the image.
    bundle.file("data/file", "of the image");
    bundle.push(
        "/mounts",
        json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs",
               "options": ["tmpcopyup"]}),
    );
    bundle.probe(
        "ids then open /dev/null rw then stat /dev/zero then namespaces then stat /data then \
         stat /data/file",
    );
    let ground = Ground::new(&case, &mut bundle);
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let mut words = ground.words(&["run", "--bundle", &path, &case.id()]);
    let at = words.iter().position(|word| word == "exec").expect("a command");
    let unshare = ["/usr/bin/unshare", "--user", "--map-root-user", "--mount"];
    words.splice(at + 1..at + 1, unshare.map(str::to_owned));
    let done = case.program(words.clone());
    assert_eq!(done.value("uid"), "0 0 0", "{done}");
    assert_eq!(done.value("open /dev/null"), "ok");
    assert!(done.value("stat /dev/zero").ends_with("rdev=1:5"), "{done}");
    for path in ["/data", "/data/file"] {
        assert!(done.value(&format!("stat {path}")).contains(" uid=0 gid=0 "), "{done}");
    }
    bundle.set("/process/user/additionalGids", json!([0]));
    bundle.path();
    case.program(words.clone()).ok();
    bundle.set("/process/user/additionalGids", json!([7]));
    bundle.path();
    let done = case.program(words);
    assert!(done.fails().contains("setgroups(2): E"), "{done}");
}
