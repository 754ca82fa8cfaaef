//! Bare machines: each test takes something away in a mount namespace, and checks what `doctor`
//! says, that containers run or fail with one clear error, and that its hint helps.
//!
//! docs/machines.md names these tests.

use serde_json::json;
use tiny_ce_test::{Case, Done, Fault, Need, Whose, probe, tiny_ce};

/// The shell's words for `tiny-ce run` without a bundle.
const HI: &str = "run -- /bin/echo hi";

/// Run shell commands in a mount namespace. `$T` is tiny-ce, `$P` the probe, `$D` the case's
/// directory.
#[track_caller]
fn on(case: &Case, lines: &str) -> Done {
    let (program, probe) = (tiny_ce(), probe());
    let text = format!(
        "set -e; T={}; P={}; D={}\n{lines}",
        program.display(),
        probe.display(),
        case.dir().display()
    );
    case.program(["unshare", "--mount", "--propagation", "private", "bash", "-c", &text])
}

/// What doctor prints there, whether containers can run or not.
#[track_caller]
fn doctor(case: &Case, how: &str) -> String {
    let done = on(case, &format!("{how}\n$T doctor || [ $? = 1 ]"));
    done.ok().to_owned()
}

#[track_caller]
fn ground() -> Option<Case> {
    Case::root(&[Need::Program("unshare"), Need::Program("bash")])
}

/// `run` without a bundle, and a bundle, print `hi` there.
#[track_caller]
fn runs(case: &Case, how: &str) -> Done {
    let mut bundle = case.bundle();
    bundle.probe("say hi");
    let (path, id) = (bundle.path().display(), case.id());
    let done = on(case, &format!("{how}\n$T {HI}\n$T --root $D/state run --bundle {path} {id}"));
    assert_eq!(done.ok(), "hi\nhi\n", "{done}");
    done
}

/// `run` fails there, with this error and this hint.
#[track_caller]
fn fails(case: &Case, how: &str, error: &str, hint: &str) {
    let done = on(case, &format!("{how}\n$T {HI}"));
    let text = done.ends(1).stderr.as_str();
    assert!(text.contains(error), "{error:?}: {done}");
    assert!(text.lines().any(|line| line.trim() == format!("hint: {hint}")), "{hint:?}: {done}");
}

#[track_caller]
fn tells(text: &str, line: &str) {
    assert!(text.lines().any(|it| it.starts_with(line)), "{line:?} is not in\n{text}");
}

#[test]
fn without_cgroups_containers_run_without_limits() {
    let Some(case) = ground() else { return };
    let how = "umount -l /sys/fs/cgroup";
    let done = runs(&case, how);
    assert!(done.stderr.contains("no cgroup file system is mounted on this host"), "{done}");
    assert!(done.stderr.contains("linux.resources.devices: not in force"), "{done}");
    tells(&doctor(&case, how), "warn     cgroups: no cgroup file system is mounted");
    let limited = on(&case, &format!("{how}; $T run --memory 64m -- /bin/true"));
    let error = "--memory: needs cgroups, and no cgroup file system is mounted";
    assert!(limited.fails().contains(error), "{limited}");
    // The hint of doctor helps.
    let how = "umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup";
    assert_eq!(runs(&case, how).stderr, "");
}

#[test]
fn closed_streams_are_null_devices() {
    let Some(case) = ground() else { return };
    for (closed, numbers) in [("<&-", "0"), (">&-", "1"), ("2>&-", "2"), ("<&- >&- 2>&-", "0 1 2")]
    {
        let each = format!("for fd in {numbers}; do test -c /proc/$$/fd/$fd || exit 9; done");
        on(&case, &format!("$T run -- /bin/sh -c '{each}; exit 7' {closed} || exit $?")).ends(7);
        on(&case, &format!("$T doctor {closed}")).ok();
    }
}

#[test]
fn sixty_four_descriptors_suffice() {
    let Some(case) = ground() else { return };
    assert_eq!(on(&case, &format!("ulimit -n 64; $T {HI}")).ok(), "hi\n");
    on(&case, "ulimit -n 64; $T doctor").ok();
}

#[test]
fn without_proc_doctor_tells_nothing_false() {
    let Some(case) = ground() else { return };
    let (with, without) = (doctor(&case, "true"), doctor(&case, "umount -l /proc"));
    tells(&without, "missing  /proc: is not a procfs");
    tells(&without, "no container can run here");
    // What does not depend on /proc is as with it.
    for what in ["kernel", "rights", "namespaces", "overlay", "file systems", "root directory"] {
        let of = |text: &str| {
            text.lines().find(|it| it.contains(&format!(" {what}: "))).map(str::to_owned)
        };
        assert_eq!(of(&with), of(&without), "{what}");
    }
    tells(&without, "warn     resctrl: unknown");
    tells(&without, "warn     networks: unknown");
    let hint = "mount -t proc proc /proc";
    fails(&case, "umount -l /proc", "/proc/self/cgroup: read(2): ENOENT", hint);
    runs(&case, &format!("umount -l /proc; {hint}"));
}

#[test]
fn without_sys_containers_run_without_limits() {
    let Some(case) = ground() else { return };
    let how = "umount -l /sys";
    runs(&case, how);
    tells(&doctor(&case, how), "warn     security modules: unknown: /sys is not a sysfs");
}

/// A rescue system is often entered by chroot(8).
#[test]
fn in_a_chroot_containers_run_if_it_is_a_mount() {
    let Some(case) = ground() else { return };
    let rootfs = case.bundle().rootfs();
    let ready = "mkdir -p $R/proc $R/sys $R/dev; touch $R/tiny-ce; mount --bind $T $R/tiny-ce; \
                 mount -t proc proc $R/proc; mount --rbind /sys $R/sys; mount --rbind /dev $R/dev";
    let chroot = "chroot $R /tiny-ce";
    let line = |before: &str, words: &str| {
        format!("R={}\n{before}\n{ready}\n{chroot} {words}", rootfs.display())
    };
    let hint = "mount --bind DIRECTORY DIRECTORY before chroot(8) into it";
    let done = on(&case, &line("", "run -- /probe say hi"));
    // Linux 7 makes mount namespaces that need nothing of this root.
    let text = done.stderr.as_str();
    assert!(
        done.status.success() || text.contains("as in a chroot: ") && text.contains(hint),
        "{done}"
    );
    let done = on(&case, &line("", "doctor || true"));
    tells(done.ok(), "missing  root directory: no mount point, as in a chroot");
    tells(&done.stdout, "missing  user namespaces: unshare(2): EPERM");
    let done = on(&case, &line("mount --bind $R $R", "run -- /probe say hi"));
    assert_eq!(done.ok(), "hi\n");
    tells(on(&case, &line("mount --bind $R $R", "doctor || true")).ok(), "ok       root directory");
}

#[test]
fn on_a_read_only_root_containers_need_a_place_for_the_state() {
    let Some(case) = ground() else { return };
    let how = "mount -t tmpfs -o ro tmpfs /run; mount -o remount,ro,bind /";
    let hint = "choose where the state is kept with --root, or run as root; where nothing can be \
                written: mount -t tmpfs tmpfs /run";
    fails(&case, how, "/run/tiny-ce: mkdir(2): EROFS", hint);
    tells(&doctor(&case, how), "missing  state directory: /run/tiny-ce: /run cannot be written");
    let how = format!("{how}; mount -t tmpfs tmpfs /run");
    assert_eq!(on(&case, &format!("{how}; $T {HI}")).ok(), "hi\n");
    tells(&doctor(&case, &how), "ok       state directory");
}

#[test]
fn empty_directories_of_the_system_do_not_matter() {
    let Some(case) = ground() else { return };
    for how in ["mount -t tmpfs tmpfs /run", "mount -t tmpfs tmpfs /etc", "umount -l /dev/pts"] {
        assert_eq!(runs(&case, how).stderr, "", "{how}");
        on(&case, &format!("{how}; $T doctor")).ok();
    }
    // The bundles are in a directory of /tmp.
    let how = "mount -t tmpfs tmpfs /tmp";
    assert_eq!(on(&case, &format!("{how}; $T {HI}")).ok(), "hi\n");
    on(&case, &format!("{how}; $T doctor")).ok();
}

#[test]
fn without_a_null_device_paths_cannot_be_masked() {
    let Some(case) = ground() else { return };
    let how = "mount -t tmpfs tmpfs /dev";
    let hint = "the host has no /dev/null: mount -t devtmpfs devtmpfs /dev";
    fails(&case, how, "linux.maskedPaths: openat2(2): ENOENT", hint);
    tells(&doctor(&case, how), "missing  /dev/null: not a device");
    runs(&case, &format!("{how}; mount -t devtmpfs devtmpfs /dev"));
}

/// The sysctl is of a pid namespace, so that of the machine stays.
#[test]
fn without_executable_memory_files_init_is_a_file_of_the_state_directory() {
    let Some(case) = Case::root(&[Need::Linux(6, 3)]) else { return };
    let on = |lines: &str| {
        let text = format!("echo 2 >/proc/sys/vm/memfd_noexec; {lines}");
        on(&case, &format!("export T D; unshare --pid --fork --mount-proc bash -ec '{text}'"))
    };
    assert_eq!(on(&format!("$T {HI}")).ok(), "hi\n");
    tells(on("$T doctor").ok(), "warn     executable memory files: memfd_create(2): EACCES");
    let noexec = "mount -t tmpfs -o noexec tmpfs /run";
    let done = on(&format!("{noexec}; $T {HI}"));
    assert!(done.fails().contains("execveat(2): EACCES"), "{done}");
    assert!(done.stderr.contains("hint: vm.memfd_noexec is 2, and the state directory"), "{done}");
    let text = on(&format!("{noexec}; $T doctor || true"));
    tells(text.ok(), "missing  executable memory files: memfd_create(2): EACCES");
    assert!(text.stdout.contains("/run is noexec"), "{text}");
    assert_eq!(on(&format!("{noexec}; $T --root $D/state {HI}")).ok(), "hi\n");
}

/// What `run` without a bundle prints for each of these calls of its plan that is refused. The init
/// that is traced does not stay: the tracer follows one process.
fn refused(case: &Case, number: i64, errno: i32) -> Vec<Done> {
    let command = case.command(["run", "--init=false", "--", "/bin/echo", "hi"]);
    let (done, calls) = case.calls(Whose::Plan, &command);
    done.ok();
    let points = (1..).zip(calls).filter(|(_, call)| call.number == number);
    points.map(|(at, _)| case.fault(Whose::Plan, Fault::Errno(errno), at, &command).done).collect()
}

#[test]
fn a_file_system_that_the_kernel_lacks_is_one_error() {
    let Some(case) = ground() else { return };
    const FSOPEN: i64 = 430;
    const ENODEV: i32 = 19;
    let all = refused(&case, FSOPEN, ENODEV);
    for (kind, hint) in [
        ("overlay", "the kernel has no overlayfs: "),
        ("mqueue", "the kernel has no POSIX message queues: "),
        ("devpts", "the kernel does not have this file system: "),
    ] {
        let named = |done: &&Done| done.stderr.contains(&format!("fsname=\"{kind}\""));
        let done = all.iter().find(named).unwrap_or_else(|| panic!("no fsopen of {kind}"));
        tells(done.fails(), &format!("  hint: {hint}"));
    }
}

/// The lines after which /proc says that the kernel lacks these file systems.
fn without(names: &[&str]) -> String {
    let names: String = names.iter().map(|name| format!("-e {name} ")).collect();
    format!(
        "grep -v -w {names} /proc/filesystems >$D/known; mount --bind $D/known /proc/filesystems"
    )
}

/// `run` without a bundle on a machine that these lines change, where the kernel refuses the first
/// call of this number that the launcher makes.
fn without_call(case: &Case, how: &str, number: i64, errno: i32, script: &str) -> Done {
    let run = |what: &str| {
        on(
            case,
            &format!("{how}; $P fault $D/calls launcher {what} $T run -- /bin/sh -c '{script}'"),
        )
    };
    run("list 0").ok();
    let report = std::fs::read_to_string(case.dir().join("calls")).expect("a report");
    let mut calls = report.lines().filter_map(|line| line.strip_prefix("call: "));
    let first = format!("{number} ");
    let at = calls.position(|call| call.starts_with(&first)).expect("the call");
    run(&format!("{errno} {}", at + 1))
}

#[test]
fn without_message_queues_containers_run() {
    let Some(case) = ground() else { return };
    let done = runs(&case, &without(&["mqueue"]));
    let warning = "tiny-ce: warning: this kernel has no POSIX message queues: ";
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with(warning)).count(), 1, "{done}");
    assert_eq!(done.stderr.lines().count(), 1, "{done}");
    let list = "run -- /bin/sh -c \"test ! -e /dev/mqueue\"";
    on(&case, &format!("{}; $T {list}", without(&["mqueue"]))).ok();
    // Whoever asks for it is told.
    let done = on(&case, &format!("{}; $T spec --embedded --file -", without(&["mqueue"])));
    assert!(done.ok().contains("/dev/mqueue"), "{done}");
}

#[test]
fn without_overlays_the_hosts_files_are_read_only() {
    let Some(case) = ground() else { return };
    const FSOPEN: i64 = 430;
    const ENODEV: i32 = 19;
    let how = format!(
        "{}; mount -t tmpfs t /mnt; echo of-mnt >/mnt/file; \
         mkdir -p $D/sub; mount -t tmpfs t $D/sub; echo below >$D/sub/below",
        without(&["overlay"])
    );
    let below = case.dir().join("sub/below");
    let script = format!(
        "cat /mnt/file {}; for to in /etc /mnt /usr/bin /root; do touch $to/x && echo $to; done; \
         for to in /tmp /var/tmp /dev/shm; do touch $to/x; stat -c %a $to; ls $to; done; id -u",
        below.display()
    );
    // The launcher asks for overlay, and the kernel would load a module.
    let done = without_call(&case, &how, FSOPEN, ENODEV, &script);
    let dir = case.dir().file_name().expect("a name").to_string_lossy().into_owned();
    let expected = format!("of-mnt\nbelow\n1777\n{dir}\nx\n1777\nx\n1777\nx\n0\n");
    assert_eq!(done.ok(), expected, "{done}");
    let warnings: Vec<&str> =
        done.stderr.lines().filter(|line| line.starts_with("tiny-ce: warning")).collect();
    assert_eq!(warnings.len(), 1, "{done}");
    assert!(
        warnings[0].contains("no overlayfs (modprobe overlay): the host's files are read-only")
    );
    assert_eq!(done.stderr.matches("Read-only file system").count(), 4, "{done}");
}

#[test]
fn without_filters_the_default_container_is_unconfined() {
    let Some(case) = ground() else { return };
    const SECCOMP: i64 = if cfg!(target_arch = "x86_64") { 317 } else { 277 };
    const ENOSYS: i32 = 38;
    let script = "grep Seccomp: /proc/self/status";
    let done = without_call(&case, "true", SECCOMP, ENOSYS, script);
    assert_eq!(done.ok(), "Seccomp:\t0\n", "{done}");
    let warning = "tiny-ce: warning: this kernel has no system call filters";
    assert!(done.stderr.starts_with(warning) && done.stderr.lines().count() == 1, "{done}");
}

/// A kernel without cgroups has no /proc/self/cgroup.
#[test]
fn a_kernel_without_cgroups_runs_containers_without_limits() {
    let Some(case) = ground() else { return };
    const OPENAT: i64 = if cfg!(target_arch = "x86_64") { 257 } else { 56 };
    const ENOENT: i32 = 2;
    let command = case.command(["run", "--", "/bin/echo", "hi"]);
    let (done, calls) = case.calls(Whose::Launcher, &command);
    done.ok();
    let opens = (1..).zip(&calls).filter(|(_, call)| call.number == OPENAT);
    let refused = |(at, _)| case.fault(Whose::Launcher, Fault::Errno(ENOENT), at, &command).done;
    let without = "no cgroup file system is mounted on this host: it is empty";
    let done = opens.map(refused).find(|done: &Done| done.stderr.contains(without));
    let done = done.expect("the file that does not exist there");
    assert_eq!(done.ok(), "hi\n", "{done}");
    assert!(done.stderr.contains("linux.resources.devices: not in force"), "{done}");
}

/// All of it: the launcher, init, and the container.
#[test]
fn sixteen_mebibytes_of_memory_suffice() {
    let Some(case) = ground() else { return };
    let tag = case.tag();
    let group = format!(
        "V=/sys/fs/cgroup/memory; F=memory.limit_in_bytes\n\
         if ! test -e $V; then V=/sys/fs/cgroup; F=memory.max\n\
         echo +memory >$V/cgroup.subtree_control; fi\n\
         mkdir $V/{tag}; trap 'echo $$ >$V/cgroup.procs; rmdir $V/{tag}' EXIT\n\
         echo 16M >$V/{tag}/$F; echo $$ >$V/{tag}/cgroup.procs"
    );
    let run = "$T run --memory 16m --env TINY_CE_CASE -- /bin/echo hi; $T doctor >$D/doctor";
    assert_eq!(on(&case, &format!("{group}\n{run}")).ok(), "hi\n");
}

/// As a network boot has it: a ramfs that was mounted, and is no initramfs.
#[test]
fn on_a_ramfs_containers_run() {
    let Some(case) = ground() else { return };
    let ready = "mkdir -p $D/r; mount -t ramfs r $D/r; cd $D/r; \
                 mkdir proc sys dev run tmp old etc; \
                 cp $T tiny-ce; cp $P probe; for d in proc sys dev; do mount --rbind /$d $d; done; \
                 pivot_root . old; cd /";
    for words in ["run -- /probe say hi", "doctor"] {
        let lines = format!("{ready}; exec /probe mount t /old tmpfs 0 then exec /tiny-ce {words}");
        let done = on(&case, &lines);
        let expected = if words == "doctor" { "ok       root directory" } else { "hi\n" };
        assert!(done.ok().contains(expected), "{done}");
        assert_eq!((done.value("mount /old"), done.stderr.as_str()), ("ok", ""), "{done}");
    }
}

#[test]
fn without_filters_containers_run_unconfined_if_asked() {
    let Some(case) = ground() else { return };
    const SECCOMP: i64 = if cfg!(target_arch = "x86_64") { 317 } else { 277 };
    const ENOSYS: i32 = 38;
    let all = refused(&case, SECCOMP, ENOSYS);
    assert_eq!(all.len(), 1);
    tells(
        all[0].fails(),
        "  hint: the kernel has no system call filters, or a sandbox refuses them",
    );
    assert!(all[0].stderr.contains(": linux.seccomp: seccomp(2): ENOSYS"), "{}", all[0]);
    // The hint helps: then there is no such call.
    let words = ["run", "--seccomp", "unconfined", "--", "/bin/echo", "hi"];
    let (done, calls) = case.calls(Whose::Init, &case.command(words));
    assert_eq!(done.ok(), "hi\n");
    assert!(calls.iter().all(|call| call.number != SECCOMP));
}

/// The network stack of a namespace, where IPv6 can be switched off without a reboot.
#[test]
fn without_ipv6_containers_run() {
    let Some(case) = Case::root(&[Need::File("/proc/sys/net/ipv6/conf/all/disable_ipv6")]) else {
        return;
    };
    let how = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    let lines = format!("export T; unshare --net bash -ec '{how}; $T {HI}; $T doctor'");
    tells(on(&case, &lines).ok(), "ok       networks");
}

/// As rescue scripts and build systems begin: root of a user namespace with one id, and no session.
#[test]
fn root_of_one_id_runs_containers_as_a_user_does() {
    let Some(case) = ground() else { return };
    let how = "unset XDG_RUNTIME_DIR; export T D; unshare --user --map-root-user";
    let done = on(&case, &format!("{how} bash -c '$T --root $D/state {HI}'"));
    assert_eq!(done.ok(), "hi\n", "{done}");
    // Where user namespaces are exhausted, the error and doctor say so.
    let none = "echo 0 >/proc/sys/user/max_user_namespaces";
    let done = on(&case, &format!("{how} bash -ec '{none}; $T --root $D/state {HI}'"));
    assert!(done.fails().contains("(2): ENOSPC"), "{done}");
    tells(&done.stderr, "  hint: too many namespaces: see the limits under /proc/sys/user/");
    let done = on(&case, &format!("{how} bash -ec '{none}; $T --root $D/state doctor'"));
    let line = "missing  user namespaces: unshare(2): ENOSPC (No space left on device): only \
                bundles without one can run";
    tells(done.ok(), line);
    tells(&done.stdout, "           hint: sysctl -w user.max_user_namespaces=");
    // And a bundle without one does run.
    let mut bundle = case.bundle();
    bundle.probe("say hi").remove("/linux/resources").without_namespace("cgroup");
    bundle.mount("/dev/pts")["options"] = json!(["newinstance", "ptmxmode=0666", "mode=0620"]);
    let mounts = bundle.config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    let run = format!("$T --root $D/state run --bundle {} {}", bundle.path().display(), case.id());
    let done = on(&case, &format!("{how} bash -ec '{none}; {run}'"));
    assert_eq!(done.ok(), "hi\n", "{done}");
}

/// A user without a session, and without a /tmp to write to.
#[test]
fn a_user_without_a_place_for_the_state_is_told() {
    let Some(case) = Case::root(&[Need::Program("setpriv")]) else { return };
    let user = "mount -t tmpfs -o mode=755 tmpfs /tmp; cp $T /tmp/t; unset XDG_RUNTIME_DIR; cd /; \
                U='setpriv --reuid 54321 --regid 54321 --clear-groups'";
    let done = on(&case, &format!("{user}; $U /tmp/t {HI}"));
    assert!(done.fails().contains(": /tmp/tiny-ce-54321: mkdir(2): EACCES"), "{done}");
    tells(&done.stderr, "  hint: it keeps the state without XDG_RUNTIME_DIR: set XDG_RUNTIME_DIR");
    let done = on(&case, &format!("{user}; $U /tmp/t doctor || true"));
    tells(done.ok(), "missing  state directory: /tmp/tiny-ce-54321: mkdir(2): EACCES");
    let own = "mkdir -m 700 /tmp/own; chown 54321:54321 /tmp/own; export XDG_RUNTIME_DIR=/tmp/own";
    assert_eq!(on(&case, &format!("{user}; {own}; $U /tmp/t {HI}")).ok(), "hi\n");
}
