//! Options of Docker's and Podman's `run` that we do not have, each with what to do instead.
//!
//! Holds sentences only. An option of theirs that we have too is a row of its command.

/// What to do instead of this option, dashes included.
pub fn option(name: &str) -> Option<String> {
    let find = |table: &[(&str, &'static str)]| {
        let row = table.iter().find(|(names, _)| names.split(' ').any(|it| it == name));
        row.map(|(_, text)| *text)
    };
    let field = |field: &str| {
        format!(
            "it is {field} in config.json: \"tiny-ce spec\" with the other options writes one, \
             and \"run --bundle\" runs it"
        )
    };
    find(FIELDS).map(field).or_else(|| find(ADVICE).map(str::to_owned))
}

/// What a field of config.json says.
const FIELDS: &[(&str, &str)] = &[
    ("--cap-add --cap-drop --privileged", "process.capabilities"),
    ("--ulimit", "process.rlimits"),
    ("--oom-score-adj", "process.oomScoreAdj"),
    ("--group-add", "process.user.additionalGids"),
    ("--umask", "process.user.umask"),
    ("--security-opt", "process.noNewPrivileges, apparmorProfile or selinuxLabel (or --seccomp)"),
    ("--domainname", "domainname"),
    ("--annotation -l --label --label-file", "annotations"),
    ("--pid --ipc --uts --cgroupns", "linux.namespaces"),
    ("--userns --uidmap --gidmap --subuidname --subgidname", "linux.uidMappings and gidMappings"),
    ("--device --gpus", "linux.devices"),
    ("--device-cgroup-rule", "linux.resources.devices"),
    ("--memory-swappiness --oom-kill-disable", "linux.resources.memory"),
    (
        "--blkio-weight-device --device-read-bps --device-read-iops --device-write-bps \
         --device-write-iops",
        "linux.resources.blockIO",
    ),
    ("--cgroup-conf", "linux.resources.unified"),
    ("--cgroup-parent", "linux.cgroupsPath"),
    ("--sysctl", "linux.sysctl"),
    ("--personality", "linux.personality"),
    ("--rdt-class", "linux.intelRdt"),
    ("--mount --tmpfs --shm-size --shm-size-systemd --read-only-tmpfs --secret", "mounts"),
];

/// What is done another way here, or by another program.
const ADVICE: &[(&str, &str)] = &[
    (
        "--entrypoint",
        "there is no image whose entry point it could replace: write the program and its \
         arguments behind --",
    ),
    (
        "-p --publish -P --publish-all --expose",
        "no port is published: make a network (\"tiny-ce network create\"), give the container \
         this --network, and reach it at its address there; or --network host",
    ),
    ("--ip --ip6", "the address stands behind the network's name: --network NAME:ADDRESS"),
    (
        "--link --link-local-ip --mac-address --network-alias",
        "a container has one address on one network: --network NAME:ADDRESS",
    ),
    (
        "--add-host --dns --dns-option --dns-search --hosts-file --no-hosts --no-hostname \
         --hostuser --passwd --passwd-entry --group-entry --tz",
        "files below /etc are those of its root file system: mount another one with --volume",
    ),
    (
        "--env-host --env-merge --http-proxy --unsetenv --unsetenv-all",
        "variables are the defaults and what --env NAME[=VALUE] and --env-file say",
    ),
    (
        "--init-path --systemd",
        "the init is tiny-ce's own (--init); systemd as the program needs --init=false",
    ),
    (
        "-a --attach --sig-proxy --detach-keys",
        "standard streams and signals are its own, unless --detach is given",
    ),
    ("--log-driver --log-opt", "no output is kept: redirect it"),
    ("-c", "it is called --cpu-shares here"),
    ("--cidfile", "--name says its id, and --pid-file writes its pid to a file"),
    ("--pidfile --conmon-pidfile", "it is called --pid-file here"),
    ("--preserve-fd", "descriptors are passed on from 3 on: --preserve-fds NUMBER"),
    ("--cgroups", "say --cgroup-manager disabled for a container without a cgroup of its own"),
    (
        "--stop-signal --stop-timeout",
        "\"tiny-ce kill CONTAINER SIGNAL\" sends the signal that it names",
    ),
    (
        "--restart --timeout --sdnotify --no-healthcheck --health-cmd --health-interval \
         --health-log-destination --health-max-log-count --health-max-log-size --health-on-failure \
         --health-retries --health-start-interval --health-start-period --health-startup-cmd \
         --health-startup-interval --health-startup-retries --health-startup-success \
         --health-startup-timeout --health-timeout",
        "nobody watches over a container here: let a supervisor such as systemd run it",
    ),
    (
        "--pod --pod-id-file --requires --init-ctr --volumes-from",
        "a container here knows of no other: share what both need by --network and --volume",
    ),
    ("--replace", "\"tiny-ce delete --force CONTAINER\" takes the old one away first"),
    ("--seccomp-policy", "a filter of system calls is a file: --seccomp FILE"),
    (
        "--pull --platform --arch --os --variant --authfile --cert-dir --creds --decryption-key \
         --tls-verify --disable-content-trust -q --quiet --retry --retry-delay --rmi \
         --image-volume --chrootdirs",
        "there are no images here: --rootfs DIRECTORY is an unpacked one",
    ),
    (
        "--runtime --isolation --storage-opt --volume-driver --transient-store --use-api-socket",
        "it is for an engine, and tiny-ce is the runtime below one",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Globals;
    use crate::cli::run::Run;
    use crate::cli::table::{Opt, OptionSet};

    /// docker run --help, of 28.
    const DOCKER: &str = "\
        --add-host --annotation --attach --blkio-weight --blkio-weight-device --cap-add \
        --cap-drop --cgroup-parent --cgroupns --cidfile --cpu-period --cpu-quota \
        --cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus --cpuset-cpus --cpuset-mems \
        --detach --detach-keys --device --device-cgroup-rule --device-read-bps \
        --device-read-iops --device-write-bps --device-write-iops --disable-content-trust \
        --dns --dns-option --dns-search --domainname --entrypoint --env --env-file --expose \
        --gpus --group-add --health-cmd --health-interval --health-retries \
        --health-start-interval --health-start-period --health-timeout --help --hostname \
        --init --interactive --ip --ip6 --ipc --isolation --kernel-memory --label --label-file \
        --link --link-local-ip --log-driver --log-opt --mac-address --memory \
        --memory-reservation --memory-swap --memory-swappiness --mount --name --net --network \
        --network-alias --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit \
        --platform --privileged --publish --publish-all --pull --quiet --read-only --restart \
        --rm --runtime --security-opt --shm-size --sig-proxy --stop-signal --stop-timeout \
        --storage-opt --sysctl --tmpfs --tty --ulimit --use-api-socket --user --userns --uts \
        --volume --volume-driver --volumes-from --workdir -a -c -d -e -h -i -l -m -p -P -q -t \
        -u -v -w ";

    /// What podman run --help has beside it, of 5.8.
    const PODMAN: &str = "\
        --arch --authfile --cert-dir --cgroup-conf --cgroups --chrootdirs --conmon-pidfile \
        --creds --decryption-key --env-host --env-merge --gidmap --group-entry \
        --health-log-destination --health-max-log-count --health-max-log-size \
        --health-on-failure --health-startup-cmd --health-startup-interval \
        --health-startup-retries --health-startup-success --health-startup-timeout \
        --hosts-file --hostuser --http-proxy --image-volume --init-ctr --init-path \
        --no-hostname --no-hosts --os --passwd --passwd-entry --personality --pidfile --pod \
        --pod-id-file --preserve-fd --preserve-fds --rdt-class --read-only-tmpfs --replace \
        --requires --retry --retry-delay --rmi --rootfs --sdnotify --seccomp-policy --secret \
        --shm-size-systemd --subgidname --subuidname --systemd --timeout --tls-verify \
        --transient-store --tz --uidmap --umask --unsetenv --unsetenv-all --variant ";

    fn is_ours(name: &str) -> bool {
        let is = |opt: &Opt| match name.strip_prefix("--") {
            Some(long) => opt.is_called(long),
            None => opt.short() == name.chars().nth(1),
        };
        let help = |opt: &&Opt| opt.long() == "help";
        Run::COMMAND.options().any(is) || Globals::ROWS.iter().filter(help).any(is)
    }

    #[test]
    fn every_option_of_theirs_has_its_meaning_or_an_answer() {
        for name in DOCKER.split_whitespace().chain(PODMAN.split_whitespace()) {
            assert!(is_ours(name) || option(name).is_some(), "{name}");
        }
        assert_eq!(option("--nobody-has-this"), None);
    }

    #[test]
    fn an_answer_is_for_an_option_of_theirs_that_is_not_ours() {
        let known: Vec<&str> = DOCKER.split_whitespace().chain(PODMAN.split_whitespace()).collect();
        for name in FIELDS.iter().chain(ADVICE).flat_map(|(names, _)| names.split_whitespace()) {
            assert!(!is_ours(name) && known.contains(&name), "{name}");
        }
    }
}
