//! Rules for `process`: program, user, capabilities, limits, scheduling.

use std::collections::BTreeMap;

use tiny_ce_init::flags::Resource;

use super::resources::list;
use super::{At, Findings, paths};
use crate::spec::json::quote;
use crate::spec::names::{CAPABILITIES, capability};
use crate::spec::{Capabilities, IoPriority, Process, Rlimit, Scheduler, SchedulerPolicy, User};

/// Check a process; `base` is its path in the document.
pub fn check(f: &mut Findings, base: At<'_>, process: &Process) {
    program(f, base, process);
    if let Some(user) = &process.user {
        self::user(f, format_args!("{base}user"), user);
    }
    if let Some(capabilities) = &process.capabilities {
        self::capabilities(f, format_args!("{base}capabilities"), capabilities);
    }
    rlimits(f, format_args!("{base}rlimits"), &process.rlimits);
    if let Some(adjustment) = process.oom_score_adj {
        f.range(format_args!("{base}oomScoreAdj"), adjustment, -1000, 1000);
    }
    if let Some(scheduler) = &process.scheduler {
        self::scheduler(f, format_args!("{base}scheduler"), scheduler);
    }
    if let Some(IoPriority { priority: Some(priority), .. }) = process.io_priority {
        f.range(format_args!("{base}ioPriority.priority"), priority, 0, 7);
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        list(f, format_args!("{base}execCPUAffinity.initial"), affinity.initial.as_deref());
        list(f, format_args!("{base}execCPUAffinity.final"), affinity.last.as_deref());
    }
}

fn program(f: &mut Findings, base: At<'_>, process: &Process) {
    match process.args.first() {
        None => {
            f.wrong(format_args!("{base}args"), "missing or empty; at least the program is needed")
        }
        Some(program) if program.is_empty() => {
            f.wrong(format_args!("{base}args[0]"), "empty; a program is needed");
        }
        Some(_) => {}
    }
    paths::absolute(f, format_args!("{base}cwd"), &process.cwd);
    for (index, variable) in process.env.iter().enumerate() {
        let text = match variable.find('=') {
            Some(0) => "has no name before the \"=\"",
            Some(_) => continue,
            None => "has no \"=\"; variables are NAME=value",
        };
        f.wrong(format_args!("{base}env[{index}]"), format!("{} {text}", quote(variable)));
    }
}

fn user(f: &mut Findings, base: At<'_>, user: &User) {
    f.id(format_args!("{base}.uid"), user.uid);
    f.id(format_args!("{base}.gid"), user.gid);
    for (index, gid) in user.additional_gids.iter().enumerate() {
        f.id(format_args!("{base}.additionalGids[{index}]"), *gid);
    }
    if let Some(umask @ 0o1000..) = user.umask {
        let text = format!("{umask} (octal {umask:#o}) is more than 511 (octal 0o777)");
        let hint = "the rest is ignored; JSON has no octal numbers: the umask 022 is written 18";
        f.warn(format_args!("{base}.umask"), format!("{text}: {hint}"));
    }
}

/// Check capabilities. capset(2) would refuse some sets with EPERM, which does not say what is
/// wrong. Warn of capabilities that capset(2) accepts, but that the program does not get.
fn capabilities(f: &mut Findings, base: At<'_>, sets: &Capabilities) {
    let all: [(&str, &[String]); 5] = [
        ("bounding", &sets.bounding),
        ("effective", &sets.effective),
        ("inheritable", &sets.inheritable),
        ("permitted", &sets.permitted),
        ("ambient", &sets.ambient),
    ];
    for (set, names) in all {
        for (index, name) in names.iter().enumerate().filter(|(_, n)| capability(n).is_none()) {
            let similar = CAPABILITIES.iter().find(|known| {
                known.eq_ignore_ascii_case(name) || known[4..].eq_ignore_ascii_case(name)
            });
            let hint = similar.map_or(String::new(), |known| format!("; did you mean {known}?"));
            let text = format!("unknown capability {}, ignored{hint}", quote(name));
            f.warn(format_args!("{base}.{set}[{index}]"), text);
        }
    }
    let missing = |from: &[String], of: &[String]| -> Option<String> {
        let known = from.iter().filter(|name| capability(name).is_some());
        let names: Vec<&str> =
            known.filter(|name| !of.contains(name)).map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    for (set, names, within, limit) in [
        ("effective", &sets.effective, "permitted", &sets.permitted),
        ("inheritable", &sets.inheritable, "bounding", &sets.bounding),
    ] {
        if let Some(names) = missing(names, limit) {
            f.wrong(format_args!("{base}.{set}"), format!("not in {within}: {names}"));
        }
    }
    if let Some(names) = missing(&sets.permitted, &sets.bounding) {
        let text = format!("not in bounding, and so not the program's: {names}");
        f.warn(format_args!("{base}.permitted"), text);
    }
    for (within, limit) in [("permitted", &sets.permitted), ("inheritable", &sets.inheritable)] {
        if let Some(names) = missing(&sets.ambient, limit) {
            let text = format!("not in {within}, and so not made ambient: {names}");
            f.warn(format_args!("{base}.ambient"), text);
        }
    }
}

fn rlimits(f: &mut Findings, base: At<'_>, limits: &[Rlimit]) {
    let mut seen = BTreeMap::new();
    for (index, limit) in limits.iter().enumerate() {
        let path = format!("{base}[{index}]");
        let (soft, hard) = (limit.soft.0, limit.hard.0);
        if Resource::named(&limit.kind).is_none() {
            let known: Vec<&str> = Resource::ALL.iter().map(|(name, _)| *name).collect();
            let text = format!("unknown limit {}; known: {}", quote(&limit.kind), known.join(", "));
            f.wrong(format_args!("{path}.type"), text);
        } else if let Some(first) = seen.insert(&limit.kind, index) {
            let text = format!("{} again, after [{first}]", limit.kind);
            match limits[first] == *limit {
                true => f.warn(format_args!("{path}.type"), text),
                false => f.wrong(format_args!("{path}.type"), text),
            }
        }
        if soft > hard {
            let (soft, hard) = (amount(soft), amount(hard));
            let text = format!("{}: {soft} is more than the hard limit, {hard}", limit.kind);
            f.wrong(format_args!("{path}.soft"), text);
        }
    }
}

fn amount(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

/// Check the rules of sched_setattr(2) and sched(7).
fn scheduler(f: &mut Findings, base: At<'_>, scheduler: &Scheduler) {
    use SchedulerPolicy::{Deadline, Fifo, Iso, Rr};
    let policy = scheduler.policy;
    if policy == Iso {
        f.wrong(format_args!("{base}.policy"), "SCHED_ISO: no kernel has it");
    }
    if let Some(nice) = scheduler.nice {
        f.range(format_args!("{base}.nice"), nice, -20, 19);
    }
    let priority = scheduler.priority.unwrap_or(0);
    match policy {
        Fifo | Rr => f.range(format_args!("{base}.priority"), priority, 1, 99),
        _ if priority != 0 => {
            let text = format!("{priority}, but {} has no priority", policy.word());
            f.wrong(format_args!("{base}.priority"), text);
        }
        _ => {}
    }
    let times = [
        ("runtime", scheduler.runtime.unwrap_or(0)),
        ("deadline", scheduler.deadline.unwrap_or(0)),
        ("period", scheduler.period.unwrap_or(0)),
    ];
    if policy != Deadline {
        for (name, time) in times.into_iter().filter(|(_, time)| *time != 0) {
            let text = format!("{time}, but only SCHED_DEADLINE has one");
            f.wrong(format_args!("{base}.{name}"), text);
        }
        return;
    }
    let [(_, runtime), (_, deadline), (_, period)] = times;
    // A period of 0 means that of the deadline; 1024 ns is the kernel's resolution.
    let ordered = runtime <= deadline && (period == 0 || deadline <= period);
    if runtime < 1024 || !ordered || times.iter().any(|(_, time)| *time >> 63 != 0) {
        let found = format!("runtime {runtime}, deadline {deadline}, period {period}");
        f.wrong(base, format!("{found}: 1024 <= runtime <= deadline <= period is needed (ns)"));
    }
}
