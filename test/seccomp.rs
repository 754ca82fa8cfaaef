//! seccomp: our filters against libseccomp's, and in the kernel.
//!
//! Two programs are equal if they answer the same for every number, under every architecture, for
//! arguments around every value that is compared. libseccomp is asked through test/seccomp/oracle.py
//! (Debian: python3-seccomp); the kernel through test/seccomp/load.py.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tiny_ce::seccomp::{Arch, Filter, Instruction, bpf, compile, compile_for, disassemble};
use tiny_ce::spec::json::read;
use tiny_ce::spec::{Seccomp, SeccompAction, SeccompOperator};

const PYTHON: &str = "/usr/bin/python3";
const DOCKER: &str = include_str!("seccomp/docker-default.json");
const ENOSYS: u32 = 0x0005_0000 | 38;
const KILL_THREAD: u32 = 0;
const X32_BIT: u32 = 0x4000_0000;

fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    assert!(std::env::var_os("TINY_CE_CI").is_none(), "skipped in CI: {reason}");
}

fn profile(value: &Value) -> Seccomp {
    read::<Seccomp>(value.to_string().as_bytes()).expect("a valid profile")
}

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    audit: u32,
    args: [u64; 6],
}

/// What the kernel's interpreter would answer, and whether arguments were looked at.
fn run(program: &[Instruction], call: &Call) -> (u32, bool) {
    let (mut accumulator, mut at, mut looked) = (0_u32, 0_usize, false);
    loop {
        let i = program[at];
        at += 1;
        let mut jump = |holds| at += usize::from(if holds { i.jt } else { i.jf });
        match i.code {
            bpf::LOAD => {
                looked |= i.k >= 16;
                accumulator = match i.k {
                    0 => call.number,
                    4 => call.audit,
                    k if k >= 16 && k % 4 == 0 => {
                        let word = (k as usize - 16) / 4;
                        (call.args[word / 2] >> (word % 2 * 32)) as u32
                    }
                    k => panic!("load from {k}"),
                };
            }
            bpf::AND => accumulator &= i.k,
            bpf::JUMP => at += i.k as usize,
            bpf::JUMP_EQ => jump(accumulator == i.k),
            bpf::JUMP_GT => jump(accumulator > i.k),
            bpf::JUMP_GE => jump(accumulator >= i.k),
            bpf::RETURN => return (i.k, looked),
            code => panic!("instruction {code:#x}"),
        }
    }
}

/// libseccomp in a process of its own.
struct Oracle {
    child: Child,
    jobs: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What libseccomp made of a profile.
struct Reference {
    program: Vec<Instruction>,
    unknown: Vec<String>,
    refused: bool,
    newest: Value,
}

impl Oracle {
    fn start() -> Option<Oracle> {
        let probe = Command::new(PYTHON).args(["-c", "import seccomp"]).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            skip("libseccomp cannot be asked; install python3-seccomp");
            return None;
        }
        let mut child = Command::new(PYTHON)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/test/seccomp/oracle.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let jobs = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Some(Oracle { child, jobs, answers })
    }

    fn ask(&mut self, native: Arch, seccomp: &Value) -> Reference {
        let job = json!({"native": native.name(), "seccomp": seccomp});
        writeln!(self.jobs, "{job}").expect("oracle");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("oracle");
        let answer: Value = serde_json::from_str(&line).expect("oracle");
        let hex = answer["program"].as_str().expect("program");
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("hex"))
            .collect();
        let names = answer["unknown"].as_array().expect("names").iter();
        Reference {
            program: decode(&bytes),
            unknown: names.map(|name| name.as_str().expect("name").to_owned()).collect(),
            refused: !answer["refused"].as_array().expect("rules").is_empty(),
            newest: answer["newest"].clone(),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn decode(bytes: &[u8]) -> Vec<Instruction> {
    let instruction = |b: &[u8]| Instruction {
        code: u16::from_ne_bytes([b[0], b[1]]),
        jt: b[2],
        jf: b[3],
        k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

/// xorshift64*: the same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Values of each argument at which a verdict may change.
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

/// Some combination of boundary values.
fn arguments(values: &[Vec<u64>; 6], random: &mut Random) -> [u64; 6] {
    std::array::from_fn(|at| random.of(&values[at]))
}

/// Compare verdicts; returns how many calls were compared and the first differences.
fn compare(
    ours: &Filter,
    reference: &Reference,
    seccomp: &Seccomp,
    archs: &[Arch],
) -> (usize, Vec<String>) {
    let values = boundaries(seccomp);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
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
            let args = if at == 0 { [0; 6] } else { arguments(&values, &mut random) };
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

/// Every number that may mean something, under every AUDIT_ARCH, and some that mean nothing.
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

/// Ask both, and compare; what libseccomp is too old to know is taken out first.
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

fn arg(index: u32, op: &str, value: u64, two: u64) -> Value {
    json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two})
}

/// A profile of random rules on few names, so that they meet.
fn random_profile(random: &mut Random, actions: &[&str]) -> Value {
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
    const OPS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let mut rules = vec![json!({"names": ["faccessat2", "execve"], "action": "SCMP_ACT_ALLOW"})];
    for _ in 0..1 + random.below(6) {
        let mut args = Vec::new();
        for _ in 0..random.of(&[0, 1, 1, 1, 1, 2]) {
            let op = random.of(&OPS);
            let value = random.of(&VALUES);
            args.push(arg(random.below(3) as u32, op, value, random.of(&VALUES)));
        }
        let names = [random.of(&NAMES), random.of(&NAMES[..4])];
        rules.push(json!({"names": names, "action": random.of(actions), "args": args}));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"],
        "syscalls": rules,
    })
}

#[test]
fn random_profiles_are_what_libseccomp_makes_of_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = Random(20_240_607);
    for round in 0..200 {
        let mixed = round % 2 == 1;
        let actions: &[&str] = if mixed {
            &["SCMP_ACT_ALLOW", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"]
        } else {
            &["SCMP_ACT_ALLOW"]
        };
        let mut value = random_profile(&mut random, actions);
        let native = random.of(&[Arch::X86_64, Arch::Aarch64]);
        if native == Arch::X86_64 {
            value["architectures"] = json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
        } else {
            value["architectures"] = json!(["SCMP_ARCH_ARM"]);
        }
        check(&mut oracle, native, &value);
    }
}

#[test]
fn compiling_is_fast() {
    let seccomp = profile(&docker(Arch::HOST));
    let mut best = u128::MAX;
    for _ in 0..50 {
        let start = std::time::Instant::now();
        let filter = compile(&seccomp).expect("valid");
        best = best.min(start.elapsed().as_nanos());
        assert!(filter.program.len() < 1000);
    }
    let length = compile(&seccomp).expect("valid").program.len();
    eprintln!("docker's profile: {length} instructions in {} µs", best / 1000);
}
