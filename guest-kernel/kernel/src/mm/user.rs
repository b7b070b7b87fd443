//! The one door to the memory of programs.
//!
//! Every access checks the page tables first and brings absent pages in, without a trap; then it copies at the program's
//! own address. The kernel is never preempted, so nothing changes in between. An address that is not the
//! program's to use gives `EFAULT`.

pub use super::buffers::UserBuffers;
use super::{Access, Fault, PAGE, USER_END};
use crate::task;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, UserMemory, frames};
use core::mem::MaybeUninit;

/// Plain data that system calls pass in memory: any bit pattern is a value, and there is no padding to leak.
///
/// # Safety
/// The type is `repr(C)` or primitive, without padding, pointers that the kernel follows, or invalid bit patterns.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),* $(,)?) => { $(
        // SAFETY: integers, or `repr(C)` structures of integers as the kernel's ABI defines them, without padding.
        unsafe impl Plain for $type {}
    )* };
}

plain!(u8, u16, u32, u64, i32, i64);

// SAFETY: an array of plain values is plain.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Makes `length` bytes at `address` accessible in the current program.
pub fn check(address: u64, length: usize, access: Access) -> Result<()> {
    if length == 0 {
        return Ok(());
    }
    let end = address.checked_add(length as u64).filter(|end| *end <= USER_END).ok_or(Errno::EFAULT)?;
    let memory = task::current().memory();
    let mut space = memory.lock();
    let mut page = address & !(PAGE - 1);
    while page < end {
        if !space.is_accessible(page, access) {
            let stale = access == Access::Write && space.is_accessible(page, Access::Read);
            space.fault(page, access).map_err(|fault| match fault {
                Fault::OutOfMemory => Errno::ENOMEM,
                _ => Errno::EFAULT,
            })?;
            if !space.is_accessible(page, access) {
                return Err(Errno::EFAULT);
            }
            if stale {
                crate::arch::cpu::invalidate_page(page);
            }
        }
        page += PAGE;
    }
    Ok(())
}

/// Copies `to.len()` bytes from the program.
pub fn read_bytes(address: u64, to: &mut [u8]) -> Result<()> {
    check(address, to.len(), Access::Read)?;
    // SAFETY: the range is mapped user memory, by the check; it cannot overlap kernel memory.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, to.as_mut_ptr(), to.len()) };
    Ok(())
}

/// Copies to the program.
pub fn write_bytes(address: u64, from: &[u8]) -> Result<()> {
    check(address, from.len(), Access::Write)?;
    // SAFETY: the range is mapped, writable user memory, by the check; it cannot overlap kernel memory.
    unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), address as *mut u8, from.len()) };
    Ok(())
}

/// Reads one value.
pub fn read<T: Plain>(address: u64) -> Result<T> {
    check(address, size_of::<T>(), Access::Read)?;
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: mapped by the check, and any bytes are a valid `T`.
    unsafe {
        core::ptr::copy_nonoverlapping(address as *const u8, value.as_mut_ptr().cast(), size_of::<T>());
        Ok(value.assume_init())
    }
}

/// Writes one value.
pub fn write<T: Plain>(address: u64, value: T) -> Result<()> {
    check(address, size_of::<T>(), Access::Write)?;
    // SAFETY: mapped and writable by the check.
    unsafe {
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), address as *mut u8, size_of::<T>())
    };
    Ok(())
}

/// Writes one value, unless the address is null.
pub fn write_if<T: Plain>(address: u64, value: T) -> Result<()> {
    if address == 0 { Ok(()) } else { write(address, value) }
}

/// Reads a string that ends with a zero byte, of at most `limit` bytes (`ENAMETOOLONG` beyond).
pub fn read_string(address: u64, limit: usize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut at = address;
    loop {
        let room = (PAGE - at % PAGE) as usize;
        check(at, 1, Access::Read)?;
        // SAFETY: the rest of the page is mapped user memory, by the check.
        let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, room) };
        let end = bytes.iter().position(|byte| *byte == 0);
        let piece = &bytes[..end.unwrap_or(room)];
        frames::make_room(&mut text, piece.len())?;
        text.extend_from_slice(piece);
        if text.len() >= limit {
            return Err(Errno::ENAMETOOLONG);
        }
        if end.is_some() {
            return Ok(text);
        }
        at += room as u64;
    }
}

/// Reads a path (`PATH_MAX`).
pub fn read_path(address: u64) -> Result<Vec<u8>> {
    read_string(address, 4096)
}

/// The current program's memory, for `ioctl` arguments.
pub struct CurrentMemory;

impl UserMemory for CurrentMemory {
    fn read_bytes(&self, from: u64, to: &mut [u8]) -> Result<()> {
        read_bytes(from, to)
    }

    fn write_bytes(&self, to: u64, from: &[u8]) -> Result<()> {
        write_bytes(to, from)
    }
}
