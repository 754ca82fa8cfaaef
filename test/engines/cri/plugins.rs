//! A plugin of the Node Resource Interface beside containerd, with the engines of today: what it
//! adds to a container is in config.json, and what it updates comes to the runtime as `update`.
//!
//! Knows what a plugin asks for, and what the container and the kernel show of it.

use super::api::{Nothing, Resources as PodResources, UpdateResources, Variable};
use super::nri::{
    Adjustment, Answers, CdiDevice, Container, Cpu, Creation, Device, Hook, Hooks, LinuxAdjustment,
    LinuxUpdate, Memory, Mount, Pids, Plugin, Resources, Rlimit, Signed, Unsigned, Update, Updates,
};
use super::{NODE, Node, on_today as on};
use crate::docker_newer::{WIRE, WIRED, wire};
use crate::ground::{Ground, on_each_runtime, until};
use crate::limits::Limit;
use std::sync::Mutex;
use tiny_ce_test::cgroup_v2;

on_each_runtime!(what_a_plugin_changes);

/// What the container prints of what the plugin has added.
const SEE: &str = "echo $PLUGGED; cat /plugged/file; touch /plugged/x 2> /dev/null || echo closed
    ulimit -n; ulimit -Hn; stat -c %t:%T:%a /dev/plugged; : < /dev/plugged && echo opened
    cat /proc/self/oom_score_adj; cat /tmp/hook";

/// What [`SEE`] prints.
const SEEN: &str = "in\nhere\nclosed\n300\n400\na:e5:620\nopened\n321\nhooked\n";

/// A limit of memory in MiB, and a quota of CPU in ms of each 100 ms; 0 leaves it as it is.
fn resources(mebibytes: i64, quota_ms: i64) -> Option<Resources> {
    let limit = (mebibytes > 0).then_some(Signed { value: mebibytes << 20 });
    let cpu = (quota_ms > 0).then(|| Cpu {
        quota: Some(Signed { value: quota_ms * 1000 }),
        period: Some(Unsigned { value: 100_000 }),
        ..Default::default()
    });
    Some(Resources { memory: Some(Memory { limit }), cpu, ..Default::default() })
}

fn update(id: &str, mebibytes: i64, quota_ms: i64) -> Vec<Update> {
    let linux = Some(LinuxUpdate { resources: resources(mebibytes, quota_ms) });
    vec![Update { id: id.to_owned(), linux }]
}

/// A program of the node, or of the container, with this script.
fn hook(script: String) -> Vec<Hook> {
    let args = vec!["sh".to_owned(), "-c".to_owned(), script];
    vec![Hook { path: "/bin/sh".to_owned(), args }]
}

/// All that a plugin of this version can add to a container.
fn adjustment(ground: &Ground) -> Adjustment {
    let dir = ground.file("plugged/file", "here\n");
    let dir = dir.parent().expect("a directory").to_string_lossy().into_owned();
    let mut resources = resources(48, 30).expect("resources");
    let cpu = resources.cpu.as_mut().expect("a quota");
    (cpu.shares, cpu.cpus) = (Some(Unsigned { value: 512 }), "0".to_owned());
    resources.pids = Some(Pids { limit: 99 });
    if cgroup_v2() {
        resources.unified = [("memory.high".to_owned(), (40 << 20).to_string())].into();
    }
    let path = |name: &str| ground.path(name).display().to_string();
    Adjustment {
        annotations: [("example.org/by".to_owned(), "a plugin".to_owned())].into(),
        env: vec![Variable { key: "PLUGGED".to_owned(), value: "in".to_owned() }],
        mounts: vec![Mount {
            destination: "/plugged".to_owned(),
            kind: "bind".to_owned(),
            source: dir,
            options: vec!["rbind".to_owned(), "ro".to_owned()],
        }],
        hooks: Some(Hooks {
            create_runtime: hook(format!("cat > {}", path("state.json"))),
            start_container: hook("echo hooked > /tmp/hook".to_owned()),
            poststop: hook(format!("touch {}", path("stopped"))),
        }),
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".to_owned(), hard: 400, soft: 300 }],
        devices: vec![CdiDevice { name: "vendor.example/wire=a".to_owned() }],
        linux: Some(LinuxAdjustment {
            devices: vec![Device {
                path: "/dev/plugged".to_owned(),
                kind: "c".to_owned(),
                // That of /dev/fuse, which containers may not open by default.
                major: 10,
                minor: 229,
                mode: Some(Unsigned { value: 0o620 }),
            }],
            resources: Some(resources),
            oom_score_adj: Some(Signed { value: 321 }),
        }),
    }
}

/// A plugin that changes containers called `main` when they are made or updated; when another one
/// is made, it updates the last of these.
fn answers(ground: &Ground) -> Answers {
    let adjustment = adjustment(ground);
    let main = Mutex::new(String::new());
    let to_creation = move |container: &Container| {
        let mut main = main.lock().expect("no panic");
        if container.name != "main" {
            return Creation { adjust: None, updates: update(&main, 56, 0) };
        }
        main.clone_from(&container.id);
        Creation { adjust: Some(adjustment.clone()), updates: Vec::new() }
    };
    let to_update = |container: &Container| Updates { updates: update(&container.id, 0, 15) };
    Answers { to_creation: Box::new(to_creation), to_update: Box::new(to_update) }
}

fn what_a_plugin_changes(node: &Node) {
    let ground = node.ground();
    wire(ground);
    let mut plugin = Plugin::register(&ground.seen("/run/nri/nri.sock"), answers(ground));
    let pod = node.pod("web", NODE);
    let script = format!("{SEE}\n{WIRE}\necho done; exec sleep 1000");
    let id = node.run(&pod, "main", &["sh", "-c", &script]);
    ground.made(&node.state(&id));
    let printed = until("it has printed", || {
        let lines = node.logged(&pod, "main");
        (lines.last()? == "done").then(|| lines.join("\n").replace("line 0: ", ""))
    });
    assert_eq!(printed, format!("{SEEN}{WIRED}done"));
    let limits = [Limit::Shares(512), Limit::Cpus("0"), Limit::Pids(99)];
    let has = |mebibytes: u64, quota_us: u64| {
        ground.of_has(&id, &[Limit::Memory(mebibytes << 20), Limit::Quota(quota_us, 100_000)]);
        ground.of_has(&id, &limits);
    };
    has(48, 30_000);
    if cgroup_v2() {
        let high = ground.find_cgroup(&id, "unified").expect("a cgroup").join("memory.high");
        assert_eq!(std::fs::read_to_string(high).expect("a limit").trim(), (40 << 20).to_string());
    }
    let state = std::fs::read_to_string(ground.path("state.json")).expect("a hook's input");
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!(state["annotations"]["example.org/by"], "a plugin", "{state}");
    assert_eq!(state["id"], id.as_str());

    assert_eq!(plugin.update(update(&id, 32, 20)), []);
    has(32, 20_000);
    let resources = Some(PodResources { memory: 40 << 20, ..Default::default() });
    let request = UpdateResources { id: id.clone(), resources };
    node.client.ok::<Nothing>("UpdateContainerResources", &request);
    has(40, 15_000);
    let other = node.run(&pod, "other", &["sh", "-c", "echo x$PLUGGED; exec sleep 1000"]);
    has(56, 15_000);
    ground.of_has(&other, &[Limit::Memory(64 << 20), Limit::Quota(50_000, 100_000)]);
    until("it has printed", || (node.logged(&pod, "other") == ["x"]).then_some(()));
    node.remove(&pod);
    assert!(ground.path("stopped").exists(), "no poststop hook");
}
