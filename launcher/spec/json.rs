//! Read JSON text to typed values, and find every mistake of the file in one pass.
//!
//! This module knows JSON, and positions and paths of fields, but not what any field means. It
//! refuses wrong types, numbers out of range, duplicate keys and NUL. It ignores unknown
//! properties, as the specification asks. `null` means "not given". Pure.

use std::borrow::Cow;

use super::parse::{Kind, Value, parse};

pub use super::field::{Blank, Field};

/// A document larger than this is refused, in bytes.
pub const MAX_BYTES: usize = 16 << 20;

/// The most violations that are listed, since each costs a scan of the document.
const MAX_LISTED: usize = 100;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, as a user would write it: `mounts[3].options`; empty for the document.
    pub path: String,
    /// Line and column, both from 1, if they are known.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what would be right.
    pub text: String,
    /// What to do about it, if the text does not say so.
    pub hint: Option<String>,
}

impl Violation {
    /// Make the violation of a rule across fields; `path` names the field to change.
    pub fn rule(path: impl Into<String>, text: impl Into<String>) -> Self {
        Violation { path: path.into(), position: None, text: text.into(), hint: None }
    }

    /// Add a hint: what to do about the violation.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A value of the document, not converted to a type yet.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    value: &'a Value<'a>,
}

/// The path of the value that is being read, and the violations found so far.
pub struct Reader<'a> {
    source: &'a str,
    steps: Vec<Step<'a>>,
    violations: Vec<Violation>,
    /// Properties that no row names; `None` if the caller did not ask for them.
    unknown: Option<Vec<Violation>>,
}

/// One step from a value to one below it.
#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// A property of a record.
    Name(&'a str),
    /// An item of an array.
    Index(usize),
    /// An entry of a map, with a key that the user chose.
    Key(&'a str),
}

/// Read one document into `T`.
///
/// # Errors
/// Every violation of the document: it is not UTF-8 or not JSON, or a value is missing, has the
/// wrong type or is out of range.
pub fn read<T: Field>(source: &[u8]) -> Result<T, Vec<Violation>> {
    read_with(source, None).0
}

/// Return the properties of a document that no row of `T` names. They are ignored, but may be
/// misspelt.
pub fn unknown<T: Field>(source: &[u8]) -> Vec<Violation> {
    read_with::<T>(source, Some(Vec::new())).1
}

fn read_with<T: Field>(
    source: &[u8],
    unknown: Option<Vec<Violation>>,
) -> (Result<T, Vec<Violation>>, Vec<Violation>) {
    let document = text(source).and_then(|text| {
        parse(text).map(|value| (text, value)).map_err(|fault| Violation {
            position: Some(position(source, fault.at)),
            hint: fault.hint.map(str::to_owned),
            ..Violation::rule("", fault.text)
        })
    });
    let (source, root) = match document {
        Ok(document) => document,
        Err(violation) => return (Err(vec![violation]), Vec::new()),
    };
    let mut reader = Reader { source, steps: Vec::new(), violations: Vec::new(), unknown };
    let value = T::read(Node { value: &root }, &mut reader);
    if let (Some(at), Some(noted)) = (root.rest(source), &mut reader.unknown) {
        let position = Some(position(source.as_bytes(), at));
        let rule = Violation::rule("", "something follows the document, and is ignored");
        noted.push(Violation { position, ..rule });
    }
    let unknown = reader.unknown.unwrap_or_default();
    match value {
        Some(value) if reader.violations.is_empty() => (Ok(value), unknown),
        _ => (Err(reader.violations), unknown),
    }
}

/// Return the document as text, if it is UTF-8, not empty, and no larger than `MAX_BYTES`.
fn text(source: &[u8]) -> Result<&str, Violation> {
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
    Ok(text)
}

/// Return line and column of a byte, both from 1; a column is a character.
fn position(source: &[u8], offset: usize) -> (usize, usize) {
    let before = &source[..offset.min(source.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

/// Return the positions of the values at `paths` in a document that `read` accepted. The position
/// of a missing value is that of the value which would contain it.
pub fn locate<'p>(
    source: &[u8],
    paths: impl IntoIterator<Item = &'p str>,
) -> Vec<Option<(usize, usize)>> {
    let root = text(source).ok().and_then(|text| parse(text).ok());
    let find = |path: &str| {
        let mut value = root.as_ref()?;
        let mut rest = path;
        while let Some((next, remaining)) = descend(value, rest) {
            value = next;
            rest = remaining;
        }
        let offset = (value.raw.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
        Some(position(source, offset))
    };
    paths.into_iter().map(find).collect()
}

/// Follow one step of a path: return the value below `value`, and the rest of the path.
fn descend<'v, 'p>(value: &'v Value<'v>, path: &'p str) -> Option<(&'v Value<'v>, &'p str)> {
    match &value.kind {
        Kind::Array(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            Some((items.get(index.parse::<usize>().ok()?)?, rest))
        }
        Kind::Object(pairs) => pairs.iter().find_map(|(key, value)| {
            let rest = match path.starts_with('[') {
                true => path.strip_prefix(&format!("[{key:?}]"))?,
                false => path.strip_prefix('.').unwrap_or(path).strip_prefix(key.as_ref())?,
            };
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some((value, rest))
        }),
        Kind::Plain | Kind::String(_) => None,
    }
}

impl<'a> Reader<'a> {
    /// Note that the value at the current path is wrong.
    pub fn wrong(&mut self, node: Node<'_>, text: impl Into<String>) {
        self.note(node, text.into(), None);
    }

    /// As [`Reader::wrong`], with a hint.
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
        let offset = (node.raw().as_ptr() as usize).wrapping_sub(self.source.as_ptr() as usize);
        let position =
            (offset <= self.source.len()).then(|| position(self.source.as_bytes(), offset));
        Violation { path: self.path(), position, text, hint: None }
    }

    /// Note that the value is not what `wanted` describes; always return `None`.
    pub fn expected<T>(&mut self, node: Node<'_>, wanted: &str) -> Option<T> {
        self.wrong(node, format!("expected {wanted}, found {}", node.describe()));
        None
    }

    /// Call `read` with the path one step longer.
    pub fn inside<T>(&mut self, step: Step<'a>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.steps.push(step);
        let value = read(self);
        self.steps.pop();
        value
    }

    /// Return the current path as text. It is made only for a violation.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Name(name) => {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) => path.push_str(&format!("[{key:?}]")),
            }
        }
        path
    }

    /// The properties of an object, or a violation.
    pub fn object(&mut self, node: Node<'a>) -> Option<Object<'a>> {
        match &node.value.kind {
            Kind::Object(pairs) => Some(Object { node, pairs }),
            _ => self.expected(node, "an object"),
        }
    }

    /// The items of an array, or a violation.
    pub fn array(
        &mut self,
        node: Node<'a>,
    ) -> Option<impl ExactSizeIterator<Item = Node<'a>> + use<'a>> {
        match &node.value.kind {
            Kind::Array(items) => Some(items.iter().map(|value| Node { value })),
            _ => self.expected(node, "an array"),
        }
    }

    /// The text of a string, or a violation.
    pub fn string(&mut self, node: Node<'a>) -> Option<&'a str> {
        match &node.value.kind {
            Kind::String(text) => Some(text),
            _ => self.expected(node, "a string"),
        }
    }
}

impl<'a> Node<'a> {
    /// Whether `text` is the whole text of the value.
    pub fn is(self, text: &str) -> bool {
        self.raw() == text
    }

    /// The text of the value in the document.
    pub fn raw(self) -> &'a str {
        self.value.raw
    }

    /// What a message calls this value: `the string "512M"`, `the number 1.5`, `an object`.
    pub fn describe(self) -> String {
        let raw = self.raw();
        match &self.value.kind {
            Kind::String(text) => format!("the string {}", quote(text)),
            Kind::Object(_) => "an object".into(),
            Kind::Array(_) => "an array".into(),
            Kind::Plain if raw == "null" => "null".into(),
            Kind::Plain if raw.starts_with(['t', 'f']) => format!("the boolean {raw}"),
            Kind::Plain if raw.len() > 40 => format!("the number {}…", &raw[..40]),
            Kind::Plain => format!("the number {raw}"),
        }
    }
}

/// An object whose properties are not read yet.
pub struct Object<'a> {
    node: Node<'a>,
    pairs: &'a [(Cow<'a, str>, Value<'a>)],
}

impl<'a> Object<'a> {
    /// Read the property `name`. If it is missing, return the default of `T`; if `T` has none, note
    /// a violation.
    pub fn field<T: Field>(&self, name: &'static str, reader: &mut Reader<'a>) -> Option<T> {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        match found.map(|(_, value)| Node { value }) {
            Some(node) if !node.is("null") => reader.inside(Step::Name(name), |r| T::read(node, r)),
            _ => T::missing().or_else(|| {
                let missing = "required, and missing";
                reader.inside(Step::Name(name), |r| r.wrong(self.node, missing));
                None
            }),
        }
    }

    /// Every property with its value, in the document's order.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> + use<'a> {
        self.pairs.iter().map(|(key, value)| (key.as_ref(), Node { value }))
    }

    /// Note the properties that are not in `known`, if the caller asked for them.
    pub fn unknown(&self, known: &[&str], reader: &mut Reader<'a>) {
        if reader.unknown.as_ref().is_none_or(|noted| noted.len() >= MAX_LISTED) {
            return;
        }
        for (key, node) in self.entries().filter(|(key, _)| !known.contains(key)) {
            let text = "unknown, and ignored".to_owned();
            let plain = key.bytes().all(|b| b.is_ascii_alphanumeric());
            let step = if plain { Step::Name(key) } else { Step::Key(key) };
            let mut violation = reader.inside(step, |r| r.violation(node, text));
            let similar = known.iter().find(|name| name.eq_ignore_ascii_case(key));
            violation.hint = similar.map(|name| format!("did you mean {name}?"));
            reader.unknown.get_or_insert_default().push(violation);
        }
    }
}

/// Quote a user's text for a message: escape control characters, and cut it after 60 characters.
pub fn quote(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
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
    fn text_after_the_document_is_a_warning() {
        let source = b"{\"hostname\": \"web\"}\n  {";
        assert_eq!(read::<Spec>(source).unwrap().hostname.as_deref(), Some("web"));
        let warnings = unknown::<Spec>(source);
        assert_eq!((warnings.len(), warnings[0].position), (1, Some((2, 3))));
        assert_eq!(warnings[0].text, "something follows the document, and is ignored");
    }

    #[test]
    fn locate_follows_the_paths_of_violations() {
        let source = br#"{"a": [{"b": 1}, {"b.c": 2}], "sysctl": {"net.x\"]": "1"}}"#;
        let found = locate(source, ["", "a[0].b", "a[1].b", r#"sysctl["net.x\"]"]"#]);
        // The third value is missing, so its position is that of the object that lacks it.
        assert_eq!(found, [Some((1, 1)), Some((1, 14)), Some((1, 18)), Some((1, 54))]);
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
        for wrong in [r"\u0000", r"\x", "\u{1}"] {
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
