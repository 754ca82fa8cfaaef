//! How each type of property is read, and which values need not be written.
//!
//! This module knows the JSON types; `types` knows which property has which, and `check` has the
//! rules across fields.

use std::collections::BTreeMap;

use super::json::{Node, Reader, Step};

/// A type that a property may have.
pub trait Field: Sized {
    /// Whether `""` means that the property is not given. In the Go programs that write
    /// config.json, an absent string and an empty one are the same.
    const EMPTY_IS_ABSENT: bool = false;

    /// Read the value, or note at least one violation and return `None`.
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self>;

    /// The value of a missing property; `None` if the property is required.
    fn missing() -> Option<Self> {
        None
    }
}

/// A value that need not be written if it is the value of a missing property.
pub trait Blank {
    /// Whether this is the value of a missing property.
    fn is_blank(&self) -> bool {
        false
    }
}

impl Field for bool {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        match node.raw() {
            "true" => Some(true),
            "false" => Some(false),
            _ => reader.expected(node, "true or false"),
        }
    }

    fn missing() -> Option<Self> {
        Some(false)
    }
}

impl Blank for bool {
    fn is_blank(&self) -> bool {
        !self
    }
}

impl Field for String {
    const EMPTY_IS_ABSENT: bool = true;

    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        let text = reader.string(node)?;
        if text.contains('\0') {
            reader.wrong(node, "contains NUL");
            return None;
        }
        Some(text.to_owned())
    }
}

impl Blank for String {}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
                if let Ok(number) = node.raw().parse::<$type>() {
                    return Some(number);
                }
                let digits = node.raw().strip_prefix('-').unwrap_or(node.raw());
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                    let range = format!("an integer from {} to {}", <$type>::MIN, <$type>::MAX);
                    return reader.expected(node, &range);
                }
                match size_hint(node.raw()) {
                    Some(hint) => {
                        let text = format!("expected an integer, found {}", node.describe());
                        reader.wrong_hint(node, text, hint);
                        None
                    }
                    None => reader.expected(node, "an integer"),
                }
            }
        }

        impl Blank for $type {}
    )*};
}
integers!(u16, u32, u64, i32, i64);

/// If the text is a size such as `"512M"`, say how many bytes that is.
fn size_hint(raw: &str) -> Option<String> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    let (shift, unit) = match inner.bytes().last()?.to_ascii_uppercase() {
        b'K' => (10, "K"),
        b'M' => (20, "M"),
        b'G' => (30, "G"),
        _ => return None,
    };
    let number = inner[..inner.len() - 1].parse::<u32>().ok()?;
    Some(format!("sizes are in bytes; {number} {unit}iB is {}", u64::from(number) << shift))
}

/// A large value that would otherwise be moved from one function to the next.
impl<T: Field> Field for Box<T> {
    const EMPTY_IS_ABSENT: bool = T::EMPTY_IS_ABSENT;

    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        T::read(node, reader).map(Box::new)
    }

    fn missing() -> Option<Self> {
        T::missing().map(Box::new)
    }
}

impl<T: Field> Field for Option<T> {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        if T::EMPTY_IS_ABSENT && node.is("\"\"") {
            return Some(None);
        }
        T::read(node, reader).map(Some)
    }

    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        let items = reader.array(node)?;
        let mut all = Some(Vec::with_capacity(items.len()));
        for (index, item) in items.enumerate() {
            let value = reader.inside(Step::Index(index), |r| T::read(item, r));
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

impl<T> Blank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn read<'a>(node: Node<'a>, reader: &mut Reader<'a>) -> Option<Self> {
        let object = reader.object(node)?;
        let mut all = Some(BTreeMap::new());
        for (key, node) in object.entries() {
            let value = reader.inside(Step::Key(key), |r| {
                if key.contains('\0') {
                    r.wrong(node, "contains NUL");
                    return None;
                }
                T::read(node, r)
            });
            all = all.and_then(|mut map| {
                map.insert(key.to_owned(), value?);
                Some(map)
            });
        }
        all
    }

    fn missing() -> Option<Self> {
        Some(BTreeMap::new())
    }
}

impl<K, V> Blank for BTreeMap<K, V> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}
