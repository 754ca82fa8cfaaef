//! What is mounted in a container, and what the host sees of it: `rootfsPropagation` and the
//! `shared` of a bind.
//!
//! The host of these tests is a mount namespace of their own, all shared as systemd has it.

use tiny_ce_test::{Bundle, Case, Need, tiny_ce};

/// Mounts that are there after the container and were not before, by mount point.
fn new_mounts(case: &Case, bundle: &Bundle) -> Vec<String> {
    const HOST: &str = r#"set -e
        mkdir volume
        mount -t tmpfs tmpfs volume
        mkdir volume/inner
        mount --make-rshared /
        cat /proc/self/mountinfo > before
        "$@"
        cat /proc/self/mountinfo > after"#;
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOST, "sh"];
    let mut line: Vec<String> = words.map(str::to_owned).to_vec();
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    line.push(text(&tiny_ce()));
    line.extend(["--root".to_owned(), text(&case.state()), "run".to_owned()]);
    line.extend(["--bundle".to_owned(), text(bundle.path()), case.id()]);
    let done = case.program(line);
    done.ends(0);
    assert_eq!(done.value("mount /mnt/inner"), "ok");
    let read = |name| std::fs::read_to_string(case.dir().join(name)).expect(name);
    let before = read("before");
    let new = read("after");
    let new = new.lines().filter(|line| !before.lines().any(|other| other == *line));
    new.filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

fn sharing(case: &Case, root: &str, volume: &str) -> Bundle {
    let mut bundle = case.bundle();
    bundle.probe("mount tmpfs /mnt/inner tmpfs 0").set("/linux/rootfsPropagation", root);
    for set in ["bounding", "effective", "permitted"] {
        bundle.push(&format!("/process/capabilities/{set}"), "CAP_SYS_ADMIN");
    }
    let source = case.dir().join("volume");
    let bind = serde_json::json!({
        "destination": "/mnt",
        "source": source,
        "options": ["rbind", volume],
    });
    bundle.push("/mounts", bind);
    bundle
}

#[test]
fn a_shared_bind_gives_its_mounts_to_the_host_and_nothing_else_does() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    let bundle = sharing(&case, "rshared", "rshared");
    let inner = case.dir().join("volume/inner");
    assert_eq!(new_mounts(&case, &bundle), [inner.to_str().expect("UTF-8")]);
}

#[test]
fn a_bind_that_is_not_shared_gives_nothing() {
    let Some(case) = Case::root(&[Need::Program("unshare")]) else { return };
    for (root, volume) in [("rshared", "rslave"), ("shared", "rprivate"), ("rslave", "rshared")] {
        let bundle = sharing(&case, root, volume);
        assert_eq!(new_mounts(&case, &bundle), [""; 0], "{root} {volume}");
        std::fs::remove_dir(case.dir().join("volume")).expect("volume");
    }
}
