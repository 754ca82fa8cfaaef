//! CPU and memory in figures: the kernel's accounts show what a container was given.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tiny_ce_test::{Bundle, Case, Container, Need, cgroup_v2, met};

/// A container that burns CPU 0 for ever, with `cpu` as its resources.
fn burner(case: &Case, cpu: serde_json::Value) -> Bundle {
    let mut bundle = case.bundle();
    bundle.set("/linux/resources/cpu", cpu).probe("say ready then burn 0");
    bundle
}

/// The CPU time of the container so far, in microseconds.
fn usage_us(case: &Case, container: &Container<'_>) -> u64 {
    let ours = |dir: &PathBuf| dir.ends_with(container.id());
    let text = |file| move |dir: PathBuf| fs::read_to_string(dir.join(file)).ok();
    let mut dirs = case.cgroups().into_iter().filter(ours);
    if cgroup_v2() {
        let stat = dirs.find_map(text("cpu.stat")).expect("cpu.stat");
        let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        return line.expect("usage_usec").parse().expect("a number");
    }
    let usage = dirs.find_map(text("cpuacct.usage")).expect("cpuacct.usage");
    usage.trim().parse::<u64>().expect("a number") / 1000
}

#[test]
fn shares_of_three_to_one_are_seen() {
    // With cgroup v2 shares become weights, by the curve of docs/cgroups.md: 240 to 100.
    let expected = if cgroup_v2() { 70.6 } else { 75.0 };
    part(expected, |shares| json!({"cpu": {"shares": shares, "cpus": "0"}}), (3072, 1024));
}

#[test]
fn weights_of_three_to_one_are_seen() {
    if !met(&[Need::CgroupV2("cpu")]) {
        return;
    }
    let weight = |weight| json!({"cpu": {"cpus": "0"}, "unified": {"cpu.weight": weight}});
    part(75.0, |value| weight(value.to_string()), (300, 100));
}

/// Two containers on one CPU: the first gets `expected` percent of their common time, within 3
/// points.
fn part(expected: f64, resources: impl Fn(u32) -> serde_json::Value, (large, small): (u32, u32)) {
    let Some(case) = Case::root(&[]) else { return };
    let start = |value| {
        let mut bundle = case.bundle();
        bundle.set("/linux/resources", resources(value)).probe("say ready then burn 0");
        let mut container = case.create(&bundle);
        container.start();
        container.line("ready");
        container
    };
    let (large, small) = (start(large), start(small));
    let now = || (usage_us(&case, &large), usage_us(&case, &small));
    // Other load takes from both alike, so only the ratio of their own times counts.
    let measure = || {
        let (before, until) = (now(), Instant::now() + Duration::from_secs(30));
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let after = now();
            let spent = (after.0 - before.0, after.1 - before.1);
            if spent.0 + spent.1 >= 1_000_000 || Instant::now() > until {
                return 100.0 * spent.0 as f64 / (spent.0 + spent.1) as f64;
            }
        }
    };
    let seen: Vec<f64> = (0..5).map(|_| measure()).collect();
    let middle = median(seen.clone());
    assert!((middle - expected).abs() <= 3.0, "{middle:.1} % of {seen:.1?}, and not {expected} %");
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[test]
fn a_quota_alone_is_seen_as_its_cap() {
    let Some(case) = Case::root(&[]) else { return };
    let bundle = burner(&case, json!({"quota": 5_000, "period": 50_000}));
    let mut container = case.create(&bundle);
    container.start();
    container.line("ready");
    let (begin, before) = (Instant::now(), usage_us(&case, &container));
    // Measured from the start each time: a budget used in advance, or time lost to other load,
    // matters less and less.
    let mut seen = Vec::new();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_secs(3));
        let spent = usage_us(&case, &container) - before;
        let percent = 100.0 * spent as f64 / begin.elapsed().as_micros() as f64;
        if (9.5..=10.5).contains(&percent) {
            return;
        }
        seen.push(percent);
    }
    panic!("not within 5 % of the cap of 10 %: {seen:.1?}");
}

#[test]
fn an_oom_kill_is_reported_with_its_limit() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    bundle.set("/linux/resources/memory/limit", 16 << 20);
    bundle.set("/linux/resources/memory/swap", 16 << 20);
    bundle.probe("hog 8M then say half then hog 64M then say never");
    let done = case.run(&bundle);
    assert_eq!(done.ends(137).stdout, "hog 8M: ok\nhalf\n", "{done}");
    for words in ["OOM", "linux.resources.memory.limit", "16777216", "16 MiB"] {
        assert!(done.stderr.contains(words), "{words}: {done}");
    }
}

#[test]
fn limits_of_memory_and_swap_are_the_kernels() {
    let Some(case) = Case::root(&[]) else { return };
    let mut bundle = case.bundle();
    let memory = json!({"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20});
    bundle.set("/linux/resources/memory", memory).probe("pause");
    let container = case.create(&bundle);
    // With cgroup v1 the second limit is of memory and swap together.
    let wanted = match cgroup_v2() {
        true => [("memory.max", 64), ("memory.low", 32), ("memory.swap.max", 32)],
        false => [
            ("memory.limit_in_bytes", 64),
            ("memory.soft_limit_in_bytes", 32),
            ("memory.memsw.limit_in_bytes", 96),
        ],
    };
    let dirs = case.cgroups();
    let dirs: Vec<_> = dirs.iter().filter(|dir| dir.ends_with(container.id())).collect();
    for (file, mebibytes) in wanted {
        let value = dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok());
        let value = value.unwrap_or_else(|| panic!("{file} in {dirs:?}"));
        assert_eq!(value.trim(), (mebibytes << 20).to_string(), "{file}");
    }
}
