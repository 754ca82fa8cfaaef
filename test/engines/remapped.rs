//! Docker with `--userns-remap`: each container has a user namespace, whose root is the host's
//! nobody.

use crate::docker::{Docker, ground};
use crate::ground::on_each_runtime;
use crate::limits::Limit;

on_each_runtime!(containers_whose_root_is_nobody);

/// Give the ground's `nobody` subordinate ids, in files that only the ground sees.
const IDS: &str = "
    set -e
    echo nobody:100000:65536 > $1
    for file in /etc/subuid /etc/subgid; do mount --bind $1 $file; done
";

fn on(runtime: &'static str, test: fn(&Docker)) {
    let Some(ground) = ground(runtime) else { return };
    let ids = ground.path("ids");
    ground.run(&[], &["sh", "-c", IDS, "ids", ids.to_str().expect("UTF-8")]).ok();
    ground.leaves.borrow_mut().extend([" /etc/subuid ", " /etc/subgid "].map(str::to_owned));
    let docker = Docker::new(ground, &["--userns-remap=nobody:nogroup"]);
    test(&docker);
    docker.end();
}

fn containers_whose_root_is_nobody(docker: &Docker) {
    let see = "cat /proc/self/uid_map; id -u; stat -c %u / /etc/hosts; touch /new && echo written
        mount -t tmpfs t /mnt 2>&1; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; df -k /tmp";
    let options = ["--tmpfs=/tmp:size=1m", "--sysctl=net.ipv4.ip_unprivileged_port_start=80"];
    let done = docker.sh(&options, see);
    let lines: Vec<&str> = done.ok().lines().map(str::trim).collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    let wanted = ["0", "0", "0", "written", "mount: permission denied (are you root?)", "80"];
    assert_eq!(lines[1..7], wanted, "{done}");
    // The devices are the host's, bound: inside they belong to nobody, but they work.
    let script = "stat -c '%u %t %T' /dev/null; echo x > /dev/null && echo written";
    assert_eq!(docker.sh(&[], script).ok(), "65534 1 3\nwritten\n");

    let limits = ["--memory=32m", "--user=1000", "--network=none"];
    docker.start("one", &limits, "exec sleep 1000");
    docker.ground.has(&[Limit::Memory(32 << 20)]);
    let script = "id -u; touch /root/new && stat -c %u /root/new; exit 4";
    let done = docker.run(&["exec", "--user=0", "one", "sh", "-c", script]);
    assert_eq!(done.ends(4).stdout, "0\n0\n");
    let pid = docker.inspect("one", "{{.State.Pid}}");
    let status = docker.ground.run(&[], &["grep", "^Uid:", &format!("/proc/{pid}/status")]);
    assert!(status.ok().starts_with("Uid:\t101000\t"), "{status}");
    docker.ok(&["pause", "one"]);
    docker.ok(&["unpause", "one"]);
    let done = docker.sh(&["--userns=host"], "cut -c 1-30 /proc/self/uid_map");
    assert_eq!(done.ok().split_whitespace().collect::<Vec<_>>()[..2], ["0", "0"]);
}
