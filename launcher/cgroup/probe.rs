//! The machine's cgroup hierarchies: their controllers, their mounts, and our own cgroup in each.
//!
//! Only reads: /proc/self/cgroup, the mounts at the usual places, and /proc/self/mountinfo if not
//! all hierarchies are there. Must not know what a container asks for.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use super::dir::read_path;
use crate::mountinfo::{Line, unescape};
use crate::sys::cgroupfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fs_type_of};
use crate::sys::statmount::{Mount, mount_of};
use crate::{Error, Result};

/// The place where every distribution mounts cgroups, cgroups(7).
const MOUNT_POINT: &str = "/sys/fs/cgroup";

/// Version of a hierarchy, cgroups(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Version {
    /// One hierarchy per set of controllers.
    #[serde(rename = "v1")]
    V1,
    /// The unified hierarchy.
    #[serde(rename = "v2")]
    V2,
}

impl Version {
    /// `f_type` of its file system, statfs(2).
    pub(super) fn magic(self) -> i64 {
        match self {
            Version::V1 => CGROUP_SUPER_MAGIC,
            Version::V2 => CGROUP2_SUPER_MAGIC,
        }
    }
}

/// The versions of all hierarchies together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No cgroupfs is mounted.
    None,
    /// v1 hierarchies only.
    V1,
    /// v1 hierarchies, and a v2 one with the other controllers, often without any.
    Hybrid,
    /// The v2 hierarchy only.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// v1 or v2.
    pub version: Version,
    /// v1: the controllers or the name that it was mounted with, such as `name=systemd`. v2: its
    /// cgroup.controllers.
    pub controllers: Vec<String>,
    /// Its mount point.
    pub mount: String,
    /// The cgroup of the hierarchy that is at the mount point, relative to our cgroup namespace.
    pub root: String,
    /// Our own cgroup, relative to our cgroup namespace.
    pub own: String,
}

impl Hierarchy {
    /// The path of our own cgroup below the mount point: `/` or `/a/b`. `/` also if our cgroup is
    /// not below it, since we were moved out of the root of our cgroup namespace.
    pub fn own_below_mount(&self) -> &str {
        self.below_mount(&self.own).unwrap_or("/")
    }

    /// The path below the mount point of a cgroup in /proc/PID/cgroup: `/` or `/a/b`; `None` if the
    /// mount does not show it.
    pub fn below_mount<'a>(&self, cgroup: &'a str) -> Option<&'a str> {
        if self.root == "/" {
            return (cgroup != "/.." && !cgroup.starts_with("/../")).then_some(cgroup);
        }
        match cgroup.strip_prefix(&self.root)? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }

    /// Its name in a message: `cpu,cpuacct`, `unified`.
    pub fn name(&self) -> String {
        match self.version {
            Version::V1 => self.controllers.join(","),
            Version::V2 => "unified".into(),
        }
    }
}

/// The hierarchies that are mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchies {
    /// v1 in the order of mounting, v2 last.
    pub all: Vec<Hierarchy>,
}

impl Hierarchies {
    /// The versions of all hierarchies together.
    pub fn mode(&self) -> Mode {
        let v1 = self.all.iter().any(|h| h.version == Version::V1);
        match (v1, self.v2().is_some()) {
            (false, false) => Mode::None,
            (true, false) => Mode::V1,
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::V2,
        }
    }

    /// The unified hierarchy.
    pub fn v2(&self) -> Option<&Hierarchy> {
        self.all.iter().find(|h| h.version == Version::V2)
    }

    /// The hierarchy with a controller. `io` is called `blkio` in v1.
    pub fn find(&self, controller: &str) -> Option<&Hierarchy> {
        let has = |h: &&Hierarchy| match (h.version, controller) {
            (Version::V1, "io") => h.controllers.iter().any(|c| c == "blkio"),
            _ => h.controllers.iter().any(|c| c == controller),
        };
        self.all.iter().find(has)
    }
}

/// Find the hierarchies of this machine. A machine without cgroupfs is not an error.
///
/// # Errors
/// /proc/self/cgroup, mountinfo or `cgroup.controllers` cannot be read, or statfs(2) of a mount
/// fails.
pub fn probe() -> Result<Hierarchies> {
    let own = match read_path(OWN) {
        // A kernel without CONFIG_CGROUPS.
        Err(e) if e.kind() == ErrorKind::NotFound && is_procfs() => {
            return Ok(Hierarchies::default());
        }
        own => own.map_err(|e| Error::io(OWN, "read", &e))?,
    };
    // The text of mountinfo grows with the machine's mounts, 3 µs for each.
    let quick = only_v2().or_else(|| at_usual_places(&own, |path| mount_of(path).ok()));
    let mut found = match quick {
        Some(found) => found,
        None => visible(mounted(&mountinfo()?))?,
    };
    place(&mut found, &own);
    for hierarchy in found.iter_mut().filter(|h| h.version == Version::V2) {
        let file = format!("{}/cgroup.controllers", hierarchy.mount);
        let list = read_path(&file).map_err(|e| Error::io(&file, "read", &e))?;
        hierarchy.controllers = list.split_whitespace().map(str::to_owned).collect();
    }
    Ok(Hierarchies { all: found })
}

/// The cgroups of this process.
const OWN: &str = "/proc/self/cgroup";

fn is_procfs() -> bool {
    fs_type_of("/proc").is_ok_and(|kind| kind == libc::PROC_SUPER_MAGIC)
}

/// The mounts that can be reached. Another mount may cover a directory above one, which the order
/// of mountinfo does not show. If statfs(2) fails for another reason, that is an error.
fn visible(mounts: Vec<Hierarchy>) -> Result<Vec<Hierarchy>> {
    let mut visible = Vec::with_capacity(mounts.len());
    for hierarchy in mounts {
        match fs_type_of(&hierarchy.mount) {
            Ok(found) if found == hierarchy.version.magic() => visible.push(hierarchy),
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
            Err(e) => return Err(Error::io(hierarchy.mount, "statfs", &e)),
        }
    }
    Ok(visible)
}

fn mountinfo() -> Result<String> {
    const FILE: &str = "/proc/self/mountinfo";
    read_path(FILE).map_err(|e| Error::io(FILE, "read", &e))
}

/// The hierarchy of the last mount at `mount`, without our own cgroup in it.
///
/// # Errors
/// /proc/self/mountinfo cannot be read.
pub(super) fn shown_at(mount: &str) -> Result<Option<Hierarchy>> {
    let mountinfo = mountinfo()?;
    let last = mountinfo.lines().rev().filter_map(mount_line).find(|h| h.mount == mount);
    Ok(last.map(|mut hierarchy| {
        // As in `only_v2`: relative to a nested cgroup namespace the root would be `/..`.
        if hierarchy.version == Version::V2 && is_root(mount) {
            "/".clone_into(&mut hierarchy.root);
        }
        hierarchy
    }))
}

/// Whether a mount point shows the root of a hierarchy, which has inode 1 in kernfs.
fn is_root(mount: &str) -> bool {
    std::fs::metadata(mount).is_ok_and(|metadata| metadata.ino() == 1)
}

/// The v2 hierarchy, if all of it is mounted at the usual place.
fn only_v2() -> Option<Vec<Hierarchy>> {
    if fs_type_of(MOUNT_POINT).ok()? != CGROUP2_SUPER_MAGIC {
        return None;
    }
    is_root(MOUNT_POINT).then(|| {
        vec![Hierarchy {
            version: Version::V2,
            controllers: Vec::new(),
            mount: MOUNT_POINT.into(),
            root: "/".into(),
            own: "/".into(),
        }]
    })
}

/// The hierarchies of a /proc/self/cgroup, if each is found by its first controller or its name
/// below the usual place, and v2 at `unified`. `look` tells which mount a path leads to.
fn at_usual_places(own: &str, look: impl Fn(&str) -> Option<Mount>) -> Option<Vec<Hierarchy>> {
    // The last line is that of v2, whose mount is missing most often, and before it that of the
    // hierarchy that was made first.
    let lines: Vec<(&str, &str)> = memberships(own).collect();
    let mut found = Vec::with_capacity(lines.len());
    for (controllers, _) in lines.into_iter().rev() {
        let first = controllers.split(',').next().unwrap_or_default();
        let (version, name) = match first.strip_prefix("name=").unwrap_or(first) {
            "" => (Version::V2, "unified"),
            name => (Version::V1, name),
        };
        let mount = look(&format!("{MOUNT_POINT}/{name}"))?;
        let hierarchy = Hierarchy {
            version,
            controllers: listed(&mount.options, version),
            mount: mount.place,
            root: mount.root,
            own: "/".into(),
        };
        let same = version == Version::V2 || hierarchy.controllers.iter().any(|c| c == first);
        if mount.magic != version.magic() || !same || !usual(&hierarchy) {
            return None;
        }
        found.push(hierarchy);
    }
    found.sort_by_key(|h| h.version == Version::V2);
    (!found.is_empty()).then_some(found)
}

/// The cgroup mounts in a mountinfo, proc_pid_mountinfo(5), one per hierarchy.
fn mounted(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some(hierarchy) = mount_line(line) else { continue };
        // A later mount at the same place hides the earlier one.
        found.retain(|h| h.mount != hierarchy.mount);
        let same = |h: &Hierarchy| match (h.version, hierarchy.version) {
            (Version::V1, Version::V1) => h.controllers == hierarchy.controllers,
            (a, b) => a == b,
        };
        match found.iter_mut().find(|h| same(h)) {
            // The hierarchy is mounted twice: prefer the usual place to a bind mount elsewhere.
            Some(first) if usual(&hierarchy) && !usual(first) => *first = hierarchy,
            Some(_) => {}
            None => found.push(hierarchy),
        }
    }
    found.sort_by_key(|h| h.version == Version::V2);
    found
}

fn usual(hierarchy: &Hierarchy) -> bool {
    let rest = hierarchy.mount.strip_prefix(MOUNT_POINT);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Parse `36 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`.
fn mount_line(line: &str) -> Option<Hierarchy> {
    let line = Line::read(line)?;
    let version = match line.kind {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let controllers = listed(line.options, version);
    let (mount, root) = (unescape(line.place)?, unescape(line.root)?);
    Some(Hierarchy { version, controllers, mount, root, own: "/".into() })
}

/// The controllers in the super block options of a mount; v2 has them in a file instead.
fn listed(options: &str, version: Version) -> Vec<String> {
    let options = if version == Version::V1 { options } else { "" };
    let controllers = options.split(',').filter(|o| !o.is_empty() && is_controller(o));
    controllers.map(str::to_owned).collect()
}

/// Whether a super block option of a v1 mount is a controller or a name, cgroups(7).
fn is_controller(option: &str) -> bool {
    let flag = matches!(
        option,
        "rw" | "ro" | "noprefix" | "clone_children" | "xattr" | "cpuset_v2_mode" | "favordynmods"
    );
    !flag && !option.starts_with("release_agent=")
}

/// Fill in our own cgroup from a /proc/PID/cgroup: `4:memory:/a/b`, `0::/a`.
fn place(found: &mut [Hierarchy], own: &str) {
    for (controllers, path) in memberships(own) {
        // The first controller identifies the hierarchy; the kernel may list them in another order.
        let first = controllers.split(',').next().unwrap_or_default();
        let here = found.iter_mut().find(|h| match h.version {
            Version::V1 => h.controllers.iter().any(|c| c == first),
            Version::V2 => controllers.is_empty(),
        });
        if let Some(hierarchy) = here {
            path.clone_into(&mut hierarchy.own);
        }
    }
}

/// The controllers and the path in each line of a /proc/PID/cgroup.
pub(super) fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    })
}

#[cfg(test)]
pub(super) mod data {
    //! Made-up machines for tests.

    use super::*;

    /// A v1 machine with systemd, co-mounted controllers and a v2 mount without controllers.
    pub const HYBRID_MOUNTS: &str = "\
25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw
31 25 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
37 31 0:34 / /sys/fs/cgroup/cpu,cpuacct rw shared:16 - cgroup cgroup rw,cpu,cpuacct
38 31 0:35 / /sys/fs/cgroup/memory rw shared:17 - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/blkio rw shared:18 - cgroup cgroup rw,blkio
40 31 0:37 / /sys/fs/cgroup/cpuset rw shared:19 - cgroup cgroup rw,cpuset,cpuset_v2_mode
41 31 0:38 / /sys/fs/cgroup/pids rw shared:20 - cgroup cgroup rw,pids
42 31 0:39 / /sys/fs/cgroup/hugetlb rw shared:21 - cgroup cgroup rw,hugetlb
43 31 0:40 / /sys/fs/cgroup/devices rw shared:22 - cgroup cgroup rw,devices
44 31 0:41 / /sys/fs/cgroup/freezer rw shared:23 - cgroup cgroup rw,freezer
45 31 0:42 / /sys/fs/cgroup/net_cls,net_prio rw shared:24 - cgroup cgroup rw,net_cls,net_prio
46 31 0:43 / /sys/fs/cgroup/rdma rw shared:25 - cgroup cgroup rw,rdma
50 30 0:34 / /srv/jail/cpu rw - cgroup cgroup rw,cpu,cpuacct
";

    pub const HYBRID_OWN: &str = "\
12:cpuacct,cpu:/user.slice
9:memory:/user.slice/session-1.scope
1:name=systemd:/user.slice/user-0.slice/session-1.scope
0::/user.slice/user-0.slice/session-1.scope
";

    pub fn hybrid() -> Hierarchies {
        let mut found = mounted(HYBRID_MOUNTS);
        place(&mut found, HYBRID_OWN);
        Hierarchies { all: found }
    }

    /// A v2 machine on which our own cgroup is `own`.
    pub fn v2(own: &str) -> Hierarchies {
        let controllers = "cpuset cpu io memory hugetlb pids rdma misc";
        Hierarchies {
            all: vec![Hierarchy {
                version: Version::V2,
                controllers: controllers.split(' ').map(str::to_owned).collect(),
                mount: MOUNT_POINT.into(),
                root: "/".into(),
                own: own.into(),
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::data::*;
    use super::*;

    #[test]
    fn hybrid_machine() {
        let h = hybrid();
        assert_eq!(h.mode(), Mode::Hybrid);
        assert_eq!(h.all.len(), 12);
        let cpu = h.find("cpu").expect("cpu");
        assert_eq!(cpu.mount, "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(cpu.own_below_mount(), "/user.slice");
        assert_eq!(h.find("io").expect("blkio").mount, "/sys/fs/cgroup/blkio");
        assert_eq!(h.find("cpuset").expect("cpuset").controllers, ["cpuset"]);
        assert_eq!(h.find("name=systemd").expect("systemd").mount, "/sys/fs/cgroup/systemd");
        assert_eq!(h.find("perf_event"), None);
        let v2 = h.v2().expect("v2");
        assert_eq!(v2.own, "/user.slice/user-0.slice/session-1.scope");
        assert_eq!(h.all.last(), Some(v2));
    }

    #[test]
    fn pure_v2_and_none() {
        let mut found = mounted("30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
        place(&mut found, "0::/system.slice/x.service\n");
        let h = Hierarchies { all: found };
        assert_eq!(h.mode(), Mode::V2);
        assert_eq!(h.v2().expect("v2").own_below_mount(), "/system.slice/x.service");
        assert_eq!(
            Hierarchies { all: mounted("1 1 0:1 / / rw - ext4 /dev/a rw") }.mode(),
            Mode::None
        );
    }

    #[test]
    fn inside_a_container_the_mount_is_our_own_cgroup() {
        let line = "9 8 0:35 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let mut found = mounted(line);
        place(&mut found, "4:memory:/docker/1/sub\n");
        assert_eq!(found[0].own_below_mount(), "/sub");
        place(&mut found, "4:memory:/docker/1\n");
        assert_eq!(found[0].own_below_mount(), "/");
        place(&mut found, "4:memory:/docker/12\n");
        assert_eq!(found[0].own_below_mount(), "/");
        assert_eq!(found[0].below_mount("/docker/1/sub"), Some("/sub"));
        assert_eq!(found[0].below_mount("/docker/12"), None);
    }

    /// Another process may be in a cgroup that our mounts do not show.
    #[test]
    fn a_cgroup_that_the_mount_does_not_show_has_no_path_below_it() {
        let h = v2("/");
        let shown = |cgroup| h.all[0].below_mount(cgroup);
        assert_eq!(
            (shown("/"), shown("/..a"), shown("/a/b")),
            (Some("/"), Some("/..a"), Some("/a/b"))
        );
        assert_eq!((shown("/.."), shown("/../a"), shown("/../../a")), (None, None, None));
    }

    #[test]
    fn a_later_mount_hides_an_earlier_one() {
        let text = "9 8 0:35 / /sys/fs/cgroup rw - cgroup cgroup rw,memory\n\
                    10 8 0:36 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Hierarchies { all: mounted(text) }.mode(), Mode::V2);
    }

    /// Both ways say the same of a machine.
    #[test]
    fn hierarchies_at_usual_places_are_those_of_mountinfo() {
        let all = mounted(HYBRID_MOUNTS);
        let look = |path: &str| {
            let name = path.strip_prefix("/sys/fs/cgroup/").expect("the usual place");
            // A symbolic link leads from `cpu` to `cpu,cpuacct`.
            let h = all.iter().find(|h| {
                h.mount == path || h.mount.contains(',') && h.controllers.iter().any(|c| c == name)
            })?;
            Some(Mount {
                magic: h.version.magic(),
                root: h.root.clone(),
                place: h.mount.clone(),
                options: h.controllers.join(","),
            })
        };
        let whole = "13:rdma:/\n12:net_cls,net_prio:/\n11:freezer:/\n10:devices:/\n9:hugetlb:/\n\
                     8:pids:/\n7:cpuset:/\n6:blkio:/\n5:memory:/\n4:cpuacct,cpu:/\n\
                     1:name=systemd:/\n0::/\n";
        assert_eq!(at_usual_places(whole, look).as_deref(), Some(&all[..]));
        // One is elsewhere, at its place is another, nothing is mounted.
        assert_eq!(at_usual_places("9:perf_event:/\n0::/\n", look), None);
        let elsewhere = |path: &str| look(path).map(|it| Mount { place: "/x".into(), ..it });
        let other = |path: &str| look(path).map(|it| Mount { magic: 1, ..it });
        let others = |path: &str| look(path).map(|it| Mount { options: "pids".into(), ..it });
        assert_eq!(at_usual_places(whole, elsewhere), None);
        assert_eq!(at_usual_places(whole, other), None);
        assert_eq!(at_usual_places(whole, others), None);
        assert_eq!(at_usual_places("", look), None);
    }

    #[test]
    fn this_machine() {
        let h = probe().expect("probe");
        let look = |path: &str| mount_of(path).ok();
        let quick = at_usual_places(&read_path(OWN).expect(OWN), look);
        let all = visible(mounted(&mountinfo().expect("mounts"))).expect("statfs");
        let at = |h: &Hierarchy| look(&h.mount).is_some_and(|it| !it.options.is_empty());
        if h.mode() == Mode::Hybrid && at(&all[0]) && all.iter().all(usual) {
            assert_eq!(quick, Some(all));
        }
        for hierarchy in &h.all {
            assert!(hierarchy.mount.starts_with('/'));
            assert!(hierarchy.own.starts_with('/'));
        }
    }

    #[test]
    fn no_mountinfo_causes_a_panic() {
        tiny_ce_test::fuzz("mountinfo", &["test/fuzz/mountinfo"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            place(&mut mounted(&text), "0::/a\n1:cpu:/b\n");
        });
    }

    #[test]
    fn no_membership_causes_a_panic() {
        tiny_ce_test::fuzz("membership", &["test/fuzz/membership"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            place(&mut hybrid().all, &text);
        });
    }
}
