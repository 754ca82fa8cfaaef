//! Networks as a user sees them: by the command line, with containers attached.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::json;
use tiny_ce_test::{Bundle, Case, Need, probe, tiny_ce};

use crate::ground::{interfaces, isolated, names_in, run, sweep};

#[test]
fn two_containers_reach_each_other_by_commands() {
    isolated(&[], |_| {
        let case = Case::new();
        assert_eq!(case.tiny_ce(create("web")).ok(), "web\n");
        let (a, b) = (case.id(), case.id());
        let mut bundle = case.bundle();
        bundle.probe("interfaces then udp-echo 7");
        let mut waiting = attached(&case, "run", "web", &bundle, &a);
        let mut waiting = tiny_ce_test::Running::start(&mut waiting, case.dir());
        assert!(waiting.line("interface: lo").contains(" up "));
        assert!(waiting.line("interface: eth0").ends_with(" up 1500 10.0.0.2/24"));
        waiting.line("ready: udp-echo");
        let mut bundle = case.bundle();
        bundle.probe("udp-send 10.0.0.2 7 11");
        let done = attached(&case, "run", "web:10.0.0.77", &bundle, &b).output();
        let text = String::from_utf8(done.expect("tiny-ce").stdout).expect("UTF-8");
        assert!(text.contains("udp.received: 11\n"), "{text}");
        // The first has ended, and its address is free; the other runs.
        let rows = format!("web   10.0.0.0/24  tce-web  10.0.0.1  {a}\n");
        assert!(case.tiny_ce(["network", "list"]).ok().ends_with(&rows));
        assert_eq!(case.tiny_ce(["network", "list", "--quiet"]).ok(), "web\n");
        let shown = case.tiny_ce(["network", "show", "web"]);
        let member = format!("container  {a}  10.0.0.2  eth0  tce");
        assert!(
            shown.ok().contains(&member) && shown.ok().contains("stage      ready\n"),
            "{shown}"
        );
        let shown = case.tiny_ce(["network", "show", "web", "--format", "json"]);
        let shown: serde_json::Value = serde_json::from_str(shown.ok()).expect("JSON");
        let end = shown["containers"][0]["hostInterface"].as_str().expect("an interface");
        assert!(interfaces().contains(&end.to_owned()), "{shown}");
        let svg = case.tiny_ce(["network", "show", "web", "--format", "svg"]);
        for words in [a.as_str(), "10.0.0.2", "10.0.0.0/24", "tce-web", &format!("eth0 = {end} ")] {
            assert!(svg.ok().contains(words), "{words}: {svg}");
        }
        let missing = case.tiny_ce(["network", "show", "other"]);
        assert!(missing.fails().contains("network \"other\": does not exist"), "{missing}");
        let refused = case.tiny_ce(["network", "rm", "web"]);
        assert!(refused.fails().contains(&format!("is in use by container {a}\n")), "{refused}");
        case.tiny_ce(["delete", "--force", &a]).ok();
        waiting.done();
        case.tiny_ce(["network", "rm", "web"]).ok();
        assert_eq!(interfaces(), ["lo"]);
        assert_eq!(names_in("/run/netns"), [""; 0]);
    });
}

#[test]
fn delete_finds_what_a_killed_create_leaves() {
    isolated(&[], |_| {
        let case = Case::new();
        case.tiny_ce(create("web")).ok();
        let (id, log) = (case.id(), case.dir().join("log"));
        let mut bundle = case.bundle();
        bundle.probe("pause");
        // CI tries each of the more than 500 calls; elsewhere half a minute would be too long.
        let stride = if std::env::var("TINY_CE_CI").is_ok_and(|ci| ci == "1") { 1 } else { 7 };
        sweep(
            stride,
            |point| {
                let whole = attached(&case, "create", "web", &bundle, &id);
                let mut command = Command::new(probe());
                command.args(["kill-at", &point.to_string()]).arg(tiny_ce());
                command.args(whole.get_args()).current_dir(case.dir());
                // A file instead of a pipe, which the created container would hold open for as long
                // as it lives.
                command.stdin(Stdio::null()).stdout(File::create(&log).expect("a file"));
                command.status().expect("the probe");
                fs::read_to_string(&log).expect("the file")
            },
            |point| {
                case.tiny_ce(["delete", "--force", &id]).ok();
                assert_eq!(interfaces(), ["lo", "tce-web"], "{point}");
                assert_eq!(names_in("/run/netns"), [""; 0], "{point}");
            },
        );
        case.tiny_ce(["delete", "--force", &id]).ok();
        case.tiny_ce(["network", "rm", "web"]).ok();
        assert_eq!(run(&["cat", "/proc/self/net/dev"]).lines().count(), 3);
    });
}

#[test]
fn a_subnet_in_a_wider_route_is_a_warning() {
    isolated(&[Need::Program("ip")], |_| {
        let case = Case::new();
        case.tiny_ce(create("web")).ok();
        run(&["ip", "route", "add", "10.0.0.0/8", "via", "10.0.0.9"]);
        let words = ["network", "create", "b", "--subnet", "10.7.0.0/16", "--mtu", "1400"];
        let done = case.tiny_ce(words);
        assert_eq!(done.ok(), "b\n");
        let warning = "tiny-ce: warning: network \"b\": subnet 10.7.0.0/16 is part of the host's \
                       route to 10.0.0.0/8 through tce-web";
        assert!(done.stderr.starts_with(warning), "{done}");
        assert_eq!(done.stderr.lines().count(), 1, "{done}");
        assert!(case.tiny_ce(["network", "list", "-f", "json"]).ok().contains("\"mtu\": 1400"));
        let words = ["network", "create", "c", "--subnet", "10.8.0.0/16", "--mtu", "1279"];
        assert!(case.tiny_ce(words).fails().contains("an integer from 1280 to 65535"));
        case.tiny_ce(["network", "rm", "b"]).ok();
        case.tiny_ce(["network", "rm", "web"]).ok();
        assert_eq!(interfaces(), ["lo"]);
    });
}

/// If the image has no `/etc/hosts`, or an empty one, the container gets one of its own.
#[test]
fn a_containers_own_name_and_localhost_are_known() {
    isolated(&[], |_| {
        let case = Case::new();
        case.tiny_ce(create("web")).ok();
        let own = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                   10.0.0.2\tshop\n";
        let sees = |bundle: &Bundle, network: bool| {
            let mut command = match network {
                true => attached(&case, "run", "web", bundle, &case.id()),
                false => {
                    let mut command = case.command(["run", "--bundle"]);
                    command.arg(bundle.path()).arg(case.id());
                    command
                }
            };
            tiny_ce_test::run(&mut command, case.dir())
        };
        let fresh = || {
            let mut bundle = case.bundle();
            bundle.set("/hostname", "shop").probe("cat /etc/hosts then open /etc/hosts rw");
            bundle.push("/process/env", "HOME=/");
            bundle
        };
        // An image without the file, and one with an empty file; for any user.
        let mut bundle = fresh();
        bundle.set("/process/user/uid", 1000);
        let done = sees(&bundle, true);
        assert!(done.ok().starts_with(own), "{done}");
        assert_eq!(done.value("open /etc/hosts"), "EACCES");
        let bundle = fresh();
        bundle.file("etc/hosts", "");
        let done = sees(&bundle, true);
        assert!(done.ok().starts_with(own), "{done}");
        assert_eq!(done.value("open /etc/hosts"), "EROFS");
        assert_eq!(fs::read(bundle.rootfs().join("etc/hosts")).expect("the file"), b"");
        // The image's own file stays, and so does one that config.json mounts.
        bundle.file("etc/hosts", "192.0.2.1\tmine\n");
        assert!(sees(&bundle, true).ok().starts_with("192.0.2.1\tmine\n"));
        let mut bundle = fresh();
        let theirs = case.dir().join("theirs");
        fs::write(&theirs, "192.0.2.2\ttheirs\n").expect("a file");
        bundle.push(
            "/mounts",
            json!({"destination": "/etc/hosts", "type": "bind", "source": theirs,
                   "options": ["bind"]}),
        );
        assert!(sees(&bundle, true).ok().starts_with("192.0.2.2\ttheirs\n"));
        // A link in the image is left alone; a file system where nothing can be made still works;
        // without a network nothing is added.
        let mut bundle = fresh();
        bundle.probe("cat /etc/hosts");
        std::os::unix::fs::symlink("/nowhere", bundle.rootfs().join("etc/hosts")).expect("a link");
        assert_eq!(sees(&bundle, true).value("cat /etc/hosts"), "ENOENT");
        let mut bundle = fresh();
        bundle.probe("cat /etc/hosts");
        let rootfs = bundle.rootfs().to_str().expect("UTF-8").to_owned();
        bundle.path();
        run(&["mount", "--bind", &rootfs, &rootfs]);
        run(&["mount", "-o", "remount,bind,ro", &rootfs]);
        let done = sees(&bundle, true);
        run(&["umount", &rootfs]);
        assert_eq!(done.value("cat /etc/hosts"), "ENOENT", "{done}");
        assert_eq!(sees(&bundle, false).value("cat /etc/hosts"), "ENOENT");
        assert!(!bundle.rootfs().join("etc/hosts").exists());
        case.tiny_ce(["network", "rm", "web"]).ok();
    });
}

/// A kernel without IPv6 has neither of the two files that tell whether IPv6 is on.
#[test]
fn a_kernel_without_ipv6_has_networks_of_ipv4() {
    isolated(&[], |_| {
        let case = Case::new();
        run(&["mount", "-t", "tmpfs", "tmpfs", "/proc/sys/net/ipv6"]);
        let without = |command: &Command| {
            let script = "mount -t tmpfs tmpfs /proc/$$/net && exec \"$0\" \"$@\"";
            let mut words = Command::new("sh");
            words.args(["-c", script]).arg(command.get_program()).args(command.get_args());
            words.env("TINY_CE_CASE", case.tag()).current_dir(case.dir());
            tiny_ce_test::run(&mut words, case.dir())
        };
        assert_eq!(without(&case.command(create("web"))).ok(), "web\n");
        let mut bundle = case.bundle();
        bundle.probe("interfaces");
        let done = without(&attached(&case, "run", "web", &bundle, &case.id()));
        assert!(done.ok().contains("interface: eth0 up 1500 10.0.0.2/24\n"), "{done}");
        assert_eq!(run(&["cat", "/proc/sys/net/ipv4/conf/tce-web/rp_filter"]), "1\n");
        case.tiny_ce(["network", "rm", "web"]).ok();
    });
}

fn create(name: &str) -> [&str; 5] {
    ["network", "create", name, "--subnet", "10.0.0.0/24"]
}

fn attached(case: &Case, verb: &str, network: &str, bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command([verb, "--network", network, "--bundle"]);
    command.arg(bundle.path()).arg(id);
    command
}

/// `linux.netDevices`: an interface of the caller moves into the container, with its addresses and
/// under another name.
#[test]
fn an_interface_moves_into_a_container() {
    let need = [Need::Program("unshare"), Need::Program("ip")];
    let Some(case) = Case::root(&need) else { return };
    let mut bundle = case.bundle();
    bundle.set("/linux/netDevices", json!({"veth7": {"name": "eth5"}})).probe("interfaces");
    let script = "ip link add veth7 type veth peer name veth8 && \
                  ip addr add 10.77.0.7/24 dev veth7 && \"$@\" && \
                  ! ip link show veth7 2>/dev/null";
    let tiny_ce = tiny_ce();
    let (state, path, id) = (case.state(), bundle.path().to_owned(), case.id());
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let mut words = ["unshare", "--net", "sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    words.extend([text(&tiny_ce), "--root".into(), text(&state), "run".into(), "--bundle".into()]);
    words.extend([text(&path), id]);
    let done = case.program(words);
    let all = done.ok();
    assert!(all.contains("eth5") && all.contains("10.77.0.7"), "{done}");
    assert!(!all.contains("veth7"), "{done}");
    bundle.set("/linux/netDevices", json!({"nope0": {}}));
    let done = case.run(&bundle);
    assert!(done.fails().contains("linux.netDevices[\"nope0\"]"), "{done}");
}
