//! Docker with `--live-restore`: containers go on while their daemon is away.

use crate::docker::{Docker, ground};
use crate::ground::{on_each_runtime, until};

on_each_runtime!(containers_outlive_their_daemon);

fn on(runtime: &'static str, test: fn(&mut Docker)) {
    let Some(ground) = ground(runtime) else { return };
    let mut docker = Docker::new(ground, &["--live-restore"]);
    test(&mut docker);
    docker.end();
}

/// One goes on, and obeys the new daemon; one ends in between. The new
/// daemon has another status for it than its own, under runc too.
fn containers_outlive_their_daemon(docker: &mut Docker) {
    let count = "n=0; while sleep 0.1; do n=$((n + 1)); echo $n > /n; done";
    docker.start("stays", &["--network=none", "--memory=32m"], count);
    docker.start("ends", &["--network=none"], "trap 'exit 5' TERM; while sleep 0.1; do :; done");
    let [stays, ends] = ["stays", "ends"].map(|name| docker.inspect(name, "{{.State.Pid}}"));
    docker.halt();
    docker.ground.run(&[], &["kill", "-TERM", &ends]).ok();
    let gone = || !docker.ground.run(&[], &["kill", "-0", &ends]).status.success();
    until("it has ended", || gone().then_some(()));
    docker.begin();
    assert_eq!(
        docker.inspect("stays", "{{.State.Running}} {{.State.Pid}}"),
        format!("true {stays}")
    );
    docker.becomes("ends", "{{.State.Status}}", "exited");
    assert_eq!(docker.ok(&["exec", "stays", "sh", "-c", "test -s /n && echo here"]), "here");
    docker.ok(&["update", "--memory=48m", "--memory-swap=96m", "stays"]);
    docker.ok(&["pause", "stays"]);
    assert_eq!(docker.inspect("stays", "{{.State.Status}}"), "paused");
    docker.ok(&["unpause", "stays"]);
    docker.ok(&["kill", "stays"]);
    docker.becomes("stays", "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
}
