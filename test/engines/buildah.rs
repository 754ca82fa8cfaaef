//! Buildah: the RUN steps of an image, and `buildah run`, which call the runtime's create, start,
//! state, kill and delete; as root, and as another user.

use crate::ground::{Ground, TENANT, Tenant, on_each_runtime};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tiny_ce_test::{Done, Need};

on_each_runtime!(
    run_in_a_working_container,
    an_image_is_built,
    an_image_in_stages_with_mounts,
    an_image_of_the_tenants,
);

/// Buildah on a ground, with its own storage.
struct Buildah<'g> {
    ground: &'g Ground,
    /// The command that runs Buildah.
    program: Vec<String>,
    runtime: PathBuf,
    env: Vec<(&'static str, PathBuf)>,
    image: String,
}

/// Run `test` as root.
fn on(runtime: &'static str, test: fn(&Buildah)) {
    let needs = ["buildah", "newuidmap", "newgidmap", "setpriv"].map(Need::Program);
    let Some(ground) = Ground::new(runtime, &needs) else { return };
    let dir = ground.path("buildah");
    let at = dir.display();
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\nrunroot = \"{at}/run\"\ngraphroot = \"{at}/root\"\n"
    );
    ground.leaves.borrow_mut().push(format!("{at}/root/overlay "));
    let path = ground.runtime.path.clone();
    let buildah = Buildah::new(&ground, vec!["buildah".into()], path, &storage, dir.clone());
    test(&buildah);
    buildah.run(&["rm", "--all"]).ok();
}

impl<'g> Buildah<'g> {
    fn new(
        ground: &'g Ground,
        program: Vec<String>,
        runtime: PathBuf,
        storage: &str,
        home: PathBuf,
    ) -> Buildah<'g> {
        let limits =
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        let env = vec![
            ("CONTAINERS_STORAGE_CONF", ground.file("buildah/storage.conf", storage)),
            ("CONTAINERS_CONF", ground.file("buildah/containers.conf", limits)),
            ("TMPDIR", home.clone()),
            ("HOME", home),
            ("XDG_RUNTIME_DIR", format!("/run/user/{TENANT}").into()),
        ];
        let image = format!("docker-archive:{}", ground.image().display());
        Buildah { ground, program, runtime, env, image }
    }

    /// `buildah WORDS…`, to its end.
    #[track_caller]
    fn run(&self, words: &[&str]) -> Done {
        let env: Vec<(&str, &Path)> =
            self.env.iter().map(|(name, value)| (*name, value.as_path())).collect();
        let program: Vec<&str> = self.program.iter().map(String::as_str).collect();
        self.ground.run(&env, &[&program, words].concat())
    }

    /// `buildah VERB OPTIONS…` with the runtime, in the ground's cgroup, without a network.
    #[track_caller]
    fn under_runtime(&self, verb: &str, words: &[&str]) -> Done {
        let runtime = self.runtime.to_str().expect("UTF-8");
        let common = ["--isolation=oci", "--network=none", "--runtime", runtime];
        self.run(&[&[verb], &common[..], words].concat())
    }

    /// A directory with this Containerfile, which every user may read.
    fn context(&self, text: &str) -> String {
        let file = self.ground.file("context/Containerfile", text);
        file.parent().and_then(Path::to_str).expect("UTF-8").to_owned()
    }

    /// What a command in a new container of the image prints.
    #[track_caller]
    fn prints(&self, image: &str, words: &[&str]) -> String {
        let from = self.run(&["from", image]);
        let words = [&["--", from.ok().trim()], words].concat();
        self.under_runtime("run", &words).ok().to_owned()
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
    let context = buildah.context(&text);
    let build = |words: &[&str]| buildah.under_runtime("build", words);
    build(&["--quiet", "--layers", "--tag=localhost/built:1", &context]).ok();
    let found = buildah.prints("localhost/built:1", &["cat", "/colour", "/d/id"]);
    assert_eq!(found, "red\n1000\n/d\n");
    let failing = format!("FROM {}\nRUN exit 6\n", buildah.image);
    let file = buildah.ground.file("failing", &failing);
    let done = build(&["--file", file.to_str().expect("UTF-8"), &context]);
    assert!(done.fails().contains("exit status 6"), "{done}");
}

/// Steps that see the context, another stage, a cache, a secret and the user's agent, each for
/// themselves alone.
fn an_image_in_stages_with_mounts(buildah: &Buildah) {
    let text = format!(
        "FROM {0} AS first\n\
         RUN --mount=type=bind,source=file,target=/b cp /b /bound && ! touch /b\n\
         RUN --mount=type=bind,source=.,target=/b,rw touch /b/new\n\
         RUN --mount=type=cache,id=kept,target=/c echo x >> /c/n && wc -l < /c/n > /count\n\
         RUN --mount=type=secret,id=word,mode=0400 cp /run/secrets/word /told && \
             stat -c %a /run/secrets/word >> /told\n\
         RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo agent > /agent\n\
         RUN ! test -s /b -o -s /c/n -o -e /run/secrets/word && test -z $SSH_AUTH_SOCK\n\
         FROM {0}\n\
         COPY --from=first /bound /count /told /agent /\n\
         RUN --mount=type=bind,from=first,source=/bound,target=/b cmp /b /bound\n",
        buildah.image
    );
    let context = buildah.context(&text);
    buildah.ground.file("context/file", "of the context\n");
    let secret = buildah.ground.file("word", "a secret\n");
    let secret = format!("--secret=id=word,src={}", secret.display());
    let agent = buildah.ground.path("agent");
    let _listens = UnixListener::bind(&agent).expect("a socket");
    let agent = format!("--ssh=default={}", agent.display());
    for turn in ["1", "2"] {
        let tag = format!("--tag=localhost/built:{turn}");
        let words = ["--quiet", "--no-cache", &secret, &agent, &tag, &context];
        buildah.under_runtime("build", &words).ok();
    }
    let files = ["cat", "/bound", "/count", "/told", "/agent"];
    let found = buildah.prints("localhost/built:2", &files);
    assert_eq!(found, "of the context\n2\na secret\n400\nagent\n");
}

/// As a user without privileges: ids by newuidmap(1), and no cgroups of its own.
fn an_image_of_the_tenants(root: &Buildah) {
    let Tenant { runtime, home, mut program } = root.ground.tenant();
    program.push("buildah".to_owned());
    let vfs = "[storage]\ndriver = \"vfs\"\n";
    let buildah = Buildah::new(root.ground, program, runtime, vfs, home);
    let text = format!(
        "FROM {}\nRUN id -u > /ids && chown 1000:1000 /ids && stat -c %u:%g /ids >> /ids\n\
         RUN --mount=type=cache,target=/c touch /c/x && ! touch /proc/sys/kernel/hostname\n\
         USER user\nRUN id -u > /tmp/id && grep -c CapEff.*0000$ /proc/self/status >> /tmp/id\n",
        buildah.image
    );
    let context = buildah.context(&text);
    buildah.under_runtime("build", &["--quiet", "--tag=localhost/built:1", &context]).ok();
    let found = buildah.prints("localhost/built:1", &["cat", "/ids", "/tmp/id"]);
    assert_eq!(found, "0\n1000:1000\n1000\n1\n");
    buildah.run(&["rm", "--all"]).ok();
}
