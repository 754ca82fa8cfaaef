//! The catalogue of Chinese: what `--help` says, by the English text of the table of commands.
//!
//! Knows sentences only. A row's key is a hash of its English text, so that the English is in the
//! binary once, and a text that changes loses its row: the test below then asks for a new one.
//! Nothing reads the catalogue but help in Chinese.

/// The key of an English text: its 32-bit FNV-1a hash. The test below finds a collision.
const fn key(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut hash, mut at) = (0x811c_9dc5_u32, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

/// A part of the catalogue.
struct Page {
    /// The key of each row.
    keys: &'static [u32],
    /// The Chinese of each row, a line each: a slice of pointers would be three times the keys.
    text: &'static str,
    /// The English of each row.
    #[cfg(test)]
    english: &'static [&'static str],
}

/// Rows `English => Chinese` → the `Page` of this file.
macro_rules! catalogue {
    ($($english:literal => $chinese:literal,)*) => {
        pub(super) const PAGE: super::Page = super::Page {
            keys: &[$(super::key($english)),*],
            text: concat!($($chinese, "\n"),*),
            #[cfg(test)]
            english: &[$($english),*],
        };
    };
}

mod commands;
mod labels;
mod options;

static PAGES: [Page; 3] = [labels::PAGE, commands::PAGE, options::PAGE];

/// The Chinese for a text of the table of commands, or for a label of the help.
pub fn of(english: &str) -> Option<&'static str> {
    let wanted = key(english);
    PAGES.iter().find_map(|page| {
        let row = page.keys.iter().position(|key| *key == wanted)?;
        page.text.lines().nth(row)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::Globals;
    use crate::cli::commands::{COMMANDS, FAMILIES};
    use crate::cli::language::LABELS;
    use crate::cli::render::wrap::columns;
    use crate::cli::table::{Opt, OptionSet, paragraphs};

    /// Every text that the help prints, once.
    fn texts() -> BTreeSet<String> {
        let mut all: BTreeSet<String> = LABELS.iter().map(|it| (*it).to_owned()).collect();
        all.extend(FAMILIES.iter().map(|(_, about)| (*about).to_owned()));
        let mut doc = |text: &str| all.extend(paragraphs(text));
        let mut options = |rows: &[Opt]| rows.iter().for_each(|opt| doc(opt.doc));
        options(Globals::ROWS);
        for (heading, commands) in COMMANDS {
            doc(heading);
            for command in *commands {
                doc(command.doc);
                command.args.iter().for_each(|arg| doc(arg.doc));
                for group in command.groups {
                    doc(group.title);
                    group.rows.iter().for_each(|opt| doc(opt.doc));
                }
                command.examples.iter().for_each(|(_, what)| doc(what));
            }
        }
        all
    }

    /// Every row: its English and its Chinese.
    fn rows() -> Vec<(&'static str, &'static str)> {
        let rows =
            PAGES.iter().flat_map(|page| page.english.iter().copied().zip(page.text.lines()));
        rows.collect()
    }

    #[test]
    fn every_text_has_one_row_and_every_row_a_text() {
        for page in &PAGES {
            assert_eq!(page.english.len(), page.text.lines().count(), "a line a row");
        }
        let (texts, rows) = (texts(), rows());
        let missing: Vec<&String> = texts.iter().filter(|text| of(text).is_none()).collect();
        assert!(missing.is_empty(), "no Chinese in launcher/cli/zh for: {missing:#?}");
        let stale: Vec<&str> =
            rows.iter().map(|row| row.0).filter(|english| !texts.contains(*english)).collect();
        assert!(stale.is_empty(), "in launcher/cli/zh, and nowhere else: {stale:#?}");
        let keys: BTreeSet<u32> = rows.iter().map(|row| key(row.0)).collect();
        assert_eq!(keys.len(), rows.len(), "two rows with one key");
    }

    /// The words that a translation keeps: options, placeholders, paths, numbers.
    fn kept(text: &str) -> BTreeSet<String> {
        let part = |c: char| c.is_ascii_alphanumeric() || "-_/$=.:,{}".contains(c);
        let words =
            text.split(|c: char| !part(c)).map(|it| it.trim_end_matches([',', '.', ':', ';']));
        let common = ["CPU", "CPUs", "OOM", "RAM", "I/O"];
        let keeps = |word: &&str| {
            let capitals = word.chars().filter(char::is_ascii_uppercase).count();
            let marked = word.starts_with("--") || word.contains(['/', '_', '$', '=']);
            let figure = word.contains(|c: char| c.is_ascii_digit());
            (marked || figure || capitals > 1 && word.len() > 2) && !common.contains(word)
        };
        words.filter(keeps).map(str::to_owned).collect()
    }

    #[test]
    fn a_row_keeps_options_paths_and_numbers() {
        let faithful = |(english, chinese): &(&str, &str)| {
            kept(english) == kept(chinese) && english.ends_with('.') == chinese.ends_with('。')
        };
        let rows = rows().into_iter().filter(|row| !faithful(row));
        let differ: Vec<_> = rows.map(|(a, b)| (a, b, kept(a), kept(b))).collect();
        assert!(differ.is_empty(), "{differ:#?}");
    }

    /// Quotation marks and dashes beyond ASCII have one column in some terminals and two in others.
    #[test]
    fn every_character_has_a_width_that_terminals_agree_on() {
        for (_, chinese) in rows() {
            let odd: String =
                chinese.chars().filter(|c| !c.is_ascii() && columns(*c) == 1).collect();
            assert_eq!(odd, "", "{chinese}");
        }
    }
}
