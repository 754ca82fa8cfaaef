//! `--network pasta` and `--network slirp4netns`: a container reaches what its caller's host can
//! reach, but not the services on that host's 127.0.0.1, and nothing outlives it.
//!
//! The host is the test's own network namespace, with a veth pair to another one, the world.

use std::fs::{self, File};
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tiny_ce_test::{Case, Done, Need, PATIENCE, Running, probe, tiny_ce};

use crate::ground::{isolated, run, sweep};

/// A user id that is not in the machine's /etc/passwd.
const CALLER: u32 = 54321;

const PROGRAMS: [&str; 2] = ["pasta", "slirp4netns"];

const NEEDS: &[Need] = &[
    Need::Program("pasta"),
    Need::Program("slirp4netns"),
    Need::Program("ip"),
    Need::Program("setpriv"),
    Need::File("/dev/net/tun"),
];

/// Where a service of the world is, and where the host's gateway.
const WORLD: &str = "192.0.2.2";

/// A host with services, and a world behind it. Dropping it ends the services.
struct Host {
    case: Case,
    services: Vec<Child>,
}

impl Drop for Host {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

impl Host {
    fn new() -> Host {
        let mut host = Host { case: Case::new(), services: Vec::new() };
        let namespace = host.service(&["unshare", "--net", "sleep", "1000"], false);
        let world = format!("/proc/{namespace}/ns/net");
        let end = Instant::now() + PATIENCE;
        while fs::read_link(&world).ok() == fs::read_link("/proc/self/ns/net").ok() {
            assert!(Instant::now() < end, "unshare(1)");
            std::thread::sleep(Duration::from_millis(2));
        }
        run(&["ip", "link", "set", "lo", "up"]);
        let pid = namespace.to_string();
        run(&["ip", "link", "add", "up0", "type", "veth", "peer", "name", "w0", "netns", &pid]);
        run(&["ip", "address", "add", "192.0.2.1/24", "dev", "up0"]);
        run(&["ip", "link", "set", "up0", "up"]);
        let net = format!("--net={world}");
        run(&["nsenter", &net, "ip", "address", "add", "192.0.2.2/24", "dev", "w0"]);
        run(&["nsenter", &net, "ip", "link", "set", "w0", "up"]);
        run(&["ip", "route", "add", "default", "via", WORLD]);
        let probe = probe().to_str().expect("UTF-8").to_owned();
        host.service(&["nsenter", &net, &probe, "udp-echo", "7"], true);
        host.service(&[&probe, "udp-echo", "9"], true);
        host.prepare();
        host
    }

    /// Start a service, and wait for its first line if it has one.
    fn service(&mut self, words: &[&str], ready: bool) -> u32 {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a service");
        if ready {
            let mut line = String::new();
            let output = child.stdout.take().expect("a pipe");
            let mut reader = std::io::BufReader::new(output);
            std::io::BufRead::read_line(&mut reader, &mut line).expect("a line");
            assert_eq!(line, "ready: udp-echo\n");
        }
        let pid = child.id();
        self.services.push(child);
        pid
    }

    /// A device for everybody, as udev makes it; programs and a state root for the caller, on a
    /// PATH that names the case, by which the programs are found if they are left behind.
    fn prepare(&self) {
        let dir = self.case.dir();
        for name in ["bin", "users"] {
            fs::create_dir(dir.join(name)).expect("a directory");
        }
        // The ground's own /run: nothing is mounted from the case's directory.
        fs::create_dir("/run/net").expect("a directory");
        chown(dir.join("users"), Some(CALLER), Some(CALLER)).expect("chown");
        run(&["mknod", "-m", "666", "/run/net/tun", "c", "10", "200"]);
        run(&["mount", "--bind", "/run/net", "/dev/net"]);
        for program in PROGRAMS {
            let found = run(&["sh", "-c", &format!("command -v {program}")]);
            symlink(found.trim(), dir.join("bin").join(program)).expect("a link");
        }
        for (from, name) in [(tiny_ce(), "tiny-ce"), (probe().to_owned(), "probe")] {
            run(&["cp", from.to_str().expect("UTF-8"), &self.text(name)]);
        }
        self.resolv("127.0.0.1");
    }

    /// Let the host have this resolver.
    fn resolv(&self, address: &str) {
        let file = "/run/resolv.conf";
        fs::write(file, format!("nameserver {address}\nsearch example.org\n")).expect("a file");
        run(&["mount", "--bind", file, "/etc/resolv.conf"]);
    }

    fn text(&self, name: &str) -> String {
        self.case.dir().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn state(&self, root: bool) -> PathBuf {
        if root { self.case.state() } else { self.case.dir().join("users") }
    }

    /// `tiny-ce --root STATE WORDS…`, by root or by the caller.
    fn command(&self, root: bool, words: &[&str]) -> Command {
        let mut all: Vec<String> = Vec::new();
        if !root {
            let setpriv = format!("setpriv --reuid {CALLER} --regid {CALLER} --clear-groups");
            all.extend(setpriv.split(' ').map(str::to_owned));
        }
        let state = self.state(root);
        all.extend([self.text("tiny-ce"), "--root".into(), state.to_str().expect("UTF-8").into()]);
        all.extend(words.iter().map(|word| word.to_string()));
        let mut command = Command::new(&all[0]);
        let path = std::env::var("PATH").expect("PATH");
        command.args(&all[1..]).env("PATH", format!("{}:{path}", self.text("bin")));
        command.env("TINY_CE_CASE", self.case.tag()).current_dir(self.case.dir());
        command
    }

    fn tiny_ce(&self, root: bool, words: &[&str]) -> Done {
        tiny_ce_test::run(&mut self.command(root, words), self.case.dir())
    }

    /// What the probe says in a container with this network.
    fn seen(&self, root: bool, network: &[&str], commands: &str) -> Done {
        let tag = format!("TINY_CE_CASE={}", self.case.tag());
        let probe = self.text("probe");
        let mut words = vec!["run", "--env", &tag];
        words.extend(network);
        words.extend(["--", &probe]);
        words.extend(commands.split_whitespace());
        self.tiny_ce(root, &words)
    }

    /// No program and no watcher is left.
    #[track_caller]
    fn nothing_left(&self, what: impl std::fmt::Debug) {
        let left = self.case.leftovers();
        assert_eq!(left, Vec::<String>::new(), "{what:?}");
    }
}

/// Whether a service answers.
fn answers(done: &Done) -> Vec<bool> {
    done.values("udp.received").iter().map(|count| *count == "1").collect()
}

#[test]
fn a_container_reaches_the_world_and_not_the_hosts_loopback() {
    isolated(NEEDS, |_| {
        let host = Host::new();
        // The world; the host's loopback, by its own address and by those that would lead there.
        let send = format!(
            "udp-send {WORLD} 7 1 then udp-send 127.0.0.1 9 1 then udp-send {WORLD} 9 1 \
             then udp-send 10.0.2.2 9 1"
        );
        for root in [true, false] {
            for program in PROGRAMS {
                let done = host.seen(root, &["--network", program], &send);
                assert_eq!(answers(&done), [true, false, false, false], "{root}: {done}");
                assert_eq!(done.stderr, "", "{root}: {done}");
                host.nothing_left((root, program));
            }
            let done = host.seen(root, &["--network", "host"], &send);
            assert_eq!(answers(&done)[..2], [true, true], "{root}: {done}");
            assert!(!answers(&host.seen(root, &[], &send)).contains(&true), "{root}");
        }
    });
}

/// A bundle of root's, whose user namespace root owns.
#[test]
fn a_bundle_with_a_user_namespace_has_a_network() {
    isolated(NEEDS, |_| {
        let host = Host::new();
        let mut bundle = host.case.bundle();
        bundle.namespace("user", None).without_namespace("cgroup");
        for field in ["uidMappings", "gidMappings"] {
            let map = serde_json::json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
            bundle.set(&format!("/linux/{field}"), map);
        }
        bundle.set("/root/readonly", true);
        bundle.probe(&format!("udp-send {WORLD} 7 1"));
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        for program in PROGRAMS {
            let words = ["run", "--network", program, "--bundle", &path, &host.case.id()];
            let done = host.tiny_ce(true, &words);
            assert_eq!(answers(&done), [true], "{program}: {done}");
            host.nothing_left(program);
        }
    });
}

#[test]
fn a_resolver_of_the_host_is_reached_through_the_program() {
    isolated(NEEDS, |_| {
        let mut host = Host::new();
        let probe = probe().to_str().expect("UTF-8").to_owned();
        // Port 53 of every address of the host, 127.0.0.1 among them.
        host.service(&[&probe, "udp-echo", "53"], true);
        for root in [true, false] {
            for (program, address) in PROGRAMS.into_iter().zip(["169.254.1.1", "10.0.2.3"]) {
                let look = format!("cat /etc/resolv.conf then say - then udp-send {address} 53 1");
                let done = host.seen(root, &["--network", program], &look);
                let expected = format!("nameserver {address}\nsearch example.org\n-\n");
                assert!(done.stdout.contains(&expected), "{root}: {done}");
                assert_eq!(answers(&done), [true], "{root}: {done}");
            }
        }
        // One that can be reached stays, and so does a file that the user mounts there.
        host.resolv(WORLD);
        let network = ["--network", "pasta"];
        let done = host.seen(false, &network, "cat /etc/resolv.conf");
        assert!(done.ok().contains("nameserver 192.0.2.2\nsearch"), "{done}");
        host.resolv("127.0.0.1");
        let own = host.text("own");
        fs::write(&own, "nameserver 192.0.2.9\n").expect("a file");
        let volume = format!("{own}:/etc/resolv.conf");
        let done =
            host.seen(false, &[&network[..], &["-v", &volume]].concat(), "cat /etc/resolv.conf");
        assert!(done.ok().contains("nameserver 192.0.2.9\n"), "{done}");
        // A container without a way out sees the host's.
        assert!(host.seen(false, &[], "cat /etc/resolv.conf").ok().contains("127.0.0.1\n"));
    });
}

/// However a container ends, its program ends with it.
#[test]
fn the_program_ends_with_its_container() {
    isolated(NEEDS, |_| {
        let host = Host::new();
        for root in [true, false] {
            for program in PROGRAMS {
                let id = host.case.id();
                let detached = |name: &str| {
                    let probe = host.text("probe");
                    let words = ["run", "-d", "--network", program, "--name", name, "--", &probe];
                    host.tiny_ce(root, &[&words[..], &["pause"]].concat()).ok();
                };
                // By kill -9 of its init, with no launcher left.
                detached(&id);
                assert_eq!(running(&host, program).len(), 1, "{program}");
                host.tiny_ce(root, &["kill", &id, "KILL"]).ok();
                unwatched(&host, program);
                host.tiny_ce(root, &["delete", &id]).ok();
                host.nothing_left((root, program));
                // By delete.
                detached(&id);
                host.tiny_ce(root, &["delete", "--force", &id]).ok();
                assert_eq!(running(&host, program), [""; 0], "{root}, {program}");
                host.nothing_left((root, program));
                // By kill -9 of the process that watches over it.
                detached(&id);
                let watcher = running(&host, &format!("tiny-ce-init\0--\0{}", bin(&host, program)));
                run(&["kill", "-KILL", &watcher[0]]);
                unwatched(&host, program);
                host.tiny_ce(root, &["delete", "--force", &id]).ok();
                host.nothing_left((root, program));
            }
        }
    });
}

/// Where a program of this case is.
fn bin(host: &Host, program: &str) -> String {
    host.text(&format!("bin/{program}"))
}

/// The pids of processes whose command line begins with a program of this case, or with a text.
fn running(host: &Host, program: &str) -> Vec<String> {
    let begin = match PROGRAMS.contains(&program) {
        true => bin(host, program),
        false => program.to_owned(),
    };
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let begins = |entry: &fs::DirEntry| {
        fs::read(entry.path().join("cmdline")).unwrap_or_default().starts_with(begin.as_bytes())
    };
    all.filter(begins).map(|entry| entry.file_name().into_string().expect("UTF-8")).collect()
}

#[track_caller]
fn unwatched(host: &Host, program: &str) {
    let end = Instant::now() + PATIENCE;
    while !running(host, program).is_empty() {
        assert!(Instant::now() < end, "{program} outlives its container");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The launcher is killed before each of its system calls, or a part of them.
#[test]
fn a_killed_launcher_leaves_no_program() {
    isolated(NEEDS, |_| {
        let host = Host::new();
        let (id, log) = (host.case.id(), host.case.dir().join("log"));
        let mut bundle = host.case.bundle();
        bundle.probe("pause");
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let stride = if std::env::var("TINY_CE_CI").is_ok_and(|ci| ci == "1") { 3 } else { 17 };
        for program in PROGRAMS {
            let words = ["create", "--network", program, "--bundle", &path, &id];
            let whole = host.command(true, &words);
            sweep(
                stride,
                |point| {
                    let mut command = Command::new(probe());
                    command.args(["kill-at", &point.to_string()]).arg(whole.get_program());
                    command.args(whole.get_args()).current_dir(host.case.dir());
                    command.envs(whole.get_envs().filter_map(|(k, v)| Some((k, v?))));
                    // Not a pipe, which the container would hold open for as long as it lives.
                    command.stdin(Stdio::null()).stdout(File::create(&log).expect("a file"));
                    command.status().expect("the probe");
                    fs::read_to_string(&log).expect("the file")
                },
                |point| {
                    host.tiny_ce(true, &["delete", "--force", &id]).ok();
                    host.nothing_left((program, point));
                },
            );
            host.tiny_ce(true, &["delete", "--force", &id]).ok();
            host.nothing_left(program);
        }
    });
}

#[test]
fn a_program_that_fails_is_one_error() {
    isolated(NEEDS, |_| {
        let host = Host::new();
        // The kernel refuses the device to a user.
        run(&["chmod", "600", "/run/net/tun"]);
        for program in PROGRAMS {
            let done = host.seen(false, &["--network", program], "exit 0");
            let text = format!("--network {program}: {program} has ended instead of making");
            assert!(done.fails().contains(&text), "{done}");
            assert!(done.stderr.contains("\n  hint: chmod 0666 /dev/net/tun"), "{done}");
            host.nothing_left(program);
        }
        // Its own words are in the error.
        let script = host.case.dir().join("bin/pasta");
        fs::remove_file(&script).expect("a link");
        fs::write(&script, "#!/bin/sh\necho first >&2\necho no such luck >&2\nexit 3\n")
            .expect("a script");
        run(&["chmod", "755", script.to_str().expect("UTF-8")]);
        let done = host.seen(true, &["--network", "pasta"], "exit 0");
        assert!(done.fails().contains("a network: no such luck"), "{done}");
        assert!(done.stderr.contains("\n  | first\n"), "{done}");
        host.nothing_left("a script");
        // It is not there.
        let mut command = host.command(true, &["run", "--network", "pasta", "--", "/bin/true"]);
        let done = tiny_ce_test::run(command.env("PATH", host.text("users")), host.case.dir());
        assert!(done.fails().contains("--network pasta: pasta is not on PATH"), "{done}");
        assert!(done.stderr.contains("install passt"), "{done}");
    });
}

/// A container in the foreground ends by a signal to its launcher, and waits for it alone.
#[test]
fn a_signal_ends_container_and_program() {
    isolated(NEEDS, |_| {
        let host = Host::new();
        let probe = host.text("probe");
        let words = ["run", "--network", "slirp4netns", "--", &probe, "say", "up", "then", "pause"];
        let mut container = Running::start(&mut host.command(false, &words), host.case.dir());
        container.line("up");
        assert_eq!(running(&host, "slirp4netns").len(), 1);
        container.signal("TERM");
        let done = container.done();
        assert_eq!(done.status.code(), Some(143), "{done}");
        assert_eq!(running(&host, "slirp4netns"), [""; 0], "run waits for its end");
        host.nothing_left("TERM");
    });
}
