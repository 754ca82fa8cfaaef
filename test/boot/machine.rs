//! The first process: what it makes of a machine, the order of containers, how a machine ends.

use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use tiny_ce_test::{Case, Done, Need, Running, met, run};

use super::{QEMU, SUITES, kernel, modules, optimised, rootfs, small_tiny_ce, text};

/// Boot an image by QEMU itself, as on any machine; the console is standard output.
fn qemu(kernel: &Path, image: &Path, append: &str, more: &[&str]) -> Command {
    let mut command = Command::new(QEMU);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    command.args(["-machine", "q35", "-cpu", "max", "-accel", "tcg", "-m", "512"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(image).args(["-serial", "stdio"]);
    let line = "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init";
    command.args(["-append", &format!("{line} {append}")]);
    command.args(more);
    command
}

/// A bundle for an image, whose program is the shell with this script.
fn bundle(case: &Case, name: &str, script: &str) {
    let mut bundle = case.bundle();
    bundle.program(Path::new("/bin/busybox"), "bin/sh");
    bundle.args(["/bin/sh", "-c", script]);
    fs::rename(bundle.path(), case.dir().join(name)).expect("a bundle");
}

/// A machine of these jobs, on a kernel; the machine's own root has the shell and the probe.
fn machine(case: &Case, kernel: &Path, jobs: serde_json::Value) -> Done {
    let root = rootfs(case);
    let text_of = json!({"hostname": "lab", "containers": jobs}).to_string();
    fs::write(case.dir().join("machine.json"), text_of).expect("machine.json");
    let words = ["vm", "--accel", "tcg", "--timeout", "120s", "--kernel", text(kernel)];
    let words = [&words[..], &["--machine", "machine.json", "--files", text(&root)]].concat();
    small_tiny_ce(case, words)
}

#[test]
fn a_machine_has_what_containers_and_their_users_need() {
    for suite in SUITES {
        let Some(kernel) = kernel(suite) else { return };
        let case = Case::new();
        bundle(&case, "web", "trap 'exit 0' TERM; while :; do sleep 1; done");
        // The last command's shell is on the machine, beside the container.
        let script = "
            echo name: $(hostname)
            echo pid: $$ of $(cat /proc/1/comm)
            for it in /proc /sys /dev /dev/pts /dev/shm /run /sys/fs/cgroup; do
                grep -q \" $it \" /proc/mounts || echo missing: $it
            done
            for it in cpu memory pids; do
                grep -qw $it /sys/fs/cgroup/cgroup.subtree_control || echo missing: $it
            done
            ls /dev/null /dev/fd /dev/stdout > /dev/null || echo missing: devices
            ping -c 1 -W 5 127.0.0.1 > /dev/null && echo loopback: up
            tiny-ce list | grep -o 'web.*running' | wc -w
            tiny-ce exec web /probe hostname
            tiny-ce kill web TERM
            exit 3";
        let jobs =
            json!([{"bundle": "web"}, {"id": "shell", "command": ["/bin/sh", "-c", script]}]);
        let done = machine(&case, &kernel, jobs);
        done.ends(3);
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert_eq!(lines[0], "name: lab", "{suite}: {done}");
        assert!(lines[1].starts_with("pid: ") && lines[1].ends_with(" of init"), "{done}");
        assert_eq!(lines[2], "loopback: up", "{suite}: {done}");
        assert!(lines.contains(&"hostname: runc"), "{suite}: {done}");
        assert!(!done.stdout.contains("missing"), "{suite}: {done}");
    }
}

#[test]
fn containers_run_in_order_and_are_started_again() {
    let Some(kernel) = kernel("bookworm") else { return };
    let case = Case::new();
    bundle(&case, "first", "echo first; exit 0");
    bundle(&case, "always", "echo always; exit 1");
    // It fails twice. Its own files are read-only; the directory is the machine's.
    let count = "n=$(cat /tmp/n 2> /dev/null || echo 0); n=$((n + 1)); echo $n > /tmp/n; \
                 echo try $n; [ $n = 3 ]";
    let last = "while [ $(cat /tmp/n) != 3 ]; do sleep 1; done; sleep 1; exit 6";
    let sh = |script: &str| json!(["/bin/sh", "-c", script]);
    let jobs = json!([
        {"bundle": "first", "wait": true},
        {"bundle": "always", "restart": "always"},
        {"id": "try", "command": sh(count), "restart": "on-failure", "wait": true},
        {"id": "last", "command": sh(last)},
    ]);
    let done = machine(&case, &kernel, jobs);
    done.ends(6);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines[0], "first", "{done}");
    let tries: Vec<&&str> = lines.iter().filter(|line| line.starts_with("try")).collect();
    assert_eq!(tries, [&"try 1", &"try 2", &"try 3"], "{done}");
    assert!(lines.iter().filter(|line| **line == "always").count() > 1, "{done}");
    // One that is waited for and fails ends the machine.
    bundle(&case, "bad", "echo bad; exit 4");
    let jobs = json!([{"bundle": "bad", "wait": true}, {"bundle": "first"}]);
    let done = machine(&case, &kernel, jobs);
    done.ends(4);
    assert_eq!(done.stdout, "bad\n");
}

/// In a container the program called init is no machine's, and leaves the container's host alone.
#[test]
fn in_a_container_it_refuses_to_be_the_first_process() {
    let Some(case) = Case::root(&[Need::Program("strip")]) else { return };
    let mut bundle = case.bundle();
    bundle.program(super::small(), "init");
    bundle.args(["/init"]);
    let done = case.run(&bundle);
    done.ends(1);
    let wanted = "tiny-ce: called as init, but it is the first process of a container\n";
    assert!(done.stderr.starts_with(wanted), "{done}");
    // Under another name it is the tiny-ce that it is everywhere.
    bundle.program(super::small(), "tiny-ce");
    bundle.args(["/tiny-ce", "--version"]);
    assert!(case.run(&bundle).ok().starts_with("tiny-ce version "));
}

/// What the image's machine.json names is replaced by words of the kernel's command line, and the
/// status is told by QEMU's debug exit and in a file.
#[test]
fn the_kernels_command_line_has_the_last_word() {
    let Some(kernel) = kernel("bookworm") else { return };
    let case = Case::new();
    let root = rootfs(&case);
    let words = ["initramfs", "-o", "image", "--compress", "zstd", "--rootfs", text(&root)];
    small_tiny_ce(&case, [&words[..], &["--", "/probe", "say", "usual"]].concat()).ok();
    let image = case.dir().join("image");
    let boot =
        |append: &str, more: &[&str]| run(&mut qemu(&kernel, &image, append, more), case.dir());
    let port = ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"];
    let append =
        "tiny-ce.status=debug-exit:0xf4 -- /bin/sh -c \"echo $0 $HOME; exit 20\" a=\"b c\"";
    let done = boot(append, &port);
    done.ends(20 * 2 + 1);
    assert!(done.stdout.contains("a=b c /"), "{done}");
    let file = case.dir().join("status");
    let serial = format!("file:{}", text(&file));
    let done = boot("tiny-ce.status=/dev/ttyS1", &["-serial", &serial]);
    done.ends(0);
    assert!(done.stdout.contains("usual"), "{done}");
    assert!(done.stdout.contains("tiny-ce: the machine ends with status 0"), "{done}");
    assert_eq!(fs::read_to_string(&file).expect("a status"), "0\n");
    for (append, wanted) in [
        ("tiny-ce.bundles=/x", "tiny-ce.bundles: unknown; known: tiny-ce.bundle, "),
        ("tiny-ce.bundle=/nothing", "/nothing/config.json: open(2): ENOENT"),
        ("tiny-ce.link=/dev/nothing", "tiny-ce.link=/dev/nothing: open(2): ENOENT"),
        ("root=LABEL=x", "root=LABEL=x: expected the path of a device"),
    ] {
        let done = boot(append, &[]);
        assert!(done.stdout.contains(wanted), "{append}: {done}");
        assert!(!done.stdout.contains("panic"), "{append}: {done}");
    }
}

/// Ctrl-Alt-Del and the power key reach the containers, as keys do: by QEMU's monitor.
#[test]
fn keys_end_the_machine_in_order() {
    let Some(kernel) = kernel("bookworm") else { return };
    let case = Case::new();
    let root = rootfs(&case);
    let script = "trap 'echo asked to end; exit 0' TERM; echo ready; while :; do sleep 1; done";
    let words = ["initramfs", "-o", "image", "--rootfs", text(&root)];
    let directory = modules("bookworm");
    let names = ["--modules", text(&directory), "--module", "button", "--module", "evdev"];
    small_tiny_ce(&case, [&words[..], &names, &["--", "/bin/sh", "-c", script]].concat()).ok();
    let image = case.dir().join("image");
    for (key, last) in [
        ("sendkey ctrl-alt-delete", "tiny-ce: the machine begins again"),
        ("system_powerdown", "tiny-ce: the machine ends: the power key"),
    ] {
        let monitor = case.dir().join("monitor");
        let listen = format!("unix:{},server=on,wait=off", text(&monitor));
        let mut command = qemu(&kernel, &image, "", &["-monitor", &listen]);
        let mut running = Running::start(&mut command, case.dir());
        running.line("ready");
        let mut socket = std::os::unix::net::UnixStream::connect(&monitor).expect("a monitor");
        std::io::Write::write_all(&mut socket, format!("{key}\n").as_bytes()).expect("written");
        running.line("asked to end");
        running.line(last);
        running.done().ends(0);
        let _ = fs::remove_file(&monitor);
    }
}

#[test]
fn a_root_on_a_disk() {
    if !met(&[Need::Program("mke2fs")]) {
        return;
    }
    let Some(kernel) = kernel("bookworm") else { return };
    let case = Case::new();
    let root = rootfs(&case);
    fs::create_dir_all(root.join("etc/tiny-ce")).expect("a directory");
    let jobs = json!({"containers": [{"command": ["/bin/sh", "-c",
        "grep ' / ' /proc/mounts | tail -n 1; echo kept > /tmp/file; [ -e /init ] || exit 11"]}]});
    fs::write(root.join("etc/tiny-ce/machine.json"), jobs.to_string()).expect("machine.json");
    let disk = case.dir().join("disk");
    case.program(["mke2fs", "-qq", "-t", "ext4", "-d", text(&root), text(&disk), "32M"]).ok();
    let directory = modules("bookworm");
    let words = ["initramfs", "-o", "image", "--rootfs", text(&root), "--modules"];
    let names = [text(&directory), "--module", "virtio_blk", "--module", "virtio_pci"];
    small_tiny_ce(&case, [&words[..], &names, &["--", "/probe", "ids"]].concat()).ok();
    let image = case.dir().join("image");
    let drive = format!("file={},format=raw,if=virtio", text(&disk));
    let boot =
        |append: &str| run(&mut qemu(&kernel, &image, append, &["-drive", &drive]), case.dir());
    let done = boot("root=/dev/vda rw");
    assert!(done.stdout.contains("/dev/vda / ext4 rw"), "{done}");
    assert!(done.stdout.contains("the machine ends with status 11"), "{done}");
    // It was written and needs no check.
    let state = case.program(["sh", "-c", &format!("dumpe2fs -h {} 2>&1", text(&disk))]);
    assert!(state.ok().contains("Filesystem state:         clean"), "{state}");
    let file = case.program(["debugfs", "-R", "cat /tmp/file", text(&disk)]);
    assert_eq!(file.ok(), "kept\n");
    // Another init takes over.
    let done = boot(
        "root=/dev/vda init=/probe -- pid then say taken over then syscall 169 \
                     0xfee1dead 672274793 0x4321fedc",
    );
    assert!(done.stdout.contains("pid: 1") && done.stdout.contains("taken over"), "{done}");
}

/// From the kernel's start to the container's first line, beside busybox as the first process,
/// which starts the same program. The image is that of the program that is shipped.
#[test]
fn a_container_begins_soon() {
    let (Some(kernel), Some(optimised)) = (kernel("bookworm"), optimised()) else { return };
    let case = Case::new();
    let root = rootfs(&case);
    let program = ["--tiny-ce", text(&optimised), "--", "/probe", "say", "begun", "then", "cat"];
    // In a root with the probe alone, as busybox's has busybox beside it.
    fs::remove_file(root.join("bin/sh")).expect("removed");
    let words = ["initramfs", "-o", "ours", "--rootfs", text(&root)];
    small_tiny_ce(&case, [&words[..], &program, &["/proc/uptime"]].concat()).ok();
    // Busybox's init starts what inittab says, and is packed as is usual.
    let tree = rootfs(&case);
    let line = "::once:/probe mount none /proc proc 0 then say begun then cat /proc/uptime\n";
    fs::write(tree.join("etc/inittab"), line).expect("inittab");
    std::os::unix::fs::symlink("bin/sh", tree.join("init")).expect("a link");
    let pack = "cd root && find . | cpio -o -H newc --quiet | gzip > ../theirs";
    case.program(["sh", "-c", pack]).ok();
    // The machine's clock counts its instructions, so that other work of this one does not change
    // it.
    let seconds = |image: &str| -> f64 {
        let counted = ["-icount", "shift=1,sleep=off"];
        let mut command = qemu(&kernel, &case.dir().join(image), "", &counted);
        let mut running = Running::start(&mut command, case.dir());
        running.line("begun");
        let line = running.line("");
        let first = line.split_whitespace().next().expect("a word");
        first.parse().unwrap_or_else(|_| panic!("{line:?} is no uptime"))
    };
    let (ours, theirs) = (seconds("ours"), seconds("theirs"));
    println!("seconds to the first line: {ours}, by busybox {theirs}: {:.2}", ours / theirs);
    assert!(ours <= 1.3 * theirs, "{ours} against {theirs}");
}
