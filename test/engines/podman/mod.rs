//! Podman, as root and as another user: the everyday commands, and what containers see.

mod inside;
mod life;
mod machine;
mod newer;
mod rootless;
mod together;

use crate::ground::{Ground, IMAGE, until};
use crate::units::systemd;
use std::path::{Path, PathBuf};
use tiny_ce_test::{Done, Need, Running};

/// Podman on a ground, with its own storage, sockets, locks, events and configuration.
struct Podman {
    ground: Ground,
    /// The command that runs Podman, with its options.
    program: Vec<String>,
    env: Vec<(&'static str, PathBuf)>,
    /// The option that names the parent cgroup, below which nothing may be left.
    parent: Option<String>,
}

/// Podman starts no container without it, whatever the network is.
const NETAVARK: Need = Need::File("/usr/lib/podman/netavark");

/// Run `test` as root with the runtime, and then remove the containers.
fn on(runtime: &'static str, test: fn(&Podman)) {
    let needs = [Need::Program("podman"), Need::Program("conmon"), NETAVARK];
    let Some(ground) = Ground::new(runtime, &needs) else { return };
    let podman = Podman::new(ground);
    test(&podman);
    podman.remove_all();
}

impl Podman {
    fn new(ground: Ground) -> Podman {
        let dir = ground.path("podman");
        let at = dir.display();
        let places = format!("tmp_dir = \"{at}/tmp\"\nvolume_path = \"{at}/volumes\"");
        let networks = format!("network_config_dir = \"{at}/networks\"");
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\nrunroot = \"{at}/run\"\ngraphroot = \"{at}/root\"\n"
        );
        let env = vec![
            ("CONTAINERS_CONF", configuration(&ground, &ground.runtime.path, &places, &networks)),
            ("CONTAINERS_STORAGE_CONF", ground.file("podman/storage.conf", &storage)),
            ("HOME", dir.clone()),
            ("PODMAN_IGNORE_CGROUPSV1_WARNING", "1".into()),
        ];
        // Podman makes its storage a mount, to keep mounts in it private.
        ground.leaves.borrow_mut().push(format!("{at}/root/overlay "));
        let parent = Some(format!("--cgroup-parent={}", ground.parent()));
        let podman = Podman { ground, program: vec!["podman".into()], env, parent };
        podman.load();
        podman
    }

    fn load(&self) {
        let image = self.ground.image();
        self.run(&["load", "--quiet", "--input", image.to_str().expect("UTF-8")]).ok();
    }

    fn env(&self) -> Vec<(&str, &Path)> {
        self.env.iter().map(|(name, value)| (*name, value.as_path())).collect()
    }

    fn words<'w>(&'w self, words: &[&'w str]) -> Vec<&'w str> {
        self.program.iter().map(String::as_str).chain(words.iter().copied()).collect()
    }

    /// `podman WORDS…`, to its end.
    #[track_caller]
    fn run(&self, words: &[&str]) -> Done {
        self.ground.run(&self.env(), &self.words(words))
    }

    /// `podman WORDS…` beside the test.
    #[track_caller]
    fn beside(&self, words: &[&str]) -> Running {
        self.ground.beside(&self.env(), &self.words(words))
    }

    /// Run `podman WORDS…` on a terminal, to its end, with the line ends of a file.
    #[track_caller]
    fn terminal(&self, words: &[&str]) -> Done {
        let mut done = self.ground.terminal(&self.env(), &self.words(words));
        done.stdout = done.stdout.replace('\r', "");
        done
    }

    /// The words of `podman run OPTIONS… IMAGE WORDS…`, without a network.
    fn container<'w>(&'w self, options: &[&'w str], words: &[&'w str]) -> Vec<&'w str> {
        let run = ["run", "--network=none"].into_iter().chain(self.parent.as_deref());
        run.chain(options.iter().copied()).chain([IMAGE]).chain(words.iter().copied()).collect()
    }

    /// `podman run --rm OPTIONS… IMAGE WORDS…`, to its end.
    #[track_caller]
    fn once(&self, options: &[&str], words: &[&str]) -> Done {
        self.run(&self.container(&[&["--rm"], options].concat(), words))
    }

    /// `podman run --rm OPTIONS… IMAGE sh -c SCRIPT`, which must succeed; return its output.
    #[track_caller]
    fn prints(&self, options: &[&str], script: &str) -> String {
        self.once(options, &["sh", "-c", script]).ok().to_owned()
    }

    /// `podman run --detach --name NAME OPTIONS… IMAGE WORDS…`, which must succeed.
    #[track_caller]
    fn detached(&self, name: &str, options: &[&str], words: &[&str]) {
        self.run(&self.container(&[&["--detach", "--name", name], options].concat(), words)).ok();
    }

    /// Remove all containers. Retry once if Podman fails: the process that conmon starts at a
    /// container's end may be unmounting the same mounts.
    fn remove_all(&self) {
        let remove = ["rm", "--all", "--force", "--time=0"];
        if !self.run(&remove).status.success() {
            self.run(&remove).ok();
        }
    }

    /// The output of `podman inspect --format FORMAT NAME`.
    #[track_caller]
    fn inspect(&self, name: &str, format: &str) -> String {
        self.run(&["inspect", "--format", format, name]).ok().trim().to_owned()
    }

    /// Wait until Podman knows that the container has ended with this status.
    ///
    /// Podman calls it "stopped" until the process that conmon starts at its end has cleaned up.
    /// Neither `podman run` nor `podman wait` waits for that process.
    #[track_caller]
    fn exited(&self, name: &str, status: u8) {
        until(&format!("{name} has exited with {status}"), || {
            let state = self.inspect(name, "{{.State.Status}} {{.State.ExitCode}}");
            (state == format!("exited {status}")).then_some(())
        });
    }
}

/// Write containers.conf: `places` are lines of `[engine]`, `networks` is one of `[network]`.
///
/// The limits are those that any runtime may set on this machine: Podman's defaults are higher than
/// the limits of a root without CAP_SYS_RESOURCE.
fn configuration(ground: &Ground, runtime: &Path, places: &str, networks: &str) -> PathBuf {
    let (name, path) = (ground.runtime.name, runtime.display());
    // Podman's own choice under systemd.
    let manager = if systemd() { "systemd" } else { "cgroupfs" };
    let text = format!(
        r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "{manager}"
events_logger = "file"
lock_type = "file"
runtime = "{name}"
runtime_supports_json = ["{name}"]
runtime_supports_nocgroup = ["{name}"]
{places}
[engine.runtimes]
{name} = ["{path}"]
[network]
default_rootless_network_cmd = "slirp4netns"
network_backend = "netavark"
{networks}
"#
    );
    ground.file("podman/containers.conf", &text)
}
