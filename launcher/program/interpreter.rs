//! Find the file that a program needs besides itself: the interpreter of a script, or the loader of
//! an ELF file.
//!
//! If that file is missing, execve(2) fails with ENOENT, which looks as if the program were
//! missing. Knows the two formats; the caller looks the files up.

/// How many bytes of a file are read: enough for a `#!` line and for program headers.
pub const HEAD: u64 = 4096;

/// How many bytes of the first line the kernel reads: BINPRM_BUF_SIZE of linux/binfmts.h.
const LINE: usize = 256;

/// PT_INTERP, elf(5).
const PT_INTERP: u32 = 3;

/// The file that execve(2) runs besides the program, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// The interpreter after `#!`.
    Interpreter(String),
    /// The loader in an ELF file's PT_INTERP.
    Loader(String),
}

impl Needs {
    /// Return its path.
    pub fn path(&self) -> &str {
        match self {
            Needs::Interpreter(path) | Needs::Loader(path) => path,
        }
    }

    /// Return its name in a message.
    pub fn word(&self) -> &'static str {
        match self {
            Needs::Interpreter(_) => "interpreter",
            Needs::Loader(_) => "loader",
        }
    }

    /// Return the hint for an error that it is missing.
    pub fn hint(&self) -> &'static str {
        match self {
            Needs::Interpreter(path) if path.ends_with('\r') => {
                "the script's lines end with carriage return and line feed; they must end with \
                 line feed alone"
            }
            Needs::Interpreter(_) => {
                "the script's first line names it; the path is that inside the container"
            }
            Needs::Loader(_) => {
                "the program is linked dynamically, and the image is of another C library or has \
                 none; link it statically, or use an image that has this loader"
            }
        }
    }
}

/// Return what the file that begins with these bytes needs.
pub fn of(head: &[u8]) -> Option<Needs> {
    match head {
        [b'#', b'!', rest @ ..] => script(rest),
        [0x7f, b'E', b'L', b'F', ..] => elf(head),
        _ => None,
    }
}

fn script(rest: &[u8]) -> Option<Needs> {
    let line = &rest[..rest.len().min(LINE - 2)];
    let line = &line[..line.iter().position(|byte| *byte == b'\n')?];
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let words = line.split(blank);
    let word = words.into_iter().find(|word| !word.is_empty())?;
    Some(Needs::Interpreter(std::str::from_utf8(word).ok()?.to_owned()))
}

/// Return the loader of an ELF file of this machine's architecture. An emulator runs other files,
/// and may look its loader up elsewhere.
fn elf(head: &[u8]) -> Option<Needs> {
    const NATIVE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let half = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let (class, order) = (*head.get(4)?, *head.get(5)?);
    if (class, order, half(18)?) != (2, 1, NATIVE) {
        return None;
    }
    let (first, size, count) = (long(32)?, half(54)?, half(56)?);
    for index in 0..u64::from(count) {
        let at = usize::try_from(first.checked_add(index * u64::from(size))?).ok()?;
        if word(at)? != PT_INTERP {
            continue;
        }
        let (from, length) = (usize::try_from(long(at + 8)?).ok()?, long(at + 32)?);
        let to = from.checked_add(usize::try_from(length).ok()?)?;
        let path = head.get(from..to)?.split(|byte| *byte == 0).next()?;
        return Some(Needs::Loader(std::str::from_utf8(path).ok()?.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        let named = |text: &str| of(text.as_bytes()).map(|needs| needs.path().to_owned());
        assert_eq!(named("#!/bin/sh\n"), Some("/bin/sh".to_owned()));
        assert_eq!(named("#! \t/usr/bin/env -S perl\nx"), Some("/usr/bin/env".to_owned()));
        assert_eq!(named("#!/bin/sh\r\n"), Some("/bin/sh\r".to_owned()));
        for none in ["", "#", "#!", "#!\n", "#!/bin/sh", "echo\n"] {
            assert_eq!(named(none), None, "{none:?}");
        }
        assert_eq!(named(&format!("#!/{}\n", "x".repeat(300))), None);
    }

    #[test]
    fn programs_name_their_loader() {
        let own = std::fs::read("/proc/self/exe").expect("this program");
        let head = &own[..own.len().min(HEAD as usize)];
        // A test is linked statically if the launcher is.
        match of(head) {
            Some(Needs::Loader(path)) => assert!(path.starts_with('/'), "{path}"),
            other => assert_eq!(other, None),
        }
        let mut made = vec![0; 200];
        made[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        made[18] = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
        (made[32], made[54], made[56]) = (64, 56, 1);
        made[64] = 3;
        (made[72], made[96]) = (150, 8);
        made[150..158].copy_from_slice(b"/lib/ld\0");
        assert_eq!(of(&made), Some(Needs::Loader("/lib/ld".to_owned())));
        // A truncated file, or one whose offsets are out of range, needs nothing.
        for length in 0..made.len() - 42 {
            assert_eq!(of(&made[..length]), None, "{length}");
        }
        for byte in 0..made.len() {
            let mut damaged = made.clone();
            damaged[byte] = 0xff;
            let _ = of(&damaged);
        }
        made[18] = 8;
        assert_eq!(of(&made), None);
    }
}
