//! The `/etc/hosts` of a container on a network, with its own name and `localhost`, if its image
//! has none or an empty one.
//!
//! Knows the file in the state directory and the mount that shows it. A file with content in the
//! image, or a mount in the configuration, is left as it is.

use std::net::IpAddr;
use std::path::Path;

use crate::error::Result;
use crate::host::ToMake;
use crate::spec::{Mount, NamespaceKind, Spec};
use crate::state::{Directory, ETC_HOSTS, HOSTS};
use crate::sys::file;

/// Add a mount of the file in the state directory `state`, unless the configuration or the image
/// provides the file.
///
/// The mount is read-only: the state is usually on a tmpfs, so what a container writes would take
/// up the host's memory.
pub fn bind(spec: &mut Spec, rootfs: &Path, state: &Path) -> Option<ToMake> {
    let covered = |mount: &Mount| {
        mount.destination != "/" && Path::new(ETC_HOSTS).starts_with(&mount.destination)
    };
    if spec.mounts.iter().any(covered) || !is_wanted(spec, rootfs) {
        return None;
    }
    let path = state.join(HOSTS).to_string_lossy().into_owned();
    spec.mounts.push(Mount {
        destination: ETC_HOSTS.to_owned(),
        source: Some(path.clone()),
        options: ["bind", "ro", "nosuid", "nodev", "noexec"].into_iter().collect(),
        ..Mount::default()
    });
    Some(ToMake { path, directory: false })
}

/// Whether the rootfs has an empty `/etc/hosts`, as images for engines do, or none but can get one.
fn is_wanted(spec: &Spec, rootfs: &Path) -> bool {
    let Ok(root) = file::open_path(rootfs) else { return false };
    let below = |path: &str| file::name_below(&root, Path::new(path));
    match below("etc/hosts") {
        Ok(found) => file::stat(&found)
            .is_ok_and(|it| it.st_mode & libc::S_IFMT == libc::S_IFREG && it.st_size == 0),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
            // In a user namespace, the namespace's root would make the file, which may fail.
            let users = spec.linux.iter().flat_map(|linux| &linux.namespaces);
            let mut users = users.filter(|it| it.kind == NamespaceKind::User);
            users.next().is_none() && !file::is_read_only(&root).unwrap_or(true)
        }
        Err(_) => false,
    }
}

/// Write the file: the name is that of `spec` or the host's; `address` is the container's on its
/// network.
pub fn write(directory: &Directory, spec: &Spec, address: Option<IpAddr>) -> Result<()> {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = spec.hostname.as_deref().unwrap_or(own.trim());
    directory.put_for_all(HOSTS, text(name, address).as_bytes())
}

fn text(name: &str, address: Option<IpAddr>) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    // A blank in a name would make two names, a line feed two lines, and a # a comment.
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !name.is_empty() && plain(name) {
        let address = address.unwrap_or(IpAddr::from([127, 0, 1, 1]));
        text += &format!("{address}\t{name}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_something_else_are_left_out() {
        let address = Some(IpAddr::from([10, 0, 0, 2]));
        assert!(text("web", address).ends_with("ip6-loopback\n10.0.0.2\tweb\n"));
        assert!(text("web", None).ends_with("ip6-loopback\n127.0.1.1\tweb\n"));
        for name in ["", "a b", "a\n6.6.6.6 example.org", "#a", "\u{e4}"] {
            assert!(text(name, address).ends_with("ip6-loopback\n"), "{name:?}");
        }
    }
}
