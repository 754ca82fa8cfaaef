//! Tests of refused profiles and their errors, of flags and warnings, and of the listing.

use super::*;
use crate::spec::json;

fn parse(text: &str) -> Seccomp {
    json::read(text.as_bytes()).expect("a profile")
}

fn x86_64(text: &str) -> Filter {
    compile_for(&parse(text), Arch::X86_64).expect("no violations")
}

fn violations(text: &str) -> Vec<String> {
    let found = compile_for(&parse(text), Arch::X86_64).expect_err("violations");
    found.iter().map(|violation| format!("{}: {}", violation.path, violation.text)).collect()
}

/// A profile that allows execve and has these further properties and rules.
fn with(properties: &str, rules: &str) -> String {
    format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", {properties} "syscalls": [
            {{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}}{rules}]}}"#
    )
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = with(
        r#""architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_Z80"], "listenerMetadata": "x","#,
        r#", {"names": [], "action": "SCMP_ACT_ALLOW", "errnoRet": 1},
           {"names": ["read", ""], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096,
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]},
           {"names": ["write", "sendmsg"], "action": "SCMP_ACT_NOTIFY"}"#,
    );
    let expected = [
        "linux.seccomp.architectures[1]: unknown architecture \"SCMP_ARCH_Z80\"; \
         for this machine: SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32",
        "linux.seccomp.syscalls[3].action: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath",
        "linux.seccomp.syscalls[1].errnoRet: given, but SCMP_ACT_ALLOW returns no errno",
        "linux.seccomp.syscalls[2].errnoRet: 4096 is too large for SCMP_ACT_ERRNO; 4095 at most",
        "linux.seccomp.syscalls[2].args[0].index: 6: a system call has the arguments 0 to 5",
        "linux.seccomp.syscalls[3].names[0]: write cannot be SCMP_ACT_NOTIFY: \
         init hands the listener on by it",
        "linux.seccomp.syscalls[3].names[1]: sendmsg cannot be SCMP_ACT_NOTIFY: \
         init hands the listener on by it",
    ];
    assert_eq!(violations(&text), expected);
}

#[test]
fn the_default_is_checked_like_a_rule() {
    let expected = [
        "linux.seccomp.defaultErrnoRet: given, but SCMP_ACT_NOTIFY returns no errno",
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default: \
         what starts the container would wait for the listener too",
    ];
    let text = r#"{"defaultAction": "SCMP_ACT_NOTIFY", "defaultErrnoRet": 3}"#;
    assert_eq!(violations(text), expected);
}

#[test]
fn a_profile_that_denies_execve_is_refused() {
    let message = "linux.seccomp: denies execve on x86_64, so that no program can be started";
    for text in [
        r#"{"defaultAction": "SCMP_ACT_KILL"}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["execve"], "action": "SCMP_ACT_ERRNO"}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["execve"], "action": "SCMP_ACT_TRAP",
             "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
    ] {
        assert_eq!(violations(text), [message], "{text}");
    }
    // Whether this one does depends on the arguments.
    x86_64(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["execve"], "action": "SCMP_ACT_TRAP",
             "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let rule = |action: &str| {
        format!(
            r#", {{"names": ["ioctl"], "action": "{action}",
                "args": [{{"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    let text = with("", &(rule("SCMP_ACT_ALLOW") + &rule("SCMP_ACT_TRAP")));
    let expected = "linux.seccomp.syscalls[2]: contradicts linux.seccomp.syscalls[1]: other action \
                    for ioctl under the same conditions or fewer, on x86_64";
    assert_eq!(violations(&text), [expected]);
    let twice = rule("SCMP_ACT_ALLOW") + &rule("SCMP_ACT_ALLOW");
    x86_64(&with("", &twice));
}

#[test]
fn a_program_that_the_kernel_would_not_take_is_refused() {
    let rule = |value: usize| {
        format!(
            r#", {{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
                "args": [{{"index": 1, "value": {value}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    let text = with("", &(0..2000).map(rule).collect::<String>());
    let found = violations(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("linux.seccomp.syscalls: makes a filter of 8"), "{found:?}");
    assert!(found[0].ends_with("instructions; the kernel takes 4096 at most"), "{found:?}");
}

#[test]
fn flags_absent_and_empty_differ() {
    let flags = |flags: &str| x86_64(&with(flags, "")).flags;
    assert_eq!(flags(""), flag::SPEC_ALLOW);
    assert_eq!(flags(r#""flags": [],"#), 0);
    let all = r#""flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"#;
    let filter = x86_64(&with(all, ""));
    assert_eq!(filter.flags, flag::LOG | flag::SPEC_ALLOW);
    assert_eq!(
        filter.warnings,
        ["linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV has no effect \
          without a rule SCMP_ACT_NOTIFY"]
    );
    let notify = r#", {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}"#;
    let filter = x86_64(&with(&format!(r#""listenerPath": "/run/s", {all}"#), notify));
    assert!(filter.notify && filter.warnings.is_empty());
    let expected = flag::LOG | flag::SPEC_ALLOW | flag::NEW_LISTENER | flag::WAIT_KILLABLE_RECV;
    assert_eq!(filter.flags, expected);
}

#[test]
fn names_and_architectures_without_effect_are_warned_about() {
    let text = with(
        r#""architectures": ["SCMP_ARCH_S390X", "SCMP_ARCH_ARM"], "listenerPath": "/run/s","#,
        r#", {"names": ["frobnicate", "read", "frobnicate", "s390_guarded_storage"],
              "action": "SCMP_ACT_ALLOW"}"#,
    );
    let expected = [
        "linux.seccomp.architectures: SCMP_ARCH_S390X is ignored: no such program runs on x86_64",
        "linux.seccomp.architectures: SCMP_ARCH_ARM is ignored: no such program runs on x86_64",
        "linux.seccomp.listenerPath has no effect without a rule SCMP_ACT_NOTIFY",
        "linux.seccomp: unknown system calls are ignored: frobnicate, s390_guarded_storage",
    ];
    assert_eq!(x86_64(&text).warnings, expected);
    let text = with(
        r#""listenerMetadata": "x","#,
        r#", {"names": [], "action": "SCMP_ACT_ALLOW"}, {"names": [""], "action": "SCMP_ACT_LOG"},
           {"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65538}"#,
    );
    let expected = [
        "linux.seccomp.listenerMetadata has no effect without a listenerPath",
        "linux.seccomp.syscalls[1].names: empty, so the rule has no effect",
        "linux.seccomp.syscalls[3].errnoRet: 65538 is more than 65535; the rest is ignored",
        "linux.seccomp: unknown system calls are ignored: \"\"",
    ];
    assert_eq!(x86_64(&text).warnings, expected);
}

#[test]
fn the_listing_tells_every_rule() {
    let text = with(
        r#""architectures": ["SCMP_ARCH_X86"],"#,
        r#", {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
           {"names": ["socket"], "action": "SCMP_ACT_LOG",
            "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"},
                     {"index": 1, "value": 15, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}"#,
    );
    let expected = "\
x86_64:
  allow: execve
  errno ENOSYS (Function not implemented): clone3
  socket if arg0 != 0x28 and arg1 & 0xf == 0x2: log
  socket otherwise: errno EPERM (Operation not permitted)
  any other: errno EPERM (Operation not permitted)
  any newer than clone3 (435): errno ENOSYS (Function not implemented)
x86:
  allow: execve
  errno ENOSYS (Function not implemented): clone3
  socket if arg0 != 0x28 and arg1 & 0xf == 0x2: log
  socket otherwise: errno EPERM (Operation not permitted)
  socketcall if arg0 == 0x1 and arg1 & 0xf == 0x2: log
  socketcall otherwise: errno EPERM (Operation not permitted)
  any other: errno EPERM (Operation not permitted)
  any newer than clone3 (435): errno ENOSYS (Function not implemented)
any other architecture: kill thread
";
    assert_eq!(disassemble(&x86_64(&text)), expected);
}

#[test]
fn bytes_are_what_the_kernel_reads() {
    let filter = x86_64(&with("", ""));
    let bytes = filter.bytes();
    assert_eq!(bytes.len(), filter.program.len() * 8);
    // The first instruction loads the architecture.
    assert_eq!(
        bytes[..8],
        [bpf::LOAD.to_ne_bytes().as_slice(), &[0, 0], &4_u32.to_ne_bytes()].concat()
    );
}
