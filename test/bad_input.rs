//! Bad config.json → the exact message, from golden files; and random input.
//!
//! `test/bad-input/NAME.json` is refused with the text of `NAME.txt` beside it, or accepted with
//! the warnings there. `BLESS=1 cargo test --test bad_input` writes the texts again, for a review.
//! Calls the library: it needs no root, and makes no system call except to read the files.

use std::path::{Path, PathBuf};

use tiny_ce::spec::{self, Allow, IdMapping, Spec, check, json, load};
use tiny_ce_test::{Dice, Need, Peer, command, met, tree};

/// The messages that a user reads about one file.
fn verdict(bundle: &Path, file: &str, allow: Allow) -> String {
    let (spec, bytes) = match spec::load(bundle, file) {
        Ok(loaded) => loaded,
        Err(error) => return format!("{error}\n"),
    };
    let found = spec::check(&spec, allow);
    let mut text: String =
        found.warnings.iter().map(|w| format!("warning: {}\n", load::line(w))).collect();
    if !found.violations.is_empty() {
        let error = load::refuse(&bundle.join(file), &bytes, found.violations);
        text.push_str(&format!("{error}\n"));
    }
    text
}

/// The golden inputs, by the path from the top of the tree.
fn inputs() -> Vec<String> {
    let entries = std::fs::read_dir(tree().join("test/bad-input")).expect("test/bad-input");
    let names = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    names
}

#[test]
fn messages_are_golden() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for name in inputs() {
        // cargo runs tests at the top of the tree.
        let found = verdict(Path::new("test/bad-input"), &name, Allow::default());
        let golden = tree().join("test/bad-input").join(name.replace(".json", ".txt"));
        if bless {
            std::fs::write(&golden, &found).expect("a golden file");
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if found != wanted {
            wrong.push(format!("{name}: wanted\n{wanted}found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rules for every message, which a reader of golden files would overlook.
#[test]
fn messages_keep_the_rules() {
    for name in inputs() {
        let text = verdict(Path::new("test/bad-input"), &name, Allow::default());
        assert!(!text.is_empty(), "{name}: let through in silence");
        for line in text.lines() {
            assert!(!line.ends_with('.') && !line.ends_with('!'), "{name}: a full stop: {line}");
            assert!(!line.contains("failed to"), "{name}: {line}");
            assert!(!line.contains("Option<") && !line.contains("::"), "{name}: {line}");
            assert!(!line.chars().any(char::is_control), "{name}: {line:?}");
            assert!(line.len() < 400, "{name}: {} bytes: {line}", line.len());
        }
        let refused = text.lines().find(|line| !line.starts_with("warning: "));
        let path = format!("test/bad-input/{name}:");
        assert!(refused.is_none_or(|line| line.starts_with(&path)), "{name}: {text}");
    }
}

/// A directory of the test, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("bad-input-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory of our own");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn unreadable_files_are_refused() {
    let dir = Scratch::new("files");
    let path = dir.0.display().to_string();
    let read = |bundle: &str| {
        let text = verdict(Path::new(bundle), "config.json", Allow::default());
        text.replace(&path, "DIR")
    };
    assert_eq!(
        read(&path),
        "DIR/config.json: open(2): ENOENT (No such file or directory)\n  hint: a bundle is a \
         directory with config.json and a root file system; \"tiny-ce spec\" writes a config.json\n"
    );
    let config = dir.0.join("config.json");
    std::fs::create_dir(&config).expect("a directory");
    assert_eq!(read(&path), "DIR/config.json: read(2): EISDIR (Is a directory)\n");
    std::fs::remove_dir(&config).expect("it is empty");
    // A document from a pipe is read like a file.
    let made = command(["mkfifo".as_ref(), config.as_os_str()]).status().expect("mkfifo");
    assert!(made.success());
    let writer = std::thread::spawn({
        let config = config.clone();
        move || std::fs::write(config, "[]").expect("a reader")
    });
    assert_eq!(read(&path), "DIR/config.json:1:1: expected an object, found an array\n");
    writer.join().expect("a writer");
    std::fs::remove_file(&config).expect("the FIFO");
    std::os::unix::fs::symlink("/dev/zero", &config).expect("a link");
    assert_eq!(read(&path), "DIR/config.json: larger than 16 MiB\n");
    std::fs::remove_file(&config).expect("the link");
    let file = std::fs::File::create(&config).expect("a file");
    file.set_len((16 << 20) + 1).expect("a sparse file");
    assert_eq!(read(&path), "DIR/config.json: larger than 16 MiB\n");
    std::fs::write(&config, b"{\n  \"hostname\": \"caf\xe9\"\n}").expect("a file");
    assert_eq!(read(&path), "DIR/config.json:2:19: not UTF-8\n");
    assert_eq!(
        read(&format!("{path}/config.json")).lines().next(),
        Some("DIR/config.json/config.json: open(2): ENOTDIR (Not a directory)")
    );
}

#[test]
fn too_many_mappings() {
    let mut spec = spec::rootless(0, 0, false);
    let linux = spec.linux.as_mut().expect("linux");
    let line = |id: u32| spec::IdMapping { container_id: 2 * id, host_id: 2 * id, size: 1 };
    linux.uid_mappings = (0..341).map(line).collect();
    linux.gid_mappings = (0..340).map(line).collect();
    let found = check(&spec, Allow::default()).violations;
    let texts: Vec<String> = found.iter().map(load::line).collect();
    assert_eq!(texts, ["linux.uidMappings: 341 mappings; at most 340"]);
}

/// All that a command does with a config.json before it looks at the host.
fn digest(source: &[u8]) {
    match json::read::<Spec>(source) {
        Ok(spec) => {
            let found = check(&spec, Allow::default());
            if !found.violations.is_empty() {
                load::refuse(Path::new("config.json"), source, found.violations).to_string();
            }
        }
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a reason");
            load::refuse(Path::new("config.json"), source, violations).to_string();
        }
    }
    json::unknown::<Spec>(source);
}

fn full() -> String {
    std::fs::read_to_string(tree().join("test/config/full.json")).expect("test/config/full.json")
}

#[test]
fn no_truncation_is_accepted_or_breaks_the_reader() {
    let source = spec::to_json(&spec::default(true)).expect("JSON");
    let whole = source.trim_end();
    for length in 0..whole.len() {
        assert!(json::read::<Spec>(&whole.as_bytes()[..length]).is_err(), "{length} bytes");
        digest(&whole.as_bytes()[..length]);
    }
    json::read::<Spec>(whole.as_bytes()).expect("the whole of it");
}

#[test]
fn no_mutation_breaks_the_reader() {
    const PIECES: [&str; 22] = [
        "null",
        "true",
        "{}",
        "[]",
        "[[",
        "\"\"",
        "-1",
        "0",
        "1e999",
        "18446744073709551616",
        "4294967295",
        "-9223372036854775808",
        "\"\\ud800\"",
        "\\u0000",
        "\u{feff}",
        "é",
        ",",
        ":",
        "\"",
        "}",
        "]",
        "/",
    ];
    let mut dice = Dice::new(0x9E37_79B9_7F4A_7C15);
    let sources = [spec::to_json(&spec::default(false)).expect("JSON"), full()];
    for round in 0..1000 {
        let mut bytes = sources[round % 2].clone().into_bytes();
        for _ in 0..=dice.throw(4) {
            let at = dice.throw(bytes.len());
            match dice.throw(4) {
                0 => bytes[at] = dice.throw(256) as u8,
                1 => drop(bytes.drain(at..(at + dice.throw(40)).min(bytes.len()))),
                2 => drop(bytes.splice(at..at, PIECES[dice.throw(PIECES.len())].bytes())),
                _ => {
                    let end = (at + dice.throw(200)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = dice.throw(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        digest(&bytes);
    }
}

/// The text differs in one value only, so most of these pass the reader and reach the rules.
#[test]
fn no_value_breaks_the_rules() {
    const VALUES: [&str; 16] = [
        "null",
        "true",
        "{}",
        "[]",
        "\"\"",
        "\"/\"",
        "\"/..\"",
        "\"0-\"",
        "-1",
        "0",
        "4294967295",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "[{}]",
        "[\"\"]",
    ];
    let whole: serde_json::Value = serde_json::from_str(&full()).expect("JSON");
    let mut paths = Vec::new();
    walk(&whole, String::new(), &mut paths);
    assert!(paths.len() > 200, "{} values in test/config/full.json", paths.len());
    let mut dice = Dice::new(0x2545_F491_4F6C_DD1D);
    for path in paths {
        for _ in 0..4 {
            let mut changed = whole.clone();
            let new = VALUES[dice.throw(VALUES.len())];
            let new = serde_json::from_str(new).expect("JSON");
            *changed.pointer_mut(&path).expect("a path of the document") = new;
            digest(changed.to_string().as_bytes());
        }
    }
}

fn walk(value: &serde_json::Value, path: String, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                walk(value, format!("{path}/{}", key.replace('/', "~1")), into);
            }
        }
        serde_json::Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(value, format!("{path}/{index}"), into);
            }
        }
        _ => {}
    }
    into.push(path);
}

#[test]
fn every_property_is_read_and_written() {
    let source = full();
    let spec: Spec = json::read(source.as_bytes()).expect("test/config/full.json is right");
    assert_eq!(json::unknown::<Spec>(source.as_bytes()), []);
    let found = check(&spec, Allow::default());
    assert_eq!(found.violations, []);
    // They have no effect on any kernel of today.
    let of_old: Vec<&str> = found.warnings.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(of_old, ["linux.resources.memory.kernel", "linux.resources.memory.kernelTCP"]);
    let written = spec::to_json(&spec).expect("JSON");
    let mut wanted: serde_json::Value = serde_json::from_str(&source).expect("JSON");
    // A property that is false may be left out where the specification's default is false.
    wanted["linux"]["resources"]["memory"]["disableOOMKiller"] = false.into();
    let found: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(found, wanted);
}

#[test]
fn written_configs_read_back_the_same() {
    let volume = spec::text::volume("/srv:/srv:ro", Path::new("/")).expect("a volume");
    let mut asked = spec::embedded(None, false);
    let process = asked.process.as_mut().expect("a process");
    process.add_variables(vec!["TERM=dumb".to_owned(), "A=b".to_owned()]);
    process.run_as(spec::User { uid: 1000, gid: 100, ..Default::default() });
    let resources = asked.linux.as_mut().and_then(|it| it.resources.as_mut()).expect("resources");
    resources.memory = json::read(br#"{"limit": 1048576}"#).expect("memory");
    resources.cpu = json::read(br#"{"quota": 50000, "period": 100000}"#).expect("cpu");
    resources.pids = json::read(br#"{"limit": 5}"#).expect("pids");
    asked.mounts.push(volume);
    asked.root.as_mut().expect("a root").readonly = true;
    let specs = [
        spec::default(false),
        spec::default(true),
        spec::rootless(1000, 100, true),
        asked,
        spec::embedded(Some((vec![IdMapping::own(1000)], vec![IdMapping::own(100)])), false),
        spec::embedded(None, false),
    ];
    for spec in specs {
        let text = spec::to_json(&spec).expect("JSON");
        assert_eq!(json::read::<Spec>(text.as_bytes()).expect("our own"), spec);
        let allow = Allow { host_root: true };
        let found = check(&spec, allow);
        assert_eq!((found.violations, found.warnings), Default::default(), "{text}");
    }
}

/// The JSON file that a command writes into an empty directory.
fn written(name: &str, words: &[&str]) -> serde_json::Value {
    let dir = Scratch::new(name);
    let done = command(words).current_dir(&dir.0).output().expect("a program of the machine");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(dir.0.join("config.json")).expect("its config.json");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    // Each runtime writes its own version, and its own name as the hostname.
    value["ociVersion"] = spec::default::VERSION.into();
    value["hostname"] = "tiny-ce".into();
    // runc before 1.2 wrote ambient capabilities, which have no effect without inheritable ones.
    if let Some(sets) = value["process"]["capabilities"].as_object_mut() {
        sets.remove("ambient");
    }
    value
}

#[test]
fn the_default_config_is_that_of_runc() {
    if !met(&[Need::Peer(Peer::Runc)]) {
        return;
    }
    let runc = Peer::Runc.path().expect("Need::Peer");
    let runc = runc.to_str().expect("UTF-8");
    let cgroup2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let json = |spec: &Spec| -> serde_json::Value {
        serde_json::from_str(&spec::to_json(spec).expect("JSON")).expect("JSON")
    };
    assert_eq!(written("plain", &[runc, "spec"]), json(&spec::default(cgroup2)));
    let ids = command(["id", "-u"]).output().expect("id").stdout;
    let groups = command(["id", "-g"]).output().expect("id").stdout;
    let number = |text: Vec<u8>| -> u32 {
        String::from_utf8(text).expect("UTF-8").trim().parse().expect("a number")
    };
    let rootless = spec::rootless(number(ids), number(groups), cgroup2);
    assert_eq!(written("rootless", &[runc, "spec", "--rootless"]), json(&rootless));
}

/// The document of all properties contains each of them: the last part of its path, as code. A row
/// of `record!` is `"key" field: type,`.
#[test]
fn every_property_is_documented() {
    let page = std::fs::read_to_string(tree().join("docs/config.md")).expect("docs/config.md");
    let mut missing = Vec::new();
    for name in ["types", "linux", "resources", "filter"] {
        let source = tree().join("launcher/spec").join(name).with_extension("rs");
        let source = std::fs::read_to_string(source).expect("a source file of the spec");
        for line in source.lines().filter(|line| line.ends_with(',')) {
            let Some((key, _)) = line.trim().strip_prefix('"').and_then(|l| l.split_once("\" "))
            else {
                continue;
            };
            let spelt = ["`KEY`", "`KEY[]`", ".KEY`", ".KEY[]`", "`KEY."];
            let spelt = spelt.map(|form| form.replace("KEY", key));
            if !spelt.iter().any(|spelt| page.contains(spelt)) {
                missing.push(key.to_owned());
            }
        }
    }
    assert_eq!(missing, [""; 0], "in docs/config.md");
}
