//! `features`: what the runtime can do, as JSON in the shape of the specification's features.md.

use super::table::{OptionSet, command};
use super::{COMMIT, Globals, commands, print};
use crate::Error;
use crate::features::{Offered, features};

command! {
    /// Print what this runtime can do, as JSON.
    ///
    /// The document is that of the specification's features.md, by which engines learn what a
    /// runtime has. "doctor" prints what this machine has.
    pub struct FeaturesCommand = "features" {
        run = |_, _: &Globals| {
            let systemd = Globals::ROWS.iter().any(|row| row.long() == "systemd-cgroup");
            let checkpoint = commands::find("checkpoint").is_some();
            let offered = features(Offered { systemd, checkpoint, commit: COMMIT });
            let text = serde_json::to_string_pretty(&offered)
                .map_err(|e| Error::new(format!("features as JSON: {e}")))?;
            print(&(text + "\n"))
        };
    }
}
