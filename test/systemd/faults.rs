//! SIGKILL at system calls of commands that talk to systemd: afterwards `delete --force` leaves no
//! unit, no cgroup and no process, and the same id can be created again.

use tiny_ce_test::{Case, Fault, Whose};

use super::{SYSTEMD, create, creating, is_gone};

/// One call in so many is taken; a prime, see test/kill.rs. Each costs a second in an emulated
/// machine.
const STRIDE: usize = 23;

fn sweep(whose: Whose, fault: Fault) {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("exit 0");
    let stride = if std::env::var_os("TINY_CE_FULL").is_some() { 1 } else { STRIDE };
    let mut points = 0;
    for point in (1..).step_by(stride) {
        let id = case.id();
        let unit = format!("tiny-ce-{id}.scope");
        let faulted = case.fault(whose, fault.clone(), point, &creating(&case, &bundle, &id));
        case.tiny_ce(["delete", "--force", &id]).ok();
        is_gone(&case, &unit);
        let left = case.leftovers();
        assert!(left.is_empty(), "{whose:?} {fault:?} {point}: {left:?}\n{}", faulted.done);
        if faulted.hit.is_none() {
            break;
        }
        points += 1;
        if points % 4 == 0 {
            create(&case, &bundle, &id);
            case.tiny_ce(["delete", "--force", &id]).ok();
        }
    }
    assert!(points > 3, "{points} points");
}

#[test]
fn the_launcher_is_killed() {
    sweep(Whose::Launcher, Fault::Kill);
}

#[test]
fn init_is_killed() {
    sweep(Whose::Init, Fault::Kill);
}

#[test]
fn delete_is_killed() {
    let Some(case) = Case::root(&[SYSTEMD]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let stride = if std::env::var_os("TINY_CE_FULL").is_some() { 1 } else { STRIDE };
    for point in (1..).step_by(stride) {
        let id = case.id();
        create(&case, &bundle, &id);
        let delete = case.command(["delete", "--force", &id]);
        let faulted = case.fault(Whose::Launcher, Fault::Kill, point, &delete);
        case.tiny_ce(["delete", "--force", &id]).ok();
        is_gone(&case, &format!("tiny-ce-{id}.scope"));
        let left = case.leftovers();
        assert!(left.is_empty(), "{point}: {left:?}");
        if faulted.hit.is_none() {
            break;
        }
    }
}
