//! `network create`, `list`, `show`, `rm`: networks that containers can join.
//!
//! Parses the options and prints; module `network` makes the networks.

use std::ffi::OsStr;

use super::table::command;
use super::value::{FigureFormat, ListFormat, Number, Value};
use super::{Globals, print, render};
use crate::network::{self, NewNetwork, Subnet};
use crate::{Error, Result};

impl Value for Subnet {
    fn parse(word: &OsStr) -> Result<Self> {
        Subnet::parse(&word.to_string_lossy())
    }
}

/// The range of the MTU. Below 1280 the kernel removes IPv6 from an interface, and adds it again
/// with default parameters instead of ours; above 65535 no link of Linux accepts it.
type Mtu = Number<1280, 65_535>;

/// The name of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkName(
    /// Keeps the rule of `network::check_name`.
    pub String,
);

impl Value for NetworkName {
    fn parse(word: &OsStr) -> Result<Self> {
        let name = word.to_string_lossy();
        network::check_name(&name).map(|()| NetworkName(name.into_owned()))
    }
}

command! {
    /// Make a network: a bridge with a subnet.
    ///
    /// Containers join it with "tiny-ce run --network NAME" and get an address of the subnet. The
    /// first address is the bridge's; it is the default route of the containers.
    pub struct Create = "network create" {
        args {
            /// Its name.
            "NAME" name: NetworkName,
        }
        options {
            /// Its addresses, such as 10.0.0.0/24; required.
            "--subnet ADDRESS/BITS" subnet: Option<Subnet>,
            /// Its largest packet; default: the kernel's 1500. At least 1280.
            "--mtu BYTES" mtu: Option<Mtu>,
        }
        examples {
            "network create web --subnet 10.0.0.0/24": "254 addresses, 10.0.0.1 the bridge's",
        }
        run = |it, globals: &Globals| {
            let Some(subnet) = it.subnet else {
                return Err(Error::new(
                    "network create: --subnet is missing; add one such as --subnet 10.0.0.0/24",
                ));
            };
            let mtu = it.mtu.map(|mtu| mtu.0 as u32);
            let request = NewNetwork { name: it.name.0, subnet, mtu };
            let made = network::create(&globals.state_root()?, &request)?;
            print(&format!("{}\n", made.name))
        };
    }
}

command! {
    /// List networks, with their subnets and containers.
    pub struct List = "network list" {
        options {
            /// Output format; default: table.
            "-f, --format table|json" format: Option<ListFormat>,
            /// Print only the names.
            "-q, --quiet" quiet: bool,
        }
        run = |it, globals: &Globals| {
            let networks = network::list(&globals.state_root()?)?;
            if it.quiet {
                let names: String = networks.into_iter().map(|it| it.name + "\n").collect();
                return print(&names);
            }
            match it.format {
                Some(ListFormat::Json) => match serde_json::to_string_pretty(&networks) {
                    Ok(text) => print(&(text + "\n")),
                    Err(e) => Err(Error::new(format!("networks as JSON: {e}"))),
                },
                _ => print(&network::table(&networks)),
            }
        };
    }
}

command! {
    /// Print a network, and the address of each container.
    ///
    /// Its bridge, its subnet, and for each container the name of its interface inside and on the
    /// host.
    pub struct Show = "network show" {
        args {
            /// The network.
            "NAME" name: NetworkName,
        }
        options {
            /// Output format; svg: a picture. Default: text.
            "--format text|json|svg" format: Option<FigureFormat>,
        }
        examples {
            "network show web": "who has which address",
            "network show web --format svg >web.svg": "as a picture",
        }
        run = |it, globals: &Globals| {
            let network = network::show(&globals.state_root()?, &it.name.0)?;
            match it.format {
                Some(FigureFormat::Json) => match serde_json::to_string_pretty(&network) {
                    Ok(text) => print(&(text + "\n")),
                    Err(e) => Err(Error::new(format!("a network as JSON: {e}"))),
                },
                Some(FigureFormat::Svg) => print(&render::network::svg(&network)),
                _ => print(&network::page(&network)),
            }
        };
    }
}

command! {
    /// Remove a network that no container is attached to.
    pub struct Remove = "network rm" {
        args {
            /// The network.
            "NAME" name: NetworkName,
        }
        run = |it, globals: &Globals| {
            let root = globals.state_root()?;
            // A container whose state cannot be read counts as alive, so it keeps its address.
            let gone = |e: std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
            let alive = |id: &str| !root.join(id).symlink_metadata().is_err_and(gone);
            network::remove(&root, &it.name.0, &alive).map(|()| 0)
        };
    }
}
