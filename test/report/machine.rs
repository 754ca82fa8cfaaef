//! The machine and the versions: facts, by reading and by `--version`.

use std::process::Command;

use tiny_ce_test::{Peer, cgroup_v2, tiny_ce};

use crate::counts::version;
use crate::page::{Cell, Part, words};

/// The table of facts.
pub fn facts() -> Part {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |path: &str, name: &str| {
        let text = read(path);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split([':', '=']).next_back().unwrap_or_default().trim().trim_matches('"').to_owned()
    };
    let unified = std::path::Path::new("/sys/fs/cgroup/unified").exists();
    let cgroup = match (cgroup_v2(), unified) {
        (true, _) => "v2",
        (_, true) => "v1, v2",
        _ => "v1",
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let systemd = if std::path::Path::new("/run/systemd/system").exists() { "✓" } else { "–" };
    let output = |program: &std::path::Path, word: &str| {
        let output = Command::new(program).arg(word).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
    };
    let peer = |peer: Peer| {
        let of_today = peer.path().and_then(|path| output(&path, "--version"));
        let installed = version("/", peer.name());
        let both = [of_today.map(|it| it.replace(" version", "")), installed];
        both.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    let rows = [
        ("made on", today()),
        ("tiny-ce", output(&tiny_ce(), "--version").unwrap_or_default()),
        ("kernel", format!("Linux {}", kernel())),
        ("cgroups", cgroup.to_owned()),
        ("systemd is process 1", systemd.to_owned()),
        ("distribution", field("/etc/os-release", "PRETTY_NAME")),
        ("processors", format!("{cpus} × {}", field("/proc/cpuinfo", "model name"))),
        ("memory", format!("{:.1} GiB", kib as f64 / f64::from(1 << 20))),
        ("runc", peer(Peer::Runc)),
        ("crun", peer(Peer::Crun)),
        ("compiler", output("rustc".as_ref(), "--version").unwrap_or_default()),
    ];
    let rows =
        rows.into_iter().map(|(name, fact)| vec![Cell::Words(words(name)), Cell::Fact(fact)]);
    Part::Table { head: ["fact", "here"].map(words).to_vec(), rows: rows.collect() }
}

fn today() -> String {
    let output = Command::new("date").args(["--utc", "+%Y-%m-%d"]).output();
    output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()).unwrap_or_default()
}

/// The numbers of this kernel's version: the rest of its release names a build.
pub fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().split('-').next().unwrap_or_default().to_owned()
}
