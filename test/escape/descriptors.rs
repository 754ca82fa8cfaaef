//! Attacks through the runtime's open files: descriptors, its program, its terminal.

use serde_json::json;
use std::fs;
use std::time::Instant;
use tiny_ce_test::{Bundle, Case, Container, Done, probe, slowness, tiny_ce};

use crate::victim::fails_cleanly_or_succeeds;

/// A bundle whose program looks into other processes for a while; `ptrace` adds the capabilities
/// for it.
fn watching(case: &Case, ptrace: bool, command: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.probe(&format!("{command} {}", 3000 * slowness()));
    if ptrace {
        for set in ["bounding", "permitted", "effective"] {
            bundle.push(&format!("/process/capabilities/{set}"), "CAP_SYS_PTRACE");
            bundle.push(&format!("/process/capabilities/{set}"), "CAP_DAC_OVERRIDE");
        }
    }
    bundle
}

/// Run `exec` until the container has ended; return how often it ran.
fn exec_until_ended(container: &Container<'_>, words: [&str; 3]) -> u32 {
    for count in 0.. {
        let done = container.tiny_ce("exec", words);
        if done.stderr.contains("not running") || container.status() == "stopped" {
            return count;
        }
    }
    unreachable!("it ends")
}

fn exec_shows_nothing(ptrace: bool) {
    let Some(case) = Case::root(&[]) else { return };
    let mut container = case.create(&watching(&case, ptrace, "watch-fds"));
    container.start();
    let count = exec_until_ended(&container, ["/probe", "sleep", "20"]);
    let done = container.ended();
    assert_eq!(done.values("leak"), Vec::<&str>::new(), "{done}");
    let seen: u64 = done.value("seen").parse().expect("a number");
    assert!(seen > 0 && count > 3, "{seen} looked at, {count} run: {done}");
}

/// CVE-2016-9962: descriptors that exec has open before it is confined.
#[test]
fn exec_shows_nothing_of_the_host() {
    exec_shows_nothing(false);
}

/// The same for a program that may look into processes that are not dumpable.
#[test]
fn exec_shows_nothing_of_the_host_to_a_tracer() {
    exec_shows_nothing(true);
}

/// CVE-2019-5736: a container cannot reach the runtime's program.
#[test]
fn the_runtimes_program_cannot_be_overwritten() {
    let Some(case) = Case::root(&[]) else { return };
    let before = fs::read(tiny_ce()).expect("the program");
    let mut container = case.create(&watching(&case, true, "reopen-exe"));
    container.start();
    let count = exec_until_ended(&container, ["/proc/self/exe", "sleep", "20"]);
    let done = container.ended();
    assert_eq!(done.values("wrote"), Vec::<&str>::new(), "{done}");
    assert_ne!(done.value("seen"), "0", "{done}");
    assert!(count > 3, "{count} run");
    assert!(fs::read(tiny_ce()).expect("the program") == before, "the runtime has been changed");
}

/// The program that a container could execute is init, which ends at once without a plan.
#[test]
fn the_runtimes_program_does_nothing_for_a_container() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let script = bundle.file("evil", "#!/proc/self/exe\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(script, executable).expect("a script");
    for args in [&["/proc/self/exe"][..], &["/evil"], &["/proc/1/exe", "run"], &["/proc/self/fd/3"]]
    {
        bundle.set("/process/args", args.to_vec());
        let begin = Instant::now();
        let done = case.run(&bundle);
        assert_ne!(done.code(), 0, "{done}");
        assert_eq!(done.stdout, "", "{done}");
        assert!(begin.elapsed().as_secs() < 10, "{args:?}: {:?}", begin.elapsed());
    }
}

/// The program sees the image's root, and nothing of the host's.
#[track_caller]
fn is_inside(done: &Done) {
    fails_cleanly_or_succeeds(done);
    assert!(!done.values("entry").contains(&"root"), "{done}");
    assert!(!done.values("entry").contains(&"vmlinuz"), "{done}");
    if done.status.success() {
        assert!(done.value("cwd").starts_with('/'), "{done}");
        assert!(!done.value("cwd").contains("unreachable"), "{done}");
    }
}

/// CVE-2024-21626: a working directory that leads through a descriptor of the runtime or its
/// caller.
#[test]
fn the_working_directory_is_never_the_hosts() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("cwd then list . then list ../../../../..");
    let mut waiting = case.bundle();
    waiting.probe("pause");
    let container = case.create(&waiting);
    container.start();
    let numbers: Vec<u32> = (3..=19).chain([57]).collect();
    for number in numbers {
        let path = format!("/proc/self/fd/{number}");
        bundle.set("/process/cwd", path.as_str());
        let open = "hold 9 / r then hold 57 / path then exec";
        let launcher = [tiny_ce(), "--root".into(), case.state(), "run".into(), "--bundle".into()];
        let mut words = vec![probe().to_str().expect("UTF-8").to_owned()];
        words.extend(open.split(' ').map(str::to_owned));
        words.extend(launcher.map(|path| path.to_str().expect("UTF-8").to_owned()));
        words.extend([bundle.path().to_str().expect("UTF-8").to_owned(), case.id()]);
        is_inside(&case.program(words));
        let id = container.id();
        let exec = ["exec", "--cwd", &path, id, "/probe", "cwd", "then", "list", "."];
        let done = case.tiny_ce(exec);
        is_inside(&done);
    }
}

/// The same through links of the image: relative ones would start at the runtime's directory.
#[test]
fn a_linked_working_directory_is_inside() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("cwd then list . then list ../../../../..");
    for (n, target) in
        ["/proc/self/cwd/../../..", "/proc/1/cwd", "/proc/self/root", "../../../../../../.."]
            .iter()
            .enumerate()
    {
        let name = format!("work{n}");
        std::os::unix::fs::symlink(target, bundle.rootfs().join(&name)).expect("a link");
        bundle.set("/process/cwd", format!("/{name}"));
        is_inside(&case.run(&bundle));
    }
}

/// The container does not inherit the caller's session keyring, and cannot find its keys.
#[test]
fn the_callers_keys_are_not_found() {
    let Some(case) = Case::root(&[]) else { return };
    let (keyctl, add_key, request_key) = match cfg!(target_arch = "x86_64") {
        true => (250, 248, 249),
        false => (219, 217, 218),
    };
    let mut bundle = case.bundle();
    let key = case.tag();
    bundle.probe(&format!("syscall {request_key} @user @{key} 0 0"));
    let caller = format!(
        "syscall {keyctl} 1 0 then syscall {add_key} @user @{key} @secret 6 -3 then \
         syscall {request_key} @user @{key} 0 0 then exec"
    );
    let mut words = vec![probe().to_str().expect("UTF-8").to_owned()];
    words.extend(caller.split_whitespace().map(str::to_owned));
    let launcher = [tiny_ce(), "--root".into(), case.state(), "run".into(), "--bundle".into()];
    words.extend(launcher.map(|path| path.to_str().expect("UTF-8").to_owned()));
    words.extend([bundle.path().to_str().expect("UTF-8").to_owned(), case.id()]);
    let done = case.program(words);
    let seen = done.values(&format!("syscall {request_key}"));
    // The caller finds the key, the container does not.
    assert!(seen.len() == 2 && seen[0].parse::<i64>().is_ok(), "{done}");
    assert_eq!(seen[1], "ENOKEY", "{done}");
    bundle.set("/process/args", json!(["/probe", "keyring"]));
    assert!(!case.run(&bundle).value("keyring.description").contains(key));
}
