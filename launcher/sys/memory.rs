//! The allocator of the command line: a short command never gives memory back to the kernel.
//!
//! The C library returns each freed page to the kernel and faults it in again, and page faults take
//! much of the time of a start. A command that ends in milliseconds needs less than
//! [`ARENA_BYTES`], which it takes block by block and frees by exiting; a block that the program
//! frees is used again for a block of at least half its size. A command that waits for a container
//! (`run`, `exec` and `restore` in the foreground, `events`, `wait`, a notify socket) calls
//! [`stay`]: from then on each block comes from the C library, which frees it. Blocks for which the
//! arena has no room come from the C library as well. Only the command line uses this, not the
//! library.
//!
//! If the kernel gives no more memory the process aborts, as every program of Rust, unless it has
//! named another end: the first process of a machine must not abort.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// An allocator that takes small blocks from one piece of the arena after the other while there are
/// pieces, and all other blocks from the C library.
pub struct Arena {
    bytes: UnsafeCell<[u8; ARENA_BYTES]>,
    /// How many bytes have been handed out, in whole pieces.
    taken: AtomicUsize,
}

const ARENA_BYTES: usize = 1 << 20;
const PIECE_BYTES: usize = 128 << 10;
const LARGEST: usize = 16 << 10;

thread_local! {
    /// The free rest of this thread's piece: its first address and its end.
    static FREE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// The lists of freed blocks of at least 32, 64, 128 … bytes: each holds the address of the
    /// block that was freed last, and that block holds the address of the next.
    static FREED: [Cell<usize>; SIZES] = const { [const { Cell::new(0) }; SIZES] };
}

/// Smaller blocks are not used again.
const LEAST: usize = 32;
const SIZES: usize = (LARGEST / LEAST).ilog2() as usize + 1;

/// Whether this process may live long.
static STAYS: AtomicBool = AtomicBool::new(false);

/// Declare that this process may live long: what it allocates from here on is freed.
pub fn stay() {
    STAYS.store(true, Ordering::Relaxed);
}

/// What this process does when there is no more memory.
static LAST: OnceLock<fn() -> !> = OnceLock::new();

/// Name what this process does instead of aborting when there is no more memory: `last` may not
/// allocate.
pub fn at_exhaustion(last: fn() -> !) {
    let _ = LAST.set(last);
}

/// The block that the C library gave, unless there was none.
fn given(block: *mut u8) -> *mut u8 {
    match LAST.get() {
        Some(last) if block.is_null() => last(),
        _ => block,
    }
}

// SAFETY: each piece belongs to one thread, and `taken` is atomic.
unsafe impl Sync for Arena {}

impl Arena {
    /// An arena of which nothing is handed out. Its pages are zero, and cost nothing until used.
    #[expect(clippy::new_without_default, reason = "for a static")]
    pub const fn new() -> Arena {
        Arena { bytes: UnsafeCell::new([0; ARENA_BYTES]), taken: AtomicUsize::new(0) }
    }

    fn first(&self) -> usize {
        self.bytes.get() as usize
    }

    fn has(&self, block: *mut u8) -> bool {
        (block as usize).wrapping_sub(self.first()) < ARENA_BYTES
    }

    /// Take the next piece: its first address and its end.
    fn piece(&self) -> Option<(usize, usize)> {
        // `taken` stops at the end of the arena, so that it cannot overflow.
        let take = |taken| (taken < ARENA_BYTES).then_some(taken + PIECE_BYTES);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        let first = self.first() + taken;
        Some((first, first + PIECE_BYTES))
    }

    /// Take a block from this thread's piece, or from the next one.
    fn carve(&self, layout: Layout) -> Option<*mut u8> {
        FREE.with(|free| {
            let within = |(first, end): (usize, usize)| {
                let at = first.next_multiple_of(layout.align());
                (first != 0 && at + layout.size() <= end).then_some((at, end))
            };
            let (at, end) = within(free.get()).or_else(|| within(self.piece()?))?;
            free.set((at + layout.size(), end));
            Some(at as *mut u8)
        })
    }

    /// Return a block that this thread has freed, if one is large enough.
    fn reuse(&self, layout: Layout) -> Option<*mut u8> {
        if layout.size() < LEAST || layout.align() > align_of::<usize>() {
            return None;
        }
        FREED.with(|freed| {
            let first = &freed[layout.size().div_ceil(LEAST).next_power_of_two().ilog2() as usize];
            let block = first.get() as *mut usize;
            // SAFETY: `keep` has written there, and nobody has used the block since.
            (!block.is_null()).then(|| first.set(unsafe { block.read() }))?;
            Some(block.cast())
        })
    }

    /// Put a freed block into the list of its size, for `reuse`.
    fn keep(&self, block: *mut u8, size: usize) {
        let block: *mut usize = block.cast();
        if size >= LEAST && block.is_aligned() {
            FREED.with(|freed| {
                let first = &freed[(size / LEAST).ilog2() as usize];
                // SAFETY: the block is large enough, aligned, and no longer used.
                unsafe { block.write(first.get()) };
                first.set(block as usize);
            });
        }
    }

    /// Give a block another size, if it is the one that was carved last and its piece has room.
    fn resize(&self, block: *mut u8, layout: Layout, size: usize) -> bool {
        FREE.with(|free| {
            let (first, end) = free.get();
            let at = block as usize;
            let last = at + layout.size() == first && at + size <= end;
            if last {
                free.set((at + size, end));
            }
            last
        })
    }
}

// SAFETY: every block is carved out of a piece of the arena, which belongs to one thread, or comes
// from the C library; its address says which. No two blocks overlap: the first free address moves
// back only to resize the block that was carved last, and a freed block is in one list until it is
// used again.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let stays = STAYS.load(Ordering::Relaxed);
        let small = layout.size() <= LARGEST && layout.align() <= 16 && !stays;
        match small.then(|| self.reuse(layout).or_else(|| self.carve(layout))).flatten() {
            Some(block) => block,
            // SAFETY: the caller's promise is the same.
            None => given(unsafe { System.alloc(layout) }),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.has(block) {
            if !self.resize(block, layout, 0) {
                self.keep(block, layout.size());
            }
        } else {
            // SAFETY: a block outside of the arena came from the C library.
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.has(block) {
            // SAFETY: a block outside of the arena came from the C library.
            return given(unsafe { System.realloc(block, layout, size) });
        }
        if size <= LARGEST && self.resize(block, layout, size) {
            return block;
        }
        // SAFETY: the alignment is that of a layout that exists, and the caller promises the size.
        let to = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: both blocks are valid for the smaller of the two sizes, and apart.
        unsafe {
            let made = self.alloc(to);
            if !made.is_null() {
                std::ptr::copy_nonoverlapping(block, made, layout.size().min(size));
                self.dealloc(block, layout);
            }
            made
        }
    }
}

/// Ask an arena for more than any kernel gives.
#[cfg(test)]
pub fn exhaust() {
    static ARENA: Arena = Arena::new();
    let layout = Layout::from_size_align(1 << 62, 16).expect("a layout");
    // SAFETY: the layout is not empty, and nobody uses the block.
    assert!(unsafe { ARENA.alloc(layout) }.is_null());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allocate blocks of 1 to 2048 bytes, fill each, and compare its bytes before it is freed.
    fn churn(arena: &Arena, turns: usize) {
        let mut kept: Vec<(*mut u8, Layout, u8)> = Vec::new();
        for turn in 0..turns {
            let size = 1 + turn * 7919 % 2048;
            let layout = Layout::from_size_align(size, 1 << (turn % 5)).expect("a layout");
            // SAFETY: the layout is not empty, and the block is written within its size.
            let block = unsafe {
                let block = arena.alloc(layout);
                block.write_bytes(turn as u8, size);
                block
            };
            assert_eq!(block as usize % layout.align(), 0);
            kept.push((block, layout, turn as u8));
            if kept.len() < 16 {
                continue;
            }
            let (block, layout, byte) = kept.swap_remove(turn % 16);
            let grown = layout.size() + turn % 512;
            let to = Layout::from_size_align(grown, layout.align()).expect("a layout");
            // SAFETY: the block is the arena's, of this layout, and is not used afterwards.
            unsafe {
                let block = arena.realloc(block, layout, grown);
                let bytes = std::slice::from_raw_parts(block, layout.size());
                assert!(bytes.iter().all(|it| *it == byte), "turn {turn}");
                arena.dealloc(block, to);
            }
        }
        for (block, layout, _) in kept {
            // SAFETY: it is the arena's, of this layout.
            unsafe { arena.dealloc(block, layout) };
        }
    }

    #[test]
    fn a_process_that_stays_takes_no_more_of_the_arena() {
        static ARENA: Arena = Arena::new();
        churn(&ARENA, 200);
        let taken = (ARENA.taken.load(Ordering::Relaxed), FREE.get());
        assert!(taken.0 > 0);
        stay();
        churn(&ARENA, 20_000);
        assert_eq!((ARENA.taken.load(Ordering::Relaxed), FREE.get()), taken);
    }

    #[test]
    fn blocks_keep_their_bytes_when_the_arena_is_full() {
        static ARENA: Arena = Arena::new();
        churn(&ARENA, 20_000);
        assert!(ARENA.taken.load(Ordering::Relaxed) <= ARENA_BYTES);
    }
}
