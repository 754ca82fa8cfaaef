//! Colours of words on a terminal, where they help to find what matters: the graphic renditions of
//! ECMA-48.
//!
//! Knows when they are wanted, not what they mean.

use std::io::IsTerminal;

/// A colour, as the parameter of SGR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Colour {
    /// What failed.
    Red = 31,
    /// What is as it should be.
    Green = 32,
    /// What somebody should look at.
    Yellow = 33,
    /// What to do.
    Cyan = 36,
}

/// Whether words get their colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub const NONE: Paint = Paint(false);

    /// Colours if the stream is a terminal that has them (TERM is not `dumb`), unless the user does
    /// not want any: NO_COLOR is set and not empty.
    pub fn of(stream: &impl IsTerminal) -> Paint {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let has = || set("TERM").is_some_and(|term| term != "dumb");
        Paint(stream.is_terminal() && set("NO_COLOR").is_none() && has())
    }

    /// The text in a colour.
    pub fn word(self, colour: Colour, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{}m{text}\x1b[0m", colour as u8),
            false => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_has_colours() {
        assert_eq!(Paint(true).word(Colour::Green, "ok"), "\x1b[32mok\x1b[0m");
        assert_eq!(Paint::NONE.word(Colour::Green, "ok"), "ok");
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        assert_eq!(Paint::of(&null), Paint::NONE);
    }
}
