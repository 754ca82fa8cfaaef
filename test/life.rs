//! The life of a container, and what its program sees: each field of config.json and each option of
//! the command line, observed from inside.

#[path = "life/activation.rs"]
mod activation;
#[path = "life/apparmor.rs"]
mod apparmor;
#[path = "life/at_random.rs"]
mod at_random;
#[path = "life/attributes.rs"]
mod attributes;
#[path = "life/beside_runc.rs"]
mod beside_runc;
#[path = "life/destinations.rs"]
mod destinations;
#[path = "life/embedded.rs"]
mod embedded;
#[path = "life/exec.rs"]
mod exec;
#[path = "life/files.rs"]
mod files;
#[path = "life/filter.rs"]
mod filter;
#[path = "life/hints.rs"]
mod hints;
#[path = "life/ids.rs"]
mod ids;
#[path = "life/init.rs"]
mod init;
#[path = "life/mounts.rs"]
mod mounts;
#[path = "life/namespaces.rs"]
mod namespaces;
#[path = "life/odd.rs"]
mod odd;
#[path = "life/options.rs"]
mod options;
#[path = "life/overlays.rs"]
mod overlays;
#[path = "life/parallel.rs"]
mod parallel;
#[path = "life/pipes.rs"]
mod pipes;
#[path = "life/process.rs"]
mod process;
#[path = "life/security.rs"]
mod security;
#[path = "life/selinux.rs"]
mod selinux;
#[path = "life/shown.rs"]
mod shown;
#[path = "life/signals.rs"]
mod signals;
#[path = "life/status.rs"]
mod status;
#[path = "life/streams.rs"]
mod streams;
#[path = "life/supervised.rs"]
mod supervised;
#[path = "life/terminal.rs"]
mod terminal;
#[path = "life/unprivileged.rs"]
mod unprivileged;
