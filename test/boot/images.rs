//! `tiny-ce initramfs`: what is in an image, that the same files make the same bytes, and what is
//! refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use tiny_ce_test::{Case, Done, Need, met, probe};

use super::{modules, optimised, small, small_tiny_ce, text};

/// A user id that is not in the machine's /etc/passwd, and a range of ids for that user.
const CALLER: u32 = 54321;
const RANGE: u32 = 200_000;

/// A root file system with a file of each kind that needs no root to be made, with hard links and
/// modes, all of one owner but for one file of another.
fn odd_root(case: &Case, owner: u32, other: u32) -> std::path::PathBuf {
    let root = case.dir().join("odd");
    fs::create_dir_all(root.join("a/b")).expect("directories");
    let write = |name: &str, bytes: &[u8], mode: u32| {
        fs::write(root.join(name), bytes).expect(name);
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).expect(name);
    };
    write("program", b"#!/bin/sh\n", 0o4755);
    write("a/secret", b"x", 0o600);
    write("a.b", b"", 0o644);
    write("of-other", b"other\n", 0o640);
    fs::hard_link(root.join("a/secret"), root.join("a/b/twin")).expect("a link");
    fs::hard_link(root.join("a/secret"), root.join("z-twin")).expect("a link");
    symlink("../outside of all", root.join("link")).expect("a link");
    assert!(case.program(["mkfifo", text(&root.join("fifo"))]).status.success());
    // A hole of a MiB.
    let sparse = fs::File::create(root.join("sparse")).expect("a file");
    sparse.set_len(1 << 20).expect("a hole");
    fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o1777)).expect("chmod");
    for name in ["", "a", "a/b", "program", "a/secret", "a.b", "link", "fifo", "sparse", "of-other"]
    {
        let id = if name == "of-other" { other } else { owner };
        std::os::unix::fs::lchown(root.join(name), Some(id), Some(id)).expect("chown");
    }
    // chown(2) clears the set-user-ID bit.
    let mode = fs::Permissions::from_mode(0o4755);
    fs::set_permissions(root.join("program"), mode).expect("chmod");
    root
}

/// Make the image as the caller.
fn as_caller(case: &Case, words: &[&str]) -> Done {
    let become_caller = format!("groups then setgid {CALLER} then setuid {CALLER} then exec");
    let mut line = vec![text(probe()).to_owned()];
    line.extend(become_caller.split(' ').map(str::to_owned));
    line.push(text(small()).to_owned());
    line.extend(words.iter().map(|word| (*word).to_owned()));
    case.program(line)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("an image")
}

#[test]
fn the_same_files_make_the_same_bytes_whoever_and_wherever() {
    let Some(case) = Case::root(&[Need::Program("cpio"), Need::Program("strip")]) else { return };
    let root = odd_root(&case, 0, 33);
    let own = ["--compress", "none", "--rootfs", text(&root), "--", "/program", "word"];
    small_tiny_ce(&case, [&["initramfs", "-o", "first"][..], &own].concat()).ok();
    let first = read(&case.dir().join("first"));
    // The same files in another directory, made in another order, with another time.
    let moved = case.dir().join("moved");
    let copy = case.program(["cp", "-r", "--preserve=mode,links", text(&root), text(&moved)]);
    copy.ok();
    let fifo = fs::symlink_metadata(moved.join("fifo")).expect("the FIFO");
    assert!(!fifo.is_file(), "cp has copied the FIFO");
    chown(moved.join("of-other"), Some(CALLER - 1), Some(CALLER - 1)).expect("chown");
    // As a user, to whom a range of ids belongs.
    let owned = case.program(["chown", "-hR", &CALLER.to_string(), text(&moved)]);
    owned.ok();
    case.program(["chgrp", "-hR", &CALLER.to_string(), text(&moved)]).ok();
    let other = Some(RANGE + 32);
    chown(moved.join("of-other"), other, other).expect("chown");
    fs::set_permissions(moved.join("of-other"), fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::set_permissions(root.join("of-other"), fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::set_permissions(moved.join("program"), fs::Permissions::from_mode(0o4755)).expect("chmod");
    small_tiny_ce(&case, [&["initramfs", "-o", "second"][..], &own].concat()).ok();
    fs::set_permissions(case.dir(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let (one, many) = (format!("0:{CALLER}:1"), format!("1:{RANGE}:65536"));
    let words = ["initramfs", "-o", "third", "--uid-map", &one, "--uid-map", &many];
    let groups = ["--gid-map", &one, "--gid-map", &many, "--compress", "none"];
    let what = ["--rootfs", text(&moved), "--", "/program", "word"];
    as_caller(&case, &[&words[..], &groups, &what].concat()).ok();
    let (second, third) = (read(&case.dir().join("second")), read(&case.dir().join("third")));
    assert!(second != first, "a mode has changed");
    assert!(second == third, "root's image and the user's differ");
    // Compressed it is the same archive, and the same bytes each time.
    for (name, program) in [("gzip", "gzip"), ("zstd", "zstd")] {
        let words = ["initramfs", "-o", name, "--rootfs", text(&root), "--compress", name];
        let words = [&words[..], &["--", "/program", "word"]].concat();
        small_tiny_ce(&case, &words).ok();
        let bytes = read(&case.dir().join(name));
        small_tiny_ce(&case, &words).ok();
        assert!(read(&case.dir().join(name)) == bytes, "{name}");
        if met(&[Need::Program(if name == "gzip" { "gzip" } else { "zstd" })]) {
            let script = format!("{program} -dc < {name} | cmp - second");
            case.program(["sh", "-c", &script]).ok();
        }
    }
}

#[test]
fn a_listing_of_an_image() {
    if !met(&[Need::Program("strip"), Need::Program("cpio")]) {
        return;
    }
    let Some(case) = Case::root(&[]) else { return };
    let root = odd_root(&case, 0, 33);
    case.program(["mknod", text(&root.join("null")), "c", "1", "3"]).ok();
    let words = ["initramfs", "-o", "-", "--compress", "none", "--name", "odd", "--rootfs"];
    let words = [&words[..], &[text(&root), "--", "/program"]].concat();
    let script = format!("{} {} > image", text(small()), words.join(" "));
    let time = case.program(["sh", "-c", &format!("SOURCE_DATE_EPOCH=86400 {script}")]);
    time.ok();
    let listed = case.program(["sh", "-c", "TZ=UTC cpio -itv --numeric-uid-gid < image"]);
    let mut lines: Vec<String> = Vec::new();
    for line in listed.ok().lines() {
        // The sizes of these depend on the build.
        let own = line.ends_with(" init") || line.ends_with("config.json");
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_device = words[0].starts_with('c');
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if own && !is_device {
            words[4] = "*".to_owned();
        }
        lines.push(words.join(" "));
    }
    let wanted = "\
drwxr-xr-x 2 0 0 0 Jan 2 1970 bin
lrwxrwxrwx 1 0 0 5 Jan 2 1970 bin/tiny-ce -> /init
drwxr-xr-x 2 0 0 0 Jan 2 1970 bundles
drwxr-xr-x 2 0 0 0 Jan 2 1970 bundles/odd
-rw-r--r-- 1 0 0 * Jan 2 1970 bundles/odd/config.json
drwxr-xr-x 2 0 0 0 Jan 2 1970 bundles/odd/rootfs
drwxr-xr-x 2 0 0 0 Jan 2 1970 bundles/odd/rootfs/a
-rw-r--r-- 1 0 0 0 Jan 2 1970 bundles/odd/rootfs/a.b
drwxrwxrwt 2 0 0 0 Jan 2 1970 bundles/odd/rootfs/a/b
-rw------- 3 0 0 0 Jan 2 1970 bundles/odd/rootfs/a/b/twin
-rw------- 3 0 0 0 Jan 2 1970 bundles/odd/rootfs/a/secret
prw-r--r-- 1 0 0 0 Jan 2 1970 bundles/odd/rootfs/fifo
lrwxrwxrwx 1 0 0 17 Jan 2 1970 bundles/odd/rootfs/link -> ../outside of all
crw-r--r-- 1 0 0 1, 3 Jan 2 1970 bundles/odd/rootfs/null
-rw-r----- 1 33 33 6 Jan 2 1970 bundles/odd/rootfs/of-other
-rwsr-xr-x 1 0 0 10 Jan 2 1970 bundles/odd/rootfs/program
-rw-r--r-- 1 0 0 1048576 Jan 2 1970 bundles/odd/rootfs/sparse
-rw------- 3 0 0 1 Jan 2 1970 bundles/odd/rootfs/z-twin
drwxr-xr-x 2 0 0 0 Jan 2 1970 dev
crw------- 1 0 0 5, 1 Jan 2 1970 dev/console
drwxr-xr-x 2 0 0 0 Jan 2 1970 etc
drwxr-xr-x 2 0 0 0 Jan 2 1970 etc/tiny-ce
-rw-r--r-- 1 0 0 108 Jan 2 1970 etc/tiny-ce/machine.json
-rwxr-xr-x 1 0 0 * Jan 2 1970 init
drwxr-xr-x 2 0 0 0 Jan 2 1970 proc
drwxr-xr-x 2 0 0 0 Jan 2 1970 run
drwxr-xr-x 2 0 0 0 Jan 2 1970 sys
drwxrwxrwt 2 0 0 0 Jan 2 1970 tmp";
    assert_eq!(lines.join("\n"), wanted, "{listed}");
    unpacks_to_what_went_in(&case, &root);
}

/// What GNU cpio unpacks of the file `image` is the tree that it was made from.
fn unpacks_to_what_went_in(case: &Case, root: &Path) {
    // diff(1) compares neither of these.
    for name in ["fifo", "null"] {
        fs::remove_file(root.join(name)).expect(name);
    }
    let script = "mkdir unpacked && cd unpacked && cpio --quiet -id < ../image && \
                  rm bundles/odd/rootfs/fifo bundles/odd/rootfs/null && \
                  diff -r --no-dereference bundles/odd/rootfs ../odd && \
                  [ bundles/odd/rootfs/z-twin -ef bundles/odd/rootfs/a/b/twin ]";
    case.program(["bash", "-c", script]).ok();
}

#[test]
fn what_has_no_place_in_an_image_is_refused() {
    if !met(&[Need::Program("strip")]) {
        return;
    }
    let Some(case) = Case::root(&[]) else { return };
    let root = case.dir().join("root");
    fs::create_dir(&root).expect("a directory");
    let large = root.join("large");
    fs::File::create(&large).and_then(|file| file.set_len(1 << 32)).expect("a sparse file");
    let of = |words: &[&str]| {
        let done = small_tiny_ce(&case, [&["initramfs"], words].concat());
        done.ends(1);
        assert!(!case.dir().join("image").exists(), "a failure has left an image");
        done.stderr
    };
    let rootfs = text(&root);
    let own = ["--rootfs", rootfs, "-o", "image"];
    let error = of(&own);
    let wanted = format!("tiny-ce: {}: 4294967296 bytes; a file of an initramfs", text(&large));
    assert!(error.starts_with(&wanted), "{error}");
    fs::remove_file(&large).expect("removed");
    let mapped = of(&[&own[..], &["--uid-map", "0:5:1"]].concat());
    assert!(mapped.contains("root: user 0 owns it, and is in no range of --uid-map"), "{mapped}");
    let error = of(&["--rootfs", rootfs]);
    assert!(error.contains("initramfs: --output is missing"), "{error}");
    let error = of(&["-o", "image"]);
    assert!(error.contains("nothing to run: give a BUNDLE, --rootfs or --machine"), "{error}");
    let error = of(&[&own[..], &["--module", "x"]].concat());
    assert!(error.contains("--modules is missing"), "{error}");
    let error = of(&["--rootfs", rootfs, "-o", "/dev/full"]);
    assert!(error.contains("/dev/full: write(2): ENOSPC"), "{error}");
    let error = of(&[&own[..], &["--env", "A=1", "--machine", "m"]].concat());
    assert!(error.contains("are three ways; give one"), "{error}");
}

/// On a terminal long work says how far it is, within a large file too, and leaves nothing behind.
#[test]
fn long_work_shows_how_far_it_is() {
    if !met(&[Need::Program("script"), Need::Program("strip")]) {
        return;
    }
    let case = Case::new();
    let root = case.dir().join("root");
    fs::create_dir(&root).expect("a directory");
    let large = fs::File::create(root.join("large")).expect("a file");
    large.set_len(100 << 20).expect("a hole");
    // Who reads the image rests in the middle of that file.
    let words = ["initramfs", "-o", "-", "--compress", "none", "--rootfs", text(&root), "--", "/x"];
    let line = format!(
        "{} {} | (head -c 60M > /dev/null; sleep 1; cat > /dev/null)",
        text(small()),
        words.join(" ")
    );
    let script = ["script", "--quiet", "--return", "--command", &line, "/dev/null"];
    let done = case.program(script);
    let shown: Vec<&str> = done.ok().split('\r').collect();
    let packed = |text: &&&str| text.contains(" files packed, ");
    let Some(text) = shown.iter().find(packed) else { panic!("nothing is shown: {done}") };
    let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [packed, all, mib] = numbers[..] else { panic!("{text:?}") };
    assert!(packed < all && mib < 100, "{text:?}");
    assert_eq!(shown.last().map(|it| it.trim()), Some(""), "{shown:?}");
}

/// With the program that is shipped, in bytes.
#[test]
fn the_image_of_a_small_program_is_small() {
    let Some(optimised) = optimised() else { return };
    let case = Case::new();
    let root = case.dir().join("root");
    fs::create_dir(&root).expect("a directory");
    fs::copy(probe(), root.join("hello")).expect("the probe");
    let words = ["initramfs", "-o", "image", "--tiny-ce", text(&optimised), "--rootfs"];
    small_tiny_ce(&case, [&words[..], &[text(&root), "--", "/hello", "say", "hello"]].concat())
        .ok();
    let bytes = fs::metadata(case.dir().join("image")).expect("an image").len();
    println!("{bytes} bytes");
    assert!(bytes <= 3_000_000, "{bytes} bytes");
}

/// The modules that are asked for come with what they need, in the order in which they are loaded.
#[test]
fn modules_come_with_what_they_need() {
    let Some(_) = super::kernel("trixie") else { return };
    let case = Case::new();
    let root = case.dir().join("root");
    fs::create_dir(&root).expect("a directory");
    let directory = modules("trixie");
    let words = ["initramfs", "-o", "image", "--compress", "none", "--rootfs", text(&root)];
    let wanted = ["--modules", text(&directory), "--module", "nft-compat", "--module", "ext4"];
    small_tiny_ce(&case, [&words[..], &wanted, &["--", "/x"]].concat()).ok();
    let script = "cpio --quiet -i --to-stdout etc/tiny-ce/machine.json < image";
    let json = case.program(["sh", "-c", script]);
    let json: serde_json::Value = serde_json::from_str(json.ok()).expect("JSON");
    let files: Vec<&str> =
        json["modules"].as_array().expect("modules").iter().filter_map(|it| it.as_str()).collect();
    // modprobe(8) has the same order. The image has the files decompressed.
    let show = "modprobe --show-depends --set-version $(basename DIR) --dirname DIR/../../.. \
                nft-compat | sed -n 's/^insmod //p'";
    let show = case.program(["sh", "-c", &show.replace("DIR", text(&directory))]);
    let names = |path: &str| {
        let name = path.trim().rsplit('/').next()?;
        Some(name.trim_end_matches(".xz").to_owned())
    };
    let theirs: Vec<_> = show.ok().lines().filter_map(names).collect();
    let ours: Vec<_> = files.iter().filter_map(|path| names(path)).collect();
    assert!(!ours.is_empty() && files.iter().all(|it| it.starts_with("/lib/modules/6.12")));
    assert_eq!(ours, theirs, "{show}");
}
