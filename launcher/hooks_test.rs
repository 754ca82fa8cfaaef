//! Run hooks as users write them: short sh scripts in a directory of the test.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tiny_ce_test::{Need, met};

use super::*;

/// The program of init, as the launcher embeds it.
fn program() -> &'static OwnedFd {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    static INIT: &[u8] = include_bytes!(env!("TINY_CE_INIT"));
    PROGRAM.get_or_init(|| sys::file::sealed_executable(c"tiny-ce-init", INIT).unwrap())
}

/// The start of the error of the first hook, as in runc.
const FIRST: &str = "error running createRuntime hook #0: ";

/// A directory with hooks, removed with the test.
struct Ground(PathBuf);

impl Ground {
    fn new() -> Ground {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tiny-ce-hooks-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Ground(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.path(name);
        // cp(1) writes it: children of this process would inherit a descriptor that is open for
        // writing, and execve(2) would fail with ETXTBSY.
        let plain = format!("{path}.text");
        fs::write(&plain, text).unwrap();
        fs::set_permissions(&plain, PermissionsExt::from_mode(mode)).unwrap();
        assert!(Command::new("cp").args(["-p", &plain, &path]).status().unwrap().success());
        path
    }

    fn hook(&self, body: &str) -> Hook {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hook{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.file(&name, &format!("#!/bin/sh\n{body}\n"), 0o755);
        Hook { path, ..Hook::default() }
    }

    /// A hook that copies a file of its /proc/self, without a shell, which would change it.
    fn copy(&self, out: &str, file: &str) -> Hook {
        let out = self.path(out);
        let args = ["dd", "status=none", &format!("if=/proc/self/{file}"), &format!("of={out}")];
        let args = args.map(str::to_owned).to_vec();
        Hook { path: "/bin/dd".into(), args, ..Hook::default() }
    }

    /// In the container of `init`, with this directory as the future root.
    fn inside(&self, init: &Init) -> Place<'_> {
        Place::Container { pid: init.0.pid, rootfs: &self.0 }
    }

    fn run_with(&self, hooks: &[Hook], state: &[u8], place: Place<'_>) -> Result<()> {
        let scene = Scene { program: program().as_fd(), state, bundle: &self.0 };
        run("createRuntime", hooks, &scene, place)
    }

    fn run(&self, hooks: &[Hook]) -> Result<()> {
        self.run_with(hooks, b"{}", Place::Runtime)
    }

    fn error(&self, hook: Hook) -> (String, String) {
        let name = format!("{FIRST}hooks.createRuntime[0] {:?}", hook.path);
        let error = self.run(&[hook]).unwrap_err();
        let text = error.line().strip_prefix(&name).expect("the hook's name comes first");
        (text.to_owned(), error.to_string())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether the process exists, and is no zombie.
fn alive(pid: &str) -> bool {
    sys::process::stat(pid.trim().parse().unwrap()).is_some_and(|stat| !stat.is_zombie())
}

#[test]
fn hooks_run_in_their_order_in_the_bundle() {
    let ground = Ground::new();
    let hooks = [ground.hook("echo 1 >>log"), ground.hook("echo 2 >>log; pwd >>log")];
    ground.run(&hooks).unwrap();
    let here = ground.0.canonicalize().unwrap();
    assert_eq!(ground.read("log"), format!("1\n2\n{}\n", here.display()));
}

#[test]
fn the_first_failure_stops_the_list_and_shows_its_output() {
    let ground = Ground::new();
    let body = "seq 30 >&2; echo; printf 'no \\033[31mGPU\\n' >&2; exit 3";
    let hooks = [ground.hook("echo 1 >>log"), ground.hook(body), ground.hook("echo 3 >>log")];
    let error = ground.run(&hooks).unwrap_err();
    let path = &hooks[1].path;
    let text = format!(
        "error running createRuntime hook #1: hooks.createRuntime[1] {path:?}: exit status 3: \
         no \\u{{1b}}[31mGPU"
    );
    assert_eq!(error.line(), text);
    let shown: String = (12..=30).map(|n| format!("  | {n}\n")).collect();
    assert_eq!(error.to_string(), format!("{text}\n{shown}  | no \\u{{1b}}[31mGPU"));
    assert_eq!(ground.read("log"), "1\n");
}

#[test]
fn the_error_of_a_hook_without_output_has_one_line() {
    let ground = Ground::new();
    let (text, whole) = ground.error(ground.hook("exit 1"));
    assert_eq!(text, ": exit status 1");
    assert!(!whole.contains('\n'), "{whole}");
}

#[test]
fn the_error_names_the_signal() {
    let ground = Ground::new();
    assert_eq!(ground.error(ground.hook("kill -KILL $$")).0, ": killed by SIGKILL");
    assert_eq!(ground.error(ground.hook("kill -40 $$")).0, ": killed by signal 40");
}

#[test]
fn a_timeout_kills_the_whole_group() {
    let ground = Ground::new();
    let body = "sleep 1000 & echo $! >child; echo $$ >self; echo waiting; wait";
    let hook = Hook { timeout: Some(1), ..ground.hook(body) };
    let begun = Instant::now();
    let (text, whole) = ground.error(hook);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(text, ": timed out after 1 s: waiting");
    assert!(whole.ends_with("hint: raise hooks.createRuntime[0].timeout, which is in seconds"));
    assert!(!alive(&ground.read("self")), "the hook lives");
    // SIGKILL has been sent to the child; what remains is for it to end.
    if let Ok(child) = process::pidfd_open(ground.read("child").trim().parse().unwrap()) {
        let patience = tiny_ce_test::PATIENCE.as_millis() as i32;
        let gone = process::wait_gone(&child, patience).is_ok();
        assert!(gone, "a child of the hook lives");
    }
}

#[test]
fn a_timeout_beyond_the_clock_never_expires() {
    let ground = Ground::new();
    ground.run(&[Hook { timeout: Some(i64::MAX), ..ground.hook("exit 0") }]).unwrap();
}

#[test]
fn standard_input_is_the_state_and_then_its_end() {
    let ground = Ground::new();
    let state = br#"{"ociVersion":"1.3.0","id":"a","status":"creating"}"#;
    ground.run_with(&[ground.hook("cat >state")], state, Place::Runtime).unwrap();
    assert_eq!(ground.read("state").as_bytes(), state);
    // This is more than the capacity of a pipe.
    let state: Vec<u8> = (0..300_000).map(|n| b'a' + (n % 26) as u8).collect();
    ground.run_with(&[ground.hook("cat >state")], &state, Place::Runtime).unwrap();
    assert_eq!(ground.read("state").as_bytes(), state);
}

#[test]
fn a_hook_need_not_read_its_state() {
    let ground = Ground::new();
    let state = vec![b' '; 1 << 20];
    let hooks =
        [ground.hook("exit 0"), ground.hook("exec <&-; echo more"), ground.hook("head -c9")];
    ground.run_with(&hooks, &state, Place::Runtime).unwrap();
}

#[test]
fn a_megabyte_of_output_does_not_block() {
    let ground = Ground::new();
    let body = "head -c 1048576 /dev/zero | tr '\\0' x >&2; echo; echo end; exit 1";
    let (text, whole) = ground.error(ground.hook(body));
    assert_eq!(text, ": exit status 1: end");
    assert!(whole.len() < 5000, "{} bytes", whole.len());
}

#[test]
fn a_daemon_that_holds_the_output_does_not_block() {
    let ground = Ground::new();
    let begun = Instant::now();
    // The daemon lives until this test has seen that the hook's end sufficed.
    let body = "mkfifo gate; (read x <gate; echo late) & echo $! >daemon; exit 0";
    ground.run(&[ground.hook(body)]).unwrap();
    assert!(begun.elapsed() < tiny_ce_test::PATIENCE);
    assert!(alive(&ground.read("daemon")), "the daemon was killed");
    fs::write(ground.path("gate"), "go\n").unwrap();
}

#[test]
fn environment_and_arguments_are_exact() {
    let ground = Ground::new();
    let copy = |out, file| Hook {
        env: Some(["B=2", "A=1", "A=again", "odd"].map(str::to_owned).to_vec()),
        ..ground.copy(out, file)
    };
    ground.run(&[copy("env", "environ"), copy("args", "cmdline")]).unwrap();
    assert_eq!(ground.read("env"), "B=2\0A=1\0A=again\0odd\0");
    let args = format!("dd\0status=none\0if=/proc/self/cmdline\0of={}\0", ground.path("args"));
    assert_eq!(ground.read("args"), args);
}

#[test]
fn without_args_argv_is_the_path() {
    let ground = Ground::new();
    let hook = ground.hook("echo $0 $# >name");
    ground.run(std::slice::from_ref(&hook)).unwrap();
    assert_eq!(ground.read("name"), format!("{} 0\n", hook.path));
}

#[test]
fn without_env_the_environment_is_the_launchers() {
    let ground = Ground::new();
    let empty = Hook { env: Some(Vec::new()), ..ground.copy("empty", "environ") };
    ground.run(&[ground.copy("absent", "environ"), empty]).unwrap();
    let own = fs::read_to_string("/proc/self/environ").unwrap();
    assert!(own.contains("PATH="), "a process of a test has some variables: {own:?}");
    let lines = |text: &str| {
        let mut lines: Vec<_> = text.split_terminator('\0').map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&ground.read("absent")), lines(&own));
    assert_eq!(ground.read("empty"), "");
}

#[test]
fn a_relative_path_is_below_the_bundle() {
    let ground = Ground::new();
    ground.file("hook", "#!/bin/sh\necho $0 >name\n", 0o755);
    ground.run(&[Hook { path: "./hook".into(), ..Hook::default() }]).unwrap();
    assert!(ground.read("name").ends_with("/hook\n"), "{}", ground.read("name"));
}

#[test]
fn signals_and_descriptors_are_fresh() {
    let ground = Ground::new();
    // The shell opens the directory /proc/self/fd, which gets the lowest free number.
    let args = ["sh", "-c", "echo /proc/self/fd/* >fds"].map(str::to_owned).to_vec();
    let list = Hook { path: "/bin/sh".into(), args, ..Hook::default() };
    ground.run(&[ground.copy("status", "status"), list]).unwrap();
    let none = "0000000000000000";
    assert!(ground.read("status").contains(&format!("SigBlk:\t{none}\nSigIgn:\t{none}\n")));
    assert_eq!(
        ground.read("fds"),
        [0, 1, 2, 3].map(|fd| format!("/proc/self/fd/{fd}")).join(" ") + "\n"
    );
}

#[test]
fn the_error_of_a_hook_that_cannot_be_executed_has_its_errno() {
    let ground = Ground::new();
    let bare = |path: String| Hook { path, ..Hook::default() };
    let (text, whole) = ground.error(bare(ground.path("missing")));
    assert_eq!(text, ": execve(2): ENOENT (No such file or directory)");
    assert!(whole.contains(&format!("execve(path={:?})", ground.path("missing"))), "{whole}");
    let (text, _) = ground.error(bare(ground.file("plain", "#!/bin/sh\n", 0o644)));
    assert_eq!(text, ": execve(2): EACCES (Permission denied)");
    let (text, _) = ground.error(bare(ground.file("bare", "echo\n", 0o755)));
    assert_eq!(text, ": execve(2): ENOEXEC (Exec format error)");
    let (_, whole) = ground.error(bare(ground.file("lost", "#!/no/such/interpreter\n", 0o755)));
    assert!(whole.ends_with("hint: the file is there, the interpreter that it names is not"));
}

#[test]
fn hooks_run_after_one_has_deleted_the_bundle() {
    let ground = Ground::new();
    let elsewhere = Ground::new();
    let hooks = [
        ground.hook(&format!("rm -r {}", elsewhere.0.display())),
        ground.hook(&format!("pwd >{}", ground.path("pwd"))),
    ];
    let scene = Scene { program: program().as_fd(), state: b"{}", bundle: &elsewhere.0 };
    run("createRuntime", &hooks, &scene, Place::Runtime).unwrap();
    assert_eq!(ground.read("pwd"), "/\n");
}

#[test]
fn all_run_even_if_some_fail() {
    let ground = Ground::new();
    let hooks = [ground.hook("exit 1"), ground.hook("echo 2 >>log")];
    let scene = Scene { program: program().as_fd(), state: b"{}", bundle: &ground.0 };
    run_all("poststop", &hooks, &scene);
    assert_eq!(ground.read("log"), "2\n");
}

/// A process in new namespaces that has not entered another root, as init before pivot_root(2).
struct Init(Child);

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

impl Init {
    fn new(flags: i32) -> Init {
        let sleep = File::open("/bin/sleep").unwrap();
        let child = process::clone_exec(&Clone {
            flags: flags as u64,
            cgroup: None,
            program: sleep.as_fd(),
            argv: &["sleep", "1000"].map(|arg| CString::new(arg).unwrap()),
            envp: &[],
            descriptors: &[],
            die_with_parent: true,
        });
        let init = Init(child.map_err(|(call, e)| format!("{call}: {e}")).unwrap());
        if flags & libc::CLONE_NEWUSER != 0 {
            for map in ["uid_map", "gid_map"] {
                fs::write(format!("/proc/{}/{map}", init.0.pid), "0 100000 65536\n").unwrap();
            }
        }
        init
    }

    fn namespace(&self, name: &str) -> String {
        let link = fs::read_link(format!("/proc/{}/ns/{name}", self.0.pid)).unwrap();
        link.to_str().unwrap().to_owned()
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = process::kill(&self.0.pidfd, libc::SIGKILL);
        let _ = process::wait(&self.0.pidfd, false);
    }
}

/// Assert that a hook is in the namespaces of `init`, has the ids 0 and no stray descriptors.
fn assert_inside(init: &Init) {
    let ground = Ground::new();
    fs::set_permissions(&ground.0, PermissionsExt::from_mode(0o777)).unwrap();
    let names = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];
    let body = "for n in user mnt pid net ipc uts cgroup time; do readlink /proc/self/ns/$n; done";
    let hook = ground.hook(&format!("({body}; id -u; id -g; pwd) >out; umask 0; ls /proc/self/fd"));
    ground.run_with(&[hook], b"{}", ground.inside(init)).unwrap();
    let expected: String = names.map(|name| init.namespace(name) + "\n").concat();
    let here = ground.0.canonicalize().unwrap();
    assert_eq!(ground.read("out"), format!("{expected}0\n0\n{}\n", here.display()));
}

#[test]
fn hooks_of_the_container_enter_all_its_namespaces() {
    if !met(&[Need::Root]) {
        return;
    }
    for flags in [NAMESPACES, NAMESPACES | libc::CLONE_NEWUSER, libc::CLONE_NEWUTS] {
        let init = Init::new(flags);
        assert_inside(&init);
    }
}

#[test]
fn a_timeout_reaches_into_the_pid_namespace() {
    if !met(&[Need::Root]) {
        return;
    }
    let (ground, init) = (Ground::new(), Init::new(NAMESPACES));
    let hook = Hook { timeout: Some(1), ..ground.hook("echo $$; exec sleep 1000") };
    let error = ground.run_with(&[hook], b"{}", ground.inside(&init)).unwrap_err();
    // The hook prints its pid in the new namespace, which is small.
    let pid = error.line().rsplit(": ").next().unwrap().parse::<u32>().unwrap();
    assert!(error.line().contains("timed out after 1 s"), "{error}");
    assert!(pid < 10, "{pid}");
}

#[test]
fn a_program_that_the_container_cannot_see_is_executed_by_descriptor() {
    if !met(&[Need::Root]) {
        return;
    }
    let (ground, init) = (Ground::new(), Init::new(NAMESPACES));
    // In the container's mount namespace a tmpfs covers the directory of the hook.
    let over = Ground::new();
    let body = format!("mount -t tmpfs none {}", ground.0.display());
    let place = over.inside(&init);
    over.run_with(&[over.hook(&format!("mount --make-rprivate /; {body}"))], b"{}", place).unwrap();
    let args = ["touch".to_owned(), over.path("binary")].to_vec();
    let binary = ground.path("binary");
    fs::copy("/bin/touch", &binary).unwrap();
    let script = ground.hook(&format!("echo $0 >{}", over.path("script")));
    let hooks = [Hook { path: binary, args, ..Hook::default() }, script];
    ground.run_with(&hooks, b"{}", place).unwrap();
    assert!(over.0.join("binary").exists());
    assert_eq!(over.read("script"), "/dev/fd/3\n");
    let absent = Hook { path: ground.path("absent"), ..Hook::default() };
    let error = ground.run_with(&[absent], b"{}", place).unwrap_err();
    assert!(error.line().ends_with(": open(2): ENOENT (No such file or directory)"), "{error}");
}

#[test]
fn programs_of_the_image_are_confined_as_its_process_is() {
    if !met(&[Need::Root]) {
        return;
    }
    let (ground, init) = (Ground::new(), Init::new(NAMESPACES));
    fs::set_permissions(&ground.0, PermissionsExt::from_mode(0o777)).unwrap();
    let config = r#"{"cwd": "/proc", "noNewPrivileges": true, "oomScoreAdj": 100,
        "user": {"uid": 1234, "gid": 1235, "umask": 63, "additionalGids": [7]},
        "capabilities": {"bounding": ["CAP_KILL"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 4, "hard": 5}]}"#;
    let process: crate::spec::Process = crate::spec::json::read(config.as_bytes()).unwrap();
    let identity = Identity {
        process: &process,
        groups_denied: false,
        filter: None,
        last_capability: process::last_capability(),
        stdio: [true; 3],
    };
    let confined = Confined {
        pid: init.0.pid,
        identity: &identity,
        cgroup: None,
        tasks: &[],
        environment: &[c"A=process".to_owned()],
        listener: &|_, _| Err(Error::new("a filter, where there is none")),
    };
    let place = Place::Process(&confined);
    let files = ["status", "limits", "oom_score_adj", "environ"];
    let hooks = files.map(|file| ground.copy(file, file));
    ground.run_with(&hooks, b"{}", place).unwrap();
    let status = ground.read("status");
    let ids = ["Uid:\t1234\t1234\t1234\t1234", "Gid:\t1235\t1235\t1235\t1235", "Groups:\t7 "];
    let sets = ["CapEff:\t0", "CapPrm:\t0", "CapBnd:\t0000000000000020"];
    let flags = ["NoNewPrivs:\t1", "Umask:\t0077"];
    for line in ids.iter().chain(&sets).chain(&flags) {
        assert!(status.contains(&format!("\n{line}")), "{line}: {status}");
    }
    let limits = ground.read("limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().collect::<Vec<_>>()[3..5], ["4", "5"]);
    assert_eq!(ground.read("oom_score_adj"), "100\n");
    assert_eq!(ground.read("environ"), "A=process\0");
    // readlink(1) prints two links, and fails since the third path does not exist.
    let args = ["readlink", "/proc/self/cwd", "/proc/self/ns/mnt", "/no"].map(str::to_owned);
    let path = "/bin/readlink".to_owned();
    let hook = Hook { path, args: args.to_vec(), ..Hook::default() };
    let error = ground.run_with(&[hook], b"{}", place).unwrap_err();
    let expected = format!("\n  | /proc\n  | {}", init.namespace("mnt"));
    assert!(error.to_string().ends_with(&expected), "{error}");
    let absent = Hook { path: "/no/such".into(), ..Hook::default() };
    let error = ground.run_with(&[absent], b"{}", place).unwrap_err();
    let text = "hooks.createRuntime[0] \"/no/such\": execve(2): ENOENT (No such file or directory)";
    assert_eq!(error.line(), format!("{FIRST}{text}"));
}
