//! Podman as the machine's systemd calls it: services from Quadlet's files, with the timers of
//! their health checks; and a systemd in a container.
//!
//! systemd starts Podman outside the ground, with the configuration and the storage of the machine,
//! so this is for a virtual machine, which forgets them.

use super::{NETAVARK, Podman};
use crate::ground::{Ground, IMAGE, on_each_runtime, today, until};
use crate::units::{self, systemd};
use std::fs;
use std::path::Path;
use tiny_ce_test::{Done, Need, skip};

on_each_runtime!(a_service_of_quadlet, systemd_in_a_container);

/// Where systemd's generator looks for Quadlet's files, until the machine is switched off.
const QUADLETS: &str = "/run/containers/systemd";

/// Run `test` on a ground, if the machine is one for it.
fn on(runtime: &'static str, test: fn(Ground)) {
    if !today() || !systemd() || std::env::var_os("TINY_CE_VM").is_none() {
        return skip("needs a virtual machine with systemd and the engines of today");
    }
    let needs = [Need::Program("podman"), Need::Program("conmon"), NETAVARK];
    if let Some(ground) = Ground::new(runtime, &needs) {
        test(ground);
    }
}

/// A command of the machine, outside the ground.
#[track_caller]
fn on_machine(words: &[&str]) -> Done {
    tiny_ce_test::run(&mut tiny_ce_test::command(words), Path::new("/"))
}

/// A service that has started when its container is healthy; a timer of systemd asks again.
fn a_service_of_quadlet(ground: Ground) {
    let (name, runtime) = (ground.tag().to_owned(), ground.runtime.name);
    // Containers name their runtime, and only this says where it is.
    let path = ground.runtime.path.display();
    let runtimes = format!("[engine.runtimes]\n{runtime} = [\"{path}\"]\n");
    let runtimes = ground.file("runtimes", &runtimes);
    let dir = Path::new("/etc/containers/containers.conf.d");
    fs::create_dir_all(dir).expect("a directory");
    fs::copy(runtimes, dir.join(format!("{runtime}.conf"))).expect("copied");
    on_machine(&["podman", "load", "--quiet", "--input", &ground.image().to_string_lossy()]).ok();
    let file = Path::new(QUADLETS).join(format!("{name}.container"));
    let text = format!(
        "[Container]\nImage={IMAGE}\nContainerName={name}\nGlobalArgs=--runtime={runtime}\n\
         Pull=never\nNetwork=none\nReadOnly=true\nTmpfs=/t\nNotify=healthy\n\
         HealthCmd=echo asked >> /t/asked\nHealthInterval=1s\n\
         Exec=sh -c \"trap 'exit 0' TERM; while sleep 0.1; do :; done\"\n"
    );
    fs::create_dir_all(QUADLETS).expect("a directory");
    fs::write(&file, text).expect("Quadlet's file");
    on_machine(&["systemctl", "daemon-reload"]).ok();
    let unit = format!("{name}.service");
    on_machine(&["systemctl", "start", &unit]).ok();

    assert_eq!(units::show(&unit, "SubState"), "running");
    let format = "{{.State.Health.Status}} {{.Id}} {{.State.Pid}}";
    let found = on_machine(&["podman", "inspect", "--format", format, &name]).ok().to_owned();
    let [health, id, pid] = found.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{found}");
    };
    assert_eq!(health, "healthy");
    let state = Path::new("/run").join(runtime).join(id);
    ground.made(&state);
    // Podman gives the container a part of the service's own cgroup.
    let cgroup = format!("/system.slice/{unit}/libpod-payload-{id}");
    assert_eq!(units::cgroup_of(pid), cgroup);
    let asked = format!("/proc/{pid}/root/t/asked");
    until("the timer asks again", || {
        (fs::read_to_string(&asked).ok()?.lines().count() > 1).then_some(())
    });

    on_machine(&["systemctl", "stop", &unit]).ok();
    assert_eq!(units::show(&unit, "Result"), "success");
    assert!(!state.exists() && !Path::new("/sys/fs/cgroup").join(&cgroup[1..]).exists());
    let filter = format!("name={name}");
    let left = ["podman", "ps", "--all", "--quiet", "--filter", &filter];
    assert_eq!(on_machine(&left).ok(), "");
    let timers = ["systemctl", "list-units", "--all", "--legend=false", &format!("{id}*")];
    assert_eq!(on_machine(&timers).ok(), "");
    fs::remove_file(file).expect("Quadlet's file");
    on_machine(&["systemctl", "daemon-reload"]).ok();
}

/// The machine's own Debian below a tmpfs that takes its changes: systemd starts, finds nothing
/// wrong, and stops when it is told to.
fn systemd_in_a_container(ground: Ground) {
    let podman = Podman::new(ground);
    let dir = podman.ground.path("debian");
    // The unit that runs these tests is not for the container, nor are the files of tests in /tmp,
    // which Podman has copied: a whiteout hides them.
    let mounted = "set -e; mkdir -p $1; mount -t tmpfs changes $1; cd $1; mkdir upper work root
        mkdir -p upper/etc/systemd/system; ln -s /dev/null upper/etc/systemd/system/vm.service
        mknod upper/tmp c 0 0
        mount -t overlay -o lowerdir=/,upperdir=$1/upper,workdir=$1/work debian $1/root
        mkdir -m 1777 root/tmp";
    let at = dir.to_str().expect("UTF-8");
    podman.ground.run(&[], &["sh", "-c", mounted, "sh", at]).ok();
    let root = format!("{at}/root");
    let parent = podman.parent.as_deref().expect("of root");
    let run = ["run", "--detach", "--name=web", "--network=none", "--systemd=always", parent];
    podman.run(&[&run[..], &["--rootfs", &root, "/sbin/init"]].concat()).ok();
    let state = || {
        let done = podman.run(&["exec", "web", "systemctl", "is-system-running"]);
        done.stdout.trim().to_owned()
    };
    let ends = ["running", "degraded"];
    let state =
        until("systemd has started", || Some(state()).filter(|s| ends.contains(&s.as_str())));
    let failed = podman.run(&["exec", "web", "systemctl", "--failed", "--legend=false"]);
    assert_eq!((state.as_str(), failed.ok()), ("running", ""));
    let started = ["systemd-run", "--quiet", "--wait", "--property=MemoryMax=32M", "true"];
    podman.run(&[&["exec", "web"], &started[..]].concat()).ok();
    podman.run(&["stop", "--time=60", "web"]).ok();
    until("it has stopped", || {
        (podman.inspect("web", "{{.State.Status}}") == "exited").then_some(())
    });
    assert_ne!(podman.inspect("web", "{{.State.ExitCode}}"), "137");
    podman.remove_all();
    podman.ground.run(&[], &["umount", &root, at]).ok();
}
