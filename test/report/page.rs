//! The report as data, and as a page in either language.
//!
//! Knows sections, tables and sessions; not what was measured, nor how.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::chinese;

/// A language of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}

/// A sentence, which the table of Chinese has too; each `{}` in it is one of the values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The sentence in English.
    pub say: String,
    /// What stands in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// The sentence in Chinese, if it was read from a Chinese document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chinese: Option<String>,
}

/// A sentence without values.
pub fn words(say: &str) -> Words {
    Words { say: say.to_owned(), ..Words::default() }
}

/// A sentence with values.
pub fn filled<const N: usize>(say: &str, with: [&str; N]) -> Words {
    Words { with: with.map(str::to_owned).to_vec(), ..words(say) }
}

impl Words {
    /// The sentence in a language.
    pub fn in_language(&self, language: Language) -> String {
        let sentence = match (language, &self.chinese) {
            (Language::English, _) => &self.say,
            (_, Some(chinese)) => chinese,
            (_, None) => chinese::of(&self.say),
        };
        let mut parts = sentence.split("{}");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (part, value) in parts.zip(&self.with) {
            text.push_str(value);
            text.push_str(part);
        }
        text
    }
}

/// How far a figure may be from the one of an earlier report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Noise {
    /// By so much.
    Points(f64),
    /// By so many per cent.
    Percent(f64),
    /// As far as it likes: it depends on the machine, or on what else the machine does.
    Any,
}

/// What came of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It came out as promised.
    Held,
    /// It did not.
    Broken,
    /// This machine cannot do it, for this reason.
    NotHere(Words),
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// A sentence.
    Words(Words),
    /// What both languages have, such as a name.
    Name(String),
    /// A fact of this machine, which another one has otherwise.
    Fact(String),
    /// A number, with so many decimals.
    Figure { value: f64, decimals: usize, noise: Noise },
    /// What came of it.
    Verdict(Verdict),
    /// Nothing.
    Empty,
}

/// A number that has no decimals and may be any other in the next report.
pub fn count(number: u64) -> Cell {
    Cell::Figure { value: number as f64, decimals: 0, noise: Noise::Any }
}

/// An experiment: what was typed, and what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    pub title: Words,
    /// What to see in it.
    pub found: Words,
    /// The figures in that, and their noise.
    pub figures: Vec<(f64, Noise)>,
    pub verdict: Verdict,
    /// Commands, each with its output.
    pub session: Vec<(String, String)>,
}

/// What stands in a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// A paragraph.
    Words(Words),
    /// A table: its head, and rows of as many cells.
    Table { head: Vec<Words>, rows: Vec<Vec<Cell>> },
    /// Experiments: a table of all, then each with its session.
    Experiments(Vec<Experiment>),
    /// A picture that lies beside the English page, and what it shows.
    Picture { file: String, shows: Words },
}

/// A part of the page, with a heading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    pub heading: Words,
    pub parts: Vec<Part>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub sections: Vec<Section>,
}

impl Report {
    /// The page in a language; `pictures` is the way from the page to the pictures.
    pub fn page(&self, language: Language, pictures: &str) -> String {
        let sheet = Sheet { language, pictures, text: String::new() };
        sheet.of(self)
    }

    /// Every verdict of the report.
    pub fn verdicts(&self) -> Vec<&Verdict> {
        let mut all = Vec::new();
        for part in self.sections.iter().flat_map(|section| &section.parts) {
            match part {
                Part::Table { rows, .. } => {
                    all.extend(rows.iter().flatten().filter_map(|cell| match cell {
                        Cell::Verdict(verdict) => Some(verdict),
                        _ => None,
                    }));
                }
                Part::Experiments(list) => all.extend(list.iter().map(|it| &it.verdict)),
                Part::Words(_) | Part::Picture { .. } => {}
            }
        }
        all
    }
}

/// A page that is being written.
struct Sheet<'a> {
    language: Language,
    pictures: &'a str,
    text: String,
}

impl Sheet<'_> {
    fn of(mut self, report: &Report) -> String {
        let other = match self.language {
            Language::English => "[中文](../zh-CN/report.md)",
            Language::Chinese => "[English](../report/index.md)",
        };
        self.line(&format!("# {}\n\n{other}\n", self.say(&words("Report"))));
        for section in &report.sections {
            let heading = self.say(&section.heading);
            if !heading.is_empty() {
                self.line(&format!("## {heading}\n"));
            }
            for part in &section.parts {
                self.part(part);
            }
        }
        self.text.trim_end().to_owned() + "\n"
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}");
    }

    fn say(&self, words: &Words) -> String {
        words.in_language(self.language)
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Words(words) => self.line(&format!("{}\n", self.say(words))),
            Part::Table { head, rows } => self.table(head, rows),
            Part::Experiments(list) => self.experiments(list),
            Part::Picture { file, shows } => {
                self.line(&format!("![{}]({}{file})\n", self.say(shows), self.pictures));
            }
        }
    }

    fn table(&mut self, head: &[Words], rows: &[Vec<Cell>]) {
        let names: Vec<String> = head.iter().map(|words| self.say(words)).collect();
        self.line(&format!("| {} |", names.join(" | ")));
        let number = |column: usize| {
            rows.iter().any(|row| matches!(row.get(column), Some(Cell::Figure { .. })))
        };
        let rule = (0..head.len()).map(|column| if number(column) { "---:" } else { "---" });
        self.line(&format!("| {} |", rule.collect::<Vec<_>>().join(" | ")));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| self.cell(cell)).collect();
            self.line(&format!("| {} |", cells.join(" | ")));
        }
        self.line("");
    }

    fn cell(&self, cell: &Cell) -> String {
        let text = match cell {
            Cell::Words(words) => self.say(words),
            Cell::Name(text) | Cell::Fact(text) => text.clone(),
            Cell::Figure { value, decimals, .. } => format!("{value:.decimals$}"),
            Cell::Verdict(verdict) => self.verdict(verdict),
            Cell::Empty => String::new(),
        };
        text.replace('|', "\\|")
    }

    fn verdict(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Held => format!("✓ {}", self.say(&words("held"))),
            Verdict::Broken => format!("✗ **{}**", self.say(&words("not held"))),
            Verdict::NotHere(why) => self.say(&filled("not here: {}", [self.say(why).as_str()])),
        }
    }

    fn experiments(&mut self, list: &[Experiment]) {
        let head = ["experiment", "what came out", "verdict"].map(words);
        let row = |it: &Experiment| {
            vec![
                Cell::Words(it.title.clone()),
                Cell::Words(it.found.clone()),
                Cell::Verdict(it.verdict.clone()),
            ]
        };
        self.table(&head, &list.iter().map(row).collect::<Vec<_>>());
        for it in list.iter().filter(|it| !it.session.is_empty()) {
            self.line(&format!("### {}\n\n```console", self.say(&it.title)));
            for (command, output) in &it.session {
                self.line(&format!("$ {command}"));
                if !output.is_empty() {
                    self.line(output.trim_end());
                }
            }
            self.line("```\n");
        }
    }
}
