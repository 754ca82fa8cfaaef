//! JSON text → typed values, with every mistake of the file found in one pass.
//!
//! Knows JSON, positions and paths of fields; not what any field means. Makes no system call.
//! Strict about what is wrong (types, ranges, duplicate keys, NUL), liberal about what is unknown:
//! unknown properties are ignored, as the specification asks. `null` means "not given".

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use super::field::{Blank, Field};

/// A document larger than this is refused, in bytes.
pub const MAX_BYTES: usize = 16 << 20;

/// So many violations are listed at most: nobody reads more, and each costs a scan of the document.
const MAX_LISTED: usize = 100;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, as a user would write it: `mounts[3].options`; empty for the document.
    pub path: String,
    /// Line and column, both from 1, where they are known.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what would be right.
    pub text: String,
    /// What to do about it, where that is not in the text.
    pub hint: Option<String>,
}

impl Violation {
    /// A rule across fields is broken; `path` names the field to change.
    pub fn rule(path: impl Into<String>, text: impl Into<String>) -> Self {
        Violation { path: path.into(), position: None, text: text.into(), hint: None }
    }

    /// Say what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A value not read yet: its text within the document.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    raw: &'a str,
}

/// Where the reading stands, and what it has found so far.
pub struct Reader<'a> {
    source: &'a str,
    path: String,
    violations: Vec<Violation>,
    /// Properties that no row names, if anybody asked for them.
    unknown: Option<Vec<Violation>>,
}

/// Read one document into `T`. All violations are returned at once.
pub fn read<T: Field>(source: &[u8]) -> Result<T, Vec<Violation>> {
    read_with(source, None).0
}

/// The properties of a document that no row of `T` names: ignored, but perhaps mistyped.
pub fn unknown<T: Field>(source: &[u8]) -> Vec<Violation> {
    read_with::<T>(source, Some(Vec::new())).1
}

fn read_with<T: Field>(
    source: &[u8],
    unknown: Option<Vec<Violation>>,
) -> (Result<T, Vec<Violation>>, Vec<Violation>) {
    let text = match well_formed(source) {
        Ok(text) => text,
        Err(violation) => return (Err(vec![violation]), Vec::new()),
    };
    let mut reader = Reader { source: text, path: String::new(), violations: Vec::new(), unknown };
    let value = T::read(Node { raw: text.trim() }, &mut reader);
    let unknown = reader.unknown.unwrap_or_default();
    match value {
        Some(value) if reader.violations.is_empty() => (Ok(value), unknown),
        _ => (Err(reader.violations), unknown),
    }
}

/// Everything about the document that does not depend on what it is read into.
fn well_formed(source: &[u8]) -> Result<&str, Violation> {
    if source.len() > MAX_BYTES {
        return Err(Violation::rule("", "larger than 16 MiB"));
    }
    let text = std::str::from_utf8(source).map_err(|e| Violation {
        position: Some(position(source, e.valid_up_to())),
        ..Violation::rule("", "not UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        return Err(Violation::rule("", "starts with a byte order mark")
            .hint("save the file as UTF-8 without one"));
    }
    if text.trim().is_empty() {
        return Err(Violation::rule("", "empty"));
    }
    serde_json::from_str::<Strict>(text).map_err(|e| syntax(text, &e))?;
    Ok(text)
}

fn syntax(source: &str, e: &serde_json::Error) -> Violation {
    let text = e.to_string();
    let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]).replace('`', "\"");
    let text = match text.as_str() {
        "recursion limit exceeded" => "nested deeper than 128".to_owned(),
        "trailing characters" => "something follows the document".to_owned(),
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            "an incomplete \\u escape, or half of a surrogate pair".to_owned()
        }
        _ if e.is_eof() => text.replace("EOF while parsing", "ends too early, within"),
        _ => text,
    };
    // serde_json counts columns in bytes, and from 0 where a line ends.
    let line = source.split('\n').nth(e.line().saturating_sub(1)).unwrap_or("");
    let before = line.as_bytes().get(..e.column().saturating_sub(1)).unwrap_or(line.as_bytes());
    let column = String::from_utf8_lossy(before).chars().count() + 1;
    let rest = line.as_bytes().get(before.len()..).unwrap_or(b"");
    let violation =
        Violation { position: Some((e.line().max(1), column)), ..Violation::rule("", text) };
    match rest.first() {
        Some(b'/' | b'#') => violation.hint("JSON has no comments"),
        Some(b'\'') => violation.hint("JSON strings are in double quotes"),
        _ => violation,
    }
}

/// Line and column of a byte, both from 1; columns are characters.
fn position(source: &[u8], offset: usize) -> (usize, usize) {
    let before = &source[..offset.min(source.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

/// Where the value at `path` stands in a document that `read` accepted, or what would hold it if
/// it is not there.
pub fn locate(source: &[u8], path: &str) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(source).ok()?;
    let mut raw = text.trim();
    let mut rest = path;
    while let Some((next, remaining)) = descend(raw, rest) {
        raw = next;
        rest = remaining;
    }
    let offset = (raw.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    Some(position(source, offset))
}

/// One step of a path: the value below `raw`, and the steps that are left.
fn descend<'a, 'p>(raw: &'a str, path: &'p str) -> Option<(&'a str, &'p str)> {
    if raw.starts_with('[') {
        let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
        let items = serde_json::from_str::<Vec<&'a RawValue>>(raw).ok()?;
        return Some((items.get(index.parse::<usize>().ok()?)?.get(), rest));
    }
    let pairs = serde_json::from_str::<Pairs<'a>>(raw).ok()?.0;
    pairs.iter().find_map(|(key, value)| {
        let rest = match path.strip_prefix('[') {
            Some(_) => path.strip_prefix(&format!("[{key:?}]"))?,
            None => path.strip_prefix('.').unwrap_or(path).strip_prefix(key.as_str())?,
        };
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((value.get(), rest))
    })
}

impl<'a> Reader<'a> {
    /// Note that the value at the current path is wrong.
    pub fn wrong(&mut self, node: Node<'_>, text: impl Into<String>) {
        self.note(node, text.into(), None);
    }

    /// As [`Reader::wrong`], with what to do about it.
    pub fn wrong_hint(&mut self, node: Node<'_>, text: impl Into<String>, hint: impl Into<String>) {
        self.note(node, text.into(), Some(hint.into()));
    }

    fn note(&mut self, node: Node<'_>, text: String, hint: Option<String>) {
        match self.violations.len() {
            MAX_LISTED => {
                let text = format!("more than {MAX_LISTED} problems; the others are not listed");
                self.violations.push(Violation::rule("", text));
            }
            listed if listed < MAX_LISTED => {
                let violation = self.violation(node, text);
                self.violations.push(Violation { hint, ..violation });
            }
            _ => {}
        }
    }

    fn violation(&self, node: Node<'_>, text: String) -> Violation {
        let offset = (node.raw.as_ptr() as usize).wrapping_sub(self.source.as_ptr() as usize);
        let position =
            (offset <= self.source.len()).then(|| position(self.source.as_bytes(), offset));
        Violation { path: self.path.clone(), position, text, hint: None }
    }

    /// Note that something else stands where `wanted` should; always `None`.
    pub fn expected<T>(&mut self, node: Node<'_>, wanted: &str) -> Option<T> {
        self.wrong(node, format!("expected {wanted}, found {}", node.describe()));
        None
    }

    /// Read one step further down: `name` of an object, `[3]` of an array.
    pub fn inside<T>(&mut self, step: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if !step.starts_with('[') && length > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        let value = f(self);
        self.path.truncate(length);
        value
    }

    /// The properties of an object, or a violation.
    pub fn object(&mut self, node: Node<'a>) -> Option<Object<'a>> {
        match serde_json::from_str::<Pairs<'a>>(node.raw) {
            Ok(pairs) if node.raw.starts_with('{') => Some(Object { node, pairs: pairs.0 }),
            _ => self.expected(node, "an object"),
        }
    }

    /// The items of an array, or a violation.
    pub fn array(&mut self, node: Node<'a>) -> Option<Vec<Node<'a>>> {
        match serde_json::from_str::<Vec<&'a RawValue>>(node.raw) {
            Ok(items) if node.raw.starts_with('[') => {
                Some(items.into_iter().map(|item| Node { raw: item.get() }).collect())
            }
            _ => self.expected(node, "an array"),
        }
    }
}

impl<'a> Node<'a> {
    /// Whether the value's text is exactly this.
    pub fn is(self, text: &str) -> bool {
        self.raw == text
    }

    /// The value's text, as the document has it.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// What a message calls this value: `the string "512M"`, `the number 1.5`, `an object`.
    pub fn describe(self) -> String {
        match self.raw.as_bytes().first() {
            Some(b'"') => {
                let text = serde_json::from_str::<String>(self.raw).unwrap_or_default();
                format!("the string {}", quote(&text))
            }
            Some(b'{') => "an object".into(),
            Some(b'[') => "an array".into(),
            Some(b't' | b'f') => format!("the boolean {}", self.raw),
            Some(b'n') => "null".into(),
            _ if self.raw.len() > 40 => format!("the number {}…", &self.raw[..40]),
            _ => format!("the number {}", self.raw),
        }
    }
}

/// An object whose properties are not read yet.
pub struct Object<'a> {
    node: Node<'a>,
    pairs: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Read the property `name`; a missing one is `T`'s default, or a violation if it has none.
    pub fn field<T: Field>(&self, name: &str, reader: &mut Reader<'a>) -> Option<T> {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        match found.map(|(_, raw)| Node { raw: raw.get() }) {
            Some(node) if !node.is("null") => reader.inside(name, |r| T::read(node, r)),
            _ => T::missing().or_else(|| {
                reader.inside(name, |r| r.wrong(self.node, "required, and missing"));
                None
            }),
        }
    }

    /// Every property with its value, in the document's order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Node<'a>)> {
        self.pairs.iter().map(|(key, raw)| (key.as_str(), Node { raw: raw.get() }))
    }

    /// Note the properties that are none of `known`, if anybody asked for them.
    pub fn unknown(&self, known: &[&str], reader: &mut Reader<'a>) {
        if reader.unknown.as_ref().is_none_or(|noted| noted.len() >= MAX_LISTED) {
            return;
        }
        for (key, node) in self.entries().filter(|(key, _)| !known.contains(key)) {
            let text = "unknown, and ignored".to_owned();
            let mut violation =
                reader.inside(quote(key).trim_matches('"'), |r| r.violation(node, text));
            let similar = known.iter().find(|name| name.eq_ignore_ascii_case(key));
            violation.hint = similar.map(|name| format!("did you mean {name}?"));
            reader.unknown.get_or_insert_default().push(violation);
        }
    }
}

/// A value of the user's as messages show it: quoted, nothing in it that a terminal would obey,
/// and no longer than a line can bear.
pub fn quote(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}

/// The properties of one object in their order.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        from.deserialize_map(Collect).map(Pairs)
    }
}

/// Accepts any JSON without duplicate keys; nesting is bounded by serde_json at 128.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Strict;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
        while seq.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        // An ordered set: a hashed one would ask the kernel for random numbers first.
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(de::Error::custom(format!("duplicate key {key:?}")));
            }
            seen.insert(key);
            map.next_value::<Strict>()?;
        }
        Ok(Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, Spec};
    use super::*;

    fn one<T: Field + std::fmt::Debug>(source: &str) -> Violation {
        let mut violations = read::<T>(source.as_bytes()).unwrap_err();
        assert_eq!(violations.len(), 1, "{violations:?}");
        violations.remove(0)
    }

    #[test]
    fn positions_are_lines_and_characters() {
        let v = one::<Spec>("{\n  \"hostname\": \"ä\", \"domainname\": 7\n}");
        assert_eq!((v.position, v.path.as_str()), (Some((2, 34)), "domainname"));
        assert_eq!(v.text, "expected a string, found the number 7");
        let v = one::<Spec>("{\n  \"hostname\": \"ä\" \"x\"\n}");
        assert_eq!((v.position, v.path.as_str()), (Some((2, 19)), ""));
    }

    #[test]
    fn locate_follows_the_paths_of_violations() {
        let source = br#"{"a": [{"b": 1}, {"b.c": 2}], "sysctl": {"net.x\"]": "1"}}"#;
        assert_eq!(locate(source, ""), Some((1, 1)));
        assert_eq!(locate(source, "a[0].b"), Some((1, 14)));
        assert_eq!(locate(source, "a[1].b"), Some((1, 18)), "the object that lacks it");
        assert_eq!(locate(source, r#"sysctl["net.x\"]"]"#), Some((1, 54)));
    }

    #[test]
    fn numbers_are_integers_in_json_s_own_spelling() {
        type Numbers = Vec<u32>;
        assert_eq!(read::<Numbers>(b"[0, 4294967295]").unwrap(), [0, 4294967295]);
        for wrong in ["-0", "1e3", "1.0", "1E400", "007", "+1", "4294967296", "-1", "0x10", "NaN"] {
            read::<Numbers>(format!("[{wrong}]").as_bytes()).unwrap_err();
        }
        let v = one::<Numbers>("[4294967296]");
        assert_eq!(v.text, "expected an integer from 0 to 4294967295, found the number 4294967296");
    }

    #[test]
    fn strings_are_unicode_without_nul() {
        type Strings = Vec<String>;
        assert_eq!(read::<Strings>(br#"["\ud83d\ude00"]"#).unwrap(), ["\u{1f600}"]);
        for wrong in [r"\ud800", r"\udc00", r"\ud800\u0041", r"\u0000", r"\x", "\u{1}"] {
            read::<Strings>(format!("[\"{wrong}\"]").as_bytes()).unwrap_err();
        }
        read::<Strings>(b"[\"\xff\"]").unwrap_err();
    }

    #[test]
    fn depth_is_bounded_and_so_is_the_list() {
        let deep = "[".repeat(100_000);
        assert_eq!(one::<Spec>(&deep).text, "nested deeper than 128");
        let many = format!("[{}7]", "7,".repeat(5000));
        assert_eq!(read::<Vec<String>>(many.as_bytes()).unwrap_err().len(), MAX_LISTED + 1);
    }

    #[test]
    fn an_empty_word_is_not_given_and_null_too() {
        let source = br#"{"hostname": "", "linux": {"rootfsPropagation": "", "resources": null}}"#;
        let spec: Spec = read(source).unwrap();
        let linux = spec.linux.unwrap();
        assert_eq!((spec.hostname, linux.rootfs_propagation, linux.resources), (None, None, None));
        one::<Memory>(r#"{"limit": ""}"#);
    }

    #[test]
    fn unknown_properties_are_found_on_request() {
        let source = br#"{"linux": {"readOnlyPaths": [], "x": 1}}"#;
        let found = unknown::<Spec>(source);
        let paths: Vec<&str> = found.iter().map(|v| v.path.as_str()).collect();
        assert_eq!(paths, ["linux.readOnlyPaths", "linux.x"]);
        assert_eq!(found[0].hint.as_deref(), Some("did you mean readonlyPaths?"));
    }
}
