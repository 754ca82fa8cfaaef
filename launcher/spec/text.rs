//! Words of the command line that become fields of config.json: sizes, CPUs, users, volumes.
//!
//! Knows how such a word is spelt, strictly; not which option it came with. Pure.

use std::path::Path;

use super::Mount;
use crate::error::{Error, Result};

/// The period of [`cpus`], in microseconds: the kernel's own default.
pub const CPU_PERIOD_US: u64 = 100_000;

/// A size in bytes: a whole number, and perhaps one of k, m, g, t, by 1024, in either case.
///
/// # Errors
/// Not a size, or over `i64::MAX` bytes, which no limit of the kernel can take.
pub fn bytes(text: &str) -> Result<i64> {
    let wrong = |why: &str| Err(Error::new(format!("size {text:?}: {why}")));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return wrong("unknown unit; a whole number and k, m, g or t, such as 512m"),
    };
    match number::<i64>(digits).map(|n| n.checked_mul(1 << shift)) {
        Some(Some(bytes)) => Ok(bytes),
        Some(None) => wrong("too large"),
        None => wrong("not a whole number; write one and k, m, g or t, such as 512m"),
    }
}

/// How much CPU time per period [`CPU_PERIOD_US`], in microseconds: `1.5` is 150000.
///
/// # Errors
/// Not a decimal number, or under 0.01, below which the kernel has no quota.
pub fn cpus(text: &str) -> Result<i64> {
    let wrong = |why: &str| Err(Error::new(format!("CPUs {text:?}: {why}")));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 5 {
        return wrong("more than five decimals");
    }
    let (Some(whole), Some(part)) = (number::<i64>(whole), number::<i64>(fraction)) else {
        return wrong("not a decimal number, such as 1.5");
    };
    let part = part * 10_i64.pow(5 - fraction.len() as u32);
    match whole.checked_mul(CPU_PERIOD_US as i64).and_then(|us| us.checked_add(part)) {
        Some(quota) if quota > i64::MAX / 1000 => wrong("too many"),
        Some(quota) if quota >= 1000 => Ok(quota),
        Some(_) => wrong("at least 0.01"),
        None => wrong("too many"),
    }
}

/// A user by number, and perhaps a group: `UID` or `UID:GID`.
///
/// # Errors
/// Anything else: names (there is no lookup inside a container on the runtime's behalf), an empty
/// part, and 4294967295, which tells the kernel to change nothing (CVE-2026-30892).
pub fn user(text: &str) -> Result<(u32, Option<u32>)> {
    let id = |what: &str, digits: &str| match number::<u32>(digits) {
        Some(u32::MAX) => Err(Error::new(format!(
            "user {text:?}: {what} 4294967295 means \"no change\" to the kernel"
        ))),
        Some(id) => Ok(id),
        None => Err(Error::new(format!(
            "user {text:?}: {what} {digits:?} is not a number from 0 to 4294967294"
        ))
        .hint("users are given by number: UID or UID:GID")),
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((id("user id", uid)?, Some(id("group id", gid)?))),
        None => Ok((id("user id", text)?, None)),
    }
}

/// A bind mount: `SOURCE:TARGET` or `SOURCE:TARGET:option,…`. A relative source is below `cwd`.
///
/// # Errors
/// A part is missing or empty, there is one too many, or the target is not absolute.
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
    if !target.starts_with('/') {
        return wrong("the target is not absolute");
    }
    let Some(source) = cwd.join(source).to_str().map(str::to_owned) else {
        return wrong("the working directory's path is not UTF-8");
    };
    let more: Vec<&str> = more.split(',').filter(|option| !option.is_empty()).collect();
    let mut options = Vec::new();
    if !more.iter().any(|option| matches!(*option, "bind" | "rbind")) {
        options.push("rbind".to_owned());
    }
    if !more.iter().any(|o| o.ends_with("private") || o.ends_with("shared") || o.ends_with("slave"))
    {
        options.push("rprivate".to_owned());
    }
    options.extend(more.into_iter().map(str::to_owned));
    Ok(Mount {
        destination: target.to_owned(),
        kind: Some("bind".to_owned()),
        source: Some(source),
        options,
        ..Mount::default()
    })
}

/// Digits and nothing else: `str::parse` alone would take a sign.
fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("512M").unwrap(), 512 << 20);
        assert_eq!(bytes("1g").unwrap(), 1 << 30);
        assert_eq!(bytes("4096").unwrap(), 4096);
        assert_eq!(bytes("64KiB").unwrap(), 65536);
        for wrong in ["", "M", "-1", "+1", "1.5G", "1x", "1 G", "9999999999T", "é"] {
            bytes(wrong).unwrap_err();
        }
    }

    #[test]
    fn cpu_quotas() {
        assert_eq!(cpus("1.5").unwrap(), 150_000);
        assert_eq!(cpus("2").unwrap(), 200_000);
        assert_eq!(cpus("0.01").unwrap(), 1000);
        assert_eq!(cpus("0.12345").unwrap(), 12_345);
        for wrong in ["", ".", "1.", ".5", "0", "0.001", "-1", "1e3", "1.234567", "x"] {
            cpus(wrong).unwrap_err();
        }
        cpus("9223372036854775807").unwrap_err();
    }

    #[test]
    fn users_are_exact() {
        assert_eq!(user("1").unwrap(), (1, None));
        assert_eq!(user("1:2").unwrap(), (1, Some(2)));
        assert_eq!(user("1234").unwrap(), (1234, None));
        assert_eq!(user("4294967294:0").unwrap(), (4294967294, Some(0)));
        for wrong in
            ["", "1:", ":1", "-1", "+1", "4294967295", "1:4294967295", "4294967296", "1:2:3", "abc"]
        {
            user(wrong).unwrap_err();
        }
        assert_eq!(
            user("root").unwrap_err().line(),
            r#"user "root": user id "root" is not a number from 0 to 4294967294"#
        );
    }

    #[test]
    fn volumes() {
        let mount = volume("data:/srv:ro", Path::new("/home/me")).unwrap();
        assert_eq!(mount.source.as_deref(), Some("/home/me/data"));
        assert_eq!(mount.destination, "/srv");
        assert_eq!(mount.options, ["rbind", "rprivate", "ro"]);
        let mount = volume("/a:/b:bind,rslave", Path::new("/")).unwrap();
        assert_eq!(mount.options, ["bind", "rslave"]);
        for wrong in ["", "/a", ":/b", "/a:", "/a:b", "/a:/b:ro:x"] {
            volume(wrong, Path::new("/")).unwrap_err();
        }
    }
}
