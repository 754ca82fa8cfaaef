//! The Chinese documents beside the English ones: the same fields, figures, hints and examples,
//! links that resolve, a source for each paragraph about the specification, no stray English.
//!
//! Reads text only. test/readme.rs runs the examples.

use std::collections::BTreeSet;
use std::path::Path;
use tiny_ce_test::tree;

fn read(name: &str) -> String {
    std::fs::read_to_string(tree().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A heading, the rows of the tables below it, and its other lines, without blocks of code.
#[derive(Default)]
struct Section {
    heading: String,
    /// As many as its heading has `#`.
    level: usize,
    rows: Vec<Vec<String>>,
    prose: Vec<String>,
}

fn sections(text: &str) -> Vec<Section> {
    let mut all = vec![Section::default()];
    let mut code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            code = !code;
            continue;
        }
        if code || line.starts_with("    ") {
            continue;
        }
        let heading = line.starts_with('#').then(|| line.trim_start_matches('#').trim());
        if let Some(heading) = heading {
            let level = line.len() - line.trim_start_matches('#').len();
            all.push(Section { heading: heading.to_owned(), level, ..Section::default() });
        } else if let Some(section) = all.last_mut() {
            match line.strip_prefix('|') {
                Some(row) => section.rows.push(cells(row)),
                None => section.prose.push(line.to_owned()),
            }
        }
    }
    all
}

/// The cells of a row, in which `\|` is no border.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{1}");
    row.trim_end_matches('|').split('|').map(|it| it.trim().replace('\u{1}', "\\|")).collect()
}

/// What stands between backticks, and what stands outside of them and of links' targets.
fn apart(text: &str) -> (Vec<&str>, String) {
    let (mut code, mut rest) = (Vec::new(), String::new());
    for (at, part) in text.split('`').enumerate() {
        match at % 2 {
            0 => rest.push_str(part),
            _ => code.push(part),
        }
        rest.push(' ');
    }
    let mut parts = rest.split("](");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        words.push(' ');
        words.push_str(part.split_once(')').map_or("", |it| it.1));
    }
    (code, words)
}

/// The words in Latin letters and the numbers outside of code.
fn figures(words: &str) -> BTreeSet<String> {
    let numbers = words.split(|c: char| !c.is_ascii_digit());
    numbers.filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// What a translation has to keep of a text: its code, its numbers.
fn kept(text: &str) -> (BTreeSet<&str>, BTreeSet<String>) {
    let (code, words) = apart(text);
    (code.into_iter().collect(), figures(&words))
}

/// Pages that say the same in both languages, section by section.
const SISTERS: &[&str] = &[
    "boot.md",
    "cgroups.md",
    "checkpoint.md",
    "config.md",
    "engines.md",
    "limits.md",
    "machines.md",
    "network.md",
    "running.md",
    "unshare.md",
];

/// A property or an option that one language has, a value, a range, a default, an example: a change
/// of the English page has to reach the Chinese one.
#[test]
fn sister_pages_have_the_same_code_and_figures() {
    let mut differ = Vec::new();
    for page in SISTERS {
        let (english, chinese) =
            (read(&format!("docs/{page}")), read(&format!("docs/zh-CN/{page}")));
        assert_eq!(examples(&english), examples(&chinese), "{page}");
        let (english, chinese) = (sections(&english), sections(&chinese));
        assert!(english.len() > 1, "sections of {page}");
        let headings = |all: &[Section]| -> Vec<usize> { all.iter().map(|it| it.level).collect() };
        assert_eq!(headings(&english), headings(&chinese), "the sections of {page}");
        for (at, (ours, theirs)) in english.iter().zip(&chinese).enumerate() {
            // The introductions name the other page.
            differences(ours, theirs, at > 1, &mut differ);
        }
    }
    assert!(differ.is_empty(), "docs/zh-CN differs:\n{}", differ.join("\n"));
}

fn differences(ours: &Section, theirs: &Section, prose: bool, differ: &mut Vec<String>) {
    let name = &ours.heading;
    assert_eq!(ours.rows.len(), theirs.rows.len(), "rows below {name:?}");
    for (row, other) in ours.rows.iter().zip(&theirs.rows) {
        let bold = |row: &[String]| row[0].matches("**").count();
        let same = apart(&row[0]).0 == apart(&other[0]).0 && bold(row) == bold(other);
        if !same || kept(&row.join("|")) != kept(&other.join("|")) {
            differ.push(format!("{row:?}\n  {other:?}"));
        }
    }
    let text = |it: &Section| format!("{}\n{}", it.heading, it.prose.join(" "));
    let (text, other) = (text(ours), text(theirs));
    if prose && kept(&text) != kept(&other) {
        differ.push(format!("{name}: {:?}\n  {:?}", kept(&text), kept(&other)));
    }
}

/// Errors stay English, so the Chinese page shows each hint as it is printed, with its meaning.
#[test]
fn every_hint_is_explained() {
    let (english, chinese) = (read("docs/errors.md"), read("docs/zh-CN/errors.md"));
    let table = |text: &str, heading: &str| {
        let all = sections(text);
        let section = all.into_iter().find(|section| section.heading == heading);
        section.unwrap_or_else(|| panic!("no section {heading}")).rows.split_off(2)
    };
    let (english, chinese) = (table(&english, "Hints"), table(&chinese, "提示"));
    let names: BTreeSet<String> = table(&read("docs/zh-CN/errors.md"), "错误号")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let mut used = BTreeSet::new();
    for (row, other) in english.iter().zip(&chinese) {
        let errno = row[1].split(' ').next().unwrap_or_default();
        let calls = row[0].replace("any", "任意").replace(", ", "、");
        assert_eq!(
            [&calls, errno, &row[2], &row[3]],
            [&other[0], &other[1], &other[2], &other[3]][..]
        );
        assert!(other[4].contains(is_chinese), "{other:?}");
        // Names of fields, files and options stay.
        let names = |text: &str| -> BTreeSet<String> {
            let words = text.split(|c: char| !c.is_ascii_graphic() || ",;:()".contains(c));
            let word = words.filter(|it| it.contains(['/', '_']) || it.contains("--"));
            word.map(|it| it.trim_end_matches('.').to_owned()).collect()
        };
        assert_eq!(names(&row[3]), names(&other[4]), "{other:?}");
        used.insert(errno.to_owned());
    }
    assert_eq!(english.len(), chinese.len());
    assert_eq!(names, used, "the table of errnos");
}

/// The blocks of code of a document, and its indented lines.
fn examples(text: &str) -> Vec<&str> {
    let mut code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let fence = line.starts_with("```");
        code ^= fence;
        if fence || code || line.starts_with("    ") {
            lines.push(line);
        }
    }
    lines
}

#[test]
fn the_front_page_has_the_same_examples_and_promises() {
    let (english, chinese) = (read("README.md"), read("docs/zh-CN/README.md"));
    assert_eq!(examples(&english), examples(&chinese));
    let promises = |text: &str, heading: &str| -> Vec<_> {
        let all = sections(text);
        let section = all.into_iter().find(|it| it.heading == heading).expect("a section");
        let row = |row: &Vec<String>| {
            let row = row.join("|");
            let (code, words) = apart(&row);
            (code.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>(), figures(&words))
        };
        section.rows.iter().map(row).collect()
    };
    assert_eq!(promises(&english, "Promises"), promises(&chinese, "承诺"));
}

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// Names that Chinese has no other word for, and words in a program's own spelling.
const NAMES: &[&str] = &[
    "AppArmor",
    "Buildah",
    "CRIU",
    "CentOS",
    "Docker",
    "English",
    "ID",
    "JSON",
    "Kubernetes",
    "KB",
    "KiB",
    "LANG",
    "Linux",
    "OCI",
    "POSIX",
    "Podman",
    "QEMU",
    "SELinux",
    "aarch",
    "busybox",
    "cargo",
    "cgroup",
    "cgroupfs",
    "config",
    "containerd",
    "crun",
    "debootstrap",
    "gcc",
    "id",
    "init",
    "json",
    "md",
    "libseccomp",
    "passt",
    "ping",
    "root",
    "runc",
    "seccomp",
    "shell",
    "systemd",
    "tiny-ce",
];

/// The line without links that are called as the file or directory that they lead to.
fn without_file_links(line: &str) -> String {
    let mut text = String::new();
    let mut parts = line.split("](");
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (target, rest) = part.split_once(')').unwrap_or((part, ""));
        let name = text.rsplit_once('[').map_or("", |it| it.1).to_owned();
        if !name.is_empty() && (target.contains(&name) || target == "..") {
            text.truncate(text.len() - name.len());
        }
        text.push(' ');
        text.push_str(rest);
    }
    text
}

/// A reader without English gets from the front page to two containers that ping each other.
#[test]
fn the_way_to_two_containers_needs_no_english() {
    let mut foreign = BTreeSet::new();
    for name in ["docs/zh-CN/README.md", "docs/zh-CN/guide.md"] {
        for section in sections(&read(name)) {
            let prose = section.prose.iter().cloned();
            let lines = prose.chain(section.rows.iter().map(|row| row.join("|")));
            for line in lines.chain([section.heading.clone()]) {
                let line = without_file_links(&line);
                let (_, words) = apart(&line);
                let words = words.split(|c: char| !c.is_ascii_alphabetic() && c != '-');
                let words = words.map(|word| word.trim_matches('-')).filter(|word| word.len() > 1);
                let file = |word: &&str| !word.chars().all(|c| c.is_ascii_uppercase());
                let unknown = words.filter(|word| !NAMES.contains(word)).filter(file);
                foreign.extend(unknown.map(|word| format!("{name}: {word}")));
            }
        }
    }
    assert!(foreign.is_empty(), "{foreign:#?}");
}

/// Each paragraph, and each table by the sentence above or below it, says where the original is;
/// what is ours says so.
#[test]
fn the_specification_names_its_sources() {
    let source = "〔[";
    let mut without = Vec::new();
    for section in sections(&read("docs/zh-CN/spec.md")).iter().skip(2) {
        let paragraphs = section.prose.iter().filter(|line| !line.is_empty());
        let mut sourced = false;
        for line in paragraphs.filter(|line| !line.starts_with(|c: char| c.is_ascii_digit())) {
            sourced |= line.contains(source);
            if !line.contains(source) && !line.contains("tiny-ce") {
                without.push(line.clone());
            }
        }
        assert!(sourced, "no source below {:?}", section.heading);
    }
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn a_term_has_one_row() {
    let mut seen = BTreeSet::new();
    for section in sections(&read("docs/zh-CN/glossary.md")) {
        for row in section.rows.iter().skip(2) {
            let [chinese, english, meaning] = row.as_slice() else { panic!("{row:?}") };
            assert!(english.is_ascii() && meaning.contains(is_chinese), "{row:?}");
            for term in chinese.split('、') {
                assert!(seen.insert(term.to_owned()), "{term} twice");
            }
        }
    }
    for term in ["容器运行时", "命名空间", "控制组", "根文件系统", "挂载", "能力", "容器包"]
    {
        assert!(seen.contains(term), "{term}");
    }
}

/// How a heading is called in a link: GitHub's rule.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// A link to a heading has that heading; test/tidy.rs looks for the files.
#[test]
fn links_to_headings_lead_to_one() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for entry in std::fs::read_dir(tree().join("docs/zh-CN")).expect("docs/zh-CN") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a page");
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let Some((file, heading)) = target.split_once('#') else { continue };
            if target.contains("://") {
                continue;
            }
            let page = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let there = std::fs::read_to_string(&page).unwrap_or_default();
            checked += 1;
            if !sections(&there).iter().any(|section| anchor(&section.heading) == heading) {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(checked > 3, "{checked} links");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The report in both languages has the same rows and sessions: both are made of one file.
#[test]
fn the_report_is_the_same_in_both_languages() {
    let (english, chinese) = (read("docs/report/index.md"), read("docs/zh-CN/report.md"));
    assert_eq!(examples(&english), examples(&chinese));
    // A promise that was changed since would be found at the end of CI otherwise.
    for (page, front) in [(&english, "README.md"), (&chinese, "docs/zh-CN/README.md")] {
        let front = read(front);
        let numbered = front.lines().filter_map(|line| line.strip_prefix("| "));
        let numbered = numbered.filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        for promise in numbered.filter_map(|line| line.split(" | ").nth(1)) {
            assert!(page.contains(promise), "not in the report: {promise}");
        }
    }
    let (english, chinese) = (sections(&english), sections(&chinese));
    assert!(english.len() > 15, "{} sections", english.len());
    assert_eq!(english.len(), chinese.len(), "as many sections");
    for (ours, theirs) in english.iter().zip(&chinese) {
        assert_eq!(ours.rows.len(), theirs.rows.len(), "rows below {:?}", ours.heading);
        let text = |section: &Section| {
            let rows = section.rows.iter().map(|row| row.join("|"));
            rows.chain(section.prose.iter().cloned()).collect::<Vec<_>>().join("\n")
        };
        let (text, other) = (text(ours), text(theirs));
        assert_eq!(figures(&apart(&text).1), figures(&apart(&other).1), "{}", ours.heading);
        let verdicts = |text: &str, held: &str| text.matches(held).count();
        assert_eq!(verdicts(&text, "✓ held"), verdicts(&other, "✓ 成立"), "{}", ours.heading);
        assert!(theirs.heading.contains(is_chinese) || theirs.heading.is_empty(), "{other}");
    }
}

/// The front page leads to each Chinese page, and each of them is reached from there.
#[test]
fn the_front_page_names_every_page() {
    let front = read("docs/zh-CN/README.md");
    for entry in std::fs::read_dir(tree().join("docs/zh-CN")).expect("docs/zh-CN") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let page = Path::new(&name).extension().is_some_and(|it| it == "md");
        assert!(name == "README.md" || !page || front.contains(&format!("({name})")), "{name}");
    }
    assert!(read("README.md").contains("(docs/zh-CN/README.md)"), "the English front page");
}
