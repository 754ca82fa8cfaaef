//! The experiments of the project's forerunner (2022), done again: a distribution's shell, what is
//! seen of processes, names, queues and users, two containers on a network.
//!
//! quantities.rs has those about CPU and memory.

use tiny_ce_test::Need;

use crate::page::{Noise, filled, words};
use crate::session::{Finding, Trial, finding};

/// What is typed, and what it has to print.
pub const TRIALS: &[Trial] = &[
    Trial {
        title: "A shell of another distribution",
        needs: &[Need::Root, Need::Program("unshare"), Need::Distribution],
        session: &[
            "tiny-ce run --rootfs rootfs -- sh -c 'dpkg --version | head -n 1; ls -d /etc /usr'",
            "tiny-ce run --rootfs rootfs -- sh -c '. /etc/os-release; echo $PRETTY_NAME'",
            "(. /etc/os-release; echo $PRETTY_NAME)",
        ],
        judge: |out| {
            let own = out[0].contains("package management program") && out[0].contains("/etc\n");
            let [inside, outside] = [out[1].trim(), out[2].trim()];
            let apart = !inside.is_empty() && inside != outside;
            finding(own && apart, filled("inside {}, outside {}", [inside, outside]))
        },
    },
    Trial {
        title: "The program is process 1, and sees no other",
        needs: &[Need::Root, Need::Program("ps")],
        session: &["tiny-ce run --init=false -- ps -ef"],
        judge: |out| {
            let lines: Vec<&str> = out[0].lines().skip(1).collect();
            let first = lines.first().is_some_and(|line| {
                let mut fields = line.split_whitespace();
                fields.nth(1) == Some("1") && line.ends_with("ps -ef")
            });
            let number = lines.len().to_string();
            let found = filled("{} process, `ps` itself, with the number 1", [&number]);
            finding(first && lines.len() == 1, found)
        },
    },
    Trial {
        title: "A host name of its own",
        needs: &[Need::Root, Need::Program("hostname")],
        session: &[
            "hostname > before",
            "tiny-ce run --hostname web -- hostname",
            "hostname | diff - before && echo unchanged",
        ],
        judge: |out| {
            let held = out[1] == "web\n" && out[2] == "unchanged\n";
            finding(held, filled("inside `{}`; outside as before", [out[1].trim()]))
        },
    },
    Trial {
        title: "A message queue is seen inside only",
        needs: &[Need::Root, Need::Program("ipcmk"), Need::Program("ipcs")],
        session: &[
            "tiny-ce run --detach @queues -- sleep 60",
            "tiny-ce exec @queues ipcmk --queue",
            "tiny-ce exec @queues ipcs --queues",
            "ipcs --queues",
            "tiny-ce delete --force @queues",
        ],
        judge: |out| {
            let queues = |text: &str| text.lines().filter(|line| line.starts_with("0x")).count();
            let made = out[1].starts_with("Message queue id: ");
            let [inside, outside] = [queues(&out[2]), queues(&out[3])].map(|n| n.to_string());
            let held = made && inside == "1" && outside == "0";
            finding(held, filled("queues inside: {}, outside: {}", [&inside, &outside]))
        },
    },
    Trial {
        title: "A user namespace of its own",
        needs: &[Need::Root, Need::Program("setpriv")],
        session: &[
            "readlink /proc/self/ns/user",
            "setpriv --reuid 1000 --regid 1000 --clear-groups \
             tiny-ce run --ids own -- sh -c 'readlink /proc/self/ns/user; id -u'",
        ],
        judge: |out| {
            let inode = |text: &str| -> Option<String> {
                let (_, rest) = text.split_once("user:[")?;
                Some(rest.split(']').next()?.to_owned())
            };
            let (inside, outside) = (inode(&out[1]), inode(&out[0]));
            let root = out[1].lines().nth(1) == Some("0");
            let held = root && inside.is_some() && outside.is_some() && inside != outside;
            finding(held, words("another inode, and user 1000 is root inside"))
        },
    },
    Trial {
        title: "Two containers ping each other",
        needs: &[Need::Root, Need::Program("unshare"), Need::Program("busybox")],
        session: &[
            "tiny-ce network create seed --subnet 10.0.0.0/24",
            "tiny-ce run --detach --network seed:10.0.0.11 @one -- sleep 60",
            "tiny-ce run --detach --network seed:10.0.0.12 @two -- sleep 60",
            "tiny-ce exec @one busybox ping -q -c 11 -A 10.0.0.12",
            "tiny-ce exec @two busybox ping -q -c 11 -A 10.0.0.11",
            "tiny-ce network show seed",
            "tiny-ce delete --force @one; tiny-ce delete --force @two",
            "tiny-ce network rm seed",
        ],
        judge: |out| {
            let lost = |text: &str| -> Option<f64> {
                let line = text.lines().find(|line| line.contains("packet loss"))?;
                let words = line.split(", ").find(|part| part.contains("packet loss"))?;
                words.split('%').next()?.trim().parse().ok()
            };
            let both = [lost(&out[3]), lost(&out[4])];
            let [to, from] = both.map(|lost| lost.map_or("?".to_owned(), |it| it.to_string()));
            let found = filled("{} % and {} % of 11 pings lost", [&to, &from]);
            Finding {
                held: both == [Some(0.0); 2],
                found,
                figures: both.into_iter().flatten().map(|it| (it, Noise::Points(0.0))).collect(),
            }
        },
    },
];
