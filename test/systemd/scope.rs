//! A scope of the system's manager: made, read back, changed, joined, removed.

use serde_json::json;
use tiny_ce_test::{Bundle, Case, Need};

use super::{SYSTEMD, cgroup_of, create, creating, is_gone, pid_of, read, show};

const MIB: u64 = 1 << 20;

/// A bundle that runs until it is killed, in `tests.slice`.
fn pausing(case: &Case, id: &str) -> (Bundle, String) {
    let mut bundle = case.bundle();
    bundle.probe("pause").set("/linux/cgroupsPath", format!("tests.slice:tce:{id}"));
    (bundle, format!("tce-{id}.scope"))
}

fn limited(bundle: &mut Bundle) {
    let unified = json!({"memory.high": "50331648", "memory.oom.group": "1"});
    bundle
        .set("/linux/resources/memory", json!({"limit": 64 * MIB, "reservation": 32 * MIB}))
        .set("/linux/resources/cpu", json!({"shares": 2048, "quota": 20000, "period": 40000}))
        .set("/linux/resources/cpu/cpus", "0")
        .set("/linux/resources/pids/limit", 30)
        .set("/linux/resources/unified", unified);
}

fn limits(cgroup: &str) -> Vec<String> {
    let files = "memory.max memory.low memory.high cpu.weight cpu.max cpuset.cpus pids.max";
    files.split(' ').map(|file| read(cgroup, file)).collect()
}

#[test]
fn limits_are_properties_that_last() {
    let Some(case) = Case::root(&[SYSTEMD, Need::CgroupV2("memory")]) else { return };
    let id = case.id();
    let (mut bundle, unit) = pausing(&case, &id);
    limited(&mut bundle);
    let mut explain = case.command(["--systemd-cgroup", "explain"]);
    let text = tiny_ce_test::run(explain.arg(bundle.path()), case.dir());
    assert!(text.ok().starts_with(&format!("the scope {unit} in tests.slice\n")), "{text}");
    assert!(text.ok().contains("       AllowedCPUs = [1]\n"), "{text}");
    create(&case, &bundle, &id);
    let state = case.tiny_ce(["state", &id]);
    assert!(state.ok().contains(&format!("\"systemd-scope\": \"{unit}\"")), "{state}");
    let cgroup = format!("/tests.slice/{unit}");
    assert_eq!(cgroup_of(&pid_of(&state)), cgroup);
    for (property, value) in [
        ("ActiveState", "active"),
        ("Slice", "tests.slice"),
        ("ControlGroup", cgroup.as_str()),
        ("Delegate", "yes"),
        ("CollectMode", "inactive-or-failed"),
        ("DefaultDependencies", "no"),
        ("MemoryMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("MemoryHigh", "50331648"),
        ("CPUWeight", "174"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("CPUQuotaPeriodUSec", "40ms"),
        ("AllowedCPUs", "0"),
        ("TasksMax", "30"),
        ("OOMPolicy", "kill"),
    ] {
        assert_eq!(show(&case, &unit, property), value, "{property}");
    }
    let first = ["67108864", "33554432", "50331648", "174", "20000 40000", "0", "30"];
    assert_eq!(limits(&cgroup), first);
    assert_eq!(read(&cgroup, "memory.oom.group"), "1");
    case.program(["systemctl", "daemon-reload"]).ok();
    assert_eq!(limits(&cgroup), first, "after daemon-reload");
    case.tiny_ce(["delete", &id]).ok();
    is_gone(&case, &unit);
}

#[test]
fn an_update_lasts_or_changes_nothing() {
    let Some(case) = Case::root(&[SYSTEMD, Need::CgroupV2("memory")]) else { return };
    let id = case.id();
    let (mut bundle, unit) = pausing(&case, &id);
    limited(&mut bundle);
    create(&case, &bundle, &id);
    case.tiny_ce(["start", &id]).ok();
    let cgroup = format!("/tests.slice/{unit}");
    let limits = || limits(&cgroup);
    case.tiny_ce(["update", "--memory", "96m", "--pids-limit", "40", "--cpu-quota", "10000", &id])
        .ok();
    let second = ["100663296", "33554432", "50331648", "174", "10000 40000", "0", "40"];
    assert_eq!(limits(), second);
    assert_eq!(show(&case, &unit, "MemoryMax"), "100663296");
    assert_eq!(show(&case, &unit, "TasksMax"), "40");
    assert_eq!(show(&case, &unit, "CPUQuotaPerSecUSec"), "250ms");
    case.program(["systemctl", "daemon-reload"]).ok();
    // systemd may write all limits again at any time: a changed property makes it do so.
    case.program(["systemctl", "set-property", "--runtime", &unit, "MemoryMin=0"]).ok();
    assert_eq!(limits(), second, "after daemon-reload");

    // All or none: the kernel refuses a CPU that does not exist, and systemd's properties are reset
    // too.
    let refused = case.tiny_ce(["update", "--memory", "80m", "--cpuset-cpus", "700", &id]);
    assert!(refused.fails().contains("cpuset"), "{refused}");
    assert_eq!(limits(), second);
    assert_eq!(show(&case, &unit, "MemoryMax"), "100663296");

    case.tiny_ce(["pause", &id]).ok();
    assert!(case.tiny_ce(["state", &id]).ok().contains("\"paused\""));
    case.tiny_ce(["resume", &id]).ok();
    case.tiny_ce(["delete", "--force", &id]).ok();
    is_gone(&case, &unit);
}

#[test]
fn without_a_path_it_is_in_the_default_slice() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let id = case.id();
    let mut bundle = case.bundle();
    bundle.probe("cgroup then mounts then exit 7");
    let mut command = case.command(["--cgroup-manager", "systemd", "run", "--bundle"]);
    command.arg(bundle.path()).arg(&id);
    let done = tiny_ce_test::run(&mut command, case.dir());
    // The scope is the root of its cgroup namespace, so init was in the scope before it unshared
    // that.
    assert!(done.ends(7).values("cgroup").iter().all(|line| line.ends_with(":/")), "{done}");
    is_gone(&case, &format!("tiny-ce-{id}.scope"));

    bundle.probe("pause");
    create(&case, &bundle, &id);
    let unit = format!("tiny-ce-{id}.scope");
    assert_eq!(show(&case, &unit, "Slice"), "system.slice");
    // `delete` without --force removes a created container, and its scope.
    case.tiny_ce(["delete", &id]).ok();
    is_gone(&case, &unit);
}

#[test]
fn exec_lands_in_the_scope() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let id = case.id();
    let (bundle, unit) = pausing(&case, &id);
    create(&case, &bundle, &id);
    case.tiny_ce(["start", &id]).ok();
    let pid_file = case.dir().join("pid");
    let mut exec = case.command(["exec", "--detach", "--pid-file"]);
    exec.arg(&pid_file).args([&id, "/probe", "pause"]);
    tiny_ce_test::run(&mut exec, case.dir()).ok();
    let pid = std::fs::read_to_string(&pid_file).expect("a pid file");
    assert!(cgroup_of(&pid).ends_with(&format!("/tests.slice/{unit}")), "{}", cgroup_of(&pid));
    let pids = case.tiny_ce(["ps", "--format", "json", &id]);
    assert_eq!(pids.ok().split(',').count(), 2, "{pids}");
    // The processes of exec end too: the scope does not outlive its container.
    case.tiny_ce(["delete", "--force", &id]).ok();
    is_gone(&case, &unit);
}

/// Without a bus, systemd's private socket is used.
#[test]
fn without_a_bus_systemd_itself_is_asked() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let id = case.id();
    let (bundle, unit) = pausing(&case, &id);
    let mut command = creating(&case, &bundle, &id);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere");
    tiny_ce_test::run(&mut command, case.dir()).ok();
    assert_eq!(show(&case, &unit, "ActiveState"), "active");
    case.tiny_ce(["delete", &id]).ok();
    is_gone(&case, &unit);
}

#[test]
fn another_unit_of_the_name_is_left_alone() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let (first, second) = (case.id(), case.id());
    let (bundle, unit) = pausing(&case, &first);
    create(&case, &bundle, &first);
    let done = tiny_ce_test::run(&mut creating(&case, &bundle, &second), case.dir());
    let said = done.fails();
    assert!(said.contains(&unit) && said.contains("hint: choose another"), "{said}");
    case.tiny_ce(["delete", "--force", &second]).ok();
    assert_eq!(show(&case, &unit, "ActiveState"), "active");
    let state = case.tiny_ce(["state", &first]);
    assert!(state.ok().contains("\"created\""), "{state}");
    case.tiny_ce(["delete", &first]).ok();
    is_gone(&case, &unit);
}

#[test]
fn annotations_are_properties() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let id = case.id();
    let (mut bundle, unit) = pausing(&case, &id);
    bundle.set(
        "/annotations",
        json!({
            "org.systemd.property.TimeoutStopSec": "uint32 17",
            "org.systemd.property.Documentation": "['man:tiny-ce(1)']",
            "org.systemd.property.TasksMax": "uint64 55",
        }),
    );
    create(&case, &bundle, &id);
    assert_eq!(show(&case, &unit, "TimeoutStopUSec"), "17s");
    assert!(show(&case, &unit, "Documentation").contains("man:tiny-ce(1)"));
    assert_eq!(show(&case, &unit, "TasksMax"), "55");
    case.tiny_ce(["delete", "--force", &id]).ok();

    bundle.set("/annotations", json!({"org.systemd.property.NoSuchThing": "true"}));
    let done = tiny_ce_test::run(&mut creating(&case, &bundle, &id), case.dir());
    let said = done.fails();
    assert!(said.contains("NoSuchThing") && said.contains("org.systemd.property.NAME"), "{said}");
    is_gone(&case, &unit);
}

/// The OOM event may be gone with its cgroup, which systemd removes at once.
#[test]
fn a_program_that_is_killed_for_memory_leaves_no_unit() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let id = case.id();
    let (mut bundle, unit) = pausing(&case, &id);
    bundle.probe("hog 67108864").set("/linux/resources/memory/limit", 16 * MIB);
    let mut command = case.command(["--systemd-cgroup", "run", "--bundle"]);
    command.arg(bundle.path()).arg(&id);
    tiny_ce_test::run(&mut command, case.dir()).ends(137);
    is_gone(&case, &unit);
}

/// systemd adds no device rules of its own, and ours are in force.
#[test]
fn devices_are_those_that_are_allowed() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let id = case.id();
    let (mut bundle, unit) = pausing(&case, &id);
    for (path, minor) in [("/dev/one", 229), ("/dev/two", 183)] {
        let device = json!({"type": "c", "path": path, "major": 10, "minor": minor});
        bundle.push("/linux/devices", device);
    }
    let allow = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
    bundle.push("/linux/resources/devices", allow);
    create(&case, &bundle, &id);
    case.tiny_ce(["start", &id]).ok();
    // With cgroup v1 systemd writes the device list again.
    case.program(["systemctl", "daemon-reload"]).ok();
    case.program(["systemctl", "set-property", "--runtime", &unit, "TasksMax=77"]).ok();
    let mut exec = case.command(["exec", &id, "/probe"]);
    exec.args("open /dev/null rw then open /dev/one r then open /dev/two r".split(' '));
    let done = tiny_ce_test::run(&mut exec, case.dir());
    assert_eq!(done.value("open /dev/null"), "ok", "{done}");
    assert_eq!(done.value("open /dev/one"), "ok", "{done}");
    assert_eq!(done.value("open /dev/two"), "EPERM", "{done}");
    case.tiny_ce(["delete", "--force", &id]).ok();
    is_gone(&case, &unit);
}

/// With cgroup v1 systemd makes the scope in its hierarchies, and the launcher in the others.
#[test]
fn version_1_has_all_hierarchies() {
    let Some(case) = Case::root(&[SYSTEMD, Need::CgroupV1("memory")]) else { return };
    let id = case.id();
    let (mut bundle, unit) = pausing(&case, &id);
    bundle
        .set("/linux/resources/memory", json!({"limit": 64 * MIB}))
        .set("/linux/resources/cpu", json!({"shares": 512, "cpus": "0"}))
        .set("/linux/resources/pids/limit", 30);
    create(&case, &bundle, &id);
    let pid = pid_of(&case.tiny_ce(["state", &id]));
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("/proc/PID/cgroup");
    let place = format!(":/tests.slice/{unit}");
    assert!(text.lines().all(|line| line.ends_with(&place)), "{text}");
    let limits = || {
        let files = [
            "memory/{}/memory.limit_in_bytes",
            "cpu,cpuacct/{}/cpu.shares",
            "pids/{}/pids.max",
            "cpuset/{}/cpuset.cpus",
        ];
        files.map(|file| {
            let path = file.replace("{}", &format!("tests.slice/{unit}"));
            let text = std::fs::read_to_string(format!("/sys/fs/cgroup/{path}"));
            text.unwrap_or_else(|e| panic!("{path}: {e}")).trim().to_owned()
        })
    };
    let first = ["67108864", "512", "30", "0"];
    assert_eq!(limits(), first);
    assert_eq!(show(&case, &unit, "MemoryLimit"), "67108864");
    assert_eq!(show(&case, &unit, "DevicePolicy"), "strict");
    case.program(["systemctl", "daemon-reload"]).ok();
    case.program(["systemctl", "set-property", "--runtime", &unit, "BlockIOWeight=100"]).ok();
    assert_eq!(limits(), first, "after daemon-reload");
    case.tiny_ce(["start", &id]).ok();
    case.tiny_ce(["update", "--memory", "80m", &id]).ok();
    assert_eq!(limits()[0], "83886080");
    assert_eq!(show(&case, &unit, "MemoryLimit"), "83886080");
    case.tiny_ce(["delete", "--force", &id]).ok();
    is_gone(&case, &unit);
}
