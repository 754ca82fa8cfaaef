//! Networks, driven through the library, each test on network ground of its own.

#[path = "network/ground.rs"]
mod ground;
#[path = "network/kill.rs"]
mod kill;
#[path = "network/made.rs"]
mod made;
