//! An allocator for instances that live for one call: memory is handed out from one end to the other and given back as a
//! whole, with the instance. Most of a formatter's time beside its work is allocating; here that is an addition. What
//! grows in place or is freed last is taken back at once, everything else only at the end, so a module that allocates
//! without end while it works should not use it.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

/// Enough for an event of some ten KB; it is part of the initial memory, which costs nothing until it is touched, where
/// growing memory costs two system calls.
const FIRST_BYTES: usize = 256 * 1024;

const PAGE_BYTES: usize = 64 * 1024;

/// Pages asked for at least when the first ones are full.
const GROW_PAGES: usize = 16;

pub struct Arena {
    first: UnsafeCell<[u8; FIRST_BYTES]>,
    /// The next free address and the end of what there is; 0 before the first call.
    next: UnsafeCell<usize>,
    end: UnsafeCell<usize>,
}

// SAFETY: a component has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    pub const fn new() -> Self {
        Self { first: UnsafeCell::new([0; FIRST_BYTES]), next: UnsafeCell::new(0), end: UnsafeCell::new(0) }
    }

    /// Makes room for `bytes`, at a new address if the pages that memory grows by do not follow those that there are.
    #[cold]
    fn grow(&self, bytes: usize) -> Option<()> {
        let pages = bytes.checked_add(PAGE_BYTES - 1)? / PAGE_BYTES;
        let pages = pages.max(GROW_PAGES);
        let before = core::arch::wasm32::memory_grow(0, pages);
        if before == usize::MAX {
            return None;
        }
        let start = before * PAGE_BYTES;
        // SAFETY: one thread; nobody else has these pages.
        unsafe {
            if *self.end.get() != start {
                *self.next.get() = start;
            }
            *self.end.get() = start + pages * PAGE_BYTES;
        }
        Some(())
    }
}

// SAFETY: addresses between `next` and `end` are handed out once, aligned, and lie in memory that only this allocator has:
// its own static, or pages that it asked for. Both cells are only touched here, by the one thread.
unsafe impl GlobalAlloc for Arena {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe {
            if *self.end.get() == 0 {
                *self.next.get() = self.first.get() as usize;
                *self.end.get() = *self.next.get() + FIRST_BYTES;
            }
            loop {
                let start = (*self.next.get()).next_multiple_of(layout.align());
                match start.checked_add(layout.size()) {
                    Some(end) if end <= *self.end.get() => {
                        *self.next.get() = end;
                        return start as *mut u8;
                    }
                    Some(_) if self.grow(layout.size().saturating_add(layout.align())).is_some() => {}
                    _ => return core::ptr::null_mut(),
                }
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe {
            if block as usize + layout.size() == *self.next.get() {
                *self.next.get() = block as usize;
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            let is_last = block as usize + layout.size() == *self.next.get();
            if is_last && (block as usize).checked_add(size).is_some_and(|end| end <= *self.end.get()) {
                *self.next.get() = block as usize + size;
                return block;
            }
            if size <= layout.size() {
                return block;
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, layout.size());
            }
            new
        }
    }
}
