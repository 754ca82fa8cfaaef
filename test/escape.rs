//! Known holes of other runtimes, tried on this one: each as a container, an image or a caller that
//! attacks. In every test the attack fails, and nothing is left.

#[path = "escape/confined.rs"]
mod confined;
#[path = "escape/descriptors.rs"]
mod descriptors;
#[path = "escape/failures.rs"]
mod failures;
#[path = "escape/images.rs"]
mod images;
#[path = "escape/labels.rs"]
mod labels;
#[path = "escape/mounts.rs"]
mod mounts;
#[path = "escape/nodes.rs"]
mod nodes;
#[path = "escape/victim.rs"]
mod victim;
