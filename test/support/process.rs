//! Programs that tests run: [`Done`] has ended, [`Running`] runs beside the test.
//!
//! Nothing waits by sleeping: the end of a program is the end of a pipe, or wait(2) returns. Every
//! wait fails after [`PATIENCE`]. Never looks at containers: that is `case`.

use crate::PATIENCE;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

/// A program that has ended.
#[derive(Clone)]
pub struct Done {
    /// The command line, for messages.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Done {
    /// The exit status; 128 + n for signal n.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Return standard output. The program must have succeeded.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert!(self.status.success(), "expected success\n{self}");
        &self.stdout
    }

    /// Return standard error. The program must have failed by exit status, not by a signal.
    #[track_caller]
    pub fn fails(&self) -> &str {
        assert!(self.status.code().is_some_and(|code| code != 0), "expected failure\n{self}");
        &self.stderr
    }

    /// Check that the program ended with `code`.
    #[track_caller]
    pub fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "exit status\n{self}");
        self
    }

    /// The one value that the probe printed for `key`.
    #[track_caller]
    pub fn value(&self, key: &str) -> &str {
        match self.values(key)[..] {
            [value] => value,
            ref values => panic!("{} values for {key:?}, expected one\n{self}", values.len()),
        }
    }

    /// The values that the probe printed for `key`, in order.
    pub fn values(&self, key: &str) -> Vec<&str> {
        let of_line = |line| str::split_once(line, ": ").filter(|(found, _)| *found == key);
        self.stdout.lines().filter_map(of_line).map(|(_, value)| value).collect()
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}\n{}", self.line, self.status)?;
        write!(f, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
    }
}

/// A signal, as kill(1) names it.
pub type Signal = &'static str;

/// A program that runs beside the test. Dropping it kills the program and waits for it.
///
/// Standard output is a pipe, read line by line. The pipe ends when every process that holds it has
/// ended, which after `create` includes the container's program. Standard error is a file.
pub struct Running {
    line: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: String,
    stderr: PathBuf,
}

impl Running {
    /// Start `command`, with a file for its standard error in `dir`.
    #[track_caller]
    pub fn start(command: &mut Command, dir: &Path) -> Running {
        let line = line_of(command);
        let stderr = fresh(dir, "err");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(create(&stderr));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        let stdin = child.stdin.take();
        let lines = lines(child.stdout.take().expect("a pipe"));
        Running { line, child, stdin, lines, seen: String::new(), stderr }
    }

    /// The process id on the host.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Take the standard input, to write to it; the program reads the end of its input when it is
    /// dropped.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Wait for a line of standard output that starts with `prefix`, and return it.
    #[track_caller]
    pub fn line(&mut self, prefix: &str) -> String {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.next(until) {
            if line.starts_with(prefix) {
                return line.trim_end().to_owned();
            }
        }
        let (seen, errors) = (&self.seen, read(&self.stderr));
        panic!("$ {}\nno line {prefix:?}\nstdout:\n{seen}\nstderr:\n{errors}", self.line);
    }

    /// Send a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Wait until the program itself has ended; other processes may still hold its standard output.
    #[track_caller]
    pub fn exited(&mut self) -> Done {
        let status = wait(&mut self.child, &self.line);
        self.so_far(status)
    }

    /// Close standard input, and wait for the end of the program and of its standard output.
    #[track_caller]
    pub fn done(mut self) -> Done {
        drop(self.stdin.take());
        let until = Instant::now() + PATIENCE;
        let status = wait(&mut self.child, &self.line);
        let end = loop {
            if let Err(end) = self.next(until) {
                break end;
            }
        };
        let held = "something still holds its standard output";
        assert_eq!(end, RecvTimeoutError::Disconnected, "$ {}\n{held}", self.line);
        self.so_far(status)
    }

    fn next(&mut self, until: Instant) -> Result<String, RecvTimeoutError> {
        let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()))?;
        self.seen.push_str(&line);
        Ok(line)
    }

    fn so_far(&self, status: ExitStatus) -> Done {
        let (line, stdout) = (self.line.clone(), self.seen.clone());
        Done { line, status, stdout, stderr: read(&self.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command with words of any string type.
pub fn command<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}

/// Run to the end, with files in `dir` for the output: a program that this one starts may hold them
/// open longer than the program runs, as a container made by `create` does.
#[track_caller]
pub fn run(command: &mut Command, dir: &Path) -> Done {
    let (out, err) = (fresh(dir, "out"), fresh(dir, "err"));
    let line = line_of(command);
    command.stdin(Stdio::null()).stdout(create(&out)).stderr(create(&err));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
    let status = wait(&mut child, &line);
    Done { line, status, stdout: read(&out), stderr: read(&err) }
}

fn fresh(dir: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    dir.join(format!("{name}.{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

fn create(path: &Path) -> Stdio {
    std::fs::File::create(path).expect("a file for the output").into()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).expect("a file with the output")).into_owned()
}

/// wait(2), while a thread kills the program after [`PATIENCE`].
#[track_caller]
fn wait(child: &mut Child, line: &str) -> ExitStatus {
    let (tell, told) = mpsc::channel::<()>();
    let pid = child.id();
    let watch = std::thread::spawn(move || {
        if told.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            kill(pid, "KILL");
            return true;
        }
        false
    });
    let status = child.wait().unwrap_or_else(|error| panic!("{line}: {error}"));
    drop(tell);
    assert!(!watch.join().expect("watch"), "$ {line}\nhung for {PATIENCE:?}, killed");
    status
}

/// Use the shell's kill(1): the standard library sends SIGKILL only.
pub(crate) fn kill(pid: u32, signal: Signal) {
    let line = format!("kill -{signal} {pid}");
    let _ = Command::new("/bin/sh").args(["-c", &line]).stderr(Stdio::null()).status();
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while from.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            if to.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                break;
            }
            bytes.clear();
        }
    });
    lines
}
