//! Memory of a program that lives for milliseconds: taken in large pieces, given back by exiting.
//!
//! The C library returns each freed page to the kernel and faults it in again; page faults are what
//! a start costs. Only the command line uses this, not the library. Commands that stay (`run`,
//! `exec`, `events`) allocate a little per event; the last allocation, and so a growing buffer, is
//! given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// From one piece after the other; larger requests go to the C library.
pub struct Pieces;

const PIECE_BYTES: usize = 128 << 10;
const LARGEST: usize = 16 << 10;

thread_local! {
    /// What is left of this thread's piece: its first free address and its end.
    static FREE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

// SAFETY: every block is carved out of a piece that the C library gave and never gets back; no two
// blocks overlap, since the first free address only grows, but for the block that was carved last.
unsafe impl GlobalAlloc for Pieces {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST || layout.align() > 16 {
            // SAFETY: the caller's own promise.
            return unsafe { System.alloc(layout) };
        }
        FREE.with(|free| {
            let (first, end) = free.get();
            let at = first.next_multiple_of(layout.align());
            if first != 0 && at + layout.size() <= end {
                free.set((at + layout.size(), end));
                return at as *mut u8;
            }
            let Ok(piece) = Layout::from_size_align(PIECE_BYTES, 16) else {
                return std::ptr::null_mut();
            };
            // SAFETY: the layout is not empty.
            let begin = unsafe { System.alloc(piece) };
            if !begin.is_null() {
                let at = begin as usize;
                free.set((at + layout.size(), at + PIECE_BYTES));
            }
            begin
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() > LARGEST || layout.align() > 16 {
            // SAFETY: it came from there.
            return unsafe { System.dealloc(block, layout) };
        }
        FREE.with(|free| {
            let (first, end) = free.get();
            if block as usize + layout.size() == first {
                free.set((block as usize, end));
            }
        });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let last = FREE.with(|free| {
            let (first, end) = free.get();
            let at = block as usize;
            let fits = layout.size() <= LARGEST && size <= LARGEST && layout.align() <= 16;
            let last = fits && at + layout.size() == first && at + size <= end;
            if last {
                free.set((at + size, end));
            }
            last
        });
        if last {
            return block;
        }
        if layout.size() > LARGEST && size > LARGEST {
            // SAFETY: it came from there, and stays there.
            return unsafe { System.realloc(block, layout, size) };
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
