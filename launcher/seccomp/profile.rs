//! Check a profile, resolve its names, and decide about each number.
//!
//! Knows the fields of `linux.seccomp` and which of them contradict each other; not how rules on
//! one call combine (rules.rs), nor what the program looks like.

use super::arch::Arch;
use super::names;
use super::ranges::{Id, Named};
use super::rules::{self, Case, Condition, Conflict, Decision, Multiplexed, Verdict};
use super::verdict;
use crate::spec::json::Violation;
use crate::spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompRule};

/// Highest errno the kernel returns for a filter: MAX_ERRNO, linux/err.h.
const MAX_ERRNO: u32 = 4095;
/// Arguments of a system call.
const ARGUMENTS: u32 = 6;

/// A profile after its check.
pub struct Profile {
    /// Architectures to filter, the native one first.
    pub archs: Vec<Arch>,
    /// Verdict on calls without a rule.
    pub default: Verdict,
    /// The mistakes found.
    pub violations: Vec<Violation>,
    /// Parts of the profile that have no effect.
    pub warnings: Vec<String>,
    /// All cases, in the order of the rules.
    cases: Vec<Case>,
    /// The cases of each number, by ascending number, for each member of `archs`.
    entries: Vec<Vec<(u32, u32)>>,
    /// The highest number named, per member of `archs`.
    newest: Vec<Option<u32>>,
}

/// Check a profile and resolve its names.
pub fn read(seccomp: &Seccomp, native: Arch) -> Profile {
    let mut profile = Profile {
        archs: vec![native],
        default: 0,
        violations: Vec::new(),
        warnings: Vec::new(),
        cases: Vec::with_capacity(seccomp.syscalls.len()),
        entries: Vec::new(),
        newest: Vec::new(),
    };
    profile.architectures(&seccomp.architectures, native);
    profile.entries.resize_with(profile.archs.len(), || Vec::with_capacity(512));
    profile.newest.resize(profile.archs.len(), None);
    let errno = seccomp.default_errno_ret;
    profile.default = profile.verdict(seccomp.default_action, errno, "", "defaultErrnoRet");
    profile.listener(seccomp);
    let mut unknown: Vec<&str> = Vec::new();
    for (at, rule) in seccomp.syscalls.iter().enumerate() {
        profile.rule(at, rule, &mut unknown);
    }
    for entries in &mut profile.entries {
        entries.sort_unstable();
    }
    if !unknown.is_empty() {
        let shown = unknown.iter().map(|name| if name.is_empty() { "\"\"" } else { name });
        let names = shown.collect::<Vec<_>>().join(", ");
        profile.warnings.push(format!("linux.seccomp: unknown system calls are ignored: {names}"));
    }
    profile
}

impl Profile {
    fn wrong(&mut self, path: impl AsRef<str>, text: impl Into<String>) {
        let path = format!("linux.seccomp.{}", path.as_ref());
        self.violations.push(Violation::rule(path, text));
    }

    fn architectures(&mut self, words: &[String], native: Arch) {
        for (at, word) in words.iter().enumerate() {
            match Arch::from_word(word) {
                Some(arch) if !arch.runs_on(native) => self.not_here(word, native),
                Some(arch) if self.archs.contains(&arch) => {}
                Some(arch) => self.archs.push(arch),
                None if Arch::words().any(|known| known == word) => self.not_here(word, native),
                None => {
                    let text = format!("unknown architecture {word:?}; for this machine: ");
                    let here: Vec<_> =
                        Arch::ALL.iter().filter(|arch| arch.runs_on(native)).collect();
                    let here: Vec<_> = here.iter().map(|arch| arch.word()).collect();
                    self.wrong(format!("architectures[{at}]"), text + &here.join(", "));
                }
            }
        }
    }

    /// The kernel never reports a call of such an architecture here, so its filter would be dead
    /// code.
    fn not_here(&mut self, word: &str, native: Arch) {
        let native = native.name();
        self.warnings.push(format!(
            "linux.seccomp.architectures: {word} is ignored: no such program runs on {native}"
        ));
    }

    fn listener(&mut self, seccomp: &Seccomp) {
        if seccomp.listener_path.is_none() && seccomp.listener_metadata.is_some() {
            let text = "linux.seccomp.listenerMetadata has no effect without a listenerPath";
            self.warnings.push(text.into());
        }
        if seccomp.default_action == SeccompAction::Notify {
            let text = "SCMP_ACT_NOTIFY cannot be the default: \
                        what starts the container would wait for the listener too";
            self.wrong("defaultAction", text);
        }
        let asks = seccomp.syscalls.iter().position(|rule| rule.action == SeccompAction::Notify);
        match (asks, &seccomp.listener_path) {
            (Some(at), None) => {
                let text = "SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath";
                self.wrong(format!("syscalls[{at}].action"), text);
            }
            (None, Some(_)) => self.warnings.push(
                "linux.seccomp.listenerPath has no effect without a rule SCMP_ACT_NOTIFY".into(),
            ),
            _ => {}
        }
    }

    /// The kernel's number for an action; `place` and `field` say where its errno is written.
    fn verdict(
        &mut self,
        action: SeccompAction,
        errno: Option<u32>,
        place: &str,
        field: &str,
    ) -> Verdict {
        use SeccompAction::{
            Allow, Errno, Kill, KillProcess, KillThread, Log, Notify, Trace, Trap,
        };
        let (base, limit) = match action {
            Kill | KillThread => (verdict::KILL_THREAD, None),
            KillProcess => (verdict::KILL_PROCESS, None),
            Trap => (verdict::TRAP, None),
            Errno => (verdict::ERRNO, Some(MAX_ERRNO)),
            Trace => (verdict::TRACE, Some(verdict::DATA)),
            Allow => (verdict::ALLOW, None),
            Log => (verdict::LOG, None),
            Notify => (verdict::USER_NOTIF, None),
        };
        match (limit, errno) {
            (None, None) => base,
            (Some(_), None) => base | libc::EPERM as u32,
            (Some(limit), Some(errno)) if errno <= limit => base | errno,
            // libseccomp cuts the message to the tracer to 16 bits, which is all that the kernel
            // passes on.
            (Some(limit), Some(datum)) if action == Trace => {
                let text = format!("{datum} is more than {limit}; the rest is ignored");
                self.warnings.push(format!("linux.seccomp.{place}{field}: {text}"));
                base | datum & limit
            }
            (Some(limit), Some(errno)) => {
                let text = format!("{errno} is too large for {}; {limit} at most", action.word());
                self.wrong(format!("{place}{field}"), text);
                base
            }
            (None, Some(_)) => {
                let text = format!("given, but {} returns no errno", action.word());
                self.wrong(format!("{place}{field}"), text);
                base
            }
        }
    }

    fn rule<'a>(&mut self, at: usize, rule: &'a SeccompRule, unknown: &mut Vec<&'a str>) {
        let place = format!("syscalls[{at}].");
        let verdict = self.verdict(rule.action, rule.errno_ret, &place, "errnoRet");
        if rule.names.is_empty() {
            let text = format!("linux.seccomp.{place}names: empty, so the rule has no effect");
            self.warnings.push(text);
        }
        let first = self.cases.len() as u32;
        // A rule whose action is the default is left out, as in runc; so it makes no exception to a
        // rule without conditions either.
        if verdict != self.default {
            self.add_cases(at, &rule.args, verdict, &place);
        }
        let cases = first..self.cases.len() as u32;
        for (index, name) in rule.names.iter().enumerate() {
            let own = matches!(name.as_str(), "write" | "sendmsg");
            if own && rule.action == SeccompAction::Notify {
                let text =
                    format!("{name} cannot be SCMP_ACT_NOTIFY: init hands the listener on by it");
                self.wrong(format!("{place}names[{index}]"), text);
            }
            match names::find(name) {
                Some(numbers) => self.named(name, numbers, cases.clone()),
                None if unknown.contains(&name.as_str()) => {}
                None => unknown.push(name),
            }
        }
    }

    /// One case with all conditions. If two conditions test the same argument, one case for each
    /// condition, as in runc.
    fn add_cases(&mut self, rule: usize, args: &[SeccompArg], verdict: Verdict, place: &str) {
        let mut conditions = Vec::with_capacity(args.len());
        let mut twice = false;
        for (index, arg) in args.iter().enumerate() {
            if arg.index >= ARGUMENTS {
                let text = format!("{}: a system call has the arguments 0 to 5", arg.index);
                self.wrong(format!("{place}args[{index}].index"), text);
                continue;
            }
            let condition = condition(arg);
            twice |= conditions.iter().any(|c: &Condition| c.argument == condition.argument);
            conditions.push(condition);
        }
        if twice {
            let one = |condition| Case { conditions: vec![condition], verdict, rule };
            self.cases.extend(conditions.into_iter().map(one));
        } else {
            conditions.sort_by_key(|condition| condition.argument);
            self.cases.push(Case { conditions, verdict, rule });
        }
    }

    /// Record `cases` for the call with these numbers.
    fn named(&mut self, name: &str, numbers: names::Numbers, cases: std::ops::Range<u32>) {
        for (column, arch) in self.archs.iter().enumerate() {
            let entries = &mut self.entries[column];
            if let Some(number) = numbers.on(*arch) {
                if !arch.unordered().contains(&(number - arch.base())) {
                    self.newest[column] = self.newest[column].max(Some(number));
                }
                entries.extend(cases.clone().map(|case| (number, case)));
            }
            let Some(multiplexed) = Multiplexed::find(name).filter(|_| *arch == Arch::X86) else {
                continue;
            };
            self.newest[column] = self.newest[column].max(Some(multiplexed.number));
            for case in cases.clone() {
                let case = multiplexed.case(&self.cases[case as usize]);
                entries.push((multiplexed.number, self.cases.len() as u32));
                self.cases.push(case);
            }
        }
    }

    /// Decide about every number that rules name, on the architecture `archs[column]`.
    pub fn decide(
        &self,
        column: usize,
        decisions: &mut Vec<Decision>,
        violations: &mut Vec<Violation>,
    ) -> Named {
        let arch = self.archs[column];
        let entries = &self.entries[column];
        let mut named = Vec::with_capacity(entries.len());
        for group in entries.chunk_by(|a, b| a.0 == b.0) {
            let cases = group.iter().map(|(_, case)| &self.cases[*case as usize]);
            match rules::decide(arch, cases) {
                Ok(decision) => named.push((group[0].0, intern(decisions, decision))),
                Err(conflict) => violations.push(contradiction(arch, group[0].0, &conflict)),
            }
        }
        Named { arch, decisions: named, newest: self.newest[column] }
    }
}

/// The position of a decision in the list, to which it is appended if it is not there yet.
pub fn intern(decisions: &mut Vec<Decision>, decision: Decision) -> Id {
    let known = decisions.iter().position(|known| *known == decision);
    let at = known.unwrap_or_else(|| {
        decisions.push(decision);
        decisions.len() - 1
    });
    at as Id
}

fn condition(arg: &SeccompArg) -> Condition {
    let (mask, value) = match arg.op {
        SeccompOperator::MaskedEq => (arg.value, arg.value_two.unwrap_or(0)),
        _ => (u64::MAX, arg.value),
    };
    Condition { argument: arg.index as u8, operator: arg.op, mask, value, wide: true }
}

fn contradiction(arch: Arch, number: u32, conflict: &Conflict) -> Violation {
    let named = names::all().find(|(_, numbers)| numbers.on(arch) == Some(number));
    let name = named.map_or("a system call", |(name, _)| name);
    let text = format!(
        "contradicts linux.seccomp.syscalls[{}]: other action for {name} under the same conditions \
         or fewer, on {}",
        conflict.first,
        arch.name()
    );
    Violation::rule(format!("linux.seccomp.syscalls[{}]", conflict.second), text)
}
