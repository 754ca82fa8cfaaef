//! A Swarm of two daemons, each on a ground with a network of its own, and a cable between them.
//!
//! Knows what a user of a cluster sees: where replicas run, and that they find each other.

use crate::docker::{Docker, ground};
use crate::ground::{IMAGE, on_each_runtime, until};

on_each_runtime!(a_cluster_of_two, machines_and_managers_that_die);

/// A manager, which is also a worker, and a worker.
struct Cluster {
    manager: Docker,
    worker: Docker,
}

fn on(runtime: &'static str, test: fn(&mut Cluster)) {
    let (Some(one), Some(two)) = (ground(runtime), ground(runtime)) else { return };
    one.join("10.98.0.1/24", &two, "10.98.0.2/24");
    let mut cluster = Cluster { manager: Docker::new(one, &[]), worker: Docker::new(two, &[]) };
    test(&mut cluster);
    cluster.worker.end();
    cluster.manager.end();
}

impl Cluster {
    /// Join the two; return the worker's node id. The manager misses a node within seconds.
    fn begin(&self) -> String {
        let at = |address: &str| {
            [format!("--advertise-addr={address}"), format!("--listen-addr={address}:2377")]
        };
        let [told, listens] = at("10.98.0.1");
        self.manager.ok(&["swarm", "init", &told, &listens, "--dispatcher-heartbeat=1s"]);
        let token = self.manager.ok(&["swarm", "join-token", "--quiet", "worker"]);
        let [told, listens] = at("10.98.0.2");
        self.worker.ok(&["swarm", "join", "--token", &token, &told, &listens, "10.98.0.1:2377"]);
        self.worker.ok(&["info", "--format", "{{.Swarm.NodeID}}"])
    }

    /// Wait until so many replicas run on each node, each with so many MiB.
    #[track_caller]
    fn has(&self, on: [usize; 2], mebibytes: u64) {
        let limit = (mebibytes << 20).to_string();
        until(&format!("{on:?} replicas with {mebibytes} MiB"), || {
            let found = [&self.manager, &self.worker].map(replicas);
            let same = found.iter().flatten().all(|(_, its)| *its == limit);
            (same && found.map(|it| it.len()) == on).then_some(())
        });
    }

    /// Wait until the manager has heard of the node.
    #[track_caller]
    fn is_ready(&self, node: &str) {
        until("the node is ready", || {
            let state = ["node", "inspect", "--format", "{{.Status.State}}", node];
            (self.manager.ok(&state) == "ready").then_some(())
        });
    }

    /// Remove the services, and take the cluster apart.
    #[track_caller]
    fn ends(&self, services: &[&str]) {
        let Cluster { manager, worker } = self;
        manager.ok(&[&["service", "rm"], services].concat());
        until("the replicas are gone", || {
            let all = [manager, worker].map(|docker| docker.ok(&["ps", "--quiet"]));
            all.iter().all(String::is_empty).then_some(())
        });
        worker.ok(&["swarm", "leave"]);
        manager.ok(&["swarm", "leave", "--force"]);
    }
}

/// The replicas that run on a node: the container of each, and its limit.
fn replicas(docker: &Docker) -> Vec<(String, String)> {
    let ids = docker.ok(&["ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=web"]);
    let limit = |id| docker.run(&["inspect", "--format", "{{.HostConfig.Memory}}", id]);
    ids.lines().map(|id| (id.to_owned(), limit(id).stdout.trim().to_owned())).collect()
}

/// Replicas on both nodes that answer each other, a rolling update, a node drained, and one that is
/// cut off and comes back.
fn a_cluster_of_two(cluster: &mut Cluster) {
    let cluster = &*cluster;
    let Cluster { manager, worker } = cluster;
    let node = cluster.begin();
    manager.ok(&["network", "create", "--driver=overlay", "front"]);
    let create =
        ["service", "create", "--quiet", "--detach", "--no-resolve-image", "--network=front"];
    // A virtual address would need the kernel's IPVS.
    let web = ["--endpoint-mode=dnsrr", "--name=web", "--replicas=4", "--limit-memory=32m"];
    let timing = ["--update-parallelism=2", "--update-delay=0s", "--stop-grace-period=1s"];
    let serve = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www";
    let words = [IMAGE, "sh", "-c", serve];
    manager.ok(&[&create[..], &web, &timing, &words].concat());
    cluster.has([2, 2], 32);

    // A client on the worker reaches all four, two of them through the cable.
    let script = "until [ $(nslookup web | grep -c '^Name:') = 4 ]; do sleep 0.2; done
        for a in $(nslookup web | sed -n '/^Name/,$s/^Address.*: *//p'); do
        wget -T 5 -qO- http://$a/; done | sort -u | wc -l";
    let place = format!("--constraint=node.id=={node}");
    let client = ["--endpoint-mode=dnsrr", "--name=client", "--restart-condition=none", &place];
    manager.ok(&[&create[..], &client, &[IMAGE, "sh", "-c", script]].concat());
    until("the client is done", || {
        let states = manager.ok(&["service", "ps", "client", "--format", "{{.CurrentState}}"]);
        assert!(!states.starts_with("Failed"), "{states}");
        states.starts_with("Complete").then_some(())
    });
    assert_eq!(manager.ok(&["service", "logs", "--raw", "client"]), "4");

    manager.ok(&["service", "update", "--quiet", "--detach", "--limit-memory=48m", "web"]);
    cluster.has([2, 2], 48);
    manager.ok(&["node", "update", "--availability=drain", &node]);
    cluster.has([4, 0], 48);
    manager.ok(&["node", "update", "--availability=active", &node]);
    manager.ok(&["service", "update", "--quiet", "--detach", "--force", "web"]);
    cluster.has([2, 2], 48);
    // Cut off, its replicas go on until it hears that others have taken their place.
    worker.ground.run(&[], &["ip", "link", "set", "cable", "down"]).ok();
    cluster.has([4, 2], 48);
    worker.ground.run(&[], &["ip", "link", "set", "cable", "up"]).ok();
    cluster.has([4, 0], 48);

    cluster.ends(&["web", "client"]);
}

/// A worker loses its power and comes back; a manager is killed, while the replicas go on.
fn machines_and_managers_that_die(cluster: &mut Cluster) {
    let node = cluster.begin();
    let create = ["service", "create", "--quiet", "--detach", "--no-resolve-image"];
    let web = ["--name=web", "--replicas=2", "--limit-memory=32m"];
    let words = ["--update-parallelism=4", IMAGE, "sh", "-c", "trap exit TERM; sleep 1000 & wait"];
    cluster.manager.ok(&[&create[..], &web, &words].concat());
    cluster.has([1, 1], 32);

    cluster.worker.loses_power();
    until("its replica is replaced", || (replicas(&cluster.manager).len() == 2).then_some(()));
    cluster.worker.begin();
    cluster.is_ready(&node);
    cluster.has([2, 0], 32);
    cluster.manager.ok(&["service", "scale", "--detach", "web=4"]);
    cluster.has([2, 2], 32);

    let [ours, theirs] = [&cluster.manager, &cluster.worker].map(replicas);
    cluster.manager.signal("KILL");
    assert_eq!(replicas(&cluster.worker), theirs);
    for (id, _) in &ours {
        assert_ne!(cluster.manager.ground.processes_of(id).expect("a cgroup"), "");
    }
    cluster.manager.begin();
    until("it leads again", || {
        let leads = ["node", "inspect", "--format", "{{.ManagerStatus.Leader}}", "self"];
        (cluster.manager.run(&leads).stdout == "true\n").then_some(())
    });
    cluster.is_ready(&node);
    assert_eq!(replicas(&cluster.worker), theirs);
    cluster.manager.ok(&["service", "update", "--quiet", "--detach", "--limit-memory=48m", "web"]);
    until("all replicas have the new limit", || {
        let found = [&cluster.manager, &cluster.worker].map(replicas).concat();
        let limit = (48 << 20).to_string();
        (found.len() == 4 && found.iter().all(|(_, its)| *its == limit)).then_some(())
    });
    cluster.ends(&["web"]);
}
