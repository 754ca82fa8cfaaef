//! Security modules and system call filters, as engines and agents see them.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tiny_ce_test::{Bundle, Case, Done};

fn run(case: &Case, pointer: &str, value: &str) -> Done {
    let mut bundle = case.bundle();
    bundle.set(pointer, value).probe("cat /proc/self/attr/current then say -");
    case.run(&bundle)
}

/// A profile or label that the kernel cannot apply is refused before anything is made.
#[test]
fn an_absent_security_module_is_reported() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("await 15");
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready:");
    let exec = |option: &str, value: &str| {
        case.tiny_ce(["exec", option, value, container.id(), "/probe", "ids"])
    };
    if !fs::exists("/sys/module/apparmor/parameters/enabled").unwrap_or(false) {
        let words = "apparmor: config provided but apparmor not supported";
        let done = run(&case, "/process/apparmorProfile", "some-profile");
        assert!(done.fails().contains(words) && done.stderr.contains("hint:"), "{done}");
        let done = exec("--apparmor", "some-profile");
        assert!(done.ends(255).stderr.contains(words), "{done}");
    }
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        let words = "selinux is disabled or not supported";
        for pointer in ["/process/selinuxLabel", "/linux/mountLabel"] {
            let done = run(&case, pointer, "system_u:system_r:container_t:s0");
            assert!(done.fails().contains(words) && done.stderr.contains("hint:"), "{done}");
        }
        let done = exec("--process-label", "system_u:system_r:container_t:s0");
        assert!(done.ends(255).stderr.contains(words), "{done}");
    }
    // An empty profile counts as absent: engines always write the field.
    run(&case, "/process/apparmorProfile", "").ok();
}

fn notifying(case: &Case, socket: &Path) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/annotations/a.b", "c").set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": socket,
            "listenerMetadata": "some words",
            "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"}],
        }),
    );
    bundle
}

/// An agent gets the notification descriptor with the container's state, for the container's first
/// process and for each later one; after the agent has gone, the calls fail with ENOSYS.
#[test]
fn an_agent_gets_the_notifications() {
    let Some(case) = Case::root(&[]) else { return };
    let socket = case.dir().join("agent");
    for no_new_privileges in [true, false] {
        let _ = fs::remove_file(&socket);
        let mut bundle = notifying(&case, &socket);
        bundle.set("/process/noNewPrivileges", no_new_privileges);
        bundle.probe("sethostname x then await 15");
        let mut agent = crate::options::console(&case, &socket);
        let mut container = case.create(&bundle);
        let id = container.id().to_owned();
        let check = |text: String, status: &str| -> i64 {
            let text = text.strip_prefix("received: ").expect("a message");
            let message: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(message["fds"], json!(["seccompFd"]));
            assert_eq!(message["metadata"], "some words");
            assert_eq!(message["state"]["id"], id.as_str());
            assert_eq!(message["state"]["annotations"]["a.b"], "c");
            assert_eq!(message["ociVersion"], message["state"]["ociVersion"]);
            assert_eq!(message["state"]["status"], status);
            message["pid"].as_i64().expect("a pid")
        };
        // After `create`: the agent has the descriptor before the program runs.
        let pid = check(agent.line("received:"), "creating");
        assert_eq!(pid, i64::from(container.pid()));
        assert!(agent.line("target:").contains("seccomp notify"));
        agent.done();
        container.start();
        assert_eq!(container.line("sethostname x:"), "sethostname x: ENOSYS");
        container.line("ready:");

        let _ = fs::remove_file(&socket);
        let mut agent = crate::options::console(&case, &socket);
        let done = case.tiny_ce(["exec", container.id(), "/probe", "sethostname", "y"]);
        assert_eq!(done.value("sethostname y"), "ENOSYS");
        let other = check(agent.line("received:"), "running");
        assert_ne!(other, pid);
        agent.done();
        container.tiny_ce("delete", ["--force"]).ok();
        container.ended();
    }
    let _ = fs::remove_file(&socket);
    let done = case.run(&notifying(&case, &socket));
    assert!(done.fails().contains("linux.seccomp.listenerPath"), "{done}");
    assert!(done.stderr.contains("must listen on that socket"), "{done}");
}

/// An image may contain device nodes, and a user namespace alone does not deny them.
#[test]
fn device_rules_hold_in_a_user_namespace() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    bundle.namespace("user", None);
    let node = bundle.rootfs().join("fuse");
    let path = node.to_str().expect("UTF-8");
    case.program(["mknod", "-m", "666", path, "c", "10", "229"]).ok();
    bundle.probe("open /fuse rw then open /dev/null rw then open /dev/urandom r");
    let done = case.run(&bundle);
    assert_eq!(done.value("open /fuse"), "EPERM", "{done}");
    assert_eq!(done.value("open /dev/null"), "ok");
    assert_eq!(done.value("open /dev/urandom"), "ok");
    let allow = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
    bundle.push("/linux/resources/devices", allow);
    // The result depends on whether the kernel has the device, but is not EPERM.
    assert_ne!(case.run(&bundle).value("open /fuse"), "EPERM");
}
