//! The two macros that declare the types of config.json: one row per property, one row per word.
//!
//! A row becomes the field of a struct and the code that reads and writes it.

/// Declare an object of config.json: each row is a field of the struct, and a property to read and
/// to write.
///
/// `"key" field: type` is not written if it has the value of a missing property.
/// `"key" field: type = always` is always written. `"key" field: type => value` has this value if
/// the property is missing, even if the type alone would make the property required.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident {
        $(
            $(#[$fdoc:meta])*
            $key:literal $field:ident: $type:ty $(= $always:ident)? $(=> $value:literal)?,
        )*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $type,)*
        }

        impl $crate::spec::json::Field for $name {
            fn read<'a>(
                node: $crate::spec::json::Node<'a>,
                reader: &mut $crate::spec::json::Reader<'a>,
            ) -> Option<Self> {
                let object = reader.object(node)?;
                object.unknown(&[$($key),*], reader);
                $(let $field = $crate::spec::record::record!(
                    @read object, $type, $key, reader $(, $value)?
                );)*
                Some($name { $($field: $field?,)* })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let mut map = to.serialize_map(None)?;
                $(if $crate::spec::record::record!(@written self.$field $(, $always)?) {
                    serde::ser::SerializeMap::serialize_entry(&mut map, $key, &self.$field)?;
                })*
                serde::ser::SerializeMap::end(map)
            }
        }

        impl $crate::spec::json::Blank for $name {}
    };
    (@read $object:ident, $type:ty, $key:literal, $reader:ident) => {
        $object.field::<$type>($key, $reader)
    };
    (@read $object:ident, $type:ty, $key:literal, $reader:ident, $value:literal) => {
        $object.field::<Option<$type>>($key, $reader).map(|given| given.unwrap_or($value))
    };
    (@written $value:expr) => { !$crate::spec::json::Blank::is_blank(&$value) };
    (@written $value:expr, always) => { true };
}
pub(crate) use record;

/// Declare an enum for a closed set of words in config.json.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident ($what:literal) {
        $($(#[$vdoc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
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
            const EMPTY_IS_ABSENT: bool = true;

            fn read<'a>(
                node: $crate::spec::json::Node<'a>,
                reader: &mut $crate::spec::json::Reader<'a>,
            ) -> Option<Self> {
                let text = String::read(node, reader)?;
                let found = $name::ALL.iter().find(|word| word.word() == text);
                if found.is_none() {
                    let known: Vec<&str> = $name::ALL.iter().map(|word| word.word()).collect();
                    let known = known.join(", ");
                    let found = $crate::spec::json::quote(&text);
                    reader.wrong(node, format!("unknown {} {found}; known: {known}", $what));
                }
                found.copied()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.word())
            }
        }

        impl $crate::spec::json::Blank for $name {}
    };
}
pub(crate) use words;
