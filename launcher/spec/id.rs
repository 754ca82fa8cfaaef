//! The rule for container ids.
//!
//! An id becomes the name of a directory and of a cgroup, and a word of command lines; so it may
//! not contain a character that has a special meaning in one of these. Pure.

use crate::error::{Error, Result};

/// Longest id, in bytes: NAME_MAX, as an id names a directory.
pub const MAX_BYTES: usize = 255;

/// Whether `id` may name a container: `^[A-Za-z0-9_+][A-Za-z0-9_+.-]*$`, 1 to 255 bytes.
///
/// # Errors
/// The id breaks the rule; the error says at which byte.
pub fn check(id: &str) -> Result<()> {
    let wrong = |text: String| Err(Error::new(format!("container id {id:?}: {text}")));
    let Some(first) = id.bytes().next() else {
        return Err(Error::new("container id: empty"));
    };
    if id.len() > MAX_BYTES {
        let start = id.char_indices().nth(16).map_or(id, |(at, _)| &id[..at]);
        let text = format!("container id {start:?}…: {} bytes; at most {MAX_BYTES}", id.len());
        return Err(Error::new(text));
    }
    if matches!(first, b'.' | b'-') {
        return wrong(format!(
            "begins with {:?}; begin with a letter, digit, _ or +",
            first as char
        ));
    }
    match id.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !"_+.-".contains(*c)) {
        Some((at, c)) => {
            wrong(format!("byte {} is {c:?}; only letters, digits and _ + . - are allowed", at + 1))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ids() {
        let long = "a".repeat(MAX_BYTES);
        for id in ["a", "0", "_", "+", "web-1", "a..b", "A.b_c+d-", long.as_str()] {
            check(id).unwrap();
        }
    }

    #[test]
    fn bad_ids_name_the_byte() {
        let long = "a".repeat(MAX_BYTES + 1);
        for (id, wanted) in [
            ("", "container id: empty"),
            (".", r#"container id ".": begins with '.'; begin with a letter, digit, _ or +"#),
            ("..", r#"container id "..": begins with '.'; begin with a letter, digit, _ or +"#),
            ("-x", r#"container id "-x": begins with '-'; begin with a letter, digit, _ or +"#),
            ("a/b", r#"container id "a/b": byte 2 is '/'; only"#),
            ("web 1", r#"container id "web 1": byte 4 is ' '; only"#),
            ("a\n", r#"container id "a\n": byte 2 is '\n'; only"#),
            ("aé", r#"container id "aé": byte 2 is 'é'; only"#),
            (long.as_str(), r#"container id "aaaaaaaaaaaaaaaa"…: 256 bytes; at most 255"#),
        ] {
            let text = check(id).unwrap_err().to_string();
            assert!(text.starts_with(wanted), "{text}");
        }
    }

    #[test]
    fn exactly_the_documented_bytes_are_allowed() {
        for byte in 0..=127u8 {
            let alone = byte.is_ascii_alphanumeric() || b"_+".contains(&byte);
            let later = alone || b".-".contains(&byte);
            assert_eq!(check(&format!("{}", byte as char)).is_ok(), alone, "{byte}");
            assert_eq!(check(&format!("a{}", byte as char)).is_ok(), later, "{byte}");
        }
    }
}
