//! A state root that is full, read-only, a file, or removed, each in a mount namespace of its own.

use tiny_ce_test::{Bundle, Case, Done, Need, tiny_ce};

use crate::verdict::{fails_cleanly_or_succeeds, one_line};

/// Run a shell script in a mount namespace of its own, with $T, $STATE, $BUNDLE and $ID; then
/// `delete --force` there, which must leave nothing in the state root.
#[track_caller]
fn apart(case: &Case, bundle: &Bundle, script: &str) -> Done {
    let id = case.id();
    let whole = format!(
        "STATE={state} BUNDLE={bundle} ID={id}\nT=\"{tiny_ce} --root $STATE\"\nmkdir -p $STATE\n\
         {{ {script}\n}} || code=$?\n\
         $T delete --force $ID || echo left: delete $?\n\
         ls -A $STATE | sed -n \"s/^$ID/left: &/p\"\nexit ${{code:-0}}",
        state = case.state().display(),
        bundle = bundle.path().display(),
        tiny_ce = tiny_ce().display(),
    );
    let done = case.program(["unshare", "--mount", "sh", "-c", &whole]);
    assert_eq!(done.values("left"), Vec::<&str>::new(), "{done}");
    let left: Vec<String> = case.leftovers();
    assert_eq!(left, Vec::<String>::new(), "{done}");
    done
}

const UNSHARE: &[Need] = &[Need::Program("unshare"), Need::Program("sh")];

const MOUNT: &str = "mount -t tmpfs -o";
const CREATE: &str = "$T create --bundle $BUNDLE $ID";

#[track_caller]
fn reports(done: &Done, errno: &str) {
    one_line(done);
    assert!(done.stderr.contains("/state"), "the path: {done}");
    assert!(done.stderr.contains(errno), "{errno}: {done}");
}

/// `create` with a small tmpfs as the state root, mounted with each of these options.
#[track_caller]
fn create_on_small_tmpfs(options: impl Iterator<Item = String>) {
    let Some(case) = Case::root(UNSHARE) else { return };
    let bundle = case.bundle();
    let (mut refusals, mut made) = (0, 0);
    for option in options {
        let script = format!("{MOUNT} {option} tmpfs $STATE\n{CREATE}");
        let done = apart(&case, &bundle, &script);
        if done.status.success() {
            made += 1;
        } else {
            refusals += 1;
            reports(&done, "ENOSPC");
        }
    }
    assert!(refusals > 2 && made > 2, "{refusals} refused, {made} made");
}

#[test]
fn a_full_file_system_is_reported_by_its_path() {
    create_on_small_tmpfs((4..=64).step_by(4).map(|size| format!("size={size}k")));
}

#[test]
fn a_lack_of_inodes_is_reported_by_its_path() {
    create_on_small_tmpfs((1..=12).map(|inodes| format!("nr_inodes={inodes}")));
}

#[test]
fn a_read_only_root_is_reported() {
    let Some(case) = Case::root(UNSHARE) else { return };
    let done = apart(&case, &case.bundle(), &format!("{MOUNT} ro tmpfs $STATE\n{CREATE}"));
    reports(&done, "EROFS");
}

/// tiny-ce executes nothing from the state root, so it may be mounted noexec.
#[test]
fn a_root_mounted_noexec_is_enough() {
    let Some(case) = Case::root(UNSHARE) else { return };
    apart(&case, &case.bundle(), &format!("{MOUNT} noexec tmpfs $STATE\n{CREATE}")).ok();
    // Nor does root need permission bits on the state root.
    let script = format!("{MOUNT} mode=0 tmpfs $STATE\n{CREATE} && $T start $ID");
    apart(&case, &case.bundle(), &script).ok();
}

#[test]
fn a_root_that_is_a_file_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    std::fs::write(case.state(), "").expect("a file");
    reports(&case.tiny_ce(["create", "--bundle", &path, "x"]), "ENOTDIR");
    for words in [&["state", "x"][..], &["list"], &["delete", "--force", "x"]] {
        reports(&case.tiny_ce(words), "ENOTDIR");
    }
    std::fs::remove_file(case.state()).expect("a file");
}

/// The state root is removed while `create` runs: `create` fails, and removes what it made.
#[test]
fn a_root_that_vanishes_fails_the_create() {
    let Some(case) = Case::root(&[Need::File("/bin/rm")]) else { return };
    let mut bundle = case.bundle();
    let state = case.state();
    let args = ["rm", "-rf", state.to_str().expect("UTF-8")];
    bundle.push("/hooks/createRuntime", serde_json::json!({"path": "/bin/rm", "args": args}));
    for verb in ["create", "run"] {
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        reports(&case.tiny_ce([verb, "--bundle", &path, &case.id()]), "ENOENT");
        assert_eq!(case.leftovers(), Vec::<String>::new());
    }
}

/// The launcher has few descriptors, or little address space.
#[test]
fn tight_limits_are_reported_or_suffice() {
    let Some(case) = Case::root(UNSHARE) else { return };
    for script in ["ulimit -n 16", "ulimit -v 16384"] {
        let done = apart(&case, &case.bundle(), &format!("({script}; {CREATE})"));
        fails_cleanly_or_succeeds(&done);
    }
}
