//! The end of a machine: everybody is told its status, and it switches itself off.
//!
//! The first process may never exit, since the kernel panics then; so a panic of ours and an
//! allocation that fails end here, too.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::kernel_line::KernelLine;
use crate::link::{Frame, FromMachine};
use crate::mountinfo::{Line, unescape};
use crate::sys::process::Exit;
use crate::sys::{cgroupfs, machine, memory, process};
use crate::{Error, Result, log, signals};

/// The exit status of a machine that has none of its programs'.
pub const FAILED: u8 = 125;

/// How a machine ends.
#[derive(Debug)]
pub enum Verdict {
    /// All programs have ended; the machine's status is this one.
    Status(u8),
    /// It was told to end before, and by what.
    Told(&'static str),
    /// It was told to begin again (Ctrl-Alt-Del).
    Restart,
    /// It could not go on.
    Failed(Error),
}

/// How long the last frame may be on its way.
const ARRIVAL: Duration = Duration::from_secs(1);

/// Where the status is written, besides the console and the link.
enum Place {
    /// A file, which may be a device: the status in decimal and a line feed.
    File(String),
    /// QEMU's isa-debug-exit: an I/O port of x86 by which QEMU ends, with twice the status plus 1.
    Port(u16),
}

/// The port that QEMU gives isa-debug-exit if none is said.
const DEBUG_EXIT: u16 = 0x501;

/// The line to the host and the frame that tells it of [`EXHAUSTED`], for ends that come from
/// anywhere in the program.
static LINK: Mutex<Option<(File, Vec<u8>)>> = Mutex::new(None);

/// What is said if an allocation fails.
const EXHAUSTED: &str = "the machine has no memory left for its first process";

/// From now on a panic, and an allocation that fails, is one line on the console and on the link,
/// and switches the machine off.
pub fn catch_failures() {
    memory::at_exhaustion(exhausted);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|it| format!(" at {}:{}", it.file(), it.line()));
        let text = panic.payload_as_str().unwrap_or("without a message");
        let text = format!("tiny-ce itself failed{}: {text}", place.unwrap_or_default());
        let line = text.replace('\n', " ");
        log::error(&Error::new(line.as_str()).hint("this is a bug of tiny-ce: please report it"));
        // The lock may be held by the code that panicked.
        if let Ok(Some((link, _))) = LINK.try_lock().as_deref_mut() {
            let _ = link.write_all(&FromMachine::Failed(line).bytes());
            let _ = machine::drain(link);
        }
        off(false)
    }));
}

/// The end when there is no more memory: nothing here allocates.
fn exhausted() -> ! {
    for part in ["tiny-ce: ", EXHAUSTED, "\n"] {
        let _ = std::io::stderr().write_all(part.as_bytes());
    }
    if let Ok(Some((link, frame))) = LINK.try_lock().as_deref_mut() {
        let _ = link.write_all(frame);
        let _ = machine::drain(link);
    }
    let _ = machine::switch_off(false);
    halt()
}

/// The link, for [`catch_failures`].
pub fn remember(link: Option<File>) {
    let frame = FromMachine::Failed(EXHAUSTED.to_owned()).bytes();
    if let Ok(mut place) = LINK.lock() {
        *place = link.map(|link| (link, frame));
    }
}

/// End what still runs, tell the status to everybody, and switch off. `tell` sends the last frame.
pub fn end(verdict: &Verdict, line: &KernelLine, tell: impl FnOnce(&FromMachine)) -> ! {
    let (status, last) = match verdict {
        Verdict::Status(status) => {
            say(&format!("the machine ends with status {status}"));
            (*status, FromMachine::Status(*status))
        }
        Verdict::Told(by) => {
            say(&format!("the machine ends: {by}"));
            (FAILED, FromMachine::Failed(format!("the machine was switched off: {by}")))
        }
        Verdict::Restart => {
            say("the machine begins again");
            (FAILED, FromMachine::Failed("the machine was restarted: Ctrl-Alt-Del".to_owned()))
        }
        Verdict::Failed(e) => {
            log::error(e);
            (FAILED, FromMachine::Failed(log::one_line(e)))
        }
    };
    kill_all();
    write_back();
    tell(&last);
    if let Some(Err(e)) = line.get("tiny-ce.status").map(|word| write(word, status)) {
        log::error(&e);
    }
    if line.get("tiny-ce.link").is_some() {
        // Who booted the machine ends it as soon as the frame has arrived, which a port of virtio
        // does not tell.
        thread::sleep(ARRIVAL);
    }
    off(matches!(verdict, Verdict::Restart))
}

/// Say it on the console.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "tiny-ce: {text}");
}

/// Say on the console how a program has ended.
pub fn say_end(name: &str, exit: Exit) {
    say(&format!("{name:?}: {}", signals::ending(exit)));
}

fn place(word: &str) -> Result<Place> {
    let Some(port) = word.strip_prefix("debug-exit") else { return Ok(Place::File(word.into())) };
    let wrong = || {
        Error::new(format!("tiny-ce.status={word}: expected a file, debug-exit or debug-exit:PORT"))
    };
    let Some(port) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok(Place::Port(DEBUG_EXIT)) } else { Err(wrong()) };
    };
    let digits = port.strip_prefix("0x");
    let number = digits.map_or_else(|| port.parse(), |it| u16::from_str_radix(it, 16));
    match number {
        Ok(number) => Ok(Place::Port(number)),
        Err(_) => Err(wrong()),
    }
}

/// Check the word of `tiny-ce.status` before it is needed.
///
/// # Errors
/// It names no place.
pub fn check_status(word: &str) -> Result<()> {
    place(word).map(drop)
}

fn write(word: &str, status: u8) -> Result<()> {
    match place(word)? {
        Place::File(path) => {
            let failed = |call| move |e: std::io::Error| Error::io(word, call, &e);
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .map_err(failed("open"))?;
            // A terminal would write a carriage return, too.
            machine::make_transparent(&file).map_err(failed("ioctl"))?;
            file.write_all(format!("{status}\n").as_bytes()).map_err(failed("write"))?;
            machine::drain(&file).map_err(failed("ioctl"))
        }
        Place::Port(port) => {
            let failed = |e| Error::io(format!("tiny-ce.status={word}"), "ioperm", &e);
            machine::write_port(port, status).map_err(failed)
        }
    }
}

/// Kill every process but this one, and reap them all, so that no file is written any more.
fn kill_all() {
    let _ = cgroupfs::kill(-1, libc::SIGKILL);
    // A process that the kernel cannot end now, as of a file system that does not answer, would
    // keep the machine on for ever.
    for _ in 0..100 {
        while let Some(pid) = process::ended_child() {
            process::reap(pid);
        }
        if !process::has_children() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Make every file system of a disk read-only, so that none needs a check when it is mounted next.
fn write_back() {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // A file system without a disk has a device number whose major part is 0.
    let of_disk = |line: &&str| line.split(' ').nth(2).is_some_and(|it| !it.starts_with("0:"));
    for line in table.lines().filter(of_disk) {
        if let Some(place) = Line::read(line).and_then(|line| unescape(line.place)) {
            let _ = machine::make_read_only(Path::new(&place));
        }
    }
}

/// Switch off, and never return.
fn off(restart: bool) -> ! {
    if let Err(e) = machine::switch_off(restart) {
        log::error(&Error::io("the machine's end", "reboot", &e));
    }
    halt()
}

/// Stop where the kernel knows no way to switch the machine off. To exit would be a panic.
fn halt() -> ! {
    let _ = machine::halt();
    loop {
        thread::sleep(Duration::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use tiny_ce_test::{Case, Need};

    /// Be, or start, the first process of a pid namespace instead of a machine's: there reboot(2)
    /// ends it by SIGINT, as if it had switched itself off. Return its lines.
    fn ends_the_machine(test: &str, fail: fn()) -> Option<Vec<String>> {
        /// Says that this is that process.
        const FIRST: &str = "TINY_CE_TEST_FIRST";
        if std::process::id() == 1 && std::env::var_os(FIRST).is_some() {
            catch_failures();
            fail();
            unreachable!("it has ended");
        }
        let case = Case::root(&[Need::Program("unshare")])?;
        let own = std::env::current_exe().expect("a path");
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).arg(own).env(FIRST, "1");
        command.args([test, "--nocapture", "--test-threads", "1"]);
        let output = command.current_dir(case.dir()).output().expect("unshare runs");
        assert_eq!(output.status.signal(), Some(libc::SIGINT), "{output:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        Some(errors.lines().map(str::to_owned).collect())
    }

    #[test]
    fn a_panic_is_one_line_and_the_end() {
        let fail = || panic!("a text\nof two lines");
        let Some(lines) = ends_the_machine("a_panic_is_one_line_and_the_end", fail) else { return };
        let [text, hint] = &lines[..] else { panic!("{lines:?}") };
        assert!(
            text.starts_with("tiny-ce: tiny-ce itself failed at launcher/boot/end.rs:"),
            "{text}"
        );
        assert!(text.ends_with(": a text of two lines"), "{text}");
        assert!(hint.contains("please report it"), "{hint}");
    }

    #[test]
    fn no_memory_is_one_line_and_the_end() {
        let name = "no_memory_is_one_line_and_the_end";
        let Some(lines) = ends_the_machine(name, memory::exhaust) else { return };
        assert_eq!(lines, [format!("tiny-ce: {EXHAUSTED}")]);
    }

    #[test]
    fn places_of_the_status() {
        let port = |word: &str| match place(word) {
            Ok(Place::Port(port)) => Ok(port),
            Ok(Place::File(path)) => Err(path),
            Err(e) => Err(e.line().to_owned()),
        };
        assert_eq!(port("debug-exit"), Ok(0x501));
        assert_eq!(port("debug-exit:0xf4"), Ok(0xf4));
        assert_eq!(port("debug-exit:244"), Ok(244));
        assert_eq!(port("/dev/ttyS2"), Err("/dev/ttyS2".to_owned()));
        for word in ["debug-exit:", "debug-exit:0x10000", "debug-exits"] {
            assert!(port(word).is_err_and(|text| text.contains("expected")), "{word}");
        }
    }
}
