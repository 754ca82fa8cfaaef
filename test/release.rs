//! What reaches users: the program that cargo installs, the crates as cargo packages them, and a
//! program of somebody else that uses the library.
//!
//! The crates are built where nothing of this tree is found: no workspace, no configuration, no
//! repository. test/readme.rs has the Debian package.

use std::path::{Path, PathBuf};
use std::process::Command;
use tiny_ce_test::{Case, Need, run, tree};

/// `cargo WORDS…` in a directory, without the network, and with nothing that cargo told this test.
/// It takes minutes on a busy machine, so no time is set.
#[track_caller]
fn cargo(directory: &Path, words: &[&str]) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).arg("--offline").current_dir(directory);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let output = command.output().expect("cargo can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {words:?}: {}\n{errors}", output.status);
}

/// The twelve digits of the commit that is checked out; `None` if this is no checkout.
fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(tree());
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned())
}

/// The crates, unpacked below the case's directory: `tiny-ce-VERSION` and `tiny-ce-init-VERSION`.
/// The registry has neither of them yet, so a workspace says where they are; with them is the
/// program of a user of the library, so that what both need is built once.
fn unpacked(case: &Case) -> PathBuf {
    let target = case.dir().join("packaged");
    let target = target.to_str().expect("UTF-8");
    cargo(
        &tree(),
        &[
            "package",
            "--package=tiny-ce-init",
            "--package=tiny-ce",
            "--no-verify",
            "--allow-dirty",
            "--locked",
            "--target-dir",
            target,
        ],
    );
    let crates = case.dir().join("crates");
    std::fs::create_dir(&crates).expect("a directory");
    let version = env!("CARGO_PKG_VERSION");
    for name in ["tiny-ce", "tiny-ce-init"] {
        let file = format!("{target}/package/{name}-{version}.crate");
        let to = crates.to_str().expect("UTF-8");
        case.program(["tar", "--extract", "--gzip", "--file", &file, "--directory", to]).ok();
    }
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"user\", \"tiny-ce-{version}\"]\n\
         [patch.crates-io]\ntiny-ce-init = {{ path = \"tiny-ce-init-{version}\" }}\n"
    );
    std::fs::write(crates.join("Cargo.toml"), manifest).expect("a manifest");
    // The same versions as here: others need not be on this machine.
    std::fs::copy(tree().join("Cargo.lock"), crates.join("Cargo.lock")).expect("the lock");
    let user = crates.join("user");
    std::fs::create_dir_all(user.join("src")).expect("a directory");
    let manifest = format!(
        "[package]\nname = \"user\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\
         [dependencies]\ntiny-ce = {{ path = \"../tiny-ce-{version}\" }}\n"
    );
    std::fs::write(user.join("Cargo.toml"), manifest).expect("a manifest");
    let example = crates.join(format!("tiny-ce-{version}/docs/library/main.rs"));
    std::fs::copy(example, user.join("src/main.rs")).expect("the example");
    crates
}

/// Of the release's profile it would take minutes, and that is .ci/release's.
#[test]
fn packaged_crates_are_installed_and_serve_as_a_library() {
    let Some(case) = Case::root(&[Need::Program("cargo"), Need::Program("tar")]) else { return };
    let crates = unpacked(&case);
    let version = env!("CARGO_PKG_VERSION");
    let target = tree().join("target/packaged");
    let target = target.to_str().expect("UTF-8");
    let small = "--config=profile.dev.debug=false";

    let root = case.dir().join("root");
    let to = root.to_str().expect("UTF-8");
    let own = format!("--path=tiny-ce-{version}");
    cargo(&crates, &["install", small, &own, "--debug", "--root", to, "--target-dir", target]);
    let files = std::fs::read_dir(root.join("bin")).expect("a directory").count();
    assert_eq!(files, 1, "init is no program of its own");
    let program = root.join("bin/tiny-ce");
    let done = case.program([program.to_str().expect("UTF-8"), "--version"]);
    assert!(done.ok().starts_with(&format!("tiny-ce version {version}\n")), "{done}");
    let line = done.stdout.lines().nth(1).unwrap_or_default();
    let commit = commit().unwrap_or_default();
    assert!(line.starts_with(&format!("commit: {commit}")), "{commit}: {done}");
    let mut bundle = case.bundle();
    bundle.probe("say hi");
    let mut command = Command::new(program);
    command.arg("--root").arg(case.state()).args(["run", "--bundle"]).arg(bundle.path());
    assert_eq!(run(command.arg(case.id()), case.dir()).ok(), "hi\n");

    cargo(&crates, &["build", small, "--package=user", "--target-dir", target]);
    let mut bundle = case.bundle();
    bundle.probe("exit 0");
    let mut command = Command::new(Path::new(target).join("debug/user"));
    command.arg(case.state()).arg(bundle.path());
    assert_eq!(run(&mut command, case.dir()).ok(), "created\n");
}
