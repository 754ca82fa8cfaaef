//! The picture of `--analyze`: well-formed, with a part for each step, and no text over another.
//!
//! The boxes of texts are taken wider than a browser draws them.

use std::collections::BTreeSet;

use tiny_ce_test::{Case, run};

use crate::bundles::{mounted, standard};

/// The width and height of the space that a text takes at most, in parts of its size: letters of
/// system-ui and of monospace fonts are narrower.
const WIDEST: f64 = 0.62;
const TALLEST: f64 = 1.0;

/// An element: its name, its attributes as text, and what follows up to the next.
struct Element<'a> {
    name: &'a str,
    attributes: &'a str,
    inside: &'a str,
}

impl Element<'_> {
    fn attribute(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.attributes.split_once(&format!("{name}=\""))?;
        rest.split('"').next()
    }

    #[track_caller]
    fn number(&self, name: &str) -> f64 {
        let value = self.attribute(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{name}: <{} {}>", self.name, self.attributes))
    }
}

/// Every element; each ends, and in the right order.
fn elements(svg: &str) -> Vec<Element<'_>> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for piece in svg.split('<').skip(1) {
        let (tag, inside) = piece.split_once('>').unwrap_or_else(|| panic!("no end: <{piece}"));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "<{piece}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if !tag.ends_with('/') {
            open.push(name);
        }
        let entities = inside.split('&').skip(1);
        for entity in entities {
            let named = ["amp;", "lt;", "gt;", "quot;"].iter().any(|it| entity.starts_with(it));
            assert!(named, "&{entity}");
        }
        all.push(Element { name, attributes, inside });
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

/// Left, top, right and bottom of a text.
fn extent(text: &Element<'_>) -> [f64; 4] {
    let classes = text.attribute("class").unwrap_or_default();
    let size = match classes {
        "title" => 15.0,
        "call" => 11.0,
        _ => 12.0,
    };
    let characters = text.inside.replace("&quot;", "\"").replace("&gt;", ">").replace("&lt;", "<");
    let width = characters.replace("&amp;", "&").chars().count() as f64 * size * WIDEST;
    let (x, y) = (text.number("x"), text.number("y"));
    let left = match classes {
        it if it.contains("middle") => x - width / 2.0,
        it if it.contains("end") => x - width,
        _ => x,
    };
    [left, y - size * TALLEST, left + width, y + 2.0]
}

#[track_caller]
fn no_text_overlaps(all: &[Element<'_>]) {
    let texts: Vec<&Element<'_>> = all.iter().filter(|it| it.name == "text").collect();
    assert!(texts.len() > 30, "{} texts", texts.len());
    let height = all[0].attribute("viewBox").and_then(|it| it.rsplit(' ').next()?.parse().ok());
    let height: f64 = height.expect("a viewBox");
    for (index, text) in texts.iter().enumerate() {
        let [left, top, right, bottom] = extent(text);
        let inside = left >= 0.0 && top >= 0.0 && right <= 640.0 && bottom <= height;
        assert!(inside, "{}: {left} to {right}, {top} to {bottom}", text.inside);
        for other in &texts[index + 1..] {
            let [l, t, r, b] = extent(other);
            let apart = r <= left || l >= right || b <= top || t >= bottom;
            assert!(apart, "{:?} is over {:?}", text.inside, other.inside);
        }
    }
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
