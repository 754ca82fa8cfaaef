//! Two references: an interpreter of BPF, and libseccomp in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tiny_ce::seccomp::{Arch, Instruction, bpf};

/// Debian's Python, which finds Debian's modules.
pub const PYTHON: &str = "/usr/bin/python3";

/// Print that a test does not run, and why; in CI that is a failure.
pub fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    assert!(std::env::var_os("TINY_CE_CI").is_none(), "skipped in CI: {reason}");
}

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub number: u32,
    pub audit: u32,
    pub args: [u64; 6],
}

/// The verdict of the kernel's interpreter, and whether the filter read arguments.
pub fn run(program: &[Instruction], call: &Call) -> (u32, bool) {
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
pub struct Oracle {
    child: Child,
    jobs: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// libseccomp's result for a profile.
pub struct Reference {
    pub program: Vec<Instruction>,
    pub unknown: Vec<String>,
    pub refused: bool,
    pub newest: Value,
}

impl Oracle {
    pub fn start() -> Option<Oracle> {
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

    pub fn ask(&mut self, native: Arch, seccomp: &Value) -> Reference {
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
