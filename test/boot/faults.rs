//! Boots that something ends at a random moment: none outlasts its time, and each has a status that
//! says what has happened.

use std::time::{Duration, Instant};
use tiny_ce_test::{Case, Dice, Running, full};

use super::{command, kernel, rootfs, text};

/// The time that a machine has, and how much longer `vm` may take to end it.
const TIMEOUT_S: u64 = 40;
const SLACK: Duration = Duration::from_secs(20);

/// What happens to the machine.
const FAULTS: [(&str, &str); 7] = [
    // From inside, after a random time.
    ("crash", "sleep $T; echo c > /proc/sysrq-trigger; sleep 100"),
    ("reset", "sleep $T; echo b > /proc/sysrq-trigger; sleep 100"),
    ("killed", "sleep $T; kill -9 $$"),
    ("told", "sleep $T; kill -TERM 1; sleep 100"),
    ("late", "sleep 100"),
    // From outside, to QEMU.
    ("qemu", "sleep 100"),
    // Nothing at all.
    ("none", "sleep $T; exit 3"),
];

#[test]
fn a_machine_that_ends_at_random_is_told_apart() {
    let Some(kernel) = kernel("bookworm") else { return };
    let boots = if full() { 200 } else { FAULTS.len() as u64 };
    let given = std::env::var("TINY_CE_SEED").ok().and_then(|it| it.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    let mut dice = Dice::new(seed);
    let case = Case::new();
    let root = rootfs(&case);
    for number in 0..boots {
        let (fault, script) = FAULTS[(number as usize) % FAULTS.len()];
        let pause = format!("{}.{}", dice.throw(3), dice.throw(10));
        let job = script.replace("$T", &pause);
        let machine = serde_json::json!({"containers": [{"command": ["/bin/sh", "-c", job]}]});
        std::fs::write(case.dir().join("machine.json"), machine.to_string()).expect("written");
        let timeout = format!("{TIMEOUT_S}s");
        let words = ["vm", "--accel", "tcg", "--timeout", &timeout, "--kernel", text(&kernel)];
        let words = [&words[..], &["--machine", "machine.json", "--files", text(&root)]].concat();
        let began = Instant::now();
        let mut running = Running::start(&mut command(&case, words), case.dir());
        if fault == "qemu" {
            std::thread::sleep(Duration::from_millis(500 + 100 * dice.throw(60) as u64));
            let own = format!("/proc/{0}/task/{0}/children", running.pid());
            let qemu = std::fs::read_to_string(own).expect("a child");
            case.program(["kill", "-KILL", qemu.trim()]).ok();
        }
        let done = running.exited();
        let what = format!("boot {number}, seed {seed}, {fault} after {pause} s: {done}");
        assert!(began.elapsed() < Duration::from_secs(TIMEOUT_S) + SLACK, "{what}");
        let (status, text) = match fault {
            "crash" => (125, "the kernel panicked"),
            "reset" => (125, "the machine ended without a status"),
            "killed" => (137, ""),
            "told" => (125, "in the machine: the machine was switched off: a signal"),
            "late" => (125, "not finished after 40 s (--timeout)"),
            "qemu" => (125, "QEMU failed: killed by a signal"),
            _ => (3, ""),
        };
        assert_eq!(done.code(), status, "{what}");
        match text {
            "" => assert_eq!(done.stderr, "", "{what}"),
            text => assert!(done.stderr.contains(&format!("vm: {text}")), "{what}"),
        }
    }
}
