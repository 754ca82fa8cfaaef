//! Point after point of something that is done again and again, by several workers, each on a
//! ground of its own: so each sees what it left, and nothing of the others.
//!
//! Knows numbers of points, not what happens at one.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Case;

/// How many there are at a time. They wait for the kernel more than they work.
const WORKERS: usize = 8;

/// After so many points that failed, the rest is not tried.
const ENOUGH: usize = 30;

/// Whether every point is wanted, which takes its time: `TINY_CE_FULL=1`.
pub fn full() -> bool {
    std::env::var_os("TINY_CE_FULL").is_some_and(|value| value == "1")
}

/// Do `one` at points 1, 2, 3… until it answers that there are no more; how many there were.
///
/// Every `stride`th point from another first one each time; every one in full. A stride is best a
/// prime, so that no pattern in the points keeps any kind of them out. What panics is told at the
/// end, by point, and does not keep the others from being tried.
#[track_caller]
pub fn sweep<T>(
    name: &str,
    stride: usize,
    ground: impl Fn(&Case) -> T + Sync,
    one: impl Fn(&Case, &T, usize) -> bool + Sync,
) -> usize {
    let stride = if full() { 1 } else { stride };
    let (next, reached) = (AtomicUsize::new(first(stride)), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let failed = |text: String| {
        let mut all = failures.lock().expect("no panic with the lock");
        all.push(text);
        all.len()
    };
    let work = || loop {
        let case = Case::new();
        let made = ground(&case);
        let point = loop {
            let point = next.fetch_add(stride, Ordering::Relaxed);
            match catch_unwind(AssertUnwindSafe(|| one(&case, &made, point))) {
                Ok(true) => reached.fetch_add(1, Ordering::Relaxed),
                Ok(false) => return,
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    if failed(format!("point {point}: {}", text.unwrap_or_default())) > ENOUGH {
                        return;
                    }
                    break point;
                }
            };
        };
        // What it left is swept away, and a new ground taken.
        if catch_unwind(AssertUnwindSafe(|| drop(case))).is_err() {
            failed(format!("point {point}: left something behind"));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                let text = panic.downcast_ref::<String>().cloned();
                failed(format!("at its end: {}", text.unwrap_or_default()));
            }
        }
    });
    let reached = reached.into_inner();
    let failures = failures.into_inner().expect("no panic with the lock");
    if full() {
        let text = format!("swept: {name}: {reached} points, {} failed\n", failures.len());
        // Not eprintln!, which libtest captures.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    assert!(failures.is_empty(), "{name}: {} failed\n{}", failures.len(), failures.join("\n"));
    reached * stride
}

/// Another one each second.
fn first(stride: usize) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    1 + now.as_secs() as usize % stride
}
