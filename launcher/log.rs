//! Log lines for people and for engines: to standard error, and to the file of `--log`.
//!
//! Knows the two formats of a line that callers parse (logrus's text and JSON). Must not know kinds
//! of failures, which `Error` describes. A library that never calls [`open`] logs nothing.
//!
//! containerd takes the last line whose level is `error`; Podman parses the whole file as one JSON
//! object. So a JSON log gets one object per failure and nothing else, unless `--debug` asks for
//! more; warnings that precede the failure go into that object.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use crate::colour::{Colour, Paint};
use crate::{Error, Result, rfc3339};

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `time="2026-08-19T10:00:00Z" level=error msg="…"`.
    Text,
    /// `{"level":"error","msg":"…","time":"2026-08-19T10:00:00Z"}`.
    Json,
}

/// Which messages are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Failures that end a command.
    Error,
    /// Warnings, too.
    Warning,
    /// Debug messages, too.
    Debug,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Debug => "debug",
        }
    }

    /// syslog(3).
    fn priority(self) -> u8 {
        match self {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Debug => 7,
        }
    }
}

/// The destination of lines, besides standard error.
enum Sink {
    File(File),
    /// systemd's journal, in its native protocol, with this identifier.
    Journal(UnixDatagram, String),
    /// syslogd, with this identifier.
    Syslog(UnixDatagram, String),
}

/// LOG_DAEMON of syslog(3), in its place.
const DAEMON: u8 = 3 << 3;

struct Log {
    sink: Option<Sink>,
    format: Format,
    level: Level,
    held: Mutex<Vec<String>>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Append log lines to `path` from now on; a missing file is made with mode 0644. Without a path,
/// the lines go to standard error. As in crun, `journald:NAME` and `syslog:NAME` name a log
/// service, and `file:PATH` names a file. Only the first call of a process has an effect.
///
/// # Errors
/// The file cannot be opened, or the socket of the log service cannot be connected.
pub fn open(path: Option<&Path>, format: Format, level: Level) -> Result<()> {
    let sink = path.map(sink).transpose()?;
    LOG.get_or_init(|| Log { sink, format, level, held: Mutex::default() });
    Ok(())
}

fn sink(path: &Path) -> Result<Sink> {
    use std::os::unix::fs::OpenOptionsExt;
    let word = path.to_str().unwrap_or_default();
    let connect = |at: &str| {
        UnixDatagram::unbound()
            .and_then(|socket| socket.connect(at).map(|()| socket))
            .map_err(|e| Error::io(format_args!("--log {path:?}: {at}"), "connect", &e))
    };
    if let Some(name) = word.strip_prefix("journald:") {
        return Ok(Sink::Journal(connect("/run/systemd/journal/socket")?, name.to_owned()));
    }
    if let Some(name) = word.strip_prefix("syslog:") {
        return Ok(Sink::Syslog(connect("/dev/log")?, name.to_owned()));
    }
    let open = |path: &Path| {
        File::options()
            .append(true)
            .create(true)
            .mode(0o644)
            // Opening a FIFO without a reader must not block the command.
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(path)
            .map_err(|e| Error::io(format_args!("--log {path:?}"), "open", &e))
    };
    open(word.strip_prefix("file:").map_or(path, Path::new)).map(Sink::File)
}

/// Log the failure that ends this command.
///
/// Standard error gets the error with its details, unless a JSON log without a file is what
/// standard error carries; the log gets all of it on one line.
pub fn error(error: &Error) {
    let Some(log) = LOG.get() else { return to_stderr(&told(error)) };
    if log.sink.is_some() || log.format == Format::Text {
        to_stderr(&told(error));
    }
    let mut message = one_line(error);
    for warning in log.take_held() {
        message.push_str("; warning: ");
        message.push_str(&joined(&warning));
    }
    if log.sink.is_some() || log.format == Format::Json {
        log.write(Level::Error, &message);
    }
}

/// The failure as people read it.
fn told(error: &Error) -> String {
    let paint = Paint::of(&io::stderr());
    let mut text = format!("{} ", paint.word(Colour::Red, "tiny-ce:"));
    for line in error.to_string().lines() {
        match line.strip_prefix(HINT) {
            Some(hint) => text += &format!("  {}{hint}\n", paint.word(Colour::Cyan, HINT.trim())),
            None => text += &format!("{line}\n"),
        }
    }
    text
}

/// How the line of a hint begins, as `Error` writes it.
const HINT: &str = "  hint:";

/// Log a warning. A JSON log keeps it for the object of the failure, unless `--debug` asks for
/// more.
pub fn warning(text: &str) {
    let Some(log) = LOG.get().filter(|log| log.level >= Level::Warning) else { return };
    match (&log.sink, log.format) {
        (None, Format::Text) => {
            let word = Paint::of(&io::stderr()).word(Colour::Yellow, "warning:");
            to_stderr(&format!("tiny-ce: {word} {text}\n"));
        }
        (_, Format::Json) if log.level < Level::Debug => {
            if let Ok(mut held) = log.held.lock() {
                held.push(text.to_owned());
            }
        }
        _ => log.write(Level::Warning, text),
    }
}

/// Log a debug message, which is formatted only if `--debug` asks for it.
pub fn debug(text: impl FnOnce() -> String) {
    match LOG.get() {
        Some(log) if log.level == Level::Debug => match (&log.sink, log.format) {
            (None, Format::Text) => to_stderr(&format!("tiny-ce: debug: {}\n", text())),
            _ => log.write(Level::Debug, &text()),
        },
        _ => {}
    }
}

impl Log {
    /// One write(2), so that lines of several processes do not mix (`O_APPEND`).
    fn write(&self, level: Level, message: &str) {
        let line = || line(self.format, level.word(), message, SystemTime::now());
        let priority = level.priority();
        // A failed write to the log is ignored, since standard error has the message too.
        let _ = match &self.sink {
            Some(Sink::File(file)) => (&*file).write_all(line().as_bytes()),
            Some(Sink::Journal(socket, name)) => {
                let message = joined(message);
                let text =
                    format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER={name}\nMESSAGE={message}\n");
                socket.send(text.as_bytes()).map(drop)
            }
            Some(Sink::Syslog(socket, name)) => {
                let (code, message) = (DAEMON | priority, joined(message));
                socket.send(format!("<{code}>{name}: {message}").as_bytes()).map(drop)
            }
            None => io::stderr().write_all(line().as_bytes()),
        };
    }

    fn take_held(&self) -> Vec<String> {
        self.held.lock().map(|mut held| std::mem::take(&mut *held)).unwrap_or_default()
    }
}

/// Write the line with one write(2); a closed standard error is ignored, not a panic.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// An error with its details and its hint, on one line.
pub fn one_line(error: &Error) -> String {
    joined(&error.to_string())
}

fn joined(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

fn line(format: Format, level: &str, message: &str, now: SystemTime) -> String {
    // Whole seconds, as logrus writes them.
    let now = rfc3339::format(now);
    let time = match now.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => now,
    };
    let quoted = serde_json::Value::from(message);
    match format {
        Format::Json => {
            format!("{{\"level\":\"{level}\",\"msg\":{quoted},\"time\":\"{time}\"}}\n")
        }
        Format::Text => format!("time=\"{time}\" level={level} msg={quoted}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_as_callers_parse_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
        assert_eq!(
            line(Format::Json, "error", "a \"b\"\n\u{1}", now),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\n\\u0001\",\
             \"time\":\"2001-09-09T01:46:40Z\"}\n"
        );
        assert_eq!(
            line(Format::Text, "warning", "a", now),
            "time=\"2001-09-09T01:46:40Z\" level=warning msg=\"a\"\n"
        );
    }

    #[test]
    fn an_error_on_one_line() {
        let error = Error::new("a: b").detail("step 1").hint("do c");
        assert_eq!(one_line(&error), "a: b; step 1; hint: do c");
    }
}
