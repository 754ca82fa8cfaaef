//! Failures of `run` without a bundle: each says what to do, and doing it helps.

use std::fs;
use std::os::unix::fs::chown;
use tiny_ce_test::{Case, Done, Need, probe, tiny_ce};

/// A user id that is not in the machine's /etc/passwd.
const CALLER: u32 = 54321;

/// What the command is to print: the error, and its hint.
struct Failure {
    words: &'static str,
    error: &'static str,
    hint: &'static str,
}

const fn row(words: &'static str, error: &'static str, hint: &'static str) -> Failure {
    Failure { words, error, hint }
}

/// `$T` is tiny-ce with a state root, `$D` a directory of the caller's with the probe's rootfs.
const ROOTS: [Failure; 13] = [
    row("$T run --rootfs $D/no -- /probe", "--rootfs \"$D/no\": ", "the directory of the root"),
    row("$T run --rootfs $D/file -- /probe", ": not a directory", "give the directory of the"),
    row("$T run -- nosuch", "executable file not found", "PATH is looked up in process.env"),
    row("$T run -- /nosuch", "no such file", "the path is that inside the container"),
    row("$T run -v $D/no:/mnt -- /bin/true", "stat(2): ENOENT", "must exist on the host"),
    row("$T run -v $D/file:/usr -- /bin/true", "(2): E", "a directory is mounted on a directory"),
    row("$T run --cwd $D/file -- /bin/true", "--cwd: openat2(2): ENOTDIR", "is a file in the"),
    row("$T run --env-file $D/no -- /bin/true", "--env-file", "the path is of the host"),
    row("$T run --seccomp $D/no -- /bin/true", "--seccomp: $D/no: open(2)", "it begins at"),
    row("$T run --pid-file $D/no/x -- /bin/true", "--pid-file", "make the directory first"),
    // Standard error is a file, too.
    row(
        "set -o pipefail; (ulimit -f 0; $T run -- /bin/true) 2>&1 | cat >&2",
        "write(2): EFBIG",
        "(ulimit -f)",
    ),
    row("ulimit -n 8; $T run -- /bin/true", ": EMFILE", "(ulimit -n)"),
    row("$T --root $D/file run -- /bin/true", "mkdir(2): ENOTDIR", "choose where the state"),
];

const CALLERS: [Failure; 5] = [
    row("$T run --user 7 -- /bin/true", "--user: the container has no user 7", "install uidmap"),
    row("$T run --rootfs $D/locked/in -- /x", "openat(2): EACCES", "see namei -m PATH"),
    row("$T run -v $D/locked/in:/mnt -- /x", "stat(2): EACCES", "see namei -m PATH"),
    row("$T run --cwd $D/locked/in -- /bin/true", "--cwd: openat2(2): EACCES", "as the caller may"),
    row("$T --rootless=false run -- /bin/true", "mkdir(2): EACCES", "a delegated cgroup"),
];

struct Ground(Case);

impl Ground {
    fn new() -> Option<Ground> {
        let case = Case::root(&["unshare", "setpriv"].map(Need::Program))?;
        for name in ["state", "locked/in"] {
            fs::create_dir_all(case.dir().join(name)).expect("a directory");
        }
        fs::write(case.dir().join("file"), "").expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(case.dir().join("locked"), mode).expect("chmod");
        chown(case.state(), Some(CALLER), Some(CALLER)).expect("chown");
        for (from, name) in [(tiny_ce(), "tiny-ce"), (probe().to_owned(), "probe")] {
            let to = case.dir().join(name);
            case.program(["cp", from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8")]).ok();
        }
        Some(Ground(case))
    }

    /// Run a line of the shell's in a mount namespace, after others of root's.
    fn on(&self, user: bool, before: &str, line: &str) -> Done {
        let dir = self.0.dir().display();
        let state = if user { "state" } else { "roots" };
        let path = self.0.dir().join("line");
        let text = format!("T='{dir}/tiny-ce --root {dir}/{state}'; D={dir}; {line}\n");
        fs::write(&path, text).expect("a script");
        let ids = format!("--reuid {CALLER} --regid {CALLER} --clear-groups");
        let who = if user { format!("setpriv {ids}") } else { String::new() };
        let lines = format!("set -e; cd {dir}; {before}\nexec {who} bash {}", path.display());
        let unshare = ["unshare", "--mount", "--propagation", "private", "bash", "-c", &lines];
        self.0.program(unshare)
    }

    #[track_caller]
    fn fails(&self, user: bool, before: &str, failure: &Failure) {
        let done = self.on(user, before, failure.words);
        let error = failure.error.replace("$D", &self.0.dir().display().to_string());
        let text = done.fails();
        assert!(text.contains(&error), "{error:?}: {done}");
        let mut hints = text.lines().filter(|line| line.starts_with("  hint: "));
        assert!(hints.any(|line| line.contains(failure.hint)), "{:?}: {done}", failure.hint);
    }
}

/// newuidmap is there, and has not the rights to map ids.
const NO_MAPPER: &str = "for p in newuidmap newgidmap; do if test -e /usr/bin/$p; then \
    cp /usr/bin/$p .; chmod u-s $p; mount --bind $p /usr/bin/$p; fi; done";

#[test]
fn failures_of_run_say_what_to_do() {
    let Some(ground) = Ground::new() else { return };
    for failure in &ROOTS {
        ground.fails(false, ":", failure);
    }
    for failure in &CALLERS {
        ground.fails(true, NO_MAPPER, failure);
    }
}

/// As in a container of another engine.
#[test]
fn cgroups_that_are_read_only_are_not_needed() {
    let Some(ground) = Ground::new() else { return };
    let locked = "while read -r _ m t _; do case $t in cgroup*) mount -o remount,ro,bind $m;; \
                  esac; done </proc/self/mounts";
    let words = "$T run -- /bin/echo hi";
    let hint = "(--cgroup-manager disabled)";
    ground.fails(false, locked, &row(words, "mkdir(2): EROFS", hint));
    let done = ground.on(false, locked, "$T --cgroup-manager disabled run -- /bin/echo hi");
    assert_eq!(done.ok(), "hi\n", "{done}");
}

/// A newuidmap that fails all the same: its words are passed on, and one id always works.
#[test]
fn a_mapper_that_fails_is_not_needed() {
    let Some(ground) = Ground::new() else { return };
    if !["newuidmap", "newgidmap"].iter().all(|it| fs::exists(format!("/usr/bin/{it}")).unwrap()) {
        return tiny_ce_test::skip("needs newuidmap");
    }
    let broken = "echo u:x:54321:54321::/:/bin/sh | cat /etc/passwd - >passwd; \
                  for f in subuid subgid; do echo u:700000:9 >$f; done; \
                  for f in passwd subuid subgid; do mount --bind $f /etc/$f; done; \
                  printf '#!/bin/sh\\necho not today >&2; exit 1' >broken; chmod 4755 broken; \
                  mount --bind broken /usr/bin/newuidmap";
    let words = "$T run -- /bin/echo hi";
    ground.fails(true, broken, &row(words, "newuidmap: exit status: 1\n  not today", "--ids own"));
    let done = ground.on(true, broken, "$T run --ids own -- /bin/echo hi");
    assert_eq!(done.ok(), "hi\n", "{done}");
}
