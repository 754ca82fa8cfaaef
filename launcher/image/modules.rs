//! Kernel modules of an image: those that are asked for, and what they depend on, by the files that
//! depmod(8) writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The modules of one kernel: a directory such as `/lib/modules/6.1.0`.
pub struct Modules {
    directory: PathBuf,
    /// By the module's name: its file, and the files that it needs, below the directory.
    files: BTreeMap<String, (String, Vec<String>)>,
    builtin: Vec<String>,
    /// By a module's name, what is loaded before it if it is there: names or aliases of modules.
    before: BTreeMap<String, Vec<String>>,
    /// Aliases without patterns, each with its modules.
    aliases: BTreeMap<String, Vec<String>>,
}

impl Modules {
    /// Read `modules.dep`, and `modules.builtin`, `modules.softdep` and `modules.alias` if they are
    /// there, of the directory.
    ///
    /// # Errors
    /// modules.dep cannot be read.
    pub fn read(directory: &Path) -> Result<Modules> {
        let path = directory.join("modules.dep");
        let text = fs::read_to_string(&path).map_err(|e| {
            let error = Error::io(path.display(), "open", &e);
            error.hint("--modules is the directory of one kernel: /lib/modules/RELEASE")
        })?;
        let other = |name| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let (builtin, softdep) = (other("modules.builtin"), other("modules.softdep"));
        let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (alias, module) in other("modules.alias").lines().filter_map(alias) {
            aliases.entry(alias).or_default().push(module);
        }
        Ok(Modules {
            directory: directory.to_owned(),
            files: text.lines().filter_map(dependencies).collect(),
            builtin: builtin.lines().map(name).collect(),
            before: softdep.lines().filter_map(soft).collect(),
            aliases,
        })
    }

    /// Whether the kernel has the module built in, or has it as a file.
    pub fn knows(&self, module: &str) -> bool {
        let name = name(module);
        self.builtin.contains(&name) || self.files.contains_key(&name)
    }

    /// Add to `wanted` the files, below the directory, that have to be loaded for this module, in
    /// order; none if it is built into the kernel.
    ///
    /// # Errors
    /// The kernel has no such module.
    pub fn want(&self, module: &str, wanted: &mut Vec<String>) -> Result<()> {
        let named = name(module);
        let Some((file, needs)) = self.files.get(&named) else {
            if self.builtin.contains(&named) {
                return Ok(());
            }
            let shown = self.directory.display();
            return Err(Error::new(format!("--module {module}: {shown} has no such module")));
        };
        // depmod writes a module before those that it needs in turn.
        for file in needs.iter().rev().chain([file]) {
            self.load(file, wanted);
        }
        Ok(())
    }

    /// Add a file, and before it the modules that it would have the kernel ask modprobe(8) for,
    /// which a machine of ours has not.
    fn load(&self, file: &String, wanted: &mut Vec<String>) {
        if wanted.contains(file) {
            return;
        }
        // In its place from now on, so that a circle of them ends.
        wanted.push(file.clone());
        let own = wanted.len();
        for soft in self.before.get(&name(file)).into_iter().flatten() {
            let named = if self.knows(soft) { None } else { self.aliases.get(soft) };
            for module in named.map_or(std::slice::from_ref(soft), Vec::as_slice) {
                let _ = self.want(module, wanted);
            }
        }
        let place = own - 1;
        wanted[place..].rotate_left(1);
    }

    /// The path of a file below the directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }
}

/// `kernel/fs/overlayfs/overlay.ko.xz` → `overlay`; the kernel takes `-` and `_` for the same.
fn name(file: &str) -> String {
    let last = file.rsplit('/').next().unwrap_or(file);
    last.split(".ko").next().unwrap_or(last).replace('-', "_")
}

/// `kernel/a.ko: kernel/b.ko kernel/c.ko`.
fn dependencies(line: &str) -> Option<(String, (String, Vec<String>))> {
    let (file, needs) = line.split_once(':')?;
    let needs = needs.split_whitespace().map(str::to_owned).collect();
    Some((name(file), (file.to_owned(), needs)))
}

/// `softdep NAME pre: A B post: C`.
fn soft(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.strip_prefix("softdep ")?.split_whitespace();
    let module = name(words.next()?);
    let before = words.skip_while(|it| *it != "pre:").skip(1).take_while(|it| !it.ends_with(':'));
    Some((module, before.map(str::to_owned).collect()))
}

/// `alias crc32c crc32c_intel`; one with a pattern is of a device.
fn alias(line: &str) -> Option<(String, String)> {
    let (alias, module) = line.strip_prefix("alias ")?.split_once(' ')?;
    (!alias.contains(['*', '?', '['])).then(|| (alias.to_owned(), module.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> Modules {
        let dep = "kernel/v/virtio_pci.ko.xz: kernel/v/legacy.ko.xz kernel/v/ring.ko.xz \
                   kernel/v/virtio.ko.xz\nkernel/v/virtio.ko.xz:\nkernel/x/a-b.ko: \
                   kernel/v/virtio.ko.xz\n";
        Modules {
            directory: PathBuf::from("/m"),
            files: dep.lines().filter_map(dependencies).collect(),
            builtin: vec!["ext4".to_owned()],
            before: soft("softdep a-b pre: sum post: ring").into_iter().collect(),
            aliases: BTreeMap::from([("sum".to_owned(), vec!["sum_fast".to_owned()])]),
        }
    }

    #[test]
    fn what_a_module_asks_for_softly_is_loaded_before_it() {
        let mut all = modules();
        all.files.extend(dependencies("kernel/sum-fast.ko:"));
        let mut wanted = Vec::new();
        all.want("a_b", &mut wanted).expect("a module");
        assert_eq!(wanted, ["kernel/v/virtio.ko.xz", "kernel/sum-fast.ko", "kernel/x/a-b.ko"]);
        assert_eq!(soft("softdep a post: b"), Some(("a".to_owned(), Vec::new())));
        assert_eq!(alias("alias pci:v00* x"), None);
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it_and_once() {
        let mut wanted = Vec::new();
        for name in ["virtio-pci", "a_b", "ext4"] {
            modules().want(name, &mut wanted).expect(name);
        }
        let order = ["virtio.ko.xz", "ring.ko.xz", "legacy.ko.xz", "virtio_pci.ko.xz"];
        let mut order: Vec<String> = order.iter().map(|it| format!("kernel/v/{it}")).collect();
        order.push("kernel/x/a-b.ko".to_owned());
        assert_eq!(wanted, order);
    }

    #[test]
    fn an_unknown_module_is_an_error() {
        let text = modules().want("nosuch", &mut Vec::new()).expect_err("none").to_string();
        assert_eq!(text, "--module nosuch: /m has no such module");
        assert!(modules().knows("ext4") && modules().knows("a-b") && !modules().knows("nosuch"));
    }
}
