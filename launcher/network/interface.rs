//! The few things that are done to any interface: find, list, delete.
//!
//! Knows one namespace, that of the conversation, and no meaning of any name.

use super::messages::{self, Link};
use super::netlink::{Answer, Conversation};
use crate::error::Result;

/// An interface by name, if there is one.
pub fn find(host: &mut Conversation, name: &str) -> Answer<Option<Link>> {
    match host.send(&[messages::get_link(name)]) {
        Ok(replies) => Ok(replies.first().and_then(|reply| Link::read(reply))),
        Err(failure) if failure.errno == libc::ENODEV => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Delete an interface; that somebody was faster is no error.
pub fn delete(host: &mut Conversation, index: u32, place: &str) -> Result<()> {
    match host.send(&[messages::delete_link(index)]) {
        Err(failure) if failure.errno != libc::ENODEV => Err(failure.at(place)),
        _ => Ok(()),
    }
}

/// All interfaces.
pub fn list(host: &mut Conversation) -> Answer<Vec<Link>> {
    let all = host.dump(messages::get_links())?;
    Ok(all.iter().filter_map(|payload| Link::read(payload)).collect())
}
