//! Random config.json documents, under tiny-ce and under its peers: the program sees the same.
//!
//! Knows parts of config.json that all of them accept; beside_runc knows what to ask the program.

use crate::beside_runc::{SEEN, differences, joined};
use crate::odd::ODD;
use serde_json::{Value, json};
use std::io::Write;
use tiny_ce_test::{Bundle, Case, Dice, Need, Peer, full, slowness};

/// A part of config.json, which the dice change.
pub(crate) type Part = fn(&mut Dice, &mut Bundle);

const PARTS: [Part; 20] = [
    user,
    umask,
    cwd,
    env,
    capabilities,
    no_new_privileges,
    oom_score,
    rlimits,
    root,
    tmpfs,
    bind,
    copied_up,
    fewer_namespaces,
    user_namespace,
    sysctl,
    paths,
    seccomp,
    devices,
    propagation,
    resources,
];

fn user(dice: &mut Dice, bundle: &mut Bundle) {
    let (uid, gid) = (*dice.one(&[0, 1, 1000, 60_000]), *dice.one(&[0, 5, 1000]));
    let groups = dice.some(&[0, 5, 7, 1000]);
    bundle.set("/process/user", json!({"uid": uid, "gid": gid, "additionalGids": groups}));
}

fn umask(dice: &mut Dice, bundle: &mut Bundle) {
    bundle.set("/process/user/umask", *dice.one(&[0, 0o002, 0o027, 0o777]));
}

fn cwd(dice: &mut Dice, bundle: &mut Bundle) {
    let dir = *dice.one(&["/tmp", "/etc", "/dev", "/not/there", "/tmp/../etc/", "/proc/self"]);
    bundle.set("/process/cwd", dir);
}

fn env(dice: &mut Dice, bundle: &mut Bundle) {
    for word in dice.some(&["HOME=/tmp", "A=", "A=b", "A=c", "LISTEN_FDS=1", "X=\u{e9} y", "_=1"]) {
        bundle.push("/process/env", word);
    }
}

fn capabilities(dice: &mut Dice, bundle: &mut Bundle) {
    const ALL: [&str; 5] =
        ["CAP_CHOWN", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_SETPCAP", "CAP_AUDIT_READ"];
    let bounding = dice.some(&ALL);
    let permitted = dice.some(&bounding);
    let (effective, inheritable) = (dice.some(&permitted), dice.some(&permitted));
    let ambient = dice.some(&inheritable);
    let sets = json!({
        "bounding": bounding, "permitted": permitted, "effective": effective,
        "inheritable": inheritable, "ambient": ambient,
    });
    bundle.set("/process/capabilities", sets);
}

fn no_new_privileges(dice: &mut Dice, bundle: &mut Bundle) {
    bundle.set("/process/noNewPrivileges", dice.throw(2) == 0);
}

fn oom_score(dice: &mut Dice, bundle: &mut Bundle) {
    bundle.set("/process/oomScoreAdj", *dice.one(&[0, 1, 500, 1000]));
}

fn rlimits(dice: &mut Dice, bundle: &mut Bundle) {
    let all = [
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_NOFILE", 64, 512),
        ("RLIMIT_NPROC", 100, 200),
        ("RLIMIT_MEMLOCK", 4096, 65_536),
        ("RLIMIT_STACK", 1 << 20, 2 << 20),
        ("RLIMIT_RTPRIO", 0, 0),
    ];
    let some = dice.some(&all).into_iter();
    let some = some.map(|(kind, soft, hard)| json!({"type": kind, "soft": soft, "hard": hard}));
    bundle.set("/process/rlimits", some.collect::<Value>());
}

fn root(dice: &mut Dice, bundle: &mut Bundle) {
    bundle.set("/root/readonly", dice.throw(2) == 0);
}

fn tmpfs(dice: &mut Dice, bundle: &mut Bundle) {
    const WORDS: [&str; 11] = [
        "ro",
        "nosuid",
        "noexec",
        "nodev",
        "noatime",
        "nodiratime",
        "strictatime",
        "sync",
        "dirsync",
        "size=64k",
        "nr_inodes=99",
    ];
    let mut options = dice.some(&WORDS);
    let destination = *dice.one(&["/mnt", "/tmp", "/dev/here", "/a/b/c"]);
    // runc 1.1 uses the mode of the directory under the mount, even if another mode is given.
    if ["/dev/here", "/a/b/c"].contains(&destination) && dice.throw(2) == 0 {
        options.push("mode=1750");
    }
    let mount = json!({
        "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options,
    });
    // A later mount at the same place, or above it, is treated differently there: the first of two
    // stays writable, and the mode is that of a directory that was created only as the mount point.
    let below = |mount: &Value| {
        mount["destination"].as_str().is_some_and(|place| place.starts_with(destination))
    };
    if !bundle.config["mounts"].as_array().into_iter().flatten().any(below) {
        bundle.push("/mounts", mount);
    }
}

fn bind(dice: &mut Dice, bundle: &mut Bundle) {
    const WORDS: [&str; 7] = ["ro", "nosuid", "noexec", "nodev", "noatime", "rw", "private"];
    let mut options = dice.some(&WORDS);
    options.insert(0, *dice.one(&["bind", "rbind"]));
    // The runtime creates mount points for later mounts in the bound directory, so each test has
    // its own.
    let volume = bundle.path().join("volume");
    std::fs::create_dir_all(volume.join("deep")).expect("a volume");
    std::fs::write(volume.join("deep/file"), "text").expect("a file");
    let passwd = "root:x:0:0::/of/the/volume:/bin/sh\nother:x:1:1::/of/another:/bin/sh\n";
    std::fs::write(volume.join("passwd"), passwd).expect("a file");
    let volume = volume.to_str().expect("UTF-8").to_owned();
    let file = format!("{volume}/passwd");
    let (source, destinations) = *dice.one(&[
        (volume.as_str(), ["/mnt/etc", "/etc", "/x"]),
        (file.as_str(), ["/etc/passwd", "/etc/new", "/x/y/z"]),
        ("/dev", ["/mnt/dev", "/tmp", "/host"]),
        ("/dev/null", ["/etc/passwd", "/etc/nothing", "/dev/nothing"]),
    ]);
    let destination = *dice.one(&destinations);
    bundle.bind(source, destination, &options);
}

fn copied_up(_: &mut Dice, bundle: &mut Bundle) {
    let mount = json!({
        "destination": "/etc", "type": "tmpfs", "source": "tmpfs",
        "options": ["tmpcopyup", "nodev"],
    });
    bundle.push("/mounts", mount);
}

fn fewer_namespaces(dice: &mut Dice, bundle: &mut Bundle) {
    // The host's name must not change.
    for kind in dice.some(&["ipc", "network", "cgroup"]) {
        bundle.without_namespace(kind);
    }
}

fn user_namespace(dice: &mut Dice, bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": *dice.one(&[0, 100_000]), "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
}

fn sysctl(dice: &mut Dice, bundle: &mut Bundle) {
    let all = [("kernel.msgmax", "4242"), ("kernel.shmmni", "99"), ("fs.mqueue.msg_max", "11")];
    let some: serde_json::Map<String, Value> =
        dice.some(&all).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    bundle.set("/linux/sysctl", some);
}

fn paths(dice: &mut Dice, bundle: &mut Bundle) {
    let all = ["/proc/scsi", "/proc/bus", "/etc/passwd", "/not/there", "/sys/firmware", "/tmp"];
    bundle.set("/linux/maskedPaths", dice.some(&[&all[..], &["/etc"]].concat()));
    // Here, mounts below a read-only path become read-only too; under the peers they do not.
    bundle.set("/linux/readonlyPaths", dice.some(&all));
}

fn seccomp(dice: &mut Dice, bundle: &mut Bundle) {
    let errno = *dice.one(&[1, 22, 122]);
    let rule =
        json!({"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    bundle.set("/linux/seccomp", filter);
}

fn devices(dice: &mut Dice, bundle: &mut Bundle) {
    let all = [
        json!({"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640,
               "gid": 5}),
        json!({"path": "/dev/fifo", "type": "p", "uid": 1000}),
        json!({"path": "/dev/deep/disk", "type": "b", "major": 7, "minor": 0}),
        json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}),
    ];
    bundle.set("/linux/devices", dice.some(&all));
}

fn propagation(dice: &mut Dice, bundle: &mut Bundle) {
    bundle.set("/linux/rootfsPropagation", *dice.one(&["private", "slave", "rprivate", "rslave"]));
}

fn resources(dice: &mut Dice, bundle: &mut Bundle) {
    let parts = [
        ("memory", json!({"limit": 64 << 20, "reservation": 32 << 20})),
        ("memory", json!({"limit": 64 << 20, "swap": 128 << 20, "swappiness": 10})),
        ("cpu", json!({"shares": 512, "quota": 50_000, "period": 100_000})),
        ("cpu", json!({"quota": -1})),
        ("cpu", json!({"cpus": "0"})),
        ("pids", json!({"limit": 77})),
        ("pids", json!({"limit": -1})),
        ("blockIO", json!({"weight": 100})),
    ];
    for (key, value) in dice.some(&parts) {
        bundle.set(&format!("/linux/resources/{key}"), value);
    }
}

/// The seeds to run: 1 to `last`, or those of `TINY_CE_SEED`, as `7` or `1000-1999`.
fn seeds(last: u64) -> std::ops::RangeInclusive<u64> {
    let Ok(wanted) = std::env::var("TINY_CE_SEED") else { return 1..=last };
    let (first, last) = wanted.split_once('-').unwrap_or((&wanted, &wanted));
    let number = |text: &str| text.parse::<u64>().expect("TINY_CE_SEED: a number, or two");
    number(first)..=number(last)
}

/// Also ask the program for the limits of its cgroup, of either version.
const LIMITS: [&str; 9] = [
    "memory/memory.limit_in_bytes",
    "memory/memory.memsw.limit_in_bytes",
    "memory/memory.soft_limit_in_bytes",
    "memory/memory.swappiness",
    "cpu/cpu.shares",
    "cpu/cpu.cfs_quota_us",
    "cpuset/cpuset.cpus",
    "pids/pids.max",
    "devices/devices.list",
];

#[test]
fn a_random_config_gives_what_runc_and_crun_give() {
    let Some(case) = Case::root(&Peer::ALL.map(Need::Peer)) else { return };
    let mut commands = SEEN.to_owned();
    for file in LIMITS {
        commands += &format!(" then cat /sys/fs/cgroup/{file}");
    }
    for dir in ["/dev", "/etc", "/tmp", "/a/b", "/x", "/mnt"] {
        commands += &format!(" then list {dir} then stat {dir}");
    }
    for file in
        ["/dev/own", "/dev/fifo", "/dev/deep/disk", "/dev/null", "/etc/passwd", "/not/there"]
    {
        commands += &format!(" then stat {file}");
    }
    commands += " then mounts";
    let (mut told, mut composed, mut ran) = (String::new(), 0, 0);
    for seed in seeds(if full() { 5_000 } else { 200 / u64::from(slowness()) }) {
        // Each runtime has a bundle of its own, so that none finds files that another one made.
        let bundles = [(); 3].map(|()| {
            let mut dice = Dice::new(seed * 0x9e37_79b9);
            let mut bundle = case.bundle();
            for _ in 0..1 + dice.throw(6) {
                dice.one(&PARTS)(&mut dice, &mut bundle);
            }
            bundle.probe(&commands);
            for _ in 0..dice.throw(4) {
                dice.one(&ODD)(&mut dice, &mut bundle);
            }
            bundle
        });
        composed += 1;
        let Some(found) = differences(&case, bundles.each_ref()) else { continue };
        ran += 1;
        if !found.is_empty() {
            told += &format!("seed {seed}:\n{found}\n");
        }
    }
    // The report reads it. Not eprintln!, which libtest captures.
    let line = format!("compared: {composed} configurations, {ran} of them run by runc and crun\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(told.is_empty(), "{told}");
}

/// The parts that also apply to a process of `exec`.
const OF_PROCESSES: [Part; 6] = [user, cwd, env, capabilities, no_new_privileges, rlimits];

/// What a process of `exec` is asked. Not its umask, which runc does not set.
const JOINED: &str = "ids then caps then no_new_privs then seccomp then cwd then env then args \
    then limits then hostname then oom then fds then dumpable then affinity then scheduler then \
    thp then tty then mkdir /dev/shm/x then processes";

/// The words of `exec` before the id, and those of the command after it.
fn exec_words(dice: &mut Dice, bundle: &Bundle, other: &mut Bundle) -> [Vec<String>; 2] {
    let mut options = vec!["exec".to_owned()];
    let mut command = vec!["/probe".to_owned()];
    if dice.throw(3) == 0 {
        other.probe(JOINED);
        for _ in 0..dice.throw(4) {
            dice.one(&OF_PROCESSES)(dice, other);
        }
        let file = bundle.path().join("process.json");
        std::fs::write(&file, other.config["process"].to_string()).expect("process.json");
        options.extend(["--process".to_owned(), file.to_str().expect("UTF-8").to_owned()]);
        return [options, Vec::new()];
    }
    command.extend(JOINED.split_whitespace().map(str::to_owned));
    for (name, values) in [
        ("--user", &["0", "1", "5:6", "1000:0", "60000"][..]),
        ("--cwd", &["/etc", "/tmp", "/proc"]),
        ("--env", &["A=b", "HOME=/x", "PATH=/", "E="]),
        ("--env", &["A=c", "B=", "TERM=xterm"]),
        ("--additional-gids", &["9", "0"]),
        ("--additional-gids", &["7"]),
        ("--cap", &["CAP_CHOWN", "CAP_SYS_ADMIN"]),
        ("--cap", &["CAP_NET_RAW", "CAP_SETPCAP"]),
    ] {
        if dice.throw(3) == 0 {
            let value = *dice.one(values);
            options.extend([name.to_owned(), value.to_owned()]);
        }
    }
    if dice.throw(4) == 0 {
        options.push("--no-new-privs".to_owned());
    }
    [options, command]
}

#[test]
fn a_random_exec_gives_what_runc_gives() {
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
    let mut told = String::new();
    for seed in 1..=if full() { 1_000 } else { 30 / u64::from(slowness()) } {
        let mut dice = Dice::new(0);
        let bundles = [(); 2].map(|()| {
            dice = Dice::new(seed * 0x9e37_79b9);
            let mut bundle = case.bundle();
            for _ in 0..1 + dice.throw(4) {
                dice.one(&PARTS)(&mut dice, &mut bundle);
            }
            bundle.probe("pause");
            bundle
        });
        let [path, other_path] =
            bundles.each_ref().map(|it| it.path().to_str().expect("UTF-8").to_owned());
        let id = case.id();
        let runc = |words: &[&str]| case.peer(Peer::Runc, words);
        let ours = |words: &[&str]| case.tiny_ce(words);
        let other_id = case.id();
        let run = ["run", "--detach", "--bundle"];
        let made = [
            ours(&[&run[..], &[&path, &id]].concat()),
            runc(&[&run[..], &[&other_path, &other_id]].concat()),
        ];
        if made.iter().all(|done| done.code() == 0) {
            for _ in 0..3 {
                let words = exec_words(&mut dice, &bundles[0], &mut case.bundle());
                let all = |id: &str| {
                    let [options, command] = &words;
                    let all = options.iter().map(String::as_str).chain([id]);
                    all.chain(command.iter().map(String::as_str)).map(str::to_owned).collect()
                };
                let of = |id: &str| -> Vec<String> { all(id) };
                let (own, other) = (of(&id), of(&other_id));
                let own = ours(&own.iter().map(String::as_str).collect::<Vec<_>>());
                let other = runc(&other.iter().map(String::as_str).collect::<Vec<_>>());
                let (seen, there) = (joined(&own), joined(&other));
                if (own.code(), &seen) != (other.code(), &there) {
                    let more: Vec<_> = seen.iter().filter(|line| !there.contains(line)).collect();
                    let less: Vec<_> = there.iter().filter(|line| !seen.contains(line)).collect();
                    told += &format!(
                        "seed {seed}: {words:?}\nours: {more:?} {}\nrunc: {less:?} {}\n",
                        own.stderr, other.stderr
                    );
                }
            }
        }
        ours(&["delete", "--force", &id]);
        runc(&["delete", "--force", &other_id]);
    }
    assert!(told.is_empty(), "{told}");
}
