//! Checkpoint and restore of a container in a scope: systemd makes the scope with CRIU in it,
//! before CRIU makes any process.

use std::path::Path;

use serde_json::json;
use tiny_ce_test::{Bundle, Case, Need, Running};

use super::{SYSTEMD, cgroup_of, creating, is_gone, pid_of, read, show};

const COUNT: &str = "i=0; while :; do i=$((i+1)); echo n=$i; /bin/busybox sleep 0.1; done";

/// A case with a container in `tests.slice` that counts, has limits, and has been checkpointed.
struct Checkpointed {
    case: Case,
    bundle: Bundle,
    id: String,
    unit: String,
    images: std::path::PathBuf,
    /// It holds the container's pipes.
    _creating: Running,
}

fn checkpointed() -> Option<Checkpointed> {
    let needs = [SYSTEMD, Need::CgroupV2("memory"), Need::File("/bin/busybox"), Need::Criu];
    let case = Case::root(&needs)?;
    let id = case.id();
    let mut bundle = case.bundle();
    let busybox = std::fs::canonicalize("/bin/busybox").expect("busybox");
    bundle.program(&busybox, "bin/busybox");
    bundle.args(["/bin/busybox", "sh", "-c", COUNT]);
    // The lock of a network takes CRIU most of its time.
    bundle.without_namespace("network");
    bundle.set("/linux/resources/memory", json!({"limit": 64 << 20}));
    bundle.set("/linux/resources/pids/limit", 30);
    bundle.set("/linux/cgroupsPath", format!("tests.slice:tce:{id}"));
    let (unit, images) = (format!("tce-{id}.scope"), case.dir().join("images"));
    let mut running = Running::start(&mut creating(&case, &bundle, &id), case.dir());
    running.exited().ok();
    case.tiny_ce(["start", &id]).ok();
    running.line("n=5");
    let all = Checkpointed { case, bundle, id, unit, images, _creating: running };
    all.checkpoint(&all.images);
    Some(all)
}

impl Checkpointed {
    #[track_caller]
    fn checkpoint(&self, images: &Path) {
        let images = images.to_str().expect("UTF-8");
        self.case.tiny_ce(["checkpoint", "--image-path", images, &self.id]).ok();
        is_gone(&self.case, &self.unit);
    }

    fn restore(&self, images: &Path, more: &[&str]) -> Running {
        let mut command = self.case.command(["--systemd-cgroup", "restore", "--image-path"]);
        command.arg(images).arg("--bundle").arg(self.bundle.path()).args(more).arg(&self.id);
        Running::start(&mut command, self.case.dir())
    }
}

#[test]
fn a_container_comes_back_into_its_scope() {
    let Some(it) = checkpointed() else { return };
    let Checkpointed { case, id, unit, .. } = &it;
    let mut running = it.restore(&it.images, &[]);
    running.line("n=");
    let state = case.tiny_ce(["state", id]);
    assert!(state.ok().contains(&format!("\"systemd-scope\": \"{unit}\"")), "{state}");
    let (pid, cgroup) = (pid_of(&state), format!("/tests.slice/{unit}"));
    assert_eq!(cgroup_of(&pid), cgroup);
    // CRIU has ended: only the container's processes are in the scope.
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    for other in read(&cgroup, "cgroup.procs").lines() {
        let of = namespace(other);
        assert!(of.is_none() || of == namespace(&pid), "{other} beside {pid}");
    }
    for (property, value) in [
        ("ActiveState", "active"),
        ("Slice", "tests.slice"),
        ("Delegate", "yes"),
        ("MemoryMax", "67108864"),
        ("TasksMax", "30"),
    ] {
        assert_eq!(show(case, unit, property), value, "{property}");
    }
    assert_eq!(read(&cgroup, "memory.max"), "67108864");
    case.tiny_ce(["update", "--memory", "80m", id]).ok();
    assert_eq!(show(case, unit, "MemoryMax"), "83886080");
    case.tiny_ce(["pause", id]).ok();
    assert_eq!(read(&cgroup, "cgroup.freeze"), "1");
    case.tiny_ce(["resume", id]).ok();

    // Checkpoint the restored container again.
    let again = case.dir().join("again");
    it.checkpoint(&again);
    running.exited();
    it.restore(&again, &["--detach"]).exited().ok();
    assert_eq!(cgroup_of(&pid_of(&case.tiny_ce(["state", id]))), cgroup);
    case.tiny_ce(["delete", "--force", id]).ok();
    is_gone(case, unit);
}

/// A failed restore leaves no scope behind.
#[test]
fn a_restore_that_fails_leaves_no_scope() {
    let Some(it) = checkpointed() else { return };
    std::fs::remove_file(it.images.join("inventory.img")).expect("an image");
    let done = it.restore(&it.images, &[]).exited();
    assert!(done.fails().contains("cannot restore"), "{done}");
    is_gone(&it.case, &it.unit);
    assert!(it.case.tiny_ce(["state", &it.id]).fails().contains("does not exist"));
}
