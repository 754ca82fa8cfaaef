//! `create`, and the options that it shares with `run`.

use std::path::PathBuf;

use super::table::{command, options};
use super::value::{DescriptorCount, Directory, Id, Switch};
use super::{Globals, activation};
use crate::Result;
use crate::analysis::Recorder;
use crate::container::{self, LaunchOptions, NetworkChoice, Source};

options! {
    /// What `create` and `run` share.
    pub struct CreateOptions {
        /// Directory with config.json; default: the working directory.
        "-b, --bundle DIRECTORY" bundle: Option<Directory>,
        /// Name of the file in the bundle, or - for standard input; default: config.json.
        "-f, --config FILE" config: Option<String>,
        /// Write the pid of the container's program to this file.
        "--pid-file FILE" pid_file: Option<PathBuf>,
        /// Send the master of the container's terminal to this Unix socket.
        "--console-socket PATH" console_socket: Option<PathBuf>,
        /// Send a pidfd of the container's program to this Unix socket.
        "--pidfd-socket PATH" pidfd_socket: Option<PathBuf>,
        /// Pass on this many of the caller's descriptors, from 3 on; default: 0.
        "--preserve-fds NUMBER" preserve_fds: Option<DescriptorCount>,
        /// Attach the container to a network, with this address or a free one; none: a loopback
        /// interface alone, the default without a bundle; host: share the host's network; pasta,
        /// slirp4netns: the internet, through this program; ns:PATH: join the network namespace of
        /// a file.
        "--network NAME[:ADDRESS]|none|host|pasta|slirp4netns|ns:PATH" | "--net"
            network: Option<NetworkChoice>,
        /// Mount the root file system over / and chroot(2) into it instead of pivot_root(2); less
        /// safe.
        "--no-pivot" no_pivot: bool,
        /// Keep the caller's session keyring.
        "--no-new-keyring" no_new_keyring: bool,
        /// Keep tiny-ce's init as the first process, which passes signals on to the program and
        /// reaps orphans; =false: without it. Default: if there is no bundle.
        "--init" init: Switch,
    }
}

command! {
    /// Create a container; its program waits for "start".
    pub struct Create = "create" {
        args {
            /// Its name.
            "CONTAINER" id: Id,
        }
        include {
            "Options" create: CreateOptions,
        }
        examples {
            "create --bundle /srv/web web": "from /srv/web/config.json",
        }
        run = |it, globals: &Globals| {
            let (source, options) = (it.create.source(), it.create.options(globals)?);
            container::create(&globals.state_root()?, &it.id.0, source, &options).map(|()| 0)
        };
    }
}

impl CreateOptions {
    /// The bundle that is meant, which is the working directory if none is named.
    pub fn source(&self) -> Source {
        let named = self.bundle.as_ref().map(|Directory(path)| path.clone());
        Source::Bundle {
            path: named.unwrap_or_else(|| PathBuf::from(".")),
            config: self.config.clone().unwrap_or_else(|| CONFIG.to_owned()),
        }
    }

    /// What has nothing to do with the configuration.
    ///
    /// # Errors
    /// The two options for cgroups contradict each other, or LISTEN_FDS is malformed.
    pub fn options(&self, globals: &Globals) -> Result<LaunchOptions> {
        Ok(LaunchOptions {
            pid_file: self.pid_file.clone(),
            console_socket: self.console_socket.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            preserve_fds: self.preserve_fds.map_or(0, |it| it.0),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            rootless: globals.asked_rootless(),
            network: self.network.clone(),
            listen: activation::listen()?,
            notify_socket: activation::notify_socket(),
            cgroup_driver: globals.cgroups()?,
            init: self.init.0,
            recorder: Recorder::default(),
        })
    }
}

/// Usual name of the file in a bundle.
pub const CONFIG: &str = "config.json";
