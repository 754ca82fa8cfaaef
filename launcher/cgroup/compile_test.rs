//! linux.resources → files and values, for machines that are data.

use super::super::probe::data;
use super::*;
use crate::spec::json;

fn resources(text: &str) -> Resources {
    json::read(text.as_bytes()).expect("resources")
}

/// `file=value` of each setting, in order; `?` if the file may be missing, `|` before a fallback.
fn shown(text: &str, h: &Hierarchies) -> Vec<String> {
    let found = compile("linux.resources", &resources(text), h).expect("compile");
    let one = |s: &Setting| {
        let mut line = format!("{}={}", s.file, s.value);
        if let Some((file, value)) = &s.fallback {
            line.push_str(&format!("|{file}={value}"));
        }
        if s.missing_ok {
            line.push('?');
        }
        line
    };
    found.iter().map(one).collect()
}

fn wrong(text: &str, h: &Hierarchies) -> Vec<String> {
    let found = compile("linux.resources", &resources(text), h).expect_err("violations");
    found.iter().map(|v| format!("{}: {}", v.path, v.text)).collect()
}

#[test]
fn memory_and_swap() {
    let (v1, v2) = (data::hybrid(), data::v2("/"));
    let rows = [
        (
            r#"{"limit": 100, "swap": 150, "reservation": 50}"#,
            "memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=150 \
             memory.soft_limit_in_bytes=50",
            "memory.swap.max=50 memory.max=100 memory.low=50",
        ),
        (r#"{"limit": 100}"#, "memory.limit_in_bytes=100", "memory.max=100"),
        (
            r#"{"limit": 100, "swap": 100}"#,
            "memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=100",
            "memory.swap.max=0? memory.max=100",
        ),
        (
            r#"{"limit": 100, "swap": -1}"#,
            "memory.memsw.limit_in_bytes=-1 memory.limit_in_bytes=100",
            "memory.swap.max=max? memory.max=100",
        ),
        (
            r#"{"limit": -1}"#,
            "memory.memsw.limit_in_bytes=-1? memory.limit_in_bytes=-1",
            "memory.swap.max=max? memory.max=max",
        ),
        (
            r#"{"limit": 0, "swap": 0, "reservation": -1}"#,
            "memory.soft_limit_in_bytes=-1",
            "memory.low=max",
        ),
        (r#"{"disableOOMKiller": false}"#, "", ""),
    ];
    for (memory, on_v1, on_v2) in rows {
        let text = format!(r#"{{"memory": {memory}}}"#);
        assert_eq!(shown(&text, &v1).join(" "), on_v1, "{memory}");
        assert_eq!(shown(&text, &v2).join(" "), on_v2, "{memory}");
    }
    let old = r#"{"memory": {"swappiness": 10, "disableOOMKiller": true}}"#;
    assert_eq!(shown(old, &v1), ["memory.swappiness=10", "memory.oom_control=1"]);
    assert_eq!(
        wrong(old, &v2),
        [
            "linux.resources.memory.swappiness: cgroup v2 has no such setting; see memory.swap",
            "linux.resources.memory.disableOOMKiller: cgroup v2 cannot disable the OOM killer",
        ]
    );
    // v2 limits swap without a limit of memory; the v1 kernel refuses that.
    for memory in [r#"{"limit": -1, "swap": 64}"#, r#"{"swap": 64}"#] {
        let text = format!(r#"{{"memory": {memory}}}"#);
        assert!(shown(&text, &v2).contains(&"memory.swap.max=64".to_owned()), "{memory}");
        assert!(wrong(&text, &v1)[0].contains("memory.swap: 64, but there is no limit"));
    }
    let kernel = resources(r#"{"memory": {"kernel": 1, "kernelTCP": 1, "useHierarchy": false}}"#);
    assert_eq!(compile("", &kernel, &v2), Ok(Vec::new()));
}

#[test]
fn check_before_update_names_the_usage() {
    let text = r#"{"memory": {"limit": 100, "checkBeforeUpdate": true}}"#;
    let usage = |h| compile("linux.resources", &resources(text), &h).expect("compile")[0].usage;
    assert_eq!(usage(data::hybrid()), Some("memory.usage_in_bytes"));
    assert_eq!(usage(data::v2("/")), Some("memory.current"));
}

#[test]
fn processor_time() {
    let (v1, v2) = (data::hybrid(), data::v2("/"));
    let rows = [
        (
            r#""shares": 1024, "quota": 50000, "period": 100000, "burst": 1000"#,
            "cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 cpu.cfs_burst_us=1000",
            "cpu.weight=100 cpu.max=50000 100000 cpu.max.burst=1000",
        ),
        (r#""quota": 50000"#, "cpu.cfs_quota_us=50000", "cpu.max=50000 100000"),
        (r#""quota": -1"#, "cpu.cfs_quota_us=-1", "cpu.max=max 100000"),
        (r#""period": 50000"#, "cpu.cfs_period_us=50000", "cpu.max=max 50000"),
        (
            r#""shares": 0, "quota": 0, "period": 0, "burst": 0"#,
            "cpu.cfs_burst_us=0?",
            "cpu.max.burst=0?",
        ),
        (r#""idle": 0, "shares": 2"#, "cpu.idle=0? cpu.shares=2", "cpu.idle=0? cpu.weight=1"),
        (r#""idle": 1, "shares": 2"#, "cpu.idle=1", "cpu.idle=1"),
        (r#""cpus": "0-3,7", "mems": """#, "cpuset.cpus=0-3,7", "cpuset.cpus=0-3,7"),
    ];
    for (cpu, on_v1, on_v2) in rows {
        let text = format!(r#"{{"cpu": {{{cpu}}}}}"#);
        assert_eq!(shown(&text, &v1).join(" "), on_v1, "{cpu}");
        assert_eq!(shown(&text, &v2).join(" "), on_v2, "{cpu}");
    }
    let real = r#"{"cpu": {"realtimeRuntime": 950000, "realtimePeriod": 1000000}}"#;
    assert_eq!(shown(real, &v1), ["cpu.rt_period_us=1000000", "cpu.rt_runtime_us=950000"]);
    assert_eq!(wrong(real, &v2).len(), 2);
}

#[test]
fn shares_become_weights_on_the_curve() {
    let rows = [(2, 1), (1024, 100), (262_144, 10_000), (1, 1), (999_999, 10_000), (512, 59)];
    for (shares, weight) in rows {
        assert_eq!(v2::cpu_weight(shares), weight, "{shares}");
    }
    let mut last = 0;
    for shares in 2..=262_144 {
        let weight = v2::cpu_weight(shares);
        assert!((1..=10_000).contains(&weight) && weight >= last, "{shares}");
        last = weight;
    }
}

#[test]
fn tasks_pages_and_devices() {
    let (v1, v2) = (data::hybrid(), data::v2("/"));
    for h in [&v1, &v2] {
        assert_eq!(shown(r#"{"pids": {"limit": 0}}"#, h), [""; 0]);
        assert_eq!(shown(r#"{"pids": {"limit": -7}}"#, h), ["pids.max=max"]);
        assert_eq!(shown(r#"{"pids": {"limit": -1}}"#, h), ["pids.max=max"]);
        assert_eq!(shown(r#"{"pids": {}}"#, h), [""; 0]);
        let rdma = r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}}"#;
        assert_eq!(shown(rdma, h), ["rdma.max=mlx5_1 hca_handle=3 hca_object=10000"]);
    }
    let pages = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#;
    assert_eq!(
        shown(pages, &v1),
        ["hugetlb.2MB.limit_in_bytes=4194304", "hugetlb.2MB.rsvd.limit_in_bytes=4194304?"]
    );
    assert_eq!(shown(pages, &v2), ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304?"]);
    let net = r#"{"network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 5}]}}"#;
    assert_eq!(shown(net, &v1), ["net_cls.classid=7", "net_prio.ifpriomap=eth0 5"]);
    assert_eq!(wrong(net, &v2).len(), 2);
    assert_eq!(shown(r#"{"network": {"classID": 0}}"#, &v2), [""; 0]);
}

#[test]
fn block_devices() {
    let (v1, v2) = (data::hybrid(), data::v2("/"));
    let text = r#"{"blockIO": {"weight": 100,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]}}"#;
    assert_eq!(
        shown(text, &v1),
        [
            "blkio.bfq.weight=100|blkio.weight=100",
            "blkio.bfq.weight_device=8:0 1000|blkio.weight_device=8:0 1000",
            "blkio.throttle.read_bps_device=8:0 1048576",
            "blkio.throttle.write_iops_device=8:16 0",
        ]
    );
    assert_eq!(
        shown(text, &v2),
        [
            "io.bfq.weight=100|io.weight=910",
            "io.bfq.weight=8:0 1000|io.weight=8:0 10000",
            "io.max=8:0 rbps=1048576",
            "io.max=8:16 wiops=max",
        ]
    );
    assert_eq!(
        wrong(r#"{"blockIO": {"leafWeight": 100}}"#, &v2),
        ["linux.resources.blockIO.leafWeight: cgroup v2 has no leaf weight"]
    );
}

#[test]
fn unified_is_last_and_v2_only() {
    let (v1, v2) = (data::hybrid(), data::v2("/"));
    let text = r#"{"unified": {"io.max": "8:0 rbps=1\n8:16 wbps=2\n", "cgroup.max.depth": "3",
        "misc.max": "a 1"}, "pids": {"limit": 1}}"#;
    assert_eq!(
        shown(text, &v2),
        [
            "pids.max=1",
            "cgroup.max.depth=3",
            "io.max=8:0 rbps=1",
            "io.max=8:16 wbps=2",
            "misc.max=a 1",
        ]
    );
    assert_eq!(
        wrong(r#"{"unified": {"memory.high": "1"}}"#, &v1),
        ["linux.resources.unified[\"memory.high\"]: is for cgroup v2; this machine has that \
          controller in cgroup v1"]
    );
    assert_eq!(shown(r#"{"unified": {"cgroup.max.depth": "3"}}"#, &v1), ["cgroup.max.depth=3"]);
    assert_eq!(
        wrong(r#"{"unified": {"dmem.max": "1"}}"#, &v2),
        ["linux.resources.unified[\"dmem.max\"]: needs the dmem controller, which \
          /sys/fs/cgroup/cgroup.controllers does not list"]
    );
}

#[test]
fn a_missing_controller_is_named_with_the_place() {
    let none = Hierarchies::default();
    let text = r#"{"memory": {"limit": 1}, "pids": {"limit": 1}}"#;
    assert_eq!(
        wrong(text, &none),
        [
            "linux.resources.memory.limit: needs cgroups, and no cgroup file system is mounted",
            "linux.resources.pids.limit: needs cgroups, and no cgroup file system is mounted",
        ]
    );
    let mut v1 = data::hybrid();
    v1.all.retain(|h| h.mount.ends_with("/memory") || h.mount.ends_with("/freezer"));
    assert_eq!(
        wrong(text, &v1),
        ["linux.resources.pids.limit: needs the pids controller, which is in no mounted \
          hierarchy (/sys/fs/cgroup/memory, /sys/fs/cgroup/freezer)"]
    );
}

#[test]
fn explain_shows_file_value_and_field() {
    let found = compile("linux.resources", &resources(r#"{"pids": {"limit": 7}}"#), &data::v2("/"))
        .expect("compile");
    assert_eq!(found[0].to_string(), "pids.max = \"7\"  # linux.resources.pids.limit");
}
