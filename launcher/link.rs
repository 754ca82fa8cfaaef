//! The frames between the first process of a machine and the program that booted it.
//!
//! Both ends hold one line of bytes: a serial port, or a port of virtio. The machine begins with
//! [`HELLO`], before which the other end says nothing. Then each side sends frames: a byte for the
//! kind, two bytes for the length (little endian), and the payload.
//!
//! A serial port has no flow control, so the input of the machine has: at most as many bytes are on
//! their way as the machine has granted. Pure.

/// What the machine sends first. The bytes before it are not ours.
pub const HELLO: &[u8] = b"\0tiny-ce link 1\n";

/// The longest payload of a frame, in bytes.
pub const LONGEST: usize = 4096;

/// How many bytes of input may be on their way at once: what a terminal of the kernel holds
/// (N_TTY_BUF_SIZE) must have room for them and for the frames around them.
pub const WINDOW: u32 = 2048;

/// What the machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromMachine {
    /// Bytes of standard output.
    Output(Vec<u8>),
    /// Bytes of standard error.
    Errors(Vec<u8>),
    /// So many more bytes of input may be sent.
    Grant(u32),
    /// All programs have ended, and this is the exit status of the machine.
    Status(u8),
    /// The machine ends without such a status, and why.
    Failed(String),
    /// A program with a terminal has begun, so its user's terminal is to be raw.
    Terminal,
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToMachine {
    /// Bytes of standard input.
    Input(Vec<u8>),
    /// The end of standard input.
    End,
    /// A signal for the programs.
    Signal(u8),
    /// The size of the terminal, in rows and columns.
    Size(u16, u16),
}

/// A frame of one of the two directions.
pub trait Frame: Sized {
    /// The byte of its kind, and its payload, of which no more than `LONGEST` bytes are sent.
    fn parts(&self) -> (u8, Vec<u8>);
    /// The frame with these parts; `None` if there is no such frame.
    fn of_parts(kind: u8, payload: &[u8]) -> Option<Self>;

    /// The bytes on the line.
    fn bytes(&self) -> Vec<u8> {
        let (kind, mut payload) = self.parts();
        payload.truncate(LONGEST);
        let length = (payload.len() as u16).to_le_bytes();
        let mut bytes = vec![kind, length[0], length[1]];
        bytes.append(&mut payload);
        bytes
    }
}

impl Frame for FromMachine {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            FromMachine::Output(bytes) => (1, bytes.clone()),
            FromMachine::Errors(bytes) => (2, bytes.clone()),
            FromMachine::Grant(count) => (3, count.to_le_bytes().to_vec()),
            FromMachine::Status(code) => (4, vec![*code]),
            FromMachine::Failed(text) => (5, text.clone().into_bytes()),
            FromMachine::Terminal => (6, Vec::new()),
        }
    }

    fn of_parts(kind: u8, payload: &[u8]) -> Option<Self> {
        Some(match (kind, payload) {
            (1, bytes) => FromMachine::Output(bytes.to_vec()),
            (2, bytes) => FromMachine::Errors(bytes.to_vec()),
            (3, bytes) => FromMachine::Grant(u32::from_le_bytes(bytes.try_into().ok()?)),
            (4, [code]) => FromMachine::Status(*code),
            (5, text) => FromMachine::Failed(String::from_utf8_lossy(text).into_owned()),
            (6, []) => FromMachine::Terminal,
            _ => return None,
        })
    }
}

impl Frame for ToMachine {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            ToMachine::Input(bytes) => (1, bytes.clone()),
            ToMachine::End => (2, Vec::new()),
            ToMachine::Signal(number) => (3, vec![*number]),
            ToMachine::Size(rows, columns) => {
                (4, [rows.to_le_bytes(), columns.to_le_bytes()].concat())
            }
        }
    }

    fn of_parts(kind: u8, payload: &[u8]) -> Option<Self> {
        Some(match (kind, payload) {
            (1, bytes) => ToMachine::Input(bytes.to_vec()),
            (2, []) => ToMachine::End,
            (3, [number]) => ToMachine::Signal(*number),
            (4, [a, b, c, d]) => {
                ToMachine::Size(u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]))
            }
            _ => return None,
        })
    }
}

/// The bytes that have arrived and are no whole frame yet. The default is for the end that waits
/// for [`HELLO`].
#[derive(Debug, Default)]
pub struct Arrived {
    bytes: Vec<u8>,
    greeted: bool,
}

impl Arrived {
    /// For the end that has said it.
    pub fn after_hello() -> Arrived {
        Arrived { bytes: Vec::new(), greeted: true }
    }

    /// Whether [`HELLO`] has been said.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Add bytes of the line, and return the frames that are whole now. A frame of a kind that is
    /// not known is left out.
    pub fn add<F: Frame>(&mut self, bytes: &[u8]) -> Vec<F> {
        self.bytes.extend_from_slice(bytes);
        if !self.greeted {
            let found = self.bytes.windows(HELLO.len()).position(|it| it == HELLO);
            let known = match found {
                Some(at) => at + HELLO.len(),
                // The rest may be the beginning of it.
                None => self.bytes.len().saturating_sub(HELLO.len() - 1),
            };
            self.bytes.drain(..known);
            self.greeted = found.is_some();
        }
        if !self.greeted {
            return Vec::new();
        }
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Some(&[kind, low, high]) = self.bytes.get(at..at + 3) {
            let end = at + 3 + usize::from(u16::from_le_bytes([low, high]));
            let Some(payload) = self.bytes.get(at + 3..end) else { break };
            frames.extend(F::of_parts(kind, payload));
            at = end;
        }
        self.bytes.drain(..at);
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_they_were_sent_however_they_are_cut() {
        let sent = [
            FromMachine::Output(vec![0; LONGEST]),
            FromMachine::Errors(HELLO.to_vec()),
            FromMachine::Output(Vec::new()),
            FromMachine::Grant(u32::MAX),
            FromMachine::Failed("é".into()),
            FromMachine::Terminal,
            FromMachine::Status(255),
        ];
        let frames = sent.iter().flat_map(Frame::bytes);
        let line: Vec<u8> =
            b"\0noise\0tiny-ce l".iter().chain(HELLO).copied().chain(frames).collect();
        for size in [1, 2, 3, 7, 5000, line.len()] {
            let mut arrived = Arrived::default();
            let read = |piece: &[u8]| arrived.add::<FromMachine>(piece);
            let got: Vec<FromMachine> = line.chunks(size).flat_map(read).collect();
            assert_eq!(got, sent, "in pieces of {size}");
        }
    }

    #[test]
    fn what_the_machine_is_told_arrives() {
        let sent = [
            ToMachine::Input(b"a\n".to_vec()),
            ToMachine::End,
            ToMachine::Signal(15),
            ToMachine::Size(24, 300),
        ];
        let line: Vec<u8> = sent.iter().flat_map(Frame::bytes).collect();
        assert_eq!(Arrived::after_hello().add::<ToMachine>(&line), sent);
    }

    #[test]
    fn no_line_causes_a_panic() {
        tiny_ce_test::fuzz("link", &["test/fuzz/link"], |bytes| {
            let _ = Arrived::default().add::<FromMachine>(bytes);
            let _ = Arrived::after_hello().add::<ToMachine>(bytes);
        });
    }
}
