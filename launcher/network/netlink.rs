//! One conversation with rtnetlink: send requests, receive replies and the kernel's error messages.
//!
//! Knows framing, acknowledgements and extended acknowledgements (NETLINK_EXT_ACK, Linux 4.12);
//! not what a message means. Requests are typed; replies are handed on as bytes, because a reply
//! may hold attributes that are newer than any table of them.

use std::fmt::Display;
use std::os::fd::{AsRawFd, RawFd};

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::errno::ErrnoName;
use crate::error::Error;

/// The kernel puts at most this many bytes of a dump into one datagram (netlink_dump).
const PART_BYTES: usize = 32 << 10;

/// How often a dump is requested again, if the listed objects changed during the dump.
const DUMP_TRIES: usize = 16;

/// NLMSGERR_ATTR_MSG of linux/netlink.h: the sentence in an extended acknowledgement.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The body of a request, by family of messages.
#[derive(Debug, Clone)]
pub enum Body {
    /// `RTM_*LINK`.
    Link(LinkMessage),
    /// `RTM_*ADDR`.
    Address(AddressMessage),
    /// `RTM_*ROUTE`.
    Route(RouteMessage),
    /// `RTM_*NEIGH`.
    Neighbour(NeighbourMessage),
}

/// One request.
#[derive(Debug, Clone)]
pub struct NetlinkRequest {
    /// The message's name in rtnetlink(7), for errors.
    pub name: &'static str,
    /// The message's number.
    pub kind: u16,
    /// `NLM_F_*` beyond REQUEST and ACK.
    pub flags: u16,
    /// What is asked for.
    pub body: Body,
}

impl NetlinkSerializable for &NetlinkRequest {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        match &self.body {
            Body::Link(m) => m.buffer_len(),
            Body::Address(m) => m.buffer_len(),
            Body::Route(m) => m.buffer_len(),
            Body::Neighbour(m) => m.buffer_len(),
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match &self.body {
            Body::Link(m) => m.emit(buffer),
            Body::Address(m) => m.emit(buffer),
            Body::Route(m) => m.emit(buffer),
            Body::Neighbour(m) => m.emit(buffer),
        }
    }
}

/// The kernel's answer, or a failure whose place in the configuration the caller adds.
pub type Answer<T> = Result<T, Failure>;

/// A request that the kernel refused, or that did not reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Name of the message or of the system call.
    pub request: &'static str,
    /// The kernel's number, positive.
    pub errno: i32,
    /// The kernel's own message, if it sent one.
    pub words: Option<String>,
}

impl Failure {
    /// The error that a user sees; `place` says what was being made or asked.
    pub fn at(self, place: impl Display) -> Error {
        let words = self.words.map(|words| format!(": {words}")).unwrap_or_default();
        let name = ErrnoName(self.errno);
        let error = Error::new(format!("{place}: {}: {name}{words}", self.request));
        if self.errno == libc::EPERM {
            error.hint("networks need CAP_NET_ADMIN and CAP_SYS_ADMIN: run as root")
        } else if words.contains("Unknown device type") {
            error.hint("load the kernel modules bridge and veth")
        } else {
            error
        }
    }

    fn io(request: &'static str, error: &std::io::Error) -> Self {
        // A failure without an errno does not come from the kernel: the message was cut short.
        Failure { request, errno: error.raw_os_error().unwrap_or(libc::EBADMSG), words: None }
    }

    fn garbled() -> Self {
        let words = Some("the reply cannot be read".into());
        Failure { request: "recvfrom(2)", errno: libc::EBADMSG, words }
    }
}

/// A socket of the network namespace in which it was opened; it stays there when the thread changes
/// its namespace.
pub struct Conversation {
    socket: Socket,
    sequence: u32,
}

impl AsRawFd for Conversation {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Conversation {
    /// Open it in the calling thread's network namespace.
    pub fn open() -> Answer<Self> {
        let socket = Socket::new(NETLINK_ROUTE).map_err(|e| Failure::io("socket(2)", &e))?;
        // Without these options an error would be an errno and the whole request, without a
        // message.
        socket.set_ext_ack(true).map_err(|e| Failure::io("setsockopt(2)", &e))?;
        socket.set_cap_ack(true).map_err(|e| Failure::io("setsockopt(2)", &e))?;
        Ok(Conversation { socket, sequence: 0 })
    }

    /// Send all requests in one datagram and wait for every answer.
    ///
    /// The kernel runs them in order and does not stop at one that fails: the first failure is
    /// returned. The replies are payloads, without their netlink headers.
    pub fn send(&mut self, requests: &[NetlinkRequest]) -> Answer<Vec<Vec<u8>>> {
        let first = self.sequence + 1;
        let mut datagram = Vec::new();
        for request in requests {
            self.sequence += 1;
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST | NLM_F_ACK | request.flags;
            header.sequence_number = self.sequence;
            let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
            message.finalize();
            let start = datagram.len();
            // NLMSG_ALIGN: the next message starts at a multiple of four.
            datagram.resize(start + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut datagram[start..]);
        }
        let sent = self.socket.send(&datagram, 0);
        sent.map_err(|e| Failure::io("sendto(2)", &e))?;
        self.receive(first, requests)
    }

    /// A request for a list. Asked again if the list changed while it was being read.
    pub fn dump(&mut self, mut request: NetlinkRequest) -> Answer<Vec<Vec<u8>>> {
        request.flags |= NLM_F_DUMP;
        let requests = [request];
        let interrupted =
            |result: &Answer<_>| matches!(result, Err(Failure { errno: libc::EINTR, .. }));
        let mut result = self.send(&requests);
        for _ in 1..DUMP_TRIES {
            if !interrupted(&result) {
                break;
            }
            result = self.send(&requests);
        }
        result
    }

    fn receive(&mut self, first: u32, asked: &[NetlinkRequest]) -> Answer<Vec<Vec<u8>>> {
        let mut replies = Vec::new();
        let mut failure = None;
        let mut outstanding = asked.len();
        let mut part = Vec::with_capacity(PART_BYTES);
        while outstanding > 0 {
            part.clear();
            // MSG_TRUNC: the true length, so that a message cut short is noticed below.
            match self.socket.recv(&mut part, libc::MSG_TRUNC) {
                Ok(length) if length > part.len() => return Err(Failure::garbled()),
                Ok(_) => {}
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => continue,
                Err(e) => return Err(Failure::io("recvfrom(2)", &e)),
            }
            let mut rest = &part[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(|_| Failure::garbled())?;
                let length = (message.length() as usize).next_multiple_of(4).min(rest.len());
                let at = message.sequence_number().wrapping_sub(first) as usize;
                // A message with another sequence number is a late answer to a request that was
                // given up.
                if let Some(request) = asked.get(at) {
                    match answer(&message, request) {
                        Piece::Part(payload) => replies.push(payload),
                        Piece::End(result) => {
                            outstanding -= 1;
                            failure = failure.or(result.err());
                        }
                    }
                    if message.flags() & NLM_F_DUMP_INTR != 0 {
                        let changed = Failure {
                            request: request.name,
                            errno: libc::EINTR,
                            words: Some("the list keeps changing while it is read".into()),
                        };
                        failure = failure.or(Some(changed));
                    }
                }
                rest = &rest[length..];
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(replies),
        }
    }
}

/// The part of an answer that one message of the kernel holds.
enum Piece {
    Part(Vec<u8>),
    End(Answer<()>),
}

fn answer(message: &NetlinkBuffer<&[u8]>, request: &NetlinkRequest) -> Piece {
    let payload = message.payload();
    let kind = message.message_type();
    if kind != NLMSG_ERROR && kind != NLMSG_DONE {
        return Piece::Part(payload.to_vec());
    }
    // Both start with a negative errno, or 0; an empty NLMSG_DONE is allowed.
    let code = payload.first_chunk().map_or(0, |b| i32::from_ne_bytes(*b));
    if code >= 0 {
        return Piece::End(Ok(()));
    }
    let words = if message.flags() & NLM_F_ACK_TLVS == 0 {
        None
    } else if kind == NLMSG_DONE {
        payload.get(4..).and_then(sentence)
    } else {
        // struct nlmsgerr: the errno, the request's header and, unless capped, its body.
        let header = payload.get(4..20).unwrap_or_default();
        let whole = header.first_chunk().map_or(16, |b| u32::from_ne_bytes(*b) as usize);
        let capped = message.flags() & NLM_F_CAPPED != 0;
        let echoed = if capped { 16 } else { whole.next_multiple_of(4) };
        payload.get(4 + echoed..).and_then(sentence)
    };
    Piece::End(Err(Failure { request: request.name, errno: code.saturating_neg(), words }))
}

/// The message among the attributes of an extended acknowledgement.
fn sentence(attributes: &[u8]) -> Option<String> {
    let mut attributes = NlasIterator::new(attributes).filter_map(Result::ok);
    let message = attributes.find(|nla| nla.kind() == NLMSGERR_ATTR_MSG)?;
    let text = message.value().split(|b| *b == 0).next()?;
    let text = String::from_utf8_lossy(text);
    Some(text.trim_end_matches('.').to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Address, Link, Route};
    use super::*;

    fn request() -> NetlinkRequest {
        let body = Body::Link(LinkMessage::default());
        NetlinkRequest { name: "RTM_NEWLINK", kind: 16, flags: 0, body }
    }

    /// An NLMSG_ERROR with `code`, the request's header, and one attribute of type 1.
    fn refusal(code: i32, flags: u16, echoed: &[u8], words: &[u8]) -> Vec<u8> {
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend((16 + echoed.len() as u32).to_ne_bytes());
        payload.extend([0; 12]);
        payload.extend(echoed);
        payload.extend((4 + words.len() as u16).to_ne_bytes());
        payload.extend(1_u16.to_ne_bytes());
        payload.extend(words);
        let mut message = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        message.extend(NLMSG_ERROR.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(payload);
        message
    }

    fn read(bytes: &[u8]) -> Answer<()> {
        match answer(&NetlinkBuffer::new_checked(bytes).unwrap(), &request()) {
            Piece::End(result) => result,
            Piece::Part(_) => panic!("an error is an end"),
        }
    }

    #[test]
    fn the_kernels_words_are_kept() {
        let both = NLM_F_ACK_TLVS | NLM_F_CAPPED;
        for (flags, echoed) in [(both, &[][..]), (NLM_F_ACK_TLVS, &[7; 12][..])] {
            let failure = read(&refusal(-95, flags, echoed, b"Unknown device type\0")).unwrap_err();
            assert_eq!(failure.words.as_deref(), Some("Unknown device type"));
            let text = failure.at("network \"web\"").to_string();
            let start = "network \"web\": RTM_NEWLINK: EOPNOTSUPP (";
            assert!(text.starts_with(start) && text.contains("): Unknown device type\n"), "{text}");
        }
    }

    #[test]
    fn an_error_without_a_message_has_none() {
        let failure = read(&refusal(-17, 0, &[], b"ignored\0")).unwrap_err();
        assert_eq!((failure.errno, failure.words), (17, None));
        assert_eq!(read(&refusal(0, 0, &[], b"")), Ok(()));
    }

    #[test]
    fn truncated_messages_do_not_panic() {
        let whole = refusal(-17, NLM_F_ACK_TLVS, &[1, 2, 3, 4], b"words\0");
        for length in 16..whole.len() {
            let mut cut = whole[..length].to_vec();
            cut[..4].copy_from_slice(&(length as u32).to_ne_bytes());
            if let Ok(message) = NetlinkBuffer::new_checked(&cut[..]) {
                let _ = answer(&message, &request());
            }
        }
    }

    #[test]
    fn no_answer_causes_a_panic() {
        tiny_ce_test::fuzz("netlink", &["test/fuzz/netlink"], |bytes| {
            let Ok(message) = NetlinkBuffer::new_checked(bytes) else { return };
            let Piece::Part(payload) = answer(&message, &request()) else { return };
            let _ = (Link::read(&payload), Address::read(&payload), Route::read(&payload));
        });
    }
}
