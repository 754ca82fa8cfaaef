//! Networks, driven through the library, each test on network ground of its own.

#[path = "network/containers.rs"]
mod containers;
#[path = "network/ground.rs"]
mod ground;
#[path = "network/kill.rs"]
mod kill;
#[path = "network/made.rs"]
mod made;
#[path = "network/trust.rs"]
mod trust;
#[path = "network/usernet.rs"]
mod usernet;
