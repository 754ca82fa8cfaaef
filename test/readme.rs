//! Run the examples of the README, of docs/zh-CN/guide.md and docs/library.md as they are written.

#[path = "../docs/library/main.rs"]
mod library;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use tiny_ce_test::{Case, Need, skip, tiny_ce, tree};

/// What `cargo run --example library` calls.
const _: fn() -> tiny_ce::Result<()> = library::main;

/// The lines of every console block: commands after `$ `, then their output.
fn sessions(text: &str) -> Vec<Vec<(String, Vec<String>)>> {
    let mut all = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line) {
            (false, "```console") => {
                inside = true;
                all.push(Vec::new());
            }
            (true, "```") => inside = false,
            (true, line) => {
                let session: &mut Vec<(String, Vec<String>)> = all.last_mut().expect("begun");
                match line.strip_prefix("$ ") {
                    Some(command) => session.push((command.to_owned(), Vec::new())),
                    None => session.last_mut().expect("a command").1.push(line.to_owned()),
                }
            }
            _ => {}
        }
    }
    all
}

/// `…` within a line stands for any text, and as a line for any lines.
fn matches(shown: &[String], got: &[&str]) -> bool {
    match (shown.split_first(), got.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "…" => {
            matches(rest, got) || got.split_first().is_some_and(|(_, left)| matches(shown, left))
        }
        (Some((first, rest)), Some((line, left))) => like(first, line) && matches(rest, left),
        _ => false,
    }
}

fn like(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return left.is_empty() };
    for part in middle {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// The pages name their containers alike, and the cgroup of a container is called as it is: one
/// session at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Run a session as one shell in a mount and a network namespace of its own, after the commands of
/// `ground`; return each output. `shell` are words before `sh`.
fn perform(
    case: &Case,
    ground: &str,
    shell: &str,
    session: &[(String, Vec<String>)],
) -> Vec<String> {
    const MARK: &str = "@@@@";
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bin = case.dir().join("bin");
    std::fs::create_dir_all(&bin).expect("bin");
    let _ = std::os::unix::fs::symlink(tiny_ce(), bin.join("tiny-ce"));
    let mut script = String::new();
    for (command, _) in session {
        script.push_str(&format!("{command}\necho '{MARK}'\n"));
    }
    std::fs::write(case.dir().join("session"), script).expect("the session");
    let all = format!("exec 2>&1 3< session; set -e\n{ground}\nexec {shell} sh /dev/fd/3\n");
    let output = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", &all])
        .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()))
        .current_dir(case.dir())
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split(&format!("{MARK}\n")).map(str::to_owned).collect()
}

/// The README's commands.
fn story() -> Vec<(String, Vec<String>)> {
    told_by("README.md")
}

/// A page's commands: its blocks are one session, since later ones use what the first makes.
fn told_by(page: &str) -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(tree().join(page)).expect(page);
    let sessions = sessions(&text);
    assert!(sessions.len() > 1);
    sessions.into_iter().flatten().collect()
}

/// Every command prints what is shown.
#[track_caller]
fn prints(story: &[(String, Vec<String>)], printed: &[String]) {
    for ((command, shown), got) in story.iter().zip(printed) {
        let lines: Vec<&str> = got.lines().filter(|line| !line.starts_with("  hint: ")).collect();
        assert!(matches(shown, &lines), "$ {command}\nshown: {shown:#?}\ngot:\n{got}");
    }
    assert_eq!(printed.len(), story.len() + 1, "a command ended the session: {printed:#?}");
}

#[test]
fn the_readme_s_sessions() {
    let needs = [Need::Program("busybox"), Need::Program("ip"), Need::Program("unshare")];
    let Some(case) = Case::root(&needs) else { return };
    let story = story();
    let ground = "mount -t tmpfs none /run; ip link set lo up";
    prints(&story, &perform(&case, ground, "", &story));
}

/// What the guide shows and this test does not run: installing. The package is installed by
/// `the_readme_s_sessions_from_the_package`, and cargo has built what this test runs.
const INSTALLING: &[&str] = &[
    "dpkg -i tiny-ce_*.deb",
    "cargo build --release",
    "install -m 755 target/*/release/tiny-ce /usr/local/bin/",
];

/// In place of Docker, which needs a registry: the one image is the distribution of the tests.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in
    'create debian') echo 4711 ;;
    'export 4711') exec tar -C "$ROOTFS" -c --exclude ./usr/share . ;;
    *) echo "docker $*" >&2; exit 1 ;;
esac
"#;

/// The guide's commands, up to two containers that ping each other, and whatever follows.
#[test]
fn the_guide_s_session_in_chinese() {
    let needs = [
        Need::Program("busybox"),
        Need::Program("ip"),
        Need::Program("unshare"),
        Need::Program("tar"),
        Need::Distribution,
    ];
    let Some(case) = Case::root(&needs) else { return };
    let story = told_by("docs/zh-CN/guide.md");
    assert_eq!(story.iter().filter(|it| it.0.contains("busybox ping")).count(), 3);
    let bin = case.dir().join("bin");
    std::fs::create_dir_all(&bin).expect("bin");
    std::fs::write(bin.join("docker"), DOCKER).expect("docker");
    let ground = format!(
        "chmod +x bin/docker; export ROOTFS='{}'; mount -t tmpfs none /run; ip link set lo up",
        distribution().display()
    );
    prints(&story, &perform(&case, &ground, "", &story));
    let text = std::fs::read_to_string(tree().join("docs/zh-CN/guide.md")).expect("the guide");
    let shown: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(shown, INSTALLING);
}

/// The package for Debian that .ci/release has made for this machine; skips without it.
fn package() -> Option<PathBuf> {
    let debian = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let name = format!("tiny-ce_{}-1_{debian}.deb", env!("CARGO_PKG_VERSION"));
    let path = tree().join("dist").join(name);
    if !path.exists() {
        skip("needs dist/, which .ci/release makes");
        return None;
    }
    Some(path)
}

/// The files of a minimal Debian.
fn distribution() -> PathBuf {
    let rootfs = std::env::var("TINY_CE_ROOTFS").map(PathBuf::from);
    rootfs.unwrap_or_else(|_| tree().join("target/rootfs"))
}

/// A minimal Debian as root, in which the package has been installed: changes are in a tmpfs.
fn installed(package: &Path) -> String {
    format!(
        "mkdir own; mount -t tmpfs none own; mkdir own/upper own/work own/root
         mount -t overlay -o lowerdir={},upperdir=own/upper,workdir=own/work none own/root
         cp {} own/root/package.deb; cd own/root
         mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
         mount -t tmpfs none run
         pivot_root . mnt; umount -l /mnt; cd /root
         export PATH=/usr/sbin:/usr/bin:/sbin:/bin
         dpkg --install /package.deb > /dev/null
         test \"$(tiny-ce --version | head -n 1)\" = 'tiny-ce version {}'
         test -e /usr/share/man/man1/tiny-ce-network-create.1.gz
         ip link set lo up",
        distribution().display(),
        package.display(),
        env!("CARGO_PKG_VERSION"),
    )
}

const IN_DEBIAN: &[Need] =
    &[Need::Distribution, Need::Program("unshare"), Need::Program("pivot_root")];

#[test]
fn the_readme_s_sessions_from_the_package() {
    let (Some(case), Some(package)) = (Case::root(IN_DEBIAN), package()) else { return };
    let story = story();
    prints(&story, &perform(&case, &installed(&package), "", &story));
}

/// The pages of the package lead to each other, and show their pictures.
#[test]
fn the_package_has_all_pages() {
    let Some(package) = package() else { return };
    let output = Command::new("dpkg-deb").arg("--contents").arg(package).output();
    let Ok(output) = output else { return skip("needs dpkg-deb") };
    let held = String::from_utf8(output.stdout).expect("UTF-8");
    let mut places = vec![tree().join("docs")];
    let mut pages = 0;
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place).expect("a directory").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(tree()).expect("below the tree").display().to_string();
            if name == "docs/site" {
                continue;
            }
            if path.is_dir() {
                places.push(path);
                continue;
            }
            let end = format!("/usr/share/doc/tiny-ce/{name}\n");
            assert!(held.contains(&end), "{name} is not in the package");
            pages += 1;
        }
    }
    assert!(pages > 40, "{pages}");
}

/// What the README says of users: no limit without a delegated cgroup, `spec --rootless`, and no
/// network.
#[test]
fn a_user_s_session_from_the_package() {
    let (Some(case), Some(package)) = (Case::root(IN_DEBIAN), package()) else { return };
    let mut story = story();
    story.retain(|(command, _)| !command.contains("network"));
    for (command, _) in &mut story {
        *command = command.replace("--memory 64m ", "").replace("spec", "spec --rootless");
    }
    let ground = installed(&package) + "\nuseradd --create-home user; cd /home/user";
    let shell =
        "setpriv --reuid user --regid user --init-groups --inh-caps -all env HOME=/home/user";
    prints(&story, &perform(&case, &ground, shell, &story));
}

#[test]
fn the_library_s_example() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = case.bundle();
    let status = library::life(&case.state(), bundle.path());
    assert_eq!(status, Ok(tiny_ce::container::Status::Created));
}

#[test]
fn the_library_s_page_shows_the_example_s_lines() {
    let read = |name: &str| std::fs::read_to_string(tree().join(name)).expect(name);
    let (page, example) = (read("docs/library.md"), read("docs/library/main.rs"));
    let example: Vec<&str> = example.lines().map(str::trim).collect();
    let code = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    for line in code.expect("a block of code").lines() {
        assert!(example.contains(&line.trim()), "{line}");
    }
}
