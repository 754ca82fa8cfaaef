//! Names: of networks, of the interfaces made for them, and the marks by which ours are known.
//!
//! Pure: everything here follows from the network's name, the container's id and the state root,
//! so that after a kill at any point the same names are found again.

use std::net::IpAddr;

use crate::error::{Error, Result};

/// Longest name of a network, in bytes.
pub const NAME_MAX: usize = 64;

/// Longest name of an interface, in bytes: IFNAMSIZ less its NUL.
pub const IFNAME_MAX: usize = 15;

/// Longest container id on a network, in bytes: id and IPv6 address share one file name.
const ID_MAX: usize = 255 - "@".len() - 39;

/// Names that match `^[A-Za-z0-9][A-Za-z0-9_.-]*$`, at most 64 bytes.
///
/// # Errors
/// Says which byte is wrong.
pub fn check_name(name: &str) -> Result<()> {
    let wrong = |why: String| Err(Error::new(format!("network name \"{name}\": {why}")));
    if name.is_empty() {
        return wrong("is empty".into());
    }
    if name.len() > NAME_MAX {
        return wrong(format!("has {} bytes; at most {NAME_MAX} are allowed", name.len()));
    }
    let alphanumeric = |b: u8| b.is_ascii_alphanumeric();
    let bad = |(at, b): &(usize, u8)| !alphanumeric(*b) && (*at == 0 || !b"_.-".contains(b));
    match name.bytes().enumerate().find(bad) {
        None => Ok(()),
        Some((at, byte)) => {
            let allowed = if at == 0 {
                "a name starts with a letter or a digit"
            } else {
                "letters, digits, '_', '.' and '-' are allowed"
            };
            wrong(format!("byte {} is '{}'; {allowed}", at + 1, byte.escape_ascii()))
        }
    }
}

/// What `--network` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachRequest {
    /// The network's name.
    pub network: String,
    /// The address that was asked for; otherwise the lowest free one is taken.
    pub address: Option<IpAddr>,
}

impl AttachRequest {
    /// `NAME` or `NAME:ADDRESS`; an IPv6 address needs no brackets, as names have no colon.
    ///
    /// # Errors
    /// One line that names the part which is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let (network, address) = match text.split_once(':') {
            Some((network, address)) => (network, Some(address)),
            None => (text, None),
        };
        check_name(network)?;
        let address = match address {
            None => None,
            Some(address) => Some(address.parse().map_err(|_| {
                Error::new(format!("network \"{network}\": \"{address}\" is not an IP address"))
                    .hint("write --network NAME or --network NAME:ADDRESS, as in web:10.0.0.7")
            })?),
        };
        Ok(AttachRequest { network: network.to_owned(), address })
    }
}

/// A container id that can be part of a file name below the network's directory.
///
/// # Errors
/// The id is too long, or is one that no container can have.
pub fn check_container(id: &str) -> Result<()> {
    if id.is_empty() || id.starts_with('.') || id.contains(['/', '@', '\0']) {
        return Err(Error::new(format!("container id \"{id}\": not a valid id")));
    }
    if id.len() > ID_MAX {
        let text = format!("container id \"{id}\": has {} bytes", id.len());
        return Err(Error::new(text).hint(format!("on a network, ids have at most {ID_MAX} bytes")));
    }
    Ok(())
}

/// The name of an interface that we make on the host, and the mark by which we recognise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The interface's name, at most [`IFNAME_MAX`] bytes.
    pub ifname: String,
    /// Its MAC address. The message that makes the interface sets it, so a kill cannot separate the
    /// two. The alias needs a second message: rtnetlink ignores IFLA_IFALIAS on creation.
    pub mac: [u8; 6],
    /// Its alias, for people (`ip link`) and for a MAC address that was changed later.
    pub alias: String,
}

impl Mark {
    /// The bridge of `network` in the state root `root` (a canonical path).
    ///
    /// Short names stay readable: `tce-web`; long ones are cut and get a hash.
    pub fn bridge(root: &[u8], network: &str) -> Self {
        let ifname = if network.len() <= IFNAME_MAX - "tce-".len() {
            format!("tce-{network}")
        } else {
            let hash = hash(&[network.as_bytes()]) >> 32;
            format!("tce-{}{hash:08x}", &network[..3])
        };
        let id = hash(&[root, network.as_bytes()]);
        Mark { ifname, mac: mac(id), alias: format!("tiny-ce network {network} ({id:016x})") }
    }

    /// The host's end of the veth pair that ties `container` to `network`.
    pub fn port(root: &[u8], network: &str, container: &str) -> Self {
        let id = hash(&[root, network.as_bytes(), container.as_bytes()]);
        let mut alias = format!("tiny-ce container {container} on {network} ({id:016x})");
        // IFALIASZ is 256, with the NUL; ids and names are ASCII, so any cut is good.
        alias.truncate(255);
        Mark { ifname: format!("tce{:012x}", id >> 16), mac: mac(id), alias }
    }
}

/// The first free name that a template such as `eth%d` stands for.
///
/// # Errors
/// The template is malformed, or everything that it stands for is taken or too long.
pub fn fill_in(template: &str, taken: &dyn Fn(&str) -> bool) -> Result<String> {
    let wrong = |why: &str| Error::new(format!("interface name \"{template}\": {why}"));
    let (before, after) = match template.split_once("%d") {
        Some((before, after)) if !before.contains('%') && !after.contains('%') => (before, after),
        _ => return Err(wrong("'%' can only be part of one \"%d\"")),
    };
    (0..)
        .map(|n: u32| format!("{before}{n}{after}"))
        .take_while(|name| name.len() <= IFNAME_MAX)
        .find(|name| !taken(name))
        .ok_or_else(|| wrong("no name that it stands for is free"))
}

/// The MAC address of a container's interface: it follows from the address, so that neighbours'
/// caches stay right when the address goes to the next container.
pub fn address_mac(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [0x02, 0xce, a, b, c, d]
        }
        IpAddr::V6(v6) => mac(hash(&[&v6.octets()])),
    }
}

/// 46 bits of `id` as a unicast MAC address that is locally administered.
fn mac(id: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = id.to_be_bytes();
    [a & 0xfc | 0x02, b, c, d, e, f]
}

/// FNV-1a over the parts, each closed by a byte that no path, name or id contains.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.iter().chain(&[0])) {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_the_byte_that_is_wrong() {
        for good in ["a", "web", "0", "a.b-c_D9", &"x".repeat(64)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for (bad, why) in [
            ("", "is empty"),
            (".", "byte 1 is '.'"),
            ("-a", "byte 1 is '-'; a name starts with a letter or a digit"),
            ("a/b", "byte 2 is '/'; letters, digits"),
            ("a b", "byte 2 is ' '"),
            ("a\n", "byte 2 is '\\n'"),
            ("a:b", "byte 2 is ':'"),
            ("netz\u{e4}", "byte 5 is '\\xc3'"),
            (&"x".repeat(65), "has 65 bytes; at most 64"),
        ] {
            let error = check_name(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad:?}: {error}");
        }
    }

    #[test]
    fn requests() {
        let parse = |text| AttachRequest::parse(text).map(|r| (r.network, r.address));
        assert_eq!(parse("web"), Ok(("web".into(), None)));
        assert_eq!(parse("web:10.0.0.7"), Ok(("web".into(), "10.0.0.7".parse().ok())));
        assert_eq!(parse("web:fd00::7"), Ok(("web".into(), "fd00::7".parse().ok())));
        for bad in ["", ":10.0.0.7", "web:", "web:10.0.0", "web:10.0.0.7/24", "we b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names_fit_and_differ() {
        assert_eq!(Mark::bridge(b"/run/tiny-ce", "web").ifname, "tce-web");
        assert_eq!(Mark::bridge(b"/run/tiny-ce", "elevenchars").ifname, "tce-elevenchars");
        let long = Mark::bridge(b"/", "a-name-of-more-than-eleven-bytes").ifname;
        let other = Mark::bridge(b"/", "a-name-of-more-than-eleven-byteS").ifname;
        assert_eq!((long.len(), other.len()), (15, 15));
        assert_ne!(long, other);
        let port = Mark::port(b"/run/tiny-ce", "web", "c1");
        assert_eq!(port.ifname.len(), 15);
        assert_ne!(port, Mark::port(b"/run/tiny-ce", "we", "bc1"));
        assert_ne!(port, Mark::port(b"/run/tiny-c", "eweb", "c1"));
    }

    #[test]
    fn mac_addresses_are_unicast_and_local() {
        for name in ["a", "b", "c", "web", "net"] {
            let mark = Mark::bridge(b"/run", name);
            assert_eq!(mark.mac[0] & 3, 2, "{mark:?}");
            assert!(mark.alias.len() < 256);
        }
        let mac = address_mac(IpAddr::from([10, 0, 0, 7]));
        assert_eq!(mac, [0x02, 0xce, 10, 0, 0, 7]);
        assert_eq!(address_mac("fd00::7".parse().unwrap())[0] & 3, 2);
    }

    #[test]
    fn templates() {
        let fill = |template, taken: &[&str]| fill_in(template, &|name| taken.contains(&name));
        assert_eq!(fill("eth%d", &[]), Ok("eth0".into()));
        assert_eq!(fill("eth%d", &["eth0", "eth2"]), Ok("eth1".into()));
        assert_eq!(fill("a%db", &["a0b"]), Ok("a1b".into()));
        assert!(fill("fifteen_bytes__%d", &[]).is_err());
        for bad in ["eth%", "eth%s", "eth%d%d", "%eth%d"] {
            assert!(fill(bad, &[]).unwrap_err().to_string().contains("one \"%d\""), "{bad}");
        }
    }

    #[test]
    fn long_ids_are_refused_not_cut() {
        assert!(check_container(&"x".repeat(215)).is_ok());
        assert!(check_container(&"x".repeat(216)).is_err());
        assert!(check_container("a/b").is_err());
        let port = Mark::port(b"/run", &"n".repeat(64), &"x".repeat(215));
        assert_eq!(port.alias.len(), 255);
    }
}
