//! Experiments as sessions of a shell: commands are typed on a ground apart from the host's
//! network, and a judge looks at what they print.
//!
//! Knows how a command is run and shown; not what should come out.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tiny_ce_test::{Apart, Case, Need, missing, skip, tiny_ce, tree};

use crate::page::{Experiment, Noise, Verdict, Words, filled, words};

/// What a judge says.
pub struct Finding {
    /// Whether it came out as promised.
    pub held: bool,
    /// What came out.
    pub found: Words,
    /// The figures in it, with their noise.
    pub figures: Vec<(f64, Noise)>,
}

/// A finding without figures.
pub fn finding(held: bool, found: Words) -> Finding {
    Finding { held, found, figures: Vec::new() }
}

/// An experiment to do.
pub struct Trial {
    pub title: &'static str,
    pub needs: &'static [Need],
    /// What is typed; `@` before a name makes it one that no other container has.
    pub session: &'static [&'static str],
    /// Looks at what each command printed.
    pub judge: fn(&[String]) -> Finding,
}

/// Where sessions take place.
pub struct Ground<'c> {
    case: &'c Case,
    apart: Apart<'c>,
}

impl<'c> Ground<'c> {
    /// Make it, with a `tiny-ce` on PATH whose containers are the case's.
    pub fn new(case: &'c Case) -> Ground<'c> {
        let bin = case.dir().join("bin");
        std::fs::create_dir(&bin).expect("a directory of our own");
        // Another user may reach neither the program nor root's state.
        let user = case.dir().join("user");
        std::fs::create_dir(&user).expect("a directory of our own");
        std::fs::set_permissions(&user, PermissionsExt::from_mode(0o1777)).expect("chmod");
        let program = bin.join("tiny-ce.program");
        std::fs::copy(tiny_ce(), &program).expect("a copy of the program");
        let script = format!(
            "#!/bin/sh\n[ $(id -u) = 0 ] && root={} || root={}\nexec {} --root $root \"$@\"\n",
            case.state().display(),
            user.join("state").display(),
            program.display(),
        );
        let path = bin.join("tiny-ce");
        std::fs::write(&path, script).expect("a program of our own");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
        Ground { case, apart: Apart::new(case) }
    }

    /// Do experiments one after the other.
    pub fn all(&self, trials: &[Trial]) -> Vec<Experiment> {
        trials.iter().map(|trial| self.one(trial)).collect()
    }

    /// Do an experiment.
    pub fn one(&self, trial: &Trial) -> Experiment {
        eprintln!("report: {}", trial.title);
        let title = words(trial.title);
        if let Some(why) = lack(trial.needs) {
            let found = Words::default();
            let verdict = Verdict::NotHere(why);
            return Experiment { title, found, figures: Vec::new(), verdict, session: Vec::new() };
        }
        let dir = self.directory(trial);
        std::fs::create_dir(&dir).expect("a directory of our own");
        let _ = std::os::unix::fs::symlink(tree().join("target/rootfs"), dir.join("rootfs"));
        let printed: Vec<String> =
            trial.session.iter().map(|command| self.command(&dir, command)).collect();
        let mut judged = (trial.judge)(&printed);
        let left = self.case.leftovers();
        if !left.is_empty() {
            judged = finding(false, filled("left behind: {}", [&left.join("; ")]));
            self.case.sweep();
        }
        let shown = trial.session.iter().map(|command| command.replace('@', ""));
        Experiment {
            title,
            found: judged.found,
            figures: judged.figures,
            verdict: if judged.held { Verdict::Held } else { Verdict::Broken },
            session: shown.zip(printed).collect(),
        }
    }

    /// The working directory of an experiment.
    fn directory(&self, trial: &Trial) -> PathBuf {
        self.case.dir().join(trial.title.replace(|c: char| !c.is_alphanumeric(), "-"))
    }

    /// A file that the commands of an experiment have made; empty if they have not.
    pub fn read(&self, trial: &Trial, file: &str) -> String {
        let text = std::fs::read_to_string(self.directory(trial).join(file)).unwrap_or_default();
        self.without_own_names(&text, &self.directory(trial))
    }

    /// A text as if containers had the names that are shown, and directory and cgroup were any.
    fn without_own_names(&self, text: &str, dir: &Path) -> String {
        let text = text.replace(&format!("{}/", dir.display()), "");
        let mut text = text.replace(&format!("{}-", self.case.tag()), "");
        let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        for line in cgroups.lines() {
            let own = line.splitn(3, ':').nth(2).unwrap_or_default().trim_matches('/');
            if !own.is_empty() {
                text = text.replace(&format!("{own}/"), "…/");
            }
        }
        text
    }

    /// Type a command; return what it prints, on either stream.
    fn command(&self, dir: &Path, command: &str) -> String {
        let tag = format!("{}-", self.case.tag());
        let script = format!(
            "cd {}; export LC_ALL=C PATH={}:$PATH; exec 2>&1; {}",
            dir.display(),
            self.case.dir().join("bin").display(),
            command.replace('@', &tag)
        );
        let done = self.apart.program(&["sh", "-c", &script]);
        self.without_own_names(&done.stdout, dir)
    }
}

/// What this machine lacks of these, in words. In CI, which may lack nothing, it is an error.
pub fn lack(needs: &[Need]) -> Option<Words> {
    let (need, reason) = needs.iter().find_map(|need| Some((need, missing(*need)?)))?;
    skip(&reason);
    Some(match need {
        Need::Root => words("it needs root"),
        Need::Program(name) => filled("there is no `{}`", [name]),
        Need::Peer(peer) => filled("`.ci/peers` has not fetched {}", [peer.name()]),
        Need::Distribution => words("`.ci/rootfs` has not made `target/rootfs`"),
        Need::Criu => words("`criu check` does not pass"),
        _ => filled("{}", [&reason]),
    })
}
