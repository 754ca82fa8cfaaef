//! tiny-ce as the first process of a machine: it makes the machine ready, runs what the image or
//! the kernel's command line names, and ends the machine with a status.
//!
//! Nothing else is needed in the image: no shell, no systemd, no udev. Containers are made by the
//! library's own verbs, in this process. It never exits: a kernel whose first process ends panics.
//!
//! Knows the order of all this; each part is in a file of its own. docs/boot.md is for its users.

mod end;
mod kernel_line;
mod modules;
mod outside;
mod power_key;
mod program;
mod ready;
mod root;
mod supervise;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use end::Verdict;
use kernel_line::KernelLine;
use outside::{Link, Outside};
use supervise::Supervisor;

use crate::spec::load;
use crate::spec::machine::{Job, Machine};
use crate::sys::{machine as sys, memory, signal};
use crate::{Error, Result, log};

/// What the machine runs, if the kernel's command line names no other file.
pub const MACHINE: &str = "/etc/tiny-ce/machine.json";

/// The host name, if nothing names one.
const HOSTNAME: &str = "tiny-ce";

/// Whether this process is the first of a machine, by its pid and the name that the kernel gives
/// it: `rdinit=` and `init=` have to name a file that is called init. As the first process of a
/// container it is called by another name.
pub fn is_first(program: &OsString) -> bool {
    std::process::id() == 1 && Path::new(program).file_name().is_some_and(|name| name == "init")
}

/// Be the first process.
pub fn main() -> ! {
    memory::stay();
    // The log's default is what is wanted here: warnings, as text, on standard error.
    let _ = log::open(None, log::Format::Text, log::Level::Warning);
    if let Err(e) = ready::process_files().and_then(|()| refuse_containers()) {
        // What else is done at the end would be done to the container's host.
        log::error(&e);
        std::process::exit(1);
    }
    end::catch_failures();
    let mut line = KernelLine::default();
    let mut outside = Outside::Console(None);
    let verdict = run(&mut line, &mut outside).unwrap_or_else(Verdict::Failed);
    outside.end_terminal();
    end::end(&verdict, &line, |last| {
        if let Outside::Link(link) = &mut outside {
            link.finish(last);
        }
    })
}

/// Everything up to the end. `line` and `outside` are filled as soon as they are known, since a
/// failure has to be told there.
fn run(line: &mut KernelLine, outside: &mut Outside) -> Result<Verdict> {
    ready::file_systems()?;
    // From the beginning, so that the end of no child is missed.
    let signals = signal::all().map_err(|e| Error::io("signals", "signalfd", &e))?;
    ready::process();
    let text = fs::read_to_string("/proc/cmdline");
    let text = text.map_err(|e| Error::io("/proc/cmdline", "read", &e))?;
    *line = KernelLine::read(&text)?;
    if let Some(word) = line.get("tiny-ce.status") {
        end::check_status(word)?;
    }
    let of_image = machine(line)?;
    modules::load(&of_image.modules)?;
    if let Some(device) = line.get("tiny-ce.link") {
        let link = Link::open(device)?;
        end::remember(link.file());
        *outside = Outside::Link(Box::new(link));
    }
    let machine = match root::switch(line)? {
        true => own(line)?,
        false => of_image,
    };
    ready::mount(&machine.mounts)?;
    ready::cgroups();
    let hostname = line.get("tiny-ce.hostname").or(machine.hostname.as_deref());
    ready::network(hostname.unwrap_or(HOSTNAME));
    let jobs = jobs(line, machine.jobs)?;
    let words = if jobs.iter().any(|it| it.bundle.is_some()) { &line.command[..] } else { &[] };
    let console = console()?;
    Supervisor::new(jobs, words, outside, &signals, &console).work()
}

/// Whoever calls tiny-ce `init` in a container does not give it the machine: the container's pid
/// namespace is another one.
fn refuse_containers() -> Result<()> {
    /// PID_NS_INIT_INO of include/uapi/linux/nsfs.h: the machine's own pid namespace.
    const INITIAL: u64 = 0xEFFF_FFFC;
    // A kernel without pid namespaces has no such file.
    match fs::metadata("/proc/self/ns/pid") {
        Ok(namespace) if namespace.ino() != INITIAL => {
            let text = "called as init, but it is the first process of a container";
            Err(Error::new(text).hint("\"tiny-ce run --init\" has an init for containers"))
        }
        _ => Ok(()),
    }
}

/// The machine.json of the image. An image may have none, if the command line says what is run.
fn machine(line: &KernelLine) -> Result<Machine> {
    let named = line.get("tiny-ce.machine");
    let path = Path::new(named.unwrap_or(MACHINE));
    if named.is_none() && !path.exists() {
        return Ok(Machine::of(Vec::new()));
    }
    let (machine, bytes) = load::read_file::<Machine>(path)?;
    match machine.check() {
        found if found.is_empty() => Ok(machine),
        found => Err(load::refuse(path, &bytes, found)),
    }
}

/// What a root on a disk has to say: its machine.json, or another init that takes over.
///
/// # Errors
/// Its machine.json is malformed, or that init cannot be executed.
fn own(line: &KernelLine) -> Result<Machine> {
    let Some(init) = line.get("init") else { return machine(line) };
    let mut command = Command::new(init);
    sys::prepare(&mut command, false);
    let e = command.args(&line.command).exec();
    Err(Error::io(format!("init={init}"), "execve", &e))
}

/// The jobs: the bundles of the command line, or those of machine.json, or the words after `--`.
fn jobs(line: &KernelLine, of_machine: Vec<Job>) -> Result<Vec<Job>> {
    let named: Vec<Job> = line.all("tiny-ce.bundle").map(Job::of_bundle).collect();
    let jobs = if named.is_empty() { of_machine } else { named };
    match (jobs.is_empty(), line.command.is_empty()) {
        (false, _) => Ok(jobs),
        (true, false) => Ok(vec![Job::of_command(line.command.clone())]),
        (true, true) => Err(Error::new("nothing to run").hint(format!(
            "{MACHINE} names containers; so do tiny-ce.bundle=DIRECTORY and the words after -- on \
             the kernel's command line"
        ))),
    }
}

/// The descriptors of the console, which stay open while containers get other streams.
fn console() -> Result<[OwnedFd; 3]> {
    let again = |fd: std::os::fd::BorrowedFd<'_>| {
        fd.try_clone_to_owned().map_err(|e| Error::io("console", "dup", &e))
    };
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    Ok([again(stdin.as_fd())?, again(stdout.as_fd())?, again(stderr.as_fd())?])
}
