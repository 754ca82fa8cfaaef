//! D-Bus messages as bytes (the D-Bus specification, "Message Protocol"), little-endian.
//!
//! Knows types, alignment and headers. Must not know sockets, or the meaning of a message.

use std::fmt;

/// A value of one of the types that we send.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    Double(f64),
    /// `s`
    Str(String),
    /// `o`
    Object(String),
    /// `g`
    Signature(String),
    /// `a`, and the type of the elements, which an empty one has too.
    Array(String, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Str(text.into())
    }

    /// `ay`.
    pub fn bytes(bytes: &[u8]) -> Value {
        Value::Array("y".into(), bytes.iter().map(|b| Value::Byte(*b)).collect())
    }

    /// The type of the value, as in a signature.
    pub fn signature(&self) -> String {
        match self {
            Value::Byte(_) => "y".into(),
            Value::Bool(_) => "b".into(),
            Value::I16(_) => "n".into(),
            Value::U16(_) => "q".into(),
            Value::I32(_) => "i".into(),
            Value::U32(_) => "u".into(),
            Value::I64(_) => "x".into(),
            Value::U64(_) => "t".into(),
            Value::Double(_) => "d".into(),
            Value::Str(_) => "s".into(),
            Value::Object(_) => "o".into(),
            Value::Signature(_) => "g".into(),
            Value::Array(element, _) => format!("a{element}"),
            Value::Struct(fields) => {
                format!("({})", fields.iter().map(Value::signature).collect::<String>())
            }
            Value::Variant(_) => "v".into(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        align(out, alignment(&self.signature()));
        match self {
            Value::Byte(v) => out.push(*v),
            Value::Bool(v) => out.extend(u32::from(*v).to_le_bytes()),
            Value::I16(v) => out.extend(v.to_le_bytes()),
            Value::U16(v) => out.extend(v.to_le_bytes()),
            Value::I32(v) => out.extend(v.to_le_bytes()),
            Value::U32(v) => out.extend(v.to_le_bytes()),
            Value::I64(v) => out.extend(v.to_le_bytes()),
            Value::U64(v) => out.extend(v.to_le_bytes()),
            Value::Double(v) => out.extend(v.to_le_bytes()),
            Value::Str(text) | Value::Object(text) => {
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
                out.push(0);
            }
            Value::Signature(text) => signature(text, out),
            Value::Array(element, values) => {
                let length_at = out.len();
                out.extend([0; 4]);
                align(out, alignment(element));
                let start = out.len();
                values.iter().for_each(|value| value.write(out));
                let bytes = (out.len() - start) as u32;
                out[length_at..length_at + 4].copy_from_slice(&bytes.to_le_bytes());
            }
            Value::Struct(fields) => fields.iter().for_each(|field| field.write(out)),
            Value::Variant(value) => {
                signature(&value.signature(), out);
                value.write(out);
            }
        }
    }
}

/// GVariant's text format, without types that the value shows.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, values: &[Value]| {
            let texts: Vec<String> = values.iter().map(Value::to_string).collect();
            f.write_str(&texts.join(", "))
        };
        match self {
            Value::Byte(v) => write!(f, "{v}"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::I16(v) => write!(f, "{v}"),
            Value::U16(v) => write!(f, "{v}"),
            Value::I32(v) => write!(f, "{v}"),
            Value::U32(v) => write!(f, "{v}"),
            Value::I64(v) => write!(f, "{v}"),
            Value::U64(u64::MAX) => f.write_str("infinity"),
            Value::U64(v) => write!(f, "{v}"),
            Value::Double(v) => write!(f, "{v}"),
            Value::Str(v) | Value::Object(v) | Value::Signature(v) => write!(f, "{v:?}"),
            Value::Array(_, values) => {
                f.write_str("[")?;
                list(f, values)?;
                f.write_str("]")
            }
            Value::Struct(values) => {
                f.write_str("(")?;
                list(f, values)?;
                f.write_str(")")
            }
            Value::Variant(value) => write!(f, "<{value}>"),
        }
    }
}

fn signature(text: &str, out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
    out.push(0);
}

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// The kind of a message: a call.
const CALL: u8 = 1;
/// The kind of a message: a method return.
pub const RETURN: u8 = 2;
/// The kind of a message: an error.
pub const ERROR: u8 = 3;
/// The kind of a message: a signal.
pub const SIGNAL: u8 = 4;

/// The method and the object of a call.
#[derive(Debug, Clone, Copy)]
pub struct Method<'a> {
    /// Name of the service on the bus.
    pub destination: &'a str,
    /// The object.
    pub path: &'a str,
    /// The interface that has the method.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
}

/// A method call, ready to be sent.
pub fn call(serial: u32, method: &Method<'_>, arguments: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    arguments.iter().for_each(|value| value.write(&mut body));
    let field = |code: u8, value: Value| {
        Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))])
    };
    let mut fields = vec![
        field(1, Value::Object(method.path.into())),
        field(2, Value::text(method.interface)),
        field(3, Value::text(method.member)),
        field(6, Value::text(method.destination)),
    ];
    if !arguments.is_empty() {
        let signature = arguments.iter().map(Value::signature).collect();
        fields.push(field(8, Value::Signature(signature)));
    }
    let mut out = vec![b'l', CALL, 0, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(serial.to_le_bytes());
    Value::Array("(yv)".into(), fields).write(&mut out);
    align(&mut out, 8);
    out.extend(body);
    out
}

/// A message that was received.
#[derive(Debug, Default)]
pub struct Message {
    /// [`RETURN`], [`ERROR`], [`SIGNAL`], or a kind that we ignore.
    pub kind: u8,
    /// The serial of the call that it answers.
    pub reply_to: u32,
    /// Name of a signal.
    pub member: String,
    /// Name of an error.
    pub error: String,
    /// Types of the body.
    pub signature: String,
    /// The arguments.
    pub body: Vec<u8>,
}

/// Bytes of the fixed part of a header, and of what follows it: the fields, padded, and the body.
///
/// `None` if the header is malformed or big-endian, or the message is too long.
pub fn rest_of(head: &[u8; 16]) -> Option<usize> {
    /// The longest message that the specification allows.
    const LARGEST: usize = 128 << 20;
    if head[0] != b'l' || head[3] != 1 {
        return None;
    }
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (body, fields) = (number(4) as usize, number(12) as usize);
    let rest = fields.checked_next_multiple_of(8)?.checked_add(body)?;
    (rest <= LARGEST).then_some(rest)
}

/// Read a whole message.
pub fn message(head: &[u8; 16], rest: &[u8]) -> Option<Message> {
    let fields_end = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
    let mut message = Message { kind: head[1], ..Message::default() };
    let mut fields = Reader { bytes: rest.get(..fields_end)?, at: 0 };
    while fields.at < fields_end {
        fields.skip_to(8)?;
        let code = fields.byte()?;
        let kind = fields.signature()?;
        match (code, kind.as_str()) {
            (3, "s") => message.member = fields.text()?,
            (4, "s") => message.error = fields.text()?,
            (5, "u") => message.reply_to = fields.u32()?,
            (8, "g") => message.signature = fields.signature()?,
            (_, "s" | "o") => drop(fields.text()?),
            (_, "g") => drop(fields.signature()?),
            (_, "u") => drop(fields.u32()?),
            _ => return None,
        }
    }
    message.body = rest.get(fields_end.next_multiple_of(8)..)?.to_vec();
    Some(message)
}

impl Message {
    /// A reader of the arguments.
    pub fn arguments(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// Reads one value after another; `None` at the end, or if the next value has another type.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip_to(&mut self, multiple: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(multiple)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    /// `u`.
    pub fn u32(&mut self) -> Option<u32> {
        self.skip_to(4)?;
        self.take(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// `s` or `o`.
    pub fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.byte()? as usize;
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// `v` that holds an `s` or an `o`.
    pub fn text_in_variant(&mut self) -> Option<String> {
        matches!(self.signature()?.as_str(), "s" | "o").then(|| self.text())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> ([u8; 16], &[u8]) {
        let head: [u8; 16] = bytes[..16].try_into().expect("a head");
        (head, &bytes[16..])
    }

    #[test]
    fn a_call_as_the_specification_has_it() {
        let method = Method { destination: "d", path: "/p", interface: "i", member: "m" };
        let bytes = call(7, &method, &[Value::U32(5), Value::text("ab")]);
        // Little-endian, a call, no flags, version 1; 11 bytes of body, serial 7.
        assert_eq!(bytes[..12], [b'l', 1, 0, 1, 11, 0, 0, 0, 7, 0, 0, 0]);
        let (head, rest) = split(&bytes);
        assert_eq!(rest_of(&head), Some(rest.len()));
        let read = message(&head, rest).expect("a message");
        assert_eq!((read.member.as_str(), read.signature.as_str()), ("m", "us"));
        let mut arguments = read.arguments();
        assert_eq!(arguments.u32(), Some(5));
        assert_eq!(arguments.text().as_deref(), Some("ab"));
        assert_eq!(arguments.u32(), None);
    }

    #[test]
    fn values_are_aligned() {
        let mut out = vec![0xff];
        let property = Value::Struct(vec![
            Value::text("A"),
            Value::Variant(Box::new(Value::Array("t".into(), vec![Value::U64(9)]))),
        ]);
        property.write(&mut out);
        let wanted: &[&[u8]] = &[
            &[0xff, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'A', 0, 2, b'a', b't', 0, 0, 0, 8, 0, 0, 0],
            &[9, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(out, wanted.concat());
        assert_eq!(property.signature(), "(sv)");
        // An empty array has the padding of its elements too, which its length does not include.
        let mut out = Vec::new();
        Value::Array("(sv)".into(), Vec::new()).write(&mut out);
        assert_eq!(out, [0; 8]);
    }

    #[test]
    fn no_bytes_cause_a_panic() {
        let method = Method { destination: "d", path: "/p", interface: "i", member: "m" };
        let bytes = call(1, &method, &[Value::bytes(&[1, 2, 3]), Value::Bool(true)]);
        let (head, rest) = split(&bytes);
        for length in 0..rest.len() {
            let _ = message(&head, &rest[..length]).map(|m| m.arguments().text());
        }
        for at in 0..bytes.len() {
            for with in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = with;
                let (head, rest) = split(&bytes);
                let _ = rest_of(&head);
                let _ = message(&head, rest).map(|m| m.arguments().text_in_variant());
            }
        }
        assert_eq!(rest_of(&[0xff; 16]), None);
    }

    #[test]
    fn no_answer_causes_a_panic() {
        tiny_ce_test::fuzz("dbus", &["test/fuzz/dbus"], |bytes| {
            if bytes.len() < 16 {
                return;
            }
            let (head, rest) = split(bytes);
            let most = rest_of(&head).unwrap_or(0);
            let Some(message) = message(&head, &rest[..most.min(rest.len())]) else { return };
            let _ = message.arguments().text();
            let _ = message.arguments().text_in_variant();
        });
    }
}
