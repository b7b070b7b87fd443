//! The stack of a process that shares this one's memory.

use crate::error::Error;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::ptr::null_mut;

/// Nothing is mapped below the stack: running over it is a fault, not a change of somebody's memory.
const GUARD: usize = 4096;

/// A stack; unmapped when dropped.
pub(crate) struct Stack(*mut c_void);

impl Stack {
    /// What the child's few calls need, and much more.
    pub(crate) const SIZE: usize = 64 * 1024;

    pub(crate) fn new() -> Result<Self, Error> {
        let failed = Error::prepare("map a stack");
        // SAFETY: a new mapping, where the system sees fit.
        let start = unsafe {
            mmap_anonymous(
                null_mut(),
                GUARD + Self::SIZE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::STACK,
            )
        }
        .map_err(&failed)?;
        let stack = Self(start);
        // SAFETY: the first page of our own mapping, which nobody uses yet.
        unsafe { mprotect(start, GUARD, MprotectFlags::empty()) }.map_err(&failed)?;
        Ok(stack)
    }

    /// Where it begins, above the guard.
    pub(crate) fn bottom(&self) -> *mut c_void {
        self.0.wrapping_byte_add(GUARD)
    }

    /// Its end, from where it grows down. Page-aligned, so aligned as functions want it.
    pub(crate) fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(GUARD + Self::SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping. Who uses the stack is gone: see `spawn`, which waits for that.
        let _unmapped = unsafe { munmap(self.0, GUARD + Self::SIZE) };
    }
}
