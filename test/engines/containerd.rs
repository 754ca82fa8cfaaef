//! containerd: `ctr` gives the orders, and containerd's shim calls the runtime.
//!
//! Knows containerd's configuration and what `ctr` prints; never how the runtime is called.

use crate::docker_newer::{WIRE, WIRED, wire};
use crate::ground::{Ground, IMAGE, on_each_runtime, today, until};
use crate::limits::Limit;
use crate::units::systemd;
use std::path::Path;
use tiny_ce_test::{Done, Need, Running, cgroup_v2};

on_each_runtime!(
    exit_statuses_and_texts,
    a_task_and_its_life,
    processes_and_terminals_of_exec,
    what_a_task_is_made_of,
    a_checkpoint_works_or_says_why_not,
    a_container_of_a_checkpoint,
    devices_by_cdi,
);

/// A containerd on a ground; the ground's tag is `ctr`'s namespace, and so the parent of its
/// cgroups.
pub struct Containerd {
    pub ground: Ground,
    daemon: Option<Running>,
    socket: String,
}

/// Run `test` with the runtime, and then remove containerd's containers.
fn on(runtime: &'static str, test: fn(&Containerd)) {
    let Some(containerd) = Containerd::new(runtime, |_| String::new(), &[]) else { return };
    containerd.import(containerd.ground.tag(), &containerd.ground.image());
    test(&containerd);
    containerd.end();
}

impl Containerd {
    /// Start containerd with the lines of configuration that `more` makes on the ground; if
    /// something is missing, print a skip and return `None`.
    pub fn new(
        runtime: &'static str,
        more: impl FnOnce(&Ground) -> String,
        needs: &[Need],
    ) -> Option<Containerd> {
        let own = ["containerd", "containerd-shim-runc-v2", "ctr"].map(Need::Program);
        let ground = Ground::new(runtime, &[&own[..], needs].concat())?;
        let dir = ground.path("containerd").to_str().expect("UTF-8").to_owned();
        let socket = format!("{dir}/socket");
        ground.file(
            "containerd/config.toml",
            &format!(
                "version = 2\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\n\
                 [grpc]\naddress = \"{socket}\"\n{}",
                more(&ground)
            ),
        );
        // In a user namespace, another user walks the path to the rootfs.
        for part in ["", "/state"] {
            ground.run(&[], &["mkdir", "-p", "-m", "711", &format!("{dir}{part}")]).ok();
        }
        ground.run(&[], &["chmod", "711", &dir]).ok();
        let mut containerd = Containerd { ground, daemon: None, socket };
        containerd.begin();
        Some(containerd)
    }

    /// Start the daemon, and wait until it answers.
    #[track_caller]
    pub fn begin(&mut self) {
        let ground = &self.ground;
        let dir = ground.path("containerd");
        // The shim finds the runtime by its name, and by "runc" where it ignores the configured
        // name.
        let path = ground.programs();
        let script =
            format!("echo $$ > {0}/pid; exec containerd --config {0}/config.toml", dir.display());
        let daemon = ground.beside(&[("PATH", path.as_path())], &["sh", "-c", &script]);
        // A daemon that was killed leaves its socket.
        until("containerd answers", || {
            let answers = Path::new(&self.socket).exists() && self.ctr(&["version"]).code() == 0;
            answers.then_some(())
        });
        self.daemon = Some(daemon);
    }

    /// Send the daemon a signal that ends it; its containers go on.
    #[track_caller]
    pub fn halt(&mut self, signal: &str) -> Done {
        let pid = self.ground.path("containerd/pid");
        let kill = format!("kill -{signal} $(cat {})", pid.display());
        self.ground.run(&[], &["sh", "-c", &kill]).ok();
        self.daemon.take().expect("the daemon").exited()
    }

    /// End all that a power cut ends; the daemon's root stays.
    #[track_caller]
    pub fn loses_power(&mut self) {
        self.ground.loses_power();
        drop(self.daemon.take());
        std::fs::remove_dir_all(self.ground.path("containerd/state")).expect("a directory");
        // A daemon that was stopped has removed its own.
        let _ = std::fs::remove_file(&self.socket);
    }

    /// The socket's path.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// Load an image for one of containerd's namespaces.
    pub fn import(&self, namespace: &str, image: &Path) {
        let image = image.to_str().expect("UTF-8");
        self.ctr(&["--namespace", namespace, "image", "import", "--no-unpack=false", image]).ok();
    }

    pub fn end(mut self) {
        for id in self.ctr(&["containers", "list", "--quiet"]).ok().split_whitespace() {
            self.ctr(&["task", "delete", "--force", id]);
            self.ctr(&["container", "delete", id]).ok();
        }
        self.halt("TERM").ok();
    }

    fn words<'w>(&'w self, words: &[&'w str]) -> Vec<&'w str> {
        let own = ["ctr", "--address", &self.socket, "--namespace", self.ground.tag()];
        [&own[..], words].concat()
    }

    /// `ctr WORDS…`, to its end.
    #[track_caller]
    fn ctr(&self, words: &[&str]) -> Done {
        self.ground.run(&[], &self.words(words))
    }

    /// The words of `ctr run OPTIONS… IMAGE ID WORDS…`.
    fn run_words(&self, options: &[&str], words: &[&str]) -> Vec<String> {
        let run = ["run", "--runc-binary", self.ground.runtime.name];
        // The name of a unit must be unique on the machine, not only in its slice.
        let scope = format!("{}:{}:{}", self.ground.parent(), self.ground.tag(), words[0]);
        let systemd: &[&str] = match systemd() {
            true => &["--runc-systemd-cgroup", "--cgroup", &scope],
            false => &[],
        };
        let all = self.words(&[&run[..], systemd, options, &[IMAGE], words].concat());
        all.into_iter().map(str::to_owned).collect()
    }

    /// `ctr run OPTIONS… IMAGE ID WORDS…`, to its end.
    #[track_caller]
    fn run(&self, options: &[&str], words: &[&str]) -> Done {
        let all = self.run_words(options, words);
        self.ground.run(&[], &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `ctr run --rm OPTIONS… IMAGE ID sh -c SCRIPT`.
    #[track_caller]
    fn sh(&self, options: &[&str], script: &str) -> Done {
        self.run(&[&["--rm"], options].concat(), &["short", "sh", "-c", script])
    }

    /// Start a task with this name that runs the script.
    #[track_caller]
    fn start(&self, name: &str, options: &[&str], script: &str) {
        self.run(&[&["--detach"], options].concat(), &[name, "sh", "-c", script]).ok();
    }

    /// `ctr task exec OPTIONS… NAME WORDS…`.
    #[track_caller]
    fn exec(&self, options: &[&str], name: &str, words: &[&str]) -> Done {
        let exec = ["task", "exec", "--exec-id", "more"];
        self.ctr(&[&exec[..], options, &[name], words].concat())
    }

    /// Check that this runtime made the container.
    #[track_caller]
    fn made(&self, name: &str) {
        let state = self.ground.seen("/run/containerd/runc").join(self.ground.tag());
        self.ground.made(&state.join(name));
    }

    /// Wait until the task with this name has that status.
    #[track_caller]
    fn becomes(&self, name: &str, status: &str) {
        until(&format!("{name} is {status}"), || {
            let list = self.ctr(&["task", "list"]).ok().to_owned();
            let mut words = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            words.find(|words| words[0] == name && words[2] == status).map(drop)
        });
    }
}

fn exit_statuses_and_texts(containerd: &Containerd) {
    let done = containerd.sh(&[], "echo out; echo err >&2; exit 3");
    assert_eq!((done.ends(3).stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    for (path, text) in [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/no/such", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
    ] {
        let done = containerd.run(&["--rm"], &["wrong", path]);
        assert!(done.ends(1).stderr.contains("OCI runtime create failed: "), "{done}");
        assert!(done.stderr.contains(text), "{done}");
    }
    let done = containerd.sh(&["--cwd=/etc/passwd"], "true");
    assert!(done.ends(1).stderr.to_lowercase().contains("not a directory"), "{done}");
    let script = "x=$(head -c 90000000 /dev/zero | tr '\\0' x)";
    containerd.sh(&["--memory-limit=16777216"], script).ends(137);
}

fn a_task_and_its_life(containerd: &Containerd) {
    let mut events = containerd.ground.beside(&[], &containerd.words(&["events"]));
    let limits = ["--memory-limit=67108864", "--cpus=0.5", "--cpu-shares=512"];
    let script = "trap 'exit 9' TERM; while sleep 0.05; do echo >> /tmp/turns; done";
    containerd.start("one", &limits, script);
    containerd.made("one");
    containerd.ground.has(&[
        Limit::Memory(64 << 20),
        Limit::Quota(50_000, 100_000),
        Limit::Shares(512),
    ]);
    if systemd() {
        let scope = format!("{}-one.scope", containerd.ground.tag());
        assert_eq!(containerd.ground.scope("one"), scope);
    }
    assert_eq!(containerd.ctr(&["containers", "list", "--quiet"]).ok(), "one\n");
    let metrics = containerd.ctr(&["task", "metrics", "--format=json", "one"]);
    let metrics: serde_json::Value = serde_json::from_str(metrics.ok()).expect("JSON");
    let (limit, time) = match cgroup_v2() {
        true => (&metrics["memory"]["usage_limit"], &metrics["cpu"]["usage_usec"]),
        false => (&metrics["memory"]["usage"]["limit"], &metrics["cpu"]["usage"]["total"]),
    };
    assert_eq!(limit.as_u64(), Some(64 << 20), "{metrics}");
    assert!(time.as_u64() > Some(0), "{metrics}");
    assert!(metrics["pids"]["current"].as_u64() >= Some(1), "{metrics}");

    let turns = || {
        let done = containerd.exec(&[], "one", &["wc", "-l", "/tmp/turns"]);
        done.stdout.split(' ').next().and_then(|count| count.parse::<u32>().ok())
    };
    until("the program runs", || turns().filter(|count| *count > 0));
    containerd.ctr(&["task", "pause", "one"]).ok();
    containerd.becomes("one", "PAUSED");
    let done = containerd.exec(&[], "one", &["true"]);
    assert!(done.fails().contains("paused"), "{done}");
    containerd.ctr(&["task", "resume", "one"]).ok();
    containerd.becomes("one", "RUNNING");
    let before = turns();
    until("the program goes on", || turns().filter(|count| Some(*count) > before));

    let done = containerd.ctr(&["task", "delete", "one"]);
    assert!(done.fails().contains("must be stopped before deletion"), "{done}");
    containerd.ctr(&["task", "kill", "one"]).ok();
    containerd.becomes("one", "STOPPED");
    let done = containerd.ctr(&["task", "kill", "one"]);
    assert!(done.fails().contains("process already finished: not found"), "{done}");
    let done = containerd.ctr(&["task", "delete", "one"]);
    assert!(done.ok().is_empty() && done.stderr.contains("exit code 9"), "{done}");
    containerd.ctr(&["container", "delete", "one"]).ok();
    for topic in ["create", "start", "exec-added", "exec-started", "paused", "resumed", "exit"] {
        let topic = format!(" /tasks/{topic} ");
        while !events.line("20").contains(&topic) {}
    }
    // A paused task can be killed, by a signal to all of its processes.
    containerd.start("two", &[], "sleep 1000 & exec sleep 2000");
    containerd.ctr(&["task", "pause", "two"]).ok();
    containerd.ctr(&["task", "kill", "--signal=KILL", "--all", "two"]).ok();
    containerd.ctr(&["task", "resume", "two"]);
    containerd.becomes("two", "STOPPED");
}

fn processes_and_terminals_of_exec(containerd: &Containerd) {
    containerd.start("one", &["--env=A=a"], "exec sleep 1000");
    let done = containerd.exec(&[], "one", &["sh", "-c", "echo out; echo err >&2; exit 5"]);
    assert_eq!((done.ends(5).stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    let as_user = ["--user=1000:1000", "--cwd=/tmp"];
    let done = containerd.exec(&as_user, "one", &["sh", "-c", "id -u; id -g; pwd; echo $A"]);
    assert_eq!(done.ok(), "1000\n1000\n/tmp\na\n");
    let done = containerd.exec(&[], "one", &["nosuch"]);
    assert!(done.fails().contains("OCI runtime exec failed: "), "{done}");
    assert!(done.stderr.contains("exec: \"nosuch\": executable file not found in $PATH"), "{done}");

    containerd.exec(&["--detach", "--exec-id=beside"], "one", &["sleep", "2000"]).ok();
    let list = || containerd.ctr(&["task", "ps", "one"]).ok().to_owned();
    let both = list();
    // containerd 2 writes it as JSON.
    let both = both.replace("exec_id:\"beside\"", "ExecID:beside");
    assert!(both.contains("ExecID:beside") && both.lines().count() == 3, "{both}");
    containerd.ctr(&["task", "kill", "--exec-id=beside", "--signal=KILL", "one"]).ok();
    until("one process is left", || (list().lines().count() == 2).then_some(()));

    let script = "tty; while [ \"$(stty size)\" != \"24 80\" ]; do sleep 0.1; done; exit 6";
    let words = ["task", "exec", "--tty", "--exec-id=tty", "one", "sh", "-c", script];
    let words = containerd.words(&words);
    let done = containerd.ground.terminal(&[], &words);
    assert!(done.ends(6).stdout.contains("/dev/pts/0"), "{done}");
    let words = containerd.run_words(&["--rm", "--tty"], &["tty", "sh", "-c", "tty; exit 7"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = containerd.ground.terminal(&[], &words);
    assert!(done.ends(7).stdout.contains("/dev/pts/0"), "{done}");
}

fn what_a_task_is_made_of(containerd: &Containerd) {
    let dir = containerd.ground.file("volume/file", "hello\n");
    let dir = dir.parent().expect("a directory").display();
    let mount = format!("--mount=type=bind,src={dir},dst=/mnt,options=rbind:ro");
    let options = ["--read-only", "--net-host", "--env=A=b", &mount];
    let script =
        "touch /x 2>&1; touch /mnt/x 2>&1; cat /mnt/file; echo $A; readlink /proc/1/ns/net";
    let net = containerd.ground.run(&[], &["readlink", "/proc/self/ns/net"]);
    let wanted = format!(
        "touch: /x: Read-only file system\ntouch: /mnt/x: Read-only file system\nhello\nb\n{}",
        net.ok()
    );
    assert_eq!(containerd.sh(&options, script).ok(), wanted);

    let options = ["--seccomp", "--cap-add=CAP_NET_ADMIN", "--cap-drop=CAP_CHOWN"];
    let script = "grep -E '^(CapInh|CapEff|NoNewPrivs|Seccomp):' /proc/self/status";
    let wanted = "CapInh:\t0000000000000000\nCapEff:\t00000000a80435fa\n\
        NoNewPrivs:\t1\nSeccomp:\t2\n";
    assert_eq!(containerd.sh(&options, script).ok(), wanted);
    let script = "stat -c '%t %T' /dev/fuse; : 2>&1 < /dev/fuse && echo opened";
    assert_eq!(containerd.sh(&["--device=/dev/fuse"], script).ok(), "a e5\nopened\n");
    assert_eq!(containerd.sh(&["--no-pivot"], "echo $$").ok(), "1\n");

    // With mappings, the shim ignores the runtime's name.
    let maps = ["--uidmap=0:100000:65536", "--gidmap=0:100000:65536"];
    containerd.start("mapped", &maps, "exec sleep 1000");
    let see = ["sh", "-c", "cat /proc/self/uid_map; id -u; stat -c %u /"];
    let done = containerd.exec(&[], "mapped", &see);
    let words: Vec<&str> = done.ok().split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "65536", "0", "0"]);
    containerd.made("mapped");
}

/// Whether CRIU works depends on the kernel: the checkpoint succeeds, or one line gives the reason.
fn a_checkpoint_works_or_says_why_not(containerd: &Containerd) {
    // A sleep would be interrupted by CRIU, and end.
    containerd.start("one", &[], "exec tail -f /dev/null");
    let done = containerd.ctr(&["task", "checkpoint", "one"]);
    let ours = containerd.ground.runtime.name == "tiny-ce";
    if ours && tiny_ce_test::met(&[Need::Program("criu"), Need::Criu]) {
        done.ok();
    }
    if done.code() == 0 {
        assert!(done.stdout.contains("containerd.io/checkpoint/one"), "{done}");
    } else {
        let text = done.fails();
        assert!(text.contains("checkpoint") || text.contains("criu"), "{done}");
        assert_eq!(text.lines().count(), 1, "{done}");
    }
    // In both cases the task runs on.
    assert_eq!(containerd.exec(&[], "one", &["echo", "still there"]).ok(), "still there\n");
}

/// A checkpoint with the container's own files is an image, of which another container is made: its
/// program goes on where it was.
fn a_container_of_a_checkpoint(containerd: &Containerd) {
    if !today() {
        return tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    if !tiny_ce_test::met(&[Need::Program("criu"), Need::Criu]) {
        return;
    }
    let count = "mkfifo /turn; exec 9<> /turn
        i=0; while :; do i=$((i + 1)); echo $i > /count; read -t 0.1 it <&9; done";
    containerd.start("one", &["--memory-limit=67108864"], count);
    let counted = |name: &str| -> Option<u32> {
        containerd.exec(&[], name, &["cat", "/count"]).stdout.trim().parse().ok()
    };
    until("it counts", || counted("one").filter(|count| *count > 20));
    let checkpoint = ["containers", "checkpoint", "--task", "--rw", "--image", "one"];
    containerd.ctr(&[&checkpoint[..], &["localhost/one:1"]].concat()).ok();
    containerd.ctr(&["task", "kill", "--signal=KILL", "one"]).ok();
    let restore = ["containers", "restore", "--live", "--rw", "two", "localhost/one:1"];
    containerd.ctr(&restore).ok();
    assert!(until("it counts on", || counted("two")) > 20);
    containerd.ctr(&["task", "kill", "--signal=KILL", "two"]).ok();
}

fn devices_by_cdi(containerd: &Containerd) {
    if !today() {
        return tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    wire(&containerd.ground);
    let done = containerd.sh(&["--device=vendor.example/wire=a"], WIRE);
    assert_eq!(done.ok().replace("line 0: ", ""), WIRED);
}
