//! The end of a node, and its return, with the engines of today: a graceful shutdown, a power cut,
//! and daemons that are killed.
//!
//! Knows what a kubelet calls then; not how containerd calls the runtime.

use super::api::{
    ContainerItem, Containers, EXITED, Id, NODE, NOT_READY, Namespaces, Nothing, POD, PodConfig,
    PodItem, Pods, READY, RUNNING, Stop,
};
use super::{NAMESPACE, Node, Pod};
use crate::ground::{on_each_runtime, today, until};
use std::path::Path;

on_each_runtime!(a_graceful_shutdown, a_power_cut, daemons_that_are_killed);

/// Ends on TERM; each says so in its log.
const ENDS: [&str; 3] =
    ["sh", "-c", "trap 'echo term; exit 7' TERM; echo up; while sleep 0.05; do :; done"];

/// Goes on after TERM.
const STAYS: [&str; 3] =
    ["sh", "-c", "trap 'echo term' TERM; echo up; while sleep 0.05; do echo on; done"];

/// Pods by priority, the lowest first; the program of each, and how it ends.
const PRIORITIES: [&[(&str, [&str; 3], i32)]; 3] =
    [&[("batch", ENDS, 7), ("stubborn", STAYS, 137)], &[("web", STAYS, 137)], &[("dns", ENDS, 7)]];

fn on(runtime: &'static str, test: fn(&mut Node)) {
    if !today() {
        return tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    let Some(mut node) = Node::new(runtime) else { return };
    test(&mut node);
    node.containerd.end();
}

impl Node {
    /// Start containerd again.
    #[track_caller]
    fn returns(&mut self) {
        self.containerd.begin();
        self.answers();
    }

    /// Have the runtime itself delete a container that has ended.
    #[track_caller]
    fn deletes(&self, id: &str) {
        let runtime = self.ground().runtime.path.to_str().expect("UTF-8");
        let root = format!("/run/containerd/runc/{NAMESPACE}");
        self.ground().run(&[], &[runtime, "--root", &root, "delete", id]).ok();
    }

    /// The ids of the pods, as the sandbox API has them.
    fn sandboxes(&self) -> Vec<String> {
        let words = ["ctr", "--address", &self.client.socket, "--namespace", NAMESPACE];
        let done = self.ground().run(&[], &[&words[..], &["sandboxes", "list"]].concat());
        let ids = done.ok().lines().skip(1).map(|line| line.split(' ').next().expect("an id"));
        ids.map(str::to_owned).collect()
    }

    #[track_caller]
    fn is_empty(&self) {
        assert_eq!((self.pods(), self.containers()), (Vec::new(), Vec::new()));
        assert_eq!(self.sandboxes(), [""; 0]);
    }

    fn pods(&self) -> Vec<PodItem> {
        self.client.ok::<Pods>("ListPodSandbox", &Nothing {}).items
    }

    fn containers(&self) -> Vec<ContainerItem> {
        self.client.ok::<Containers>("ListContainers", &Nothing {}).items
    }

    /// Start a pod with a container called `main`, and wait until its program runs.
    #[track_caller]
    fn up(&self, config: &PodConfig, words: &[&str]) -> (Pod, String) {
        let pod = self.run_pod(config, self.ground().runtime.name).expect("a pod");
        let id = self.run(&pod, "main", words);
        until("its program runs", || {
            self.logged(&pod, "main").contains(&"up".into()).then_some(())
        });
        (pod, id)
    }

    /// What a kubelet does with pods that a node has when it returns: remove them, and start each
    /// as its next attempt.
    fn starts_again(&self, pods: &[(Pod, String)]) {
        let has = |id: &str| self.pods().iter().any(|pod| pod.id == id && pod.state == NOT_READY);
        for (pod, id) in pods {
            assert!(has(&pod.id), "{:?}", self.pods());
            assert_eq!(self.status(id).state, EXITED);
            self.stop_pod(pod);
            self.client.ok::<Nothing>("RemoveContainer", &Id { id: id.clone() });
            self.client.ok::<Nothing>("RemovePodSandbox", &Id { id: pod.id.clone() });
            let mut config = pod.config.clone();
            config.metadata.as_mut().expect("a name").attempt += 1;
            config.log_directory += "/1";
            std::fs::create_dir_all(&config.log_directory).expect("a directory for logs");
            let (pod, id) = self.up(&config, &ENDS);
            self.ground().made(&self.state(&id));
            assert_eq!(self.exec(&id, "echo here"), (0, "here\n".to_owned()));
            self.remove(&pod);
        }
    }
}

/// The lines of a container's log with their times, which can be compared as texts.
fn timed(pod: &Pod) -> Vec<(String, String)> {
    let path = Path::new(&pod.config.log_directory).join("main.log");
    let text = std::fs::read_to_string(path).expect("a log");
    let line = |line: &str| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let (seconds, rest) = words[0].split_once('.').expect("a time with a fraction");
        let fraction: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (format!("{seconds}.{fraction:0<9}"), words[3].to_owned())
    };
    text.lines().map(line).collect()
}

/// The containers of one priority after those of another, each with its grace, and then containerd;
/// what ended and how is known when the node returns.
fn a_graceful_shutdown(node: &mut Node) {
    let groups = PRIORITIES.map(|group| {
        let up = |(name, words, _): &(&str, [&str; 3], i32)| {
            let namespaces = Namespaces { network: NODE, ..Default::default() };
            node.up(&node.pod_config(name, namespaces), words)
        };
        group.iter().map(up).collect::<Vec<_>>()
    });
    let client = &node.client;
    for group in &groups {
        std::thread::scope(|scope| {
            for (_, id) in group {
                let stop = Stop { id: id.clone(), timeout_s: 1 };
                scope.spawn(move || client.ok::<Nothing>("StopContainer", &stop));
            }
        });
        group.iter().for_each(|(pod, _)| node.stop_pod(pod));
    }
    let mut before = String::new();
    for group in &groups {
        let logs: Vec<_> = group.iter().map(|(pod, _)| timed(pod)).collect();
        for log in &logs {
            let term = log.iter().position(|(_, text)| text == "term").expect("TERM");
            assert!(log[term].0 > before, "{} {before}", log[term].0);
            // The grace is a second, and a line is written each 50 ms.
            assert!(log[0].1 == "up" && matches!(log.len() - term, 1 | 6..), "{log:?}");
        }
        before = logs.into_iter().flatten().map(|(time, _)| time).max().expect("lines");
    }
    node.containerd.halt("TERM").ok();
    node.containerd.loses_power();

    node.returns();
    for (group, expected) in groups.iter().zip(PRIORITIES) {
        for ((_, id), (name, _, status)) in group.iter().zip(expected) {
            assert_eq!((node.status(id).exit_code, name), (*status, name));
        }
        node.starts_again(group);
    }
    node.is_empty();
}

/// Pods run, and at once nothing is in memory.
fn a_power_cut(node: &mut Node) {
    let pods = [("web", POD), ("more", POD), ("dns", NODE)].map(|(name, network)| {
        let namespaces = Namespaces { network, ..Default::default() };
        node.up(&node.pod_config(name, namespaces), &ENDS)
    });
    assert!(node.containers().iter().all(|it| it.state == RUNNING));
    let sandboxes = node.sandboxes();
    assert!(pods.iter().all(|(pod, _)| sandboxes.contains(&pod.id)), "{sandboxes:?}");
    node.containerd.loses_power();

    node.returns();
    node.starts_again(&pods);
    node.is_empty();
    // The addresses of the pods that were cut off are free again.
    let addresses = std::fs::read_dir(node.ground().path("addresses/pods")).expect("a directory");
    let names = addresses.flatten().map(|it| it.file_name().to_string_lossy().into_owned());
    let held: Vec<String> = names.filter(|name| name.starts_with("10.")).collect();
    assert!(held.is_empty(), "{held:?}");
}

/// containerd is killed and its containers go on; a pod's shim is killed, with containerd beside it
/// and without, and the runtime is told to remove what the shim leaves.
fn daemons_that_are_killed(node: &mut Node) {
    let count = "n=0; echo up; while sleep 0.05; do n=$((n + 1)); echo $n; done";
    let pods = ["stays", "loses", "first"].map(|name| {
        let namespaces = Namespaces { network: NODE, ..Default::default() };
        node.up(&node.pod_config(name, namespaces), &["sh", "-c", count])
    });
    let [(stays, id), loses, first] = &pods;
    let gone = |node: &Node, id: &str| {
        until("its cgroup is gone", || node.ground().processes_of(id).is_none().then_some(()));
        until("its state is gone", || (!node.state(id).exists()).then_some(()));
    };
    let ended = |node: &Node, (pod, id): &(Pod, String)| {
        node.ended(id);
        gone(node, &pod.id);
    };
    let kill_shim = |node: &Node, pod: &Pod| {
        let script = format!("kill -KILL $(pgrep -f '[c]ontainerd-shim-runc-v2.*{}')", pod.id);
        node.ground().run(&[], &["bash", "-c", &script]).ok();
    };
    kill_shim(node, &first.0);
    ended(node, first);

    let before = node.ground().processes_of(id).expect("a cgroup");
    node.containerd.halt("KILL");
    kill_shim(node, &loses.0);
    node.returns();
    ended(node, loses);
    gone(node, &loses.1);
    // containerd 2.1 did not have this one removed when its pod's shim ended beside it.
    node.deletes(&first.1);
    gone(node, &first.1);
    assert_eq!(node.status(id).state, RUNNING);
    assert!(node.pods().iter().any(|pod| pod.id == stays.id && pod.state == READY));
    let first_process = |text: &str| text.lines().next().map(str::to_owned);
    assert_eq!(
        node.ground().processes_of(id).as_deref().and_then(first_process),
        first_process(&before)
    );
    assert_eq!(node.exec(id, "echo here"), (0, "here\n".to_owned()));
    // What was written while containerd was away is in the log.
    let lines = node.logged(stays, "main").len();
    until("it logs on", || (node.logged(stays, "main").len() > lines + 3).then_some(()));
    let lines = node.logged(stays, "main");
    let numbers = lines[1..].iter().zip(1..);
    assert!(numbers.into_iter().all(|(line, n)| *line == n.to_string()), "{lines:?}");
    node.stop(id, 1);
    assert_eq!(node.ended(id).exit_code, 143);
    node.remove(stays);
    node.starts_again(&pods[1..]);
    node.is_empty();
}
