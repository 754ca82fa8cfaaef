//! The forerunner's experiments about CPU and memory: what a container was given, by the kernel's
//! own accounts, which `tiny-ce events` prints.

use tiny_ce_test::{Need, cgroup_v2};

use crate::page::{Noise, filled, words};
use crate::session::{Finding, Trial, finding};

/// What is typed, and what it has to print.
pub const TRIALS: &[Trial] = &[
    Trial {
        title: "CPU shares of three to one",
        needs: &[Need::Root],
        session: &[
            "cat > usage << 'EOF'\n\
             tiny-ce events --stats $1 | grep -o '\"total\": *[0-9]*' | \
             grep -o '[0-9]*' | head -n 1\n\
             EOF",
            "tiny-ce run -d --cpuset-cpus 0 --cpu-shares 3072 @large -- \
             sh -c 'while :; do :; done'",
            "tiny-ce run -d --cpuset-cpus 0 --cpu-shares 1024 @small -- \
             sh -c 'while :; do :; done'",
            "sleep 1; sh usage @large; sh usage @small",
            "sleep 8; sh usage @large; sh usage @small",
            "tiny-ce delete --force @large; tiny-ce delete --force @small",
        ],
        judge: |out| {
            // With cgroup v2 shares become weights, by the curve of docs/cgroups.md: 240 to 100.
            let expected = if cgroup_v2() { 70.6 } else { 75.0 };
            let (before, after) = (numbers(&out[3]), numbers(&out[4]));
            let [Some(large), Some(small)] = [0, 1].map(|at| spent(&before, &after, at)) else {
                return finding(false, words("no account of CPU time"));
            };
            let percent = 100.0 * large / (large + small);
            let [first, second] = [percent, 100.0 - percent].map(|it| format!("{it:.1}"));
            let [wanted, rest] = [expected, 100.0 - expected].map(|it| format!("{it:.1}"));
            Finding {
                held: (percent - expected).abs() <= 3.0,
                found: filled(
                    "{} : {} of their time; expected {} : {}",
                    [&first, &second, &wanted, &rest],
                ),
                figures: vec![(percent, Noise::Points(5.0))],
            }
        },
    },
    Trial {
        title: "A quota of a tenth of a CPU",
        needs: &[Need::Root],
        session: &[
            "cat > usage << 'EOF'\n\
             date +%s%N; tiny-ce events --stats $1 | grep -o '\"total\": *[0-9]*' | \
             grep -o '[0-9]*' | head -n 1\nEOF",
            "tiny-ce run -d --cpu-quota 5000 --cpu-period 50000 @tenth -- \
             sh -c 'while :; do :; done'",
            "sleep 1; sh usage @tenth",
            "sleep 6; sh usage @tenth",
            "tiny-ce delete --force @tenth",
        ],
        judge: |out| {
            let (before, after) = (numbers(&out[2]), numbers(&out[3]));
            let [Some(elapsed), Some(used)] = [0, 1].map(|at| spent(&before, &after, at)) else {
                return finding(false, words("no account of CPU time"));
            };
            let percent = 100.0 * used / elapsed;
            Finding {
                // A busy host may take some of it away.
                held: (6.0..=11.0).contains(&percent),
                found: filled("{} % of a CPU", [&format!("{percent:.1}")]),
                figures: vec![(percent, Noise::Points(4.0))],
            }
        },
    },
    Trial {
        title: "A limit of memory, and the report of an OOM kill",
        needs: &[Need::Root],
        session: &["tiny-ce run --memory 16m -- tail /dev/zero; echo \"exit status $?\""],
        judge: |out| {
            let named = ["OOM", "memory.limit", "16 MiB"].iter().all(|word| out[0].contains(word));
            let held = named && out[0].ends_with("exit status 137\n");
            finding(held, words("status 137, and a warning that names the limit"))
        },
    },
    Trial {
        title: "Limits of memory and swap are the kernel's",
        needs: &[Need::Root],
        session: &[
            "tiny-ce run -d --memory 64m --memory-swap 96m --memory-reservation 32m @limits -- \
             sleep 60",
            "cat $(find /sys/fs/cgroup -path '*@limits/memory.*' -name 'memory*limit_in_bytes' \
             -o -path '*@limits/memory.*' -name 'memory*max' -o -path '*@limits/memory.low') \
             | sort -n | uniq",
            "tiny-ce delete --force @limits",
        ],
        judge: |out| {
            let read = numbers(&out[1]);
            let there = |mebibytes: u64| read.contains(&((mebibytes << 20) as f64));
            let held = [32, 64].into_iter().all(there) && (there(96) || cgroup_v2());
            finding(held, words("the kernel's files have them"))
        },
    },
];

/// The numbers that stand alone on a line.
fn numbers(text: &str) -> Vec<f64> {
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

/// How much a number grew.
fn spent(before: &[f64], after: &[f64], at: usize) -> Option<f64> {
    Some(after.get(at)? - before.get(at)?).filter(|grown| *grown > 0.0)
}
