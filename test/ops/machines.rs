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
