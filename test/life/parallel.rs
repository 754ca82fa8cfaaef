//! Commands in parallel: one succeeds, or all do, and nothing is left.

use std::process::{Child, Command, Stdio};
use tiny_ce_test::{Bundle, Case};

/// Start all commands before waiting for any; return how many succeeded.
fn all(commands: impl Iterator<Item = Command>) -> usize {
    let quiet = |mut command: Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("tiny-ce")
    };
    let children: Vec<Child> = commands.map(quiet).collect();
    let won = |mut child: Child| child.wait().expect("an end").success();
    children.into_iter().map(won).filter(|won| *won).count()
}

fn create(case: &Case, bundle: &Bundle, id: &str) -> Command {
    let mut command = case.command(["create", "--bundle"]);
    command.arg(bundle.path()).arg(id);
    command
}

#[test]
fn of_64_creates_of_one_id_one_wins() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let id = case.id();
    let creates: Vec<Command> = (0..64).map(|_| create(&case, &bundle, &id)).collect();
    assert_eq!(all(creates.into_iter()), 1);
    let done = case.tiny_ce(["state", &id]);
    assert!(done.ok().contains("\"created\""), "{done}");
    // Only one of several starts succeeds.
    assert_eq!(all((0..16).map(|_| case.command(["start", &id]))), 1);
    let done = case.tiny_ce(["state", &id]);
    assert!(done.ok().contains("\"running\""), "{done}");
    // Each forced delete succeeds: one deletes the container, the others find none.
    assert_eq!(all((0..16).map(|_| case.command(["delete", "--force", &id]))), 16);
}

#[test]
fn a_hundred_ids_leave_nothing() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.probe("pause");
    let ids: Vec<String> = (0..100).map(|_| case.id()).collect();
    let creates: Vec<Command> = ids.iter().map(|id| create(&case, &bundle, id)).collect();
    assert_eq!(all(creates.into_iter()), 100);
    assert_eq!(case.tiny_ce(["list", "--quiet"]).ok().lines().count(), 100);
    assert_eq!(all(ids.iter().map(|id| case.command(["delete", id]))), 100);
    assert_eq!(case.leftovers(), Vec::<String>::new());
}
