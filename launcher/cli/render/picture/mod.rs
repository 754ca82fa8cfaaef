//! What all pictures share: the template, which has the colours, light and dark; texts, whose
//! width is known; and sheets of cards, which grow downwards.
//!
//! Knows nothing of what is drawn. A picture is an SVG of plain elements, without a script: texts
//! are texts, and a tooltip is a `<title>`.

mod sheet;

use std::fmt::Write;

pub use sheet::{LEFT, RIGHT, Sheet, State};

const TEMPLATE: &str = include_str!("figure.svg");
/// The width of every picture, in the template's units.
pub const WIDTH: f64 = 640.0;
/// The height of a line of text.
pub const LINE: f64 = 18.0;
/// The width of a letter of class `call`, of the widest of common monospace fonts.
const LETTER: f64 = 6.7;
/// The width of a letter that has two columns of a terminal: a square of the font's size.
const WIDE: f64 = 11.0;

/// The whole picture.
pub fn document(title: &str, height: f64, body: &str) -> String {
    TEMPLATE
        .replace("{{TITLE}}", &escaped(title))
        .replace("{{HEIGHT}}", &format!("{height}"))
        .replace("{{BODY}}", body)
}

/// A text of our own words.
pub fn text(body: &mut String, class: &str, (x, y): (f64, f64), words: &str) {
    let words = escaped(words);
    let _ = writeln!(body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}

/// A text of other people's words, in a monospace font: it is [`width`] wide at most. A font that
/// has a letter wider than others is made to fit.
pub fn mono(body: &mut String, class: &str, (x, y): (f64, f64), words: &str) {
    let words = shown(words);
    let fit = match words.is_ascii() {
        true => String::new(),
        false => format!(" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\"", width(&words)),
    };
    let words = escaped(&words);
    let class = if class.is_empty() { "call".to_owned() } else { format!("call {class}") };
    let _ = writeln!(body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{fit}>{words}</text>");
}

/// The width of a text of class `call`.
pub fn width(words: &str) -> f64 {
    words.chars().map(letter).sum()
}

/// Hangul and what follows it in Unicode may be as wide as it is high.
fn letter(c: char) -> f64 {
    if c < '\u{1100}' { LETTER } else { WIDE }
}

/// The beginning of a text that fits into this width.
pub fn cut(words: &str, most: f64) -> String {
    let words = shown(words);
    if width(&words) <= most {
        return words;
    }
    let mut used = WIDE;
    let fits = |c: &char| {
        used += letter(*c);
        used <= most
    };
    words.chars().take_while(fits).chain(['…']).collect()
}

/// The lines of a text that is as wide as this at most: they end at blanks, or within a word that
/// is wider.
pub fn wrap(words: &str, most: f64) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
    for word in shown(words).split_inclusive(' ') {
        if used > 0.0 && used + width(word.trim_end()) > most {
            lines.push(std::mem::take(&mut line));
            used = 0.0;
        }
        for c in word.chars() {
            // A blank at the end of a line is not drawn.
            if c != ' ' && used + letter(c) > most {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
            }
            line.push(c);
            used += letter(c);
        }
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// A text in which each character can be seen: a control character, one that changes the order of
/// the letters or none at all is written as in Rust, `\n` or `\u{202e}`.
fn shown(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

/// As XML has it, and as [`shown`].
pub fn escaped(words: &str) -> String {
    let mut out = String::new();
    for c in shown(words).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup_or_unseen() {
        let hostile = "<script>\"&'\n\u{1b}[31m\u{202e}\u{200b}\u{0}\u{ffff}</script>";
        let safe = "&lt;script&gt;&quot;&amp;'\\n\\u{1b}[31m\\u{202e}\\u{200b}\\0\\u{ffff}\
                    &lt;/script&gt;";
        assert_eq!(escaped(hostile), safe);
        assert_eq!(escaped("命名空间 é"), "命名空间 é");
        let mut body = String::new();
        mono(&mut body, "", (1.0, 2.0), "空\u{fdfd}");
        assert!(body.contains("textLength=\"22.0\""), "{body}");
    }

    #[test]
    fn lines_end_at_blanks_and_fit() {
        assert_eq!(wrap("", 70.0), [""]);
        assert_eq!(wrap("a bc def", 5.0 * LETTER), ["a bc", "def"]);
        assert_eq!(wrap("ab abcdefgh i", 5.0 * LETTER), ["ab", "abcde", "fgh i"]);
        assert_eq!(cut("abcdef", 6.0 * LETTER), "abcdef");
        assert_eq!(cut("abcdefg", 6.0 * LETTER), "abcd…");
        for line in wrap(&"/\u{7f}命".repeat(300), 100.0) {
            assert!(width(&line) <= 100.0, "{line}");
        }
    }
}
