//! Find the known words that are closest to a mistyped word.
//!
//! Knows strings only.

/// `did you mean start or state?`; `None` if nothing is near.
pub fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let length = word.trim_start_matches('-').chars().count();
    // A word of one letter would be near to every other letter.
    let mut best = (length / 3).max(1).min(length.saturating_sub(1));
    let mut near: Vec<&str> = Vec::new();
    for candidate in known {
        let distance = match length > 0 && candidate.starts_with(word) {
            true => 1,
            false => distance(word, candidate),
        };
        if distance < best {
            near.clear();
            best = distance;
        }
        if distance <= best {
            near.push(candidate);
        }
    }
    match near.as_slice() {
        [] => None,
        [one] => Some(format!("did you mean {one}?")),
        [many @ .., last] => Some(format!("did you mean {} or {last}?", many.join(", "))),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours that make `a` into `b`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("start", "strat", 1), ("kill", "kil", 1), ("a", "b", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let mean = |word| did_you_mean(word, ["start", "state", "delete", "ps"].into_iter());
        assert_eq!(mean("strat"), Some("did you mean start?".to_owned()));
        assert_eq!(mean("stat"), Some("did you mean start or state?".to_owned()));
        assert_eq!(mean("del"), Some("did you mean delete?".to_owned()));
        assert_eq!(mean("frobnicate"), None);
        assert_eq!(mean("x"), None);
        assert_eq!(mean("p"), None);
        assert_eq!(mean(""), None);
    }
}
