//! Map fields of config.json to the options that set them. `run` and `exec` make a configuration
//! that the user has not seen, so an error must name the option.
//!
//! Knows how errors spell fields. Must not know the options.

use crate::error::Error;

/// Fields, each with the option that set it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<(String, String)>);

impl Origins {
    /// `field` and all below it came from `option`. If `field` ends with a full stop, the error
    /// keeps the names of the fields below it.
    pub fn add(&mut self, field: impl Into<String>, option: impl Into<String>) {
        self.0.push((field.into(), option.into()));
    }

    /// The error, with options in place of the fields that it names.
    pub fn apply(&self, error: Error) -> Error {
        if self.0.is_empty() { error } else { error.map(|text| self.name(text)) }
    }

    /// The text, with options in place of the fields at the beginning of its parts.
    pub fn name(&self, text: &str) -> String {
        let (mut named, mut rest) = (String::with_capacity(text.len()), text);
        loop {
            let found = self.0.iter().find_map(|(field, option)| {
                let left = rest.strip_prefix(field.as_str())?;
                let whole = field.ends_with('.') || left.is_empty();
                (whole || left.starts_with([':', '.', '[', ' '])).then_some((field, option, left))
            });
            if let Some((field, option, left)) = found {
                named.push_str(option);
                let described = left.starts_with(' ') && !option.contains('"');
                rest = match described || field.ends_with('.') {
                    true => left,
                    // The option already contains what follows the field up to the colon.
                    false => left.find(": ").map_or("", |end| &left[end..]),
                };
            }
            let Some(end) = rest.find(": ") else {
                named.push_str(rest);
                return named;
            };
            named.push_str(&rest[..end + 2]);
            rest = &rest[end + 2..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_options() {
        let mut origins = Origins::default();
        origins.add("hostname", "--hostname");
        origins.add("mounts[7]", "--volume \"a:/b\"");
        origins.add("linux.resources.memory", "--memory");
        origins.add("root.path", "--rootfs");
        origins.add("linux.seccomp.", "--seccomp \"f\": ");
        for (text, named) in [
            ("cannot run \"x\": hostname: 65 bytes", "cannot run \"x\": --hostname: 65 bytes"),
            ("mounts[7] \"/b\": source /a: stat(2)", "--volume \"a:/b\": source /a: stat(2)"),
            ("mounts[7].options[2]: \"x\"", "--volume \"a:/b\": \"x\""),
            ("mounts[70]: x", "mounts[70]: x"),
            ("linux.resources.memory.limit: /f = 5: EBUSY", "--memory: /f = 5: EBUSY"),
            ("root.path \"/x\": /x: ENOENT", "--rootfs \"/x\": /x: ENOENT"),
            ("linux.seccomp.syscalls[0].op: x", "--seccomp \"f\": syscalls[0].op: x"),
            ("hostname", "--hostname"),
            ("hostnames: hostname", "hostnames: --hostname"),
            ("mounts[0] \"/proc\": x", "mounts[0] \"/proc\": x"),
        ] {
            assert_eq!(origins.name(text), named, "{text}");
        }
    }
}
