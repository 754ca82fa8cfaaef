//! The ids of a container without a bundle whose caller is not root: the caller's alone, or also
//! those of /etc/subuid and /etc/subgid.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use tiny_ce_test::{Case, Done, Need, probe, tiny_ce};

/// A user id that is not in the machine's /etc/passwd.
const CALLER: u32 = 54321;

/// The caller's name, group and ranges, in a mount namespace of its own.
const GIVEN: &str = "cp /etc/passwd passwd; echo ada:x:54321:54321::/:/bin/sh >>passwd; \
    for f in subuid subgid; do echo ada:700000:65536 >$f; done; \
    for f in passwd subuid subgid; do mount --bind $f /etc/$f; done";

struct Ground {
    case: Case,
    tiny_ce: PathBuf,
}

impl Ground {
    fn new() -> Option<Ground> {
        let needs = ["newuidmap", "newgidmap", "unshare", "setpriv", "su"].map(Need::Program);
        let case = Case::root(&[&needs[..], &[Need::File("/etc/subuid")]].concat())?;
        let state = case.state();
        fs::create_dir(&state).expect("a state root");
        chown(&state, Some(CALLER), Some(CALLER)).expect("chown");
        for (from, name) in [(tiny_ce(), "tiny-ce"), (probe().to_owned(), "probe")] {
            let to = case.dir().join(name);
            case.program(["cp", from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8")]).ok();
        }
        let tiny_ce = case.dir().join("tiny-ce");
        Some(Ground { case, tiny_ce })
    }

    /// Run `tiny-ce --root STATE WORDS…` as the caller on a machine that these lines change.
    fn caller(&self, lines: &str, words: &[&str]) -> Done {
        let script = self.case.dir().join("script");
        let user = format!("setpriv --reuid {CALLER} --regid ${{G:-{CALLER}}} --clear-groups $N");
        let dir = self.case.dir().display();
        fs::write(&script, format!("set -e; cd {dir}; {lines}\nexec {user} \"$@\"\n"))
            .expect("a script");
        let state = self.case.state();
        let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
        let first = ["unshare", "--mount", "--propagation", "private", "sh"].map(str::to_owned);
        let own = [text(&script), text(&self.tiny_ce), "--root".to_owned(), text(&state)];
        let words = words.iter().map(|word| (*word).to_owned());
        self.case.program(first.into_iter().chain(own).chain(words))
    }

    /// Run a script in the container.
    fn inside(&self, lines: &str, options: &[&str], script: &str) -> Done {
        let inner = self.case.dir().join("inner");
        fs::write(&inner, script).expect("a script");
        let tag = format!("TINY_CE_CASE={}", self.case.tag());
        let inner = inner.to_str().expect("UTF-8");
        let (first, last) = (["run", "--env", &tag], ["--", "/bin/sh", inner]);
        self.caller(lines, &[&first[..], options, &last].concat())
    }

    fn doctor(&self, lines: &str) -> String {
        let done = self.caller(lines, &["doctor"]);
        let mut lines = done.ok().lines().map(str::to_owned);
        lines.find(|line| line.contains(" ids of a container: ")).expect("a line about ids")
    }
}

#[test]
fn programs_change_owners_and_users() {
    let Some(ground) = Ground::new() else { return };
    let script = "cat /proc/self/uid_map
        for at in /tmp /var/tmp; do touch $at/x; chown 7:8 $at/x; stat -c '%u %g' $at/x; done
        mkdir /new; chown 9 /new; stat -c %u /new
        su -s /bin/sh nobody -c 'id -u; touch /tmp/of-nobody'
        setpriv --reuid 33 --regid 34 --groups 35 id -G
        stat -c %u /tmp/of-nobody";
    let done = ground.inside(GIVEN, &[], script);
    let text: Vec<String> = done
        .ok()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = ["0 54321 1", "1 700000 65536", "7 8", "7 8", "9", "65534", "34 35", "65534"];
    assert_eq!(text, expected, "{done}");
    assert_eq!(done.stderr, "");
    let told = "ok       ids of a container: 65537 of users and 65537 of groups; 0 is the caller";
    assert_eq!(ground.doctor(GIVEN), told);
}

/// Its files are the caller's, and the caller's subordinates'.
#[test]
fn a_rootfs_of_the_callers_keeps_what_is_made() {
    let Some(ground) = Ground::new() else { return };
    let rootfs = ground.case.bundle().rootfs();
    for path in [&rootfs, &rootfs.join("tmp")] {
        fs::create_dir_all(path).expect("a directory");
        chown(path, Some(CALLER), Some(CALLER)).expect("chown");
    }
    let root = rootfs.to_str().expect("UTF-8");
    let tag = format!("TINY_CE_CASE={}", ground.case.tag());
    let words = "write /tmp/roots x then groups 7 then setgid 6 then setuid 5 then ids then \
                 write /tmp/fives x";
    fs::set_permissions(rootfs.join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .expect("chmod");
    let words: Vec<&str> = ["run", "--env", &tag, "--rootfs", root, "--", "/probe"]
        .into_iter()
        .chain(words.split_whitespace())
        .collect();
    let done = ground.caller(GIVEN, &words);
    assert_eq!((done.value("uid"), done.value("groups")), ("5 5 5", "7"), "{done}");
    let owner = |name: &str| {
        let found = fs::metadata(rootfs.join("tmp").join(name)).expect("written");
        std::os::unix::fs::MetadataExt::uid(&found)
    };
    assert_eq!((owner("roots"), owner("fives")), (CALLER, 700_004));
}

/// A directory whose owner has an id in the container keeps it, and what is in it can be changed.
#[test]
fn owners_that_have_an_id_are_kept() {
    let Some(ground) = Ground::new() else { return };
    let mount = format!(
        "{GIVEN}; mount -t tmpfs t /mnt; mkdir /mnt/a; mount -t tmpfs t /mnt/a; mkdir /mnt/a/b; \
         echo x >/mnt/a/b/file; chown -R 700004:700005 /mnt/a"
    );
    let script = "stat -c '%u %g' /mnt/a /mnt/a/b; setpriv --reuid 5 --clear-groups --regid 6 \
                  sh -c 'echo y >>/mnt/a/b/file; echo z >/mnt/a/new; cat /mnt/a/b/file'";
    let done = ground.inside(&mount, &[], script);
    assert_eq!(done.ok(), "5 6\n5 6\nx\ny\n", "{done}");
}

/// `--ids`, and what is said where there is but one id.
#[test]
fn one_id_is_asked_for_or_all_there_is() {
    let Some(ground) = Ground::new() else { return };
    let map = "cat /proc/self/uid_map; cat /proc/self/setgroups";
    let one = |done: &Done| {
        let words: Vec<&str> = done.ok().split_whitespace().collect();
        assert_eq!(words, ["0", "54321", "1", "deny"], "{done}");
    };
    one(&ground.inside(GIVEN, &["--ids", "own"], map));
    let hidden = "mkdir -p bin; cp /usr/bin/newuidmap bin; chmod u-s bin/newuidmap; \
                  mount --bind bin/newuidmap /usr/bin/newuidmap";
    let hidden = format!("{GIVEN}; {hidden}");
    let no_range = GIVEN.replace("ada:700000", "bob:700000");
    let privileges = format!("{GIVEN}; N=--no-new-privs");
    let group = format!("{GIVEN}; G=7");
    for (lines, why) in [
        (hidden.as_str(), "newuidmap: not there, or without the rights to map ids"),
        (&no_range, "/etc/subuid: has no range for ada"),
        (&privileges, "newuidmap: gets no rights, since this session has no_new_privs"),
        (&group, "newgidmap: group 7 is not that of ada in /etc/passwd"),
    ] {
        one(&ground.inside(lines, &[], map));
        let told = ground.doctor(lines);
        assert_eq!(
            told,
            format!("warn     ids of a container: one, the caller's own, as 0: {why}")
        );
        let done = ground.inside(lines, &["--ids", "all"], map);
        assert!(done.fails().contains(&format!("tiny-ce: --ids all: {why}")), "{done}");
        assert!(done.stderr.contains("\n  hint: "), "{done}");
    }
    let done = ground.case.tiny_ce(["run", "--ids", "all", "--", "true"]);
    assert!(done.fails().contains("--ids: a container of root has every id"), "{done}");
}

/// Root of a user namespace maps what it has.
#[test]
fn root_of_a_user_namespace_gives_its_ids() {
    let Some(ground) = Ground::new() else { return };
    let dir = ground.case.dir();
    let script = dir.join("nested");
    // The namespace gets its maps while its first process waits.
    let text = format!(
        "set -e; cd {}; map=$1; shift; mkfifo wait; export XDG_RUNTIME_DIR=/nowhere
         unshare --user --mount sh -c 'read word <wait; exec \"$@\"' sh \"$@\" & child=$!
         while test $(readlink /proc/$child/ns/user) = $(readlink /proc/self/ns/user)
         do sleep 0.01; done
         for kind in uid gid; do echo 0 0 $map >/proc/$child/${{kind}}_map; done
         echo >wait; wait $child; rm wait",
        dir.display()
    );
    fs::write(&script, text).expect("a script");
    let (script, state) = (script.to_str().expect("UTF-8"), dir.join("roots"));
    let (state, tiny_ce) = (state.to_str().expect("UTF-8"), ground.tiny_ce.to_str());
    let tag = format!("TINY_CE_CASE={}", ground.case.tag());
    let words = ["--root", state, "run", "--env", &tag, "--", "cat", "/proc/self/uid_map"];
    for size in ["1", "3000"] {
        let run = ["sh", script, size, tiny_ce.expect("UTF-8")];
        let done = ground.case.program([&run[..], &words].concat());
        assert_eq!(done.ok().split_whitespace().collect::<Vec<_>>(), ["0", "0", size], "{done}");
    }
}
