//! The programs that are compared: the two floors, tiny-ce, and its peers of several years. Knows
//! command lines; measures nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use tiny_ce_test::{Peer, floor, tiny_ce, tree};

/// The abilities of a program, and its command line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The system calls of a container, and nothing else.
    Floor,
    /// As `Floor`, with cgroups, device rules and a state file.
    WholeFloor,
    /// tiny-ce, or a peer with the same command line.
    Runtime,
}

/// A program to measure.
pub struct Program {
    /// The name in the table.
    pub name: String,
    /// The path of the program.
    pub path: PathBuf,
    /// Its abilities.
    pub kind: Kind,
}

/// A bundle, and the directory for the state of all programs.
pub struct Ground<'a> {
    /// The bundle.
    pub bundle: &'a Path,
    /// A directory on a tmpfs.
    pub state: &'a Path,
    /// A word in the names of cgroups, so that parallel runs do not use the same.
    pub tag: &'a str,
}

impl Program {
    fn named(name: &str, path: PathBuf, kind: Kind) -> Program {
        Program { name: name.to_owned(), path, kind }
    }

    /// Whether the program is a container runtime.
    pub fn is_runtime(&self) -> bool {
        self.kind == Kind::Runtime
    }

    /// The directory for the state of its containers.
    pub fn root(&self, ground: &Ground<'_>) -> PathBuf {
        ground.state.join(self.name.replace([' ', '(', ')'], "-"))
    }

    /// A command with that directory.
    pub fn command(&self, ground: &Ground<'_>, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(self.root(ground)).args(words);
        command
    }

    /// The command that runs a container to its end.
    pub fn run(&self, ground: &Ground<'_>, id: &str) -> Command {
        let rootfs = ground.bundle.join("rootfs");
        let mut command = Command::new(&self.path);
        match self.kind {
            Kind::Runtime => {
                command.arg("--root").arg(self.root(ground)).args(["run", "--bundle"]);
                command.arg(ground.bundle).arg(id);
                return command;
            }
            Kind::WholeFloor => {
                command.arg("--whole").arg(ground.state.join(id));
            }
            Kind::Floor => {}
        }
        command.arg(rootfs).args(["/probe", "exit", "0"]);
        command
    }
}

/// The floors; tiny-ce as cargo and as .ci/musl built it, or that of TINY_CE_BIN alone; and the
/// peers on this machine: the current ones in target/peers, and those of its own release on PATH.
pub fn all() -> Vec<Program> {
    let mut programs = vec![
        Program::named("floor", floor(), Kind::Floor),
        Program::named("whole floor", floor(), Kind::WholeFloor),
        Program::named("tiny-ce", tiny_ce(), Kind::Runtime),
    ];
    let arch = std::env::consts::ARCH;
    let musl = tree().join(format!("target/musl/{arch}-unknown-linux-musl"));
    // .ci/release builds the same code with symbols.
    let built = ["release", "profiling"].map(|profile| musl.join(profile).join("tiny-ce"));
    match built.iter().find(|path| version(path) == version(&tiny_ce())) {
        _ if std::env::var_os("TINY_CE_BIN").is_some() => {}
        Some(path) => {
            programs.push(Program::named("tiny-ce (musl)", path.clone(), Kind::Runtime));
        }
        None if built.iter().any(|path| path.exists()) => {
            eprintln!("skipped: the musl binary is of another commit: .ci/musl builds it");
        }
        None => {}
    }
    for peer in [Peer::Crun, Peer::Runc] {
        let mut add = |path: Option<PathBuf>, lack: &str| {
            let name = peer.name();
            let Some((text, path)) = path.and_then(|path| Some((version(&path)?, path))) else {
                return eprintln!("skipped: {name} {lack}");
            };
            // "crun version 1.28", "runc version 1.3.6+ds1".
            let line = text.lines().next().unwrap_or_default();
            let number = line.split_whitespace().last().unwrap_or("?");
            let number = number.split('+').next().unwrap_or(number);
            programs.push(Program::named(&format!("{name} {number}"), path, Kind::Runtime));
        };
        add(peer.path(), "of today is not in target/peers: .ci/peers fetches it");
        add(peer.installed(), "is not installed");
    }
    programs
}

/// The output of `--version`; `None` if the program cannot be run.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
