//! The words with which each program is called.
//!
//! Pure but for the caller's ids. Neither program may let the container reach services on the
//! host's 127.0.0.1, nor the host those of the container.

use super::Usernet;
use crate::compile::usernet::Descriptor;
use crate::sys::user;

/// How to call a program.
pub struct Call {
    /// Its arguments.
    pub args: Vec<String>,
    /// Its descriptors from 0 on.
    pub given: &'static [Descriptor],
}

/// Return how to call the program for the container whose init is `pid`. With `users` the program
/// joins the container's user namespace, in which it has the privileges that it needs.
pub fn of(usernet: Usernet, pid: i32, users: bool) -> Call {
    match usernet {
        Usernet::Pasta => pasta(pid, users),
        Usernet::Slirp4netns => slirp4netns(pid, users),
    }
}

/// The options exist since 2022. pasta closes all descriptors but 0, 1 and 2, so these have to do.
fn pasta(pid: i32, users: bool) -> Call {
    const GIVEN: &[Descriptor] = &[Descriptor::Namespace, Descriptor::Ready, Descriptor::Messages];
    // Without --no-map-gw the gateway's address would be the host's 127.0.0.1. The four options
    // after it would forward ports of either side to the other; their defaults do.
    let mut args = words(
        "--foreground --quiet --config-net --no-map-gw -t none -u none -T none -U none \
         --pid /proc/self/fd/1",
    );
    let resolver = Usernet::Pasta.resolver().to_string();
    args.extend(["--dns-forward".to_owned(), resolver]);
    if users {
        args.extend(["--userns".to_owned(), format!("/proc/{pid}/ns/user")]);
    } else if user::effective_uid() == 0 && !user::in_user_namespace() {
        // Root's pasta becomes nobody by default, who may not enter root's namespaces. It drops all
        // capabilities but two, and its file system, all the same.
        args.extend(words("--runas 0"));
    }
    // The namespace by descriptor: by pid, root's pasta, which has few capabilities by then, may
    // not open it (ptrace(2)).
    args.extend(words("--netns /proc/self/fd/0"));
    Call { args, given: GIVEN }
}

/// The options exist since version 0.4 (2019).
fn slirp4netns(pid: i32, users: bool) -> Call {
    const GIVEN: &[Descriptor] = &[
        Descriptor::Namespace,
        Descriptor::Messages,
        Descriptor::Messages,
        Descriptor::Ready,
        Descriptor::Exit,
    ];
    let mut args = words(
        "--configure --mtu=65520 --disable-host-loopback --enable-sandbox --enable-seccomp \
         --ready-fd=3 --exit-fd=4",
    );
    match users {
        // Only by pid does its sandbox join the user namespace.
        true => args.push(pid.to_string()),
        false => args.extend(words("--netns-type=path /proc/self/fd/0")),
    }
    args.push("tap0".to_owned());
    Call { args, given: GIVEN }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_loopback_is_out_of_reach() {
        for users in [false, true] {
            let pasta = of(Usernet::Pasta, 7, users).args;
            assert!(pasta.contains(&"--no-map-gw".to_owned()), "{pasta:?}");
            for side in ["-t", "-u", "-T", "-U"] {
                let at = pasta.iter().position(|word| word == side).expect(side);
                assert_eq!(pasta[at + 1], "none", "{side}");
            }
            let slirp = of(Usernet::Slirp4netns, 7, users).args;
            assert!(slirp.contains(&"--disable-host-loopback".to_owned()), "{slirp:?}");
        }
    }
}
