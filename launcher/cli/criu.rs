//! `checkpoint` and `restore`. Names and options are runc's, and crun's where runc has none.
//!
//! Parses the options. `container` makes the requests to CRIU.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::Globals;
use super::create::CONFIG;
use super::run::status;
use super::table::{command, options};
use super::value::{Directory, Id, Number, Value, choice, expected};
use crate::container::{
    self, CgroupDriver, CgroupMode, Checkpoint, CriuOptions, LaunchOptions, NetworkChoice,
    NetworkLock, Restore, RunOptions, Source,
};
use crate::log;
use crate::{Error, Result};

choice! {
    /// What is done about cgroups.
    pub enum Cgroups {
        /// Values of those that are made.
        "soft" Soft,
        /// Values of all.
        "full" Full,
        /// Values of all, which must not be there.
        "strict" Strict,
        /// Nothing.
        "ignore" Ignore,
    }
}

choice! {
    /// How packets are kept away meanwhile.
    pub enum Lock {
        /// By a program.
        "iptables" Iptables,
        /// By CRIU itself.
        "nftables" Nftables,
        /// Not at all.
        "skip" Skip,
    }
}

choice! {
    /// A namespace that is left alone.
    pub enum Empty {
        /// With its interfaces and addresses.
        "network" Network,
    }
}

/// An address and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server(String, u16);

impl Value for Server {
    fn parse(word: &OsStr) -> Result<Self> {
        let text = word.to_string_lossy();
        let parts = text.rsplit_once(':').and_then(|(address, port)| {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            Some((address.to_owned(), port.parse().ok().filter(|port| *port != 0)?))
        });
        match parts.filter(|(address, _)| !address.is_empty()) {
            Some((address, port)) => Ok(Server(address, port)),
            None => Err(expected(word, "an address and a port, as 192.0.2.1:9999")),
        }
    }
}

options! {
    /// What both share.
    pub struct Common {
        /// The directory of the images; default: checkpoint.
        "--image-path DIRECTORY" image_path: Option<PathBuf>,
        /// The directory of CRIU's log; default: that of the images.
        "--work-path DIRECTORY" work_path: Option<PathBuf>,
        /// Keep established TCP connections.
        "--tcp-established" tcp_established: bool,
        /// Allow Unix sockets whose other end is outside the container.
        "--ext-unix-sk" ext_unix_sk: bool,
        /// Allow the session and the terminal of the caller.
        "--shell-job" shell_job: bool,
        /// Keep file locks.
        "--file-locks" file_locks: bool,
        /// Fetch memory on page faults, with userfaultfd(2).
        "--lazy-pages" lazy_pages: bool,
        /// Remove from the parent images the pages that this image has.
        "--auto-dedup" auto_dedup: bool,
        /// How to treat cgroups; default: that of CRIU, which is soft.
        "--manage-cgroups-mode soft|full|strict|ignore" cgroups: Option<Cgroups>,
        /// Leave the content of this namespace alone.
        "--empty-ns network" empty: Vec<Empty>,
        /// How to block packets meanwhile; default: that of CRIU, which is iptables.
        "--network-lock iptables|nftables|skip" network_lock: Option<Lock>,
    }
}

impl Common {
    fn options(&self) -> CriuOptions {
        CriuOptions {
            image_path: self.image_path.clone().unwrap_or_else(|| PathBuf::from("checkpoint")),
            work_path: self.work_path.clone(),
            tcp_established: self.tcp_established,
            ext_unix_sk: self.ext_unix_sk,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            lazy_pages: self.lazy_pages,
            auto_dedup: self.auto_dedup,
            empty_network: self.empty.contains(&Empty::Network),
            cgroups: self.cgroups.map(|mode| match mode {
                Cgroups::Soft => CgroupMode::Soft,
                Cgroups::Full => CgroupMode::Full,
                Cgroups::Strict => CgroupMode::Strict,
                Cgroups::Ignore => CgroupMode::Ignore,
            }),
            network_lock: self.network_lock.map(|lock| match lock {
                Lock::Iptables => NetworkLock::Iptables,
                Lock::Nftables => NetworkLock::Nftables,
                Lock::Skip => NetworkLock::Skip,
            }),
        }
    }
}

command! {
    /// Save a running container to a directory, with CRIU.
    ///
    /// All of its processes are saved and ended, and the container is deleted. "restore" resumes
    /// it, here or on another machine with the same bundle.
    pub struct CheckpointCommand = "checkpoint" {
        args {
            /// A running or paused container.
            "CONTAINER" id: Id,
        }
        options {
            /// Leave the container running.
            "--leave-running" leave_running: bool,
            /// Save only memory, so that a later checkpoint has less to save; the container goes
            /// on.
            "--pre-dump" pre_dump: bool,
            /// Save only what has changed since an earlier --pre-dump, whose images are here,
            /// relative to --image-path.
            "--parent-path PATH" parent_path: Option<PathBuf>,
            /// Send memory to a "criu page-server" instead.
            "--page-server ADDRESS:PORT" page_server: Option<Server>,
            /// Write a zero byte to this descriptor once "criu lazy-pages" can fetch memory; needs
            /// --lazy-pages.
            "--status-fd NUMBER" status_fd: Option<Number<3, 1_048_576>>,
            /// Leave out TCP connections that are not established yet.
            "--tcp-skip-in-flight" tcp_skip_in_flight: bool,
            /// Give open files that were removed a name again.
            "--link-remap" link_remap: bool,
        }
        include {
            "CRIU" common: Common,
        }
        examples {
            "checkpoint --image-path /var/tmp/web web": "save it, and end it",
            "checkpoint --leave-running --image-path /var/tmp/web web": "save it, but let it go on",
        }
        run = checkpoint;
    }
}

fn checkpoint(it: CheckpointCommand, globals: &Globals) -> Result<u8> {
    if it.pre_dump && it.leave_running {
        // CRIU does so without the option too.
        log::debug(|| "--pre-dump leaves the container running".to_owned());
    }
    if it.status_fd.is_some() && !it.common.lazy_pages {
        return Err(Error::new("checkpoint: --status-fd: nothing is told without --lazy-pages"));
    }
    let status = it.status_fd.map(|Number(number)| container::status_fd(number as i32));
    let options = Checkpoint {
        criu: it.common.options(),
        parent_path: it.parent_path,
        leave_running: it.leave_running,
        pre_dump: it.pre_dump,
        page_server: it.page_server.map(|Server(address, port)| (address, port)),
        status: status.transpose()?,
        tcp_skip_in_flight: it.tcp_skip_in_flight,
        link_remap: it.link_remap,
    };
    container::checkpoint(&globals.state_root()?, &it.id.0, options).map(|()| 0)
}

command! {
    /// Resume a container that "checkpoint" has saved.
    ///
    /// The container is made from its bundle, and its processes from the images. The command waits
    /// for its end, as "run" does.
    pub struct RestoreCommand = "restore" {
        args {
            /// Its name.
            "CONTAINER" id: Id,
        }
        options {
            /// Directory with config.json; default: the working directory.
            "-b, --bundle DIRECTORY" bundle: Option<Directory>,
            /// Do not wait; the container stays until it is deleted.
            "-d, --detach" detach: bool,
            /// Do not delete the container when its program has ended.
            "--keep" keep: bool,
            /// Write the pid of the container's program to this file.
            "--pid-file FILE" pid_file: Option<PathBuf>,
            /// Send the master of the container's terminal to this Unix socket.
            "--console-socket PATH" console_socket: Option<PathBuf>,
            /// Attach the container to a network, with this address or a free one.
            "--network NAME[:ADDRESS]" network: Option<String>,
            /// Do not adopt processes that the container leaves behind.
            "--no-subreaper" no_subreaper: bool,
            /// Accepted with a warning: CRIU enters the rootfs in its own way.
            "--no-pivot" no_pivot: bool,
            /// Close TCP connections.
            "--tcp-close" tcp_close: bool,
            /// Another profile or label: apparmor:NAME or selinux:LABEL.
            "--lsm-profile TYPE:NAME" lsm_profile: Option<String>,
            /// Another SELinux context for mounts.
            "--lsm-mount-context CONTEXT" lsm_mount_context: Option<String>,
        }
        include {
            "CRIU" common: Common,
        }
        examples {
            "restore --image-path /var/tmp/web --bundle /srv/web web": "go on from the checkpoint",
        }
        run = restore;
    }
}

fn restore(it: RestoreCommand, globals: &Globals) -> Result<u8> {
    if it.no_pivot {
        log::warning("--no-pivot means nothing to restore: CRIU enters the rootfs in its own way");
    }
    let cgroup_driver = globals.cgroups()?;
    if cgroup_driver == CgroupDriver::Disabled {
        let text = "--cgroup-manager disabled: criu restores into cgroups of the container's own";
        return Err(Error::new(text).hint("choose cgroupfs or systemd"));
    }
    let path = it.bundle.map_or_else(|| PathBuf::from("."), |Directory(path)| path);
    let source = Source::Bundle { path, config: CONFIG.to_owned() };
    let options = Restore {
        criu: it.common.options(),
        options: LaunchOptions {
            pid_file: it.pid_file,
            console_socket: it.console_socket,
            network: it.network.map(NetworkChoice::Attached),
            cgroup_driver,
            ..LaunchOptions::default()
        },
        run: RunOptions { detach: it.detach, keep: it.keep, no_subreaper: it.no_subreaper },
        tcp_close: it.tcp_close,
        lsm_profile: it.lsm_profile,
        lsm_mount_context: it.lsm_mount_context,
    };
    container::restore(&globals.state_root()?, &it.id.0, source, &options).map(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_servers() {
        let parse = |text: &str| Server::parse(OsStr::new(text));
        assert_eq!(parse("192.0.2.1:27"), Ok(Server("192.0.2.1".to_owned(), 27)));
        assert_eq!(parse("[::1]:9"), Ok(Server("::1".to_owned(), 9)));
        for wrong in ["", ":1", "host", "host:", "host:0", "host:65536"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
