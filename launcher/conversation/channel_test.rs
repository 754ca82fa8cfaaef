//! Run init as the launcher does: clone it, send it a plan, and receive its messages.
//!
//! A test sees the effect of a step in the messages after it.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;

use tiny_ce_init::flags::*;
use tiny_ce_init::step::Step;
use tiny_ce_init::{Guard, Op, Slot, Unless};
use tiny_ce_test::{Need, met};

use super::*;
use crate::plan::{Finished, Plan, Preload};
use crate::sys::process::{self, Child, Clone, Exit};

fn program() -> &'static OwnedFd {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    static INIT: &[u8] = include_bytes!(env!("TINY_CE_INIT"));
    PROGRAM.get_or_init(|| sys::file::sealed_executable(c"tiny-ce-init", INIT).unwrap())
}

/// Init, given a plan; killed at the end.
struct Init {
    child: Child,
    channel: UnixStream,
}

impl Init {
    fn new(bytes: &[u8], preloads: &[OwnedFd]) -> Init {
        let (channel, theirs) = UnixStream::pair().unwrap();
        let fds = [theirs.as_raw_fd()].into_iter();
        let fds: Vec<i32> = fds.chain(preloads.iter().map(AsRawFd::as_raw_fd)).collect();
        let child = process::clone_exec(&Clone {
            flags: 0,
            cgroup: None,
            program: program().as_fd(),
            argv: &[c"init".to_owned()],
            envp: &[],
            descriptors: &fds,
            die_with_parent: true,
        });
        let child = child.map_err(|(call, e)| format!("{call}: {e}")).unwrap();
        drop(theirs);
        send(&channel, bytes).unwrap();
        Init { child, channel }
    }

    fn running(plan: Plan) -> Init {
        Self::new(&plan.finish().bytes, &[])
    }

    /// The next message of init, as text.
    fn next(&self) -> String {
        match listen(&self.channel).unwrap() {
            InitMessage::At(point, fd) => {
                format!(
                    "at {:x}{}",
                    point as u32 & 0xff,
                    if fd.is_some() { " with a descriptor" } else { "" }
                )
            }
            InitMessage::Forked(_) => "forked".to_owned(),
            InitMessage::Failed { index, errno, words } => format!("{index}: {errno} {words}"),
            InitMessage::Closed => "closed".to_owned(),
        }
    }

    /// All messages of init until it closes the channel.
    fn all(&self) -> Vec<String> {
        let mut messages = Vec::new();
        while messages.last().is_none_or(|last| last != "closed") {
            messages.push(self.next());
        }
        messages
    }

    fn exit(&self) -> Option<Exit> {
        process::wait(&self.child.pidfd, false).unwrap()
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = process::kill(&self.child.pidfd, libc::SIGKILL);
        let _ = process::wait(&self.child.pidfd, false);
    }
}

fn report(what: Report) -> Op<'static> {
    Op::Report { to: Slot::CHANNEL, what }
}

/// The first points that a report can be made at.
const A: Report = Report::HOOKS;
const B: Report = Report::READY;
const C: Report = Report::START_HOOKS;

const PATH_ONLY: OpenHow = OpenHow {
    flags: OpenFlags(OpenFlags::O_PATH.0 | OpenFlags::O_CLOEXEC.0),
    mode: 0,
    resolve: Resolve(0),
};

/// A plan ends with the program; where there is none, the last candidate is blamed.
const NO_PROGRAM: &str = "4294967295: 2 ";

#[test]
fn without_a_plan_it_ends() {
    for bytes in [&b""[..], b"x", &[0; 16], &[0xff; 4096]] {
        let init = Init::new(bytes, &[]);
        init.channel.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(init.all(), ["closed"]);
        assert_eq!(init.exit(), Some(Exit::Status(1)));
    }
}

#[test]
fn half_a_plan_is_no_plan() {
    let mut plan = Plan::new();
    plan.step(report(A));
    let bytes = plan.finish().bytes;
    let init = Init::new(&bytes[..bytes.len() - 1], &[]);
    init.channel.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(init.all(), ["closed"]);
    // Whole, but for a header that promises less.
    let mut short = bytes.clone();
    short[8] -= 1;
    assert_eq!(Init::new(&short, &[]).all(), ["closed"]);
}

#[test]
fn guards_follow_what_is_in_a_slot() {
    let mut plan = Plan::new();
    let slot = plan.slot().unwrap();
    let guarded = |plan: &mut Plan, guard, what| {
        plan.push(Step { guard, unless: Unless::NOTHING, op: report(what) });
    };
    // Nothing there yet; a tolerated failure leaves nothing; a success fills it; closing empties.
    guarded(&mut plan, Guard::Present(slot), A);
    guarded(&mut plan, Guard::Absent(slot), B);
    let open = |path| Op::Openat2 { into: slot, at: Slot::CWD, path, how: PATH_ONLY };
    plan.step_unless(Unless::ENOENT, open(c"/no/such"));
    guarded(&mut plan, Guard::Present(slot), A);
    plan.step(open(c"/"));
    guarded(&mut plan, Guard::Present(slot), C);
    guarded(&mut plan, Guard::Absent(slot), A);
    plan.step_unless(Unless::ENOENT, open(c"/no/such"));
    guarded(&mut plan, Guard::Absent(slot), B);
    plan.step(open(c"/"));
    plan.step(Op::Close { fd: slot });
    guarded(&mut plan, Guard::Absent(slot), C);
    guarded(&mut plan, Guard::Present(slot), A);
    let messages = Init::running(plan).all();
    assert_eq!(messages, ["at 2", "at 3", "at 2", "at 3", NO_PROGRAM, "closed"]);
}

#[test]
fn a_skipped_copy_of_the_channel_does_not_replace_it() {
    let mut plan = Plan::new();
    let (none, copy) = (plan.slot().unwrap(), plan.slot().unwrap());
    let op = Op::Dup { into: copy, fd: Slot::CHANNEL, lowest: 10 };
    plan.push(Step { guard: Guard::Present(none), unless: Unless::NOTHING, op });
    plan.step(Op::Chdir { path: c"/no/such" });
    assert_eq!(Init::running(plan).all(), ["1: 2 ", "closed"]);
}

#[test]
fn a_copy_of_the_channel_replaces_it() {
    let mut plan = Plan::new();
    let copy = plan.slot().unwrap();
    plan.step(Op::Dup { into: copy, fd: Slot::CHANNEL, lowest: 10 });
    plan.step(Op::Close { fd: Slot::CHANNEL });
    plan.step(Op::Chdir { path: c"/no/such" });
    assert_eq!(Init::running(plan).all(), ["2: 2 ", "closed"]);
}

#[test]
fn the_first_failure_that_is_not_tolerated_ends_it() {
    let mut plan = Plan::new();
    plan.step_unless(Unless::ENOENT.or(Unless::EPERM), Op::Chdir { path: c"/no/such" });
    plan.step(report(A));
    plan.step_unless(Unless::EPERM, Op::Chdir { path: c"/no/such" });
    plan.step(report(B));
    let init = Init::running(plan);
    assert_eq!(init.all(), ["at 1", "2: 2 ", "closed"]);
    assert_eq!(init.exit(), Some(Exit::Status(1)));
}

#[test]
fn the_error_names_the_refused_candidate() {
    let not_this = Unless::ENOENT.or(Unless::EACCES);
    for (paths, errno) in [
        ([c"/no/such", c"/etc/passwd", c"/no/other"], libc::EACCES),
        ([c"/no/such", c"/no/one", c"/no/other"], libc::ENOENT),
    ] {
        let mut plan = Plan::new();
        plan.step(Op::Setsid {});
        for path in paths {
            plan.step_unless(not_this, Op::Execve { path });
        }
        assert_eq!(Init::running(plan).all(), [format!("3: {errno} "), "closed".to_owned()]);
    }
}

#[test]
fn the_end_of_the_launcher_is_its_end() {
    let mut plan = Plan::new();
    plan.step(report(A));
    plan.step(Op::Await { from: Slot::CHANNEL });
    plan.step(report(B));
    plan.step(Op::Await { from: Slot::CHANNEL });
    let init = Init::running(plan);
    assert_eq!(init.next(), "at 1");
    go_on(&init.channel).unwrap();
    assert_eq!(init.next(), "at 2");
    init.channel.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(init.all(), ["closed"]);
    assert_eq!(init.exit(), Some(Exit::Status(1)));
}

#[test]
fn a_descriptor_is_sent_with_its_report() {
    let mut plan = Plan::new();
    let slot = plan.slot().unwrap();
    let how = OpenHow { flags: OpenFlags::O_RDONLY, ..PATH_ONLY };
    plan.step(Op::Openat2 { into: slot, at: Slot::CWD, path: c"/proc/self/comm", how });
    plan.step(Op::SendFd { to: Slot::CHANNEL, what: Report::TERMINAL, fd: slot });
    plan.step(Op::Await { from: Slot::CHANNEL });
    let init = Init::running(plan);
    let InitMessage::At(Report::TERMINAL, Some(fd)) = listen(&init.channel).unwrap() else {
        panic!("no descriptor")
    };
    // The very file that init opened, about init: not one of this process.
    let flags = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    assert_eq!(flags.to_str().unwrap(), format!("/proc/{}/comm", init.child.pid));
    let mut comm = String::new();
    fs::File::from(fd).read_to_string(&mut comm).unwrap();
    assert!(!comm.is_empty());
}

#[test]
fn preloads_are_in_their_slots_and_other_slots_are_empty() {
    let (mut out, there) = std::io::pipe().unwrap();
    let mut plan = Plan::new();
    let pipe = plan.preload(Preload::Process).unwrap();
    let none = plan.slot().unwrap();
    plan.step(Op::Write { fd: pipe, data: b"from init" });
    let op = report(A);
    plan.push(Step { guard: Guard::Present(none), unless: Unless::NOTHING, op });
    let init = Init::new(&plan.finish().bytes, &[there.into()]);
    assert_eq!(init.all(), [NO_PROGRAM, "closed"]);
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from init");
}

#[test]
fn a_fork_goes_on_as_a_child_of_the_launcher() {
    let mut plan = Plan::new();
    crate::compile::namespaces::fork(&mut plan);
    plan.step(report(A));
    plan.step(Op::Await { from: Slot::CHANNEL });
    let mut init = Init::running(plan);
    let InitMessage::Forked(pid) = listen(&init.channel).unwrap() else { panic!("no fork") };
    assert_eq!(init.exit(), Some(Exit::Status(1)));
    // This process is its parent, so that its pid is not used again before it is reaped.
    init.child = Child { pid, pidfd: process::pidfd_open(pid).unwrap() };
    go_on(&init.channel).unwrap();
    assert_eq!(init.next(), "at 1");
    init.channel.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(init.exit(), Some(Exit::Status(1)));
}

/// Both processes of `--init` report: each report is whole, whichever comes first.
#[test]
fn reports_of_two_processes_do_not_mix() {
    for _ in 0..200 {
        let mut plan = Plan::new();
        let program = plan.slot().unwrap();
        plan.step(Op::Program { into: program });
        let op = Op::Chdir { path: c"/no/such" };
        plan.push(Step { guard: Guard::Present(program), unless: Unless::NOTHING, op });
        plan.step(report(A));
        plan.step(report(B));
        let mut all = Init::running(plan).all();
        all.sort();
        assert_eq!(all, ["1: 2 ", NO_PROGRAM, "at 1", "at 2", "closed"]);
    }
}

#[test]
fn a_failure_has_the_kernels_message() {
    if !met(&[Need::Root]) {
        return;
    }
    let mut plan = Plan::new();
    let fs = plan.slot().unwrap();
    plan.step(Op::Fsopen { into: fs, fsname: c"tmpfs", flags: FsopenFlags::FSOPEN_CLOEXEC });
    plan.step(Op::FsconfigString { fs, key: c"colour", value: c"red" });
    let messages = Init::running(plan).all();
    assert_eq!(messages, ["1: 22 e tmpfs: Unknown parameter 'colour'", "closed"]);
}

/// Run a step that verifies successfully, and then one that fails, for which init reports errno 0.
fn verified(right: Op<'_>, wrong: Op<'_>) {
    let mut plan = Plan::new();
    let null = plan.slot().unwrap();
    let path = if right.call_name() == "FSTATFS" { c"/proc/self" } else { c"/dev/null" };
    plan.step(Op::Openat2 { into: null, at: Slot::CWD, path, how: PATH_ONLY });
    plan.step(right);
    plan.step(wrong);
    let text = format!("{right} and {wrong}");
    assert_eq!(Init::running(plan).all(), ["2: 0 ", "closed"], "{text}");
}

#[test]
fn a_step_that_verifies_fails_if_the_result_differs() {
    let fd = Slot::new(1).unwrap();
    let device = |major, minor| Device::new(major, minor).unwrap();
    let statx = |kind, dev| Op::Statx { fd, kind, dev };
    verified(statx(Kind::S_IFCHR, device(1, 3)), statx(Kind::S_IFCHR, device(1, 5)));
    verified(statx(Kind::S_IFCHR, device(1, 3)), statx(Kind::S_IFBLK, device(1, 3)));
    let kind = |kind| Op::StatxKind { fd, kind };
    verified(kind(Kind::S_IFCHR), kind(Kind::S_IFIFO));
    let fstatfs = |magic| Op::Fstatfs { fd, magic };
    verified(fstatfs(Magic::PROC_SUPER_MAGIC), fstatfs(Magic::DEVPTS_SUPER_MAGIC));
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let id = |name: &str| field(name).split_whitespace().next().unwrap().parse::<u32>().unwrap();
    let (uid, gid) = (id("Uid:"), id("Gid:"));
    verified(Op::Getresuid { uid }, Op::Getresuid { uid: uid + 1 });
    verified(Op::Getresgid { gid }, Op::Getresgid { gid: gid + 1 });
    let groups: Vec<u8> = field("Groups:")
        .split_whitespace()
        .flat_map(|gid| gid.parse::<u32>().unwrap().to_ne_bytes())
        .collect();
    let more = [&groups[..], &[1, 2, 3, 4]].concat();
    verified(Op::Getgroups { groups: &groups }, Op::Getgroups { groups: &more });
    let caps = caps_of("thread-self");
    let other = CapSet(caps.inheritable.0 ^ 1 << 40);
    verified(Op::Capget { caps }, Op::Capget { caps: Caps { inheritable: other, ..caps } });
}

/// The sets as the kernel prints them.
fn caps_of(process: &str) -> Caps {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let set = |name: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        CapSet(u64::from_str_radix(text.trim(), 16).unwrap())
    };
    Caps { effective: set("CapEff:"), permitted: set("CapPrm:"), inheritable: set("CapInh:") }
}

#[test]
fn capabilities_are_set_as_asked_low_and_high() {
    if !met(&[Need::Root]) {
        return;
    }
    // CAP_CHECKPOINT_RESTORE, 40, is in the second word of each set.
    let bit = |numbers: &[u32]| CapSet(numbers.iter().fold(0, |set, n| set | 1 << n));
    let caps = Caps {
        effective: bit(&[5, 40]),
        permitted: bit(&[0, 5, 33, 40]),
        inheritable: bit(&[0, 33]),
    };
    let mut plan = Plan::new();
    plan.step(Op::Capset { caps });
    plan.step(Op::Capget { caps });
    plan.step(report(A));
    plan.step(Op::Await { from: Slot::CHANNEL });
    let init = Init::running(plan);
    assert_eq!(init.next(), "at 1");
    assert_eq!(caps_of(&init.child.pid.to_string()), caps);
}

#[test]
fn descriptors_are_closed_around_one() {
    let mut plan = Plan::new();
    let keep = plan.slot().unwrap();
    plan.step(Op::Dup { into: keep, fd: Slot::CHANNEL, lowest: 20 });
    let flags = CloseRangeFlags(0);
    plan.step(Op::CloseBelow { first: 1, last: keep, flags });
    plan.step(Op::CloseAbove { first: keep, flags });
    plan.step(Op::Report { to: keep, what: A });
    plan.step(Op::Await { from: keep });
    let init = Init::new(&plan.finish().bytes, &[fs::File::open("/dev/null").unwrap().into()]);
    assert_eq!(init.next(), "at 1");
    let fds = fs::read_dir(format!("/proc/{}/fd", init.child.pid)).unwrap();
    let mut fds: Vec<String> =
        fds.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    fds.sort();
    assert_eq!(fds, ["0", "20"]);
}

#[test]
fn a_waiting_init_takes_little_memory() {
    let mut plan = Plan::new();
    plan.step(report(A));
    plan.step(Op::Await { from: Slot::CHANNEL });
    let init = Init::running(plan);
    assert_eq!(init.next(), "at 1");
    let path = format!("/proc/{}/smaps_rollup", init.child.pid);
    let Ok(text) = fs::read_to_string(path) else {
        return tiny_ce_test::skip("needs CONFIG_PROC_PAGE_MONITOR");
    };
    let pss = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    let kib: u32 = pss.trim().trim_end_matches(" kB").parse().unwrap();
    // This includes its program, its stack, its plan and its buffers: 28 to 36, since the kernel
    // begins a stack anywhere in a page.
    assert!(kib <= 36, "{kib} KiB");
}

#[test]
fn the_plan_describes_a_failure_in_full() {
    let mut plan = Plan::new();
    plan.origin("process.cwd");
    plan.step(Op::Chdir { path: c"/no/such" });
    let plan: Finished = plan.finish();
    let init = Init::new(&plan.bytes, &[]);
    let InitMessage::Failed { index, errno, words } = listen(&init.channel).unwrap() else {
        panic!("no failure")
    };
    let error = plan.failure(index, errno, &words).to_string();
    let expected = "process.cwd: chdir(2): ENOENT (No such file or directory)\n  \
                    step 1 of 1: chdir(path=\"/no/such\")";
    assert_eq!(error, expected);
}

#[test]
fn no_report_causes_a_panic() {
    tiny_ce_test::fuzz("channel", &["test/fuzz/channel"], |bytes| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        // More than fits would wait for a reader.
        std::io::Write::write_all(&mut theirs, &bytes[..bytes.len().min(2048)]).unwrap();
        drop(theirs);
        while !matches!(listen(&ours), Ok(InitMessage::Closed) | Err(_)) {}
    });
}
