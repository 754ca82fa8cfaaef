//! `tiny-ce vm`: streams, signals, statuses, shared directories.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tiny_ce_test::{Case, Need, Running, met, tree};

use super::{SUITES, command, kernel, modules, rootfs, small, small_tiny_ce, text, there};

/// The words of a machine on a kernel, without its container's command.
fn vm<'a>(kernel: &'a str, root: &'a str) -> Vec<&'a str> {
    vec!["vm", "--accel", "tcg", "--timeout", "120s", "--kernel", kernel, "--rootfs", root]
}

#[test]
fn output_errors_input_and_status_are_the_containers() {
    for suite in SUITES {
        let Some(kernel) = kernel(suite) else { return };
        let case = Case::new();
        let root = rootfs(&case);
        let script = "cat; echo problem >&2; echo $NAME; id -u; pwd; exit 42";
        let mut words = vm(text(&kernel), text(&root));
        words.extend(["--env", "NAME=a b", "--cwd", "/tmp", "--", "/bin/sh", "-c", script]);
        // More than the window of the link, and bytes of every value.
        let input: Vec<u8> = (0..40_000u32).map(|n| (n * n / 7) as u8).collect();
        let mut child = command(&case, words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tiny-ce runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        let bytes = input.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&bytes));
        let output = child.wait_with_output().expect("an end");
        writer.join().expect("a thread").expect("all is read");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((errors.as_ref(), output.status.code()), ("problem\n", Some(42)), "{suite}");
        let (copy, rest) = output.stdout.split_at(input.len().min(output.stdout.len()));
        assert!(copy == input, "{suite}: the input has changed on its way");
        assert_eq!(String::from_utf8_lossy(rest), "a b\n0\n/tmp\n", "{suite}");
    }
}

/// A kernel whose modules are not found is talked to over a serial port.
#[test]
fn without_modules_a_serial_port_does() {
    let Some(kernel) = kernel("bookworm") else { return };
    let case = Case::new();
    let root = rootfs(&case);
    let alone = case.dir().join("vmlinuz");
    fs::copy(kernel, &alone).expect("the kernel");
    let mut words = vm(text(&alone), text(&root));
    words.extend(["--", "/probe", "say", "hello", "then", "echo", "then", "exit", "9"]);
    let mut running = Running::start(&mut command(&case, words), case.dir());
    running.line("hello");
    let input = "0123456789\n".repeat(500);
    running.stdin().expect("a pipe").write_all(input.as_bytes()).expect("all is read");
    let done = running.done();
    done.ends(9);
    assert_eq!(done.stdout, format!("hello\n{input}"));
}

#[test]
fn signals_are_passed_on() {
    let Some(kernel) = kernel("trixie-backports") else { return };
    let case = Case::new();
    let root = rootfs(&case);
    let mut words = vm(text(&kernel), text(&root));
    let script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do read x; done";
    words.extend(["--", "/bin/sh", "-c", script]);
    let mut running = Running::start(&mut command(&case, words), case.dir());
    running.line("ready");
    running.signal("TERM");
    running.line("got it");
    running.done().ends(7);
}

/// With a terminal on our side it is the container's: keys arrive one by one, its size is ours, and
/// Ctrl-C is a byte for it. Without one, the end of our input is the end of the terminal's.
#[test]
fn a_terminal_is_passed_through() {
    let Some(kernel) = kernel("trixie-backports") else { return };
    if !met(&[Need::Program("script")]) {
        return;
    }
    let case = Case::new();
    let root = rootfs(&case);
    let inside = "tty; stty size; trap 'echo interrupted; exit 8' INT; echo ready; read x; \
                  echo $x; while :; do sleep 1; done";
    super::program(&root.join("inside"), &format!("#!/bin/sh\n{inside}\n"));
    let mut words = vec![text(small())];
    words.extend(vm(text(&kernel), text(&root)));
    words.extend(["--", "/inside"]);
    let line = format!("stty rows 31 cols 97; exec {}", words.join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    script.current_dir(case.dir());
    let mut running = Running::start(&mut script, case.dir());
    running.line("/dev/pts/");
    running.line("31 97");
    running.line("ready");
    let mut keys = running.stdin().expect("a pipe");
    keys.write_all(b"typed\r").expect("written");
    // The terminal's echo, and what the program has read.
    running.line("typed");
    running.line("typed");
    keys.write_all(&[3]).expect("written");
    // The kernel sends the signal before it echoes ^C, so the program's word may come first.
    let done = running.done();
    done.ends(8);
    assert!(done.stdout.contains("interrupted"), "{done}");
    // Ours is no terminal here.
    let mut words = vm(text(&kernel), text(&root));
    words.extend(["--tty", "--", "/bin/sh", "-c", "tty; cat; cat; echo over"]);
    let mut running = Running::start(&mut command(&case, words), case.dir());
    running.line("/dev/pts/");
    running.stdin().expect("a pipe").write_all(b"a line\n").expect("written");
    running.line("over");
    running.done().ends(0);
}

#[test]
fn statuses_that_are_not_the_containers_are_told_apart() {
    let Some(kernel) = kernel("bookworm") else { return };
    let case = Case::new();
    let root = rootfs(&case);
    let of = |options: &[&str], program: &[&str]| {
        let mut words = vm(text(&kernel), text(&root));
        words.extend(options);
        words.push("--");
        words.extend(program);
        let done = small_tiny_ce(&case, words);
        done.ends(125);
        done.stderr
    };
    let late = of(&["--timeout", "25s"], &["/probe", "pause"]);
    assert_eq!(late, "tiny-ce: vm: not finished after 25 s (--timeout)\n");
    let soon = of(&["--timeout", "2s"], &["/probe", "pause"]);
    assert!(soon.starts_with("tiny-ce: vm: not finished after 2 s (--timeout)"), "{soon}");
    let absent = of(&[], &["/nothing"]);
    let wanted = "tiny-ce: vm: in the machine: cannot run \"container\": ";
    assert!(absent.starts_with(wanted) && absent.contains("/nothing: no such file"), "{absent}");
    let failed = of(&["--qemu", "/bin/false"], &["/probe", "ids"]);
    assert_eq!(failed, "tiny-ce: vm: QEMU failed: exit status 1\n");
    let none = of(&["--qemu", "/nothing"], &["/probe", "ids"]);
    assert!(none.contains("vm: /nothing: execve(2): ENOENT"), "{none}");
    let no_memory = of(&["--memory", "16m"], &["/probe", "ids"]);
    // It has no memory for a panic either.
    let wanted = "tiny-ce: vm: the machine ended without a status";
    assert!(no_memory.starts_with(wanted), "{no_memory}");
}

#[test]
fn a_panic_of_the_kernel_shows_the_end_of_its_console() {
    let Some(kernel) = kernel("trixie") else { return };
    let case = Case::new();
    let root = rootfs(&case);
    let machine =
        r#"{"containers": [{"command": ["/probe", "write", "/proc/sysrq-trigger", "c"]}]}"#;
    fs::write(case.dir().join("machine.json"), machine).expect("machine.json");
    let mut words = vm(text(&kernel), "");
    words.truncate(words.len() - 2);
    words.extend(["--machine", "machine.json", "--files", text(&root)]);
    let done = small_tiny_ce(&case, words);
    done.ends(125);
    let wanted = "tiny-ce: vm: the kernel panicked: not syncing: sysrq triggered crash\n";
    assert!(done.stderr.starts_with(wanted), "{done}");
    // The first call of the trace is too far above, where the stack has much that is old.
    assert!(done.stderr.contains("entry_SYSCALL_64"), "{done}");
}

#[test]
fn directories_of_the_host_are_shared() {
    if !SERVERS.iter().any(|path| Path::new(path).exists()) && !met(&[Need::Program("virtiofsd")]) {
        return;
    }
    for suite in ["bookworm", "trixie-backports"] {
        let Some(kernel) = kernel(suite) else { return };
        let Some(case) = Case::root(&[]) else { return };
        shares(&case, &kernel, &mut Command::new(small()), "virtiofs");
    }
}

/// Where there is no virtiofsd, QEMU itself serves the directories, if the kernel has 9p: Debian's
/// for clouds have not.
#[test]
fn without_virtiofsd_directories_are_shared_by_9p() {
    let place = tree().join("target/vm/bookworm-9p/vmlinuz");
    let make = "test/vm/base bookworm $PWD/target/vm/bookworm-9p x86_64 amd64";
    let with_9p = there(place, &format!("needs a kernel: {make}"));
    let (Some(with_9p), Some(cloud)) = (with_9p, kernel("bookworm")) else { return };
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    shares(&case, &with_9p, &mut without_server(), "9p");
    let fails = |kernel: &Path, wanted: &str| {
        let root = case.dir().join("root");
        let mut command = without_server();
        command.args(vm(text(kernel), text(&root))).args(["--share", "/tmp", "--", "/probe"]);
        let done = tiny_ce_test::run(&mut command, case.dir());
        done.ends(125);
        assert_eq!(done.stderr, wanted, "{done}");
    };
    fails(
        &cloud,
        "tiny-ce: vm: --share: the kernel has no 9pnet_virtio for 9p, and virtiofsd is not here\n  \
         hint: install virtiofsd (Debian 12: qemu-system-common)\n",
    );
    // Without its modules, nobody knows what the kernel has.
    let alone = case.dir().join("vmlinuz");
    fs::copy(&with_9p, &alone).expect("the kernel");
    fails(
        &alone,
        "tiny-ce: vm: in the machine: mounts[0] \"/share/0\": mount(2): ENODEV (No such device); \
         hint: the kernel has no \"9p\", or its module is not among \"modules\"\n  \
         hint: the image has no modules: name their directory by --modules /lib/modules/RELEASE\n",
    );
}

/// Where distributions have the server, but for PATH. Debian 12 has it below /usr/lib/qemu.
const SERVERS: [&str; 2] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];

/// The small tiny-ce on a machine without virtiofsd: in a mount namespace, other files are there.
fn without_server() -> Command {
    let hide = "for it in $(command -v virtiofsd) $SERVERS; do \
                [ ! -e $it ] || mount --bind /dev/null $it || exit 99; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", hide, "sh", text(small())]);
    command.env("SERVERS", SERVERS.join(" "));
    command
}

/// A directory is shared twice, once read-only, by a file system of this kind.
fn shares(case: &Case, kernel: &Path, command: &mut Command, kind: &str) {
    let root = rootfs(case);
    let shared = case.dir().join("shared here");
    fs::create_dir(&shared).expect("a directory");
    fs::write(shared.join("question"), "6 by 7\n").expect("a file");
    let writable = format!("{}:/work", text(&shared));
    let read_only = format!("{}:ro", text(&shared));
    command.args(vm(text(kernel), text(&root)));
    command.args(["--share", &writable, "--share", &read_only, "--cwd", "/work", "--"]);
    let script = format!(
        "cat question; echo 42 > answer; cat '{0}/answer'; echo no > '{0}/no'; \
         grep -c ' /work {kind} ' /proc/mounts; exit 5",
        text(&shared)
    );
    command.args(["/bin/sh", "-c", &script]);
    let done = tiny_ce_test::run(command.current_dir(case.dir()), case.dir());
    done.ends(5);
    assert_eq!(done.stdout, "6 by 7\n42\n1\n", "{done}");
    assert!(done.stderr.contains("Read-only file system"), "{done}");
    assert_eq!(fs::read_to_string(shared.join("answer")).expect("written"), "42\n");
    assert!(!shared.join("no").exists());
}

/// Modules are brought decompressed, since Linux 6.1 of Debian decompresses none.
#[test]
fn compressed_modules_are_loaded_by_every_kernel() {
    let Some(kernel) = kernel("bookworm") else { return };
    if !met(&["gzip", "xz", "zstd"].map(Need::Program)) {
        return;
    }
    let case = Case::new();
    let root = rootfs(&case);
    let from = modules("bookworm");
    let own = case.dir().join(from.file_name().expect("a release"));
    let mut dep = fs::read_to_string(from.join("modules.dep")).expect("modules.dep");
    // All that the link is made of, each by another program than the one before.
    let of_link = |line: &&str| line.contains("/virtio");
    let names = dep.lines().filter(of_link).filter_map(|line| line.split_once(':'));
    let files: Vec<String> = names.map(|(file, _)| file.to_owned()).collect();
    assert!(files.len() > 5, "{files:?}");
    for (file, (program, end)) in
        files.iter().zip([("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")].iter().cycle())
    {
        let to = own.join(format!("{file}.{end}"));
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        let script = format!("{program} -c '{}' > '{}'", text(&from.join(file)), text(&to));
        case.program(["sh", "-c", &script]).ok();
        dep = dep.replace(file, &format!("{file}.{end}"));
    }
    fs::write(own.join("modules.dep"), dep).expect("modules.dep");
    let mut words = vm(text(&kernel), text(&root));
    let script = "grep -o ^virtio_console /proc/modules";
    words.extend(["--modules", text(&own), "--", "/bin/sh", "-c", script]);
    assert_eq!(small_tiny_ce(&case, words).ok(), "virtio_console\n");
    // A module that cannot be loaded, before there is a link.
    let (other, wanted) = (modules("trixie-backports"), "finit_module(2): ENOEXEC");
    let mut words = vm(text(&kernel), text(&root));
    words.extend(["--modules", text(&other), "--module", "overlay", "--", "/probe"]);
    let done = small_tiny_ce(&case, words);
    done.ends(125);
    let begin = "tiny-ce: vm: in the machine: module \"/lib/modules/";
    let hint = "; hint: the module is of another kernel\n";
    assert!(done.stderr.starts_with(begin) && done.stderr.ends_with(hint), "{done}");
    assert!(done.stderr.contains(wanted), "{done}");
}

/// The release for aarch64, on a kernel of Debian's.
#[test]
fn a_machine_of_another_architecture() {
    let needs = ["qemu-system-aarch64", "aarch64-linux-gnu-gcc"].map(Need::Program);
    let place = tree().join("target/vm/trixie-aarch64");
    let make = "test/vm/base trixie $PWD/target/vm/trixie-aarch64 aarch64";
    let kernel = || there(place.join("vmlinuz"), &format!("needs a kernel: {make}"));
    let name = format!("dist/tiny-ce-{}-aarch64", env!("CARGO_PKG_VERSION"));
    let release = || there(tree().join(name), "needs a release: .ci/release --arch aarch64");
    let (true, Some(kernel), Some(release)) = (met(&needs), kernel(), release()) else { return };
    let case = Case::new();
    let root = case.dir().join("root");
    fs::create_dir_all(root.join("proc")).expect("a directory");
    fs::copy(&release, root.join("tiny-ce")).expect("tiny-ce");
    let source = case.dir().join("program.c");
    fs::write(&source, include_str!("program.c")).expect("a source");
    let mut gcc = Command::new("aarch64-linux-gnu-gcc");
    gcc.arg("-static").arg("-o").arg(root.join("program")).arg(&source);
    tiny_ce_test::run(&mut gcc, case.dir()).ok();
    let mut words = vm(text(&kernel), text(&root));
    words.extend(["--tiny-ce", text(&release), "--", "/program"]);
    let done = small_tiny_ce(&case, words);
    done.ends(7);
    assert_eq!(done.stdout, "aarch64, user 0, capability 21: no, mount: EPERM\n", "{done}");
    assert_eq!(done.stderr, "");
    // It also explains there what a container costs.
    let mut words = vm(text(&kernel), text(&root));
    let explain = ["/tiny-ce", "explain", "--rootfs", "/proc", "--", "/program"];
    words.extend(["--tiny-ce", text(&release), "--"].into_iter().chain(explain));
    let done = small_tiny_ce(&case, words);
    assert!(done.ok().contains("execve("), "{done}");
}

/// The script of docs/boot.md, on the three kernels.
#[test]
fn the_script_of_the_document_runs_on_three_kernels() {
    let document = fs::read_to_string(tree().join("docs/boot.md")).expect("docs/boot.md");
    let script = document.split("```sh\n").nth(1).expect("a script");
    let script = script.split("```").next().expect("its end");
    assert!(script.lines().count() <= 11, "ten lines and the shell's");
    let kernels: Option<Vec<_>> = SUITES.iter().map(|suite| kernel(suite)).collect();
    let Some(kernels) = kernels else { return };
    let case = Case::new();
    let root = rootfs(&case);
    fs::rename(&root, case.dir().join("rootfs")).expect("rootfs");
    let test = "#!/bin/sh\necho on $(uname -r)\n! uname -r | grep -q ^6.12\n";
    super::program(&case.dir().join("rootfs/test"), test);
    super::program(&case.dir().join("each"), script);
    let bin = case.dir().join("path");
    fs::create_dir(&bin).expect("a directory");
    std::os::unix::fs::symlink(small(), bin.join("tiny-ce")).expect("a link");
    let path = format!("{}:{}", text(&bin), std::env::var("PATH").unwrap_or_default());
    let mut each = Command::new("./each");
    each.args(&kernels).env("PATH", path).current_dir(case.dir());
    let done = tiny_ce_test::run(&mut each, case.dir());
    done.ends(1);
    let names = kernels.iter().map(|path| text(path)).collect::<Vec<_>>();
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines[0], format!("passed: {}", names[0]), "{done}");
    assert_eq!(lines[1], format!("failed: {}: status 1", names[1]), "{done}");
    assert!(lines[2].starts_with("on 6.12"), "{done}");
    assert_eq!(lines[3], format!("passed: {}", names[2]), "{done}");
}
