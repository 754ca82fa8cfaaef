//! The bytes of a plan: an encoded plan decodes to itself, a damaged one is refused or is another
//! plan, and nothing makes the decoder panic.
//!
//! The table of operations provides the examples, by the types of a row's fields: a new row needs
//! none, a new type fails here until it has one.

use std::collections::BTreeSet;

use tiny_ce::plan::{Finished, Plan};
use tiny_ce_init::flags::*;
use tiny_ce_init::step::{Header, Plan as Steps};
use tiny_ce_init::wire::{Field, Reader, Sink};
use tiny_ce_init::{Guard, Op, ROWS, Slot, Step, Unless};
use tiny_ce_test::Dice;

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Sink for Bytes {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn encoded<'p>(value: &impl Field<'p>) -> Vec<u8> {
    let mut bytes = Bytes::default();
    value.encode(&mut bytes);
    bytes.0
}

/// A random value of the type that a row names, in its encoding.
fn example(kind: &str, dice: &mut Dice) -> Vec<u8> {
    match kind {
        "Slot" => encoded(&match dice.throw(Slot::COUNT + 1) {
            Slot::COUNT => Slot::CWD,
            number => Slot::new(number as u8).expect("below their count"),
        }),
        "&'p CStr" => {
            let length = dice.throw(40);
            let mut text: Vec<u8> =
                dice.bytes(length).into_iter().map(|byte| byte.max(1)).collect();
            text.push(0);
            encoded(&text.as_slice())
        }
        "&'p [u8]" => {
            let length = dice.throw(40);
            encoded(&dice.bytes(length).as_slice())
        }
        "Prctl" => encoded(&dice.one(Prctl::ALL).1),
        "Kind" => encoded(&dice.one(Kind::ALL).1),
        "Magic" => encoded(&dice.one(Magic::ALL).1),
        "Report" => encoded(&dice.one(Report::ALL).1),
        "Signal" => encoded(&dice.one(Signal::ALL).1),
        "SigHow" => encoded(&dice.one(SigHow::ALL).1),
        "Resource" => encoded(&dice.one(Resource::ALL).1),
        "u32" | "CloneFlags" | "AtFlags" | "OpenTreeFlags" | "FsopenFlags" | "FspickFlags"
        | "FsmountFlags" | "MoveMountFlags" | "UmountFlags" | "CloseRangeFlags" | "FilterFlags"
        | "MemoryFlags" | "Mode" | "Device" => dice.bytes(4),
        "u64" | "OpenFlags" | "Resolve" | "MountAttrs" => dice.bytes(8),
        "OpenHow" => dice.bytes(size_of::<OpenHow>()),
        "MountAttr" => dice.bytes(size_of::<MountAttr>()),
        "Rlimit" => dice.bytes(size_of::<Rlimit>()),
        "SchedAttr" => dice.bytes(size_of::<SchedAttr>()),
        "Caps" => dice.bytes(size_of::<Caps>()),
        kind => panic!("{kind}: a type that this test has no example of"),
    }
}

/// A random step of a row.
fn step_of(row: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.throw(3) {
        0 => vec![0],
        guard => [vec![guard as u8], example("Slot", dice)].concat(),
    };
    bytes.extend(((dice.number() & 0x1ff) as u16).to_le_bytes());
    bytes.push(row as u8);
    for (_, kind) in ROWS[row].fields {
        bytes.extend(example(kind, dice));
    }
    bytes
}

/// A whole plan: a random step of every row.
fn plan_of_every_row(dice: &mut Dice) -> Vec<u8> {
    let steps: Vec<u8> = (0..ROWS.len()).flat_map(|row| step_of(row, dice)).collect();
    let mut plan = Bytes::default();
    let length = (Header::SIZE + steps.len()) as u32;
    Header { length, preloaded: 7 }.encode(&mut plan);
    plan.0.extend(steps);
    plan.0
}

/// Encode what decodes: the result must be the same bytes.
fn again(plan: &[u8]) -> Option<Vec<u8>> {
    let steps = Steps::new(plan).ok()?;
    let mut bytes = Bytes::default();
    let (length, preloaded) = (plan.len() as u32, steps.preloaded() as u32);
    Header { length, preloaded }.encode(&mut bytes);
    for step in steps {
        assert!(!step.to_string().is_empty());
        step.encode(&mut bytes);
    }
    Some(bytes.0)
}

#[test]
fn every_row_survives_the_wire_and_reads_as_its_call() {
    let mut dice = Dice::new(1);
    for (number, row) in ROWS.iter().enumerate() {
        assert!(!row.doc.trim().is_empty(), "{}: no doc", row.name);
        for _ in 0..200 {
            let bytes = step_of(number, &mut dice);
            let mut reader = Reader::new(&bytes);
            let step = Step::decode(&mut reader).unwrap_or_else(|_| panic!("{}", row.name));
            assert_eq!(reader.left(), 0, "{}", row.name);
            let mut same = Bytes::default();
            step.encode(&mut same);
            assert_eq!(same.0, bytes, "{}", row.name);
            assert_eq!((step.op.name(), step.op.call_name()), (row.name, row.call));
            let text = step.op.to_string();
            let call = format!("{}(", row.call.to_lowercase());
            assert!(text.starts_with(&call) && text.ends_with(')'), "{}: {text}", row.name);
            for (field, _) in row.fields {
                assert!(text.contains(&format!("{field}=")), "{}: {text}", row.name);
            }
            assert!(!text.chars().any(char::is_control), "{}: {text:?}", row.name);
        }
    }
}

#[test]
fn rows_have_names_of_their_own() {
    let names: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), ROWS.len());
    // A row's number is one byte in the plan.
    assert!(ROWS.len() <= 256);
}

#[test]
fn a_cut_or_lengthened_plan_is_refused() {
    let plan = plan_of_every_row(&mut Dice::new(2));
    assert_eq!(again(&plan).as_deref(), Some(plan.as_slice()));
    assert_eq!(Steps::new(&plan).map(|steps| steps.count()), Ok(ROWS.len()));
    for length in 0..plan.len() {
        assert!(Steps::new(&plan[..length]).is_err(), "{length} of {} bytes", plan.len());
        // A header with the shortened length does not help, unless the cut is between two steps.
        let mut short = plan[..length].to_vec();
        if let Some(place) = short.get_mut(8..12) {
            place.copy_from_slice(&(length as u32).to_le_bytes());
            assert!(again(&short).is_none_or(|same| same == short), "{length}");
        }
    }
    let more = [&plan[..], &[0]].concat();
    assert!(Steps::new(&more).is_err(), "a trailing byte");
}

#[test]
fn another_build_s_plan_is_refused() {
    let plan = plan_of_every_row(&mut Dice::new(3));
    for at in 0..8 {
        for bit in 0..8 {
            let mut other = plan.clone();
            other[at] ^= 1 << bit;
            assert!(Steps::new(&other).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_damaged_byte_is_an_error_or_another_plan() {
    let plan = plan_of_every_row(&mut Dice::new(4));
    for at in 0..plan.len() {
        for change in [1, 8, 128, 0xff] {
            let mut other = plan.clone();
            other[at] ^= change;
            assert!(again(&other).is_none_or(|same| same == other), "byte {at} ^ {change}");
        }
    }
}

#[test]
fn random_bytes_are_an_error_or_a_plan() {
    let mut dice = Dice::new(5);
    let header = plan_of_every_row(&mut dice)[..Header::SIZE].to_vec();
    for _ in 0..20_000 {
        let length = dice.throw(64);
        let mut bytes = dice.bytes(length);
        // Valid codes and guards let the decoder get further.
        for byte in &mut bytes {
            *byte = if dice.throw(2) == 0 { *byte & 3 } else { *byte };
        }
        assert!(again(&bytes).is_none_or(|same| same == bytes));
        let mut plan = [&header[..], &bytes].concat();
        let length = (plan.len() as u32).to_le_bytes();
        plan[8..12].copy_from_slice(&length);
        assert!(again(&plan).is_none_or(|same| same == plan));
    }
}

#[test]
fn absurd_lengths_are_refused() {
    for length in [0, 1, Header::SIZE as u32 - 1, Header::LONGEST + 1, u32::MAX] {
        let mut bytes = Bytes::default();
        Header { length, preloaded: 0 }.encode(&mut bytes);
        assert!(Header::decode(&mut Reader::new(&bytes.0)).is_err(), "{length}");
    }
    for preloaded in [Slot::COUNT as u32, u32::MAX] {
        let mut bytes = Bytes::default();
        Header { length: Header::SIZE as u32, preloaded }.encode(&mut bytes);
        assert!(Header::decode(&mut Reader::new(&bytes.0)).is_err(), "{preloaded} preloaded");
    }
}

fn shown(op: Op<'_>) -> String {
    Step { guard: Guard::Always, unless: Unless::NOTHING, op }.to_string()
}

#[test]
fn steps_read_as_strace_prints_them() {
    let slot = |number| Slot::new(number).expect("a slot");
    let how = OpenHow {
        flags: OpenFlags::O_PATH | OpenFlags::O_CLOEXEC,
        mode: 0,
        resolve: Resolve::RESOLVE_IN_ROOT | Resolve::RESOLVE_NO_MAGICLINKS,
    };
    assert_eq!(
        shown(Op::Openat2 { into: slot(2), at: Slot::CWD, path: c"etc/\"a\"\n", how }),
        "openat2(into=fd2, at=AT_FDCWD, path=\"etc/\\\"a\\\"\\n\", \
         how={flags=O_CLOEXEC|O_PATH, mode=0, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT})"
    );
    let flags = UmountFlags::MNT_DETACH | UmountFlags(0x40);
    let text = "umount2(target=\".\", flags=MNT_DETACH|0x40)";
    assert_eq!(shown(Op::Umount2 { target: c".", flags }), text);
    let (mode, dev) = (Mode(0o020_666), Device::new(1, 3).expect("1:3"));
    assert_eq!(
        shown(Op::Mknodat { at: slot(1), path: c"null", mode, dev }),
        "mknodat(at=fd1, path=\"null\", mode=S_IFCHR|0666, dev=1:3)"
    );
    let attr = MountAttr {
        attr_set: MountAttrs::MOUNT_ATTR_RDONLY,
        attr_clr: MountAttrs(0),
        propagation: Propagation(0),
        userns_fd: 0,
    };
    assert_eq!(
        shown(Op::MountSetattr { at: slot(0), path: c"", flags: AtFlags::AT_EMPTY_PATH, attr }),
        "mount_setattr(at=fd0, path=\"\", flags=AT_EMPTY_PATH, \
         attr={attr_set=MOUNT_ATTR_RDONLY, attr_clr=0, propagation=0, userns_fd=0})"
    );
    let caps = Caps { effective: CapSet(0x20), permitted: CapSet(1 << 40), inheritable: CapSet(0) };
    assert_eq!(
        shown(Op::Capset { caps }),
        "capset(caps={effective=0x20, permitted=0x10000000000, inheritable=0x0})"
    );
    let option = Prctl::PR_SET_NO_NEW_PRIVS;
    let text = "prctl(option=PR_SET_NO_NEW_PRIVS, value=1)";
    assert_eq!(shown(Op::Prctl { option, value: 1 }), text);
    let long = "x".repeat(200);
    let text = shown(Op::Write { fd: slot(3), data: long.as_bytes() });
    assert_eq!(text, format!("write(fd=fd3, data=\"{}\"...)", &long[..96]));
    assert_eq!(
        shown(Op::Write { fd: slot(3), data: b"\xff\0" }),
        r#"write(fd=fd3, data="\xff\x00")"#
    );
}

#[test]
fn every_guard_and_tolerance_survives_and_is_shown() {
    let names =
        ["EEXIST", "ENOENT", "ENOTDIR", "EACCES", "EPERM", "EINVAL", "ENOSYS", "ELOOP", "EROFS"];
    let numbers = [17, 2, 20, 13, 1, 22, 38, 40, 30];
    let one = Slot::new(9).expect("a slot");
    let guards = [
        (Guard::Always, ""),
        (Guard::Present(one), "if fd9: "),
        (Guard::Absent(one), "if no fd9: "),
    ];
    for (guard, front) in guards {
        for bits in 0..1u16 << names.len() {
            // The guard, the tolerance, and the code of Setsid, which has no fields.
            let code = ROWS.iter().position(|row| row.name == "Setsid").expect("a row") as u8;
            let mut bytes = match guard {
                Guard::Always => vec![0],
                Guard::Present(_) => vec![1, 9],
                Guard::Absent(_) => vec![2, 9],
            };
            bytes.extend([bits as u8, (bits >> 8) as u8, code]);
            let step = Step::decode(&mut Reader::new(&bytes)).expect("a step");
            assert_eq!(step.guard, guard);
            let has = |at: usize| bits & 1 << at != 0;
            let set: Vec<&str> =
                (0..names.len()).filter(|at| has(*at)).map(|at| names[at]).collect();
            let end = if bits == 0 { String::new() } else { format!(" unless {}", set.join(", ")) };
            assert_eq!(step.to_string(), format!("{front}setsid(){end}"));
            for (at, errno) in numbers.iter().enumerate() {
                assert_eq!(step.unless.tolerates(*errno), has(at), "{errno}");
            }
            assert!(!step.unless.tolerates(5) && !step.unless.tolerates(0));
            let mut same = Bytes::default();
            step.encode(&mut same);
            assert_eq!(same.0, bytes);
        }
    }
    for unknown in [1u16 << 9, 1 << 15, u16::MAX] {
        let bytes = [&[0], &unknown.to_le_bytes()[..], &[0]].concat();
        assert!(Step::decode(&mut Reader::new(&bytes)).is_err(), "{unknown:#x}");
    }
}

#[test]
fn device_numbers_are_the_kernel_s() {
    for (major, minor, number) in [(1, 3, 0x103), (5, 2, 0x502), (8, 256, 0x10_0800)] {
        let device = Device::new(major, minor).expect("a device");
        assert_eq!((device.0, device.major(), device.minor()), (number, major, minor));
    }
    assert_eq!(Device::new(1 << 12, 0), None);
    assert_eq!(Device::new(0, 1 << 20), None);
}

/// A plan with origins, as `create` stores it.
fn finished() -> Finished {
    let mut plan = Plan::new();
    plan.origin("mounts[3] \"/proc\"");
    plan.step(Op::Setsid {});
    plan.step_unless(Unless::EINVAL, Op::Umask { mask: Mode(0o22) });
    plan.origin("process.args[0] \"a\nb\\n\"");
    plan.step(Op::Execve { path: c"/bin/sh" });
    plan.finish()
}

#[test]
fn a_plan_s_file_is_read_back() {
    let plan = finished();
    let back = Finished::from_file(&plan.to_file()).expect("what was written");
    assert_eq!(back.bytes, plan.bytes);
    assert_eq!(back.to_string(), plan.to_string());
    for index in 0..3 {
        assert_eq!(back.origin(index), plan.origin(index));
    }
    assert_eq!(back.to_file(), plan.to_file());
    let empty = Plan::new().finish();
    assert_eq!(Finished::from_file(&empty.to_file()).map(|back| back.bytes), Some(empty.bytes));
}

#[test]
fn a_damaged_plan_s_file_is_refused() {
    let file = finished().to_file();
    for length in 0..file.len() {
        assert_eq!(Finished::from_file(&file[..length]), None, "{length} of {}", file.len());
    }
    for more in [&b"x"[..], b"\n", b"4\tmore\n", b"\xff"] {
        assert_eq!(Finished::from_file(&[&file, more].concat()), None, "{more:?}");
    }
    for at in 0..12 {
        let mut other = file.clone();
        other[at] ^= 1;
        assert_eq!(Finished::from_file(&other), None, "byte {at}");
    }
    let mut dice = Dice::new(6);
    for _ in 0..2000 {
        let mut other = file.clone();
        let at = dice.throw(other.len());
        other[at] = dice.number() as u8;
        // Any plan that is accepted can be printed.
        if let Some(plan) = Finished::from_file(&other) {
            let _ = (plan.to_string(), plan.failure(1, 22, "e what"));
        }
    }
}
