//! Podman as root: each command of a user's day, and what its containers find.

use crate::ground::{Ground, IMAGE, on_each_runtime};
use std::io::Write;
use std::path::{Path, PathBuf};
use tiny_ce_test::{Done, Need};

on_each_runtime!(exit_statuses_and_texts, a_terminal, what_is_typed, limits);

/// Podman on a ground, with storage, sockets, locks, events and configuration of its own.
struct Podman {
    ground: Ground,
    containers: PathBuf,
    storage: PathBuf,
    /// The option that names the parent cgroup, under whose name nothing may be left.
    parent: String,
}

/// Run `test` under the runtime; Podman's containers are removed after it.
fn on(runtime: &'static str, test: fn(&Podman)) {
    let needs = ["podman", "conmon"].map(Need::Program);
    let Some(ground) = Ground::new(runtime, &needs) else { return };
    let podman = Podman::new(ground);
    test(&podman);
    podman.run(&["rm", "--all", "--force", "--time=0"]).ok();
}

impl Podman {
    fn new(ground: Ground) -> Podman {
        let dir = ground.path("podman").to_str().expect("UTF-8").to_owned();
        let runtime = &ground.runtime;
        // The limits are those that this machine lets any runtime set: Podman's own are above them
        // wherever root has no CAP_SYS_RESOURCE.
        let containers = format!(
            r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "{name}"
runtime_supports_json = ["{name}"]
tmp_dir = "{dir}/tmp"
volume_path = "{dir}/volumes"
[engine.runtimes]
{name} = ["{path}"]
[network]
default_rootless_network_cmd = "slirp4netns"
network_backend = "netavark"
network_config_dir = "{dir}/networks"
"#,
            name = runtime.name,
            path = runtime.path.display(),
        );
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\nrunroot = \"{dir}/run\"\ngraphroot = \"{dir}/root\"\n"
        );
        // Podman makes its storage a mount, so that what is mounted there is private.
        ground.leaves.borrow_mut().push(format!("{dir}/root/overlay "));
        let parent = format!("--cgroup-parent=/{}", ground.tag());
        let containers = ground.file("podman/containers.conf", &containers);
        let storage = ground.file("podman/storage.conf", &storage);
        let podman = Podman { ground, containers, storage, parent };
        let image = podman.ground.image();
        podman.run(&["load", "--quiet", "--input", image.to_str().expect("UTF-8")]).ok();
        podman
    }

    fn env(&self) -> [(&str, &Path); 3] {
        let home = self.containers.parent().expect("a directory");
        let storage = self.storage.as_path();
        [
            ("CONTAINERS_CONF", &self.containers),
            ("CONTAINERS_STORAGE_CONF", storage),
            ("HOME", home),
        ]
    }

    /// `podman WORDS…`, to its end.
    #[track_caller]
    fn run(&self, words: &[&str]) -> Done {
        self.ground.run(&self.env(), &[&["podman"], words].concat())
    }

    /// `podman WORDS…` on a terminal, to its end; lines end as in a file.
    #[track_caller]
    fn terminal(&self, words: &[&str]) -> Done {
        let mut done = self.ground.terminal(&self.env(), &[&["podman"], words].concat());
        done.stdout = done.stdout.replace('\r', "");
        done
    }

    /// `podman run --detach --name NAME OPTIONS… IMAGE WORDS…`, without a network.
    #[track_caller]
    fn detached(&self, name: &str, options: &[&str], words: &[&str]) {
        self.start(&["--detach", "--name", name], options, words).ok();
    }

    /// `podman run --rm OPTIONS… IMAGE WORDS…`, without a network.
    #[track_caller]
    fn container(&self, options: &[&str], words: &[&str]) -> Done {
        self.start(&["--rm"], options, words)
    }

    #[track_caller]
    fn start(&self, how: &[&str], options: &[&str], words: &[&str]) -> Done {
        let run = ["run", "--network=none", &self.parent];
        self.run(&[&run[..], how, options, &[IMAGE], words].concat())
    }
}

fn exit_statuses_and_texts(podman: &Podman) {
    podman.container(&[], &["true"]).ends(0);
    podman.container(&[], &["sh", "-c", "exit 5"]).ends(5);
    let done = podman.container(&[], &["nosuch"]);
    assert!(done.ends(127).stderr.contains("executable file not found in $PATH"), "{done}");
    let done = podman.container(&[], &["/no/such"]);
    assert!(done.ends(127).stderr.contains("no such file or directory"), "{done}");
    for path in ["/etc/passwd", "/etc"] {
        let done = podman.container(&[], &[path]);
        assert!(done.ends(126).stderr.to_lowercase().contains("permission denied"), "{done}");
    }
}

fn a_terminal(podman: &Podman) {
    // Podman sends the size while the program is already running.
    let script = "until [ \"$(stty size)\" = \"24 80\" ]; do sleep 0.02; done 2> /dev/null
        exec /probe tty then exit 4";
    let words = ["sh", "-c", script];
    let run = ["run", "--rm", "-it", "--network=none", &podman.parent, IMAGE];
    is_a_terminal(podman.terminal(&[&run[..], &words].concat()).ends(4));
    podman.detached("web", &[], &["sleep", "600"]);
    is_a_terminal(podman.terminal(&[&["exec", "-it", "web"], &words[..]].concat()).ends(4));
    // -t alone: a terminal inside, none outside.
    let done = podman.run(&["exec", "-t", "web", "tty"]);
    assert!(done.ok().starts_with("/dev/pts/"), "{done}");
    assert_eq!(podman.run(&["exec", "web", "tty"]).ends(1).stdout, "not a tty\n");
}

/// What a program finds whose terminal has 24 rows and 80 columns.
#[track_caller]
fn is_a_terminal(done: &Done) {
    for number in 0..3 {
        assert_eq!(done.value(&format!("tty.{number}")), "24 80", "{done}");
    }
    assert_eq!(done.value("tty.controlling"), "ok", "{done}");
}

fn what_is_typed(podman: &Podman) {
    let words = ["podman", "run", "--rm", "-it", "--network=none", &podman.parent, IMAGE, "sh"];
    let mut running = podman.ground.beside_terminal(&podman.env(), &words);
    let mut stdin = running.stdin().expect("a pipe");
    // The shell's echo has the words, not their sum.
    stdin.write_all(b"echo sum: $((40 + 2))\n").expect("typed");
    running.line("sum: 42");
    // Control-C ends what runs in the foreground, and not the shell.
    stdin.write_all(b"echo asleep: $((1 + 1)); sleep 600\n").expect("typed");
    running.line("asleep: 2");
    stdin.write_all(b"\x03").expect("typed");
    stdin.write_all(b"exit 7\n").expect("typed");
    running.exited().ends(7);
}

fn limits(podman: &Podman) {
    let options = ["--memory=64m", "--cpus=0.5", "--cpu-shares=512", "--pids-limit=50"];
    podman.detached("small", &options, &["sleep", "600"]);
    let read = |controller, file| podman.ground.cgroup(controller, file);
    assert_eq!(read("memory", "memory.limit_in_bytes"), (64 << 20).to_string());
    assert_eq!(read("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(read("cpu", "cpu.cfs_period_us"), "100000");
    assert_eq!(read("cpu", "cpu.shares"), "512");
    assert_eq!(read("pids", "pids.max"), "50");
    let stats = ["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "small"];
    let done = podman.run(&stats);
    assert!(done.ok().contains("/ 67.11MB 1"), "{done}");
}
