//! Containers that share: pods, each other's namespaces, networks.

use super::{NETAVARK, Podman, on};
use crate::ground::{IMAGE, on_each_runtime, today, until};
use tiny_ce_test::Need;

on_each_runtime!(a_checkpoint_on_a_network, a_network, a_pod, each_others_namespaces);

fn a_pod(podman: &Podman) {
    let parent = podman.parent.as_deref().expect("of root");
    let create = ["pod", "create", "--name=pod", "--network=none", "--hostname=podhost", parent];
    let infra = ["--share=ipc,net,uts,pid", "--infra-image", IMAGE];
    let done = podman.run(&[&create[..], &infra, &["--infra-command=sleep 600"]].concat());
    // With cgroup v1 and v2 together, Podman does not remove the pod's cgroup.
    podman.ground.leaves.borrow_mut().push(done.ok().trim().to_owned());
    let in_pod = |how: &[&str], script: &str| {
        let run = ["run", "--pod=pod"];
        podman.run(&[&run[..], how, &[IMAGE, "sh", "-c", script]].concat())
    };
    let script = "echo shared > /dev/shm/x; touch /tmp/ready; exec sleep 601";
    in_pod(&["--detach", "--name=server"], script).ok();
    let namespaces = "for name in ipc net pid uts; do readlink /proc/self/ns/$name; done";
    let ready = format!("until [ -e /tmp/ready ]; do sleep 0.02; done; {namespaces}");
    let exec = podman.run(&["exec", "server", "sh", "-c", &ready]);
    let script = format!("hostname; cat /dev/shm/x; {namespaces}");
    let done = in_pod(&["--rm"], &script);
    assert_eq!(done.ok(), format!("podhost\nshared\n{}", exec.ok()));
    // Each of the containers sees all processes.
    let done = in_pod(&["--rm"], "ps -o args");
    assert!(done.ok().contains("sleep 600") && done.stdout.contains("sleep 601"), "{done}");
    for (verb, status) in [("pause", "Paused"), ("unpause", "Running"), ("stop", "Exited")] {
        let time: &[&str] = if verb == "stop" { &["--time=0"] } else { &[] };
        podman.run(&[&["pod", verb], time, &["pod"]].concat()).ok();
        let ps = podman.run(&["pod", "ps", "--format={{.Status}}"]);
        assert_eq!(ps.ok().trim(), status, "{verb}");
    }
    podman.run(&["pod", "start", "pod"]).ok();
    podman.run(&["exec", "server", "true"]).ok();
    podman.run(&["pod", "rm", "--force", "--time=0", "pod"]).ok();
}

fn each_others_namespaces(podman: &Podman) {
    podman.detached("first", &["--hostname=first", "--ipc=shareable"], &["sleep", "600"]);
    let parent = podman.parent.as_deref().expect("of root");
    let run = ["run", "--rm", parent, "--network=container:first", "--pid=container:first"];
    let run = [&run[..], &["--ipc=container:first", "--uts=container:first", IMAGE]].concat();
    let script = "hostname; for name in ipc net pid uts; do readlink /proc/self/ns/$name; done";
    let joined = podman.run(&[&run[..], &["sh", "-c", script]].concat());
    let first = podman.run(&["exec", "first", "sh", "-c", script]);
    assert_eq!(joined.ok(), first.ok());
    assert!(joined.stdout.starts_with("first\n"), "{joined}");
}

/// netavark's bridge in the ground's own network namespace, names by aardvark-dns.
fn a_network(podman: &Podman) {
    let needs = [NETAVARK, Need::File("/usr/lib/podman/aardvark-dns")];
    if !tiny_ce_test::met(&needs) {
        return;
    }
    // Podman makes this directory a mount, and keeps it.
    podman.ground.leaves.borrow_mut().push(" /netns /run/netns ".into());
    let run = |words: &[&str]| podman.run(words);
    run(&["network", "create", "--subnet=10.99.0.0/24", "net"]).ok();
    let parent = podman.parent.as_deref().expect("of root");
    let serve = "echo served > /tmp/index.html; exec httpd -f -p 80 -h /tmp";
    let server = ["run", "--detach", "--name=server", "--network=net", "--publish=8080:80", parent];
    run(&[&server[..], &[IMAGE, "sh", "-c", serve]].concat()).ok();
    let get =
        "for i in $(seq 100); do wget -qO - $0 2> /dev/null && exit; sleep 0.05; done; exit 1";
    let client = ["run", "--rm", "--network=net", parent, IMAGE, "sh", "-c", get];
    assert_eq!(run(&[&client[..], &["http://10.99.0.2/"]].concat()).ok(), "served\n");
    assert_eq!(run(&[&client[..], &["http://server/"]].concat()).ok(), "served\n");
    // A published port.
    let words = ["busybox", "wget", "-qO", "-", "http://127.0.0.1:8080/"];
    assert_eq!(podman.ground.run(&[], &words).ok(), "served\n");
    run(&["network", "connect", "podman", "server"]).ok();
    let done = run(&["exec", "server", "ls", "/sys/class/net"]);
    assert!(done.ok().contains("eth1"), "{done}");
    run(&["rm", "--force", "--time=0", "server"]).ok();
    run(&["network", "rm", "net"]).ok();
}

/// A container keeps its address over a checkpoint: it is reached again by it and by its port, and
/// a connection that was open goes on.
fn a_checkpoint_on_a_network(podman: &Podman) {
    if !today() {
        return tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    if !tiny_ce_test::met(&[NETAVARK, Need::Program("criu"), Need::Criu]) {
        return;
    }
    podman.ground.leaves.borrow_mut().push(" /netns /run/netns ".into());
    let run = |words: &[&str]| podman.run(words);
    run(&["network", "create", "--subnet=10.99.1.0/24", "net"]).ok();
    let parent = podman.parent.as_deref().expect("of root");
    let serve = "echo served > /tmp/index.html; mkfifo /in; nc -l -p 81 < /in > /got &
        exec 9<> /in; exec httpd -f -p 80 -h /tmp";
    let server = ["run", "--detach", "--name=server", "--network=net", "--publish=8080:80", parent];
    run(&[&server[..], &[IMAGE, "sh", "-c", serve]].concat()).ok();
    let reached = |place: &str| {
        let get = ["busybox", "wget", "-T", "2", "-qO", "-", place];
        until("it is reached", || {
            (podman.ground.run(&[], &get).stdout == "served\n").then_some(())
        });
    };
    let both = || ["http://10.99.1.2/", "http://127.0.0.1:8080/"].map(reached);
    both();
    let go = podman.ground.path("go");
    let client = format!(
        "until exec 3<> /dev/tcp/10.99.1.2/81; do sleep 0.1; done; echo one >&3
         until [ -e {} ]; do sleep 0.1; done; echo two >&3",
        go.display()
    );
    let mut client = podman.ground.beside(&[], &["bash", "-c", &client]);
    let got = |name: &str, lines: &str| {
        let done = podman.run(&["exec", name, "cat", "/got"]);
        (done.stdout == lines).then_some(())
    };
    until("the first line is there", || got("server", "one\n"));
    run(&["container", "checkpoint", "--tcp-established", "server"]).ok();
    run(&["container", "restore", "--tcp-established", "server"]).ok();
    both();
    std::fs::write(go, "").expect("a file");
    until("the connection goes on", || got("server", "one\ntwo\n"));
    client.exited().ok();

    let file = podman.ground.path("server.tar").display().to_string();
    let export = ["--tcp-established", "--compress=none", "--export", &file];
    run(&[&["container", "checkpoint"], &export[..], &["server"]].concat()).ok();
    run(&["rm", "server"]).ok();
    let import = ["--tcp-established", "--import", &file];
    run(&[&["container", "restore"], &import[..]].concat()).ok();
    both();
    run(&["rm", "--force", "--time=0", "server"]).ok();
    run(&["network", "rm", "net"]).ok();
}
