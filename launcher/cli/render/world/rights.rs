//! What the program may do: who it is, its capabilities, its system calls.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::cli::render::picture::{Sheet, State};
use crate::compile::identity::capability_set;
use crate::spec::{
    Capabilities, NamespaceKind, Process, RlimitValue, Seccomp, SeccompArg, SeccompOperator, names,
};
use crate::{errno, seccomp};

/// How many capabilities stand in a row.
const COLUMNS: usize = 4;

/// The card of the program itself.
pub fn program(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("program", |sheet| {
        let Some(process) = &world.spec.process else {
            return sheet.line(State::Absent, "no program: it can be created, and not started");
        };
        sheet.fact("command", None, &command(&process.args));
        sheet.fact("directory", None, &process.cwd);
        let variables = process.env.len();
        sheet.fact("environment", None, &format!("{variables} variables, not shown"));
        sheet.fact("user", Some(user_state(world, process)), &user(process));
        let (state, words) = match process.no_new_privileges {
            true => (State::Own, "none, not by setuid programs nor by files' capabilities"),
            false => (State::Open, "setuid programs and files' capabilities give them"),
        };
        sheet.fact("new privileges", Some(state), words);
        if world.init {
            sheet.fact("first process", None, "tiny-ce's init, which passes signals on");
        }
        for (name, profile) in
            [("AppArmor", &process.apparmor_profile), ("SELinux", &process.selinux_label)]
        {
            match profile.as_deref().filter(|it| !it.is_empty()) {
                Some(profile) => sheet.fact(name, Some(State::Own), profile),
                None => sheet.fact(name, Some(State::Absent), "no label but the launcher's"),
            }
        }
        let limits: Vec<String> = process.rlimits.iter().map(rlimit).collect();
        match limits.is_empty() {
            true => sheet.fact("resource limits", Some(State::Absent), "none but the launcher's"),
            false => sheet.fact("resource limits", Some(State::Own), &limits.join(", ")),
        }
        if let Some(score) = process.oom_score_adj {
            let state = if score < 0 { State::Open } else { State::Own };
            sheet.fact("oom_score_adj", Some(state), &score.to_string());
        }
        if let Some(scheduler) = &process.scheduler {
            sheet.fact("scheduler", None, scheduler.policy.word());
        }
    });
}

/// The words of a command as a shell would need them.
fn command(args: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    let word = |arg: &String| match !arg.is_empty() && arg.chars().all(plain) {
        true => arg.clone(),
        false => format!("'{}'", arg.replace('\'', "'\\''")),
    };
    args.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn user(process: &Process) -> String {
    let user = process.user();
    let groups: Vec<String> = user.additional_gids.iter().map(u32::to_string).collect();
    let umask = user.umask.map(|umask| format!(", umask {umask:04o}")).unwrap_or_default();
    let more = if groups.is_empty() { String::new() } else { format!(", {}", groups.join(", ")) };
    format!("user {}, group {}{more}{umask}", user.uid, user.gid)
}

/// Root of the host's user namespace is the host's root, whatever else confines it.
fn user_state(world: &World<'_>, process: &Process) -> State {
    match (world.spec.namespace(NamespaceKind::User), process.user().uid) {
        (Some(_), _) => State::Own,
        (None, 0) => State::Open,
        (None, _) => State::Shared,
    }
}

fn rlimit(limit: &crate::spec::Rlimit) -> String {
    let value = |it: RlimitValue| match it.0 {
        u64::MAX => "unlimited".to_owned(),
        number => number.to_string(),
    };
    let name = limit.kind.strip_prefix("RLIMIT_").unwrap_or(&limit.kind);
    match limit.soft == limit.hard {
        true => format!("{name} {}", value(limit.hard)),
        false => format!("{name} {} to {}", value(limit.soft), value(limit.hard)),
    }
}

/// The sets after execve(2), as capabilities(7) computes them for a file without capabilities:
/// what the program holds, and what it can still get by executing a file.
fn after_execve(process: Option<&Process>) -> (u64, u64) {
    let Some(process) = process else { return (0, 0) };
    let Some(sets) = &process.capabilities else { return (0, 0) };
    let Capabilities { bounding, permitted, inheritable, ambient, .. } = sets;
    let [bounding, permitted, inheritable, ambient] =
        [bounding, permitted, inheritable, ambient].map(|names| capability_set(names));
    // A user id of 0 makes execve(2) take all of the inheritable and the bounding set; with
    // no_new_privs no more than was permitted before.
    let root = match process.no_new_privileges {
        true => (inheritable | bounding) & permitted,
        false => inheritable | bounding,
    };
    let held = match process.user().uid {
        0 => root,
        _ => ambient & permitted & inheritable,
    };
    let can_get = if process.no_new_privileges { 0 } else { bounding | inheritable };
    (held, can_get & !held)
}

/// The card of capabilities: each that the kernel knows.
pub fn capabilities(world: &World<'_>, sheet: &mut Sheet) {
    let (held, can_get) = after_execve(world.spec.process.as_ref());
    let known = names::CAPABILITIES.iter().take(world.host.last_capability as usize + 1);
    let known: Vec<&str> = known.copied().collect();
    let count = |set: u64| (0..known.len()).filter(|number| set & 1 << number != 0).count();
    let heading = format!("capabilities: {} of {}, after execve(2)", count(held), known.len());
    sheet.card(&heading, |sheet| {
        let confined = world.spec.namespace(NamespaceKind::User).is_some();
        if confined && held != 0 {
            let words = "they hold for what the container's user namespace owns, not for the host";
            sheet.line(State::Shared, words);
        }
        if count(can_get) > 0 {
            let words = "those with * it gets by executing a file that has them, or setuid root";
            sheet.line(State::Shared, words);
        }
        let cell = |(number, name): (usize, &&str)| {
            let (state, star, words) = match 1u64 << number {
                bit if held & bit != 0 && confined => (State::Shared, "", "held"),
                bit if held & bit != 0 => (State::Open, "", "held"),
                bit if can_get & bit != 0 => {
                    (State::Shared, "*", "by executing a file that has it")
                }
                _ => (State::Absent, "", "never"),
            };
            let short = name.trim_start_matches("CAP_").to_lowercase() + star;
            (state, short, format!("{name}: {words}"))
        };
        let cells: Vec<_> = known.iter().enumerate().map(cell).collect();
        cells.chunks(COLUMNS).for_each(|row| sheet.row(row, COLUMNS));
    });
}

/// The card of the system call filter.
pub fn system_calls(world: &World<'_>, sheet: &mut Sheet) {
    sheet.card("system calls", |sheet| {
        let filter = world.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let Some(filter) = filter else {
            return sheet.line(State::Open, "no filter: every system call of the kernel");
        };
        let instructions = seccomp::compile(filter).map_or(0, |it| it.program.len());
        let default = action(filter.default_action.word(), filter.default_errno_ret);
        let state = state_of(filter.default_action.word());
        sheet.fact("any other", Some(state), &format!("{default} ({instructions} instructions)"));
        if !filter.architectures.is_empty() {
            sheet.fact("architectures", None, &filter.architectures.join(" "));
        }
        if let Some(path) = &filter.listener_path {
            sheet.fact("asked is", Some(State::Shared), path);
        }
        for ((word, errno), rules) in verdicts(filter) {
            let heading = format!("{}: {}", action(word, errno), rules.len());
            sheet.line(state_of(word), &heading);
            let names: Vec<&str> = rules.iter().map(String::as_str).collect();
            sheet.lines("quiet", super::mounts::INDENT, super::mounts::END, &names.join(", "));
            sheet.y += 3.0;
        }
    });
}

/// The calls with rules by what the filter answers, each with its conditions.
fn verdicts(filter: &Seccomp) -> BTreeMap<(&'static str, Option<u32>), BTreeSet<String>> {
    let mut all: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for rule in &filter.syscalls {
        let conditions: Vec<String> = rule.args.iter().map(condition).collect();
        let when = match conditions.is_empty() {
            true => String::new(),
            false => format!(" if {}", conditions.join(" and ")),
        };
        let names = rule.names.iter().map(|name| format!("{name}{when}"));
        all.entry((rule.action.word(), rule.errno_ret)).or_default().extend(names);
    }
    all
}

fn condition(arg: &SeccompArg) -> String {
    let (index, value) = (arg.index, arg.value);
    let sign = match arg.op {
        SeccompOperator::MaskedEq => {
            return format!("arg{index} & {value:#x} = {:#x}", arg.value_two.unwrap_or(0));
        }
        SeccompOperator::Ne => "≠",
        SeccompOperator::Lt => "<",
        SeccompOperator::Le => "≤",
        SeccompOperator::Eq => "=",
        SeccompOperator::Ge => "≥",
        SeccompOperator::Gt => ">",
    };
    format!("arg{index} {sign} {value:#x}")
}

/// `SCMP_ACT_ERRNO` and 1: `errno EPERM`.
fn action(word: &str, number: Option<u32>) -> String {
    let short = word.trim_start_matches("SCMP_ACT_").to_lowercase();
    match (short.as_str(), number) {
        ("errno", number) => {
            // Without one it is EPERM, as the specification says.
            let number = number.and_then(|it| i32::try_from(it).ok()).unwrap_or(libc::EPERM);
            format!("errno {}", errno::name(number))
        }
        _ => short,
    }
}

fn state_of(word: &str) -> State {
    match word {
        "SCMP_ACT_ALLOW" | "SCMP_ACT_LOG" => State::Open,
        "SCMP_ACT_NOTIFY" | "SCMP_ACT_TRACE" => State::Shared,
        _ => State::Own,
    }
}
