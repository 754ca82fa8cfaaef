//! The ground of an engine under test: its own namespaces (mount, network, pid) with an empty
//! `/run`, an image made offline of busybox and the probe, and the runtimes to compare.
//!
//! Under systemd, systemd's sockets are in that `/run`, and the pid namespace is the machine's,
//! because systemd is given pids. Knows no engine. At its end it looks for processes, mounts,
//! cgroups, units and state that a runtime has left, which is a failure; it removes what engines
//! leave.

use crate::limits::Limit;
use crate::units::{self, systemd};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tiny_ce_test::{Case, Done, Need, PATIENCE, Peer, Running, cgroup_v2, probe, run, tiny_ce};

/// A runtime for engines to use.
pub struct Runtime {
    /// Its name in the engine's configuration.
    pub name: &'static str,
    /// The path of its program.
    pub path: PathBuf,
}

impl Runtime {
    /// The runtime under test, or the one to compare with: `"tiny-ce"`, `"runc"`, `"crun"`.
    pub fn named(name: &'static str) -> Runtime {
        // The current version, or in the engines' own machine the installed one.
        let runc = || Peer::Runc.path().unwrap_or_else(|| "/usr/sbin/runc".into());
        let path = match name {
            "tiny-ce" => tiny_ce(),
            "crun" => "/usr/bin/crun".into(),
            _ => runc(),
        };
        Runtime { name, path }
    }
}

/// The runtime to compare with: runc, or crun if `TINY_CE_PEER` says so.
pub fn peer() -> &'static str {
    match std::env::var("TINY_CE_PEER").as_deref() {
        Ok("crun") => "crun",
        _ => "runc",
    }
}

/// Whether the engines are those of target/today, and not of Debian 12.
pub fn today() -> bool {
    std::env::var_os("TINY_CE_TODAY").is_some()
}

/// The name of the image that [`Ground::image`] makes.
pub const IMAGE: &str = "localhost/busybox:1";

/// Cgroups that engines make for themselves, below the given parent.
const PARENTS: [&str; 2] = ["conmon", "buildkit"];

/// How long an engine's processes may take to end after its last command.
const DYING: Duration = Duration::from_secs(10);

/// A user other than root, in the ground's `/etc`; [`TENANT_IDS`] are the ids for containers.
pub const TENANT: &str = "54322";

/// What the tenant needs to run an engine.
pub struct Tenant {
    /// A copy of the runtime.
    pub runtime: PathBuf,
    pub home: PathBuf,
    /// The words that run a program as the tenant.
    pub program: Vec<String>,
}

/// The first of the tenant's 65536 ids, which are followed by those of Podman's `containers`.
pub const TENANT_IDS: u32 = 300_000;

/// PID 1 of the ground, which lives as long as its standard input is open. `/run` is that of a
/// machine that has just been started, `/etc` is the host's and may be changed; both disappear with
/// the ground. Every user may open tun(4), as on most machines. The kernel reaps the orphans of a
/// process that ignores SIGCHLD.
const KEEPER: &str = "
    set -e
    mkdir $3
    mount -t tmpfs -o mode=755 run $3
    if [ -e /run/systemd/system ]; then
        mkdir -p $3/systemd $3/dbus $3/user/$1
        mount --rbind /run/systemd $3/systemd
        mount --rbind /run/dbus $3/dbus
        if [ -e /run/user/$1/bus ]; then
            touch $3/user/$1/bus
            mount --bind /run/user/$1/bus $3/user/$1/bus
        fi
    fi
    mount --no-mtab --move $3 /run
    mkdir -p /run/lock /run/user/$1 /run/ground/etc /run/ground/work
    chown $1:$1 /run/user/$1
    chmod 700 /run/user/$1
    layers=upperdir=/run/ground/etc,workdir=/run/ground/work
    mount -t overlay -o lowerdir=/etc,$layers etc /etc
    echo tenant:x:$1:$1::/run/user/$1:/bin/sh >> /etc/passwd
    echo tenant:x:$1: >> /etc/group
    echo containers:x:$(($1 + 1)):$(($1 + 1))::/:/bin/false >> /etc/passwd
    for file in /etc/subuid /etc/subgid; do
        printf 'tenant:%d:65536\\ncontainers:%d:65536\\n' $2 $(($2 + 65536)) > $file
    done
    if [ -e /dev/net/tun ]; then
        mknod -m 666 /run/ground/tun c 10 200
        mount --bind /run/ground/tun /dev/net/tun
    fi
    ip link set lo up
    echo ready: $$
    exec env --ignore-signal=CHLD cat > /dev/null
";

/// Remove what is in `/run` but for what the keeper has put there, and the network's configuration.
const POWER_CUT: &str = "
    for path in /run/*; do
        case ${path##*/} in dbus | ground | lock | systemd | user) ;; *) rm -rf $path ;; esac
    done
    for link in $(ls /sys/class/net); do
        case $link in cable | lo) ;; *) ip link delete $link 2> /dev/null || true ;; esac
    done
    if command -v nft > /dev/null; then nft flush ruleset; fi
";

/// Make the image's only layer: `image DIRECTORY PROBE`; print its checksum.
const IMAGE_SCRIPT: &str = "
    set -e
    mkdir -p $1/parts $1/root/{bin,etc,root,tmp,proc,sys,dev,var,home}
    cd $1/root
    cp /bin/busybox bin
    cp $2 probe
    chroot . /bin/busybox --install -s /bin
    printf 'root:x:0:0:root:/root:/bin/sh\\nuser:x:1000:1000:user:/home:/bin/sh\\n' > etc/passwd
    printf 'root:x:0:\\nuser:x:1000:\\n' > etc/group
    chmod 1777 tmp
    tar --owner=0 --group=0 --numeric-owner -cf ../parts/layer.tar .
    sha256sum ../parts/layer.tar
";

/// The namespaces of an engine. Dropping them kills all their processes.
pub struct Ground {
    case: Case,
    /// The runtime that the engine must use.
    pub runtime: Runtime,
    keeper: Option<Running>,
    pid: u32,
    mounts: BTreeSet<String>,
    /// What the engine itself leaves: parts of lines in mountinfo, names of cgroups.
    pub leaves: RefCell<Vec<String>>,
}

impl Ground {
    /// The ground for `runtime`; if a need is missing, print a skip and return `None`.
    pub fn new(runtime: &'static str, needs: &[Need]) -> Option<Ground> {
        let mut all = vec![Need::File("/bin/busybox")];
        all.extend(["unshare", "nsenter", "ip", "bash", "script"].map(Need::Program));
        if runtime == "runc" && Peer::Runc.path().is_none() {
            all.push(Need::File("/usr/sbin/runc"));
        }
        all.extend(needs);
        let case = Case::root(&all)?;
        let mut command = Command::new("unshare");
        command.args(["--fork", "--kill-child", "--mount", "--net"]);
        if !systemd() {
            command.args(["--pid", "--mount-proc"]);
        }
        command.args(["sh", "-c", KEEPER, "keeper", TENANT]).arg(TENANT_IDS.to_string());
        command.arg(case.dir().join("run")).env("TINY_CE_CASE", case.tag());
        let mut keeper = Running::start(&mut command, case.dir());
        keeper.line("ready:");
        let children = format!("/proc/{0}/task/{0}/children", keeper.pid());
        let pid = fs::read_to_string(children).expect("unshare's child");
        let pid = pid.trim().parse().expect("one child");
        let mounts = mounts(pid).expect("the keeper's mounts");
        let (runtime, leaves) = (Runtime::named(runtime), RefCell::default());
        Some(Ground { case, runtime, keeper: Some(keeper), pid, mounts, leaves })
    }

    /// The word that every name of this ground contains.
    pub fn tag(&self) -> &str {
        self.case.tag()
    }

    /// Join the networks of two grounds by a veth pair called `cable`, with an address at each end.
    #[track_caller]
    pub fn join(&self, address: &str, other: &Ground, others: &str) {
        let pid = other.pid.to_string();
        let pair = ["ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable"];
        // Pids are the host's, so only the network is the ground's.
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.pid.to_string(), "--"]).args(pair);
        run(command.args(["netns", &pid]), self.case.dir()).ok();
        for (ground, address) in [(self, address), (other, others)] {
            ground.run(&[], &["ip", "address", "add", address, "dev", "cable"]).ok();
            ground.run(&[], &["ip", "link", "set", "cable", "up"]).ok();
        }
    }

    /// The parent cgroup for the engine: a slice, where systemd makes cgroups.
    pub fn parent(&self) -> String {
        if systemd() { units::slice(self.tag()) } else { format!("/{}", self.tag()) }
    }

    /// The path of `name` in the ground's directory, which is the same on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.case.dir().join(name)
    }

    /// Write a file in the ground's directory.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// The path on the host of `path` in the ground's own mounts: `/run/NAME` is not the host's.
    pub fn seen(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join("root").join(path.trim_matches('/'))
    }

    /// A PATH where both the runtime's name and "runc" lead to the runtime, so that callers without
    /// an option for the runtime use it, and cannot reach runc itself.
    pub fn programs(&self) -> PathBuf {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).expect("a directory");
        for name in ["runc", self.runtime.name] {
            // With runc the two names are the same.
            let _ = symlink(&self.runtime.path, bin.join(name));
        }
        format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()).into()
    }

    /// A command in the ground, with few variables other than `env`.
    pub fn command(&self, env: &[(&str, &Path)], words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bin");
        command.env("TINY_CE_CASE", self.tag()).env("TERM", "xterm");
        command.envs(env.iter().copied()).current_dir(self.case.dir());
        command.args(["--target", &self.pid.to_string(), "--mount", "--net", "--pid"]);
        // The directory as the ground sees it: Go finds no name for another.
        command.arg(format!("--wdns={}", self.case.dir().display())).arg("--").args(words);
        command
    }

    /// Run a [`Ground::command`] to its end.
    #[track_caller]
    pub fn run(&self, env: &[(&str, &Path)], words: &[&str]) -> Done {
        run(&mut self.command(env, words), self.case.dir())
    }

    /// Run a [`Ground::command`] on a terminal of its own, with 24 rows and 80 columns.
    #[track_caller]
    pub fn terminal(&self, env: &[(&str, &Path)], words: &[&str]) -> Done {
        let mut running = self.beside_terminal(env, words);
        // The end of standard input would be typed, as Control-D.
        let stdin = running.stdin();
        let done = running.done();
        drop(stdin);
        done
    }

    /// Start a [`Ground::command`] on a terminal of its own; its input is typed.
    #[track_caller]
    pub fn beside_terminal(&self, env: &[(&str, &Path)], words: &[&str]) -> Running {
        let quoted: Vec<String> = words.iter().map(quote).collect();
        let line = format!("stty rows 24 columns 80; exec {}", quoted.join(" "));
        self.beside(env, &["script", "--quiet", "--return", "--command", &line, "/dev/null"])
    }

    /// Start a [`Ground::command`] beside the test.
    #[track_caller]
    pub fn beside(&self, env: &[(&str, &Path)], words: &[&str]) -> Running {
        Running::start(&mut self.command(env, words), self.case.dir())
    }

    /// The tenant's things, in the ground's directory.
    pub fn tenant(&self) -> Tenant {
        // The tree may be in a directory that only root can enter.
        let runtime = self.path(self.runtime.name);
        if fs::hard_link(&self.runtime.path, &runtime).is_err() {
            fs::copy(&self.runtime.path, &runtime).expect("a copy of the runtime");
        }
        let home = self.path("tenant");
        fs::create_dir(&home).expect("a home");
        let id = Some(TENANT.parse().expect("a number"));
        chown(&home, id, id).expect("chown");
        let ids = [format!("--reuid={TENANT}"), format!("--regid={TENANT}")];
        let program = ["setpriv", "--clear-groups", "--inh-caps=-all"].map(str::to_owned);
        Tenant { runtime, home, program: program.into_iter().chain(ids).collect() }
    }

    /// An image with busybox, all its names in /bin, and the probe, as a docker-archive that
    /// Podman, Buildah, Docker and containerd can load. Its name is [`IMAGE`].
    pub fn image(&self) -> PathBuf {
        let parts = self.path("image");
        let parts = parts.to_string_lossy();
        let words = ["bash", "-c", IMAGE_SCRIPT, "image", &parts, &probe().to_string_lossy()];
        let done = self.run(&[], &words);
        let sum = done.ok().split(' ').next().expect("sha256sum prints a sum");
        let config = json!({
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "history": [{"created_by": "the ground"}],
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
        });
        self.archive(IMAGE, &config)
    }

    /// The layer of [`Ground::image`], which has been called before, as another image.
    pub fn image_as(&self, name: &str, config: Value) -> PathBuf {
        let text = fs::read_to_string(self.path("image/parts/config.json")).expect("an image");
        let mut image: Value = serde_json::from_str(&text).expect("JSON");
        image["config"] = config;
        self.archive(name, &image)
    }

    fn archive(&self, name: &str, config: &Value) -> PathBuf {
        let layers = ["layer.tar"];
        let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": layers}]);
        self.file("image/parts/config.json", &config.to_string());
        self.file("image/parts/manifest.json", &manifest.to_string());
        let image = self.path("image.tar");
        let parts = self.path("image/parts");
        let tar = ["tar", "-C", &parts.to_string_lossy(), "-cf", &image.to_string_lossy()];
        let files = ["config.json", "layer.tar", "manifest.json"];
        self.run(&[], &[&tar[..], &files].concat()).ok();
        image
    }

    /// The v1 or v2 cgroup of the only container below [`Ground::parent`] with `id` in its name.
    /// `"unified"` is cgroup v2.
    pub fn find_cgroup(&self, id: &str, controller: &str) -> Option<PathBuf> {
        let parent = self.parent();
        let is_container = |dir: &PathBuf| {
            let above = dir.parent().and_then(Path::file_name);
            let own = dir.to_string_lossy().contains(id)
                && !PARENTS.iter().any(|p| dir.file_name().is_some_and(|n| named(n, p)));
            own && above.is_some_and(|name| name == parent.trim_start_matches('/'))
        };
        let mount = match (cgroup_v2(), controller) {
            (true, "unified") => Path::new("/sys/fs/cgroup").join(parent.trim_start_matches('/')),
            _ => Path::new("/sys/fs/cgroup").join(controller),
        };
        let mut dirs = self.case.cgroups().into_iter().filter(is_container);
        dirs.find(|dir| dir.starts_with(&mount))
    }

    /// The pids in the cgroup of the container with this id in its name, while that exists.
    pub fn processes_of(&self, id: &str) -> Option<String> {
        let controller = if cgroup_v2() { "unified" } else { "memory" };
        let procs = self.find_cgroup(id, controller)?.join("cgroup.procs");
        fs::read_to_string(procs).ok()
    }

    /// The name of the scope that contains this id.
    #[track_caller]
    pub fn scope(&self, id: &str) -> String {
        let dir = self.find_cgroup(id, "unified").expect("a scope");
        dir.file_name().expect("a name").to_str().expect("UTF-8").to_owned()
    }

    /// Check the limits of the only container, in the kernel's files and, under systemd, in its
    /// properties.
    #[track_caller]
    pub fn has(&self, limits: &[Limit]) {
        self.of_has("", limits);
    }

    /// As `has`, for the container with this id in its cgroup's name.
    #[track_caller]
    pub fn of_has(&self, id: &str, limits: &[Limit]) {
        for limit in limits {
            for (controller, file, expected) in limit.files(self.runtime.name) {
                let dir = self.find_cgroup(id, controller);
                let path = dir.unwrap_or_else(|| panic!("no cgroup of {controller}")).join(file);
                let found = fs::read_to_string(&path);
                let found = found.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                assert_eq!(found.trim(), expected, "{}", path.display());
            }
            if systemd() {
                limit.is_property_of(&self.scope(id), self.runtime.name);
            }
        }
    }

    /// Check that this runtime made the container with this state: an engine that ignored its
    /// settings would have called another one.
    #[track_caller]
    pub fn made(&self, state: &Path) {
        assert!(state.is_dir(), "{}", state.display());
        let ours = state.join("plan").exists();
        assert_eq!(ours, self.runtime.name == "tiny-ce", "{}", state.display());
    }

    /// List what a runtime should have removed, one line each.
    fn left(&self) -> Vec<String> {
        let until = Instant::now() + DYING;
        let own = || -> Vec<String> {
            let processes = self.processes().into_iter().map(|line| format!("process {line}"));
            let units = if systemd() { units::scopes(self.tag()) } else { Vec::new() };
            processes.chain(units).collect()
        };
        while !own().is_empty() && Instant::now() < until {
            // This process is not their parent, so it cannot wait for them.
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut left = own();
        let leaves = self.leaves.borrow();
        let expected = |line: &&String| leaves.iter().any(|part| line.contains(part.as_str()));
        let now = mounts(self.pid).unwrap_or_default();
        let more = now.difference(&self.mounts).filter(|line| !expected(line));
        left.extend(more.map(|line| format!("mount {line}")));
        for root in ["/run/tiny-ce", "/run/runc", "/run/netns"] {
            let entries = fs::read_dir(self.seen(root)).into_iter().flatten().flatten();
            left.extend(entries.map(|e| format!("state {root}/{}", e.file_name().display())));
        }
        left
    }

    /// End what lives in a machine's memory, as a power cut does: processes, mounts, cgroups, what
    /// is in `/run` and not the ground's own, network interfaces other than the cable, and rules.
    /// Files of the ground's directory stay.
    #[track_caller]
    pub fn loses_power(&self) {
        if systemd() {
            units::stop(self.tag(), &self.case.cgroups());
            for pid in units::processes(self.tag()).into_iter().filter(|pid| self.is_not_ours(*pid))
            {
                self.run(&[], &["kill", "-KILL", &pid.to_string()]);
            }
        } else {
            // All in the pid namespace, and in those below it, except the first; there may be none.
            self.run(&[], &["sh", "-c", "kill -KILL -1"]);
        }
        until("all processes are gone", || self.processes().is_empty().then_some(()));
        let now = mounts(self.pid).expect("the keeper's mounts");
        let paths = now.difference(&self.mounts).filter_map(|line| line.split(' ').nth(4));
        let paths: Vec<&str> = paths.collect();
        self.run(&[], &[&["umount", "--lazy"], &paths[..]].concat());
        self.run(&[], &["sh", "-c", POWER_CUT]).ok();
        until("all cgroups are gone", || {
            deepest_first(self.case.cgroups()).iter().for_each(|dir| drop(fs::remove_dir(dir)));
            self.case.cgroups().is_empty().then_some(())
        });
    }

    /// The command lines of the ground's processes.
    fn processes(&self) -> Vec<String> {
        if !systemd() {
            return processes(self.pid);
        }
        let all = units::processes(self.tag()).into_iter();
        all.filter(|pid| self.is_not_ours(*pid)).filter_map(command_line).collect()
    }

    /// Whether the process is neither the first of the ground nor its parent.
    fn is_not_ours(&self, pid: u32) -> bool {
        pid != self.pid && Some(pid) != self.keeper.as_ref().map(Running::pid)
    }

    /// Remove the parent cgroups, which engines leave; a cgroup below them is a container's.
    fn remove_parents(&self) {
        if systemd() {
            units::stop(self.tag(), &self.case.cgroups());
        }
        let dirs = deepest_first(self.case.cgroups());
        let leaves = self.leaves.borrow();
        let names = [self.tag()].into_iter().chain(PARENTS);
        let names: Vec<&str> = names.chain(leaves.iter().map(String::as_str)).collect();
        for dir in dirs.iter().filter(|dir| names.iter().any(|name| dir.ends_with(name))) {
            let _ = fs::remove_dir(dir);
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let left = self.left();
        if let Some(mut keeper) = self.keeper.take() {
            // PID 1 ends, and so do all processes in its namespace.
            drop(keeper.stdin());
            keeper.exited();
        }
        self.remove_parents();
        if !std::thread::panicking() {
            let name = self.runtime.name;
            assert!(left.is_empty(), "left behind under {name}:\n{}", left.join("\n"));
        }
    }
}

/// Poll until `find` returns something; daemons offer little else to wait for.
#[track_caller]
pub fn until<T>(what: &str, find: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The order in which cgroups can be removed.
fn deepest_first(mut dirs: Vec<PathBuf>) -> Vec<PathBuf> {
    dirs.sort_by_key(|dir| std::cmp::Reverse(dir.as_os_str().len()));
    dirs
}

/// Quote a word for a shell.
fn quote(word: &&str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Whether the file's name is this word, or begins with it, or with Podman's prefix before it.
fn named(name: &std::ffi::OsStr, word: &str) -> bool {
    let name = name.to_string_lossy();
    name == word || name.strip_prefix("libpod-").is_some_and(|rest| rest.starts_with(word))
}

/// The lines of a process's mountinfo. The options of cgroup2 belong to the whole machine, and this
/// runc removes `nsdelegate` from them: that is no change of a mount.
fn mounts(pid: u32) -> std::io::Result<BTreeSet<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let own = |line: &str| match line.find(" - cgroup2 ") {
        Some(at) => line[..at].to_owned(),
        None => line.to_owned(),
    };
    Ok(text.lines().map(own).collect())
}

/// The command lines of the processes in the pid namespace whose first process is `first`.
fn processes(first: u32) -> Vec<String> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(first);
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = pids.filter(|pid| *pid != first && own.is_some() && namespace(*pid) == own);
    others.filter_map(command_line).collect()
}

/// The command line of a process; empty for a zombie.
fn command_line(pid: u32) -> Option<String> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|words| !words.is_empty())?;
    Some(format!("{pid} {}", String::from_utf8_lossy(&words).replace('\0', " ")))
}

/// Make each function a test, once on tiny-ce and once on the runtime to compare with; the module's
/// `on(RUNTIME, FUNCTION)` calls it.
macro_rules! on_each_runtime {
    ($($(#[$about:meta])* $name:ident),* $(,)?) => {
        mod tiny_ce {
            $($(#[$about])* #[test] fn $name() { super::on("tiny-ce", super::$name); })*
        }
        mod peer {
            $($(#[$about])* #[test] fn $name() { super::on(crate::ground::peer(), super::$name); })*
        }
    };
}
pub(crate) use on_each_runtime;
