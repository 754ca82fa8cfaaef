//! A Swarm of two daemons, each on a ground with a network of its own, and a cable between them.
//!
//! Knows what a user of a cluster sees: where replicas run, and that they find each other.

use crate::docker::{Docker, ground};
use crate::ground::{IMAGE, on_each_runtime, until};

on_each_runtime!(a_cluster_of_two);

/// A manager, which is also a worker, and a worker.
struct Cluster {
    manager: Docker,
    worker: Docker,
}

fn on(runtime: &'static str, test: fn(&Cluster)) {
    let (Some(one), Some(two)) = (ground(runtime), ground(runtime)) else { return };
    one.join("10.98.0.1/24", &two, "10.98.0.2/24");
    let cluster = Cluster { manager: Docker::new(one, &[]), worker: Docker::new(two, &[]) };
    test(&cluster);
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

    /// The replicas that run on each node, by container, and the limit of each.
    fn replicas(&self) -> [Vec<String>; 2] {
        [&self.manager, &self.worker].map(|docker| {
            let filter = "label=com.docker.swarm.service.name=web";
            let ids = docker.ok(&["ps", "--quiet", "--filter", filter]);
            let limit = |id| docker.run(&["inspect", "--format", "{{.HostConfig.Memory}}", id]);
            ids.lines().map(|id| limit(id).stdout.trim().to_owned()).collect()
        })
    }

    /// Wait until so many replicas run on each node, each with so many MiB.
    #[track_caller]
    fn has(&self, on: [usize; 2], mebibytes: u64) {
        let limit = (mebibytes << 20).to_string();
        until(&format!("{on:?} replicas with {mebibytes} MiB"), || {
            let found = self.replicas();
            let same = found.iter().flatten().all(|it| *it == limit);
            (same && found.map(|it| it.len()) == on).then_some(())
        });
    }
}

/// Replicas on both nodes that answer each other, a rolling update, a node drained, and one that is
/// cut off and comes back.
fn a_cluster_of_two(cluster: &Cluster) {
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

    manager.ok(&["service", "rm", "web", "client"]);
    until("the replicas are gone", || {
        let all = [manager, worker].map(|docker| docker.ok(&["ps", "--quiet"]));
        all.iter().all(String::is_empty).then_some(())
    });
    worker.ok(&["swarm", "leave"]);
    manager.ok(&["swarm", "leave", "--force"]);
}
