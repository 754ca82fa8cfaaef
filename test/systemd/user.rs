//! Rootless containers in scopes of the user's own manager, whose cgroup is delegated to the user.
//!
//! The test adds the user, so it runs only in a virtual machine, which forgets the user.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use serde_json::json;
use tiny_ce_test::{Case, Done, Need, PATIENCE, probe, skip, tiny_ce};

use super::{SYSTEMD, cgroup_of, pid_of, read};

const USER: &str = "somebody";
const UID: u32 = 54321;

/// Add a user with a manager; `None`, visibly skipped, where that is impossible.
fn user() -> Option<Case> {
    if std::env::var_os("TINY_CE_VM").is_none() {
        skip("needs a virtual machine with systemd, in which to make a user");
        return None;
    }
    let case = Case::root(&[SYSTEMD, Need::CgroupV2("memory"), Need::Program("loginctl")])?;
    let uid = UID.to_string();
    // Tests run in parallel, and only the first one adds the user.
    case.program(["useradd", "--create-home", "--uid", &uid, USER]);
    case.program(["loginctl", "enable-linger", USER]).ok();
    let bus = format!("/run/user/{UID}/bus");
    let end = std::time::Instant::now() + PATIENCE;
    while !Path::new(&bus).exists() {
        assert!(std::time::Instant::now() < end, "no {bus}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Some(case)
}

/// A command by the user, from a cgroup outside the user manager's.
fn by_user(case: &Case, environment: &[String], words: &[&str]) -> Done {
    let probe = probe().to_str().expect("UTF-8").to_owned();
    let mut all: Vec<String> = vec!["env".into(), "-u".into(), "DBUS_SESSION_BUS_ADDRESS".into()];
    all.extend(environment.iter().cloned());
    let become_user = format!("groups then setgid {UID} then setuid {UID} then exec");
    all.push(probe);
    all.extend(become_user.split(' ').map(str::to_owned));
    all.push(tiny_ce().to_str().expect("UTF-8").to_owned());
    all.extend(["--root".into(), case.state().to_str().expect("UTF-8").to_owned()]);
    all.extend(words.iter().map(|word| (*word).to_owned()));
    case.program(all)
}

fn session() -> Vec<String> {
    vec![format!("XDG_RUNTIME_DIR=/run/user/{UID}")]
}

/// A bundle of the user, as `spec --rootless` writes it, that runs until it is killed.
fn bundle(case: &Case) -> String {
    let mut bundle = case.bundle();
    bundle.namespace("user", None).without_namespace("network").probe("pause");
    for field in ["uidMappings", "gidMappings"] {
        let map = json!([{"containerID": 0, "hostID": UID, "size": 1}]);
        bundle.set(&format!("/linux/{field}"), map);
    }
    bundle.set("/linux/resources", json!({"memory": {"limit": 32 << 20}, "pids": {"limit": 25}}));
    *bundle.mount("/dev/pts") = json!({
        "destination": "/dev/pts", "type": "devpts", "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    });
    bundle.bind("/sys", "/sys", &["rbind", "ro"]);
    let path = bundle.path().to_owned();
    fs::create_dir_all(case.state()).expect("a state root");
    let mut own = vec![case.state(), path.clone(), bundle.rootfs()];
    for entry in fs::read_dir(bundle.rootfs()).expect("a rootfs") {
        own.push(entry.expect("an entry").path());
    }
    for path in own.iter().filter(|path| !path.ends_with("probe")) {
        chown(path, Some(UID), Some(UID)).expect("chown");
    }
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_scope_of_the_users_own() {
    let Some(case) = user() else { return };
    let (bundle, id) = (bundle(&case), case.id());
    let tiny_ce = |words: &[&str]| by_user(&case, &session(), words);
    tiny_ce(&["--systemd-cgroup", "create", "--bundle", &bundle, &id]).ok();
    let unit = format!("tiny-ce-{id}.scope");
    let below = format!("/user.slice/user-{UID}.slice/user@{UID}.service/user.slice/{unit}");
    let state = tiny_ce(&["state", &id]);
    let cgroup = cgroup_of(&pid_of(&state));
    assert_eq!(cgroup, below);
    assert_eq!(read(&cgroup, "memory.max"), (32 << 20).to_string());
    assert_eq!(read(&cgroup, "pids.max"), "25");
    tiny_ce(&["start", &id]).ok();

    // The user's manager moves init into the scope: the kernel would not let the user do it.
    let pid_file = case.state().join("pid");
    let pid_file = pid_file.to_str().expect("UTF-8");
    tiny_ce(&["exec", "--detach", "--pid-file", pid_file, &id, "/probe", "pause"]).ok();
    let pid = fs::read_to_string(pid_file).expect("a pid file");
    fs::remove_file(pid_file).expect("a pid file");
    assert_eq!(cgroup_of(&pid), below);

    tiny_ce(&["update", "--memory", "48m", &id]).ok();
    assert_eq!(read(&cgroup, "memory.max"), (48 << 20).to_string());
    tiny_ce(&["pause", &id]).ok();
    assert_eq!(read(&cgroup, "cgroup.freeze"), "1");
    tiny_ce(&["resume", &id]).ok();
    let stats = tiny_ce(&["events", "--stats", &id]);
    assert!(stats.ok().contains("\"limit\":50331648"), "{stats}");
    tiny_ce(&["delete", "--force", &id]).ok();
    assert!(!Path::new(&format!("/sys/fs/cgroup{below}")).exists());
}

/// B55: where a cgroup is delegated, limits do not need systemd.
#[test]
fn a_delegated_cgroup_is_enough() {
    let Some(case) = user() else { return };
    let (bundle, id) = (bundle(&case), case.id());
    let root = case.state();
    let unit = format!("deleg-{}", case.tag());
    let words = [
        "systemd-run",
        "--quiet",
        "--pipe",
        "--wait",
        "--uid",
        USER,
        "--unit",
        &unit,
        "--property",
        "Delegate=yes",
        "--setenv",
        &format!("TINY_CE_CASE={}", case.tag()),
        "sh",
        "-c",
        "own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup) && mkdir $own/leaf && \
         echo 0 >$own/leaf/cgroup.procs && \
         for name in memory pids; do echo +$name >$own/cgroup.subtree_control; done && \
         $0 --root $1 create --bundle $2 $3 </dev/null && \
         cat $own/$3/memory.max $own/$3/pids.max && \
         $0 --root $1 update --pids-limit 26 $3 && cat $own/$3/pids.max && \
         $0 --root $1 pause $3 && cat $own/$3/cgroup.freeze && $0 --root $1 resume $3 && \
         $0 --root $1 delete --force $3 && test ! -e $own/$3",
    ];
    let binary = tiny_ce();
    let more = [binary.to_str(), root.to_str(), Some(bundle.as_str()), Some(id.as_str())];
    let done = case.program(words.into_iter().chain(more.into_iter().map(|w| w.expect("UTF-8"))));
    assert_eq!(done.ok().split_whitespace().collect::<Vec<_>>(), ["33554432", "25", "26", "1"]);
}

#[test]
fn without_a_session_the_error_says_what_to_do() {
    let Some(case) = user() else { return };
    let (bundle, id) = (bundle(&case), case.id());
    let nowhere = [format!("XDG_RUNTIME_DIR={}", case.dir().display())];
    let done = by_user(&case, &nowhere, &["--systemd-cgroup", "create", "--bundle", &bundle, &id]);
    let said = done.fails();
    assert!(said.contains("cannot reach the user's systemd"), "{said}");
    assert!(said.contains("install dbus-user-session and log in"), "{said}");
}
