//! What a golden plan is compiled from: a config.json, a host, and what the command line says.
//!
//! The host is a constant: machines with cgroup v2, with v1, and users with and without privileges.

use tiny_ce::compile::activation::Preserved;
use tiny_ce::compile::usernet::{self, Descriptor};
use tiny_ce::compile::{self, FilterBytes, Then, activation, criu, exec};
use tiny_ce::host::{
    CgroupMounts, DeviceFacts, GroupMount, Host, MountFacts, NamespaceFacts, Part, Source, V1Mount,
};
use tiny_ce::plan::Finished;
use tiny_ce::spec::{NamespaceKind, Spec, json};
use tiny_ce_test::tree;

/// Name of the case, name of its config, and what is not as usual.
type Case = (&'static str, &'static str, fn(&mut Given));

/// Every golden plan.
pub const CASES: &[Case] = &[
    ("default", "default", usual),
    ("default-v1", "default-v1", on_v1),
    ("default-run", "default", |given| given.then = Then::Run),
    ("default-no-pivot", "default", |given| given.no_pivot = true),
    ("default-no-new-keyring", "default", |given| given.no_new_keyring = true),
    ("default-preserve-fds", "default", |given| given.preserved.count = 3),
    ("default-preserve-fds-holes", "default", |given| {
        given.preserved = Preserved { count: 3, holes: vec![4] };
    }),
    ("default-notify", "default", notify),
    ("default-criu", "default", |given| given.criu = Some(false)),
    ("default-restore", "default", |given| given.criu = Some(true)),
    ("default-ephemeral", "default", ephemeral),
    ("default-usernet", "default", |given| given.watched = true),
    ("default-initramfs", "default", |given| given.host.initramfs = true),
    ("default-tree", "default", |given| given.host.tree_namespaces = true),
    ("notify-tree", "default", |given| {
        notify(given);
        given.host.tree_namespaces = true;
    }),
    ("default-exec", "default", exec_on_v1),
    ("default-null", "default", |given| null(given, [true, false, true])),
    ("default-exec-null", "default", |given| {
        exec_on_v1(given);
        null(given, [true; 3]);
    }),
    ("default-init", "default", |given| given.init = true),
    ("rootless", "rootless", without_privileges),
    ("rootless-usernet", "rootless", |given| {
        without_privileges(given);
        given.usernet = Some("pasta");
    }),
    ("rootless-ephemeral", "rootless", |given| {
        without_privileges(given);
        ephemeral(given);
    }),
    ("rootless-init", "rootless", |given| {
        without_privileges(given);
        given.init = true;
    }),
    ("rootless-exec", "rootless", |given| {
        without_privileges(given);
        given.exec = Some(vec![NamespaceKind::User, NamespaceKind::Mount, NamespaceKind::Pid]);
    }),
    ("least", "least", usual),
    ("mounts", "mounts", usual),
    ("mounts-restore", "mounts", |given| {
        on_v1(given);
        given.criu = Some(true);
    }),
    ("mount-options", "mount-options", usual),
    ("mount-idmap", "mount-idmap", usual),
    ("mount-more", "mount-more", usual),
    ("mount-places", "mount-places", usual),
    ("cgroup-private", "cgroup-private", usual),
    ("cgroup-private-v1", "cgroup-private", on_v1),
    ("cgroup-host", "cgroup-host", usual),
    ("cgroup-host-v1", "cgroup-host", on_v1),
    ("cgroup-none", "cgroup-private", |given| given.host.cgroups = CgroupMounts::None),
    ("cgroup-writable", "cgroup-writable", usual),
    ("cgroup-writable-v1", "cgroup-writable", on_v1),
    ("devices", "devices", usual),
    ("devices-image", "devices-image", usual),
    ("devices-bound", "devices-bound", usual),
    ("devices-user", "devices-user", usual),
    ("devices-user-made", "devices-user", |given| {
        given.host.devices = vec![DeviceFacts { directory: None, missing: true }; 2]
    }),
    ("masks", "masks", usual),
    ("sysctl", "sysctl", usual),
    ("hooks", "hooks", usual),
    ("hooks-after", "hooks-after", usual),
    ("terminal", "terminal", usual),
    ("terminal-init", "terminal", |given| given.init = true),
    ("terminal-exec", "terminal", exec_with_nothing_shared),
    ("user-new", "user-new", usual),
    ("user-joined", "user-joined", |given| {
        given.host.namespaces = ours([false, false, true, true])
    }),
    ("user-staged", "user-staged", |given| {
        given.host.namespaces = ours([false, false, false, false, true, true]);
    }),
    ("user-first-id", "user-first-id", without_privileges),
    ("joined", "joined", usual),
    ("joined-restore", "joined", |given| given.criu = Some(true)),
    ("joined-mount", "joined-mount", usual),
    ("joined-pid", "joined-pid", usual),
    ("time", "time", usual),
    ("names", "names", usual),
    ("limits", "limits", usual),
    ("limits-exec", "limits", exec_with_nothing_shared),
    ("limits-few-files", "limits-few-files", usual),
    ("scheduler-deadline", "scheduler-deadline", usual),
    ("seccomp", "seccomp", usual),
    ("seccomp-exec", "seccomp", exec_on_v1),
    ("seccomp-init", "seccomp", |given| given.init = true),
    ("seccomp-no-new-privileges", "seccomp-no-new-privileges", usual),
    ("seccomp-notify", "seccomp-notify", usual),
    ("seccomp-notify-init", "seccomp-notify", |given| given.init = true),
    ("capabilities", "capabilities", usual),
    ("capabilities-none", "capabilities-none", usual),
    ("user", "user", |given| given.host.stdio = [true, false, true]),
    ("labels", "labels", usual),
    ("labels-exec", "labels", exec_with_all_joined),
    ("no-process", "no-process", usual),
    ("propagation-shared", "propagation-shared", usual),
    ("propagation-private", "propagation-private", usual),
    ("propagation-unbindable", "propagation-unbindable", usual),
];

/// Everything that a plan is compiled from.
pub struct Given {
    /// config.json.
    pub spec: Spec,
    /// Facts.
    pub host: Host,
    /// `create`, or `run`.
    pub then: Then,
    /// `--preserve-fds`.
    pub preserved: Preserved,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `--no-new-keyring`.
    pub no_new_keyring: bool,
    /// Changes to the rootfs vanish.
    pub ephemeral: bool,
    /// `--init`.
    pub init: bool,
    /// `--network pasta`.
    pub usernet: Option<&'static str>,
    /// Not the container, but the program that makes its network.
    pub watched: bool,
    /// Not the container, but its process once more, into these namespaces.
    pub exec: Option<Vec<NamespaceKind>>,
    /// Not the container, but CRIU; to restore the container, if it is true.
    pub criu: Option<bool>,
}

/// As many as Linux 5.9 and later have; elsewhere few, so that the texts are short.
fn last_capability(config: &str) -> u32 {
    let all = ["default", "rootless", "capabilities"].iter().any(|name| config.starts_with(name));
    if all { 40 } else { 1 }
}

impl Given {
    /// A config of test/plans on a machine with cgroup v2, for root.
    pub fn new(config: &str) -> Given {
        let path = tree().join(format!("test/plans/{config}.json"));
        let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let spec: Spec = json::read(&text).unwrap_or_else(|wrong| panic!("{config}: {wrong:?}"));
        Given::of(spec, last_capability(config))
    }

    /// Any config on such a machine.
    pub fn of(spec: Spec, last_capability: u32) -> Given {
        let absolute = |path: &str| match path.strip_prefix('/') {
            Some(_) => path.to_owned(),
            None => format!("/bundle/{path}"),
        };
        // What has an ending is a file.
        let bind = |mount: &tiny_ce::spec::Mount| {
            let source = mount.source.as_ref().filter(|_| mount.is_bind())?;
            let directory = !source.contains('.') && !source.ends_with("hosts");
            let made = source.starts_with("/bundle/rootfs/");
            Some(Source { path: absolute(source), directory, made, link: None })
        };
        // The image has a link that dangles, and one to /proc.
        let leads = |path: &str| match path.strip_prefix("/link") {
            Some(file @ "/meminfo") => Some(format!("proc{file}")),
            Some(rest) => Some(format!("run/target{rest}")),
            None => path.strip_suffix("/../up").map(|_| "up".to_owned()),
        };
        let tmpfs = |mount: &tiny_ce::spec::Mount| {
            let plain = !mount.options.words().any(|(option, _)| option.starts_with("mode="));
            (mount.kind.as_deref() == Some("tmpfs") && plain).then_some(0o755)
        };
        let facts = |mount: &tiny_ce::spec::Mount| MountFacts {
            source: bind(mount),
            tmpfs_mode: tmpfs(mount),
            part: None,
            destination: leads(&mount.destination),
        };
        let host = Host {
            rootfs: "/bundle/rootfs".to_owned(),
            mounts: spec.mounts.iter().map(facts).collect(),
            namespaces: ours(spec.linux.iter().flat_map(|l| &l.namespaces).map(|_| true)),
            cwd: spec.process.as_ref().and_then(|process| leads(&process.cwd)),
            kcore: true,
            cgroups: CgroupMounts::V2(shown("/sys/fs/cgroup/web")),
            last_capability,
            ..Host::default()
        };
        Given {
            spec,
            host,
            then: Then::AwaitStart,
            preserved: Preserved::default(),
            no_pivot: false,
            no_new_keyring: false,
            ephemeral: false,
            init: false,
            usernet: None,
            watched: false,
            exec: None,
            criu: None,
        }
    }

    /// A filter as short as one can be: what the real one looks like is seccomp's own test.
    fn filter(&self) -> Option<FilterBytes> {
        let seccomp = self.spec.linux.as_ref()?.seccomp.as_ref()?;
        // BPF_RET|BPF_K, SECCOMP_RET_ALLOW.
        let program = vec![0x06, 0, 0, 0, 0, 0, 0xff, 0x7f];
        Some(FilterBytes { flags: 0, program, notify: seccomp.listener_path.is_some() })
    }

    /// The plan.
    pub fn compile(&self) -> tiny_ce::Result<Finished> {
        if self.watched {
            use Descriptor::{Exit, Messages, Namespace, Ready};
            return usernet::compile(&usernet::UsernetRequest {
                name: "--network slirp4netns",
                path: "/usr/bin/slirp4netns",
                given: &[Namespace, Messages, Messages, Ready, Exit],
            });
        }
        if let Some(restore) = self.criu {
            return self.compile_criu(restore);
        }
        let filter = self.filter();
        if let Some(namespaces) = &self.exec {
            return exec::compile(&exec::ExecRequest {
                spec: &self.spec,
                process: self.spec.process.as_ref().expect("a process"),
                filter: filter.as_ref(),
                namespaces,
                cgroup_joins: self.host.cgroup_joins,
                groups_denied: self.host.euid != 0,
                last_capability: self.host.last_capability,
                stdio: self.host.stdio,
                null: self.host.null,
                preserved: &self.preserved,
                root: None,
            });
        }
        compile::compile(&compile::ContainerRequest {
            spec: &self.spec,
            host: &self.host,
            then: self.then,
            filter: filter.as_ref(),
            preserved: &self.preserved,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            ephemeral: self.ephemeral.then_some("/run/tiny-ce/web/rootfs"),
            init: self.init,
            usernet: self.usernet,
        })
    }

    fn compile_criu(&self, restore: bool) -> tiny_ce::Result<Finished> {
        let linux = self.spec.linux.as_ref().expect("linux");
        let namespaces: Vec<(NamespaceKind, String)> = linux
            .namespaces
            .iter()
            .filter(|it| matches!(it.kind, NamespaceKind::Network | NamespaceKind::Pid))
            .filter_map(|it| Some((it.kind, it.path.clone()?)))
            .collect();
        let directories = ["/var/images".to_owned(), "/var/work".to_owned()];
        let restore = restore.then_some(criu::Restore {
            spec: &self.spec,
            host: &self.host,
            scratch: "/run/tiny-ce/web/criu-scratch",
            root: "/run/tiny-ce/web/criu-root",
            directories: &directories,
            namespaces: &namespaces,
        });
        let cgroup_joins = if restore.is_some() { self.host.cgroup_joins } else { 0 };
        criu::compile(&criu::CriuRequest { cgroup_joins, restore })
    }
}

fn usual(_: &mut Given) {}

fn ours(each: impl IntoIterator<Item = bool>) -> Vec<NamespaceFacts> {
    each.into_iter().map(|ours| NamespaceFacts { ours }).collect()
}

/// Without a terminal; these standard streams are the null device.
fn null(given: &mut Given, streams: [bool; 3]) {
    given.spec.process.as_mut().expect("a process").terminal = false;
    given.host.null = streams;
}

/// With a bind of a directory of the host.
fn notify(given: &mut Given) {
    activation::notify(&mut given.spec, "/run/tiny-ce/web/notify");
    let path = "/run/tiny-ce/web/notify".to_owned();
    let source = Some(Source { path, directory: true, made: false, link: None });
    given.host.mounts.push(MountFacts { source, ..MountFacts::default() });
}

/// As `run` without a bundle, with the host's root and one mount below it.
fn ephemeral(given: &mut Given) {
    given.ephemeral = true;
    for (index, (place, owner)) in [("/", (0, 0)), ("/home/me", (1000, 100))].iter().enumerate() {
        let layers = [
            format!("lowerdir={place}"),
            format!("upperdir=upper{index}"),
            format!("workdir=work{index}"),
            "nosuid".to_owned(),
        ];
        let mount = tiny_ce::spec::Mount {
            destination: (*place).to_owned(),
            kind: Some("overlay".to_owned()),
            source: Some("tiny-ce".to_owned()),
            options: layers.into_iter().collect(),
            ..tiny_ce::spec::Mount::default()
        };
        let part = Part {
            lower: (*place).to_owned(),
            upper: format!("upper{index}"),
            work: format!("work{index}"),
            mode: 0o755,
            owner: *owner,
        };
        given.spec.mounts.insert(index, mount);
        let facts = MountFacts { part: Some(part), ..MountFacts::default() };
        given.host.mounts.insert(index, facts);
    }
}

/// As a user whose ids are 1000, without a cgroup of their own.
fn without_privileges(given: &mut Given) {
    given.host.euid = 1000;
    given.host.egid = 1000;
}

/// The container's own group.
fn shown(directory: &str) -> GroupMount {
    GroupMount { directory: directory.to_owned(), own: true }
}

/// On a machine with cgroup v1.
fn on_v1(given: &mut Given) {
    let hierarchy = |name: &str, options: &[&str]| V1Mount {
        name: name.to_owned(),
        options: options.iter().map(|option| option.to_string()).collect(),
        shown: shown(&format!("/sys/fs/cgroup/{name}/web")),
    };
    given.host.cgroups = CgroupMounts::V1(vec![
        hierarchy("cpu,cpuacct", &["cpu", "cpuacct"]),
        hierarchy("pids", &["pids"]),
        hierarchy("systemd", &["none", "name=systemd"]),
    ]);
    given.host.cgroup_joins = 3;
}

fn exec_on_v1(given: &mut Given) {
    on_v1(given);
    given.exec = Some(vec![
        NamespaceKind::Pid,
        NamespaceKind::Network,
        NamespaceKind::Mount,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Cgroup,
    ]);
}

/// Into a container that has but its own mounts.
fn exec_with_all_joined(given: &mut Given) {
    given.exec = Some(vec![NamespaceKind::Mount, NamespaceKind::Pid]);
}

fn exec_with_nothing_shared(given: &mut Given) {
    given.exec = Some(vec![NamespaceKind::Mount]);
}
