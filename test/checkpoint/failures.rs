//! Failures of CRIU: after a failed checkpoint the container runs on, after a failed restore there
//! is no container; the error tells what the log says.

use super::{case, checkpoint, counting, images, restore, started, tracks_memory, turn, words};
use serde_json::json;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

#[test]
fn a_failed_checkpoint_leaves_the_container_running() {
    let Some(case) = case() else { return };
    let (bundle, images) = (counting(&case), images(&case));
    let created = case.create(&bundle);
    let done = checkpoint(&case, &images, &[created.id()]);
    assert!(done.fails().contains("the container is created, expected running"), "{done}");
    drop(created);
    let mut container = started(&case, &bundle);
    let missing = "this kernel does not tell dirty memory";
    for (parent, why) in [("/absolute", "must be relative"), ("../not/there", "ENOENT")] {
        let why = if tracks_memory() { why } else { missing };
        let done = checkpoint(&case, &images, &["--parent-path", parent, container.id()]);
        assert!(done.fails().contains(why), "{done}");
    }
    // CRIU does not know this mount; the error contains CRIU's reason.
    let outside = case.dir().join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    let source = outside.to_str().expect("UTF-8");
    let file = case.dir().join("mounts.json");
    let mount = json!([{"destination": "/late", "source": source, "options": ["bind"]}]);
    std::fs::write(&file, mount.to_string()).expect("a file");
    let add = ["mounts", "add", container.id(), file.to_str().expect("UTF-8")];
    case.tiny_ce(add).ok();
    let done = checkpoint(&case, &images, &[container.id()]);
    assert!(done.fails().contains("criu: the checkpoint failed"), "{done}");
    assert!(done.stderr.contains("Error (") && done.stderr.contains("dump.log"), "{done}");
    assert_eq!(container.status(), "running");
    let now = super::counted(&bundle);
    container.line(&format!("n={}", now + 3));
}

#[test]
fn a_failed_restore_leaves_nothing() {
    let Some(case) = case() else { return };
    let (bundle, images) = (counting(&case), images(&case));
    let container = started(&case, &bundle);
    let id = container.id().to_owned();
    checkpoint(&case, &images, &["--leave-running", &id]).ok();
    // The name is in use.
    let done = restore(&case, &bundle, &images, &["--detach", &id]).exited();
    assert!(done.fails().contains("already exists"), "{done}");
    assert_eq!(container.status(), "running");
    drop(container);
    for (name, why) in [
        // CRIU 3.17 crashes.
        ("pstree.img", "criu: "),
        ("inventory.img", "criu: the restore failed"),
        ("descriptors.json", "descriptors.json: open(2): ENOENT"),
    ] {
        std::fs::remove_file(images.join(name)).expect(name);
        let done = restore(&case, &bundle, &images, &["--detach", &id]).exited();
        assert!(done.fails().contains(why), "{done}");
        assert!(case.tiny_ce(["state", &id]).fails().contains("does not exist"));
        assert_eq!(case.leftovers(), [""; 0]);
    }
}

/// The socket is the one that the other restore would hold for a while.
#[test]
fn a_restore_beside_another_says_that_it_can_be_tried_again() {
    let Some(case) = case() else { return };
    let (bundle, images) = (counting(&case), images(&case));
    let container = started(&case, &bundle);
    let id = container.id().to_owned();
    checkpoint(&case, &images, &[&id]).ok();
    container.gone();
    let path = bundle.path().to_str().expect("UTF-8").to_owned();
    let line = words("restore", &images, &["--bundle", &path, "--detach", &id]);
    let turn = turn();
    let name = SocketAddr::from_abstract_name("/crtools-fd-1-0").expect("a name");
    let other = UnixDatagram::bind_addr(&name).expect("the socket of the other restore");
    let done = case.spawn(line).exited();
    // In 4.2 the name has a number of this run; 4.0 is older than the report of the fault.
    let version = std::process::Command::new("criu").arg("--version").output().expect("criu");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let old = ["Version: 2.", "Version: 3.", "Version: 4.0"];
    if old.iter().any(|old| version.starts_with(old)) {
        assert!(done.fails().contains("one container at a time"), "{done}");
        assert_eq!(case.leftovers(), [""; 0]);
        drop((other, turn));
        restore(&case, &bundle, &images, &["--detach", &id]).exited().ok();
    } else {
        done.ok();
    }
    case.tiny_ce(["delete", "--force", &id]).ok();
}
