//! `run` without a bundle shows the host's files as they are, to root and to everybody else, and
//! the host keeps them so.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;
use tiny_ce_test::{Case, Done, Need, Running, probe, tiny_ce};

/// A user id that is not in the machine's /etc/passwd.
const CALLER: u32 = 54321;

/// A script that mounts a file system on /mnt, in a mount namespace of its own, and then runs the
/// command that it is given.
fn script(case: &Case, mounts: &str) -> String {
    let path = case.dir().join("script");
    let text = format!(
        "set -e\n\
         cd {}\n\
         mount -t tmpfs {} /mnt\n\
         {mounts}\n\
         chmod -R a+rwX /mnt 2>/dev/null || true\n\
         \"$@\"\n",
        case.dir().display(),
        case.tag(),
    );
    fs::write(&path, text).expect("a script");
    path.to_str().expect("UTF-8").to_owned()
}

/// `tiny-ce run OPTIONS… -- PROBE COMMANDS…` on a host with these mounts, and then a command of the
/// host's; by root or by the caller.
fn seen(
    case: &Case,
    root: bool,
    mounts: &str,
    options: &[&str],
    commands: &str,
    then: &str,
) -> Done {
    let state = case.state();
    if !state.exists() {
        fs::create_dir(&state).expect("a state root");
        chown(&state, Some(CALLER), Some(CALLER)).expect("chown");
        for (from, name) in [(tiny_ce(), "tiny-ce"), (probe().to_owned(), "probe")] {
            let to = case.dir().join(name);
            case.program(["cp", from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8")]).ok();
        }
    }
    let state = if root { case.dir().join("roots") } else { state };
    let text = |name: &str| case.dir().join(name).to_str().expect("UTF-8").to_owned();
    let (tiny_ce, probe) = (text("tiny-ce"), text("probe"));
    let script = script(case, &format!("{mounts}\nafter() {{ {then}; }}\ntrap after EXIT"));
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", &script];
    let mut words: Vec<String> = unshare.map(str::to_owned).to_vec();
    if !root {
        let setpriv = format!("setpriv --reuid {CALLER} --regid {CALLER} --clear-groups");
        words.extend(setpriv.split(' ').map(str::to_owned));
    }
    let tag = format!("TINY_CE_CASE={}", case.tag());
    words.extend([&tiny_ce, "--root", state.to_str().expect("UTF-8")].map(str::to_owned));
    words.extend(
        ["run", "--env", &tag].into_iter().chain(options.iter().copied()).map(str::to_owned),
    );
    words.extend(["--".to_owned(), probe]);
    words.extend(commands.split_whitespace().map(str::to_owned));
    case.program(words)
}

/// Directories on five mounts of five kinds, each with a file; the fifth is a file itself.
const FIVE: &str = "\
    mkdir /mnt/tmpfs /mnt/ext4 /mnt/overlay /mnt/deep /mnt/l /mnt/u /mnt/w /mnt/u2 /mnt/w2\n\
    echo hidden >/mnt/tmpfs/hidden\n\
    mount -t tmpfs t /mnt/tmpfs; echo of-tmpfs >/mnt/tmpfs/file\n\
    truncate -s 4M image; mkfs.ext4 -q image; mount -o loop image /mnt/ext4\n\
    echo of-ext4 >/mnt/ext4/file\n\
    echo of-overlay >/mnt/l/file\n\
    mount -t overlay o -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w /mnt/overlay\n\
    mount -t overlay d -o lowerdir=/mnt/overlay,upperdir=/mnt/u2,workdir=/mnt/w2 /mnt/deep\n\
    echo of-file >bound; echo below >/mnt/single; mount --bind bound /mnt/single\n\
    chown -R 54321:54321 /mnt\n";

const FILES: [&str; 5] =
    ["/mnt/tmpfs/file", "/mnt/ext4/file", "/mnt/overlay/file", "/mnt/deep/file", "/mnt/single"];

#[test]
fn mounts_of_five_kinds_are_there_and_keep_what_they_have() {
    let Some(case) = Case::root(&["setpriv", "mkfs.ext4"].map(Need::Program)) else { return };
    let shown: Vec<String> = FILES.iter().map(|file| format!("cat {file} then say -")).collect();
    let written: Vec<String> =
        FILES.iter().map(|file| format!("write {file} changed then write {file}.new x")).collect();
    let commands = format!("{} then {}", shown.join(" then "), written.join(" then "));
    let commands =
        format!("{commands} then cat /mnt/ext4/file then say - then open /mnt/tmpfs/hidden r");
    let after = format!("ls -R /mnt; cat {}", FILES.join(" "));
    for root in [true, false] {
        let done = seen(&case, root, FIVE, &[], &commands, &after);
        let expected = "of-tmpfs\n-\nof-ext4\n-\nof-overlay\n-\nof-overlay\n-\nof-file\n-\n";
        assert!(done.stdout.contains(expected), "{done}");
        // The changes are the container's.
        for file in &FILES[..3] {
            assert_eq!(done.value(&format!("write {file}")), "ok", "{done}");
            assert_eq!(done.value(&format!("write {file}.new")), "ok", "{done}");
        }
        assert!(done.stdout.contains("\nchanged-\n"), "{done}");
        // A file alone, and an overlay of an overlay of an overlay, cannot be changed.
        for file in &FILES[3..] {
            assert_eq!(done.value(&format!("write {file}")), "EROFS", "{done}");
        }
        let warning = "/mnt/deep: read-only, since it cannot be overlaid";
        assert_eq!(done.stderr.matches(warning).count(), 1, "{done}");
        assert_eq!(done.value("open /mnt/tmpfs/hidden"), "ENOENT");
        let host = done.stdout.rsplit_once("/mnt:\n").expect("the host's").1;
        assert!(!host.contains("changed") && !host.contains(".new"), "{done}");
        assert!(host.ends_with("of-tmpfs\nof-ext4\nof-overlay\nof-overlay\nof-file\n"), "{done}");
    }
}

#[test]
fn the_working_directory_may_be_on_a_mount() {
    let Some(case) = Case::root(&[Need::Program("setpriv")]) else { return };
    for root in [true, false] {
        let mount = "mkdir /mnt/a; mount -t tmpfs t /mnt/a; mkdir -m 1777 /mnt/a/b; \
                     chown 54321:54321 /mnt/a/b; chown 7:8 /mnt/a";
        let commands = "cwd then stat /mnt/a then write x y";
        let done = seen(&case, root, mount, &["--cwd", "/mnt/a/b"], commands, "ls /mnt/a/b");
        assert_eq!(done.value("cwd"), "/mnt/a/b", "{done}");
        assert_eq!(done.value("write x"), "ok", "{done}");
        if root {
            let stat = done.value("stat /mnt/a");
            assert!(stat.contains("uid=7") && stat.contains("gid=8"), "{done}");
        }
        let done = seen(&case, root, mount, &["--read-only"], "write /mnt/a/x y", ":");
        assert_eq!(done.value("write /mnt/a/x"), "EROFS", "{done}");
    }
}

/// What the kernel shows as files is the host's, and what engines mount is of other containers.
#[test]
fn the_kernels_own_file_systems_are_not_shown() {
    let Some(case) = Case::root(&[Need::Program("setpriv")]) else { return };
    let mounts = "mkdir /mnt/proc /mnt/deep /mnt/deep/proc; echo x >/mnt/proc/hidden\n\
                  mount -t proc p /mnt/proc; mount -t proc p /mnt/deep/proc";
    for root in [true, false] {
        let done = seen(
            &case,
            root,
            mounts,
            &[],
            "open /mnt/proc/version r then open /mnt/proc/hidden r then open /mnt/deep/proc/stat r",
            ":",
        );
        for file in ["/mnt/proc/version", "/mnt/proc/hidden", "/mnt/deep/proc/stat"] {
            assert_eq!(done.value(&format!("open {file}")), "ENOENT", "{done}");
        }
    }
}

#[test]
fn a_caller_without_privileges_runs_a_command() {
    let Some(case) = Case::root(&[Need::Program("setpriv")]) else { return };
    let commands = "ids then pid then write /var/tmp/new x then write /new x then \
                    open /dev/null rw then processes";
    let done = seen(&case, false, "", &[], commands, "ls /");
    assert_eq!(done.value("uid"), "0 0 0", "{done}");
    assert_eq!(done.value("pid"), "2");
    assert_eq!(done.value("write /new"), "ok", "{done}");
    assert_eq!(done.value("write /var/tmp/new"), "ok", "{done}");
    assert_eq!(done.value("open /dev/null"), "ok", "{done}");
    assert!(!done.stdout.contains("\nnew\n"), "{done}");
    assert_eq!(done.stderr, "", "{done}");
}

/// A service on the host's loopback is the host's, whoever starts the container.
#[test]
fn the_hosts_network_is_seen_if_asked_for() {
    let Some(case) = Case::root(&[Need::Program("setpriv")]) else { return };
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    let echo = std::thread::spawn(move || {
        let (mut packet, mut count) = ([0; 64], 0);
        while let Ok((size, from)) = socket.recv_from(&mut packet) {
            if size == 1 {
                break;
            }
            count += 1;
            socket.send_to(&packet[..size], from).expect("an answer");
        }
        count
    });
    let send = format!("udp-send 127.0.0.1 {port} 1");
    for root in [true, false] {
        for (options, received) in
            [(&[][..], "0"), (&["--network", "none"], "0"), (&["--network", "host"], "1")]
        {
            let done = seen(&case, root, "", options, &send, ":");
            assert_eq!(done.value("udp.received"), received, "{root} {options:?}: {done}");
        }
    }
    let stop = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    stop.send_to(&[0], ("127.0.0.1", port)).expect("the end");
    assert_eq!(echo.join().expect("an echo"), 2);
}

#[test]
fn a_network_namespace_is_joined_by_its_path() {
    let Some(case) = Case::root(&[]) else { return };
    let probe = probe().to_str().expect("UTF-8");
    let words = ["--net", probe, "pause", case.tag()];
    let mut other = Running::start(Command::new("unshare").args(words), case.dir());
    other.line("ready:");
    let path = format!("/proc/{}/ns/net", other.pid());
    let inode = fs::read_link(&path).expect("a namespace").display().to_string();
    let (network, tag) = (format!("ns:{path}"), format!("TINY_CE_CASE={}", case.tag()));
    let run = ["run", "--env", &tag, "--network", &network, "--"];
    let done = case.tiny_ce([&run[..], &["readlink", "/proc/self/ns/net"]].concat());
    assert_eq!(done.ok().trim(), inode);
    let done = case.tiny_ce(["run", "--network", "ns:./x", "--", "true"]);
    assert!(done.fails().contains("not an absolute path"), "{done}");
    other.signal("KILL");
    other.done();
}

/// As after `su USER` and in a cron job.
#[test]
fn without_a_runtime_directory_the_state_is_below_tmp() {
    let Some(case) = Case::root(&[Need::Program("setpriv")]) else { return };
    let tmp = case.dir().join("tmp");
    fs::create_dir(&tmp).expect("a directory");
    for (from, name) in [(tiny_ce(), "tiny-ce"), (probe().to_owned(), "probe")] {
        let to = tmp.join(name);
        case.program(["cp", from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8")]).ok();
    }
    let script = case.dir().join("script");
    let text = format!(
        "mount --bind {} /tmp; chmod 1777 /tmp; eval \"$FIRST\"; \
         exec setpriv --reuid {CALLER} --regid {CALLER} --clear-groups \
         env --unset XDG_RUNTIME_DIR /tmp/tiny-ce \"$@\"",
        tmp.display(),
    );
    fs::write(&script, text).expect("a script");
    let script = script.to_str().expect("UTF-8");
    let own = format!("/tmp/tiny-ce-{CALLER}");
    let run = |first: &str, words: &[&str]| {
        let first = format!("FIRST={first}");
        let unshare = ["env", &first, "unshare", "--mount", "--propagation", "private", "sh"];
        case.program([&unshare[..], &[script], words].concat())
    };
    let tag = format!("TINY_CE_CASE={}", case.tag());
    let words = ["run", "--env", &tag, "--", "/tmp/probe", "ids"];
    assert_eq!(run(":", &words).ok().lines().next(), Some("uid: 0 0 0"));
    let made = fs::metadata(tmp.join(format!("tiny-ce-{CALLER}"))).expect("a directory");
    assert_eq!((made.mode() & 0o7777, made.uid()), (0o1700, CALLER));
    for first in [
        format!("chmod 755 {own}"),
        format!("chown 7 {own}"),
        format!("rm -r {own}; ln -s /tmp/x {own}; mkdir -m 700 /tmp/x; chown {CALLER} /tmp/x"),
    ] {
        let done = run(&first, &words);
        let text = format!("{own}: not a directory that only the caller can enter");
        assert!(done.fails().contains(&text), "{first}: {done}");
    }
}
