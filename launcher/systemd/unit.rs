//! `slice:prefix:name` → the names of a scope and of its slice, and where its cgroup is.
//!
//! Pure. Knows systemd.unit(5)'s rules for names. Must not know the bus.

use std::fmt::Write;

use crate::error::{Error, Result};

/// The names of a container's scope and of its slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// `machine.slice`.
    pub slice: String,
    /// `libpod-1234.scope`.
    pub unit: String,
}

/// The longest name of a unit, systemd's UNIT_NAME_MAX.
const LONGEST: usize = 255;

/// Read `linux.cgroupsPath` in runc's form for systemd: `slice:prefix:name`, each of which may be
/// empty. Without a path, the default slice and a name made of the id.
///
/// # Errors
/// The path has not three parts, or a name in it is no name of a slice or of a scope.
pub fn names(cgroups_path: Option<&str>, id: &str, user: bool) -> Result<Names> {
    let wrong = |text: String| Error::new(format!("linux.cgroupsPath: {text}"));
    let given = cgroups_path.unwrap_or("");
    let parts: Vec<&str> = match given.is_empty() {
        true => vec!["", "tiny-ce", id],
        false => given.split(':').collect(),
    };
    let [slice, prefix, name] = parts[..] else {
        return Err(wrong(format!(
            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \
             {given:?} instead"
        ))
        .hint("give for example \"system.slice:tiny-ce:web\", or leave --systemd-cgroup out"));
    };
    let slice = match (slice, user) {
        ("", true) => "user.slice",
        ("", false) => "system.slice",
        ("-", _) => "-.slice",
        (slice, _) => slice,
    };
    check_slice(slice).map_err(|text| wrong(format!("{slice:?}: {text}")))?;
    let name = if name.is_empty() { id } else { name };
    if name.ends_with(".slice") {
        let text = format!("{name:?}: a container is in a scope, and this is the name of a slice");
        return Err(wrong(text).hint("give the slice first: \"slice:prefix:name\""));
    }
    let dash = if prefix.is_empty() { "" } else { "-" };
    let unit = format!("{}.scope", escaped(&format!("{prefix}{dash}{name}")));
    if unit.len() > LONGEST {
        return Err(wrong(format!("{unit:?} is longer than {LONGEST} bytes")));
    }
    Ok(Names { slice: slice.to_owned(), unit })
}

fn check_slice(slice: &str) -> std::result::Result<(), &'static str> {
    if slice == "-.slice" {
        return Ok(());
    }
    let Some(name) = slice.strip_suffix(".slice") else {
        return Err("the name of a slice ends with .slice");
    };
    if slice.len() > LONGEST {
        return Err("longer than 255 bytes");
    }
    if name.is_empty() || name.split('-').any(str::is_empty) {
        return Err("each dash of a slice's name is between the names of two slices");
    }
    match name.chars().all(|c| valid(c) && c != '@') {
        true => Ok(()),
        false => Err("a slice's name has letters, digits and _ . \\ - only"),
    }
}

fn valid(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '\\' | '-' | '@')
}

/// Escape the characters that a unit's name cannot have, as systemd-escape(1): `+` becomes `\x2b`.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if valid(c) {
            text.push(c);
            continue;
        }
        for byte in c.to_string().bytes() {
            // Writing to a String cannot fail.
            write!(text, "\\x{byte:02x}").ok();
        }
    }
    text
}

impl Names {
    /// The scope's cgroup below that of its manager: `/a.slice/a-b.slice/c.scope`.
    pub fn cgroup(&self) -> String {
        let mut path = String::new();
        let name = self.slice.trim_end_matches(".slice");
        if name != "-" {
            for (end, _) in name.match_indices('-').chain([(name.len(), "")]) {
                path.push_str(&format!("/{}.slice", &name[..end]));
            }
        }
        // systemd's cg_escape() puts an underscore before a name that could be one of the kernel's
        // files.
        let unit = &self.unit;
        let kernels = unit.starts_with(['_', '.'])
            || CONTROLLERS
                .iter()
                .any(|c| unit.strip_prefix(c).is_some_and(|rest| rest.starts_with('.')));
        path + "/" + if kernels { "_" } else { "" } + unit
    }
}

/// What the kernel's file names begin with.
const CONTROLLERS: &[&str] =
    &["cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> (String, String, String) {
        let names = names(Some(path), "web", false).unwrap_or_else(|e| panic!("{path}: {e}"));
        let cgroup = names.cgroup();
        (names.slice, names.unit, cgroup)
    }

    fn texts(slice: &str, unit: &str, cgroup: &str) -> (String, String, String) {
        (slice.to_owned(), unit.to_owned(), cgroup.to_owned())
    }

    #[test]
    fn names_as_runc_has_them() {
        let path = "/machine.slice/libpod-1f.scope";
        assert_eq!(
            read("machine.slice:libpod:1f"),
            texts("machine.slice", "libpod-1f.scope", path)
        );
        let path = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/\
                    cri-containerd-2.scope";
        let slice = "kubepods-besteffort-pod1.slice";
        assert_eq!(
            read("kubepods-besteffort-pod1.slice:cri-containerd:2"),
            texts(slice, "cri-containerd-2.scope", path)
        );
        assert_eq!(read("::x"), texts("system.slice", "x.scope", "/system.slice/x.scope"));
        assert_eq!(read("-:a:b"), texts("-.slice", "a-b.scope", "/a-b.scope"));
        assert_eq!(read("a.slice::"), texts("a.slice", "web.scope", "/a.slice/web.scope"));
        let user = names(None, "web", true).expect("names");
        assert_eq!(user.cgroup(), "/user.slice/tiny-ce-web.scope");
        let plus = names(None, "a+b", false).expect("names");
        assert_eq!(plus.unit, "tiny-ce-a\\x2bb.scope");
        let memory = read("-::memory.x");
        assert_eq!(memory.2, "/_memory.x.scope");
    }

    #[test]
    fn malformed_names_are_refused() {
        for path in [
            "/a/b",
            "web",
            "a:b",
            "a.slice:b:c:d",
            "a:b:c",
            "a--b.slice:c:d",
            "-a.slice:c:d",
            "a/b.slice:c:d",
            ".slice:c:d",
            "a.slice:b:c.slice",
        ] {
            let error = names(Some(path), "web", false).expect_err(path);
            assert!(error.line().starts_with("linux.cgroupsPath: "), "{error}");
        }
        let long = format!("a.slice:b:{}", "c".repeat(300));
        assert!(names(Some(&long), "web", false).is_err());
    }
}
