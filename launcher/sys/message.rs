//! Messages of sockets with the descriptors that they carry: sendmsg(2), recvmsg(2), unix(7).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::retry_on_intr;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// The most descriptors that one message can carry: the kernel's SCM_MAX_FD.
const MOST: usize = 253;

/// One message.
pub struct Message {
    /// How many of its bytes are in the buffer.
    pub length: usize,
    /// Whether the message was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// The descriptors that it carried; dropping them closes them.
    pub descriptors: Vec<OwnedFd>,
}

/// socketpair(2) of type SOCK_SEQPACKET, for a conversation in whole messages.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    Ok(net::socketpair(AddressFamily::UNIX, kind, flags, None)?)
}

/// recvmsg(2): receive the next message, with all its descriptors.
///
/// # Errors
/// `WouldBlock` if `wait` is false and there is no message.
pub fn receive(from: &impl AsFd, into: &mut [u8], wait: bool) -> io::Result<Message> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let mut part = [IoSliceMut::new(into)];
    let got = retry_on_intr(|| net::recvmsg(from, &mut part, &mut control, flags))?;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    };
    let descriptors = control.drain().filter_map(rights).flatten().collect();
    let truncated = got.flags.contains(ReturnFlags::TRUNC);
    Ok(Message { length: got.bytes, truncated, descriptors })
}

/// sendmsg(2): send one message, with at most one descriptor and without SIGPIPE.
pub fn send(to: &impl AsFd, bytes: &[u8], along: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(fd) = &along {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(fd)));
    }
    let part = [IoSlice::new(bytes)];
    retry_on_intr(|| net::sendmsg(to, &part, &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}
