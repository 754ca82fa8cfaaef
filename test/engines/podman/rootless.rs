//! Podman for a user who is not root: ids by newuidmap(1), storage and state below $HOME and
//! $XDG_RUNTIME_DIR; cgroups by the user's own systemd, if there is one.

use super::{Podman, configuration};
use crate::ground::{Ground, IMAGE, TENANT, TENANT_IDS, Tenant, on_each_runtime, today};
use crate::units::{self, systemd};
use std::fs;
use tiny_ce_test::Need;

on_each_runtime!(
    a_day_of_the_tenant,
    what_the_tenants_containers_find,
    ways_to_map_the_tenants_ids,
    a_tenant_with_one_id,
    the_tenants_network,
    the_tenants_network_by_pasta,
    limits_by_the_tenants_systemd,
);

/// Run `test` as the tenant with the runtime, then remove the containers and end the process that
/// holds the tenant's namespaces.
fn on(runtime: &'static str, test: fn(&Podman)) {
    if systemd() && !units::user("tenant", TENANT) {
        return;
    }
    let needs = ["podman", "conmon", "newuidmap", "newgidmap", "setpriv"].map(Need::Program);
    let Some(ground) = Ground::new(runtime, &[&needs[..], &[super::NETAVARK]].concat()) else {
        return;
    };
    let podman = Podman::of_tenant(ground);
    test(&podman);
    podman.remove_all();
    podman.run(&["system", "migrate"]).ok();
    let state = format!("/run/user/{TENANT}/{runtime}");
    // The directory is missing if no container was run.
    let left = fs::read_dir(podman.ground.seen(&state)).map_or(0, Iterator::count);
    assert_eq!(left, 0, "state left in {state}");
}

impl Podman {
    fn of_tenant(ground: Ground) -> Podman {
        let Tenant { runtime, home, program } = ground.tenant();
        let storage = ground.file("podman/storage.conf", "[storage]\ndriver = \"vfs\"\n");
        let env = vec![
            ("CONTAINERS_CONF", configuration(&ground, &runtime, "", "")),
            ("CONTAINERS_STORAGE_CONF", storage),
            ("HOME", home),
            ("PODMAN_IGNORE_CGROUPSV1_WARNING", "1".into()),
            ("XDG_RUNTIME_DIR", format!("/run/user/{TENANT}").into()),
        ];
        let program = program.into_iter().chain(["podman".into()]).collect();
        let podman = Podman { ground, program, env, parent: None };
        podman.load();
        podman
    }
}

fn a_day_of_the_tenant(podman: &Podman) {
    podman.once(&[], &["sh", "-c", "exit 5"]).ends(5);
    podman.once(&[], &["nosuch"]).ends(127);
    podman.once(&[], &["/etc/passwd"]).ends(126);
    podman.detached("web", &["--tty"], &["sleep", "600"]);
    podman.run(&["exec", "web", "sh", "-c", "exit 3"]).ends(3);
    assert_eq!(podman.run(&["exec", "--user=5:6", "web", "id", "-u"]).ok(), "5\n");
    let done = podman.terminal(&["exec", "-it", "web", "tty"]);
    assert!(done.ok().starts_with("/dev/pts/"), "{done}");
    assert!(podman.run(&["top", "web", "args"]).ok().contains("sleep 600"));
    podman.run(&["restart", "--time=0", "web"]).ok();
    podman.run(&["stop", "--time=0", "web"]).ok();
    podman.exited("web", 137);
}

fn what_the_tenants_containers_find(podman: &Podman) {
    let maps = "awk '{print $1, $2, $3}' /proc/self/uid_map; id -u";
    let expected = format!("0 {TENANT} 1\n1 {TENANT_IDS} 65536\n0\n");
    assert_eq!(podman.prints(&[], maps), expected);
    assert_eq!(podman.prints(&["--userns=keep-id"], "id -u"), format!("{TENANT}\n"));
    assert_eq!(podman.prints(&["--user=1000"], "id -u"), "1000\n");
    assert_eq!(podman.prints(&[], "touch /x; chown 1000 /x; stat -c %u /x"), "1000\n");
    let file = podman.ground.file("volume/file", "of the host\n");
    let volume = format!("--volume={}:/v:ro", file.display());
    let options = ["--read-only", "--cap-drop=all", "--tmpfs=/t", &volume];
    let script = "cat /v; grep CapEff /proc/self/status; touch /t/x; touch /x 2>&1 || true";
    let found = podman.prints(&options, script);
    let expected = "of the host\nCapEff:\t0000000000000000\ntouch: /x: Read-only file system\n";
    assert_eq!(found, expected);
    // These are new, and begin with what the image has there.
    let found = podman.prints(&["--read-only"], "stat -c %u:%g:%a /run /tmp /var/tmp");
    assert_eq!(found, "0:0:1777\n0:0:1777\n0:0:1777\n");
    // The container sees the cgroups that it is in, though none is its own.
    let found = podman
        .prints(&[], "ls /sys/fs/cgroup | wc -l; touch /sys/fs/cgroup/*/x 2> /dev/null || echo ro");
    assert!(!found.starts_with("0\n") && found.ends_with("ro\n"), "{found}");
    let options = ["--privileged"];
    podman.prints(&options, "mount -t tmpfs x /tmp && umount /tmp");
    podman.prints(&["--pid=host"], "true");
}

/// Forms of `--userns` and `--uidmap` that Podman has got since Debian 12.
fn ways_to_map_the_tenants_ids(podman: &Podman) {
    if !today() {
        return tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    let map = |options: &[&str]| {
        let found = podman.prints(options, "cat /proc/self/uid_map; id -u");
        found.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    // The ids that these are mapped to are those of the tenant's namespace, where 0 is the tenant.
    assert_eq!(map(&["--userns=keep-id:uid=10,gid=11,size=100"]), "0 1 10 10 0 1 11 11 89 10");
    assert_eq!(map(&["--userns=nomap"]), "0 1 65536 0");
    assert_eq!(map(&["--uidmap=0:1:10", "--uidmap=10:0:1"]), "0 1 10 10 0 1 0");
    // An id of the host, and one that is added to the usual ones.
    let tenth = TENANT_IDS + 9;
    assert_eq!(map(&[&format!("--uidmap=0:@{tenth}:1")]), "0 10 1 0");
    let added = map(&[&format!("--uidmap=+5:@{tenth}:1")]);
    assert!(format!(" {added} ").contains(" 5 10 1 "), "{added}");
}

/// Without subordinate ids there is only the tenant's own, which is root inside.
fn a_tenant_with_one_id(podman: &Podman) {
    podman.ground.run(&[], &["sh", "-c", ": > /etc/subuid; : > /etc/subgid"]).ok();
    podman.run(&["system", "migrate"]).ok();
    let script = "awk '{print $1, $2, $3}' /proc/self/uid_map /proc/self/gid_map
        touch /x && stat -c %u:%g /x; chown 1 /x 2> /dev/null || echo one";
    let one = format!("0 {TENANT} 1\n");
    assert_eq!(podman.prints(&[], script), format!("{one}{one}0:0\none\n"));
    podman.detached("web", &["--tmpfs=/t", "--read-only"], &["sleep", "600"]);
    assert_eq!(podman.run(&["exec", "web", "sh", "-c", "touch /t/x; id -u"]).ok(), "0\n");
    podman.run(&["exec", "web", "touch", "/x"]).fails();
    podman.run(&["stop", "--time=0", "web"]).ok();
    podman.exited("web", 137);
}

fn the_tenants_network(podman: &Podman) {
    if !tiny_ce_test::met(&[Need::Program("slirp4netns"), Need::File("/dev/net/tun")]) {
        return;
    }
    let run = ["run", "--rm", "--network=slirp4netns", IMAGE];
    let done = podman.run(&[&run[..], &["ip", "-o", "-4", "address"]].concat());
    assert!(done.ok().contains("tap0    inet 10.0.2.100/24"), "{done}");
}

/// pasta, which Podman 5 takes by default, gives a container the address of the host.
fn the_tenants_network_by_pasta(podman: &Podman) {
    if !today() {
        return tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    if !tiny_ce_test::met(&[Need::Program("pasta"), Need::File("/dev/net/tun")]) {
        return;
    }
    let address = "ip link add up0 type veth peer up1 && ip address add 192.0.2.7/24 dev up0 &&
        ip link set up1 up && ip link set up0 up && ip route add default via 192.0.2.1";
    podman.ground.run(&[], &["sh", "-c", address]).ok();
    let run = ["run", "--rm", "--network=pasta", IMAGE, "ip", "-o", "-4", "address"];
    let done = podman.run(&run);
    assert!(done.ok().contains("inet 192.0.2.7/24"), "{done}");
    let serve = "while :; do echo hello | nc -l -p 80; done";
    let web = ["run", "--detach", "--name=web", "--network=pasta", "--publish=8080:80", IMAGE];
    podman.run(&[&web[..], &["sh", "-c", serve]].concat()).ok();
    let ask = "for turn in $(seq 100); do
        read -r line < /dev/tcp/192.0.2.7/8080 && echo $line && exit; sleep 0.1; done; exit 1";
    let done = podman.ground.run(&[], &["bash", "-c", ask]);
    assert!(done.ok().contains("hello"), "{done}");
}

/// Without systemd a user has no cgroup, and so no limits and no `pause`.
fn limits_by_the_tenants_systemd(podman: &Podman) {
    if !systemd() {
        return tiny_ce_test::skip("needs systemd");
    }
    podman.detached("web", &["--memory=64m", "--pids-limit=50"], &["sleep", "600"]);
    let cgroup = units::cgroup_of(&podman.inspect("web", "{{.State.Pid}}"));
    let scope = format!("libpod-{}.scope", podman.inspect("web", "{{.Id}}"));
    let slice = format!("/user.slice/user-{TENANT}.slice/user@{TENANT}.service/user.slice");
    assert_eq!(cgroup, format!("{slice}/{scope}"));
    let read = |file: &str| {
        let text = fs::read_to_string(format!("/sys/fs/cgroup{cgroup}/{file}"));
        text.expect("a limit").trim().to_owned()
    };
    assert_eq!((read("memory.max"), read("pids.max")), ("67108864".into(), "50".into()));
    podman.run(&["exec", "web", "true"]).ok();
    podman.run(&["pause", "web"]).ok();
    assert_eq!(read("cgroup.freeze"), "1");
    podman.run(&["unpause", "web"]).ok();
    let stats = ["stats", "--no-stream", "--format={{.MemUsage}}", "web"];
    let done = podman.run(&stats);
    assert!(done.ok().contains("/ 67.11MB"), "{done}");
    podman.run(&["rm", "--force", "--time=0", "web"]).ok();
    assert!(!std::path::Path::new(&format!("/sys/fs/cgroup{cgroup}")).exists());
}
