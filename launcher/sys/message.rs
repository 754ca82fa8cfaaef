//! Messages of datagram and seqpacket sockets, with all the descriptors that come along.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// As many descriptors as one message can carry: the kernel's SCM_MAX_FD.
const MOST: usize = 253;

/// One message.
pub struct Message {
    /// How many of its bytes are in the buffer.
    pub length: usize,
    /// There were more, which are lost.
    pub truncated: bool,
    /// What came along; dropped, it is closed.
    pub descriptors: Vec<OwnedFd>,
}

/// Two ends of a conversation in whole messages.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two descriptors there.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }.into())?;
    // SAFETY: the call has succeeded, made both, and told nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Take the next message; with `wait` unset, `WouldBlock` if there is none.
pub fn receive(from: &impl AsRawFd, into: &mut [u8], wait: bool) -> io::Result<Message> {
    // A header and the descriptors, aligned as a header is.
    let mut control = [0u64; 2 + MOST.div_ceil(2)];
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    let length = loop {
        // SAFETY: the message refers to `into` and `control`, which live over the call.
        let result = unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut message, flags) };
        match check(result as i64) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => break result? as usize,
        }
    };
    // SAFETY: the kernel has filled `control` for as long as `msg_controllen` says.
    let descriptors = unsafe { rights(&message) };
    Ok(Message { length, truncated: message.msg_flags & libc::MSG_TRUNC != 0, descriptors })
}

/// The descriptors in the control part of a message that recvmsg(2) has filled.
unsafe fn rights(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    // SAFETY: the caller's promise; headers are read as far as the kernel has written them, and
    // each descriptor is new and told to nobody else.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let rights =
                (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS;
            let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let data = libc::CMSG_DATA(header).cast::<i32>();
            for index in 0..if rights { bytes / size_of::<i32>() } else { 0 } {
                found.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    found
}

/// Send one message, with at most one descriptor.
pub fn send(to: &impl AsRawFd, bytes: &[u8], along: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut control = [0u64; 4];
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(fd) = along {
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: `control` has room for one header and one descriptor.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd.as_raw_fd());
        }
    }
    loop {
        // SAFETY: the message refers to `bytes` and `control`, which live over the call.
        let result =
            unsafe { libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        match check(result as i64) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}
