//! Overlays: layers with unusual and long names, hints for overlays that cannot be made, and the
//! overlay through which `run` reads a root file system.

use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tiny_ce_test::{Bundle, Case, Done, Need};

/// Make layers below a directory of the test, on a tmpfs; each has one file, named after its
/// number.
fn layers(case: &Case, names: &[&str]) -> Vec<PathBuf> {
    let made = names.iter().enumerate().map(|(index, name)| {
        let path = case.dir().join("layers").join(name);
        fs::create_dir_all(&path).expect("a layer");
        fs::write(path.join(index.to_string()), "").expect("a file");
        path
    });
    made.collect()
}

/// Escape a path for a mount option.
fn escaped(path: &Path) -> String {
    let text = path.to_str().expect("UTF-8").replace('\\', "\\\\");
    text.replace(':', "\\:").replace(',', "\\,")
}

fn overlay(case: &Case, options: &[String]) -> Bundle {
    let mut bundle = case.bundle();
    let mount = json!({"destination": "/mnt", "type": "overlay", "source": "overlay",
        "options": options});
    bundle.push("/mounts", mount).probe("list /mnt then mounts");
    bundle
}

/// The names in the merged directory, which are numbers of layers.
fn merged(done: &Done) -> String {
    done.ok();
    let mut names = done.values("entry");
    names.sort_unstable();
    names.concat()
}

const ODD: [&str; 5] = ["plain", "a:b", "c,d", "e\\f", "g\\:h"];

#[test]
fn layers_may_have_odd_and_long_names() {
    let Some(case) = Case::root(&[Need::Linux(6, 13)]) else { return };
    let long = "long".repeat(30);
    let longer = format!("other/{long}/{long}/x");
    let names: Vec<&str> = ODD.into_iter().chain([long.as_str(), &longer]).collect();
    let paths: Vec<String> = layers(&case, &names).iter().map(|path| escaped(path)).collect();
    // The layers fit into one mount option (256 bytes), need several, or one path alone is too long
    // for one.
    for (count, expected) in [(2, "01"), (6, "012345"), (7, "0123456")] {
        let options = [format!("lowerdir={}", paths[..count].join(":"))];
        let found = merged(&case.run(&overlay(&case, &options)));
        assert_eq!(found.replace("long", ""), expected, "{options:?}");
    }
    let value: usize = paths[..6].iter().map(String::len).sum();
    assert!(value > 255, "{value}");
}

#[test]
fn layers_of_data_are_not_seen() {
    let Some(case) = Case::root(&[Need::Linux(6, 8)]) else { return };
    let long = "long".repeat(40);
    let paths = layers(&case, &["a", &long, "b", "c"]);
    let paths: Vec<String> = paths.iter().map(|path| escaped(path)).collect();
    for lower in [
        format!("{}::{}", paths[0], paths[2]),
        format!("{}:{}::{}::{}", paths[0], paths[1], paths[2], paths[3]),
    ] {
        let options = [format!("lowerdir={lower},metacopy=on,redirect_dir=on")];
        let done = case.run(&overlay(&case, &options));
        let seen = merged(&done);
        assert!(seen.starts_with('0') && !seen.contains('2') && !seen.contains('3'), "{done}");
    }
}

/// upperdir and workdir may have long paths too; several options may be in one string.
#[test]
fn written_directories_may_be_long() {
    let Some(case) = Case::root(&[Need::Linux(6, 13)]) else { return };
    let lower = layers(&case, &["lower"]).remove(0);
    let bottom = case.dir().join("up").join("deep".repeat(30)).join("deep".repeat(30)).join("x:y");
    for name in ["upper", "work"] {
        fs::create_dir_all(bottom.join(name)).expect("a directory");
    }
    let options = [format!(
        "lowerdir={},upperdir={},workdir={}",
        escaped(&lower),
        escaped(&bottom.join("upper")),
        escaped(&bottom.join("work"))
    )];
    let mut bundle = overlay(&case, &options);
    bundle.probe("write /mnt/new x");
    let done = case.run(&bundle);
    assert_eq!(done.value("write /mnt/new"), "ok", "{done}");
    assert!(bottom.join("upper/new").exists());
}

/// The kernel writes the reason only to its log, so the error has a hint.
#[test]
fn an_overlay_that_the_kernel_refuses_has_a_hint() {
    let Some(case) = Case::root(&[]) else { return };
    let lower = layers(&case, &["lower"]).remove(0);
    let upper = case.dir().join("upper");
    fs::create_dir(&upper).expect("a directory");
    let (lower, upper) = (escaped(&lower), escaped(&upper));
    for (options, hint) in [
        (format!("lowerdir={lower}"), "a single lowerdir and no upperdir"),
        (format!("lowerdir={lower},upperdir={upper}"), "an upperdir without a workdir"),
        (
            format!("lowerdir={lower},upperdir={upper},workdir={upper}"),
            "a workdir that is in upperdir, holds it",
        ),
        (
            format!("lowerdir={lower},upperdir={upper},workdir=/dev/shm"),
            "or is on another file system",
        ),
        (format!("lowerdir={lower},upperdir=/proc/sys,workdir=/proc/irq"), "that cannot have one"),
        (format!("lowerdir={lower}:{lower}"), "two directories of the overlay overlap"),
        (format!("lowerdir={lower}:/no/where"), "must exist"),
    ] {
        let done = case.run(&overlay(&case, &[options]));
        assert!(done.fails().contains("fsconfig(2)") && done.stderr.contains(hint), "{done}");
    }
}

/// The host's root is read through an overlay that is made in the state directory.
#[test]
fn a_state_directory_may_have_an_odd_name() {
    let Some(case) = Case::root(&[]) else { return };
    let probe = tiny_ce_test::probe();
    let probe = probe.to_str().expect("UTF-8");
    let long = "long".repeat(60);
    for name in ODD.into_iter().chain([long.as_str()]) {
        let state = case.dir().join("odd").join(name);
        let state = state.to_str().expect("UTF-8");
        for options in [&[][..], &["--read-only"]] {
            let id = case.id();
            let mut words = vec!["--root", state, "run"];
            words.extend(options);
            words.extend([id.as_str(), "--", probe, "write", "/etc/tiny-ce-made", "y"]);
            let done = case.tiny_ce(words);
            let expected = if options.is_empty() { "ok" } else { "EROFS" };
            assert_eq!(done.value("write /etc/tiny-ce-made"), expected, "{name}: {done}");
            assert!(!Path::new("/etc/tiny-ce-made").exists(), "{name}");
        }
    }
}
