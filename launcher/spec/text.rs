//! Read words of the command line that become fields of config.json: sizes, CPUs, users, volumes.
//!
//! The words are spelt as with Docker and Podman. This module does not know the option of a word.
//! Pure.

use std::path::Path;

use tiny_ce_init::flags::Propagation;

use super::options::Effect;
use super::{Mount, MountOptions, is_id};
use crate::error::{Error, Result};

/// The period of [`cpus`], in microseconds: the kernel's own default.
pub const CPU_PERIOD_US: u64 = 100_000;

/// Read a size in bytes: a number, and perhaps a unit k, m, g, t or p, each 1024 times the one
/// before, in upper or lower case.
///
/// # Errors
/// The text is not a size, or the size is over `i64::MAX`, more than any limit of the kernel.
pub fn bytes(text: &str) -> Result<i64> {
    let wrong = |why: &str| Err(Error::new(format!("size {text:?}: {why}")));
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        "p" | "pb" | "pi" | "pib" => 50,
        _ => return wrong("unknown unit; a number and k, m, g, t or p, such as 512m or 1.5g"),
    };
    // Docker allows one space before the unit.
    match decimal(number.strip_suffix(' ').unwrap_or(number), 1 << shift) {
        Decimal::Is(bytes) => Ok(bytes),
        Decimal::TooLarge => wrong("too large"),
        Decimal::Not => wrong("not a size; a number and k, m, g, t or p, such as 512m or 1.5g"),
    }
}

/// Read a number of CPUs, and return the CPU time per period [`CPU_PERIOD_US`] in microseconds:
/// `1.5` is 150000. `0` means no limit, as with Docker and Podman, and becomes -1.
///
/// # Errors
/// The text is not a decimal number, or it is under 0.01, the least quota of the kernel, or too
/// large.
pub fn cpus(text: &str) -> Result<i64> {
    let wrong = |why: &str| Err(Error::new(format!("CPUs {text:?}: {why}")));
    match decimal(text, CPU_PERIOD_US as i64) {
        Decimal::Is(0) if text.bytes().all(|b| matches!(b, b'0' | b'.')) => Ok(-1),
        Decimal::Is(..1000) => wrong("at least 0.01, or 0 for no limit"),
        Decimal::Is(quota) if quota <= i64::MAX / 1000 => Ok(quota),
        Decimal::Is(_) | Decimal::TooLarge => wrong("too many"),
        Decimal::Not => wrong("not a decimal number, such as 1.5"),
    }
}

enum Decimal {
    Is(i64),
    TooLarge,
    Not,
}

/// Read a decimal number, such as `.5`, `1.` or `1.25`, and return it times `scale`, rounded down.
fn decimal(text: &str, scale: i64) -> Decimal {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return Decimal::Not;
    }
    let (mut part, mut unit) = (0, 1);
    // The product of 18 digits and the scale fits into an i128; more digits count for less than 1.
    for digit in fraction.bytes().take(18) {
        (part, unit) = (part * 10 + i128::from(digit - b'0'), unit * 10);
    }
    let whole = if whole.is_empty() { Some(0) } else { number::<i64>(whole) };
    let times = whole.and_then(|whole| whole.checked_mul(scale));
    let part = i64::try_from(part * i128::from(scale) / unit);
    match times.zip(part.ok()).and_then(|(whole, part)| whole.checked_add(part)) {
        Some(number) => Decimal::Is(number),
        None => Decimal::TooLarge,
    }
}

/// A user or a group, as a command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A number.
    Id(u32),
    /// A name in the container's own /etc/passwd or /etc/group.
    Name(String),
}

/// Read a user, and perhaps a group: `USER` or `USER:GROUP`, each by number or by name. A part that
/// consists of digits, or begins with a sign, is a number and never a name.
///
/// # Errors
/// A part is empty, there are more than two, a number is out of range, or a name has white space or
/// a control character. 4294967295 is out of range: it tells the kernel to change nothing
/// (CVE-2026-30892).
pub fn user(text: &str) -> Result<(Who, Option<Who>)> {
    let who = |what: &str, word: &str| {
        let wrong = |why: &str| {
            Err(Error::new(format!("user {text:?}: {what} {word:?} {why}"))
                .hint("USER or USER:GROUP, each by number or by name"))
        };
        match number::<u32>(word) {
            Some(id) if !is_id(id) => wrong("means \"no change\" to the kernel"),
            Some(id) => Ok(Who::Id(id)),
            None if word.is_empty() => wrong("is empty"),
            None if word.starts_with(['-', '+']) || word.bytes().all(|b| b.is_ascii_digit()) => {
                wrong("is not a number from 0 to 4294967294")
            }
            None if word.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) => {
                wrong("is no name: it has a colon, white space or a control character")
            }
            None => Ok(Who::Name(word.to_owned())),
        }
    };
    match text.split_once(':') {
        Some((user, group)) => Ok((who("user", user)?, Some(who("group", group)?))),
        None => Ok((who("user", text)?, None)),
    }
}

/// Whether an option of a volume asks for other SELinux labels, as with Docker and Podman. The
/// mount is made without it, since the files of the host keep their labels.
pub fn is_label(option: &str) -> bool {
    matches!(option, "z" | "Z")
}

/// Read a bind mount: `SOURCE:TARGET` or `SOURCE:TARGET:option,…`. A relative source is below
/// `cwd`.
///
/// # Errors
/// A part is missing or empty, there are more than three, the target is `/`, the path of the source
/// is not UTF-8, or a bind mount has no such option.
pub fn volume(text: &str, cwd: &Path) -> Result<Mount> {
    let wrong = |why: &str| {
        Err(Error::new(format!("volume {text:?}: {why}"))
            .hint("SOURCE:TARGET, or SOURCE:TARGET:ro"))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, more) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, more] => (source, target, more),
        [_] => return wrong("no target"),
        _ => return wrong("more than two colons"),
    };
    if source.is_empty() {
        return wrong("empty source");
    }
    if target.split('/').all(|part| matches!(part, "" | ".")) {
        return wrong("no target below /; the root file system itself is --rootfs");
    }
    let Some(source) = cwd.join(source).to_str().map(str::to_owned) else {
        return wrong("the working directory's path is not UTF-8");
    };
    let more = more.split(',').filter(|option| !option.is_empty() && !is_label(option));
    let more: MountOptions = more.collect();
    // In config.json such an option is a warning, since engines write options without effect. Here
    // a user typed it.
    if let Some((word, _)) = more.words().find(|(_, effect)| *effect == Effect::Parameters) {
        return wrong(&format!("{word:?} is no option of a bind mount"));
    }
    let bind = more.bind.is_none().then_some("rbind");
    // `unbindable` says nothing of the propagation, which still has to be given.
    let given = more.propagation.iter().any(|(kind, _)| *kind != Propagation::MS_UNBINDABLE);
    let private = (!given).then_some("rprivate");
    let words = more.words().map(|(word, _)| word);
    let options = bind.into_iter().chain(private).chain(words).collect();
    Ok(Mount {
        // A relative target is taken from `/`, as a relative destination of config.json is.
        destination: Path::new("/").join(target).to_string_lossy().into_owned(),
        kind: Some("bind".to_owned()),
        source: Some(source),
        options,
        ..Mount::default()
    })
}

/// Read a number of digits only; `str::parse` alone would accept a sign.
fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("512M", 512 << 20),
            ("1g", 1 << 30),
            ("4096", 4096),
            ("64KiB", 65536),
            ("1GiB", 1 << 30),
            ("1.5g", 3 << 29),
            ("1.5GB", 3 << 29),
            (".5k", 512),
            ("2 kb", 2048),
            ("0", 0),
            ("1.0000000000000000000000001k", 1024),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(bytes(text).unwrap(), size, "{text}");
        }
        for wrong in ["", "M", ".", "-1", "+1", "1.5.5g", "1x", "1  G", "9999999999T", "é", "1e3"]
        {
            bytes(wrong).unwrap_err();
        }
    }

    #[test]
    fn cpu_quotas() {
        for (text, quota) in [
            ("1.5", 150_000),
            ("2", 200_000),
            ("0.01", 1000),
            (".5", 50_000),
            ("1.", 100_000),
            ("0.12345", 12_345),
            ("1.333333333", 133_333),
            ("0", -1),
            ("0.0", -1),
        ] {
            assert_eq!(cpus(text).unwrap(), quota, "{text}");
        }
        for wrong in ["", ".", "0.001", "0.0000001", "-1", "1e3", "1,5", "x"] {
            cpus(wrong).unwrap_err();
        }
        cpus("9223372036854775807").unwrap_err();
    }

    #[test]
    fn users_are_exact() {
        let name = |name: &str| Who::Name(name.to_owned());
        assert_eq!(user("1").unwrap(), (Who::Id(1), None));
        assert_eq!(user("1:2").unwrap(), (Who::Id(1), Some(Who::Id(2))));
        assert_eq!(user("4294967294:0").unwrap(), (Who::Id(4294967294), Some(Who::Id(0))));
        assert_eq!(user("me").unwrap(), (name("me"), None));
        assert_eq!(user("1x:staff").unwrap(), (name("1x"), Some(name("staff"))));
        for wrong in [
            "",
            "1:",
            ":1",
            "-1",
            "+1",
            "4294967295",
            "1:4294967295",
            "4294967296",
            "1:2:3",
            "a b",
            "root:",
            "a:b:c",
            "-x",
            "root\n",
        ] {
            user(wrong).unwrap_err();
        }
        assert_eq!(
            user("4294967296").unwrap_err().line(),
            r#"user "4294967296": user "4294967296" is not a number from 0 to 4294967294"#
        );
    }

    #[test]
    fn volumes() {
        let words = |mount: &Mount| -> Vec<String> {
            mount.options.words().map(|(word, _)| word.to_owned()).collect()
        };
        let mount = volume("data:/srv:ro", Path::new("/home/me")).unwrap();
        assert_eq!(mount.source.as_deref(), Some("/home/me/data"));
        assert_eq!(mount.destination, "/srv");
        assert_eq!(words(&mount), ["rbind", "rprivate", "ro"]);
        let mount = volume("/a:/b:bind,rslave", Path::new("/")).unwrap();
        assert_eq!(words(&mount), ["bind", "rslave"]);
        assert_eq!(
            words(&volume("/a:/b:ro,Z", Path::new("/")).unwrap()),
            ["rbind", "rprivate", "ro"]
        );
        assert_eq!(volume("a:b/c", Path::new("/")).unwrap().destination, "/b/c");
        for wrong in ["", "/a", ":/b", "/a:", "/a:/", "/a:.", "/a:/b:ro:x", "/a:/b:rro,r0"] {
            volume(wrong, Path::new("/")).unwrap_err();
        }
    }
}
