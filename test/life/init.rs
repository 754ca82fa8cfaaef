//! What a container costs before its program runs: init is small, and fits into tight limits.

use std::fs;
use tiny_ce_test::Case;

#[test]
fn one_process_is_enough() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/linux/resources/pids/limit", 1).probe("fork 1 then pid");
    let done = case.run(&bundle);
    assert_eq!(done.ends(0).value("forked"), "0");
    assert_eq!(done.value("fork"), "EAGAIN");
    assert_eq!(done.value("pid"), "1");
    let mut container = case.create(&bundle);
    container.start();
    container.ended();
}

#[test]
fn a_program_starts_in_128_kibibytes() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/linux/resources/memory/limit", 128 << 10).probe("say alive");
    let done = case.run(&bundle);
    assert_eq!(done.ends(0).stdout, "alive\n");
    let mut container = case.create(&bundle);
    container.start();
    assert_eq!(container.ended().stdout, "alive\n");
    // The program also keeps running under the limit.
    let mut lasting = case.bundle();
    lasting.set("/linux/resources/memory/limit", 128 << 10).probe("pause");
    let mut container = case.create(&lasting);
    container.start();
    container.line("ready: pause");
    let limits: Vec<String> = case
        .cgroups()
        .iter()
        .flat_map(|dir| ["memory.max", "memory.limit_in_bytes"].map(|file| dir.join(file)))
        .filter(|file| file.to_string_lossy().contains(container.id()))
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect();
    assert_eq!(limits, ["131072\n"]);
    assert_eq!(container.status(), "running");
}

#[test]
fn init_takes_36_kibibytes_of_memory() {
    let Some(case) = Case::root(&[]) else { return };
    let taken = || {
        let container = case.create(&case.bundle());
        let rollup = format!("/proc/{}/smaps_rollup", container.pid());
        let rollup = fs::read_to_string(rollup).expect("smaps_rollup");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        kibibytes.expect("Pss").parse::<u32>().expect("a number")
    };
    // 28, 32 or 36, by where in a page the stack begins, which the kernel chooses at random.
    let taken = [(); 10].map(|()| taken());
    assert!(taken.iter().all(|kibibytes| *kibibytes <= 36), "Pss of {taken:?} KiB");
}

/// A program header of a 64-bit ELF file.
struct Segment {
    kind: u32,
    flags: u32,
}

fn segments(elf: &[u8]) -> Vec<Segment> {
    assert_eq!(&elf[..5], b"\x7fELF\x02");
    let half = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
    let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().expect("4 bytes"));
    let (first, size, count) = (word(32) as usize, half(54), half(56));
    let at = |index: usize| first + index * size;
    (0..count).map(|n| Segment { kind: word(at(n)), flags: word(at(n) + 4) }).collect()
}

#[test]
fn init_is_a_small_static_program_without_writable_code() {
    let Some(case) = Case::root(&[]) else { return };
    let container = case.create(&case.bundle());
    let exe = format!("/proc/{}/exe", container.pid());
    let elf = fs::read(&exe).expect("init's program");
    assert!(elf.len() <= 12 << 10, "{} bytes", elf.len());
    let segments = segments(&elf);
    let (load, interpreter, stack) = (1, 3, 0x6474_e551);
    let (execute, write) = (1, 2);
    assert!(segments.iter().any(|it| it.kind == load && it.flags & execute != 0));
    assert!(segments.iter().all(|it| it.kind != interpreter), "has an interpreter");
    assert!(segments.iter().all(|it| it.flags & (execute | write) != execute | write), "W+X");
    assert!(segments.iter().any(|it| it.kind == stack), "an executable stack by default");
    // No mapping in memory is writable and executable either.
    let maps = fs::read_to_string(format!("/proc/{}/maps", container.pid())).expect("maps");
    assert!(!maps.contains("wx"), "{maps}");
    // The memfd is sealed: no process can write to it.
    assert!(fs::File::options().write(true).open(&exe).is_err());
}
