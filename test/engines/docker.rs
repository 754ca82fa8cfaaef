//! Docker: a daemon whose default runtime is the one under test, and its users' commands.
//!
//! Knows the daemon's command line and what `docker` prints; never how the runtime is called.

use crate::ground::{Ground, IMAGE, on_each_runtime, today, until};
use crate::limits::Limit;
use crate::units::{self, systemd};
use tiny_ce_test::{Done, Need, Running, cgroup_v2};

on_each_runtime!(
    exit_statuses_and_texts,
    standard_streams_and_terminals,
    exec_into_a_container,
    limits_can_be_read_back_and_changed,
    what_a_container_is_made_of,
    pause_stop_kill_and_restart,
    builds,
    a_scope_by_dockers_name,
);

/// Debian's client, which fits its daemon; PATH may have another one first.
const CLIENT: &str = "/usr/bin/docker";

/// A daemon on a ground, which keeps all its files in the ground's directory.
pub struct Docker {
    pub ground: Ground,
    daemon: Option<Running>,
    /// The daemon's command line.
    words: Vec<String>,
    socket: String,
}

/// Run `test` with the runtime, and then remove the daemon's containers.
pub fn on(runtime: &'static str, test: fn(&Docker)) {
    let Some(ground) = ground(runtime) else { return };
    let docker = Docker::new(ground, &[]);
    test(&docker);
    docker.end();
}

/// The ground for a daemon; if something is missing, print a skip and return `None`.
pub fn ground(runtime: &'static str) -> Option<Ground> {
    let needs = ["dockerd", "containerd", "docker-init", "docker-proxy", "iptables", "nft"];
    let needs: Vec<Need> = needs.into_iter().map(Need::Program).collect();
    Ground::new(runtime, &[&needs[..], &[Need::File(CLIENT)]].concat())
}

impl Docker {
    /// Start the daemon, with `more` words on its command line, and load the image.
    pub fn new(ground: Ground, more: &[&str]) -> Docker {
        let path = |name: &str| ground.path(name).to_str().expect("UTF-8").to_owned();
        let socket = format!("unix://{}", path("docker.sock"));
        let runtime = format!("{}={}", ground.runtime.name, ground.runtime.path.display());
        let config = ground.file("docker/daemon.json", "{}");
        let parent = format!("--cgroup-parent={}", ground.parent());
        let (data, exec, pid) = (path("docker/data"), path("docker/exec"), path("docker/pid"));
        let mut words = vec!["dockerd", "--host", &socket, "--data-root", &data];
        words.extend(["--exec-root", &exec, "--pidfile", &pid, &parent]);
        words.extend(["--config-file", config.to_str().expect("UTF-8")]);
        words.extend(["--default-runtime", ground.runtime.name]);
        if ground.runtime.name != "runc" {
            // The daemon reserves the name runc.
            words.extend(["--add-runtime", &runtime]);
        }
        words.extend(more);
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        // The daemon keeps its own network namespace by a mount, and makes its data directory a
        // mount.
        let leaves = ["/run/docker/netns/", "/docker/data", "/docker/exec"].map(str::to_owned);
        ground.leaves.borrow_mut().extend(leaves);
        let mut docker = Docker { daemon: None, words, socket, ground };
        docker.begin();
        let image = docker.ground.image();
        docker.ok(&["load", "--quiet", "--input", image.to_str().expect("UTF-8")]);
        docker
    }

    /// Start the daemon, and wait until it answers.
    pub fn begin(&mut self) {
        let path = self.ground.programs();
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        self.daemon = Some(self.ground.beside(&[("PATH", &path)], &words));
        // A daemon that was killed leaves its socket.
        until("dockerd answers", || {
            let listens = self.ground.path("docker.sock").exists();
            (listens && self.run(&["version"]).code() == 0).then_some(())
        });
    }

    /// Stop the daemon; its containers are its own matter.
    pub fn halt(&mut self) {
        self.signal("TERM").ok();
    }

    /// Send the daemon a signal that ends it.
    #[track_caller]
    pub fn signal(&mut self, signal: &str) -> Done {
        // The pid in the daemon's file is one of the ground's pid namespace.
        let kill = format!("kill -{signal} $(cat {})", self.ground.path("docker/pid").display());
        self.ground.run(&[], &["sh", "-c", &kill]).ok();
        self.daemon.take().expect("the daemon").exited()
    }

    /// End all that a power cut ends; the daemon's data stays.
    #[track_caller]
    pub fn loses_power(&mut self) {
        self.ground.loses_power();
        drop(self.daemon.take());
        std::fs::remove_dir_all(self.ground.path("docker/exec")).expect("a directory");
        for file in ["docker/pid", "docker.sock"] {
            std::fs::remove_file(self.ground.path(file)).expect("a file");
        }
    }

    /// Remove the daemon's containers, and stop it.
    pub fn end(mut self) {
        let all = self.ok(&["ps", "--all", "--quiet"]);
        let all: Vec<&str> = all.split_whitespace().collect();
        if !all.is_empty() {
            self.ok(&[&["rm", "--force", "--volumes"], &all[..]].concat());
        }
        self.halt();
    }

    /// `docker WORDS…`, to its end.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Done {
        self.run_with("0", words)
    }

    /// As `run`; `"1"` makes BuildKit build images, `"0"` the classic builder.
    #[track_caller]
    pub fn run_with(&self, buildkit: &str, words: &[&str]) -> Done {
        let home = self.ground.path("docker");
        let env = [("HOME", home.as_path()), ("DOCKER_BUILDKIT", buildkit.as_ref())];
        self.ground.run(&env, &[&[CLIENT, "--host", &self.socket], words].concat())
    }

    /// The output of `docker WORDS…`, which must succeed.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok().trim_end().to_owned()
    }

    /// `docker WORDS…` on a terminal.
    #[track_caller]
    fn terminal(&self, words: &[&str]) -> Done {
        self.ground.terminal(&[], &[&[CLIENT, "--host", &self.socket], words].concat())
    }

    /// `docker run --rm OPTIONS… IMAGE sh -c SCRIPT`, without a network.
    #[track_caller]
    pub fn sh(&self, options: &[&str], script: &str) -> Done {
        let run = ["run", "--rm", "--network=none"];
        self.run(&[&run[..], options, &[IMAGE, "sh", "-c", script]].concat())
    }

    /// Start a container with this name that runs the script.
    #[track_caller]
    pub fn start(&self, name: &str, options: &[&str], script: &str) {
        let run = ["run", "--detach", "--name", name];
        self.ok(&[&run[..], options, &[IMAGE, "sh", "-c", script]].concat());
    }

    /// Print a template of a container's (or service's) description.
    #[track_caller]
    pub fn inspect(&self, name: &str, template: &str) -> String {
        self.ok(&["inspect", "--format", template, name])
    }

    /// Wait until the container's `template` prints `wanted`.
    #[track_caller]
    pub fn becomes(&self, name: &str, template: &str, wanted: &str) {
        until(&format!("{name}: {template} is {wanted}"), || {
            (self.inspect(name, template) == wanted).then_some(())
        });
    }
}

fn exit_statuses_and_texts(docker: &Docker) {
    docker.sh(&[], "exit 5").ends(5);
    docker.sh(&[], "kill -KILL $$; (kill -TERM $$); exit 6").ends(6);
    let program = |path| docker.run(&["run", "--rm", "--network=none", IMAGE, path]);
    for (path, code, text) in [
        ("nosuch", 127, "exec: \"nosuch\": executable file not found in $PATH"),
        ("/no/such", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "permission denied"),
    ] {
        if path == "/etc" && docker.ground.runtime.name == "runc" && !today() {
            // runc 1.3 says "is a directory", which this dockerd does not translate to 126.
            program(path).ends(125);
            continue;
        }
        let done = program(path);
        assert!(done.ends(code).stderr.contains(text), "{done}");
        assert!(done.stderr.contains("OCI runtime create failed: "), "{done}");
    }
    // A directory bound on a file: dockerd recognizes the text.
    let etc = docker.ground.path("docker").join(":/etc/passwd").display().to_string();
    let etc = etc.replace("/:", ":");
    let done = docker.sh(&["--volume", &etc], "true");
    assert!(done.ends(125).stderr.contains("Are you trying to mount a directory onto"), "{done}");
    // None of these runs has left a container.
    assert_eq!(docker.ok(&["ps", "--all", "--quiet"]), "");
    let info = docker.ok(&["info", "--format", "{{.DefaultRuntime}} {{json .Runtimes}}"]);
    let (name, path) = (docker.ground.runtime.name, &docker.ground.runtime.path);
    assert!(info.starts_with(&format!("{name} ")), "{info}");
    assert!(name == "runc" || info.contains(path.to_str().expect("UTF-8")), "{info}");
}

fn standard_streams_and_terminals(docker: &Docker) {
    let done = docker.sh(&[], "echo out; echo err >&2");
    assert_eq!((done.ok(), done.stderr.as_str()), ("out\n", "err\n"));
    docker.start("logged", &["--network=none"], "echo out; echo err >&2; exit 4");
    assert_eq!(docker.ok(&["wait", "logged"]), "4");
    let done = docker.run(&["logs", "logged"]);
    assert_eq!((done.ok(), done.stderr.as_str()), ("out\n", "err\n"));

    let run = ["run", "--rm", "--network=none", "--interactive"];
    let line =
        format!("echo typed | {CLIENT} --host {} {} {IMAGE} cat", docker.socket, run.join(" "));
    assert_eq!(docker.ground.run(&[], &["sh", "-c", &line]).ok(), "typed\n");

    // The container learns the terminal's size shortly after its start.
    let script = "tty; while [ \"$(stty size)\" != \"24 80\" ]; do sleep 0.1; done; exit 7";
    let done = docker.terminal(&[&run[..], &["--tty", IMAGE, "sh", "-c", script]].concat());
    assert!(done.ends(7).stdout.contains("/dev/pts/0"), "{done}");
}

fn exec_into_a_container(docker: &Docker) {
    docker.start(
        "one",
        &["--env=A=a", "--cap-drop=CHOWN"],
        "trap exit TERM; while :; do sleep 1; done",
    );
    let exec = |options: &[&str], script: &str| {
        docker.run(&[&["exec"], options, &["one", "sh", "-c", script]].concat())
    };
    let done =
        exec(&["--env=B=b", "--user=user", "--workdir=/tmp"], "echo $A $B; id -un; pwd; exit 9");
    assert_eq!(done.ends(9).stdout, "a b\nuser\n/tmp\n");
    let own = exec(&[], "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status");
    let first = exec(&[], "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/1/status");
    assert_eq!(own.ok(), first.ok());
    assert!(own.stdout.contains("Seccomp:\t2"), "{own}");
    for (path, text) in [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/etc/passwd", "permission denied"),
    ] {
        let done = docker.run(&["exec", "one", path]);
        // The daemon writes the text to the program's stream; Debian 12's has one status for all
        // failures.
        let code = if today() && path == "nosuch" { 127 } else { 126 };
        assert!(done.ends(code).stdout.contains(text), "{done}");
        assert!(done.stdout.contains("OCI runtime exec failed: "), "{done}");
    }
    let done = docker.run(&["exec", "--workdir=/no/such", "one", "true"]);
    let code = if today() { 127 } else { 126 };
    assert!(done.ends(code).stdout.to_lowercase().contains("no such file or directory"), "{done}");

    let done =
        docker.terminal(&["exec", "--interactive", "--tty", "one", "sh", "-c", "tty; exit 8"]);
    assert!(done.ends(8).stdout.contains("/dev/pts/"), "{done}");
    exec(&["--detach"], "exec sleep 1234").ok();
    until("the program of exec is there", || {
        docker.ok(&["top", "one", "-o", "pid,args"]).contains("sleep 1234").then_some(())
    });
    docker.ok(&["stop", "--time=20", "one"]);
    assert_eq!(docker.inspect("one", "{{.State.ExitCode}}"), "0");
    let done = docker.run(&["exec", "one", "true"]);
    assert!(done.fails().contains("is not running"), "{done}");
}

fn limits_can_be_read_back_and_changed(docker: &Docker) {
    let options = ["--memory=64m", "--memory-swap=96m", "--cpus=0.5", "--pids-limit=50"];
    let more = ["--cpu-shares=512", "--cpuset-cpus=0", "--memory-reservation=32m"];
    docker.start("one", &[&options[..], &more].concat(), "exec sleep 1000");
    let state = docker.ground.path("docker/exec/runtime-runc/moby");
    docker.ground.made(&state.join(docker.inspect("one", "{{.Id}}")));
    let host = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    assert_eq!(docker.inspect("one", host), "67108864 500000000 50");
    docker.ground.has(&[
        Limit::Memory(64 << 20),
        Limit::Swap(64 << 20, 96 << 20),
        Limit::Reservation(32 << 20),
        Limit::Quota(50_000, 100_000),
        Limit::Shares(512),
        Limit::Cpus("0"),
        Limit::Pids(50),
    ]);
    // Each limit changes alone: the others stay.
    docker.ok(&[
        "update",
        "--memory=128m",
        "--memory-swap=128m",
        "--cpus=1",
        "--pids-limit=77",
        "one",
    ]);
    docker.ok(&["update", "--cpu-shares=256", "one"]);
    // With cgroup v2 this runc leaves the swap limit as it was.
    if docker.ground.runtime.name != "runc" || !cgroup_v2() {
        docker.ground.has(&[Limit::Swap(128 << 20, 128 << 20)]);
    }
    docker.ground.has(&[
        Limit::Memory(128 << 20),
        Limit::Reservation(32 << 20),
        Limit::Quota(100_000, 100_000),
        Limit::Shares(256),
        Limit::Cpus("0"),
        Limit::Pids(77),
    ]);
    // A limit that the kernel refuses changes nothing; cgroup v2 would kill instead of refusing.
    if !cgroup_v2() {
        docker.ok(&["exec", "one", "sh", "-c", "head -c 40000000 /dev/zero > /dev/shm/held"]);
        let less = ["update", "--memory=8m", "--memory-swap=8m", "--pids-limit=66", "one"];
        let done = docker.run(&less);
        assert!(done.fails().to_lowercase().contains("memory"), "{done}");
    }
    docker.ground.has(&[Limit::Memory(128 << 20), Limit::Pids(77)]);
    assert_eq!(docker.inspect("one", host), "134217728 1000000000 77");

    let stats = docker.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "one"]);
    assert!(stats.ends_with(" / 128MiB 1"), "{stats}");
    assert_eq!(docker.ok(&["top", "one", "-o", "pid,comm"]).lines().count(), 2);
    oom_killed(docker);
}

fn what_a_container_is_made_of(docker: &Docker) {
    let volume = docker.ground.file("volume/file", "hello\n");
    let volume = format!("{}:/mnt", volume.parent().expect("a directory").display());
    let read_only = format!("{volume}:ro");
    let files = ["--read-only", "--tmpfs=/tmp:size=1m", "--volume", &read_only, "--shm-size=8m"];
    let script = "touch /x 2>&1; touch /mnt/x 2>&1; cat /mnt/file; stat -c %a /tmp
        for dir in /tmp /dev/shm; do df -k $dir | awk 'END { print $2 }'; done";
    let wanted = "touch: /x: Read-only file system\ntouch: /mnt/x: Read-only file system\n\
        hello\n1777\n1024\n8192\n";
    assert_eq!(docker.sh(&files, script).ok(), wanted);
    docker.sh(&["--volume", &volume], "echo written > /mnt/new").ok();
    let new = std::fs::read_to_string(docker.ground.path("volume/new")).expect("the volume's");
    assert_eq!(new, "written\n");

    let status = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status";
    let status = |options: &[&str]| {
        docker
            .sh(options, status)
            .ok()
            .replace('\t', "")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let (none, net) = ("0000000000000000", "0000000000001000");
    let few = ["--cap-drop=ALL", "--cap-add=NET_ADMIN"];
    let wanted =
        format!("CapInh:{none} CapPrm:{net} CapEff:{net} CapBnd:{net} NoNewPrivs:0 Seccomp:2");
    assert_eq!(status(&few), wanted);
    let user =
        ["--user=user", "--security-opt=no-new-privileges", "--security-opt=seccomp=unconfined"];
    let wanted =
        format!("CapInh:{none} CapPrm:{none} CapEff:{none} CapBnd:{net} NoNewPrivs:1 Seccomp:0");
    assert_eq!(status(&[&few[..], &user].concat()), wanted);
    let ids = ["--user=1000", "--group-add=44", "--hostname=web", "--ulimit=nofile=77:88"];
    let script = "id -u; id -G; hostname; ulimit -Sn; ulimit -Hn";
    assert_eq!(docker.sh(&ids, script).ok(), "1000\n1000 44\nweb\n77\n88\n");

    let device =
        ["--device=/dev/full:/dev/other", "--sysctl=net.ipv4.ip_unprivileged_port_start=80"];
    let script = "stat -c '%t %T' /dev/other; echo x 2>&1 > /dev/other
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let wanted = "1 7\nsh: write error: No space left on device\n80\n";
    assert_eq!(docker.sh(&device, script).ok(), wanted);
    // A device that was not given cannot be opened, even if a node for it can be made.
    let done = docker.sh(&[], "mknod /mem c 1 1 && echo x > /mem");
    assert!(done.fails().contains("can't create /mem: Operation not permitted"), "{done}");

    let done = docker.sh(&["--init"], "cat /proc/1/comm; echo $$");
    assert!(done.ok().starts_with("docker-init\n") && !done.stdout.ends_with("\n1\n"), "{done}");
    namespaces(docker);
    privileged(docker);
}

/// Under systemd, Docker lets systemd make the cgroups, and a container's unit has Docker's name.
fn a_scope_by_dockers_name(docker: &Docker) {
    let driver = docker.ok(&["info", "--format", "{{.CgroupDriver}}"]);
    if !systemd() {
        assert_eq!(driver, "cgroupfs");
        return tiny_ce_test::skip("needs systemd");
    }
    assert_eq!(driver, "systemd");
    // In the slice that Docker itself chooses.
    docker.start("one", &["--cgroup-parent=system.slice"], "exec sleep 1000");
    let scope = format!("docker-{}.scope", docker.inspect("one", "{{.Id}}"));
    let pid = docker.inspect("one", "{{.State.Pid}}");
    assert_eq!(units::cgroup_of(&pid), format!("/system.slice/{scope}"));
    docker.ok(&["exec", "one", "true"]);
    docker.ok(&["pause", "one"]);
    assert_eq!(units::show(&scope, "FreezerState"), "running");
    assert_eq!(units::show(&scope, "ActiveState"), "active");
    docker.ok(&["unpause", "one"]);
    docker.ok(&["rm", "--force", "one"]);
    assert_eq!(units::show(&scope, "LoadState"), "not-found");
}

/// `--pid`, `--ipc`, `--uts`, `--network` and `--cgroupns` of other containers and of the host.
fn namespaces(docker: &Docker) {
    docker.start("other", &["--ipc=shareable", "--network=none"], "exec sleep 1000");
    let script = "for kind in pid ipc net uts; do readlink /proc/self/ns/$kind; done";
    let of_other = docker.ok(&["exec", "other", "sh", "-c", script]);
    let joined = ["--pid=container:other", "--ipc=container:other", "--network=container:other"];
    let run = [&["run", "--rm"], &joined[..], &[IMAGE, "sh", "-c", script]].concat();
    let of_joined = docker.ok(&run);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (other, joined) = (lines(&of_other), lines(&of_joined));
    assert_eq!(joined[..3], other[..3]);
    assert_ne!(joined[3], other[3]);
    let done = docker.sh(&["--pid=host", "--uts=host"], "cat /proc/1/comm; hostname");
    let host = docker.ground.run(&[], &["sh", "-c", "cat /proc/1/comm; hostname"]);
    assert_eq!(done.ok(), host.ok());
    let script = "grep -c -v ':/$' /proc/self/cgroup";
    assert_eq!(docker.sh(&["--cgroupns=private"], script).ends(1).stdout, "0\n");
    assert_ne!(docker.sh(&["--cgroupns=host"], script).ok(), "0\n");
}

/// All capabilities of the machine; if it lacks some, no runtime can give all.
fn privileged(docker: &Docker) {
    let done = docker.sh(&["--privileged"], "grep CapEff /proc/self/status; mount -t tmpfs t /tmp");
    let own = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let own = own.lines().find(|line| line.starts_with("CapBnd:")).expect("capabilities");
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("a number");
    let last: u32 = last.trim().parse().expect("a number");
    let all = format!("{:016x}", (1_u64 << (last + 1)) - 1);
    if today() {
        // This daemon asks for those that it has itself.
        let wanted = own.replace("CapBnd", "CapEff") + "\n";
        assert_eq!(done.ok(), wanted);
    } else if own.ends_with(&all) {
        assert!(done.ok().trim_end().ends_with("ffff"), "{done}");
    } else {
        // A clear error, on every runtime.
        assert!(done.ends(125).stderr.to_lowercase().contains("operation not permitted"), "{done}");
        assert!(done.stderr.contains("cap"), "{done}");
    }
}

fn pause_stop_kill_and_restart(docker: &Docker) {
    let status = "{{.State.Status}}";
    let script = "trap 'exit 3' TERM; trap 'exit 4' HUP; while sleep 0.05; do echo; done";
    docker.start("one", &[], script);
    let turns = || docker.run(&["logs", "one"]).ok().lines().count();
    until("the program runs", || (turns() > 0).then_some(()));
    docker.ok(&["pause", "one"]);
    assert_eq!(docker.inspect("one", status), "paused");
    let before = turns();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(turns(), before, "a paused program does nothing");
    let done = docker.run(&["exec", "one", "true"]);
    assert!(done.fails().contains("is paused"), "{done}");
    docker.ok(&["unpause", "one"]);
    until("the program goes on", || (turns() > before).then_some(()));
    assert_eq!(docker.inspect("one", status), "running");
    docker.ok(&["stop", "--time=20", "one"]);
    let ended = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}";
    assert_eq!(docker.inspect("one", ended), "exited 3 false");
    docker.ok(&["start", "one"]);
    docker.ok(&["kill", "--signal=HUP", "one"]);
    docker.becomes("one", ended, "exited 4 false");
    docker.ok(&["restart", "one"]);
    docker.ok(&["kill", "one"]);
    docker.becomes("one", ended, "exited 137 false");
    let done = docker.run(&["kill", "one"]);
    assert!(done.fails().contains("is not running"), "{done}");
    // A program that ignores TERM is killed, also while it is paused.
    docker.start("deaf", &[], "exec sleep 1000");
    docker.ok(&["stop", "--time=1", "deaf"]);
    assert_eq!(docker.inspect("deaf", ended), "exited 137 false");
    docker.ok(&["start", "deaf"]);
    docker.ok(&["pause", "deaf"]);
    docker.ok(&["rm", "--force", "deaf"]);

    docker.start("failing", &["--restart=on-failure:2"], "echo turn; exit 4");
    docker.becomes(
        "failing",
        "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}",
        "2 exited 4",
    );
    assert_eq!(docker.ok(&["logs", "failing"]), "turn\nturn\nturn");
    let script = "echo >> /turns; [ $(wc -l < /turns) -lt 3 ] || exec sleep 1000";
    docker.start("always", &["--restart=always"], script);
    docker.becomes("always", "{{.RestartCount}} {{.State.Status}}", "2 running");
}

/// An out-of-memory kill is reported. The killed program is not the container's first: otherwise
/// its end would race with the shim's notice of the kill, which is lost with the cgroup.
fn oom_killed(docker: &Docker) {
    let script = "sh -c 'x=$(head -c 90000000 /dev/zero | tr \\\\0 x)'; echo $?; sleep 1; exit 3";
    let run = ["run", "--name=greedy", "--memory=24m", "--memory-swap=24m", "--network=none"];
    let done = docker.run(&[&run[..], &[IMAGE, "sh", "-c", script]].concat());
    assert_eq!(done.ends(3).stdout, "137\n");
    docker.becomes("greedy", "{{.State.OOMKilled}} {{.State.ExitCode}}", "true 3");
}

fn builds(docker: &Docker) {
    let file = format!(
        "FROM {IMAGE}\nRUN echo built > /file && chmod 600 /file && chown user /file\n\
         USER user\nWORKDIR /tmp\nRUN id -un > who && mkdir -p deep/er\n\
         RUN [\"/bin/cp\", \"/file\", \"deep/er/file\"]\n\
         ENTRYPOINT [\"cat\"]\nCMD [\"/tmp/who\", \"deep/er/file\"]\n"
    );
    let file = docker.ground.file("build/Dockerfile", &file);
    let dir = file.parent().expect("a directory").to_str().expect("UTF-8");
    docker.ok(&["build", "--network=none", "--memory=64m", "--tag=built", dir]);
    assert_eq!(docker.ok(&["run", "--rm", "--network=none", "built"]), "user\nbuilt");
    docker.ground.file("build/Dockerfile", &format!("FROM {IMAGE}\nRUN exit 42\n"));
    let done = docker.run(&["build", "--network=none", dir]);
    assert!(done.fails().contains("returned a non-zero code: 42"), "{done}");
    docker.ground.file("build/Dockerfile", &format!("FROM {IMAGE}\nRUN [\"nosuch\"]\n"));
    let done = docker.run(&["build", "--network=none", dir]);
    assert!(done.fails().contains("executable file not found in $PATH"), "{done}");
    buildkit(docker, dir);
}

/// BuildKit has no option for the runtime: it uses the program that is named runc.
fn buildkit(docker: &Docker, dir: &str) {
    let build = |steps: &str| {
        docker.ground.file("build/Dockerfile", &format!("FROM {IMAGE}\n{steps}\n"));
        docker.run_with("1", &["build", "--progress=plain", "--tag=kit", dir])
    };
    let steps = "RUN echo $((6 * 7)) > /file\nUSER user\nRUN id -un > /tmp/who";
    build(&format!("{steps}\nCMD cat /file /tmp/who")).ok();
    assert_eq!(docker.ok(&["run", "--rm", "--network=none", "kit"]), "42\nuser");
    let done = build("RUN exit 42");
    assert!(done.fails().contains("exit code: 42"), "{done}");
    let done = build("RUN [\"nosuch\"]");
    let text = "exec: \"nosuch\": executable file not found in $PATH";
    assert!(done.fails().contains(text), "{done}");
    // BuildKit shows the output of the runtime, which tells which one it was.
    assert_eq!(
        done.stderr.contains("tiny-ce: "),
        docker.ground.runtime.name == "tiny-ce",
        "{done}"
    );
}
