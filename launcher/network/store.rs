//! The records of networks, which all processes share: files below `ROOT/.network/`, and their
//! lock.
//!
//! ```text
//! .network/                     flock(2)ed by whoever changes anything below
//! .network/NAME/network.json    the network; written before anything is made for it
//! .network/NAME/leases/ADDRESS@ID    one per container; written before anything is made for it
//! ```
//!
//! Files appear by rename(2), so that no reader sees half a file, also after a kill. Container ids
//! never start with a dot, so the directory cannot be a container's. Touches files only, and no
//! interface.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::names::{self, Mark};
use super::subnet::Subnet;
use crate::error::{Error, Result};
use crate::sys::file;

/// The stage of a network, from `create` to `rm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Recorded; the bridge may exist.
    Creating,
    /// Usable.
    Ready,
    /// Being removed; the bridge may exist.
    Removing,
    /// Its record is missing or cannot be read.
    Damaged,
}

impl Stage {
    /// As JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Creating => "creating",
            Stage::Ready => "ready",
            Stage::Removing => "removing",
            Stage::Damaged => "damaged",
        }
    }
}

/// network.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name.
    pub name: String,
    /// Subnet.
    pub subnet: Subnet,
    /// Largest packet, in bytes, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Stage.
    pub stage: Stage,
}

/// An address that a container holds: the name of a file below `leases/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// The address.
    pub address: IpAddr,
    /// The container's id.
    pub container: String,
}

/// `ROOT/.network`, which need not exist.
pub struct Store {
    directory: PathBuf,
    /// The state root as bytes, canonical: part of every [`Mark`].
    root: Vec<u8>,
}

/// The lock that a process holds while it changes anything; other processes wait.
pub struct Lock {
    /// The open directory; closing it releases the lock.
    _directory: File,
}

impl Store {
    /// Of the state root `root`. Touches nothing.
    pub fn of(root: &Path) -> Self {
        // The path is canonical, so that two spellings of one root give the same marks.
        let canonical = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let directory = canonical.join(".network");
        Store { directory, root: canonical.as_os_str().as_bytes().to_vec() }
    }

    /// The bridge of `network`.
    pub fn bridge(&self, network: &str) -> Mark {
        Mark::bridge(&self.root, network)
    }

    /// The host's end of a container's veth pair.
    pub fn port(&self, network: &str, container: &str) -> Mark {
        Mark::port(&self.root, network, container)
    }

    /// Wait for the lock; `None` if there is no network at all.
    ///
    /// # Errors
    /// The directory cannot be opened, or flock(2) fails.
    pub fn lock(&self) -> Result<Option<Lock>> {
        loop {
            let directory = match File::open(&self.directory) {
                Ok(directory) => directory,
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(self.io("open", &e)),
            };
            file::lock(&directory, true).map_err(|e| self.io("flock", &e))?;
            // The last holder of the lock may have removed the last network, and the directory with
            // it.
            let held = directory.metadata().map_err(|e| self.io("fstat", &e))?;
            match fs::symlink_metadata(&self.directory) {
                Ok(now) if (now.dev(), now.ino()) == (held.dev(), held.ino()) => {
                    return Ok(Some(Lock { _directory: directory }));
                }
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(self.io("lstat", &e)),
            }
        }
    }

    /// Wait for the lock, making the directory if need be.
    ///
    /// # Errors
    /// The directory cannot be made or opened, or flock(2) fails.
    pub fn lock_or_make(&mut self) -> Result<Lock> {
        loop {
            // Only root may write here: a lease says which namespaces are unmounted.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.directory)
                .map_err(|e| self.io("mkdir", &e))?;
            // The root exists only from here on, so its canonical path is determined again.
            if let Some(root) = self.directory.parent() {
                *self = Store::of(root);
            }
            if let Some(lock) = self.lock()? {
                return Ok(lock);
            }
        }
    }

    /// The names of all networks, sorted, also of incomplete ones.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn networks(&self) -> Result<Vec<String>> {
        let mut names = self.entries(&self.directory)?;
        names.retain(|name| names::check_name(name).is_ok());
        names.sort();
        Ok(names)
    }

    /// Whether `network` has a directory, so that it may have leases and a bridge.
    pub fn exists(&self, network: &str) -> bool {
        self.of_network(network).symlink_metadata().is_ok()
    }

    /// The record of a network; `None` if it is missing or unreadable.
    pub fn record(&self, network: &str) -> Option<Record> {
        read(&self.of_network(network).join("network.json")).filter(|r: &Record| r.name == network)
    }

    /// The record of a network that can be used.
    ///
    /// # Errors
    /// The network does not exist, or is incomplete; the hint says what to do.
    pub fn usable(&self, network: &str) -> Result<Record> {
        match self.record(network) {
            Some(record) if record.stage == Stage::Ready => Ok(record),
            _ if self.exists(network) => Err(half_made(network)),
            _ => Err(missing(network)),
        }
    }

    /// Record a network, before its first side effect and at each stage.
    ///
    /// # Errors
    /// A directory cannot be made, or the file cannot be written.
    pub fn put(&self, _lock: &Lock, record: &Record) -> Result<()> {
        let directory = self.of_network(&record.name);
        let leases = directory.join("leases");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&leases);
        made.map_err(|e| Error::io(leases.display(), "mkdir", &e))?;
        write(&directory, "network.json", record)
    }

    /// Remove the record of a network without leases, and the directory of all networks if it was
    /// the last one.
    ///
    /// # Errors
    /// A file or a directory cannot be removed.
    pub fn forget(&self, _lock: &Lock, network: &str) -> Result<()> {
        let directory = self.of_network(network);
        match fs::remove_dir_all(&directory) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io(directory.display(), "rmdir", &e));
            }
            _ => {}
        }
        match fs::remove_dir(&self.directory) {
            Err(e) if e.kind() != ErrorKind::DirectoryNotEmpty => Err(self.io("rmdir", &e)),
            _ => Ok(()),
        }
    }

    /// The leases of `network`, sorted by address.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn leases(&self, network: &str) -> Result<Vec<Lease>> {
        let names = self.entries(&self.of_network(network).join("leases"))?;
        let mut leases: Vec<Lease> = names.iter().filter_map(|name| Lease::parse(name)).collect();
        leases.sort();
        Ok(leases)
    }

    /// What was recorded with a lease; `None` if it is missing or unreadable.
    pub fn details<T: DeserializeOwned>(&self, network: &str, lease: &Lease) -> Option<T> {
        read(&self.of_network(network).join("leases").join(lease.file_name()))
    }

    /// Take a lease, before the first side effect.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn lease<T: Serialize>(
        &self,
        _lock: &Lock,
        network: &str,
        lease: &Lease,
        details: &T,
    ) -> Result<()> {
        write(&self.of_network(network).join("leases"), &lease.file_name(), details)
    }

    /// Release a lease, after everything is undone. This needs no lock, since unlink(2) is atomic.
    ///
    /// # Errors
    /// unlink(2) fails.
    pub fn release(&self, network: &str, lease: &Lease) -> Result<()> {
        let path = self.of_network(network).join("leases").join(lease.file_name());
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io(path.display(), "unlink", &e))
            }
            _ => Ok(()),
        }
    }

    fn of_network(&self, network: &str) -> PathBuf {
        self.directory.join(network)
    }

    /// Names in a directory that need not exist; those that start with a dot are unfinished.
    fn entries(&self, directory: &Path) -> Result<Vec<String>> {
        let at = |e: &io::Error| Error::io(directory.display(), "getdents64", e);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io(directory.display(), "open", &e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry.map_err(|e| at(&e))?.file_name().into_string() {
                names.push(name);
            }
        }
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    fn io(&self, call: &'static str, error: &io::Error) -> Error {
        Error::io(self.directory.display(), call, error)
    }
}

impl Lease {
    fn parse(file_name: &str) -> Option<Self> {
        let (address, container) = file_name.split_once('@')?;
        Some(Lease { address: address.parse().ok()?, container: container.to_owned() })
    }

    fn file_name(&self) -> String {
        format!("{}@{}", self.address, self.container)
    }
}

/// No network of this name.
pub fn missing(network: &str) -> Error {
    let hint = match network {
        "none" => "without --network a container has no interface but lo".to_owned(),
        "host" => "the host's network is that of a config.json whose linux.namespaces have no \
                   {\"type\": \"network\"}"
            .to_owned(),
        "pasta" | "slirp4netns" => {
            format!("no network is called {network}: only \"create\" and \"run\" take that word")
        }
        _ => format!(
            "make it with \"tiny-ce network create {network} --subnet 10.0.0.0/24\"; \
             \"tiny-ce network list\" shows what there is"
        ),
    };
    Error::new(format!("network \"{network}\": does not exist")).hint(hint)
}

/// A create or rm that was interrupted.
pub fn half_made(network: &str) -> Error {
    Error::new(format!(
        "network \"{network}\": is half made: creating or removing it was interrupted"
    ))
    .hint(format!("clear it away with \"tiny-ce network rm {network}\""))
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A file in its whole or not at all. The lock makes the intermediate name unique.
fn write<T: Serialize>(directory: &Path, name: &str, value: &T) -> Result<()> {
    let (path, unfinished) = (directory.join(name), directory.join(".new"));
    let at = |call, e: &io::Error| Error::io(path.display(), call, e);
    let text =
        serde_json::to_vec(value).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
    fs::write(&unfinished, text).map_err(|e| at("write", &e))?;
    fs::rename(&unfinished, &path).map_err(|e| at("rename", &e))
}
