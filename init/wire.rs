//! How the fields of a step are encoded, and how `explain` prints them.
//!
//! Little-endian, no padding, no allocation: strings and byte strings are borrowed from the plan.
//! Knows nothing about operations. Every decode checks its bounds; nothing here can panic.

use core::ffi::CStr;
use core::fmt;

/// The bytes are not a plan: cut short, or a value out of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The destination of encoded bytes.
pub trait Sink {
    /// Append.
    fn put(&mut self, bytes: &[u8]);
}

/// The bytes left to decode, and whether all bytes before them were well-formed.
///
/// A malformed field decodes to a default value and sets a flag. `whole` tests the flag once a
/// step: a test for each field would make init larger.
#[derive(Clone, Copy)]
pub struct Reader<'p> {
    bytes: &'p [u8],
    malformed: bool,
}

impl<'p> Reader<'p> {
    /// Read from the start of `bytes`.
    pub fn new(bytes: &'p [u8]) -> Self {
        Reader { bytes, malformed: false }
    }

    /// The next `n` bytes; an empty slice if fewer are left.
    pub fn take(&mut self, n: usize) -> &'p [u8] {
        let (head, tail) = self.bytes.split_at_checked(n).unwrap_or_else(|| {
            self.malformed = true;
            (&[], &[])
        });
        self.bytes = tail;
        head
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Mark the bytes as malformed, since a value is out of its range, and return `instead`.
    pub fn refuse<T>(&mut self, instead: T) -> T {
        self.malformed = true;
        instead
    }

    /// Return `value`, if everything decoded up to here was well-formed.
    ///
    /// # Errors
    /// A value that was decoded before was malformed.
    pub fn whole<T>(&self, value: T) -> Result<T, Malformed> {
        if self.malformed { Err(Malformed) } else { Ok(value) }
    }
}

/// A value that travels in a step.
pub trait Field<'p>: Sized {
    /// Append to `out`.
    fn encode(&self, out: &mut dyn Sink);
    /// Decode what `encode` wrote. Other bytes give any value, and [`Reader::whole`] then fails.
    fn decode(from: &mut Reader<'p>) -> Self;
    /// Print as strace would.
    ///
    /// # Errors
    /// The formatter fails.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl<'p> Field<'p> for $type {
            fn encode(&self, out: &mut dyn Sink) {
                out.put(&self.to_le_bytes());
            }
            fn decode(from: &mut Reader<'p>) -> Self {
                let raw = from.take(size_of::<$type>());
                <$type>::from_le_bytes(raw.first_chunk().copied().unwrap_or_default())
            }
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    )*};
}
integer!(u8, u16, u32, u64, i32);

/// The name of a descriptor in a plan, 0 to 63. Only the machine knows the descriptor's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// How many slots there are.
    pub const COUNT: usize = 64;
    /// Instead of a descriptor: paths are relative to the working directory (`AT_FDCWD`).
    pub const CWD: Slot = Slot(255);
    /// The channel to the launcher; filled before the first step.
    pub const CHANNEL: Slot = Slot(0);

    /// The slot with this number, if it is below [`Slot::COUNT`].
    pub const fn new(number: u8) -> Option<Slot> {
        if (number as usize) < Self::COUNT { Some(Slot(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

impl<'p> Field<'p> for Slot {
    fn encode(&self, out: &mut dyn Sink) {
        out.put(&[self.0]);
    }

    fn decode(from: &mut Reader<'p>) -> Self {
        let number = u8::decode(from);
        let slot = if number == Self::CWD.0 { Some(Self::CWD) } else { Slot::new(number) };
        slot.unwrap_or_else(|| from.refuse(Self::CWD))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::CWD { f.write_str("AT_FDCWD") } else { write!(f, "fd{}", self.0) }
    }
}

impl<'p> Field<'p> for &'p [u8] {
    fn encode(&self, out: &mut dyn Sink) {
        (self.len() as u32).encode(out);
        out.put(self);
    }

    fn decode(from: &mut Reader<'p>) -> Self {
        let length = u32::decode(from);
        from.take(length as usize)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(self, f)
    }
}

impl<'p> Field<'p> for &'p CStr {
    fn encode(&self, out: &mut dyn Sink) {
        self.to_bytes_with_nul().encode(out);
    }

    fn decode(from: &mut Reader<'p>) -> Self {
        let bytes = <&[u8]>::decode(from);
        CStr::from_bytes_with_nul(bytes).unwrap_or_else(|_| from.refuse(c""))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(self.to_bytes(), f)
    }
}

/// In double quotes, unprintable bytes escaped, long strings cut as strace cuts them.
fn quote(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const LONGEST: usize = 96;
    f.write_str("\"")?;
    for chunk in bytes.get(..LONGEST).unwrap_or(bytes).utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => write!(f, "\\x{:02x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    f.write_str(if bytes.len() > LONGEST { "\"..." } else { "\"" })
}

/// A structure of the kernel, encoded field by field, with the layout of C.
macro_rules! structure {
    ($($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$fdoc:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        impl<'p> $crate::wire::Field<'p> for $name {
            fn encode(&self, out: &mut dyn $crate::wire::Sink) {
                $(self.$field.encode(out);)*
            }
            fn decode(from: &mut $crate::wire::Reader<'p>) -> Self {
                $name { $($field: $crate::wire::Field::decode(from),)* }
            }
            fn show(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut between = "{";
                $(
                    f.write_str(between)?;
                    between = ", ";
                    f.write_str(concat!(stringify!($field), "="))?;
                    self.$field.show(f)?;
                )*
                let _ = between;
                f.write_str("}")
            }
        }
    )*};
}
pub(crate) use structure;
