//! Memory of the command line: what a short command takes is never given back.
//!
//! The C library returns each freed page to the kernel and faults it in again; page faults are what
//! a start costs. A command that ends in milliseconds needs less than [`ARENA_BYTES`], which it
//! takes block after block and gives back by exiting. A command that waits for a container (`run`,
//! `exec` and `restore` in the foreground, `events`, `wait`, a notify socket) says so with
//! [`stay`]: from there on each block is the C library's, which frees it. The C library also has
//! what an arena has no room for. Only the command line uses this, not the library.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Small blocks from one piece of the arena after the other, as long as there are pieces; all
/// others from the C library.
pub struct Arena {
    bytes: UnsafeCell<[u8; ARENA_BYTES]>,
    /// How much has been handed out, in whole pieces.
    taken: AtomicUsize,
}

const ARENA_BYTES: usize = 1 << 20;
const PIECE_BYTES: usize = 128 << 10;
const LARGEST: usize = 16 << 10;

thread_local! {
    /// What is left of this thread's piece: its first free address and its end.
    static FREE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Whether this process may live long.
static STAYS: AtomicBool = AtomicBool::new(false);

/// This process may live long: free from here on what it allocates from here on.
pub fn stay() {
    STAYS.store(true, Ordering::Relaxed);
}

// SAFETY: each piece belongs to one thread, and `taken` is atomic.
unsafe impl Sync for Arena {}

impl Arena {
    /// All of it is free: pages that the kernel has not been asked for yet.
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

    /// The next piece: its first address and its end.
    fn piece(&self) -> Option<(usize, usize)> {
        // Not beyond the end, however often it is asked for.
        let take = |taken| (taken < ARENA_BYTES).then_some(taken + PIECE_BYTES);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        let first = self.first() + taken;
        Some((first, first + PIECE_BYTES))
    }

    /// A block from this thread's piece, or from the next one.
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

    /// Make the block that was carved last `size` long, if it is that one and there is room.
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

// SAFETY: every block is carved out of a piece of the arena, which belongs to one thread, or is the
// C library's; an address tells which. No two blocks overlap, since the first free address only
// grows, but for the block that was carved last.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let stays = STAYS.load(Ordering::Relaxed);
        let small = layout.size() <= LARGEST && layout.align() <= 16 && !stays;
        match small.then(|| self.carve(layout)).flatten() {
            Some(block) => block,
            // SAFETY: the caller's own promise.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.has(block) {
            self.resize(block, layout, 0);
        } else {
            // SAFETY: it came from there.
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.has(block) {
            // SAFETY: it came from there, and stays there.
            return unsafe { System.realloc(block, layout, size) };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 1 to 2048 bytes, each filled and looked at again before it goes.
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
    fn blocks_keep_what_is_in_them_when_the_arena_is_full() {
        static ARENA: Arena = Arena::new();
        churn(&ARENA, 20_000);
        assert!(ARENA.taken.load(Ordering::Relaxed) <= ARENA_BYTES);
    }
}
