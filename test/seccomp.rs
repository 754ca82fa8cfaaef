//! seccomp: our filters compared with libseccomp's, and loaded into the kernel.
//!
//! Two filters are equal if they return the same for every call number, under every architecture,
//! for arguments around every compared value. oracle.py asks libseccomp (Debian: python3-seccomp),
//! load.py the kernel; both are in test/seccomp.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tiny_ce::seccomp::{Arch, Filter, compile, compile_for, disassemble};
use tiny_ce::spec::json::read;
use tiny_ce::spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompRule};
use tiny_ce_test::Dice;

#[path = "seccomp/judges.rs"]
mod judges;
use judges::{Call, Oracle, PYTHON, Reference, run, skip};

const DOCKER: &str = include_str!("seccomp/docker-default.json");
const ENOSYS: u32 = 0x0005_0000 | 38;
const X32_BIT: u32 = 0x4000_0000;

fn profile(value: &Value) -> Seccomp {
    read::<Seccomp>(value.to_string().as_bytes()).expect("a valid profile")
}

/// The values of each argument at which a verdict may change.
fn boundaries(seccomp: &Seccomp) -> [Vec<u64>; 6] {
    let mut values: [Vec<u64>; 6] = std::array::from_fn(|_| vec![0]);
    for arg in seccomp.syscalls.iter().flat_map(|rule| &rule.args) {
        let of = &mut values[arg.index as usize];
        let mut around = |v: u64| {
            of.extend([v.wrapping_sub(1), v, v.wrapping_add(1), v ^ 1 << 32, v | 1 << 63]);
            of.extend([v & 0xffff_ffff, v >> 32, v.wrapping_sub(1 << 32), u64::MAX]);
        };
        if arg.op == SeccompOperator::MaskedEq {
            let (mask, datum) = (arg.value, arg.value_two.unwrap_or(0));
            let lowest = mask & mask.wrapping_neg();
            for v in [datum & mask, (datum & mask) | !mask, !mask, mask, datum ^ lowest] {
                around(v);
            }
        } else {
            around(arg.value);
        }
    }
    // socketcall(2) and ipc(2) select a call with the first argument.
    values[0].extend(0..26);
    for of in &mut values {
        of.sort_unstable();
        of.dedup();
    }
    values
}

/// A random combination of boundary values.
fn arguments(values: &[Vec<u64>; 6], dice: &mut Dice) -> [u64; 6] {
    std::array::from_fn(|at| *dice.one(&values[at]))
}

/// Compare verdicts; returns how many calls were compared and the first differences.
fn compare(
    ours: &Filter,
    reference: &Reference,
    seccomp: &Seccomp,
    archs: &[Arch],
) -> (usize, Vec<String>) {
    let values = boundaries(seccomp);
    let mut dice = Dice::new(0x9e37_79b9_7f4a_7c15);
    let mut differences = Vec::new();
    let mut compared = 0;
    let lenient = matches!(
        seccomp.default_action,
        SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace
    );
    for (audit, number) in calls(archs) {
        let missing = !lenient && newer(audit, number, archs, &reference.newest);
        let mut tries = 1;
        let mut at = 0;
        while at < tries {
            let args = if at == 0 { [0; 6] } else { arguments(&values, &mut dice) };
            let call = Call { number, audit, args };
            let (mine, looked) = run(&ours.program, &call);
            let (theirs, also) = run(&reference.program, &call);
            if looked || also {
                tries = 600;
            }
            let expected = if missing { ENOSYS } else { theirs };
            if mine != expected && differences.len() < 5 {
                differences.push(format!("{call:x?}: {mine:#x}, expected {expected:#x}"));
            }
            compared += 1;
            at += 1;
        }
    }
    (compared, differences)
}

/// Every call number with a meaning, under every AUDIT_ARCH, and some without one.
fn calls(archs: &[Arch]) -> Vec<(u32, u32)> {
    let mut all = vec![(0xdead_beef, 0), (Arch::X86.audit(), 3), (Arch::Arm.audit(), 4)];
    for arch in archs {
        let mut numbers: Vec<u32> = (0..600).collect();
        numbers.extend(0xe_fffe..0xf_0010);
        numbers.extend([X32_BIT - 1, X32_BIT + 700, u32::MAX - 1, u32::MAX]);
        if arch.audit() == Arch::X86_64.audit() {
            numbers.extend((0..600).map(|number| number | X32_BIT));
        }
        all.extend(numbers.into_iter().map(|number| (arch.audit(), number)));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether runc's stub answers ENOSYS: the number is above all that the profile names.
fn newer(audit: u32, number: u32, archs: &[Arch], newest: &Value) -> bool {
    let x32 = audit == Arch::X86_64.audit() && number >= X32_BIT;
    let arch = archs.iter().find(|arch| arch.audit() == audit && (**arch == Arch::X32) == x32);
    let Some(arch) = arch else { return false };
    let Some(newest) = newest[arch.word()].as_u64() else { return false };
    let unordered = match arch {
        Arch::X32 => X32_BIT + 512..X32_BIT + 548,
        Arch::Arm => 0xf_0000..0xf_0100,
        _ => 0..0,
    };
    u64::from(number) > newest && !unordered.contains(&number)
}

/// Compile with both, and compare. Names that libseccomp is too old to know are removed first.
fn check(oracle: &mut Oracle, native: Arch, value: &Value) -> Option<usize> {
    let mut value = value.clone();
    let unknown = oracle.ask(native, &value).unknown;
    for rule in value["syscalls"].as_array_mut().expect("rules") {
        let names = rule["names"].as_array_mut().expect("names");
        names.retain(|name| !unknown.iter().any(|unknown| name == unknown));
    }
    let reference = oracle.ask(native, &value);
    let seccomp = profile(&value);
    let compiled = compile_for(&seccomp, native);
    if reference.refused {
        assert!(compiled.is_err(), "libseccomp refuses, and we do not: {value}");
        return None;
    }
    let ours = compiled.unwrap_or_else(|violations| panic!("{violations:?} in {value}"));
    let mut archs = vec![native];
    archs.extend(seccomp.architectures.iter().filter_map(|word| Arch::from_word(word)));
    let (compared, differences) = compare(&ours, &reference, &seccomp, &archs);
    if !differences.is_empty() {
        let listing = disassemble(&ours);
        panic!("{} in {value:#}\n{listing}", differences.join("\n"));
    }
    Some(compared)
}

fn docker(native: Arch) -> Value {
    let mut value: Value = serde_json::from_str(DOCKER).expect("JSON");
    if native == Arch::Aarch64 {
        value["architectures"] = json!(["SCMP_ARCH_ARM"]);
    }
    value
}

#[test]
fn docker_default_is_what_libseccomp_makes_of_it() {
    let Some(mut oracle) = Oracle::start() else { return };
    for native in [Arch::X86_64, Arch::Aarch64] {
        let compared = check(&mut oracle, native, &docker(native)).expect("accepted");
        eprintln!("{}: {compared} verdicts are equal", native.name());
    }
}

fn arg(index: usize, op: &str, value: u64, two: u64) -> Value {
    json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two})
}

/// Names that exist everywhere, on some architectures, and within multiplexers; so few that dice
/// rules concern the same call.
const NAMES: [&str; 12] = [
    "personality",
    "ioctl",
    "clone",
    "prctl",
    "socket",
    "semget",
    "fcntl",
    "accept",
    "read",
    "set_tls",
    "socketcall",
    "madvise",
];
const VALUES: [u64; 10] =
    [0, 1, 2, 5, 0xff, 0x8000_0000, 0xffff_ffff, 1 << 32, 5 | 3 << 32, u64::MAX];
const OPERATORS: [&str; 7] = ["NE", "EQ", "MASKED_EQ", "LT", "LE", "GE", "GT"];

fn random_profile(dice: &mut Dice, native: Arch, rule: impl Fn(&mut Dice) -> Value) -> Value {
    let mut rules = vec![json!({"names": ["faccessat2", "execve"], "action": "SCMP_ACT_ALLOW"})];
    rules.extend((0..1 + dice.throw(6)).map(|_| rule(dice)));
    let others: &[&str] = match native {
        Arch::X86_64 => &["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        _ => &["SCMP_ARCH_ARM"],
    };
    let archs = &others[dice.throw(others.len())..];
    json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": archs, "syscalls": rules})
}

/// A rule with at most one condition. libseccomp 2.5.4 is no judge beyond that: within a tree of
/// several words it comes back to the next rule with the wrong word loaded, or not at all. Rules
/// "a1 == 1 && a2 == 5" and "a1 == 0", both ALLOW, let (1, 0) pass on ARM; of "a1 <= 2" and
/// "a1 <= 0x300000005" it forgets the second for values below 2^32.
/// Nor is it one where several NE, or several of LT, LE, GE, GT, differ in their action: which of
/// them wins depends on the word, and on a value left over from another rule.
fn one_condition(dice: &mut Dice, actions: &[&str]) -> Value {
    let operator = *dice.one(&OPERATORS);
    let ordered = matches!(operator, "LT" | "LE" | "GE" | "GT");
    let value = *dice.one(if ordered { &VALUES[..7] } else { &VALUES });
    let condition = match dice.throw(4) {
        // Often the same condition, so that some profiles contradict themselves.
        0 => arg(0, "EQ", 5, 0),
        _ => arg(dice.throw(3), operator, value, *dice.one(&VALUES)),
    };
    let action = match condition["op"].as_str() {
        Some("SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ") => *dice.one(actions),
        Some("SCMP_CMP_GE" | "SCMP_CMP_GT") => actions[actions.len() - 1],
        _ => "SCMP_ACT_ALLOW",
    };
    let names = [*dice.one(&NAMES), *dice.one(&NAMES[..4])];
    let args = if dice.throw(8) == 0 { vec![] } else { vec![condition] };
    json!({"names": names, "action": action, "args": args})
}

/// A rule with any conditions.
fn any_conditions(dice: &mut Dice, actions: &[&str]) -> Value {
    let args: Vec<Value> = (0..dice.throw(4))
        .map(|_| {
            let (operator, value) = (*dice.one(&OPERATORS), *dice.one(&VALUES));
            arg(dice.throw(4), operator, value, *dice.one(&VALUES))
        })
        .collect();
    json!({"names": [*dice.one(&NAMES[..4])], "action": *dice.one(actions), "args": args})
}

const MIXED: [&str; 3] = ["SCMP_ACT_ALLOW", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"];

#[test]
fn random_profiles_are_what_libseccomp_makes_of_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(20_240_607);
    let (mut compared, mut refused) = (0, 0);
    for round in 0..300 {
        let actions = if round % 2 == 0 { &MIXED[..1] } else { &MIXED };
        let native = *dice.one(&[Arch::X86_64, Arch::Aarch64]);
        let value = random_profile(&mut dice, native, |dice| one_condition(dice, actions));
        match check(&mut oracle, native, &value) {
            Some(calls) => compared += calls,
            None => refused += 1,
        }
    }
    eprintln!("{compared} verdicts are equal; {refused} profiles were refused by libseccomp");
    assert!((1..60).contains(&refused));
}

#[test]
fn one_rule_with_many_conditions_is_what_libseccomp_makes_of_it() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(77);
    for _ in 0..60 {
        let native = *dice.one(&[Arch::X86_64, Arch::Aarch64]);
        let mut args = Vec::new();
        for index in 0..6 {
            if dice.throw(2) == 0 {
                let (operator, value) = (*dice.one(&OPERATORS), *dice.one(&VALUES));
                args.push(arg(index, operator, value, *dice.one(&VALUES)));
            }
        }
        let value = random_profile(&mut dice, native, |_| {
            json!({"names": [],
            "action": "SCMP_ACT_ALLOW"})
        });
        let mut value = value;
        value["syscalls"] = json!([
            {"names": ["faccessat2", "execve"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["ioctl"], "action": "SCMP_ACT_LOG", "args": args},
            {"names": ["bind"], "action": "SCMP_ACT_KILL_PROCESS", "args": args},
        ]);
        check(&mut oracle, native, &value).expect("accepted");
    }
}

/// Whether a rule applies, by the text of the specification.
fn applies(rule: &SeccompRule, args: &[u64; 6], bits: u64) -> bool {
    let holds = |arg: &SeccompArg| {
        let (mask, value) = match arg.op {
            SeccompOperator::MaskedEq => (arg.value & bits, arg.value_two.unwrap_or(0)),
            _ => (bits, arg.value),
        };
        let (given, value) = (args[arg.index as usize] & mask, value & mask);
        match arg.op {
            SeccompOperator::Ne => given != value,
            SeccompOperator::Lt => given < value,
            SeccompOperator::Le => given <= value,
            SeccompOperator::Eq | SeccompOperator::MaskedEq => given == value,
            SeccompOperator::Ge => given >= value,
            SeccompOperator::Gt => given > value,
        }
    };
    let about = |index| rule.args.iter().filter(|arg| arg.index == index).count();
    if (0..6).any(|index| about(index) > 1) {
        rule.args.iter().any(holds)
    } else {
        rule.args.iter().all(holds)
    }
}

#[test]
fn a_verdict_comes_from_a_rule_that_applies() {
    let mut dice = Dice::new(4711);
    let numbers = [("personality", 135), ("ioctl", 16), ("clone", 56), ("prctl", 157)];
    let compat = [("personality", 136), ("ioctl", 54), ("clone", 120), ("prctl", 172)];
    let verdicts = [
        (SeccompAction::Allow, 0x7fff_0000),
        (SeccompAction::Trap, 0x0003_0000),
        (SeccompAction::Log, 0x7ffc_0000),
    ];
    let mut contradictions = 0;
    for round in 0..400 {
        let actions = if round % 2 == 0 { &MIXED[..1] } else { &MIXED };
        let value = random_profile(&mut dice, Arch::X86_64, |dice| any_conditions(dice, actions));
        let seccomp = profile(&value);
        let Ok(filter) = compile_for(&seccomp, Arch::X86_64) else {
            contradictions += 1;
            continue;
        };
        let values = boundaries(&seccomp);
        for try_ in 0..400 {
            let wide = try_ % 2 == 0;
            let (bits, arch, table) = match wide {
                true => (u64::MAX, Arch::X86_64, &numbers),
                false => (u32::MAX.into(), Arch::X86, &compat),
            };
            if !wide && !seccomp.architectures.iter().any(|word| word == arch.word()) {
                continue;
            }
            let (name, number) = *dice.one(table);
            let args = arguments(&values, &mut dice);
            let (verdict, _) = run(&filter.program, &Call { number, audit: arch.audit(), args });
            let rules = seccomp.syscalls.iter().filter(|rule| rule.names.iter().any(|n| n == name));
            let applying: Vec<_> = rules.filter(|rule| applies(rule, &args, bits)).collect();
            let right = match applying.is_empty() {
                true => verdict == 0x0005_0001,
                false => verdicts.iter().any(|(action, number)| {
                    *number == verdict && applying.iter().any(|rule| rule.action == *action)
                }),
            };
            assert!(right, "{name} {args:x?}: {verdict:#x} in {value:#}");
        }
    }
    assert!(contradictions < 60, "{contradictions} profiles contradict themselves");
}

/// A system call's number on this machine: that of x86_64, or of aarch64.
const fn number(x86_64: u64, aarch64: u64) -> u64 {
    if cfg!(target_arch = "x86_64") { x86_64 } else { aarch64 }
}

const GETPPID: u64 = number(110, 173);
const GETPGID: u64 = number(121, 155);
const PERSONALITY: u64 = number(135, 92);

/// Load a filter in the kernel and make system calls under it.
fn in_kernel(filter: &Filter, calls: &[&[u64]]) -> Option<Vec<String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/test/seccomp/load.py");
    let mut python = Command::new(PYTHON);
    let mut child = match python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            skip(&format!("no {PYTHON} to make system calls with: {error}"));
            return None;
        }
    };
    let hex: String = filter.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let job = json!({"program": hex, "flags": filter.flags, "calls": calls});
    write!(child.stdin.take().expect("piped"), "{job}").expect("job");
    let output = child.wait_with_output().expect("answer");
    Some(serde_json::from_slice(&output.stdout).expect("answer"))
}

#[test]
fn the_kernel_takes_dockers_profile() {
    let filter = compile(&profile(&docker(Arch::HOST))).expect("valid");
    let calls: [&[u64]; 11] = [
        &[GETPPID],
        &[number(165, 40)],
        &[435, 0, 0],
        &[9999],
        &[400],
        &[PERSONALITY, 0xffff_ffff],
        &[PERSONALITY, 0x1_0000_0000],
        &[number(41, 198), 40, 1, 0],
        &[number(56, 220), 0x1000_0000],
        &[X32_BIT.into()],
        &[number(161, 51), 0],
    ];
    let Some(answers) = in_kernel(&filter, &calls) else { return };
    let expected = [
        "no listener",
        "ok",       // getppid
        "errno 1",  // mount
        "errno 38", // clone3
        "errno 38", // newer than the profile
        "errno 1",  // a gap in the table
        "ok",       // personality, to read it
        "errno 1",  // personality, a value that differs in the high word only
        "errno 1",  // socket(AF_VSOCK)
        "errno 1",  // clone(CLONE_NEWUSER)
        "errno 14", // read of x32, where the kernel has it; else ENOSYS
        "errno 14", // chroot(NULL)
    ];
    for (at, (answer, expected)) in answers.iter().zip(expected).enumerate() {
        let x32 = at == 10;
        assert!(answer == expected || x32, "call {at}: {answer}, expected {expected}");
    }
    assert_eq!(answers.len(), expected.len());
}

#[test]
fn the_kernel_does_what_each_action_says() {
    let high = 5_u64 | 3 << 32;
    let seccomp = profile(&json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/nowhere",
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "syscalls": [
            {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99},
            {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7,
             "args": [arg(0, "GT", high, 0)]},
            {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 8,
             "args": [arg(1, "MASKED_EQ", 0xff, 3)]},
            {"names": ["umask"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["getsid"], "action": "SCMP_ACT_KILL"},
            {"names": ["getpriority"], "action": "SCMP_ACT_TRAP"},
            {"names": ["gettid"], "action": "SCMP_ACT_TRACE"},
            {"names": ["sched_yield"], "action": "SCMP_ACT_LOG"},
            {"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"},
        ],
    }));
    let filter = compile(&seccomp).expect("valid");
    let calls: [&[u64]; 11] = [
        &[GETPPID],
        &[GETPGID, high + 1, 0],
        &[GETPGID, 0, 0x1_0000_0103],
        &[GETPGID, 0, 0],
        &[number(95, 166), 0],
        &[number(124, 156), 0],
        &[number(140, 141), 0, 0],
        &[number(186, 178)],
        &[number(24, 124)],
        &[GETPGID, high + 1, 3],
        &[9999],
    ];
    let Some(answers) = in_kernel(&filter, &calls) else { return };
    let expected = [
        "listener",
        "errno 99",
        "errno 7",
        "errno 8",
        "ok",
        "signal 31",
        "signal 31",
        "signal 31",
        "errno 38",
        "ok",
        "errno 8",
        "errno 38",
    ];
    assert_eq!(answers, expected);
}

#[test]
fn compiling_is_fast() {
    let seccomp = profile(&docker(Arch::HOST));
    let mut best = u128::MAX;
    let mut length = 0;
    for _ in 0..100 {
        let start = std::time::Instant::now();
        length = compile(&seccomp).expect("valid").program.len();
        best = best.min(start.elapsed().as_micros());
    }
    eprintln!("docker's profile: {length} instructions in {best} µs");
    assert!(length < 600);
    // A build without optimisation has no limit.
    assert!(cfg!(debug_assertions) || best < 300);
}
