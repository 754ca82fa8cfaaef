//! A picture that is a column of cards, each with a heading and lines.

use std::fmt::Write;

use super::{LINE, WIDTH, document, escaped, mono, text, wrap};

/// Where the lines of a card begin and end.
pub const LEFT: f64 = 22.0;
/// See [`LEFT`].
pub const RIGHT: f64 = WIDTH - 22.0;
/// Where the values of facts begin, with the square before them.
const VALUE: f64 = 146.0;
/// From a square to the text behind it.
const BEHIND: f64 = 17.0;
/// The height of a line of monospace text.
const SMALL: f64 = 15.0;

/// How much of the host something of a container is; the colour of a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The container's own, or closed.
    Own,
    /// Shared, but restricted.
    Shared,
    /// The host's, or open.
    Open,
    /// Absent.
    Absent,
}

impl State {
    /// All of them, with what the legend says.
    pub const LEGEND: [(State, &'static str); 4] = [
        (State::Own, "its own, or closed"),
        (State::Shared, "shared, restricted"),
        (State::Open, "the host's, or open"),
        (State::Absent, "absent"),
    ];

    fn class(self) -> &'static str {
        match self {
            State::Own => "place",
            State::Shared => "keep",
            State::Open => "start",
            State::Absent => "grid",
        }
    }
}

/// A picture under construction.
pub struct Sheet {
    /// The elements so far.
    pub body: String,
    /// The baseline of the next line, or the upper edge of the next card.
    pub y: f64,
}

impl Sheet {
    /// A sheet with a title of ours, and the name of what it is about.
    pub fn new(title: &str, name: &str) -> Sheet {
        let mut sheet = Sheet { body: String::new(), y: 24.0 };
        text(&mut sheet.body, "title", (10.0, sheet.y), title);
        sheet.y += LINE + 1.0;
        sheet.lines("", 10.0, WIDTH - 10.0, name);
        sheet.y += 3.0;
        sheet
    }

    /// Words of ours below the title, or below the cards.
    pub fn remark(&mut self, words: &str) {
        // In the text's font, whose letters are a little wider than those of the monospace one.
        for line in wrap(words, (WIDTH - 20.0) * 0.9) {
            text(&mut self.body, "quiet", (10.0, self.y), &line);
            self.y += LINE;
        }
    }

    /// What the colours mean, in a line.
    pub fn legend(&mut self) {
        for (index, (state, words)) in State::LEGEND.into_iter().enumerate() {
            let x = 10.0 + 155.0 * index as f64;
            self.square(state, x, self.y);
            text(&mut self.body, "", (x + BEHIND, self.y), words);
        }
        self.y += 14.0;
    }

    /// A card with what `inside` writes.
    pub fn card(&mut self, heading: &str, inside: impl FnOnce(&mut Sheet)) {
        let (at, top) = (self.body.len(), self.y);
        text(&mut self.body, "head", (LEFT, top + 20.0), heading);
        self.y = top + 20.0 + LINE + 3.0;
        inside(self);
        let height = self.y - top - 4.0;
        let (wide, round) = (WIDTH - 20.0, "rx=\"6\"");
        let card = format!(
            "<rect class=\"lane\" x=\"10\" y=\"{top:.1}\" width=\"{wide}\" height=\"{height:.1}\" \
             {round}/>\n"
        );
        self.body.insert_str(at, &card);
        self.y = top + height + 10.0;
    }

    /// A square in the colour of a state, left of a text with this baseline.
    pub fn square(&mut self, state: State, x: f64, y: f64) {
        if state == State::Absent {
            // Also without colours nobody takes it for another.
            return self.hollow(x, y);
        }
        let (class, top) = (state.class(), y - 10.0);
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"12\" height=\"12\" \
             rx=\"2\"/>"
        );
    }

    fn hollow(&mut self, x: f64, y: f64) {
        let (x, top) = (x + 0.5, y - 9.5);
        let _ = writeln!(
            self.body,
            "<rect class=\"grid\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"11\" height=\"11\" rx=\"2\"/>"
        );
    }

    /// A fact: our word for it, and other people's words.
    pub fn fact(&mut self, name: &str, state: Option<State>, value: &str) {
        text(&mut self.body, "quiet", (LEFT, self.y), name);
        let mut x = VALUE;
        if let Some(state) = state {
            self.square(state, x, self.y);
            x += BEHIND;
        }
        self.lines("", x, RIGHT, value);
        self.y += 3.0;
    }

    /// A line with a square.
    pub fn line(&mut self, state: State, words: &str) {
        self.square(state, LEFT, self.y);
        self.lines("", LEFT + BEHIND, RIGHT, words);
        self.y += 3.0;
    }

    /// Other people's words from `x` up to `end`, on as many lines as they need.
    pub fn lines(&mut self, class: &str, x: f64, end: f64, words: &str) {
        for line in wrap(words, end - x) {
            mono(&mut self.body, class, (x, self.y), &line);
            self.y += SMALL;
        }
    }

    /// A row of squares with words, each with what the pointer shows there.
    pub fn row(&mut self, cells: &[(State, String, String)], columns: usize) {
        for (column, (state, word, about)) in cells.iter().enumerate() {
            let x = LEFT + (RIGHT - LEFT) * column as f64 / columns as f64;
            let _ = writeln!(self.body, "<g><title>{}</title>", escaped(about));
            self.square(*state, x, self.y);
            mono(&mut self.body, "", (x + BEHIND, self.y), word);
            self.body.push_str("</g>\n");
        }
        self.y += SMALL + 2.0;
    }

    /// The whole picture.
    pub fn finish(self, title: &str) -> String {
        document(title, self.y + 4.0, &self.body)
    }
}
