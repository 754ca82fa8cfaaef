//! Lines that fit a width, in columns of a terminal.
//!
//! Knows characters; not what they say.

/// The columns of a character. Han characters, kana, their punctuation and full-width forms have
/// two (Unicode's UAX #11, classes W and F); nothing else that is wide is in any help.
pub fn columns(c: char) -> usize {
    1 + usize::from(matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ff01}'..='\u{ff60}'))
}

/// The columns of a text.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Lines of at most `limit` columns, broken at spaces, and between wide characters.
pub fn wrap(text: &str, limit: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        for (at, piece) in pieces(word).into_iter().enumerate() {
            let Some(line) = lines.last_mut() else { continue };
            let gap = if at == 0 && !line.is_empty() { " " } else { "" };
            if line.is_empty() || width(line) + gap.len() + width(piece) <= limit {
                line.push_str(gap);
                line.push_str(piece);
            } else {
                lines.push(piece.to_owned());
            }
        }
    }
    lines
}

/// The parts of a word between which a line may end: beside a wide character, but not before
/// punctuation that closes, nor after one that opens. A straight quotation mark may be either.
fn pieces(word: &str) -> Vec<&str> {
    let closes = |c: char| "，。、；：！？）》\"".contains(c);
    let opens = |c: char| "（《\"".contains(c);
    let mut all = Vec::new();
    let (mut start, mut before) = (0, None);
    for (at, c) in word.char_indices() {
        let wide = before.is_some_and(|it| columns(it) == 2 || columns(c) == 2);
        if wide && !closes(c) && !before.is_some_and(opens) {
            all.push(&word[start..at]);
            start = at;
        }
        before = Some(c);
    }
    all.push(&word[start..]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaaa b", 5), ["aaaaaaaa", "b"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn wraps_between_wide_characters_and_keeps_punctuation() {
        assert_eq!(width("一a，"), 5);
        assert_eq!(wrap("一二三四", 4), ["一二", "三四"]);
        assert_eq!(wrap("一二，三", 4), ["一", "二，", "三"]);
        assert_eq!(wrap("一（a）二", 5), ["一", "（a）", "二"]);
        assert_eq!(wrap("一 --aa 二", 7), ["一 --aa", "二"]);
    }
}
