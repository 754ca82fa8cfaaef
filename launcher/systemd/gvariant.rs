//! Parse the text of an annotation `org.systemd.property.NAME` into a D-Bus value.
//!
//! GLib's "GVariant Text Format", without dictionaries and maybe types, which no property has.
//! Pure. Must not know properties.

use super::wire::Value;

/// Types that may stand in front of a number.
const WORDS: &[(&str, &str)] = &[
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("boolean", "b"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

/// Parse a value; the error is a message.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { rest: text, depth: 0 };
    let value = parser.value(None)?;
    match parser.rest.trim_start() {
        "" => Ok(value),
        rest => Err(format!("{rest:?} after the value")),
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

/// How deep values may nest; systemd's properties nest 3 deep at most.
const DEEPEST: usize = 16;

impl Parser<'_> {
    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        let eaten = self.rest.strip_prefix(c);
        self.rest = eaten.unwrap_or(self.rest);
        eaten.is_some()
    }

    /// A value, of the type `wanted` if that is known.
    fn value(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("nested deeper than {DEEPEST} levels"));
        }
        let value = self.any(wanted);
        self.depth -= 1;
        value
    }

    fn any(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        if self.eat('@') {
            let (kind, rest) = self.rest.split_once(' ').ok_or("a type without a value")?;
            let kind = kind.to_owned();
            self.rest = rest;
            return self.value(Some(&kind));
        }
        if self.eat('[') {
            return self.array(wanted);
        }
        if self.eat('(') {
            return self.tuple(wanted);
        }
        if self.eat('<') {
            let value = self.value(None)?;
            return self.closed('>').map(|()| Value::Variant(Box::new(value)));
        }
        if self.rest.starts_with(['\'', '"']) {
            let text = self.quoted()?;
            return match wanted {
                None | Some("s") => Ok(Value::Str(text)),
                Some("o") => Ok(Value::Object(text)),
                Some("g") => Ok(Value::Signature(text)),
                Some(kind) => Err(format!("{text:?} is no value of type {kind:?}")),
            };
        }
        let end = self.rest.find([',', ']', ')', '>', ' ', '\t', '\n']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if let Some((_, kind)) = WORDS.iter().find(|(name, _)| *name == word) {
            return self.value(Some(kind));
        }
        plain(word, wanted)
    }

    fn closed(&mut self, end: char) -> Result<(), String> {
        if self.eat(end) { Ok(()) } else { Err(format!("{end:?} is missing")) }
    }

    fn array(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        let mut element = match wanted {
            Some(kind) => Some(kind.strip_prefix('a').ok_or("an array where none is")?.to_owned()),
            None => None,
        };
        let mut values = Vec::new();
        while !self.eat(']') {
            if !values.is_empty() {
                self.closed(',')?;
            }
            let value = self.value(element.as_deref())?;
            match &element {
                Some(kind) if *kind != value.signature() => {
                    return Err(format!("an array of {kind:?} with a {:?}", value.signature()));
                }
                _ => element = Some(value.signature()),
            }
            values.push(value);
        }
        let element = element.ok_or("an empty array needs its type: \"@as []\"")?;
        Ok(Value::Array(element, values))
    }

    fn tuple(&mut self, wanted: Option<&str>) -> Result<Value, String> {
        let mut values = Vec::new();
        while !self.eat(')') {
            if !values.is_empty() {
                self.closed(',')?;
                if self.eat(')') {
                    break;
                }
            }
            values.push(self.value(None)?);
        }
        let value = Value::Struct(values);
        match wanted.filter(|kind| *kind != value.signature()) {
            Some(kind) => Err(format!("{:?} where {kind:?} is wanted", value.signature())),
            None => Ok(value),
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map_or('\'', |(_, quote)| quote);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\'' | '"' | '\\'))) => text.push(c),
                    _ => return Err("an escape other than \\n, \\t, \\', \\\" and \\\\".into()),
                },
                c => text.push(c),
            }
        }
        Err("the string does not end".into())
    }
}

/// A number or a truth value; a whole number of no type is an `i`.
fn plain(word: &str, wanted: Option<&str>) -> Result<Value, String> {
    let wrong = |kind: &str| format!("{word:?} is no value of type {kind:?}");
    fn whole<T: TryFrom<i128>>(word: &str) -> Option<T> {
        let (negative, digits) = match word.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        let number = match digits.strip_prefix("0x") {
            Some(digits) => i128::from(u64::from_str_radix(digits, 16).ok()?),
            None => i128::from(digits.parse::<u64>().ok()?),
        };
        T::try_from(if negative { -number } else { number }).ok()
    }
    let float =
        || word.parse::<f64>().ok().filter(|_| word.starts_with(|c: char| !c.is_alphabetic()));
    let value = match (word, wanted) {
        ("true" | "false", None | Some("b")) => Some(Value::Bool(word == "true")),
        (_, Some("y")) => whole(word).map(Value::Byte),
        (_, Some("n")) => whole(word).map(Value::I16),
        (_, Some("q")) => whole(word).map(Value::U16),
        (_, Some("i")) => whole(word).map(Value::I32),
        (_, Some("u")) => whole(word).map(Value::U32),
        (_, Some("x")) => whole(word).map(Value::I64),
        (_, Some("t")) => whole(word).map(Value::U64),
        (_, Some("d")) => float().map(Value::Double),
        (_, None) => whole(word).map(Value::I32).or_else(|| float().map(Value::Double)),
        (_, Some(_)) => None,
    };
    value.ok_or_else(|| match wanted {
        Some(kind) => wrong(kind),
        None => format!("{word:?} is no value: a string stands in quotes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_systemds_properties() {
        for (text, value) in [
            ("uint64 123456789", Value::U64(123_456_789)),
            ("'inactive-or-failed'", Value::text("inactive-or-failed")),
            ("\"it's\"", Value::text("it's")),
            (r"'a\'b\\'", Value::text("a'b\\")),
            ("true", Value::Bool(true)),
            ("-7", Value::I32(-7)),
            ("@u 0x10", Value::U32(16)),
            ("2.5", Value::Double(2.5)),
            ("[byte 1, 2]", Value::bytes(&[1, 2])),
            ("@as []", Value::Array("s".into(), vec![])),
            ("['a', 'b']", Value::Array("s".into(), vec![Value::text("a"), Value::text("b")])),
            (
                "[('/dev/null', 'rw')]",
                Value::Array(
                    "(ss)".into(),
                    vec![Value::Struct(vec![Value::text("/dev/null"), Value::text("rw")])],
                ),
            ),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        let deep = "[".repeat(1 << 20);
        for text in [
            deep.as_str(),
            "",
            "inactive",
            "'open",
            "[]",
            "[1, 'a']",
            "uint64 -1",
            "byte 256",
            "1 2",
            "(1",
            "@as 5",
            "'\\q'",
            "nan",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn no_annotation_causes_a_panic() {
        tiny_ce_test::fuzz("gvariant", &["test/fuzz/gvariant"], |bytes| {
            let _ = parse(&String::from_utf8_lossy(bytes)).map(|value| value.to_string());
        });
    }
}
