//! Signals by name, signal(7), and how a process ended, in words.

use crate::error::{Error, Result};
use crate::sys::process::Exit;

/// Names without SIG; where two name one number, the usual one first.
const NAMES: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
    ("IOT", libc::SIGIOT),
    ("POLL", libc::SIGPOLL),
    ("CLD", libc::SIGCHLD),
];

/// First and last real-time signal as the C library counts them.
const REAL_TIME: (i32, i32) = (34, 64);

/// Parse a signal: a number, a name with or without SIG in any case, `RTMIN+n` or `RTMAX-n`. An
/// empty word is TERM, as in runc.
///
/// # Errors
/// The text is no signal.
pub fn parse(text: &str) -> Result<i32> {
    let wrong = || {
        Error::new(format!("unknown signal {text:?}"))
            .hint("a number from 0 to 64, or a name such as TERM or SIGTERM")
    };
    if text.is_empty() {
        return Ok(libc::SIGTERM);
    }
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(wrong()) };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let (base, offset) = if let Some(offset) = name.strip_prefix("RTMIN") {
        (REAL_TIME.0, offset)
    } else if let Some(offset) = name.strip_prefix("RTMAX") {
        (REAL_TIME.1, offset)
    } else {
        return Err(wrong());
    };
    let offset = if offset.is_empty() { 0 } else { offset.parse::<i32>().map_err(|_| wrong())? };
    let number = base + offset;
    if (REAL_TIME.0..=REAL_TIME.1).contains(&number) { Ok(number) } else { Err(wrong()) }
}

/// SIGKILL for 9; real-time signals by their numbers.
fn name(signal: i32) -> String {
    match NAMES.iter().find(|(_, number)| *number == signal) {
        Some((name, _)) => format!("SIG{name}"),
        None => format!("signal {signal}"),
    }
}

/// How a process ended: `exit status 1`, `killed by SIGKILL`.
pub fn ending(exit: Exit) -> String {
    match exit {
        Exit::Signal(signal) => format!("killed by {}", name(signal)),
        Exit::Status(status) => format!("exit status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("sigkill", 9),
            ("SIGRTMIN+1", 35),
            ("rtmax-1", 63),
            ("0", 0),
            ("", 15),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for text in ["65", "-1", "SIG", "NOPE", "RTMIN+31", "RTMAX+1", "1.5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
