//! Find, list and delete interfaces.
//!
//! Knows the one namespace of the conversation. Must not know what an interface is for.

use super::messages::{self, Link};
use super::netlink::{Answer, Conversation};
use crate::error::Result;

/// The interface with this name, if it exists.
pub fn find(host: &mut Conversation, name: &str) -> Answer<Option<Link>> {
    match host.send(&[messages::get_link(name)]) {
        Ok(replies) => Ok(replies.first().and_then(|reply| Link::read(reply))),
        Err(failure) if failure.errno == libc::ENODEV => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Delete an interface; if another process has already deleted it, that is not an error.
///
/// # Errors
/// The kernel refuses to delete it.
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
