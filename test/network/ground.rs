//! The ground that network tests stand on: each runs again in a process that has a network
//! namespace, a mount namespace and a `/run` of its own, so that the host stays as it is.
//!
//! Knows no network: only how to get into namespaces (util-linux), and what is seen there.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tiny_ce::network::{self, Attachment, Network, NewNetwork, Subnet};
use tiny_ce_test::{Need, full, met, probe, slowness};

/// The state root, in each test's own `/run`.
pub const ROOT: &str = "/run/tiny-ce";

const TEST: &str = "TINY_CE_NETWORK_TEST";
const PHASE: &str = "TINY_CE_NETWORK_PHASE";

/// What a shell does before the test runs.
const ENTER: &str = "mount -t tmpfs tmpfs /run && mkdir /run/tiny-ce && \
    { test -L /var/run || mount --bind /run /var/run; } && exec \"$0\" \"$@\"";

/// A test on its own ground.
pub struct Ground {
    name: String,
    phase: Option<String>,
}

/// Run `test` on ground of its own; visibly skipped where there is none, or `needs` are not met.
///
/// The closure runs in a process of its own; again, as a phase, where [`Ground::again`] asks.
#[track_caller]
pub fn isolated<F: FnOnce(&Ground)>(needs: &[Need], test: F) {
    // "network::made::NAME::{{closure}}"; were it written otherwise, no test would be found below.
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = name.split_once("::").map_or(name, |(_, name)| name).to_owned();
    if std::env::var(TEST).as_deref() == Ok(&name) {
        return test(&Ground { name, phase: std::env::var(PHASE).ok() });
    }
    let ground = [Need::Root, Need::Program("unshare"), Need::Program("nsenter")];
    if !met(&ground) || !met(needs) {
        return;
    }
    let words = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", ENTER];
    let output = again(&name, &words).output().expect("unshare(1)");
    passed(&name, output);
}

impl Ground {
    /// The state root.
    pub fn root(&self) -> &'static Path {
        Path::new(ROOT)
    }

    /// What this process is for, if it was started by [`Ground::again`].
    pub fn phase(&self) -> Option<&str> {
        self.phase.as_deref()
    }

    /// Run the same test as `phase`, below the program that `words` begin.
    pub fn command(&self, words: &[&str], phase: &str) -> Command {
        let mut command = again(&self.name, words);
        command.env(PHASE, phase);
        command
    }

    /// As [`Ground::command`], to its end, which must be a good one.
    #[track_caller]
    pub fn again(&self, words: &[&str], phase: &str) {
        let output = self.command(words, phase).output().expect("the test again");
        passed(phase, output);
    }

    /// As [`Ground::again`], in a container's network namespace.
    #[track_caller]
    pub fn inside(&self, attachment: &Attachment, phase: &str) {
        self.again(&["nsenter", &net(attachment)], phase);
    }

    /// As [`Ground::inside`], beside the test; its standard output is a pipe.
    pub fn beside(&self, attachment: &Attachment, phase: &str) -> Child {
        let mut command = self.command(&["nsenter", &net(attachment)], phase);
        command.stdout(Stdio::piped()).spawn().expect("nsenter(1)")
    }

    /// Run `phase` killed before its first, second, third, … system call after [`begin`], until it
    /// gets to its end; call `after` each time but the last.
    pub fn sweep(&self, phase: &str, after: impl Fn(usize)) {
        sweep(
            1,
            |point| {
                let probe = probe().to_str().expect("UTF-8");
                let words = [probe, "kill-after-getppid", &point.to_string()];
                let output = self.command(&words, phase).output().expect("the probe");
                said(&output.stdout) + &said(&output.stderr)
            },
            after,
        );
    }
}

/// The same for anything that is run under the probe's kill-at, and whose output `run` returns;
/// before each `stride`th call, and fewer on a machine that is slow.
pub fn sweep(stride: usize, run: impl Fn(usize) -> String, after: impl Fn(usize)) {
    let stride = if slowness() > 1 && !full() { 23 } else { stride };
    for point in (1..).step_by(stride) {
        let text = run(point);
        if text.contains(&format!("killed: {point}\n")) {
            after(point);
            continue;
        }
        assert!(text.contains("ended: 0\n"), "{text}");
        assert!(point > 20, "a kill at every call means many calls, not {point}");
        return;
    }
}

/// What comes now is what [`Ground::sweep`] kills: the probe waits for getppid(2).
pub fn begin() {
    let _ = std::os::unix::process::parent_id();
}

fn again(name: &str, words: &[&str]) -> Command {
    let test = std::env::current_exe().expect("/proc/self/exe");
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(test).args(["--exact", name, "--nocapture"]);
    command.env(TEST, name).env_remove(PHASE).stdin(Stdio::null());
    command
}

#[track_caller]
fn passed(name: &str, output: std::process::Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let good = output.status.success() && text.contains("\ntest result: ok. 1 passed;");
    assert!(good, "{name}: {}\n{text}{}", output.status, said(&output.stderr));
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The option of nsenter(1) for a container's network namespace.
pub fn net(attachment: &Attachment) -> String {
    format!("--net={}", attachment.netns.display())
}

/// Eleven pings from a container, as the seed's report has them; none may be lost.
#[track_caller]
pub fn ping(from: &Attachment, to: IpAddr) {
    let seen = pings(from, to);
    assert!(seen.contains("ping.received: 11\n"), "{from:?} to {to}: {seen}");
}

/// As [`ping`], of which the first few may be lost: a port that has just been put on a bridge takes
/// a moment.
#[track_caller]
pub fn reach(from: &Attachment, to: IpAddr) {
    let all = |_| pings(from, to).contains("ping.received: 11\n");
    assert!((0..10).any(all), "{from:?} to {to}");
}

#[track_caller]
fn pings(from: &Attachment, to: IpAddr) -> String {
    let probe = probe().to_str().expect("UTF-8");
    run(&["nsenter", &net(from), probe, "ping", &to.to_string(), "11"])
}

/// A program that must succeed; its standard output.
#[track_caller]
pub fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(output.status.success(), "{words:?}: {}", said(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A request to create a network.
pub fn request(name: &str, subnet: &str) -> NewNetwork {
    NewNetwork { name: name.into(), subnet: Subnet::parse(subnet).expect("a subnet"), mtu: None }
}

/// Create a network.
#[track_caller]
pub fn create(name: &str, subnet: &str) -> Network {
    network::create(Path::new(ROOT), &request(name, subnet))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Attach a container, all others being alive.
#[track_caller]
pub fn attach(request: &str, id: &str) -> Attachment {
    network::attach(Path::new(ROOT), request, id, &everybody)
        .unwrap_or_else(|error| panic!("{id}: {error}"))
}

/// Detach a container.
#[track_caller]
pub fn detach(attachment: &Attachment) {
    network::detach(Path::new(ROOT), attachment)
        .unwrap_or_else(|error| panic!("{attachment:?}: {error}"));
}

/// Remove a network, all containers being alive, or none.
#[track_caller]
pub fn remove(name: &str, alive: fn(&str) -> bool) {
    network::remove(Path::new(ROOT), name, &alive)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Every container is alive.
pub fn everybody(_: &str) -> bool {
    true
}

/// No container is alive.
pub fn nobody(_: &str) -> bool {
    false
}

/// The one network there is.
#[track_caller]
pub fn only() -> Network {
    let mut all = network::list(Path::new(ROOT)).expect("a list");
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// An address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Names of the interfaces in this process's network namespace, sorted.
pub fn interfaces() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/net/dev").expect("/proc/self/net/dev");
    let name = |line: &str| line.split(':').next().unwrap_or_default().trim().to_owned();
    let mut names: Vec<String> = table.lines().skip(2).map(name).collect();
    names.sort();
    names
}

/// Names in a directory, which may be missing, sorted.
pub fn names_in(path: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("UTF-8")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// No interface, namespace, mount or file of any network.
#[track_caller]
pub fn nothing_left() {
    assert_eq!(interfaces(), ["lo"]);
    assert_eq!(names_in("/run/netns"), [""; 0]);
    assert_eq!(names_in(ROOT), [""; 0]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    let of_ours = |line: &&str| line.contains(" - nsfs ") && line.contains("/run/netns/");
    assert_eq!(mounts.lines().find(of_ours), None);
}
