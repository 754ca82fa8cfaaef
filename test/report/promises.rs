//! Demonstrations of the promises, and of escapes that are refused: a few, to look at. The tests
//! try all of it.

use std::collections::BTreeMap;

use tiny_ce_test::{Case, Fault, Need, Whose};

use crate::page::{Experiment, Verdict, filled, words};
use crate::session::{Trial, finding, lack};

/// A bundle in the working directory, whose rootfs is a static busybox.
pub const BUNDLE: &str = "mkdir -p bundle/rootfs/bin && \
    cp $(command -v busybox) bundle/rootfs/bin/sh && tiny-ce spec --bundle bundle && \
    sed -i 's/\"terminal\": true/\"terminal\": false/' bundle/config.json";

/// What is typed, and what it has to print.
pub const PROMISES: &[Trial] = &[
    Trial {
        title: "What `explain` prints, `strace` sees",
        needs: &[Need::Root, Need::Program("strace"), Need::Program("busybox")],
        session: &[
            BUNDLE,
            "tiny-ce explain bundle > explained; grep -A 9 'mounts\\[0\\]' explained",
            "strace -D -ff -qq -o calls tiny-ce create --bundle bundle @traced > /dev/null; \
             pid=$(tiny-ce state @traced | grep -o '\"pid\": *[0-9]*' | grep -o '[0-9]*'); \
             mv calls.$pid init",
            "tiny-ce start @traced; tiny-ce delete --force @traced",
            "grep -A 4 'fsopen(\"proc\"' init",
            "for call in fsopen fsconfig fsmount mknodat pivot_root sethostname; do \
             echo $call $(grep -c \" $call(\" explained) $(grep -c \"^$call(\" init); done",
        ],
        judge: |out| {
            let rows: Vec<Vec<&str>> =
                out[5].lines().map(|line| line.split(' ').collect()).collect();
            let same = rows.iter().all(|row| row.len() == 3 && row[1] == row[2] && row[1] != "0");
            let total: usize =
                rows.iter().filter_map(|row| row.get(1)?.parse::<usize>().ok()).sum();
            let found = filled("{} calls of six kinds, as many in both", [&total.to_string()]);
            finding(same && rows.len() == 6, found)
        },
    },
    Trial {
        title: "One error lists all mistakes of a config.json",
        needs: &[Need::Root, Need::Program("busybox")],
        session: &[
            BUNDLE,
            "sed -i -e 's/\"uid\": 0/\"uid\": -1/' -e 's/\"cwd\": \"\\/\"/\"cwd\": 7/' \
             -e 's/\"type\": \"ipc\"/\"type\": \"ipx\"/' bundle/config.json",
            "tiny-ce validate bundle",
        ],
        judge: |out| {
            let named = ["process.cwd", "process.user.uid", "ipx"]
                .iter()
                .filter(|word| out[2].contains(**word))
                .count();
            let found = filled("{} of 3 mistakes, with line and column", [&named.to_string()]);
            finding(named == 3 && out[2].contains("config.json:"), found)
        },
    },
    Trial {
        title: "An error names field, system call and errno, and nothing is left",
        needs: &[Need::Root, Need::Program("busybox")],
        session: &[
            BUNDLE,
            "sed -i 's/\"type\": \"mqueue\"/\"type\": \"nonesuch\"/' bundle/config.json",
            "tiny-ce run --bundle bundle @fails; echo \"exit status $?\"",
            "tiny-ce list --quiet | wc -l",
        ],
        judge: |out| {
            let named = ["mounts[", "fsopen", "ENODEV"].iter().all(|word| out[2].contains(word));
            let held = named && !out[2].ends_with("status 0\n") && out[3].trim() == "0";
            finding(held, words("the field, the call, the errno; no container is left"))
        },
    },
];

/// Attacks, each with what stops it.
pub const ESCAPES: &[Trial] = &[
    Trial {
        title: "An image whose /proc is a link",
        needs: &[Need::Root, Need::Program("busybox")],
        session: &[
            "mkdir -p evil/bin evil/tmp && cp $(command -v busybox) evil/bin/sh && \
             ln -s tmp evil/proc",
            "tiny-ce run --rootfs evil -- sh -c true; echo \"exit status $?\"",
        ],
        judge: |out| {
            let held = out[1].contains("/proc") && !out[1].ends_with("exit status 0\n");
            finding(held, words("refused, and the error names the link"))
        },
    },
    Trial {
        title: "A volume onto a link that leads out of the image",
        needs: &[Need::Root, Need::Program("busybox")],
        session: &[
            "mkdir -p evil/bin evil/proc evil/sys evil/dev evil/tmp given && \
             cp $(command -v busybox) evil/bin/sh && ln -s ../../../../../../../tmp evil/out && \
             echo secret > given/file",
            "tiny-ce run --rootfs evil -v $PWD/given:/out/@hole -- sh -c 'cat /tmp/*hole/file'",
            "ls -d /tmp/@hole",
        ],
        judge: |out| {
            let held = out[1] == "secret\n" && out[2].contains("No such file");
            finding(held, words("the link is resolved inside; the host's `/tmp` is untouched"))
        },
    },
    Trial {
        title: "A working directory through a descriptor of the launcher",
        needs: &[Need::Root],
        session: &[
            "for fd in 3 4 5 6 7 8 9 10; do tiny-ce run --cwd /proc/self/fd/$fd/../../.. -- \
             ls > /dev/null 2>> errors && echo $fd; done; head -n 1 errors",
            "grep -c 'cannot run .*: --cwd:' errors",
        ],
        judge: |out| {
            let found = filled("{} descriptors, none leads anywhere", [out[1].trim()]);
            finding(out[0].lines().count() == 1 && out[1].trim() == "8", found)
        },
    },
    Trial {
        title: "Root inside reaches for the kernel",
        needs: &[Need::Root],
        session: &[
            "tiny-ce run -- mount -t tmpfs tmpfs /mnt",
            "tiny-ce run -- sh -c 'mknod /tmp/disk b 8 0; head -c 1 /tmp/disk'",
            "tiny-ce run -- sh -c 'echo 1 > /proc/sys/kernel/panic'",
            "tiny-ce run -- sh -c 'dmesg | head -n 1'",
            "tiny-ce run -- unshare --user true",
        ],
        judge: |out| {
            let refused = |text: &&String| {
                let words = ["denied", "not permitted", "Read-only"];
                words.iter().any(|word| text.contains(word))
            };
            let number = out.iter().filter(refused).count();
            finding(number == 5, filled("{} of 5 are refused", [&number.to_string()]))
        },
    },
];

/// SIGKILL at one system call after the other of `run`: `delete --force` succeeds then, and nothing
/// is left.
pub fn kills(case: &Case) -> Experiment {
    eprintln!("report: SIGKILL during `run`");
    let title = words("SIGKILL during `run`, and `delete --force`");
    if let Some(why) = lack(&[Need::Root, Need::Program("gcc")]) {
        let found = words("");
        let verdict = Verdict::NotHere(why);
        return Experiment { title, found, figures: Vec::new(), verdict, session: Vec::new() };
    }
    let mut bundle = case.bundle();
    bundle.probe("exit 0");
    let run = |id: &str| case.make(&["run"], &bundle, id);
    let (_, calls) = case.calls(Whose::Launcher, &run(&case.id()));
    let (mut tried, mut clean) = (0, 0);
    let mut left = BTreeMap::new();
    // A prime stride: no period among the calls hides a kind of call.
    for point in (1..=calls.len()).step_by(11) {
        let id = case.id();
        case.fault(Whose::Launcher, Fault::Kill, point, &run(&id));
        let deleted = case.tiny_ce(["delete", "--force", &id]).code() == 0;
        let leftovers = case.leftovers();
        tried += 1;
        clean += usize::from(deleted && leftovers.is_empty());
        if !leftovers.is_empty() {
            left.insert(point, leftovers);
            case.sweep();
        }
    }
    let [tried, clean, all] = [tried, clean, calls.len()].map(|number| number.to_string());
    Experiment {
        title,
        found: filled(
            "killed at {} of its {} system calls: nothing left after {}",
            [&tried, &all, &clean],
        ),
        figures: Vec::new(),
        verdict: if tried == clean { Verdict::Held } else { Verdict::Broken },
        session: Vec::new(),
    }
}
