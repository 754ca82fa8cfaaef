//! Pictures as text: their elements, and the boxes of their texts, estimated or as Chromium draws
//! them.

use std::path::Path;

use crate::{command, run};

/// The width and height of the space that a text takes, in parts of its size: monospace fonts are
/// narrower, and so is a line in system-ui; a short word of wide letters may be wider.
const WIDEST: f64 = 0.62;
/// The width of letters of a bold font.
const WIDEST_BOLD: f64 = 0.74;
const TALLEST: f64 = 1.0;

/// An element: its name, its attributes as text, and what follows up to the next.
pub struct Element<'a> {
    /// `rect`.
    pub name: &'a str,
    /// `x="1" y="2"`.
    pub attributes: &'a str,
    /// The text behind its tag.
    pub inside: &'a str,
}

impl Element<'_> {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.attributes.split_once(&format!("{name}=\""))?;
        rest.split('"').next()
    }

    #[track_caller]
    fn number(&self, name: &str) -> f64 {
        let value = self.attribute(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{name}: <{} {}>", self.name, self.attributes))
    }
}

/// Every element; each ends, and in the right order, and nothing else is markup.
#[track_caller]
pub fn elements(svg: &str) -> Vec<Element<'_>> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for piece in svg.split('<').skip(1) {
        let (tag, inside) = piece.split_once('>').unwrap_or_else(|| panic!("no end: <{piece}"));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "<{piece}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let known = ["svg", "style", "rect", "path", "text", "title", "g"].contains(&name);
        assert!(known, "<{tag}>");
        if !tag.ends_with('/') {
            open.push(name);
        }
        let entities = inside.split('&').skip(1);
        for entity in entities {
            let named = ["amp;", "lt;", "gt;", "quot;"].iter().any(|it| entity.starts_with(it));
            assert!(named, "&{entity}");
        }
        let unseen = |c: char| c.is_control() && c != '\n';
        assert!(!piece.contains(unseen), "{piece:?}");
        all.push(Element { name, attributes, inside });
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

/// The space that something takes.
#[derive(Debug)]
pub struct Area {
    /// Left, top, right and bottom.
    pub edges: [f64; 4],
    /// The text, or the name of the element.
    pub words: String,
}

/// The texts, with the space that each takes at most.
#[track_caller]
pub fn texts(all: &[Element<'_>]) -> Vec<Area> {
    let texts = all.iter().filter(|it| it.name == "text");
    texts.map(|it| Area { edges: extent(it), words: it.inside.to_owned() }).collect()
}

#[track_caller]
fn extent(text: &Element<'_>) -> [f64; 4] {
    let classes = text.attribute("class").unwrap_or_default();
    let (size, widest) = match classes {
        it if it.contains("title") => (15.0, WIDEST_BOLD),
        it if it.contains("head") => (12.0, WIDEST_BOLD),
        it if it.contains("call") => (11.0, WIDEST),
        _ => (12.0, WIDEST),
    };
    let characters = text.inside.replace("&quot;", "\"").replace("&gt;", ">").replace("&lt;", "<");
    let letters = characters.replace("&amp;", "&").chars().count();
    let width = match text.attribute("textLength") {
        Some(_) => text.number("textLength"),
        None => letters as f64 * size * widest,
    };
    let (x, y) = (text.number("x"), text.number("y"));
    let left = match classes {
        it if it.contains("middle") => x - width / 2.0,
        it if it.contains("end") => x - width,
        _ => x,
    };
    [left, y - size * TALLEST, left + width, y + 2.0]
}

/// Every text is within the picture, and no two share a place.
#[track_caller]
pub fn apart(areas: &[Area], [width, height]: [f64; 2]) {
    for (index, area) in areas.iter().enumerate() {
        let [left, top, right, bottom] = area.edges;
        let inside = left >= 0.0 && top >= 0.0 && right <= width && bottom <= height;
        assert!(inside, "{:?}: {left} to {right}, {top} to {bottom} of {height}", area.words);
        for other in &areas[index + 1..] {
            let [l, t, r, b] = other.edges;
            let apart = r <= left || l >= right || b <= top || t >= bottom;
            assert!(apart, "{:?} is over {:?}: {area:?} {other:?}", area.words, other.words);
        }
    }
}

/// The width and the height of a picture.
#[track_caller]
pub fn size(all: &[Element<'_>]) -> [f64; 2] {
    let shown = all[0].attribute("viewBox").expect("a viewBox");
    let numbers: Vec<f64> = shown.split(' ').map(|it| it.parse().expect("a number")).collect();
    [numbers[2], numbers[3]]
}

/// What Chromium draws of a picture.
pub struct Drawn {
    /// The texts, each with its box.
    pub texts: Vec<Area>,
    /// The small squares beside them.
    pub squares: Vec<Area>,
}

/// A picture is in a shadow tree of its own, so that its styles are no other picture's.
const MEASURE: &str = r"
const rows = [];
document.querySelectorAll('body > div').forEach((picture, at) => {
  for (const it of picture.shadowRoot.querySelectorAll('text, rect:not(.page):not(.lane)')) {
    const box = it.getBBox();
    const words = it.tagName === 'text' ? it.textContent : it.getAttribute('class');
    const edges = [box.x, box.y, box.x + box.width, box.y + box.height];
    rows.push(at + ' ' + edges.map(n => n.toFixed(2)).join(' ') + ' ' + it.tagName + ' ' + words);
  }
});
document.body.innerHTML = '<pre>MEASURED\n' + rows.map(row => row.replaceAll('&', '&amp;')
  .replaceAll('<', '&lt;')).join('\n') + '\nEND</pre>';
";

/// Measure pictures in headless Chromium, which needs `chromium`: all of them in one run, since its
/// start takes seconds.
#[track_caller]
pub fn measured(pictures: &[String], dir: &Path) -> Vec<Drawn> {
    let page = dir.join("measured.html");
    let open = "<div><template shadowrootmode=\"open\">";
    let trees: String = pictures.iter().map(|it| format!("{open}{it}</template></div>")).collect();
    let html = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><body>{trees}<script>{MEASURE}</script></body>"
    );
    std::fs::write(&page, html).expect("a page");
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    let address = format!("file://{}", page.display());
    // Without a sandbox it runs as root, and the page is ours.
    let words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", &profile];
    let done = run(command(words).args(["--dump-dom", &address]), dir);
    let (_, rows) = done.ok().split_once("MEASURED\n").expect("what was measured");
    let (rows, _) = rows.split_once("\nEND").expect("all of what was measured");
    let nothing = || Drawn { texts: Vec::new(), squares: Vec::new() };
    let mut all: Vec<Drawn> = pictures.iter().map(|_| nothing()).collect();
    for row in rows.lines() {
        let mut words = row.splitn(7, ' ');
        let picture: usize = words.next().and_then(|it| it.parse().ok()).expect(row);
        let edges = [(); 4].map(|()| words.next().and_then(|it| it.parse().ok()).expect(row));
        let kind = words.next().expect(row);
        let area = Area { edges, words: words.next().unwrap_or_default().to_owned() };
        let drawn = &mut all[picture];
        if kind == "text" { drawn.texts.push(area) } else { drawn.squares.push(area) }
    }
    all
}
