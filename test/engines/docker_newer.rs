//! What Docker has got since Debian 12, and every type of `--mount` and kind of `--security-opt`.

use crate::docker::{Docker, on};
use crate::ground::{Ground, IMAGE, on_each_runtime, today, until};
use std::path::PathBuf;

on_each_runtime!(
    devices_by_cdi,
    health_checks_while_starting,
    kinds_of_security_options,
    privileged_containers_make_cgroups,
    types_of_mounts,
);

/// Whether the engines are new enough; if not, print a skip.
fn is_newer() -> bool {
    if !today() {
        tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    today()
}

/// Put a specification of CDI, with the device `vendor.example/wire=a`, into the ground's own /etc.
pub fn wire(ground: &Ground) -> PathBuf {
    let spec = r#"{"cdiVersion": "0.6.0", "kind": "vendor.example/wire", "devices": [{"name": "a",
        "containerEdits": {"deviceNodes": [{"path": "/dev/wire", "hostPath": "/dev/full",
        "permissions": "rw"}], "env": ["WIRE=a"], "mounts": [{"hostPath": "/etc/hostname",
        "containerPath": "/wire", "options": ["ro", "bind"]}]}}]}"#;
    let file = ground.file("wire.json", spec);
    let copy = format!("mkdir -p /etc/cdi && cp {} /etc/cdi/wire.json", file.display());
    ground.run(&[], &["sh", "-c", &copy]).ok();
    file
}

/// What a container with that device prints: [`WIRED`].
pub const WIRE: &str = "echo $WIRE; stat -c %t:%T /dev/wire; (echo x > /dev/wire) 2>&1 || true
    grep -c ' /wire ro,' /proc/self/mountinfo; touch /wire 2>&1 || true";

/// What [`WIRE`] prints.
pub const WIRED: &str = "a\n1:7\nsh: write error: No space left on device\n1\n\
    touch: /wire: Read-only file system\n";

fn devices_by_cdi(docker: &Docker) {
    if !is_newer() {
        return;
    }
    wire(&docker.ground);
    let done = docker.sh(&["--device=vendor.example/wire=a"], WIRE);
    assert_eq!(done.ok().replace("line 0: ", ""), WIRED);
    let done = docker.sh(&["--device=vendor.example/wire=b"], "true");
    assert!(done.ends(125).stderr.contains("unresolvable CDI devices"), "{done}");
}

/// A container is healthy long before its interval is over.
fn health_checks_while_starting(docker: &Docker) {
    if !is_newer() {
        return;
    }
    let health = ["--health-cmd=test -e /well", "--health-interval=1h", "--health-retries=1"];
    let starting = ["--health-start-period=1m", "--health-start-interval=100ms"];
    docker.start("web", &[&health[..], &starting].concat(), "touch /well; exec sleep 1000");
    let status = || docker.inspect("web", "{{.State.Health.Status}}");
    until("the container is healthy", || (status() == "healthy").then_some(()));
}

fn kinds_of_security_options(docker: &Docker) {
    if !is_newer() {
        return;
    }
    let of = |option: &str, script: &str| {
        let option = format!("--security-opt={option}");
        docker.sh(&[&option], script).ok().to_owned()
    };
    let status = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t\\n'";
    assert_eq!(of("no-new-privileges", status), "NoNewPrivs:1Seccomp:2");
    assert_eq!(of("no-new-privileges=false", status), "NoNewPrivs:0Seccomp:2");
    assert_eq!(of("seccomp=unconfined", status), "NoNewPrivs:0Seccomp:0");
    assert_eq!(of("seccomp=builtin", status), "NoNewPrivs:0Seccomp:2");
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    let profile = docker.ground.file("profile.json", profile);
    let option = format!("seccomp={}", profile.display());
    let found = of(&option, "mkdir /d 2>&1 || true");
    assert_eq!(found, "mkdir: can't create directory '/d': No space left on device\n");
    let masks = "grep -c ' /proc/' /proc/mounts || true";
    assert_eq!(of("systempaths=unconfined", masks), "0\n");
    assert_ne!(of("apparmor=unconfined", masks), "0\n");
    assert_ne!(of("label=disable", masks), "0\n");
    let make = "mkdir /sys/fs/cgroup/pids/made 2>&1 && rmdir /sys/fs/cgroup/pids/made; true";
    assert_eq!(of("writable-cgroups=true", make), "");
    assert!(of("writable-cgroups=false", make).contains("Read-only file system"));
    let option = ["--security-opt=writable-cgroups=true", "--cgroupns=private"];
    assert_eq!(docker.sh(&option, make).ok(), "");
}

/// As docker in docker needs it, with and without a cgroup namespace.
fn privileged_containers_make_cgroups(docker: &Docker) {
    if !is_newer() {
        return;
    }
    let make = "mkdir /sys/fs/cgroup/pids/made && echo $$ > /sys/fs/cgroup/pids/made/tasks &&
        grep -c 'pids:.*/made$' /proc/self/cgroup && echo 0 > /sys/fs/cgroup/pids/tasks 2>&1
        echo $$ > /sys/fs/cgroup/pids/tasks && rmdir /sys/fs/cgroup/pids/made && echo done";
    for namespace in ["--cgroupns=private", "--cgroupns=host"] {
        let done = docker.sh(&["--privileged", namespace], make);
        assert!(done.ok().starts_with("1\n") && done.stdout.ends_with("done\n"), "{done}");
    }
}

fn types_of_mounts(docker: &Docker) {
    if !is_newer() {
        return;
    }
    let file = docker.ground.file("volume/file", "of the host\n");
    let host = file.parent().expect("a directory").display();
    let of = |mount: &str, script: &str| {
        let mount = format!("--mount={mount}");
        docker.sh(&[&mount], script).ok().to_owned()
    };
    // dockerd wants the source to be on a mount that is shared, or a slave.
    let shared = format!("mount --bind {host} {host} && mount --make-shared {host}");
    docker.ground.run(&[], &["sh", "-c", &shared]).ok();
    let options = "grep ' /v ' /proc/mounts | cut -d ' ' -f 4 | cut -d , -f 1";
    assert_eq!(of(&format!("type=bind,src={host},dst=/v"), options), "rw\n");
    assert_eq!(of(&format!("type=bind,src={host},dst=/v,readonly"), options), "ro\n");
    for more in ["bind-propagation=rslave", "bind-propagation=rprivate", "bind-recursive=disabled"]
    {
        assert_eq!(
            of(&format!("type=bind,src={host},dst=/v,{more}"), "cat /v/file"),
            "of the host\n"
        );
    }
    // All mounts below are read-only, too.
    let mount = format!("mount -t tmpfs below {host}/below && touch {host}/below/x");
    std::fs::create_dir(file.with_file_name("below")).expect("a directory");
    docker.ground.run(&[], &["sh", "-c", &mount]).ok();
    let recursive = format!(
        "type=bind,src={host},dst=/v,readonly,bind-propagation=rprivate,bind-recursive=readonly"
    );
    let found = of(&recursive, "ls /v/below; touch /v/below/y 2>&1 || true");
    assert_eq!(found, "x\ntouch: /v/below/y: Read-only file system\n");
    docker.ground.run(&[], &["umount", &format!("{host}/below"), &host.to_string()]).ok();

    docker.ok(&["volume", "create", "kept"]);
    assert_eq!(of("type=volume,src=kept,dst=/etc", "mkdir /etc/sub; echo x > /etc/sub/x"), "");
    assert_eq!(of("type=volume,src=kept,dst=/v,volume-subpath=sub", "cat /v/x"), "x\n");
    assert_eq!(of("type=volume,src=kept,dst=/v,readonly,volume-nocopy", options), "ro\n");
    assert_eq!(of("type=volume,dst=/v", options), "rw\n");
    docker.ok(&["volume", "rm", "kept"]);
    let size = "stat -c %a /t; df -k /t | awk 'END { print $2 }'";
    assert_eq!(of("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1700", size), "1700\n1024\n");
    let found = of(&format!("type=image,src={IMAGE},dst=/i"), "head -n 1 /i/etc/group");
    assert_eq!(found, "root:x:0:\n");
}
