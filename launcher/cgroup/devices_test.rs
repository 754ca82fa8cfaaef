//! Device rules against a naive model: random rules, both forms, every access.

use super::super::probe::data;
use super::super::program::{
    AND32_IMM, BLOCK, CHAR, EXIT, JA, JNE32_IMM, JSET32_IMM, LDX_MEM_W, MOV32_IMM, MOV32_REG,
    RSH32_IMM,
};
use super::*;
use tiny_ce_test::Dice;

/// One request for access.
#[derive(Debug, Clone, Copy)]
struct Ask {
    kind: DeviceRuleKind,
    major: u32,
    minor: u32,
    access: u8,
}

/// The specification: for each kind of access, the last rule that matches decides.
fn model(rules: &[Rule], ask: Ask) -> bool {
    let bits = [MKNOD, READ, WRITE].into_iter().filter(|bit| ask.access & bit != 0);
    bits.into_iter().all(|bit| {
        let last = rules.iter().rev().find(|r| {
            (r.kind == DeviceRuleKind::All || r.kind == ask.kind)
                && r.major.is_none_or(|n| n == ask.major)
                && r.minor.is_none_or(|n| n == ask.minor)
                && r.access & bit != 0
        });
        last.is_some_and(|r| r.allow)
    })
}

/// The kernel's answer, if it runs the program.
fn interpret(code: &[u64], ask: Ask) -> bool {
    let kind = if ask.kind == DeviceRuleKind::Block { BLOCK } else { CHAR };
    let memory = [(u32::from(ask.access) << 16) | kind, ask.major, ask.minor];
    let mut registers = [0u32; 11];
    let mut at = 0usize;
    loop {
        let bytes = code[at].to_le_bytes();
        let (target, source) = (usize::from(bytes[1] & 15), usize::from(bytes[1] >> 4));
        let offset = i16::from_le_bytes([bytes[2], bytes[3]]);
        let number = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        at += 1;
        let jump = match bytes[0] {
            LDX_MEM_W => {
                assert_eq!(source, 1, "only the context is read");
                registers[target] = memory[usize::try_from(offset).expect("offset") / 4];
                false
            }
            MOV32_IMM => {
                registers[target] = number;
                false
            }
            MOV32_REG => {
                registers[target] = registers[source];
                false
            }
            AND32_IMM => {
                registers[target] &= number;
                false
            }
            RSH32_IMM => {
                registers[target] >>= number;
                false
            }
            JNE32_IMM => registers[target] != number,
            JSET32_IMM => registers[target] & number != 0,
            JA => true,
            EXIT => return registers[0] == 1,
            other => panic!("instruction {other:#x}"),
        };
        if jump {
            at += usize::try_from(offset).expect("forward");
        }
    }
}

/// The kernel's answer by v1's list, as in security/device_cgroup.c.
fn v1(lines: &[(bool, String)], ask: Ask) -> bool {
    let allow = !lines.iter().any(|(allow, line)| !allow && line == "a");
    let matching = lines.iter().filter(|(_, line)| line != "a").filter_map(|(_, line)| {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let (major, minor) = words.next()?.split_once(':')?;
        let bits = words.next()?.chars().fold(0, |bits, letter| {
            bits | match letter {
                'm' => MKNOD,
                'r' => READ,
                _ => WRITE,
            }
        });
        let is = |text: &str, number: u32| text == "*" || text == number.to_string();
        (kind == ask.kind.word() && is(major, ask.major) && is(minor, ask.minor)).then_some(bits)
    });
    let matching: Vec<u8> = matching.collect();
    if allow {
        !matching.iter().any(|bits| bits & ask.access != 0)
    } else {
        matching.iter().any(|bits| ask.access & !bits == 0)
    }
}

fn number(dice: &mut Dice) -> Option<u32> {
    match dice.throw(4) {
        0 => None,
        n => Some(n as u32),
    }
}

fn any_rule(dice: &mut Dice) -> Rule {
    let whole = dice.throw(6) == 0;
    let kinds = [DeviceRuleKind::All, DeviceRuleKind::Char, DeviceRuleKind::Block];
    Rule {
        allow: dice.throw(2) == 0,
        kind: if whole { DeviceRuleKind::All } else { *dice.one(&kinds) },
        major: if whole { None } else { number(dice) },
        minor: if whole { None } else { number(dice) },
        access: if whole { ALL } else { dice.throw(7) as u8 + 1 },
    }
}

fn asks() -> impl Iterator<Item = Ask> {
    [DeviceRuleKind::Char, DeviceRuleKind::Block].into_iter().flat_map(|kind| {
        (1..=4).flat_map(move |major| {
            (1..=4).flat_map(move |minor| {
                (1..=ALL).map(move |access| Ask { kind, major, minor, access })
            })
        })
    })
}

#[test]
fn the_program_does_what_the_rules_say() {
    let mut dice = Dice::new(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3000 {
        let rules: Vec<Rule> = (0..dice.throw(9)).map(|_| any_rule(&mut dice)).collect();
        let code = program::compile(&rules);
        for ask in asks() {
            assert_eq!(interpret(&code, ask), model(&rules, ask), "{rules:?} {ask:?}");
        }
    }
}

#[test]
fn v1_tables_do_what_the_rules_say_or_are_refused() {
    let mut dice = Dice::new(0x2545_f491_4f6c_dd1d);
    let (mut expressed, mut refused) = (0, 0);
    for _ in 0..3000 {
        let rules: Vec<Rule> = (0..dice.throw(6)).map(|_| any_rule(&mut dice)).collect();
        let Ok(table) = Table::of(&rules) else {
            refused += 1;
            continue;
        };
        expressed += 1;
        let lines = table.lines();
        for ask in asks() {
            let (found, wanted) = (v1(&lines, ask), model(&rules, ask));
            assert!(!found || wanted, "grants too much: {rules:?} {ask:?} {lines:?}");
            if ask.access.count_ones() == 1 {
                assert_eq!(found, wanted, "{rules:?} {ask:?} {lines:?}");
            }
        }
    }
    assert!(expressed > 1000 && refused > 100, "{expressed} {refused}");
}

fn rule(allow: bool, text: &str) -> DeviceRule {
    let mut words = text.split(' ');
    let kind = match words.next() {
        Some("c") => Some(DeviceRuleKind::Char),
        Some("b") => Some(DeviceRuleKind::Block),
        _ => None,
    };
    let mut numbers = words.next().unwrap_or("*:*").split(':').map(|n| n.parse::<i64>().ok());
    DeviceRule {
        allow,
        kind,
        major: numbers.next().flatten(),
        minor: numbers.next().flatten(),
        access: words.next().map(str::to_owned),
    }
}

#[test]
fn the_default_of_runc_spec_on_v1() {
    let devices = compile_devices(&[rule(false, "a *:* rwm")], &data::hybrid()).expect("compile");
    assert_eq!(
        devices.to_string(),
        "devices.deny = \"a\"  # linux.resources.devices\n\
         devices.allow = \"c *:* m\"  # linux.resources.devices\n\
         devices.allow = \"c 1:3 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 1:5 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 1:7 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 1:8 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 1:9 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 5:0 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 5:2 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 10:200 rwm\"  # linux.resources.devices\n\
         devices.allow = \"c 136:* rwm\"  # linux.resources.devices\n\
         devices.allow = \"b *:* m\"  # linux.resources.devices\n"
    );
}

#[test]
fn allow_all_needs_no_write_on_v1_and_three_instructions_more_on_v2() {
    let all = [rule(true, "a")];
    let Ok(Devices::V1(lines)) = compile_devices(&all, &data::hybrid()) else { panic!("v1") };
    assert!(lines.is_empty());
    let Ok(Devices::V2(code, rules)) = compile_devices(&all, &data::v2("/")) else { panic!("v2") };
    assert_eq!(rules.first().map(|r| r.to_string()).as_deref(), Some("allow a *:* rwm"));
    let ask = Ask { kind: DeviceRuleKind::Block, major: 8, minor: 0, access: ALL };
    assert!(interpret(&code, ask));
}

#[test]
fn violations_name_the_rule() {
    let mut bad = [rule(true, "c 1:3 rx"), rule(true, "c 1:3 rwm"), rule(false, "b 1:1 r")];
    bad[1].major = Some(-2);
    bad[2].access = Some(String::new());
    let found = compile_devices(&bad, &data::hybrid()).expect_err("three violations");
    let texts: Vec<String> = found.iter().map(|v| format!("{}: {}", v.path, v.text)).collect();
    assert_eq!(
        texts,
        [
            "linux.resources.devices[0].access: expected letters of rwm, found 'x'",
            "linux.resources.devices[1].major: expected 0 to 4294967295, or -1 for any, found -2",
            "linux.resources.devices[2].access: is empty; leave it out for every access",
        ]
    );
    let hole = [rule(true, "c *:* rwm"), rule(false, "c 1:3 w")];
    let found = compile_devices(&hole, &data::hybrid()).expect_err("a hole");
    assert_eq!(found[0].path, "linux.resources.devices[1]");
    assert!(compile_devices(&hole, &data::v2("/")).is_ok());
}
