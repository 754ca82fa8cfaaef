//! Subnets and addresses: parsing, arithmetic, and which address is handed out next.
//!
//! Knows numbers only; makes no system call and reads no file. IPv4 and IPv6 are computed alike,
//! as 128-bit integers.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A network address with its prefix length, `10.0.0.0/24`; no bit is set behind the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    base: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// Parse the value of `--subnet`: addresses for a gateway and at least one container, unicast,
    /// not loopback.
    ///
    /// # Errors
    /// One line that names the text and says what would be right.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::new(format!("subnet \"{text}\": {why}"));
        let (base, prefix) = text.split_once('/').ok_or_else(|| {
            wrong("has no prefix length; write ADDRESS/LENGTH, as in 10.0.0.0/24")
        })?;
        let base: IpAddr =
            base.parse().map_err(|_| wrong("the part before \"/\" is not an IP address"))?;
        let (least, most) = if base.is_ipv4() { (8, 30) } else { (16, 126) };
        // Only digits: "+24" and "024" would otherwise pass and read differently elsewhere.
        let canonical = prefix.bytes().all(|b| b.is_ascii_digit()) && !prefix.starts_with('0');
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|n| canonical && (least..=most).contains(n))
            .ok_or_else(|| wrong(&format!("the prefix length must be {least} to {most}")))?;
        let subnet = Subnet { base, prefix };
        let first = from_bits(base, bits(base) & subnet.mask());
        if first != base {
            let hint = format!("the subnet that holds this address is {first}/{prefix}");
            return Err(wrong("bits are set behind the prefix").hint(hint));
        }
        match unusable(base) {
            Some(kind) => Err(wrong(&format!("{kind} addresses cannot be given to containers"))),
            None => Ok(subnet),
        }
    }

    /// Any address with any prefix length, as the host has them; cut to the prefix.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let subnet = Subnet { base: address, prefix: prefix.min(width(address)) };
        Subnet { base: from_bits(address, bits(address) & subnet.mask()), ..subnet }
    }

    /// The prefix length, in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The first host address: the bridge's, and the containers' default route.
    pub fn gateway(&self) -> IpAddr {
        from_bits(self.base, bits(self.base) + 1)
    }

    /// The last address, to all hosts; IPv6 has none.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match from_bits(self.base, bits(self.base) | !self.mask() & full(self.base)) {
            IpAddr::V4(last) => Some(last),
            IpAddr::V6(_) => None,
        }
    }

    /// Whether `address` lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4() && bits(address) & self.mask() == bits(self.base)
    }

    /// Whether any address lies within both.
    pub fn overlaps(&self, other: &Subnet) -> bool {
        if self.prefix <= other.prefix {
            self.contains(other.base)
        } else {
            other.contains(self.base)
        }
    }

    /// Whether the subnet is wider than any block of private addresses (10.0.0.0/8, fc00::/7). A
    /// route to such a subnet acts as a default route, such as 0.0.0.0/1 of a VPN or 2000::/3.
    pub fn is_for_everything(&self) -> bool {
        self.prefix < if self.base.is_ipv4() { 8 } else { 7 }
    }

    /// Why no container can have `address`; `None` if one can. Leases are not checked here.
    pub fn refusal(&self, address: IpAddr) -> Option<String> {
        if !self.contains(address) {
            return Some(format!("is not in the subnet {self}"));
        }
        let special = if address == self.base {
            "network"
        } else if address == self.gateway() {
            "gateway"
        } else if self.broadcast().is_some_and(|last| address == last) {
            "broadcast"
        } else {
            return None;
        };
        Some(format!("is the {special} address of {self}"))
    }

    /// The lowest address that a container can have and that is not in `used`.
    pub fn allocate(&self, used: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let first = bits(self.gateway()) + 1;
        let last = bits(self.base) | !self.mask() & full(self.base);
        (first..=last)
            .map(|n| from_bits(self.base, n))
            .find(|a| !used.contains(a) && self.refusal(*a).is_none())
    }

    fn mask(&self) -> u128 {
        let host = u32::from(width(self.base) - self.prefix);
        full(self.base) & u128::MAX.checked_shl(host).unwrap_or(0)
    }
}

/// What kind of address no container can have, by the block's first address.
fn unusable(base: IpAddr) -> Option<&'static str> {
    let v4_unspecified = matches!(base, IpAddr::V4(v4) if v4.octets()[0] == 0);
    let v6_link_local = matches!(base, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80);
    let v4_reserved = matches!(base, IpAddr::V4(v4) if v4.octets()[0] >= 240);
    let v4_mapped = matches!(base, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    match () {
        () if base.is_loopback() => Some("loopback"),
        () if base.is_multicast() => Some("multicast"),
        () if base.is_unspecified() || v4_unspecified => Some("unspecified"),
        () if v6_link_local => Some("link-local"),
        () if v4_reserved => Some("reserved"),
        () if v4_mapped => Some("IPv4-mapped"),
        () => None,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// `n` as an address of the family that `like` has; bits beyond its width are cut off.
fn from_bits(like: IpAddr, n: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from((n & u128::from(u32::MAX)) as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(n)),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn full(address: IpAddr) -> u128 {
    if address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Subnet::parse(text)
    }
}

impl TryFrom<String> for Subnet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Subnet::parse(&text)
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_and_printed() {
        for text in ["10.0.0.0/24", "10.0.0.0/8", "192.168.7.4/30", "fd00:1::/64", "fd00::4/126"] {
            assert_eq!(subnet(text).to_string(), text);
        }
    }

    #[test]
    fn malformed_subnets_and_the_reason() {
        for (text, why) in [
            ("10.0.0.0", "has no prefix length"),
            ("10.0.0/24", "is not an IP address"),
            ("", "has no prefix length"),
            ("10.0.0.0/", "must be 8 to 30"),
            ("10.0.0.0/31", "must be 8 to 30"),
            ("10.0.0.0/7", "must be 8 to 30"),
            ("10.0.0.0/024", "must be 8 to 30"),
            ("10.0.0.0/+24", "must be 8 to 30"),
            ("10.0.0.0/24/8", "must be 8 to 30"),
            ("fd00::/127", "must be 16 to 126"),
            ("10.0.0.1/24", "bits are set behind the prefix"),
            ("127.0.0.0/8", "loopback"),
            ("0.0.0.0/8", "unspecified"),
            ("224.0.0.0/8", "multicast"),
            ("255.255.255.0/24", "reserved"),
            ("fe80::/64", "link-local"),
            ("::ffff:10.0.0.0/120", "IPv4-mapped"),
        ] {
            let error = Subnet::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(error.starts_with(&format!("subnet \"{text}\": ")), "{error}");
        }
        let error = Subnet::parse("10.0.0.9/29").unwrap_err().to_string();
        assert!(error.contains("holds this address is 10.0.0.8/29"), "{error}");
    }

    #[test]
    fn overlap_in_both_directions_and_not_across_families() {
        let a = subnet("10.0.0.0/24");
        for other in ["10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/8"] {
            assert!(a.overlaps(&subnet(other)) && subnet(other).overlaps(&a), "{other}");
        }
        for other in ["10.0.1.0/24", "11.0.0.0/8", "fd00::/64"] {
            assert!(!a.overlaps(&subnet(other)) && !subnet(other).overlaps(&a), "{other}");
        }
        assert!(a.overlaps(&Subnet::around(ip("10.0.0.7"), 32)));
        assert!(a.overlaps(&Subnet::around(ip("0.0.0.0"), 0)));
        assert!(!subnet("fd00::/64").overlaps(&Subnet::around(ip("fe80::1"), 64)));
    }

    #[test]
    fn addresses_come_in_order_and_run_out() {
        let small = subnet("10.0.0.8/29");
        let mut used = BTreeSet::new();
        while let Some(address) = small.allocate(&used) {
            assert!(used.insert(address));
        }
        let all: Vec<String> = used.iter().map(IpAddr::to_string).collect();
        assert_eq!(all, ["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"]);
        used.remove(&ip("10.0.0.12"));
        assert_eq!(small.allocate(&used), Some(ip("10.0.0.12")));
    }

    #[test]
    fn ipv6_has_no_broadcast() {
        let six = subnet("fd00::4/126");
        assert_eq!(six.gateway(), ip("fd00::5"));
        assert_eq!(six.broadcast(), None);
        let mut used = BTreeSet::from([ip("fd00::6")]);
        assert_eq!(six.allocate(&used), Some(ip("fd00::7")));
        used.insert(ip("fd00::7"));
        assert_eq!(six.allocate(&used), None);
    }

    #[test]
    fn special_addresses_are_refused_by_name() {
        let a = subnet("10.0.0.0/24");
        for (address, why) in [
            ("10.0.0.0", "is the network address of 10.0.0.0/24"),
            ("10.0.0.1", "is the gateway address of 10.0.0.0/24"),
            ("10.0.0.255", "is the broadcast address of 10.0.0.0/24"),
            ("10.0.1.2", "is not in the subnet 10.0.0.0/24"),
            ("fd00::2", "is not in the subnet 10.0.0.0/24"),
        ] {
            assert_eq!(a.refusal(ip(address)).as_deref(), Some(why));
        }
        assert_eq!(a.refusal(ip("10.0.0.2")), None);
    }

    #[test]
    fn the_file_form_is_checked_too() {
        assert_eq!(serde_json::to_string(&subnet("10.0.0.0/24")).unwrap(), "\"10.0.0.0/24\"");
        assert!(serde_json::from_str::<Subnet>("\"10.0.0.1/24\"").is_err());
    }
}
