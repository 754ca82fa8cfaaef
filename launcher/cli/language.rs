//! The language of the help: English, or Chinese where the locale asks for it.
//!
//! Knows the locale's variables, and how sentences are put together. Errors, logs and all other
//! output are English in every locale, since engines and scripts read them.

use super::table::{Command, Opt, paragraphs};
use super::zh;

/// A language that help is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// What the table of commands is written in.
    English,
    /// Simplified Chinese, in UTF-8.
    Chinese,
}

/// What help says beside the texts of the table.
pub const USAGE: &str = "Usage";
pub const ARGUMENTS: &str = "Arguments";
pub const EXAMPLES: &str = "Examples";
pub const GLOBAL_OPTIONS: &str = "Global options";
pub const COMMANDS: &str = "Commands";
pub const SAME: &str = "tiny-ce ALIAS is the same";
pub const AGAIN: &str = "May be given again.";
pub const MORE: &str = "More about a command";
pub const GLOBALS_ELSEWHERE: &str = "Global options are listed by tiny-ce --help.";
const ALSO: &str = "Also called ALIAS.";

/// All of them, and the description of the program.
#[cfg(test)]
pub const LABELS: &[&str] = &[
    USAGE,
    ARGUMENTS,
    EXAMPLES,
    GLOBAL_OPTIONS,
    COMMANDS,
    SAME,
    AGAIN,
    MORE,
    GLOBALS_ELSEWHERE,
    ALSO,
    super::render::help::ABOUT,
];

impl Language {
    /// The language that the caller's locale asks for. The first variable that is set and not empty
    /// counts (locale(7)).
    pub fn of_caller() -> Language {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set);
        Self::of(locale.as_deref().unwrap_or_default())
    }

    /// The language of a locale such as `zh_CN.UTF-8`. A character set other than UTF-8 means
    /// English: its terminal would show the bytes as other characters.
    pub fn of(locale: &str) -> Language {
        let locale = locale.split('@').next().unwrap_or_default();
        let (name, characters) = locale.split_once('.').unwrap_or((locale, "UTF-8"));
        let chinese = name.split(['_', '-']).next() == Some("zh");
        let unicode = ["utf-8", "utf8"].iter().any(|it| characters.eq_ignore_ascii_case(it));
        if chinese && unicode { Language::Chinese } else { Language::English }
    }

    /// A text of the table or a label in this language.
    pub fn say(self, english: &str) -> &str {
        match self {
            Language::English => english,
            Language::Chinese => zh::of(english).unwrap_or(english),
        }
    }

    /// What stands between two sentences.
    pub fn gap(self) -> &'static str {
        if self == Language::English { " " } else { "" }
    }

    /// What stands behind a heading.
    pub fn colon(self) -> &'static str {
        if self == Language::English { ":" } else { "：" }
    }

    /// What stands between a label and what follows on its line.
    pub fn label(self, english: &str) -> String {
        format!("{}{}{}", self.say(english), self.colon(), self.gap())
    }

    /// The paragraphs of a doc comment.
    pub fn paragraphs(self, doc: &str) -> Vec<String> {
        paragraphs(doc).iter().map(|text| self.say(text).to_owned()).collect()
    }

    /// A doc comment on one line.
    pub fn line(self, doc: &str) -> String {
        self.paragraphs(doc).join(self.gap())
    }

    /// The first paragraph of a command's documentation, without the full stop.
    pub fn summary(self, command: &Command) -> String {
        let first = self.paragraphs(command.doc).into_iter().next().unwrap_or_default();
        first.trim_end_matches(['.', '。']).to_owned()
    }

    /// That another name means the same command.
    pub fn same(self, alias: &str) -> String {
        self.say(SAME).replace("ALIAS", alias)
    }

    /// What an option does, and which other names it has.
    pub fn option(self, opt: &Opt) -> String {
        let also = opt.aliases.iter().map(|alias| self.say(ALSO).replace("ALIAS", alias));
        let mut sentences = vec![self.line(opt.doc)];
        sentences.extend(also);
        sentences.join(self.gap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_its_language() {
        for locale in ["zh_CN.UTF-8", "zh_CN.utf8", "zh", "zh_SG", "zh_CN.UTF-8@pinyin", "zh-Hans"]
        {
            assert_eq!(Language::of(locale), Language::Chinese, "{locale}");
        }
        for locale in ["", "C", "C.UTF-8", "POSIX", "en_US.UTF-8", "zh_CN.GB18030", "zha_CN"] {
            assert_eq!(Language::of(locale), Language::English, "{locale}");
        }
    }
}
