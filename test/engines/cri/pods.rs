//! The lives that a kubelet gives to pods, with the engines of today.
//!
//! Knows what a kubelet calls and when; not how containerd calls the runtime.

use super::api::{
    BY_CGROUPFS, BY_SYSTEMD, Checkpoint, ExecAnswer, ExecSync, Id, IdMap, Image, Mount, NODE,
    Namespaces, Nothing, POD, PodStatusAnswer, RUNNING, Resources, RuntimeConfigAnswer,
    StatusAnswer, UpdateResources, UserNamespace,
};
use super::{Node, Pod, container_of, on_today as on};
use crate::ground::{IMAGE, TENANT_IDS, on_each_runtime, until};
use crate::limits::Limit;
use crate::units::systemd;
use std::path::PathBuf;

on_each_runtime!(
    a_checkpoint_of_a_container,
    a_container_out_of_memory,
    a_pod_with_users_of_its_own,
    a_resize_in_place,
    a_volume_of_an_image,
    containers_that_end_and_start_again,
    mounts_that_are_read_only_to_the_bottom,
    pods_on_a_network,
    probes_and_hooks,
    the_grace_period,
    what_the_runtime_says_it_can,
);

/// Runs until TERM, and then ends with 7.
const ENDS: [&str; 3] = ["sh", "-c", "trap 'exit 7' TERM; while sleep 0.05; do :; done"];

/// Ignores TERM.
const STAYS: [&str; 3] = ["sh", "-c", "trap '' TERM; while sleep 0.05; do :; done"];

/// A directory of the node that containers of the pod share at /shared, as an emptyDir.
fn shared(node: &Node) -> (PathBuf, Mount) {
    let dir = node.ground().path("shared");
    std::fs::create_dir_all(&dir).expect("a directory");
    let source = dir.to_string_lossy().into_owned();
    let mount = Mount { destination: "/shared".to_owned(), source, ..Default::default() };
    (dir, mount)
}

/// Start a container with this mount.
#[track_caller]
fn run_with(node: &Node, pod: &Pod, name: &str, words: &[&str], mount: Mount) -> String {
    let mut request = container_of(pod, name, words);
    request.config.as_mut().expect("a configuration").mounts.push(mount);
    let id = node.create(&request);
    node.start(&id).unwrap_or_else(|error| panic!("StartContainer {name}: {error}"));
    id
}

/// An init container, a sidecar, and a container that fails three times, each time as another
/// attempt of the same name; the sidecar sees them all.
fn containers_that_end_and_start_again(node: &Node) {
    let pod = node.pod("web", NODE);
    let (dir, mount) = shared(node);
    let init = run_with(node, &pod, "init", &["sh", "-c", "echo 0 > /shared/n"], mount.clone());
    assert_eq!(node.ended(&init).exit_code, 0);
    let sidecar = run_with(node, &pod, "sidecar", &ENDS, mount.clone());
    let script = "n=$(cat /shared/n); echo $((n + 1)) > /shared/n; echo turn $n; exit $((4 + n))";
    for attempt in 0..3 {
        let mut request = container_of(&pod, "main", &["sh", "-c", script]);
        let config = request.config.as_mut().expect("a configuration");
        config.metadata.as_mut().expect("a name").attempt = attempt;
        config.mounts.push(mount.clone());
        let id = node.create(&request);
        node.start(&id).expect("main starts");
        let status = node.ended(&id);
        assert_eq!((status.exit_code, status.reason.as_str()), (4 + attempt as i32, "Error"));
        assert_eq!(status.metadata.expect("a name").attempt, attempt);
        node.client.ok::<Nothing>("RemoveContainer", &Id { id });
    }
    assert_eq!(node.logged(&pod, "main"), ["turn 0", "turn 1", "turn 2"]);
    assert_eq!(std::fs::read_to_string(dir.join("n")).expect("a file"), "3\n");
    assert_eq!(node.exec(&sidecar, "cat /shared/n"), (0, "3\n".to_owned()));
    assert_eq!(node.status(&sidecar).state, RUNNING);
    node.remove(&pod);
}

/// Probes by exec, one of which does not end in time; a postStart and a preStop hook, and the
/// message that a program leaves for the kubelet.
fn probes_and_hooks(node: &Node) {
    let pod = node.pod("web", NODE);
    let log = node.ground().file("termination-log", "");
    let source = log.to_string_lossy().into_owned();
    let mount =
        Mount { destination: "/dev/termination-log".to_owned(), source, ..Default::default() };
    let script = "trap 'cat /tmp/hook > /dev/termination-log; exit 9' TERM
        while sleep 0.05; do :; done";
    let id = run_with(node, &pod, "main", &["sh", "-c", script], mount);
    assert_eq!(node.exec(&id, "test -e /tmp/hook").0, 1);
    assert_eq!(node.exec(&id, "echo started > /tmp/hook").0, 0);
    for _ in 0..5 {
        assert_eq!(node.exec(&id, "cat /tmp/hook"), (0, "started\n".to_owned()));
    }
    let words = ["sh", "-c", "exec sleep 4321"].map(str::to_owned).to_vec();
    let slow = ExecSync { id: id.clone(), words, timeout_s: 1 };
    let error = node.client.call::<ExecAnswer>("ExecSync", &slow).expect_err("a timeout");
    assert!(error.contains("timeout") || error.contains("deadline"), "{error}");
    // The probe's process is gone too.
    assert_eq!(node.exec(&id, "ps | grep -c '[s]leep 4321'").1, "0\n");
    assert_eq!(node.exec(&id, "echo stopping > /tmp/hook").0, 0);
    node.stop(&id, 20);
    assert_eq!(node.ended(&id).exit_code, 9);
    assert_eq!(std::fs::read_to_string(&log).expect("a message"), "stopping\n");
    node.remove(&pod);
}

/// TERM, and SIGKILL after the grace period; a pod that is stopped stops all of its containers.
fn the_grace_period(node: &Node) {
    let pod = node.pod("web", NODE);
    let (ends, stays) = (node.run(&pod, "ends", &ENDS), node.run(&pod, "stays", &STAYS));
    let (more, last) = (node.run(&pod, "more", &ENDS), node.run(&pod, "last", &STAYS));
    node.stop(&ends, 20);
    assert_eq!(node.ended(&ends).exit_code, 7);
    node.stop(&stays, 1);
    assert_eq!(node.ended(&stays).exit_code, 137);
    node.stop_pod(&pod);
    for id in [more, last] {
        assert_eq!(node.ended(&id).exit_code, 137);
    }
    node.remove(&pod);
}

/// Limits of a running container change, up and down, and its program goes on.
fn a_resize_in_place(node: &Node) {
    let pod = node.pod("web", NODE);
    let id = node.run(&pod, "main", &ENDS);
    let other = node.run(&pod, "other", &ENDS);
    for (memory, quota, shares) in [(128 << 20, 150_000, 2048), (48 << 20, 20_000, 128)] {
        let resources =
            Some(Resources { cpu_period: 100_000, cpu_quota: quota, cpu_shares: shares, memory });
        let update = UpdateResources { id: id.clone(), resources };
        node.client.ok::<Nothing>("UpdateContainerResources", &update);
        node.ground().of_has(
            &id,
            &[
                Limit::Memory(memory as u64),
                Limit::Quota(quota as u64, 100_000),
                Limit::Shares(shares as u64),
            ],
        );
        node.ground().of_has(&other, &[Limit::Memory(64 << 20), Limit::Quota(50_000, 100_000)]);
    }
    assert_eq!(node.status(&id).state, RUNNING);
    node.stop(&id, 20);
    assert_eq!(node.ended(&id).exit_code, 7);
    node.remove(&pod);
}

/// The kubelet is told why: the container beside it goes on.
fn a_container_out_of_memory(node: &Node) {
    let pod = node.pod("web", NODE);
    let other = node.run(&pod, "other", &ENDS);
    let script = "x=$(head -c 190000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let id = node.run(&pod, "large", &["sh", "-c", script]);
    let status = node.ended(&id);
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"), "{status:?}");
    assert_eq!(node.status(&other).state, RUNNING);
    node.remove(&pod);
}

/// A user namespace for the pod: root in it is nobody on the node, and its files are its own.
fn a_pod_with_users_of_its_own(node: &Node) {
    let map = vec![IdMap { host: TENANT_IDS, container: 0, length: 65536 }];
    let user = UserNamespace { mode: POD, uids: map.clone(), gids: map.clone() };
    let namespaces = Namespaces { network: POD, user: Some(user), ..Default::default() };
    let config = node.pod_config("web", namespaces);
    let pod = node.run_pod(&config, node.ground().runtime.name);
    let pod = pod.unwrap_or_else(|error| panic!("RunPodSandbox: {error}"));
    let (dir, mount) = shared(node);
    std::fs::write(dir.join("file"), "text\n").expect("a file");
    let mount = Mount { uids: map.clone(), gids: map, ..mount };
    let id = run_with(node, &pod, "main", &ENDS, mount);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let seen = node.exec(&id, "cat /proc/self/uid_map /proc/self/gid_map").1;
    let ids = format!("0 {TENANT_IDS} 65536");
    assert_eq!(words(&seen), words(&format!("{ids} {ids}")));
    // The image's files and the volume's, through mounts with the pod's ids.
    assert_eq!(node.exec(&id, "stat -c %u:%g /bin /shared/file"), (0, "0:0\n0:0\n".to_owned()));
    let see = "grep ' /sys ' /proc/self/mountinfo | sed 's/.* - //' | cut -d ' ' -f 1,2";
    assert_eq!(node.exec(&id, see), (0, "sysfs sysfs\n".to_owned()));
    assert_eq!(
        node.exec(&id, "echo more >> /shared/file; touch /shared/new; ip link set lo up").0,
        0
    );
    node.remove(&pod);
}

/// Two pods with addresses of their own reach each other, and a third one's end does not matter.
fn pods_on_a_network(node: &Node) {
    let pods = ["one", "two", "three"].map(|name| node.pod(name, POD));
    let address = |pod: &Pod| {
        let answer: PodStatusAnswer =
            node.client.ok("PodSandboxStatus", &Id { id: pod.id.clone() });
        answer.status.and_then(|status| status.network).expect("an address").ip
    };
    let ids = [0, 1].map(|index| node.run(&pods[index], "main", &ENDS));
    node.remove(&pods[2]);
    for (id, pod) in ids.iter().zip([&pods[1], &pods[0]]) {
        let ping = format!("ping -c 1 -W 5 {}", address(pod));
        assert_eq!(node.exec(id, &ping).0, 0, "{ping}");
    }
    assert_ne!(node.exec(&ids[0], "readlink /proc/self/ns/net"), {
        node.exec(&ids[1], "readlink /proc/self/ns/net")
    });
    pods[..2].iter().for_each(|pod| node.remove(pod));
}

/// What a kubelet asks when it starts: the handler's features, which are those of the runtime, and
/// who makes cgroups, which the two must agree on.
fn what_the_runtime_says_it_can(node: &Node) {
    let status: StatusAnswer = node.client.ok("Status", &Nothing {});
    let name = node.ground().runtime.name;
    let handler = status.handlers.iter().find(|it| it.name == name).expect("the handler");
    let features = handler.features.as_ref().expect("features");
    assert!(features.recursive_readonly && features.user_namespaces, "{features:?}");
    let config: RuntimeConfigAnswer = node.client.ok("RuntimeConfig", &Nothing {});
    let driver = config.linux.expect("for Linux").cgroup_driver;
    assert_eq!(driver, if systemd() { BY_SYSTEMD } else { BY_CGROUPFS });
}

/// `recursiveReadOnly`, which a kubelet asks for if the runtime's features have it.
fn mounts_that_are_read_only_to_the_bottom(node: &Node) {
    let pod = node.pod("web", NODE);
    let (_, mount) = shared(node);
    let mounted = format!("mkdir -p {0}/below && mount -t tmpfs below {0}/below", mount.source);
    node.ground().run(&[], &["sh", "-c", &mounted]).ok();
    let mount = Mount { readonly: true, recursive_readonly: true, ..mount };
    let below = format!("{}/below", mount.source);
    let id = run_with(node, &pod, "main", &ENDS, mount);
    let (status, _) = node.exec(&id, "touch /shared/x || touch /shared/below/x");
    assert_eq!(status, 1);
    node.remove(&pod);
    node.ground().run(&[], &["umount", &below]).ok();
}

/// An image as a volume, which only containers of the pod see, and which nobody changes.
fn a_volume_of_an_image(node: &Node) {
    let pod = node.pod("web", NODE);
    let image = Some(Image { image: IMAGE.to_owned() });
    let destination = "/tools".to_owned();
    let mount = Mount { destination, image, readonly: true, ..Default::default() };
    let id = run_with(node, &pod, "main", &ENDS, mount);
    let script = "/tools/bin/echo there; touch /tools/x 2> /dev/null || echo closed";
    assert_eq!(node.exec(&id, script), (0, "there\nclosed\n".to_owned()));
    let refused = node.exec(&id, "umount /tools 2> /dev/null || mount -o remount,rw /tools");
    assert_ne!(refused.0, 0, "{refused:?}");
    node.remove(&pod);
}

/// What a kubelet's checkpoint API calls: an archive, and the container goes on.
fn a_checkpoint_of_a_container(node: &Node) {
    let pod = node.pod("web", NODE);
    let id = node.run(&pod, "main", &["/probe", "pause"]);
    let archive = node.ground().path("archive.tar");
    let location = archive.to_string_lossy().into_owned();
    let request = Checkpoint { id: id.clone(), location, timeout_s: 60 };
    node.client.ok::<Nothing>("CheckpointContainer", &request);
    assert!(archive.metadata().expect("an archive").len() > 10_000);
    until("it runs", || (node.status(&id).state == RUNNING).then_some(()));
    assert_eq!(node.exec(&id, "echo here"), (0, "here\n".to_owned()));
    node.remove(&pod);
}
