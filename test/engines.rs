//! Engines, as Debian packages them, on tiny-ce and on runc: users of Podman, Buildah and the
//! others must see the same on both. A test that fails on tiny-ce only is a fault of tiny-ce.

#[path = "engines/buildah.rs"]
mod buildah;
#[path = "engines/containerd.rs"]
mod containerd;
#[path = "engines/cri/mod.rs"]
mod cri;
#[path = "engines/docker.rs"]
mod docker;
#[path = "engines/docker_newer.rs"]
mod docker_newer;
#[path = "engines/docker_store.rs"]
mod docker_store;
#[path = "engines/ground.rs"]
mod ground;
#[path = "engines/limits.rs"]
mod limits;
#[path = "engines/live_restore.rs"]
mod live_restore;
#[path = "engines/podman/mod.rs"]
mod podman;
#[path = "engines/remapped.rs"]
mod remapped;
#[path = "engines/services.rs"]
mod services;
#[path = "engines/swarm.rs"]
mod swarm;
#[path = "engines/units.rs"]
mod units;
