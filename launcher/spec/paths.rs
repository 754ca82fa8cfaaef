//! Paths inside a container, as text: their components. Opening one is openat2's work.

/// The components of a path inside the container; `.` and empty ones are dropped.
pub fn components(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

/// As `components`, where `..` takes the component before it away. To compare, never to open.
pub fn lexical(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in components(path) {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts
}
