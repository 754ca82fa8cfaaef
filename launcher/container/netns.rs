//! What `--network` asks for: a network, or a network namespace.
//!
//! Knows what it means for `linux.namespaces`; `network` makes networks, and `usernet` starts
//! programs that do.

use crate::error::{Error, Result};
use crate::host::ToMake;
use crate::spec::{Namespace, NamespaceKind, Spec};
use crate::usernet::Usernet;

/// Where the container's packets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChoice {
    /// `none`: a namespace of its own, with a loopback interface.
    None,
    /// `host`: the caller's namespace.
    Host,
    /// `ns:PATH`: the namespace of this file.
    Namespace(String),
    /// `pasta`, `slirp4netns`: a namespace of its own, and this program as the way out.
    Usernet(Usernet),
    /// `NAME[:ADDRESS]`: a namespace of its own, attached to a network.
    Attached(String),
}

impl NetworkChoice {
    /// Read the word of the option.
    ///
    /// # Errors
    /// The path is not absolute.
    pub fn parse(word: &str) -> Result<NetworkChoice> {
        match (word, word.strip_prefix("ns:")) {
            ("none", _) => Ok(NetworkChoice::None),
            ("host", _) => Ok(NetworkChoice::Host),
            (_, Some(path)) if path.starts_with('/') => Ok(NetworkChoice::Namespace(path.into())),
            (_, Some(path)) if path.contains('/') => {
                Err(Error::new(format!("{path:?} is not an absolute path")))
            }
            _ => Ok(match Usernet::ALL.into_iter().find(|it| it.word() == word) {
                Some(usernet) => NetworkChoice::Usernet(usernet),
                None => NetworkChoice::Attached(word.to_owned()),
            }),
        }
    }

    /// The program that makes the network, if one does.
    pub fn usernet(&self) -> Option<Usernet> {
        match self {
            NetworkChoice::Usernet(usernet) => Some(*usernet),
            _ => None,
        }
    }

    /// Change the configuration accordingly. Return the namespace that is yet to be made.
    ///
    /// # Errors
    /// The configuration joins another namespace already, or sets parameters of a network that
    /// would be the caller's.
    pub fn apply(&self, spec: &mut Spec, id: &str) -> Result<Option<ToMake>> {
        let (path, to_make) = match self {
            NetworkChoice::Host => return share(spec).map(|()| None),
            NetworkChoice::None | NetworkChoice::Usernet(_) => (None, false),
            NetworkChoice::Namespace(path) => (Some(path.clone()), false),
            NetworkChoice::Attached(_) => (Some(crate::network::namespace_path(id)), true),
        };
        let Some(linux) = spec.linux.as_mut() else {
            return Err(Error::new("--network: the config has no linux.namespaces"));
        };
        let found = linux.namespaces.iter().find(|it| it.kind == NamespaceKind::Network);
        if let Some(joined) = found.and_then(|it| it.path.as_ref()) {
            let text = "--network: linux.namespaces already joins the network namespace";
            return Err(Error::new(format!("{text} {joined}")));
        }
        match linux.namespaces.iter_mut().find(|it| it.kind == NamespaceKind::Network) {
            Some(namespace) => namespace.path.clone_from(&path),
            None => {
                let kind = NamespaceKind::Network;
                linux.namespaces.push(Namespace { kind, path: path.clone() });
            }
        }
        Ok(path.filter(|_| to_make).map(|path| ToMake { path, directory: false }))
    }
}

/// Share the caller's network namespace.
fn share(spec: &mut Spec) -> Result<()> {
    let Some(linux) = spec.linux.as_mut() else { return Ok(()) };
    let net = |key: &&String| key.starts_with("net.") || key.starts_with("net/");
    if let Some(key) = linux.sysctl.keys().find(net) {
        let text = format!("linux.sysctl[{key:?}]: with --network host, the network is the host's");
        return Err(Error::new(text).hint("set it on the host, or choose another network"));
    }
    linux.namespaces.retain(|it| it.kind != NamespaceKind::Network);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_networks_are_not_namespaces() {
        let parsed = |word| NetworkChoice::parse(word);
        assert_eq!(parsed("ns:10.0.0.1"), Ok(NetworkChoice::Attached("ns:10.0.0.1".to_owned())));
        assert_eq!(parsed("ns:/x"), Ok(NetworkChoice::Namespace("/x".to_owned())));
        assert!(parsed("ns:./x").is_err());
    }
}
