//! Docker's services: containers that find each other, that have health checks, and that are
//! replaced.
//!
//! All of this is in the ground's own network: addresses are those of its loopback and its bridges.

use crate::docker::{Docker, on};
use crate::ground::{IMAGE, on_each_runtime, until};
use crate::limits::Limit;

on_each_runtime!(networks_ports_and_names, healthchecks, a_swarm_service_of_two);

fn networks_ports_and_names(docker: &Docker) {
    docker.ok(&["network", "create", "back"]);
    let serve = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www";
    let options = ["--network=back", "--network-alias=web", "--publish=127.0.0.1:8080:80"];
    docker.start("server", &options, serve);
    // The second service reaches the first one by its name and by its alias.
    for name in ["server", "web"] {
        let script = format!("until wget -qO- http://{name}/; do sleep 0.1; done 2> /dev/null");
        let words = ["run", "--rm", "--network=back", IMAGE, "sh", "-c", &script];
        assert_eq!(docker.ok(&words), "hello");
    }
    assert_eq!(docker.ok(&["port", "server", "80"]), "127.0.0.1:8080");
    let wget = ["/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8080/"];
    assert_eq!(docker.ground.run(&[], &wget).ok(), "hello\n");
    let addresses = docker.sh(&[], "ip -o -4 addr").ok().to_owned();
    assert!(addresses.contains("127.0.0.1/8") && addresses.lines().count() == 1, "{addresses}");
    // A running container can join and leave a network.
    docker.ok(&["network", "connect", "bridge", "server"]);
    assert_eq!(
        docker.ok(&["exec", "server", "sh", "-c", "ls -d /sys/class/net/eth* | wc -l"]),
        "2"
    );
    docker.ok(&["network", "disconnect", "back", "server"]);
    docker.ok(&["rm", "--force", "server"]);
    docker.ok(&["network", "rm", "back"]);
}

fn healthchecks(docker: &Docker) {
    let every = ["--health-interval=300ms", "--health-retries=1", "--health-timeout=10s"];
    let check = ["--health-cmd=echo checked; test -e /tmp/fine", "--network=none"];
    docker.start("one", &[&every[..], &check].concat(), "touch /tmp/fine; exec sleep 1000");
    docker.becomes("one", "{{.State.Health.Status}}", "healthy");
    docker.ok(&["exec", "one", "rm", "/tmp/fine"]);
    docker.becomes("one", "{{.State.Health.Status}}", "unhealthy");
    let log = docker.inspect("one", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}");
    assert!(log.contains("0 checked") && log.contains("1 checked"), "{log}");
}

fn a_swarm_service_of_two(docker: &Docker) {
    let local = ["--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1:2377"];
    docker.ok(&[&["swarm", "init"], &local[..]].concat());
    docker.ok(&["network", "create", "--driver=overlay", "front"]);
    let serve = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www";
    let create =
        ["service", "create", "--quiet", "--detach", "--no-resolve-image", "--network=front"];
    // A name resolves to the tasks' addresses: a virtual address would need the kernel's IPVS.
    let web = ["--endpoint-mode=dnsrr", "--name=web", "--replicas=2", "--limit-memory=32m"];
    docker.ok(&[&create[..], &web, &[IMAGE, "sh", "-c", serve]].concat());
    let running = || {
        let states = ["service", "ps", "web", "--format", "{{.CurrentState}}"];
        let ids = ["ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=web"];
        let up = docker.ok(&states).lines().filter(|line| line.starts_with("Running")).count();
        let ids: Vec<String> = docker.ok(&ids).lines().map(str::to_owned).collect();
        (up == 2 && ids.len() == 2).then_some(ids)
    };
    let first = until("two replicas run", running);
    assert_eq!(docker.inspect(&first[0], "{{.HostConfig.Runtime}}"), docker.ground.runtime.name);
    docker.ground.has(&[Limit::Memory(32 << 20)]);

    let script = "until [ $(nslookup web | grep -c '^Name:') = 2 ]; do sleep 0.2; done
        wget -qO- http://web/; nslookup web | grep -c '^Name:'";
    let client = ["--endpoint-mode=dnsrr", "--name=client", "--restart-condition=none"];
    docker.ok(&[&create[..], &client, &[IMAGE, "sh", "-c", script]].concat());
    until("the client is done", || {
        let states = docker.ok(&["service", "ps", "client", "--format", "{{.CurrentState}}"]);
        assert!(!states.starts_with("Failed"), "{states}");
        states.starts_with("Complete").then_some(())
    });
    assert_eq!(docker.ok(&["service", "logs", "--raw", "client"]), "hello\n2");
    // A replica that ends is replaced.
    docker.ok(&["kill", &first[0]]);
    let second = until("a new replica runs", || running().filter(|ids| !ids.contains(&first[0])));
    assert!(second.contains(&first[1]), "{second:?}");
    docker.ok(&["service", "rm", "web", "client"]);
    until("the replicas are gone", || docker.ok(&["ps", "--quiet"]).is_empty().then_some(()));
    docker.ok(&["swarm", "leave", "--force"]);
}
