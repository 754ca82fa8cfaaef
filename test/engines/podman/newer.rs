//! What Podman has got since Debian 12: pods from YAML, Quadlet, `update`, CDI, artifacts, volumes
//! with mapped ids, health checks that act.

use super::{Podman, on};
use crate::docker_newer::{WIRE, WIRED, wire};
use crate::ground::{IMAGE, on_each_runtime, today};
use crate::limits::Limit;
use std::fs;
use std::os::unix::fs::MetadataExt;

on_each_runtime!(
    a_container_with_systemd,
    a_container_without_cgroups,
    artifacts,
    devices_by_cdi,
    health_checks_that_act,
    limits_are_updated,
    pods_from_yaml,
    units_of_quadlet,
    volumes_of_images,
    volumes_with_mapped_ids,
);

/// Whether the engines are new enough; if not, print a skip.
fn is_newer() -> bool {
    if !today() {
        tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    today()
}

fn a_container_with_systemd(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let script = "touch /run/x /run/lock/x /tmp/x /var/log/journal/x && echo written
        for dir in /run /run/lock /tmp; do grep -c \" $dir tmpfs rw,\" /proc/mounts; done
        mkdir /sys/fs/cgroup/systemd/made && rmdir /sys/fs/cgroup/systemd/made
        (mkdir /sys/fs/cgroup/pids/made) 2>&1 || true";
    let found = podman.prints(&["--systemd=always"], script);
    let refused = "mkdir: can't create directory '/sys/fs/cgroup/pids/made': Read-only file system";
    assert_eq!(found, format!("written\n1\n1\n1\n{refused}\n"));
}

fn a_container_without_cgroups(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let words = ["run", "--rm", "--network=none", "--cgroups=disabled", IMAGE];
    let done = podman.run(&[&words[..], &["cat", "/proc/self/cgroup"]].concat());
    if podman.ground.runtime.name == "runc" {
        // runc has no option for it.
        return assert!(done.fails().contains("cgroup-manager"), "{done}");
    }
    assert!(!done.ok().contains("libpod"), "{done}");
}

/// An artifact is files without a root file system, which are mounted one by one.
fn artifacts(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let model = podman.ground.file("model.bin", "a model\n");
    let notes = podman.ground.file("notes.txt", "notes\n");
    let [model, notes] = [model, notes].map(|file| file.display().to_string());
    podman.run(&["artifact", "add", "localhost/model:1", &model, &notes]).ok();
    let mount = "--mount=type=artifact,src=localhost/model:1,dst=/m";
    let found = podman.prints(&[mount], "cat /m/*; touch /m/notes.txt 2>&1 || true");
    assert_eq!(found, "a model\nnotes\ntouch: /m/notes.txt: Read-only file system\n");
    // One alone is mounted as the destination.
    let one = format!("{mount},title=notes.txt");
    assert_eq!(podman.prints(&[&one], "cat /m"), "notes\n");
    podman.run(&["artifact", "rm", "localhost/model:1"]).ok();
}

fn devices_by_cdi(podman: &Podman) {
    if !is_newer() {
        return;
    }
    wire(&podman.ground);
    let found = podman.prints(&["--device=vendor.example/wire=a"], WIRE);
    assert_eq!(found.replace("line 0: ", ""), WIRED);
    let done = podman.once(&["--device=vendor.example/wire=b"], &["true"]);
    assert!(done.ends(126).stderr.contains("unresolvable CDI devices"), "{done}");
}

fn health_checks_that_act(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let check = ["--health-cmd=test -e /well", "--health-retries=1", "--health-interval=disable"];
    let with = |action: &'static str| [&check[..], &[action]].concat();
    let script = ["sh", "-c", "touch /well; exec sleep 600"];
    podman.detached("web", &with("--health-on-failure=kill"), &script);
    let health = ["healthcheck", "run", "web"];
    podman.run(&health).ok();
    assert_eq!(podman.inspect("web", "{{.State.Health.Status}}"), "healthy");
    podman.run(&["exec", "web", "rm", "/well"]).ok();
    podman.run(&health).fails();
    podman.exited("web", 137);
}

fn limits_are_updated(podman: &Podman) {
    if !is_newer() {
        return;
    }
    podman.detached("web", &["--memory=64m", "--pids-limit=50"], &["sleep", "600"]);
    podman.ground.has(&[Limit::Memory(64 << 20), Limit::Pids(50)]);
    let more = ["--memory=96m", "--cpus=0.5", "--pids-limit=60", "--restart=on-failure:3"];
    podman.run(&[&["update"], &more[..], &["web"]].concat()).ok();
    let limits = [Limit::Memory(96 << 20), Limit::Quota(50_000, 100_000), Limit::Pids(60)];
    podman.ground.has(&limits);
    let policy =
        "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(podman.inspect("web", policy), "on-failure 3");
    // The limits are those of the next start, too.
    podman.run(&["restart", "--time=0", "web"]).ok();
    podman.ground.has(&limits);
    let done = podman.run(&["update", "--env=COLOUR=red", "web"]);
    done.ok();
}

/// Two containers that share a volume, one with limits and a probe, and a directory of the host.
fn pods_from_yaml(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let host = podman.ground.file("volume/file", "of the host\n");
    let host = host.parent().expect("a directory").display();
    let yaml = format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  restartPolicy: Never
  hostname: podhost
  volumes:
    - {{name: shared, emptyDir: {{}}}}
    - {{name: of-host, hostPath: {{path: {host}, type: Directory}}}}
  containers:
    - name: writer
      image: {IMAGE}
      command: [sh, -c, "cp /host/file /shared/it; hostname >> /shared/it; exec sleep 600"]
      resources: {{limits: {{memory: 64Mi}}}}
      volumeMounts:
        - {{name: shared, mountPath: /shared}}
        - {{name: of-host, mountPath: /host, readOnly: true}}
    - name: reader
      image: {IMAGE}
      command: [sh, -c, "until [ -s /shared/it ]; do sleep 0.05; done; exec sleep 600"]
      securityContext: {{runAsUser: 1000, readOnlyRootFilesystem: true}}
      volumeMounts: [{{name: shared, mountPath: /shared}}]
"#
    );
    let file = podman.ground.file("pod.yaml", &yaml).display().to_string();
    podman.run(&["kube", "play", "--network=none", &file]).ok();
    let script = "until [ \"$(wc -l < /shared/it)\" = 2 ]; do sleep 0.05; done
        cat /shared/it; id -u; touch /x 2>&1 || true";
    let done = podman.run(&["exec", "web-reader", "sh", "-c", script]);
    let wanted = "of the host\npodhost\n1000\ntouch: /x: Read-only file system\n";
    assert_eq!(done.ok(), wanted);
    assert_eq!(podman.inspect("web-writer", "{{.HostConfig.Memory}}"), "67108864");
    let again = podman.run(&["kube", "generate", "web"]);
    assert!(again.ok().contains("mountPath: /shared"), "{again}");
    let id = podman.run(&["pod", "inspect", "--format={{.Id}}", "web"]);
    podman.run(&["kube", "down", &file]).ok();
    // With cgroup v1 and v2 together, Podman does not remove the pod's cgroup.
    let parent = "/sys/fs/cgroup/*/libpod_parent";
    let remove = format!("rmdir {parent}/{} {parent} 2> /dev/null || true", id.ok().trim());
    podman.ground.run(&[], &["sh", "-c", &remove]).ok();
    assert_eq!(podman.run(&["ps", "--all", "--quiet"]).ok(), "");
}

/// The command of a unit that Quadlet makes, run without systemd.
fn units_of_quadlet(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let unit = format!(
        "[Container]\nImage={IMAGE}\nContainerName=web\nExec=sleep 600\nNetwork=none\n\
         CgroupsMode=enabled\nReadOnly=true\nTmpfs=/t\nUser=1000\nDropCapability=all\n\
         PodmanArgs={}\n",
        podman.parent.as_deref().expect("of root")
    );
    let dir = podman.ground.file("quadlet/web.container", &unit);
    let dir = dir.parent().expect("a directory").to_owned();
    let quadlet = ["/usr/libexec/podman/quadlet", "--dryrun"];
    let done = podman.ground.run(&[("QUADLET_UNIT_DIRS", &dir)], &quadlet);
    let service = done.ok().to_owned() + &done.stderr;
    let start = service.lines().find_map(|line| line.strip_prefix("ExecStart="));
    let words: Vec<&str> = start.expect("a command").split(' ').collect();
    assert_eq!(words[0], "/usr/bin/podman");
    podman.run(&words[1..]).ok();
    let script = "id -u; touch /t/x; touch /x 2>&1; grep CapBnd /proc/self/status";
    let done = podman.run(&["exec", "web", "sh", "-c", script]);
    let wanted = "1000\ntouch: /x: Read-only file system\nCapBnd:\t0000000000000000\n";
    assert_eq!(done.ok(), wanted);
    let stop = service.lines().find_map(|line| line.strip_prefix("ExecStopPost=-"));
    let words: Vec<&str> = stop.expect("a command").split(' ').collect();
    podman.run(&words[1..]).ok();
    assert_eq!(podman.run(&["ps", "--all", "--quiet"]).ok(), "");
}

fn volumes_of_images(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let mount = format!("--mount=type=image,src={IMAGE},dst=/i");
    let script = "cat /i/etc/group | head -n 1; touch /i/x 2>&1 || true";
    let found = podman.prints(&[&mount], script);
    assert_eq!(found, "root:x:0:\ntouch: /i/x: Read-only file system\n");
    let mount = format!("{mount},subpath=/etc,rw=true");
    assert_eq!(podman.prints(&[&mount], "touch /i/x; head -n 1 /i/group"), "root:x:0:\n");
    // A glob of the host's files, and a device's file system.
    let one = podman.ground.file("many/one.conf", "1\n");
    podman.ground.file("many/two.conf", "2\n");
    let glob = one.with_file_name("*.conf");
    let mount = format!("--mount=type=glob,src={},dst=/g,ro", glob.display());
    assert_eq!(podman.prints(&[&mount], "cat /g/one.conf /g/two.conf"), "1\n2\n");
    let options = ["--mount=type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1700,notmpcopyup"];
    let found = podman.prints(&options, "stat -c %a /t; df -k /t | awk 'END {print $2}'");
    assert_eq!(found, "1700\n1024\n");
    podman.prints(&["--mount=type=devpts,dst=/pts,gid=5"], "test -c /pts/ptmx");
    podman.prints(&["--mount=type=ramfs,dst=/r"], "grep ' /r ramfs rw' /proc/mounts");
}

fn volumes_with_mapped_ids(podman: &Podman) {
    if !is_newer() {
        return;
    }
    let file = podman.ground.file("volume/file", "of the host\n");
    let host = file.parent().expect("a directory").display().to_string();
    let map = "--uidmap=0:100000:70000";
    let volume = format!("--volume={host}:/v:idmap");
    let script = "stat -c %u:%g /v/file; touch /v/mine; stat -c %u /v/mine";
    let found = podman.prints(&[map, "--gidmap=0:100000:70000", &volume], script);
    assert_eq!(found, "0:0\n0\n");
    let mine = file.with_file_name("mine");
    assert_eq!(mine.metadata().expect("made inside").uid(), 0);
    // Without it the host's root is nobody.
    let plain = format!("--volume={host}:/v:ro");
    let found = podman.prints(&[map, &plain], "stat -c %u /v/file");
    assert_eq!(found, "65534\n");
    // A mapping of its own: the container's root is the host's 4242.
    let volume = format!("--volume={host}:/v:idmap=uids=0-4242-1;gids=0-4242-1");
    std::os::unix::fs::chown(&file, Some(0), Some(0)).expect("chown");
    let found = podman.prints(&[&volume], "stat -c %u:%g /v/file");
    assert_eq!(found, "4242:4242\n");
    // The short forms of --uidmap: ids of the user's own, and additions to the default.
    let found =
        podman.prints(&["--uidmap=0:200000:10", "--uidmap=10:300000:5"], "cat /proc/self/uid_map");
    let words: Vec<&str> = found.split_whitespace().collect();
    assert_eq!(words, ["0", "200000", "10", "10", "300000", "5"]);
    assert!(fs::metadata(&file).is_ok());
}
