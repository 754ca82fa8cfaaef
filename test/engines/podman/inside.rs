//! What a container sees: each option of `podman run` that sets a field of config.json.

use super::{Podman, on};
use crate::ground::{TENANT_IDS, on_each_runtime, today};
use crate::limits::Limit;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use tiny_ce_test::Need;

on_each_runtime!(
    limits,
    out_of_memory,
    volumes,
    file_systems,
    capabilities_and_seccomp,
    privileged,
    devices,
    a_user_and_an_environment,
    limits_and_parameters_of_the_kernel,
    namespaces_of_the_host,
    a_user_namespace,
    an_init,
);

fn limits(podman: &Podman) {
    let options = ["--memory=64m", "--cpus=0.5", "--cpu-shares=512", "--pids-limit=50"];
    let options = [&options[..], &["--cpuset-cpus=0"]].concat();
    podman.detached("small", &options, &["sleep", "600"]);
    podman.ground.has(&[
        Limit::Memory(64 << 20),
        Limit::Quota(50_000, 100_000),
        Limit::Shares(512),
        Limit::Pids(50),
        Limit::Cpus("0"),
    ]);
    let stats = ["stats", "--no-stream", "--format={{.MemUsage}} {{.PIDs}}", "small"];
    let done = podman.run(&stats);
    assert!(done.ok().contains("/ 67.11MB 1"), "{done}");
}

fn out_of_memory(podman: &Podman) {
    let options = ["--memory=16m", "--memory-swap=16m", "--name=hog"];
    podman.run(&podman.container(&options, &["tail", "/dev/zero"])).ends(137);
    podman.exited("hog", 137);
}

fn volumes(podman: &Podman) {
    let file = podman.ground.file("volume/file", "of the host\n");
    let host = file.with_file_name("");
    let volume = |options: &str| format!("--volume={}:/v:{options}", host.display());
    let found = podman.prints(&[&volume("ro")], "cat /v/file; touch /v/x 2>&1 || true");
    assert_eq!(found, "of the host\ntouch: /v/x: Read-only file system\n");
    // Without SELinux z changes nothing.
    for options in ["rw", "z", "Z", "rslave", "nosuid,nodev,noexec"] {
        podman.prints(&[&volume(options)], "touch /v/x && rm /v/x");
    }
    let flags = "grep ' /v ' /proc/self/mounts | cut -d ' ' -f 4";
    let found = podman.prints(&[&volume("nosuid,nodev,noexec")], flags);
    assert!(found.contains("nosuid,nodev,noexec"), "{found}");
    // A named volume of Podman starts with the image's files, and keeps what is written.
    podman.prints(&["--volume=kept:/etc"], "echo kept > /etc/kept");
    assert_eq!(
        podman.prints(&["--volume=kept:/e"], "cat /e/kept; ls /e/passwd"),
        "kept\n/e/passwd\n"
    );
    podman.run(&["volume", "rm", "kept"]).ok();
    let mount = format!("--mount=type=bind,src={},dst=/f,ro", file.display());
    assert_eq!(podman.prints(&[&mount], "cat /f"), "of the host\n");
    podman.prints(&[&volume("O")], "rm /v/file");
    assert!(file.exists(), "an overlay's changes vanish");
}

fn file_systems(podman: &Podman) {
    let script = "touch /x 2>&1 || true; touch /tmp/x /run/x /dev/shm/x && echo written";
    let found = podman.prints(&["--read-only"], script);
    assert_eq!(found, "touch: /x: Read-only file system\nwritten\n");
    let options = ["--tmpfs=/t:size=2m,mode=1700", "--shm-size=1m"];
    let script = "df -k /t /dev/shm | awk 'NR > 1 {print $2}'; stat -c %a /t";
    assert_eq!(podman.prints(&options, script), "2048\n1024\n1700\n");
    let options = ["--security-opt=mask=/etc/passwd", "--security-opt=proc-opts=hidepid=2"];
    let found = podman.prints(&options, "cat /etc/passwd; grep -o hidepid=[a-z0-9]* /proc/mounts");
    assert!(found.starts_with("hidepid="), "{found}");
    let found = podman.prints(&[], "(echo x > /proc/sys/kernel/hostname) 2>&1 || true");
    assert!(found.ends_with("Read-only file system\n"), "{found}");
    let found = podman.prints(&["--systemd=always"], "grep -c ' /sys/fs/cgroup' /proc/mounts");
    assert_ne!(found, "0\n");
}

fn capabilities_and_seccomp(podman: &Podman) {
    let status = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -d '\\t\\n'";
    let all = |bits: &str| {
        let none = "0000000000000000";
        format!("CapInh:{none}CapPrm:{bits}CapEff:{bits}CapBnd:{bits}CapAmb:{none}")
    };
    let found = podman.prints(&[], status);
    // Podman 5 gives a container no CAP_MKNOD, CAP_NET_RAW and CAP_AUDIT_WRITE.
    let usual = if today() { "00000000800405fb" } else { "00000000a80425fb" };
    assert_eq!(found, all(usual) + "NoNewPrivs:0Seccomp:2");
    let options = ["--cap-drop=all", "--cap-add=net_bind_service"];
    let options = [&options[..], &["--security-opt=no-new-privileges"]].concat();
    assert_eq!(podman.prints(&options, status), all("0000000000000400") + "NoNewPrivs:1Seccomp:2");
    let found = podman.prints(&["--security-opt=seccomp=unconfined", "--cap-drop=all"], status);
    assert_eq!(found, all("0000000000000000") + "NoNewPrivs:0Seccomp:0");
    // A profile of the user.
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    let profile = podman.ground.file("profile.json", profile);
    let option = format!("--security-opt=seccomp={}", profile.display());
    let done = podman.once(&[&option], &["mkdir", "/d"]);
    assert!(done.fails().contains("No space left on device"), "{done}");
}

fn privileged(podman: &Podman) {
    let script = "mount -t tmpfs x /tmp && mknod /tmp/null c 1 3 && echo x > /tmp/null
        grep -E '^Seccomp:' /proc/self/status; grep ' /proc/sys' /proc/mounts | wc -l
        grep -E ' /sys (sysfs|.*) ' /proc/mounts | cut -d ' ' -f 4 | cut -c 1-2";
    assert_eq!(podman.prints(&["--privileged"], script), "Seccomp:\t0\n0\nrw\n");
}

fn devices(podman: &Podman) {
    if !tiny_ce_test::met(&[Need::File("/dev/fuse")]) {
        return;
    }
    // Only reading is allowed, and only of that device.
    let script = "stat -c %t:%T /dev/wire; (true < /dev/wire) 2>&1 && echo read
        (true > /dev/wire) 2>&1 || true";
    let found = podman.prints(&["--device=/dev/fuse:/dev/wire:r"], script);
    let expected = "a:e5\nread\nsh: can't create /dev/wire: Operation not permitted\n";
    // A newer shell tells the line, too.
    assert_eq!(found.replace("line 1: ", ""), expected);
    let script = "mknod /tmp/d c 10 229; (true < /tmp/d) 2>&1 && echo read || true";
    let found = podman.prints(&["--cap-add=mknod"], script).replace("line 0: ", "");
    assert_eq!(found, "sh: can't open /tmp/d: Operation not permitted\n");
    let options = ["--cap-add=mknod", "--device-cgroup-rule=c 10:229 rw"];
    assert_eq!(podman.prints(&options, script), "read\n");
}

fn a_user_and_an_environment(podman: &Podman) {
    let options = ["--user=1000:1000", "--group-add=4242", "--workdir=/tmp", "--hostname=web"];
    let options = [&options[..], &["--env=COLOUR=red", "--umask=0077"]].concat();
    let script = "id -u; id -g; id -G; pwd; hostname; echo $COLOUR $HOME; umask";
    let found = podman.prints(&options, script);
    assert_eq!(found, "1000\n1000\n1000 4242\n/tmp\nweb\nred /home\n0077\n");
    assert_eq!(podman.prints(&["--user=user"], "id -un"), "user\n");
    let found = podman.prints(&["--add-host=db:192.0.2.1"], "cat /etc/hosts");
    assert!(found.contains("192.0.2.1\tdb"), "{found}");
    let env = podman.prints(&["--env-host=false", "--unsetenv=TERM"], "env | sort");
    let names: Vec<&str> = env.lines().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names, ["HOME", "HOSTNAME", "PATH", "PWD", "SHLVL", "container"]);
}

fn limits_and_parameters_of_the_kernel(podman: &Podman) {
    let options = ["--ulimit=nofile=100:200", "--ulimit=nproc=99:99", "--ulimit=core=0"];
    let script = "grep -E '^Max (open|processes|core)' /proc/self/limits | tr -s ' '";
    let found = podman.prints(&options, script);
    let expected = ["Max core file size 0 0", "Max processes 99 99", "Max open files 100 200"];
    assert!(expected.iter().all(|limit| found.contains(limit)), "{found}");
    let options = ["--sysctl=kernel.msgmax=4444", "--sysctl=net.ipv4.ip_forward=1"];
    let script = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward";
    assert_eq!(podman.prints(&options, script), "4444\n1\n");
    let found = podman.prints(&["--oom-score-adj=500"], "cat /proc/self/oom_score_adj");
    assert_eq!(found, "500\n");
}

fn namespaces_of_the_host(podman: &Podman) {
    let own = |name: &str| podman.ground.run(&[], &["readlink", &format!("/proc/self/ns/{name}")]);
    let script = "for name in ipc pid uts net; do readlink /proc/self/ns/$name; done";
    let hosts: Vec<String> =
        ["ipc", "pid", "uts", "net"].map(|name| own(name).ok().to_owned()).into();
    let options = ["--ipc=host", "--pid=host", "--uts=host"];
    let found = podman.prints(&options, script);
    let lines: Vec<String> = found.lines().map(|line| format!("{line}\n")).collect();
    assert_eq!(lines[..3], hosts[..3]);
    assert_ne!(lines[3], hosts[3]);
    let found = podman.prints(&[], script);
    assert!(hosts.iter().all(|host| !found.contains(host.trim())), "{found}");
    let found = podman.prints(&["--cgroupns=private"], "cut -d : -f 3 /proc/self/cgroup | sort -u");
    assert_eq!(found, "/\n");
    let found = podman.prints(&["--cgroupns=host"], "cat /proc/self/cgroup");
    assert!(found.contains(podman.ground.tag()), "{found}");
}

fn a_user_namespace(podman: &Podman) {
    let file = podman.ground.file("volume/file", "of the host\n");
    // Only root can enter this directory, so root must open the source.
    let closed = fs::Permissions::from_mode(0o700);
    let host = file.with_file_name("");
    fs::set_permissions(&host, closed).expect("chmod");
    let volume = format!("--volume={}:/v:ro", file.display());
    let map = ["--uidmap=0:100000:1000", &volume, "--memory=64m", "--device=/dev/full"];
    let map = [&map[..], &["--sysctl=kernel.msgmax=4444", "--tmpfs=/t", "--read-only"]].concat();
    let script = "awk '{print $1, $2, $3}' /proc/self/uid_map; id -u; cat /v
        cat /proc/sys/kernel/msgmax; echo > /dev/null; echo > /t/x; stat -c %u /t/x /dev/full";
    let found = podman.prints(&map, script);
    assert_eq!(found, "0 100000 1000\n0\nof the host\n4444\n0\n65534\n");
    let found = podman.prints(&["--userns=auto:size=1024"], "cat /proc/self/uid_map");
    let words: Vec<&str> = found.split_whitespace().collect();
    assert_eq!(words, ["0", &(TENANT_IDS + 65536).to_string(), "1024"]);
    // The option U gives the files to the container's root.
    let volume = format!("--volume={}:/v:U", host.display());
    podman.prints(&["--uidmap=0:100000:1000", &volume], "echo inside > /v/file");
    assert_eq!(file.metadata().expect("a file").uid(), 100_000);
    podman.detached("web", &["--uidmap=0:100000:1000"], &["sleep", "600"]);
    let exec =
        podman.run(&["exec", "--user=5:6", "web", "sh", "-c", "id -u; cat /proc/self/uid_map"]);
    let words: Vec<&str> = exec.ok().split_whitespace().collect();
    assert_eq!(words, ["5", "0", "100000", "1000"]);
    let done = podman.terminal(&["exec", "-it", "web", "tty"]);
    assert!(done.ok().starts_with("/dev/pts/"), "{done}");
}

/// Podman's --init runs catatonit as PID 1.
fn an_init(podman: &Podman) {
    if !tiny_ce_test::met(&[Need::Program("catatonit")]) {
        return;
    }
    let script = "cat /proc/1/comm; (sleep 0.01 &); sleep 0.2; ps -o stat | grep -c Z";
    let done = podman.once(&["--init"], &["sh", "-c", script]);
    assert_eq!(done.ends(1).stdout, "podman-init\n0\n");
    podman.once(&["--init"], &["sh", "-c", "exit 6"]).ends(6);
}
