//! docs/limits.md: the table of limits, printed.

use crate::cgroup::probe::Version;
use crate::spec::limits::{File, LIMITS, Limit, Odd};

const HEAD: &str = "# Limits\n\n\
    This page is printed from the table of limits, launcher/spec/limits.rs. Each row is one\n\
    property of `linux.resources`: the files of cgroup v1 and v2 that hold it, the first Linux\n\
    that has them if not every supported kernel does, systemd's properties for it, and the\n\
    option of `update`, and of `run` without a bundle.\n\n\
    | property | what it is | v1 | v2 | Linux | systemd | option |\n\
    | --- | --- | --- | --- | --- | --- | --- |\n";

/// The page.
pub fn document() -> String {
    let mut text = String::from(HEAD);
    for limit in LIMITS {
        let properties: Vec<String> =
            limit.systemd.iter().map(|it| format!("`{}`", it.name)).collect();
        let cells = [
            format!("`{}`", limit.field),
            limit.doc.split_whitespace().collect::<Vec<_>>().join(" "),
            files(limit, limit.v1, Version::V1),
            files(limit, limit.v2, Version::V2),
            limit.since.to_owned(),
            properties.join(", "),
            limit.option.map_or_else(String::new, |(option, _)| format!("`{option}`")),
        ];
        // A bar in a cell would end it.
        text += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    text
}

fn files(limit: &Limit, file: File, version: Version) -> String {
    match (file, version) {
        (File::Plain(name) | File::Max(name), _) => format!("`{name}`"),
        (File::Odd(odd), _) => odd_files(odd, version).to_owned(),
        (File::No(_), _) => "no".to_owned(),
        (File::Gone(why), _) => why.to_owned(),
        (File::Beside, Version::V2) => {
            let name = limit.field.strip_prefix("unified[\"").and_then(|it| it.strip_suffix("\"]"));
            name.map_or_else(String::new, |name| format!("`{name}`"))
        }
        (File::Beside, Version::V1) => String::new(),
    }
}

/// What the functions for odd limits write.
fn odd_files(odd: Odd, version: Version) -> &'static str {
    match (odd, version) {
        (Odd::Memory, Version::V1) => "`memory.limit_in_bytes`, `memory.memsw.limit_in_bytes`",
        (Odd::Memory, Version::V2) => "`memory.max`, `memory.swap.max`",
        (Odd::Shares, Version::V1) => "`cpu.shares`",
        (Odd::Shares, Version::V2) => "`cpu.weight`, converted",
        (Odd::Bandwidth, Version::V1) => "`cpu.cfs_quota_us`, `cpu.cfs_period_us`",
        (Odd::Bandwidth, Version::V2) => "`cpu.max`",
        (Odd::Idle, _) => "`cpu.idle`",
        (Odd::RealTime, _) => "`cpu.rt_period_us`, `cpu.rt_runtime_us`",
        (Odd::IoWeight, Version::V1) => "`blkio.bfq.weight`, or `blkio.weight`",
        (Odd::IoWeight, Version::V2) => "`io.bfq.weight`, or `io.weight`",
    }
}
