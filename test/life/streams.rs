//! Standard streams that are the host's null device: the program gets the container's own.

use serde_json::json;
use std::process::{Command, Stdio};
use tiny_ce_test::{Bundle, Case, Done, command, run};

/// The streams, and the mounts among which theirs must be.
const LOOK: &str = "cat /proc/self/fdinfo/0 then cat /proc/self/fdinfo/2 then cat \
                    /proc/self/mountinfo then open /proc/self/fd/0 rw then open /proc/self/fd/2 rw";

/// Run a command whose standard input and error are the host's null device.
#[track_caller]
fn on_null(case: &Case, words: &Command) -> Done {
    let mut shell = command(["sh", "-c", "exec \"$@\" </dev/null 2>/dev/null", "sh"]);
    shell.arg(words.get_program()).args(words.get_args());
    run(shell.env("TINY_CE_CASE", case.tag()).current_dir(case.dir()), case.dir())
}

/// Standard input and error are on the mount of the container at this place.
#[track_caller]
fn are_on(done: &Done, place: &str) {
    let ids: Vec<&str> =
        done.ok().lines().filter_map(|line| line.strip_prefix("mnt_id:\t")).collect();
    let of_place = |line: &&str| line.split(' ').nth(4) == Some(place);
    let mount = done.stdout.lines().find(of_place).unwrap_or_else(|| panic!("{place}: {done}"));
    let id = mount.split(' ').next().expect("an id");
    assert_eq!(ids, [id, id], "{done}");
    for fd in [0, 2] {
        assert_eq!(done.value(&format!("open /proc/self/fd/{fd}")), "ok", "{done}");
    }
}

fn user_namespace(bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
}

#[test]
fn run_and_exec_give_the_containers_null_device() {
    let Some(case) = Case::root(&[]) else { return };
    for user in [false, true] {
        let mut bundle = case.bundle();
        if user {
            user_namespace(&mut bundle);
        }
        // In a user namespace the host's node is bound.
        let place = if user { "/dev/null" } else { "/dev" };
        bundle.probe(LOOK);
        let (path, id) = (bundle.path().to_owned(), case.id());
        let mut words = case.command(["run", "--bundle"]);
        are_on(&on_null(&case, words.arg(path).arg(&id)), place);
        bundle.probe("pause");
        let mut container = case.create(&bundle);
        container.start();
        container.line("ready:");
        let look = LOOK.split_whitespace();
        let words = ["exec", container.id(), "/probe"].into_iter().chain(look);
        are_on(&on_null(&case, &case.command(words)), place);
        container.kill("KILL");
        container.ended();
    }
}

/// Engines give `create` a null device as standard input.
#[test]
fn create_gives_the_containers_null_device() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe(LOOK);
    let id = case.id();
    let out = case.dir().join("said");
    let mut create = case.make(&["create"], &bundle, &id);
    create.stdin(Stdio::null()).stderr(Stdio::null());
    create.stdout(std::fs::File::create(&out).expect("a file"));
    assert!(create.status().expect("tiny-ce").success());
    let plan = case.tiny_ce(["explain", &id]);
    assert!(plan.ok().contains("\nstandard streams that are /dev/null\n"), "{plan}");
    assert_eq!(plan.stdout.matches("dup3(").count(), 2, "{plan}");
    case.tiny_ce(["start", &id]).ok();
    // The status may be lost before it is asked for: another process reaps the program.
    let _ = case.tiny_ce(["wait", &id]);
    case.tiny_ce(["delete", "--force", &id]).ok();
    let mut done = plan;
    done.stdout = std::fs::read_to_string(&out).expect("what the program says");
    are_on(&done, "/dev");
}

/// As with a bundle, and where the host's files are shown.
#[test]
fn a_container_without_a_bundle_has_its_own_null_device() {
    let Some(case) = Case::root(&[]) else { return };
    let probe = tiny_ce_test::probe().to_str().expect("UTF-8").to_owned();
    let words = ["run", "--", &probe].into_iter().chain(LOOK.split_whitespace());
    are_on(&on_null(&case, &case.command(words)), "/dev");
}

/// Where the container shows the host's /dev, its null device is the host's; with other streams,
/// the plan has no such steps.
#[test]
fn other_streams_stay_as_they_are() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let text = "standard streams";
    let explain = |bundle: &Bundle| {
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let line = "exec \"$@\" </dev/zero 2>/dev/full";
        let other = case.command(["explain", &path]);
        let mut shell = command(["sh", "-c", line, "sh"]);
        shell.arg(other.get_program()).args(other.get_args());
        let (other, null) = (run(&mut shell, case.dir()), case.tiny_ce(["explain", &path]));
        [other, null].map(|done| done.ok().contains(text))
    };
    assert_eq!(explain(&bundle), [false, true]);
    bundle.set("/process/terminal", true);
    assert_eq!(explain(&bundle), [false, false], "a terminal takes their place");
    let mut bundle = case.bundle();
    *bundle.mount("/dev") = json!({
        "destination": "/dev", "type": "none", "source": "/dev", "options": ["rbind"],
    });
    bundle.config["mounts"]
        .as_array_mut()
        .expect("mounts")
        .retain(|it| !it["destination"].as_str().is_some_and(|it| it.starts_with("/dev/")));
    assert_eq!(explain(&bundle), [false, false], "a bind of the host's /dev");
    bundle.probe("open /proc/self/fd/0 rw");
    assert_eq!(case.run(&bundle).value("open /proc/self/fd/0"), "ok");
}

/// A config.json may have another device at /dev/null, and a cgroup may refuse the device.
#[test]
fn a_null_device_of_another_kind_is_not_taken() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let device = json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 5});
    bundle.push("/linux/devices", device).probe("stat /dev/null then cat /proc/self/fd/0");
    let done = case.run(&bundle);
    assert!(done.value("stat /dev/null").ends_with("rdev=1:5"), "{done}");
    assert!(done.ok().len() < 4096, "the program would read zeros: {}", done.stdout.len());
    let mut bundle = case.bundle();
    let refused = json!({"allow": false, "type": "c", "major": 1, "minor": 3, "access": "rwm"});
    bundle.push("/linux/resources/devices", refused).probe("say hi");
    case.run(&bundle).ok();
}
