//! Pictures that tiny-ce draws: a run by the clock, a container's world, a network.

use std::path::Path;

use tiny_ce_test::Need;

use crate::page::{Cell, Part, Verdict, words};
use crate::promises::BUNDLE;
use crate::session::{Ground, Trial, finding};

/// What is drawn: the file, what it shows, and the commands that draw it.
const DRAWN: &[(&str, &str, Trial)] = &[
    (
        "run.svg",
        "Where the time of one `run` went",
        Trial {
            title: "explain --analyze",
            needs: &[Need::Root, Need::Program("busybox")],
            session: &[
                BUNDLE,
                "sed -i 's/\"sh\"/\"sh\", \"-c\", \"true\"/' bundle/config.json",
                "tiny-ce explain --analyze --format svg bundle > run.svg",
            ],
            judge: |_| finding(true, words("")),
        },
    ),
    (
        "world.svg",
        "The world of the container of `runc spec`",
        Trial {
            title: "explain",
            needs: &[],
            session: &[
                "mkdir -p bundle/rootfs && tiny-ce spec --bundle bundle",
                "tiny-ce explain --format svg bundle > world.svg",
            ],
            judge: |_| finding(true, words("")),
        },
    ),
    (
        "network.svg",
        "Two containers on a network",
        Trial {
            title: "network show",
            needs: &[Need::Root],
            session: &[
                "tiny-ce network create blue --subnet 10.89.7.0/24",
                "tiny-ce run --detach --network blue:10.89.7.11 @one -- sleep 60",
                "tiny-ce run --detach --network blue:10.89.7.12 @two -- sleep 60",
                "tiny-ce network show blue --format svg > network.svg",
                "tiny-ce delete --force @one; tiny-ce delete --force @two",
                "tiny-ce network rm blue",
            ],
            judge: |_| finding(true, words("")),
        },
    ),
];

/// Draw all, into this directory.
pub fn parts(ground: &Ground<'_>, into: &Path) -> Vec<Part> {
    let (mut parts, mut lacking) = (Vec::new(), Vec::new());
    for (file, shows, trial) in DRAWN {
        let done = ground.one(trial);
        let drawn = ground.read(trial, file);
        let shows = words(shows);
        match done.verdict {
            Verdict::Held if drawn.trim_end().ends_with("</svg>") => {
                std::fs::write(into.join(file), drawn).expect("the directory of the pictures");
                parts.push(Part::Picture { file: (*file).to_owned(), shows });
            }
            Verdict::Held => lacking.push(vec![Cell::Words(shows), Cell::Verdict(Verdict::Broken)]),
            verdict => lacking.push(vec![Cell::Words(shows), Cell::Verdict(verdict)]),
        }
    }
    if !lacking.is_empty() {
        let head = ["picture", "verdict"].map(words).to_vec();
        parts.push(Part::Table { head, rows: lacking });
    }
    parts
}
