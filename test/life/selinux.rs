//! SELinux labels, under the policy of test/vm/selinux.conf: the labels of containers and their
//! mounts, and what the policy denies them.

use serde_json::json;
use tiny_ce_test::{Bundle, Case, Container, Done, Need};

const LABEL: &str = "system_u:system_r:tiny_ce_t:s0:c1,c2";
const OTHER: &str = "system_u:system_r:tiny_ce_other_t:s0";
const LOOK: &str = "cat /proc/self/attr/current then say - then keyring";

fn labelled(case: &Case, commands: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/process/selinuxLabel", LABEL).probe(commands);
    bundle
}

/// Check the label of the program and of its session keyring.
#[track_caller]
fn has_label(done: &Done, label: &str) {
    assert!(done.ok().starts_with(label), "{done}");
    assert_eq!(done.value("keyring.label"), label, "{done}");
}

fn exec(case: &Case, container: &Container<'_>, options: &[&str]) -> Done {
    let words = ["exec"].iter().chain(options).copied().chain([container.id(), "/probe"]);
    case.tiny_ce(words.chain(LOOK.split(' ')))
}

/// The program and its keyring have the label, with no_new_privs and without, in a user namespace
/// and outside one; so has what `exec` runs, with the same label or another.
#[test]
fn a_label_is_on_what_runs() {
    let Some(case) = Case::root(&[Need::SeLinux]) else { return };
    for (no_new_privileges, user_namespace) in [(true, false), (false, false), (true, true)] {
        let mut bundle = labelled(&case, LOOK);
        bundle.set("/process/noNewPrivileges", no_new_privileges);
        if user_namespace {
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
            bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
            bundle.namespace("user", None);
        }
        has_label(&case.run(&bundle), LABEL);
        bundle.probe("await 15");
        let mut container = case.create(&bundle);
        container.start();
        container.line("ready:");
        has_label(&exec(&case, &container, &[]), LABEL);
        has_label(&exec(&case, &container, &["--process-label", OTHER]), OTHER);
        container.tiny_ce("delete", ["--force"]).ok();
        container.ended();
    }
}

/// A hook that runs in the container is as confined as the container's program.
#[test]
fn a_label_is_on_hooks_in_the_container() {
    let Some(case) = Case::root(&[Need::SeLinux]) else { return };
    let mut bundle = labelled(&case, LOOK);
    let words = LOOK.split(' ').chain(["then", "exit", "3"]);
    let args: Vec<&str> = ["probe"].into_iter().chain(words).collect();
    bundle.set("/hooks", json!({"startContainer": [{"path": "/probe", "args": args}]}));
    let done = case.run(&bundle);
    // The error of a failed hook contains what the hook printed.
    assert!(done.fails().contains("hooks.startContainer[0]"), "{done}");
    assert!(done.stderr.contains(LABEL), "{done}");
    assert!(done.stderr.contains(&format!("keyring.label: {LABEL}")), "{done}");
}

/// All files of a mount have its label, and the policy's rules for that type and those categories
/// apply.
#[test]
fn mounts_have_their_label() {
    let Some(case) = Case::root(&[Need::SeLinux]) else { return };
    let commands = "write /dev/shm/file text then open /dev/shm/file r then \
                    list /dev/mqueue then list /proc/tty then mounts";
    for (kind, level, expected) in [
        ("file", "s0:c1,c2", "ok"),
        ("file", "s0", "ok"),
        ("file", "s0:c3", "EACCES"),
        ("denied", "s0:c1,c2", "EACCES"),
    ] {
        let label = format!("system_u:object_r:tiny_ce_{kind}_t:{level}");
        let mut bundle = labelled(&case, commands);
        bundle.set("/linux/mountLabel", label.as_str());
        bundle.set("/linux/maskedPaths", json!(["/proc/acpi", "/proc/tty"]));
        let done = case.run(&bundle);
        assert_eq!(done.value("open /dev/shm/file"), expected, "{label}: {done}");
        // The roots of file systems without a context option, and masked paths.
        assert_eq!(done.value("list /dev/mqueue"), expected, "{label}: {done}");
        assert_eq!(done.value("list /proc/tty"), expected, "{label}: {done}");
        let has = |place: &str| {
            let line = done.values("mount").into_iter().find(|l| l.contains(&format!(" {place} ")));
            line.unwrap_or_else(|| panic!("{place}: {done}")).contains(&label)
        };
        assert!(has("/dev/shm") && has("/dev") && has("/dev/pts") && has("/proc/tty"), "{done}");
        assert!(!has("/proc") && !has("/dev/mqueue"), "{done}");
    }
}

/// If the policy does not define the label, `create` already reports it.
#[test]
fn a_label_that_the_policy_does_not_define_is_reported() {
    let Some(case) = Case::root(&[Need::SeLinux]) else { return };
    let unknown = "system_u:system_r:no_such_t:s0";
    let create = |pointer: &str| {
        let mut bundle = case.bundle();
        bundle.set(pointer, unknown);
        let (path, id) = (bundle.path().to_str().expect("UTF-8").to_owned(), case.id());
        case.tiny_ce(["create", "--bundle", &path, &id])
    };
    let told = |text: &str, what: &str| {
        assert!(text.contains(what), "{text}");
        assert!(text.contains("hint: the loaded policy does not know this context"), "{text}");
    };
    told(create("/process/selinuxLabel").fails(), "process.selinuxLabel: write(2): EINVAL");
    told(create("/linux/mountLabel").fails(), "fsconfig(2): EINVAL");
    let mut container = case.create(&labelled(&case, "await 15"));
    container.start();
    container.line("ready:");
    let done = exec(&case, &container, &["--process-label", unknown]);
    told(&done.ends(255).stderr, "--process-label: write(2): EINVAL");
}
