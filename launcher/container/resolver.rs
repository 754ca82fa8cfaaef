//! The `/etc/resolv.conf` of a container whose network another program makes.
//!
//! A resolver at an address of the host, such as systemd-resolved's 127.0.0.53, cannot be reached
//! from there; but the program passes queries to one address of its own on to the host's first
//! resolver. A file that works in the container, and a mount of the configuration on it, are left
//! as they are.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use crate::error::Result;
use crate::host::ToMake;
use crate::spec::{Mount, NamespaceKind, Spec};
use crate::state::{Directory, ETC_RESOLV, RESOLV};
use crate::sys::file;
use crate::usernet::Usernet;

/// The most bytes of a resolv.conf that are read.
const LARGEST: u64 = 64 << 10;

/// The most resolvers that the C library asks, resolv.conf(5).
const MOST: usize = 3;

/// Add a read-only mount of the file in the state directory `state`, if the container's own does
/// not do. With `ephemeral` the container shows the host's files. `Err` if a file is needed and
/// cannot be made.
///
/// # Errors
/// The text of a warning.
pub fn bind(
    spec: &mut Spec,
    rootfs: &Path,
    state: &Path,
    ephemeral: bool,
) -> std::result::Result<Option<ToMake>, &'static str> {
    // Of the mounts that show the host's files, each bind shows a file at its own place.
    let hosts = |mount: &Mount| {
        let same = mount.source.as_ref() == Some(&mount.destination);
        ephemeral && (!mount.is_bind() || same)
    };
    let covers = |mount: &&Mount| {
        mount.destination != "/" && Path::new(ETC_RESOLV).starts_with(&mount.destination)
    };
    if spec.mounts.iter().filter(covers).any(|mount| !hosts(mount)) {
        return Ok(None);
    }
    match found(rootfs) {
        Found::Text(text) if does(&text, is_of_the_host) => return Ok(None),
        Found::Other => return Ok(None),
        Found::Nothing if !may_be_made(spec, rootfs) => {
            return Err("there is none, and it cannot be made, so names are not resolved");
        }
        Found::Text(_) | Found::Nothing => {}
    }
    let path = state.join(RESOLV).to_string_lossy().into_owned();
    spec.mounts.push(Mount {
        destination: ETC_RESOLV.to_owned(),
        source: Some(path.clone()),
        options: ["bind", "ro", "nosuid", "nodev", "noexec"].into_iter().collect(),
        ..Mount::default()
    });
    Ok(Some(ToMake { path, directory: false }))
}

/// Write the file.
///
/// # Errors
/// It cannot be written.
pub fn write(directory: &Directory, usernet: Usernet) -> Result<()> {
    let hosts = std::fs::read(ETC_RESOLV).unwrap_or_default();
    let hosts = String::from_utf8_lossy(&hosts);
    let text = text(usernet.resolver().into(), &hosts, is_of_the_host);
    directory.put_for_all(RESOLV, text.as_bytes())
}

/// What a rootfs has at this path.
enum Found {
    Text(String),
    /// No file, perhaps a symbolic link to none.
    Nothing,
    /// Something that nobody can mount a file on, or that cannot be read.
    Other,
}

fn found(rootfs: &Path) -> Found {
    let Ok(root) = file::open_path(rootfs) else { return Found::Other };
    match file::read_in_root(&root, Path::new(ETC_RESOLV), LARGEST) {
        Ok(bytes) => Found::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Found::Nothing,
        Err(_) => Found::Other,
    }
}

/// Whether a mount point can be made: not by the root of a user namespace, who owns no directory of
/// the image, not on a read-only file system, and not in place of a symbolic link.
fn may_be_made(spec: &Spec, rootfs: &Path) -> bool {
    let Ok(root) = file::open_path(rootfs) else { return false };
    let link = file::name_below(&root, Path::new(ETC_RESOLV.trim_start_matches('/')));
    spec.namespace(NamespaceKind::User).is_none()
        && link.is_err()
        && !file::is_read_only(&root).unwrap_or(true)
}

/// Whether the resolvers of this text can be reached from a container: no address is `unreachable`.
fn does(text: &str, unreachable: fn(IpAddr) -> bool) -> bool {
    let mut all = text.lines().filter_map(nameserver).peekable();
    all.peek().is_some() && !all.any(unreachable)
}

/// The address of a line `nameserver`; not one with a zone, which is an interface of the host.
fn nameserver(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?
}

/// Whether the host has this address: then a socket can be bound to it.
fn is_of_the_host(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The program's resolver, then those of the host that can be reached, and its other lines.
fn text(first: IpAddr, hosts: &str, unreachable: fn(IpAddr) -> bool) -> String {
    let others = hosts.lines().filter_map(nameserver).filter(|it| !unreachable(*it));
    let resolvers = std::iter::once(first).chain(others).take(MOST);
    let resolvers = resolvers.map(|it| format!("nameserver {it}\n"));
    let is_kept = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        matches!(word, "search" | "domain" | "options" | "sortlist")
    };
    let kept = hosts.lines().filter(is_kept).map(|line| format!("{line}\n"));
    resolvers.chain(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_host_is_known() {
        assert!(is_of_the_host(IpAddr::from([127, 0, 0, 53])));
        assert!(!is_of_the_host(IpAddr::from([203, 0, 113, 9])));
    }

    #[test]
    fn a_resolver_of_the_host_does_not_do() {
        let does = |text| does(text, |it| it.is_loopback());
        assert!(does("# x\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n"));
        for text in ["", "search a\n", "nameserver 127.0.0.53\n", "nameserver x\n"] {
            assert!(!does(text), "{text:?}");
        }
        assert!(!does("nameserver 192.0.2.1\nnameserver 127.0.0.1\n"));
    }

    #[test]
    fn what_can_be_reached_stays() {
        let first = IpAddr::from([10, 0, 2, 3]);
        let hosts = "# generated\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n\
                     nameserver 192.0.2.2\nnameserver 192.0.2.3\nsearch a b\noptions edns0\n";
        let expected = "nameserver 10.0.2.3\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n\
                        search a b\noptions edns0\n";
        let text = |hosts| text(first, hosts, |it| it.is_loopback());
        assert_eq!(text(hosts), expected);
        assert_eq!(text(""), "nameserver 10.0.2.3\n");
    }
}
