//! The package's unit, `tiny-ce@.service`: a bundle as a service.

use std::fs;
use std::path::PathBuf;
use tiny_ce_test::{Bundle, Case, Need, tiny_ce, tree};

use super::{SYSTEMD, is_gone, show};

/// The unit, with tiny-ce and the bundles of this test instead of those of the package. Dropping it
/// removes it.
struct Template<'c> {
    case: &'c Case,
    path: PathBuf,
}

impl Template<'_> {
    fn new(case: &Case) -> Template<'_> {
        let path = PathBuf::from(format!("/run/systemd/system/{}@.service", case.tag()));
        let text = fs::read_to_string(tree().join("packaging/tiny-ce@.service")).expect("the unit");
        let program = format!("{} --root {}", tiny_ce().display(), case.state().display());
        let bundles = format!("{}/bundles/", case.dir().display());
        let own = text.replace("/usr/bin/tiny-ce", &program).replace("/var/lib/tiny-ce/", &bundles);
        fs::write(&path, own).expect("a unit");
        case.program(["systemctl", "daemon-reload"]).ok();
        Template { case, path }
    }

    /// Make a bundle of this name, which is the container's too; return the unit's name.
    fn instance(&self, bundle: &Bundle, id: &str) -> String {
        let bundles = self.case.dir().join("bundles");
        fs::create_dir_all(&bundles).expect("a directory");
        fs::rename(bundle.path(), bundles.join(id)).expect("the bundle's place");
        format!("{}@{id}.service", self.case.tag())
    }
}

impl Drop for Template<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // The instances of a template have a slice, which systemd keeps.
        self.case.program(["systemctl", "stop", &format!("system-{}.slice", self.case.tag())]);
        self.case.program(["systemctl", "daemon-reload"]);
    }
}

/// A service that says that it is ready, and runs until it gets SIGTERM.
fn ready(case: &Case) -> Bundle {
    let mut bundle = case.bundle();
    bundle.probe("notify READY=1 then await 15");
    bundle
}

#[test]
fn a_bundle_is_a_service() {
    let Some(case) = Case::root(&[SYSTEMD, Need::CgroupV2("memory")]) else { return };
    let (template, id) = (Template::new(&case), case.id());
    let unit = template.instance(&ready(&case), &id);
    // It returns when the program has said that it is ready.
    case.program(["systemctl", "start", &unit]).ok();
    assert_eq!(show(&case, &unit, "ActiveState,SubState"), "active\nrunning");
    assert!(case.tiny_ce(["state", &id]).ok().contains("\"status\": \"running\""));
    assert_eq!(show(&case, &format!("tiny-ce-{id}.scope"), "Delegate"), "yes");
    case.program(["systemctl", "stop", &unit]).ok();
    assert_eq!(show(&case, &unit, "ActiveState"), "inactive");
    assert_eq!(show(&case, &unit, "Result"), "success");
    case.tiny_ce(["state", &id]).fails();
    is_gone(&case, &format!("tiny-ce-{id}.scope"));
}

#[test]
fn the_container_of_a_service_dies_with_its_launcher() {
    let Some(case) = Case::root(&[SYSTEMD, Need::CgroupV2("memory")]) else { return };
    let (template, id) = (Template::new(&case), case.id());
    let unit = template.instance(&ready(&case), &id);
    case.program(["systemctl", "start", &unit]).ok();
    case.program(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", &unit]).ok();
    // Another start waits for the end, and deletes what the first one has left.
    case.program(["systemctl", "start", &unit]).ok();
    assert!(case.tiny_ce(["state", &id]).ok().contains("\"status\": \"running\""));
    case.program(["systemctl", "stop", &unit]).ok();
    case.tiny_ce(["state", &id]).fails();
}

#[test]
fn a_service_without_a_bundle_fails() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let _template = Template::new(&case);
    let unit = format!("{}@{}.service", case.tag(), case.id());
    assert!(case.program(["systemctl", "start", &unit]).fails().contains("Assertion failed"));
}
