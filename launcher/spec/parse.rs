//! Parse JSON text to a tree of values that know their positions. The grammar is RFC 8259.
//!
//! This is a parser of our own: each value has to know its position, a repeated key is an error,
//! and it takes one pass without copies, since every start of a container reads config.json.

use std::borrow::Cow;

use super::json::quote;

/// The deepest nesting of arrays and objects that is accepted.
const MAX_DEPTH: usize = 128;

/// The most values that one document may have, which bounds the memory for reading it.
const MAX_VALUES: usize = 1_000_000;

/// A value, and its text within the document.
#[derive(Debug)]
pub struct Value<'a> {
    /// The value's text.
    pub raw: &'a str,
    /// The type and content.
    pub kind: Kind<'a>,
}

/// The type and content of a value.
#[derive(Debug)]
pub enum Kind<'a> {
    /// `null`, `true`, `false` or a number, which `raw` holds.
    Plain,
    /// A string, its escapes resolved.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object, in the document's order; its keys are unique.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Why a text is not a document, and at which byte.
#[derive(Debug)]
pub struct Fault {
    /// Offset in bytes.
    pub at: usize,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

/// Parse one document. Text after the document is not parsed; [`Value::rest`] finds it.
///
/// # Errors
/// The text is not JSON, an object has a key twice, or the document exceeds a limit. Only the first
/// such fault is returned.
pub fn parse(source: &str) -> Result<Value<'_>, Fault> {
    let mut parser = Parser { source, at: 0, depth: 0, values: 0 };
    parser.value()
}

impl Value<'_> {
    /// If text other than white space follows this value in `source`, return its offset.
    pub fn rest(&self, source: &str) -> Option<usize> {
        let end = self.raw.as_ptr() as usize + self.raw.len() - source.as_ptr() as usize;
        let blank = |b: &u8| b" \t\n\r".contains(b);
        let after = source.as_bytes()[end..].iter().position(|b| !blank(b))?;
        Some(end + after)
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Step over `byte` if it comes next.
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn fault(&self, text: impl Into<String>) -> Fault {
        let hint = match self.peek() {
            Some(b'/' | b'#') => Some("JSON has no comments"),
            Some(b'\'') => Some("JSON strings are in double quotes"),
            _ => None,
        };
        Fault { at: self.at, text: text.into(), hint }
    }

    /// The fault that the next character is not what `wanted` describes.
    fn expected(&self, wanted: &str) -> Fault {
        match self.source[self.at..].chars().next() {
            Some(found) => self.fault(format!("expected {wanted}, found {found:?}")),
            None => self.fault(format!("ends too early: expected {wanted}")),
        }
    }

    fn value(&mut self) -> Result<Value<'a>, Fault> {
        self.space();
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.fault(format!("more than {MAX_VALUES} values")));
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Value { raw: &self.source[start..self.at], kind })
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Kind<'a>, Fault>,
    ) -> Result<Kind<'a>, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.at += 1;
        self.space();
        let kind = read(self)?;
        self.depth -= 1;
        Ok(kind)
    }

    fn array(&mut self) -> Result<Kind<'a>, Fault> {
        let mut items = Vec::new();
        if self.skip(b']') {
            return Ok(Kind::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            if self.skip(b']') {
                return Ok(Kind::Array(items));
            }
            if !self.skip(b',') {
                return Err(self.expected("a comma or ]"));
            }
            self.space();
            if self.peek() == Some(b']') {
                return Err(self.fault("a comma before the end of the array"));
            }
        }
    }

    fn object(&mut self) -> Result<Kind<'a>, Fault> {
        let mut pairs = Vec::new();
        let mut starts = Vec::new();
        if self.skip(b'}') {
            return Ok(Kind::Object(pairs));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            starts.push(self.at);
            let key = self.string()?;
            self.space();
            if !self.skip(b':') {
                return Err(self.expected("a colon"));
            }
            pairs.push((key, self.value()?));
            self.space();
            if self.skip(b'}') {
                break;
            }
            if !self.skip(b',') {
                return Err(self.expected("a comma or }"));
            }
            self.space();
            if self.peek() == Some(b'}') {
                return Err(self.fault("a comma before the end of the object"));
            }
        }
        match twice(&pairs) {
            None => Ok(Kind::Object(pairs)),
            Some(index) => {
                let text = format!("duplicate key {}", quote(&pairs[index].0));
                Err(Fault { at: starts[index], text, hint: None })
            }
        }
    }

    fn number(&mut self) -> Result<Kind<'a>, Fault> {
        let _sign = self.skip(b'-');
        if self.skip(b'0') {
            if let Some(b'0'..=b'9') = self.peek() {
                return Err(self.fault("a number that begins with 0"));
            }
        } else {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'-') || self.skip(b'+');
            self.digits()?;
        }
        Ok(Kind::Plain)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self) -> Result<Kind<'a>, Fault> {
        let rest = &self.source[self.at..];
        match ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word)) {
            Some(word) => {
                self.at += word.len();
                Ok(Kind::Plain)
            }
            None => Err(self.expected("a value")),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let source = self.source;
        let mut start = self.at;
        let mut resolved = String::new();
        loop {
            let rest = &source.as_bytes()[self.at..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    let last = &source[start..self.at];
                    self.at += 1;
                    return Ok(match resolved.is_empty() {
                        true => Cow::Borrowed(last),
                        false => Cow::Owned(resolved + last),
                    });
                }
                Some(b'\\') => {
                    resolved.push_str(&source[start..self.at]);
                    resolved.push(self.escape()?);
                    start = self.at;
                }
                Some(_) => {
                    return Err(self.fault("a control character in a string; escape it"));
                }
                None => return Err(self.fault("ends too early: in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 2;
        let plain = match self.source.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => return Err(Fault { at: start, text: "an unknown escape".into(), hint: None }),
        };
        Ok(plain)
    }

    /// Read `\u0041`, or both halves of a surrogate pair.
    fn unicode(&mut self, start: usize) -> Result<char, Fault> {
        let first = self.hex();
        let code = match first {
            Some(high @ 0xd800..0xdc00) if self.source[self.at..].starts_with("\\u") => {
                self.at += 2;
                match self.hex() {
                    Some(low @ 0xdc00..0xe000) => {
                        Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                    }
                    // The second escape is not the other half of the pair: read it again.
                    Some(_) => {
                        self.at -= 6;
                        Some(high)
                    }
                    None => None,
                }
            }
            other => other,
        };
        let text = "an incomplete \\u escape";
        let code = code.ok_or_else(|| Fault { at: start, text: text.into(), hint: None })?;
        // Half a pair is not a character; other parsers read it as U+FFFD, too.
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.source.get(self.at..self.at + 4)?;
        self.at += 4;
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    }
}

/// Return the index of the first key that repeats an earlier one.
fn twice(pairs: &[(Cow<'_, str>, Value<'_>)]) -> Option<usize> {
    const FEW: usize = 16;
    if pairs.len() <= FEW {
        let before = |index: usize| pairs[..index].iter().any(|(key, _)| *key == pairs[index].0);
        return (1..pairs.len()).find(|index| before(*index));
    }
    twice_among_many(pairs)
}

/// The same, for many keys. std takes 4 KiB of stack to sort: inlined, each level of the document
/// would take as much.
#[inline(never)]
fn twice_among_many(pairs: &[(Cow<'_, str>, Value<'_>)]) -> Option<usize> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|a, b| pairs[*a].0.cmp(&pairs[*b].0).then(a.cmp(b)));
    let same = order.windows(2).filter(|w| pairs[w[0]].0 == pairs[w[1]].0);
    same.map(|w| w[1]).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether another parser has read the same document; numbers are compared as doubles.
    fn same(value: &Value<'_>, other: &serde_json::Value) -> bool {
        match (&value.kind, other) {
            (Kind::Plain, serde_json::Value::Number(number)) => {
                value.raw.parse::<f64>().ok() == number.as_f64()
            }
            (Kind::Plain, other) => value.raw == format!("{other}"),
            (Kind::String(text), serde_json::Value::String(other)) => text == other,
            (Kind::Array(items), serde_json::Value::Array(others)) => {
                items.len() == others.len() && items.iter().zip(others).all(|(a, b)| same(a, b))
            }
            (Kind::Object(pairs), serde_json::Value::Object(others)) => {
                let equal = |(key, value): &(Cow<'_, str>, Value<'_>)| {
                    others.get(key.as_ref()).is_some_and(|other| same(value, other))
                };
                pairs.len() == others.len() && pairs.iter().all(equal)
            }
            _ => false,
        }
    }

    /// The parser accepts the same texts of up to five of these pieces as serde_json does.
    #[test]
    fn agrees_with_serde_json_on_every_short_text() {
        const PIECES: [&str; 13] =
            ["{", "}", "[", "]", ",", ":", "\"a\"", "\"", "\\u00e9", "-1", "0", ".5e1", "null"];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer: Vec<String> = texts
                .iter()
                .flat_map(|text| PIECES.iter().map(move |piece| format!("{text}{piece}")))
                .collect();
            for text in &longer {
                let ours = parse(text);
                // Text after the document is an error for serde_json, and ignored here.
                if ours.as_ref().is_ok_and(|value| value.rest(text).is_some()) {
                    serde_json::from_str::<serde_json::Value>(text).expect_err(text);
                    continue;
                }
                match (ours, serde_json::from_str::<serde_json::Value>(text)) {
                    (Ok(ours), Ok(theirs)) => assert!(same(&ours, &theirs), "{text}"),
                    (Err(fault), Err(_)) => assert!(fault.at <= text.len(), "{text}"),
                    (Err(fault), Ok(_)) if fault.text.starts_with("duplicate key") => {}
                    (ours, theirs) => panic!("{text}: {ours:?}, {theirs:?}"),
                }
            }
            // Only a text that could still become a document is made longer.
            texts = longer;
            texts.retain(|text| {
                parse(text).is_err_and(|fault| fault.text.starts_with("ends too early"))
            });
        }
    }

    #[test]
    fn escapes() {
        let texts = [
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""x\u00e9\ud83d\ude00y""#, "xé\u{1f600}y"),
            ("\"é\u{1f600}\u{7f}\"", "é\u{1f600}\u{7f}"),
            // Halves of a pair become U+FFFD, as with other parsers.
            (r#""\ud800""#, "\u{fffd}"),
            (r#""\ud800\n""#, "\u{fffd}\n"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud800A\udc00""#, "\u{fffd}A\u{fffd}"),
        ];
        for (source, wanted) in texts {
            let value = parse(source).unwrap();
            assert!(matches!(value.kind, Kind::String(text) if text == wanted), "{source}");
        }
        for wrong in [r"\x", r"\u12", r"\u12é", r"\u+123", "\n"] {
            parse(&format!("\"{wrong}\"")).unwrap_err();
        }
    }

    #[test]
    fn duplicate_keys_are_found_in_small_and_large_objects() {
        for size in [2, 16, 17, 500] {
            let keys: Vec<String> = (0..size).map(|n| format!("\"k{n}\":0")).collect();
            parse(&format!("{{{}}}", keys.join(","))).unwrap();
            let fault = parse(&format!("{{{},\"\\u006b1\":0}}", keys.join(","))).unwrap_err();
            assert_eq!(fault.text, "duplicate key \"k1\"");
        }
    }

    #[test]
    fn limits() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        parse(&deep(MAX_DEPTH)).unwrap();
        parse(&deep(MAX_DEPTH + 1)).unwrap_err();
        parse(&"[".repeat(1_000_000)).unwrap_err();
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(parse(&many).unwrap_err().text, "more than 1000000 values");
    }
}
