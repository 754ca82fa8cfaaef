//! Options: memory in steps, terminals, mounts and namespaces of the host, hooks.

use super::{
    case, checkpoint, counted, counting, images, number, restore, shell, started, tracks_memory,
};
use serde_json::json;
use std::io::Write;
use std::process::Command;
use tiny_ce_test::{Case, Need, Running, probe, skip};

#[test]
fn memory_is_dumped_in_steps() {
    let Some(case) = case() else { return };
    if !tracks_memory() {
        return skip("needs a kernel with CONFIG_MEM_SOFT_DIRTY");
    }
    let bundle = counting(&case);
    let container = started(&case, &bundle);
    let (first, second) = (case.dir().join("first"), case.dir().join("second"));
    checkpoint(&case, &first, &["--pre-dump", container.id()]).ok();
    assert_eq!(container.status(), "running");
    let id = container.id().to_owned();
    checkpoint(&case, &second, &["--parent-path", "../first", &id]).ok();
    assert!(second.join("parent").is_symlink(), "an image of what has changed");
    container.gone();
    let last = counted(&bundle);
    let running = &mut restore(&case, &bundle, &second, &["--detach", &id]);
    running.exited().ok();
    assert!(number(&running.line("n=")) >= last);
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn a_paused_container_can_be_checkpointed() {
    let Some(case) = case() else { return };
    let (bundle, images) = (counting(&case), images(&case));
    let container = started(&case, &bundle);
    let id = container.id().to_owned();
    case.tiny_ce(["pause", &id]).ok();
    checkpoint(&case, &images, &["--work-path", "logs", &id]).ok();
    container.gone();
    assert!(case.dir().join("logs/dump.log").exists());
    let running = &mut restore(&case, &bundle, &images, &["--detach", &id]);
    running.exited().ok();
    running.line("n=");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

/// On a machine with both versions of cgroups CRIU knows one freezer, and `pause` uses the other.
#[test]
fn a_paused_container_that_is_left_running_stays_paused() {
    let Some(case) = case() else { return };
    let (bundle, images) = (counting(&case), images(&case));
    let mut container = started(&case, &bundle);
    let id = container.id().to_owned();
    case.tiny_ce(["pause", &id]).ok();
    checkpoint(&case, &images, &["--leave-running", &id]).ok();
    assert_eq!(container.status(), "paused");
    let now = counted(&bundle);
    case.tiny_ce(["resume", &id]).ok();
    assert_eq!(container.status(), "running");
    container.line(&format!("n={}", now + 3));
    // Nothing frozen is left, which would be in the way of the next container at this path.
    container.kill("KILL");
    container.ended();
    container.delete();
    case.create(&bundle).delete();
}

/// Engines leave the cgroup namespace out where cgroups are of version 1.
#[test]
fn mounts_of_the_hosts_cgroups_are_restored() {
    let Some(case) = case() else { return };
    let (file, kind) = match tiny_ce_test::cgroup_v2() {
        true => ("/sys/fs/cgroup/cgroup.procs", "cgroup2"),
        false => ("/sys/fs/cgroup/pids/tasks", "cgroup"),
    };
    // CRIU restores no sleep: it ends at once.
    let script = "exec /bin/busybox tail -f /dev/null";
    for options in [&["nosuid", "noexec", "nodev", "ro"][..], &["nosuid", "noexec", "nodev"]] {
        let mut bundle = shell(&case, script);
        bundle.without_namespace("network").without_namespace("cgroup");
        let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["type"] != "cgroup");
        let mount = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": options});
        bundle.push("/mounts", mount);
        let images = case.dir().join(options.len().to_string());
        let container = case.create(&bundle);
        container.start();
        let id = container.id().to_owned();
        checkpoint(&case, &images, &[&id]).ok();
        container.gone();
        restore(&case, &bundle, &images, &["--detach", &id]).exited().ok();
        let read = case.tiny_ce(["exec", &id, "/bin/busybox", "wc", "-l", file]);
        // The program, and the one that counts.
        assert!(read.ok().starts_with('2'), "{read}");
        let mounts = case.tiny_ce(["exec", &id, "/bin/busybox", "cat", "/proc/self/mountinfo"]);
        let attributes = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            let shown = line.contains(&format!(" - {kind} "));
            shown.then(|| fields[5].split(',').next().expect("ro or rw").to_owned())
        };
        let all: Vec<String> = mounts.ok().lines().filter_map(attributes).collect();
        let wanted = if options.contains(&"ro") { "ro" } else { "rw" };
        assert!(!all.is_empty() && all.iter().all(|it| it == wanted), "{mounts}");
        case.tiny_ce(["delete", "--force", &id]).ok();
    }
}

/// Start a program that receives a terminal's master from a socket, and keeps it.
fn console(case: &Case, name: &str) -> (Running, String) {
    let path = case.dir().join(name).to_str().expect("UTF-8").to_owned();
    let mut command = Command::new(probe());
    command.args(["console", &path]).env("TINY_CE_CASE", case.tag());
    let mut sitting = Running::start(&mut command, case.dir());
    sitting.line("ready: console");
    (sitting, path)
}

#[test]
fn a_terminal_goes_to_a_new_console_socket() {
    let Some(case) = case() else { return };
    let images = images(&case);
    let script = "n=0; while read line; do n=$((n+1)); echo got $n $line; done";
    let mut bundle = shell(&case, script);
    bundle.without_namespace("network").set("/process/terminal", true);
    let (mut first, socket) = console(&case, "one");
    let id = case.id();
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let line = ["run", "--detach", "--console-socket", &socket, "--bundle", &path, &id];
    case.tiny_ce(line).ok();
    first.stdin().expect("a pipe").write_all(b"one\n").expect("typed");
    first.line("got 1 one");
    checkpoint(&case, &images, &[&id]).ok();
    let (mut second, socket) = console(&case, "two");
    let more = ["--detach", "--console-socket", &socket, &id];
    restore(&case, &bundle, &images, &more).exited().ok();
    second.line("received: ");
    second.stdin().expect("a pipe").write_all(b"two\n").expect("typed");
    second.line("got 2 two");
    // Without --console-socket, nothing is restored.
    let done = restore(&case, &bundle, &images, &["--detach", &case.id()]).exited();
    assert!(done.fails().contains("cannot allocate tty"), "{done}");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn restore_finds_mounts_of_the_host_at_their_present_paths() {
    let Some(case) = case() else { return };
    let images = images(&case);
    let outside = case.dir().join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::fs::write(outside.join("file"), "one").expect("a file");
    let mut bundle = counting(&case);
    // A mount below a link of the image, and one on another mount; a tmpfs with a file in it.
    std::os::unix::fs::symlink("srv", bundle.rootfs().join("link")).expect("a link");
    let source = outside.to_str().expect("UTF-8").to_owned();
    bundle.bind(&source, "/link/data", &["bind", "ro"]);
    bundle.bind(&format!("{source}/file"), "/mnt/deep/file", &["bind"]);
    bundle.push("/mounts", json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}));
    bundle.set("/linux/maskedPaths", json!(["/proc/kcore", "/proc/scsi", "/etc/group"]));
    let container = started(&case, &bundle);
    let id = container.id().to_owned();
    case.tiny_ce(["exec", &id, "/probe", "write", "/scratch/kept", "kept"]).ok();
    checkpoint(&case, &images, &[&id]).ok();
    container.gone();
    std::fs::write(outside.join("file"), "two").expect("a file");
    // A mount point that another machine lacks is made again.
    std::fs::remove_dir_all(bundle.rootfs().join("mnt")).expect("a mount point");
    restore(&case, &bundle, &images, &["--detach", &id]).exited().ok();
    let cat = |path: &str| case.tiny_ce(["exec", &id, "/probe", "cat", path]).ok().to_owned();
    assert_eq!(cat("/srv/data/file"), "two");
    assert_eq!(cat("/mnt/deep/file"), "two");
    assert_eq!(cat("/scratch/kept"), "kept");
    assert_eq!(cat("/etc/group"), "");
    let write = case.tiny_ce(["exec", &id, "/probe", "write", "/srv/data/file", "three"]);
    assert_eq!(write.value("write /srv/data/file"), "EROFS");
    case.tiny_ce(["delete", "--force", &id]).ok();
}

#[test]
fn a_network_namespace_that_was_joined_is_joined_again() {
    let Some(case) = super::case() else { return };
    if !tiny_ce_test::met(&[Need::Program("ip")]) {
        return;
    }
    let images = images(&case);
    case.program(["ip", "netns", "add", case.tag()]).ok();
    let path = std::path::Path::new("/run/netns").join(case.tag());
    let mut bundle = counting(&case);
    bundle.namespace("network", Some(&path));
    let container = started(&case, &bundle);
    let id = container.id().to_owned();
    checkpoint(&case, &images, &["--network-lock", "nftables", "--file-locks", &id]).ok();
    container.gone();
    restore(&case, &bundle, &images, &["--detach", &id]).exited().ok();
    let seen = case.tiny_ce(["exec", &id, "/probe", "readlink", "/proc/self/ns/net"]);
    let of_name =
        case.program(["ip", "netns", "exec", case.tag(), "readlink", "/proc/self/ns/net"]);
    assert_eq!(seen.value("readlink /proc/self/ns/net"), of_name.ok().trim());
    case.tiny_ce(["delete", "--force", &id]).ok();
    case.program(["ip", "netns", "delete", case.tag()]).ok();
}

#[test]
fn hooks_run_before_the_restored_program_continues() {
    let Some(case) = case() else { return };
    let (mut bundle, images) = (counting(&case), images(&case));
    let container = started(&case, &bundle);
    let id = container.id().to_owned();
    checkpoint(&case, &images, &[&id]).ok();
    container.gone();
    let told = case.dir().join("told");
    let script = format!("cat > {}", told.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    bundle.set("/hooks/createRuntime", hook);
    restore(&case, &bundle, &images, &["--detach", &id]).exited().ok();
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&told).expect("a state")).expect("JSON");
    assert_eq!(state["status"], "creating");
    assert_eq!(state["id"], id);
    case.tiny_ce(["delete", "--force", &id]).ok();
    // If a hook fails there is no container; the end of the case checks that nothing is left.
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 7"]}]);
    bundle.set("/hooks/createRuntime", hook);
    let done = restore(&case, &bundle, &images, &["--detach", &id]).exited();
    assert!(
        done.fails().contains("hooks.createRuntime[0] \"/bin/sh\": exit status 7: no"),
        "{done}"
    );
    assert!(case.tiny_ce(["state", &id]).fails().contains("does not exist"));
}
