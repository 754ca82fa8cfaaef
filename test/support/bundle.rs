//! The bundle of a test: `runc spec`'s default config.json, changed by JSON pointer, and a rootfs
//! that holds the probe and empty directories.
//! The default is written in this file instead of taken from tiny-ce, so that a test can compare
//! tiny-ce's own `spec` with it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory of the test with config.json and a rootfs.
pub struct Bundle {
    dir: PathBuf,
    /// The content of config.json; [`Bundle::path`] writes the file.
    pub config: Value,
}

impl Bundle {
    /// Make a bundle in `dir`, which this creates, with a rootfs that any user may enter.
    pub(crate) fn new(dir: PathBuf, tag: &str) -> Bundle {
        let rootfs = dir.join("rootfs");
        for name in ["proc", "sys", "dev", "tmp", "etc", "bin"] {
            std::fs::create_dir_all(rootfs.join(name)).expect("rootfs");
        }
        let write = |name: &str, text: &str| std::fs::write(rootfs.join(name), text).expect(name);
        write(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        );
        write("etc/group", "root:x:0:\nuser:x:1000:\n");
        place(crate::probe(), &rootfs.join("probe"));
        let mut bundle = Bundle { dir, config: default_config() };
        bundle.args(["/probe", "ids"]).push("/process/env", format!("TINY_CE_CASE={tag}"));
        bundle
    }

    /// Write config.json, and return the bundle's directory.
    pub fn path(&self) -> &Path {
        let text = serde_json::to_string_pretty(&self.config).expect("JSON");
        std::fs::write(self.dir.join("config.json"), text).expect("config.json");
        &self.dir
    }

    /// The rootfs beside config.json.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// Write a file in the rootfs, with its directories; return its path on the host.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.rootfs().join(name.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("rootfs");
        std::fs::write(&path, text).expect("a file in the rootfs");
        path
    }

    /// Put a program of the host into the rootfs. This process never opens it for writing: a fork
    /// in another test could inherit the descriptor, and then execve(2) fails with ETXTBSY.
    pub fn program(&self, from: &Path, name: &str) -> &Self {
        place(from, &self.rootfs().join(name.trim_start_matches('/')));
        self
    }

    /// Set `process.args`.
    pub fn args<const N: usize>(&mut self, words: [&str; N]) -> &mut Self {
        self.set("/process/args", words.to_vec())
    }

    /// Run the probe with these commands, separated by white space: `"ids then caps"`.
    pub fn probe(&mut self, commands: &str) -> &mut Self {
        let words: Vec<&str> = ["/probe"].into_iter().chain(commands.split_whitespace()).collect();
        self.set("/process/args", words)
    }

    /// Set the value at `pointer`, and create its parents: `set("/process/umask", 18)`.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Self {
        *self.at(pointer) = value.into();
        self
    }

    /// Append `value` to the array at `pointer`, and create the array if it is missing.
    pub fn push(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Self {
        let place = self.at(pointer);
        if place.is_null() {
            *place = json!([]);
        }
        place.as_array_mut().unwrap_or_else(|| panic!("{pointer}: no array")).push(value.into());
        self
    }

    /// Remove the value at `pointer`: a property, or an entry of an array.
    pub fn remove(&mut self, pointer: &str) -> &mut Self {
        let (parent, last) = pointer.rsplit_once('/').expect("a JSON pointer");
        match self.config.pointer_mut(parent) {
            Some(Value::Object(object)) => drop(object.remove(&unescape(last))),
            Some(Value::Array(array)) => drop(array.remove(last.parse().expect("an index"))),
            _ => panic!("{pointer}: its parent is not there"),
        }
        self
    }

    /// Remove the namespace `kind`, as config.json names it: `"network"`.
    pub fn without_namespace(&mut self, kind: &str) -> &mut Self {
        let list = self.at("/linux/namespaces").as_array_mut().expect("namespaces");
        list.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Join the namespace `kind` at `path`, or make a new one if there is no path.
    pub fn namespace(&mut self, kind: &str, path: Option<&Path>) -> &mut Self {
        self.without_namespace(kind);
        self.push(
            "/linux/namespaces",
            match path {
                Some(path) => json!({"type": kind, "path": path}),
                None => json!({"type": kind}),
            },
        )
    }

    /// Return the mount at `destination` in config.json.
    pub fn mount(&mut self, destination: &str) -> &mut Value {
        let list = self.at("/mounts").as_array_mut().expect("mounts");
        let found = list.iter_mut().find(|mount| mount["destination"] == destination);
        found.unwrap_or_else(|| panic!("no mount at {destination}"))
    }

    /// Bind `source` of the host. The bind replaces a mount that config.json has at `destination`.
    pub fn bind(&mut self, source: &str, destination: &str, options: &[&str]) -> &mut Self {
        let mount = json!({
            "destination": destination,
            "type": "bind",
            "source": source,
            "options": options,
        });
        let list = self.at("/mounts").as_array_mut().expect("mounts");
        match list.iter().position(|mount| mount["destination"] == destination) {
            Some(index) => list[index] = mount,
            None => list.push(mount),
        }
        self
    }

    fn at(&mut self, pointer: &str) -> &mut Value {
        let mut place = &mut self.config;
        for word in pointer.split('/').skip(1).map(unescape) {
            if place.is_null() {
                *place = json!({});
            }
            place = match place {
                Value::Object(object) => object.entry(word).or_insert(Value::Null),
                Value::Array(array) => {
                    let index =
                        word.parse::<usize>().unwrap_or_else(|_| panic!("{pointer}: {word}"));
                    &mut array[index]
                }
                _ => panic!("{pointer}: {word:?} is below neither object nor array"),
            };
        }
        place
    }
}

fn unescape(word: &str) -> String {
    word.replace("~1", "/").replace("~0", "~")
}

fn place(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a directory")).expect("rootfs");
    // A hard link to a symbolic link would link the symbolic link itself.
    let from = &from.canonicalize().unwrap_or_else(|_| from.to_owned());
    if std::fs::hard_link(from, to).is_ok() {
        return;
    }
    let done = Command::new("cp").arg(from).arg(to).status().expect("cp");
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}

/// What `runc spec` writes, without a terminal.
pub fn default_config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2-dev",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "runc",
        "mounts": default_mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"},
                {"type": "network"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
                {"type": "cgroup"},
            ],
            "maskedPaths": [
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ],
        },
    })
}

fn default_mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| {
        let mut mount = json!({"destination": destination, "type": kind, "source": source});
        mount["options"] = json!(options);
        mount
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    let quiet_and = |more: &[&'static str]| [&quiet[..], more].concat();
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ]),
        mount("/dev/shm", "tmpfs", "shm", &quiet_and(&["mode=1777", "size=65536k"])),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount("/sys", "sysfs", "sysfs", &quiet_and(&["ro"])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &quiet_and(&["relatime", "ro"])),
    ])
}
