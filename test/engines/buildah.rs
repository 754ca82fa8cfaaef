//! Buildah: the RUN steps of an image, and `buildah run`, which call the runtime's create, start,
//! state, kill and delete.

use crate::ground::{Ground, on_each_runtime};
use std::path::{Path, PathBuf};
use tiny_ce_test::{Done, Need};

on_each_runtime!(run_in_a_working_container, an_image_is_built);

/// Buildah on a ground, with its own storage.
struct Buildah {
    ground: Ground,
    env: Vec<(&'static str, PathBuf)>,
    image: String,
}

fn on(runtime: &'static str, test: fn(&Buildah)) {
    let needs = [Need::Program("buildah")];
    let Some(ground) = Ground::new(runtime, &needs) else { return };
    let dir = ground.path("buildah");
    let at = dir.display();
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\nrunroot = \"{at}/run\"\ngraphroot = \"{at}/root\"\n"
    );
    ground.leaves.borrow_mut().push(format!("{at}/root/overlay "));
    let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
    let env = vec![
        ("CONTAINERS_STORAGE_CONF", ground.file("buildah/storage.conf", &storage)),
        ("CONTAINERS_CONF", ground.file("buildah/containers.conf", limits)),
        ("HOME", dir.clone()),
        ("TMPDIR", ground.path("")),
    ];
    let image = format!("docker-archive:{}", ground.image().display());
    let buildah = Buildah { ground, env, image };
    test(&buildah);
    buildah.run(&["rm", "--all"]).ok();
}

impl Buildah {
    /// `buildah WORDS…`, to its end.
    #[track_caller]
    fn run(&self, words: &[&str]) -> Done {
        let env: Vec<(&str, &Path)> =
            self.env.iter().map(|(name, value)| (*name, value.as_path())).collect();
        self.ground.run(&env, &[&["buildah"], words].concat())
    }

    /// `buildah VERB OPTIONS…` with the runtime, in the ground's cgroup, without a network.
    #[track_caller]
    fn under_runtime(&self, verb: &str, words: &[&str]) -> Done {
        let runtime = self.ground.runtime.path.to_str().expect("UTF-8");
        let common = ["--isolation=oci", "--network=none", "--runtime", runtime];
        self.run(&[&[verb], &common[..], words].concat())
    }
}

fn run_in_a_working_container(buildah: &Buildah) {
    let from = buildah.run(&["from", &buildah.image]);
    let name = from.ok().trim();
    let run = |options: &[&str], words: &[&str]| {
        buildah.under_runtime("run", &[options, &["--", name], words].concat())
    };
    let script = "echo made > /made; id -u; echo err >&2; exit 5";
    let done = run(&[], &["sh", "-c", script]);
    assert!(done.code() != 0 && done.stdout == "0\n" && done.stderr.contains("err"), "{done}");
    assert_eq!(run(&[], &["cat", "/made"]).ok(), "made\n");
    assert_eq!(run(&["--user=1000:1000"], &["id", "-u"]).ok(), "1000\n");
    let done = run(&["--cap-drop=all", "--env=COLOUR=red"], &["sh", "-c", "echo $COLOUR"]);
    assert_eq!(done.ok(), "red\n");
    let volume = buildah.ground.file("volume/file", "of the host\n");
    let volume = format!("--volume={}:/v:ro", volume.display());
    assert_eq!(run(&[&volume], &["cat", "/v"]).ok(), "of the host\n");
    assert!(run(&["--terminal"], &["tty"]).ok().starts_with("/dev/pts/"));
    run(&[], &["nosuch"]).fails();
    let done = run(&["--hostname=web"], &["hostname"]);
    assert_eq!(done.ok(), "web\n");
}

fn an_image_is_built(buildah: &Buildah) {
    let text = format!(
        "FROM {}\nENV COLOUR=red\nRUN echo $COLOUR > /colour && mkdir /d && chown user /d\n\
         RUN --mount=type=tmpfs,target=/t touch /t/x\n\
         USER user\nWORKDIR /d\nRUN id -u > id && pwd >> id && ! touch /x\n",
        buildah.image
    );
    let file = buildah.ground.file("context/Containerfile", &text);
    let context = file.with_file_name("");
    let context = context.to_str().expect("UTF-8");
    let build = |words: &[&str]| buildah.under_runtime("build", words);
    build(&["--quiet", "--layers", "--tag=localhost/built:1", context]).ok();
    let from = buildah.run(&["from", "localhost/built:1"]);
    let words = ["--", from.ok().trim(), "cat", "/colour", "/d/id"];
    assert_eq!(buildah.under_runtime("run", &words).ok(), "red\n1000\n/d\n");
    let failing = format!("FROM {}\nRUN exit 6\n", buildah.image);
    let file = buildah.ground.file("failing", &failing);
    let done = build(&["--file", file.to_str().expect("UTF-8"), context]);
    assert!(done.fails().contains("exit status 6"), "{done}");
}
