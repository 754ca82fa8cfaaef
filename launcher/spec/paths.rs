//! The components of paths inside a container. Only init opens such a path, with openat2(2).

/// Return the components of a path inside the container, without `.` and empty ones.
pub fn components(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

/// As `components`, but `..` removes the component before it. The result is for comparing paths,
/// never for opening one: the component may be a symbolic link.
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
