//! A row of test/refusals/rows.json: the smallest input that breaks one rule, and how to run it
//! under a runtime.
//!
//! Knows how a row is written and run; not which runtimes there are, nor which result is right.

use serde_json::{Value, json};
use tiny_ce_test::{Bundle, Case};

/// The placeholder for the bundle's directory, in config.json and on a command line.
const BUNDLE: &str = "BUNDLE";

/// The placeholders for the id of a new container, and for that of a running one.
const ID: &str = "ID";
const RUNNING: &str = "RUNNING";

/// One rule, and an input that breaks it.
pub struct Row {
    /// What is refused, in words.
    pub rule: String,
    /// The reason, and whom the refusal protects.
    pub why: String,
    /// What an attacker could do without the refusal, although both peers run the input.
    pub attack: Option<String>,
    /// The row is for this version of cgroups only.
    pub cgroup: Option<u64>,
    input: Value,
}

/// All rows of the file.
pub fn rows(file: &str) -> Vec<Row> {
    let all: Vec<Value> = serde_json::from_str(file).expect("rows.json");
    let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
    let read = |row: Value| Row {
        rule: text(&row, "rule").unwrap_or_else(|| panic!("no rule: {row}")),
        why: text(&row, "why").unwrap_or_default(),
        attack: text(&row, "attack"),
        cgroup: row["cgroup"].as_u64(),
        input: row,
    };
    all.into_iter().map(read).collect()
}

impl Row {
    /// The input as the table shows it.
    pub fn shown(&self) -> String {
        let dotted = |pointer: &str| pointer.trim_start_matches('/').replace('/', ".");
        let mut parts = Vec::new();
        for (key, sign) in [("set", "="), ("push", "+=")] {
            for (pointer, value) in self.input[key].as_object().into_iter().flatten() {
                parts.push(format!("{} {sign} {value}", dotted(pointer)));
            }
        }
        for pointer in self.input["remove"].as_array().into_iter().flatten() {
            parts.push(format!("no {}", dotted(pointer.as_str().expect("a pointer"))));
        }
        for (_, text) in self.input["replace"].as_object().into_iter().flatten() {
            parts.push(text.as_str().expect("a text").escape_default().to_string());
        }
        if let Some(times) = self.input["append"]["times"].as_u64() {
            parts.push(format!("{times} blanks behind the document"));
        }
        if let Some(words) = self.input["words"].as_array() {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            parts.push(words.join(" "));
        }
        let all = parts.join("; ").replace('|', "\\|").replace("\\\"", "\"");
        match all.char_indices().nth(90) {
            Some((at, _)) => format!("{}…", &all[..at]),
            None => all,
        }
    }

    /// Whether the row is for a machine with this version of cgroups.
    pub fn is_for(&self, version: u64) -> bool {
        self.cgroup.is_none_or(|wanted| wanted == version)
    }

    /// The bundle with the mistake in it.
    pub fn bundle(&self, case: &Case) -> Bundle {
        let mut bundle = case.bundle();
        bundle.probe(if self.wants_running() { "pause" } else { "exit 0" });
        let path = bundle.rootfs().with_file_name("");
        let path = path.to_str().expect("UTF-8").trim_end_matches('/').to_owned();
        for (pointer, value) in self.input["set"].as_object().into_iter().flatten() {
            bundle.set(pointer, grown(value, &path));
        }
        for (pointer, value) in self.input["push"].as_object().into_iter().flatten() {
            bundle.push(pointer, grown(value, &path));
        }
        for pointer in self.input["remove"].as_array().into_iter().flatten() {
            bundle.remove(pointer.as_str().expect("a pointer"));
        }
        for (link, target) in self.input["links"].as_object().into_iter().flatten() {
            let link = bundle.rootfs().join(link);
            std::os::unix::fs::symlink(target.as_str().expect("a path"), link).expect("a link");
        }
        for (name, text) in self.input["files"].as_object().into_iter().flatten() {
            let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
            std::fs::write(format!("{path}/{name}"), text).expect("a file");
        }
        bundle
    }

    /// Write the bundle's config.json, including mistakes that no JSON value can express.
    fn write(&self, bundle: &Bundle) {
        let mut text = serde_json::to_string(&bundle.config).expect("JSON");
        for (from, to) in self.input["replace"].as_object().into_iter().flatten() {
            assert!(text.contains(from), "{}: no {from:?} in config.json", self.rule);
            text = text.replacen(from, grown(to, "").as_str().expect("a text"), 1);
        }
        if let Some(more) = self.input.get("append") {
            text += grown(more, "").as_str().expect("a text");
        }
        if let Some(whole) = self.input.get("document") {
            text = grown(whole, "").as_str().expect("a text").to_owned();
        }
        // In a document that is not UTF-8, each character of the row is one byte.
        let bytes = match self.input.get("bytes") {
            Some(text) => text.as_str().expect("a text").chars().map(|c| c as u8).collect(),
            None => text.into_bytes(),
        };
        std::fs::write(bundle.rootfs().with_file_name("config.json"), bytes).expect("config.json");
    }

    fn words(&self) -> Option<Vec<String>> {
        let words = self.input["words"].as_array()?;
        Some(
            words
                .iter()
                .map(|word| grown(word, BUNDLE))
                .map(|w| w.as_str().expect("a word").into())
                .collect(),
        )
    }

    /// Whether it is about a command line, and not about config.json.
    pub fn is_command(&self) -> bool {
        self.words().is_some()
    }

    fn wants_running(&self) -> bool {
        self.words().is_some_and(|words| words.iter().any(|word| word.contains(RUNNING)))
    }

    /// The command line of the row for this bundle, and the one that precedes it.
    pub fn lines(&self, bundle: &Bundle, id: &str) -> (Option<Vec<String>>, Vec<String>) {
        self.write(bundle);
        let path = bundle.rootfs();
        let path = path.parent().and_then(|path| path.to_str()).expect("UTF-8");
        let run = |more: &[&str]| -> Vec<String> {
            let words = [&["run"], more, &["--bundle", path, id]].concat();
            words.into_iter().map(str::to_owned).collect()
        };
        let Some(words) = self.words() else { return (None, run(&[])) };
        let filled = |word: String| {
            let word = word.replace(RUNNING, id).replace(BUNDLE, path);
            if word == ID { id.to_owned() } else { word }
        };
        (self.wants_running().then(|| run(&["--detach"])), words.into_iter().map(filled).collect())
    }
}

/// Replace `{"times": 3, "of": "ab"}` by `"ababab"`, and the placeholder by the bundle's path.
fn grown(value: &Value, bundle: &str) -> Value {
    if let (Some(times), Some(of)) = (value["times"].as_u64(), value.get("of")) {
        let times = times as usize;
        return match of {
            Value::String(text) => json!(text.repeat(times)),
            other => json!(vec![other.clone(); times]),
        };
    }
    match value {
        Value::String(text) => json!(text.replace(BUNDLE, bundle)),
        Value::Array(items) => items.iter().map(|item| grown(item, bundle)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, item)| (key.clone(), grown(item, bundle))).collect()
        }
        other => other.clone(),
    }
}
