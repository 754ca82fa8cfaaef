//! `exec`: one more process in a running container.
//!
//! Parses the options and overrides the container's own process with them, as runc does. Must not
//! know how a process joins a container, which `container` does.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::activation;
use super::embedded::{User, utf8};
use super::environment::{Variable, variables};
use super::run::{NEVER_ALONE, status};
use super::table::{Opt, OptionSet, command};
use super::value::{CommandLine, DescriptorCount, Id, Number, Switch, Value};
use super::{Globals, read_document};
use crate::container::{self, ExecOptions, Users};
use crate::spec::names;
use crate::spec::text::Who;
use crate::spec::{Capabilities, Process};
use crate::{Error, Result, log};

/// A capability, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability(
    /// With `CAP_`, in capitals.
    pub String,
);

impl Value for Capability {
    fn parse(word: &OsStr) -> Result<Self> {
        let text = word.to_string_lossy().to_ascii_uppercase();
        let name = if text.starts_with("CAP_") { text } else { format!("CAP_{text}") };
        Ok(Capability(name))
    }
}

command! {
    /// Run another program in a running container.
    ///
    /// It has the user, variables, capabilities, limits and filter of the container's own process,
    /// unless options change them. Options stand before the COMMAND. The exit status is that of the
    /// program, or 255 if it could not be started.
    pub struct Exec = "exec" {
        args {
            /// A running container.
            "CONTAINER" id: Id,
            /// The program and its arguments.
            "[COMMAND [ARGUMENT...]]" command: CommandLine,
        }
        options {
            /// The whole process as a JSON document like "process" of config.json, or - for
            /// standard input. COMMAND and the options that change the process (--user, and so on)
            /// are ignored.
            "-p, --process FILE" process: Option<PathBuf>,
            /// Pass standard input on, which always happens.
            "-i, --interactive" interactive: Switch,
            /// Do not wait for its end.
            "-d, --detach" detach: bool,
            /// Write its pid to this file.
            "--pid-file FILE" pid_file: Option<PathBuf>,
            /// Send the master of its terminal to this Unix socket.
            "--console-socket PATH" console_socket: Option<PathBuf>,
            /// Send a pidfd of it to this Unix socket.
            "--pidfd-socket PATH" pidfd_socket: Option<PathBuf>,
            /// Pass on this many of the caller's descriptors, from 3 on; default: 0.
            "--preserve-fds NUMBER" preserve_fds: Option<DescriptorCount>,
            /// Run in this cgroup below the container's own, for all controllers or for those
            /// before the colon.
            "--cgroup [CONTROLLER,...:]PATH" cgroup: Vec<String>,
            /// Also in a paused container: the program runs once it is resumed.
            "--ignore-paused" ignore_paused: bool,
        }
        include {
            "Changes to the container's own process" changes: Changes,
        }
        examples {
            "exec --tty web sh": "a shell in the container",
            "exec --user 1000:1000 --env DEBUG=1 web make test": "as another user",
            "exec --process process.json --detach web": "as engines call it",
        }
        run = |it, globals: &Globals| {
            exec(it, globals).or_else(|e| {
                // As in runc, 255 distinguishes our failure from that of the program.
                log::error(&e);
                Ok(255)
            })
        };
    }
}

super::table::options! {
    /// What another process of a container has that the first has not.
    pub struct Changes {
        /// Give it a terminal.
        "-t, --tty" tty: bool,
        /// Working directory in the container.
        "-w, --cwd DIRECTORY" | "--workdir" cwd: Option<String> => "process.cwd",
        /// Set a variable of the environment. Without a value it gets the caller's, if the caller
        /// has the variable.
        "-e, --env NAME[=VALUE]" env: Vec<Variable> => "process.env",
        /// Variables of a file, as --env has them, one a line; # begins a comment.
        "--env-file FILE" env_file: Vec<PathBuf> => "process.env",
        /// User, and optionally group, by number or by a name in the container's /etc/passwd and
        /// /etc/group. A user by name has its own groups, a user by number those of the container's
        /// process.
        "-u, --user USER[:GROUP]" user: Option<User> => "process.user",
        /// Add a supplementary group.
        "-g, --additional-gids GID" gids: Vec<Number<0, 4_294_967_294>>
            => "process.user.additionalGids",
        /// Add a capability to the bounding, effective and permitted sets, and to the ambient set
        /// if it is inheritable.
        "-c, --cap CAPABILITY" cap: Vec<Capability> => "process.capabilities",
        /// Set no_new_privs, even if the container's process does not have it.
        "--no-new-privs" no_new_privs: bool => "process.noNewPrivileges",
        /// SELinux label.
        "--process-label LABEL" label: Option<String> => "process.selinuxLabel",
        /// AppArmor profile.
        "--apparmor PROFILE" apparmor: Option<String> => "process.apparmorProfile",
    }
}

fn exec(it: Exec, globals: &Globals) -> Result<u8> {
    let options = ExecOptions {
        detach: it.detach,
        pid_file: it.pid_file,
        console_socket: it.console_socket,
        pidfd_socket: it.pidfd_socket,
        listen: activation::listen()?,
        preserve_fds: it.preserve_fds.map_or(0, |it| it.0),
        ignore_paused: it.ignore_paused,
        cgroups: it.cgroup,
    };
    if it.interactive.0 == Some(false) {
        return Err(Error::new(NEVER_ALONE).within("exec"));
    }
    let CommandLine(command) = it.command;
    let (file, changes) = (it.process, it.changes);
    if file.is_some() {
        warn_of_options_beside_process(&changes, &command);
    }
    if file.is_none() && command.is_empty() {
        let usage = Exec::COMMAND.usage();
        return Err(Error::new(format!("exec: COMMAND or --process is missing; usage: {usage}")));
    }
    let process = |own: Option<&Process>, users: &Users| match &file {
        // conmon passes --tty together with a file that also has it.
        Some(path) => read_document::<Process>(path)
            .map(|(file, _)| Process { terminal: file.terminal || changes.tty, ..file }),
        None => changes.applied(own.cloned(), &command, users),
    };
    let mut origins = changes.origins("process", "process.");
    origins.add("process.args", "the command");
    origins.add("process: args", "the command");
    let done = container::exec(&globals.state_root()?, &it.id.0, process, &options);
    done.map(status).map_err(|e| origins.apply(e))
}

/// With --process the other options have no effect, as in runc and crun: the file is the whole
/// process.
fn warn_of_options_beside_process(changes: &Changes, command: &[OsString]) {
    let command = (!command.is_empty()).then_some("the command");
    let given = changes.given().filter(|opt| !opt.field.is_empty()).map(Opt::name);
    let ignored: Vec<&str> = given.chain(command).collect();
    if !ignored.is_empty() {
        let ignored = ignored.join(", ");
        log::warning(&format!(
            "exec: no effect beside --process, whose file has it all: {ignored}"
        ));
    }
}

impl Changes {
    /// The container's own process, or a bare one, with these changes.
    fn applied(
        &self,
        own: Option<Process>,
        command: &[OsString],
        users: &Users,
    ) -> Result<Process> {
        let mut process =
            own.unwrap_or_else(|| Process { cwd: "/".to_owned(), ..Process::default() });
        let word = |word: &OsString| utf8("command", word.clone());
        process.args = command.iter().map(word).collect::<Result<_>>()?;
        process.terminal = self.tty;
        // An empty value counts as not given, as in runc.
        process.cwd = self.cwd.clone().filter(|it| !it.is_empty()).unwrap_or(process.cwd);
        process.no_new_privileges |= self.no_new_privs;
        process.selinux_label = self.label.clone().or(process.selinux_label);
        process.apparmor_profile = self.apparmor.clone().or(process.apparmor_profile);
        for variable in variables(&self.env_file, &self.env)? {
            let name = |variable: &str| variable.split('=').next().map(str::to_owned);
            process.env.retain(|other| name(other) != name(&variable));
            process.env.push(variable);
        }
        if self.user.is_some() || !self.gids.is_empty() {
            let user = process.user.get_or_insert_default();
            match &self.user {
                // As in runc, a user without a group changes the uid alone.
                Some(User(Who::Id(uid), None)) => user.uid = *uid,
                Some(User(Who::Id(uid), Some(Who::Id(gid)))) => {
                    (user.uid, user.gid) = (*uid, *gid);
                }
                Some(User(who, group)) => {
                    let found = users.find(who, group.as_ref()).map_err(|e| e.within("--user"))?;
                    *user = crate::spec::User { umask: user.umask, ..found };
                }
                None => {}
            }
            user.additional_gids.extend(self.gids.iter().map(|gid| gid.0 as u32));
        }
        if !self.cap.is_empty() {
            self.add_capabilities(process.capabilities.get_or_insert_default());
        }
        Ok(process)
    }

    /// Added capabilities are not inheritable (CVE-2022-29162), and ambient only if they are
    /// already inheritable.
    fn add_capabilities(&self, sets: &mut Capabilities) {
        for Capability(name) in &self.cap {
            if names::capability(name).is_none() {
                log::warning(&format!("exec: --cap {name:?}: no such capability; it is left out"));
                continue;
            }
            let mut all = vec![&mut sets.bounding, &mut sets.effective, &mut sets.permitted];
            if sets.inheritable.contains(name) {
                all.push(&mut sets.ambient);
            }
            for set in all.into_iter().filter(|set| !set.contains(name)) {
                set.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::parse;
    use crate::cli::table::OptionSet;

    fn applied(line: &str, own: Option<Process>) -> Process {
        let (read, result) = parse(line.split(' ').map(OsString::from));
        assert_eq!(result, Ok(()), "{line}");
        let changes = Changes::take(&read.input).expect(line);
        changes.applied(own, &["sh".into()], &Users::of(0)).expect(line)
    }

    fn own() -> Process {
        Process {
            terminal: true,
            args: vec!["init".to_owned()],
            env: vec!["A=1".to_owned(), "B=2".to_owned()],
            cwd: "/srv".to_owned(),
            user: Some(crate::spec::User { uid: 5, gid: 6, ..Default::default() }),
            capabilities: Some(Capabilities {
                bounding: vec!["CAP_KILL".to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn without_options_exec_uses_the_containers_process_without_terminal() {
        let process = applied("exec web sh", Some(own()));
        assert_eq!(process.args, ["sh"]);
        assert_eq!(process.env, ["A=1", "B=2"]);
        assert_eq!(process.cwd, "/srv");
        assert!(!process.terminal);
    }

    #[test]
    fn options_override_the_containers_process() {
        let line =
            "exec -t -e A=3 --cwd / -u 7 -g 8 -c kill -c CAP_CHOWN --no-new-privs web sh -e x";
        let process = applied(line, Some(own()));
        assert!(process.terminal && process.no_new_privileges);
        assert_eq!(process.env, ["B=2", "A=3"]);
        assert_eq!(process.cwd, "/");
        let user = process.user.expect("a user");
        assert_eq!((user.uid, user.gid, user.additional_gids), (7, 6, vec![8]));
        let sets = process.capabilities.expect("sets");
        assert_eq!(sets.bounding, ["CAP_KILL", "CAP_CHOWN"]);
        assert_eq!(sets.effective, ["CAP_KILL", "CAP_CHOWN"]);
        assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
        let mut heir = own();
        let inheritable = vec!["CAP_CHOWN".to_owned()];
        heir.capabilities = Some(Capabilities { inheritable, ..Default::default() });
        let sets = applied("exec -c kill -c CHOWN web sh", Some(heir)).capabilities;
        assert_eq!(sets.expect("sets").ambient, ["CAP_CHOWN"]);
        let user = applied("exec -u 7:9 web sh", Some(own())).user.expect("a user");
        assert_eq!((user.uid, user.gid), (7, 9));
    }

    #[test]
    fn a_container_without_a_process_gives_a_bare_one() {
        let process = applied("exec web sh", None);
        assert_eq!((process.cwd.as_str(), process.user), ("/", None));
    }
}
