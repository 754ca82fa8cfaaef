//! containerd's CRI plugin, as a kubelet calls it: the runtime is a handler, which a RuntimeClass
//! names.
//!
//! Knows a node, which is containerd with that plugin, and makes pods and containers on it. `api`
//! has the messages, `pods` the lives that a kubelet gives to pods, `confined` their profiles,
//! `density` many pods at once, `node` the end of the node and its return; `plugins` is what a
//! plugin changes, by the messages of `nri`.

mod api;
mod confined;
mod density;
mod node;
mod nri;
mod plugins;
mod pods;

use crate::containerd::Containerd;
use crate::ground::{Ground, IMAGE, on_each_runtime, today, until};
use crate::limits::Limit;
use crate::units::systemd;
use api::{
    Client, ContainerConfig, ContainerName, ContainerSecurity, ContainerStatus,
    ContainerStatusAnswer, CreateContainer, ExecAnswer, ExecSync, Id, Image, LinuxContainer,
    LinuxPod, Metadata, NODE, Namespaces, Nothing, PodConfig, PodSecurity, Resources, RunPod,
    StatsAnswer, Stop, UpdateResources, Variable, Version,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use tiny_ce_test::Need;

on_each_runtime!(a_pod_and_its_containers);

/// The CRI plugin's own namespace.
const NAMESPACE: &str = "k8s.io";

/// An image with only a program that waits and holds a pod's namespaces.
const PAUSE: &str = "localhost/pause:1";

/// Where Debian has the plugins of the Container Network Interface.
const PLUGINS: &str = "/usr/lib/cni";

/// A network of the node's own, for pods that do not use the node's. The bridge is in the ground's
/// network namespace, and goes with it.
const NETWORK: &str = r#"{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge",
    "bridge": "pods0", "isGateway": true, "ipam": {"type": "host-local", "dataDir": "DIR",
    "ranges": [[{"subnet": "10.77.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;

/// A node of a cluster: containerd, and where to call it.
struct Node {
    containerd: Containerd,
    client: Client,
}

/// A pod that runs.
#[derive(Debug)]
struct Pod {
    id: String,
    config: PodConfig,
}

/// Run `test` with a handler that is named after the runtime.
fn on(runtime: &'static str, test: fn(&Node)) {
    let Some(node) = Node::new(runtime) else { return };
    test(&node);
    node.containerd.end();
}

/// As `on`, with the engines of today and their network for pods; without them, print a skip.
fn on_today(runtime: &'static str, test: fn(&Node)) {
    match today() {
        true => on(runtime, test),
        false => tiny_ce_test::skip("needs the engines of today, see test/today"),
    }
}

/// The plugin's lines in containerd's configuration.
fn configuration(ground: &Ground) -> String {
    let text = NETWORK.replace("DIR", &ground.path("addresses").to_string_lossy());
    ground.file("cni/pods.conflist", &text);
    format!(
        r#"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Not below containerd's own, which takes CAP_SYS_RESOURCE.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "{1}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{1}]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{1}.options]
BinaryName = "{1}"
SystemdCgroup = {2}
"#,
        ground.path("cni").display(),
        ground.runtime.name,
        systemd()
    )
}

impl Node {
    /// A node whose handler is named after the runtime; if something is missing, print a skip and
    /// return `None`.
    fn new(runtime: &'static str) -> Option<Node> {
        let containerd = Containerd::new(runtime, configuration, &[Need::Program("curl")])?;
        containerd.import(NAMESPACE, &containerd.ground.image());
        let config = json!({"Entrypoint": ["/probe", "pause"]});
        containerd.import(NAMESPACE, &containerd.ground.image_as(PAUSE, config));
        let client = Client { socket: containerd.socket().to_owned() };
        let node = Node { containerd, client };
        node.answers();
        Some(node)
    }

    /// Wait until the plugin is there: it starts later than containerd answers.
    #[track_caller]
    fn answers(&self) {
        until("the plugin is there", || {
            self.client.call::<Nothing>("Version", &Version::default()).ok()
        });
    }

    fn ground(&self) -> &Ground {
        &self.containerd.ground
    }

    /// Where the runtime has the state of this pod's or container's container.
    fn state(&self, id: &str) -> PathBuf {
        self.ground().seen("/run/containerd/runc").join(NAMESPACE).join(id)
    }

    /// The configuration of a pod in these namespaces. Its containers' logs are in a directory of
    /// the pod's name.
    fn pod_config(&self, name: &str, namespaces: Namespaces) -> PodConfig {
        let ground = self.ground();
        let logs = ground.path("logs").join(name);
        std::fs::create_dir_all(&logs).expect("a directory for logs");
        let security = Some(PodSecurity { namespaces: Some(namespaces) });
        let parent = format!("/{}", ground.parent().trim_start_matches('/'));
        PodConfig {
            metadata: Some(Metadata {
                name: name.to_owned(),
                uid: format!("{}-{name}", ground.tag()),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            // A pod on the node's network has its name.
            hostname: String::new(),
            log_directory: logs.to_string_lossy().into_owned(),
            linux: Some(LinuxPod { cgroup_parent: parent, security }),
        }
    }

    /// Ask for a pod of this handler.
    fn run_pod(&self, config: &PodConfig, handler: &str) -> Result<Pod, String> {
        let request = RunPod { config: Some(config.clone()), handler: handler.to_owned() };
        let answer: Result<Id, String> = self.client.call("RunPodSandbox", &request);
        answer.map(|Id { id }| Pod { id, config: config.clone() })
    }

    /// A pod that runs, with the node's network or one of its own.
    #[track_caller]
    fn pod(&self, name: &str, network: i32) -> Pod {
        let config = self.pod_config(name, Namespaces { network, ..Default::default() });
        let pod = self.run_pod(&config, self.ground().runtime.name);
        pod.unwrap_or_else(|error| panic!("RunPodSandbox: {error}"))
    }

    /// Create a container.
    #[track_caller]
    fn create(&self, request: &CreateContainer) -> String {
        self.client.ok::<Id>("CreateContainer", request).id
    }

    fn start(&self, id: &str) -> Result<(), String> {
        let answer = self.client.call("StartContainer", &Id { id: id.to_owned() });
        answer.map(|Nothing {}| ())
    }

    /// Create and start a container.
    #[track_caller]
    fn run(&self, pod: &Pod, name: &str, words: &[&str]) -> String {
        let id = self.create(&container_of(pod, name, words));
        self.start(&id).unwrap_or_else(|error| panic!("StartContainer {name}: {error}"));
        id
    }

    #[track_caller]
    fn status(&self, id: &str) -> ContainerStatus {
        let id = Id { id: id.to_owned() };
        self.client.ok::<ContainerStatusAnswer>("ContainerStatus", &id).status.expect("a status")
    }

    /// Wait until the container has ended.
    #[track_caller]
    fn ended(&self, id: &str) -> ContainerStatus {
        until("the container has ended", || {
            Some(self.status(id)).filter(|status| status.state == api::EXITED)
        })
    }

    /// Stop a container, by SIGKILL after so many seconds.
    #[track_caller]
    fn stop(&self, id: &str, timeout_s: i64) {
        self.client.ok::<Nothing>("StopContainer", &Stop { id: id.to_owned(), timeout_s });
    }

    /// Run a shell script by `ExecSync`; return its status and its standard output.
    #[track_caller]
    fn exec(&self, id: &str, script: &str) -> (i32, String) {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let request = ExecSync { id: id.to_owned(), words, timeout_s: 20 };
        let answer: ExecAnswer = self.client.ok("ExecSync", &request);
        (answer.status, String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// What a container of the pod has logged: the texts of its lines.
    fn logged(&self, pod: &Pod, name: &str) -> Vec<String> {
        let path = Path::new(&pod.config.log_directory).join(format!("{name}.log"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // A time, the stream, and whether the line is whole come first.
        text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).map(str::to_owned).collect()
    }

    /// Stop the pod and its containers. As a kubelet does, ask once more if the pod's shim had
    /// ended before it answered: containerd ends it when it hears that the last process is gone.
    #[track_caller]
    fn stop_pod(&self, pod: &Pod) {
        let request = Id { id: pod.id.clone() };
        match self.client.call::<Nothing>("StopPodSandbox", &request) {
            Err(error) if error.contains("ttrpc: closed") => {
                self.client.ok::<Nothing>("StopPodSandbox", &request);
            }
            answer => drop(answer.unwrap_or_else(|error| panic!("StopPodSandbox: {error}"))),
        }
    }

    /// Stop the pod and its containers, and remove them.
    #[track_caller]
    fn remove(&self, pod: &Pod) {
        self.stop_pod(pod);
        self.client.ok::<Nothing>("RemovePodSandbox", &Id { id: pod.id.clone() });
    }
}

/// The request for a container of the pod with half a CPU and 64 MiB.
fn container_of(pod: &Pod, name: &str, words: &[&str]) -> CreateContainer {
    let linux = pod.config.linux.as_ref().and_then(|linux| linux.security.as_ref());
    let namespaces = linux.and_then(|security| security.namespaces.clone());
    let resources = Resources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        memory: 64 << 20,
        ..Default::default()
    };
    let security = ContainerSecurity { namespaces, ..Default::default() };
    CreateContainer {
        pod: pod.id.clone(),
        config: Some(ContainerConfig {
            metadata: Some(ContainerName { name: name.to_owned(), attempt: 0 }),
            image: Some(Image { image: IMAGE.to_owned() }),
            command: words.iter().map(|&word| word.to_owned()).collect(),
            log: format!("{name}.log"),
            linux: Some(LinuxContainer { resources: Some(resources), security: Some(security) }),
            ..Default::default()
        }),
        pod_config: Some(pod.config.clone()),
    }
}

/// The namespaces of a pod on the node's network.
fn on_nodes_network() -> Namespaces {
    Namespaces { network: NODE, ..Default::default() }
}

fn a_pod_and_its_containers(node: &Node) {
    let ground = node.ground();
    let config = node.pod_config("pod", on_nodes_network());
    let error = node.run_pod(&config, "nosuch").expect_err("no handler");
    assert!(error.contains("nosuch"), "{error}");
    let pod = node.pod("pod", NODE);
    ground.made(&node.state(&pod.id));

    let script = "trap 'exit 3' TERM; while sleep 0.05; do :; done";
    let mut request = container_of(&pod, "one", &["sh", "-c", script]);
    let variable = Variable { key: "A".to_owned(), value: "a".to_owned() };
    request.config.as_mut().expect("a configuration").variables = vec![variable];
    let one = node.create(&request);
    node.start(&one).expect("one starts");
    ground.made(&node.state(&one));
    assert_eq!(node.exec(&one, "echo $A; exit 5"), (5, "a\n".to_owned()));
    ground.of_has(&one, &[Limit::Memory(64 << 20), Limit::Quota(50_000, 100_000)]);
    if systemd() {
        assert_eq!(ground.scope(&one), format!("cri-containerd-{one}.scope"));
    }
    let resources = Some(Resources { memory: 32 << 20, ..Default::default() });
    let update = UpdateResources { id: one.clone(), resources };
    node.client.ok::<Nothing>("UpdateContainerResources", &update);
    ground.of_has(&one, &[Limit::Memory(32 << 20), Limit::Quota(50_000, 100_000)]);
    let stats: StatsAnswer = node.client.ok("ContainerStats", &Id { id: one.clone() });
    let memory = stats.stats.and_then(|stats| stats.memory).and_then(|it| it.working_set);
    assert!(memory.is_some_and(|memory| memory.value > 0), "memory's working set");
    // The containers of a pod share its namespaces: the pod's IPC, and the node's network.
    let see = "readlink /proc/self/ns/ipc /proc/self/ns/net | tr '\\n' ' '";
    let two = node.run(&pod, "two", &["/probe", "pause"]);
    assert_eq!(node.exec(&one, see), node.exec(&two, see));

    node.stop(&one, 20);
    assert_eq!(node.ended(&one).exit_code, 3);
    let wrong = node.create(&container_of(&pod, "wrong", &["nosuch"]));
    let error = node.start(&wrong).expect_err("there is no such program");
    assert!(error.contains("executable file not found in $PATH"), "{error}");
    node.ended(&wrong);
    node.remove(&pod);
}
