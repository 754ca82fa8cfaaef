//! The picture of `--analyze`: well-formed, with a part for each step, and no text over another.
//!
//! The boxes of texts are taken wider than a browser draws them; test/pictures.rs asks a browser.

use std::collections::BTreeSet;

use tiny_ce_test::svg::{Element, apart, elements, size, texts};
use tiny_ce_test::{Case, run};

use crate::bundles::{mounted, standard};

#[track_caller]
fn no_text_overlaps(all: &[Element<'_>]) {
    let texts = texts(all);
    assert!(texts.len() > 30, "{} texts", texts.len());
    apart(&texts, size(all));
}

#[test]
fn a_picture_has_every_step_and_no_text_over_another() {
    let Some(case) = Case::root(&[]) else { return };
    for bundle in [standard(&case), mounted(&case)] {
        let path = bundle.path();
        let mut words = case.command(["explain", "--analyze", "--format", "svg"]);
        let svg = run(words.arg(path), case.dir()).ok().to_owned();
        let all = elements(&svg);
        assert!(!svg.contains("<script") && svg.contains("prefers-color-scheme: dark"), "{svg}");
        let titles: Vec<&str> =
            all.iter().filter(|it| it.name == "title").map(|it| it.inside).collect();
        for part in ["the clone of init: ", "read the plan: ", "root.path: "] {
            assert!(titles.iter().any(|title| title.starts_with(part)), "{part}: {titles:?}");
        }
        let calls = svg.split_once("init: ").and_then(|(_, rest)| rest.split_once(", "));
        let calls = calls.and_then(|(_, rest)| rest.split_once(" system calls"));
        let calls: usize = calls.expect("a number of calls").0.parse().expect("a number");
        let phases = titles.iter().filter(|title| !title.contains('(')).count();
        // Init reads its plan before its steps, and that is no step.
        assert_eq!(titles.len() - phases, calls, "{titles:?}");
        // Every class that is used has a colour.
        let classes: BTreeSet<&str> = all
            .iter()
            .filter(|it| it.name == "rect")
            .filter_map(|it| it.attribute("class"))
            .collect();
        for class in classes {
            assert_eq!(svg.matches(&format!(".{class} {{ fill")).count(), 2, "{class}");
        }
        no_text_overlaps(&all);
    }
}

/// What is slow has a letter and a name, and the time that the program runs takes no room.
#[test]
fn a_picture_names_what_is_slow_and_leaves_the_program_out() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = standard(&case);
    bundle.probe("sleep 700");
    let done = run(&mut case.make(&["run", "--analyze", "a.svg"], &bundle, &case.id()), case.dir());
    done.ok();
    let svg = std::fs::read_to_string(case.dir().join("a.svg")).expect("the picture");
    let all = elements(&svg);
    let text = |end: &str| all.iter().any(|it| it.name == "text" && it.inside.ends_with(end));
    assert!(text("the clone of init") && text(" from the command line to the program"), "{svg}");
    let then = all.iter().find(|it| it.inside.starts_with("then: waiting for the program "));
    assert!(then.is_some(), "{svg}");
    let [first, last] = ["1", "a"].map(|name| {
        let letter = |it: &&Element<'_>| it.name == "text" && it.inside == name;
        all.iter().filter(letter).count()
    });
    assert_eq!([first, last], [2, 2], "a letter is in its lane and in its list: {svg}");
    no_text_overlaps(&all);
}
