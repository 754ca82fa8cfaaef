//! Compile the parameters of a file system to fsconfig(2).
//!
//! This module knows how the kernel reads the option text of mount(2), and what fsconfig(2) needs
//! instead. The meaning of a parameter is known to the file system alone.

use tiny_ce_init::flags::OpenFlags;
use tiny_ce_init::{Op, Slot, Unless};

use super::root::{HOST, path_only};
use crate::error::{Error, Result};
use crate::plan::{Plan, c_string};
use crate::spec::MountOptions;

/// fsconfig(2) takes at most 255 bytes of a value.
pub const LONGEST_VALUE: usize = 255;

/// Labels of SELinux, which contain commas: in the option text of mount(2) they are quoted.
const LABELS: [&str; 4] = ["context", "fscontext", "defcontext", "rootcontext"];

/// The parameters of a file system that is made or reconfigured.
#[derive(Default)]
pub struct Parameters<'a> {
    /// Flags of the superblock, such as `sync`.
    flags: &'a [&'static str],
    /// `key` or `key=value`.
    pub data: Vec<&'a str>,
}

impl<'a> Parameters<'a> {
    /// These parameters, and no flag.
    pub fn new(data: Vec<&'a str>) -> Self {
        Parameters { data, flags: &[] }
    }

    /// The flags and parameters among the options of a mount.
    pub fn of(options: &'a MountOptions) -> Self {
        Parameters { flags: &options.flags, data: options.parameters().collect() }
    }

    /// Whether there is no parameter and no flag.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.data.is_empty()
    }
}

/// Give a file system all of the parameters.
///
/// # Errors
/// As for `one`.
pub fn all(plan: &mut Plan, fs: Slot, parameters: &Parameters<'_>) -> Result<()> {
    for flag in parameters.flags {
        let key = c_string(flag)?;
        // File systems that count changes now do so always, and refuse this flag with EINVAL.
        let unless = if *flag == "iversion" { Unless::EINVAL } else { Unless::NOTHING };
        plan.step_unless(unless, Op::FsconfigFlag { fs, key: &key });
    }
    for word in &parameters.data {
        match word.split_once('=') {
            Some((key, value)) => one(plan, fs, key, Some(value))?,
            None => one(plan, fs, word, None)?,
        }
    }
    Ok(())
}

/// Give a file system one parameter.
///
/// # Errors
/// The parameter contains NUL or is longer than fsconfig(2) takes, or the plan has no free slot.
pub fn one(plan: &mut Plan, fs: Slot, key: &str, value: Option<&str>) -> Result<()> {
    let name = c_string(key)?;
    let Some(mut value) = value else {
        plan.step(Op::FsconfigFlag { fs, key: &name });
        return Ok(());
    };
    if LABELS.contains(&key) {
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        value = quoted.unwrap_or(value);
    }
    if value.len() <= LONGEST_VALUE {
        let value = c_string(value)?;
        plan.step(Op::FsconfigString { fs, key: &name, value: &value });
        return Ok(());
    }
    match key {
        // Since Linux 6.8, overlay takes its lower layers one by one.
        "lowerdir" => layers(value).iter().try_for_each(|layer| {
            let key = if layer.data { "datadir+" } else { "lowerdir+" };
            let (key, path) = (c_string(key)?, &layer.path);
            if path.len() > LONGEST_VALUE {
                return by_descriptor(plan, fs, &key, path);
            }
            let value = c_string(path)?;
            plan.step(Op::FsconfigString { fs, key: &key, value: &value });
            Ok(())
        }),
        "lowerdir+" | "datadir+" => by_descriptor(plan, fs, &name, value),
        "upperdir" | "workdir" => by_descriptor(plan, fs, &name, &unescape(value)),
        _ => {
            let text =
                format!("option {key:?}: {} bytes, more than fsconfig(2) takes", value.len());
            Err(Error::new(text).hint("use shorter paths, for instance through a symbolic link"))
        }
    }
}

/// Give overlay the descriptor of a directory whose path is too long for a value (Linux 6.13).
fn by_descriptor(plan: &mut Plan, fs: Slot, key: &std::ffi::CStr, path: &str) -> Result<()> {
    let (fd, path) = (plan.slot()?, c_string(path)?);
    let how = path_only(OpenFlags::O_DIRECTORY, HOST);
    plan.step(Op::Openat2 { into: fd, at: Slot::CWD, path: &path, how });
    plan.step(Op::FsconfigFd { fs, key, fd });
    plan.close(fd);
    Ok(())
}

/// One of the lower layers of an overlay.
#[derive(Debug, PartialEq, Eq)]
struct Layer {
    path: String,
    /// Whether it is a data-only layer, whose files only hold the data of files in other layers.
    data: bool,
}

/// Split `lowerdir` as the kernel does: a colon separates layers, two colons come before a
/// data-only layer, and a backslash makes the next character part of the path.
fn layers(text: &str) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut layer = Layer { path: String::new(), data: false };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => layer.path.extend(chars.next()),
            ':' => {
                let data = chars.next_if_eq(&':').is_some();
                layers.push(std::mem::replace(&mut layer, Layer { path: String::new(), data }));
            }
            _ => layer.path.push(c),
        }
    }
    layers.push(layer);
    layers
}

/// Remove the backslashes that escape characters.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::options::layer as escape;

    #[test]
    fn layers_are_parted_as_the_kernel_does_it() {
        let shown = |text: &str| -> Vec<String> {
            let mark =
                |layer: Layer| format!("{}{}", if layer.data { "+" } else { "" }, layer.path);
            layers(text).into_iter().map(mark).collect()
        };
        assert_eq!(shown("/a:/b"), ["/a", "/b"]);
        assert_eq!(shown("/a\\:b:/c\\\\:/d\\,"), ["/a:b", "/c\\", "/d,"]);
        assert_eq!(shown("/a:/b::/c::/d"), ["/a", "/b", "+/c", "+/d"]);
    }

    #[test]
    fn an_escaped_path_is_one_layer() {
        for path in ["/a:b", "/a\\", "/a\\:", "/::", "/a,b"] {
            let layer = Layer { path: path.to_owned(), data: false };
            assert_eq!(layers(&escape(path)), [layer]);
            assert_eq!(unescape(&escape(path)), path);
            let options: MountOptions =
                [format!("lowerdir={},x", escape(path))].into_iter().collect();
            assert_eq!(options.parameters().count(), 2, "{path}");
        }
    }
}
