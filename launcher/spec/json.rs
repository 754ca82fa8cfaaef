//! JSON text → typed values, with every mistake of the file found in one pass.
//!
//! Knows JSON, positions and paths of fields; not what any field means. Makes no system call.
//! Strict about what is wrong (types, ranges, duplicate keys, NUL), liberal about what is unknown:
//! unknown properties are ignored, as the specification asks. `null` means "not given".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A document larger than this is refused, in bytes.
pub const MAX_BYTES: usize = 16 << 20;

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
}

/// A value not read yet: its text within the document.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    raw: &'a str,
}

/// Where the reading stands, and what it has found wrong so far.
pub struct Reader<'a> {
    source: &'a str,
    path: String,
    violations: Vec<Violation>,
}

/// Read one document into `T`. All violations are returned at once.
pub fn read<T: Field>(source: &[u8]) -> Result<T, Vec<Violation>> {
    let whole = |text: &str| vec![Violation::rule("", text)];
    if source.len() > MAX_BYTES {
        return Err(whole("larger than 16 MiB"));
    }
    let text = std::str::from_utf8(source).map_err(|e| {
        let text = "not UTF-8".to_owned();
        let position = Some(position(source, e.valid_up_to()));
        vec![Violation { path: String::new(), position, text, hint: None }]
    })?;
    if text.starts_with('\u{feff}') {
        return Err(whole("starts with a byte order mark; save the file as UTF-8 without one"));
    }
    serde_json::from_str::<Strict>(text).map_err(|e| vec![syntax(&e)])?;
    let mut reader = Reader { source: text, path: String::new(), violations: Vec::new() };
    let value = T::read(Node { raw: text.trim() }, &mut reader);
    match value {
        Some(value) if reader.violations.is_empty() => Ok(value),
        _ => Err(reader.violations),
    }
}

fn syntax(e: &serde_json::Error) -> Violation {
    let text = e.to_string();
    let text = match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    };
    let position = (e.line() > 0).then(|| (e.line(), e.column().max(1)));
    Violation { path: String::new(), position, text: text.replace('`', "\""), hint: None }
}

fn position(source: &[u8], offset: usize) -> (usize, usize) {
    let before = &source[..offset.min(source.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

impl<'a> Reader<'a> {
    /// Note that the value at the current path is wrong.
    pub fn wrong(&mut self, node: Node<'_>, text: impl Into<String>) {
        let offset = (node.raw.as_ptr() as usize).wrapping_sub(self.source.as_ptr() as usize);
        let at = (offset <= self.source.len()).then(|| position(self.source.as_bytes(), offset));
        let path = self.path.clone();
        self.violations.push(Violation { path, position: at, text: text.into(), hint: None });
    }

    /// As [`Reader::wrong`], with what to do about it.
    pub fn wrong_hint(&mut self, node: Node<'_>, text: impl Into<String>, hint: impl Into<String>) {
        self.wrong(node, text);
        if let Some(last) = self.violations.last_mut() {
            last.hint = Some(hint.into());
        }
    }

    fn expected<T>(&mut self, node: Node<'_>, wanted: &str) -> Option<T> {
        self.wrong(node, format!("expected {wanted}, found {}", node.describe()));
        None
    }

    fn inside<T>(&mut self, step: &str, f: impl FnOnce(&mut Self) -> T) -> T {
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
}

impl Node<'_> {
    fn is_null(&self) -> bool {
        self.raw == "null"
    }

    /// Whether the value's text is exactly this.
    pub fn is(&self, text: &str) -> bool {
        self.raw == text
    }

    /// What a message calls this value: `the string "512M"`, `the number 1.5`, `an object`.
    fn describe(&self) -> String {
        let short: String = self.raw.chars().take(40).collect();
        let more = if short.len() < self.raw.len() { "…" } else { "" };
        match self.raw.as_bytes().first() {
            Some(b'"') => format!("the string {short}{more}"),
            Some(b'{') => "an object".into(),
            Some(b'[') => "an array".into(),
            Some(b't' | b'f') => format!("the boolean {short}"),
            Some(b'n') => "null".into(),
            _ => format!("the number {short}{more}"),
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
            Some(node) if !node.is_null() => reader.inside(name, |r| T::read(node, r)),
            _ => match T::missing() {
                Some(value) => Some(value),
                None => {
                    let node = self.node;
                    reader.inside(name, |r| r.wrong(node, "required, and missing"));
                    None
                }
            },
        }
    }
}

/// A type that a property may have.
pub trait Field: Sized {
    /// The value, or `None` after noting at least one violation.
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self>;

    /// What stands for a property that is not there; `None` if it is required.
    fn missing() -> Option<Self> {
        None
    }
}

impl Field for bool {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        match node.raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => reader.expected(node, "true or false"),
        }
    }

    fn missing() -> Option<Self> {
        Some(false)
    }
}

impl Field for String {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        if !node.raw.starts_with('"') {
            return reader.expected(node, "a string");
        }
        let Ok(text) = serde_json::from_str::<String>(node.raw) else {
            return reader.expected(node, "a string");
        };
        if text.contains('\0') {
            reader.wrong(node, "contains NUL");
            return None;
        }
        Some(text)
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
                if let Ok(number) = node.raw.parse::<$type>() {
                    return Some(number);
                }
                let digits = node.raw.strip_prefix('-').unwrap_or(node.raw);
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                    let range = format!("an integer from {} to {}", <$type>::MIN, <$type>::MAX);
                    return reader.expected(node, &range);
                }
                reader.expected::<()>(node, "an integer");
                size_hint(node, reader);
                None
            }
        }
    )*};
}
integers!(u16, u32, u64, i32, i64);

/// `"512M"` where an integer is wanted: say how many bytes that is.
fn size_hint(node: Node<'_>, reader: &mut Reader<'_>) {
    let Some(last) = reader.violations.last_mut() else { return };
    let inner = node.raw.trim_matches('"');
    let Some(unit) = inner.chars().last() else { return };
    let shift = match unit.to_ascii_uppercase() {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        _ => return,
    };
    if let Ok(number) = inner[..inner.len() - unit.len_utf8()].parse::<u32>() {
        let bytes = u64::from(number) << shift;
        let unit = unit.to_ascii_uppercase();
        last.hint = Some(format!("sizes are in bytes; {number} {unit}iB is {bytes}"));
    }
}

impl<T: Field> Field for Option<T> {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        T::read(node, reader).map(Some)
    }

    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        let items = match serde_json::from_str::<Vec<&'a RawValue>>(node.raw) {
            Ok(items) if node.raw.starts_with('[') => items,
            _ => return reader.expected(node, "an array"),
        };
        let mut all = Some(Vec::with_capacity(items.len()));
        for (index, item) in items.iter().enumerate() {
            let node = Node { raw: item.get() };
            let value = reader.inside(&format!("[{index}]"), |r| T::read(node, r));
            all = all.and_then(|mut list| {
                list.push(value?);
                Some(list)
            });
        }
        all
    }

    fn missing() -> Option<Self> {
        Some(Vec::new())
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        let object = reader.object(node)?;
        let mut all = Some(BTreeMap::new());
        for (key, raw) in &object.pairs {
            let node = Node { raw: raw.get() };
            let value = reader.inside(&format!("[{key:?}]"), |r| {
                if key.contains('\0') {
                    r.wrong(node, "contains NUL");
                    return None;
                }
                T::read(node, r)
            });
            all = all.and_then(|mut map| {
                map.insert(key.clone(), value?);
                Some(map)
            });
        }
        all
    }

    fn missing() -> Option<Self> {
        Some(BTreeMap::new())
    }
}

/// A record of config.json: one row per property gives the struct, its reading and its writing.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$fdoc:meta])* $key:literal $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        pub struct $name {
            $($(#[$fdoc])*
            #[serde(rename = $key, skip_serializing_if = "crate::spec::json::Blank::is_blank")]
            pub $field: $type,)*
        }

        impl $crate::spec::json::Field for $name {
            fn read<'a>(
                node: $crate::spec::json::Node<'a>,
                reader: &mut $crate::spec::json::Reader<'a>,
            ) -> Option<Self> {
                let object = reader.object(node)?;
                $(let $field = object.field::<$type>($key, reader);)*
                Some($name { $($field: $field?,)* })
            }
        }

        impl $crate::spec::json::Blank for $name {
            fn is_blank(&self) -> bool {
                false
            }
        }
    };
}
pub(crate) use record;

/// A closed set of words in config.json.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident ($what:literal) {
        $($(#[$vdoc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word, in the order of the specification.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word as config.json spells it.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl $crate::spec::json::Field for $name {
            fn read<'a>(
                node: $crate::spec::json::Node<'a>,
                reader: &mut $crate::spec::json::Reader<'a>,
            ) -> Option<Self> {
                let text = String::read(node, reader)?;
                let found = $name::ALL.iter().find(|word| word.word() == text);
                if found.is_none() {
                    let known: Vec<&str> = $name::ALL.iter().map(|word| word.word()).collect();
                    let known = known.join(", ");
                    reader.wrong(node, format!("unknown {} {text:?}; known: {known}", $what));
                }
                found.copied()
            }
        }

        impl $crate::spec::json::Blank for $name {
            fn is_blank(&self) -> bool {
                false
            }
        }
    };
}
pub(crate) use words;

/// Whether a value is what stands for a property that is not there, so that it need not be written.
pub trait Blank {
    /// See the trait.
    fn is_blank(&self) -> bool;
}

impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}

impl<T> Blank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Blank for BTreeMap<K, V> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl Blank for bool {
    fn is_blank(&self) -> bool {
        !self
    }
}

macro_rules! never_blank {
    ($($type:ty),*) => {$(
        impl Blank for $type {
            fn is_blank(&self) -> bool {
                false
            }
        }
    )*};
}
never_blank!(String, u16, u32, u64, i32, i64);

/// The properties of one object in their order, duplicates included.
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
                let mut seen = std::collections::HashSet::new();
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
        from.deserialize_any(Walk)
    }
}
