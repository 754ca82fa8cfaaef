//! The life of a container by the library: `cargo run --example library -- STATE BUNDLE`.

use std::path::Path;

use tiny_ce::container::{self, LaunchOptions, Source, Status};

/// Create, start and delete a container of `bundle`; what its status was in between.
///
/// # Errors
/// The container cannot be created, started or deleted.
pub fn life(root: &Path, bundle: &Path) -> tiny_ce::Result<Status> {
    let id = format!("library-{}", std::process::id());
    let source = Source::Bundle { path: bundle.to_owned(), config: "config.json".into() };
    container::create(root, &id, source, &LaunchOptions::default())?;
    let status = container::state(root, &id)?.status;
    let started = container::start(root, &id, None);
    container::delete(root, &id, true)?;
    started.map(|()| status)
}

/// The words of the command line.
///
/// # Errors
/// There are not two words, or as [`life`].
pub fn main() -> tiny_ce::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [root, bundle] = words.as_slice() else {
        return Err(tiny_ce::Error::new("usage: library STATE_DIRECTORY BUNDLE"));
    };
    life(Path::new(root), Path::new(bundle)).map(|status| println!("{}", status.word()))
}
