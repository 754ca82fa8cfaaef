//! machine.json: what a machine whose first process is tiny-ce runs, and the rules for it.
//!
//! Knows the document alone, as the other modules here know config.json. Pure.

use super::id;
use super::json::Violation;
use super::record::{record, words};

record! {
    /// The document.
    pub struct Machine {
        /// Its host name.
        "hostname" hostname: Option<String>,
        /// Files of kernel modules, in the order in which they are loaded.
        "modules" modules: Vec<String>,
        /// File systems besides the usual ones.
        "mounts" mounts: Vec<MachineMount>,
        /// What it runs, in order.
        "containers" jobs: Vec<Job>,
    }
}

record! {
    /// A file system that the machine mounts.
    pub struct MachineMount {
        /// Its type, as mount(8) has it.
        "type" kind: String,
        /// The device, or what the file system takes for one.
        "source" source: String,
        /// Where; the directory is made.
        "target" target: String,
        /// The options of the file system itself, and "ro".
        "options" options: Vec<String>,
    }
}

record! {
    /// A container, or a program of the machine.
    pub struct Job {
        /// The container's id; the name of the bundle's directory if there is none.
        "id" id: Option<String>,
        /// Directory with config.json.
        "bundle" bundle: Option<String>,
        /// A program of the machine itself, and its arguments, in place of a bundle.
        "command" command: Vec<String>,
        /// Whether tiny-ce's init stays as the container's first process, as with "run --init".
        "init" init: bool,
        /// Whether the command has a terminal; a bundle's config.json says so itself.
        "terminal" terminal: bool,
        /// Whether it is started again when it has ended.
        "restart" restart: Option<Restart>,
        /// Whether those after it begin only when it has ended, with status 0.
        "wait" wait: bool,
    }
}

words! {
    /// Whether a container is started again when it has ended.
    pub enum Restart ("restart policy") {
        /// It is not.
        Never = "never",
        /// Unless its exit status is 0.
        OnFailure = "on-failure",
        /// Always, until the machine ends: the machine does not wait for it.
        Always = "always",
    }
}

impl Machine {
    /// A machine that runs these.
    pub fn of(jobs: Vec<Job>) -> Machine {
        Machine { hostname: None, modules: Vec::new(), mounts: Vec::new(), jobs }
    }

    /// Every rule that the document breaks.
    pub fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            let place = format!("containers[{index}]");
            match (&job.bundle, job.command.is_empty()) {
                (None, true) => {
                    found.push(Violation::rule(&place, "needs a bundle, or a command"));
                }
                (Some(_), false) => {
                    found.push(Violation::rule(&place, "has a bundle and a command: give one"));
                }
                _ => {}
            }
            if job.wait && job.restart == Some(Restart::Always) {
                let text = "would wait for ever, since \"restart\" is \"always\"";
                found.push(Violation::rule(format!("{place}.wait"), text));
            }
            let name = job.name();
            if let Err(e) = id::check(&name) {
                found.push(Violation::rule(format!("{place}.id"), e.line()));
            } else if ids.contains(&name) {
                let text = format!("{name:?} is the id of another one; give this one its own");
                found.push(Violation::rule(format!("{place}.id"), text));
            }
            ids.push(name);
        }
        for (index, mount) in self.mounts.iter().enumerate() {
            if !mount.target.starts_with('/') {
                let place = format!("mounts[{index}].target");
                found.push(Violation::rule(place, "not absolute: begin with /"));
            }
        }
        found
    }
}

impl Job {
    /// A container of the bundle in this directory.
    pub fn of_bundle(directory: &str) -> Job {
        Job { bundle: Some(directory.to_owned()), ..Job::empty() }
    }

    /// A program of the machine itself.
    pub fn of_command(words: Vec<String>) -> Job {
        Job { command: words, ..Job::empty() }
    }

    fn empty() -> Job {
        Job {
            id: None,
            bundle: None,
            command: Vec::new(),
            init: false,
            terminal: false,
            restart: None,
            wait: false,
        }
    }

    /// Its id: the one that is given, or the last part of the path of its bundle or its program.
    pub fn name(&self) -> String {
        let path = self.bundle.as_ref().or(self.command.first());
        let last = |path: &String| {
            path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
        };
        self.id.clone().or_else(|| path.map(last)).unwrap_or_default()
    }

    /// Whether the machine waits for its end.
    pub fn is_waited_for(&self) -> bool {
        self.restart != Some(Restart::Always)
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn rules() {
        let text = br#"{"containers": [{"bundle": "/b/db/", "restart": "always", "wait": true},
            {"id": "x y", "bundle": "/b", "command": ["sh"]}, {"id": "db", "command": ["sh"]}, {}],
            "mounts": [{"type": "9p", "source": "a", "target": "b"}]}"#;
        let machine: Machine = json::read(text).expect("well-formed");
        let found = machine.check();
        let places: Vec<&str> = found.iter().map(|it| it.path.as_str()).collect();
        let wanted = [
            "containers[0].wait",
            "containers[1]",
            "containers[1].id",
            "containers[2].id",
            "containers[3]",
            "containers[3].id",
            "mounts[0].target",
        ];
        assert_eq!(places, wanted);
    }

    #[test]
    fn a_document_is_written_as_it_is_read() {
        let mut machine = Machine::of(vec![Job::of_bundle("/bundles/a")]);
        machine.modules.push("/lib/x.ko".to_owned());
        let text = serde_json::to_vec(&machine).expect("JSON");
        assert_eq!(json::read(&text), Ok(machine));
    }
}
