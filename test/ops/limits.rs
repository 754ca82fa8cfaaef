//! `update` and `events`, on either version of cgroups.

use serde_json::{Value, json};
use std::io::Write;
use tiny_ce_test::{Case, Container, Need, Peer, cgroup_v2};

pub const MIB: u64 = 1 << 20;

/// A started container that runs until it is killed.
pub fn pausing(case: &Case) -> Container<'_> {
    let mut bundle = case.bundle();
    bundle.probe("pause");
    started(case.create(&bundle))
}

fn started(mut container: Container<'_>) -> Container<'_> {
    container.start();
    container.line("ready:");
    container
}

/// A file of the container's cgroup, by its name in v1 and in v2.
fn read(case: &Case, controller: &str, v1: &str, v2: &str) -> String {
    let v2_only = cgroup_v2();
    let cgroups = case.cgroups();
    let place = cgroups
        .iter()
        .find(|path| v2_only || path.to_string_lossy().contains(&format!("/cgroup/{controller}/")));
    let path = place.expect("a cgroup").join(if v2_only { v2 } else { v1 });
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
}

pub fn memory(case: &Case) -> String {
    read(case, "memory", "memory.limit_in_bytes", "memory.max")
}

pub fn pids(case: &Case) -> String {
    read(case, "pids", "pids.max", "pids.max")
}

#[test]
fn options_change_only_what_they_name() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    container.tiny_ce("update", ["--memory", "64m", "--pids-limit", "20"]).ok();
    assert_eq!(memory(&case), (64 * MIB).to_string());
    assert_eq!(pids(&case), "20");
    container.tiny_ce("update", ["--memory=-1"]).ok();
    let unlimited = memory(&case);
    assert!(unlimited == "max" || unlimited.parse::<u64>().is_ok_and(|n| n > 1 << 62));
    assert_eq!(pids(&case), "20");
    container.tiny_ce("update", ["--pids-limit", "-1"]).ok();
    assert_eq!(pids(&case), "max");
}

#[test]
fn a_quota_and_its_period_stay_together() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause").set("/linux/resources/cpu", json!({"quota": 50000, "period": 200000}));
    let container = started(case.create(&bundle));
    let now = || {
        if cgroup_v2() {
            read(&case, "cpu", "", "cpu.max")
        } else {
            let file = |name| read(&case, "cpu", name, "");
            format!("{} {}", file("cpu.cfs_quota_us"), file("cpu.cfs_period_us"))
        }
    };
    assert_eq!(now(), "50000 200000");
    container.tiny_ce("update", ["--cpu-quota", "40000"]).ok();
    assert_eq!(now(), "40000 200000");
    container.tiny_ce("update", ["--cpu-period", "100000"]).ok();
    assert_eq!(now(), "40000 100000");
    container.tiny_ce("update", ["--cpu-quota=-1"]).ok();
    assert_eq!(now(), if cgroup_v2() { "max 100000" } else { "-1 100000" });
    container.tiny_ce("update", ["--cpu-share", "2048", "--cpuset-cpus", "0"]).ok();
    assert_eq!(now(), if cgroup_v2() { "max 100000" } else { "-1 100000" });
    assert_eq!(read(&case, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
}

#[test]
fn a_document_comes_from_a_file_or_from_standard_input() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    let file = case.dir().join("limits.json");
    let limits = json!({"memory": {"limit": 48 * MIB}, "pids": {"limit": 30}, "devices": []});
    std::fs::write(&file, limits.to_string()).expect("a file");
    let name = file.to_str().expect("UTF-8");
    container.tiny_ce("update", ["--resources", name, "--pids-limit", "31"]).ok();
    assert_eq!((memory(&case), pids(&case)), ((48 * MIB).to_string(), "31".to_owned()));

    let mut running = case.spawn(["update", "--resources=-", container.id()]);
    let mut stdin = running.stdin().expect("a pipe");
    stdin.write_all(b"{\"pids\": {\"limit\": 32}}").expect("written");
    drop(stdin);
    running.done().ok();
    assert_eq!((memory(&case), pids(&case)), ((48 * MIB).to_string(), "32".to_owned()));
}

/// For runc 1.3 and crun 1.28, 0 means no limit, and `update` leaves the limit as it is; less than
/// -1 counts as -1.
#[test]
fn a_limit_of_zero_tasks_is_no_limit() {
    let Some(case) = Case::root(&[]) else { return };
    for version in ["1.0.2", "1.3.0"] {
        let mut bundle = case.bundle();
        bundle.probe("pause").set("/ociVersion", version).set("/linux/resources/pids/limit", 0);
        let container = started(case.create(&bundle));
        assert_eq!(pids(&case), "max", "{version}");
        container.tiny_ce("update", ["--pids-limit", "5"]).ok();
        let file = case.dir().join("zero.json");
        std::fs::write(&file, "{\"pids\": {\"limit\": 0}}").expect("a file");
        container.tiny_ce("update", ["--resources", file.to_str().expect("UTF-8")]).ok();
        assert_eq!(pids(&case), "5", "{version}");
        container.tiny_ce("update", ["--pids-limit", "0"]).ok();
        assert_eq!(pids(&case), "5", "{version}");
        std::fs::write(&file, "{\"pids\": {\"limit\": -7}}").expect("a file");
        container.tiny_ce("update", ["--resources", file.to_str().expect("UTF-8")]).ok();
        assert_eq!(pids(&case), "max", "{version}");
    }
}

/// The kernel parses the list; runc and crun pass it on unchanged.
#[test]
fn lists_of_processors_are_read_by_the_kernel() {
    let Some(case) = Case::root(&[]) else { return };
    for text in ["0\n", " 0", "0,", ",0", "0,,0", "0 0"] {
        let mut bundle = case.bundle();
        bundle.probe("exit 0").set("/linux/resources/cpu/cpus", text);
        bundle.set("/linux/resources/cpu/mems", text);
        case.run(&bundle).ok();
    }
    let container = pausing(&case);
    container.tiny_ce("update", ["--cpuset-cpus", "0,\n"]).ok();
    assert_eq!(read(&case, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
}

/// Current versions of runc and crun accept these limits; each gives a warning here.
#[test]
fn odd_limits_are_accepted_with_a_warning() {
    let Some(case) = Case::root(&[]) else { return };
    for (pointer, value, told) in [
        ("pids/limit", json!(-7), "pids.limit: -7 is taken as -1, unlimited"),
        ("cpu/shares", json!(300_000), "cpu.shares: 300000 is taken as 262144"),
        ("memory/kernel", json!(-2), "memory.kernel: the kernel has no such limit"),
    ] {
        let mut bundle = case.bundle();
        bundle.probe("exit 0").set(&format!("/linux/resources/{pointer}"), value);
        let done = case.run(&bundle);
        done.ok();
        assert_eq!(done.stderr.matches("warning").count(), 1, "{done}");
        assert!(done.stderr.contains(told), "{done}");
    }
    let mut bundle = case.bundle();
    bundle.probe("exit 0").set(
        "/linux/resources/devices",
        json!([{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwa"}]),
    );
    let done = case.run(&bundle);
    assert!(done.fails().contains("access: \"rwa\" has 'a'; only r, w and m"), "{done}");
}

#[test]
fn a_paused_container_is_updated_and_stays_paused() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    container.tiny_ce("pause", []).ok();
    container.tiny_ce("update", ["--pids-limit", "9"]).ok();
    assert_eq!((pids(&case), container.status()), ("9".to_owned(), "paused".to_owned()));
}

/// A later update starts from the limits that earlier ones changed.
#[test]
fn updates_are_remembered() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    container.tiny_ce("update", ["--cpu-period", "50000", "--cpu-quota", "10000"]).ok();
    let text = std::fs::read(case.state().join(container.id()).join("config.json"));
    let config: Value = serde_json::from_slice(&text.expect("config.json")).expect("JSON");
    assert_eq!(config["linux"]["resources"]["cpu"]["quota"], 10000);
    assert_eq!(config["linux"]["resources"]["devices"][0]["allow"], false);
    assert_eq!(config["process"]["args"][1], "pause");
}

#[test]
fn one_refused_limit_resets_all_of_them() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    container.tiny_ce("update", ["--memory", "64m", "--pids-limit", "20"]).ok();
    // No machine has this CPU; only the kernel knows that.
    let words = ["--memory", "32m", "--pids-limit", "7", "--cpuset-cpus", "8191"];
    let done = container.tiny_ce("update", words);
    let text = done.fails();
    assert!(text.contains("--cpuset-cpus: ") && text.contains("cpuset.cpus = \"8191\""), "{text}");
    assert_eq!((memory(&case), pids(&case)), ((64 * MIB).to_string(), "20".to_owned()));
}

#[test]
fn mistakes_are_reported_before_any_change() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    let refused = |words: &[&str], parts: &[&str]| {
        let line = ["update", container.id()].into_iter().chain(words.iter().copied());
        let done = case.tiny_ce(line);
        let text = done.fails();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    let nothing = container.tiny_ce("update", []);
    nothing.ok();
    assert!(nothing.stderr.contains("warning: update: no limit is named"), "{nothing}");
    refused(
        &["--memory", "64m", "--memory-swap", "32m"],
        &["--memory-swap: ", "less than the limit"],
    );
    refused(&["--cpu-quota", "10"], &["--cpu-quota: ", "1000"]);
    refused(&["--l3-cache-schema", "L3:0=f"], &["--l3-cache-schema", "linux.intelRdt"]);
    let file = case.dir().join("wrong.json");
    std::fs::write(&file, "{\"memory\": {\"limit\": \"64m\"},\n \"pids\": {\"limit\": \"x\"}}")
        .expect("");
    let name = file.to_str().expect("UTF-8");
    refused(&["--resources", name], &["wrong.json: 2 problems", "1:22: memory.limit: expected"]);
    std::fs::write(&file, "{\"pids\":\n {\"limit\": \"x\"}}").expect("");
    refused(&["--resources", name], &["wrong.json:2:12: pids.limit"]);
    container.tiny_ce("kill", ["KILL"]).ok();
    let done = case.tiny_ce(["update", "--pids-limit", "1", "nobody"]);
    assert!(done.fails().contains("container does not exist"), "{done}");
}

/// On a machine without resctrl, a class of service is refused before anything is made.
#[test]
fn intel_rdt_is_applied_or_refused() {
    let Some(case) = Case::root(&[]) else { return };
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let mut bundle = case.bundle();
    bundle.probe("exit 0").set("/linux/intelRdt", json!({}));
    let done = case.run(&bundle);
    if mounts.lines().any(|line| line.split(' ').nth(2) == Some("resctrl")) {
        done.ok();
    } else {
        let text = done.fails();
        assert!(text.contains("linux.intelRdt: the resctrl file system is not mounted"), "{text}");
    }
}

#[test]
fn stats_are_runc_s() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("fork 2 then pause").set("/linux/resources/pids/limit", 33);
    bundle.set("/linux/resources/memory/limit", 128 * MIB);
    let container = started(case.create(&bundle));
    let done = container.tiny_ce("events", ["--stats"]);
    assert_eq!(done.ok().lines().count(), 1, "{done}");
    let event: Value = serde_json::from_str(done.ok()).expect("JSON");
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id())));
    let data = &event["data"];
    assert_eq!(data["pids"], json!({"current": 3, "limit": 33}));
    assert_eq!(data["memory"]["usage"]["limit"], 128 * MIB);
    assert!(data["memory"]["usage"]["usage"].as_u64() > Some(0), "{data}");
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{data}");
    assert!(data["memory"]["raw"].is_object() && data["intel_rdt"].is_object(), "{data}");
    assert!(data["network_interfaces"].is_null(), "{data}");
}

/// The same keys as runc, with any values.
#[test]
fn stats_have_the_keys_of_runc() {
    let Some(case) = Case::root(&[Need::Peer(Peer::Runc)]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let container = started(case.create(&bundle));
    let ours: Value =
        serde_json::from_str(container.tiny_ce("events", ["--stats"]).ok()).expect("JSON");
    let id = case.id();
    let runc = |words: &[&str]| case.peer(Peer::Runc, words);
    bundle.set("/process/terminal", false);
    let dir = bundle.path().to_str().expect("UTF-8").to_owned();
    runc(&["create", "--bundle", &dir, &id]).ok();
    let stats = runc(&["events", "--stats", &id]);
    runc(&["delete", "--force", &id]).ok();
    let theirs: Value = serde_json::from_str(stats.ok()).expect("JSON");
    let mut missing = Vec::new();
    compare("", &theirs, &ours, &mut missing);
    assert!(missing.is_empty(), "{missing:?}\nrunc: {theirs}\nours: {ours}");
}

/// Keys that depend on the history of a process, or on the kernel's own names.
const CHANGING: [&str; 3] = ["/data/memory/raw", "/data/blkio", "/data/hugetlb"];

fn compare(at: &str, theirs: &Value, ours: &Value, missing: &mut Vec<String>) {
    if CHANGING.contains(&at) {
        return;
    }
    for (key, value) in theirs.as_object().into_iter().flatten() {
        let here = format!("{at}/{key}");
        match ours.get(key) {
            Some(found) => compare(&here, value, found, missing),
            // A number is left out if it is zero, which depends on the moment.
            None if value.is_number() => {}
            None => missing.push(here),
        }
    }
}

#[test]
fn events_are_streamed_until_the_end() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    let mut events = case.spawn(["events", "--interval", "20ms", container.id()]);
    events.line("{\"type\":\"stats\"");
    events.line("{\"type\":\"stats\"");
    container.kill("KILL");
    events.done().ends(0);
    let refused = case.tiny_ce(["events", "--interval", "0s", container.id()]);
    assert!(refused.fails().contains("--interval"), "{refused}");
}

#[test]
fn a_reader_that_goes_away_ends_events() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    let binary = tiny_ce_test::tiny_ce();
    let (binary, state) = (binary.to_string_lossy(), case.state());
    let line = format!(
        "({binary} --root {} events --interval 10ms {}; echo $? > code) | head -n 1 > /dev/null",
        state.display(),
        container.id()
    );
    case.program(["sh", "-c", &line]).ok();
    assert_eq!(std::fs::read_to_string(case.dir().join("code")).expect("code"), "0\n");
}

#[test]
fn an_oom_kill_is_an_event() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.args(["/probe", "await", "15", "then", "hog", "67108864", "then", "pause"]);
    bundle.set("/linux/resources/memory", json!({"limit": 16 * MIB, "swap": 16 * MIB}));
    let container = started(case.create(&bundle));
    let mut events = case.spawn(["events", "--interval", "20ms", container.id()]);
    events.line("{\"type\":\"stats\"");
    container.kill("TERM");
    let oom = events.line("{\"type\":\"oom\"");
    assert_eq!(oom, format!("{{\"type\":\"oom\",\"id\":\"{}\"}}", container.id()));
    // The program is the container's first process: the stream ends with it.
    events.done().ends(0);
}

/// Each option changes its file; if the kernel lacks the file, the error names it.
#[test]
fn every_option_sets_its_file() {
    let Some(case) = Case::root(&[]) else { return };
    let container = pausing(&case);
    container.tiny_ce("update", ["--memory", "64m", "--memory-swap", "96m"]).ok();
    for (words, controller, v1, v2, v1_value, v2_value) in [
        (
            &["--memory-reservation", "32m"][..],
            "memory",
            "memory.soft_limit_in_bytes",
            "memory.low",
            "33554432",
            "33554432",
        ),
        (
            &["--memory-swap", "128m"],
            "memory",
            "memory.memsw.limit_in_bytes",
            "memory.swap.max",
            "134217728",
            "67108864",
        ),
        (&["--memory-zswap", "1m"], "memory", "", "memory.zswap.max", "", "1048576"),
        (&["--cpu-share", "2048"], "cpu", "cpu.shares", "cpu.weight", "2048", "174"),
        (
            &["--cpu-quota", "50000", "--cpu-burst", "20000"],
            "cpu",
            "cpu.cfs_burst_us",
            "cpu.max.burst",
            "20000",
            "20000",
        ),
        (&["--cpu-idle", "1"], "cpu", "cpu.idle", "cpu.idle", "1", "1"),
        (&["--cpuset-mems", "0"], "cpuset", "cpuset.mems", "cpuset.mems", "0", "0"),
        (
            &["--blkio-weight", "500"],
            "blkio",
            "blkio.bfq.weight",
            "io.bfq.weight",
            "500",
            "default 500",
        ),
        (&["--cpu-rt-period", "900000"], "cpu", "cpu.rt_period_us", "", "900000", ""),
        (&["--cpu-rt-runtime", "1000"], "cpu", "cpu.rt_runtime_us", "", "1000", ""),
    ] {
        let line = ["update", container.id()].into_iter().chain(words.iter().copied());
        let done = case.tiny_ce(line);
        // Without bfq, the weight is in io.weight, on another scale.
        let there = case.cgroups().iter().any(|group| group.join(v2).exists());
        let (v2, v2_value) = match v2 {
            "io.bfq.weight" if !there => ("io.weight", "default 4950"),
            _ => (v2, v2_value),
        };
        let (file, value) = if cgroup_v2() { (v2, v2_value) } else { (v1, v1_value) };
        if done.code() == 0 {
            assert!(!file.is_empty(), "{words:?}: {done}");
            let seen = read(&case, controller, v1, v2);
            assert_eq!(seen.lines().next(), Some(value), "{words:?}");
        } else {
            let text = done.fails();
            let why = ["ENOENT", "cgroup v2 has no", "is for cgroup v2", "EINVAL"];
            assert!(why.iter().any(|why| text.contains(why)), "{text}");
            // Some kernels lack some of these files; every kernel has these.
            assert!(!["--cpu-share", "--cpuset-mems"].contains(&words[0]), "{text}");
        }
    }
}
