//! Find containers by a pattern of their ids, as crun's `--regex` does.

use std::path::Path;

use super::ids;
use crate::error::{Error, Result};

/// Return the ids below a root that the regular expression matches, sorted; damaged containers
/// are included.
///
/// # Errors
/// The pattern is no regular expression, or the root cannot be read.
pub fn matching(root: &Path, pattern: &str) -> Result<Vec<String>> {
    let wanted = regex_lite::Regex::new(pattern).map_err(|e| {
        Error::new(format!("{pattern:?}: not a regular expression, such as ^web-: {e}"))
    })?;
    Ok(ids(root)?.into_iter().filter(|id| wanted.is_match(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_ids() {
        let root = std::env::temp_dir().join(format!("tiny-ce-match-{}", std::process::id()));
        for id in ["web-1", "web-2", "my-web", "db"] {
            std::fs::create_dir_all(root.join(id)).expect("a directory");
        }
        let found = ["^web-", "web", "^(db|my)", "[0-9]$", "nobody"].map(|it| matching(&root, it));
        let wrong = matching(&root, "web-(");
        std::fs::remove_dir_all(&root).expect("removed");
        let lists = found.map(|ids| ids.expect("ids").join(" "));
        assert_eq!(lists, ["web-1 web-2", "my-web web-1 web-2", "db my-web", "web-1 web-2", ""]);
        let text = wrong.expect_err("no pattern").to_string();
        assert!(text.starts_with("\"web-(\": not a regular expression, such as ^web-: "), "{text}");
    }
}
