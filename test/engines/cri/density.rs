//! Many pods at once, a fifth of whose containers crash in a loop: how long pods take to start, and
//! what the runtime costs beside them.
//!
//! Twelve pods, or a hundred with `TINY_CE_FULL=1`. The figures are printed.

use super::api::{ContainerStatusAnswer, EXITED, Id, Nothing, PodConfig, RUNNING, RunPod};
use super::{Node, Pod, container_of, on_nodes_network, on_today as on};
use crate::ground::{on_each_runtime, until};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tiny_ce_test::full;

on_each_runtime!(a_node_full_of_pods);

/// So many pods are started at the same time.
const WORKERS: usize = 8;

/// How often a container that crashes is started.
const ATTEMPTS: u32 = 3;

/// One pod in so many has a container that crashes.
const CRASHING: usize = 5;

/// What a call took, each time.
#[derive(Default)]
struct Figures {
    pods: Vec<Duration>,
    containers: Vec<Duration>,
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn a_node_full_of_pods(node: &Node) {
    let count = if full() { 100 } else { 12 };
    let config = |index| node.pod_config(&format!("pod{index}"), on_nodes_network());
    let configs: Vec<PodConfig> = (0..count).map(config).collect();
    let (next, figures) = (AtomicUsize::new(0), Mutex::new(Figures::default()));
    let pods = Mutex::new(Vec::new());
    let (client, handler) = (&node.client, node.ground().runtime.name);
    let began = Instant::now();
    let one = |index: usize, config: &PodConfig| {
        let request = RunPod { config: Some(config.clone()), handler: handler.to_owned() };
        let (Id { id }, time) = client.timed("RunPodSandbox", &request).expect("a pod");
        figures.lock().expect("no panic").pods.push(time);
        let pod = Pod { id, config: config.clone() };
        let crashes = index.is_multiple_of(CRASHING);
        for attempt in 0..if crashes { ATTEMPTS } else { 1 } {
            let words = if crashes { "sleep 0.1; exit 1" } else { "exec sleep 1000" };
            let mut request = container_of(&pod, "main", &["sh", "-c", words]);
            let config = request.config.as_mut().expect("a configuration");
            config.metadata.as_mut().expect("a name").attempt = attempt;
            let id: Id = client.ok("CreateContainer", &request);
            let (Nothing {}, time) = client.timed("StartContainer", &id).expect("a container");
            figures.lock().expect("no panic").containers.push(time);
            let state = if crashes { EXITED } else { RUNNING };
            until("the container has that state", || {
                let answer: ContainerStatusAnswer = client.ok("ContainerStatus", &id);
                (answer.status?.state == state).then_some(())
            });
            if crashes {
                client.ok::<Nothing>("RemoveContainer", &id);
            }
        }
        pods.lock().expect("no panic").push(pod);
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(config) = configs.get(index) else { return };
                    one(index, config);
                }
            });
        }
    });
    let all = began.elapsed().as_secs_f64();
    let (pods, mut figures) =
        (pods.into_inner().expect("pods"), figures.into_inner().expect("times"));
    assert_eq!(pods.len(), count);
    let (cpu, memory) = of_the_shims(node);
    println!(
        "{handler}: {count} pods in {all:.1} s, RunPodSandbox {:.0} ms, StartContainer {:.0} ms; \
         CPU of the runtime {:.1} ms a pod, memory of a shim {:.1} MiB",
        median(&mut figures.pods),
        median(&mut figures.containers),
        cpu.as_secs_f64() * 1000.0 / count as f64,
        memory,
    );
    pods.iter().for_each(|pod| node.remove(pod));
}

/// The CPU time of the processes that the shims have waited for, nearly all of them the runtime's,
/// and the mean of the memory that a shim has, in MiB.
fn of_the_shims(node: &Node) -> (Duration, f64) {
    let script = "for pid in $(pgrep -f containerd-shim-runc-v2); do
        set -- $(sed 's/.*) //' /proc/$pid/stat)
        echo ${14} ${15} $(sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$pid/status)
        done";
    let done = node.ground().run(&[], &["bash", "-c", script]);
    let rows: Vec<Vec<u64>> = done
        .ok()
        .lines()
        .map(|line| line.split(' ').map(|word| word.parse().expect("a number")).collect())
        .collect();
    assert!(!rows.is_empty(), "no shim");
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<u64>();
    // A tick is 10 ms.
    let cpu = Duration::from_millis((sum(0) + sum(1)) * 10);
    (cpu, sum(2) as f64 / rows.len() as f64 / 1024.0)
}
