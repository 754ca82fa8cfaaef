//! Room for init under a memory limit that has none.
//!
//! What the kernel itself needs for a process and its mounts counts too, and while execve(2)
//! changes programs both of them do. So a limit below [`ROOM_BYTES`] is that much until the
//! container's program runs, and then what was asked for. Knows the files of memory limits alone.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::dir::Dir;
use super::{Cgroup, Setting, Version};
use crate::{Error, Result};

/// Enough for init and its change of programs, and for what the kernel frees late: 120 to 280 KiB
/// were measured on Linux 6.1.
const ROOM_BYTES: i64 = 1 << 20;

/// How long what init has left may take to be freed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// So many looks without less in use: longer than a grace period of RCU.
const QUIET: u32 = 16;

/// The files of limits that wait.
const FILES: [&str; 3] = ["memory.max", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];

/// A limit that is set once the program runs. Kept in the state: `start` is another process.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Waiting {
    version: Version,
    file: String,
    bytes: i64,
}

impl Cgroup {
    /// The settings as they are while the container is made.
    pub fn with_room<'s>(&mut self, settings: &'s [Setting]) -> Cow<'s, [Setting]> {
        let mut settings = Cow::Borrowed(settings);
        for index in 0..settings.len() {
            let setting = &settings[index];
            let bytes = setting.value.number().and_then(|it| i64::try_from(it).ok());
            let bytes = bytes.filter(|it| (1..ROOM_BYTES).contains(it));
            let Some(bytes) = bytes.filter(|_| FILES.contains(&setting.file.as_str())) else {
                continue;
            };
            let (version, file) = (setting.version, setting.file.clone());
            self.waiting.push(Waiting { version, file, bytes });
            settings.to_mut()[index].value = ROOM_BYTES.into();
        }
        settings
    }

    /// Set what has waited for the program to run.
    ///
    /// # Errors
    /// A cgroup is hidden or removed, or the kernel refuses the limit.
    pub fn tighten(&self) -> Result<()> {
        for limit in &self.waiting {
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

impl Waiting {
    fn set(&self, dir: &Dir) -> std::io::Result<()> {
        self.settle(dir);
        let end = Instant::now() + PATIENCE;
        loop {
            match dir.write(&self.file, &self.bytes.to_string()) {
                // v1 refuses a limit below what is in use; v2 kills for it.
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                    std::thread::sleep(PAUSE);
                }
                // As when it was first written: there may be no such file.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                result => return result,
            }
        }
    }

    /// Wait until what is in use fits, and has not become less for a while: the kernel frees late
    /// (RCU) what init has left.
    ///
    /// What each processor has charged in advance counts too, and is given back on pressure only.
    /// In v1 emptying the group by force makes some; in v2 a memory.high does, and kills nobody,
    /// and is taken back at once, since it slows the program. What fails here is told by the write
    /// that follows.
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

    /// The values while a container is made, and what waits.
    fn made(memory: &str, h: &Hierarchies) -> (Vec<String>, Vec<i64>) {
        let text = format!("{{\"memory\": {memory}}}");
        let resources = json::read(text.as_bytes()).expect("resources");
        let compiled = compile("linux.resources", &resources, h).expect("compile");
        let mut cgroup = Cgroup::default();
        let roomy = cgroup.with_room(&compiled);
        let values = roomy.iter().map(|it| it.value.to_string()).collect();
        (values, cgroup.waiting.iter().map(|it| it.bytes).collect())
    }

    #[test]
    fn a_limit_waits_only_if_it_is_too_tight() {
        let (v1, v2) = (data::hybrid(), data::v2("/"));
        let room = ROOM_BYTES.to_string();
        for h in [&v1, &v2] {
            assert_eq!(made(r#"{"limit": 131072}"#, h), (vec![room.clone()], vec![131_072]));
            assert_eq!(made(r#"{"limit": 1048576}"#, h), (vec![room.clone()], vec![]));
            assert_eq!(made("{}", h), (vec![], vec![]));
        }
        let swap = r#"{"limit": 131072, "swap": 262144}"#;
        assert_eq!(made(swap, &v1), (vec![room.clone(), room.clone()], vec![131_072, 262_144]));
        assert_eq!(made(swap, &v2), (vec!["131072".to_owned(), room], vec![131_072]));
    }
}
