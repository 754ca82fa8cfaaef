//! Docker with the image store of containerd, and BuildKit's mounts in RUN steps.

use crate::docker::{Docker, ground};
use crate::ground::{IMAGE, on_each_runtime, today};
use std::os::unix::net::UnixListener;

on_each_runtime!(images_in_containerds_store);

fn on(runtime: &'static str, test: fn(&Docker)) {
    if !today() {
        return tiny_ce_test::skip("needs the engines of today, see test/today");
    }
    let Some(ground) = ground(runtime) else { return };
    let docker = Docker::new(ground, &["--feature=containerd-snapshotter=true"]);
    test(&docker);
    docker.end();
}

/// Images are built in stages, with what each step alone may see, and containers of them are
/// changed, committed, saved and loaded.
fn images_in_containerds_store(docker: &Docker) {
    let driver = docker.ok(&["info", "--format", "{{.DriverStatus}}"]);
    assert!(driver.contains("io.containerd.snapshotter.v1"), "{driver}");
    let text = format!(
        "FROM {IMAGE} AS first\nARG TURN\n\
         RUN --mount=type=bind,source=file,target=/b cp /b /bound && ! touch /b\n\
         RUN --mount=type=cache,id=kept,target=/c echo x >> /c/n && wc -l < /c/n > /count\n\
         RUN --mount=type=secret,id=word,mode=0400 cp /run/secrets/word /told\n\
         RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo agent > /agent\n\
         RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | awk 'END {{ print $2 }}' > /size\n\
         RUN --network=none ! ip link show eth0 2> /dev/null\n\
         FROM {IMAGE}\n\
         COPY --from=first /bound /count /told /agent /size /\n\
         RUN --mount=type=bind,from=first,source=/bound,target=/b cmp /b /bound\n"
    );
    let file = docker.ground.file("build/Dockerfile", &text);
    let dir = file.parent().and_then(|dir| dir.to_str()).expect("UTF-8");
    docker.ground.file("build/file", "of the context\n");
    let secret = docker.ground.file("word", "a secret\n");
    let secret = format!("--secret=id=word,src={}", secret.display());
    let agent = docker.ground.path("agent");
    let _listens = UnixListener::bind(&agent).expect("a socket");
    let agent = format!("--ssh=default={}", agent.display());
    for turn in ["--build-arg=TURN=1", "--build-arg=TURN=2"] {
        let words = ["build", "--quiet", turn, &secret, &agent, "--tag=built:1", dir];
        docker.run_with("1", &words).ok();
    }
    let run = ["run", "--rm", "--network=none"];
    let files = ["cat", "/bound", "/count", "/told", "/agent", "/size"];
    let found = docker.ok(&[&run[..], &["built:1"], &files].concat());
    assert_eq!(found, "of the context\n2\na secret\nagent\n1024");

    docker.start("web", &["--network=none", "--memory=32m"], "echo x > /made; exec sleep 1000");
    docker.ok(&["exec", "web", "sh", "-c", "until [ -s /made ]; do :; done; rm /etc/group"]);
    let changes = docker.ok(&["diff", "web"]);
    assert!(changes.contains("A /made") && changes.contains("D /etc/group"), "{changes}");
    docker.ok(&["commit", "web", "committed:1"]);
    let archive = docker.ground.path("committed.tar").display().to_string();
    docker.ok(&["save", "--output", &archive, "committed:1"]);
    docker.ok(&["image", "rm", "committed:1"]);
    docker.ok(&["load", "--quiet", "--input", &archive]);
    let see = ["sh", "-c", "cat /made; test -e /etc/group || echo removed"];
    assert_eq!(docker.ok(&[&run[..], &["committed:1"], &see].concat()), "x\nremoved");
}
