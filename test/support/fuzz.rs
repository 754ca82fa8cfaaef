//! Input that nobody wrote: what a corpus has, changed at random, given to whatever reads it.
//!
//! `test/fuzz/NAME` is the corpus of a target. A panic, an input that takes long and memory without
//! end are failures, and the input is then in `target/fuzz/NAME`: put into the corpus, it is tried
//! on every run. `TINY_CE_FUZZ_MS` says for how long a target is tried, `TINY_CE_SEED` which
//! changes are made.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::{Dice, slowness, tree};

/// How long a single input may take.
const LONGEST: Duration = Duration::from_secs(20);
/// Inputs grow up to this size.
const LARGEST: usize = 64 << 10;
/// How much memory the whole test program may have, in KiB.
const MOST_KIB: u64 = 4 << 20;

/// Give `read` each input of the corpora, which are directories of the tree, and changed ones.
pub fn fuzz(name: &str, corpora: &[&str], mut read: impl FnMut(&[u8])) {
    let corpus = corpus(corpora);
    let number = |variable: &str| std::env::var(variable).ok().and_then(|it| it.parse().ok());
    let seed = number("TINY_CE_SEED").unwrap_or(1);
    let time = Duration::from_millis(number("TINY_CE_FUZZ_MS").unwrap_or(100));
    let at = tree().join("target/fuzz").join(name);
    let input = Arc::new(Mutex::new(Vec::new()));
    let (tell, told) = mpsc::channel();
    let watch = {
        let (input, at) = (input.clone(), at.clone());
        std::thread::spawn(move || watch(&told, &input, &at))
    };
    let mut give = |bytes: &[u8]| {
        *input.lock().expect("no panic holds it") = bytes.to_vec();
        let _ = tell.send(());
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| read(bytes))) {
            keep(&at, bytes, "panics");
            resume_unwind(panic);
        }
    };
    corpus.iter().for_each(|bytes| give(bytes));
    let mut dice = Dice::new(seed);
    let end = Instant::now() + time;
    while Instant::now() < end {
        let mut bytes = dice.one(&corpus).clone();
        for _ in 0..=dice.throw(4) {
            change(&mut bytes, &corpus, &mut dice);
        }
        give(&bytes);
    }
    drop(tell);
    watch.join().expect("the watch");
}

fn corpus(directories: &[&str]) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in directories {
        let entries = std::fs::read_dir(tree().join(directory)).expect("a corpus");
        paths.extend(entries.map(|it| it.expect("an entry").path()).filter(|it| it.is_file()));
    }
    paths.sort();
    assert!(!paths.is_empty(), "{directories:?} are empty");
    paths.iter().map(|path| std::fs::read(path).expect("a file of the corpus")).collect()
}

/// One change: a bit, a byte, a piece that goes, comes twice, or comes from another input.
fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let piece = |of: &[u8], dice: &mut Dice| {
        let first = dice.throw(of.len() + 1);
        let longest = (of.len() - first).min(1 << dice.throw(8));
        first..first + dice.throw(longest + 1)
    };
    let at = dice.throw(bytes.len() + 1);
    match dice.throw(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.throw(8),
        1 if at < bytes.len() => {
            bytes[at] = *dice.one(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'9'])
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(piece(bytes, dice))),
        4 => {
            let copy = bytes[piece(bytes, dice)].to_vec();
            let most = 1 << dice.throw(8);
            let copies = copy.repeat(1 + dice.throw(most));
            drop(bytes.splice(at..at, copies));
        }
        5 => {
            let number = *dice.one(&[0, 1, -1, i64::MAX, i64::MIN, 1 << 31, 1 << 32, 0xffff]);
            let text = [number.to_string().into_bytes(), number.to_le_bytes().to_vec()];
            let end = (at + [0, 1, 4, 8][dice.throw(4)]).min(bytes.len());
            drop(bytes.splice(at..end, dice.one(&text).clone()));
        }
        _ => {
            let other = dice.one(corpus);
            let from = other[piece(other, dice)].to_vec();
            let end = at + piece(&bytes[at..], dice).len();
            drop(bytes.splice(at..end, from));
        }
    }
    bytes.truncate(LARGEST);
}

/// Until the target is through: an input that does not come to an end ends the test program.
fn watch(told: &mpsc::Receiver<()>, input: &Mutex<Vec<u8>>, at: &Path) {
    loop {
        let fault = match told.recv_timeout(LONGEST * slowness()) {
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => "takes too long",
            // Not for each of the thousands that were told meanwhile.
            Ok(()) if told.try_iter().count() == 0 || resident_kib() < MOST_KIB => continue,
            Ok(()) => "takes too much memory",
        };
        keep(at, &input.lock().expect("no panic holds it"), fault);
        std::process::abort();
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn keep(at: &Path, bytes: &[u8], fault: &str) {
    let directory = at.parent().expect("target/fuzz");
    let kept = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(at, bytes));
    let (path, length) = (at.display(), bytes.len());
    eprintln!("{fault}: {path} ({length} bytes; {kept:?}): {:?}", String::from_utf8_lossy(bytes));
}
