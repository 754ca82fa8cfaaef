//! Containers of pods under AppArmor: the profile that containerd loads, one of the node, and none.
//!
//! Knows what a profile denies; not how containerd names it to the runtime.

use super::api::{Capabilities, NODE, Profile};
use super::{Node, Pod, container_of, on_today};
use crate::ground::on_each_runtime;
use tiny_ce_test::Need;

on_each_runtime!(profiles);

/// `SecurityProfile`'s types.
const OF_RUNTIME: i32 = 0;
const UNCONFINED: i32 = 1;
const OF_NODE: i32 = 2;

const NEEDS: &[Need] = &[Need::AppArmor, Need::Program("apparmor_parser")];

fn on(runtime: &'static str, test: fn(&Node)) {
    if tiny_ce_test::met(NEEDS) {
        on_today(runtime, test);
    }
}

/// What a container of this profile and `exec` find: the name for each, and what it may do. The
/// container has the capability to mount, so only a profile denies that.
#[track_caller]
fn found(node: &Node, pod: &Pod, name: &str, profile: Profile) -> String {
    let own = ["sh", "-c", "cat /proc/self/attr/current > /own; exec /probe pause"];
    let mut request = container_of(pod, name, &own);
    let linux = request.config.as_mut().and_then(|config| config.linux.as_mut());
    let security = linux.and_then(|linux| linux.security.as_mut()).expect("security");
    security.capabilities = Some(Capabilities { add: vec!["SYS_ADMIN".to_owned()] });
    security.apparmor = Some(profile);
    let id = node.create(&request);
    node.start(&id).unwrap_or_else(|error| panic!("StartContainer {name}: {error}"));
    let script = "until [ -s /own ]; do :; done; cat /own /proc/self/attr/current
        mount -t tmpfs x /home && echo mounted; touch /tmp/secret && echo touched";
    let (_, found) = node.exec(&id, &format!("({script}) 2>&1"));
    found
}

fn profiles(node: &Node) {
    let name = node.ground().tag();
    let rules = "file, capability, network, signal, unix, ptrace, mount, deny /tmp/secret w,";
    let text = format!("profile {name} flags=(attach_disconnected) {{ {rules} }}\n");
    let file = node.ground().file("profile", &text).display().to_string();
    let tell = |what| {
        let options = ["--skip-cache", "--quiet", "--config-file=/dev/null", &file];
        node.ground().run(&[], &[&["apparmor_parser", what], &options[..]].concat()).ok();
    };
    tell("--replace");
    let pod = node.pod("web", NODE);
    let profile = |kind| Profile { kind, name: String::new() };
    let denied = "mount: mounting x on /home failed: Permission denied\ntouched\n";
    assert_eq!(
        found(node, &pod, "default", profile(OF_RUNTIME)),
        format!("{0} (enforce)\n{0} (enforce)\n{denied}", "cri-containerd.apparmor.d")
    );
    let of_node = Profile { kind: OF_NODE, name: name.to_owned() };
    assert_eq!(
        found(node, &pod, "named", of_node),
        format!(
            "{name} (enforce)\n{name} (enforce)\nmounted\ntouch: /tmp/secret: Permission denied\n"
        )
    );
    assert_eq!(
        found(node, &pod, "free", profile(UNCONFINED)),
        "unconfined\nunconfined\nmounted\ntouched\n"
    );
    node.remove(&pod);
    tell("--remove");
}
