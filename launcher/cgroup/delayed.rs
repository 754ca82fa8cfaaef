//! Memory limits that are too small for init: they are set after init has become the program.
//!
//! The kernel's own memory for a process and its mounts counts as well, and during execve(2) that
//! of both programs. So a limit below [`SETUP_BYTES`] is set to that value first, and to what the
//! config asks for once the container's program runs. Knows only the files of memory limits.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::dir::Dir;
use super::{Cgroup, Setting, Version};
use crate::{Error, Result};

/// Enough for init, for its execve(2), and for memory that the kernel frees late: 120 to 280 KiB
/// were in use on Linux 6.1.
const SETUP_BYTES: i64 = 1 << 20;

/// How long to wait for the kernel to free init's memory.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to sleep between two reads of the memory in use.
const PAUSE: Duration = Duration::from_millis(2);

/// After this many reads in a row that do not shrink, the use is final: together they take longer
/// than a grace period of RCU.
const QUIET: u32 = 16;

/// The files of the limits that are delayed.
const FILES: [&str; 3] = ["memory.max", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];

/// A limit that is set once the program runs. The state keeps it, since `start` is another process
/// than `create`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DelayedLimit {
    version: Version,
    file: String,
    bytes: i64,
}

impl Cgroup {
    /// The settings to apply while the container is made: small memory limits are raised, and
    /// recorded for [`Cgroup::tighten`].
    pub fn delay_small_limits<'s>(&mut self, settings: &'s [Setting]) -> Cow<'s, [Setting]> {
        let mut settings = Cow::Borrowed(settings);
        for index in 0..settings.len() {
            let setting = &settings[index];
            let bytes = setting.value.number().and_then(|it| i64::try_from(it).ok());
            let bytes = bytes.filter(|it| (1..SETUP_BYTES).contains(it));
            let Some(bytes) = bytes.filter(|_| FILES.contains(&setting.file.as_str())) else {
                continue;
            };
            let (version, file) = (setting.version, setting.file.clone());
            self.delayed.push(DelayedLimit { version, file, bytes });
            settings.to_mut()[index].value = SETUP_BYTES.into();
        }
        settings
    }

    /// Set the delayed limits, now that the program runs.
    ///
    /// # Errors
    /// A cgroup is hidden or removed, or the kernel refuses the limit.
    pub fn tighten(&self) -> Result<()> {
        for limit in &self.delayed {
            let group = match limit.version {
                Version::V1 => self.v1("memory"),
                Version::V2 => self.v2(),
            };
            let Some(group) = group else { continue };
            let dir = group.dir()?;
            limit.set(dir).map_err(|e| {
                Error::io(format!("{}/{}", group.path, limit.file), "write", &e)
                    .within("linux.resources.memory.limit")
            })?;
        }
        Ok(())
    }
}

impl DelayedLimit {
    fn set(&self, dir: &Dir) -> std::io::Result<()> {
        self.settle(dir);
        let end = Instant::now() + PATIENCE;
        loop {
            match dir.write(&self.file, &self.bytes.to_string()) {
                // v1 refuses a limit below the memory in use with EBUSY; v2 kills instead.
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                    std::thread::sleep(PAUSE);
                }
                // memory.memsw.limit_in_bytes does not exist without swap accounting.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                result => return result,
            }
        }
    }

    /// Wait until the memory in use is below the limit and shrinks no more: the kernel frees init's
    /// memory late (RCU).
    ///
    /// Each processor also charges memory in advance, which the kernel gives back under pressure
    /// only. In v1 memory.force_empty makes pressure. In v2 memory.high does, which kills no
    /// process; it is reset at once, since it slows the program. Errors are ignored here: if the
    /// limit cannot be set, the write that follows says so.
    fn settle(&self, dir: &Dir) {
        let file = match self.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        let end = Instant::now() + PATIENCE;
        let high = dir.read("memory.high");
        let (mut least, mut quiet) = (u64::MAX, 0);
        while quiet < QUIET && Instant::now() < end {
            if let Ok(high) = &high {
                let _ = dir.write("memory.high", &self.bytes.to_string());
                let _ = dir.write("memory.high", high.trim());
            }
            std::thread::sleep(PAUSE);
            let used = dir.number(file).unwrap_or(0);
            let fits = used <= self.bytes.unsigned_abs();
            if !fits && self.version == Version::V1 {
                let _ = dir.write("memory.force_empty", "0");
            }
            quiet = if fits && used >= least { quiet + 1 } else { 0 };
            least = least.min(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::probe::data;
    use crate::cgroup::{Hierarchies, compile};
    use crate::spec::json;

    /// The values while a container is made, and the delayed ones.
    fn made(memory: &str, h: &Hierarchies) -> (Vec<String>, Vec<i64>) {
        let text = format!("{{\"memory\": {memory}}}");
        let resources = json::read(text.as_bytes()).expect("resources");
        let compiled = compile("linux.resources", &resources, h).expect("compile");
        let mut cgroup = Cgroup::default();
        let first = cgroup.delay_small_limits(&compiled);
        let values = first.iter().map(|it| it.value.to_string()).collect();
        (values, cgroup.delayed.iter().map(|it| it.bytes).collect())
    }

    #[test]
    fn a_limit_is_delayed_only_if_it_is_too_small_for_init() {
        let (v1, v2) = (data::hybrid(), data::v2("/"));
        let setup = SETUP_BYTES.to_string();
        for h in [&v1, &v2] {
            assert_eq!(made(r#"{"limit": 131072}"#, h), (vec![setup.clone()], vec![131_072]));
            assert_eq!(made(r#"{"limit": 1048576}"#, h), (vec![setup.clone()], vec![]));
            assert_eq!(made("{}", h), (vec![], vec![]));
        }
        let swap = r#"{"limit": 131072, "swap": 262144}"#;
        assert_eq!(made(swap, &v1), (vec![setup.clone(), setup.clone()], vec![131_072, 262_144]));
        assert_eq!(made(swap, &v2), (vec!["131072".to_owned(), setup], vec![131_072]));
    }
}
