//! AppArmor profiles, as the programs in containers see them.

use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};
use tiny_ce_test::{Bundle, Case, Container, Done, Need};

const NEEDS: &[Need] = &[Need::AppArmor, Need::Program("apparmor_parser")];

/// A profile that denies reading one file. It is loaded until it is dropped.
struct Profile {
    name: String,
    text: String,
}

impl Profile {
    fn load(case: &Case, name: &str, denied: &str) -> Profile {
        let name = format!("{}-{name}", case.tag());
        let rules = format!("file, capability, network, signal, unix, ptrace, deny {denied} r,");
        let text = format!("profile {name} flags=(attach_disconnected) {{ {rules} }}\n");
        let profile = Profile { name, text };
        profile.tell("--replace");
        profile
    }

    fn tell(&self, what: &str) {
        let mut parser = Command::new("apparmor_parser");
        parser.args([what, "--skip-cache", "--quiet", "--config-file=/dev/null"]);
        parser.stdin(Stdio::piped());
        let mut parser = parser.spawn().expect("apparmor_parser");
        let mut input = parser.stdin.take().expect("a pipe");
        input.write_all(self.text.as_bytes()).expect("a profile");
        drop(input);
        assert!(parser.wait().expect("apparmor_parser").success(), "{what} {}", self.text);
    }

    /// The content of /proc/self/attr/current under the profile.
    fn current(&self) -> String {
        format!("{} (enforce)", self.name)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.tell("--remove");
        }
    }
}

const LOOK: &str = "cat /proc/self/attr/current then open /denied r then open /other r";

fn look(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    bundle.file("denied", "");
    bundle.file("other", "");
    bundle.probe(LOOK);
    bundle
}

/// The program ran under `profile`, which denies /denied.
#[track_caller]
fn is_confined(done: &Done, profile: &Profile) {
    assert!(done.ok().starts_with(&format!("{}\n", profile.current())), "{done}");
    assert_eq!(done.value("open /denied"), "EACCES", "{done}");
    assert_eq!(done.value("open /other"), "ok", "{done}");
}

fn exec(case: &Case, container: &Container<'_>, options: &[&str]) -> Done {
    let words = ["exec"].iter().chain(options).copied().chain([container.id(), "/probe"]);
    case.tiny_ce(words.chain(LOOK.split(' ')))
}

/// The program is confined, with no_new_privs and without, in a user namespace and outside one; so
/// is what `exec` runs, under the same profile or another.
#[test]
fn a_profile_confines_what_runs() {
    let Some(case) = Case::root(NEEDS) else { return };
    let profile = Profile::load(&case, "one", "/denied");
    let other = Profile::load(&case, "two", "/other");
    for (no_new_privileges, user_namespace) in [(true, false), (false, false), (true, true)] {
        let mut bundle = look(&case);
        bundle.set("/process/apparmorProfile", profile.name.as_str());
        bundle.set("/process/noNewPrivileges", no_new_privileges);
        if user_namespace {
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
            bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
            bundle.namespace("user", None);
        }
        is_confined(&case.run(&bundle), &profile);
        bundle.probe("await 15");
        let mut container = case.create(&bundle);
        container.start();
        container.line("ready:");
        is_confined(&exec(&case, &container, &[]), &profile);
        let done = exec(&case, &container, &["--apparmor", &other.name]);
        assert!(done.ok().starts_with(&other.current()), "{done}");
        assert_eq!(done.value("open /denied"), "ok", "{done}");
        assert_eq!(done.value("open /other"), "EACCES", "{done}");
        let done = exec(&case, &container, &["--apparmor", "unconfined"]);
        assert!(done.ok().starts_with("unconfined\n"), "{done}");
        let plan = container.tiny_ce("explain", [""; 0]);
        assert!(plan.ok().contains(&format!("data=\"exec {}\"", profile.name)), "{plan}");
        container.tiny_ce("delete", ["--force"]).ok();
        container.ended();
    }
}

/// A hook that runs in the container is as confined as the container's program.
#[test]
fn a_profile_confines_hooks_in_the_container() {
    let Some(case) = Case::root(NEEDS) else { return };
    let profile = Profile::load(&case, "one", "/denied");
    let mut bundle = look(&case);
    bundle.set("/process/apparmorProfile", profile.name.as_str());
    let words = LOOK.split(' ').chain(["then", "exit", "3"]);
    let args: Vec<&str> = ["probe"].into_iter().chain(words).collect();
    bundle.set("/hooks", json!({"startContainer": [{"path": "/probe", "args": args}]}));
    let done = case.run(&bundle);
    // The error of a failed hook contains what the hook printed.
    assert!(done.fails().contains("hooks.startContainer[0]"), "{done}");
    assert!(done.stderr.contains(&profile.current()), "{done}");
    assert!(done.stderr.contains("open /denied: EACCES"), "{done}");
}

/// If the profile is not loaded, `create` already reports it.
#[test]
fn a_profile_that_is_not_loaded_is_reported() {
    let Some(case) = Case::root(&[Need::AppArmor]) else { return };
    let mut bundle = look(&case);
    bundle.set("/process/apparmorProfile", "no-such-profile");
    let id = case.id();
    let done = case.tiny_ce(["create", "--bundle", bundle.path().to_str().expect("UTF-8"), &id]);
    let told = |text: &str, whose: &str| {
        assert!(text.contains(&format!("{whose}: write(2): ENOENT")), "{text}");
        assert!(text.contains("hint: no such profile is loaded"), "{text}");
    };
    told(done.fails(), "process.apparmorProfile");
    bundle.remove("/process/apparmorProfile").probe("await 15");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    let done = exec(&case, &container, &["--apparmor", "no-such-profile"]);
    told(&done.ends(255).stderr, "--apparmor");
}
