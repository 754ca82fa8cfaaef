//! Repeat an operation with a fault at one point after the other. Several workers share the points;
//! each has a ground of its own, so it finds only what it left itself.
//!
//! Knows the numbers of the points, not what happens at a point.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Case;

/// The number of parallel workers. They wait for the kernel more than they compute.
const WORKERS: usize = 8;

/// A sweep stops after this many points have failed.
const ENOUGH: usize = 30;

/// Whether a sweep tries every point, which takes long: `TINY_CE_FULL=1`.
pub fn full() -> bool {
    std::env::var_os("TINY_CE_FULL").is_some_and(|value| value == "1")
}

/// Call `one` at points 1, 2, 3… until it returns false; return the number of points.
///
/// Without `TINY_CE_FULL` only every `stride`th point is tried, from a first point that changes
/// each time. A prime stride is best: no period among the points then hides a kind of point. A
/// panic at one point does not stop the others; the sweep reports every panic at its end.
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
        // Dropping the case removes what the point left; the worker then takes a new ground.
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

/// The first point changes every second.
fn first(stride: usize) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    1 + now.as_secs() as usize % stride
}
