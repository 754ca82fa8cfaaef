//! The picture of a container's world, drawn for the same constant host: golden, complete, and safe
//! whatever a config.json has in it.
//!
//! The golden pictures are in test/pictures; test/pictures.rs measures them in a browser.

use std::path::PathBuf;

use tiny_ce::cgroup::{self, Cgroup, Devices, Hierarchies, Hierarchy, Version};
use tiny_ce::cli::World;
use tiny_ce::container::NetworkChoice;
use tiny_ce::spec::{Spec, json};
use tiny_ce_test::svg::{apart, elements, size, texts};
use tiny_ce_test::tree;

use crate::given::Given;

fn path(name: &str) -> PathBuf {
    tree().join("test/pictures").join(name)
}

/// A machine with cgroup v2 at a place that no machine has.
fn hierarchies() -> Hierarchies {
    let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"].map(str::to_owned);
    let all = vec![Hierarchy {
        version: Version::V2,
        controllers: controllers.to_vec(),
        mount: "/no/cgroup".to_owned(),
        root: "/".to_owned(),
        own: "/".to_owned(),
    }];
    Hierarchies { all }
}

/// The picture of a config on that machine, if that has everything that the config wants.
pub fn of(given: &Given, name: &str, network: Option<&NetworkChoice>) -> Option<String> {
    let linux = given.spec.linux.as_ref();
    let resources = linux.and_then(|linux| linux.resources.as_ref());
    let hierarchies = hierarchies();
    let settings = resources.map(|it| cgroup::compile("linux.resources", it, &hierarchies));
    let settings = settings.transpose().ok()?.unwrap_or_default();
    let devices = resources.map(|it| cgroup::compile_devices(&it.devices, &hierarchies));
    let devices = devices.transpose().ok()?.unwrap_or(Devices::Unrestricted);
    let place = linux.and_then(|linux| linux.cgroups_path.as_deref());
    let cgroup = Cgroup::locate(place, "web", &hierarchies).ok()?;
    let plan = given.compile().ok()?;
    let world = World {
        name,
        spec: &given.spec,
        host: &given.host,
        cgroup: &cgroup,
        scope: None,
        settings: &settings,
        devices: &devices,
        network,
        ephemeral: given.ephemeral,
        init: given.init,
        plan: &plan,
    };
    Some(world.svg())
}

fn draw(given: &Given, name: &str, network: Option<&NetworkChoice>) -> String {
    of(given, name, network).expect("a config for this machine")
}

/// No element but ours, and no text over another or beyond the edge.
#[track_caller]
pub fn is_sound(svg: &str) {
    let all = elements(svg);
    apart(&texts(&all), size(&all));
    assert!(svg.contains("prefers-color-scheme: dark"), "{svg}");
}

fn of_file(name: &str) -> Given {
    let text = std::fs::read(path(name)).expect("a config");
    let spec: Spec = json::read(&text).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
    Given::of(spec, 40)
}

fn cases() -> Vec<(&'static str, String)> {
    let attached = NetworkChoice::Attached("blue:10.0.0.7".to_owned());
    let mut rootless = Given::new("rootless");
    (rootless.host.euid, rootless.host.user_namespace) = (1000, true);
    let made = attached.apply(&mut rootless.spec, "web").expect("a network");
    assert!(made.is_some_and(|it| it.path.ends_with("netns/web")));
    let namespaces = rootless.spec.linux.iter().map(|linux| linux.namespaces.len()).sum();
    rootless.host.namespaces.resize(namespaces, Default::default());
    vec![
        ("default", draw(&Given::new("default"), "/srv/web", None)),
        ("rootless", draw(&rootless, "/home/me/web", Some(&attached))),
        ("full", draw(&of_file("full.json"), "/srv/web", None)),
        ("hostile", draw(&hostile(), &format!("/{HOSTILE}"), None)),
    ]
}

#[test]
fn worlds_are_golden_and_no_text_is_over_another() {
    let mut wrong = Vec::new();
    for (name, found) in cases() {
        is_sound(&found);
        let golden = path(&format!("{name}.svg"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &found).expect("a golden file");
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(golden);
        }
    }
    assert!(wrong.is_empty(), "not as before: {wrong:?}; BLESS=1 writes them");
}

/// Whatever a config.json says about the container is in the picture: a reviewer reads no other.
#[test]
fn a_world_leaves_nothing_out() {
    let given = of_file("full.json");
    let svg = draw(&given, "/srv/web", None);
    let all = elements(&svg);
    let shown: Vec<&str> = all.iter().map(|it| it.inside.trim()).collect();
    // Long lines are broken at blanks.
    let text = shown.join(" ");
    let linux = given.spec.linux.as_ref().expect("linux");
    let mut wanted: Vec<String> = Vec::new();
    wanted.extend(
        linux
            .masked_paths
            .iter()
            .chain(&linux.readonly_paths)
            .map(|path| path.rsplit('/').next().expect("a name").to_owned()),
    );
    wanted.extend(linux.sysctl.iter().map(|(key, value)| format!("{key} = {value}")));
    wanted.extend(linux.devices.iter().map(|device| device.path.clone()));
    wanted.extend(linux.namespaces.iter().filter_map(|it| it.path.clone()));
    let rules = linux.seccomp.iter().flat_map(|it| &it.syscalls);
    wanted.extend(rules.flat_map(|rule| rule.names.clone()));
    let sources = given.spec.mounts.iter().filter(|mount| mount.is_bind());
    wanted.extend(sources.filter_map(|mount| mount.source.clone()));
    let hooks = given.spec.hooks.as_ref().expect("hooks");
    wanted.extend(hooks.create_runtime.iter().chain(&hooks.poststop).map(|it| it.path.clone()));
    for words in ["no limit of CPU time", "memory.max = 536870912", "pids.max = 64", "deny"] {
        wanted.push(words.to_owned());
    }
    assert!(wanted.len() > 40, "{wanted:?}");
    for words in wanted {
        assert!(text.contains(&words), "{words:?} is missing: {text}");
    }
}

/// A process of user 0 gets the whole bounding set by execve(2), others only the ambient one; with
/// no_new_privs nothing more than it was permitted (capabilities(7)).
#[test]
fn capabilities_are_those_after_execve() {
    let held = |user: u32, no_new_privileges: bool, ambient: &[&str]| {
        let mut given = Given::new("capabilities");
        let process = given.spec.process.as_mut().expect("a process");
        process.user = Some(tiny_ce::spec::User { uid: user, ..Default::default() });
        process.no_new_privileges = no_new_privileges;
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        process.capabilities = Some(tiny_ce::spec::Capabilities {
            bounding: names(&["CAP_CHOWN", "CAP_KILL"]),
            effective: names(&["CAP_KILL"]),
            permitted: names(&["CAP_KILL"]),
            inheritable: names(ambient),
            ambient: names(ambient),
        });
        let svg = draw(&given, "web", None);
        let all = elements(&svg);
        let titles = all.iter().filter(|it| it.name == "title").map(|it| it.inside);
        let of = |name: &str| {
            let mut own = titles.clone().filter_map(|it| it.strip_prefix(name));
            own.next().expect("a title").trim_start_matches(": ").to_owned()
        };
        [of("CAP_CHOWN"), of("CAP_KILL"), of("CAP_SYS_ADMIN")]
    };
    let file = "by executing a file that has it";
    assert_eq!(held(0, false, &[]), ["held", "held", "never"]);
    assert_eq!(held(0, true, &[]), ["never", "held", "never"]);
    assert_eq!(held(7, false, &["CAP_KILL"]), [file, "held", "never"]);
    assert_eq!(held(7, true, &["CAP_KILL", "CAP_CHOWN"]), ["never", "held", "never"]);
    assert_eq!(held(7, true, &[]), ["never", "never", "never"]);
}

/// Markup, control characters, a change of the writing direction, letters as wide as a line.
const HOSTILE: &str = "<script>alert(1)</script>&amp;\"'\u{1b}[31m\n\u{202e}gnp\u{200b}\u{fdfd}]]>";

/// Every text of a config.json that the rules allow to be so, and very long ones.
fn hostile() -> Given {
    let mut given = Given::new("default");
    let spec = &mut given.spec;
    let long = format!("/{HOSTILE}{}{}", "命".repeat(100), "W".repeat(300));
    let process = spec.process.as_mut().expect("a process");
    process.args = vec![HOSTILE.to_owned(), "W".repeat(500), String::new(), "命 名".repeat(90)];
    process.cwd.clone_from(&long);
    process.apparmor_profile = Some(HOSTILE.to_owned());
    process.selinux_label = Some("l:".repeat(200));
    spec.hostname = Some(format!("{HOSTILE}{}", "M".repeat(120)));
    let mut place = String::new();
    for depth in 0..24 {
        place = format!("{place}/{HOSTILE}{}", "d".repeat(depth * 3));
        let mut mount = spec.mounts[0].clone();
        mount.destination.clone_from(&place);
        mount.kind = Some("tmpfs".to_owned());
        mount.options.extend([HOSTILE.to_owned(), format!("x={}", "W".repeat(90))]);
        spec.mounts.push(mount);
    }
    let linux = spec.linux.as_mut().expect("linux");
    linux.masked_paths.extend([long.clone(), place.clone()]);
    linux.readonly_paths.extend((0..60).map(|index| format!("/proc/{index}{HOSTILE}")));
    linux.sysctl.insert("kernel.shmmni".to_owned(), HOSTILE.repeat(4));
    for namespace in &mut linux.namespaces {
        if namespace.kind == tiny_ce::spec::NamespaceKind::Network {
            namespace.path = Some(long.clone());
        }
    }
    let hook = tiny_ce::spec::Hook {
        path: long,
        args: vec![HOSTILE.to_owned(); 9],
        env: None,
        timeout: None,
    };
    spec.hooks = Some(tiny_ce::spec::Hooks { poststop: vec![hook], ..Default::default() });
    given.host.mounts.clear();
    // It has NUL nowhere, and the steps are another test's.
    given.host.mounts.resize(given.spec.mounts.len(), Default::default());
    given
}
